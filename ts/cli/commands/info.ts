import { Command } from "commander";
import { importTrace } from "../../replay/importers/import.ts";
import { renderDamage, renderInfo } from "../render.ts";

export const infoCommand = new Command("info")
	.description("tell what recorded files hold")
	.argument("<files...>", "files of one run; plain, .gz or - for standard input")
	.action(async (files: string[]) => {
		const trace = await importTrace(files);
		for (const line of renderDamage(trace.report)) console.error(line);
		console.log(renderInfo(trace));
	});
