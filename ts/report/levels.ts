/**
 * Memory references of page walks, by stage and level, over the run: one sample for each stretch of the replay; when
 * there are too many, two neighbours become one.
 */
import type { UnitCounters } from "../engine/index.ts";

/** Samples at most. */
const SAMPLES = 512;

/** A kind of reference. */
export interface Level {
	/** `second stage, level 0`: level 0 holds the smallest leaves */
	name: string;
	total: number;
	/** references since the sample before */
	samples: number[];
}

const STAGES = { first: "first stage", second: "second stage", tables: "device tables" } as const;

/** Gathers samples of the unit's counters. */
export class LevelSamples {
	/** end of each sample, microseconds */
	readonly time: number[] = [];
	/** translations since the sample before */
	readonly lookups: number[] = [];
	private readonly levels = new Map<string, Level>();
	private translations = 0;

	add(time: number, counters: UnitCounters): void {
		const here = this.time.push(time) - 1;
		this.lookups.push(counters.translations - this.translations);
		this.translations = counters.translations;
		for (const stage of ["first", "second", "tables"] as const) {
			counters.references[stage].forEach((total, number) => {
				const name = `${STAGES[stage]}, level ${number}`;
				let level = this.levels.get(name);
				if (level === undefined && total === 0) return;
				if (level === undefined) {
					level = { name, total: 0, samples: new Array<number>(here).fill(0) };
					this.levels.set(name, level);
				}
				level.samples.push(total - level.total);
				level.total = total;
			});
		}
		if (this.time.length === SAMPLES) this.halve();
	}

	/** What the run referred to: tables of devices first, then stages from the leaves up. */
	finish(): Level[] {
		return [...this.levels.values()].sort((a, b) => a.name.localeCompare(b.name));
	}

	private halve(): void {
		const half = this.time.length / 2;
		for (const column of [this.lookups, ...Array.from(this.levels.values(), ({ samples }) => samples)]) {
			for (let i = 0; i < half; i++) column[i] = column[2 * i] + column[2 * i + 1];
			column.length = half;
		}
		for (let i = 0; i < half; i++) this.time[i] = this.time[2 * i + 1];
		this.time.length = half;
	}
}
