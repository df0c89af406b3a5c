/** Pairs inside the gaps of an alignment: where several lines are lost close together, what is between them has partners too. */
import type { KeySequence, Pairs } from "./sequence.ts";

/** Cells of the largest gap that is looked at: keys of one side times keys of the other. */
const LARGEST = 1 << 20;
/** microseconds that a pair may be off the clocks' difference; where it was told by neighbours, and by the first uses of pages */
const STEADY = 1000;
const ROUGHLY = 5000;

/** Fills gaps between two pairs with the most pairs in order, among equals those that the clocks fit best. */
export function fillGaps(guest: KeySequence, host: KeySequence, { guest: ofGuest, host: ofHost, skipped }: Pairs, timed: boolean): Pairs {
	const filled: Pairs = { guest: [], host: [], skipped };
	for (let i = 0; i < ofGuest.length; i++) {
		if (i > 0) {
			const [g, h] = [ofGuest[i - 1] + 1, ofHost[i - 1] + 1];
			const [rows, columns] = [ofGuest[i] - g, ofHost[i] - h];
			if (rows > 0 && columns > 0 && rows * columns <= LARGEST) {
				const clock = timed ? (host.times[ofHost[i - 1]] - guest.times[ofGuest[i - 1]] + host.times[ofHost[i]] - guest.times[ofGuest[i]]) / 2 : null;
				filled.skipped -= 2 * between(guest, host, filled, [g, h], [rows, columns], clock, STEADY);
			}
		}
		filled.guest.push(ofGuest[i]);
		filled.host.push(ofHost[i]);
	}
	return filled;
}

/** Pairs of two short sequences by the clocks' difference alone; null when there are none. */
export function pairByClock(guest: KeySequence, host: KeySequence, clock: number): Pairs | null {
	const size: [number, number] = [guest.tags.length, host.tags.length];
	if (size[0] * size[1] > LARGEST) return null;
	const pairs: Pairs = { guest: [], host: [], skipped: 0 };
	const count = between(guest, host, pairs, [0, 0], size, clock, ROUGHLY);
	pairs.skipped = size[0] - count;
	return count === 0 ? null : pairs;
}

/** Appends the pairs of one gap; how many there are. */
function between(guest: KeySequence, host: KeySequence, pairs: Pairs, [g, h]: [number, number], [rows, columns]: [number, number], clock: number | null, steady: number): number {
	// best[r][c]: pairs among the keys from r and c on, less a little for what they are off
	const width = columns + 1;
	const best = new Float64Array((rows + 1) * width);
	const worth = (r: number, c: number) => {
		if (guest.tags[g + r] !== host.tags[h + c] || guest.addresses[g + r] !== host.addresses[h + c]) return 0;
		const off = clock === null ? 0 : Math.abs(host.times[h + c] - guest.times[g + r] - clock);
		return off >= steady ? 0 : 1 - off / (steady * (rows + 1));
	};
	for (let r = rows - 1; r >= 0; r--) {
		for (let c = columns - 1; c >= 0; c--) {
			const value = worth(r, c);
			const taken = value === 0 ? 0 : value + best[(r + 1) * width + c + 1];
			best[r * width + c] = Math.max(taken, best[(r + 1) * width + c], best[r * width + c + 1]);
		}
	}
	let count = 0;
	for (let r = 0, c = 0; r < rows && c < columns; ) {
		const here = best[r * width + c];
		if (here === best[(r + 1) * width + c]) r++;
		else if (here === best[r * width + c + 1]) c++;
		else {
			pairs.guest.push(g + r++);
			pairs.host.push(h + c++);
			count++;
		}
	}
	return count;
}
