import cliProgress from "cli-progress";
import { Command, InvalidArgumentError } from "commander";
import { EngineError, parseCacheConfig } from "../../engine/index.ts";
import type { IotlbChoice } from "../../replay/machine.ts";
import { type ReplayOptions, type ReplayProgress, replay } from "../../replay/replay.ts";
import type { Trace } from "../../replay/trace.ts";
import { renderSummary } from "../render.ts";
import { ReplayOutputs } from "../replay-outputs.ts";

function iotlb(text: string): IotlbChoice {
	if (text === "qemu-7.2" || text === "qemu-10") return text;
	try {
		return parseCacheConfig(text, "--iotlb");
	} catch (error) {
		if (error instanceof EngineError) throw new InvalidArgumentError(`${error.message}; or qemu-7.2, qemu-10`);
		throw error;
	}
}

export const amount = (text: string): number => {
	const n = Number(text);
	if (text.trim() === "" || !Number.isFinite(n) || n < 0) throw new InvalidArgumentError(`"${text}" is no number of at least 0`);
	return n;
};

export const whole = (text: string): number => {
	const n = amount(text);
	if (!Number.isInteger(n)) throw new InvalidArgumentError(`"${text}" is no whole number`);
	return n;
};

/** A bar on a terminal, nothing elsewhere. */
function progressBar(): { update: (progress: ReplayProgress) => void; stop: () => void } {
	if (!process.stderr.isTTY) return { update: () => {}, stop: () => {} };
	const bar = new cliProgress.SingleBar({ format: "{phase} {bar} {percentage}%", stream: process.stderr, clearOnComplete: true, hideCursor: true }, cliProgress.Presets.rect);
	bar.start(1, 0, { phase: "import" });
	return {
		update: (p) => {
			if (p.total === null || p.total === 0) return;
			bar.setTotal(p.total);
			bar.update(p.phase === "import" ? p.loaded : p.done, { phase: p.phase === "import" ? `import ${p.file}` : "replay" });
		},
		stop: () => bar.stop(),
	};
}

/** Long options are named as the library's. */
type Flags = ReplayOptions & { json?: boolean; report?: string; perfetto?: string; plots?: boolean };

export const replayCommand = new Command("replay")
	.description("replay a recorded run through the engine and compare every DMA with what the recorder saw")
	.argument("<files...>", "a QEMU vIOMMU log and the guest's ftrace of the same run, or one joined *.merged.csv; plain, .gz or - for standard input")
	.option("--json", "print one JSON object")
	.option("--iotlb <geometry>", "SETSxWAYS[:POLICY], full:N[:POLICY] (POLICY lru, plru, fifo, random[:SEED], clear), qemu-7.2 or qemu-10", iotlb)
	.option("--no-walk-cache", "without paging-structure caches")
	.option("--no-context-cache", "without a context cache")
	.option("--ignore-invalidations", "never clear a cache")
	.option("--device <bdf>", "only this device, e.g. 0000:00:01.0")
	.option("--from <us>", "from this time on, microseconds since the start", amount)
	.option("--to <us>", "up to this time", amount)
	.option("--limit <events>", "at most so many events", whole)
	.option("--strict", "stop at the first damaged line, exit 1")
	.option("--report <file>", "write one HTML file with plots: curves, hit rates, address spaces, life times, faults")
	.option("--perfetto <file>", "write trace events for ui.perfetto.dev; large: see --from, --to, --limit")
	.option("--plots", "sparklines of the hit rate over time; on a terminal they come without asking")
	.option("--no-plots", "no sparklines")
	.addHelpText("after", "\nExamples:\n  ioasid replay test/traces/vtd_mixed_cut.merged.csv.gz --iotlb qemu-7.2\n  ioasid replay test/traces/vtd_mixed_cut.merged.csv.gz --plots --report report.html\n  ioasid replay test/traces/vtd_faults_edu.qemu.log.gz test/traces/vtd_faults_edu.guest_ftrace.txt.gz --perfetto faults.json")
	.action(async (files: string[], flags: Flags) => {
		const { json, report, perfetto, plots = process.stdout.isTTY && !json, ...options } = flags;
		const outputs = new ReplayOutputs({ ...(report === undefined ? {} : { report }), ...(perfetto === undefined ? {} : { perfetto }), plots });
		const bar = progressBar();
		const damage: string[] = [];
		options.observers = outputs.observers;
		let trace: Trace | null = null;
		options.onTrace = (imported) => {
			trace = imported;
		};
		options.onProgress = bar.update;
		options.onDamage = (place) => damage.push(`${place.file}${place.line === null ? "" : `:${place.line}`}: ${place.what}`);
		try {
			const summary = await replay(files, options);
			if (trace !== null) await outputs.end(trace, options, summary);
			bar.stop();
			for (const line of damage.slice(0, 10)) console.error(line);
			if (summary.damagedLines > 0) console.error(`${summary.damagedLines} damaged lines`);
			console.log(json ? JSON.stringify(summary) : [renderSummary(summary), ...outputs.lines(process.stdout.columns ?? 100)].join("\n"));
		} finally {
			bar.stop();
		}
	});
