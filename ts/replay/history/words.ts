/** Events and addresses for people. */
import { Access, Kind, type Trace } from "../trace.ts";
import type { EventRef } from "./types.ts";

/** A pair of words as hexadecimal. */
export function hexAt(column: Uint32Array, index: number): string {
	return `0x${((BigInt(column[2 * index + 1]) << 32n) | BigInt(column[2 * index])).toString(16)}`;
}

/** A 4 KiB page number as the hexadecimal address of its first byte. */
export function pageAddress(page: number): string {
	return `0x${(BigInt(page) << 12n).toString(16)}`;
}

/** A pair of words as a number; exact up to 2^53. */
export function wideAt(column: Uint32Array, index: number): number {
	return column[2 * index + 1] * 2 ** 32 + column[2 * index];
}

const KINDS: Record<number, EventRef["kind"]> = { [Kind.map]: "map", [Kind.unmap]: "unmap", [Kind.invalidate]: "invalidate" };
const RIGHTS = ["-", "r", "w", "rw"] as const;

/** Rows of a trace, or those of them that are kept. */
export interface Events extends Pick<Trace, "architecture" | "columns" | "devices"> {
	/** row of the trace that an index of the columns stands for; absent: the same */
	rowOf?(index: number): number;
}

/** A map, unmap or invalidation row. */
export function eventRef({ columns, devices, rowOf }: Events, row: number): EventRef {
	const kind = KINDS[columns.kind[row]];
	return {
		row: rowOf?.(row) ?? row,
		time: columns.time[row],
		kind,
		device: kind === "invalidate" ? null : (devices[columns.id[row]]?.name ?? null),
		iova: hexAt(columns.iova, row),
		size: wideAt(columns.size, row),
		pa: kind === "map" ? hexAt(columns.pa, row) : null,
		rights: kind === "map" ? RIGHTS[columns.flags[row] & (Access.read | Access.write)] : null,
	};
}

/** `[0xfffff000, +4096]` */
export const rangeOf = ({ iova, size }: EventRef) => `[${iova}, +${size}]`;

export const micros = (us: number) => `${us.toFixed(1)} us`;
