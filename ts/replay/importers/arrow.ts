/** Arrow IPC files that `ioasid convert` wrote, by apache-arrow. */
import { checkArrow } from "../arrow-check.ts";
import { Bytes, COLUMNS, METADATA, recordingOf, rowsOf, storeValues, unreadable } from "../columnar.ts";
import { optional } from "../optional.ts";
import type { Columns } from "../trace.ts";
import type { Importer, Place } from "./contract.ts";

export const arrow: Importer = {
	name: "arrow",
	title: "Arrow IPC file",
	lastLine: "whole",
	recognise: (head) => (head.startsWith("ARROW1") ? 1 : 0),
	open: (place) => {
		const bytes = new Bytes();
		return { bytes: (piece) => bytes.add(piece), end: () => read(bytes.whole(), place) };
	},
};

async function read(bytes: Uint8Array, place: Place) {
	const { tableFromIPC } = await optional<typeof import("apache-arrow")>("apache-arrow", "Arrow", "apache-arrow");
	let columns: Columns;
	let text: string | undefined;
	// the library does not look, and reads a cut file as if it were another format
	if (new TextDecoder().decode(bytes.subarray(-6)) !== "ARROW1") throw place.error("damaged", "the file is cut: its end is not that of an Arrow file");
	try {
		checkArrow(bytes);
		const table = tableFromIPC(bytes);
		text = table.schema.metadata.get(METADATA);
		columns = rowsOf(table.numRows);
		for (const [name] of COLUMNS) {
			const vector = table.getChild(name);
			if (vector === null) throw new Error(`no column ${name}`);
			let at = 0;
			for (const { length, values, offset, nullCount } of vector.data) {
				if (nullCount > 0) throw new Error(`column ${name} has nulls`);
				storeValues(columns, name, (values as Uint8Array).subarray(offset, offset + length), at);
				at += length;
			}
		}
	} catch (error) {
		throw unreadable(error, place);
	}
	return recordingOf(text, columns, place);
}
