/** What-ifs: what each does to a trace, and what may never change. */
import { beforeAll, describe, expect, test } from "vitest";
import { REPLAY_FORMATS, type ReplayFormatName } from "../../ts/replay/formats.ts";
import { importTrace } from "../../ts/replay/importers/import.ts";
import { replayTrace } from "../../ts/replay/replay.ts";
import { RowBuffer, setNumber, slice, trimmed } from "../../ts/replay/rows.ts";
import { Access, type Columns, Kind, Scope, type Trace } from "../../ts/replay/trace.ts";
import { streamOf } from "../../ts/replay/stream.ts";
import type { WhatIf } from "../../ts/replay/whatif/contract.ts";
import { whatIfs } from "../../ts/replay/whatif/index.ts";
import { lazy } from "../../ts/replay/whatif/lazy.ts";
import { merge } from "../../ts/replay/whatif/merge.ts";
import { whatIf } from "../../ts/replay/whatif/run.ts";
import { strict } from "../../ts/replay/whatif/strict.ts";
import { tenants } from "../../ts/replay/whatif/tenants.ts";

const PAGE = 4096;
const M2 = 2 ** 21;
const RW = Access.read | Access.write;

type Row = [time: number, kind: keyof typeof Kind, id: number, iova: number, size: number, pa?: number, flags?: number];

function traceOf(rows: Row[], devices = 1): Trace {
	const buffer = new RowBuffer();
	for (const [time, kind, id, iova, size, pa = 0, flags = kind === "map" ? RW : kind === "invalidate" ? Scope.page : Access.any] of rows) {
		const at = buffer.add(Kind[kind], time, id);
		buffer.columns.flags[at] = flags;
		setNumber(buffer.columns.iova, at, iova);
		setNumber(buffer.columns.size, at, size);
		setNumber(buffer.columns.pa, at, pa);
	}
	return {
		architecture: "vtd",
		stage: "second",
		files: [],
		devices: Array.from({ length: devices }, (_, i) => ({ segment: 0, rid: (i + 1) << 3, name: `0000:00:0${i + 1}.0`, domain: 3 + i, levels: 3 })),
		columns: buffer.take(),
		report: { lines: 0, ignoredLines: 0, damagedLines: 0, damage: [], notes: [] },
	};
}

/** What a what-if makes of a trace in memory. */
async function applied<Value>(whatIf: WhatIf<Value>, trace: Trace, value: Value) {
	const change = await whatIf.apply({ trace: streamOf(trace), options: {} }, value);
	return { ...change, trace: change.trace.trace as Trace };
}

const rowsOf = ({ length, time, kind, id, iova, size }: Columns) => Array.from({ length }, (_, i) => [time[i], Object.keys(Kind).find((name) => Kind[name as keyof typeof Kind] === kind[i]), id[i], iova[2 * i], size[2 * i]]);

let cut: Trace;
beforeAll(async () => {
	const whole = await importTrace(new URL("../traces/vtd_mixed_cut.merged.csv.gz", import.meta.url).pathname);
	cut = { ...whole, columns: trimmed(whole.columns, 40_000) };
});

describe("lazy invalidation", () => {
	test("flushes the domain when the queue is full, or its time is up", async () => {
		const trace = traceOf([
			[0, "map", 0, 0x1000, PAGE, 0x801000],
			[1, "map", 0, 0x2000, PAGE, 0x802000],
			[2, "map", 0, 0x3000, PAGE, 0x803000],
			[10, "unmap", 0, 0x1000, PAGE],
			[11, "invalidate", 3, 0x1000, PAGE],
			[12, "unmap", 0, 0x2000, PAGE],
			[13, "invalidate", 3, 0x2000, PAGE],
			[20, "unmap", 0, 0x3000, PAGE],
			[21, "invalidate", 3, 0x3000, PAGE],
			[200, "dma", 0, 0x9000, PAGE],
		]);
		const { trace: changed, extra } = await applied(lazy, trace, { entries: 2, timeout: 100 });
		const flushes = rowsOf(changed.columns).filter(([, kind]) => kind === "invalidate");
		expect(flushes).toEqual([
			[12, "invalidate", 3, 0, 0],
			[120, "invalidate", 3, 0, 0],
		]);
		expect(extra).toEqual([
			{ label: "flushes", value: 2 },
			{ label: "stale window, mean us", value: (2 + 0 + 100) / 3 },
			{ label: "stale window, longest us", value: 100 },
			{ label: "stale bytes, mean", value: ((2 + 0 + 100) * PAGE) / 200 },
			{ label: "stale bytes, most", value: 2 * PAGE },
		]);
	});

	test("gives no address again before its flush", async () => {
		const trace = traceOf([
			[0, "map", 0, 0x1000, 2 * PAGE, 0x801000],
			[1, "dma", 0, 0x1008, PAGE, 0x801008],
			[2, "unmap", 0, 0x1000, 2 * PAGE],
			[3, "map", 0, 0x2000, PAGE, 0x901000],
			[4, "dma", 0, 0x2010, PAGE, 0x901010],
			[5, "unmap", 0, 0x2000, PAGE],
			[500, "map", 0, 0x2000, PAGE, 0xa01000],
			[501, "dma", 0, 0x2010, PAGE, 0xa01010],
		]);
		const { trace: changed } = await applied(lazy, trace, { entries: 100, timeout: 50 });
		expect(rowsOf(changed.columns).map(([time, kind, , iova]) => [time, kind, iova])).toEqual([
			[0, "map", 0x1000],
			[1, "dma", 0x1008],
			[2, "unmap", 0x1000],
			[3, "map", M2],
			[4, "dma", M2 + 0x10],
			[5, "unmap", M2],
			[52, "invalidate", 0],
			[500, "map", 0x2000],
			[501, "dma", 0x2010],
		]);
	});

	test("of a recorded run finds every address, with far fewer invalidations", async () => {
		const { base, variants } = await whatIf(cut, [{ name: "lazy", value: { entries: 256, timeout: 10_000 } }], { iotlb: { sets: 1, ways: 4096 } });
		const [{ figures }] = variants;
		expect(figures).toMatchObject({ dma: base.dma, stale: 0, wrongAddress: 0, unexplained: 0 });
		expect(figures.invalidations).toBeLessThan(base.invalidations / 20);
		expect(figures.references).not.toBe(base.references);
	});

	test("and strict again has one invalidation for each unmap", async () => {
		const lazily = await applied(lazy, cut, { entries: 64, timeout: 2000 });
		const strictly = await applied(strict, lazily.trace, true);
		const { columns } = strictly.trace;
		const pageInvalidations = columns.kind.reduce((sum, kind, i) => sum + Number(kind === Kind.invalidate && columns.flags[i] === Scope.page), 0);
		expect(pageInvalidations).toBeGreaterThan(1000);
		expect(pageInvalidations).toBe(columns.kind.reduce((sum, kind) => sum + Number(kind === Kind.unmap), 0));
		const { dma } = await replayTrace(strictly.trace);
		expect(dma).toMatchObject({ wrongAddress: 0, unexplained: 0, stale: 0 });
	});
});

describe("merged leaves", () => {
	const pages = (order: number[], output: (page: number) => number): Row[] => order.map((page, i): Row => [i, "map", 0, 4 * M2 + page * PAGE, PAGE, output(page)]);
	const all = Array.from({ length: 512 }, (_, page) => page);

	test("come of maps that fill a block in order, in any order of time", async () => {
		const order = [...all].sort((a, b) => ((a * 7) % 512) - ((b * 7) % 512));
		const rows = pages(order, (page) => 64 * M2 + page * PAGE);
		rows.push([600, "dma", 0, 4 * M2 + 5 * PAGE, PAGE, 64 * M2 + 5 * PAGE], [601, "dma", 0, 4 * M2 + 300 * PAGE, PAGE, 64 * M2 + 300 * PAGE]);
		const change = await applied(merge, traceOf(rows), "2M");
		expect(change.extra).toEqual([{ label: "blocks merged", value: 1 }]);
		const { dma, iotlb, perPageSize } = await replayTrace(change.trace);
		expect(dma).toMatchObject({ matched: 2, wrongAddress: 0 });
		expect(iotlb).toEqual({ hits: 1, misses: 1 });
		expect(perPageSize).toEqual([{ bytes: M2, hits: 1, misses: 1 }]);
	});

	test("do not come of outputs that are out of order, misaligned or of other rights", async () => {
		const blocks = async (rows: Row[]) => (await applied(merge, traceOf(rows), "2M")).extra?.[0].value;
		expect(await blocks(pages(all, (page) => 64 * M2 + page * PAGE))).toBe(1);
		expect(await blocks(pages(all, (page) => 64 * M2 + PAGE + page * PAGE))).toBe(0);
		expect(await blocks(pages(all, (page) => 64 * M2 + (page === 7 ? 9999 : page) * PAGE))).toBe(0);
		expect(await blocks(pages(all.slice(1), (page) => 64 * M2 + page * PAGE))).toBe(0);
		const other = pages(all, (page) => 64 * M2 + page * PAGE);
		other[9][6] = Access.read;
		expect(await blocks(other)).toBe(0);
		// a hole that is filled again makes the block whole again
		const again = pages(all, (page) => 64 * M2 + page * PAGE);
		again.push([700, "unmap", 0, 4 * M2, 2 * PAGE], [701, "map", 0, 4 * M2, 2 * PAGE, 64 * M2]);
		expect(await blocks(again)).toBe(2);
	});

	test("change no address of a recorded run", async () => {
		const { variants } = await whatIf(cut, [{ name: "merge", value: "2M" }]);
		expect(variants[0].figures).toMatchObject({ wrongAddress: 0, unexplained: 0, stale: 0 });
	});
});

describe("tenants", () => {
	test("have devices, domains and invalidations of their own, in the order of time", async () => {
		const trace = traceOf(
			[
				[0, "map", 0, 0x1000, PAGE, 0x801000],
				[10, "dma", 1, 0x1000, PAGE, 0x801000],
				[20, "invalidate", 4, 0x1000, PAGE],
				[30, "invalidate", 0, 0, 0, 0, Scope.global],
			],
			2,
		);
		const { trace: changed } = await applied(tenants, trace, { count: 2, shift: 15 });
		expect(changed.devices.map(({ domain }) => domain)).toEqual([3, 4, 1, 2]);
		expect(new Set(changed.devices.map(({ rid }) => rid)).size).toBe(4);
		expect(rowsOf(changed.columns).map(([time, kind, id]) => [time, kind, id])).toEqual([
			[0, "map", 0],
			[10, "dma", 1],
			[15, "map", 2],
			[20, "invalidate", 4],
			[25, "dma", 3],
			[30, "invalidate", 0],
			[35, "invalidate", 2],
		]);
	});

	test("alone in large caches do as the one did, and worse in small ones", async () => {
		const few = { ...cut, columns: trimmed(cut.columns, 20_000) };
		const of = async (ways: number, shift: number) => {
			const { base, variants } = await whatIf(few, [{ name: "tenants", value: { count: 4, shift } }], { iotlb: { sets: 1, ways } });
			expect(variants[0].figures).toMatchObject({ dma: 4 * base.dma, wrongAddress: 0, unexplained: 0, stale: 0 });
			return [base.hits, variants[0].figures.hits];
		};
		const [one, four] = await of(8192, 500);
		expect(four).toBe(4 * one);
		const [small, crowded] = await of(16, 500);
		expect(crowded).toBeLessThan(4 * small);
	});

	test("are refused when numbers run out", async () => {
		expect(() => tenants.parse("0")).toThrow(RangeError);
		expect(() => tenants.parse("x")).toThrow(RangeError);
		await expect(applied(tenants, traceOf([], 20), { count: 4096, shift: 0 })).rejects.toThrow(/domain id|requester id/);
	});
});

describe("prefetch", () => {
	test("has the next page there when it is used, and faults on none", async () => {
		const rows: Row[] = [[0, "map", 0, 0x10000, 4 * PAGE, 0x801000]];
		for (let i = 0; i < 4; i++) rows.push([1 + i, "dma", 0, 0x10000 + i * PAGE, PAGE, 0x801000 + i * PAGE]);
		const { base, variants } = await whatIf(traceOf(rows), [{ name: "prefetch", value: true }], { walkCache: false });
		expect(base).toMatchObject({ hits: 0, misses: 4, references: 12 });
		expect(variants[0].figures).toMatchObject({ hits: 2, misses: 2, references: 6, unexplained: 0 });
		expect(variants[0].extra).toEqual([
			{ label: "prefetches", value: 2 },
			{ label: "references of prefetches", value: 6 },
		]);
	});
});

describe("the report", () => {
	test("has a variant for each choice, and one for all together", async () => {
		const few = { ...cut, columns: trimmed(cut.columns, 20_000) };
		const choices = [
			{ name: "lazy", value: lazy.parse(true) },
			{ name: "tenants", value: tenants.parse("2") },
		];
		const { base, variants } = await whatIf(few, choices, { together: true });
		expect(variants.map(({ name }) => name)).toEqual(["lazy", "tenants", "together"]);
		expect(variants[2].figures.dma).toBe(2 * base.dma);
		expect(variants[2].figures.invalidations).toBeLessThan(variants[1].figures.invalidations);
		await expect(whatIf(few, [{ name: "magic", value: 1 }])).rejects.toThrow(RangeError);
	});
});

describe("a trace that streams", () => {
	test("has the same figures under every what-if, in whatever chunks it comes", async () => {
		const few = { ...cut, columns: trimmed(cut.columns, 6000) };
		const { head, trace } = streamOf(few);
		const passing = {
			head: { ...head, frames: head.frames },
			async *chunks() {
				for (let from = 0; from < few.columns.length; from += 2500) yield slice(few.columns, from, Math.min(from + 2500, few.columns.length));
			},
		};
		const values = { strict: true, lazy: { entries: 64, timeout: 3000 }, merge: "2M", tenants: { count: 8, shift: 700 }, prefetch: true, "device-tlb": { sets: 16, ways: 4 }, format: "riscv-sv48x4", nested: "2M" };
		const choices = Object.entries(values).map(([name, value]) => ({ name, value: value as unknown }));
		expect(choices.map(({ name }) => name)).toEqual(whatIfs.map(({ name }) => name));
		choices.push({ name: "tenants", value: { count: 9, shift: 0 } });
		const together = await whatIf(passing, choices.slice(1, 4), { together: true });
		expect(together).toEqual(await whatIf(trace as Trace, choices.slice(1, 4), { together: true }));
		expect(await whatIf(passing, choices)).toEqual(await whatIf(few, choices));
	});
});

describe("formats", () => {
	test("of every kind answer as the recorded one did", async () => {
		const few = { ...cut, columns: trimmed(cut.columns, 15_000) };
		const names = Object.keys(REPLAY_FORMATS) as ReplayFormatName[];
		const { base, variants } = await whatIf(few, names.map((value) => ({ name: "format", value })), { walkCache: false });
		expect(base.hits).toBeGreaterThan(1000);
		for (const [i, { figures }] of variants.entries()) {
			expect([names[i], figures]).toMatchObject([names[i], { dma: base.dma, hits: base.hits, misses: base.misses, stale: 0, wrongAddress: 0, unexplained: 0 }]);
			const [fewest, most] = REPLAY_FORMATS[names[i]].levels;
			expect([names[i], figures.references]).toEqual([names[i], Math.min(most, Math.max(fewest, 4)) * base.misses]);
		}
		expect(variants[1].figures.referencesByLevel.first).toHaveLength(4);
		expect(variants[1].figures.referencesByLevel.second).toHaveLength(0);
	});

	test("nested walk the second stage for each table of the first, and for the output", async () => {
		const few = { ...cut, columns: trimmed(cut.columns, 15_000) };
		const sum = (list: readonly number[]) => list.reduce((a, b) => a + b, 0);
		let before = Number.POSITIVE_INFINITY;
		for (const value of ["4K", "2M", "1G"]) {
			const { base, variants } = await whatIf(few, [{ name: "nested", value }], { walkCache: false });
			const [{ figures }] = variants;
			expect(figures).toMatchObject({ hits: base.hits, stale: 0, wrongAddress: 0, unexplained: 0 });
			const { first, second } = figures.referencesByLevel;
			expect(sum(first)).toBe(4 * base.misses);
			// four tables and the output, each at the top level of the second stage once; marking entries accessed may ask again
			expect(second[3]).toBeGreaterThanOrEqual(5 * base.misses);
			expect(second[3]).toBeLessThanOrEqual(9 * base.misses);
			expect(sum(second)).toBeLessThan(before);
			before = sum(second);
			if (value === "4K") expect(new Set(second)).toEqual(new Set([second[3]]));
		}
	});
});
