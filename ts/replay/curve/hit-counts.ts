import { widened } from "./page-index.ts";
import type { HitCurve } from "./types.ts";

/** Sizes that are counted in an array; larger ones, which only sampling makes, in a map. */
const DENSE = 1 << 16;

/** Hits of every cache size, kept as what changes from one size to the next. */
export class HitCounts {
	accesses = 0;
	/** accesses that a sample stood for; stays 0 in exact counts */
	weight = 0;
	private dense = new Float64Array(1024);
	private readonly far = new Map<number, number>();
	private top = 0;

	/** `weight` hits in caches of `from` entries and more. */
	add(from: number, weight: number): void {
		if (from < DENSE) {
			while (from >= this.dense.length) this.dense = widened(this.dense);
			this.dense[from] += weight;
			if (from > this.top) this.top = from;
		} else this.far.set(from, (this.far.get(from) ?? 0) + weight);
	}

	/** In a sample, what it stands for too little or too much counts as hits of the smallest distance (SHARDS-adj). */
	curve(): HitCurve {
		const sizes: number[] = [];
		const hits: number[] = [];
		let sum = this.weight === 0 ? 0 : this.accesses - this.weight;
		let last = 0;
		const step = (size: number, change: number) => {
			sum += change;
			// a sample's correction may lead below zero or past the whole
			const value = Math.min(this.accesses, Math.max(last, sum));
			if (value === last) return;
			last = value;
			sizes.push(size);
			hits.push(value);
		};
		for (let size = 1; size <= this.top; size++) if (this.dense[size] !== 0) step(size, this.dense[size]);
		for (const size of [...this.far.keys()].sort((a, b) => a - b)) step(size, this.far.get(size) as number);
		return { accesses: this.accesses, sizes, hits };
	}
}

/** Hits of a cache of `entries`. */
export function hitsAt({ sizes, hits }: HitCurve, entries: number): number {
	let low = 0;
	let high = sizes.length;
	while (low < high) {
		const middle = (low + high) >> 1;
		if (sizes[middle] <= entries) low = middle + 1;
		else high = middle;
	}
	return low === 0 ? 0 : hits[low - 1];
}

/** Misses of a cache of `entries` by look-ups; 0 of an empty curve. */
export function missRatioAt(curve: HitCurve, entries: number): number {
	return curve.accesses === 0 ? 0 : 1 - hitsAt(curve, entries) / curve.accesses;
}
