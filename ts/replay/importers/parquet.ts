/** Parquet files that `ioasid convert` wrote, by hyparquet. */
import { Bytes, COLUMNS, METADATA, recordingOf, rowsOf, storeValues, unreadable } from "../columnar.ts";
import { optional } from "../optional.ts";
import type { Columns } from "../trace.ts";
import type { Importer, Place } from "./contract.ts";

export const parquet: Importer = {
	name: "parquet",
	title: "Parquet file",
	lastLine: "whole",
	recognise: (head) => (head.startsWith("PAR1") ? 1 : 0),
	open: (place) => {
		const bytes = new Bytes();
		return { bytes: (piece) => bytes.add(piece), end: () => read(bytes.whole(), place) };
	},
};

async function read({ buffer }: Uint8Array<ArrayBuffer>, place: Place) {
	const { parquetScan } = await optional<typeof import("hyparquet")>("hyparquet", "Parquet", "hyparquet hyparquet-writer");
	let columns: Columns;
	let text: string | undefined;
	try {
		const scan = await parquetScan({ file: { byteLength: buffer.byteLength, slice: (from, to) => buffer.slice(from, to) }, columns: COLUMNS.map(([name]) => name) });
		text = scan.metadata.key_value_metadata?.find(({ key }) => key === METADATA)?.value;
		columns = rowsOf(Number(scan.metadata.num_rows));
		for (const range of scan.ranges) {
			for (const [name] of COLUMNS) {
				const values = await scan.readColumn({ column: name, ...range });
				if (values.length !== range.rowEnd - range.rowStart) throw new Error(`column ${name} has ${values.length} values of ${range.rowEnd - range.rowStart}`);
				storeValues(columns, name, values, range.rowStart);
			}
		}
	} catch (error) {
		throw unreadable(error, place);
	}
	return recordingOf(text, columns, place);
}
