import { availableParallelism } from "node:os";
import { Command, InvalidArgumentError } from "commander";
import { ReplayError } from "../../replay/errors.ts";
import { jobsBar } from "../progress.ts";
import { type Axis, dimensions, parseAxis } from "../sweep/grid.ts";
import { Journal } from "../sweep/journal.ts";
import { filesOf, type Job, jobsOf, makePlan, shard, taskOf, titleOf } from "../sweep/plan.ts";
import { ThreadPool } from "../sweep/pool.ts";
import { overRedis } from "../sweep/redis.ts";
import { outputOption, renderSweep, reportOf, writeResults } from "../sweep/results.ts";
import { positive } from "../whole.ts";

interface Flags {
	grid?: Axis[];
	output?: string[];
	json?: boolean;
	journal?: string;
	shard?: { part: number; parts: number };
	jobs: number;
	redis?: string;
}

function shardOption(text: string): { part: number; parts: number } {
	const match = /^(\d+)\/(\d+)$/.exec(text);
	const [part, parts] = [Number(match?.[1]), Number(match?.[2])];
	if (match === null || part < 1 || part > parts) throw new InvalidArgumentError(`"${text}" is no I/N with I from 1 to N`);
	return { part, parts };
}

export const sweepCommand = new Command("sweep")
	.description("replay traces on every machine of a grid")
	.argument("<traces...>", "recorded runs; the files of one run joined by +, as in qemu.log+ftrace.txt")
	.option("--grid <name=values>", `what varies, one option for each dimension: ${Object.entries(dimensions).map(([name, { values }]) => `${name} (${values})`).join("; ")}`, parseAxis)
	.option("-o, --output <file>", "write results, .csv, .parquet or .json; repeatable", outputOption)
	.option("--json", "print one JSON object")
	.option("--journal <file>", "results as they come; a sweep that was killed goes on from there (default: the first output with .journal after it)")
	.option("--shard <i/n>", "only the i-th of n parts, into --journal; `ioasid merge` puts the parts together", shardOption)
	.option("--jobs <n>", "threads", positive, availableParallelism())
	.option("--redis <url>", "let `ioasid worker` processes on any machine do the work; they must see the files under the same paths")
	.addHelpText(
		"after",
		`
Examples:
  ioasid sweep run.iot --grid iotlb=64x4,128x8,full:1024 --grid policy=lru,fifo -o results.csv
  ioasid sweep qemu.log+ftrace.txt --grid iotlb=64x4,off --json
  ioasid sweep run.iot --grid iotlb=64x4,128x8 --shard $SLURM_ARRAY_TASK_ID/16 --journal part-$SLURM_ARRAY_TASK_ID.journal
  ioasid sweep /shared/run.iot --grid iotlb=64x4,128x8 --redis redis://host:6379 -o results.csv`,
	)
	.action(async (args: string[], { grid = [], output = [], json, journal: path, shard: part, jobs, redis }: Flags) => {
		if (part !== undefined && path === undefined) throw new InvalidArgumentError("--shard wants a --journal, which `ioasid merge` takes");
		if (part !== undefined && (output.length > 0 || json)) throw new InvalidArgumentError("--shard has no whole result to write; `ioasid merge` has");
		const traces = args.map(filesOf);
		const plan = await makePlan(traces, grid);
		const all = jobsOf(plan);
		const mine = part === undefined ? all : shard(all, part.part, part.parts);
		const journal = new Journal(path ?? (output.length > 0 ? `${output[0]}.journal` : null), plan);
		const left = mine.filter(({ index }) => !journal.results.has(index));
		const failures: string[] = [];
		const bar = jobsBar(mine.length);
		const done = () => bar.update(mine.length - left.length + finished);
		let finished = 0;
		const finish = (job: Job, outcome: Parameters<Journal["add"]>[1] | Error) => {
			if (outcome instanceof Error) failures.push(`${titleOf(plan, job)}: ${outcome.message}`);
			else journal.add(job.index, outcome);
			finished++;
			done();
		};
		done();
		let pool: ThreadPool | null = null;
		try {
			if (redis !== undefined) await overRedis(redis, plan, left, (job) => taskOf(plan, traces, job), finish);
			else {
				pool = new ThreadPool(jobs);
				const run = pool.run.bind(pool);
				await Promise.all(left.map((job) => run(taskOf(plan, traces, job)).then((result) => finish(job, result), (error) => finish(job, error))));
			}
		} finally {
			await pool?.close();
			bar.stop();
			journal.close();
		}
		if (failures.length > 0) {
			for (const failure of failures.slice(0, 10)) console.error(`ioasid: ${failure}`);
			throw new ReplayError("mismatch", `${failures.length} of ${mine.length} runs failed; the others are in the journal`);
		}
		if (part !== undefined) {
			console.error(`${mine.length} runs of ${all.length} in ${path}`);
			return;
		}
		const report = reportOf(plan, journal.results);
		await writeResults(report, output);
		console.log(json ? JSON.stringify(report) : renderSweep(report));
	});
