import { CoreError } from "./errors.ts";
import { pagesOf } from "./frames.ts";
import type { IommuDriver, IommuTable } from "./iommu-driver.ts";

/** A table on one unit, as long as `users` routes lead to it. */
export interface HeldTable {
	readonly table: IommuTable;
	users: number;
}

/** The space that tables are of. */
interface TableOwner<Held> {
	readonly name: string;
	/** DMA wrote a page: told when it is gathered, or when its table goes */
	dirtied(page: bigint, held: Held): void;
}

/** How tables record what DMA writes: in pages, for which leaves are split, or in leaves as they are; null: not at all. */
export type Recording = { readonly split: boolean } | null;

/** The tables that one space has on units: made for the first route there, destroyed after the last. */
export class HeldTables<Held extends HeldTable = HeldTable> extends Map<IommuDriver, Held> {
	private recording: Recording = null;

	constructor(private readonly owner: TableOwner<Held>) {
		super();
	}

	/** One more user of the unit's table. @throws CoreError Unsupported (it cannot record, and is to), and what `make` throws */
	acquire(iommu: IommuDriver, make: () => Held): IommuTable {
		let held = this.get(iommu);
		if (held === undefined) {
			this.refuse(iommu, this.recording, "attach");
			held = make();
			try {
				if (this.recording !== null) held.table.trackDirty(true, this.recording.split);
			} catch (error) {
				iommu.destroyTable(held.table);
				throw error;
			}
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
		this.gatherFrom(held, 0n, (1n << 64n) - 1n);
		this.delete(iommu);
		iommu.destroyTable(held.table);
	}

	/** @throws CoreError Unsupported: the unit does not record what DMA writes */
	refuse(iommu: IommuDriver, recording: Recording, operation: string): void {
		if (recording !== null && !iommu.capabilities.dirty) throw new CoreError("Unsupported", `${iommu.name} does not record what DMA writes`, { operation, object: this.owner.name });
	}

	/** What tables have recorded is forgotten where this changes something: gather it before. @throws CoreError Unsupported, NoSpace; nothing has changed then */
	record(how: Recording, operation: string): void {
		const old = this.recording;
		if (how?.split === old?.split) return;
		for (const iommu of this.keys()) this.refuse(iommu, how, operation);
		const done: IommuTable[] = [];
		try {
			for (const { table } of this.values()) {
				done.push(table);
				table.trackDirty(how !== null, how?.split ?? false);
			}
		} catch (error) {
			for (const table of done) table.trackDirty(old !== null, old?.split ?? false);
			throw error;
		}
		this.recording = how;
	}

	/** Tell what was written of [first, last], which the tables forget. */
	gather(first: bigint, last: bigint): void {
		for (const held of this.values()) this.gatherFrom(held, first, last);
	}

	private gatherFrom(held: Held, first: bigint, last: bigint): void {
		if (this.recording === null) return;
		held.table.readDirty(first, last - first + 1n, true, (iova, size) => {
			for (const page of pagesOf({ first: iova, last: iova + size - 1n })) this.owner.dirtied(page, held);
		});
	}
}
