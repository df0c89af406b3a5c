/** Engines in a memory that is the host's own, regions of every kind, and what a configuration takes. */
import { describe, expect, it } from "vitest";
import { Engine, type EngineConfig, EngineError, type HostMemory, planEngine } from "../../ts/engine/index.ts";

const BOTH = { read: true, write: true };
const CONFIG: EngineConfig = { units: [{ architecture: "vtd" }], tables: { frames: 64, count: 4 }, batch: 16, run: { events: 16, devices: 2 }, memory: [{ kind: "owned", start: 0x10000n, size: 8192 }, { kind: "sparse", start: 0x100000n, size: 1 << 20 }], sparsePages: 8 };

/** Use every part of an engine. */
function exercise(engine: Engine, output: bigint): void {
	const [unit] = engine.units;
	const table = engine.createTable({ format: "vtd-second", levels: 4 });
	unit.setRoute(8, { type: "second-stage", domain: 1, table });
	for (let page = 0n; page < 300n; page++) table.map(page * 4096n, output + page * 8192n, 4096n, BOTH);
	engine.memory.writeBytes(0x10000n, new Uint8Array(8192).fill(7));
	for (let page = 0n; page < 8n; page++) engine.memory.writeBytes(0x100000n + page * 4096n, new Uint8Array(4096).fill(9));
	const columns = unit.batchBuffers();
	for (let page = 0; page < 300; page += columns.capacity) {
		for (let i = 0; i < columns.capacity; i++) {
			columns.iova[i] = BigInt(page + i) * 4096n;
			columns.rid[i] = 8;
			columns.pasid[i] = 0xffffffff;
			columns.access[i] = 1;
		}
		unit.batch(columns.capacity);
	}
	// more faults than the ring holds
	for (let n = 0n; n < 200n; n++) unit.translate(8, (1n << 40n) + n * 4096n);
	const run = engine.createRun(unit, [{ rid: 8, table }]);
	const events = run.columns();
	for (const column of [events.kind, events.id]) column.fill(0);
	events.kind.fill(1);
	events.flags.fill(1);
	events.pasid.fill(0xffffffff);
	run.run(0, events.capacity);
	expect(unit.translate(8, 0x5123n)).toMatchObject({ status: "translated", pa: output + 5n * 8192n + 0x123n });
}

describe("engines in the host's memory", () => {
	it("touch neither each other nor the host's bytes", () => {
		const { bytes } = planEngine(CONFIG);
		const offsets = [5000, 5000 + bytes + 3 * 4096];
		const bases = offsets.map((offset) => Math.ceil(offset / 4096) * 4096);
		const memory = new WebAssembly.Memory({ initial: Math.ceil((bases[1] + bytes + 9999) / 65536) });
		const view = new Uint8Array(memory.buffer);
		for (let i = 0; i < view.length; i++) view[i] = (i * 31 + (i >> 8)) & 0xff;
		const before = view.slice();
		const outside = (used: number[]) => {
			for (let i = 0; i < view.length; i++) {
				if (used.some((base) => i >= base && i < base + bytes)) continue;
				if (view[i] !== before[i]) expect(`byte ${i}: ${view[i]}`).toBe(`byte ${i}: ${before[i]}`);
			}
		};
		const first = Engine.create({ ...CONFIG, host: { memory, offset: offsets[0] } });
		outside([bases[0]]);
		exercise(first, 1n << 32n);
		outside([bases[0]]);
		const image = view.slice(bases[0], bases[0] + bytes);
		const second = Engine.create({ ...CONFIG, host: { memory, offset: offsets[1] } });
		exercise(second, 1n << 36n);
		outside(bases);
		// the second left the first as it was
		expect(Buffer.compare(view.slice(bases[0], bases[0] + bytes), image)).toBe(0);
		expect(first.units[0].translate(8, 0x7000n)).toMatchObject({ status: "translated", pa: (1n << 32n) + 7n * 8192n });
		expect(second.units[0].translate(8, 0x7000n)).toMatchObject({ status: "translated", pa: (1n << 36n) + 7n * 8192n });
		outside(bases);
	});

	it("take exactly what planEngine says", () => {
		const { bytes } = planEngine(CONFIG);
		const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / 65536) + 2 });
		const end = memory.buffer.byteLength;
		const fits = Math.floor((end - bytes) / 4096) * 4096;
		expect(Engine.create({ ...CONFIG, host: { memory, offset: fits } }).plan.bytes).toBe(bytes);
		expect(() => Engine.create({ ...CONFIG, host: { memory, offset: fits + 1 } })).toThrow(EngineError);
	});

	it.each([
		["tables.frames", { tables: { frames: 2_000_000 } }],
		["batch", { batch: 200_000_000 }],
		["sparsePages", { sparsePages: 2_000_000 }],
		["memory[0].size", { memory: [{ kind: "owned", start: 0n, size: 2 ** 33 }] }],
		["run.events", { run: { events: 300_000_000, devices: 1 } }],
	] as Array<[string, EngineConfig]>)("too much of %s is an OutOfMemory that names it", (knob, config) => {
		try {
			Engine.create(config);
			expect.unreachable();
		} catch (error) {
			expect(error).toBeInstanceOf(EngineError);
			expect((error as EngineError).code).toBe("OutOfMemory");
			expect((error as EngineError).context.knob).toBe(knob);
			expect((error as EngineError).message).toContain(knob);
		}
		// the same in a host's memory that is too small
		const memory = new WebAssembly.Memory({ initial: 1 });
		expect(() => Engine.create({ tables: { frames: 64 }, host: { memory, offset: 0 } })).toThrow(/tables\.frames/);
	});
});

describe("a page table in a region that is", () => {
	const START = 0x40000n;
	const words = (): Map<bigint, bigint> => {
		const page = (n: number) => START + BigInt(n) * 4096n;
		const image = new Map<bigint, bigint>();
		image.set(page(0), page(1) | 1n); // root entry of bus 0
		image.set(page(1) + 8n * 16n, page(2) | 1n); // context entry of 00:01.0
		image.set(page(1) + 8n * 16n + 8n, 1n | (5n << 8n)); // three levels, domain 5
		image.set(page(2), page(3) | 3n);
		image.set(page(3), page(4) | 3n);
		image.set(page(4) + 8n, 0xabc000n | 3n);
		return image;
	};
	const check = (engine: Engine) => {
		const [unit] = engine.units;
		unit.writeRegister("RTADDR", START);
		unit.invalidate({ scope: "global" });
		expect(unit.translate(8, 0x1234n)).toMatchObject({ status: "translated", pa: 0xabc234n, references: 3 });
		expect(unit.translate(8, 0x1235n)).toMatchObject({ pa: 0xabc235n, hit: "iotlb" });
		expect(unit.translate(8, 0x2000n, { access: "write" })).toMatchObject({ status: "fault", fault: 5 });
	};
	const size = 5 * 4096;
	const units = [{ architecture: "vtd" as const }];

	it("owned by the engine", () => {
		const engine = Engine.create({ units, memory: [{ kind: "owned", start: START, size }] });
		for (const [at, word] of words()) engine.memory.write64(at, word);
		check(engine);
	});

	it("sparse", () => {
		const engine = Engine.create({ units, memory: [{ kind: "sparse", start: 0n, size: 1n << 40n }], sparsePages: 5 });
		for (const [at, word] of words()) engine.memory.write64(at, word);
		check(engine);
		expect(() => engine.memory.write64(1n << 39n, 1n)).toThrow(/sparsePages/);
	});

	it("a buffer in the host's memory", () => {
		const config: EngineConfig = { units, tables: { frames: 1 } };
		const memory = new WebAssembly.Memory({ initial: Math.ceil(planEngine(config).bytes / 65536) + 2 });
		const engine = Engine.create({ ...config, host: { memory, offset: 65536 } });
		engine.memory.addRegion({ kind: "buffer", start: START, size, offset: 8192 });
		const view = new DataView(memory.buffer);
		for (const [at, word] of words()) view.setBigUint64(8192 + Number(at - START), word, true);
		check(engine);
		expect(engine.memory.read64(START + 4n * 4096n + 8n)).toBe(0xabc003n);
	});

	it("behind callbacks of the host", () => {
		const image = words();
		const asked: bigint[] = [];
		const memory: HostMemory = {
			read(address, bytes) {
				expect(bytes).toBe(8);
				asked.push(address);
				return image.get(address) ?? 0n;
			},
			write: () => false,
		};
		const engine = Engine.create({ units, memory: [{ kind: "host", start: START, size, memory }] });
		check(engine);
		expect(asked.length).toBeGreaterThan(5);
		expect(() => engine.memory.write64(START, 1n)).toThrow(/read-only/);
		image.clear();
		engine.units[0].invalidate({ scope: "global" });
		expect(engine.units[0].translate(8, 0x1234n)).toMatchObject({ status: "fault", fault: 1 });
	});
});
