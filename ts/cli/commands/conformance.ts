import { Command, InvalidArgumentError } from "commander";
import { runConformance } from "../conformance/index.ts";
import { withExamples } from "../examples.ts";

const whole = (text: string): number => {
	if (!/^\d+$/.test(text)) throw new InvalidArgumentError(`"${text}" is no whole number`);
	return Number(text);
};
const collect = (text: string, before: string[]) => [...before, text];

const command = new Command("conformance")
	.description("run vector files of independent IOMMU models against the engine")
	.argument("<files...>", "vector files, plain or .gz")
	.option("--max-failures <n>", "failures that are printed", whole, 20)
	.option("--only <id>", "only this id (CASE or CASE#INDEX), or a prefix with *; repeatable", collect, [])
	.option("--uncached", "units without caches")
	.action(async (files: string[], flags: { maxFailures: number; only: string[]; uncached?: boolean }) => {
		process.exitCode = await runConformance(files, { ...flags, stdout: process.stdout, stderr: process.stderr });
	});

export const conformanceCommand = withExamples(command, [
	["every vector of a file", "ioasid conformance vectors.json.gz"],
	["some of them, with few failures printed", "ioasid conformance vectors.json.gz --only 'amdvi-m1-*' --max-failures 3"],
]);
