import { type Columns, Kind, Scope } from "./trace.ts";

const hex = (low: number, high: number) => `0x${((BigInt(high) << 32n) | BigInt(low)).toString(16)}`;

/** A pair of words as hexadecimal. */
export function hexAt(column: Uint32Array, index: number): string {
	return hex(column[2 * index], column[2 * index + 1]);
}

const wide = (column: Uint32Array, index: number) => column[2 * index + 1] * 2 ** 32 + column[2 * index];

/** Looks, as events pass by, for the last map, unmap or invalidation before an event that covers its address. */
export class Behind {
	/** the number of the event that is explained */
	readonly row: number;
	private readonly id: number;
	private readonly address: number;
	private readonly time: number;
	private readonly domain: number | null;
	private last: { kind: number; time: number; first: string; size: number; pa: string } | null = null;

	/** For row `i` of `columns`, which is event `row` of the trace; `domain` is its device's. */
	constructor(columns: Columns, i: number, row: number, domain: number | null) {
		this.row = row;
		this.id = columns.id[i];
		this.address = wide(columns.iova, i);
		this.time = columns.time[i];
		this.domain = domain;
	}

	/** Takes an event in front of it. */
	pass(columns: Columns, i: number): void {
		const kind = columns.kind[i];
		if (kind !== Kind.map && kind !== Kind.unmap && kind !== Kind.invalidate) return;
		const first = wide(columns.iova, i);
		const size = wide(columns.size, i);
		const outside = this.address < first || this.address >= first + size;
		if (kind === Kind.invalidate) {
			if (columns.flags[i] !== Scope.global && columns.id[i] !== this.domain) return;
			if (size !== 0 && outside) return;
		} else if (columns.id[i] !== this.id || outside) return;
		this.last = { kind, time: columns.time[i], first: hexAt(columns.iova, i), size, pa: hexAt(columns.pa, i) };
	}

	/** What was found, in words. */
	words(): string {
		if (this.last === null) return "never mapped in this trace";
		const { kind, time, first, size, pa } = this.last;
		const ago = (this.time - time).toFixed(1);
		const range = `[${first}, +${size}]`;
		if (kind === Kind.map) return `mapped ${ago} us before: ${range} to ${pa}`;
		if (kind === Kind.unmap) return `unmapped ${ago} us before: ${range}`;
		return `invalidated ${ago} us before: ${size === 0 ? "everything" : range}, and no map or unmap since`;
	}
}
