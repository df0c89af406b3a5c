/**
 * The metadata of an Arrow file, looked over before the library gets it: it believes every length of a list, and a damaged one keeps
 * it busy for hours. Tables and lists are FlatBuffers (Footer, Schema, Field, Message, RecordBatch of the Arrow columnar format).
 */

/** Things looked at, at most: a file of ours has a dozen fields. */
const MOST = 100_000;
/** Children within children. */
const DEEPEST = 8;
/** A message that goes before its length since format version 5. */
const CONTINUATION = 0xffffffff;
/** "ARROW1" and the footer's length before it */
const TAIL = 10;

/** Bytes of one FlatBuffer. @throws RangeError for what points outside */
class Tables {
	private seen = 0;

	constructor(readonly view: DataView) {}

	root(): number {
		return this.view.getUint32(0, true);
	}

	/** Where field `index` of a table stands; 0: it has none. */
	field(table: number, index: number): number {
		const entry = table - this.view.getInt32(table, true);
		if (4 + 2 * index >= this.view.getUint16(entry, true)) return 0;
		const offset = this.view.getUint16(entry + 4 + 2 * index, true);
		return offset === 0 ? 0 : table + offset;
	}

	/** What field `index` points to; 0: it has none. */
	target(table: number, index: number): number {
		const at = this.field(table, index);
		return at === 0 ? 0 : at + this.view.getUint32(at, true);
	}

	/** Places of the elements of a list, of so many bytes each. */
	list(table: number, index: number, bytes: number): number[] {
		const at = this.target(table, index);
		if (at === 0) return [];
		const count = this.view.getUint32(at, true);
		this.seen += count;
		if (at + 4 + count * bytes > this.view.byteLength || this.seen > MOST) throw new RangeError(`a list of ${count} in ${this.view.byteLength} bytes of metadata`);
		return Array.from({ length: count }, (_, i) => at + 4 + i * bytes);
	}

	/** Tables of a list. */
	tables(table: number, index: number): number[] {
		return this.list(table, index, 4).map((at) => at + this.view.getUint32(at, true));
	}
}

/** Schema: fields 1, custom_metadata 2; Field: children 5, custom_metadata 6. */
function checkSchema(tables: Tables, schema: number): void {
	if (schema === 0) throw new RangeError("no schema in the metadata");
	tables.tables(schema, 2);
	const check = (field: number, depth: number) => {
		if (depth > DEEPEST) throw new RangeError(`fields within fields, more than ${DEEPEST} deep`);
		tables.tables(field, 6);
		for (const child of tables.tables(field, 5)) check(child, depth + 1);
	};
	for (const field of tables.tables(schema, 1)) check(field, 0);
}

/** Message: header_type 1, header 2, custom_metadata 4; RecordBatch: nodes 1, buffers 2, of 16 bytes each. */
function checkMessage(bytes: DataView, offset: number): void {
	const first = bytes.getUint32(offset, true);
	const at = offset + (first === CONTINUATION ? 8 : 4);
	const length = first === CONTINUATION ? bytes.getUint32(offset + 4, true) : first;
	if (at + length > bytes.byteLength) throw new RangeError(`a message of ${length} bytes at ${offset}`);
	const tables = new Tables(new DataView(bytes.buffer, bytes.byteOffset + at, length));
	const message = tables.root();
	tables.tables(message, 4);
	const header = tables.target(message, 2);
	if (header === 0) throw new RangeError(`a message without a header at ${offset}`);
	tables.list(header, 1, 16);
	tables.list(header, 2, 16);
}

/** @throws RangeError for an Arrow IPC file whose metadata cannot be what it says */
export function checkArrow(file: Uint8Array): void {
	const bytes = new DataView(file.buffer, file.byteOffset, file.byteLength);
	const length = bytes.getUint32(file.length - TAIL, true);
	if (length > file.length - TAIL) throw new RangeError(`a footer of ${length} bytes in a file of ${file.length}`);
	// Footer: schema 1, dictionaries 2, recordBatches 3 (blocks of 24 bytes: offset, length of the metadata, length of the body), custom_metadata 4
	const tables = new Tables(new DataView(file.buffer, file.byteOffset + file.length - TAIL - length, length));
	const footer = tables.root();
	checkSchema(tables, tables.target(footer, 1));
	tables.tables(footer, 4);
	for (const index of [2, 3]) {
		for (const block of tables.list(footer, index, 24)) {
			const offset = tables.view.getBigInt64(block, true);
			if (offset < 0n || offset >= BigInt(file.length)) throw new RangeError(`a batch at ${offset} in a file of ${file.length} bytes`);
			checkMessage(bytes, Number(offset));
		}
	}
}
