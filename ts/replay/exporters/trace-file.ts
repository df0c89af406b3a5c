import { TraceFileEncoder } from "../file/encode.ts";
import type { Exporter } from "./contract.ts";

export const traceFile: Exporter = {
	name: "trace-file",
	title: "ioasid trace file",
	extensions: [".iot"],
	async *encode({ head, chunks }) {
		const encoder = new TraceFileEncoder();
		yield encoder.start({ ...head, notes: head.report.notes });
		for await (const columns of chunks()) if (columns.length > 0) yield encoder.events(columns);
		yield encoder.end();
	},
};
