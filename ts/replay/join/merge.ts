/**
 * The two logs as one: every map and unmap of the guest gets its place among the emulator's rows.
 *
 * The emulator's order is kept as it is. A guest's event gets a *place*, the host row before which it takes effect:
 * - an unmap: just before its own invalidation, or where the clock puts it;
 * - a map: as early as is plausible, but not before the last unmap of a page of it on that device. Where the emulator walked the
 *   tables and found just this map's page a little before that, the walk is the better witness: the map comes before it.
 */
import { Guest, type GuestLog } from "../importers/guest-log.ts";
import { RowBuffer, setNumber } from "../rows.ts";
import { Access, type Columns, Kind } from "../trace.ts";
import { type Clock, lowerBound } from "./clock.ts";
import type { DeviceList } from "./devices.ts";
import type { Ownership } from "./ownership.ts";
import { Walks } from "./walks.ts";

const PAGE = 4096;

/** What {@link mergeLogs} needs besides the logs. */
export interface MergePlan {
	owners: Ownership;
	devices: DeviceList;
	clock: Clock;
	/** by guest event: the host row of an unmap's own invalidation, or -1 */
	rowOfUnmap: Int32Array;
}

/** Rows in replay order, times still on the host's clock. */
export function mergeLogs(guest: GuestLog, host: Columns, plan: MergePlan): Columns {
	const moves = tableEvents(guest);
	const times = host.time.subarray(0, host.length);
	const wanted = new Float64Array(moves.length);
	const places = new Uint32Array(moves.length);
	const lastPlaces = new LastPlaces();
	const walks = new Walks(host);
	moves.forEach((event, index) => {
		const { start, end, time, kind, target } = guest.events;
		const device = plan.owners.device[event];
		let place = plan.rowOfUnmap[event];
		if (place < 0) {
			const moment = kind[event] === Guest.unmap ? plan.clock.at(time[event]) : plan.clock.earliest(time[event]);
			wanted[index] = moment;
			place = lowerBound(times, moment);
		} else wanted[index] = times[place];
		const earliest = lastPlaces.of(device, start[event], end[event]);
		place = Math.max(place, earliest);
		if (kind[event] === Guest.map && device >= 0) {
			place = walks.before(place, earliest, guest.devices[device].rid, start[event], end[event], target[event]);
		}
		lastPlaces.set(device, start[event], end[event], place);
		places[index] = place;
	});

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
			addTableRow(rows, guest, event, now, plan.owners, plan.devices);
		}
		if (row === host.length) break;
		now = Math.max(now, limit);
		const copied = rows.copy(host, row);
		rows.columns.time[copied] = now;
		if (host.kind[row] !== Kind.invalidate) rows.columns.id[copied] = plan.devices.ofRid(host.id[row]);
	}
	return rows.columns;
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
	// neither VT-d as Linux writes it nor an Arm table has write-only entries
	const permissions = owners.permissions[event];
	columns.flags[row] = (permissions & Access.write) !== 0 ? permissions | Access.read : permissions;
}

/** The place of the last map or unmap of every page of every device: pages keep the guest's order. */
class LastPlaces {
	private readonly devices = new Map<number, Map<number, number>>();

	/** The latest place at which a page of the range was changed; 0 when none was. */
	of(device: number, start: number, end: number): number {
		const pages = this.devices.get(device);
		let latest = 0;
		if (pages === undefined) return latest;
		for (let page = Math.floor(start / PAGE); page * PAGE < end; page++) latest = Math.max(latest, pages.get(page) ?? 0);
		return latest;
	}

	set(device: number, start: number, end: number, place: number): void {
		if (device < 0) return;
		let pages = this.devices.get(device);
		if (pages === undefined) {
			pages = new Map();
			this.devices.set(device, pages);
		}
		for (let page = Math.floor(start / PAGE); page * PAGE < end; page++) pages.set(page, place);
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
