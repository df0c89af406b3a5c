/**
 * Opening inputs: paths, standard input, Blobs, streams and bytes, plain, gzip or zstd, in Node and in browsers.
 *
 * Node's modules are reached through `process.getBuiltinModule`, not by an import, so that a bundler for browsers finds nothing to resolve.
 */
import { ReplayError } from "./errors.ts";
import { gunzip, isGzip } from "./gunzip.ts";
import { isZstd, unzstd } from "./zstd.ts";

/** Content with a name for messages; a string here is the text itself. */
export interface NamedSource {
	name: string;
	data: string | Uint8Array | Blob | ReadableStream<Uint8Array>;
}

/** An input. A bare string is a path, or `-` for standard input (Node only). */
export type Source = string | Uint8Array | Blob | ReadableStream<Uint8Array> | NamedSource;

/** Bytes read so far of one input, before decompression. */
export interface Progress {
	file: string;
	loaded: number;
	/** null when the size cannot be known, as for a pipe */
	total: number | null;
}

export interface OpenOptions {
	signal?: AbortSignal;
	onProgress?: (progress: Progress) => void;
}

/** An opened input. */
export interface OpenedSource {
	/** base name, for messages */
	name: string;
	/** bytes before decompression; null when it cannot be known, as for a pipe, which cannot be read twice either */
	size: number | null;
	/**
	 * The decompressed bytes, in chunks. Compressed input that is cut or broken is not thrown away: what could be
	 * decoded comes out, then `onDamage` is told.
	 */
	bytes(onDamage: (what: string) => void): AsyncGenerator<Uint8Array, void, undefined>;
}

interface RawInput {
	name: string;
	total: number | null;
	chunks: () => AsyncIterable<Uint8Array>;
}

/** Big enough to make per-chunk costs vanish, small enough that progress and abort come often. */
const SLICE = 1 << 16;

/** Opens `source`; a file that does not exist or cannot be read is reported here or by the first read, as a {@link ReplayError}. */
export function openSource(source: Source, options: OpenOptions = {}): OpenedSource {
	const raw = rawInput(source);
	return {
		name: raw.name,
		size: raw.total,
		bytes: (onDamage) => decoded(raw, options, onDamage),
	};
}

async function* decoded(raw: RawInput, options: OpenOptions, onDamage: (what: string) => void): AsyncGenerator<Uint8Array, void, undefined> {
	const chunks = watched(raw, options);
	const first = await firstBytes(chunks);
	if (first === null) return;
	const all = prepended(first, chunks);
	if (isGzip(first)) yield* gunzip(all, onDamage);
	else if (isZstd(first)) yield* unzstd(all, raw.name, onDamage);
	else yield* all;
}

/** Bytes of the longest magic number. */
const MAGIC = 4;

/** Enough bytes for a magic number, fewer when the input is shorter; null for an empty one. */
async function firstBytes(chunks: AsyncGenerator<Uint8Array>): Promise<Uint8Array | null> {
	let head = new Uint8Array(0);
	while (head.length < MAGIC) {
		const next = await chunks.next();
		if (next.done) break;
		if (head.length === 0) {
			head = next.value as Uint8Array<ArrayBuffer>;
			continue;
		}
		const joined = new Uint8Array(head.length + next.value.length);
		joined.set(head);
		joined.set(next.value, head.length);
		head = joined;
	}
	return head.length === 0 ? null : head;
}

async function* prepended(first: Uint8Array, rest: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
	try {
		yield first;
		yield* rest;
	} finally {
		await rest.return(undefined);
	}
}

/** Counts bytes for the progress callback, looks at the signal, and gives every failure a file name. */
async function* watched(raw: RawInput, options: OpenOptions): AsyncGenerator<Uint8Array, void, undefined> {
	const { signal, onProgress } = options;
	let loaded = 0;
	signal?.throwIfAborted();
	try {
		for await (const chunk of raw.chunks()) {
			signal?.throwIfAborted();
			loaded += chunk.length;
			onProgress?.({ file: raw.name, loaded, total: raw.total });
			if (chunk.length > 0) yield chunk;
		}
	} catch (error) {
		if (signal?.aborted || error instanceof ReplayError) throw error;
		throw new ReplayError("unreadable", `${raw.name}: ${(error as Error).message}`, raw.name, null, { cause: error });
	}
}

function rawInput(source: Source): RawInput {
	if (typeof source === "string") return source === "-" ? standardInput() : pathInput(source);
	if (source instanceof Uint8Array) return contentInput("(bytes)", source);
	if (source instanceof Blob) return contentInput(source instanceof File ? source.name : "(blob)", source);
	if (source instanceof ReadableStream) return contentInput("(stream)", source);
	return contentInput(source.name, source.data);
}

function contentInput(name: string, data: NamedSource["data"]): RawInput {
	if (typeof data === "string") return contentInput(name, new TextEncoder().encode(data));
	if (data instanceof Uint8Array) return { name, total: data.length, chunks: () => slices(data) };
	if (data instanceof Blob) return { name, total: data.size, chunks: () => streamChunks(data.stream()) };
	return { name, total: null, chunks: () => streamChunks(data) };
}

async function* slices(data: Uint8Array): AsyncGenerator<Uint8Array> {
	for (let at = 0; at < data.length; at += SLICE) yield data.subarray(at, at + SLICE);
}

/** A reader instead of `for await`, since not every browser's streams are async iterable. */
async function* streamChunks(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
	const reader = stream.getReader();
	try {
		for (;;) {
			const { done, value } = await reader.read();
			if (done) return;
			yield value;
		}
	} finally {
		// a consumer that stops early must not leave the producer running
		await reader.cancel().catch(() => undefined);
	}
}

function standardInput(): RawInput {
	node("node:fs", "-");
	return { name: "(stdin)", total: null, chunks: () => process.stdin };
}

function pathInput(path: string): RawInput {
	const fs = node("node:fs", path);
	const name = path.replace(/^.*[/\\]/, "");
	let total: number;
	try {
		const status = fs.statSync(path);
		if (status.isDirectory()) throw new Error("it is a directory");
		total = status.size;
	} catch (error) {
		throw new ReplayError("unreadable", `${path}: cannot be read: ${reason(error as NodeJS.ErrnoException)}`, name, null, { cause: error });
	}
	return { name, total: total === 0 ? null : total, chunks: () => fs.createReadStream(path, { highWaterMark: SLICE }) };
}

function reason(error: NodeJS.ErrnoException): string {
	if (error.code === "ENOENT") return "no such file";
	if (error.code === "EACCES") return "permission denied";
	return error.message;
}

function node<Id extends "node:fs">(id: Id, path: string): typeof import("node:fs") {
	const module = globalThis.process?.getBuiltinModule?.(id);
	if (module === undefined) throw new ReplayError("unreadable", `${path}: paths need Node; give a Blob or a stream here`, path);
	return module;
}
