import type { Permissions } from "../engine/index.ts";
import { AddressSpace, type Location, type SpaceOptions } from "./address-space.ts";
import { CoreError } from "./errors.ts";
import { type HeldTable, HeldTables } from "./held-tables.ts";
import type { AddressRange, IommuDriver, TableRun, Target, UserTable } from "./iommu-driver.ts";

/** One leaf of a user's table: addresses of the table's space, and of its parent. */
export interface UserLeaf {
	address: bigint;
	size: bigint;
	to: bigint;
	permissions: Permissions;
}

/** Reads a user's table of any known format from its parent's memory: for software nesting and look-up. */
export interface UserTableReader {
	formats: readonly string[];
	/** Every leaf of [first, last]; `read` gives the 8 bytes at an address of the parent, undefined where nothing is. */
	leaves(table: UserTable, read: (address: bigint) => bigint | undefined, first: bigint, last: bigint): Iterable<UserLeaf>;
}

/** How a user's table is reached by software. */
export interface UserAccess {
	reader: UserTableReader;
	/** the 8 bytes of physical memory at an address */
	read64: (physical: bigint) => bigint;
}

interface Shadow extends HeldTable {
	/** leaves as they were taken, ascending */
	leaves: UserLeaf[];
}

const within = (leaves: readonly UserLeaf[], first: bigint, last: bigint) => leaves.filter((leaf) => leaf.address <= last && leaf.address + leaf.size - 1n >= first);
const leadingTo = (leaves: readonly UserLeaf[], first: bigint, last: bigint) => leaves.filter((leaf) => leaf.to <= last && leaf.to + leaf.size - 1n >= first);

const sameLeaf = (a: UserLeaf, b: UserLeaf) => a.address === b.address && a.size === b.size && a.to === b.to && a.permissions.read === b.permissions.read && a.permissions.write === b.permissions.write;

function leafAt(leaves: readonly UserLeaf[], address: bigint): UserLeaf | undefined {
	let [low, high] = [0, leaves.length];
	while (low < high) {
		const middle = (low + high) >> 1;
		if (leaves[middle].address + leaves[middle].size <= address) low = middle + 1;
		else high = middle;
	}
	return leaves[low]?.address <= address ? leaves[low] : undefined;
}

/** A space whose page table the user writes, in memory of the parent: walked by hardware over the parent's table, or shadowed by software. */
export class UserSpace extends AddressSpace {
	readonly kind = "user";
	declare readonly parent: AddressSpace;
	/** its owner fills it when it likes */
	override get isFaultable(): boolean {
		return true;
	}

	private readonly shadows = new HeldTables<Shadow>(this);

	constructor(
		parent: AddressSpace,
		readonly table: UserTable,
		private readonly software: UserAccess,
		options: SpaceOptions = {},
	) {
		super(parent, options);
	}

	get format(): string {
		return this.table.format;
	}

	/** The 8 bytes at an address of the parent, as far as memory is there for devices. */
	private read(address: bigint): bigint | undefined {
		for (const run of this.parent.resolve(address, address + 7n)) if (run.permissions.read && run.size >= 8n) return this.software.read64(run.pa);
		return undefined;
	}

	/** The 8 bytes at an address of the parent, in memory that need not be pinned. */
	private readAny(address: bigint): bigint | undefined {
		const known = this.read(address);
		const memory = known === undefined && !this.parent.refuses(address, "read") ? this.parent.locate(address)?.memory : undefined;
		const owner = memory?.owner as { physical?: (address: bigint) => bigint } | undefined;
		if (memory === undefined || owner?.physical === undefined) return known;
		try {
			return this.software.read64(owner.physical(memory.address));
		} catch {
			return undefined;
		}
	}

	private leaves(first: bigint, last: bigint): Iterable<UserLeaf> {
		return this.software.reader.leaves(this.table, (address) => this.readAny(address), first, last);
	}

	/** Physical runs behind leaves, as the parent is now. */
	private *compose(leaves: Iterable<UserLeaf>): Iterable<TableRun> {
		for (const leaf of leaves) {
			for (const run of this.parent.resolve(leaf.to, leaf.to + leaf.size - 1n)) {
				const permissions = { read: leaf.permissions.read && run.permissions.read, write: leaf.permissions.write && run.permissions.write };
				if (permissions.read || permissions.write) yield { ...run, iova: leaf.address + (run.iova - leaf.to), permissions };
			}
		}
	}

	refuseUnit(iommu: IommuDriver, operation: string, object: string): void {
		const { nesting, format } = iommu.capabilities;
		if (nesting === "none") throw new CoreError("Unsupported", `${iommu.name} takes no user tables`, { operation, object });
		if (nesting === "sw") {
			this.shadows.refuse(iommu, this.recording, operation);
			return;
		}
		if (format !== this.format) throw new CoreError("Invalid", `${this.name} has ${this.format} tables, ${iommu.name} walks ${format}`, { operation, object });
		this.parent.refuseUnit(iommu, operation, object);
	}

	override *unitsBindingParent(): Iterable<IommuDriver> {
		for (const { iommu, mode } of this.attachments) if (mode !== "sw" && iommu.capabilities.nesting === "hw") yield iommu;
	}

	acquire(iommu: IommuDriver, merged: boolean): Target {
		if (iommu.capabilities.nesting === "hw" && !merged) {
			const target = this.parent.acquire(iommu, false);
			if (target.kind === "table") return { kind: "user", user: this.table, parent: target.table };
			this.parent.release(iommu, false);
			throw new CoreError("Unsupported", "its parent is no kernel-managed table", { operation: "attach", object: this.name });
		}
		this.shadows.record(this.recording, "attach");
		return { kind: "table", table: this.shadows.acquire(iommu, () => this.makeShadow(iommu)) };
	}

	private makeShadow(iommu: IommuDriver): Shadow {
		const leaves = [...this.leaves(this.whole.first, this.whole.last)];
		// asked again later: of the leaves as they are then
		const content = ({ first, last }: AddressRange = { first: 0n, last: (1n << 64n) - 1n }) => this.compose(within(this.shadows.get(iommu)?.leaves ?? leaves, first, last));
		return { table: iommu.createTable(content, { enforceSnoop: this.enforcesSnoop ?? iommu.capabilities.enforcesSnoop }), users: 0, leaves };
	}

	release(iommu: IommuDriver, merged: boolean): void {
		if (iommu.capabilities.nesting === "hw" && !merged) {
			this.parent.release(iommu, false);
			return;
		}
		this.shadows.release(iommu);
	}

	private get whole(): AddressRange {
		return { first: 0n, last: (1n << BigInt(this.table.width)) - 1n };
	}

	/** The user says that entries changed: shadows take them anew, in whole leaves. @throws CoreError */
	refresh(range = this.whole): void {
		for (const shadow of this.shadows.values()) this.retake(shadow, range);
	}

	private retake(shadow: Shadow, range: AddressRange): void {
		let { first, last } = range;
		const touches = (leaf: UserLeaf) => leaf.address <= last && leaf.address + leaf.size - 1n >= first;
		const widen = (leaf: UserLeaf) => {
			if (leaf.address < first) first = leaf.address;
			if (leaf.address + leaf.size - 1n > last) last = leaf.address + leaf.size - 1n;
		};
		for (const leaf of shadow.leaves) if (touches(leaf)) widen(leaf);
		for (const leaf of this.leaves(first, last)) widen(leaf);
		this.shadows.gather(first, last);
		shadow.leaves = [...shadow.leaves.filter((leaf) => !touches(leaf)), ...this.leaves(first, last)].sort((a, b) => (a.address < b.address ? -1 : 1));
		this.refill(shadow, first, last);
	}

	private refill(shadow: Shadow, first: bigint, last: bigint): void {
		this.shadows.gather(first, last);
		shadow.table.unmap(first, last - first + 1n);
		for (const run of this.compose(within(shadow.leaves, first, last))) shadow.table.map(run);
	}

	parentChanged(first: bigint, last: bigint): void {
		for (const shadow of this.shadows.values()) {
			for (const leaf of leadingTo(shadow.leaves, first, last)) this.refill(shadow, leaf.address, leaf.address + leaf.size - 1n);
		}
	}

	override followRecording(operation: string): void {
		this.shadows.record(this.recording, operation);
		super.followRecording(operation);
	}

	override dirtied(page: bigint, by?: Shadow): void {
		// hardware went by the leaves that its shadow has, software by those that are there
		for (const leaf of by === undefined ? this.leaves(page, page) : [leafAt(by.leaves, page)]) {
			if (leaf !== undefined) this.parent.dirtied(leaf.to + (page - leaf.address));
		}
	}

	override gatherBehind(first: bigint, last: bigint): void {
		this.tellWritten();
		for (const { leaves } of this.shadows.values()) for (const leaf of leadingTo(leaves, first, last)) this.shadows.gather(leaf.address, leaf.address + leaf.size - 1n);
	}

	*resolve(first: bigint, last: bigint): Iterable<TableRun> {
		for (const run of this.compose(this.leaves(first, last))) {
			const from = run.iova > first ? run.iova : first;
			const end = run.iova + run.size - 1n < last ? run.iova + run.size - 1n : last;
			if (from <= end) yield { ...run, iova: from, pa: run.pa + (from - run.iova), size: end - from + 1n };
		}
	}

	locate(address: bigint): Location | undefined {
		for (const leaf of this.leaves(address, address)) {
			const to = leaf.to + (address - leaf.address);
			return { ...this.parent.locate(to), parent: to };
		}
		return undefined;
	}

	refuses(address: bigint, access: "read" | "write"): boolean {
		for (const leaf of this.leaves(address, address)) return !leaf.permissions[access] || this.parent.refuses(leaf.to + (address - leaf.address), access);
		return false;
	}

	/** What the tables lead to in the parent may be brought in, and the pages of the tables themselves. */
	faultIn(address: bigint, write: boolean, by?: IommuDriver): boolean {
		const shadow = by === undefined ? undefined : this.shadows.get(by);
		if (shadow !== undefined) {
			const leaf = leafAt(shadow.leaves, address);
			return leaf !== undefined && this.parent.faultIn(leaf.to + (address - leaf.address), write);
		}
		let brought = false;
		const read = (at: bigint) => {
			const known = this.read(at);
			if (known !== undefined || !this.parent.faultIn(at, false)) return known;
			brought = true;
			return this.read(at);
		};
		for (const leaf of this.software.reader.leaves(this.table, read, address, address)) {
			if (this.parent.faultIn(leaf.to + (address - leaf.address), write)) brought = true;
		}
		return brought;
	}

	/** A shadow that stands in for two stages of the hardware has an address as a walk would find it now. */
	walkLive(iommu: IommuDriver, address: bigint): void {
		const shadow = iommu.capabilities.nesting === "hw" ? this.shadows.get(iommu) : undefined;
		if (shadow === undefined) return;
		const known = leafAt(shadow.leaves, address);
		const [leaf] = this.leaves(address, address);
		if (known === leaf || (known !== undefined && leaf !== undefined && sameLeaf(known, leaf))) return;
		try {
			this.retake(shadow, { first: address, last: address });
		} catch (error) {
			// no frame for its table: the request faults
			if (!(error instanceof CoreError)) throw error;
		}
	}

	/** Entries of a shadow are taken with each device that comes. */
	override joined(iommu: IommuDriver): void {
		const shadow = this.shadows.get(iommu);
		if (shadow !== undefined) this.retake(shadow, this.whole);
	}

	/** Of a fault at an address: it is the parent that lacks something, a page of the table or what its entry leads to. */
	leadsBeyond(address: bigint): boolean {
		let unreadable = false;
		const read = (at: bigint) => {
			const word = this.read(at);
			if (word === undefined) unreadable = true;
			return word;
		};
		for (const _leaf of this.software.reader.leaves(this.table, read, address, address)) return true;
		return unreadable;
	}
}
