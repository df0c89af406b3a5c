import type { PageTable, Permissions } from "../engine/index.ts";
import { type Area, AreaList } from "./area.ts";
import { CoreError } from "./errors.ts";
import type { IommuDriver, TableAttributes } from "./iommu-driver.ts";
import type { PageSource } from "./page-source.ts";
import { PAGE } from "./process.ts";
import { MappedTable, refused } from "./table.ts";

/** A space in the hands of the engine: recorded events edit its table, and core keeps out of the way. */
export interface Loan {
	readonly table: PageTable;
}

/** What a returned space held. */
export interface LoanReport {
	mapped: bigint;
	frames: number;
}

/** An I/O address space: what is mapped, and the tables that say so, one for each unit that a device brought in. */
export class Space {
	private readonly areas = new AreaList();
	private readonly tables: MappedTable[] = [];
	private readonly reserved: Array<{ first: bigint; last: bigint }> = [];
	private loan: Loan | null = null;

	constructor(readonly id: number) {}

	private get object(): string {
		return `space ${this.id}`;
	}

	/** @internal @throws CoreError Busy */
	refuseWhileLent(operation: string): void {
		if (this.loan !== null) throw new CoreError("Busy", "it is lent to the engine", { operation, object: this.object });
	}

	/** Keep [first, last] free of maps. @throws CoreError Occupied when something is mapped there */
	reserve(first: bigint, last: bigint): void {
		if (this.areas.overlapping(first, last).length > 0) throw new CoreError("Occupied", "something is mapped there", { operation: "Space.reserve", object: this.object, first, last });
		this.reserved.push({ first, last });
	}

	/**
	 * Map [iova, iova + size) to the source from `offset` on, in every table of the space.
	 * @throws CoreError Misaligned, Overflow, Reserved, Occupied, Denied (write to a read-only source), MemoryFault, NoSpace, Busy
	 */
	map(iova: bigint, size: bigint, source: PageSource, offset: bigint, permissions: Permissions): void {
		const operation = "Space.map";
		const last = iova + size - 1n;
		const context = { operation, object: this.object, first: iova, last };
		this.refuseWhileLent(operation);
		if (size <= 0n || (iova | size | offset | source.address) & (PAGE - 1n)) throw new CoreError("Misaligned", "addresses and size must be multiples of a page", context);
		if (iova < 0n || last >= 1n << 64n || offset < 0n || offset + size > source.size) throw new CoreError("Overflow", "beyond the address space or the source", context);
		if (permissions.write && !source.writable) throw new CoreError("Denied", "the source is read-only", context);
		if (this.reserved.some((r) => iova <= r.last && last >= r.first)) throw new CoreError("Reserved", "a reserved range lies there", context);
		if (this.areas.overlapping(iova, last).length > 0) throw new CoreError("Occupied", "something is mapped there", context);
		const area: Area = { first: iova, last, permissions, source, offset };
		const filled: MappedTable[] = [];
		try {
			for (const table of this.tables) {
				table.fill(area);
				filled.push(table);
			}
		} catch (error) {
			for (const table of filled) table.clear(area);
			throw refused(error, operation, this.object);
		}
		this.areas.add(area);
	}

	/**
	 * Unmap the areas in [iova, iova + size); cached answers are gone when it returns.
	 * @returns bytes unmapped
	 * @throws CoreError NotFound (nothing there), Misaligned (an area sticks out), Busy
	 */
	unmap(iova: bigint, size: bigint): bigint {
		const operation = "Space.unmap";
		const last = iova + size - 1n;
		const context = { operation, object: this.object, first: iova, last };
		this.refuseWhileLent(operation);
		const areas = this.areas.overlapping(iova, last);
		if (areas.length === 0) throw new CoreError("NotFound", "nothing is mapped there", context);
		if (areas[0].first < iova || areas[areas.length - 1].last > last) throw new CoreError("Misaligned", "an area sticks out of the range", context);
		let bytes = 0n;
		for (const area of areas) {
			for (const table of this.tables) table.clear(area);
			this.areas.remove(area);
			bytes += area.last - area.first + 1n;
		}
		return bytes;
	}

	/** @internal The space's table on a unit, made and filled when there is none. @throws CoreError */
	useTable(iommu: IommuDriver, attributes: TableAttributes): MappedTable {
		const operation = "attach";
		this.refuseWhileLent(operation);
		const fits = (table: MappedTable) => table.iommu === iommu && (attributes.domain === undefined || attributes.domain === table.domain.id);
		const known = this.tables.find(fits);
		if (known !== undefined) {
			known.users++;
			return known;
		}
		const table = new MappedTable(iommu, iommu.createDomain(attributes));
		const filled: Area[] = [];
		try {
			for (const area of this.areas) {
				table.fill(area);
				filled.push(area);
			}
		} catch (error) {
			for (const area of filled) table.clear(area);
			iommu.destroyDomain(table.domain);
			throw refused(error, operation, this.object);
		}
		table.users = 1;
		this.tables.push(table);
		return table;
	}

	/** @internal One attachment less; the last one takes the table with it. */
	leaveTable(table: MappedTable): void {
		table.users--;
		if (table.users > 0) return;
		for (const area of this.areas) table.clear(area);
		this.tables.splice(this.tables.indexOf(table), 1);
		table.iommu.invalidate(table.domain);
		table.iommu.destroyDomain(table.domain);
	}

	/**
	 * Lend the space to the engine for a recorded run: its one table is edited by events, caches are cleared by recorded
	 * invalidations alone, and map, unmap, attach and detach are refused until it is returned.
	 * @throws CoreError Busy (areas are mapped, or lent already), Unsupported (not exactly one table)
	 */
	lend(): Loan {
		this.refuseWhileLent("Space.lend");
		if (this.areas.length > 0) throw new CoreError("Busy", "areas are mapped", { operation: "Space.lend", object: this.object });
		if (this.tables.length !== 1) throw new CoreError("Unsupported", "one table is lent, neither none nor several", { operation: "Space.lend", object: this.object });
		this.loan = { table: this.tables[0].pages };
		return this.loan;
	}

	/** Take a lent space back: what it held is told, then unmapped, with every cached answer. @throws CoreError NotFound */
	takeBack(loan: Loan): LoanReport {
		if (this.loan !== loan) throw new CoreError("NotFound", "no such loan", { operation: "Space.takeBack", object: this.object });
		this.loan = null;
		const [table] = this.tables;
		const report = { mapped: table.pages.mapped, frames: table.pages.frames };
		table.pages.clear();
		table.iommu.invalidate(table.domain);
		return report;
	}
}
