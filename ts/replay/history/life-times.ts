/** Life times of maps. */
import { Kind, type Trace } from "../trace.ts";
import type { EventRef, Histogram, LifeTimes } from "./types.ts";
import { eventRef } from "./words.ts";

/** Maps that `neverUnmapped` names. */
const NAMED = 100;

/** Values in powers of two; the first interval is [0, 1). */
export function histogramOf(values: Iterable<number>): Histogram {
	const counts: number[] = [];
	for (const value of values) {
		const bin = value < 1 ? 0 : Math.floor(Math.log2(value)) + 1;
		while (counts.length <= bin) counts.push(0);
		counts[bin]++;
	}
	return { edges: counts.length === 0 ? [] : [0, ...counts.map((_, i) => 2 ** i)], counts };
}

const mean = (sorted: readonly number[]) => (sorted.length === 0 ? null : sorted.reduce((a, b) => a + b, 0) / sorted.length);
/** The smallest value that this share of them does not exceed. */
const quantile = (sorted: readonly number[], share: number) => (sorted.length === 0 ? null : sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]);

export class LifeTimeCounter {
	/** pages left of each map that lives, by row */
	private readonly left = new Map<number, number>();
	private readonly lives: number[][];
	private readonly maps: number[];
	private readonly replaced = new Set<number>();
	private emptyUnmaps = 0;
	private replacements = 0;

	constructor(private readonly trace: Trace) {
		this.lives = trace.devices.map(() => []);
		this.maps = trace.devices.map(() => 0);
	}

	mapped(row: number, pages: number): void {
		this.left.set(row, pages);
		this.maps[this.trace.columns.id[row]]++;
	}

	/** Pages of a map go, by the event of `row`. */
	cut(mapRow: number, pages: number, row: number): void {
		const { columns } = this.trace;
		if (columns.kind[row] === Kind.map && !this.replaced.has(mapRow)) {
			this.replaced.add(mapRow);
			this.replacements++;
		}
		const left = (this.left.get(mapRow) ?? 0) - pages;
		if (left > 0) {
			this.left.set(mapRow, left);
			return;
		}
		this.left.delete(mapRow);
		this.replaced.delete(mapRow);
		this.lives[columns.id[mapRow]].push(columns.time[row] - columns.time[mapRow]);
	}

	/** An unmap that took nothing away. */
	empty(): void {
		this.emptyUnmaps++;
	}

	result(): LifeTimes {
		const { trace, left } = this;
		const alive = trace.devices.map(() => ({ maps: 0, pages: 0 }));
		const neverUnmapped: EventRef[] = [];
		for (const [row, pages] of left) {
			const device = alive[trace.columns.id[row]];
			device.maps++;
			device.pages += pages;
			if (neverUnmapped.length < NAMED) neverUnmapped.push(eventRef(trace, row));
		}
		for (const lives of this.lives) lives.sort((a, b) => a - b);
		const all = this.lives.flat().sort((a, b) => a - b);
		return {
			maps: this.maps.reduce((a, b) => a + b, 0),
			ended: all.length,
			replaced: this.replacements,
			alive: left.size,
			mean: mean(all),
			p50: quantile(all, 0.5),
			p99: quantile(all, 0.99),
			longest: all[all.length - 1] ?? null,
			histogram: histogramOf(all),
			perDevice: trace.devices.map(({ rid, name }, i) => ({
				sid: rid,
				name,
				maps: this.maps[i],
				ended: this.lives[i].length,
				alive: alive[i].maps,
				aliveBytes: alive[i].pages * 4096,
				mean: mean(this.lives[i]),
				p50: quantile(this.lives[i], 0.5),
				p99: quantile(this.lives[i], 0.99),
			})),
			neverUnmapped,
			emptyUnmaps: this.emptyUnmaps,
		};
	}
}
