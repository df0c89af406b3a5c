/** What Arrow and Parquet files of a trace have in common: nine columns, and the dictionary as JSON in the metadata. */
import type { ReplayError } from "./errors.ts";
import { firstWrong } from "./file/check.ts";
import { readDictionary, withOrigin } from "./file/dictionary.ts";
import type { Dictionary } from "./file/format.ts";
import type { JoinedLog, Place } from "./importers/contract.ts";
import type { TraceHead } from "./head.ts";
import { type Columns, makeColumns } from "./trace.ts";

/** The columns in the order of the file, with the bits of each; `time` is a double, the others are unsigned. */
export const COLUMNS = [
	["time", 64],
	["kind", 8],
	["id", 32],
	["iova", 64],
	["size", 64],
	["pa", 64],
	["flags", 8],
	["pasid", 32],
	["verdict", 8],
] as const;

export type ColumnName = (typeof COLUMNS)[number][0];

/** The key of the dictionary in the file's metadata. */
export const METADATA = "ioasid";

/** The dictionary of a trace as text. */
export function dictionaryText({ architecture, stage, files, devices, report }: TraceHead): string {
	return JSON.stringify({ architecture, stage, files, notes: report.notes, devices } satisfies Dictionary);
}

/** A column as the values that a library takes; pairs of words become 64-bit values, without a copy where they lie right. */
export function valuesOf(columns: Columns, name: ColumnName): Uint8Array | Uint32Array | Float64Array | BigUint64Array {
	if (name !== "iova" && name !== "size" && name !== "pa") return columns[name].subarray(0, columns.length);
	const words = columns[name].subarray(0, 2 * columns.length);
	const aligned = words.byteOffset % 8 === 0 ? words : words.slice();
	return new BigUint64Array(aligned.buffer, aligned.byteOffset, columns.length);
}

/** Stores `values` (of whatever type the file has them) from row `at` on. */
export function storeValues(columns: Columns, name: ColumnName, values: ArrayLike<unknown>, at: number): void {
	const column = valuesOf(columns, name);
	for (let i = 0; i < values.length; i++) {
		const value = values[i] as number | bigint | null;
		if (value === null || value === undefined) throw new RangeError(`column ${name}, row ${at + i}: null`);
		const wanted = column instanceof BigUint64Array ? BigInt(value) : Number(value);
		column[at + i] = wanted;
		// what does not fit comes out different
		if (!Object.is(column[at + i], wanted)) throw new RangeError(`column ${name}, row ${at + i}: ${value}`);
	}
}

/** Columns for a file of `rows` events, all of them there to be stored into. */
export function rowsOf(rows: number): Columns {
	return { ...makeColumns(rows), length: rows };
}

/** A recording of columns that were read, when they and the dictionary are what they should be. @throws ReplayError */
export function recordingOf(text: string | null | undefined, columns: Columns, place: Place): JoinedLog {
	if (text == null) throw place.error("damaged", `no "${METADATA}" dictionary in the metadata; files that ioasid wrote have it`);
	const dictionary = readDictionary(parsed(text, place));
	if (typeof dictionary === "string") throw place.error("damaged", `the dictionary: ${dictionary}`);
	const wrong = firstWrong(columns, dictionary.devices.length, Number.NEGATIVE_INFINITY);
	if (wrong !== null) throw place.error("damaged", `row ${wrong.row}: ${wrong.what}`);
	const { files, ...rest } = dictionary;
	return { side: "joined", ...rest, columns, notes: withOrigin(rest.notes, files) };
}

function parsed(text: string, place: Place): object {
	try {
		const value: unknown = JSON.parse(text);
		if (typeof value === "object" && value !== null) return value;
	} catch {}
	throw place.error("damaged", `the "${METADATA}" dictionary is no JSON object`);
}

/** What a library said of a file that it could not read. */
export function unreadable(error: unknown, place: Place): ReplayError {
	return place.error("damaged", error instanceof Error ? error.message : String(error));
}

/** All bytes of one input, for formats whose directory stands at the end. */
export class Bytes {
	private parts: Uint8Array[] = [];
	private length = 0;

	add(piece: Uint8Array): void {
		this.parts.push(piece.slice());
		this.length += piece.length;
	}

	/** All in one; lets go of the parts. */
	whole(): Uint8Array<ArrayBuffer> {
		const bytes = new Uint8Array(this.length);
		let at = 0;
		for (const part of this.parts) {
			bytes.set(part, at);
			at += part.length;
		}
		this.parts = [];
		return bytes;
	}
}
