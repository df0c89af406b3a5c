import { closeSync, openSync, writeFileSync, writeSync } from "node:fs";
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

/** Files and lines that are gathered while a replay runs. Files are opened before it, so that a wrong path costs no replay. */
export class ReplayOutputs {
	readonly observers: ReplayObserver[] = [];
	private readonly collector: Collector | null;
	private readonly perfetto: { file: number; trace: PerfettoTrace } | null = null;
	private readonly report: number | null = null;
	private readonly plots: boolean;

	/** @throws RangeError for a path that cannot be written */
	constructor({ report, perfetto, plots }: OutputFlags) {
		this.plots = plots;
		this.collector = plots || report !== undefined ? new Collector() : null;
		if (this.collector !== null) this.observers.push(this.collector);
		if (report !== undefined) this.report = opened(report, "--report");
		if (perfetto !== undefined) {
			const file = opened(perfetto, "--perfetto");
			this.perfetto = { file, trace: new PerfettoTrace((part) => writeSync(file, part)) };
			this.observers.push(this.perfetto.trace);
		}
	}

	/** Writes the files. */
	async end(trace: Trace, options: ReplayOptions, summary: ReplaySummary): Promise<void> {
		const { collector, perfetto, report } = this;
		if (perfetto !== null) {
			perfetto.trace.end(trace);
			closeSync(perfetto.file);
		}
		if (collector === null || report === null) return;
		writeFileSync(report, await makeReport({ trace, options, summary, collector }));
		closeSync(report);
	}

	/** Lines for a terminal of so many columns. */
	lines(columns: number): string[] {
		if (!this.plots || this.collector === null) return [];
		const lines = hitRateLines(this.collector, columns);
		return lines.length === 0 ? [] : ["", ...lines];
	}
}

function opened(path: string, option: string): number {
	try {
		return openSync(path, "w");
	} catch (error) {
		throw new RangeError(`${option} ${path}: cannot be written: ${(error as Error).message}`);
	}
}
