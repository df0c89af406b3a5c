import type { AddressSpace, Location } from "./address-space.ts";
import type { Area, AreaList } from "./area.ts";
import { PAGE } from "./frames.ts";
import type { TableRun } from "./iommu-driver.ts";

const both = (a: TableRun["permissions"], b: TableRun["permissions"]) => ({ read: a.read && b.read, write: a.write && b.write });

/** A space, as its areas lead through it. */
interface Holder {
	readonly parent: AddressSpace | null;
	/** pages of areas are pinned at this moment: others lead nowhere */
	readonly pinsNow: boolean;
}

/** Physical memory behind [first, last] of a space, as far as there is any now, as runs for page tables. */
export function* areaRuns(areas: AreaList, space: Holder, first: bigint, last: bigint): Iterable<TableRun> {
	for (const area of areas.overlapping(first, last)) {
		const { permissions, backing } = area;
		const from = area.first > first ? area.first : first;
		const to = area.last < last ? area.last : last;
		const skip = from - area.first;
		if (backing.kind === "device") yield { iova: from, pa: backing.physical + skip, size: to - from + 1n, permissions };
		else if (backing.kind === "parent") yield* throughParent(area, space.parent, from, to);
		else if (backing.present !== undefined) {
			for (const [offset, pa] of backing.present) {
				const page = area.first + offset;
				const start = page > from ? page : from;
				const end = page + PAGE - 1n < to ? page + PAGE - 1n : to;
				if (start <= end) yield { iova: start, pa: pa + (start - page), size: end - start + 1n, permissions };
			}
		} else if (space.pinsNow) {
			let iova = from;
			for (const { address, size } of backing.source.extents(backing.offset + skip, to - from + 1n)) {
				yield { iova, pa: address, size, permissions };
				iova += size;
			}
		}
	}
}

function* throughParent({ first, permissions, backing }: Area, parent: AddressSpace | null, from: bigint, to: bigint): Iterable<TableRun> {
	if (backing.kind !== "parent") return;
	const base = backing.address + (from - first);
	for (const run of parent?.resolve(base, base + (to - from)) ?? []) {
		const rights = both(permissions, run.permissions);
		if (rights.read || rights.write) yield { ...run, iova: from + (run.iova - base), permissions: rights };
	}
}

/** What an address means in the parent, and in memory. Undefined: nothing. */
export function locateArea(areas: AreaList, parent: AddressSpace | null, address: bigint): Location | undefined {
	const area = areas.at(address);
	if (area === undefined) return undefined;
	const { backing } = area;
	const skip = address - area.first;
	if (backing.kind === "device") return { physical: backing.physical + skip };
	if (backing.kind === "memory") {
		const { source, offset } = backing;
		return { memory: { source, owner: source.owner, address: source.address + offset + skip } };
	}
	return { ...parent?.locate(backing.address + skip), parent: backing.address + skip };
}
