import { CoreError } from "./errors.ts";
import { pagesOf } from "./frames.ts";
import type { HeldTable, Recording } from "./held-tables.ts";
import type { AddressRange, IommuDriver, TableRun, Target } from "./iommu-driver.ts";
import type { PageOwner, PageSource } from "./page-source.ts";
import { DEFAULT_POLICY, type Policy } from "./policy.ts";

/** Whether DMA through a space snoops: said at birth, or (`auto`) what the first attached device's unit can do. */
export type Snoop = "enforce" | "no" | "auto";

export interface SpaceOptions {
	/** what it is called in messages */
	name?: string;
	policy?: Readonly<Policy>;
	/** default `auto` */
	snoop?: Snoop;
	/** pages are brought in by page requests instead of being pinned; default false */
	iopf?: boolean;
}

/** What an address of a space means one level up, and at the end. */
export interface Location {
	/** address in the parent's space */
	parent?: bigint;
	/** memory behind it: the owner's address */
	memory?: { source: PageSource | null; owner: PageOwner; address: bigint };
	/** device memory behind it: its physical address */
	physical?: bigint;
}

/** What the devices of a space let it use. */
export interface SpaceLimits {
	reserved: AddressRange[];
	last: bigint;
	addressBits: number;
	pageSizes: bigint;
}

/**
 * How a device is routed into a space: by RID, by RID and PASID, by RID and a PASID that CPUs can name (ENQCMD), by a
 * guest's PASID table, by an address window of the RID, or by software alone.
 */
export type BindingMode = "rid" | "rid_pasid" | "rid_pasid_global" | "pasid_table" | "rid_window" | "sw";

/** What a space knows of a device that is routed into it. */
export interface Attached {
	readonly mode: BindingMode;
	/** unit in front of the device */
	readonly iommu: IommuDriver;
	/** the device has a TLB of its own */
	readonly ats: boolean;
	/** the device can ask for pages that are absent */
	readonly pri: boolean;
	readonly slot: { refuseWindow(space: AddressSpace, range: AddressRange, operation: string): void; reapply(): void } | null;
}

let unnamed = 0;

/**
 * An I/O address space: what an IOASID stands for. Spaces form a tree; a child's addresses are led through its parent.
 * Devices are routed into it by attachments; what the hardware is given comes from `acquire`.
 */
export abstract class AddressSpace {
	abstract readonly kind: "kernel" | "memory" | "user" | "pasid-table" | "identity" | "sva";
	readonly name: string;
	readonly policy: Readonly<Policy>;
	readonly snoop: Snoop;
	readonly iopf: boolean;
	readonly children = new Set<AddressSpace>();
	readonly attachments = new Set<Attached>();
	private writePins: Set<AddressRange> | null = null;
	/** the open file that it lives in */
	owner: object | null = null;
	/** `auto`: what the tree's first device decided; null while it has none */
	private decided: boolean | null = null;
	private gone = false;

	constructor(
		readonly parent: AddressSpace | null,
		options: SpaceOptions,
	) {
		this.name = options.name ?? `space ${unnamed++}`;
		this.policy = options.policy ?? DEFAULT_POLICY;
		this.snoop = options.snoop ?? "auto";
		this.iopf = options.iopf ?? false;
		parent?.children.add(this);
	}

	/**
	 * The target that leads a unit's requests here, its table made when there is none. Counted. With `merged`, software
	 * merges what the hardware would walk in two stages. @throws CoreError
	 */
	abstract acquire(iommu: IommuDriver, merged: boolean): Target;
	/** One use of `acquire` less. */
	abstract release(iommu: IommuDriver, merged: boolean): void;
	/** Runs of physical memory behind [first, last], as far as there is any now. */
	abstract resolve(first: bigint, last: bigint): Iterable<TableRun>;
	/** What an address means. Undefined: nothing. */
	abstract locate(address: bigint): Location | undefined;
	/** The parent changed what [first, last] of its addresses mean; `gone`: something was taken away. @throws CoreError */
	abstract parentChanged(first: bigint, last: bigint, gone: boolean): void;
	/** @throws CoreError Conflict, Invalid when what is mapped does not fit the unit */
	abstract refuseUnit(iommu: IommuDriver, operation: string, object: string): void;
	/** The maps on an address's path refuse the access, whatever tables could express. False too where nothing is mapped. */
	abstract refuses(address: bigint, access: "read" | "write"): boolean;
	/** Some map on the path may be written and not read: not every table can say so. */
	get hidesReads(): boolean {
		return this.parent?.hidesReads ?? false;
	}
	/** Another device comes by way of a unit. @throws CoreError NoSpace */
	joined(_iommu: IommuDriver): void {}
	/** Bring in the page behind an address, if the space works that way; `by` the unit that was stopped. @returns whether something was brought in */
	abstract faultIn(address: bigint, write: boolean, by?: IommuDriver): boolean;
	/** The root holds still while devices are attached in its tree. @throws CoreError MemoryFault, NoSpace */
	hold(): void {
		this.parent?.hold();
	}
	unhold(): void {
		this.parent?.unhold();
	}

	/** How tables that lead here record what DMA writes: as this space or one above wants it. */
	get recording(): Recording {
		return this.parent?.recording ?? null;
	}
	/** `recording` has changed. @throws CoreError Unsupported, NoSpace; tables may differ then */
	followRecording(operation: string): void {
		for (const child of this.children) child.followRecording(operation);
	}
	/** DMA by a table of this space, or software in its place, wrote a page: those above that want to know are told. */
	dirtied(_page: bigint, _by?: HeldTable): void {}
	/** Software holds pages to write them: they count as written as long as it does. */
	addWriter(range: AddressRange): void {
		this.writePins ??= new Set();
		this.writePins.add(range);
	}
	removeWriter(range: AddressRange): void {
		this.tellWritten();
		this.writePins?.delete(range);
	}
	/** Tell `dirtied` what software may have written till now. */
	tellWritten(): void {
		for (const range of this.writePins ?? []) for (const page of pagesOf(range)) this.dirtied(page);
	}
	/** Tell `dirtied` what was written through this space to [first, last] of its parent. */
	gatherBehind(_first: bigint, _last: bigint): void {}

	/** Units whose limits bind the addresses of this space. */
	*bindingUnits(): Iterable<IommuDriver> {
		for (const { iommu, mode } of this.attachments) if (mode !== "sw") yield iommu;
		for (const child of this.children) yield* child.unitsBindingParent();
	}

	/** Units whose limits bind the parent's addresses through this space: none when software merges it. */
	*unitsBindingParent(): Iterable<IommuDriver> {}

	get root(): AddressSpace {
		return this.parent === null ? this : this.parent.root;
	}

	/** A page may be absent, and come when a device asks for it. */
	get isFaultable(): boolean {
		return this.iopf || (this.parent?.isFaultable ?? false);
	}

	/** Levels on the path, memory-only roots left out. */
	get depth(): number {
		const above = this.parent === null ? 0 : this.parent.depth;
		return this.kind === "memory" ? above : above + 1;
	}

	isBelow(other: AddressSpace): boolean {
		return this.parent !== null && (this.parent === other || this.parent.isBelow(other));
	}

	/** All spaces of the tree from here down. */
	*tree(): Iterable<AddressSpace> {
		yield this;
		for (const child of this.children) yield* child.tree();
	}

	/** Attached anywhere in the tree. */
	get inUse(): boolean {
		for (const space of this.tree()) if (space.attachments.size > 0) return true;
		return false;
	}

	/** What all attached hardware lets the space use; null when nothing is attached. */
	limits(): SpaceLimits | null {
		const units = new Set(this.bindingUnits());
		if (units.size === 0) return null;
		const limits: SpaceLimits = { reserved: [], last: (1n << 64n) - 1n, addressBits: 64, pageSizes: ~0n };
		for (const { capabilities } of units) {
			limits.reserved.push(...capabilities.reserved);
			limits.addressBits = Math.min(limits.addressBits, capabilities.addressBits);
			limits.pageSizes &= capabilities.pageSizes;
		}
		limits.last = (1n << BigInt(limits.addressBits)) - 1n;
		return limits;
	}

	/** The space that the choice of `auto` is kept in: the root, below memory-only roots each child. */
	private get snoopSeat(): AddressSpace {
		if (this.snoop !== "auto" || this.parent === null || this.parent.kind === "memory") return this;
		return this.parent.snoopSeat;
	}

	/** Whether DMA through it snoops; null while that is open. */
	get enforcesSnoop(): boolean | null {
		const seat = this.snoopSeat;
		return seat.snoop === "auto" ? seat.decided : seat.snoop === "enforce";
	}

	/** @throws CoreError Invalid when the unit cannot enforce what the space wants, or the space would not enforce where it must */
	refuseSnoop(iommu: IommuDriver, operation: string, object: string): void {
		const wanted = this.enforcesSnoop ?? iommu.capabilities.enforcesSnoop;
		if (wanted && !iommu.capabilities.enforcesSnoop) throw new CoreError("Invalid", `${iommu.name} cannot enforce snooping, ${this.name} wants it`, { operation, object });
		if (!wanted && !this.policy.noSnoopExt) throw new CoreError("Invalid", `${this.name} would not enforce snooping`, { operation, object });
	}

	/** @internal A device came: `auto` is decided by the first of the tree. */
	decideSnoop(iommu: IommuDriver): void {
		for (let seat: AddressSpace | null = this; seat !== null; seat = seat.parent) seat.decided ??= iommu.capabilities.enforcesSnoop;
	}

	/** @internal A device left: with the last one of a tree, `auto` is open again there. */
	reopenSnoop(): void {
		for (let seat: AddressSpace | null = this; seat !== null; seat = seat.parent) {
			for (const space of seat.tree()) for (const { mode } of space.attachments) if (mode !== "sw") return;
			seat.decided = null;
		}
	}

	get isFreed(): boolean {
		return this.gone;
	}

	/** The space ends. @throws CoreError Busy while something is attached or a child lives */
	free(operation = "free"): void {
		if (this.gone) throw new CoreError("NotFound", "it is freed already", { operation, object: this.name });
		if (this.attachments.size > 0) throw new CoreError("Busy", "something is attached", { operation, object: this.name });
		if (this.children.size > 0) throw new CoreError("Busy", "it has children", { operation, object: this.name });
		this.gone = true;
		this.parent?.children.delete(this);
		this.onFree();
	}

	protected onFree(): void {}
}
