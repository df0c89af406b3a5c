/** Explanations: of every request of the vectors files, of each cache, and of what the fields are called. */
import { fileURLToPath } from "node:url";
import { describe, expect, it, test } from "vitest";
import { explainContent, readContent } from "../../ts/cli/conformance/index.ts";
import { Engine, EngineError, type TraceStep, WORDS } from "../../ts/engine/index.ts";

const content = (name: string) => readContent(fileURLToPath(new URL(`../vectors/${name}.json.gz`, import.meta.url)));
const BOTH = { read: true, write: true };

describe.each(["vtd-qemu", "amdvi-qemu", "smmuv3-qemu", "riscv-qemu", "riscv-refmodel"])("every request of %s", (name) => {
	const told = explainContent(content(name), "*");

	it("answers as expected, its trace has the references of the walk, and every fault its reason", () => {
		expect(told.length).toBeGreaterThan(250);
		for (const { id, expected, explanation } of told) {
			const { steps, answer, fault } = explanation;
			if (!expected.startsWith(answer.status === "fault" ? "fault" : "ok")) throw new Error(`${id}: expected ${expected}, got ${answer.status}`);
			expect(fault !== undefined, id).toBe(answer.status === "fault");
			const decided = steps.filter((step) => step.decided);
			if (fault === undefined) {
				expect(decided, id).toEqual([]);
				continue;
			}
			expect(WORDS[explanation.architecture as keyof typeof WORDS].faults[fault.code]?.means, `${id}: ${fault.code}`).toBeTruthy();
			// without a reference nothing but registers and the request can have decided
			if (!steps.some((step) => step.kind === "read")) continue;
			expect(decided, id).toHaveLength(1);
			const [one] = decided;
			expect(one.kind === "walk" || one.refused !== undefined || one.fields.some((field) => field.decided), `${id}: ${fault.because}`).toBe(true);
			expect(fault.because, id).toContain(one.address.toString(16));
		}
	});
});

describe("one machine", () => {
	const machine = () => {
		const engine = Engine.create({ units: [{ architecture: "vtd" }], tables: { frames: 256 } });
		const table = engine.createTable({ format: "vtd-second", levels: 4 });
		table.map(0x1_0000n, 0x8000_0000n, 0x4000n, { read: true, write: false });
		engine.units[0].setRoute(8, { type: "second-stage", domain: 1, table });
		return { engine, unit: engine.units[0], table };
	};
	const kinds = (steps: TraceStep[]) => steps.map((step) => (step.kind === "cached" ? step.cache : `${step.table}`));

	it("tells which cache answered", () => {
		const { unit } = machine();
		const walk = ["second stage", "SS-PML4E", "SS-PDPE", "SS-PDE", "SS-PTE"];
		expect(kinds(unit.explain(8, 0x1_0123n).steps)).toEqual(["root entry", "context entry", ...walk]);
		expect(kinds(unit.explain(8, 0x1_0123n).steps)).toEqual(["context", "iotlb"]);
		expect(kinds(unit.explain(8, 0x1_1123n).steps)).toEqual(["context", "second stage", "walk", "SS-PTE"]);
		unit.invalidate({ scope: "global", caches: ["context"] });
		expect(kinds(unit.explain(8, 0x1_1123n).steps)).toEqual(["root entry", "context entry", "iotlb"]);
	});

	it("counts exactly the references that counters count, and answers as translate does", () => {
		const { unit } = machine();
		const sum = () => Object.values(unit.counters().references).flat().reduce((a, b) => a + b, 0);
		const before = sum();
		const { steps, answer } = unit.explain(8, 0x1_2123n);
		expect(steps.filter((step) => step.kind === "read")).toHaveLength(sum() - before);
		unit.invalidate({ scope: "global" });
		expect(unit.translate(8, 0x1_2123n)).toEqual(answer);
	});

	it("names the field that refuses: a right, a reserved bit, several of them", () => {
		const { engine, unit } = machine();
		const told = unit.explain(8, 0x1_0123n, { access: "write" });
		expect(told.fault).toMatchObject({ code: 5, name: "LGN.2", because: expect.stringMatching(/^SS-PTE at 0x[0-9a-f]+: W = 0x0$/) });
		const leaf = told.steps.at(-1);
		if (leaf === undefined) throw new Error("no step");
		expect(leaf).toMatchObject({ entry: "leaf", value: 0x8000_0001n, bytes: 8, decided: true });
		engine.memory.write64(leaf.address, leaf.value | (1n << 62n) | (1n << 11n));
		unit.invalidate({ scope: "global" });
		unit.writeRegister("ECAP", unit.readRegister("ECAP") & ~0x84n);
		const reserved = unit.explain(8, 0x1_0123n);
		expect(reserved.fault).toMatchObject({ code: 12, outcome: "reserved bit or encoding" });
		expect(reserved.steps.at(-1)?.fields.filter((field) => field.decided).map((field) => field.name)).toEqual(["SNP", "TM"]);
	});

	it("names a right that a table above took away", () => {
		const { engine, unit } = machine();
		const directory = unit.explain(8, 0x1_0000n).steps.find((step) => step.table === "SS-PDE");
		if (directory === undefined) throw new Error("no step");
		engine.memory.write64(directory.address, directory.value & ~1n);
		unit.invalidate({ scope: "global" });
		expect(unit.explain(8, 0x1_0000n).fault?.because).toMatch(/^SS-PDE at .*: R = 0x0$/);
	});

	it("tells updates of A and D bits, and memory that refuses", () => {
		const engine = Engine.create({ memory: [{ kind: "sparse", start: 0n, size: 0x10_0000n }], units: [{ architecture: "vtd" }], tables: { frames: 64 } });
		const [unit] = engine.units;
		unit.writeRegister("RTADDR", 1n << 10n);
		const table = engine.createTable({ format: "vtd-first", levels: 4 });
		table.map(0x1000n, 0x5000n, 0x1000n, BOTH);
		unit.setRoute(8, { type: "first-stage", domain: 1, table });
		const writes = unit.explain(8, 0x1008n, { access: "write" }).steps.filter((step) => step.kind === "write");
		expect(writes.map((step) => step.table)).toEqual(["FS-PML4E", "FS-PDPE", "FS-PDE", "FS-PTE"]);
		expect(writes.at(-1)?.fields).toEqual(expect.arrayContaining([expect.objectContaining({ name: "A", value: 1n }), expect.objectContaining({ name: "D", value: 1n })]));
		unit.writeRegister("RTADDR", 0x7000_0000n | (1n << 10n));
		unit.invalidate({ scope: "global" });
		const gone = unit.explain(8, 0x1008n);
		expect(gone.steps.at(-1)).toMatchObject({ kind: "read", refused: "absent", decided: true });
		expect(gone.fault).toMatchObject({ name: "SRT.1", because: expect.stringContaining("memory is absent") });
	});

	it("refuses what is no single request", () => {
		const { unit } = machine();
		expect(() => unit.explain(8, 0xffcn, { length: 8 })).toThrow(EngineError);
		expect(() => unit.explain(8, -1n)).toThrow(EngineError);
	});
});

test("fields of one structure do not overlap, and lie in it", () => {
	for (const words of Object.values(WORDS)) {
		const places = (["device", "pasid", "walk"] as const).flatMap((phase) => [0, 1, 2, 3].map((level) => words.structure({ phase, level, register: () => 0n })));
		const wide = words.structure({ phase: "device", level: 0, register: () => (1n << 64n) - 1n });
		for (const structure of [...places, wide]) {
			if (structure === undefined) continue;
			let end = -1;
			for (const field of [...structure.fields].sort((a, b) => a.low - b.low)) {
				expect(field.high, `${structure.name} ${field.name}`).toBeGreaterThanOrEqual(field.low);
				// an MSI entry has two readings
				if (structure.name !== "MSI page-table entry") expect(field.low, `${structure.name} ${field.name}`).toBeGreaterThan(end);
				end = field.high;
				expect(end).toBeLessThan(8 * structure.bytes);
			}
		}
		for (const format of Object.values(words.formats)) {
			for (const [name] of Object.values(format.decides).flat()) expect(format.fields.map((field) => field.name)).toContain(name);
		}
	}
});
