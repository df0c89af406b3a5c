import { availableParallelism } from "node:os";
import { Command } from "commander";
import { withExamples } from "../examples.ts";
import { ThreadPool } from "../sweep/pool.ts";
import { work } from "../sweep/redis.ts";
import { positive } from "../whole.ts";

const command = new Command("worker")
	.description("run sweeps that others hand in with `ioasid sweep --redis`, until SIGTERM or SIGINT; runs that have begun are finished")
	.requiredOption("--redis <url>", "where sweeps are handed in")
	.option("--jobs <n>", "runs at a time, a thread each", positive, availableParallelism())
	.action(async ({ redis, jobs }: { redis: string; jobs: number }) => {
		const stop = new AbortController();
		for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stop.abort());
		const pool = new ThreadPool(jobs);
		try {
			await work(redis, pool, jobs, stop.signal, (text) => console.error(text));
		} finally {
			await pool.close();
		}
	});

export const workerCommand = withExamples(command, [
	["serve sweeps that are handed in with --redis", "ioasid worker --redis redis://localhost:6379 --jobs 2"],
]);
