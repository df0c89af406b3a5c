/** Routes that `setRoute` writes and tables that `map` builds, walked by the engine and by the reference. */
import { describe, expect, it } from "vitest";
import { Engine, type PageTable, type Unit } from "../../ts/engine/index.ts";
import { TABLE_FORMATS, type TableFormatName } from "../../ts/engine/page-table-formats.ts";
import type { Memory } from "../reference/contract.ts";
import { EVENT, encodeEvent, translateSmmuv3 } from "../reference/smmuv3.ts";
import { Random } from "./random.ts";

const BASE = 1n << 32n;
const FRAMES = 512;

function make() {
	const engine = Engine.create({ tables: { frames: FRAMES, base: BASE }, units: [{ architecture: "smmuv3" }] });
	const unit = engine.units[0];
	const memory: Memory = {
		read: (pa) => (pa >= BASE && pa < BASE + BigInt(FRAMES) * 4096n ? { value: new DataView(engine.memory.read(pa, 8).slice().buffer).getBigUint64(0, true) } : { error: "access" }),
		write: () => false,
	};
	return { engine, unit, memory };
}

/** Both answers of one request; they agree. */
function ask({ unit, memory }: { unit: Unit; memory: Memory }, rid: number, address: bigint, access: "r" | "w" | "x") {
	const number = (name: string) => Number(unit.readRegister(name));
	const registers = {
		idr0: number("IDR0"),
		idr1: number("IDR1"),
		idr3: number("IDR3"),
		idr5: number("IDR5"),
		cr0: number("CR0"),
		cr2: number("CR2"),
		gbpa: number("GBPA"),
		strtabBase: unit.readRegister("STRTAB_BASE"),
		strtabBaseCfg: number("STRTAB_BASE_CFG"),
	};
	const want = translateSmmuv3(memory, registers, { device: rid, pasid: null, privileged: false, address, length: 1, access });
	const got = unit.translate(rid, address, { access: ({ r: "read", w: "write", x: "execute" } as const)[access] });
	const where = `0x${rid.toString(16)} ${access} 0x${address.toString(16)}`;
	expect([got.status, got.fault], where).toEqual([want.status === "fault" ? "fault" : "translated", want.code]);
	if (want.status !== "fault") expect(got.pa, where).toBe(want.pa);
	if (want.status === "ok") expect([BigInt(got.pageBytes), got.read, got.write, got.execute], where).toEqual([want.pageBytes, want.r, want.w, want.x]);
	const record = unit.takeFault();
	expect(record === null ? null : [0, 8, 16, 24].map((at) => new DataView(record.buffer).getBigUint64(at, true)), where).toEqual(encodeEvent(want));
	return got;
}

/** Random maps in two small windows of the input, the second at its end; addresses worth asking for. */
function fill(random: Random, table: PageTable, format: TableFormatName, bits: number): bigint[] {
	const page = 1n << BigInt(TABLE_FORMATS[format].leaves[0]);
	const asked: bigint[] = [];
	for (let n = 0; n < 30; n++) {
		const size = page * BigInt(random.pick([1, 2, 16, 32, 128, 200]));
		const window = random.chance(0.5) ? 0n : (1n << BigInt(bits)) - 4096n * page;
		const first = window + page * BigInt(random.below(3896) & (random.chance(0.5) ? ~127 : ~0));
		if (random.chance(0.25)) table.unmap(first, size);
		else {
			const output = (BigInt(random.below(1 << 10)) << 34n) | (random.chance(0.7) ? first & ((1n << 34n) - 1n) : page * BigInt(random.below(1 << 16)));
			table.map(first, output, size, { read: true, write: random.chance(0.5), execute: random.chance(0.5) }, { replace: true });
		}
		asked.push(first - 1n, first + 5n, first + size - 1n, first + size);
	}
	return asked.filter((address) => address >= 0n);
}

const cases = Object.entries(TABLE_FORMATS)
	.filter(([name]) => name.startsWith("vmsav8-"))
	.flatMap(([name, { levels, inputBits, leastInputBits }]) =>
		levels.flatMap((n) => [...new Set([inputBits(n), inputBits(n) - 1, Math.max(25, leastInputBits?.(n) ?? 0)])].map((bits) => [name as TableFormatName, n, bits] as const)),
	);

describe("a route to", () => {
	it.each(cases)("%s of %i levels and %i input bits is what the reference walks", (format, levels, inputBits) => {
		const machine = make();
		const table = machine.engine.createTable({ format, levels, inputBits });
		const rid = 0x1234;
		machine.unit.setRoute(rid, { type: format.startsWith("vmsav8-first") ? "first-stage" : "second-stage", domain: 7, table });
		const random = new Random(inputBits * 10 + levels);
		const asked = fill(random, table, format, inputBits);
		let translated = 0;
		for (const address of asked) if (ask(machine, rid, address, random.pick(["r", "w", "x"])).status === "translated") translated += 1;
		expect(translated).toBeGreaterThan(10);
		ask(machine, rid, 1n << BigInt(inputBits), "r");
	});

	it("a stage 1 over a stage 2 is nested; blocked, bypass and other streams", () => {
		const machine = make();
		const { engine, unit } = machine;
		const first = engine.createTable({ format: "vmsav8-first-16k", levels: 3, inputBits: 40 });
		const second = engine.createTable({ format: "vmsav8-second-4k", levels: 3, inputBits: 43 });
		// stage-1 tables lie where they are for everybody
		second.map(BASE, BASE, BigInt(FRAMES) * 4096n, { read: true, write: true });
		second.map(0n, 5n << 34n, 1n << 26n, { read: true, write: false, execute: true });
		first.map(0x40_0000n, 0x80_0000n, 1n << 21n, { read: true, write: true, execute: true });
		first.map(0x80_0000n, 1n << 27n, 1n << 14n, { read: true, write: true });
		unit.setRoute(3, { type: "nested", domain: 9, first, second });
		expect(ask(machine, 3, 0x40_1234n, "r")).toMatchObject({ pa: (5n << 34n) + 0x80_1234n, pageBytes: 2 ** 21 });
		expect(ask(machine, 3, 0x40_1234n, "w").fault).toBe(EVENT.F_PERMISSION);
		expect(ask(machine, 3, 0x80_0000n, "r").fault).toBe(EVENT.F_TRANSLATION);
		// in the same table of streams, then in none
		expect(ask(machine, 4, 0x40_1234n, "r").fault).toBe(EVENT.C_BAD_STE);
		expect(ask(machine, 0x1_0000, 0n, "r").fault).toBe(EVENT.C_BAD_STREAMID);
		const frames = engine.framesUsed;
		unit.setRoute(3, { type: "bypass", domain: 9 });
		unit.invalidate({ scope: "device", rid: 3 });
		expect(ask(machine, 3, 0x40_1234n, "w")).toMatchObject({ pa: 0x40_1234n, hit: "bypass" });
		unit.setRoute(3, { type: "blocked" });
		unit.invalidate({ scope: "device", rid: 3 });
		expect(ask(machine, 3, 0x40_1234n, "r")).toMatchObject({ status: "fault", fault: 0 });
		unit.setRoute(3, { type: "first-stage", domain: 9, table: first });
		unit.invalidate({ scope: "device", rid: 3 });
		expect(ask(machine, 3, 0x80_0001n, "r").pa).toBe((1n << 27n) + 1n);
		expect(engine.framesUsed).toBe(frames);
		for (const wrong of [{ type: "first-stage", domain: 1, table: second } as const, { type: "second-stage", domain: 1, table: first } as const, { type: "bypass", domain: 1, pasid: 3 } as const]) {
			expect(() => unit.setRoute(3, wrong)).toThrow(/cannot be written/);
		}
		expect(() => unit.setRoute(0x1_0000, { type: "bypass", domain: 1 })).toThrow(/cannot be written/);
		expect(ask(machine, 3, 0x80_0001n, "r").pa).toBe((1n << 27n) + 1n);
	});

	it("a full pool of frames changes no route", () => {
		const engine = Engine.create({ tables: { frames: 8, base: BASE }, units: [{ architecture: "smmuv3" }] });
		const [unit] = engine.units;
		const table = engine.createTable({ format: "vmsav8-first-4k", levels: 4 });
		unit.setRoute(1, { type: "bypass", domain: 1 });
		engine.failAfter(1);
		expect(() => unit.setRoute(1, { type: "first-stage", domain: 1, table })).toThrow(/tables\.frames/);
		expect(unit.translate(1, 0x5000n)).toMatchObject({ status: "translated", pa: 0x5000n });
	});
});

describe("caches", () => {
	/** two substreams of VMID 5 with tables of their own; `more`: bits of the CDs */
	const two = (more = 0n) => {
		const engine = Engine.create({ memory: [{ kind: "owned", start: 0n, size: 1 << 20 }], units: [{ architecture: "smmuv3" }] });
		const [unit] = engine.units;
		const word = (at: number, value: bigint) => engine.memory.writeBytes(BigInt(at), new Uint8Array(new BigUint64Array([value]).buffer));
		// STE 0: CDs at 0x2000 of two substreams, S1DSS 2, VMID 5; CDs: 4K, T0SZ 39, ASIDs 1 and 2, tables at 0x4000 and 0x5000
		unit.writeRegister("STRTAB_BASE", 0x1000n);
		word(0x1000, 1n | (5n << 1n) | 0x2000n | (1n << 59n));
		word(0x1008, 2n);
		word(0x1010, 5n);
		for (const [n, asid] of [
			[0, 1n],
			[1, 2n],
		] as const) {
			word(0x2000 + 64 * n, 39n | (1n << 30n) | (1n << 31n) | (5n << 32n) | (1n << 41n) | (3n << 45n) | (asid << 48n) | more);
			word(0x2008 + 64 * n, BigInt(0x4000 + 0x1000 * n));
			word(0x4000 + 0x1000 * n, BigInt(0x6000 + 0x1000 * n) | 3n);
			// page 0 global, page 1 not
			word(0x6000 + 0x1000 * n, BigInt(0x8000 + 0x1000 * n) | 0x443n);
			word(0x6008 + 0x1000 * n, BigInt(0xa000 + 0x1000 * n) | 0xc43n);
		}
		return { unit, word, pa: (address: bigint, pasid?: number) => unit.translate(0, address, { pasid }).pa };
	};

	it("serve every address space of a VMID with a global page, which goes with the VMID", () => {
		const { unit, pa } = two();
		expect([pa(0x0n), pa(0x1000n)]).toEqual([0x8000n, 0xa000n]);
		// ASID 2 is answered by the global page of ASID 1, as the architecture lets it
		expect([pa(0x0n, 1), pa(0x1000n, 1)]).toEqual([0x8000n, 0xb000n]);
		expect(unit.counters().iotlb.hits).toBe(1);
		unit.invalidate({ scope: "domain", domain: 4, caches: ["iotlb"] });
		expect(pa(0x0n, 1)).toBe(0x8000n);
		unit.invalidate({ scope: "domain", domain: 5, caches: ["iotlb"] });
		expect(pa(0x0n, 1)).toBe(0x9000n);
	});

	it("know an address without the top byte that TBI ignores", () => {
		const { unit, word, pa } = two(1n << 38n);
		expect([pa(0xab00_0000_0000_1000n, 1), pa(0x1000n, 1), pa(0xff00_0000_0000_1008n, 1)]).toEqual([0xb000n, 0xb000n, 0xb008n]);
		expect(unit.counters().iotlb).toMatchObject({ hits: 2, fills: 1 });
		word(0x7008, 0xc000n | 0xc43n);
		expect(pa(0xab00_0000_0000_1000n, 1)).toBe(0xb000n);
		unit.invalidate({ scope: "page", domain: 5, address: 0x1000n });
		expect(pa(0xab00_0000_0000_1000n, 1)).toBe(0xc000n);
	});
});
