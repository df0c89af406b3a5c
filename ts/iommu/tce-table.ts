import { CoreError, type IommuTable, type TableContent, type TableRun } from "../core/index.ts";
import { type Engine, EngineError, type PageTable, type TceName } from "../engine/index.ts";
import { refused } from "./engine-table.ts";
import { WrittenPages } from "./written-pages.ts";

/** lg2 bytes of the pages that TCEs map. */
const PAGES: ReadonlyArray<[number, TceName]> = [
	[12, "tce-4k"],
	[16, "tce-64k"],
	[21, "tce-2m"],
	[24, "tce-16m"],
	[28, "tce-256m"],
	[30, "tce-1g"],
];
const SMALLEST = 12;

/** Addresses of one half: bit 59 chooses between a PE's two tables. */
export const HALF_BITS = 59;
const HALF = 1n << BigInt(HALF_BITS);

/** lg2 bytes of the largest TCE page that a window's pages hold. */
export function tcePage(bytes: bigint): number {
	const fit = PAGES.filter(([lg2]) => 1n << BigInt(lg2) <= bytes);
	return fit[fit.length - 1][0];
}

/** Levels, and index bits of each, of a table of so many address bits: tables of a page, up to 5 levels of them. */
function shapeOf(bits: number, page: number): { levels: number; width: number } {
	const index = Math.max(1, bits - page);
	const levels = Math.min(5, Math.floor((63 - page) / 9), Math.ceil(index / 9));
	return { levels, width: Math.max(9, Math.ceil(index / levels)) };
}

/** A space's table: its content stands in the TCE tables of the requesters that it is attached to. */
export class SpaceTable implements IommuTable {
	readonly halves = new Set<TceTable>();
	/** TCEs of the smallest pages are asked for, for fine dirty tracking */
	split = false;
	private tracks = false;
	/** in tables that showed it once */
	private readonly written = new WrittenPages();

	constructor(
		readonly id: number,
		readonly content: TableContent,
		/** the unit marks what was written */
		private readonly marks: boolean,
	) {}

	map(run: TableRun): void {
		const done: TceTable[] = [];
		try {
			for (const half of this.halves) {
				half.map(run);
				done.push(half);
			}
		} catch (error) {
			for (const half of done) half.unmap(run.iova, run.size);
			throw refused(error, "map", "table");
		}
	}

	unmap(iova: bigint, size: bigint): void {
		for (const half of this.halves) half.unmap(iova, size);
	}

	/** A table's marks will go. */
	keepWritten(half: TceTable): void {
		if (!this.tracks) return;
		for (const run of this.content()) half.readDirty(run.iova, run.size, false, (iova, size) => this.written.keep(iova, size));
	}

	trackDirty(on: boolean, split: boolean): void {
		if (on && !this.marks) throw new CoreError("Unsupported", "TCEs do not tell what was written", { operation: "trackDirty", object: "table" });
		const old = this.split;
		this.split = on && split;
		try {
			if (this.split) for (const half of this.halves) half.refine();
		} catch (error) {
			this.split = old;
			throw refused(error, "trackDirty", "table");
		}
		this.tracks = on;
		this.written.clear();
		if (on) for (const { iova, size } of this.content()) for (const half of this.halves) half.readDirty(iova, size, true, () => {});
	}

	readDirty(iova: bigint, size: bigint, clear: boolean, visit: (iova: bigint, size: bigint) => void): void {
		for (const run of this.content({ first: iova, last: iova + size - 1n })) {
			for (const half of this.halves) half.readDirty(run.iova, run.size, clear, visit);
		}
		this.written.read(iova, size, clear, visit);
	}
}

/**
 * The TCE table of one half of the DMA addresses, for PEs whose windows there are of the same spaces. Its pages are the
 * smallest window's, or of 4 KiB once a mapping or its memory is not aligned to those.
 */
export class TceTable {
	/** requesters' routes that lead here, those in the making too */
	uses = 0;
	/** PEs whose TVE points here */
	readonly pes = new Set<number>();
	private pages: PageTable;
	private page: number;
	private readonly base: bigint;
	/** rebuilt in smaller pages: what is being mapped may be there */
	private rebuilt = false;

	/** @throws EngineError */
	constructor(
		private readonly engine: Engine,
		half: number,
		private readonly bits: number,
		page: number,
		private readonly spaces: readonly SpaceTable[],
		private readonly marks: boolean,
		/** the TVEs of `pes` must be written anew */
		private readonly moved: (table: TceTable) => void,
		/** answers of `pes` in a range are stale */
		private readonly changed: (table: TceTable, iova: bigint, size: bigint) => void,
	) {
		this.base = half === 0 ? 0n : HALF;
		this.page = spaces.some(({ split }) => split) ? SMALLEST : page;
		this.pages = this.build();
		for (const space of spaces) space.halves.add(this);
	}

	/** The TVE that leads here (IODA3): table address, levels - 1, lg2 bytes of a table - 11, lg2 bytes of a page - 11. */
	get tve(): bigint {
		const { levels, width } = shapeOf(this.bits, this.page);
		return ((this.pages.root >> 12n) << 16n) | BigInt(((levels - 1) << 13) | ((width - 8) << 8) | (this.page - 11));
	}

	private make(): PageTable {
		const { levels, width } = shapeOf(this.bits, this.page);
		const [, format] = PAGES.find(([lg2]) => lg2 === this.page) ?? PAGES[0];
		const pages = this.engine.createTable({ format, levels, inputBits: Math.min(HALF_BITS, this.page + width * levels), accessedDirty: this.marks });
		try {
			for (const { content } of this.spaces) for (const run of content()) this.put(pages, run);
			return pages;
		} catch (error) {
			pages.dispose();
			throw error;
		}
	}

	private build(): PageTable {
		try {
			return this.make();
		} catch (error) {
			if (!this.coarse(error)) throw error;
			this.page = SMALLEST;
			return this.make();
		}
	}

	private coarse(error: unknown): boolean {
		return this.page > SMALLEST && error instanceof EngineError && error.code === "Misaligned";
	}

	/** The part of a range that lies in this half and its table, as addresses of the table. */
	private clip(pages: PageTable, iova: bigint, size: bigint): { first: bigint; size: bigint } | null {
		const first = iova > this.base ? iova - this.base : 0n;
		const last = iova + size - 1n - this.base;
		const end = last < pages.inputLast ? last : pages.inputLast;
		return first > end ? null : { first, size: end - first + 1n };
	}

	private put(pages: PageTable, { iova, pa, size, permissions }: TableRun): void {
		const part = this.clip(pages, iova, size);
		if (part !== null) pages.map(part.first, pa + (part.first + this.base - iova), part.size, permissions, { replace: this.rebuilt });
	}

	/** Smaller pages, from what the spaces hold now. @throws EngineError */
	refine(): void {
		if (this.page === SMALLEST) return;
		const { page, pages } = this;
		for (const space of this.spaces) space.keepWritten(this);
		this.page = SMALLEST;
		try {
			this.pages = this.make();
		} catch (error) {
			this.page = page;
			throw error;
		}
		this.rebuilt = true;
		this.moved(this);
		pages.dispose();
	}

	private aligned(edit: () => void): void {
		try {
			edit();
		} catch (error) {
			if (!this.coarse(error)) throw error;
			this.refine();
			edit();
		}
	}

	/** @throws EngineError */
	map(run: TableRun): void {
		this.aligned(() => this.put(this.pages, run));
	}

	/** @throws EngineError */
	unmap(iova: bigint, size: bigint): void {
		let bytes = 0n;
		this.aligned(() => {
			const part = this.clip(this.pages, iova, size);
			if (part !== null) bytes = this.pages.unmap(part.first, part.size);
		});
		if (bytes > 0n) this.changed(this, iova, size);
	}

	/** Written pages of a range; of a page that sticks out nothing is forgotten. */
	readDirty(iova: bigint, size: bigint, clear: boolean, visit: (iova: bigint, size: bigint) => void): void {
		const part = this.clip(this.pages, iova, size);
		if (part === null) return;
		const bytes = 1n << BigInt(this.page);
		const first = part.first & ~(bytes - 1n);
		const end = (part.first + part.size + bytes - 1n) & ~(bytes - 1n);
		const whole = first === part.first && end === part.first + part.size;
		const bitmap = new Uint8Array(Number((end - first) >> BigInt(this.page + 3)) + 1);
		if (this.pages.readDirty(first, end - first, bitmap, { keep: !clear || !whole }) === 0) return;
		bitmap.forEach((byte, i) => {
			for (let bit = 0; bit < 8; bit++) if (byte & (1 << bit)) visit(this.base + first + BigInt(8 * i + bit) * bytes, bytes);
		});
		if (clear) this.changed(this, iova, size);
	}

	dispose(): void {
		for (const space of this.spaces) {
			space.keepWritten(this);
			space.halves.delete(this);
		}
		this.pages.dispose();
	}
}
