import { AddressSpace, type Location, type SpaceOptions } from "./address-space.ts";
import { CoreError } from "./errors.ts";
import type { IommuDriver, TableRun, Target } from "./iommu-driver.ts";

/** Bytes of an entry: a CD, a process context, a GCR3 entry. */
const PASID_ENTRY: Readonly<Record<string, bigint>> = { smmuv3: 64n, riscv: 16n, amdvi: 8n };

/** A guest's PASID table: it owns every PASID of the RIDs that are attached; requests without PASID use the parent. */
export class PasidTableSpace extends AddressSpace {
	readonly kind = "pasid-table";
	declare readonly parent: AddressSpace;
	/** its owner fills what it leads to when it likes */
	override get isFaultable(): boolean {
		return true;
	}

	constructor(
		parent: AddressSpace,
		readonly format: string,
		/** address of the table in the parent's space */
		readonly address: bigint,
		readonly entries: number,
		options: SpaceOptions = {},
	) {
		super(parent, options);
	}

	refuseUnit(iommu: IommuDriver, operation: string, object: string): void {
		const { nesting, format, pasidTables } = iommu.capabilities;
		if (format !== this.format) throw new CoreError("Invalid", `${this.name} has a ${this.format} table, ${iommu.name} walks ${format}`, { operation, object });
		if (nesting !== "hw" || !pasidTables) throw new CoreError("Unsupported", `${iommu.name} takes no PASID tables of the guest`, { operation, object });
		this.parent.refuseUnit(iommu, operation, object);
	}

	override *unitsBindingParent(): Iterable<IommuDriver> {
		for (const { iommu } of this.attachments) yield iommu;
	}

	acquire(iommu: IommuDriver): Target {
		const target = this.parent.acquire(iommu, false);
		if (target.kind === "table") return target;
		this.parent.release(iommu, false);
		throw new CoreError("Unsupported", "its parent is no kernel-managed table", { operation: "attach", object: this.name });
	}

	release(iommu: IommuDriver): void {
		this.parent.release(iommu, false);
	}

	override dirtied(page: bigint): void {
		this.parent.dirtied(page);
	}

	/** Bring in the page of the table that has an entry. @returns whether it was absent */
	entryIn(pasid: number): boolean {
		return this.parent.faultIn(this.address + BigInt(pasid) * PASID_ENTRY[this.format], false);
	}

	/** Units that read the table at system addresses look for it again. */
	parentChanged(first: bigint, last: bigint): void {
		const end = this.address + BigInt(this.entries) * 64n - 1n;
		if (this.address <= last && end >= first) for (const slot of new Set([...this.attachments].map((one) => one.slot))) slot?.reapply();
	}
	*resolve(first: bigint, last: bigint): Iterable<TableRun> {
		yield* this.parent.resolve(first, last);
	}
	locate(address: bigint): Location | undefined {
		const above = this.parent.locate(address);
		return above === undefined ? undefined : { ...above, parent: address };
	}
	refuses(address: bigint, access: "read" | "write"): boolean {
		return this.parent.refuses(address, access);
	}
	faultIn(address: bigint, write: boolean): boolean {
		return this.parent.faultIn(address, write);
	}
}
