/**
 * Devices behind a bridge to conventional PCI have the bridge's requester id on the bus: the emulator logs that id, the guest's kernel the
 * device's own. The pages tell which belong together.
 */
import type { HostLog } from "../importers/contract.ts";
import { deviceName } from "../importers/device-name.ts";
import { Guest, type GuestLog } from "../importers/guest-log.ts";
import { pageOf } from "../rows.ts";
import { Kind } from "../trace.ts";
import type { Ownership } from "./ownership.ts";

/** Pages that must agree, page and output, before two ids are taken for one. */
const ENOUGH = 2;

/** Gives devices that the emulator does not know the id under which it logs their accesses; returns remarks. */
export function shareRequesterIds(guest: GuestLog, host: HostLog, owners: Ownership): string[] {
	const known = new Set(guest.devices.map(({ rid }) => rid));
	const strangers = [...host.devices.keys()].filter((rid) => !known.has(rid));
	const absent = new Set(guest.devices.keys());
	for (const [index, { rid }] of guest.devices.entries()) if (rid === null || host.devices.has(rid)) absent.delete(index);
	if (strangers.length === 0 || absent.size === 0) return [];
	const users = usersOf(host, new Set(strangers));
	const votes = new Map<number, Map<number, number>>();
	const { events } = guest;
	for (let i = 0; i < events.length; i++) {
		const device = owners.device[i];
		if (events.kind[i] !== Guest.map || !absent.has(device)) continue;
		for (const rid of users.get(`${events.start[i] / 4096}:${events.target[i] / 4096}`) ?? []) {
			const counts = votes.get(device) ?? new Map<number, number>();
			counts.set(rid, (counts.get(rid) ?? 0) + 1);
			votes.set(device, counts);
		}
	}
	const notes: string[] = [];
	for (const [device, counts] of votes) {
		const [rid, count] = [...counts].sort((a, b) => b[1] - a[1])[0];
		if (count < ENOUGH) continue;
		const { name, segment } = guest.devices[device];
		guest.devices[device] = { name, segment, rid };
		notes.push(`${name} has the requester id of ${deviceName(segment, rid)}, as behind a bridge`);
	}
	return notes;
}

/** The ids among `rids` that used a page and output. */
function usersOf({ rows }: HostLog, rids: Set<number>): Map<string, Set<number>> {
	const users = new Map<string, Set<number>>();
	for (let row = 0; row < rows.length; row++) {
		if (rows.kind[row] !== Kind.dma || !rids.has(rows.id[row])) continue;
		const key = `${pageOf(rows.iova, row)}:${pageOf(rows.pa, row)}`;
		const found = users.get(key);
		if (found === undefined) users.set(key, new Set([rows.id[row]]));
		else found.add(rows.id[row]);
	}
	return users;
}
