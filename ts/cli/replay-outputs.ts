import { closeSync, openSync, writeFileSync } from "node:fs";
import type { ReplayObserver } from "../replay/observer.ts";
import type { ReplayOptions } from "../replay/replay.ts";
import type { ReplaySummary } from "../replay/summary.ts";
import type { Trace } from "../replay/trace.ts";
import { Collector, hitRateLines, makeReport, PerfettoTrace } from "../report/index.ts";

/** What `ioasid replay` writes besides its summary. */
export interface OutputFlags {
	/** path of the HTML file */
	report?: string;
	/** path of the trace events */
	perfetto?: string;
	/** sparklines */
	plots: boolean;
}

/** Files and lines that are gathered while a replay runs. A path that cannot be written costs no replay. */
export class ReplayOutputs {
	readonly observers: ReplayObserver[] = [];
	private readonly flags: OutputFlags;
	private readonly collector: Collector | null;
	private readonly perfetto: { trace: PerfettoTrace; close: () => void } | null;

	/** @throws RangeError for a path that cannot be written */
	constructor(flags: OutputFlags) {
		this.flags = flags;
		this.collector = flags.plots || flags.report !== undefined ? new Collector() : null;
		if (flags.report !== undefined) mustBeWritable(flags.report, "--report");
		if (flags.perfetto !== undefined) mustBeWritable(flags.perfetto, "--perfetto");
		this.perfetto = flags.perfetto === undefined ? null : perfettoFile(flags.perfetto);
		if (this.collector !== null) this.observers.push(this.collector);
		if (this.perfetto !== null) this.observers.push(this.perfetto.trace);
	}

	/** Writes what is to be written. */
	async end(trace: Trace, options: ReplayOptions, summary: ReplaySummary): Promise<void> {
		const { collector, perfetto, flags } = this;
		if (perfetto !== null) {
			perfetto.trace.end(trace);
			perfetto.close();
		}
		if (collector !== null && flags.report !== undefined) writeFileSync(flags.report, await makeReport({ trace, options, summary, collector }));
	}

	/** Lines for a terminal of so many columns. */
	lines(columns: number): string[] {
		if (!this.flags.plots || this.collector === null) return [];
		const lines = hitRateLines(this.collector, columns);
		return lines.length === 0 ? [] : ["", ...lines];
	}
}

/** The file is opened, and its old content lost, when the first events come. */
function perfettoFile(path: string): { trace: PerfettoTrace; close: () => void } {
	let file: number | null = null;
	const trace = new PerfettoTrace((part) => {
		file ??= openSync(path, "w");
		writeFileSync(file, part);
	});
	return { trace, close: () => file !== null && closeSync(file) };
}

function mustBeWritable(path: string, option: string): void {
	try {
		closeSync(openSync(path, "a"));
	} catch (error) {
		throw new RangeError(`${option} ${path}: cannot be written: ${(error as Error).message}`);
	}
}
