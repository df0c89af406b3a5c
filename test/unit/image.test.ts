/** Saved machines: what is loaded answers as what was saved, and damaged files are refused. */
import { describe, expect, it } from "vitest";
import { Engine, type EngineConfig, isImage, type Unit } from "../../ts/engine/index.ts";

const BOTH = { read: true, write: true };

function answers(unit: Unit) {
	return Array.from({ length: 64 }, (_, i) => {
		const { references, hit, ...rest } = unit.translate(8 * (i % 3), BigInt(i) * 0x800n, { access: i % 2 ? "write" : "read", pasid: i % 5 === 4 ? 1 : undefined });
		void references;
		void hit;
		return rest;
	});
}

/** Kernel-built tables of `architecture`, beside owned, sparse, read-only and poisoned memory. */
function machine(architecture: "vtd" | "amdvi" | "smmuv3" | "riscv", format: "vtd-second" | "amd-v1" | "vmsav8-second-4k" | "riscv-sv-x4", more: EngineConfig = {}) {
	const engine = Engine.create({
		memory: [
			{ kind: "owned", start: 0x1000n, size: 0x3000n },
			{ kind: "sparse", start: 0x10_0008n, size: 1n << 40n },
			{ kind: "sparse", start: 1n << 41n, size: 0x1000n, writable: false },
			{ kind: "sparse", start: 1n << 42n, size: 0x1000n, poison: true },
		],
		units: [{ architecture, iotlb: { sets: 4, ways: 2, replacement: "fifo" }, walkCache: false }],
		tables: { frames: 256 },
		...more,
	});
	const table = engine.createTable({ format, levels: 4 });
	for (let i = 0n; i < 8n; i++) table.map(i * 0x2000n, 0x8000_0000n + i * 0x5000n, 0x1000n, i === 3n ? { read: true, write: false } : BOTH);
	const [unit] = engine.units;
	unit.setRoute(8, { type: "second-stage", domain: 1, table });
	unit.setRoute(16, { type: "bypass", domain: 2 });
	return { engine, unit };
}

describe("a saved machine", () => {
	it.each([
		["vtd", "vtd-second"],
		["amdvi", "amd-v1"],
		["smmuv3", "vmsav8-second-4k"],
		["riscv", "riscv-sv-x4"],
	] as const)("answers as it did: %s", (architecture, format) => {
		const { engine, unit } = machine(architecture, format);
		engine.memory.writeBytes(0x10_0ff8n, new Uint8Array(32).fill(7));
		engine.memory.writeBytes(0x3ffcn, new Uint8Array([1, 2, 3, 4]));
		const loaded = Engine.loadImage(engine.saveImage());
		const [again] = loaded.units;
		unit.invalidate({ scope: "global" });
		expect(answers(again)).toEqual(answers(unit));
		expect(answers(again).some((one) => one.status === "translated") && answers(again).some((one) => one.status === "fault")).toBe(true);
		expect(loaded.memory.read(0x10_0ff0n, 48)).toEqual(engine.memory.read(0x10_0ff0n, 48));
		expect(loaded.memory.read(0x1000n, 0x3000)).toEqual(engine.memory.read(0x1000n, 0x3000));
		expect(() => loaded.memory.write64(1n << 41n, 1n)).toThrow(/read-only/);
		expect(() => loaded.memory.read64(1n << 42n)).toThrow(/poison/);
		// a loaded machine can be saved again
		const twice = Engine.loadImage(loaded.saveImage());
		expect(answers(twice.units[0])).toEqual(answers(unit));
	});

	it("keeps caches' geometry and quirks, and no contents", () => {
		const { engine, unit } = machine("vtd", "vtd-second", { units: [{ architecture: "vtd", iotlb: false, quirks: { sourceTag: true }, faultRecords: 3 }] });
		answers(unit);
		const [again] = Engine.loadImage(engine.saveImage()).units;
		for (let i = 0; i < 5; i++) expect(again.translate(0xff, 0n).status).toBe("fault");
		expect(again.counters()).toMatchObject({ iotlb: { hits: 0, misses: 0 }, faults: 5, faultsLost: 2 });
	});

	it("wants the pages of host regions by name", () => {
		const bytes = new Uint8Array(0x4000).fill(3);
		const memory = { read: (address: bigint, size: number) => (size === 1 ? BigInt(bytes[Number(address - (1n << 50n))]) : 0n), write: () => false };
		const engine = Engine.create({ memory: [{ kind: "host", start: 1n << 50n, size: 0x4000n, memory }] });
		expect(() => engine.saveImage()).toThrow(/hostPages/);
		const loaded = Engine.loadImage(engine.saveImage({ hostPages: [(1n << 50n) + 0x2008n] }));
		expect(loaded.memory.read(1n << 50n, 0x4000)).toEqual(new Uint8Array(0x4000).fill(3, 0x2000, 0x3000));
	});
});

describe("a damaged image", () => {
	const whole = machine("vtd", "vtd-second").engine.saveImage();
	const end = whole.indexOf(10);
	const header = JSON.parse(new TextDecoder().decode(whole.subarray(0, end)));
	const altered = (change: (header: Record<string, unknown>) => void) => {
		const copy = structuredClone(header);
		change(copy);
		const line = new TextEncoder().encode(`${JSON.stringify(copy)}\n`);
		const bytes = new Uint8Array(line.length + whole.length - end - 1);
		bytes.set(line);
		bytes.set(whole.subarray(end + 1), line.length);
		return bytes;
	};

	it.each<[string, Uint8Array, RegExp]>([
		["nothing", new Uint8Array(0), /line of JSON/],
		["no line", new Uint8Array(5000).fill(32), /line of JSON/],
		["another file", new TextEncoder().encode('{"cases":[]}\n'), /no ioasid-image/],
		["cut", whole.subarray(0, whole.length - 1), /not all there/],
		["longer", new Uint8Array([...whole, 0]), /1 bytes follow/],
		["another version", altered((one) => (one.version = 2)), /version 2/],
		["no regions", altered((one) => delete one.regions), /regions is no list/],
		["a number for an address", altered((one) => (one.regions = [{ start: 0, size: "0x10" }])), /regions\[0\].start/],
		["pages elsewhere", altered((one) => (one.regions = [])), /in no region/],
		["an empty run", altered((one) => (one.pages = [["0x0", 0]])), /not all there/],
		["another unit", altered((one) => (one.units = [{ architecture: "smmuv2" }])), /units\[0\]/],
		["an unknown register", altered((one) => (one.units = [{ architecture: "vtd", registers: { FOO: "0x1" } }])), /FOO/],
		["a bad cache", altered((one) => (one.units = [{ architecture: "vtd", iotlb: { sets: 3, ways: 1 } }])), /sets/],
	])("%s is refused", (_what, bytes, message) => {
		expect(() => Engine.loadImage(bytes)).toThrow(message);
		expect(() => Engine.loadImage(bytes)).toThrow(expect.objectContaining({ name: "EngineError" }));
	});

	it("is still recognised as an image", () => {
		expect(isImage(whole)).toBe(true);
		expect(isImage(new TextEncoder().encode('{"arch":"vtd"}'))).toBe(false);
	});
});
