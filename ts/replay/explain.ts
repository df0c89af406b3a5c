import { Kind, Scope, type Trace } from "./trace.ts";

const hex = (low: number, high: number) => `0x${((BigInt(high) << 32n) | BigInt(low)).toString(16)}`;

/** A pair of words as hexadecimal. */
export function hexAt(column: Uint32Array, index: number): string {
	return hex(column[2 * index], column[2 * index + 1]);
}

const wide = (column: Uint32Array, index: number) => column[2 * index + 1] * 2 ** 32 + column[2 * index];

/** The last map, unmap or invalidation before `index` that covers its address, in words. */
export function behind(trace: Trace, index: number): string {
	const { columns, devices } = trace;
	const id = columns.id[index];
	const address = wide(columns.iova, index);
	const domain = devices[id]?.domain ?? null;
	for (let i = index - 1; i >= 0; i--) {
		const kind = columns.kind[i];
		if (kind !== Kind.map && kind !== Kind.unmap && kind !== Kind.invalidate) continue;
		const first = wide(columns.iova, i);
		const size = wide(columns.size, i);
		if (kind === Kind.invalidate) {
			if (columns.flags[i] !== Scope.global && columns.id[i] !== domain) continue;
			if (size !== 0 && (address < first || address >= first + size)) continue;
		} else if (columns.id[i] !== id || address < first || address >= first + size) continue;
		const ago = (columns.time[index] - columns.time[i]).toFixed(1);
		const range = `[${hexAt(columns.iova, i)}, +${size}]`;
		if (kind === Kind.map) return `mapped ${ago} us before: ${range} to ${hexAt(columns.pa, i)}`;
		if (kind === Kind.unmap) return `unmapped ${ago} us before: ${range}`;
		return `invalidated ${ago} us before: ${size === 0 ? "everything" : range}, and no map or unmap since`;
	}
	return "never mapped in this trace";
}
