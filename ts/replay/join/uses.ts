/**
 * What each device did with each page, in order: the recorder's own witness of when a map or unmap took effect. A translation that missed
 * the IOTLB walked the tables, so what it found was there; one that hit may be stale; a fault found nothing.
 */
import { pageOf } from "../rows.ts";
import { Access, type Columns, Kind, Verdict } from "../trace.ts";
import { pagesWithin } from "./page-ranges.ts";

const PAGE = 4096;

/** A range of pages of a device, and where they are mapped to. */
export interface Mapping {
	rid: number;
	start: number;
	end: number;
	/** output address of a page of the range, both by number; NaN when nobody knows */
	output(page: number): number;
	/** what the entries permit */
	permissions: number;
}

/** Rows of a page, ascending: `rows[from .. to)`. */
interface Span {
	rows: Uint32Array;
	from: number;
	to: number;
}

/** Rows by device and page. */
export class Uses {
	private readonly host: Columns;
	private readonly keys = new Map<number, Map<number, number>>();
	private readonly starts: Uint32Array;
	private readonly rows: Uint32Array;

	constructor(host: Columns) {
		this.host = host;
		const keyOf = new Int32Array(host.length).fill(-1);
		let count = 0;
		let rid = -1;
		let pages = new Map<number, number>();
		for (let row = 0; row < host.length; row++) {
			if (host.kind[row] !== Kind.dma && host.kind[row] !== Kind.fault) continue;
			if (host.id[row] !== rid) {
				rid = host.id[row];
				pages = this.pagesOf(rid);
			}
			const page = pageOf(host.iova, row);
			let key = pages.get(page);
			if (key === undefined) {
				key = count++;
				pages.set(page, key);
			}
			keyOf[row] = key;
		}
		this.starts = new Uint32Array(count + 1);
		for (let row = 0; row < host.length; row++) if (keyOf[row] >= 0) this.starts[keyOf[row] + 1]++;
		for (let key = 0; key < count; key++) this.starts[key + 1] += this.starts[key];
		const next = this.starts.slice();
		this.rows = new Uint32Array(this.starts[count]);
		for (let row = 0; row < host.length; row++) if (keyOf[row] >= 0) this.rows[next[keyOf[row]]++] = row;
	}

	private pagesOf(rid: number): Map<number, number> {
		let pages = this.keys.get(rid);
		if (pages === undefined) {
			pages = new Map();
			this.keys.set(rid, pages);
		}
		return pages;
	}

	/** Pages of a range, or those of them that are used when these are fewer. */
	private pagesIn({ rid, start, end }: Mapping): Iterable<number> {
		return pagesWithin(this.keys.get(rid) ?? new Map(), Math.floor(start / PAGE), Math.ceil(end / PAGE));
	}

	/** Rows of a page from row `first` on. */
	private span(rid: number, page: number, first: number): Span | null {
		const key = this.keys.get(rid)?.get(page);
		if (key === undefined) return null;
		let from = this.starts[key];
		let to = this.starts[key + 1];
		const end = to;
		while (from < to) {
			const middle = (from + to) >>> 1;
			if (this.rows[middle] < first) from = middle + 1;
			else to = middle;
		}
		return from < end ? { rows: this.rows, from, to: end } : null;
	}

	/** Whether `row` went where the mapping of its page goes. */
	private fits(row: number, page: number, map: Mapping): boolean {
		const output = map.output(page);
		return Number.isNaN(output) || pageOf(this.host.pa, row) === output;
	}

	/** Whether `row` faulted although the entries would have let it pass: then there were none. */
	private absent(row: number, { permissions }: Mapping): boolean {
		const { kind, flags } = this.host;
		return kind[row] === Kind.fault && ((flags[row] & Access.write) === 0 || (permissions & Access.write) !== 0);
	}

	/** The first row from `earliest` to before `place` that walked to a page of `map`, at time `from` at the soonest; else `place`. */
	firstWalk(map: Mapping, earliest: number, place: number, from: number): number {
		const { time, kind, verdict } = this.host;
		for (const page of this.pagesIn(map)) {
			const span = this.span(map.rid, page, earliest);
			for (let i = span?.from ?? 0; span !== null && i < span.to && span.rows[i] < place; i++) {
				const row = span.rows[i];
				if (kind[row] !== Kind.dma || verdict[row] !== Verdict.miss || time[row] < from || !this.fits(row, page, map)) continue;
				place = row;
				break;
			}
		}
		return place;
	}

	/** `place`, or behind the last fault from there to before `late` that found no entry, if no use of the map comes first. */
	afterFaults(map: Mapping, place: number, late: number): number {
		let first = late;
		let fault = -1;
		for (const page of this.pagesIn(map)) {
			const span = this.span(map.rid, page, place);
			for (let i = span?.from ?? 0; span !== null && i < span.to && span.rows[i] < first; i++) {
				if (this.absent(span.rows[i], map)) fault = Math.max(fault, span.rows[i]);
				else if (this.host.kind[span.rows[i]] === Kind.dma && this.fits(span.rows[i], page, map)) first = span.rows[i];
			}
		}
		return fault >= place && fault < first ? fault + 1 : place;
	}

	/** `place`, or behind the last use of the mapping from there to before `limit`; another use or a fault ends the search. */
	afterUses(map: Mapping, place: number, limit: number): number {
		let last = place;
		for (const page of this.pagesIn(map)) {
			const span = this.span(map.rid, page, place);
			for (let i = span?.from ?? 0; span !== null && i < span.to && span.rows[i] < limit; i++) {
				if (this.host.kind[span.rows[i]] !== Kind.dma) {
					if (this.absent(span.rows[i], map)) break;
					continue;
				}
				if (!this.fits(span.rows[i], page, map)) break;
				last = Math.max(last, span.rows[i] + 1);
			}
		}
		return last;
	}

	/** The first row from `earliest` to before `place` that found no entry of `map` any more, but a fault or another one, at time `from` at the soonest; else `place`. */
	beforeOthers(map: Mapping, earliest: number, place: number, from: number): number {
		const { time, kind, verdict } = this.host;
		for (const page of this.pagesIn(map)) {
			const span = this.span(map.rid, page, earliest);
			let found = -1;
			for (let i = span?.from ?? 0; span !== null && i < span.to && span.rows[i] < place; i++) {
				const row = span.rows[i];
				// a walk that still finds the entry takes the fault before it back
				const walked = kind[row] === Kind.dma && verdict[row] === Verdict.miss;
				if (walked && this.fits(row, page, map)) found = -1;
				else if (found < 0 && time[row] >= from && (walked || this.absent(row, map))) found = row;
			}
			if (found >= 0) place = found;
		}
		return place;
	}
}
