/** Faults joined to the history of their pages, and life times of maps. */
import { describe, expect, test } from "vitest";
import { faultReport, faultReportOf } from "../../ts/replay/history.ts";
import { importTrace } from "../../ts/replay/importers/import.ts";
import { replayTrace } from "../../ts/replay/replay.ts";
import { RowBuffer, setNumber } from "../../ts/replay/rows.ts";
import { streamOf } from "../../ts/replay/stream.ts";
import { Access, Kind, Scope, type Trace } from "../../ts/replay/trace.ts";
import { randomTrace } from "./curve/random-trace.ts";

type Row = [time: number, kind: keyof typeof Kind, device: number, iova: number, size: number, flags?: number, pa?: number];

function traceOf(rows: Row[], domains: (number | null)[] = [3, 4]): Trace {
	const buffer = new RowBuffer();
	for (const [time, kind, id, iova, size, flags = Access.any, pa = 0] of rows) {
		const at = buffer.add(Kind[kind], time, id);
		buffer.columns.flags[at] = flags;
		setNumber(buffer.columns.iova, at, iova);
		setNumber(buffer.columns.size, at, size);
		setNumber(buffer.columns.pa, at, pa);
	}
	const devices = domains.map((domain, i) => ({ segment: 0, rid: (i + 1) << 3, name: `0000:00:0${i + 1}.0`, domain, levels: 3 }));
	return { architecture: "vtd", stage: "second", files: [], devices, columns: buffer.take(), report: { lines: 0, ignoredLines: 0, damagedLines: 0, damage: [], notes: [] } };
}

const RW = Access.read | Access.write;
const fileOf = (name: string) => new URL(`../traces/${name}`, import.meta.url).pathname;

describe("the cause of a fault", () => {
	test("is the unmap before it, with the time between", () => {
		const { stories, afterUnmap } = faultReport(
			traceOf([
				[0, "map", 0, 0x10000, 0x4000, RW, 0x800000],
				[10, "unmap", 0, 0x10000, 0x4000],
				[13.5, "fault", 0, 0x12040, 4096, Access.write, 5],
				[20, "map", 0, 0x12000, 0x1000, RW, 0x900000],
				[21, "dma", 0, 0x12040, 4096, Access.write, 0x900040],
			]),
		);
		expect(stories).toHaveLength(1);
		expect(stories[0]).toMatchObject({ row: 2, cause: "use after unmap", after: 3.5, remapped: 6.5, recorded: 5, access: "write", text: "use after unmap by 3.5 us: [0x10000, +16384]" });
		expect(stories[0].event).toMatchObject({ kind: "unmap", row: 1, time: 10 });
		expect(afterUnmap).toEqual({ edges: [0, 1, 2, 4], counts: [0, 0, 1] });
	});

	test("is told apart from the other causes", () => {
		const { stories, byCause, pages } = faultReport(
			traceOf([
				[0, "map", 0, 0x1000, 0x1000, Access.read, 0x801000],
				[1, "map", 1, 0x2000, 0x1000, RW, 0x802000],
				[2, "dma", 0, 0x1008, 8, Access.write],
				[3, "dma", 0, 0x2008, 8],
				[4, "dma", 0, 0x3008, 8],
				[5, "dma", 0, 0x4008, 8],
				[6, "dma", 0, 0x5008, 8],
				[7, "fault", 0, 0x1010, 8, Access.read, 6],
				[8, "map", 0, 0x4000, 0x1000, RW, 0x804000],
				[9, "unmap", 0, 0x5000, 0x1000],
				[10, "unmap", 1, 0x2000, 0x1000],
				[11, "dma", 0, 0x2010, 8],
				[12, "dma", 0, 0x3010, 8],
			]),
		);
		expect(stories.map(({ row, cause }) => [row, cause])).toEqual([
			[2, "wrong direction"],
			[3, "other device"],
			[4, "never mapped"],
			[5, "use before map"],
			[6, "mapped before the trace"],
			[7, "mapped"],
			[11, "other device"],
			[12, "never mapped"],
		]);
		expect(stories.map(({ after }) => after)).toEqual([2, 2, null, -3, -3, 7, 1, null]);
		expect(stories[0].text).toBe("wrong direction: write of a page mapped r 2.0 us before: [0x1000, +4096]");
		expect(stories[1].text).toContain("mapped 2.0 us before by 0000:00:02.0");
		expect(byCause).toEqual({ "use after unmap": 0, "mapped before the trace": 1, "use before map": 1, "other device": 2, "wrong direction": 1, "never mapped": 2, mapped: 1 });
		expect(pages[0]).toMatchObject({ count: 2, device: "0000:00:01.0" });
	});

	test("knows that devices of one domain share their pages", () => {
		const rows: Row[] = [
			[0, "map", 0, 0x1000, 0x1000, RW, 0x801000],
			[1, "dma", 1, 0x1008, 8],
		];
		expect(faultReport(traceOf(rows, [3, 3])).total).toBe(0);
		expect(faultReport(traceOf(rows, [3, 4])).byCause["other device"]).toBe(1);
		expect(faultReport(traceOf(rows, [null, null])).byCause["other device"]).toBe(1);
	});

	test("is counted for every access beyond those that are told", () => {
		const rows: Row[] = Array.from({ length: 50 }, (_, i): Row => [i, "dma", 0, 0x1000 * (i % 5), 8]);
		rows.push([60, "map", 0, 0x1000, 0x2000, RW, 0x801000]);
		const report = faultReport(traceOf(rows), { limit: 7 });
		expect(report.stories).toHaveLength(7);
		expect(report.byCause).toMatchObject({ "use before map": 20, "never mapped": 30 });
		expect(report.perDevice[0].total).toBe(50);
	});

	test("is found for all faults of a recorded run", async () => {
		const trace = await importTrace([fileOf("vtd_faults_edu.qemu.log.gz"), fileOf("vtd_faults_edu.guest_ftrace.txt.gz")]);
		const report = faultReport(trace);
		expect(report.total).toBe(592);
		expect(report.byCause).toMatchObject({ "never mapped": 512, "other device": 80 });
		expect(report.stories.every(({ recorded, device }) => recorded !== null && device === "0000:00:02.0")).toBe(true);
	});

	test("agrees with the engine on what needs one", async () => {
		for (const strict of [1, 0.5]) {
			const trace = randomTrace({ seed: 31, events: 8000, strict });
			const { dma } = await replayTrace(trace, { iotlb: false, walkCache: false });
			const report = faultReport(trace);
			expect(report.total).toBe(dma.unexplained);
			expect(report.total).toBeGreaterThan(1000);
			expect(report.perDevice.map(({ total }) => total).reduce((a, b) => a + b)).toBe(report.total);
		}
	});
});

describe("maps", () => {
	test("live until their last page goes", () => {
		const { maps } = faultReport(
			traceOf([
				[0, "map", 0, 0x10000, 0x3000, RW, 0x800000],
				[1, "map", 1, 0x40000, 0x1000, RW, 0x900000],
				[5, "unmap", 0, 0x10000, 0x1000],
				[8, "unmap", 0, 0x11000, 0x2000],
				[9, "unmap", 0, 0x11000, 0x2000],
				[10, "map", 0, 0x20000, 0x2000, RW, 0x810000],
				[14, "map", 0, 0x20000, 0x2000, RW, 0x820000],
			]),
		);
		expect(maps).toMatchObject({ maps: 4, ended: 2, replaced: 1, alive: 2, emptyUnmaps: 1, mean: 6, p50: 4, p99: 8, longest: 8 });
		expect(maps.histogram).toEqual({ edges: [0, 1, 2, 4, 8, 16], counts: [0, 0, 0, 1, 1] });
		expect(maps.neverUnmapped.map(({ row, rights }) => [row, rights])).toEqual([
			[1, "rw"],
			[6, "rw"],
		]);
		expect(maps.perDevice.map(({ alive, aliveBytes }) => [alive, aliveBytes])).toEqual([
			[1, 0x2000],
			[1, 0x1000],
		]);
	});

	test("of any size are cut where an unmap cuts them", () => {
		const GIB = 2 ** 30;
		const { maps, byCause } = faultReport(
			traceOf([
				[0, "map", 0, 0, 3 * GIB, RW, 0],
				[1, "unmap", 0, GIB + 0x5000, 0x1000],
				[2, "dma", 0, GIB + 0x5000, 8],
				[3, "dma", 0, GIB + 0x4000, 8],
				[4, "dma", 0, GIB + 0x6000, 8],
				[5, "unmap", 0, 0, 2 ** 46],
			]),
		);
		expect(byCause["use after unmap"]).toBe(1);
		expect(maps).toMatchObject({ ended: 1, longest: 5, alive: 0 });
	});

	test("of the recorded cut end as its unmaps say", async () => {
		const trace = await importTrace(fileOf("vtd_mixed_cut.merged.csv.gz"));
		const { maps, total } = faultReport(trace);
		const count = (kind: number) => trace.columns.kind.reduce((sum, k) => sum + Number(k === kind), 0);
		expect(total).toBe(0);
		expect(maps.maps).toBe(count(Kind.map));
		expect(maps.ended + maps.alive).toBe(maps.maps);
		expect(maps.histogram.counts.reduce((a, b) => a + b)).toBe(maps.ended);
		expect(maps.neverUnmapped.length).toBe(Math.min(100, maps.alive));
	});
});

describe("a history that forgets", () => {
	test.each([{ strict: 1 }, { strict: 0.5 }])("what nothing refers to any more tells the same, chunk by chunk too: %j", async ({ strict }) => {
		const trace = randomTrace({ seed: 41, events: 8000, strict });
		const whole = faultReport(trace, { limit: 5000 });
		expect(whole.stories.length).toBeGreaterThan(500);
		for (const kept of [1, 300]) {
			expect(faultReport(trace, { limit: 5000, kept })).toEqual(whole);
			expect(await faultReportOf(streamOf(trace), { limit: 5000, kept })).toEqual(whole);
		}
	});
});

describe("a disagreement", () => {
	test("names the map whose stale answer it is, and the invalidation that was not obeyed", async () => {
		const trace = traceOf([
			[0, "map", 0, 0x1000, 0x1000, RW, 0x801000],
			[1, "dma", 0, 0x1008, 8, Access.any, 0x801008],
			[2, "unmap", 0, 0x1000, 0x1000],
			[3, "invalidate", 3, 0x1000, 0x1000, Scope.page],
			[4, "map", 0, 0x1000, 0x1000, RW, 0x901000],
			[6, "dma", 0, 0x1008, 8, Access.any, 0x901008],
			[7, "dma", 1, 0x1008, 8, Access.any, 0x901008],
		]);
		const { disagreements } = await replayTrace(trace, { ignoreInvalidations: true });
		expect(disagreements.map(({ because }) => because)).toEqual([
			"stale answer of the map 6.0 us before, [0x1000, +4096] to 0x801000, unmapped 4.0 us before, [0x1000, +4096] invalidated 3.0 us before",
			"another device's address: mapped 3.0 us before by 0000:00:01.0: [0x1000, +4096]; never mapped for this one",
		]);
	});
});
