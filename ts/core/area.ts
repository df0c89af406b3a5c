import type { Permissions } from "../engine/index.ts";
import type { PageSource } from "./page-source.ts";

/** One mapping of a space: addresses, permissions, and a slice of a page source. */
export interface Area {
	readonly first: bigint;
	readonly last: bigint;
	readonly permissions: Permissions;
	readonly source: PageSource;
	/** byte of the source that `first` names */
	readonly offset: bigint;
}

/** Areas of a space in order of address; none overlap. */
export class AreaList {
	private readonly areas: Area[] = [];

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

	add(area: Area): void {
		this.areas.splice(this.find(area.first), 0, area);
	}

	remove(area: Area): void {
		this.areas.splice(this.find(area.first), 1);
	}

	get length(): number {
		return this.areas.length;
	}

	[Symbol.iterator](): Iterator<Area> {
		return this.areas[Symbol.iterator]();
	}
}
