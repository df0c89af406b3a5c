import type { Permissions } from "../engine/index.ts";
import type { PageSource } from "./page-source.ts";

/** What stands behind an area: pages of a source, addresses of the parent space, or device memory. */
export type AreaBacking =
	| { kind: "memory"; source: PageSource; offset: bigint; /** pages brought in by page requests: offset in the area -> physical */ present?: Map<bigint, bigint> }
	| { kind: "parent"; address: bigint }
	| { kind: "device"; physical: bigint };

/** One mapping of a space. */
export interface Area {
	readonly first: bigint;
	readonly last: bigint;
	readonly permissions: Permissions;
	readonly backing: AreaBacking;
}

/** The same backing from `skip` bytes on. */
export function advance(backing: AreaBacking, skip: bigint): AreaBacking {
	if (backing.kind === "memory") return { ...backing, offset: backing.offset + skip };
	if (backing.kind === "parent") return { kind: "parent", address: backing.address + skip };
	return { kind: "device", physical: backing.physical + skip };
}

/** Areas of a space in order of address; none overlap. */
export class AreaList {
	private readonly areas: Area[] = [];
	/** how many may be written and not read */
	writeOnly = 0;

	/** Index of the first area that ends at or after the address. */
	private find(address: bigint): number {
		let low = 0;
		let high = this.areas.length;
		while (low < high) {
			const mid = (low + high) >> 1;
			if (this.areas[mid].last < address) low = mid + 1;
			else high = mid;
		}
		return low;
	}

	/** Areas that touch [first, last], in order. */
	overlapping(first: bigint, last: bigint): Area[] {
		const found: Area[] = [];
		for (let i = this.find(first); i < this.areas.length && this.areas[i].first <= last; i++) found.push(this.areas[i]);
		return found;
	}

	at(address: bigint): Area | undefined {
		return this.overlapping(address, address)[0];
	}

	add(area: Area): void {
		this.areas.splice(this.find(area.first), 0, area);
		if (!area.permissions.read) this.writeOnly++;
	}

	remove(area: Area): void {
		this.areas.splice(this.find(area.first), 1);
		if (!area.permissions.read) this.writeOnly--;
	}

	/** Put two halves in the place of an area that reaches over `at`. */
	cut(area: Area, at: bigint): void {
		const { first, last, permissions, backing } = area;
		this.areas.splice(this.find(first), 1, { first, last: at - 1n, permissions, backing }, { first: at, last, permissions, backing: advance(backing, at - first) });
		if (!permissions.read) this.writeOnly++;
	}

	/** First address of [low, high] where `size` bytes are free of areas and of `taken`, aligned; undefined when there is none. */
	findFree(low: bigint, high: bigint, size: bigint, alignment: bigint, taken: ReadonlyArray<{ first: bigint; last: bigint }>): bigint | undefined {
		let at = (low + alignment - 1n) & ~(alignment - 1n);
		while (at + size - 1n <= high) {
			const area = this.overlapping(at, at + size - 1n)[0];
			const other = taken.find((range) => range.first <= at + size - 1n && range.last >= at);
			const blocked = area ?? other;
			if (blocked === undefined) return at;
			at = (blocked.last + alignment) & ~(alignment - 1n);
		}
		return undefined;
	}

	get length(): number {
		return this.areas.length;
	}

	[Symbol.iterator](): Iterator<Area> {
		return this.areas[Symbol.iterator]();
	}
}
