import { Command } from "commander";
import { openTrace } from "../../replay/stream.ts";
import { withExamples } from "../examples.ts";
import { renderDamage, renderInfo } from "../render.ts";

const command = new Command("info")
	.description("tell what recorded files hold")
	.argument("<files...>", "files of one run; plain, .gz, .zst or - for standard input")
	.action(async (files: string[]) => {
		const trace = await openTrace(files);
		for (const line of renderDamage(trace.head.report)) console.error(line);
		console.log(await renderInfo(trace));
	});

export const infoCommand = withExamples(command, [
	["devices, domains and numbers of events", "ioasid info qemu.log.gz guest_ftrace.txt.gz"],
	["the faults of a kernel log, of whatever IOMMU", "ioasid info dmesg.txt.gz"],
]);
