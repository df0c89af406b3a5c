/** What a miss-ratio curve is, as plain data. */

/**
 * Hits as a step function of the size of the IOTLB, in entries: a cache of n entries has `hits[i]` hits for the last i with
 * `sizes[i] <= n`, and none below `sizes[0]`. Exact curves hold for every size; the last step holds for every larger one.
 */
export interface HitCurve {
	/** look-ups: hits and misses of every size add up to this */
	accesses: number;
	/** ascending sizes, in entries, at which the number of hits changes */
	sizes: number[];
	/** whole numbers in an exact curve, estimates in a sampled one */
	hits: number[];
}

/** Which accesses count, and as what. */
export type CurveAccesses =
	/** as the engine's IOTLB sees them: tables decide what is filled, rights and page sizes count, a fault is a miss that fills nothing */
	| "engine"
	/** addresses alone: every dma and fault row uses its 4 KiB page, mapped or not; needs no maps in the trace */
	| "addresses";

export interface CurveResult {
	version: 1;
	method: "exact" | "shards";
	accesses: CurveAccesses;
	/** whether recorded invalidations empty the cache */
	invalidations: boolean;
	/** one cache for all devices */
	whole: HitCurve;
	/** the same shared cache, look-ups of one device; they add up to `whole` */
	perDevice: { sid: number; name: string; curve: HitCurve }[];
	/** the same shared cache, look-ups by the leaf that answers, in bytes; null: no leaf (a fault) */
	perPageSize: { bytes: number | null; curve: HitCurve }[];
	/** look-ups left out before the mark */
	warmUp: number;
	/**
	 * Look-ups for which different sizes would hold the address under different page sizes (a leaf changed its size while a
	 * cached answer stayed): their step is decided by the smallest page; 0 means that every step is exact.
	 */
	ambiguous: number;
	/** of a sampled curve, else null */
	sampling: Sampling | null;
	notes: string[];
}

/** How a SHARDS curve was sampled, and how far off it may be. */
export interface Sampling {
	/** pages kept, 0 to 1; in fixed-size sampling the rate at the end */
	rate: number;
	/** pages kept at a time at most; null in fixed-rate sampling */
	pages: number | null;
	/** look-ups that were sampled */
	sampled: number;
	/** pages that were sampled */
	sampledPages: number;
	/** expected mean absolute error of the miss ratio over all sizes, estimated from the spread of the sample's own halves */
	error: number;
}

/** One cache of any geometry, simulated by the engine. */
export interface SimulatedPoint {
	/** as parseCacheConfig reads it: `64x4:plru` */
	geometry: string;
	entries: number;
	hits: number;
	misses: number;
	/** memory references of page-table walks */
	references: number;
	perDevice: { sid: number; name: string; hits: number; misses: number }[];
}

/** What `ioasid curve --json` prints: curves, and simulated caches to hold against the first of them. */
export interface CurveReport {
	version: 1;
	curves: CurveResult[];
	simulated: SimulatedPoint[];
}
