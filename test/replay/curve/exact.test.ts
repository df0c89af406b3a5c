/** The curve of one pass against the engine's own caches, at 20 sizes. */
import { beforeAll, describe, expect, test } from "vitest";
import { hitsAt } from "../../../ts/replay/curve/hit-counts.ts";
import { missCurve, simulate } from "../../../ts/replay/curve/curve.ts";
import { importTrace } from "../../../ts/replay/importers/import.ts";
import { trimmed } from "../../../ts/replay/rows.ts";
import type { Trace } from "../../../ts/replay/trace.ts";
import { randomTrace } from "./random-trace.ts";

const SIZES = [1, 2, 3, 4, 5, 8, 11, 16, 24, 32, 48, 64, 100, 128, 200, 256, 400, 512, 700, 1024];

async function expectEqual(trace: Trace, invalidations: boolean, sizes = SIZES): Promise<void> {
	const curve = await missCurve(trace, { invalidations });
	const simulated = await simulate(trace, sizes.map((size) => `full:${size}`), { invalidations, walkCache: false });
	expect(curve.ambiguous).toBe(0);
	expect(sizes.map((size) => hitsAt(curve.whole, size))).toEqual(simulated.map(({ hits }) => hits));
	for (const { hits, misses } of simulated) expect(hits + misses).toBe(curve.whole.accesses);
	curve.perDevice.forEach((device, i) => {
		expect(sizes.map((size) => hitsAt(device.curve, size))).toEqual(simulated.map(({ perDevice }) => perDevice[i].hits));
	});
	const parts = curve.perPageSize.map((part) => part.curve);
	for (const size of sizes) expect(parts.reduce((sum, part) => sum + hitsAt(part, size), 0)).toBe(hitsAt(curve.whole, size));
}

describe("the exact curve", () => {
	let cut: Trace;
	beforeAll(async () => {
		const whole = await importTrace(new URL("../../traces/vtd_mixed_cut.merged.csv.gz", import.meta.url).pathname);
		cut = { ...whole, columns: trimmed(whole.columns, 60_000) };
	});

	test("equals the engine on the recorded cut, with and without invalidations", async () => {
		await expectEqual(cut, true);
		await expectEqual({ ...cut, columns: trimmed(cut.columns, 30_000) }, false);
	});

	test.each([
		["strict", { seed: 1, events: 5000, strict: 1 }],
		["lazy, with stale answers", { seed: 2, events: 5000, strict: 0.5 }],
		["never invalidated", { seed: 3, events: 5000, strict: 0 }],
		["small pages alone", { seed: 4, events: 5000, strict: 0.7, large: 0 }],
	])("equals the engine on a random trace: %s", async (_, options) => {
		const trace = randomTrace(options);
		await expectEqual(trace, true);
		await expectEqual(trace, false);
	});

	test("counts addresses alone where a trace has no maps", async () => {
		const { columns } = cut;
		const kind = columns.kind.map((value) => (value === 1 ? 1 : 0));
		const bare: Trace = { ...cut, columns: { ...columns, kind } };
		const [addresses, engine] = [await missCurve(bare, { accesses: "addresses", invalidations: false }), await missCurve(bare)];
		const whole = await missCurve(cut, { invalidations: false });
		expect(addresses.whole).toEqual(whole.whole);
		expect(engine.whole.hits).toEqual([]);
	});

	test("leaves the warm-up out of the counts and not out of the cache", async () => {
		const all = await missCurve(cut);
		const late = await missCurve(cut, { warmUp: { time: 5_000_000 } });
		expect(late.warmUp).toBeGreaterThan(0);
		expect(late.whole.accesses).toBe(all.whole.accesses - late.warmUp);
		const simulated = await simulate(cut, ["full:16", "full:256"], { warmUp: { time: 5_000_000 } });
		expect(simulated.map(({ hits }) => hits)).toEqual([16, 256].map((size) => hitsAt(late.whole, size)));
	});
});
