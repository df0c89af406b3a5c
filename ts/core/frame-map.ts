import { searchRanges } from "./frames.ts";

/** Addresses [first, last] and the physical address behind the first, when there are frames. */
export interface FramePiece {
	readonly first: bigint;
	readonly last: bigint;
	readonly physical: bigint | undefined;
}

/** Which frames lie behind addresses (of a process, of an object), in runs. */
export class FrameMap {
	private readonly list: Array<{ first: bigint; last: bigint; physical: bigint }> = [];

	/** [first, last] in order, with the gaps in it. */
	pieces(first: bigint, last: bigint): FramePiece[] {
		const found: FramePiece[] = [];
		let at = first;
		for (let i = searchRanges(this.list, first); i < this.list.length && this.list[i].first <= last; i++) {
			const run = this.list[i];
			if (run.first > at) found.push({ first: at, last: run.first - 1n, physical: undefined });
			const from = run.first > at ? run.first : at;
			const to = run.last < last ? run.last : last;
			found.push({ first: from, last: to, physical: run.physical + (from - run.first) });
			at = to + 1n;
		}
		if (at <= last) found.push({ first: at, last, physical: undefined });
		return found;
	}

	/** Put frames behind addresses that have none. */
	set(first: bigint, last: bigint, physical: bigint): void {
		const index = searchRanges(this.list, first);
		this.list.splice(index, 0, { first, last, physical });
		for (const i of [index + 1, index]) {
			const [a, b] = [this.list[i - 1], this.list[i]];
			if (a === undefined || b === undefined || a.last + 1n !== b.first || a.physical + (b.first - a.first) !== b.physical) continue;
			this.list.splice(i - 1, 2, { ...a, last: b.last });
		}
	}

	/** Take away what lies in [first, last]. @returns the runs that were there */
	remove(first: bigint, last: bigint): Array<{ first: bigint; last: bigint; physical: bigint }> {
		const gone = [];
		let index = searchRanges(this.list, first);
		while (index < this.list.length && this.list[index].first <= last) {
			const run = this.list[index];
			const from = run.first > first ? run.first : first;
			const to = run.last < last ? run.last : last;
			gone.push({ first: from, last: to, physical: run.physical + (from - run.first) });
			const kept = [];
			if (run.first < from) kept.push({ ...run, last: from - 1n });
			if (run.last > to) kept.push({ first: to + 1n, last: run.last, physical: run.physical + (to + 1n - run.first) });
			this.list.splice(index, 1, ...kept);
			index += kept.length;
		}
		return gone;
	}

	[Symbol.iterator](): Iterator<{ first: bigint; last: bigint; physical: bigint }> {
		return [...this.list][Symbol.iterator]();
	}
}
