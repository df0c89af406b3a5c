/**
 * Tables for recordings that tell accesses alone: every page is mapped just before its first use, to where the recorder saw it, or to
 * itself when the recorder did not say.
 */
import { pageOf, RowBuffer, setNumber, setPair } from "../rows.ts";
import { Access, type Columns, Kind } from "../trace.ts";

/** The rows of `columns` with a map before the first use of each page, and before each use that finds another output. */
export function mapAtFirstUse(columns: Columns): Columns {
	const rows = new RowBuffer(Math.max(1, columns.length + (columns.length >> 2)));
	const outputs = new Map<number, Map<number, number>>();
	for (let row = 0; row < columns.length; row++) {
		if (columns.kind[row] === Kind.dma) {
			let pages = outputs.get(columns.id[row]);
			if (pages === undefined) {
				pages = new Map();
				outputs.set(columns.id[row], pages);
			}
			const page = pageOf(columns.iova, row);
			const output = pageOf(columns.pa, row);
			if (pages.get(page) !== output) {
				pages.set(page, output);
				const map = rows.add(Kind.map, columns.time[row], columns.id[row]);
				const made = rows.columns;
				made.flags[map] = Access.read | Access.write;
				setPair(made.iova, map, (columns.iova[2 * row] & ~0xfff) >>> 0, columns.iova[2 * row + 1]);
				setNumber(made.size, map, 4096);
				setPair(made.pa, map, (columns.pa[2 * row] & ~0xfff) >>> 0, columns.pa[2 * row + 1]);
			}
		}
		rows.copy(columns, row);
	}
	return rows.columns;
}
