import { Command, Option } from "commander";
import { REPLAY_ARCHITECTURES, REPLAY_FORMATS } from "../../replay/formats.ts";
import { type ReplayOptions, replay } from "../../replay/replay.ts";
import type { Trace } from "../../replay/trace.ts";
import { amount, costs, warmUpOf, whole } from "../arguments.ts";
import { withExamples } from "../examples.ts";
import { deviceTlb, iotlb } from "../iotlb.ts";
import { replayBar } from "../progress.ts";
import { renderSummary } from "../render.ts";
import { ReplayOutputs } from "../replay-outputs.ts";

/** Long options are named as the library's. */
type Flags = Omit<ReplayOptions, "warmUp"> & { json?: boolean; report?: string; perfetto?: string; plots?: boolean; warmUp?: number; warmUpEvents?: number };

const command = new Command("replay")
	.description("replay a recorded run through the engine and compare every DMA with what the recorder saw")
	.argument("<files...>", "of one run: a QEMU vIOMMU log, the guest's trace (tracefs, trace-cmd, perf script), its kernel log; or one joined CSV, simulator CSV or packet list; plain, .gz, .zst or - for standard input")
	.option("--json", "print one JSON object")
	.option("--iotlb <geometry>", "SETSxWAYS[:POLICY], full:N[:POLICY] (POLICY lru, plru, fifo, random[:SEED], clear), qemu-7.2 or qemu-10", iotlb)
	.option("--no-walk-cache", "without paging-structure caches")
	.option("--no-context-cache", "without a context cache")
	.addOption(new Option("--architecture <name>", "on this IOMMU, with tables of the stage that was recorded; recorded: the recorder's own (default: second-stage tables of VT-d)").choices(REPLAY_ARCHITECTURES))
	.addOption(new Option("--format <name>", "with tables of this format").choices(Object.keys(REPLAY_FORMATS)).conflicts("architecture"))
	.option("--device-tlb <geometry>", "a TLB in each device, which uses ATS: SETSxWAYS[:POLICY] or full:N[:POLICY]", deviceTlb)
	.option("--ignore-invalidations", "never clear a cache")
	.option("--device <bdf>", "only this device, e.g. 0000:00:01.0")
	.option("--from <us>", "from this time on, microseconds since the start", amount)
	.option("--to <us>", "up to this time", amount)
	.option("--limit <events>", "at most so many events", whole)
	.addOption(new Option("--warm-up <us>", "leave what comes before this time out of the figures").argParser(amount).conflicts("warmUpEvents"))
	.option("--warm-up-events <n>", "leave so many events out of the figures", whole)
	.option("--costs <file>", "latency per event from a JSON table of costs: unit, hit, deviceTlb, miss, reference, first, second, tables", costs)
	.option("--strict", "stop at the first damaged line, exit 1")
	.option("--report <file>", "write one HTML file with plots: curves, hit rates, address spaces, life times, faults")
	.option("--perfetto <file>", "write trace events for ui.perfetto.dev; large: see --from, --to, --limit")
	.option("--plots", "sparklines of the hit rate over time; on a terminal they come without asking")
	.option("--no-plots", "no sparklines")
	.action(async (files: string[], flags: Flags) => {
		const { json, report, perfetto, plots = process.stdout.isTTY && !json, warmUp: _time, warmUpEvents: _events, ...rest } = flags;
		const options: ReplayOptions = { ...rest, ...warmUpOf(flags) };
		const outputs = new ReplayOutputs({ ...(report === undefined ? {} : { report }), ...(perfetto === undefined ? {} : { perfetto }), plots });
		const bar = replayBar();
		const damage: string[] = [];
		options.observers = outputs.observers;
		let trace: Trace | null = null;
		// a report looks at the events again
		if (report !== undefined || perfetto !== undefined) options.stream = false;
		options.onTrace = (opened) => {
			trace = opened.trace ?? null;
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

export const replayCommand = withExamples(command, [
	["a run recorded on both sides of a virtual machine", "ioasid replay qemu.log.gz guest_ftrace.txt.gz"],
	["a joined recording against QEMU's own IOTLB, as JSON", "ioasid replay run.merged.csv.gz --iotlb qemu-7.2 --json"],
	["on an SMMUv3 instead of what was recorded", "ioasid replay run.merged.csv.gz --architecture smmuv3"],
	["one device, with a small IOTLB and without paging-structure caches", "ioasid replay run.merged.csv.gz --device 00:01.0 --iotlb 16x2:plru --no-walk-cache"],
	["the second half of a second, from standard input", "zcat run.merged.csv.gz | ioasid replay - --from 500000 --to 1000000"],
	["addresses and source ids of a simulator", "ioasid replay packets.txt --iotlb full:64"],
	["one HTML file with plots, and sparklines here", "ioasid replay run.merged.csv.gz --plots --report report.html"],
	["events for ui.perfetto.dev", "ioasid replay qemu.log.gz guest_ftrace.txt.gz --perfetto faults.json"],
	["the faults of a kernel log", "ioasid replay dmesg.txt.gz"],
]);
