import { Command, InvalidArgumentError } from "commander";
import { exporterFor, exporters } from "../../replay/exporters/index.ts";
import { openTrace } from "../../replay/stream.ts";
import { writeOutput } from "../output.ts";
import { replayBar } from "../progress.ts";
import { bytes, number } from "../table.ts";

type Flags = { output: string; to?: string; strict?: boolean };

const names = exporters.map(({ name }) => name).join(", ");

export const convertCommand = new Command("convert")
	.description("write a recorded run in another format, with every column as it was")
	.argument("<files...>", "files of one run in any format that replay takes; plain, .gz or - for standard input")
	.requiredOption("-o, --output <file>", `the new file: ${exporters.map(({ extensions }) => extensions.join(", ")).join(", ")}, each also with .gz; - for standard output`)
	.option("--to <format>", `its format when the name does not say: ${names}`)
	.option("--strict", "stop at the first damaged line, exit 1")
	.addHelpText(
		"after",
		`
Arrow and Parquet need optional packages: npm install apache-arrow, npm install hyparquet hyparquet-writer.

Examples:
  ioasid convert qemu.log.gz guest_ftrace.txt.gz -o run.iot     import once, replay often
  ioasid convert run.iot -o run.parquet                         for DuckDB: SELECT kind, count(*) FROM 'run.parquet' GROUP BY kind`,
	)
	.action(async (files: string[], { output, to, strict }: Flags) => {
		const exporter = to === undefined ? exporterFor(output) : (exporters.find(({ name }) => name === to) ?? null);
		if (exporter === null) {
			throw new InvalidArgumentError(to === undefined ? `${output}: its name says no format; give one with --to (${names})` : `--to ${to}: no format of that name (${names})`);
		}
		const bar = replayBar();
		try {
			const trace = await openTrace(files, { strict: strict ?? false, onProgress: (progress) => bar.update({ phase: "import", ...progress }) });
			const { report, events } = trace.head;
			const written = await writeOutput(output, exporter.encode(trace));
			bar.stop();
			for (const { file, line, what } of report.damage.slice(0, 10)) console.error(`${file}${line === null ? "" : `:${line}`}: ${what}`);
			if (report.damagedLines > 0) console.error(`${report.damagedLines} damaged places`);
			console.error(`${number(events)} events to ${output === "-" ? "standard output" : output} (${exporter.title}, ${bytes(written)})`);
		} finally {
			bar.stop();
		}
	});
