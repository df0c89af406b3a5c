/**
 * From inputs to a {@link Trace}: reads each, joins the two halves of a run, and puts time on a common zero.
 */
import { ReplayError } from "../errors.ts";
import { guestAlone, hostAlone, type Joined, joinLogs } from "../join/index.ts";
import { trimmed } from "../rows.ts";
import type { Source } from "../source.ts";
import { type Columns, type ImportReport, Kind, type Trace } from "../trace.ts";
import type { GuestLog } from "./guest-log.ts";
import type { HostLog } from "./contract.ts";
import { MergedCsvParser } from "./merged-csv.ts";
import { makeReport, type ReadOptions, type ReadResult, readSource, steps } from "./reading.ts";

/** How to import. */
export interface ImportOptions extends ReadOptions {
	/** microseconds since the start of the trace: earlier DMAs and faults are left out; maps, unmaps and invalidations stay, since they are state */
	from?: number;
	/** microseconds since the start of the trace: the trace ends before it */
	to?: number;
}

/** Imports one recorded run from one joined file, or from a QEMU log, a guest's ftrace, or both. */
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
		columns: cut(joined.columns, options),
		report,
	};
}

/** A clock beyond September 2001 in microseconds is no time since boot: QEMU's stamps are the wall clock. */
const WALL_CLOCK = 1e15;

function isList(sources: Source | readonly Source[]): sources is readonly Source[] {
	return Array.isArray(sources);
}

const SIDES = { host: "QEMU log", guest: "guest ftrace", joined: "joined recording" };

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

function join(results: ReadResult[]): Joined {
	let host: HostLog | null = null;
	let guest: GuestLog | null = null;
	for (const { recording } of results) {
		if (recording.side === "joined") return recording;
		if (recording.side === "host") host = recording;
		else guest = recording;
	}
	if (host !== null && guest !== null) return joinLogs(guest, host);
	if (host !== null) return hostAlone(host);
	return guestAlone(guest as GuestLog);
}

/** Time from zero, and only the rows that `from` and `to` leave. */
function cut(columns: Columns, { from = Number.NEGATIVE_INFINITY, to = Number.POSITIVE_INFINITY }: ImportOptions): Columns {
	const zero = columns.length === 0 ? 0 : columns.time[0];
	let kept = 0;
	for (let row = 0; row < columns.length; row++) {
		const time = columns.time[row] - zero;
		if (time >= to) break;
		const kind = columns.kind[row];
		if (time < from && (kind === Kind.dma || kind === Kind.fault)) continue;
		if (kept !== row) moveRow(columns, row, kept);
		columns.time[kept++] = time;
	}
	return trimmed(columns, kept);
}

function moveRow(columns: Columns, from: number, to: number): void {
	for (const column of [columns.kind, columns.flags, columns.verdict, columns.id, columns.pasid]) column[to] = column[from];
	for (const column of [columns.iova, columns.size, columns.pa]) column.copyWithin(2 * to, 2 * from, 2 * from + 2);
}

/** Rows of a chunk of a streamed recording. */
const CHUNK = 1 << 16;

/** What a streamed recording yields. */
export interface TraceChunk {
	/** 64 Ki rows, fewer in the last chunk; time as in the file */
	columns: Columns;
	/** every device met so far; the list grows from chunk to chunk, its indices stay */
	devices: Trace["devices"];
	/** as far as the rows so far tell */
	architecture: Trace["architecture"];
	stage: Trace["stage"];
	/** counts so far */
	report: ImportReport;
}

/** Streams a merged CSV of any size in chunks of columns; throws a {@link ReplayError} when `source` is something else. */
export async function* streamMergedCsv(source: Source, options: ReadOptions = {}): AsyncGenerator<TraceChunk, void, undefined> {
	const report = makeReport();
	let parser: MergedCsvParser | null = null;
	for await (const step of steps(source, options, report)) {
		if (!(step.parser instanceof MergedCsvParser)) {
			throw new ReplayError("mismatch", `${step.name}: only joined CSV can be streamed, this is a ${step.importer.title}`, step.name);
		}
		parser = step.parser;
		while (parser.length >= CHUNK) yield chunkOf(parser, report);
	}
	if (parser === null) return;
	report.notes.push(...parser.notes());
	if (parser.length > 0) yield chunkOf(parser, report);
}

function chunkOf(parser: MergedCsvParser, report: ImportReport): TraceChunk {
	return { columns: parser.take(Math.min(CHUNK, parser.length)), devices: parser.devices, ...parser.kind(), report };
}
