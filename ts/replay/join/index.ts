/**
 * From recordings to a trace's parts: joins the two halves of a run, or makes the best of one half.
 */
import type { HostLog } from "../importers/contract.ts";
import { Guest, type GuestLog, NOBODY } from "../importers/guest-log.ts";
import { ReplayError } from "../errors.ts";
import { RowBuffer, setNumber } from "../rows.ts";
import { type Columns, Kind, type Trace, type TraceDevice } from "../trace.ts";
import { shareRequesterIds } from "./aliases.ts";
import { type Anchors, anchorsBySubmit, anchorsByUnmap } from "./anchors.ts";
import { Clock, timeRows } from "./clock.ts";
import { listDevices } from "./devices.ts";
import { addSubmit, addTableRow, isByPasid, mergeLogs, tableEvents } from "./merge.ts";
import { offsetByFirstUse, ofOneRun } from "./pages.ts";
import { Flushes } from "./flushes.ts";
import { adoptInvalidations } from "./orphans.ts";
import { findOwners, type Ownership } from "./ownership.ts";

/** A trace without its files and counts; times are on the recorder's clock. */
export interface Joined {
	architecture: Trace["architecture"];
	stage: Trace["stage"];
	columns: Columns;
	devices: TraceDevice[];
	notes: string[];
}

/** Without a clock in the emulator's log, a map is taken to be done this many invalidations before its time: more than CPUs can overlap. */
const ANCHORS_BACK = 8;

/** Joins both halves of one run; throws a {@link ReplayError} when they do not belong together. */
export function joinLogs(guest: GuestLog, host: HostLog): Joined {
	const owners = findOwners(guest);
	const shared = shareRequesterIds(guest, host, owners);
	if (!ofOneRun(guest, host, owners)) {
		throw new ReplayError("mismatch", "the QEMU log and the guest's ftrace are not of one run: what the guest mapped is not what was translated");
	}
	const devices = listDevices(guest, owners, host);
	const notes = [...host.notes, ...guest.notes, ...shared, ...ownershipNotes(guest, owners)];
	const { clock, rowOfUnmap, anchors } = joinClocks(guest, host, owners, notes);
	const flushes = new Flushes(guest, host, anchors);
	const lost = anchors?.lost ?? new Int32Array(0);
	if (lost.length > 0) notes.push(`${lost.length} invalidations that the QEMU log lost are taken from the guest's`);
	const columns = mergeLogs(guest, host.rows, { owners, devices, clock, rowOfUnmap, lost, flushAfter: (rid, event) => flushes.after(rid, event) });
	return { architecture: host.architecture, stage: host.stage, columns, devices: devices.devices, notes };
}

function joinClocks(guest: GuestLog, host: HostLog, owners: Ownership, notes: string[]): { clock: Clock; rowOfUnmap: Int32Array; anchors: Anchors | null } {
	const anchors = anchorsBySubmit(guest, host, owners) ?? anchorsByUnmap(guest, host, owners);
	if (anchors !== null && anchors.events.length > 0) {
		if (anchors.skipped > 0) notes.push(`${anchors.skipped} invalidations of the guest have no partner in the QEMU log`);
		if (!host.timed) {
			notes.push("the QEMU log has no timestamps (-msg timestamp=on): it is joined by order, which is exact at invalidations alone");
			timeByAnchors(guest, host, anchors);
		}
		const guestTimes = Float64Array.from(anchors.events, (event) => guest.events.time[event]);
		const hostTimes = Float64Array.from(anchors.rows, (row) => host.rows.time[row]);
		const clock = new Clock(guestTimes, hostTimes, host.timed ? 0 : ANCHORS_BACK);
		if (host.timed && anchors.bySubmit) adoptInvalidations(guest, host, owners, anchors, clock);
		return { clock, rowOfUnmap: anchors.rowOfUnmap, anchors };
	}
	const rowOfUnmap = new Int32Array(guest.events.length).fill(-1);
	const offset = host.timed ? offsetByFirstUse(guest, host, owners) : null;
	if (offset !== null) {
		notes.push("no invalidation is in both logs: the clocks are joined by the first use of mapped pages, which is less exact");
		return { clock: new Clock(Float64Array.of(0), Float64Array.of(offset)), rowOfUnmap, anchors: null };
	}
	if (host.rows.length > 0 && guest.events.length > 0) {
		throw new ReplayError("mismatch", "the QEMU log and the guest's ftrace share no invalidation and no mapped page: they do not seem to be of one run");
	}
	return { clock: new Clock(Float64Array.of(0), Float64Array.of(0)), rowOfUnmap, anchors: null };
}

/** Gives the rows of a log without timestamps the guest's time, by the anchors. */
function timeByAnchors(guest: GuestLog, host: HostLog, anchors: Anchors): void {
	const order = [...anchors.rows.keys()].sort((a, b) => anchors.rows[a] - anchors.rows[b]);
	timeRows(
		host.rows,
		Float64Array.from(order, (index) => anchors.rows[index]),
		Float64Array.from(order, (index) => guest.events.time[anchors.events[index]]),
	);
}

function ownershipNotes(guest: GuestLog, owners: Ownership): string[] {
	const notes: string[] = [];
	if (owners.unownedMaps > 0) notes.push(`${owners.unownedMaps} maps belong to no device that can be told`);
	if (owners.unownedUnmaps > 0) notes.push(`${owners.unownedUnmaps} unmaps belong to no device that can be told`);
	if (owners.replacedPages > 0) notes.push(`${owners.replacedPages} pages were mapped over without an unmap`);
	const foreign = tableEvents(guest).filter((event) => owners.device[event] !== NOBODY && guest.devices[owners.device[event]].rid === null).length;
	if (foreign > 0) notes.push(`${foreign} maps and unmaps of devices that are not on PCI have no device here`);
	return notes;
}

/** The emulator's half alone: what was translated, without the tables behind it. */
export function hostAlone(host: HostLog): Joined {
	const devices = listDevices(null, null, host);
	const columns = host.rows;
	for (let row = 0; row < columns.length; row++) {
		if (columns.kind[row] !== Kind.invalidate) columns.id[row] = devices.ofRid(columns.id[row]);
	}
	const notes = [...host.notes, "no guest ftrace of this run: what was mapped is unknown, so addresses and faults cannot be checked"];
	return { architecture: host.architecture, stage: host.stage, columns, devices: devices.devices, notes };
}

/** The guest's half alone: maps, unmaps, invalidations and the faults that the kernel reported, without the DMAs. */
export function guestAlone(guest: GuestLog): Joined {
	const owners = findOwners(guest);
	const devices = listDevices(guest, owners, null);
	const { events } = guest;
	const rows = new RowBuffer();
	let now = Number.NEGATIVE_INFINITY;
	let byPasid = 0;
	for (let i = 0; i < events.length; i++) {
		now = Math.max(now, events.time[i]);
		const kind = events.kind[i];
		if (kind === Guest.map || kind === Guest.unmap) addTableRow(rows, guest, i, now, owners, devices);
		else if (kind === Guest.submit) {
			addSubmit(rows, guest, i, now);
			byPasid += isByPasid(events.flags[i]) ? 1 : -1;
		}
		else if (kind === Guest.fault) addFault(rows, guest, i, now, devices.ofGuest(events.device[i]));
	}
	return {
		architecture: guest.intel ? "vtd" : "unknown",
		// first-stage tables are invalidated by PASID
		stage: byPasid > 0 ? "first" : "second",
		columns: rows.columns,
		devices: devices.devices,
		notes: [...guest.notes, ...ownershipNotes(guest, owners), "no QEMU log of this run: there are no DMAs to replay"],
	};
}

function addFault(rows: RowBuffer, { events }: GuestLog, event: number, time: number, device: number): void {
	const row = rows.add(Kind.fault, time, device);
	const { columns } = rows;
	columns.flags[row] = events.flags[event];
	setNumber(columns.iova, row, events.start[event]);
	setNumber(columns.size, row, 1);
}
