/** Writing a file whole or not at all. */
import { once } from "node:events";
import { createWriteStream, renameSync, rmSync } from "node:fs";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { ReplayError } from "../replay/errors.ts";

/** Bytes on their way, counted; a name that ends in `.gz` is compressed. `-` is standard output. */
export async function writeOutput(path: string, pieces: AsyncIterable<Uint8Array>): Promise<number> {
	let bytes = 0;
	const counted = new Transform({
		transform(piece: Uint8Array, _, done) {
			bytes += piece.length;
			done(null, piece);
		},
	});
	const source = Readable.from(pieces, { objectMode: false });
	if (path === "-") {
		for await (const piece of source.pipe(counted)) if (!process.stdout.write(piece)) await once(process.stdout, "drain");
		return bytes;
	}
	// a name of its own, so that nobody takes half a file for a whole one
	const partial = `${path}.${process.pid}.partial`;
	try {
		if (path.endsWith(".gz")) await pipeline(source, createGzip(), counted, createWriteStream(partial));
		else await pipeline(source, counted, createWriteStream(partial));
		renameSync(partial, path);
	} catch (error) {
		rmSync(partial, { force: true });
		const { code, message } = error as NodeJS.ErrnoException;
		if (code === "ENOENT" || code === "EACCES" || code === "EISDIR" || code === "ENOSPC") throw new ReplayError("unreadable", `${path}: cannot be written: ${message}`, path, null, { cause: error });
		throw error;
	}
	return bytes;
}
