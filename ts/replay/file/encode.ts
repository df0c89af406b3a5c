/** Writing a trace file: pieces of bytes in the order in which they go out. FORMAT.md describes them. */
import type { Columns, Trace } from "../trace.ts";
import { crc32 } from "./crc32.ts";
import { BLOCK_BYTES, Block, CHUNK_EVENTS, columnsAt, type Dictionary, EVENT_BYTES, HEAD_BYTES, MAGIC, padded, VERSION } from "./format.ts";

/** Encodes one file: `start`, then any number of `events`, then `end`; each gives the bytes to append. */
export class TraceFileEncoder {
	private chunks = 0;
	private written = 0;

	/** Head and dictionary. */
	start(dictionary: Dictionary): Uint8Array {
		const head = new Uint8Array(HEAD_BYTES);
		for (let i = 0; i < MAGIC.length; i++) head[i] = MAGIC.charCodeAt(i);
		const view = new DataView(head.buffer);
		view.setUint32(8, VERSION, true);
		view.setUint32(12, crc32(head.subarray(0, 12)), true);
		const block = this.dictionary(dictionary);
		const both = new Uint8Array(HEAD_BYTES + block.length);
		both.set(head);
		both.set(block, HEAD_BYTES);
		return both;
	}

	/** A dictionary that replaces the one before, when a recorder has learnt more: devices may be added, none may move. */
	dictionary({ architecture, stage, files, notes, devices }: Dictionary): Uint8Array {
		return json(Block.dictionary, { architecture, stage, files, notes, devices });
	}

	/** One chunk: rows [from, to) of `columns`, 1 to 65,536 of them. @throws RangeError */
	events(columns: Columns, from = 0, to = columns.length): Uint8Array {
		const count = to - from;
		if (!(count >= 1 && count <= CHUNK_EVENTS && from >= 0 && to <= columns.length)) {
			throw new RangeError(`TraceFileEncoder.events: rows ${from} to ${to} of ${columns.length}; a chunk takes 1 to ${CHUNK_EVENTS}`);
		}
		const out = block(Block.events, this.chunks, count, EVENT_BYTES * count);
		const to_ = columnsAt(out.buffer, BLOCK_BYTES, count);
		for (const name of ["iova", "size", "pa"] as const) to_[name].set(columns[name].subarray(2 * from, 2 * to));
		for (const name of ["id", "pasid"] as const) to_[name].set(columns[name].subarray(from, to));
		for (const name of ["kind", "flags", "verdict"] as const) to_[name].set(columns[name].subarray(from, to));
		to_.time.set(columns.time.subarray(from, to));
		this.chunks++;
		this.written += count;
		return sealed(out, EVENT_BYTES * count);
	}

	/** The end, without which the file counts as cut. */
	end(): Uint8Array {
		return json(Block.end, { events: this.written });
	}
}

/** A whole trace as a trace file, piece by piece. */
export function* encodeTrace(trace: Trace): Generator<Uint8Array, void, undefined> {
	const encoder = new TraceFileEncoder();
	yield encoder.start({ ...trace, notes: trace.report.notes });
	const { columns } = trace;
	for (let from = 0; from < columns.length; from += CHUNK_EVENTS) yield encoder.events(columns, from, Math.min(from + CHUNK_EVENTS, columns.length));
	yield encoder.end();
}

function json(type: number, value: unknown): Uint8Array {
	const text = new TextEncoder().encode(JSON.stringify(value));
	const out = block(type, 0, 0, text.length);
	out.set(text, BLOCK_BYTES);
	return sealed(out, text.length);
}

function block(type: number, index: number, events: number, bytes: number): Uint8Array<ArrayBuffer> {
	const out = new Uint8Array(BLOCK_BYTES + padded(bytes));
	const view = new DataView(out.buffer);
	view.setUint32(0, type, true);
	view.setUint32(4, index, true);
	view.setUint32(8, events, true);
	view.setUint32(12, bytes, true);
	return out;
}

function sealed(out: Uint8Array<ArrayBuffer>, bytes: number): Uint8Array<ArrayBuffer> {
	const view = new DataView(out.buffer);
	view.setUint32(16, crc32(out.subarray(BLOCK_BYTES, BLOCK_BYTES + bytes)), true);
	view.setUint32(28, crc32(out.subarray(0, 28)), true);
	return out;
}
