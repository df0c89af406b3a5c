import type { IommuDriver, IommuTable } from "./iommu-driver.ts";

/** A table on one unit, as long as `users` routes lead to it. */
export interface HeldTable {
	readonly table: IommuTable;
	users: number;
}

/** The tables that one space has on units: made for the first route there, destroyed after the last. */
export class HeldTables<Held extends HeldTable = HeldTable> extends Map<IommuDriver, Held> {
	/** One more user of the unit's table. @throws what `make` throws */
	acquire(iommu: IommuDriver, make: () => Held): IommuTable {
		let held = this.get(iommu);
		if (held === undefined) {
			held = make();
			this.set(iommu, held);
		}
		held.users++;
		return held.table;
	}

	/** One user less. */
	release(iommu: IommuDriver): void {
		const held = this.get(iommu);
		if (held === undefined) return;
		held.users--;
		if (held.users > 0) return;
		this.delete(iommu);
		iommu.destroyTable(held.table);
	}
}
