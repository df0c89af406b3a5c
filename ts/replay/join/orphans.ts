/** Invalidations that one of the two logs lost, while the other has them. */
import type { HostLog } from "../importers/contract.ts";
import { Guest, type GuestLog } from "../importers/guest-log.ts";
import { Kind, Scope } from "../trace.ts";
import type { Clock } from "./clock.ts";
import type { Ownership } from "./ownership.ts";

/** microseconds between where the clock puts an unmap and its invalidation, at most */
const NEAR = 1000;

/** microseconds that a descriptor may wait */
const WAITS = 20_000;

/** The submits between the first and the last pair that are in none. */
export function lostBetween(submits: readonly number[], paired: readonly number[]): Int32Array {
	const lost: number[] = [];
	for (let i = 1; i < paired.length; i++) for (let index = paired[i - 1] + 1; index < paired[i]; index++) lost.push(submits[index]);
	return Int32Array.from(lost);
}

/** {@link lostBetween}, and those before and after all pairs of whose time the host's log tells. */
export function lostWithin({ events }: GuestLog, { rows: { time, length } }: HostLog, submits: readonly number[], paired: readonly number[], timeOf: (pair: number) => number): Int32Array {
	const last = paired.length - 1;
	if (last < 0) return new Int32Array(0);
	const difference = [timeOf(0) - events.time[submits[paired[0]]], timeOf(last) - events.time[submits[paired[last]]]];
	const before = submits.slice(0, paired[0]).filter((event) => events.time[event] + difference[0] > time[0]);
	const after = submits.slice(paired[last] + 1).filter((event) => events.time[event] + difference[1] + WAITS < time[length - 1]);
	return Int32Array.from([...before, ...lostBetween(submits, paired), ...after]);
}

/** Gives unmaps without an invalidation the nearest one of their domain and address that has no partner either. */
export function adoptInvalidations(guest: GuestLog, { rows, devices }: HostLog, owners: Ownership, anchors: { rows: Int32Array; rowOfUnmap: Int32Array }, clock: Clock): void {
	const paired = new Set(anchors.rows);
	const orphans = new Map<string, number[]>();
	for (let row = 0; row < rows.length; row++) {
		if (rows.kind[row] !== Kind.invalidate || paired.has(row)) continue;
		if (rows.flags[row] !== Scope.page && rows.flags[row] !== Scope.pasidPage) continue;
		const key = `${rows.id[row]}:${rows.iova[2 * row + 1] * 0x1_0000_0000 + rows.iova[2 * row]}`;
		const list = orphans.get(key);
		if (list === undefined) orphans.set(key, [row]);
		else list.push(row);
	}
	if (orphans.size === 0) return;
	const { events } = guest;
	for (let event = 0; event < events.length; event++) {
		if (events.kind[event] !== Guest.unmap || anchors.rowOfUnmap[event] >= 0 || owners.device[event] < 0) continue;
		const rid = guest.devices[owners.device[event]].rid;
		const list = rid === null ? undefined : orphans.get(`${devices.get(rid)?.domain}:${events.start[event]}`);
		if (list === undefined) continue;
		const moment = clock.at(events.time[event]);
		let nearest = -1;
		let least = NEAR;
		for (const [i, row] of list.entries()) {
			const off = Math.abs(rows.time[row] - moment);
			if (off >= least) continue;
			least = off;
			nearest = i;
		}
		if (nearest >= 0) anchors.rowOfUnmap[event] = list.splice(nearest, 1)[0];
	}
}
