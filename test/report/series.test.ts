/** The series of a report against plain counting. */
import { describe, expect, it } from "vitest";
import { AddressMap, CELL_FAULT, CELL_MAPPED, ROWS } from "../../ts/report/address-map.ts";
import { curveData, sizesUpTo } from "../../ts/report/curves.ts";
import { Faults } from "../../ts/report/faults.ts";
import { LevelSamples } from "../../ts/report/levels.ts";
import { LiveMaps } from "../../ts/report/live-maps.ts";
import { ratios, sparkline } from "../../ts/report/sparkline.ts";
import { CAPACITY, Windows } from "../../ts/report/windows.ts";
import type { CurveResult } from "../../ts/replay/curve/types.ts";
import { Random } from "../model/random.ts";

describe("windows", () => {
	it("hold every count of a run of any length, none lost when they merge", () => {
		for (const [length, step] of [[10, 0.3], [5000, 1], [3000, 977.25], [400, 1e9]] as const) {
			const windows = new Windows();
			const column = windows.counts();
			const times = Array.from({ length }, (_, i) => 17.5 + i * step);
			for (const time of times) column[windows.at(time)]++;
			expect(windows.length).toBeLessThanOrEqual(CAPACITY);
			if (length * step > CAPACITY) expect(windows.length).toBeGreaterThan(CAPACITY / 2 - 1);
			const wanted = new Array<number>(CAPACITY).fill(0);
			for (const time of times) wanted[Math.floor((time - 17.5) / windows.width)]++;
			expect([...column]).toEqual(wanted);
			expect(Math.log2(windows.width) % 1).toBe(0);
		}
	});
});

/** Maps and DMAs page by page, window by window. */
function plainMap(events: Array<{ kind: string; page: number; pages: number; time: number }>, windows: Windows, granule: number) {
	const cells = new Map<string, { dmas: number; state: number }>();
	const cell = (page: number, window: number) => {
		const key = `${Math.floor(page / granule)}:${window}`;
		const made = cells.get(key) ?? { dmas: 0, state: 0 };
		cells.set(key, made);
		return made;
	};
	const at = (time: number) => Math.floor((time - windows.origin) / windows.width);
	const since = new Map<number, number>();
	const fill = (page: number, until: number) => {
		for (let window = since.get(page) as number; window <= until; window++) cell(page, window).state |= CELL_MAPPED;
		since.delete(page);
	};
	for (const { kind, page, pages, time } of events) {
		if (kind === "dma" || kind === "fault") {
			cell(page, at(time)).dmas++;
			if (kind === "fault") cell(page, at(time)).state |= CELL_FAULT;
		} else if (kind === "map") for (let i = page; i < page + pages; i++) since.set(i, at(time));
		else for (const mapped of [...since.keys()]) if (mapped >= page && mapped < page + pages) fill(mapped, at(time));
	}
	for (const page of [...since.keys()]) fill(page, windows.length - 1);
	return cells;
}

describe("the address map", () => {
	it.each([[1, 60], [2, 2000], [3, 40_000], [4, 3_000_000]])("has the cells that plain counting has (seed %i, %i pages)", (seed, space) => {
		const random = new Random(seed);
		const windows = new Windows();
		const map = new AddressMap(windows);
		const live = new Map<number, number>();
		const events: Parameters<typeof plainMap>[0] = [];
		let time = 3;
		for (let i = 0; i < 3000; i++) {
			time += random.below(40);
			const page = random.below(space);
			const choice = random.below(10);
			const window = windows.at(time);
			if (choice < 3) {
				const pages = 1 + random.below(Math.min(64, space));
				const free = ![...live].some(([start, size]) => start < page + pages && page < start + size);
				if (!free) continue;
				live.set(page, pages);
				map.map(page, pages, window, false);
				events.push({ kind: "map", page, pages, time });
			} else if (choice < 5 && live.size > 0) {
				const [start, pages] = [...live][random.below(live.size)];
				live.delete(start);
				map.unmap(start, pages, window);
				events.push({ kind: "unmap", page: start, pages, time });
			} else if (choice === 5 && random.below(100) === 0) {
				live.clear();
				map.unmap(0, 2 ** 40, window);
				events.push({ kind: "unmap", page: 0, pages: 2 ** 40, time });
			} else {
				map.touch(page, window, choice === 9);
				events.push({ kind: choice === 9 ? "fault" : "dma", page, pages: 1, time });
			}
		}
		const wanted = plainMap(events, windows, map.granule);
		const got = new Map<string, { dmas: number; state: number }>();
		const rows = map.finish();
		expect(rows.length).toBeLessThanOrEqual(ROWS);
		for (const { page, touched, states } of rows) {
			states.forEach((state, window) => {
				if (state !== 0 || touched[window] !== 0) got.set(`${page / map.granule}:${window}`, { dmas: touched[window], state });
			});
		}
		expect(Object.fromEntries([...got].sort())).toEqual(Object.fromEntries([...wanted].sort()));
		if (space > ROWS) expect(map.granule).toBeGreaterThan(1);
	});

	it("keeps 4 KiB rows in a sparse space of 64 bits", () => {
		const map = new AddressMap(new Windows());
		for (let i = 0; i < 100; i++) map.touch(i * 2 ** 45, 0, false);
		expect(map.granule).toBe(1);
		expect(map.finish()).toHaveLength(100);
	});

	it("takes maps far larger than its rows", () => {
		const windows = new Windows();
		const map = new AddressMap(windows);
		map.map(0, 2 ** 40, windows.at(0), false);
		map.touch(2 ** 39, windows.at(700), false);
		const rows = map.finish();
		expect(rows.length * map.granule).toBeGreaterThanOrEqual(2 ** 40);
		expect(rows.every(({ states }) => states.every((state) => state === CELL_MAPPED))).toBe(true);
	});
});

describe("live maps", () => {
	it("end when their last page goes, whatever the pieces", () => {
		const random = new Random(9);
		const maps = new LiveMaps();
		const pages = new Map<number, number>();
		const ended: number[] = [];
		const wanted: number[] = [];
		const left = new Map<number, number>();
		for (let id = 0; id < 400; id++) {
			const first = random.below(300);
			const count = 1 + random.below(20);
			const gone = (page: number) => {
				const owner = pages.get(page);
				if (owner === undefined) return;
				pages.delete(page);
				left.set(owner, (left.get(owner) as number) - 1);
				if (left.get(owner) === 0) wanted.push(owner);
			};
			for (let page = first; page < first + count; page++) gone(page);
			maps.unmap(first, count, (map) => ended.push(map.id));
			if (random.below(3) > 0) {
				maps.map(id, first, count, 3);
				left.set(id, count);
				for (let page = first; page < first + count; page++) pages.set(page, id);
			}
			expect(maps.pages).toBe(pages.size);
		}
		expect(ended.toSorted((a, b) => a - b)).toEqual(wanted.toSorted((a, b) => a - b));
		expect(ended.length).toBeGreaterThan(50);
		expect(new Set([...maps.all()].map(({ id }) => id))).toEqual(new Set(pages.values()));
	});
});

describe("references by level", () => {
	it("add up to the unit's counters, merged or not", () => {
		const samples = new LevelSamples();
		const totals = { first: new Array<number>(8).fill(0), second: new Array<number>(8).fill(0), tables: new Array<number>(8).fill(0) };
		const none = { hits: 0, misses: 0, fills: 0, evictions: 0, invalidations: 0 };
		let translations = 0;
		for (let i = 0; i < 3001; i++) {
			translations += 10;
			totals.second[0] += 7;
			if (i > 1000) totals.tables[1] += 1;
			samples.add(i, { translations, faults: 0, faultsLost: 0, iotlb: none, deviceTlb: none, pageRequests: { queued: 0, lost: 0 }, context: none, pasid: none, walkFirst: [], walkSecond: [], second: none, references: totals });
		}
		const levels = samples.finish();
		expect(levels.map(({ name, total }) => [name, total])).toEqual([["device tables, level 1", 2000], ["second stage, level 0", 21_007]]);
		for (const { total, samples: parts } of levels) {
			expect(parts).toHaveLength(samples.time.length);
			expect(parts.reduce((a, b) => a + b, 0)).toBe(total);
		}
		expect(samples.lookups.reduce((a, b) => a + b, 0)).toBe(30_010);
		expect(samples.time.length).toBeLessThan(512);
		expect(samples.time.at(-1)).toBe(3000);
	});
});

describe("faults", () => {
	it("are counted by kind without end, and listed up to a limit", () => {
		const faults = new Faults();
		const iova = Uint32Array.from({ length: 10_000 }, (_, i) => (i % 2 === 0 ? i / 2 : 1));
		for (let i = 0; i < 5000; i++) faults.add(i, i % 2000, iova, i, 6, false, i % 2 === 0);
		expect(faults.total).toBe(5000);
		expect(faults.kinds).toHaveLength(1001);
		expect(faults.kinds.reduce((sum, { count }) => sum + count, 0)).toBe(5000);
		expect(faults.kinds.reduce((sum, { matched }) => sum + matched, 0)).toBe(2500);
		expect(faults.kinds.at(-1)?.device).toBe(-1);
		expect(faults.list.time).toHaveLength(500);
		expect(faults.list.address[1]).toBe("0x100000001");
	});
});

describe("curves on a page", () => {
	const result = (invalidations: boolean): CurveResult => ({
		version: 1, method: "exact", accesses: "engine", invalidations,
		whole: { accesses: 100, sizes: [1, 3, 900], hits: [10, 50, invalidations ? 80 : 90] },
		perDevice: [{ sid: 8, name: "a", curve: { accesses: 60, sizes: [3], hits: [30] } }, { sid: 16, name: "b", curve: { accesses: 0, sizes: [], hits: [] } }],
		perPageSize: [], warmUp: 0, ambiguous: 0, sampling: null, notes: ["said once"],
	});

	it("have the step function's value at every size", () => {
		const data = curveData([result(true), result(false)], ["a", "b"]);
		expect(data?.series.map(({ label }) => label)).toEqual(["all devices", "all devices, invalidations ignored", "a"]);
		const at = (size: number) => data?.series.map(({ misses }) => misses[data.sizes.indexOf(size)]);
		expect(at(1)).toEqual([0.9, 0.9, 1]);
		expect(at(2)).toEqual([0.9, 0.9, 1]);
		expect(at(3)).toEqual([0.5, 0.5, 0.5]);
		expect(at(512)).toEqual([0.5, 0.5, 0.5]);
		expect(at(1024)).toEqual([0.2, 0.1, 0.5]);
		expect(data?.notes).toEqual(["said once"]);
		expect(curveData([], [])).toBeNull();
		expect(curveData([{ ...result(true), whole: { accesses: 0, sizes: [], hits: [] } }], ["a"])).toBeNull();
	});

	it("have few sizes, with every power of two among them", () => {
		for (const largest of [1, 2, 17, 1000, 4_000_000]) {
			const sizes = sizesUpTo(largest);
			expect(sizes.length).toBeLessThanOrEqual(200);
			expect(sizes.at(-1)).toBeGreaterThanOrEqual(largest);
			for (let power = 1; power <= largest; power *= 2) expect(sizes).toContain(power);
			expect(sizes).toEqual([...new Set(sizes)].sort((a, b) => a - b));
		}
	});
});

describe("sparklines", () => {
	it("go from low to high, with gaps", () => {
		expect(sparkline([0, 0.124, 0.5, 0.999, 1, null, 0.3], 1)).toBe("▁▁▅██ ▃");
	});

	it("are scaled to the largest value when nothing else is said", () => {
		expect(sparkline([0, 4, 8])).toBe("▁▅█");
		expect(sparkline([0, 0])).toBe("▁▁");
	});

	it("weigh windows by their look-ups", () => {
		expect(ratios(Float64Array.of(1, 0, 0, 0, 3), Float64Array.of(1, 9, 0, 0, 4), 5, 3)).toEqual([0.1, null, 0.75]);
	});
});
