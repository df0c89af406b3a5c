import { RowBuffer } from "../rows.ts";
import { type Columns, Kind, type TraceDevice } from "../trace.ts";
import type { WhatIf } from "./contract.ts";
import { domainOf, followsUnmap, invalidateRange } from "./invalidations.ts";
import { type Rewriter, rewrite, rewritten } from "./rewrite.ts";

class StrictMode implements Rewriter {
	readonly rows = new RowBuffer();

	constructor(private readonly devices: readonly TraceDevice[]) {}

	take(columns: Columns): void {
		const { rows } = this;
		for (let row = 0; row < columns.length; row++) {
			if (followsUnmap(columns, row)) continue;
			rows.copy(columns, row);
			const domain = columns.kind[row] === Kind.unmap ? domainOf(this.devices, columns.id[row]) : null;
			if (domain !== null) invalidateRange(rows, columns.time[row], domain, columns, row);
		}
	}
}

/** Every unmap is invalidated at once, page by page, whatever mode was recorded. */
export const strict: WhatIf<true> = {
	name: "strict",
	argument: "",
	description: "invalidate every unmapped range at once",
	parse: () => true,
	title: () => "invalidation at every unmap",
	async apply({ trace, options }) {
		return { trace: await rewritten(trace, () => rewrite(trace, new StrictMode(trace.head.devices))), options };
	},
};
