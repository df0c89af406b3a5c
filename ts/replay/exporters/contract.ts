import type { TraceStream } from "../head.ts";

/** A format that a trace can be written in: one file beside this one and a line in `index.ts`. */
export interface Exporter {
	/** short name, as in `--to` */
	readonly name: string;
	/** for people */
	readonly title: string;
	/** of file names, with the dot */
	readonly extensions: readonly string[];
	/** The bytes of the file in order. @throws ReplayError, `absent` when a package is missing */
	encode(trace: TraceStream): AsyncGenerator<Uint8Array, void, undefined>;
}
