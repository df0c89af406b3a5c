/**
 * How far the guest's sequence of invalidations is shifted against the emulator's, told by the pages: a page is used after it was mapped
 * and before it was unmapped, so the invalidations before the use, counted on one side, cannot be fewer than those before the map, counted on
 * the other. This needs no clock, and it tells shifts apart whose keys are all the same, as a flush queue's are.
 */
import type { HostLog } from "../importers/contract.ts";
import { Guest, type GuestLog } from "../importers/guest-log.ts";
import { pageOf } from "../rows.ts";
import { Kind } from "../trace.ts";
import type { Ownership } from "./ownership.ts";
import { offsetByFirstUse } from "./pages.ts";
import type { ShiftBounds } from "./sequence.ts";

/** One of this many facts may be wrong (a page that was mapped before the trace began, a stale use). */
const TRUSTED = 50;

/** The life of one (device, page, output) in the guest's log: invalidations before its map and before its unmap. */
interface Life {
	mapped: number;
	unmapped: number;
	times: number;
	first: number;
	last: number;
}

/** Bounds of host index minus guest index; null when the logs share no page that was mapped once. */
export function shiftBounds(guest: GuestLog, host: HostLog, owners: Ownership, submits: readonly number[], rows: readonly number[]): ShiftBounds | null {
	const lives = livesOf(guest, owners, submits);
	const columns = host.rows;
	let before = 0;
	for (let row = 0; row < columns.length; row++) {
		while (before < rows.length && rows[before] < row) before++;
		if (columns.kind[row] !== Kind.dma) continue;
		const life = lives.get(`${columns.id[row]}:${pageOf(columns.iova, row)}:${pageOf(columns.pa, row)}`);
		if (life === undefined || life.times > 1) continue;
		if (life.first < 0) life.first = before;
		life.last = before;
	}
	const most: number[] = [];
	const least: number[] = [];
	for (const { mapped, unmapped, times, first, last } of lives.values()) {
		if (times > 1 || first < 0) continue;
		most.push(first - mapped);
		if (unmapped >= 0) least.push(last - unmapped);
	}
	if (most.length === 0) return null;
	most.sort((a, b) => a - b);
	least.sort((a, b) => b - a);
	return { most: most[Math.floor(most.length / TRUSTED)], least: least.length === 0 ? Number.NEGATIVE_INFINITY : least[Math.floor(least.length / TRUSTED)], offset: host.timed ? offsetByFirstUse(guest, host, owners) : null };
}

function livesOf(guest: GuestLog, owners: Ownership, submits: readonly number[]): Map<string, Life> {
	const { events } = guest;
	const lives = new Map<string, Life>();
	const open = new Map<string, Life>();
	let before = 0;
	for (let i = 0; i < events.length; i++) {
		while (before < submits.length && submits[before] < i) before++;
		const kind = events.kind[i];
		if ((kind !== Guest.map && kind !== Guest.unmap) || owners.device[i] < 0) continue;
		const { rid } = guest.devices[owners.device[i]];
		const page = events.start[i] / 4096;
		const place = `${rid}:${page}`;
		if (kind === Guest.unmap) {
			const life = open.get(place);
			if (life !== undefined) life.unmapped = before;
			continue;
		}
		const key = `${place}:${events.target[i] / 4096}`;
		const life = lives.get(key) ?? { mapped: before, unmapped: -1, times: 0, first: -1, last: -1 };
		life.times++;
		lives.set(key, life);
		open.set(place, life);
	}
	return lives;
}
