/**
 * Translations that missed the emulator's IOTLB: each walked the tables, so what it found was there at that moment. A hit proves
 * nothing, since it may be stale.
 */
import { pageOf } from "../rows.ts";
import { type Columns, Kind, Verdict } from "../trace.ts";

const PAGE = 4096;
/** Rows that a map is looked for before its place: how far the estimate of a clock may be off, and no more. */
const WITHIN = 10_000; // microseconds

/** Walks by device and page, in order. */
export class Walks {
	private readonly host: Columns;
	private readonly devices = new Map<number, Map<number, number[]>>();

	constructor(host: Columns) {
		this.host = host;
		for (let row = 0; row < host.length; row++) {
			if (host.kind[row] !== Kind.dma || host.verdict[row] !== Verdict.miss) continue;
			const page = pageOf(host.iova, row);
			const pages = this.pages(host.id[row]);
			const rows = pages.get(page);
			if (rows === undefined) pages.set(page, [row]);
			else rows.push(row);
		}
	}

	private pages(rid: number): Map<number, number[]> {
		let pages = this.devices.get(rid);
		if (pages === undefined) {
			pages = new Map();
			this.devices.set(rid, pages);
		}
		return pages;
	}

	/** `place`, or the first row from `earliest` on that walked a page of the map start..end -> target, if that is a little before. */
	before(place: number, earliest: number, rid: number | null, start: number, end: number, target: number): number {
		const pages = rid === null ? undefined : this.devices.get(rid);
		if (pages === undefined || place <= earliest) return place;
		const { time, pa, length } = this.host;
		const from = time[Math.min(place, length - 1)] - WITHIN;
		const first = Math.floor(start / PAGE);
		const output = Math.floor(target / PAGE);
		for (let page = first; page * PAGE < end; page++) {
			const rows = pages.get(page);
			if (rows === undefined) continue;
			for (let i = firstAtLeast(rows, earliest); i < rows.length && rows[i] < place; i++) {
				if (time[rows[i]] >= from && pageOf(pa, rows[i]) === output + page - first) {
					place = rows[i];
					break;
				}
			}
		}
		return place;
	}
}

function firstAtLeast(rows: number[], value: number): number {
	let from = 0;
	let to = rows.length;
	while (from < to) {
		const middle = (from + to) >>> 1;
		if (rows[middle] < value) from = middle + 1;
		else to = middle;
	}
	return from;
}
