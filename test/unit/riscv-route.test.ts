/** setRoute of RISC-V: what it writes is what the specification reads (the reference), and what was asked for. */
import { describe, expect, it } from "vitest";
import { Engine, EngineError, type RouteConfig, type Translation, type Unit } from "../../ts/engine/index.ts";
import type { Memory } from "../reference/contract.ts";
import { translateRiscv } from "../reference/riscv.ts";

const ALL = { read: true, write: true, execute: true };

/** The engine's frames as the reference reads them. */
function memoryOf(engine: Engine): Memory {
	return {
		read(pa, bytes) {
			try {
				return { value: engine.memory.read(pa, bytes).reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n) };
			} catch {
				return { error: "access" };
			}
		},
		write: () => false,
	};
}

/** One request, asked of both. */
function ask(engine: Engine, unit: Unit, device: number, address: bigint, pasid?: number): Translation {
	unit.invalidate({ scope: "global" });
	const got = unit.translate(device, address, { pasid });
	const registers = {
		capabilities: unit.readRegister("CAPABILITIES"),
		fctl: unit.readRegister("FCTL"),
		ddtp: unit.readRegister("DDTP"),
		gxlWritable: unit.readRegister("GXL_WRITABLE") === 1n,
		beWritable: unit.readRegister("BE_WRITABLE") === 1n,
	};
	const want = translateRiscv(memoryOf(engine), registers, { device, pasid: pasid ?? null, privileged: false, address, length: 1, access: "r" });
	expect([got.status, got.fault], `device ${device} pasid ${pasid}`).toEqual([want.status === "fault" ? "fault" : "translated", want.code]);
	if (want.status !== "fault") expect(got.pa).toBe(want.pa);
	return got;
}

const codeOf = (run: () => void) => {
	try {
		run();
	} catch (error) {
		if (error instanceof EngineError) return error.code;
		throw error;
	}
	return "done";
};

const BASE_CAPABILITIES = 0x10n | (0xfn << 8n) | (0xfn << 16n) | (56n << 32n) | (7n << 38n);

describe("setRoute of RISC-V", () => {
	it.each([
		["extended contexts", BASE_CAPABILITIES | (1n << 22n), 0n],
		["base contexts", BASE_CAPABILITIES, 0n],
		["PD8 alone", BASE_CAPABILITIES & ~(6n << 38n), 0n],
	])("writes contexts of devices and processes: %s", (_name, capabilities, fctl) => {
		const engine = Engine.create({ units: [{ architecture: "riscv", registers: { CAPABILITIES: capabilities, FCTL: fctl } }], tables: { base: 1n << 33n } });
		const unit = engine.units[0];
		const wide = (capabilities & (1n << 40n)) !== 0n;
		expect(ask(engine, unit, 5, 0n).fault).toBe(256);
		unit.setRoute(5, { type: "blocked" });
		expect(engine.framesUsed).toBe(0);

		const first = engine.createTable({ format: "riscv-sv", levels: 4 });
		first.map(0x4000n, 0x1234_5000n, 0x1000n, ALL);
		first.map((1n << 64n) - 0x2000n, 0x777_7000n, 0x1000n, ALL);
		const second = engine.createTable({ format: "riscv-sv-x4", levels: 3 });
		second.map(0x1ff_ffff_f000n, 0x555_5000n, 0x1000n, ALL);
		const other = engine.createTable({ format: "riscv-sv", levels: 5 });
		other.map(0x4000n, 0x9999_0000n, 0x1000n, ALL);

		for (const device of [0, 5, 0x3f, 0x40, 0x7f_ffff, 0xff_ffff]) {
			unit.setRoute(device, { type: "first-stage", domain: 9, table: first });
			expect(ask(engine, unit, device, 0x4567n).pa).toBe(0x1234_5567n);
			expect(ask(engine, unit, device, (1n << 64n) - 0x1fffn).pa).toBe(0x777_7001n);
			unit.setRoute(device, { type: "second-stage", domain: 0xffff, table: second });
			expect(ask(engine, unit, device, 0x1ff_ffff_f008n).pa).toBe(0x555_5008n);
			expect(ask(engine, unit, device, 0x4567n).fault).toBe(21);
			unit.setRoute(device, { type: "bypass", domain: 1 });
			expect(ask(engine, unit, device, 0x4567n)).toMatchObject({ pa: 0x4567n, hit: "bypass" });
			unit.setRoute(device, { type: "blocked" });
			expect(ask(engine, unit, device, 0x4567n).fault).toBe(258);
		}
		// the guest's own table lies where the second stage maps it
		const frames = engine.createTable({ format: "riscv-sv-x4", levels: 3 });
		frames.map(first.root & ~0x3fff_ffffn, first.root & ~0x3fff_ffffn, 1n << 30n, ALL);
		frames.map(0x1234_5000n, 0x66_6000n, 0x1000n, ALL);
		unit.setRoute(7, { type: "nested", domain: 3, first, second: frames });
		expect(ask(engine, unit, 7, 0x4567n).pa).toBe(0x66_6567n);
		expect(codeOf(() => unit.setRoute(7, { pasid: 3, type: "first-stage", domain: 1, table: first }))).toBe("Unsupported");

		// processes of a blocked device, of one with a first stage, and of one that passes
		const before = engine.framesUsed;
		const pasids = wide ? [1, 0xff, 0x100, 0xf_ffff] : [1, 0xff];
		const owns: Array<[number, RouteConfig, (got: Translation) => void]> = [
			[1, { type: "blocked" }, (got) => expect(got.fault).toBe(266)],
			[2, { type: "first-stage", domain: 4, table: first }, (got) => expect(got.pa).toBe(0x1234_5567n)],
			[3, { type: "bypass", domain: 4 }, (got) => expect(got.pa).toBe(0x4567n)],
		];
		for (const [device, own, check] of owns) {
			unit.setRoute(device, own);
			for (const pasid of pasids) unit.setRoute(device, { pasid, type: "first-stage", domain: pasid, table: pasid === 1 ? other : first });
			for (const pasid of pasids) expect(ask(engine, unit, device, 0x4567n, pasid).pa).toBe(pasid === 1 ? 0x9999_0567n : 0x1234_5567n);
			check(ask(engine, unit, device, 0x4567n));
			unit.setRoute(device, { pasid: 1, type: "bypass", domain: 1 });
			expect(ask(engine, unit, device, 0x4567n, 1).pa).toBe(0x4567n);
			unit.setRoute(device, { pasid: 1, type: "blocked" });
			expect(ask(engine, unit, device, 0x4567n, 1).fault).toBe(266);
			check(ask(engine, unit, device, 0x4567n));
			expect(codeOf(() => unit.setRoute(device, { pasid: 0, type: "first-stage", domain: 1, table: first }))).toBe("Unsupported");
			expect(codeOf(() => unit.setRoute(device, { pasid: wide ? 1 << 20 : 256, type: "first-stage", domain: 1, table: first }))).toBe("Unsupported");
			// the requester's own route changes under its processes
			for (const [, next, checkNext] of owns) {
				unit.setRoute(device, next);
				checkNext(ask(engine, unit, device, 0x4567n));
				expect(ask(engine, unit, device, 0x4567n, 0xff).pa).toBe(0x1234_5567n);
			}
			// a second stage takes the directory away
			unit.setRoute(device, { type: "second-stage", domain: 2, table: second });
			expect(ask(engine, unit, device, 0x4567n, 0xff).fault).toBe(260);
		}
		expect(engine.framesUsed).toBe(before);
	});

	it("writes big-endian directories, and 4-byte tables where GXL or SXL allow them", () => {
		const capabilities = BASE_CAPABILITIES | (1n << 22n) | (1n << 27n);
		const engine = Engine.create({
			units: [
				{ architecture: "riscv", registers: { CAPABILITIES: capabilities, FCTL: 1n, BE_WRITABLE: 1n } },
				{ architecture: "riscv", registers: { CAPABILITIES: capabilities, FCTL: 4n, GXL_WRITABLE: 1n } },
				{ architecture: "riscv", registers: { CAPABILITIES: capabilities } },
			],
			tables: { base: 1n << 33n },
		});
		const [big, small, plain] = engine.units;
		const first = engine.createTable({ format: "riscv-sv", levels: 3 });
		first.map(0x4000n, 0x1234_5000n, 0x1000n, ALL);
		const second = engine.createTable({ format: "riscv-sv-x4", levels: 3 });
		const first32 = engine.createTable({ format: "riscv-sv32", levels: 2 });
		first32.map(0x4000n, 0x3_1234_5000n, 0x1000n, ALL);
		const second32 = engine.createTable({ format: "riscv-sv32-x4", levels: 2 });
		second32.map(0x3_ffff_f000n, 0x8000n, 0x1000n, ALL);

		// a little-endian first stage and its processes under big-endian directories
		big.setRoute(1, { type: "first-stage", domain: 1, table: first });
		big.setRoute(1, { pasid: 0x777, type: "first-stage", domain: 1, table: first });
		expect(ask(engine, big, 1, 0x4321n).pa).toBe(0x1234_5321n);
		expect(ask(engine, big, 1, 0x4321n, 0x777).pa).toBe(0x1234_5321n);
		expect(codeOf(() => big.setRoute(2, { type: "second-stage", domain: 1, table: second }))).toBe("Unsupported");

		small.setRoute(1, { type: "first-stage", domain: 1, table: first32 });
		expect(ask(engine, small, 1, 0x4321n).pa).toBe(0x3_1234_5321n);
		small.setRoute(1, { type: "second-stage", domain: 1, table: second32 });
		expect(ask(engine, small, 1, 0x3_ffff_f321n).pa).toBe(0x8321n);
		const before = ask(engine, small, 1, 0x3_ffff_f321n).pa;
		for (const route of [
			{ type: "first-stage", domain: 1, table: first },
			{ type: "second-stage", domain: 1, table: second },
			{ type: "second-stage", domain: 0x1_0000, table: second32 },
			{ type: "first-stage", domain: 1, table: second32 },
		] as const) {
			expect(codeOf(() => small.setRoute(1, route))).toBe("Unsupported");
			expect(ask(engine, small, 1, 0x3_ffff_f321n).pa).toBe(before);
		}
		expect(codeOf(() => plain.setRoute(1, { type: "first-stage", domain: 1, table: first32 }))).toBe("Unsupported");
		expect(codeOf(() => plain.setRoute(1 << 24, { type: "bypass", domain: 1 }))).toBe("Unsupported");
	});

	it("shares global pages between the processes of a device, and no others", () => {
		const engine = Engine.create({ units: [{ architecture: "riscv" }], tables: { base: 1n << 33n }, memory: [{ kind: "owned", start: 0n, size: 0x10000 }] });
		const unit = engine.units[0];
		// two tables of the guest: page 0 global and the same, page 1 not
		const pte = (pa: bigint, bits: bigint) => ((pa >> 12n) << 10n) | bits;
		const store = (pa: bigint, value: bigint) => engine.memory.writeBytes(pa, new Uint8Array(new BigUint64Array([value]).buffer));
		const DDT = 0x1000n;
		const PDT = 0x2000n;
		const words = [0x21n, 0n, 0n, (1n << 60n) | (PDT >> 12n)];
		words.forEach((word, i) => {
			store(DDT + BigInt(8 * i), word);
		});
		for (const [process, root] of [
			[1, 0x3000n],
			[2, 0x6000n],
		] as const) {
			store(PDT + BigInt(16 * process), 1n | (BigInt(process) << 12n));
			store(PDT + BigInt(16 * process + 8), (8n << 60n) | (root >> 12n));
			store(root, pte(root + 0x1000n, 1n));
			store(root + 0x1000n, pte(root + 0x2000n, 1n));
			store(root + 0x2000n, pte(0x80_0000n, 0xffn));
			store(root + 0x2008n, pte(0x90_0000n + root, 0xdfn));
		}
		unit.writeRegister("DDTP", 2n | ((DDT >> 12n) << 10n));
		expect(unit.translate(0, 0x10n, { pasid: 1 })).toMatchObject({ pa: 0x80_0010n, hit: "walk" });
		expect(unit.translate(0, 0x10n, { pasid: 2 })).toMatchObject({ pa: 0x80_0010n, hit: "iotlb" });
		expect(unit.translate(0, 0x1010n, { pasid: 1 })).toMatchObject({ pa: 0x90_3010n, hit: "walk" });
		expect(unit.translate(0, 0x1010n, { pasid: 2 })).toMatchObject({ pa: 0x90_6010n, hit: "walk" });
	});
});
