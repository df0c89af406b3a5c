/**
 * What the two logs say of the same pages: the guest maps (device, page, output address), the emulator translates by it.
 * It tells whether they are of one run, and the clocks' difference where no invalidation was logged on both sides.
 */
import type { HostLog } from "../importers/contract.ts";
import { Guest, type GuestLog } from "../importers/guest-log.ts";
import { pageOf } from "../rows.ts";
import { type Columns, Kind } from "../trace.ts";
import type { Ownership } from "./ownership.ts";

/** Agreeing pages that settle the matter, and the least share of the smaller side when there are fewer. */
const ENOUGH = 20;
const LEAST_SHARE = 0.05;

/** Whether the logs can be of one run. Physical addresses hardly repeat from one run to the next; IOVAs do. */
export function ofOneRun(guest: GuestLog, host: HostLog, owners: Ownership): boolean {
	const mapped = new Set(firstPages(guest, owners).map(({ key }) => key));
	const used = new Set<string>();
	let shared = 0;
	for (let row = 0; row < host.rows.length && shared < ENOUGH; row++) {
		if (host.rows.kind[row] !== Kind.dma) continue;
		const key = usedKey(host.rows, row);
		if (used.has(key)) continue;
		used.add(key);
		if (mapped.has(key)) shared++;
	}
	const smaller = Math.min(mapped.size, used.size);
	return smaller === 0 || shared >= ENOUGH || (shared > 0 && shared >= LEAST_SHARE * smaller);
}

/**
 * Host time minus guest time from first uses: a device uses a page only after it was mapped, so the least time between, over pages
 * mapped once, bounds it. Null when no such page was used.
 */
export function offsetByFirstUse(guest: GuestLog, host: HostLog, owners: Ownership): number | null {
	const mapped = new Map<string, number>();
	for (const { key, time } of firstPages(guest, owners)) {
		// a key that comes twice is of no use: which of the two was it?
		mapped.set(key, mapped.has(key) ? Number.NaN : time);
	}
	let least = Number.POSITIVE_INFINITY;
	for (let row = 0; row < host.rows.length; row++) {
		if (host.rows.kind[row] !== Kind.dma) continue;
		const key = usedKey(host.rows, row);
		const time = mapped.get(key);
		if (time === undefined) continue;
		if (!Number.isNaN(time)) least = Math.min(least, host.rows.time[row] - time);
		mapped.delete(key);
	}
	return Number.isFinite(least) ? least : null;
}

/** The first page of every owned map. */
function firstPages(guest: GuestLog, owners: Ownership): { key: string; time: number }[] {
	const { events } = guest;
	const pages: { key: string; time: number }[] = [];
	for (let i = 0; i < events.length; i++) {
		if (events.kind[i] !== Guest.map || owners.device[i] < 0) continue;
		const { rid } = guest.devices[owners.device[i]];
		pages.push({ key: `${rid}:${events.start[i] / 4096}:${events.target[i] / 4096}`, time: events.time[i] });
	}
	return pages;
}

function usedKey(rows: Columns, row: number): string {
	return `${rows.id[row]}:${pageOf(rows.iova, row)}:${pageOf(rows.pa, row)}`;
}
