/** Joining the two logs of a run: real cuts, and synthetic runs of every mode against a model of plain Maps. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { ReplayError } from "../../ts/replay/errors.ts";
import { importTrace } from "../../ts/replay/importers/import.ts";
import { replayTrace } from "../../ts/replay/replay.ts";
import { Kind, Scope } from "../../ts/replay/trace.ts";
import { generateRun, type RunOptions } from "./fixtures/generate.ts";
import { replayWithMaps } from "./fixtures/model.ts";

const fixture = (name: string) => new URL(`fixtures/${name}`, import.meta.url).pathname;
const text = (name: string) => gunzipSync(readFileSync(fixture(name))).toString("latin1");
const named = (name: string, data: string) => ({ name, data });

describe("real recordings", () => {
	test("VT-d, strict: every DMA and every verdict is explained", async () => {
		const trace = await importTrace([fixture("vtd_mixed_cut.qemu.log.gz"), fixture("vtd_mixed_cut.guest_ftrace.txt.gz")]);
		expect(trace.architecture).toBe("vtd");
		expect(trace.stage).toBe("second");
		expect(trace.devices.map(({ name, domain, levels }) => [name, domain, levels])).toEqual([
			["0000:00:01.0", 3, 3],
			["0000:00:02.0", 4, 3],
			["0000:00:03.0", 5, 3],
			["0000:00:1f.2", 7, 3],
		]);
		const outcome = replayWithMaps(trace);
		expect(outcome).toMatchObject({ explained: 229, wrong: 0, unexplained: 0, forbidden: 0, backwards: 0 });
		expect(outcome.verdicts).toEqual({ agree: 229, disagree: 0 });
	});

	test("VT-d faults: 592, all on pages that are not mapped", async () => {
		const trace = await importTrace([fixture("vtd_faults_edu.guest_ftrace.txt.gz"), fixture("vtd_faults_edu.qemu.log.gz")]);
		const outcome = replayWithMaps(trace);
		expect(outcome.events).toEqual({ dma: 350, map: 101, unmap: 34, invalidate: 35, fault: 592 });
		expect(outcome).toMatchObject({ explained: 350, wrong: 0, unexplained: 0, faultsOnMapped: 0 });
		const { columns, devices } = trace;
		const first = columns.kind.indexOf(Kind.fault);
		expect(devices[columns.id[first]].name).toBe("0000:00:02.0");
		expect([columns.iova[2 * first], columns.pa[2 * first], columns.flags[first]]).toEqual([0x1000, 6, 1]);
	});

	test("SMMUv3: all but the doorbells without a map", async () => {
		const trace = await importTrace([fixture("smmuv3_mixed_cut.qemu.log.gz"), fixture("smmuv3_mixed_cut.guest_ftrace.txt.gz")]);
		expect(trace.architecture).toBe("smmuv3");
		const outcome = replayWithMaps(trace, { doorbell: 0x8090, iotlb: 256, lowBits: false });
		expect(outcome).toMatchObject({ explained: 301, doorbells: 74, wrong: 0, unexplained: 0, forbidden: 0 });
		expect(outcome.verdicts).toEqual({ agree: 375, disagree: 0 });
	});

	test("logs without timestamps join by order", async () => {
		const untimed = text("vtd_mixed_cut.qemu.log.gz").replace(/^\d+@[\d.]+:/gm, "");
		const trace = await importTrace([named("q", untimed), fixture("vtd_mixed_cut.guest_ftrace.txt.gz")]);
		expect(replayWithMaps(trace)).toMatchObject({ explained: 229, wrong: 0, unexplained: 0, backwards: 0, verdicts: { disagree: 0 } });
	});

	test("without qi_submit the unmaps themselves are aligned", async () => {
		const bare = text("vtd_mixed_cut.guest_ftrace.txt.gz").replace(/^.*: (qi_submit|cache_tag\w*): .*\n/gm, "");
		const trace = await importTrace([fixture("vtd_mixed_cut.qemu.log.gz"), named("f", bare)]);
		expect(replayWithMaps(trace)).toMatchObject({ explained: 229, wrong: 0, unexplained: 0 });
	});

	test("one half alone still imports, with a remark", async () => {
		const host = await importTrace(fixture("vtd_mixed_cut.qemu.log.gz"));
		expect(host.report.notes.join()).toMatch(/no guest ftrace/);
		expect(replayWithMaps(host).events).toMatchObject({ dma: 229, map: 0 });
		const guest = await importTrace(fixture("vtd_mixed_cut.guest_ftrace.txt.gz"));
		expect(guest.report.notes.join()).toMatch(/no QEMU log/);
		expect(guest.architecture).toBe("vtd");
		const { events } = replayWithMaps(guest);
		expect(events.dma).toBe(0);
		expect(events.map).toBeGreaterThan(200);
		expect(events.invalidate).toBeGreaterThan(20);
	});

	test("files that do not belong together are refused", async () => {
		const q = fixture("vtd_mixed_cut.qemu.log.gz");
		await expect(importTrace([q, fixture("vtd_faults_edu.qemu.log.gz")])).rejects.toMatchObject({ code: "mismatch" });
		await expect(importTrace([q, fixture("vtd_mixed_cut.merged.csv.gz")])).rejects.toMatchObject({ code: "mismatch" });
		await expect(importTrace([q, fixture("smmuv3_mixed_cut.guest_ftrace.txt.gz")])).rejects.toThrow(/not of one run/);
		await expect(importTrace([q, fixture("vtd_faults_edu.guest_ftrace.txt.gz")])).rejects.toBeInstanceOf(ReplayError);
	});
});

describe("synthetic runs", () => {
	const runs: (RunOptions & { title: string })[] = [
		{ title: "strict, three devices", seed: 1, devices: 3, mode: "strict", requests: 150 },
		{ title: "strict, twelve devices", seed: 2, devices: 12, mode: "strict", requests: 60 },
		{ title: "lazy, four devices", seed: 3, devices: 4, mode: "lazy", requests: 200 },
		{ title: "lazy, one device: one key repeats", seed: 4, devices: 1, mode: "lazy", requests: 400 },
		{ title: "lazy, twelve devices", seed: 5, devices: 12, mode: "lazy", requests: 60 },
		{ title: "first stage, strict", seed: 6, devices: 3, mode: "strict", firstStage: true, requests: 120 },
		{ title: "first stage, lazy", seed: 7, devices: 3, mode: "lazy", firstStage: true, requests: 120 },
		{ title: "strict, without timestamps", seed: 8, devices: 4, mode: "strict", timestamps: false, requests: 120 },
		{ title: "lazy, without timestamps", seed: 13, devices: 4, mode: "lazy", timestamps: false, requests: 200 },
		{ title: "lazy, one device without timestamps, after a boot and before a shutdown", seed: 14, devices: 1, mode: "lazy", timestamps: false, boot: 30, tail: 40, requests: 400 },
		{ title: "lazy, twelve devices, first stage, without timestamps", seed: 15, devices: 12, mode: "lazy", firstStage: true, timestamps: false, boot: 10, tail: 24, requests: 50 },
		{ title: "lazy, idle now and then, clocks that wander, invalidations that wait", seed: 16, devices: 3, mode: "lazy", idle: true, wander: true, stalls: true, boot: 20, tail: 10, requests: 200 },
		{ title: "lazy, one device in ticks of its timer, after a boot", seed: 17, devices: 1, mode: "lazy", boot: 60, tail: 40, requests: 600 },
		{ title: "lazy, faults before and after flushes", seed: 18, devices: 4, mode: "lazy", lateUse: true, requests: 150 },
		{ title: "strict, faults after unmaps", seed: 19, devices: 4, mode: "strict", lateUse: true, stalls: true, requests: 100 },
		{ title: "strict, faults after unmaps, without timestamps", seed: 20, devices: 1, mode: "strict", lateUse: true, timestamps: false, boot: 30, tail: 10, requests: 300 },
		{ title: "first stage, strict, wandering clocks, after a boot", seed: 21, devices: 12, mode: "strict", firstStage: true, wander: true, stalls: true, boot: 10, requests: 50 },
		{ title: "lazy, one device, few flushes that are all alike, after a boot", seed: 427390, devices: 1, mode: "lazy", boot: 30, requests: 300 },
		{ title: "behind a bridge, strict", seed: 22, devices: 3, mode: "strict", bridged: true, requests: 80 },
		{ title: "behind a bridge, lazy", seed: 23, devices: 3, mode: "lazy", bridged: true, requests: 100 },
		{ title: "one group: a domain and its addresses shared by four devices, strict", seed: 24, devices: 4, mode: "strict", shared: true, queues: 2, requests: 40 },
		{ title: "one group, lazy, faults before flushes", seed: 25, devices: 4, mode: "lazy", shared: true, lateUse: true, requests: 60 },
		{ title: "twelve devices, three queues each, on any CPU", seed: 26, devices: 12, mode: "strict", queues: 3, requests: 12 },
		{ title: "twelve devices, three queues each, on any CPU, lazy", seed: 27, devices: 12, mode: "lazy", queues: 3, lateUse: true, requests: 12 },
		{ title: "first stage, twelve devices, two queues each, on any CPU", seed: 28, devices: 12, mode: "strict", firstStage: true, queues: 2, stalls: true, requests: 16 },
		{ title: "a clock 500 ppm fast, idle now and then", seed: 29, devices: 3, mode: "strict", skew: 500, idle: true, requests: 81 },
		{ title: "a clock 500 ppm slow, idle now and then, lazy, after a boot", seed: 30, devices: 3, mode: "lazy", skew: -500, idle: true, boot: 20, requests: 81 },
		{ title: "fewer invalidations than an alignment wants", seed: 9, devices: 2, mode: "strict", requests: 5 },
	];
	// nightly, or IOASID_SEEDS=n: as many seeds of each mode
	const seeds = Number(process.env.IOASID_SEEDS ?? (process.env.IOASID_NIGHTLY ? 200 : 0));
	test.runIf(seeds > 0).each(runs)("many seeds: $title", { timeout: 3_600_000 }, async ({ title: _, ...options }) => {
		const failures: unknown[] = [];
		for (let seed = 1; seed <= seeds; seed++) {
			const run = generateRun({ ...options, seed: 1000 * options.seed + seed, requests: Math.min(options.requests, 80) });
			const { explained, wrong, unexplained, forbidden, faultsOnMapped, backwards } = replayWithMaps(await importTrace([named("q", run.qemu), named("f", run.ftrace)], { strict: true }));
			if (explained !== run.dmas || wrong + unexplained + forbidden + faultsOnMapped + backwards > 0) failures.push({ seed: 1000 * options.seed + seed, dmas: run.dmas, explained, wrong, unexplained, forbidden, faultsOnMapped, backwards });
		}
		expect(failures).toEqual([]);
	});

	for (const { title, ...options } of runs) {
		test(title, async () => {
			const run = generateRun(options);
			const trace = await importTrace([named("run.log", run.qemu), named("run.txt", run.ftrace)], { strict: true });
			const outcome = replayWithMaps(trace);
			expect(outcome).toMatchObject({
				events: { dma: run.dmas, map: run.maps, unmap: run.unmaps, fault: run.faults },
				explained: run.dmas,
				wrong: 0,
				unexplained: 0,
				forbidden: 0,
				faultsOnMapped: 0,
				backwards: 0,
			});
			expect(outcome.verdicts).toEqual({ agree: run.dmas, disagree: 0 });
			expect(trace.stage).toBe(options.firstStage ? "first" : "second");
			// and so says the engine, with its own caches and with QEMU's
			expect((await replayTrace(trace)).dma).toMatchObject({ total: run.dmas + run.faults, wrongAddress: 0, unexplained: 0 });
			expect(trace.devices.map(({ domain }) => domain)).toEqual(Array.from({ length: options.bridged ? 1 : options.devices }, (_, i) => (options.shared ? 3 : 3 + i)));
			// nor on the tables of the recorder, by its own invalidations
			expect((await replayTrace(trace, { architecture: "recorded" })).dma).toMatchObject({ total: run.dmas + run.faults, wrongAddress: 0, unexplained: 0 });
			if (options.bridged) expect(trace.devices).toMatchObject([{ name: "0000:02:00.0", rid: 0x200 }]);
		});
	}

	test.each([{ mode: "lazy" }, { mode: "lazy", firstStage: true, idle: true }, { mode: "strict" }] as const)("without qi_submit: %j", async (options) => {
		const run = generateRun({ seed: 51, devices: 4, requests: 100, wander: true, ...options });
		const bare = run.ftrace.replace(/^.*qi_submit.*\n/gm, "");
		const outcome = replayWithMaps(await importTrace([named("q", run.qemu), named("f", bare)]));
		expect(outcome).toMatchObject({ explained: run.dmas, wrong: 0, unexplained: 0, faultsOnMapped: 0 });
	});

	test("the guest's tracing may start late", async () => {
		const run = generateRun({ seed: 10, devices: 3, mode: "strict", requests: 200 });
		const lines = run.ftrace.split("\n");
		const late = [...lines.slice(0, 2), ...lines.slice(1500)].join("\n");
		const outcome = replayWithMaps(await importTrace([named("q", run.qemu), named("f", late)]));
		expect(outcome.wrong).toBe(0);
		// what was mapped before is unexplained (rings are, to the end), what came later is not
		expect(outcome.explained).toBeGreaterThan(0.3 * run.dmas);
		expect(outcome.backwards).toBe(0);
	});

	test("lost lines cost what they held, not the join", async () => {
		const run = generateRun({ seed: 11, devices: 3, mode: "strict", requests: 300 });
		const lossy = (text: string, every: number) => `${text.split("\n").filter((_, i) => i % every !== every - 1).join("\n")}`;
		const outcome = replayWithMaps(await importTrace([named("q", lossy(run.qemu, 211)), named("f", lossy(run.ftrace, 223))]));
		expect((outcome.wrong + outcome.unexplained) / outcome.events.dma).toBeLessThan(0.03);
	});

	test.each([
		{ mode: "strict", every: 200 },
		{ mode: "strict", firstStage: true, every: 200 },
		{ mode: "lazy", every: 20 },
	] as const)("descriptors that one log lost are told by the other: %j", async ({ every, ...options }) => {
		const seeds = process.env.IOASID_NIGHTLY ? 200 : 4;
		let [dmas, bad, lost] = [0, 0, 0];
		for (let seed = 1; seed <= seeds; seed++) {
			const run = generateRun({ seed, devices: 3, requests: 80, lost: every, ...options });
			const trace = await importTrace([named("q", run.qemu), named("f", run.ftrace)]);
			const { dma } = await replayTrace(trace, { architecture: "recorded" });
			dmas += dma.total;
			bad += dma.wrongAddress + dma.unexplained;
			lost += Number(/(\d+) invalidations that the QEMU log lost/.exec(trace.report.notes.join())?.[1] ?? 0);
		}
		expect(lost).toBeGreaterThan(0);
		// what both logs lost, nothing tells
		expect(bad / dmas).toBeLessThan(0.0005);
	});

	test("first-stage invalidations come from the raw descriptor, with their PASID", async () => {
		const run = generateRun({ seed: 12, devices: 1, mode: "strict", firstStage: true, requests: 60 });
		const { columns } = await importTrace([named("q", run.qemu), named("f", run.ftrace)]);
		const rows = Array.from(columns.kind.keys()).filter((row) => columns.kind[row] === Kind.invalidate && columns.flags[row] === Scope.pasidPage);
		expect(rows.length).toBeGreaterThan(30);
		expect(rows.every((row) => columns.pasid[row] === 0 && columns.id[row] === 3)).toBe(true);
		expect(new Set(rows.map((row) => columns.size[2 * row]))).toEqual(new Set([4096, 8192, 16384]));
	});
});
