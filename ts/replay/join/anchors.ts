/**
 * Anchors: moments known on both clocks, since one event was logged on both sides.
 */
import { Guest, type GuestLog } from "../importers/guest-log.ts";
import type { HostLog } from "../importers/contract.ts";
import { type Columns, Kind, NO_PASID, Scope } from "../trace.ts";
import { timeRows } from "./clock.ts";
import { fillGaps, pairByClock } from "./gaps.ts";
import { align, type KeySequence } from "./sequence.ts";
import { shiftBounds } from "./shift.ts";
import { lostBetween, lostWithin } from "./orphans.ts";
import { offsetByFirstUse } from "./pages.ts";
import type { Ownership } from "./ownership.ts";

/** What ties the two logs together. */
export interface Anchors {
	/** guest events that have a partner, rising */
	events: Int32Array;
	/** the host's row of each */
	rows: Int32Array;
	/** by guest event: the host's row of its own invalidation, or -1; set for unmaps alone */
	rowOfUnmap: Int32Array;
	/** invalidations of the guest without a partner */
	skipped: number;
	/** guest events: those of them between others that have one, so that the emulator's log must have lost them */
	lost: Int32Array;
	/** the events are `qi_submit`, not unmaps */
	bySubmit: boolean;
}

/** microseconds from an unmap to the request of its own invalidation; one of the whole domain that comes later is a flush queue's */
const AT_ONCE = 100;

/** microseconds: the delay of an invalidation varies by less than this, mostly */
const JUMP = 20_000;

/** Descriptors with an address in their key, by scope. */
const PAGED = new Set<number>([Scope.page, Scope.pasidPage]);

/** One number for scope, domain and PASID. */
function tag(scope: number, domain: number, pasid: number): number {
	return scope + 8 * (domain + 0x10000 * (pasid === NO_PASID ? 0 : pasid));
}

/**
 * Anchors from `qi_submit` (VT-d): every request, in order, is one descriptor in the emulator's log. Global requests are left
 * out; wait and context descriptors are no rows in the first place. Null when there are none, or they do not fit.
 */
export function anchorsBySubmit(guest: GuestLog, host: HostLog, owners: Ownership): Anchors | null {
	const { events } = guest;
	const submits: number[] = [];
	for (let i = 0; i < events.length; i++) {
		if (events.kind[i] === Guest.submit && events.flags[i] !== Scope.global) submits.push(i);
	}
	const rows: number[] = [];
	for (let row = 0; row < host.rows.length; row++) {
		if (host.rows.kind[row] === Kind.invalidate && host.rows.flags[row] !== Scope.global) rows.push(row);
	}
	if (submits.length === 0 || rows.length === 0) return null;
	const [guestSide, hostSide] = [guestKeys(guest, submits), hostKeys(host.rows, rows)];
	const aligned = align(guestSide, hostSide, host.timed, () => shiftBounds(guest, host, owners, submits, rows));
	const offset = aligned === null && host.timed ? offsetByFirstUse(guest, host, owners) : null;
	const pairs = aligned !== null ? fillGaps(guestSide, hostSide, aligned, host.timed) : offset === null ? null : pairByClock(guestSide, hostSide, offset);
	if (pairs === null) return null;
	const anchors: Anchors = {
		events: Int32Array.from(pairs.guest, (index) => submits[index]),
		rows: Int32Array.from(pairs.host, (index) => rows[index]),
		rowOfUnmap: new Int32Array(events.length).fill(-1),
		skipped: pairs.skipped,
		lost: host.timed ? lostWithin(guest, host, submits, pairs.guest, (index) => host.rows.time[rows[pairs.host[index]]]) : lostBetween(submits, pairs.guest),
		bySubmit: true,
	};
	if (!plausible(guest, host, anchors)) return null;
	attachUnmaps(guest, anchors);
	return anchors;
}

function guestKeys({ events }: GuestLog, submits: number[]): KeySequence {
	return {
		tags: Float64Array.from(submits, (i) => events.flags[i] + 8 * events.target[i]),
		addresses: Float64Array.from(submits, (i) => events.start[i]),
		times: Float64Array.from(submits, (i) => events.time[i]),
	};
}

function hostKeys(columns: Columns, rows: number[]): KeySequence {
	return {
		tags: Float64Array.from(rows, (row) => tag(columns.flags[row], columns.id[row], columns.pasid[row])),
		addresses: Float64Array.from(rows, (row) => (PAGED.has(columns.flags[row]) ? columns.iova[2 * row + 1] * 0x1_0000_0000 + columns.iova[2 * row] : 0)),
		times: Float64Array.from(rows, (row) => columns.time[row]),
	};
}

/**
 * An unmap whose invalidation follows at once, on the same task and CPU, takes effect with it. With a flush queue the next
 * event of the task is something else, and the unmap stays without a row of its own.
 */
function attachUnmaps({ events }: GuestLog, anchors: Anchors): void {
	const rowOfSubmit = new Map<number, number>();
	anchors.events.forEach((event, index) => {
		rowOfSubmit.set(event, anchors.rows[index]);
	});
	const open = new Map<number, number>();
	for (let i = 0; i < events.length; i++) {
		const context = events.context[i];
		if (events.kind[i] !== Guest.submit) {
			if (events.kind[i] === Guest.unmap) open.set(context, i);
			else open.delete(context);
			continue;
		}
		const unmap = open.get(context);
		const row = rowOfSubmit.get(i);
		if (unmap === undefined || row === undefined) continue;
		const paged = PAGED.has(events.flags[i]);
		if (!paged && events.time[i] - events.time[unmap] > AT_ONCE) continue;
		if (paged && (events.start[i] >= events.end[unmap] || events.end[i] <= events.start[unmap])) continue;
		anchors.rowOfUnmap[unmap] = row;
		open.delete(context);
	}
}

/**
 * Anchors from the unmaps themselves (SMMUv3, or VT-d without `qi_submit`): the k-th unmap of (tag, address) is the k-th page
 * invalidation of it, after a shift, since the guest's tracing may start later.
 */
export function anchorsByUnmap(guest: GuestLog, host: HostLog, owners: Ownership): Anchors | null {
	const groups = groupByKey(guest, host, owners);
	if (!host.timed && !roughTimes(guest, host, groups)) return null;
	const offset = firstOffset(guest, host, groups);
	if (offset === null) return null;
	const rowOfUnmap = new Int32Array(guest.events.length).fill(-1);
	let skipped = 0;
	for (const { unmaps, rows } of groups.values()) {
		const shift = bestShift(guest, host, unmaps, rows, offset);
		unmaps.forEach((unmap, k) => {
			const row = rows[k + shift];
			if (row === undefined) skipped++;
			else rowOfUnmap[unmap] = row;
		});
	}
	const events = Int32Array.from(rowOfUnmap.keys()).filter((event) => rowOfUnmap[event] >= 0);
	const anchors: Anchors = { events, rows: events.map((event) => rowOfUnmap[event]), rowOfUnmap, skipped, lost: new Int32Array(0), bySubmit: false };
	return plausible(guest, host, anchors) ? anchors : null;
}

/**
 * Two different runs share addresses too, but then the clocks' difference jumps about. Neighbours are compared, since a
 * difference may drift far over a long run.
 */
function plausible(guest: GuestLog, host: HostLog, { events, rows, skipped }: Anchors): boolean {
	if (events.length < skipped) return false;
	if (!host.timed) return events.length > 0;
	const difference = (index: number) => host.rows.time[rows[index]] - guest.events.time[events[index]];
	let steady = 0;
	for (let i = 1; i < events.length; i++) {
		if (Math.abs(difference(i) - difference(i - 1)) < JUMP) steady++;
	}
	return events.length === 1 || 2 * steady >= events.length - 1;
}

/**
 * Gives the rows of a log without timestamps rough times on the guest's clock, good enough to tell one invalidation of a page from
 * the next: the unmaps in order are nearly the invalidations in order. False when they are not.
 */
function roughTimes(guest: GuestLog, host: HostLog, groups: Map<string, Group>): boolean {
	const byTag = [...groups.entries()].map(([key, group]) => ({ ...group, tag: Number(key.slice(0, key.indexOf(":"))) }));
	const unmaps = byTag.flatMap((group) => group.unmaps.map((index) => ({ index, tag: group.tag }))).sort((a, b) => a.index - b.index);
	const rows = byTag.flatMap((group) => group.rows.map((index) => ({ index, tag: group.tag }))).sort((a, b) => a.index - b.index);
	const { iova } = host.rows;
	const pairs = align(
		{
			tags: Float64Array.from(unmaps, ({ tag }) => tag),
			addresses: Float64Array.from(unmaps, ({ index }) => guest.events.start[index]),
			times: Float64Array.from(unmaps, ({ index }) => guest.events.time[index]),
		},
		{
			tags: Float64Array.from(rows, ({ tag }) => tag),
			addresses: Float64Array.from(rows, ({ index }) => iova[2 * index + 1] * 0x1_0000_0000 + iova[2 * index]),
			times: new Float64Array(rows.length),
		},
		false,
	);
	if (pairs === null || pairs.guest.length === 0) return false;
	timeRows(
		host.rows,
		Float64Array.from(pairs.host, (index) => rows[index].index),
		Float64Array.from(pairs.guest, (index) => guest.events.time[unmaps[index].index]),
	);
	return true;
}

interface Group {
	unmaps: number[];
	rows: number[];
}

/** Unmaps and page invalidations with the same tag and first address. */
function groupByKey(guest: GuestLog, host: HostLog, owners: Ownership): Map<string, Group> {
	const { events } = guest;
	const groups = new Map<string, Group>();
	for (let i = 0; i < events.length; i++) {
		if (events.kind[i] !== Guest.unmap || owners.device[i] < 0) continue;
		const rid = guest.devices[owners.device[i]].rid;
		const domain = rid === null ? null : (host.devices.get(rid)?.domain ?? null);
		if (domain === null) continue;
		const key = `${domain}:${events.start[i]}`;
		const group = groups.get(key);
		if (group === undefined) groups.set(key, { unmaps: [i], rows: [] });
		else group.unmaps.push(i);
	}
	const columns = host.rows;
	for (let row = 0; row < columns.length; row++) {
		if (columns.kind[row] !== Kind.invalidate || !PAGED.has(columns.flags[row]) || host.continued.has(row)) continue;
		groups.get(`${columns.id[row]}:${columns.iova[2 * row + 1] * 0x1_0000_0000 + columns.iova[2 * row]}`)?.rows.push(row);
	}
	return groups;
}

/** The median clock difference of addresses that are unmapped and invalidated once, or else equally often. */
function firstOffset(guest: GuestLog, host: HostLog, groups: Map<string, Group>): number | null {
	const equal = [...groups.values()].filter(({ unmaps, rows }) => unmaps.length === rows.length);
	const once = equal.filter(({ rows }) => rows.length === 1);
	const differences = (once.length > 0 ? once : equal).map(({ unmaps, rows }) => host.rows.time[rows[0]] - guest.events.time[unmaps[0]]);
	if (differences.length === 0) return null;
	differences.sort((a, b) => a - b);
	return differences[differences.length >> 1];
}

/** The shift of one key's unmaps against its invalidations that leaves the least mean deviation from the common offset. */
function bestShift(guest: GuestLog, host: HostLog, unmaps: number[], rows: number[], offset: number): number {
	const spare = rows.length - unmaps.length;
	let best = 0;
	let least = Number.POSITIVE_INFINITY;
	for (let shift = Math.min(0, spare); shift <= Math.max(0, spare); shift++) {
		let sum = 0;
		let count = 0;
		for (let k = Math.max(0, -shift); k < unmaps.length && k + shift < rows.length; k++, count++) {
			sum += Math.abs(host.rows.time[rows[k + shift]] - guest.events.time[unmaps[k]] - offset);
		}
		if (count > 0 && sum / count < least) {
			least = sum / count;
			best = shift;
		}
	}
	return best;
}
