/** Arrow IPC files (Feather 2), by apache-arrow. One record batch for each chunk. */
import type { Schema } from "apache-arrow";
import { COLUMNS, dictionaryText, METADATA, valuesOf } from "../columnar.ts";
import { optional } from "../optional.ts";
import type { Exporter } from "./contract.ts";

export const arrow: Exporter = {
	name: "arrow",
	title: "Arrow IPC file",
	extensions: [".arrow", ".feather"],
	async *encode({ head, chunks }) {
		const { AsyncByteQueue, Field, Float64, makeData, RecordBatch, RecordBatchFileWriter, Schema, Struct, Uint8, Uint32, Uint64 } = await optional<typeof import("apache-arrow")>(
			"apache-arrow",
			"Arrow",
			"apache-arrow",
		);
		const types = { 8: new Uint8(), 32: new Uint32(), 64: new Uint64() };
		const typeOf = (name: string, bits: 8 | 32 | 64) => (name === "time" ? new Float64() : types[bits]);
		const schema: Schema = new Schema(
			COLUMNS.map(([name, bits]) => new Field(name, typeOf(name, bits), false)),
			new Map([[METADATA, dictionaryText(head)]]),
		);
		let pieces: Uint8Array[] = [];
		// the writer's own queue has no end that a slow reader could hold back
		class Sink extends AsyncByteQueue {
			override write(piece: Uint8Array): void {
				if (piece.byteLength > 0) pieces.push(new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength).slice());
			}
		}
		const writer = new RecordBatchFileWriter({ autoDestroy: false });
		writer.reset(new Sink() as never, schema);
		const taken = () => {
			const out = pieces;
			pieces = [];
			return out;
		};
		yield* taken();
		for await (const columns of chunks()) {
			const children = COLUMNS.map(([name, bits]) => makeData({ type: typeOf(name, bits), length: columns.length, data: valuesOf(columns, name) } as never));
			writer.write(new RecordBatch(schema, makeData({ type: new Struct(schema.fields), length: columns.length, children } as never) as never));
			yield* taken();
		}
		writer.close();
		yield* taken();
	},
};
