/**
 * What a device mapped and touched, over time: a grid of windows by stretches of its address space.
 *
 * One row is one granule of I/O addresses, and only granules that were mapped or touched have one, so that a sparse
 * space needs no more rows than a dense one. The granule starts at 4 KiB and doubles whenever the rows run out.
 */
import { addPairs, CAPACITY, type Windows } from "./windows.ts";

/** Granules that a device's map can hold. */
export const ROWS = 128;

/** Bits of a cell's state: mapped at some time of the window; a DMA of the window faulted. */
export const CELL_MAPPED = 1;
export const CELL_FAULT = 2;

/** Cells of one row: per window. */
interface Row {
	touched: Uint32Array;
	states: Uint8Array;
	/** pages of the granule that are mapped now */
	live: number;
	/** window from which on the states do not yet say that it is mapped */
	since: number;
}

const emptyRow = (): Row => ({ touched: new Uint32Array(CAPACITY), states: new Uint8Array(CAPACITY), live: 0, since: 0 });

/** One device's map, in one pass. Pages are numbers of 4 KiB pages. */
export class AddressMap {
	/** 4 KiB pages of one row; a power of two */
	granule = 1;
	/** by number of granule */
	private rows = new Map<number, Row>();
	private readonly windows: Windows;

	constructor(windows: Windows) {
		this.windows = windows;
		windows.onMerge(() => this.mergeWindows());
	}

	/** A DMA, or a fault. */
	touch(page: number, window: number, fault: boolean): void {
		let row = this.rows.get(Math.floor(page / this.granule));
		if (row === undefined) {
			this.makeRows(page, 1);
			row = this.rows.get(Math.floor(page / this.granule)) as Row;
		}
		row.touched[window]++;
		if (fault) row.states[window] |= CELL_FAULT;
	}

	/**
	 * A map; `replaced` when something of the range was mapped before. Pages are counted for each row and not kept one by
	 * one: of a row that a replacing map or an unmap with holes covers in part, it is not known which pages are left.
	 */
	map(first: number, pages: number, window: number, replaced: boolean): void {
		this.makeRows(first, pages);
		this.each(first, pages, (row, part) => {
			if (row.live === 0) row.since = window;
			row.live = replaced ? Math.max(part, row.live) : Math.min(this.granule, row.live + part);
		});
	}

	unmap(first: number, pages: number, window: number): void {
		this.each(first, pages, (row, part) => {
			if (row.live === 0) return;
			row.live = Math.max(0, row.live - part);
			if (row.live === 0) row.states.subarray(row.since, window + 1).forEach(setMapped);
		});
	}

	/** The first page of each row in order of address, with its cells up to the last window. */
	finish(): Array<{ page: number; touched: Uint32Array; states: Uint8Array }> {
		const { length } = this.windows;
		this.settle();
		return [...this.rows]
			.sort(([a], [b]) => a - b)
			.map(([granule, { touched, states }]) => ({ page: granule * this.granule, touched: touched.subarray(0, length), states: states.subarray(0, length) }));
	}

	/** Rows for all of a range; it may take a quarter of them at most. */
	private makeRows(first: number, pages: number): void {
		for (;;) {
			const low = Math.floor(first / this.granule);
			const high = Math.floor((first + pages - 1) / this.granule);
			if (high - low < ROWS / 4) {
				let missing = 0;
				for (let granule = low; granule <= high; granule++) if (!this.rows.has(granule)) missing++;
				if (this.rows.size + missing <= ROWS) {
					for (let granule = low; granule <= high; granule++) if (!this.rows.has(granule)) this.rows.set(granule, emptyRow());
					return;
				}
			}
			this.mergeRows();
		}
	}

	/** The rows of a range with the pages of it that each holds. */
	private each(first: number, pages: number, visit: (row: Row, part: number) => void): void {
		const { granule, rows } = this;
		const end = first + pages;
		const low = Math.floor(first / granule);
		const high = Math.floor((end - 1) / granule);
		const part = (index: number) => Math.min(end, (index + 1) * granule) - Math.max(first, index * granule);
		// an unmap of a whole space names more granules than there are rows
		if (high - low > rows.size) {
			for (const [index, row] of rows) if (index >= low && index <= high) visit(row, part(index));
			return;
		}
		for (let index = low; index <= high; index++) {
			const row = rows.get(index);
			if (row !== undefined) visit(row, part(index));
		}
	}

	/** Write into the cells what is mapped now. */
	private settle(): void {
		const now = Math.max(0, this.windows.length - 1);
		for (const row of this.rows.values()) {
			if (row.live === 0) continue;
			row.states.subarray(row.since, now + 1).forEach(setMapped);
			row.since = now;
		}
	}

	private mergeRows(): void {
		this.settle();
		const merged = new Map<number, Row>();
		for (const [granule, row] of this.rows) {
			const other = merged.get(Math.floor(granule / 2));
			if (other === undefined) {
				merged.set(Math.floor(granule / 2), row);
				continue;
			}
			for (let i = 0; i < CAPACITY; i++) {
				other.touched[i] += row.touched[i];
				other.states[i] |= row.states[i];
			}
			other.since = other.live > 0 ? other.since : row.since;
			other.live += row.live;
		}
		this.rows = merged;
		this.granule *= 2;
	}

	private mergeWindows(): void {
		for (const row of this.rows.values()) {
			addPairs(row.touched);
			for (let i = 0; i < CAPACITY / 2; i++) row.states[i] = row.states[2 * i] | row.states[2 * i + 1];
			row.states.fill(0, CAPACITY / 2);
			row.since >>= 1;
		}
	}
}

function setMapped(_: number, index: number, cells: Uint8Array): void {
	cells[index] |= CELL_MAPPED;
}
