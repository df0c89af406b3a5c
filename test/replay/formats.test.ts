/** Replays on the recorder's own architecture and on others. */
import { describe, expect, test } from "vitest";
import { REPLAY_ARCHITECTURES } from "../../ts/replay/formats.ts";
import { importTrace } from "../../ts/replay/importers/import.ts";
import { replayTrace } from "../../ts/replay/replay.ts";
import { Kind, Scope, type Trace } from "../../ts/replay/trace.ts";
import { generateRun, type RunOptions } from "./fixtures/generate.ts";

const fixture = (name: string) => new URL(`fixtures/${name}`, import.meta.url).pathname;
const generated = async (options: RunOptions) => {
	const run = generateRun(options);
	return { run, trace: await importTrace([{ name: "q", data: run.qemu }, { name: "f", data: run.ftrace }]) };
};

describe("the recorder's own architecture", () => {
	test("an SMMUv3 trace says on SMMUv3 tables what it says on others", async () => {
		const trace = await importTrace([fixture("smmuv3_mixed_cut.qemu.log.gz"), fixture("smmuv3_mixed_cut.guest_ftrace.txt.gz")]);
		const onVtd = await replayTrace(trace);
		expect(onVtd.notes.join()).toMatch(/replayed on VT-d/);
		for (const architecture of REPLAY_ARCHITECTURES) {
			const summary = await replayTrace(trace, { architecture });
			expect([architecture, summary.dma, summary.refusedEdits]).toEqual([architecture, { total: 375, matched: 301, wrongAddress: 0, unexplained: 74, stale: 0 }, 0]);
			expect(summary.notes.join()).not.toMatch(/replayed on VT-d/);
		}
	});

	test("an IOTLB of SMMUv3 answers as QEMU's did wherever there is a map", async () => {
		const trace = await importTrace([fixture("smmuv3_mixed_cut.qemu.log.gz"), fixture("smmuv3_mixed_cut.guest_ftrace.txt.gz")]);
		const { recorded } = await replayTrace(trace, { architecture: "recorded", iotlb: { sets: 1, ways: 256, replacement: "lru" } });
		expect(recorded).toMatchObject({ agree: 301, disagree: 74 });
	});

	test("VT-d faults have the recorded reasons on VT-d alone", async () => {
		const trace = await importTrace([fixture("vtd_faults_edu.guest_ftrace.txt.gz"), fixture("vtd_faults_edu.qemu.log.gz")]);
		for (const architecture of REPLAY_ARCHITECTURES) {
			const { dma, faults } = await replayTrace(trace, { architecture });
			expect([architecture, dma.wrongAddress, dma.unexplained, faults.matched]).toEqual([architecture, 0, 0, 592]);
			expect(new Set(faults.list.map(({ reason }) => reason)).has(6)).toBe(architecture === "recorded" || architecture === "vtd");
		}
	});

	test.each(["strict", "lazy"] as const)("first-stage tables of scalable mode, %s", async (mode) => {
		const { run, trace } = await generated({ seed: 31, devices: 3, mode, firstStage: true, requests: 100 });
		const { dma } = await replayTrace(trace, { architecture: "recorded" });
		expect(dma).toMatchObject({ total: run.dmas + run.faults, wrongAddress: 0, unexplained: 0 });
	});

	test("PASIDs that were recorded are kept, and so are invalidations of each", async () => {
		const { trace } = await generated({ seed: 32, devices: 2, mode: "strict", firstStage: true, requests: 150 });
		const tagged = (ofInvalidations: number): Trace => {
			const { columns } = trace;
			const pasid = columns.pasid.map((none, row) => {
				if (columns.kind[row] === Kind.dma) return 5;
				return columns.flags[row] === Scope.pasidPage && columns.kind[row] === Kind.invalidate ? ofInvalidations : none;
			});
			return { ...trace, columns: { ...columns, pasid } };
		};
		expect((await replayTrace(tagged(5), { architecture: "recorded" })).dma).toMatchObject({ wrongAddress: 0, stale: 0 });
		expect((await replayTrace(tagged(6), { architecture: "recorded" })).dma.stale).toBeGreaterThan(10);
	});

	test("a recorder that is not known leaves the default", async () => {
		const trace: Trace = { ...(await importTrace(fixture("vtd_mixed_cut.merged.csv.gz"))), architecture: "unknown" };
		const [known, asked] = [await replayTrace(trace), await replayTrace(trace, { architecture: "recorded" })];
		expect(asked.iotlb).toEqual(known.iotlb);
	});
});
