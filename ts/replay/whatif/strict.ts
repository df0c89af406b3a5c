import { RowBuffer, trimmed } from "../rows.ts";
import { Kind } from "../trace.ts";
import type { WhatIf } from "./contract.ts";
import { domainOf, followsUnmap, invalidateRange } from "./invalidations.ts";

/** Every unmap is invalidated at once, page by page, whatever mode was recorded. */
export const strict: WhatIf<true> = {
	name: "strict",
	argument: "",
	description: "invalidate every unmapped range at once",
	parse: () => true,
	title: () => "invalidation at every unmap",
	apply({ trace, options }) {
		const { columns } = trace;
		const rows = new RowBuffer(2 * columns.length);
		for (let row = 0; row < columns.length; row++) {
			if (followsUnmap(columns, row)) continue;
			rows.copy(columns, row);
			const domain = columns.kind[row] === Kind.unmap ? domainOf(trace, columns.id[row]) : null;
			if (domain !== null) invalidateRange(rows, columns.time[row], domain, columns, row);
		}
		return { trace: { ...trace, columns: trimmed(rows.columns) }, options };
	},
};
