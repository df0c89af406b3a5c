import type { Command } from "commander";

/** Gives a command's help its examples: a line for people, and the command line under it. A test runs every one of them. */
export function withExamples(command: Command, examples: readonly (readonly [what: string, line: string])[]): Command {
	return command.addHelpText("after", `\nExamples:\n${examples.map(([what, line]) => `  # ${what}\n  $ ${line}`).join("\n")}`);
}
