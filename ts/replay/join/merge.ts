/**
 * The two logs as one: every map and unmap of the guest gets its place among the emulator's rows.
 *
 * The emulator's order is kept as it is. A guest's event gets a *place*, the host row before which it takes effect:
 * - an unmap: just before its own invalidation, or the first access between it and that which found no entry or another. Without one (a flush queue invalidates later, or no invalidation was logged): where the clock
 *   puts it, but behind the last use of its pages before the domain's next invalidation, until which the emulator may answer;
 * - a map: as early as is plausible, but not before the last unmap of a page of it on that device. Where the emulator walked the
 *   tables and found just this map's page a little before that, the walk is the better witness: the map comes before it.
 * Faults that found no entry are witnesses too, and walks that found another: an unmap comes before them, a map behind the faults.
 */
import { Guest, type GuestLog } from "../importers/guest-log.ts";
import { RowBuffer, setNumber } from "../rows.ts";
import { Access, type Columns, Kind, Scope } from "../trace.ts";
import { type Clock, lowerBound } from "./clock.ts";
import type { DeviceList } from "./devices.ts";
import { PageRanges } from "./page-ranges.ts";
import type { Ownership } from "./ownership.ts";
import { type Mapping, Uses } from "./uses.ts";

const PAGE = 4096;
/** microseconds: how far the estimate of a clock may be off, where anchors are not farther apart than that */
const WITHIN = 10_000;

/** What {@link mergeLogs} needs besides the logs. */
export interface MergePlan {
	owners: Ownership;
	devices: DeviceList;
	clock: Clock;
	/** by guest event: the host row of an unmap's own invalidation, or -1 */
	rowOfUnmap: Int32Array;
	/** invalidations that the host lost: guest events, rising */
	lost: Int32Array;
	/** the host row of the first invalidation of a device's whole domain that the guest asked for after an event; -1: no such invalidation is known */
	flushAfter(rid: number, event: number): number;
}

/** Rows in replay order, times still on the host's clock. */
export function mergeLogs(guest: GuestLog, host: Columns, plan: MergePlan): Columns {
	const moves = plan.lost.length === 0 ? tableEvents(guest) : Uint32Array.from([...tableEvents(guest), ...plan.lost]).sort();
	const { wanted, places } = placesOf(moves, guest, host, plan);
	const times = host.time.subarray(0, host.length);
	const rows = new RowBuffer(Math.max(1, host.length + moves.length));
	const order = sortedByPlace(places, host.length);
	let next = 0;
	let now = Number.NEGATIVE_INFINITY;
	for (let row = 0; row <= host.length; row++) {
		const limit = row < host.length ? times[row] : Number.POSITIVE_INFINITY;
		for (; next < order.length && places[order[next]] === row; next++) {
			const event = moves[order[next]];
			now = Math.max(now, Math.min(limit, wanted[order[next]]));
			if (now === Number.NEGATIVE_INFINITY) now = limit;
			if (guest.events.kind[event] === Guest.submit) addSubmit(rows, guest, event, now);
			else addTableRow(rows, guest, event, now, plan.owners, plan.devices);
		}
		if (row === host.length) break;
		now = Math.max(now, limit);
		const copied = rows.copy(host, row);
		rows.columns.time[copied] = now;
		if (host.kind[row] !== Kind.invalidate) rows.columns.id[copied] = plan.devices.ofRid(host.id[row]);
	}
	return rows.columns;
}

/** The place of every map and unmap, and the time that it wants there. */
function placesOf(moves: Uint32Array, guest: GuestLog, host: Columns, plan: MergePlan): { wanted: Float64Array; places: Uint32Array } {
	const { start, end, time, kind, target, context } = guest.events;
	const { clock, owners, rowOfUnmap } = plan;
	const times = host.time.subarray(0, host.length);
	const wanted = new Float64Array(moves.length);
	const places = new Uint32Array(moves.length);
	const last = new LastPlaces();
	const uses = new Uses(host);
	/** by context: place of the last unmap */
	const unmapped = new Map<number, number>();
	let event = 0;
	const mapped = (page: number) => Math.floor(target[event] / PAGE) + page - Math.floor(start[event] / PAGE);
	// several maps may be unmapped at once
	const held = (page: number) => last.output(owners.device[event], page);
	const mapping: Mapping = { rid: 0, start: 0, end: 0, output: mapped, permissions: 0 };
	for (let index = 0; index < moves.length; index++) {
		event = moves[index];
		if (kind[event] === Guest.submit) {
			// behind the unmap that it follows
			wanted[index] = clock.at(time[event]);
			places[index] = Math.max(lowerBound(times, wanted[index]), unmapped.get(context[event]) ?? 0);
			continue;
		}
		const device = owners.device[event];
		const map = kind[event] === Guest.map;
		const own = rowOfUnmap[event];
		const moment = own >= 0 ? times[own] : map ? clock.earliest(time[event]) : clock.at(time[event]);
		const earliest = last.of(device, start[event], end[event]);
		let place = Math.max(own >= 0 ? own : lowerBound(times, moment), earliest);
		const rid = device < 0 ? null : plan.devices.hostRid(device);
		if (rid !== null) {
			mapping.rid = rid;
			mapping.start = start[event];
			mapping.end = end[event];
			mapping.output = map ? mapped : held;
			mapping.permissions = map ? permissionsOf(owners.permissions[event]) : last.permissions;
			const slack = Math.max(WITHIN, clock.gap(time[event]));
			// the row at the place may come long after the moment
			const from = Math.min(moment, times[Math.min(place, host.length - 1)]) - slack;
			if (map) {
				place = uses.afterFaults(mapping, place, lowerBound(times, clock.latest(time[event])));
				if (place > earliest) place = uses.firstWalk(mapping, earliest, place, from);
			} else {
				place = uses.beforeOthers(mapping, earliest, place, from);
				const flush = own >= 0 ? own : plan.flushAfter(rid, event);
				if (place !== own) place = uses.afterUses(mapping, place, flush >= 0 ? flush : lowerBound(times, moment + slack));
			}
		}
		last.set(device, start[event], end[event], place, map ? target[event] : Number.NaN, permissionsOf(owners.permissions[event]));
		wanted[index] = moment;
		places[index] = place;
		if (!map) unmapped.set(context[event], place);
	}
	return { wanted, places };
}

/** Whether a scope is one of first-stage invalidations. */
export const isByPasid = (scope: number) => scope === Scope.pasid || scope === Scope.pasidPage;

/** Appends the row of an invalidation that the guest asked for. */
export function addSubmit(rows: RowBuffer, { events }: GuestLog, event: number, time: number): void {
	const domain = events.target[event] % 0x10000;
	const row = rows.add(Kind.invalidate, time, domain);
	const { columns } = rows;
	columns.flags[row] = events.flags[event];
	if (isByPasid(events.flags[event])) columns.pasid[row] = Math.floor(events.target[event] / 0x10000);
	setNumber(columns.iova, row, events.start[event]);
	setNumber(columns.size, row, events.end[event] - events.start[event]);
}

/** Neither VT-d as Linux writes it nor an Arm table has write-only entries. */
function permissionsOf(permissions: number): number {
	return (permissions & Access.write) !== 0 ? permissions | Access.read : permissions;
}

/** The maps and unmaps of a guest's log, by event index. */
export function tableEvents({ events }: GuestLog): Uint32Array {
	const indices: number[] = [];
	for (let i = 0; i < events.length; i++) {
		if (events.kind[i] === Guest.map || events.kind[i] === Guest.unmap) indices.push(i);
	}
	return Uint32Array.from(indices);
}

/** Appends the row of a map or unmap. */
export function addTableRow(rows: RowBuffer, guest: GuestLog, event: number, time: number, owners: Ownership, devices: DeviceList): void {
	const { events } = guest;
	const map = events.kind[event] === Guest.map;
	const row = rows.add(map ? Kind.map : Kind.unmap, time, devices.ofGuest(owners.device[event]));
	const { columns } = rows;
	setNumber(columns.iova, row, events.start[event]);
	setNumber(columns.size, row, events.end[event] - events.start[event]);
	if (!map) return;
	setNumber(columns.pa, row, events.target[event]);
	columns.flags[row] = permissionsOf(owners.permissions[event]);
}

/** One state of a page: where it was changed last, and to what. */
interface PageState {
	place: number;
	/** output address, NaN when the page is not mapped */
	target: number;
	permissions: number;
}

/** The last map or unmap of every page of every device: pages keep the guest's order. */
class LastPlaces {
	private readonly devices = new Map<number, PageRanges<PageState>>();
	/** what the first page of the range that was asked for last permits */
	permissions = 0;

	/** The latest place at which a page of the range was changed; 0 when none was. */
	of(device: number, start: number, end: number): number {
		const pages = this.devices.get(device);
		const first = Math.floor(start / PAGE);
		const state = pages?.get(first);
		this.permissions = state?.permissions ?? Access.read | Access.write;
		let latest = 0;
		pages?.each(first, Math.ceil(end / PAGE), ({ place }) => {
			latest = Math.max(latest, place);
		});
		return latest;
	}

	/** Output page of a page; NaN when it is not mapped, or not known. */
	output(device: number, page: number): number {
		return Math.floor((this.devices.get(device)?.get(page)?.target ?? Number.NaN) / PAGE);
	}

	set(device: number, start: number, end: number, place: number, target: number, permissions: number): void {
		if (device < 0) return;
		let pages = this.devices.get(device);
		if (pages === undefined) {
			pages = new PageRanges((state, offset) => ({ ...state, target: state.target + PAGE * offset }));
			this.devices.set(device, pages);
		}
		pages.set(Math.floor(start / PAGE), Math.ceil(end / PAGE), { place, target, permissions });
	}
}

/** Indices by place, in their own order within a place (a counting sort). */
function sortedByPlace(places: Uint32Array, last: number): Uint32Array {
	const starts = new Uint32Array(last + 2);
	for (const place of places) starts[place + 1]++;
	for (let i = 1; i < starts.length; i++) starts[i] += starts[i - 1];
	const order = new Uint32Array(places.length);
	places.forEach((place, index) => {
		order[starts[place]++] = index;
	});
	return order;
}
