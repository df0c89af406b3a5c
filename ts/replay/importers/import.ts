/**
 * From inputs to a {@link Trace}: reads each, joins the two halves of a run, and puts time on a common zero.
 */
import { ReplayError } from "../errors.ts";
import { guestAlone, hostAlone, type Joined, joinLogs } from "../join/index.ts";
import { trimmed } from "../rows.ts";
import type { Source } from "../source.ts";
import type { LoggedFault } from "../logged-fault.ts";
import { withKernelFaults } from "../join/kernel.ts";
import { type Columns, Kind, type Trace } from "../trace.ts";
import type { GuestLog } from "./guest-log.ts";
import type { HostLog, KernelLog } from "./contract.ts";
import { makeReport, type ReadOptions, type ReadResult, readSource } from "./reading.ts";

/** How to import. */
export interface ImportOptions extends ReadOptions {
	/** microseconds since the start of the trace: earlier DMAs and faults are left out; maps, unmaps and invalidations stay, since they are state */
	from?: number;
	/** microseconds since the start of the trace: the trace ends before it */
	to?: number;
}

/** Imports one recorded run from one joined file, or from a QEMU log, a guest's trace, a kernel log, or several of these. */
export async function importTrace(sources: Source | readonly Source[], options: ImportOptions = {}): Promise<Trace> {
	const inputs = isList(sources) ? sources : [sources];
	if (inputs.length === 0) throw new ReplayError("mismatch", "no input was given");
	const report = makeReport();
	const results: ReadResult[] = [];
	for (const input of inputs) {
		results.push(await readSource(input, options, report));
		refuseTwice(results);
	}
	const joined = join(results);
	report.notes.push(...joined.notes);
	const zero = joined.columns.length === 0 ? 0 : joined.columns.time[0];
	return {
		architecture: joined.architecture,
		stage: joined.stage,
		files: results.map(({ name }) => name),
		...(zero >= WALL_CLOCK ? { startedAt: zero } : {}),
		devices: joined.devices,
		columns: cut(joined.columns, joined.columns.length === 0 ? 0 : joined.columns.time[0], options),
		report,
		...(joined.loggedFaults === undefined ? {} : { loggedFaults: joined.loggedFaults }),
	};
}

/** A clock beyond September 2001 in microseconds is no time since boot: QEMU's stamps are the wall clock. */
const WALL_CLOCK = 1e15;

function isList(sources: Source | readonly Source[]): sources is readonly Source[] {
	return Array.isArray(sources);
}

const SIDES = { host: "QEMU log", guest: "guest ftrace", joined: "joined recording", kernel: "kernel log" };

/** At most one input of each side, and nothing beside a joined one. */
function refuseTwice(results: ReadResult[]): void {
	const last = results[results.length - 1];
	for (const earlier of results.slice(0, -1)) {
		const { side } = last.recording;
		if (earlier.recording.side === side) {
			throw new ReplayError("mismatch", `${earlier.name} and ${last.name} are both a ${SIDES[side]}; one of each run is wanted`, last.name);
		}
		if (side === "joined" || earlier.recording.side === "joined") {
			throw new ReplayError("mismatch", `${earlier.name} and ${last.name}: a joined recording is a whole run and takes no second file`, last.name);
		}
	}
}

function join(results: ReadResult[]): Joined & { loggedFaults?: LoggedFault[] } {
	let host: HostLog | null = null;
	let guest: GuestLog | null = null;
	let kernel: KernelLog | null = null;
	for (const { recording } of results) {
		if (recording.side === "joined") return recording;
		if (recording.side === "host") host = recording;
		else if (recording.side === "guest") guest = recording;
		else kernel = recording;
	}
	const run = host !== null && guest !== null ? joinLogs(guest, host) : host !== null ? hostAlone(host) : guest !== null ? guestAlone(guest) : null;
	return kernel === null ? (run as Joined) : withKernelFaults(run, kernel, host !== null);
}

/** Time from `zero`, and only the rows that `from` and `to` leave; works in place. */
export function cut(columns: Columns, zero: number, { from = Number.NEGATIVE_INFINITY, to = Number.POSITIVE_INFINITY }: Pick<ImportOptions, "from" | "to">): Columns {
	let kept = 0;
	for (let row = 0; row < columns.length; row++) {
		const time = columns.time[row] - zero;
		if (time >= to) break;
		const kind = columns.kind[row];
		if (time < from && (kind === Kind.dma || kind === Kind.fault)) continue;
		if (kept !== row) moveRow(columns, row, kept);
		columns.time[kept++] = time;
	}
	return kept === columns.kind.length ? columns : trimmed(columns, kept);
}

function moveRow(columns: Columns, from: number, to: number): void {
	for (const column of [columns.kind, columns.flags, columns.verdict, columns.id, columns.pasid]) column[to] = column[from];
	for (const column of [columns.iova, columns.size, columns.pa]) column.copyWithin(2 * to, 2 * from, 2 * from + 2);
}
