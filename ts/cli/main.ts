#!/usr/bin/env node
import { Command, CommanderError, InvalidArgumentError } from "commander";
import { conformanceCommand } from "./commands/conformance.ts";
import { convertCommand } from "./commands/convert.ts";
import { curveCommand } from "./commands/curve.ts";
import { explainCommand } from "./commands/explain.ts";
import { faultsCommand } from "./commands/faults.ts";
import { infoCommand } from "./commands/info.ts";
import { mergeCommand } from "./commands/merge.ts";
import { replayCommand } from "./commands/replay.ts";
import { sweepCommand } from "./commands/sweep.ts";
import { whatifCommand } from "./commands/whatif.ts";
import { workerCommand } from "./commands/worker.ts";
import { withExamples } from "./examples.ts";
import { CoreError } from "../core/index.ts";
import { EngineError } from "../engine/index.ts";
import { ReplayError } from "../replay/errors.ts";
import { VERSION } from "../version.ts";

// a reader that goes away (`| head`) is no error
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
	if (error.code === "EPIPE") process.exit(0);
	throw error;
});

const program = new Command("ioasid").version(VERSION).description("An IOMMU to embed: replay recorded DMA traces, run conformance vectors.").exitOverride().showSuggestionAfterError();

/** One line for each command. */
for (const command of [replayCommand, infoCommand, convertCommand, curveCommand, faultsCommand, whatifCommand, sweepCommand, mergeCommand, workerCommand, conformanceCommand, explainCommand]) program.addCommand(command.exitOverride().configureOutput({ outputError: (text, write) => write(text) }));

withExamples(program, [
	["compare a recorded run with the model, DMA by DMA", "ioasid replay run.merged.csv.gz"],
	["the options and examples of a command", "ioasid replay --help"],
]);

try {
	await program.parseAsync();
} catch (error) {
	process.exitCode = exitCode(error);
}

function exitCode(error: unknown): number {
	// commander has told its own; those of a command's own checks are told below
	if (error instanceof CommanderError && !(error instanceof InvalidArgumentError)) return error.exitCode === 0 ? 0 : 2;
	if (error instanceof ReplayError && error.code === "damaged") {
		console.error(`ioasid: ${error.message}`);
		return 1;
	}
	if (error instanceof ReplayError || error instanceof EngineError || error instanceof CoreError || error instanceof InvalidArgumentError || error instanceof RangeError) {
		console.error(`ioasid: ${error.message}`);
		return 2;
	}
	console.error(error);
	return 1;
}
