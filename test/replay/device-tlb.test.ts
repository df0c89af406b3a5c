/** Devices with a TLB of their own in a replay: against a model of plain Maps, and what may never change. */
import { beforeAll, describe, expect, test } from "vitest";
import { optionsOf, parseAxis } from "../../ts/cli/sweep/grid.ts";
import { REPLAY_FORMATS, type ReplayFormatName } from "../../ts/replay/formats.ts";
import { importTrace } from "../../ts/replay/importers/import.ts";
import { replayTrace } from "../../ts/replay/replay.ts";
import { pageOf, trimmed } from "../../ts/replay/rows.ts";
import { Kind, NO_PASID, Scope, type Trace } from "../../ts/replay/trace.ts";
import { lazy } from "../../ts/replay/whatif/lazy.ts";
import { whatIf } from "../../ts/replay/whatif/run.ts";
import { generateRun } from "./fixtures/generate.ts";

interface Own {
	hits: number;
	requests: number;
	invalidations: number;
}

/** A fully associative LRU of `entries` pages in each device, and an IOTLB that holds all: every leaf is a 4 KiB page. */
function model({ columns, devices }: Trace, entries: number): { devices: Own[]; iotlbHits: number } {
	const own = devices.map(() => ({ hits: 0, requests: 0, invalidations: 0 }));
	const pages = devices.map(() => new Map<string, number>());
	const iotlb = new Map<string, { page: number; domain: number | null }>();
	let iotlbHits = 0;
	for (let row = 0; row < columns.length; row++) {
		const [kind, id] = [columns.kind[row], columns.id[row]];
		const first = pageOf(columns.iova, row);
		if (kind === Kind.dma) {
			const key = `${first} ${columns.pasid[row]}`;
			const held = pages[id];
			if (held.delete(key)) own[id].hits++;
			else {
				own[id].requests++;
				if (held.size === entries) held.delete(held.keys().next().value as string);
				const shared = `${devices[id].domain} ${key}`;
				if (iotlb.has(shared)) iotlbHits++;
				else iotlb.set(shared, { page: first, domain: devices[id].domain });
			}
			held.set(key, first);
		} else if (kind === Kind.invalidate) {
			const scope = columns.flags[row];
			const paged = scope === Scope.page || scope === Scope.pasidPage;
			const end = first + columns.size[2 * row] / 4096;
			const meant = (page: number) => !paged || (page >= first && page < end);
			for (const [i, { domain }] of devices.entries()) {
				if (scope !== Scope.global && domain !== id) continue;
				own[i].invalidations++;
				for (const [key, page] of pages[i]) if (meant(page)) pages[i].delete(key);
			}
			for (const [key, { page, domain }] of iotlb) if ((scope === Scope.global || domain === id) && meant(page)) iotlb.delete(key);
		}
	}
	return { devices: own, iotlbHits };
}

const FULL = { sets: 1, ways: 1 << 14 };
let cut: Trace;
beforeAll(async () => {
	const whole = await importTrace(new URL("../traces/vtd_mixed_cut.merged.csv.gz", import.meta.url).pathname);
	cut = { ...whole, columns: trimmed(whole.columns, 30_000) };
});

describe("device-TLBs", () => {
	test.each([8, 64])("of %i entries have the model's hits, requests and invalidations, device by device", async (entries) => {
		const expected = model(cut, entries);
		const { dma, iotlb, deviceTlb } = await replayTrace(cut, { iotlb: FULL, deviceTlb: { sets: 1, ways: entries } });
		expect(deviceTlb?.perDevice.map(({ name: _, ...own }) => own)).toEqual(expected.devices);
		expect(dma).toMatchObject({ total: dma.matched, wrongAddress: 0, unexplained: 0, stale: 0 });
		expect(deviceTlb?.hits).toBeGreaterThan(3000);
		// what a device answers never reaches the IOTLB
		expect(iotlb.hits).toBe(expected.iotlbHits);
		expect(iotlb.hits + iotlb.misses).toBe(deviceTlb?.requests);
		expect((deviceTlb?.hits ?? 0) + (deviceTlb?.requests ?? 0)).toBe(dma.total);
	});

	test("off, nothing is asked of devices", async () => {
		const off = await replayTrace(cut, { iotlb: FULL, deviceTlb: false });
		expect(off.deviceTlb).toBeNull();
		expect(off.iotlb).toEqual((await replayTrace(cut, { iotlb: FULL })).iotlb);
	});

	test("of every format of tables do the same", async () => {
		const few = { ...cut, columns: trimmed(cut.columns, 10_000) };
		const base = await replayTrace(few, { deviceTlb: { sets: 16, ways: 4 } });
		for (const format of Object.keys(REPLAY_FORMATS) as ReplayFormatName[]) {
			const { dma, iotlb, deviceTlb } = await replayTrace(few, { format, deviceTlb: { sets: 16, ways: 4 } });
			expect([format, dma, iotlb, deviceTlb]).toEqual([format, base.dma, base.iotlb, base.deviceTlb]);
		}
		const nested = await replayTrace(few, { nested: { leaf: "2M", gibs: [0] }, deviceTlb: { sets: 16, ways: 4 } });
		expect([nested.dma, nested.deviceTlb]).toEqual([base.dma, base.deviceTlb]);
	});

	test("that no invalidation reaches answer what the tables no longer give", async () => {
		const { dma, deviceTlb } = await replayTrace(cut, { iotlb: false, deviceTlb: { sets: 64, ways: 16 }, ignoreInvalidations: true });
		expect(dma.stale).toBeGreaterThan(100);
		expect(dma.wrongAddress).toBeGreaterThan(100);
		expect(deviceTlb?.invalidations).toBe(0);
	});

	test("keep each PASID apart, and are asked for it by PASID-based invalidations", async () => {
		const run = generateRun({ seed: 77, devices: 3, mode: "strict", firstStage: true, requests: 120 });
		const trace = await importTrace([
			{ name: "q", data: run.qemu },
			{ name: "f", data: run.ftrace },
		]);
		// the same run by PASID 5 of each device
		const { columns } = trace;
		for (let row = 0; row < columns.length; row++) if (columns.kind[row] === Kind.dma || columns.pasid[row] !== NO_PASID) columns.pasid[row] = 5;
		const { dma, deviceTlb } = await replayTrace(trace, { architecture: "recorded", iotlb: FULL, deviceTlb: { sets: 1, ways: 64 } });
		expect(dma).toMatchObject({ total: run.dmas + run.faults, wrongAddress: 0, unexplained: 0, stale: 0 });
		const own = model(trace, 64).devices;
		// the run ends with a fault of the first device, which the model does not ask for
		own[0].requests += run.faults;
		expect(deviceTlb?.perDevice.map(({ name: _, ...figures }) => figures)).toEqual(own);
		expect(deviceTlb?.hits).toBeGreaterThan(100);
	});

	test("leave out what comes before the mark, and have a cost of their own", async () => {
		const options = { deviceTlb: { sets: 16, ways: 4 }, iotlb: FULL };
		const all = await replayTrace(cut, options);
		const head = await replayTrace({ ...cut, columns: trimmed(cut.columns, 10_000) }, options);
		const tail = await replayTrace(cut, { ...options, warmUp: { events: 10_000 }, costs: { deviceTlb: 1, hit: 100, miss: 100 } });
		expect(tail.deviceTlb?.hits).toBe((all.deviceTlb?.hits ?? 0) - (head.deviceTlb?.hits ?? 0));
		expect(tail.deviceTlb?.invalidations).toBe((all.deviceTlb?.invalidations ?? 0) - (head.deviceTlb?.invalidations ?? 0));
		const { hits = 0, requests = 0 } = tail.deviceTlb ?? {};
		expect(tail.latency?.mean).toBeCloseTo((hits + 100 * requests) / (hits + requests), 9);
		expect(tail.perPageSize.reduce((sum, size) => sum + size.hits + size.misses, 0)).toBe(requests);
	});
});

describe("the what-if", () => {
	test("tells hit rate, saved look-ups, requests and invalidations of each device, and goes with others", async () => {
		const choices = [
			{ name: "lazy", value: lazy.parse(true) },
			{ name: "device-tlb", value: { sets: 16, ways: 4 } },
		];
		const { base, variants } = await whatIf(cut, choices, { together: true });
		const [lazily, own, both] = variants;
		const extra = (label: string, of = own) => of.extra.find((one) => one.label === label)?.value ?? Number.NaN;
		const saved = extra("IOTLB look-ups saved");
		expect(own.figures).toMatchObject({ dma: base.dma, hits: base.hits + base.misses - saved - own.figures.misses, stale: 0, wrongAddress: 0, unexplained: 0 });
		expect(extra("device-TLB hit rate")).toBeCloseTo(saved / base.dma, 12);
		expect(extra("translation requests")).toBe(base.dma - saved);
		expect(extra("0000:00:01.0: IOTLB look-ups saved") + extra("0000:00:02.0: IOTLB look-ups saved") + extra("0000:00:03.0: IOTLB look-ups saved") + extra("0000:00:1f.2: IOTLB look-ups saved")).toBe(saved);
		// a flush queue asks devices as seldom as the IOTLB
		expect(both.figures).toMatchObject({ stale: 0, wrongAddress: 0, unexplained: 0, invalidations: lazily.figures.invalidations });
		expect(extra("Invalidate Requests", both)).toBeLessThan(extra("Invalidate Requests") / 20);
	});

	test("is a dimension of sweeps", () => {
		expect(["off", "16x4", "full:8:fifo"].map((value) => optionsOf(parseAxis("device-tlb=off,16x4,full:8:fifo"), [value]))).toEqual([
			{ deviceTlb: false },
			{ deviceTlb: { sets: 16, ways: 4 } },
			{ deviceTlb: { sets: 1, ways: 8, replacement: "fifo" } },
		]);
		expect(() => optionsOf(parseAxis("device-tlb=3"), ["3"])).toThrow(/--device-tlb/);
	});
});
