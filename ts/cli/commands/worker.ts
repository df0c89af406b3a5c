import { availableParallelism } from "node:os";
import { Command } from "commander";
import { ThreadPool } from "../sweep/pool.ts";
import { work } from "../sweep/redis.ts";
import { positive } from "../whole.ts";

export const workerCommand = new Command("worker")
	.description("run sweeps that others hand in with `ioasid sweep --redis`, until SIGTERM or SIGINT; runs that have begun are finished")
	.requiredOption("--redis <url>", "where sweeps are handed in")
	.option("--jobs <n>", "runs at a time, a thread each", positive, availableParallelism())
	.addHelpText("after", "\nExample:\n  ioasid worker --redis redis://host:6379 --jobs 8")
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
