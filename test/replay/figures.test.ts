/** Figures of a replay beside hits: latency from a table of costs, page sizes, and what a warm-up mark leaves out. */
import { beforeAll, describe, expect, test } from "vitest";
import { importTrace } from "../../ts/replay/importers/import.ts";
import { parseCostTable } from "../../ts/replay/latency.ts";
import { replayTrace } from "../../ts/replay/replay.ts";
import { trimmed } from "../../ts/replay/rows.ts";
import { Kind, type Trace } from "../../ts/replay/trace.ts";
import { randomTrace } from "./curve/random-trace.ts";

let cut: Trace;
beforeAll(async () => {
	const whole = await importTrace(new URL("../traces/vtd_mixed_cut.merged.csv.gz", import.meta.url).pathname);
	cut = { ...whole, columns: trimmed(whole.columns, 30_000) };
});

describe("latency", () => {
	test("is the sum of what was referred to", async () => {
		const costs = parseCostTable({ unit: "ns", hit: 3, miss: 10, reference: 1000, second: [100, 200, 300, 400] });
		const bare = { walkCache: false, costs };
		const { latency, iotlb } = await replayTrace(cut, bare);
		const walk = 10 + 100 + 200 + 300 + 400;
		expect(latency).toMatchObject({ unit: "ns", count: iotlb.hits + iotlb.misses, p50: 3 });
		// device tables are referred to once for each device, at 1000 each: root and context entry
		const devices = latency?.perDevice.filter(({ count }) => count > 0).length ?? 0;
		const sum = iotlb.hits * 3 + iotlb.misses * walk + devices * 2000;
		expect(latency?.mean).toBeCloseTo(sum / (latency?.count ?? 1), 6);
		expect(latency?.p99).toBe(walk);
		expect(latency?.most).toBe(walk + 2000);
	});

	test("follows the walk caches, and counts references where each costs one", async () => {
		const { latency, perDevice } = await replayTrace(cut, { costs: { second: Array(8).fill(1) } });
		const references = perDevice.reduce((sum, d) => sum + d.references, 0);
		expect((latency?.mean ?? 0) * (latency?.count ?? 0)).toBeCloseTo(references, 3);
		expect(latency?.perDevice.map(({ count }) => count)).toEqual(perDevice.map(({ dma }) => dma));
	});

	test("does not pay for prefetches", async () => {
		const costs = { reference: 1 };
		const { latency, iotlb } = await replayTrace(cut, { costs, prefetch: true, walkCache: false, contextCache: false });
		// each request reads root and context entry, each miss four levels
		expect((latency?.mean ?? 0) * (latency?.count ?? 0)).toBeCloseTo(2 * (latency?.count ?? 0) + 4 * iotlb.misses, 0);
	});

	test("refuses what is no table of costs, by name", () => {
		for (const [json, field] of [[{ hit: -1 }, "hit"], [{ second: [1, "x"] }, "second"], [{ second: Array(9).fill(1) }, "second"], [{ ns: 1 }, "ns"], [{ unit: 4 }, "unit"], [[], "object"], [null, "object"]] as const) {
			expect(() => parseCostTable(json)).toThrow(field);
		}
	});
});

describe("page sizes", () => {
	test("add up to all look-ups", async () => {
		const trace = randomTrace({ seed: 41, events: 8000, strict: 1, large: 0.3 });
		const { iotlb, perPageSize, dma } = await replayTrace(trace);
		expect(perPageSize.map(({ bytes }) => bytes)).toEqual([null, 4096, 2 ** 21]);
		expect(perPageSize.reduce((sum, { hits }) => sum + hits, 0)).toBe(iotlb.hits);
		expect(perPageSize.reduce((sum, { misses }) => sum + misses, 0)).toBe(iotlb.misses);
		expect(perPageSize[0]).toEqual({ bytes: null, hits: 0, misses: dma.unexplained });
		expect(perPageSize[2].hits).toBeGreaterThan(perPageSize[2].misses);
	});
});

describe("a warm-up mark", () => {
	test("leaves what comes before out of the figures, and in the caches", async () => {
		const options = { iotlb: { sets: 1, ways: 64 } };
		const first = await replayTrace({ ...cut, columns: trimmed(cut.columns, 12_345) }, options);
		const all = await replayTrace(cut, options);
		const late = await replayTrace(cut, { ...options, warmUp: { events: 12_345 } });
		expect(late.warmUp).toEqual({ events: 12_345, dma: first.dma.total });
		for (const name of ["total", "matched"] as const) expect(late.dma[name]).toBe(all.dma[name] - first.dma[name]);
		for (const name of ["hits", "misses"] as const) expect(late.iotlb[name]).toBe(all.iotlb[name] - first.iotlb[name]);
		expect(late.recorded.agree).toBe(all.recorded.agree - first.recorded.agree);
		expect(late.perPageSize[0].hits).toBe(late.iotlb.hits);
		expect(late.perDevice.map(({ peakBytes }) => peakBytes)).toEqual(all.perDevice.map(({ peakBytes }) => peakBytes));
	});

	test("by time is the first event at or after it", async () => {
		const { columns } = cut;
		const row = columns.kind.indexOf(Kind.dma, 9000);
		const time = columns.time[row];
		const byTime = await replayTrace(cut, { warmUp: { time } });
		const first = columns.time.findIndex((t) => t >= time);
		const { seconds: _a, eventsPerSecond: _b, ...figures } = byTime;
		expect(await replayTrace(cut, { warmUp: { events: first } })).toMatchObject(figures);
		expect((await replayTrace(cut, { warmUp: { time: 1e12 } })).dma.total).toBe(0);
	});
});
