/** Numbers of the trace file; FORMAT.md beside this file is its description. */
import type { Columns, Trace } from "../trace.ts";

/** The first eight bytes, as Latin-1. */
export const MAGIC = "\x89IOAS\r\n\x1a";
export const VERSION = 1;
export const HEAD_BYTES = 16;
export const BLOCK_BYTES = 32;

/** Events of a chunk at most. */
export const CHUNK_EVENTS = 1 << 16;
export const EVENT_BYTES = 43;

/** Block types, four characters as a little-endian word. */
export const Block = { dictionary: 0x54434944, events: 0x53545645, end: 0x20444e45 } as const;

/** What a DICT block holds. */
export type Dictionary = Pick<Trace, "architecture" | "stage" | "files" | "devices"> & { notes: string[] };

/** Bytes of a payload with its padding. */
export function padded(bytes: number): number {
	return Math.ceil(bytes / 8) * 8;
}

/** The columns of `events` events that lie at `offset` (a multiple of 8) of `buffer`: views, no copies. */
export function columnsAt(buffer: ArrayBuffer, offset: number, events: number): Columns {
	return {
		length: events,
		iova: new Uint32Array(buffer, offset, 2 * events),
		size: new Uint32Array(buffer, offset + 8 * events, 2 * events),
		pa: new Uint32Array(buffer, offset + 16 * events, 2 * events),
		time: new Float64Array(buffer, offset + 24 * events, events),
		id: new Uint32Array(buffer, offset + 32 * events, events),
		pasid: new Uint32Array(buffer, offset + 36 * events, events),
		kind: new Uint8Array(buffer, offset + 40 * events, events),
		flags: new Uint8Array(buffer, offset + 41 * events, events),
		verdict: new Uint8Array(buffer, offset + 42 * events, events),
	};
}
