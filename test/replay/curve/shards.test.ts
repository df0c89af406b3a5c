/** Sampled curves against the exact one. */
import { beforeAll, describe, expect, test } from "vitest";
import { missCurve } from "../../../ts/replay/curve/curve.ts";
import { missRatioAt } from "../../../ts/replay/curve/hit-counts.ts";
import type { CurveResult } from "../../../ts/replay/curve/types.ts";
import type { Trace } from "../../../ts/replay/trace.ts";
import { randomTrace } from "./random-trace.ts";

/** Mean absolute error of the miss ratio over sizes on a logarithmic scale. */
function error(exact: CurveResult, sampled: CurveResult): number {
	const largest = exact.whole.sizes[exact.whole.sizes.length - 1];
	let sum = 0;
	for (let i = 0; i < 64; i++) {
		const size = Math.round(largest ** (i / 63));
		sum += Math.abs(missRatioAt(exact.whole, size) - missRatioAt(sampled.whole, size));
	}
	return sum / 64;
}

describe("SHARDS", () => {
	let trace: Trace;
	let exact: CurveResult;
	beforeAll(async () => {
		trace = randomTrace({ seed: 21, events: 40_000, strict: 0.9, large: 0, window: 6000 });
		exact = await missCurve(trace, { accesses: "addresses" });
	});

	test.each([0.5, 0.25, 0.1])("at a rate of %d is as near as it says", async (rate) => {
		const sampled = await missCurve(trace, { accesses: "addresses", sample: { rate } });
		const { sampling } = sampled;
		expect(sampled.method).toBe("shards");
		expect(sampling?.rate).toBeCloseTo(rate, 3);
		expect(sampling?.sampled).toBeLessThan(2 * rate * exact.whole.accesses);
		const off = error(exact, sampled);
		expect(off).toBeLessThan(0.05);
		// the stated error is an expectation: a run may well be twice as far off, hardly four times
		expect(off).toBeLessThan(4 * (sampling?.error ?? 0));
		expect(sampling?.error).toBeLessThan(0.1);
	});

	test("with a fixed number of pages lets the rate fall, and stays near", async () => {
		const sampled = await missCurve(trace, { accesses: "addresses", sample: { pages: 1500 } });
		expect(sampled.sampling?.sampledPages).toBeLessThanOrEqual(1500);
		expect(sampled.sampling?.rate).toBeLessThan(0.5);
		expect(error(exact, sampled)).toBeLessThan(0.05);
		expect(error(exact, sampled)).toBeLessThan(4 * (sampled.sampling?.error ?? 0));
	});

	test("at a rate of 1 is the exact curve", async () => {
		for (const accesses of ["addresses", "engine"] as const) {
			const [whole, sampled] = [await missCurve(trace, { accesses }), await missCurve(trace, { accesses, sample: { rate: 1 } })];
			expect(sampled.whole).toEqual(whole.whole);
			expect(sampled.perDevice).toEqual(whole.perDevice);
		}
		const all = await missCurve(trace, { accesses: "addresses", sample: { pages: 100_000 } });
		expect(all.whole).toEqual(exact.whole);
		expect(all.sampling?.rate).toBe(1);
	});

	test("never leaves the range from no hit to all", async () => {
		for (const pages of [1, 7, 40]) {
			const { whole } = await missCurve(trace, { accesses: "addresses", sample: { pages } });
			let before = 0;
			for (const hits of whole.hits) {
				expect(hits).toBeGreaterThan(before);
				expect(hits).toBeLessThanOrEqual(whole.accesses);
				before = hits;
			}
		}
	});

	test("refuses what is no sample", async () => {
		for (const sample of [{ rate: 0 }, { rate: 1.5 }, { rate: Number.NaN }, { pages: 0 }, { pages: 2.5 }]) {
			await expect(missCurve(trace, { sample })).rejects.toThrow(RangeError);
		}
	});
});
