/** Rows from a file that anybody may have written: checked, not believed. */
import { type Columns, Kind, NO_DEVICE, Scope, Verdict } from "../trace.ts";

/** What is wrong with the first row that no recorder can have meant; null when all are well. `time` is the row's before. */
export function firstWrong(columns: Columns, devices: number, time: number): { row: number; what: string } | null {
	for (let row = 0; row < columns.length; row++) {
		const kind = columns.kind[row];
		const id = columns.id[row];
		const bad = (what: string) => ({ row, what });
		if (kind < Kind.dma || kind > Kind.fault) return bad(`kind ${kind}`);
		if (kind === Kind.invalidate) {
			if (columns.flags[row] > Scope.pasidPage) return bad(`scope ${columns.flags[row]}`);
		} else if (id >= devices && id !== NO_DEVICE) return bad(`device ${id} of ${devices}`);
		if (columns.verdict[row] > Verdict.miss) return bad(`verdict ${columns.verdict[row]}`);
		// also when it is not a number
		if (!(columns.time[row] >= time)) return bad(`time ${columns.time[row]} after ${time}`);
		time = columns.time[row];
	}
	return null;
}
