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

/** What is known otherwise of the shift, host index minus guest index. */
export interface ShiftBounds {
	least: number;
	most: number;
	/** host time minus guest time, microseconds, as the first uses of pages have it; null without clocks */
	offset: number | null;
}

/** Invalidations that may be on their way at a moment: what bounds of a shift may be off by. */
const OVERLAP = 2;
/** This many keys in a row cannot agree by chance, in a strict recording */
const AGREE = 50;
/** in a recording that lost many lines as many must do */
const LOSSY = 20;
/** keys from which on an agreement is looked for */
const STARTS = [0, 10, 25, 60, 120, 250, 500, 1000];
/** fewer are no agreement, unless a sequence has no more */
const FEW = 8;
/** where keys repeat (flush queues: a few domains in turn), longer runs are compared, up to this */
const LONGEST = 2000;
/** after a lost line: keys that must agree again, and how far to look for them */
const RESUME = 4;
const NEAR = 64;
const FAR = 4096;
/** microseconds a pair: clock differences that move no more are alike */
const ALIKE = 50;
/** pairs that tell how the clocks differ at the moment, and by how many microseconds a pair may be off that */
const LATELY = 200;
const STEADY = 20_000;

/** Aligns the sequences; null when they do not fit anywhere. `timed` tells whether the host's times are a clock. */
export function align(guest: KeySequence, host: KeySequence, timed: boolean, bounds: () => ShiftBounds | null = () => null): Pairs | null {
	const guestLength = guest.tags.length;
	const hostLength = host.tags.length;
	// a damaged line near the start must not spoil everything: other starts are tried
	for (const agree of timed ? [AGREE, LOSSY] : [AGREE]) {
		for (const start of STARTS) {
			if (start > 0 && guestLength - start < agree) break;
			const shift = bestShift(guest, host, start, agree, timed, bounds);
			if (shift !== null) return both(guest, host, start, shift, timed);
		}
	}
	// the guest's tracing may have been on first, in a log that was cut at its start
	const least = Math.min(AGREE, hostLength);
	for (let start = 0; hostLength > 0 && start < guestLength; start++) {
		const needed = Math.max(Math.min(AGREE, guestLength - start), Math.min(least, FEW));
		if (agreement(guest, host, start, 0, AGREE) >= Math.min(needed, hostLength)) return both(guest, host, start, 0, timed);
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

/**
 * Where in the host's sequence the guest's `start` lies: nearest to the known bounds, among equals the longest agreement, and among
 * these the steadiest clock difference.
 */
function bestShift(guest: KeySequence, host: KeySequence, start: number, agree: number, timed: boolean, bounds: () => ShiftBounds | null): number | null {
	const needed = Math.min(agree, guest.tags.length - start);
	const candidates: { h: number; length: number }[] = [];
	for (let h = 0; h + needed <= host.tags.length; h++) {
		const length = agreement(guest, host, start, h, needed);
		if (length === needed) candidates.push({ h, length });
	}
	if (candidates.length <= 1) return candidates[0]?.h ?? null;
	// only where keys repeat is it worth while to look at the pages
	const known = bounds();
	const off = candidates.map(({ h }) => (known === null ? 0 : outside(h - start, known)));
	const leastOff = off.reduce((least, value) => Math.min(least, value));
	const near = candidates.filter((_, index) => off[index] === leastOff);
	// a few flushes that are all alike tell little of themselves: the clocks' difference, which the pages know, tells more
	if (timed && known !== null && known.offset !== null && needed < agree) {
		const { offset } = known;
		return leastOf(near, ({ h }) => Math.abs(host.times[h] - guest.times[start] - offset));
	}
	for (const candidate of near) candidate.length = agreement(guest, host, start, candidate.h, LONGEST);
	const longest = near.reduce((most, { length }) => Math.max(most, length), 0);
	// without a clock the last fit wins: the guest starts later and both end together
	const fits = near.filter(({ length }) => length === longest).reverse();
	const fromMiddle = ({ h }: { h: number }) => middle(h - start, known);
	if (!timed) return leastOf(fits, fromMiddle);
	const spread = fits.map(({ h, length }) => jitter(guest, host, start, h, length));
	const least = spread.reduce((low, value) => Math.min(low, value));
	// a flush queue's timer goes off with the tick: its distances are all alike, and then the pages know better
	const timer = known !== null && guest.addresses.subarray(start, start + needed).every((address) => address === 0);
	const alike = timer ? 2 * least + ALIKE * longest : least;
	return leastOf(fits.filter((_, index) => spread[index] <= alike), fromMiddle);
}

/** The place with the least measure, the first of equals. */
function leastOf(places: readonly { h: number }[], measure: (place: { h: number }) => number): number | null {
	let best: number | null = null;
	let least = Number.POSITIVE_INFINITY;
	for (const place of places) {
		const value = measure(place);
		if (value >= least) continue;
		least = value;
		best = place.h;
	}
	return best;
}

/** By how much a shift is out of bounds. */
function outside(shift: number, { least, most }: ShiftBounds): number {
	return Math.max(0, least - OVERLAP - shift, shift - most - OVERLAP);
}

/** How far a shift is from the middle of the bounds; 0 when there are none. */
function middle(shift: number, bounds: ShiftBounds | null): number {
	if (bounds === null) return 0;
	return Number.isFinite(bounds.least) ? Math.abs(2 * shift - bounds.least - bounds.most) : Math.abs(shift - bounds.most);
}

/** How much the clock difference moves from pair to pair; drift hardly counts. */
function jitter(guest: KeySequence, host: KeySequence, g: number, h: number, length: number): number {
	let sum = 0;
	for (let i = 1; i < length; i++) {
		sum += Math.abs(host.times[h + i] - host.times[h + i - 1] - (guest.times[g + i] - guest.times[g + i - 1]));
	}
	return sum;
}

/** Pairs from the aligned place on, and backwards from it. */
function both(guest: KeySequence, host: KeySequence, g: number, h: number, timed: boolean): Pairs {
	const after = walk(guest, host, g, h, timed);
	const clock = timed ? usualDifference(guest, host, { ...after, guest: after.guest.slice(0, LATELY) }) : null;
	const before = walk(reversed(guest, g), reversed(host, h), 0, 0, timed, clock === null ? null : -clock);
	return {
		guest: [...before.guest.map((index) => g - 1 - index).reverse(), ...after.guest],
		host: [...before.host.map((index) => h - 1 - index).reverse(), ...after.host],
		skipped: before.skipped + after.skipped,
	};
}

/** The first `length` keys, the last one first; time runs on. */
function reversed({ tags, addresses, times }: KeySequence, length: number): KeySequence {
	return {
		tags: tags.slice(0, length).reverse(),
		addresses: addresses.slice(0, length).reverse(),
		times: times.slice(0, length).reverse().map((time) => -time),
	};
}

/** Pairs key by key from a place on, and stands up again after a lost or damaged line; `difference` is the clocks' at the start, when known. */
function walk(guest: KeySequence, host: KeySequence, g: number, h: number, timed: boolean, difference: number | null = null): Pairs {
	const pairs: Pairs = { guest: [], host: [], skipped: 0 };
	const floor: [number, number] = [g, h];
	while (g < guest.tags.length && h < host.tags.length) {
		if (same(guest, host, g, h)) {
			pairs.guest.push(g++);
			pairs.host.push(h++);
			continue;
		}
		const clock = timed ? (usualDifference(guest, host, pairs) ?? difference) : null;
		const next = (clock === null ? null : resumeByClock(guest, host, g, h, clock)) ?? resume(guest, host, g, h, NEAR) ?? resume(guest, host, g, h, FAR);
		if (next === null) break;
		[g, h] = clock === null ? next : backwards(guest, host, pairs, floor, next, clock);
		const last = pairs.guest.length - 1;
		pairs.skipped += last < 0 ? 0 : g - pairs.guest[last] + h - pairs.host[last] - 2;
	}
	pairs.skipped += guest.tags.length - g;
	return pairs;
}

/** The middle of the clock differences of the last pairs; null when there are none. */
function usualDifference(guest: KeySequence, host: KeySequence, pairs: Pairs): number | null {
	const from = Math.max(0, pairs.guest.length - LATELY);
	const differences = pairs.guest.slice(from).map((g, i) => host.times[pairs.host[from + i]] - guest.times[g]);
	differences.sort((a, b) => a - b);
	return differences.length === 0 ? null : differences[differences.length >> 1];
}

/** The place nearby where the sequences agree again and the clocks differ as they usually do, best. */
function resumeByClock(guest: KeySequence, host: KeySequence, g: number, h: number, clock: number): [number, number] | null {
	let best: [number, number] | null = null;
	let least = STEADY;
	for (let total = 1; total <= NEAR; total++) {
		for (let skip = 0; skip <= total; skip++) {
			const atGuest = g + skip;
			const atHost = h + total - skip;
			const needed = Math.min(RESUME, guest.tags.length - atGuest, host.tags.length - atHost);
			if (needed <= 0 || agreement(guest, host, atGuest, atHost, needed) < needed) continue;
			const off = Math.abs(host.times[atHost] - guest.times[atGuest] - clock);
			if (off >= least) continue;
			least = off;
			best = [atGuest, atHost];
		}
	}
	return best;
}

/** Where keys repeat, a lost line shows late: pairs that fit the clock less well than those of the new alignment are taken back. */
function backwards(guest: KeySequence, host: KeySequence, pairs: Pairs, floor: [number, number], [g, h]: [number, number], clock: number): [number, number] {
	const off = (atGuest: number, atHost: number) => Math.abs(host.times[atHost] - guest.times[atGuest] - clock);
	while (g > floor[0] && h > floor[1] && same(guest, host, g - 1, h - 1)) {
		const last = pairs.guest.length - 1;
		const meets = last >= 0 && (pairs.guest[last] >= g - 1 || pairs.host[last] >= h - 1);
		if (meets && off(g - 1, h - 1) >= off(pairs.guest[last], pairs.host[last])) break;
		g--;
		h--;
		while (pairs.guest.length > 0 && (pairs.guest[pairs.guest.length - 1] >= g || pairs.host[pairs.host.length - 1] >= h)) {
			pairs.guest.pop();
			pairs.host.pop();
		}
	}
	return [g, h];
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
