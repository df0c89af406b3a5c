import type { Columns } from "./trace.ts";

/** Where the figures of a replay begin; what comes before only warms caches and tables. */
export type WarmUp =
	/** microseconds since the start of the trace */
	| { time: number }
	/** rows of the trace */
	| { events: number };

/** Whether a row counts: its number in the trace, and its time. */
export function isWarm(mark: WarmUp | undefined, row: number, time: number): boolean {
	if (mark === undefined) return true;
	return "time" in mark ? time >= mark.time : row >= mark.events;
}

/** The first row of a chunk that counts, its length when none does; `before` rows came ahead of it. */
export function firstWarmRow(columns: Columns, before: number, mark: WarmUp | undefined): number {
	if (mark === undefined) return 0;
	if ("events" in mark) return Math.min(Math.max(0, mark.events - before), columns.length);
	let low = 0;
	let high = columns.length;
	while (low < high) {
		const middle = (low + high) >> 1;
		if (columns.time[middle] < mark.time) low = middle + 1;
		else high = middle;
	}
	return low;
}
