/** A report of a replay that a collector watched. */
import type { ReplayOptions } from "../replay/replay.ts";
import type { ReplaySummary } from "../replay/summary.ts";
import type { Trace } from "../replay/trace.ts";
import { reportData } from "./build.ts";
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

/** The HTML file. */
export async function makeReport(replayed: Replayed): Promise<string> {
	return renderReport(reportData(replayed));
}
