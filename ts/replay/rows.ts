/**
 * Growing columns. Capacity is looked at once per row, so that filling a row is plain typed-array stores.
 */
import { type Columns, makeColumns, NO_PASID } from "./trace.ts";
import { high, low } from "./scan.ts";

type Growable = Uint8Array | Uint32Array | Int32Array | Float64Array;

/** Doubles every typed array of `table`. */
export function doubleColumns(table: object): void {
	const columns = table as Record<string, unknown>;
	for (const [name, column] of Object.entries(columns)) {
		if (!ArrayBuffer.isView(column)) continue;
		const old = column as Growable;
		const wider = new (old.constructor as new (length: number) => Growable)(old.length * 2);
		wider.set(old as never);
		columns[name] = wider;
	}
}

/** {@link Columns} that grow. */
export class RowBuffer {
	columns: Columns;

	constructor(capacity = 1 << 14) {
		this.columns = makeColumns(capacity);
	}

	get length(): number {
		return this.columns.length;
	}

	/** Appends a row of zeros without PASID and returns its index; the caller fills in what the row has. */
	add(kind: number, time: number, id: number): number {
		const columns = this.columns;
		const row = columns.length;
		if (row === columns.kind.length) doubleColumns(columns);
		columns.length = row + 1;
		columns.kind[row] = kind;
		columns.time[row] = time;
		columns.id[row] = id;
		columns.pasid[row] = NO_PASID;
		return row;
	}

	/** Appends row `from` of `source`. */
	copy(source: Columns, from: number): number {
		const row = this.add(source.kind[from], source.time[from], source.id[from]);
		const columns = this.columns;
		columns.flags[row] = source.flags[from];
		columns.verdict[row] = source.verdict[from];
		columns.pasid[row] = source.pasid[from];
		copyPair(columns.iova, row, source.iova, from);
		copyPair(columns.size, row, source.size, from);
		copyPair(columns.pa, row, source.pa, from);
		return row;
	}

	/** The first `count` rows in columns of exactly that length; the rest stays and comes first next time. */
	take(count = this.length): Columns {
		const full = this.columns;
		this.columns = makeColumns(full.kind.length);
		for (let row = count; row < full.length; row++) this.copy(full, row);
		return trimmed(full, count);
	}
}

/** `columns` cut to their length, without spare room. */
export function trimmed(columns: Columns, length = columns.length): Columns {
	return {
		length,
		time: columns.time.slice(0, length),
		kind: columns.kind.slice(0, length),
		flags: columns.flags.slice(0, length),
		verdict: columns.verdict.slice(0, length),
		id: columns.id.slice(0, length),
		pasid: columns.pasid.slice(0, length),
		iova: columns.iova.slice(0, 2 * length),
		size: columns.size.slice(0, 2 * length),
		pa: columns.pa.slice(0, 2 * length),
	};
}

/** All rows of `parts`, one after the other. */
export function joinColumns(parts: readonly Columns[]): Columns {
	const joined = makeColumns(parts.reduce((sum, { length }) => sum + length, 0));
	for (const part of parts) {
		const at = joined.length;
		const { length } = part;
		for (const name of ["kind", "flags", "verdict"] as const) joined[name].set(part[name].subarray(0, length), at);
		for (const name of ["id", "pasid"] as const) joined[name].set(part[name].subarray(0, length), at);
		for (const name of ["iova", "size", "pa"] as const) joined[name].set(part[name].subarray(0, 2 * length), 2 * at);
		joined.time.set(part.time.subarray(0, length), at);
		joined.length += length;
	}
	return joined;
}

/** Rows [from, to), as views. */
export function slice(columns: Columns, from: number, to: number): Columns {
	return {
		length: to - from,
		time: columns.time.subarray(from, to),
		kind: columns.kind.subarray(from, to),
		flags: columns.flags.subarray(from, to),
		verdict: columns.verdict.subarray(from, to),
		id: columns.id.subarray(from, to),
		pasid: columns.pasid.subarray(from, to),
		iova: columns.iova.subarray(2 * from, 2 * to),
		size: columns.size.subarray(2 * from, 2 * to),
		pa: columns.pa.subarray(2 * from, 2 * to),
	};
}

function copyPair(to: Uint32Array, row: number, from: Uint32Array, index: number): void {
	to[2 * row] = from[2 * index];
	to[2 * row + 1] = from[2 * index + 1];
}

/** Stores a 64-bit value given as two words. */
export function setPair(column: Uint32Array, row: number, lo: number, hi: number): void {
	column[2 * row] = lo;
	column[2 * row + 1] = hi;
}

/** Stores a whole number. */
export function setNumber(column: Uint32Array, row: number, value: number): void {
	column[2 * row] = low(value);
	column[2 * row + 1] = high(value);
}

/** The number of the 4 KiB page that holds the address in `row`. */
export function pageOf(column: Uint32Array, row: number): number {
	return column[2 * row + 1] * 0x10_0000 + (column[2 * row] >>> 12);
}
