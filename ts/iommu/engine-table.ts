import { type AddressRange, CoreError, type IommuTable, type TableContent, type TableRun } from "../core/index.ts";
import { EngineError, type PageTable } from "../engine/index.ts";
import type { ShownRange } from "./route-frames.ts";
import { WrittenPages } from "./written-pages.ts";

const REASONS = { Occupied: "Occupied", Misaligned: "Misaligned", OutOfRange: "Unsupported", OutOfFrames: "NoSpace", OutOfRecords: "NoSpace", Permission: "Unsupported" } as const;

/** The engine's refusal in core's words. */
export function refused(error: unknown, operation: string, object: string): CoreError {
	if (error instanceof CoreError) return error;
	if (error instanceof EngineError) {
		const reason = REASONS[error.code as keyof typeof REASONS] ?? "Unsupported";
		const { first, last } = error.context;
		return new CoreError(reason, error.message, { operation, object, ...(first === undefined || last === undefined ? {} : { first, last }) }, { cause: error });
	}
	throw error;
}

/** What a part of a table is for. */
export type PartRole = "second" | "first";

/** A table that shows this one's content beside others'. */
export interface Follower extends IommuTable {
	/** what was written there is kept by this one */
	keepWritten(): void;
}

const PAGE_LG2 = 12;

/**
 * A space's table on one unit: page tables that the engine builds and walks, in each format that the unit's routes ask
 * for, and the tag that cached answers of it carry.
 */
export class EngineTable implements IommuTable {
	private readonly parts = new Map<PartRole, PageTable>();
	private readonly shown = new Map<bigint, { physical: bigint; order: number }>();
	private tracking: { split: boolean } | null = null;
	/** its stage 2 has let reads through where only writes may go */
	private widened = false;
	/** few tables have any */
	private followers: readonly Follower[] = [];
	/** in tables that showed it once; null: none did */
	private written: WrittenPages | null = null;

	constructor(
		/** domain id (DID, VMID, GSCID ... in the unit's words) */
		readonly id: number,
		private readonly content: TableContent,
		/** makes an empty page table for a role. @throws EngineError */
		private readonly make: (role: PartRole) => PageTable,
		/** drops what is cached of a range */
		private readonly changed: (table: EngineTable, iova: bigint, size: bigint) => void,
		/** where tables of the driver may be shown to walks through it */
		private readonly places: ShownRange,
		/** lg2 bytes of its leaves, ascending */
		private readonly leaves: readonly number[],
		/** guests' tables lie over it: what they may not read, their walks may not */
		private readonly isBase: (table: EngineTable) => boolean,
	) {}

	// ---- tables that show it too

	/** Tell a table what changes here. @throws CoreError NoSpace */
	follow(part: Follower): void {
		if (this.tracking !== null) part.trackDirty(true, this.tracking.split);
		this.followers = [...this.followers, part];
	}

	/** No more; what was written there is kept. */
	unfollow(part: Follower): void {
		this.followers = this.followers.filter((other) => other !== part);
		if (this.tracking !== null) part.keepWritten();
	}

	/** Something was written in a table that shows it. */
	keepWritten(iova: bigint, size: bigint): void {
		this.written ??= new WrittenPages();
		this.written.keep(iova, size);
	}

	/** Formats that know no write without read are given both: whoever asks for a read is refused by software (AddressSpace.refuses). @throws EngineError */
	private put(role: PartRole, pages: PageTable, { iova, pa, size, permissions }: TableRun): void {
		try {
			pages.map(iova, pa, size, permissions);
		} catch (error) {
			const only = !permissions.read && permissions.write && error instanceof EngineError && error.code === "Permission";
			if (!only || (role === "second" && this.isBase(this))) throw error;
			pages.map(iova, pa, size, { ...permissions, read: true });
			if (role === "second") this.widened = true;
		}
	}

	/** Its stage 2 shows more than may be read. */
	get showsTooMuch(): boolean {
		if (!this.widened) return false;
		for (const { permissions } of this.content()) if (!permissions.read) return true;
		this.widened = false;
		return false;
	}

	/** Runs of a range, as the space has them. */
	contentOf(range: AddressRange): Iterable<TableRun> {
		return this.content(range);
	}

	/** Show frames of the driver, read-only, to table walks that go through this table. @throws CoreError NoSpace, Occupied */
	show(physical: bigint, order: number): bigint {
		const at = this.places.take(order);
		try {
			this.part("second").map(at, physical, 4096n << BigInt(order), { read: true, write: false });
		} catch (error) {
			this.places.give(at, order);
			throw refused(error, "attach", "second stage");
		}
		this.shown.set(at, { physical, order });
		return at;
	}

	hide(at: bigint, order: number): void {
		const size = 4096n << BigInt(order);
		this.parts.get("second")?.unmap(at, size);
		this.shown.delete(at);
		this.places.give(at, order);
		this.changed(this, at, size);
	}

	/** The page table of a role, built when there is none. @throws CoreError */
	part(role: PartRole): PageTable {
		const known = this.parts.get(role);
		if (known !== undefined) return known;
		let pages: PageTable;
		try {
			pages = this.make(role);
		} catch (error) {
			throw refused(error, "attach", "table");
		}
		try {
			this.limit(pages, this.tracking?.split ?? false);
			this.fill(pages, role);
		} catch (error) {
			pages.dispose();
			throw refused(error, "attach", "table");
		}
		this.parts.set(role, pages);
		return pages;
	}

	/** Roles that it has page tables for. */
	get roles(): PartRole[] {
		return [...this.parts.keys()];
	}

	/** Give up page tables of other roles: no route leads there. */
	keepOnly(roles: readonly PartRole[]): void {
		for (const [role, pages] of this.parts) {
			if (roles.includes(role)) continue;
			this.parts.delete(role);
			pages.dispose();
		}
	}

	private fill(pages: PageTable, role: PartRole, range?: AddressRange): void {
		if (range === undefined && role === "second") for (const [at, { physical, order }] of this.shown) pages.map(at, physical, 4096n << BigInt(order), { read: true, write: false });
		for (const { iova, pa, size, permissions } of this.content(range)) this.put(role, pages, { iova, pa, size, permissions });
	}

	/** The one page table that it has, for runs that lend it to the engine. */
	get pages(): PageTable {
		return this.part("second");
	}

	map(run: TableRun): void {
		const { iova, size } = run;
		const done: Array<{ unmap(iova: bigint, size: bigint): unknown }> = [];
		try {
			for (const [role, pages] of this.parts) {
				this.put(role, pages, run);
				done.push(pages);
			}
			for (const follower of this.followers) {
				follower.map(run);
				done.push(follower);
			}
		} catch (error) {
			for (const pages of done) pages.unmap(iova, size);
			throw refused(error, "map", "table");
		}
	}

	unmap(iova: bigint, size: bigint): void {
		let bytes = 0n;
		const done: Array<[PartRole, PageTable]> = [];
		const told: Follower[] = [];
		try {
			for (const follower of this.followers) {
				follower.unmap(iova, size);
				told.push(follower);
			}
			for (const part of this.parts) {
				const [, pages] = part;
				const end = iova + size > pages.inputLast + 1n ? pages.inputLast + 1n : iova + size;
				if (iova < end) bytes += pages.unmap(iova, end - iova);
				done.push(part);
			}
		} catch (error) {
			const range = { first: iova, last: iova + size - 1n };
			for (const [role, pages] of done) this.fill(pages, role, range);
			for (const follower of told) for (const run of this.content(range)) follower.map(run);
			throw refused(error, "unmap", "table");
		}
		if (bytes > 0n) this.changed(this, iova, size);
	}

	/** Leaves of the smallest size, or of all sizes of the unit. */
	private limit(pages: PageTable, splits: boolean): void {
		pages.limitLeaves(splits ? PAGE_LG2 : Number.MAX_SAFE_INTEGER, this.leaves);
	}

	/** Map everything anew. @throws EngineError OutOfFrames */
	private refill(role: PartRole, pages: PageTable, splits: boolean): void {
		this.limit(pages, splits);
		pages.clear();
		this.fill(pages, role);
	}

	/** @throws CoreError NoSpace: it tracks as before then */
	trackDirty(on: boolean, split: boolean): void {
		const splits = on && split;
		const told: Follower[] = [];
		try {
			for (const follower of this.followers) {
				follower.trackDirty(on, split);
				told.push(follower);
			}
			this.trackOwn(splits);
		} catch (error) {
			for (const follower of told) follower.trackDirty(this.tracking !== null, this.tracking?.split ?? false);
			throw error;
		}
		this.tracking = on ? { split } : null;
		this.written = null;
		this.forgetDirty();
		this.changed(this, 0n, 1n << 64n);
	}

	/** @throws CoreError NoSpace */
	private trackOwn(splits: boolean): void {
		if (splits && !this.tracking?.split) {
			const done: Array<[PartRole, PageTable]> = [];
			try {
				for (const part of this.parts) {
					done.push(part);
					this.refill(...part, true);
				}
			} catch (error) {
				// the frames that large leaves need were there before
				for (const part of done) this.refill(...part, false);
				throw refused(error, "trackDirty", "table");
			}
		} else if (!splits) for (const pages of this.parts.values()) this.limit(pages, false);
	}

	private forgetDirty(): void {
		if (this.tracking === null) return;
		for (const { iova, size } of this.content()) for (const pages of this.parts.values()) pages.readDirty(iova, size, new Uint8Array(Number(size >> 15n) + 1));
	}

	readDirty(iova: bigint, size: bigint, clear: boolean, visit: (iova: bigint, size: bigint) => void): void {
		for (const run of this.content({ first: iova, last: iova + size - 1n })) {
			const bitmap = new Uint8Array(Number(run.size >> 15n) + 1);
			let count = 0;
			for (const pages of this.parts.values()) count += pages.readDirty(run.iova, run.size, bitmap, { keep: !clear });
			if (count === 0) continue;
			bitmap.forEach((byte, i) => {
				for (let bit = 0; bit < 8; bit++) if (byte & (1 << bit)) visit(run.iova + BigInt(8 * i + bit) * 4096n, 4096n);
			});
		}
		if (clear) this.changed(this, iova, size);
		for (const follower of this.followers) follower.readDirty(iova, size, clear, visit);
		this.written?.read(iova, size, clear, visit);
	}

	dispose(): void {
		for (const pages of this.parts.values()) pages.dispose();
		this.parts.clear();
	}
}
