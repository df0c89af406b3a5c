import {
	CACHE_BUCKET_BYTES,
	CACHE_ENTRY_BYTES,
	CACHE_LINEAR_WAYS,
	CACHE_LINK_BYTES,
	POLICY_CLEAR,
	POLICY_FIFO,
	POLICY_LRU,
	POLICY_PLRU,
	POLICY_RANDOM,
} from "../../assembly/layout.ts";
import { EngineError } from "./errors.ts";

/** How a full set makes room. `clear` empties the set before the insert that would exceed it. */
export type Replacement = "lru" | "plru" | "fifo" | "random" | "clear";

/** Geometry of one cache. Set index: the low bits of the page number; `sets: 1` is fully associative. */
export interface CacheConfig {
	/** a power of two */
	sets: number;
	/** entries of a set; a power of two for `plru` */
	ways: number;
	/** default `lru` */
	replacement?: Replacement;
	/** of `random`; default 1 */
	seed?: number;
}

const POLICIES: Record<Replacement, number> = {
	lru: POLICY_LRU,
	plru: POLICY_PLRU,
	fifo: POLICY_FIFO,
	random: POLICY_RANDOM,
	clear: POLICY_CLEAR,
};

/** Entries that one cache may have: 2^22. */
export const MOST_ENTRIES = 1 << 22;

const isPowerOfTwo = (n: number) => Number.isInteger(n) && n > 0 && (n & (n - 1)) === 0;

/** A checked cache geometry and the linear memory it takes. */
export interface PlannedCache {
	sets: number;
	ways: number;
	policy: number;
	seed: number;
	/** hash buckets of an indexed cache, else 0 */
	buckets: number;
	bytes: number;
}

/** @throws EngineError BadConfig, naming the knob */
export function planCache(config: CacheConfig, knob: string): PlannedCache {
	const bad = (what: string): never => {
		throw new EngineError("BadConfig", what, { operation: "Engine.create", knob });
	};
	const { sets, ways, replacement = "lru", seed = 1 } = config;
	if (!isPowerOfTwo(sets)) bad(`sets must be a power of two, not ${sets}`);
	if (!Number.isInteger(ways) || ways < 1) bad(`ways must be a whole number of at least 1, not ${ways}`);
	if (sets * ways > MOST_ENTRIES) bad(`${sets} x ${ways} entries are more than ${MOST_ENTRIES}`);
	const policy = POLICIES[replacement] ?? bad(`unknown replacement "${replacement}"`);
	if (replacement === "plru" && !isPowerOfTwo(ways)) bad(`plru wants a power of two of ways, not ${ways}`);
	const entries = sets * ways;
	const indexed = sets === 1 && ways > CACHE_LINEAR_WAYS;
	const buckets = indexed ? 2 ** Math.ceil(Math.log2(entries * 2)) : 0;
	let bytes = entries * CACHE_ENTRY_BYTES;
	if (indexed) bytes += entries * CACHE_LINK_BYTES + buckets * CACHE_BUCKET_BYTES;
	if (replacement === "plru") bytes += entries;
	return { sets, ways, policy, seed: seed >>> 0, buckets, bytes };
}

/**
 * Read `SETSxWAYS[:POLICY]` or `full:N[:POLICY]`; POLICY is lru, plru, fifo, random[:SEED] or clear.
 * @throws EngineError BadConfig
 */
export function parseCacheConfig(text: string, knob = "cache"): CacheConfig {
	const match = /^(?:(\d+)x(\d+)|full:(\d+))(?::(lru|plru|fifo|clear|random)(?::(\d+))?)?$/.exec(text);
	if (!match || (match[5] !== undefined && match[4] !== "random")) {
		throw new EngineError("BadConfig", `"${text}" is neither SETSxWAYS[:POLICY] nor full:N[:POLICY], POLICY lru, plru, fifo, random[:SEED] or clear`, {
			operation: "parseCacheConfig",
			knob,
		});
	}
	const config: CacheConfig = match[3] === undefined ? { sets: Number(match[1]), ways: Number(match[2]) } : { sets: 1, ways: Number(match[3]) };
	if (match[4]) config.replacement = match[4] as Replacement;
	if (match[5]) config.seed = Number(match[5]);
	planCache(config, knob);
	return config;
}
