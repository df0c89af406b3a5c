/** A report of a replay that a collector watched. */
import { CurveBuilder } from "../replay/curve/builder.ts";
import type { CurveResult } from "../replay/curve/types.ts";
import { faultReport } from "../replay/history.ts";
import { type ReplayOptions, replayTrace } from "../replay/replay.ts";
import type { ReplaySummary } from "../replay/summary.ts";
import type { Trace } from "../replay/trace.ts";
import { reportData, STORIES } from "./build.ts";
import type { Collector } from "./collector.ts";
import { renderReport } from "./html.ts";

/** A replay and what watched it. */
export interface Replayed {
	trace: Trace;
	/** as the replay was given them */
	options: ReplayOptions;
	summary: ReplaySummary;
	/** was an observer of the replay */
	collector: Collector;
}

/** The HTML file. The trace is replayed once more for its curves. @throws EngineError */
export async function makeReport(replayed: Replayed): Promise<string> {
	const { trace, options } = replayed;
	const curves = await curvesOf(replayed);
	const history = faultReport(trace, { limit: STORIES, ...(options.signal === undefined ? {} : { signal: options.signal }) });
	if (options.device !== undefined || options.limit !== undefined) history.notes.push("Life times and causes are of the whole trace, whatever part of it was replayed.");
	return renderReport(reportData({ ...replayed, curves, history }));
}

/** Curves of the rows that the replay took, with their invalidations and without. */
async function curvesOf({ trace, options }: Replayed): Promise<CurveResult[]> {
	const { device, limit, warmUp, signal, onProgress } = options;
	const builders = [true, false].map((invalidations) => new CurveBuilder({ invalidations, ...(warmUp === undefined ? {} : { warmUp }) }));
	// caches that are off answer nothing stale: tables alone decide
	const rows = { ...(device === undefined ? {} : { device }), ...(limit === undefined ? {} : { limit }) };
	const watching = { ...(signal === undefined ? {} : { signal }), ...(onProgress === undefined ? {} : { onProgress }) };
	await replayTrace(trace, { ...rows, ...watching, iotlb: false, walkCache: false, explain: 0, observers: builders });
	return builders.map((builder) => builder.result());
}
