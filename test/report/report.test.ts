/** Reports and exports of recorded runs. */
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { importTrace } from "../../ts/replay/importers/import.ts";
import { type ReplayOptions, replayTrace } from "../../ts/replay/replay.ts";
import { RowBuffer, setNumber } from "../../ts/replay/rows.ts";
import { Kind, type Trace } from "../../ts/replay/trace.ts";
import { Collector, PerfettoTrace, type ReportData, renderReport, reportData } from "../../ts/report/index.ts";
import { VERSION } from "../../ts/version.ts";

const file = (name: string) => new URL(`../traces/${name}`, import.meta.url).pathname;

async function reportOf(trace: Trace, options: ReplayOptions = {}) {
	const collector = new Collector();
	const summary = await replayTrace(trace, { ...options, observers: [collector] });
	return { summary, collector, data: reportData({ trace, options, summary, collector }) };
}

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

let mixed: Trace;
let faulty: Trace;
beforeAll(async () => {
	mixed = await importTrace(file("vtd_mixed_cut.merged.csv.gz"));
	faulty = await importTrace([file("vtd_faults_edu.qemu.log.gz"), file("vtd_faults_edu.guest_ftrace.txt.gz")]);
});

describe("what is gathered beside a replay", () => {
	it("does not change the replay", async () => {
		const { summary } = await reportOf(mixed);
		const { seconds, eventsPerSecond, ...counts } = summary;
		expect(await replayTrace(mixed)).toMatchObject(counts);
		expect(seconds).toBeGreaterThan(0);
		expect(eventsPerSecond).toBeGreaterThan(0);
	});

	it.each(["mixed", "faulty"])("adds up to the replay's own counts (%s)", async (which) => {
		const trace = which === "mixed" ? mixed : faulty;
		const { summary, data } = await reportOf(trace);
		const { columns } = trace;
		const of = (kind: number) => columns.kind.reduce((count, value) => count + Number(value === kind), 0);
		expect(data.devices.map(({ name }) => name).sort()).toEqual(summary.perDevice.map(({ name }) => name).sort());
		data.devices.forEach((device, index) => {
			const { lookups, hits, faults } = data.time.perDevice[index];
			expect([sum(lookups), sum(hits), sum(faults)]).toEqual([device.hits + device.misses, device.hits, device.faults]);
			expect(lookups).toHaveLength(data.time.windows);
		});
		expect(sum(data.time.maps)).toBe(of(Kind.map));
		expect(sum(data.time.unmaps)).toBe(of(Kind.unmap));
		expect(sum(data.time.invalidations)).toBe(of(Kind.invalidate));
		expect(data.time.windows * data.time.width).toBeGreaterThanOrEqual(columns.time[columns.length - 1] - columns.time[0]);
		const walked = data.levels.levels.filter(({ name }) => !name.startsWith("device"));
		expect(sum(walked.map(({ total }) => total))).toBe(sum(summary.perDevice.map(({ references }) => references)));
		expect(sum(data.levels.lookups)).toBe(summary.dma.total);
		for (const map of data.addressMaps) {
			const device = data.devices.find(({ name }) => name === map.device);
			expect(sum(map.dmas)).toBe(device?.dma);
			expect(map.touched.every((row) => row.length === map.columns)).toBe(true);
			expect(map.states).toHaveLength(map.rows.length);
		}
		expect(data.faults.total).toBe(summary.faults.list.length);
	});

	it("draws hit rates over time as plain counting finds them", async () => {
		const { collector, data } = await reportOf(mixed, { iotlb: "qemu-7.2" });
		const { columns, devices } = mixed;
		const hits = devices.map(() => new Array<number>(data.time.windows).fill(0));
		for (let i = 0; i < columns.length; i++) {
			// the trace has QEMU's own verdicts, with all of which this IOTLB agrees
			if (columns.kind[i] === Kind.dma && columns.verdict[i] === 1) hits[columns.id[i]][Math.floor((columns.time[i] - columns.time[0]) / data.time.width)]++;
		}
		expect(collector.devices.map((device) => [...device.hits.subarray(0, data.time.windows)])).toEqual(hits);
	});

	it("names trace, machine, date and version", async () => {
		const { data } = await reportOf(faulty, { iotlb: { sets: 1, ways: 16, replacement: "fifo" }, walkCache: false });
		expect(data.heading).toEqual({
			trace: "vtd_faults_edu.qemu.log.gz, vtd_faults_edu.guest_ftrace.txt.gz",
			machine: "Intel VT-d; IOTLB 16 entries, fully associative, fifo; no paging-structure caches; context cache",
			recorded: "Intel VT-d, second-stage tables",
			date: "2026-11-24T02:00:14Z",
			version: VERSION,
		});
		expect((await reportOf(mixed)).data.heading).toMatchObject({ machine: "Intel VT-d; IOTLB 64 sets of 4, lru; paging-structure caches; context cache", date: null });
		expect(JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).version).toBe(VERSION);
	});

	it("tells faults apart", async () => {
		const { data } = await reportOf(faulty);
		expect(data.faults.total).toBe(592);
		expect(sum(data.faults.kinds.map(({ matched }) => matched))).toBe(592);
		expect(new Set(data.faults.kinds.map(({ device }) => data.faults.devices[device]))).toEqual(new Set(["0000:00:02.0"]));
		expect(data.faults.list.time).toHaveLength(500);
	});

	it("says nothing of what a run does not have", async () => {
		const guest = await importTrace(file("vtd_faults_edu.guest_ftrace.txt.gz"));
		const { data } = await reportOf({ ...guest, columns: { ...guest.columns, length: 0 } });
		expect(data).toMatchObject({ curves: null, addressMaps: [], history: null, faults: { total: 0 }, levels: { levels: [] }, time: { windows: 0 } });
		const { data: maps } = await reportOf(guest);
		expect(sum(maps.time.maps)).toBeGreaterThan(0);
		expect(maps.addressMaps.length).toBeGreaterThan(0);
	});

	it("shows many devices as few", async () => {
		const devices = Array.from({ length: 40 }, (_, i) => ({ ...mixed.devices[0], rid: 8 * i, name: `0000:00:${i.toString(16).padStart(2, "0")}.0`, domain: null }));
		const columns = { ...mixed.columns, id: mixed.columns.id.map((id, i) => (mixed.columns.kind[i] === Kind.invalidate ? id : (i * 7) % 40)) };
		const { data, summary } = await reportOf({ ...mixed, devices, columns });
		expect(data.devices).toHaveLength(12);
		expect(data.devices.at(-1)?.name).toBe("29 others");
		expect(sum(data.devices.map(({ dma }) => dma))).toBe(summary.dma.total);
		expect(sum(data.time.perDevice.map(({ lookups }) => sum(lookups)))).toBe(summary.dma.total);
	});
});

describe("the page", () => {
	const dataIn = (html: string): ReportData => JSON.parse(/<script type="application\/json" id="data">(.*?)<\/script>/s.exec(html)?.[1] ?? "");

	it("is one file that asks for nothing, with the library's licence and its data", async () => {
		const { data } = await reportOf(mixed);
		const html = renderReport(data);
		expect(html.length).toBeLessThan(1e6);
		const markup = html.replace(/<(script|style)[^>]*>.*?<\/\1>/gs, "");
		expect([...markup.matchAll(/\s(?:src|href)="([^"]*)"/g)].map(([, target]) => target)).toEqual(["data:,"]);
		expect(markup).toContain("default-src 'none'");
		expect(markup).toContain("The MIT License (MIT)");
		expect(markup).toContain("Leon Sorokin");
		expect(markup).toMatch(/<title>vtd_mixed_cut\.merged\.csv\.gz - Intel VT-d; IOTLB 64 sets of 4, lru; .* - date unknown - ioasid 0\.1\.0<\/title>/);
		expect(dataIn(html).devices).toEqual(data.devices);
	});

	it("keeps names of a trace from becoming markup", async () => {
		const { data } = await reportOf({ ...faulty, files: ['<img src=x onerror=alert(1)>.log"&', "</script><script>alert(2)</script>", "<!--<script>"] });
		const html = renderReport(data);
		expect(html.match(/<script/g)).toHaveLength(renderReport({ ...data, heading: { ...data.heading, trace: "" } }).match(/<script/g)?.length ?? 0);
		expect(html.includes("<img src=x")).toBe(false);
		expect(html.includes("<!--")).toBe(false);
		expect(dataIn(html).heading.trace).toBe(data.heading.trace);
	});

	it("says the same of the same trace", async () => {
		const [a, b] = [await reportOf(mixed), await reportOf(mixed)];
		expect(renderReport(a.data) === renderReport(b.data)).toBe(true);
	});

	it("stays small when a run has everything", async () => {
		const devices = Array.from({ length: 64 }, (_, i) => ({ ...mixed.devices[0], rid: 8 * i, name: `device ${i}`, domain: null }));
		const { columns } = mixed;
		const stretched = { ...columns, time: columns.time.map((_, i) => i * 50), id: columns.id.map((id, i) => (columns.kind[i] === Kind.invalidate ? id : i % 64)) };
		stretched.iova = columns.iova.map((word, i) => (i % 2 === 0 ? (Math.imul(i, 2654435761) & 0xfffff000) | (word & 0xfff) : 0));
		const { data } = await reportOf({ ...mixed, devices, columns: stretched });
		expect(data.faults.total).toBeGreaterThan(10_000);
		expect(renderReport(data).length).toBeLessThan(5e6);
	});
});

interface TraceEvent {
	ph: string;
	name: string;
	pid: number;
	tid: number;
	ts?: number;
	cat?: string;
	id?: string;
	s?: string;
	args: Record<string, unknown>;
}

async function perfettoOf(trace: Trace, options: ReplayOptions = {}): Promise<{ displayTimeUnit: string; traceEvents: TraceEvent[]; otherData: Record<string, string | null> }> {
	const parts: string[] = [];
	const perfetto = new PerfettoTrace((part) => parts.push(part));
	await replayTrace(trace, { ...options, observers: [perfetto] });
	perfetto.end(trace);
	return JSON.parse(parts.join(""));
}

describe("the Perfetto export", () => {
	it.each(["mixed", "faulty"])("has the shape of trace events (%s)", async (which) => {
		const trace = which === "mixed" ? mixed : faulty;
		const { traceEvents, displayTimeUnit, otherData } = await perfettoOf(trace);
		expect(displayTimeUnit).toBe("ns");
		expect(otherData.trace).toBe(trace.files.join(", "));
		const open = new Map<string, TraceEvent>();
		const processes = new Map<number, string>();
		const wrong: TraceEvent[] = [];
		for (const event of traceEvents) {
			const { ph, name, pid, tid, ts, args } = event;
			const common = typeof name === "string" && name !== "" && Number.isInteger(pid) && Number.isInteger(tid) && typeof args === "object";
			const timed = typeof ts === "number" && Number.isFinite(ts) && ts >= 0 && typeof event.cat === "string";
			let fits = common && (ph === "M" || timed);
			if (ph === "M") {
				fits &&= (name === "process_name" || name === "thread_name") && typeof args.name === "string";
				if (name === "process_name") processes.set(pid, args.name as string);
			} else if (ph === "b") {
				fits &&= typeof event.id === "string" && !open.has(event.id);
				open.set(event.id as string, event);
			} else if (ph === "e") {
				const start = open.get(event.id as string);
				fits &&= start !== undefined && start.name === name && start.cat === event.cat && start.pid === pid && (start.ts as number) <= (ts as number);
				open.delete(event.id as string);
			} else if (ph === "i") fits &&= event.s === "t";
			else if (ph === "C") fits &&= Object.values(args).every((value) => typeof value === "number" && value >= 0);
			else fits = false;
			if (!fits || !processes.has(pid)) wrong.push(event);
		}
		expect(wrong).toEqual([]);
		expect(open.size).toBe(0);
		expect([...processes.values()]).toEqual(["IOMMU", ...trace.devices.map(({ name }) => name)]);
	});

	it("ends a map where another one replaces it, piece by piece", async () => {
		const rows = new RowBuffer();
		const add = (time: number, kind: number, page: number, pages: number) => {
			const row = rows.add(kind, time, 0);
			rows.columns.flags[row] = kind === Kind.map ? 3 : 0;
			setNumber(rows.columns.iova, row, page * 4096);
			setNumber(rows.columns.size, row, pages * 4096);
			setNumber(rows.columns.pa, row, 0x100000);
		};
		add(0, Kind.map, 16, 4);
		add(10, Kind.map, 18, 2); // half of the first
		add(20, Kind.unmap, 16, 2); // the other half
		add(30, Kind.unmap, 18, 1);
		const trace = { ...mixed, devices: [mixed.devices[0]], columns: rows.take() };
		const { traceEvents } = await perfettoOf(trace);
		const of = (ph: string) => traceEvents.filter((event) => event.ph === ph).map(({ id, ts, args }) => [id, ts, args.unmapped]);
		expect(of("b")).toEqual([["0x0", 0, undefined], ["0x1", 10, undefined]]);
		expect(of("e")).toEqual([["0x0", 20, true], ["0x1", 30, false]]);
		expect(traceEvents.filter(({ name }) => name === "mapped bytes").map(({ args }) => args.bytes)).toEqual([4, 4, 2, 1].map((pages) => pages * 4096));
		const { data } = await reportOf(trace);
		expect(data.addressMaps[0].rows).toEqual(["0x10000", "0x11000", "0x12000", "0x13000"]);
		const mappedUntil = data.addressMaps[0].states.map((row) => row.lastIndexOf("1") * data.addressMaps[0].width);
		expect(mappedUntil).toEqual([20, 20, 30, 30]);
	});

	it("has every map, invalidation, look-up and fault of the run", async () => {
		for (const trace of [mixed, faulty]) {
			const { traceEvents } = await perfettoOf(trace);
			const summary = await replayTrace(trace);
			const of = (kind: number) => trace.columns.kind.reduce((count, value) => count + Number(value === kind), 0);
			const count = (ph: string, name: RegExp) => traceEvents.filter((event) => event.ph === ph && name.test(event.name)).length;
			expect(count("b", /^map (r|w|rw)$/)).toBe(of(Kind.map));
			expect(count("i", /^invalidate \w+$/)).toBe(of(Kind.invalidate));
			expect(count("i", /^fault \d+$/)).toBe(summary.faults.list.length);
			const counters = traceEvents.filter(({ ph, name }) => ph === "C" && name === "IOTLB per ms");
			expect(sum(counters.map(({ args }) => args.hits as number))).toBe(summary.iotlb.hits);
			expect(sum(counters.map(({ args }) => args.misses as number))).toBe(summary.iotlb.misses);
			const mapped = traceEvents.filter(({ name }) => name === "mapped bytes");
			for (const [index, device] of summary.perDevice.entries()) {
				const most = Math.max(0, ...mapped.filter(({ pid }) => pid === index + 2).map(({ args }) => args.bytes as number));
				expect(most).toBe(device.peakBytes);
			}
		}
	});
});
