/**
 * Aligning the guest's invalidation requests with the emulator's, which are the same sequence seen from two sides.
 */

/** Two parallel key columns and a clock: one side of the alignment. */
export interface KeySequence {
	/** domain, PASID and scope */
	tags: Float64Array;
	addresses: Float64Array;
	/** microseconds on the side's own clock */
	times: Float64Array;
}

/** Pairs of indices, rising on both sides. */
export interface Pairs {
	guest: number[];
	host: number[];
	/** keys that had no partner once the sequences were aligned */
	skipped: number;
}

/** This many keys in a row cannot agree by chance, in a strict recording */
const AGREE = 50;
/** fewer are no agreement, unless a sequence has no more */
const FEW = 8;
/** where keys repeat (flush queues: a few domains in turn), longer runs are compared, up to this */
const LONGEST = 2000;
/** after a lost line: keys that must agree again, and how far to look for them */
const RESUME = 4;
const NEAR = 64;
const FAR = 4096;

/** Aligns the sequences; null when they do not fit anywhere. `timed` tells whether the host's times are a clock. */
export function align(guest: KeySequence, host: KeySequence, timed: boolean): Pairs | null {
	const guestLength = guest.tags.length;
	const hostLength = host.tags.length;
	// a damaged line near the start must not spoil everything: other starts are tried
	for (const start of [0, 10, 25, 60, 120, 250, 500, 1000]) {
		if (start > 0 && guestLength - start < AGREE) break;
		const shift = bestShift(guest, host, start, timed);
		if (shift !== null) return walk(guest, host, start, shift);
	}
	// the guest's tracing may have been on first, in a log that was cut at its start
	const least = Math.min(AGREE, hostLength);
	for (let start = 0; hostLength > 0 && start < guestLength; start++) {
		const needed = Math.max(Math.min(AGREE, guestLength - start), Math.min(least, FEW));
		if (agreement(guest, host, start, 0, AGREE) >= Math.min(needed, hostLength)) return walk(guest, host, start, 0);
	}
	return null;
}

function same(guest: KeySequence, host: KeySequence, g: number, h: number): boolean {
	return guest.tags[g] === host.tags[h] && guest.addresses[g] === host.addresses[h];
}

function agreement(guest: KeySequence, host: KeySequence, g: number, h: number, most: number): number {
	const limit = Math.min(most, guest.tags.length - g, host.tags.length - h);
	let count = 0;
	while (count < limit && same(guest, host, g + count, h + count)) count++;
	return count;
}

/** Where in the host's sequence the guest's `start` lies: the longest agreement, and among equals the steadiest clock difference. */
function bestShift(guest: KeySequence, host: KeySequence, start: number, timed: boolean): number | null {
	const needed = Math.min(AGREE, guest.tags.length - start);
	let best: number | null = null;
	let bestLength = 0;
	let bestSpread = Number.POSITIVE_INFINITY;
	for (let h = 0; h + needed <= host.tags.length; h++) {
		const length = agreement(guest, host, start, h, LONGEST);
		if (length < needed || length < bestLength) continue;
		// without a clock the last fit wins: the guest starts later and both end together
		const spread = timed ? jitter(guest, host, start, h, length) : 0;
		if (length === bestLength && spread > bestSpread) continue;
		best = h;
		bestLength = length;
		bestSpread = spread;
	}
	return best;
}

/** How much the clock difference moves from pair to pair; drift hardly counts. */
function jitter(guest: KeySequence, host: KeySequence, g: number, h: number, length: number): number {
	let sum = 0;
	for (let i = 1; i < length; i++) {
		sum += Math.abs(host.times[h + i] - host.times[h + i - 1] - (guest.times[g + i] - guest.times[g + i - 1]));
	}
	return sum;
}

/** Pairs key by key from the aligned place on, and stands up again after a lost or damaged line. */
function walk(guest: KeySequence, host: KeySequence, g: number, h: number): Pairs {
	const pairs: Pairs = { guest: [], host: [], skipped: 0 };
	// what lies before the place, backwards, as far as it agrees
	let back = 1;
	while (g - back >= 0 && h - back >= 0 && same(guest, host, g - back, h - back)) back++;
	g -= back - 1;
	h -= back - 1;
	while (g < guest.tags.length && h < host.tags.length) {
		if (same(guest, host, g, h)) {
			pairs.guest.push(g++);
			pairs.host.push(h++);
			continue;
		}
		const next = resume(guest, host, g, h, NEAR) ?? resume(guest, host, g, h, FAR);
		if (next === null) break;
		pairs.skipped += next[0] - g + next[1] - h;
		[g, h] = next;
	}
	pairs.skipped += guest.tags.length - g;
	return pairs;
}

/** The nearest place within `reach` where the sequences agree again. */
function resume(guest: KeySequence, host: KeySequence, g: number, h: number, reach: number): [number, number] | null {
	for (let total = 1; total <= reach; total++) {
		// with a wide reach only one side is skipped, or the search would be quadratic
		const steps = reach > NEAR ? [0, total] : Array.from({ length: total + 1 }, (_, step) => step);
		for (const skip of steps) {
			const atGuest = g + skip;
			const atHost = h + total - skip;
			const needed = Math.min(RESUME, guest.tags.length - atGuest, host.tags.length - atHost);
			if (needed > 0 && agreement(guest, host, atGuest, atHost, needed) === needed) return [atGuest, atHost];
		}
	}
	return null;
}
