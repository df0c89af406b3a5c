import { NESTED_LEAVES } from "../direct-machine.ts";
import type { TraceStream } from "../head.ts";
import { wideAt } from "../history/words.ts";
import { type Columns, Kind } from "../trace.ts";
import type { WhatIf } from "./contract.ts";

const GIB = 2 ** 30;
/** GiB of guest memory that are mapped, at most. */
const MOST_GIBS = 4096;

async function gibsOf(trace: TraceStream): Promise<number[]> {
	const gibs = new Set<number>();
	for await (const columns of trace.chunks()) addGibs(columns, gibs);
	return [...gibs];
}

function addGibs(columns: Columns, gibs: Set<number>): void {
	for (let row = 0; row < columns.length; row++) {
		if (columns.kind[row] !== Kind.map) continue;
		const first = wideAt(columns.pa, row);
		const last = first + Math.max(1, wideAt(columns.size, row)) - 1;
		for (let gib = Math.floor(first / GIB); gib <= Math.floor(last / GIB); gib++) {
			gibs.add(gib);
			if (gibs.size > MOST_GIBS) throw new RangeError(`maps of the trace lead to more than ${MOST_GIBS} GiB`);
		}
	}
}

/** The same maps as a guest's own: first-stage tables that a second stage translates. */
export const nested: WhatIf<keyof typeof NESTED_LEAVES> = {
	name: "nested",
	argument: "[leaf]",
	description: `first-stage tables under a second stage of VT-d, its leaves ${Object.keys(NESTED_LEAVES).join(", ")} (default 2M)`,
	parse(text) {
		if (text === true) return "2M";
		if (!Object.hasOwn(NESTED_LEAVES, text)) throw new RangeError(`"${text}" is none of ${Object.keys(NESTED_LEAVES).join(", ")}`);
		return text as keyof typeof NESTED_LEAVES;
	},
	title: (leaf) => `nested under a second stage of ${leaf} leaves`,
	apply: async ({ trace, options }, leaf) => ({ trace, options: { ...options, nested: { leaf, gibs: await gibsOf(trace) } } }),
};
