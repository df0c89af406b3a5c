/**
 * A trace as its head and its events, chunk by chunk: a recording of any size passes through in constant memory.
 *
 * A trace file of our own and joined CSV need no join. They are read twice: once for the head (devices and their domains may be
 * told late, and tables are sized by all maps), then for the events. Everything else is imported whole.
 */
import { CHUNK_EVENTS } from "./file/format.ts";
import { TableFrames } from "./frames.ts";
import type { StreamingParser } from "./importers/contract.ts";
import { cut, type ImportOptions, importTrace } from "./importers/import.ts";
import { makeReport, steps } from "./importers/reading.ts";
import type { TraceHead, TraceStream } from "./head.ts";
import { slice } from "./rows.ts";
import { openSource, type Source } from "./source.ts";
import type { Columns, ImportReport, Trace } from "./trace.ts";

export interface StreamOptions extends ImportOptions {
	/** default: recordings of more than 32 MiB that can be read twice */
	stream?: boolean;
}

/** Below this size (as stored) a second reading costs more than the memory is worth. */
const WORTH_STREAMING = 1 << 25;

/** Opens one recorded run. @throws ReplayError */
export async function openTrace(sources: Source | readonly Source[], options: StreamOptions = {}): Promise<TraceStream> {
	const source = Array.isArray(sources) && sources.length === 1 ? (sources[0] as Source) : (sources as Source);
	if (!Array.isArray(sources) || sources.length === 1) {
		const { size } = openSource(source);
		if (size !== null && (options.stream ?? size > WORTH_STREAMING)) {
			const head = await survey(source, options);
			if (head !== null) return { head, chunks: () => second(source, options) };
		}
	}
	return streamOf(await importTrace(sources, options));
}

/** A trace in memory as a stream. */
export function streamOf(trace: Trace): TraceStream {
	const { columns, ...rest } = trace;
	let frames: number | null = null;
	return {
		trace,
		head: {
			...rest,
			events: columns.length,
			// not all who go through a trace build tables
			get frames() {
				if (frames === null) {
					const count = new TableFrames();
					count.add(columns);
					frames = count.total(trace.devices.length);
				}
				return frames;
			},
		},
		async *chunks() {
			for (let from = 0; from < columns.length; from += CHUNK_EVENTS) yield slice(columns, from, Math.min(from + CHUNK_EVENTS, columns.length));
		},
	};
}

type Read = Pick<Trace, "architecture" | "stage" | "devices" | "files"> & { notes: string[] };

/** Reads the whole recording for its head; null when its format does not stream. */
async function survey(source: Source, options: StreamOptions): Promise<TraceHead | null> {
	const report = makeReport();
	const frames = new TableFrames();
	let events = 0;
	const reading = read(source, options, report);
	let next = await reading.next();
	for (; !next.done; next = await reading.next()) {
		events += next.value.length;
		frames.add(next.value);
	}
	if (next.value === null) return null;
	const { notes, ...rest } = next.value;
	report.notes.push(...notes);
	return { ...rest, report, events, frames: frames.total(rest.devices.length) };
}

/** The second reading, whose damage and progress the first one has told. */
async function* second(source: Source, { onProgress: _, ...options }: StreamOptions): AsyncGenerator<Columns, void, undefined> {
	yield* read(source, options, makeReport());
}

/** The events of a recording that streams; returns the rest of it, null when its format does not stream. */
async function* read(source: Source, options: StreamOptions, report: ImportReport): AsyncGenerator<Columns, Read | null, undefined> {
	let opened: { name: string; parser: StreamingParser } | null = null;
	let zero = Number.NaN;
	const { to = Number.POSITIVE_INFINITY } = options;
	const ours = (columns: Columns) => {
		if (Number.isNaN(zero)) zero = columns.time[0];
		return cut(columns, zero, options);
	};
	for await (const { name, parser } of steps(source, options, report)) {
		if (!("chunks" in parser)) return null;
		opened = { name, parser: parser as unknown as StreamingParser };
		for (const columns of opened.parser.chunks()) {
			if (zero + to <= columns.time[0]) continue;
			yield ours(columns);
		}
	}
	if (opened === null) return null;
	const { columns, side: _, ...rest } = opened.parser.end();
	if (columns.length > 0) yield ours(columns);
	return { ...rest, files: [opened.name] };
}
