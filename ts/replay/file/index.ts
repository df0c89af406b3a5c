import type { Importer } from "../importers/contract.ts";
import { MAGIC } from "./format.ts";
import { TraceFileParser } from "./parse.ts";

/** The trace file of our own. */
export const traceFile: Importer = {
	name: "trace-file",
	title: "ioasid trace file",
	lastLine: "whole",
	recognise: (head) => (head.startsWith(MAGIC) ? 1 : 0),
	open: (place) => new TraceFileParser(place),
};
