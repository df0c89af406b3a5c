/**
 * Results as they come, one JSON line each under a line with the plan: a sweep that was killed goes on from there, and the
 * shards of one sweep are merged from there.
 */
import { closeSync, existsSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { ReplayError } from "../../replay/errors.ts";
import { type Plan, sealed } from "./plan.ts";
import type { Result } from "./run-task.ts";

export type Results = Map<number, Result>;

const KIND = "ioasid-sweep-1";

/** What a journal holds; `bytes` are those of its whole lines, after which a killed process may have left half a line. */
function parse(path: string): { plan: Plan; results: Results; bytes: number } | null {
	const text = readFileSync(path, "utf8");
	const whole = text.slice(0, text.lastIndexOf("\n") + 1);
	const results: Results = new Map();
	let plan: Plan | null = null;
	for (const [number, line] of whole.split("\n").entries()) {
		if (line === "") continue;
		const bad = (what: string) => new ReplayError("damaged", `${path}:${number + 1}: ${what}`, path, number + 1);
		let value: Record<string, unknown>;
		try {
			value = JSON.parse(line);
		} catch {
			throw bad(plan === null ? "not a journal of an ioasid sweep" : "no JSON");
		}
		if (plan === null) {
			if (value.kind !== KIND) throw bad("not a journal of an ioasid sweep");
			plan = value.plan as Plan;
			if (sealed(plan).id !== plan.id) throw bad("the plan is not the one of its id");
		} else if (typeof value.index !== "number" || typeof value.result !== "object") throw bad("no result");
		else results.set(value.index, value.result as Result);
	}
	return plan === null ? null : { plan, results, bytes: Buffer.byteLength(whole) };
}

/** Reads the journal of a shard. @throws ReplayError */
export function readJournal(path: string): { plan: Plan; results: Results } {
	if (!existsSync(path)) throw new ReplayError("unreadable", `${path}: no such file`, path);
	const read = parse(path);
	if (read === null) throw new ReplayError("damaged", `${path}: not a journal of an ioasid sweep`, path);
	return read;
}

/** A journal that is being written. */
export class Journal {
	readonly results: Results;
	private readonly file: number | null;

	/** Opens or makes the journal at `path`; null keeps results in memory alone. @throws ReplayError when it is another sweep's */
	constructor(path: string | null, plan: Plan) {
		const found = path !== null && existsSync(path) ? parse(path) : null;
		if (found !== null && found.plan.id !== plan.id) {
			throw new ReplayError("mismatch", `${path}: the journal of another sweep (other traces, grid or ioasid version); give another --journal or remove it`, path);
		}
		this.results = found?.results ?? new Map();
		this.file = path === null ? null : openSync(path, found === null ? "w" : "r+");
		if (this.file === null) return;
		if (found === null) writeSync(this.file, `${JSON.stringify({ kind: KIND, plan })}\n`);
		else {
			ftruncateSync(this.file, found.bytes);
			closeSync(this.file);
			this.file = openSync(path as string, "a");
		}
	}

	add(index: number, result: Result): void {
		this.results.set(index, result);
		if (this.file !== null) writeSync(this.file, `${JSON.stringify({ index, result })}\n`);
	}

	close(): void {
		if (this.file !== null) closeSync(this.file);
	}
}
