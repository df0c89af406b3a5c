import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { beforeAll, describe, expect, it } from "vitest";
import { parseCacheConfig } from "../../ts/engine/index.ts";
import { importTrace } from "../../ts/replay/importers/import.ts";
import { replay, replayTrace } from "../../ts/replay/replay.ts";
import type { Trace } from "../../ts/replay/trace.ts";

const file = (name: string) => new URL(name, import.meta.url).pathname;
const CUT = file("vtd_mixed_cut.merged.csv.gz");
const FAULTS = [file("vtd_faults_edu.qemu.log.gz"), file("vtd_faults_edu.guest_ftrace.txt.gz")];

let trace: Trace;
beforeAll(async () => {
	trace = await importTrace(CUT);
});

describe("the bundled cut of a recorded VT-d run", () => {
	it("replays with every DMA at its recorded address", async () => {
		const summary = await replayTrace(trace);
		expect(summary.events).toBe(100_000);
		expect(summary.dma).toMatchObject({ total: 61_806, matched: 61_806, wrongAddress: 0, unexplained: 0, stale: 0 });
		expect(summary.perDevice.map((d) => d.dma).reduce((a, b) => a + b, 0)).toBe(61_806);
		expect(summary.refusedEdits).toBe(0);
	});

	it("agrees with every verdict of QEMU 7.2's IOTLB, and not with another geometry's", async () => {
		expect((await replayTrace(trace, { iotlb: "qemu-7.2" })).recorded).toMatchObject({ agree: 61_806, disagree: 0 });
		expect((await replayTrace(trace, { iotlb: { sets: 1, ways: 16 } })).recorded.disagree).toBeGreaterThan(0);
	});

	it("has the hit rates of a plain LRU of pages when invalidations are ignored", async () => {
		const { columns } = trace;
		for (const entries of [8, 64, 256, 1024]) {
			const lru = new Map<number, true>();
			let hits = 0;
			let total = 0;
			for (let i = 0; i < columns.length; i++) {
				if (columns.kind[i] !== 1) continue;
				const key = columns.id[i] * 2 ** 20 + (columns.iova[2 * i] >>> 12);
				total++;
				if (lru.delete(key)) hits++;
				lru.set(key, true);
				if (lru.size > entries) lru.delete(lru.keys().next().value as number);
			}
			const summary = await replayTrace(trace, { iotlb: { sets: 1, ways: entries }, ignoreInvalidations: true });
			expect(summary.iotlb).toEqual({ hits, misses: total - hits });
			expect(summary.dma.stale).toBe(summary.dma.wrongAddress);
		}
	});

	it("gives the same addresses with every cache off", async () => {
		const off = await replayTrace(trace, { iotlb: false, walkCache: false, contextCache: false });
		expect(off.dma).toMatchObject({ matched: 61_806, wrongAddress: 0, unexplained: 0 });
		expect(off.iotlb.hits).toBe(0);
		expect(off.perDevice.every((d) => d.references === 4 * d.dma)).toBe(true);
	});

	it("takes every policy, and repeats itself", async () => {
		for (const geometry of ["64x4", "16x8:plru", "32x2:fifo", "64x4:random:7", "full:32:clear", "full:64:plru"]) {
			const options = { iotlb: parseCacheConfig(geometry) };
			const [a, b] = [await replayTrace(trace, options), await replayTrace(trace, options)];
			expect(a.dma).toMatchObject({ matched: 61_806, stale: 0 });
			expect(a.iotlb).toEqual(b.iotlb);
		}
	});

	it("replays one device alone, a stretch of time, and a number of events", async () => {
		const one = await replayTrace(trace, { device: "00:01.0" });
		expect(one.perDevice.filter((d) => d.dma > 0).map((d) => d.name)).toEqual(["0000:00:01.0"]);
		expect(one.dma.matched).toBe(one.dma.total);
		expect((await replayTrace(trace, { limit: 1000 })).events).toBe(1000);
		const late = await replay(CUT, { from: 5_000_000 });
		expect(late.dma.total).toBeLessThan(61_806);
		expect(late.dma.matched).toBe(late.dma.total);
		await expect(replayTrace(trace, { device: "0000:09:00.0" })).rejects.toThrow(RangeError);
	});

	it("explains a disagreement by the event behind it", async () => {
		const { columns } = trace;
		const first = columns.kind.indexOf(1);
		const pa = columns.pa.slice();
		pa[2 * first] ^= 0x1000;
		const summary = await replayTrace({ ...trace, columns: { ...columns, pa } });
		expect(summary.dma.wrongAddress).toBe(1);
		expect(summary.disagreements).toHaveLength(1);
		expect(summary.disagreements[0].because).toMatch(/^mapped .* us before/);
	});

	it("can be aborted and tells its progress", async () => {
		const abort = new AbortController();
		const seen: string[] = [];
		const running = replay(CUT, {
			signal: abort.signal,
			onProgress: (p) => {
				seen.push(p.phase);
				if (p.phase === "replay") abort.abort();
			},
		});
		await expect(running).rejects.toThrow(/abort/i);
		expect(seen).toContain("import");
	});

	it("takes Blobs and streams", async () => {
		const bytes = readFileSync(CUT);
		const blob = await replay(new Blob([bytes]));
		const stream = await replay(new Blob([gunzipSync(bytes)]).stream() as ReadableStream<Uint8Array>);
		expect(blob.dma).toEqual(stream.dma);
		expect(blob.dma.matched).toBe(61_806);
	});
});

describe("a recorded run with faults, from its raw logs", () => {
	it("comes out with device, page and reason of all 592 faults", async () => {
		const summary = await replay(FAULTS);
		expect(summary.faults).toMatchObject({ recorded: 592, matched: 592 });
		expect(summary.faults.list).toHaveLength(592);
		expect(summary.faults.list.every((f) => f.sid === 0x10 && f.reason === (f.write ? 5 : 6))).toBe(true);
		expect(summary.dma).toMatchObject({ total: 942, matched: 942, wrongAddress: 0, unexplained: 0 });
	});

	it("says what is missing when a log comes without its other side", async () => {
		const alone = await replay(FAULTS[0]);
		expect(alone.dma.unexplained).toBeGreaterThan(0);
		expect(alone.notes.join(" ")).toMatch(/ftrace/);
	});
});
