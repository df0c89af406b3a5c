import type { PageTable, Permissions } from "../engine/index.ts";
import { AddressSpace, type Location, type SpaceOptions } from "./address-space.ts";
import { AbsentPages } from "./absent-pages.ts";
import { type Area, type AreaBacking, AreaList } from "./area.ts";
import { areaRuns, locateArea } from "./area-runs.ts";
import { DirtyTracking } from "./dirty-tracking.ts";
import { CoreError } from "./errors.ts";
import { PAGE } from "./frames.ts";
import { HeldTables, type Recording } from "./held-tables.ts";
import type { AddressRange, IommuDriver, IommuTable, TableAttributes, TableRun, Target, Window } from "./iommu-driver.ts";
import { Windows } from "./windows.ts";

export interface KernelSpaceOptions extends SpaceOptions {
	/** nothing is reachable outside of windows; default false */
	windows?: boolean;
	/** it only keeps memory for its children: addresses are process addresses, and no device attaches; default false */
	memoryOnly?: boolean;
}

/** A space in the hands of the engine: recorded events edit its table, and core keeps out of the way. */
export interface Loan {
	readonly table: PageTable;
	/** tags the cached answers of the table */
	readonly domain: number;
}

/** What a returned space held. */
export interface LoanReport {
	mapped: bigint;
	frames: number;
}

/** Told when addresses of a space go away, before they do. */
export type AccessListener = (ranges: readonly AddressRange[]) => void;

const EVERYTHING: AddressRange = { first: 0n, last: (1n << 64n) - 1n };

/**
 * A space that is mapped and unmapped. Roots name memory; children (software nesting) name addresses of their parent and
 * follow it. Each unit that a device brings in has one table with the space's content.
 */
export class Space extends AddressSpace {
	readonly kind: "kernel" | "memory";
	private readonly areas = new AreaList();
	private readonly tables = new HeldTables(this);
	private readonly windowList: Windows | null;
	private readonly dirty = new DirtyTracking(this, this.areas, this.tables);
	private readonly reservedList: AddressRange[] = [];
	/** null: every page is there from the first attach on */
	private readonly absent = this.iopf
		? new AbsentPages({
				holds: (area) => this.areas.at(area.first) === area,
				leaving: (page) => this.dirty.gather(page, page + PAGE - 1n),
				changed: (page, gone) => this.refill(page, page + PAGE - 1n, gone),
			})
		: null;
	private readonly accesses = new Set<AccessListener>();
	private holds = 0;
	private loan: Loan | null = null;
	/** how tables are made; replay asks for levels and domain ids that were recorded */
	attributes: TableAttributes = {};

	constructor(parent: AddressSpace | null = null, options: KernelSpaceOptions = {}) {
		super(parent, options);
		this.kind = options.memoryOnly ? "memory" : "kernel";
		this.windowList = options.windows ? new Windows() : null;
		// what it keeps is pinned from the map on
		if (options.memoryOnly) this.holds = 1;
	}

	/** @internal @throws CoreError Busy */
	refuseWhileLent(operation: string): void {
		if (this.loan !== null) throw new CoreError("Busy", "it is lent to the engine", { operation, object: this.name });
	}

	/** Windows of the space; null: it has none and is usable everywhere. */
	get windows(): readonly Window[] | null {
		return this.windowList?.all ?? null;
	}

	get mappedAreas(): Iterable<Area> {
		return this.areas;
	}

	/** The mapping that an address lies in. */
	areaAt(address: bigint): Area | undefined {
		return this.areas.at(address);
	}

	get areaCount(): number {
		return this.areas.length;
	}

	/** Keep [first, last] free of maps. @throws CoreError Occupied when something is mapped there */
	reserve(first: bigint, last: bigint): void {
		if (this.areas.overlapping(first, last).length > 0) throw new CoreError("Occupied", "something is mapped there", { operation: "reserve", object: this.name, first, last });
		this.reservedList.push({ first, last });
	}

	// ---- mapping

	/** @throws CoreError Misaligned, Overflow, Reserved */
	private refuseRange(operation: string, first: bigint, size: bigint): void {
		const last = first + size - 1n;
		const context = { operation, object: this.name, first, last };
		this.refuseWhileLent(operation);
		if (size <= 0n || (first | size) & (PAGE - 1n)) throw new CoreError("Misaligned", "addresses and size must be multiples of a page", context);
		if (first < 0n || last >= 1n << 64n) throw new CoreError("Overflow", "beyond the address space", context);
		const limits = this.limits();
		if (limits !== null && last > limits.last) throw new CoreError("Overflow", `beyond the ${limits.addressBits} bits of an attached device`, context);
		if ([...this.reservedList, ...(limits?.reserved ?? [])].some((r) => first <= r.last && last >= r.first)) throw new CoreError("Reserved", "a reserved range lies there", context);
		this.windowList?.refuse({ first, last }, context);
	}

	/** What keeps a map from being made, but for what is mapped there. @throws CoreError as map */
	private refuseMap(iova: bigint, size: bigint, backing: AreaBacking, permissions: Permissions, operation: string): void {
		const context = { operation, object: this.name, first: iova, last: iova + size - 1n };
		this.refuseRange(operation, iova, size);
		this.refuseChange(operation);
		if (backing.kind === "memory") {
			const { source, offset } = backing;
			if (offset & (PAGE - 1n)) throw new CoreError("Misaligned", "the source's offset must be a multiple of a page", context);
			if (offset < 0n || offset + size > source.size) throw new CoreError("Overflow", "beyond the source", context);
			if (permissions.write && !source.writable) throw new CoreError("Denied", "the source is read-only", context);
		}
		if (this.policy.swChildMap === "eager" && backing.kind === "parent") this.refuseHole(backing.address, size, operation);
	}

	/**
	 * Map [iova, iova + size), in every table of the space; children follow.
	 * @throws CoreError Misaligned, Overflow, Reserved, Occupied, Denied (write to a read-only source), MemoryFault, NoSpace, Busy
	 */
	map(iova: bigint, size: bigint, backing: AreaBacking, permissions: Permissions, operation = "map"): void {
		const last = iova + size - 1n;
		this.refuseMap(iova, size, backing, permissions, operation);
		if (this.areas.overlapping(iova, last).length > 0) throw new CoreError("Occupied", "something is mapped there", { operation, object: this.name, first: iova, last });
		const pages: AreaBacking = backing.kind === "memory" && this.iopf ? { ...backing, present: new Map() } : backing;
		const area: Area = { first: iova, last, permissions, backing: pages };
		if (this.pinsNow) this.pin(area);
		this.areas.add(area);
		try {
			this.refill(iova, last, false);
		} catch (error) {
			this.areas.remove(area);
			this.refill(iova, last, false);
			if (this.pinsNow) this.unpin(area);
			throw error;
		}
		this.absent?.watch(area);
	}

	/**
	 * Map addresses of the parent over what is there, of which the rest stays.
	 * @throws CoreError as map; all is mapped as before then
	 */
	replace(iova: bigint, size: bigint, address: bigint, operation: string): void {
		const backing = { kind: "parent", address } as const;
		const permissions = { read: true, write: true };
		this.refuseMap(iova, size, backing, permissions, operation);
		const old = this.areas.overlapping(iova, iova + size - 1n);
		this.unmap(iova, size, { cut: true, operation });
		try {
			this.map(iova, size, backing, permissions, operation);
		} catch (error) {
			for (const area of old) {
				for (const piece of this.areas.overlapping(area.first, area.last)) this.areas.remove(piece);
				this.areas.add(area);
				this.refill(area.first, area.last, false);
			}
			throw error;
		}
	}

	/** @throws CoreError Invalid: the parent lacks some of it */
	private refuseHole(address: bigint, size: bigint, operation: string): void {
		for (let at = address; at < address + size; at += PAGE) {
			if (this.parent?.locate(at) === undefined) throw new CoreError("Invalid", "the parent has nothing there", { operation, object: this.name, first: at, last: at + PAGE - 1n });
		}
	}

	/** @throws CoreError Busy: software children depend on what is mapped, and policy keeps it as it is */
	private refuseChange(operation: string): void {
		if (this.policy.swParentChange !== "busy") return;
		for (const child of this.children) {
			if (child.kind === "kernel" || [...child.attachments].some(({ iommu, mode }) => mode !== "sw" && iommu.capabilities.nesting !== "hw")) {
				throw new CoreError("Busy", `${child.name} depends on it`, { operation, object: this.name });
			}
		}
	}

	/** @internal Pages of areas are pinned at this moment. */
	get pinsNow(): boolean {
		return this.holds > 0 && !this.iopf;
	}

	private pin(area: Area): void {
		if (area.backing.kind === "memory") area.backing.source.pin(area.backing.offset, area.last - area.first + 1n);
	}

	private unpin(area: Area): void {
		if (area.backing.kind === "memory") area.backing.source.unpin(area.backing.offset, area.last - area.first + 1n);
	}

	/** Make the tables say of [first, last] what the areas say, and the children follow. @throws CoreError */
	private refill(first: bigint, last: bigint, gone: boolean): void {
		for (const { table } of this.tables.values()) {
			table.unmap(first, last - first + 1n);
			for (const run of this.resolve(first, last)) table.map(run);
		}
		for (const child of this.children) child.parentChanged(first, last, gone);
	}

	/** Take a range out of the tables. @throws CoreError NoSpace; they hold it again then */
	private clearTables(first: bigint, last: bigint): void {
		const done: IommuTable[] = [];
		try {
			for (const { table } of this.tables.values()) {
				table.unmap(first, last - first + 1n);
				done.push(table);
			}
		} catch (error) {
			for (const table of done) for (const run of this.resolve(first, last)) table.map(run);
			throw error;
		}
	}

	/**
	 * Unmap the areas in [iova, iova + size); cached answers are gone when it returns. With `cut`, an area that sticks out
	 * is cut first.
	 * @returns bytes unmapped, 0 when nothing was there
	 * @throws CoreError Misaligned, Cut (an area sticks out), Busy, NoSpace (a leaf cannot be split); nothing has changed then
	 */
	unmap(iova: bigint, size: bigint, options: { cut?: boolean; operation?: string } = {}): bigint {
		const { cut = false, operation = "unmap" } = options;
		const last = iova + size - 1n;
		const context = { operation, object: this.name, first: iova, last };
		this.refuseWhileLent(operation);
		if (size <= 0n || (iova | size) & (PAGE - 1n)) throw new CoreError("Misaligned", "address and size must be multiples of a page", context);
		if (iova < 0n || last >= 1n << 64n) throw new CoreError("Overflow", "beyond the address space", context);
		const touched = this.areas.overlapping(iova, last);
		if (touched.length === 0) return 0n;
		this.refuseChange(operation);
		if (touched[0].first < iova || touched[touched.length - 1].last > last) {
			if (!cut) throw new CoreError("Cut", "a mapping sticks out of the range", context);
			// leaves are split first: only that can fail
			this.clearTables(iova, last);
			if (touched[0].first < iova) this.areas.cut(touched[0], iova);
			const tail = this.areas.at(last);
			if (tail !== undefined && tail.last > last) this.areas.cut(tail, last + 1n);
		}
		const going = this.areas.overlapping(iova, last);
		for (const listener of [...this.accesses]) listener(going);
		this.dirty.gather(iova, last);
		for (const area of going) this.areas.remove(area);
		this.dirty.forget(iova, last);
		let bytes = 0n;
		// in runs: what lies between may be another's, in tables that spaces share by window
		for (let i = 0, first = 0; i < going.length; i++) {
			const { last: end } = going[i];
			if (i + 1 < going.length && going[i + 1].first === end + 1n) continue;
			this.refill(going[first].first, end, true);
			bytes += end - going[first].first + 1n;
			first = i + 1;
		}
		if (this.pinsNow) for (const area of going) this.unpin(area);
		return bytes;
	}

	/** Choose a free place of `size` bytes within limits and windows. @throws CoreError Exhausted */
	chooseAddress(size: bigint, operation = "map"): bigint {
		const limits = this.limits();
		const taken = [...this.reservedList, ...(limits?.reserved ?? [])];
		const ranges = this.windows ?? [{ first: 0n, last: limits?.last ?? (1n << 48n) - 1n, pageSize: PAGE }];
		// address 0 when nothing else is left
		for (const lowest of [PAGE, 0n]) {
			for (const { first, last, pageSize } of ranges) {
				const found = this.areas.findFree(first > lowest ? first : lowest, last, size, pageSize, taken);
				if (found !== undefined) return found;
			}
		}
		throw new CoreError("Exhausted", `no free range of 0x${size.toString(16)} bytes`, { operation, object: this.name });
	}

	// ---- windows

	/** @throws CoreError Unsupported (a space without windows), Misaligned, Occupied, Overflow, Exhausted */
	createWindow(size: bigint, pageSize: bigint, base?: bigint): bigint {
		const operation = "window_create";
		const context = { operation, object: this.name, ...(base === undefined ? {} : { first: base, last: base + size - 1n }) };
		if (this.windowList === null) throw new CoreError("Unsupported", "it has no windows", context);
		const limits = this.limits();
		const window = this.windowList.plan(size, pageSize, base, limits, [...this.reservedList, ...(limits?.reserved ?? [])], context);
		for (const { slot } of this.attachments) slot?.refuseWindow(this, window, operation);
		this.windowList.add(window);
		try {
			this.windowsChanged();
		} catch (error) {
			this.windowList.remove(window);
			this.windowsChanged();
			throw error;
		}
		return window.first;
	}

	/** Remove a window with the maps in it. @throws CoreError NotFound */
	removeWindow(base: bigint): void {
		const window = this.windowList?.at(base);
		if (window === undefined) throw new CoreError("NotFound", "no window starts there", { operation: "window_remove", object: this.name, first: base, last: base });
		this.unmap(window.first, window.last - window.first + 1n, { operation: "window_remove" });
		this.windowList?.remove(window);
		this.windowsChanged();
	}

	private windowsChanged(): void {
		for (const slot of new Set([...this.attachments].map((attachment) => attachment.slot))) slot?.reapply();
	}

	// ---- what the hardware is given

	acquire(iommu: IommuDriver): Target {
		this.refuseWhileLent("attach");
		const content = (range: AddressRange = EVERYTHING) => this.resolve(range.first, range.last);
		const attributes = { ...this.attributes, enforceSnoop: this.enforcesSnoop ?? iommu.capabilities.enforcesSnoop };
		this.tables.record(this.recording, "attach");
		const table = this.tables.acquire(iommu, () => ({ table: iommu.createTable(content, attributes), users: 0 }));
		return { kind: "table", table, ...(this.windows === null ? {} : { windows: this.windows }) };
	}

	release(iommu: IommuDriver): void {
		this.tables.release(iommu);
	}

	override hold(): void {
		if (this.parent !== null) {
			this.parent.hold();
			return;
		}
		this.holds++;
		if (this.holds > 1 || this.iopf) return;
		const done: Area[] = [];
		try {
			for (const area of this.areas) {
				this.pin(area);
				done.push(area);
			}
		} catch (error) {
			for (const area of done) this.unpin(area);
			this.holds--;
			throw error;
		}
	}

	override unhold(): void {
		if (this.parent !== null) {
			this.parent.unhold();
			return;
		}
		if (this.holds === 1 && !this.iopf) for (const area of this.areas) this.unpin(area);
		this.holds--;
	}

	resolve(first: bigint, last: bigint): Iterable<TableRun> {
		return areaRuns(this.areas, this, first, last);
	}

	locate(address: bigint): Location | undefined {
		return locateArea(this.areas, this.parent, address);
	}

	override get hidesReads(): boolean {
		return this.areas.writeOnly > 0 || super.hidesReads;
	}

	refuses(address: bigint, access: "read" | "write"): boolean {
		const area = this.areas.at(address);
		if (area === undefined) return false;
		const { permissions, backing } = area;
		const above = backing.kind === "parent" ? backing.address + (address - area.first) : undefined;
		const there = above === undefined ? undefined : this.parent?.locate(above);
		if (above !== undefined && there?.memory === undefined && there?.physical === undefined) return false;
		return !permissions[access] || (above !== undefined && (this.parent?.refuses(above, access) ?? false));
	}

	/** Permissions of an address along its path; undefined when nothing is there. */
	permissionsAt(address: bigint): Permissions | undefined {
		return this.areas.at(address)?.permissions;
	}

	parentChanged(first: bigint, last: bigint, gone: boolean): void {
		const touched: AddressRange[] = [];
		for (const area of this.areas) {
			if (area.backing.kind !== "parent") continue;
			const base = area.backing.address;
			const end = base + (area.last - area.first);
			if (base > last || end < first) continue;
			touched.push({ first: area.first + ((first > base ? first : base) - base), last: area.first + ((last < end ? last : end) - base) });
		}
		if (gone && touched.length > 0) for (const listener of [...this.accesses]) listener(touched);
		for (const range of touched) this.refill(range.first, range.last, gone);
	}

	refuseUnit(iommu: IommuDriver, operation: string, object: string): void {
		this.tables.refuse(iommu, this.recording, operation);
		const { reserved, addressBits } = iommu.capabilities;
		const last = (1n << BigInt(addressBits)) - 1n;
		for (const range of [...this.areas, ...(this.windows ?? [])]) {
			if (range.last > last) throw new CoreError("Invalid", `${this.name} is used beyond the ${addressBits} bits of ${iommu.name}`, { operation, object, first: range.first, last: range.last });
		}
		for (const range of reserved) {
			if (this.areas.overlapping(range.first, range.last).length > 0) {
				throw new CoreError("Conflict", `${this.name} uses what ${iommu.name} has reserved`, { operation, object, first: range.first, last: range.last });
			}
		}
		for (const { pageSize } of this.windows ?? []) {
			if ((iommu.capabilities.pageSizes & (2n * pageSize - 1n)) === 0n) {
				throw new CoreError("Invalid", `${iommu.name} has no pages that fit 0x${pageSize.toString(16)}`, { operation, object });
			}
		}
	}

	// ---- page requests

	faultIn(address: bigint, write: boolean): boolean {
		const area = this.areas.at(address);
		if (area === undefined || (write ? !area.permissions.write : !area.permissions.read)) return false;
		const { backing } = area;
		if (backing.kind === "parent") return this.parent?.faultIn(backing.address + (address - area.first), write) ?? false;
		return this.absent?.bringIn(area, address) ?? false;
	}

	/** Be told when mappings go, before they do. @returns a call that ends it */
	onUnmap(listener: AccessListener): () => void {
		this.accesses.add(listener);
		return () => this.accesses.delete(listener);
	}

	// ---- dirty tracking

	override get recording(): Recording {
		return this.dirty.recording(super.recording);
	}

	override followRecording(operation: string): void {
		this.tables.record(this.recording, operation);
		super.followRecording(operation);
	}

	override dirtied(page: bigint): void {
		this.dirty.wrote(page);
	}

	override gatherBehind(first: bigint, last: bigint): void {
		this.dirty.gatherBehind(first, last);
	}

	/** Record anew what DMA writes, through this space or children. @throws CoreError Unsupported (a unit without), NoSpace */
	startDirty(split: boolean): void {
		this.dirty.start(split);
	}

	stopDirty(): void {
		this.dirty.stop();
	}

	get tracksDirty(): boolean {
		return this.dirty.isOn;
	}

	/** Written pages of [first, first + size); `clear` forgets them. @throws CoreError Invalid when it was not started */
	readDirty(first: bigint, size: bigint, clear: boolean, operation = "dirty_get"): Set<bigint> {
		return this.dirty.read(first, first + size - 1n, clear, operation);
	}

	// ---- lending

	/**
	 * Lend the space to the engine for a recorded run: its one table is edited by events, caches are cleared by recorded
	 * invalidations alone, and map, unmap, attach and detach are refused until it is returned.
	 * @throws CoreError Busy (areas are mapped, or lent already), Unsupported (not exactly one table of the engine)
	 */
	lend(): Loan {
		this.refuseWhileLent("Space.lend");
		const context = { operation: "Space.lend", object: this.name };
		if (this.areas.length > 0) throw new CoreError("Busy", "areas are mapped", context);
		const [held] = this.tables.values();
		const { pages, id = 0 } = (held?.table ?? {}) as { pages?: PageTable; id?: number };
		if (this.tables.size !== 1 || pages === undefined) throw new CoreError("Unsupported", "one table of the engine is lent, neither none nor several", context);
		this.loan = { table: pages, domain: id };
		return this.loan;
	}

	/** Take a lent space back: what it held is told, then unmapped, with every cached answer. @throws CoreError NotFound */
	takeBack(loan: Loan): LoanReport {
		if (this.loan !== loan) throw new CoreError("NotFound", "no such loan", { operation: "Space.takeBack", object: this.name });
		this.loan = null;
		const report = { mapped: loan.table.mapped, frames: loan.table.frames };
		for (const { table } of this.tables.values()) table.unmap(0n, 1n << 64n);
		return report;
	}

	protected override onFree(): void {
		for (const area of [...this.areas]) {
			if (this.pinsNow) this.unpin(area);
			this.areas.remove(area);
		}
		this.absent?.stop();
	}
}

