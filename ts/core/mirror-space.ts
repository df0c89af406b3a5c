import { AddressSpace, type Location, type SpaceOptions } from "./address-space.ts";
import { CoreError } from "./errors.ts";
import { PAGE } from "./frames.ts";
import { HeldTables } from "./held-tables.ts";
import type { IommuDriver, TableRun, Target } from "./iommu-driver.ts";
import type { Process } from "./process.ts";

/** Addresses are the parent's addresses: devices are given the parent's own table. */
export class IdentitySpace extends AddressSpace {
	readonly kind = "identity";
	declare readonly parent: AddressSpace;

	constructor(parent: AddressSpace, options: SpaceOptions = {}) {
		super(parent, options);
	}

	refuseUnit(iommu: IommuDriver, operation: string, object: string): void {
		this.parent.refuseUnit(iommu, operation, object);
	}
	override *unitsBindingParent(): Iterable<IommuDriver> {
		yield* this.bindingUnits();
	}
	acquire(iommu: IommuDriver): Target {
		return this.parent.acquire(iommu, false);
	}
	release(iommu: IommuDriver): void {
		this.parent.release(iommu, false);
	}
	override dirtied(page: bigint): void {
		this.parent.dirtied(page);
	}
	override gatherBehind(first: bigint, last: bigint): void {
		this.tellWritten();
		for (const child of this.children) child.gatherBehind(first, last);
	}
	parentChanged(first: bigint, last: bigint, gone: boolean): void {
		for (const child of this.children) child.parentChanged(first, last, gone);
	}
	resolve(first: bigint, last: bigint): Iterable<TableRun> {
		return this.parent.resolve(first, last);
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

const WHOLE = { first: 0n, last: (1n << 64n) - 1n };

/** The address space of a process (SVA): pages come in when a device asks for them, and go when the process drops them. */
export class SvaSpace extends AddressSpace {
	readonly kind = "sva";
	private readonly present = new Map<bigint, bigint>();
	private readonly tables = new HeldTables(this);
	private readonly stop: () => void;

	constructor(
		readonly process: Process,
		options: SpaceOptions = {},
	) {
		super(null, { ...options, iopf: true });
		this.stop = process.onUnmap((first, last) => this.drop(first, last));
	}

	private drop(first: bigint, last: bigint): void {
		for (const page of [...this.present.keys()]) {
			if (page < first || page > last) continue;
			this.present.delete(page);
			for (const { table } of this.tables.values()) table.unmap(page, PAGE);
			for (const child of this.children) child.parentChanged(page, page + PAGE - 1n, true);
		}
	}

	refuseUnit(iommu: IommuDriver, operation: string, object: string): void {
		if (iommu.capabilities.nesting === "none") throw new CoreError("Unsupported", `${iommu.name} shares no tables of a process`, { operation, object });
	}

	acquire(iommu: IommuDriver): Target {
		const make = () => ({ table: iommu.createTable(({ first, last } = WHOLE) => this.resolve(first, last), {}), users: 0 });
		return { kind: "table", table: this.tables.acquire(iommu, make) };
	}

	release(iommu: IommuDriver): void {
		this.tables.release(iommu);
	}

	override hold(): void {}
	override unhold(): void {}
	parentChanged(): void {}

	*resolve(first: bigint, last: bigint): Iterable<TableRun> {
		for (const [page, pa] of this.present) {
			if (page + PAGE - 1n < first || page > last) continue;
			const from = page > first ? page : first;
			const end = page + PAGE - 1n < last ? page + PAGE - 1n : last;
			yield { iova: from, pa: pa + (from - page), size: end - from + 1n, permissions: { read: true, write: true } };
		}
	}

	locate(address: bigint): Location | undefined {
		try {
			this.process.physical(address);
		} catch {
			return undefined;
		}
		return { memory: { source: null, owner: this.process, address } };
	}

	refuses(): boolean {
		return false;
	}

	faultIn(address: bigint): boolean {
		const page = address & ~(PAGE - 1n);
		if (this.present.has(page) || this.locate(page) === undefined) return false;
		const pa = this.process.physical(page);
		for (const { table } of this.tables.values()) table.map({ iova: page, pa, size: PAGE, permissions: { read: true, write: true } });
		this.present.set(page, pa);
		for (const child of this.children) child.parentChanged(page, page + PAGE - 1n, false);
		return true;
	}

	protected override onFree(): void {
		this.stop();
	}
}
