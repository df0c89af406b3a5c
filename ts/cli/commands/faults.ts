import { Command } from "commander";
import { faultReportOf } from "../../replay/history.ts";
import { openTrace } from "../../replay/stream.ts";
import { amount, whole } from "../arguments.ts";
import { withExamples } from "../examples.ts";
import { renderDamage } from "../render.ts";
import { renderFaults } from "../render-faults.ts";

const command = new Command("faults")
	.description("join every fault and unexplained DMA of a recorded run to the map or unmap behind it, and tell how long maps live")
	.argument("<files...>", "files of one run; plain, .gz or - for standard input")
	.option("--json", "print one JSON object")
	.option("--limit <n>", "faults that are told one by one (default 20, with --json 1000)", whole)
	.option("--from <us>", "from this time on, microseconds since the start; earlier maps and unmaps count", amount)
	.option("--to <us>", "up to this time", amount)
	.action(async (files: string[], flags: { json?: boolean; limit?: number; from?: number; to?: number }) => {
		const { json, limit = json ? 1000 : 20, from, to } = flags;
		const trace = await openTrace(files, { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) });
		for (const text of renderDamage(trace.head.report)) console.error(text);
		const report = await faultReportOf(trace, { limit });
		report.notes.unshift(...trace.head.report.notes);
		console.log(json ? JSON.stringify(report) : renderFaults(report, limit));
	});

export const faultsCommand = withExamples(command, [
	["the map or unmap behind every fault", "ioasid faults qemu.log.gz guest_ftrace.txt.gz"],
	["life times of maps, as JSON", "ioasid faults run.merged.csv.gz --json"],
]);
