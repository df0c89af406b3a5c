/** What the conformance runner asks of a file shape. To add a shape: one file, one line in index.ts. */

import type { Explanation, Translation } from "../../engine/index.ts";

/** What became of one enforced item of a file. */
export interface Verdict {
	/** `CASE#INDEX` */
	id: string;
	outcome: "passed" | "failed" | "skipped";
	/** of a failure */
	expected?: string;
	got?: string;
}

/** A request of a file, translated with its trace. */
export interface Explained {
	/** `CASE#INDEX` */
	id: string;
	/** who asked for what, in words */
	request: string;
	/** what the file expects, in words */
	expected: string;
	explanation: Explanation<Translation>;
}

/** How a file is run. */
export interface ShapeOptions {
	/** units without any cache: the answers are the same */
	uncached: boolean;
}

/** One shape of conformance files. */
export interface FileShape {
	/** the parsed file is of this shape */
	recognises(content: unknown): boolean;
	/** Run the items whose id `wanted` takes, in the file's order. `content` was recognised. */
	run(content: unknown, wanted: (id: string) => boolean, options: ShapeOptions): Iterable<Verdict>;
	/** The same with the trace of each, for files of single translations. */
	explain?(content: unknown, wanted: (id: string) => boolean): Iterable<Explained>;
}
