/** Reading a trace file, as its bytes come. FORMAT.md describes them. */
import type { ReplayError } from "../errors.ts";
import type { BytesParser, JoinedLog, Place, StreamingParser } from "../importers/contract.ts";
import { joinColumns } from "../rows.ts";
import type { Columns } from "../trace.ts";
import { firstWrong } from "./check.ts";
import { crc32 } from "./crc32.ts";
import { readDictionary, withOrigin } from "./dictionary.ts";
import { BLOCK_BYTES, Block, CHUNK_EVENTS, columnsAt, type Dictionary, EVENT_BYTES, HEAD_BYTES, MAGIC, padded, VERSION } from "./format.ts";

/** What is being waited for: a head of known size, or the payload that a head announced. */
interface Expected {
	bytes: Uint8Array<ArrayBuffer>;
	/** bytes that are there */
	filled: number;
	/** null: `bytes` is the head of the file, or of a block */
	block: { type: number; index: number; events: number; bytes: number; crc: number } | null;
}

/** DICT and END are small; a larger one is no dictionary. */
const MOST_JSON = 1 << 26;

const expectHead = (bytes: number): Expected => ({ bytes: new Uint8Array(bytes), filled: 0, block: null });

/** Takes the bytes of one file in pieces of any size; whole chunks come out of {@link TraceFileParser.chunks}. */
export class TraceFileParser implements BytesParser, StreamingParser {
	private readonly place: Place;
	private expected: Expected = expectHead(HEAD_BYTES);
	private started = false;
	private dictionary: Dictionary = { architecture: "unknown", stage: "second", files: [], devices: [], notes: [] };
	private named = false;
	private ended = false;
	private chunk = 0;
	private total = 0;
	private time = Number.NEGATIVE_INFINITY;
	private ready: Columns[] = [];

	constructor(place: Place) {
		this.place = place;
	}

	bytes(piece: Uint8Array): void {
		let at = 0;
		while (at < piece.length) {
			if (this.ended) throw this.wrong("bytes follow the END block");
			const { expected } = this;
			const count = Math.min(piece.length - at, expected.bytes.length - expected.filled);
			expected.bytes.set(piece.subarray(at, at + count), expected.filled);
			expected.filled += count;
			at += count;
			if (expected.filled === expected.bytes.length) this.complete(expected);
		}
	}

	chunks(): Columns[] {
		const taken = this.ready;
		this.ready = [];
		return taken;
	}

	/** After the last byte; says what is missing. The columns are those not taken. */
	end(): JoinedLog {
		if (!this.ended) {
			this.place.damage(`the file is cut: it ends ${this.started ? `after ${this.chunk} whole chunks (${this.total} events), without its END block` : "in its head"}`);
		}
		const { architecture, stage, devices, files, notes } = this.dictionary;
		return { side: "joined", architecture, stage, devices, columns: joinColumns(this.chunks()), notes: withOrigin(notes, files) };
	}

	private complete(expected: Expected): void {
		if (expected.block !== null) {
			this.payload(expected.bytes, expected.block);
			this.expected = expectHead(BLOCK_BYTES);
		} else if (this.started) this.expected = this.blockHead(expected.bytes);
		else {
			this.head(expected.bytes);
			this.started = true;
			this.expected = expectHead(BLOCK_BYTES);
		}
	}

	private head(bytes: Uint8Array<ArrayBuffer>): void {
		const view = new DataView(bytes.buffer);
		for (let i = 0; i < MAGIC.length; i++) if (bytes[i] !== MAGIC.charCodeAt(i)) throw this.wrong("the magic number is wrong");
		if (view.getUint32(12, true) !== crc32(bytes.subarray(0, 12))) throw this.wrong("the head's CRC is wrong");
		const version = view.getUint32(8, true);
		if (version !== VERSION) throw this.place.error("version", `trace file of version ${version}; this ioasid reads version ${VERSION}`);
	}

	private blockHead(bytes: Uint8Array<ArrayBuffer>): Expected {
		const view = new DataView(bytes.buffer);
		if (view.getUint32(28, true) !== crc32(bytes.subarray(0, 28))) throw this.wrong("the block head's CRC is wrong");
		const [type, index, events, length, crc] = [0, 4, 8, 12, 16].map((at) => view.getUint32(at, true));
		if (type === Block.events) {
			if (!this.named) throw this.wrong("events come before a dictionary");
			if (index !== this.chunk) throw this.wrong(`it says that it is chunk ${index}`);
			if (events < 1 || events > CHUNK_EVENTS || length !== EVENT_BYTES * events) throw this.wrong(`${events} events in ${length} bytes`);
		} else if (type !== Block.dictionary && type !== Block.end) throw this.wrong(`unknown block type 0x${type.toString(16)}`);
		else if (length === 0 || length > MOST_JSON) throw this.wrong(`a dictionary of ${length} bytes`);
		return { bytes: new Uint8Array(padded(length)), filled: 0, block: { type, index, events, bytes: length, crc } };
	}

	private payload(bytes: Uint8Array<ArrayBuffer>, block: NonNullable<Expected["block"]>): void {
		const payload = bytes.subarray(0, block.bytes);
		if (crc32(payload) !== block.crc) throw this.wrong("the payload's CRC is wrong");
		// padding is outside of the CRC
		for (let i = block.bytes; i < bytes.length; i++) if (bytes[i] !== 0) throw this.wrong("the padding is not zero");
		if (block.type === Block.events) this.eventBlock(columnsAt(bytes.buffer, 0, block.events));
		else if (block.type === Block.dictionary) {
			const next = readDictionary(this.json(payload));
			if (typeof next === "string") throw this.wrong(`the dictionary: ${next}`);
			if (next.devices.length < this.dictionary.devices.length) throw this.wrong("the dictionary loses devices");
			this.dictionary = next;
			this.named = true;
		} else {
			const { events } = this.json(payload) as { events?: unknown };
			if (events !== this.total) throw this.wrong(`END counts ${String(events)} events, there are ${this.total}`);
			this.ended = true;
		}
	}

	private json(payload: Uint8Array): object {
		try {
			const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
			if (typeof value === "object" && value !== null) return value;
		} catch {}
		throw this.wrong("no JSON object");
	}

	private eventBlock(columns: Columns): void {
		const wrong = firstWrong(columns, this.dictionary.devices.length, this.time);
		if (wrong !== null) throw this.wrong(`event ${this.total + wrong.row}: ${wrong.what}`);
		this.time = columns.time[columns.length - 1];
		this.ready.push(columns);
		this.chunk++;
		this.total += columns.length;
	}

	/** An error that names the chunk; `chunk` is the one that is being read, or would come next. */
	private wrong(what: string): ReplayError {
		return this.place.error("damaged", this.started ? `chunk ${this.chunk} (from event ${this.total}): ${what}` : what);
	}
}
