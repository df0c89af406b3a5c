import { Command } from "commander";
import { faultReport } from "../../replay/history.ts";
import { importTrace } from "../../replay/importers/import.ts";
import { amount, whole } from "../arguments.ts";
import { renderDamage } from "../render.ts";
import { renderFaults } from "../render-faults.ts";

export const faultsCommand = new Command("faults")
	.description("join every fault and unexplained DMA of a recorded run to the map or unmap behind it, and tell how long maps live")
	.argument("<files...>", "files of one run; plain, .gz or - for standard input")
	.option("--json", "print one JSON object")
	.option("--limit <n>", "faults that are told one by one (default 20, with --json 1000)", whole)
	.option("--from <us>", "from this time on, microseconds since the start; earlier maps and unmaps count", amount)
	.option("--to <us>", "up to this time", amount)
	.addHelpText("after", "\nExamples:\n  ioasid faults test/traces/vtd_faults_edu.qemu.log.gz test/traces/vtd_faults_edu.guest_ftrace.txt.gz\n  ioasid faults test/traces/vtd_mixed_cut.merged.csv.gz --json")
	.action(async (files: string[], flags: { json?: boolean; limit?: number; from?: number; to?: number }) => {
		const { json, limit = json ? 1000 : 20, from, to } = flags;
		const trace = await importTrace(files, { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) });
		for (const text of renderDamage(trace.report)) console.error(text);
		const report = faultReport(trace, { limit });
		report.notes.unshift(...trace.report.notes);
		console.log(json ? JSON.stringify(report) : renderFaults(report, limit));
	});
