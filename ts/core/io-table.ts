import { AddressSpace, type Location } from "./address-space.ts";
import { CoreError } from "./errors.ts";
import type { FaultQueue } from "./fault-queue.ts";
import type { IoSpace, SpaceTable } from "./io-space.ts";
import type { AddressRange, IommuDriver, IommuTable, TableRun, Target, UserTable } from "./iommu-driver.ts";
import type { UserData } from "./user-data.ts";

/** A table as an object: devices are led to it, and it stays when they leave. */
export abstract class HardwareTable extends AddressSpace {
	/** page requests of its devices go there */
	faultQueue: FaultQueue | null = null;

	constructor(
		readonly iommu: IommuDriver,
		/** it may stand under a PASID, and under requests without one beside PASIDs */
		readonly pasid: boolean,
		name: string,
	) {
		super(null, { name });
	}

	/** The first-level table at the end. */
	abstract readonly bottom: MappedTable;
	/** @throws CoreError Invalid: the table is of another unit */
	refuseUnit(iommu: IommuDriver, operation: string, object: string): void {
		if (iommu !== this.iommu) throw new CoreError("Invalid", `${this.name} is a table of ${this.iommu.name}`, { operation, object });
	}
	override get isFaultable(): boolean {
		return this.faultQueue !== null;
	}
	release(): void {}
	parentChanged(): void {}
	refuses(_address: bigint, _access: "read" | "write"): boolean {
		return false;
	}
	faultIn(): boolean {
		return false;
	}
	resolve(): Iterable<TableRun> {
		return [];
	}
}

export interface MappedTableOptions {
	nestParent?: boolean;
	dirty?: boolean;
	pasid?: boolean;
	/** made by an attach, gone with the last detach */
	automatic?: boolean;
	/** DMA through it snoops whatever the device asks for */
	enforceSnoop?: boolean;
	/** the user's words to the driver */
	data?: UserData;
}

/** A first-level table, filled from an IoSpace once that has it (IoSpace.addTable). */
export class MappedTable extends HardwareTable implements SpaceTable {
	readonly kind = "kernel";
	readonly hardware: IommuTable;
	readonly nestParent: boolean;
	readonly dirty: boolean;
	readonly automatic: boolean;
	private tracks = false;

	/** @throws CoreError NoSpace, Unsupported, Invalid */
	constructor(
		readonly space: IoSpace,
		iommu: IommuDriver,
		options: MappedTableOptions,
		name: string,
	) {
		super(iommu, options.pasid ?? false, name);
		const { nestParent = false, dirty = false, automatic = false, enforceSnoop = iommu.capabilities.enforcesSnoop, data } = options;
		this.nestParent = nestParent;
		this.dirty = dirty;
		this.automatic = automatic;
		space.failures.pass("table", "table", name);
		const content = () => (space.tables.has(this) ? space.runs() : []);
		this.hardware = iommu.createTable(content, { nestParent, enforceSnoop, dirty, pasid: this.pasid, ...(data === undefined ? {} : { data }) });
	}

	get bottom(): MappedTable {
		return this;
	}

	/** bytes of its smallest page */
	get granule(): bigint {
		const { pageSizes } = this.iommu.capabilities;
		return pageSizes & -pageSizes;
	}

	/** Input addresses that it cannot map. */
	get forbidden(): AddressRange[] {
		const { reserved, addressBits } = this.iommu.capabilities;
		const last = (1n << 64n) - 1n;
		const above = addressBits < 64 ? [{ first: 1n << BigInt(addressBits), last }] : [];
		return [...reserved, ...above];
	}

	acquire(): Target {
		return { kind: "table", table: this.hardware };
	}

	override get hidesReads(): boolean {
		return this.space.areas.writeOnly > 0;
	}

	override refuses(address: bigint, access: "read" | "write"): boolean {
		return this.space.areas.first(address, address)?.permissions[access] === false;
	}

	locate(address: bigint): Location | undefined {
		const area = this.space.areas.first(address, address);
		if (area === undefined) return undefined;
		return { memory: { source: area.source, owner: area.source.owner, address: area.source.address + area.byteAt(address) } };
	}

	get tracking(): boolean {
		return this.tracks;
	}

	/** Record what DMA writes; starting forgets what was recorded. @throws CoreError Unsupported */
	setTracking(on: boolean): void {
		if (!this.dirty) throw new CoreError("Unsupported", "it records no writes", { operation: "dirty_tracking", object: this.name });
		if (on || this.tracks) this.hardware.trackDirty(on, true);
		this.tracks = on;
	}

	/**
	 * Written parts of [first, last], mapped all through; `clear` forgets them.
	 * @throws CoreError Unsupported, Invalid (tracking is off, or a gap)
	 */
	readDirty(first: bigint, last: bigint, clear: boolean, visit: (iova: bigint, size: bigint) => void): void {
		const context = { operation: "dirty_bitmap", object: this.name, first, last };
		if (!this.dirty) throw new CoreError("Unsupported", "it records no writes", context);
		if (!this.tracks) throw new CoreError("Invalid", "tracking is off", context);
		const { parts, whole } = this.space.areas.contiguous(first, last);
		for (const part of parts) this.hardware.readDirty(part.first, part.last - part.first + 1n, clear, visit);
		if (!whole) throw new CoreError("Invalid", "not mapped all through", context);
	}

	close(): void {
		this.space.removeTable(this);
		this.iommu.destroyTable(this.hardware);
	}
}

/** A table that the user writes, over a first-level one. */
export class NestedTable extends HardwareTable {
	readonly kind = "user";

	constructor(
		readonly bottom: MappedTable,
		readonly user: UserTable,
		iommu: IommuDriver,
		pasid: boolean,
		name: string,
	) {
		super(iommu, pasid, name);
	}

	acquire(): Target {
		return { kind: "user", user: this.user, parent: this.bottom.hardware };
	}

	locate(): undefined {
		return undefined;
	}
}
