/**
 * Looking over a replay's shoulder: reports and exports gather their series here, beside the one pass over the events.
 */
import type { EventRun, RunColumns } from "../engine/index.ts";
import type { TraceDevice } from "./trace.ts";

/** Rows [from, to) of the engine's columns with their answers. Nothing here outlives the call. */
export interface Stretch {
	/** counters of the unit and of each device, as they stand after the stretch */
	run: EventRun;
	rows: RunColumns;
	from: number;
	to: number;
	/** microseconds since the start of the trace; `time[i]` belongs to row i */
	time: Float64Array;
	/** every device met so far; a row's `id` counts them (of invalidate rows it is the domain) */
	devices: readonly TraceDevice[];
	/** domain id that tags the cached answers of each device */
	domains: readonly number[];
}

/** Told of every stretch of a replay, in order. */
export interface ReplayObserver {
	observe(stretch: Stretch): void;
}

/** Rows of a stretch, at most: what is sampled once for each stretch (counters by level) has this grain. */
export const STRETCH = 4096;
