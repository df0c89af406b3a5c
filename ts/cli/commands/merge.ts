import { isDeepStrictEqual } from "node:util";
import { Command } from "commander";
import { ReplayError } from "../../replay/errors.ts";
import { type Results, readJournal } from "../sweep/journal.ts";
import { jobsOf, type Plan, titleOf } from "../sweep/plan.ts";
import { outputOption, renderSweep, reportOf, writeResults } from "../sweep/results.ts";

export const mergeCommand = new Command("merge")
	.description("put the parts of a sweep together")
	.argument("<journals...>", "what `ioasid sweep --shard` wrote, all parts in any order")
	.option("-o, --output <file>", "write results, .csv, .parquet or .json; repeatable", outputOption)
	.option("--json", "print one JSON object")
	.addHelpText("after", "\nExample:\n  ioasid merge part-*.journal -o results.csv")
	.action(async (paths: string[], { output = [], json }: { output?: string[]; json?: boolean }) => {
		const results: Results = new Map();
		let plan: Plan | null = null;
		for (const path of paths) {
			const part = readJournal(path);
			plan ??= part.plan;
			if (plan.id !== part.plan.id) throw new ReplayError("mismatch", `${path} is of another sweep than ${paths[0]}`, path);
			for (const [index, result] of part.results) {
				if (results.has(index) && !isDeepStrictEqual(results.get(index), result)) throw new ReplayError("mismatch", `${path}: another result for run ${index} than an earlier part`, path);
				results.set(index, result);
			}
		}
		const whole = plan as Plan;
		const missing = jobsOf(whole).filter(({ index }) => !results.has(index));
		if (missing.length > 0) throw new ReplayError("mismatch", `${missing.length} of ${jobsOf(whole).length} runs are in no part, the first is ${titleOf(whole, missing[0])}`);
		const report = reportOf(whole, results);
		await writeResults(report, output);
		console.log(json ? JSON.stringify(report) : renderSweep(report));
	});
