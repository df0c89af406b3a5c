import type { Permissions } from "../engine/index.ts";
import { PAGE, searchRanges } from "./frames.ts";
import type { PageSource } from "./page-source.ts";

/** One mapping of an IoSpace: whole for ever, save the cuts of a type 1 container. */
export class IoArea {
	/** software pins in it */
	uses = 0;
	/** uses that nobody can be asked to give up */
	locks = 0;

	constructor(
		readonly first: bigint,
		readonly last: bigint,
		readonly permissions: Permissions,
		readonly source: PageSource,
		/** byte of the source that `first` reaches */
		readonly offset: bigint,
	) {}

	get length(): bigint {
		return this.last - this.first + 1n;
	}

	/** Byte of the source at an address. */
	byteAt(iova: bigint): bigint {
		return this.offset + (iova - this.first);
	}

	/** Whole pages of the source behind [first, last]. */
	pages(first = this.first, last = this.last): { offset: bigint; size: bigint } {
		const offset = this.byteAt(first) & ~(PAGE - 1n);
		return { offset, size: ((this.byteAt(last) | (PAGE - 1n)) + 1n) - offset };
	}
}

/** Areas by address; none overlap. */
export class IoAreas {
	private readonly list: IoArea[] = [];
	/** how many may be written and not read */
	writeOnly = 0;

	*[Symbol.iterator](): Iterator<IoArea> {
		yield* [...this.list];
	}

	get size(): number {
		return this.list.length;
	}

	/** The first area that touches [first, last]. */
	first(first: bigint, last: bigint): IoArea | undefined {
		const found = this.list[searchRanges(this.list, first)];
		return found !== undefined && found.first <= last ? found : undefined;
	}

	within(first: bigint, last: bigint): IoArea[] {
		const found = [];
		for (let i = searchRanges(this.list, first); i < this.list.length && this.list[i].first <= last; i++) found.push(this.list[i]);
		return found;
	}

	add(area: IoArea): void {
		this.list.splice(searchRanges(this.list, area.first), 0, area);
		if (!area.permissions.read) this.writeOnly++;
	}

	remove(area: IoArea): void {
		this.list.splice(searchRanges(this.list, area.first), 1);
		if (!area.permissions.read) this.writeOnly--;
	}

	/**
	 * Areas that follow one another from `first` on, each with its part of [first, last].
	 * @returns them, and whether they cover the range
	 */
	contiguous(first: bigint, last: bigint): { parts: Array<{ area: IoArea; first: bigint; last: bigint }>; whole: boolean } {
		const parts = [];
		for (let at = first; at <= last; ) {
			const area = this.first(at, at);
			if (area === undefined) return { parts, whole: false };
			const end = area.last < last ? area.last : last;
			parts.push({ area, first: at, last: end });
			at = end + 1n;
		}
		return { parts, whole: true };
	}
}
