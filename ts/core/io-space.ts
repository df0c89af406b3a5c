import type { Permissions, PhysicalMemory } from "../engine/index.ts";
import { CoreError } from "./errors.ts";
import type { FailPoint } from "./fail-point.ts";
import { type Extent, PAGE, sliceExtents } from "./frames.ts";
import { IoArea, IoAreas } from "./io-area.ts";
import { ExportedPages } from "./io-source.ts";
import type { AddressRange, IommuDriver, IommuTable, TableRun } from "./iommu-driver.ts";
import type { PageSource } from "./page-source.ts";
import { holesOf, TaggedRanges } from "./tagged-ranges.ts";

export const LAST_ADDRESS = (1n << 64n) - 1n;
/** chosen addresses are aligned to at most this */
const HUGE = 1n << 21n;

/** A part of a source that is to be mapped. */
export interface Slice {
	source: PageSource;
	/** byte of the source */
	offset: bigint;
	length: bigint;
}

/** What became of an unmap: bytes that are gone, and what stopped it before it was done. */
export interface Unmapped {
	bytes: bigint;
	refused: CoreError | null;
}

/** A table that is filled from a space. */
export interface SpaceTable {
	readonly iommu: IommuDriver;
	readonly hardware: IommuTable;
	/** bytes of its smallest page */
	readonly granule: bigint;
	/** input addresses that it cannot map */
	readonly forbidden: readonly AddressRange[];
}

/** Software that uses a space. */
export interface SpaceUser {
	/** bytes: areas are to be multiples of it */
	readonly granule: bigint;
	/** [iova, iova + length) is to be unmapped: let go of it */
	unmapped(iova: bigint, length: bigint): void;
}

/** times that users of an area are asked to let go before it is a deadlock */
const TRIES = 100;

/**
 * An I/O address space as iommufd has it: areas that are mapped once and unmapped whole, in every table that is filled
 * from it. Any byte may be mapped while no table or access asks for a granule. Pages are pinned while a table or an
 * access needs them.
 */
export class IoSpace {
	readonly areas = new IoAreas();
	readonly tables = new Set<SpaceTable>();
	readonly accesses = new Set<SpaceUser>();
	private readonly reserved = new TaggedRanges();
	private allowedRanges: readonly AddressRange[] = [];
	private alignment = 1n;
	private huge = true;

	constructor(
		readonly name: string,
		readonly memory: PhysicalMemory,
		readonly failures: FailPoint,
	) {}

	private context(operation: string, first?: bigint, last?: bigint) {
		return { operation, object: this.name, ...(first === undefined || last === undefined ? {} : { first, last }) };
	}

	// ---- what may be used

	/** Addresses, lengths and offsets in pages are multiples of it. */
	get granule(): bigint {
		return this.alignment;
	}

	/** Ranges that no device and no user has reserved. */
	get usable(): AddressRange[] {
		return this.reserved.holes(0n, LAST_ADDRESS);
	}

	get allowed(): readonly AddressRange[] {
		return this.allowedRanges;
	}

	/** Keep [first, last] free of areas. @throws CoreError Conflict: an area or an allowed range lies there */
	reserve(first: bigint, last: bigint, owner: object | null, operation = "reserve"): void {
		const met = this.areas.first(first, last) ?? this.allowedRanges.find((range) => range.first <= last && range.last >= first);
		if (met !== undefined) throw new CoreError("Conflict", "it is mapped or promised", this.context(operation, first, last));
		this.failures.pass("table", operation, this.name);
		this.reserved.add(first, last, owner);
	}

	/** Reserve all of a list, or nothing. @throws CoreError Conflict */
	reserveAll(ranges: Iterable<AddressRange>, owner: object, operation: string): void {
		try {
			for (const { first, last } of ranges) this.reserve(first, last, owner, operation);
		} catch (error) {
			this.unreserve(owner);
			throw error;
		}
	}

	unreserve(owner: object): void {
		this.reserved.removeOf(owner);
	}

	/** Chosen addresses lie in these from now on; none: anywhere. @throws CoreError Conflict: one meets a reserved range */
	setAllowed(ranges: readonly AddressRange[]): void {
		for (const { first, last } of ranges) {
			if (this.reserved.meets(first, last)) throw new CoreError("Conflict", "a reserved range lies there", this.context("allow", first, last));
		}
		this.allowedRanges = [...ranges].sort((a, b) => (a.first < b.first ? -1 : 1));
	}

	private wantedGranule(): bigint {
		let wanted = this.huge ? 1n : PAGE;
		for (const { granule } of this.tables) if (granule > wanted) wanted = granule;
		for (const { granule } of this.accesses) if (granule > wanted) wanted = granule;
		return wanted;
	}

	/** @throws CoreError Conflict: areas are finer */
	private refuseGranule(granule: bigint, operation: string): void {
		for (const { first, length, offset, last } of this.areas) {
			if ((first | length | (offset & (PAGE - 1n))) & (granule - 1n)) throw new CoreError("Conflict", `an area is finer than 0x${granule.toString(16)}`, this.context(operation, first, last));
		}
	}

	/** @throws CoreError Conflict */
	private updateGranule(operation: string): void {
		const wanted = this.wantedGranule();
		if (wanted > this.alignment) this.refuseGranule(wanted, operation);
		this.alignment = wanted;
	}

	get hugePages(): boolean {
		return this.huge;
	}

	/** @throws CoreError Invalid (tables have areas mapped already), Conflict (areas are finer than a page) */
	setHugePages(on: boolean): void {
		if (on === this.huge) return;
		if (!on && this.tables.size > 0 && this.areas.size > 0) throw new CoreError("Invalid", "large pages may be in use", this.context("huge_pages"));
		this.huge = on;
		try {
			this.updateGranule("huge_pages");
		} catch (error) {
			this.huge = !on;
			throw error;
		}
	}

	// ---- mapping

	/**
	 * Map slices one behind the other at an address, or where there is room (null), as one area each. `near`: user's
	 * address of the first byte, which a chosen address is aligned like.
	 * @throws CoreError Invalid (empty), Misaligned, Overflow, Reserved, Occupied, Exhausted, Denied, MemoryFault, NoSpace; nothing stays
	 */
	map(slices: readonly Slice[], iova: bigint | null, near: bigint, permissions: Permissions, operation = "map"): bigint {
		const length = slices.reduce((sum, slice) => sum + slice.length, 0n);
		const mask = this.alignment - 1n;
		if (length <= 0n) throw new CoreError("Invalid", "nothing to map", this.context(operation));
		if (length & mask) throw new CoreError("Misaligned", `0x${length.toString(16)} bytes, the granule is 0x${this.alignment.toString(16)}`, this.context(operation));
		const first = iova === null ? this.choose(length, near, operation) : iova;
		if (iova !== null) this.refuseRange(operation, iova, length);
		const areas: IoArea[] = [];
		let at = first;
		for (const { source, offset, length: bytes } of slices) {
			const context = this.context(operation, at, at + bytes - 1n);
			if (permissions.write && !source.writable) throw new CoreError("Denied", "the source is read-only", context);
			if (offset & (PAGE - 1n) & mask) throw new CoreError("Misaligned", "the place in the page is finer than the granule", context);
			areas.push(new IoArea(at, at + bytes - 1n, permissions, source, offset));
			at += bytes;
		}
		const done: IoArea[] = [];
		try {
			for (const area of areas) {
				this.failures.pass("table", operation, this.name);
				this.fill(area, this.tables, operation);
				this.areas.add(area);
				done.push(area);
			}
		} catch (error) {
			for (const area of done) {
				this.areas.remove(area);
				this.empty(area);
			}
			throw error;
		}
		for (const area of areas) this.watch(area);
		return first;
	}

	/** @throws CoreError Misaligned, Overflow, Reserved, Occupied */
	private refuseRange(operation: string, first: bigint, length: bigint): void {
		const last = first + length - 1n;
		const context = this.context(operation, first, last);
		if (first & (this.alignment - 1n)) throw new CoreError("Misaligned", `the granule is 0x${this.alignment.toString(16)}`, context);
		if (last > LAST_ADDRESS) throw new CoreError("Overflow", "beyond the address space", context);
		if (this.reserved.meets(first, last)) throw new CoreError("Reserved", "a reserved range lies there", context);
		if (this.areas.first(first, last) !== undefined) throw new CoreError("Occupied", "something is mapped there", context);
	}

	/** First fit, never in the first or the last page. @throws CoreError Overflow, Misaligned, Exhausted */
	private choose(length: bigint, near: bigint, operation: string): bigint {
		const context = this.context(operation);
		if (length >= LAST_ADDRESS / 2n) throw new CoreError("Overflow", "longer than half of the address space", context);
		let alignment = 1n;
		while (alignment < length && alignment < HUGE) alignment *= 2n;
		if (near !== 0n && (near & -near) < alignment) alignment = near & -near;
		if (alignment < this.alignment) throw new CoreError("Misaligned", `the user's address is finer than the granule 0x${this.alignment.toString(16)}`, context);
		const inPage = near & (PAGE - 1n);
		const windows = this.allowedRanges.length > 0 ? this.allowedRanges : [{ first: PAGE, last: LAST_ADDRESS - PAGE }];
		const fits = (start: bigint, last: bigint): bigint | undefined => {
			const at = ((start + alignment - 1n) & -alignment) | inPage;
			return at < last && last - at >= length - 1n ? at : undefined;
		};
		for (const window of windows) {
			if (fits(window.first, window.last) === undefined) continue;
			for (const hole of this.reserved.holes(window.first, window.last)) {
				for (const { first, last } of holesOf(this.areas.within(hole.first, hole.last), hole.first, hole.last)) {
					const at = fits(first, last);
					if (at !== undefined) return at;
				}
			}
		}
		throw new CoreError("Exhausted", `no room for 0x${length.toString(16)} bytes`, context);
	}

	/** Pin an area's pages and map them into tables. @throws CoreError MemoryFault, Invalid, NoSpace; nothing stays */
	private fill(area: IoArea, tables: Iterable<SpaceTable>, operation: string): void {
		const list = [...tables];
		if (list.length === 0) return;
		const pinned = this.pinArea(area, operation);
		const done: SpaceTable[] = [];
		try {
			for (const table of list) {
				done.push(table);
				this.failures.pass("table", operation, this.name);
				for (const run of this.runsOf(area)) table.hardware.map(run);
			}
		} catch (error) {
			for (const table of done) table.hardware.unmap(area.first, area.length);
			if (pinned) this.unpinArea(area);
			throw error;
		}
	}

	/** @returns whether it had to: pages of a revoked buffer cannot be had */
	private pinArea(area: IoArea, operation: string): boolean {
		if (area.source.owner instanceof ExportedPages && area.source.owner.revoked) return false;
		this.failures.pass("pin", operation, this.name);
		const { offset, size } = area.pages();
		area.source.pin(offset, size);
		return true;
	}

	private unpinArea(area: IoArea): void {
		const { offset, size } = area.pages();
		if (area.source.owner instanceof ExportedPages && area.source.owner.revoked) return;
		area.source.unpin(offset, size);
	}

	/** Frames of an area's bytes, while a table or an access has them. */
	extentsOf(area: IoArea, first = area.first, last = area.last): Extent[] {
		if (area.source.owner instanceof ExportedPages && area.source.owner.revoked) return [];
		const { offset, size } = area.pages(first, last);
		return sliceExtents(area.source.extents(offset, size), area.byteAt(first) - offset, last - first + 1n);
	}

	/** Without large pages page by page, so that cuts find the borders that they need. */
	private *runsOf(area: IoArea): Iterable<TableRun> {
		const { permissions } = area;
		let iova = area.first;
		for (const { address, size } of this.extentsOf(area)) {
			const most = this.huge ? size : PAGE;
			for (let at = 0n; at < size; at += most) yield { iova: iova + at, pa: address + at, size: most, permissions };
			iova += size;
		}
	}

	/** What a table of this space holds. */
	*runs(): Iterable<TableRun> {
		for (const area of this.areas) yield* this.runsOf(area);
	}

	/** Take an area out of the tables and let its pages go; it is no longer in the list. */
	private empty(area: IoArea): void {
		for (const table of this.tables) table.hardware.unmap(area.first, area.length);
		if (this.tables.size > 0) this.unpinArea(area);
		area.source.forget(area);
	}

	/** A buffer that is revoked leaves the tables; the area stays listed. */
	private watch(area: IoArea): void {
		area.source.remember(area);
		const { owner } = area.source;
		if (!(owner instanceof ExportedPages)) return;
		const told = () => {
			if (!this.areas.within(area.first, area.last).includes(area)) return;
			for (const table of this.tables) table.hardware.unmap(area.first, area.length);
			const { offset, size } = area.pages();
			if (this.tables.size > 0) area.source.unpin(offset, size);
		};
		owner.revocations.add(told);
	}

	/** Slices behind [first, last]. @throws CoreError NotFound: not mapped all through */
	slices(first: bigint, last: bigint, operation = "copy"): Slice[] {
		const { parts, whole } = this.areas.contiguous(first, last);
		if (!whole) throw new CoreError("NotFound", "not mapped all through", this.context(operation, first, last));
		return parts.map((part) => ({ source: part.area.source, offset: part.area.byteAt(part.first), length: part.last - part.first + 1n }));
	}

	/** Unmap the areas that lie in [first, last], from the lowest on. What is done before something refuses stays done. */
	unmap(first: bigint, last: bigint, operation = "unmap"): Unmapped {
		let bytes = 0n;
		let start = first;
		for (let tries = 0; ; ) {
			const area = this.areas.first(start, last);
			if (area === undefined) return { bytes, refused: null };
			const context = this.context(operation, area.first, area.last);
			const refused = (reason: "Busy" | "Cut" | "Incomplete", what: string): Unmapped => ({ bytes, refused: new CoreError(reason, what, context) });
			if (area.locks > 0) return refused("Busy", "a hardware queue lies in it");
			if (area.first < first || area.last > last) return refused("Cut", "an area sticks out");
			if (area.first !== start) tries = 0;
			start = area.first;
			if (area.uses > 0) {
				if (tries++ >= TRIES) return refused("Incomplete", "its users do not let go");
				for (const access of [...this.accesses]) access.unmapped(area.first, area.length);
				continue;
			}
			this.areas.remove(area);
			this.empty(area);
			bytes += area.length;
		}
	}

	/** The area that reaches over the border in front of `at`. */
	private across(at: bigint): IoArea | undefined {
		const area = at < 0n ? undefined : this.areas.first(at, at);
		return area === undefined || area.first === at ? undefined : area;
	}

	/**
	 * Cut areas that reach over the borders in front of these addresses, each in two that share its source.
	 * @throws CoreError NoSpace (nothing is cut then), Misaligned, Invalid (pinned by software, or large pages may map it): the cuts before stand
	 */
	cut(borders: readonly bigint[], operation = "cut"): void {
		for (const at of borders) if (this.across(at) !== undefined) this.failures.pass("table", operation, this.name);
		for (const at of borders) this.cutAt(at, operation);
	}

	private cutAt(at: bigint, operation: string): void {
		const area = this.across(at);
		if (area === undefined) return;
		const context = this.context(operation, area.first, area.last);
		const mask = this.alignment - 1n;
		if ((at | area.byteAt(at)) & mask) throw new CoreError("Misaligned", "a cut inside a granule", context);
		if (area.uses > 0) throw new CoreError("Invalid", "software has pinned it", context);
		if (this.huge && this.tables.size > 0) throw new CoreError("Invalid", "large pages may map it", context);
		const [low, high] = [new IoArea(area.first, at - 1n, area.permissions, area.source, area.offset), new IoArea(at, area.last, area.permissions, area.source, area.byteAt(at))];
		// the granule is a page: each half has its own pages, pinned as before
		this.areas.remove(area);
		for (const half of [low, high]) {
			this.areas.add(half);
			this.watch(half);
		}
		area.source.forget(area);
	}

	// ---- tables and accesses

	/**
	 * Fill a table from this space and keep it so.
	 * @throws CoreError Invalid (granule beyond a page), Conflict (areas do not fit), MemoryFault, NoSpace; nothing stays
	 */
	addTable(table: SpaceTable, operation = "attach"): void {
		if (table.granule > PAGE) throw new CoreError("Invalid", "its smallest page is larger than the host's", this.context(operation));
		const wanted = table.granule > this.alignment ? table.granule : this.alignment;
		if (wanted > this.alignment) this.refuseGranule(wanted, operation);
		this.reserveAll(table.forbidden, table, operation);
		const done: IoArea[] = [];
		try {
			this.failures.pass("table", operation, this.name);
			for (const area of this.areas) {
				// with a table there already, the pages are pinned, and stay the ones that it has
				if (this.tables.size === 0) this.fill(area, [table], operation);
				else for (const run of this.runsOf(area)) table.hardware.map(run);
				done.push(area);
			}
		} catch (error) {
			table.hardware.unmap(0n, 1n << 64n);
			if (this.tables.size === 0) for (const area of done) this.unpinArea(area);
			this.unreserve(table);
			throw error;
		}
		this.tables.add(table);
		this.alignment = wanted;
	}

	removeTable(table: SpaceTable): void {
		if (!this.tables.delete(table)) return;
		table.hardware.unmap(0n, 1n << 64n);
		if (this.tables.size === 0) for (const area of this.areas) this.unpinArea(area);
		this.unreserve(table);
		this.alignment = this.wantedGranule();
	}

	/** @throws CoreError Conflict: areas are finer than the access pins */
	addAccess(access: SpaceUser): void {
		this.accesses.add(access);
		try {
			this.failures.pass("table", "access", this.name);
			this.updateGranule("access");
		} catch (error) {
			this.accesses.delete(access);
			throw error;
		}
	}

	removeAccess(access: SpaceUser): void {
		if (this.accesses.delete(access)) this.alignment = this.wantedGranule();
	}
}
