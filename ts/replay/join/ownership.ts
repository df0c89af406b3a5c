/**
 * Whose map, whose unmap: the kernel's `iommu:map` and `iommu:unmap` name no device, the DMA API calls around them do.
 *
 * - A map belongs to the next `dma_map_*` or `dma_alloc` of the same task that lies on one of its waiting maps; maps that
 *   wait with it go along (the page for MSI doorbells has no call of its own).
 * - An unmap belongs to the `dma_unmap_sg` or `dma_free` just before it, or to the `dma_unmap_page` just after it whose
 *   address lies in the range, on the same task and CPU. If both claim it, the one that maps the whole range wins.
 * - What is still unowned goes to the one device that maps the whole range.
 *
 * A task is taken together with its interrupt level: a handler that interrupts a driver maps for itself.
 */
import { Guest, type GuestLog, NOBODY } from "../importers/guest-log.ts";
import { LivePages } from "./live-pages.ts";

/** Owners of map and unmap events by event index, and the permissions of maps. */
export interface Ownership {
	device: Int32Array;
	permissions: Uint8Array;
	unownedMaps: number;
	unownedUnmaps: number;
	/** pages that a map found mapped already */
	replacedPages: number;
}

/** An unmap can wait only for a call that follows closely; old ones are forgotten. */
const WAITING = 16;

/** Finds the owners. */
export function findOwners(guest: GuestLog): Ownership {
	const before = claims(guest);
	return settle(guest, before);
}

interface Claims {
	/** the owner by a call before an unmap, or after a map */
	device: Int32Array;
	/** the owner by a call after an unmap */
	later: Int32Array;
	permissions: Uint8Array;
}

function claims(guest: GuestLog): Claims {
	const { events } = guest;
	const device = events.device.slice(0, events.length);
	const later = new Int32Array(events.length).fill(NOBODY);
	const permissions = events.flags.slice(0, events.length);
	const waitingMaps = new Map<number, number[]>();
	const waitingUnmaps = new Map<number, number[]>();
	const lastRelease = new Map<number, number>();

	for (let i = 0; i < events.length; i++) {
		const context = events.context[i];
		switch (events.kind[i]) {
			case Guest.map:
				if (device[i] === NOBODY) list(waitingMaps, events.task[i]).push(i);
				break;
			case Guest.acquire: {
				lastRelease.delete(context);
				const waiting = waitingMaps.get(events.task[i]);
				if (waiting === undefined || !waiting.some((map) => overlap(guest, map, i))) break;
				for (const map of waiting) {
					device[map] = events.device[i];
					if (overlap(guest, map, i)) permissions[map] = events.flags[i];
				}
				waiting.length = 0;
				break;
			}
			case Guest.releaseBefore:
				lastRelease.set(context, i);
				break;
			case Guest.unmap: {
				const release = lastRelease.get(context);
				if (release !== undefined && device[i] === NOBODY && mayRelease(guest, release, i)) device[i] = events.device[release];
				lastRelease.delete(context);
				const waiting = list(waitingUnmaps, context);
				waiting.push(i);
				if (waiting.length > WAITING) waiting.shift();
				break;
			}
			case Guest.releaseAfter: {
				lastRelease.delete(context);
				const waiting = waitingUnmaps.get(context);
				const found = waiting?.findLastIndex((unmap) => events.start[i] >= events.start[unmap] && events.start[i] < events.end[unmap]) ?? -1;
				if (waiting === undefined || found < 0) break;
				later[waiting[found]] = events.device[i];
				waiting.splice(found, 1);
				break;
			}
		}
	}
	return { device, later, permissions };
}

function list(lists: Map<number, number[]>, key: number): number[] {
	let found = lists.get(key);
	if (found === undefined) {
		found = [];
		lists.set(key, found);
	}
	return found;
}

function overlap({ events }: GuestLog, map: number, call: number): boolean {
	return events.start[call] < events.end[map] && events.end[call] > events.start[map];
}

/** `dma_free` has a range to compare, `dma_unmap_sg` has none. */
function mayRelease(guest: GuestLog, release: number, unmap: number): boolean {
	return guest.events.end[release] === 0 || overlap(guest, unmap, release);
}

/** Follows the maps in order to choose between claims, and to find owners for what has none. */
function settle(guest: GuestLog, { device, later, permissions }: Claims): Ownership {
	const { events } = guest;
	const live = new LivePages();
	let unownedMaps = 0;
	let unownedUnmaps = 0;
	for (let i = 0; i < events.length; i++) {
		const kind = events.kind[i];
		if (kind === Guest.map) {
			if (device[i] === NOBODY) unownedMaps++;
			else live.map(device[i], events.start[i], events.end[i]);
		} else if (kind === Guest.unmap) {
			const owner = unmapOwner(live, device[i], later[i], events.start[i], events.end[i]);
			device[i] = owner;
			if (owner === NOBODY) unownedUnmaps++;
			else live.unmap(owner, events.start[i], events.end[i]);
		}
	}
	return { device, permissions, unownedMaps, unownedUnmaps, replacedPages: live.replaced };
}

function unmapOwner(live: LivePages, before: number, after: number, start: number, end: number): number {
	for (const claimed of [before, after]) {
		if (claimed !== NOBODY && live.maps(claimed, start, end)) return claimed;
	}
	// mapped before the trace began, perhaps: the claim is all there is
	if (before !== NOBODY) return before;
	if (after !== NOBODY) return after;
	return live.soleOwner(start, end);
}
