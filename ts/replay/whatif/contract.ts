/**
 * What a what-if is: one file that turns a trace, the hardware it is replayed on, or both into a variant. A new one is a
 * file beside this one and a line in `index.ts`; its command-line option comes from the file.
 */
import type { RunDeviceCounters } from "../../engine/index.ts";
import type { TraceStream } from "../head.ts";
import type { ReplayOptions } from "../replay.ts";
import type { ReplaySummary } from "../summary.ts";
import type { WhatIfVariant } from "./types.ts";

export type Extra = WhatIfVariant["extra"][number];

/** A trace and how it is replayed. */
export interface Subject {
	trace: TraceStream;
	options: ReplayOptions;
}

/** What a replay of a subject came to. */
export interface Outcome {
	summary: ReplaySummary;
	/** counters of each device, as the engine keeps them */
	devices: RunDeviceCounters[];
}

/** A subject changed. */
export interface Change extends Subject {
	/** figures of this variant alone that are known before it is replayed */
	extra?: Extra[];
	/** those that are known after */
	after?: (outcome: Outcome) => Extra[];
	notes?: string[];
}

export interface WhatIf<Value> {
	/** short name: that of the option */
	readonly name: string;
	/** what follows the option: `<n>`, `[n]` or nothing */
	readonly argument: string;
	readonly description: string;
	/** the value of the option's text; of `true` where the argument may be left out. @throws RangeError */
	parse(text: string | true): Value;
	/** for people */
	title(value: Value): string;
	/** The subject is left as it is. @throws RangeError for a trace that cannot be changed so */
	apply(subject: Subject, value: Value): Change | Promise<Change>;
}
