/**
 * A sweep over many machines by BullMQ on Redis: the engine keeps jobs, gives back those of workers that died, and retries.
 *
 * A job's id is its plan and index, so that handing it in twice is handing it in once; its result is the same wherever and however
 * often it runs. The queue is named by the version of ioasid: workers of another version do not take its jobs.
 */
import type { Job as QueuedJob, JobsOptions } from "bullmq";
import { ReplayError } from "../../replay/errors.ts";
import { optional } from "../../replay/optional.ts";
import { type Job, type Plan, type Task, version } from "./plan.ts";
import type { ThreadPool } from "./pool.ts";
import type { Result } from "./run-task.ts";

type Bull = typeof import("bullmq");
type Redis = typeof import("ioredis");

const QUEUE = `ioasid-sweep-${version}`;
const INSTALL = "bullmq ioredis";

/** Milliseconds that a silent worker keeps its jobs, and between looks for such workers. */
const LOCK = 10_000;
const LOOK = 5000;
/** A job whose workers died so often is what kills them. */
const MOST_DEATHS = 10;
/** Events can be lost with a connection; this often (milliseconds), jobs are looked at. */
const POLL = 2000;
/** Jobs handed in, or looked at, in one go. */
const BATCH = 500;

/** Done and failed jobs stay a day: who hands in the same sweep again finds their results. */
const KEEP: JobsOptions = { removeOnComplete: { age: 86_400 }, removeOnFail: { age: 86_400 } };

/** The packages, and a Redis that answers. @throws ReplayError, `absent` or `unreadable` */
async function reach(url: string): Promise<{ bull: Bull; connection: { url: string; maxRetriesPerRequest: null } }> {
	const bull = await optional<Bull>("bullmq", "--redis", INSTALL);
	const { Redis } = await optional<Redis>("ioredis", "--redis", INSTALL);
	const shown = url.replace(/\/\/[^@/]*@/, "//");
	if (!/^rediss?:\/\//.test(url)) throw new RangeError(`--redis ${shown}: not a redis:// or rediss:// URL`);
	const probe = new Redis(url, { lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0, connectTimeout: 10_000 });
	let reason = "";
	probe.on("error", (error) => {
		reason = error.message || String((error as NodeJS.ErrnoException).code);
	});
	try {
		await probe.connect();
		await probe.ping();
	} catch (cause) {
		throw new ReplayError("unreadable", `--redis ${shown}: ${reason || (cause as Error).message}`, null, null, { cause });
	} finally {
		probe.disconnect();
	}
	return { bull, connection: { url, maxRetriesPerRequest: null } };
}

/** Hands `jobs` in and waits for every outcome, which `finish` is told once. @throws ReplayError */
export async function overRedis(url: string, plan: Plan, jobs: readonly Job[], taskOf: (job: Job) => Task, finish: (job: Job, outcome: Result | Error) => void): Promise<void> {
	const { bull, connection } = await reach(url);
	const queue = new bull.Queue<Task, Result>(QUEUE, { connection });
	const events = new bull.QueueEvents(QUEUE, { connection });
	// connections that fail are made anew; only the first one's failure is ours to tell
	queue.on("error", () => {});
	events.on("error", () => {});
	const pending = new Map(jobs.map((job) => [`${plan.id}-${job.index}`, job]));
	const heard = new Set<string>();
	let wake = () => {};
	const hear = ({ jobId }: { jobId: string }) => {
		if (!pending.has(jobId)) return;
		heard.add(jobId);
		wake();
	};
	events.on("completed", hear);
	events.on("failed", hear);
	const hand = (ids: readonly string[]) => queue.addBulk(ids.map((jobId) => ({ name: "replay", data: taskOf(pending.get(jobId) as Job), opts: { jobId, ...KEEP } })));
	const look = async (id: string, retry: boolean): Promise<void> => {
		const queued = await queue.getJob(id);
		const job = pending.get(id);
		if (job === undefined) return;
		// somebody has emptied the Redis
		if (queued === undefined) await hand([id]);
		else if (await queued.isCompleted()) settle(id, job, queued.returnvalue);
		else if (await queued.isFailed()) {
			if (retry) await queued.retry("failed");
			else settle(id, job, new Error(queued.failedReason));
		}
	};
	const settle = (id: string, job: Job, outcome: Result | Error) => {
		pending.delete(id);
		finish(job, outcome);
	};
	try {
		await events.waitUntilReady();
		const ids = [...pending.keys()];
		for (let at = 0; at < ids.length; at += BATCH) {
			const batch = ids.slice(at, at + BATCH);
			await hand(batch);
			// of an earlier try: results are taken, failures are tried again
			await Promise.all(batch.map((id) => look(id, true)));
		}
		while (pending.size > 0) {
			let timer: NodeJS.Timeout | undefined;
			if (heard.size === 0) {
				await new Promise<void>((resolve) => {
					wake = resolve;
					timer = setTimeout(resolve, POLL);
				});
			}
			clearTimeout(timer);
			const ids = heard.size > 0 ? [...heard] : [...pending.keys()].slice(0, BATCH);
			heard.clear();
			await Promise.all(ids.map((id) => look(id, false)));
		}
	} finally {
		await Promise.allSettled([events.close(), queue.close()]);
	}
}

/** Works on sweeps until `stop` is aborted; jobs that are running then are finished first. @throws ReplayError */
export async function work(url: string, pool: ThreadPool, concurrency: number, stop: AbortSignal, say: (text: string) => void): Promise<void> {
	const { bull, connection } = await reach(url);
	const worker = new bull.Worker<Task, Result>(QUEUE, (job: QueuedJob<Task, Result>) => pool.run(job.data), {
		connection,
		concurrency,
		lockDuration: LOCK,
		stalledInterval: LOOK,
		maxStalledCount: MOST_DEATHS,
	});
	worker.on("completed", (job) => say(`${job.id} done`));
	worker.on("failed", (job, error) => say(`${job?.id} failed: ${error.message}`));
	worker.on("error", (error) => say(error.message));
	await worker.waitUntilReady();
	say(`waiting for runs of ${QUEUE}`);
	if (!stop.aborted) await new Promise<void>((resolve) => stop.addEventListener("abort", () => resolve(), { once: true }));
	await worker.close();
}
