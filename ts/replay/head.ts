import type { Columns, Trace } from "./trace.ts";

/** Everything about a trace but its events. */
export interface TraceHead extends Omit<Trace, "columns"> {
	/** events in all */
	events: number;
	/** 4 KiB frames that its page tables take at most */
	frames: number;
}

/** A trace that can be gone through any number of times. */
export interface TraceStream {
	head: TraceHead;
	/** the same, when it is in memory */
	trace?: Trace;
	/** its events in order, at most 64 Ki at a time; time is from the start of the trace. Chunks may be kept, not written to. */
	chunks(): AsyncGenerator<Columns, void, undefined>;
}
