/**
 * gzip that loses nothing: what was decoded before a cut or a broken byte comes out, then the damage is reported.
 */

const CUT = "file ends in the middle of its gzip data";

/** Whether `head` starts with gzip's magic number. */
export function isGzip(head: Uint8Array): boolean {
	return head.length >= 2 && head[0] === 0x1f && head[1] === 0x8b;
}

/** Decompresses `input` with zlib in Node, and with DecompressionStream elsewhere. */
export function gunzip(input: AsyncIterable<Uint8Array>, onDamage: (what: string) => void): AsyncGenerator<Uint8Array, void, undefined> {
	const zlib = globalThis.process?.getBuiltinModule?.("node:zlib");
	if (zlib === undefined) return gunzipWeb(input, onDamage);
	const told = (error: NodeJS.ErrnoException) => onDamage(error.code === "Z_BUF_ERROR" ? CUT : `gzip data is broken: ${error.message}`);
	return throughNode(input, zlib.createGunzip({ chunkSize: NODE_CHUNK }), told);
}

/** Strings of this size still come out of the young heap: larger chunks decode at a fifth of the speed. */
export const NODE_CHUNK = 1 << 16;

/** Runs `input` through one of Node's decompressing streams; what was decoded before an error comes out, then `onError` is told. */
export async function* throughNode(
	input: AsyncIterable<Uint8Array>,
	stream: import("node:stream").Transform,
	onError: (error: NodeJS.ErrnoException) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
	let ready: Uint8Array[] = [];
	let failure: NodeJS.ErrnoException | null = null;
	stream.on("data", (chunk: Uint8Array) => ready.push(chunk));
	stream.on("error", (error) => {
		failure = error;
	});
	const closed = new Promise<void>((resolve) => stream.once("close", resolve));
	const take = () => {
		const taken = ready;
		ready = [];
		return taken;
	};
	let writing: Promise<void> | null = null;
	try {
		for await (const chunk of input) {
			await writing;
			if (failure !== null) break;
			const taken = take();
			// zlib's thread works on this chunk while the caller parses the one before
			writing = Promise.race([new Promise<void>((resolve) => stream.write(chunk, () => resolve())), closed]);
			yield* taken;
		}
		await writing;
		if (failure === null) {
			stream.end();
			await closed;
		}
		yield* take();
		// the assertion is for the compiler, which does not see the assignment in the handler
		const error = failure as NodeJS.ErrnoException | null;
		if (error !== null) onError(error);
	} finally {
		stream.destroy();
	}
}

async function* gunzipWeb(input: AsyncIterable<Uint8Array>, onDamage: (what: string) => void): AsyncGenerator<Uint8Array, void, undefined> {
	const stream = new DecompressionStream("gzip");
	const writer = stream.writable.getWriter();
	const reader = stream.readable.getReader();
	let ready: Uint8Array[] = [];
	let failed = false;
	// An erroring stream drops what it has queued, so a loop of its own empties the queue all the time.
	const pump = (async () => {
		for (;;) {
			const { done, value } = await reader.read();
			if (done) return;
			ready.push(value);
		}
	})().catch(() => {
		failed = true;
	});
	for await (const chunk of input) {
		await writer.write(chunk as Uint8Array<ArrayBuffer>).catch(() => {
			failed = true;
		});
		if (failed) break;
		const taken = ready;
		ready = [];
		yield* taken;
	}
	const complete = !failed;
	await writer.close().catch(() => {
		failed = true;
	});
	await pump;
	yield* ready;
	if (failed) onDamage(complete ? CUT : "gzip data is broken");
}
