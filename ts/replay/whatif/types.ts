/** What-ifs on one trace: what a variant is, and what comes out, as plain data. */

/** Figures of one replay that variants are compared by. */
export interface WhatIfFigures {
	events: number;
	dma: number;
	invalidations: number;
	hits: number;
	misses: number;
	/** memory references of page-table walks */
	references: number;
	/** memory references of walks, prefetches too, by level of the table (0 holds the smallest leaves) */
	referencesByLevel: { first: number[]; second: number[] };
	/** answers of a cache that the table no longer gave */
	stale: number;
	/** DMAs that found no answer though the recorder's did, or the other way round */
	unexplained: number;
	wrongAddress: number;
	/** most 4 KiB frames that tables held */
	tableFrames: number;
}

/** One variant: its figures, and the figures of its own. */
export interface WhatIfVariant {
	/** `lazy`, `tenants` ... */
	name: string;
	/** for people: "flush queue of 256 entries, 10000 us" */
	title: string;
	figures: WhatIfFigures;
	/** of this variant alone; the unit is in the label */
	extra: { label: string; value: number }[];
	notes: string[];
}

export interface WhatIfReport {
	version: 1;
	base: WhatIfFigures;
	variants: WhatIfVariant[];
}
