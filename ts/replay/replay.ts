/** Replaying a recorded run: every DMA goes through the engine, and its answer is held against the recorded one. */
import {
	ACCESS_WRITE,
	ANSWER_FAULT,
	ANSWER_KIND_MASK,
	ANSWER_MATCHED,
	ANSWER_REFUSED,
	ANSWER_REPLACED,
	ANSWER_VERDICT,
	ANSWER_WRONG,
} from "../../assembly/layout.ts";
import type { RunDeviceCounters, RunOptions } from "../engine/index.ts";
import { TABLE_FORMATS } from "../engine/page-table-formats.ts";
import { explainAll, type Question } from "./explain.ts";
import { REPLAY_FORMATS, type ReplayFormat } from "./formats.ts";
import type { TraceHead, TraceStream } from "./head.ts";
import { hexAt } from "./history/words.ts";
import { type CostTable, Latency, requestCosts } from "./latency.ts";
import { type HardwareOptions, setUpMachine } from "./machine.ts";
import { type ReplayObserver, STRETCH, type Stretch } from "./observer.ts";
import { PageSizes } from "./page-sizes.ts";
import { pageOf } from "./rows.ts";
import { retag } from "./scopes.ts";
import type { Progress, Source } from "./source.ts";
import { openTrace, streamOf } from "./stream.ts";
import type { DeviceTlbFigures, Disagreement, ReplayFault, ReplaySummary } from "./summary.ts";
import { Access, type Columns, type Damage, Kind, type Trace, type TraceDevice, Verdict } from "./trace.ts";
import { firstWarmRow, type WarmUp } from "./warm-up.ts";

export interface ReplayOptions extends HardwareOptions {
	/** caches are never cleared */
	ignoreInvalidations?: boolean;
	/** only this device (`0000:00:01.0` or `00:01.0`); invalidations stay */
	device?: string;
	/** microseconds since the start of the trace */
	from?: number;
	to?: number;
	/** events at most */
	limit?: number;
	/** what comes before warms caches and tables, and is left out of the figures */
	warmUp?: WarmUp;
	/** what requests cost, for `latency` of the summary */
	costs?: CostTable;
	/** the first damaged line throws */
	strict?: boolean;
	/** chunk by chunk; default: large joined recordings ({@link openTrace}) */
	stream?: boolean;
	/** disagreements that are explained; default 10 */
	explain?: number;
	signal?: AbortSignal;
	onProgress?: (progress: ReplayProgress) => void;
	/** told of the first damaged places once the import is done */
	onDamage?: (place: Damage) => void;
	/** told of the trace once the import is done */
	onTrace?: (trace: TraceStream) => void;
	/** what reports and exports are gathered by */
	observers?: readonly ReplayObserver[];
}

export type ReplayProgress = ({ phase: "import" } & Progress) | { phase: "replay"; done: number; total: number };

/** Faults that `faults.list` keeps. */
const KEPT_FAULTS = 100_000;

/** Import one recorded run and replay it. @throws ReplayError for inputs, EngineError for options */
export async function replay(sources: Source | readonly Source[], options: ReplayOptions = {}): Promise<ReplaySummary> {
	const { onProgress } = options;
	const started = performance.now();
	const trace = await openTrace(sources, {
		...(options.signal ? { signal: options.signal } : {}),
		...(options.strict ? { strict: true } : {}),
		...(options.stream === undefined ? {} : { stream: options.stream }),
		...(options.from === undefined ? {} : { from: options.from }),
		...(options.to === undefined ? {} : { to: options.to }),
		...(onProgress ? { onProgress: (progress: Progress) => onProgress({ phase: "import", ...progress }) } : {}),
	});
	for (const place of trace.head.report.damage) options.onDamage?.(place);
	options.onTrace?.(trace);
	return replayStream(trace, options, (performance.now() - started) / 1000);
}

/** Index of the one device that is replayed; null: all. */
function selected(devices: readonly TraceDevice[], options: ReplayOptions): number | null {
	if (options.device === undefined) return null;
	const wanted = options.device.includes(".") && options.device.split(":").length === 2 ? `0000:${options.device}` : options.device;
	const id = devices.findIndex((device) => device.name === wanted);
	if (id < 0) throw new RangeError(`no device ${options.device} in the trace; there are ${devices.map((device) => device.name).join(", ") || "none"}`);
	return id;
}

/** The rows that are replayed, with the number of rows of the trace that were looked at for them. */
async function* scoped(trace: TraceStream, id: number | null, limit: number): AsyncGenerator<{ columns: Columns; seen: number }, void, undefined> {
	let seen = 0;
	let kept = 0;
	for await (const whole of trace.chunks()) {
		if (kept >= limit) return;
		const columns = filtered(whole, id, limit - kept);
		kept += columns.length;
		seen += whole.length;
		yield { columns, seen };
	}
}

/** Rows that are left, as columns of their own. */
function filtered(columns: Columns, id: number | null, limit: number): Columns {
	if (id === null) return limit < columns.length ? { ...columns, length: limit } : columns;
	const rows: number[] = [];
	for (let i = 0; i < columns.length && rows.length < limit; i++) if (columns.kind[i] === Kind.invalidate || columns.id[i] === id) rows.push(i);
	const words = (column: Uint32Array) => {
		const out = new Uint32Array(2 * rows.length);
		rows.forEach((row, i) => {
			out[2 * i] = column[2 * row];
			out[2 * i + 1] = column[2 * row + 1];
		});
		return out;
	};
	return {
		length: rows.length,
		time: Float64Array.from(rows, (row) => columns.time[row]),
		kind: Uint8Array.from(rows, (row) => columns.kind[row]),
		flags: Uint8Array.from(rows, (row) => columns.flags[row]),
		verdict: Uint8Array.from(rows, (row) => columns.verdict[row]),
		id: Uint32Array.from(rows, (row) => columns.id[row]),
		pasid: Uint32Array.from(rows, (row) => columns.pasid[row]),
		iova: words(columns.iova),
		size: words(columns.size),
		pa: words(columns.pa),
	};
}

/** Replay a trace that is in memory. @throws EngineError, RangeError (unknown device) */
export function replayTrace(trace: Trace, options: ReplayOptions = {}, importSeconds = 0): Promise<ReplaySummary> {
	return replayStream(streamOf(trace), options, importSeconds);
}

/** Replay a trace chunk by chunk. @throws EngineError, RangeError (unknown device), ReplayError (the file changed or breaks) */
export async function replayStream(stream: TraceStream, options: ReplayOptions = {}, importSeconds = 0): Promise<ReplaySummary> {
	const trace = stream.head;
	const notes = [...trace.report.notes];
	if (stream.trace !== undefined && !hasTables(stream.trace)) return loggedOnly(trace, notes, importSeconds);
	const device = selected(trace.devices, options);
	const limit = options.limit ?? Number.POSITIVE_INFINITY;
	const machine = setUpMachine(trace, options);
	const { run } = machine;
	const kind: ReplayFormat = REPLAY_FORMATS[machine.format ?? "vtd-second"];
	const writesAlone = TABLE_FORMATS[kind.table].expressible(Access.write);
	const running: RunOptions = {
		ignoreInvalidations: options.ignoreInvalidations ?? false,
		prefetch: options.prefetch ?? false,
		...(options.deviceTlb ? { deviceTlb: kind.tags === "process" ? "process" as const : "domain" as const } : {}),
	};
	const asRecorded = kind.architecture === trace.architecture && kind.route === `${trace.stage}-stage`;
	if (trace.architecture === "smmuv3" && machine.format === null) notes.push("recorded on SMMUv3, replayed on VT-d second-stage tables");
	if (trace.stage === "first" && machine.format === null) notes.push("recorded with first-stage tables, replayed on second-stage ones without PASID");
	const buffer = run.columns();
	const summary = emptySummary(trace, notes, importSeconds);
	const explained = options.explain ?? 10;
	const observers = options.observers ?? [];
	const step = observers.length === 0 ? Number.POSITIVE_INFINITY : STRETCH;
	const pageSizes = new PageSizes();
	const latency = options.costs === undefined ? null : new Latency();
	if (options.costs !== undefined) run.setCosts(requestCosts(options.costs));
	let warming = 0;
	const counted = () => trace.devices.map((_, index) => run.device(index));
	let before = counted();
	const ats: DeviceTlbFigures["perDevice"] = [];
	const questions: Question[] = [];
	let milliseconds = 0;
	for await (const { columns, seen } of scoped(stream, device, limit)) {
		options.signal?.throwIfAborted();
		const count = columns.length;
		for (const name of ["kind", "flags", "verdict", "id", "pasid"] as const) buffer[name].set(columns[name].subarray(0, count));
		for (const name of ["iova", "size", "pa"] as const) buffer[name].set(columns[name].subarray(0, 2 * count));
		// PASIDs are kept where both have them
		if (!(asRecorded && machine.format === "vtd-first") && (machine.format !== null || trace.stage === "first")) retag(buffer, count, kind.tags);
		machine.admit?.(buffer, count);
		if (!asRecorded) withoutReasons(buffer, count);
		if (!writesAlone) readable(buffer, count);
		const { time } = columns;
		const warm = firstWarmRow(columns, summary.events, options.warmUp);
		for (let from = 0; from < count; ) {
			const end = Math.min(from + step, count);
			// a stretch ends at the mark
			const to = from < warm && end > warm ? warm : end;
			const start = performance.now();
			run.run(from, to, running);
			milliseconds += performance.now() - start;
			const stretch: Stretch = { run, rows: buffer, from, to, time, devices: trace.devices, domains: machine.domains };
			for (const observer of observers) observer.observe(stretch);
			if (to <= warm) before = counted();
			else {
				pageSizes.observe(stretch);
				latency?.observe(stretch);
			}
			from = to;
		}
		warming += warm;
		countEdits(buffer, count, summary);
		for (let i = warm; i < count; i++) {
			if (!judge(trace, columns, i, buffer.answer[i], buffer.code[i], buffer.answerPa, summary, explained)) continue;
			const answered = buffer.answer[i] & ANSWER_FAULT ? null : { low: buffer.answerPa[2 * i], high: buffer.answerPa[2 * i + 1] };
			questions.push({ row: summary.events + i, page: pageOf(columns.iova, i), answered });
		}
		summary.events += count;
		options.onProgress?.({ phase: "replay", done: seen, total: trace.events });
		// let a browser breathe, and an abort arrive
		await new Promise((resume) => setTimeout(resume, 0));
	}
	for (const [i, because] of (await explainAll(trace, scoped(stream, device, limit), questions)).entries()) summary.disagreements[i].because = because;
	trace.devices.forEach((device, index) => {
		const counters = since(before[index], run.device(index));
		const disagreements = counters.wrong + counters.unexplained;
		summary.dma.total += counters.dma;
		summary.dma.matched += counters.matched;
		summary.dma.wrongAddress += counters.wrong;
		summary.dma.unexplained += counters.unexplained;
		summary.dma.stale += counters.stale;
		summary.iotlb.hits += counters.hits;
		summary.iotlb.misses += counters.misses;
		const { dma, hits, misses, peakBytes, references, faults } = counters;
		ats.push({ name: device.name, hits: counters.tlbHits, requests: counters.tlbRequests, invalidations: counters.tlbInvalidations });
		summary.perDevice.push({ sid: device.rid, name: device.name, dma, hits, misses, peakBytes, references, faults, disagreements });
	});
	if (options.deviceTlb) {
		const sum = (of: (one: (typeof ats)[number]) => number) => ats.reduce((total, one) => total + of(one), 0);
		summary.deviceTlb = { hits: sum(({ hits }) => hits), requests: sum(({ requests }) => requests), invalidations: sum(({ invalidations }) => invalidations), perDevice: ats };
	}
	summary.perPageSize = pageSizes.figures();
	if (latency !== null) summary.latency = latency.figures(options.costs ?? {}, trace.devices.map(({ name }) => name));
	if (options.warmUp !== undefined) summary.warmUp = { events: warming, dma: before.reduce((sum, { dma }) => sum + dma, 0) };
	summary.seconds = milliseconds / 1000;
	summary.eventsPerSecond = milliseconds > 0 ? Math.round((summary.events / milliseconds) * 1000) : 0;
	machine.dispose();
	return summary;
}

function emptySummary({ report, loggedFaults }: TraceHead, notes: string[], importSeconds: number): ReplaySummary {
	return {
		version: 1,
		events: 0,
		dma: { total: 0, matched: 0, wrongAddress: 0, unexplained: 0, stale: 0 },
		iotlb: { hits: 0, misses: 0 },
		recorded: { hits: 0, misses: 0, agree: 0, disagree: 0 },
		faults: { recorded: 0, matched: 0, list: [], ...(loggedFaults === undefined ? {} : { logged: loggedFaults }) },
		perDevice: [],
		perPageSize: [],
		deviceTlb: null,
		latency: null,
		warmUp: null,
		seconds: 0,
		eventsPerSecond: 0,
		importSeconds,
		damagedLines: report.damagedLines,
		disagreements: [],
		notes,
		replacedMaps: 0,
		refusedEdits: 0,
	};
}

/** Whether there is anything to hold faults against: a kernel log alone knows no map and no DMA. */
function hasTables({ columns, loggedFaults }: Trace): boolean {
	if (loggedFaults === undefined) return true;
	for (let i = 0; i < columns.length; i++) if (columns.kind[i] !== Kind.fault) return true;
	return false;
}

/** The summary of a kernel log alone: its faults are told, not replayed. */
function loggedOnly(trace: TraceHead, notes: string[], importSeconds: number): ReplaySummary {
	const summary = emptySummary(trace, notes, importSeconds);
	summary.events = trace.events;
	summary.faults.recorded = trace.events;
	return summary;
}

/** Reasons in the codes of another architecture or stage than the one that replays: only that they faulted is compared. */
function withoutReasons(buffer: { kind: Uint8Array; pa: Uint32Array }, count: number): void {
	for (let i = 0; i < count; i++) if (buffer.kind[i] === Kind.fault) buffer.pa.fill(0, 2 * i, 2 * i + 2);
}

/** Maps for writing alone, in tables that cannot say so. */
function readable(buffer: { kind: Uint8Array; flags: Uint8Array }, count: number): void {
	for (let i = 0; i < count; i++) if (buffer.kind[i] === Kind.map) buffer.flags[i] |= Access.read;
}

/** What happened after `before`; the most bytes mapped are of the whole run. */
function since(before: RunDeviceCounters, now: RunDeviceCounters): RunDeviceCounters {
	const out = { ...now };
	for (const name of Object.keys(now) as (keyof RunDeviceCounters)[]) if (name !== "peakBytes") out[name] -= before[name];
	return out;
}

function countEdits({ kind, answer }: { kind: Uint8Array; answer: Uint8Array }, count: number, summary: ReplaySummary): void {
	for (let i = 0; i < count; i++) {
		if (kind[i] !== Kind.map && kind[i] !== Kind.unmap) continue;
		if (answer[i] & ANSWER_REFUSED) summary.refusedEdits++;
		if (answer[i] & ANSWER_REPLACED) summary.replacedMaps++;
	}
}

/** Book one answer to a dma or fault row; true when it is a disagreement to be explained. */
function judge({ devices }: TraceHead, columns: Columns, row: number, answer: number, code: number, answerPa: Uint32Array, summary: ReplaySummary, explained: number): boolean {
	const kind = columns.kind[row];
	if (kind !== Kind.dma && kind !== Kind.fault) return false;
	const verdict = columns.verdict[row];
	if (verdict !== Verdict.none) {
		if (verdict === Verdict.hit) summary.recorded.hits++;
		else summary.recorded.misses++;
		if (answer & ANSWER_VERDICT || answer & ANSWER_FAULT) summary.recorded.disagree++;
		else summary.recorded.agree++;
	}
	const judged = answer & ANSWER_KIND_MASK;
	if (kind === Kind.fault) {
		summary.faults.recorded++;
		if (judged === ANSWER_MATCHED) summary.faults.matched++;
	}
	const device = devices[columns.id[row]];
	if (answer & ANSWER_FAULT && summary.faults.list.length < KEPT_FAULTS) {
		const fault: ReplayFault = { sid: device.rid, address: hexAt(columns.iova, row), reason: code, write: (columns.flags[row] & ACCESS_WRITE) !== 0 };
		summary.faults.list.push(fault);
	}
	if (judged === ANSWER_MATCHED || judged === 0 || summary.disagreements.length >= explained) return false;
	const disagreement: Disagreement = {
		time: columns.time[row],
		device: device.name,
		address: hexAt(columns.iova, row),
		kind: judged === ANSWER_WRONG ? "wrong address" : "unexplained",
		recorded: kind === Kind.fault ? `fault ${columns.pa[2 * row]}` : hexAt(columns.pa, row),
		replayed: answer & ANSWER_FAULT ? `fault ${code}` : hexAt(answerPa, row),
		because: "",
	};
	summary.disagreements.push(disagreement);
	return true;
}
