/** tracefs text (`/sys/kernel/tracing/trace`, also `trace_pipe`) of the guest or of a real machine. */
import { type Importer, share } from "./contract.ts";
import { TraceTextParser } from "./trace-text.ts";

export const ftrace: Importer = {
	name: "ftrace",
	title: "Linux tracefs text",
	lastLine: "cut",
	recognise: (head) => {
		const header = head.startsWith("# tracer:") ? 0.2 : 0;
		return Math.max(header, share(head, /-\d+ +(\( *[-\d]+\) +)?\[\d+\] +(\S+ +)?\d+\.\d+: +[a-z]\w*: /, /^[^#]/));
	},
	open: (place) => new TraceTextParser(place, "ftrace"),
};
