/** Parquet files, by hyparquet-writer (plain JavaScript, no Wasm to load). One row group for each chunk. */
import { COLUMNS, dictionaryText, METADATA, valuesOf } from "../columnar.ts";
import { optional } from "../optional.ts";
import type { Exporter } from "./contract.ts";

const TYPES = {
	8: { type: "INT32", converted_type: "UINT_8" },
	32: { type: "INT32", converted_type: "UINT_32" },
	64: { type: "INT64", converted_type: "UINT_64" },
} as const;

export const parquet: Exporter = {
	name: "parquet",
	title: "Parquet file",
	extensions: [".parquet"],
	async *encode({ head, chunks }) {
		const { ByteWriter, ParquetWriter } = await optional<typeof import("hyparquet-writer")>("hyparquet-writer", "Parquet", "hyparquet hyparquet-writer");
		const columns = COLUMNS.map(([name, bits]) => ({ name, repetition_type: "REQUIRED" as const, ...(name === "time" ? { type: "DOUBLE" as const } : TYPES[bits]) }));
		const writer = new ByteWriter();
		const file = new ParquetWriter({
			writer,
			schema: [{ name: "schema", num_children: columns.length }, ...columns],
			kvMetadata: [{ key: METADATA, value: dictionaryText(head) }],
			createdBy: "ioasid",
		});
		const taken = () => {
			const piece = writer.getBytes().slice();
			writer.index = 0;
			return piece;
		};
		for await (const chunk of chunks()) {
			if (chunk.length === 0) continue;
			await file.write({ columnData: COLUMNS.map(([name]) => ({ name, data: numbers(valuesOf(chunk, name)) })), rowGroupSize: chunk.length });
			yield taken();
		}
		await file.finish();
		yield taken();
	},
};

/** The library takes no unsigned typed array whole (hyparquet-writer 0.17 refuses 2^31 and above in a dictionary page); plain arrays it does. */
function numbers(values: ReturnType<typeof valuesOf>): Float64Array | number[] | bigint[] {
	if (values instanceof Float64Array) return values;
	return values instanceof BigUint64Array ? Array.from(values) : Array.from(values);
}
