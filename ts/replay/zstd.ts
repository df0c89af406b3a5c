/**
 * Zstandard: by Node's own zlib where it has it (22.15 and later), else by the optional package `fzstd`, loaded on use.
 */
import { ReplayError } from "./errors.ts";
import { NODE_CHUNK, throughNode } from "./gunzip.ts";

const CUT = "file ends in the middle of its zstd data";

/** What is used of `fzstd`. */
interface Fzstd {
	Decompress: new (onData: (chunk: Uint8Array, last?: boolean) => void) => { push(chunk: Uint8Array, last?: boolean): void };
}

/** Whether `head` starts with a frame's magic number, or a skippable frame's. */
export function isZstd(head: Uint8Array): boolean {
	if (head.length < 4) return false;
	if (head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd) return true;
	return (head[0] & 0xf0) === 0x50 && head[1] === 0x2a && head[2] === 0x4d && head[3] === 0x18;
}

/** Decompresses `input`. @throws ReplayError unreadable, when nothing here can */
export async function* unzstd(input: AsyncIterable<Uint8Array>, file: string, onDamage: (what: string) => void): AsyncGenerator<Uint8Array, void, undefined> {
	const zlib = globalThis.process?.getBuiltinModule?.("node:zlib") as { createZstdDecompress?: (options: { chunkSize: number }) => import("node:stream").Transform } | undefined;
	const told = (error: Error) => onDamage(/end of file|EOF|BUF_ERROR/i.test(`${(error as NodeJS.ErrnoException).code} ${error.message}`) ? CUT : `zstd data is broken: ${error.message}`);
	if (zlib?.createZstdDecompress !== undefined) return yield* throughNode(input, zlib.createZstdDecompress({ chunkSize: NODE_CHUNK }), told);
	yield* byPackage(input, await load(file), told);
}

async function load(file: string): Promise<Fzstd> {
	// not a literal: bundlers must not look for a package that is optional
	const name = "fzstd";
	try {
		return (await import(/* @vite-ignore */ name)) as Fzstd;
	} catch (error) {
		throw new ReplayError("unreadable", `${file}: zstd needs Node 22.15 or later, or the package fzstd (npm install fzstd)`, file, null, { cause: error });
	}
}

async function* byPackage(input: AsyncIterable<Uint8Array>, { Decompress }: Fzstd, onError: (error: Error) => void): AsyncGenerator<Uint8Array, void, undefined> {
	let ready: Uint8Array[] = [];
	const stream = new Decompress((chunk) => {
		// small pieces are decoded to strings faster than a whole block
		for (let at = 0; at < chunk.length; at += NODE_CHUNK) ready.push(chunk.slice(at, at + NODE_CHUNK));
	});
	let failure: Error | null = null;
	const push = (chunk: Uint8Array, last: boolean) => {
		try {
			stream.push(chunk, last);
		} catch (error) {
			failure = error as Error;
		}
		const taken = ready;
		ready = [];
		return taken;
	};
	for await (const chunk of input) {
		yield* push(chunk, false);
		if (failure !== null) break;
	}
	if (failure === null) yield* push(new Uint8Array(0), true);
	if (failure !== null) onError(failure);
}
