import type { AddressRange } from "./iommu-driver.ts";

/** Address ranges that several owners lay down independently; they may overlap. */
export class TaggedRanges {
	private list: Array<AddressRange & { owner: object | null }> = [];

	add(first: bigint, last: bigint, owner: object | null): void {
		this.list.push({ first, last, owner });
	}

	/** Take away what an owner laid down. */
	removeOf(owner: object): void {
		this.list = this.list.filter((range) => range.owner !== owner);
	}

	meets(first: bigint, last: bigint): boolean {
		return this.list.some((range) => range.first <= last && range.last >= first);
	}

	/** What is covered in [0, 2^64), in order, joined. */
	covered(): AddressRange[] {
		const joined: AddressRange[] = [];
		for (const { first, last } of [...this.list].sort((a, b) => (a.first < b.first ? -1 : 1))) {
			const before = joined[joined.length - 1];
			if (before === undefined || before.last + 1n < first) joined.push({ first, last });
			else if (before.last < last) before.last = last;
		}
		return joined;
	}

	/** What is not covered in [low, high]. */
	holes(low: bigint, high: bigint): AddressRange[] {
		return holesOf(this.covered(), low, high);
	}
}

/** What ranges in order leave of [low, high]; they may touch but not overlap. */
export function holesOf(ranges: Iterable<AddressRange>, low: bigint, high: bigint): AddressRange[] {
	const holes: AddressRange[] = [];
	let at = low;
	for (const { first, last } of ranges) {
		if (last < at) continue;
		if (first > high) break;
		if (first > at) holes.push({ first: at, last: first - 1n });
		at = last + 1n;
	}
	if (at <= high) holes.push({ first: at, last: high });
	return holes;
}
