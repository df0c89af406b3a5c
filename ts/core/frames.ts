import type { FailPoint } from "./fail-point.ts";

export const PAGE = 4096n;

/** Addresses of the pages that a range touches. */
export function* pagesOf({ first, last }: { first: bigint; last: bigint }): Iterable<bigint> {
	for (let page = first & ~(PAGE - 1n); page <= last; page += PAGE) yield page;
}

/** Bytes of physical memory that follow one another. */
export interface Extent {
	address: bigint;
	size: bigint;
}

/** Frames that are in use alike: physical addresses [first, last]. Free when neither a holder nor a pin needs them. */
export interface FrameRun {
	readonly first: bigint;
	readonly last: bigint;
	/** mappings and memory objects that have them */
	readonly holders: number;
	readonly pins: number;
	/** who asked for them, and its address of the first byte: for telling where a DMA went */
	readonly owner: object;
	readonly userAddress: bigint;
}

type Run = { -readonly [K in keyof FrameRun]: FrameRun[K] };

/** The part of `extents` from byte `offset` on, `size` bytes long. */
export function sliceExtents(extents: readonly Extent[], offset: bigint, size: bigint): Extent[] {
	const parts: Extent[] = [];
	let skip = offset;
	let rest = size;
	for (const extent of extents) {
		if (rest === 0n) break;
		if (skip >= extent.size) {
			skip -= extent.size;
			continue;
		}
		const bytes = extent.size - skip < rest ? extent.size - skip : rest;
		parts.push({ address: extent.address + skip, size: bytes });
		rest -= bytes;
		skip = 0n;
	}
	return parts;
}

/** Adds an extent to a list, joined to the last one when it follows. */
export function pushExtent(extents: Extent[], address: bigint, size: bigint): void {
	const last = extents[extents.length - 1];
	if (last !== undefined && last.address + last.size === address) last.size += size;
	else extents.push({ address, size });
}

/** Index of the first range that ends at or after an address. */
export function searchRanges(ranges: ReadonlyArray<{ last: bigint }>, address: bigint): number {
	let low = 0;
	let high = ranges.length;
	while (low < high) {
		const mid = (low + high) >> 1;
		if (ranges[mid].last < address) low = mid + 1;
		else high = mid;
	}
	return low;
}

/**
 * The machine's RAM in pages of 4 KiB, kept in runs: giving out, holding or pinning a gigabyte is one step. Addresses are
 * cheap (RAM is a sparse region: a page takes memory when it is first written), so places that nobody had are taken
 * first, and only then used ones again, zeroed.
 */
export class FramePool {
	private next: bigint;
	private readonly runs: Run[] = [];
	private readonly free: Array<{ first: bigint; last: bigint; used: boolean }>;

	constructor(
		first: bigint,
		private readonly last: bigint,
		private readonly zero: (address: bigint, size: bigint) => void = () => {},
		private readonly failures: FailPoint | null = null,
	) {
		this.next = first;
		this.free = [{ first, last, used: false }];
	}

	/** Where `size` bytes at a user's address would lie so that large leaves can map them; undefined when no such place is left. Nothing is taken. */
	plan(userAddress: bigint, size: bigint): bigint | undefined {
		let alignment = PAGE;
		while (alignment < size && alignment < 1n << 30n && userAddress % (2n * alignment) === 0n) alignment *= 2n;
		const aligned = (address: bigint) => (address + alignment - 1n) & ~(alignment - 1n);
		const fresh = aligned(this.next);
		if (fresh + size - 1n <= this.last) {
			this.next = fresh + size;
			return fresh;
		}
		const again = this.free.find(({ first, last }) => aligned(first) + size - 1n <= last);
		return again === undefined ? undefined : aligned(again.first);
	}

	/** Take zeroed frames, held once, at the wished place when it is free. Undefined when RAM is used up: nothing is taken. @throws CoreError NoSpace when it is to fail */
	take(owner: object, userAddress: bigint, size: bigint, wished?: bigint): Extent[] | undefined {
		this.failures?.pass("frame", "take", "RAM");
		const places = this.places(size, wished);
		if (places === undefined) return undefined;
		let at = userAddress;
		for (const { address, size: bytes } of places) {
			this.claim(address, bytes);
			const index = searchRanges(this.runs, address);
			this.runs.splice(index, 0, { first: address, last: address + bytes - 1n, holders: 1, pins: 0, owner, userAddress: at });
			this.join(index, index + 1);
			at += bytes;
		}
		return places;
	}

	private places(size: bigint, wished?: bigint): Extent[] | undefined {
		if (wished !== undefined && this.isFree(wished, size)) return [{ address: wished, size }];
		if (this.next + size - 1n <= this.last && this.isFree(this.next, size)) {
			this.next += size;
			return [{ address: this.next - size, size }];
		}
		const whole = this.free.find(({ first, last }) => last - first + 1n >= size);
		if (whole !== undefined) return [{ address: whole.first, size }];
		const parts: Extent[] = [];
		let rest = size;
		for (const { first, last } of this.free) {
			const bytes = last - first + 1n < rest ? last - first + 1n : rest;
			parts.push({ address: first, size: bytes });
			rest -= bytes;
			if (rest === 0n) return parts;
		}
		return undefined;
	}

	private isFree(address: bigint, size: bigint): boolean {
		let at = address;
		for (let i = searchRanges(this.free, address); i < this.free.length && this.free[i].first <= at; i++) {
			at = this.free[i].last + 1n;
			if (at >= address + size) return true;
		}
		return false;
	}

	/** Take [address, address + size), which is free, out of the list; what was used before is zeroed. */
	private claim(address: bigint, size: bigint): void {
		const last = address + size - 1n;
		let index = searchRanges(this.free, address);
		while (index < this.free.length && this.free[index].first <= last) {
			const range = this.free[index];
			const from = range.first > address ? range.first : address;
			const to = range.last < last ? range.last : last;
			if (range.used) this.zero(from, to - from + 1n);
			const kept = [];
			if (range.first < from) kept.push({ ...range, last: from - 1n });
			if (range.last > to) kept.push({ ...range, first: to + 1n });
			this.free.splice(index, 1, ...kept);
			index += kept.length;
		}
	}

	private giveBack({ first, last }: FrameRun): void {
		let index = searchRanges(this.free, first);
		this.free.splice(index, 0, { first, last, used: true });
		const after = this.free[index + 1];
		if (after?.used && after.first === last + 1n) this.free.splice(index, 2, { first, last: after.last, used: true });
		const before = this.free[index - 1];
		if (before?.used && before.last + 1n === first) this.free.splice(--index, 2, { first: before.first, last: this.free[index + 1].last, used: true });
	}

	/** Make run borders at `address`. */
	private cut(address: bigint): void {
		const index = searchRanges(this.runs, address);
		const run = this.runs[index];
		if (run === undefined || run.first >= address) return;
		this.runs.splice(index, 1, { ...run, last: address - 1n }, { ...run, first: address, userAddress: run.userAddress + (address - run.first) });
	}

	/** Join runs that are alike, from the one before `from` up to `to`. */
	private join(from: number, to: number): void {
		for (let i = Math.min(to, this.runs.length - 1); i > 0 && i >= from; i--) {
			const [a, b] = [this.runs[i - 1], this.runs[i]];
			const alike = a.last + 1n === b.first && a.holders === b.holders && a.pins === b.pins && a.owner === b.owner && a.userAddress + (b.first - a.first) === b.userAddress;
			if (alike) this.runs.splice(i - 1, 2, { ...a, last: b.last });
		}
	}

	private change(address: bigint, size: bigint, holders: number, pins: number): void {
		const end = address + size;
		this.cut(address);
		this.cut(end);
		const from = searchRanges(this.runs, address);
		let at = address;
		let index = from;
		while (at < end) {
			const run = this.runs[index];
			if (run === undefined || run.first !== at) throw new Error(`0x${at.toString(16)} is nobody's frame`);
			run.holders += holders;
			run.pins += pins;
			at = run.last + 1n;
			if (run.holders > 0 || run.pins > 0) {
				index++;
				continue;
			}
			this.runs.splice(index, 1);
			this.giveBack(run);
		}
		this.join(from, index);
	}

	/** One holder more: a mapping or an object. */
	hold(address: bigint, size: bigint): void {
		this.change(address, size, 1, 0);
	}

	drop(address: bigint, size: bigint): void {
		this.change(address, size, -1, 0);
	}

	pin(address: bigint, size: bigint): void {
		this.change(address, size, 0, 1);
	}

	unpin(address: bigint, size: bigint): void {
		this.change(address, size, 0, -1);
	}

	/** The run that a physical address lies in. */
	find(address: bigint): FrameRun | undefined {
		const found = this.runs[searchRanges(this.runs, address)];
		return found !== undefined && found.first <= address ? found : undefined;
	}

	/** Runs of [address, address + size), cut to it. */
	within(address: bigint, size: bigint): FrameRun[] {
		const last = address + size - 1n;
		const found: FrameRun[] = [];
		for (let i = searchRanges(this.runs, address); i < this.runs.length && this.runs[i].first <= last; i++) {
			const run = this.runs[i];
			const first = run.first > address ? run.first : address;
			found.push({ ...run, first, last: run.last < last ? run.last : last, userAddress: run.userAddress + (first - run.first) });
		}
		return found;
	}

	private count(counts: (run: FrameRun) => boolean): number {
		let bytes = 0n;
		for (const run of this.runs) if (counts(run)) bytes += run.last - run.first + 1n;
		return Number(bytes / PAGE);
	}

	/** Pages that are handed out. */
	get used(): number {
		return this.count(() => true);
	}

	/** Pages that are pinned, by anybody. */
	get pinned(): number {
		return this.count(({ pins }) => pins > 0);
	}
}
