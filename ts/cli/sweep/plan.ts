/** A sweep written down: what is replayed and how, with an id that only the same sweep has. */
import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, resolve } from "node:path";
import { ReplayError } from "../../replay/errors.ts";
import { type Axis, type JobOptions, optionsOf, points } from "./grid.ts";

export const { version } = createRequire(import.meta.url)("ioasid/package.json") as { version: string };

export interface PlannedTrace {
	/** base names, joined by `+` */
	name: string;
	/** SHA-256 of the contents */
	hash: string;
}

/** What makes two sweeps the same one. */
export interface Plan {
	id: string;
	version: string;
	traces: PlannedTrace[];
	grid: Axis[];
}

/** One replay. */
export interface Job {
	/** in the order of the results */
	index: number;
	/** index into the plan's traces */
	trace: number;
	/** one of each axis */
	values: string[];
}

/** What a worker needs for one job. */
export interface Task {
	/** absolute paths */
	files: string[];
	hash: string;
	options: JobOptions;
}

/** The files of one run: `log+ftrace`, or one path (which may have a plus in it). */
export function filesOf(argument: string): string[] {
	return existsSync(argument) ? [argument] : argument.split("+");
}

/** SHA-256 of the contents of the files of one run. @throws ReplayError unreadable */
export async function hashOf(files: readonly string[]): Promise<string> {
	const hash = createHash("sha256");
	for (const file of files) {
		const one = createHash("sha256");
		try {
			for await (const piece of createReadStream(file)) one.update(piece as Uint8Array);
		} catch (cause) {
			throw new ReplayError("unreadable", `${file}: cannot be read: ${(cause as Error).message}`, file, null, { cause });
		}
		hash.update(one.digest());
	}
	return hash.digest("hex");
}

/** Plans a sweep over traces (arguments as {@link filesOf} takes them). */
export async function makePlan(traces: readonly string[][], grid: Axis[]): Promise<Plan> {
	// values that do not go together are told before anything runs
	for (const values of points(grid)) optionsOf(grid, values);
	const planned: PlannedTrace[] = [];
	for (const files of traces) planned.push({ name: files.map((file) => basename(file)).join("+"), hash: await hashOf(files) });
	return sealed({ version, traces: planned, grid });
}

/** With its id. */
export function sealed({ version, traces, grid }: Omit<Plan, "id">): Plan {
	const id = createHash("sha256").update(JSON.stringify({ version, traces, grid })).digest("hex").slice(0, 16);
	return { id, version, traces, grid };
}

/** The jobs of a plan, those of one trace together. */
export function jobsOf({ traces, grid }: Plan): Job[] {
	return traces.flatMap((_, trace) => points(grid).map((values) => ({ trace, values }))).map((job, index) => ({ index, ...job }));
}

/** Part `part` of `parts`, from 1: neighbours stay together, for they use the same trace. */
export function shard(jobs: readonly Job[], part: number, parts: number): Job[] {
	return jobs.slice(Math.floor(((part - 1) * jobs.length) / parts), Math.floor((part * jobs.length) / parts));
}

/** What a worker needs for `job`. */
export function taskOf(plan: Plan, traces: readonly string[][], job: Job): Task {
	return { files: traces[job.trace].map((file) => resolve(file)), hash: plan.traces[job.trace].hash, options: optionsOf(plan.grid, job.values) };
}

/** For people: `run.iot iotlb=64x4 policy=lru`. */
export function titleOf({ traces, grid }: Plan, { trace, values }: Job): string {
	return [traces[trace].name, ...values.map((value, i) => `${grid[i].name}=${value}`)].join(" ");
}
