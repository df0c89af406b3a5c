/** Life times of maps. */
import { widened } from "../curve/page-index.ts";
import { Kind } from "../trace.ts";
import type { Move } from "./kept.ts";
import type { EventRef, Histogram, LifeTimes } from "./types.ts";
import { type Events, eventRef } from "./words.ts";

/** Maps that `neverUnmapped` names. */
const NAMED = 100;

/** Values in powers of two; the first interval is [0, 1). */
export class Bins {
	private readonly counts: number[] = [];

	add(value: number): void {
		const bin = value < 1 ? 0 : Math.floor(Math.log2(value)) + 1;
		while (this.counts.length <= bin) this.counts.push(0);
		this.counts[bin]++;
	}

	get histogram(): Histogram {
		return { edges: this.counts.length === 0 ? [] : [0, ...this.counts.map((_, i) => 2 ** i)], counts: this.counts };
	}
}

const mean = (sorted: Float64Array) => (sorted.length === 0 ? null : sorted.reduce((a, b) => a + b, 0) / sorted.length);
/** The smallest value that this share of them does not exceed. */
const quantile = (sorted: Float64Array, share: number) => (sorted.length === 0 ? null : sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]);

/** Any number of values. */
class Values {
	private held = new Float64Array(64);
	private count = 0;

	add(value: number): void {
		if (this.count === this.held.length) this.held = widened(this.held);
		this.held[this.count++] = value;
	}

	sorted(): Float64Array {
		return this.held.subarray(0, this.count).sort();
	}
}

export class LifeTimeCounter {
	/** pages left of each map that lives, by row */
	private left = new Map<number, number>();
	private readonly lives: Values[];
	private readonly maps: number[];
	private replaced = new Set<number>();
	private emptyUnmaps = 0;
	private replacements = 0;

	constructor(private readonly trace: Events) {
		this.lives = trace.devices.map(() => new Values());
		this.maps = trace.devices.map(() => 0);
	}

	/** Names every row that is remembered. */
	rows(keep: (row: number) => void): void {
		for (const row of this.left.keys()) keep(row);
	}

	/** Rows have become others. */
	move(to: Move): void {
		this.left = new Map(Array.from(this.left, ([row, pages]) => [to(row), pages]));
		this.replaced = new Set(Array.from(this.replaced, to));
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
		this.lives[columns.id[mapRow]].add(columns.time[row] - columns.time[mapRow]);
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
		const lives = this.lives.map((values) => values.sorted());
		const all = new Float64Array(lives.reduce((sum, { length }) => sum + length, 0));
		lives.reduce((at, values) => {
			all.set(values, at);
			return at + values.length;
		}, 0);
		all.sort();
		const bins = new Bins();
		for (const value of all) bins.add(value);
		return {
			maps: this.maps.reduce((a, b) => a + b, 0),
			ended: all.length,
			replaced: this.replacements,
			alive: left.size,
			mean: mean(all),
			p50: quantile(all, 0.5),
			p99: quantile(all, 0.99),
			longest: all[all.length - 1] ?? null,
			histogram: bins.histogram,
			perDevice: trace.devices.map(({ rid, name }, i) => ({
				sid: rid,
				name,
				maps: this.maps[i],
				ended: lives[i].length,
				alive: alive[i].maps,
				aliveBytes: alive[i].pages * 4096,
				mean: mean(lives[i]),
				p50: quantile(lives[i], 0.5),
				p99: quantile(lives[i], 0.99),
			})),
			neverUnmapped,
			emptyUnmaps: this.emptyUnmaps,
		};
	}
}
