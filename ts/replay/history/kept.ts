/** The rows that a history still refers to, of a trace that passes by: what nothing refers to any more is dropped now and then. */
import { RowBuffer } from "../rows.ts";
import type { Columns } from "../trace.ts";

/** Rows held before the first look at what can go. */
const KEPT_ROWS = 1 << 16;

/** Gives an index its new place. */
export type Move = (index: number) => number;

export class KeptRows {
	private readonly buffer = new RowBuffer();
	/** by index: row of the trace */
	private numbers = new Float64Array(1 << 14);
	private limit: number;

	constructor(private readonly least = KEPT_ROWS) {
		this.limit = least;
	}

	/** The same object all the time. */
	get columns(): Columns {
		return this.buffer.columns;
	}

	/** Row of the trace that an index stands for. */
	rowOf(index: number): number {
		return this.numbers[index];
	}

	/** Keeps row `from` of `columns`, the `row`th of the trace; its index. */
	add(columns: Columns, from: number, row: number): number {
		const index = this.buffer.copy(columns, from);
		if (index === this.numbers.length) {
			const wider = new Float64Array(2 * index);
			wider.set(this.numbers);
			this.numbers = wider;
		}
		this.numbers[index] = row;
		return index;
	}

	/** Takes the last row back. */
	drop(): void {
		this.columns.length--;
	}

	get isFull(): boolean {
		return this.columns.length >= this.limit;
	}

	/** Drops every row but those that `used` names; what indices become. */
	compact(used: (keep: (index: number) => void) => void): Move {
		const { columns, numbers } = this;
		const places = new Int32Array(columns.length).fill(-1);
		used((index) => {
			if (index >= 0) places[index] = 0;
		});
		let kept = 0;
		for (let index = 0; index < columns.length; index++) {
			if (places[index] < 0) continue;
			places[index] = kept;
			numbers[kept] = numbers[index];
			for (const column of [columns.time, columns.kind, columns.flags, columns.verdict, columns.id, columns.pasid]) column[kept] = column[index];
			for (const column of [columns.iova, columns.size, columns.pa]) column.copyWithin(2 * kept, 2 * index, 2 * index + 2);
			kept++;
		}
		columns.length = kept;
		this.limit = Math.max(this.least, 2 * kept);
		return (index) => (index < 0 ? index : places[index]);
	}
}
