/** Every cache of every architecture against what its tables may still say (cache-harness.ts). */
import { expect, test } from "vitest";
import type { UnitConfig } from "../../ts/engine/index.ts";
import { Pages, runCaches } from "./cache-harness.ts";
import { CACHE_MACHINES } from "./cache-machines.ts";
import { Random } from "./random.ts";

const STEPS = Number(process.env.CACHE_STEPS ?? (process.env.IOASID_NIGHTLY ? 1_000_000 : 20_000));
const SEED = Number(process.env.CACHE_SEED ?? 1);
/** all of them, small ones that evict, and each by itself */
const only = { iotlb: false, walkCache: false, contextCache: false, pasidCache: false, secondCache: false } as const;
const tiny = { sets: 2, ways: 2 };
const CACHES: Array<[string, Partial<UnitConfig>]> = [
	["all", {}],
	["small", { iotlb: tiny, walkCache: tiny, contextCache: { sets: 1, ways: 2 }, pasidCache: { sets: 1, ways: 2 }, secondCache: tiny }],
	["iotlb", { ...only, iotlb: { sets: 1, ways: 64 } }],
	["walk", { ...only, walkCache: { sets: 8, ways: 4 } }],
	["context", { ...only, contextCache: { sets: 4, ways: 2 } }],
	["pasid", { ...only, pasidCache: { sets: 4, ways: 2 }, contextCache: { sets: 4, ways: 2 } }],
	["second", { ...only, secondCache: { sets: 8, ways: 4 } }],
];

test.each(Object.keys(CACHE_MACHINES))(`%s: ${STEPS} steps of translate, edit and invalidate`, (name) => {
	let stale = 0;
	let faults = 0;
	let requests = 0;
	let unchecked = 0;
	for (const [i, [label, caches]] of CACHES.entries()) {
		// the whole set has most of the steps
		const steps = Math.ceil(STEPS * (i === 0 ? 0.4 : 0.1));
		const random = new Random(SEED * 100 + i);
		const memory = new Pages(2048);
		const machine = CACHE_MACHINES[name](random, memory);
		const counts = runCaches(random, memory, machine, steps, caches, `${name}, ${label}`);
		if (process.env.IOASID_SHOW) console.log(name, label, counts);
		stale += counts.stale;
		faults += counts.faults;
		requests += counts.requests;
		unchecked += counts.unchecked;
	}
	// old answers were seen, and were not all there was
	expect(stale).toBeGreaterThan(requests / 500);
	expect(faults).toBeLessThan(requests * 0.7);
	expect(unchecked).toBeLessThan(requests / 100);
	expect(requests).toBeGreaterThan(STEPS / 3);
});
