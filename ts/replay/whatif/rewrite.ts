/** Changing the events of a trace chunk by chunk, in memory or not. */
import { CHUNK_EVENTS } from "../file/format.ts";
import { TableFrames } from "../frames.ts";
import type { TraceHead, TraceStream } from "../head.ts";
import { joinColumns, type RowBuffer } from "../rows.ts";
import { streamOf } from "../stream.ts";
import type { Columns } from "../trace.ts";

/** Takes the events of a trace in and puts those of the changed one into `rows`. */
export interface Rewriter {
	readonly rows: RowBuffer;
	take(columns: Columns): void;
	/** after the last event */
	end?(): void;
}

/** What a rewriter makes of a trace, 64 Ki events at most at a time. */
export async function* rewrite(trace: TraceStream, rewriter: Rewriter): AsyncGenerator<Columns, void, undefined> {
	const { rows } = rewriter;
	for await (const columns of trace.chunks()) {
		rewriter.take(columns);
		while (rows.length >= CHUNK_EVENTS) yield rows.take(CHUNK_EVENTS);
	}
	rewriter.end?.();
	while (rows.length > 0) yield rows.take(Math.min(rows.length, CHUNK_EVENTS));
}

/**
 * The trace whose events `chunks` makes anew each time. They are gone through once here: for the head, or, of a trace that is in
 * memory, to be in memory too.
 */
export async function rewritten(trace: TraceStream, chunks: () => AsyncGenerator<Columns, void, undefined>, changes: Partial<Pick<TraceHead, "devices">> = {}): Promise<TraceStream> {
	if (trace.trace !== undefined) {
		const parts: Columns[] = [];
		for await (const columns of chunks()) parts.push(columns);
		return streamOf({ ...trace.trace, ...changes, columns: joinColumns(parts) });
	}
	const frames = new TableFrames();
	let events = 0;
	for await (const columns of chunks()) {
		events += columns.length;
		frames.add(columns);
	}
	const devices = changes.devices ?? trace.head.devices;
	return { head: { ...trace.head, devices, events, frames: frames.total(devices.length) }, chunks };
}
