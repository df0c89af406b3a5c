import { describe, expect, it } from "vitest";
import { Engine, EngineError, type RouteConfig } from "../../ts/engine/index.ts";

const BOTH = { read: true, write: true };

/** A unit in scalable mode (RTADDR 11:10 = 01b) whose tables setRoute makes. */
function machine(registers: Record<string, bigint> = {}) {
	const engine = Engine.create({ tables: { frames: 512 }, sparsePages: 16, units: [{ architecture: "vtd", registers: { RTADDR: 1n << 10n, ...registers } }] });
	const [unit] = engine.units;
	const second = engine.createTable({ format: "vtd-second", levels: 4, accessedDirty: true });
	const first = engine.createTable({ format: "vtd-first", levels: 4 });
	return { engine, unit, first, second };
}

function codeOf(run: () => void): string {
	try {
		run();
	} catch (error) {
		if (error instanceof EngineError) return error.code;
		throw error;
	}
	return "done";
}

describe("routes of VT-d in scalable mode", () => {
	it("give requests without PASID, and each PASID, a route of their own", () => {
		const { unit, first, second } = machine();
		first.map(0x1000n, 0x5000n, 4096n, BOTH);
		second.map(0x1000n, 0x6000n, 4096n, BOTH);
		for (const rid of [0x0008, 0x00f8, 0xff10]) {
			unit.setRoute(rid, { type: "bypass", domain: 9 });
			unit.setRoute(rid, { type: "first-stage", domain: 1, table: first, pasid: 5 });
			unit.setRoute(rid, { type: "second-stage", domain: 2, table: second, pasid: 64 });
			// beyond the directory that came first: it grows, and keeps what it had
			unit.setRoute(rid, { type: "first-stage", domain: 3, table: first, pasid: 0xfffff });
			expect(unit.translate(rid, 0x1234n)).toMatchObject({ status: "translated", pa: 0x1234n, hit: "bypass" });
			expect(unit.translate(rid, 0x1234n, { pasid: 5, access: "write" })).toMatchObject({ status: "translated", pa: 0x5234n });
			expect(unit.translate(rid, 0x1234n, { pasid: 5, privileged: true })).toMatchObject({ status: "translated", pa: 0x5234n });
			expect(unit.translate(rid, 0x1234n, { pasid: 64 })).toMatchObject({ status: "translated", pa: 0x6234n });
			expect(unit.translate(rid, 0x1234n, { pasid: 0xfffff })).toMatchObject({ status: "translated", pa: 0x5234n });
			// SPT.2: an entry that nobody wrote, SPD.2: nor its table
			expect(unit.translate(rid, 0x1234n, { pasid: 6 })).toMatchObject({ status: "fault", fault: 0x59 });
			expect(unit.translate(rid, 0x1234n, { pasid: 0x1234 })).toMatchObject({ status: "fault", fault: 0x51 });
			unit.setRoute(rid, { type: "blocked", pasid: 5 });
			unit.setRoute(rid, { type: "blocked" });
			unit.invalidate({ scope: "device", rid });
			expect(unit.translate(rid, 0x1234n, { pasid: 5 })).toMatchObject({ status: "fault", fault: 0x59 });
			expect(unit.translate(rid, 0x1234n)).toMatchObject({ status: "fault", fault: 0x59 });
			expect(unit.translate(rid, 0x1234n, { pasid: 64 })).toMatchObject({ status: "translated", pa: 0x6234n });
		}
		expect(unit.translate(0x10, 0x1234n)).toMatchObject({ status: "fault", fault: 0x41 });
		expect(unit.translate(0x110, 0x1234n)).toMatchObject({ status: "fault", fault: 0x39 });
	});

	it("nest a guest's own first stage in a second stage", () => {
		const { engine, unit, second } = machine();
		engine.memory.addRegion({ kind: "sparse", start: 0x10_0000n, size: 0x10_0000 });
		// guest physical 0 to 1 MiB is 0x10_0000
		second.map(0n, 0x10_0000n, 0x10_0000n, BOTH);
		const words = new DataView(new ArrayBuffer(8));
		const poke = (guest: bigint, entry: bigint) => {
			words.setBigUint64(0, entry, true);
			engine.memory.writeBytes(0x10_0000n + guest, new Uint8Array(words.buffer));
		};
		// five levels: 0x1000 to 0x5000, then the page at guest physical 0x9000
		for (let table = 0x1000n; table < 0x5000n; table += 0x1000n) poke(table, (table + 0x1000n) | 7n);
		poke(0x5000n + 8n * 2n, 0x9000n | 7n);
		unit.setRoute(8, { type: "nested", domain: 4, first: { format: "vtd-first", root: 0x1000n, levels: 5 }, second, pasid: 7 });
		expect(unit.translate(8, 0x2abcn, { pasid: 7, access: "write" })).toMatchObject({ status: "translated", pa: 0x10_9abcn, pageBytes: 4096 });
		expect(unit.translate(8, 0x3000n, { pasid: 7 })).toMatchObject({ status: "fault", fault: 0x71 });
		// what is decoded leaves nothing in the bytes that untouched memory is read from
		expect(engine.memory.read(0x18_0000n, 4096).every((byte) => byte === 0)).toBe(true);
		const dirty = new Uint8Array(32);
		// hardware set D in the page, and in the tables whose A bits it set
		expect(second.readDirty(0n, 0x10_0000n, dirty)).toBe(6);
		expect([dirty[0], dirty[1]]).toEqual([0b111110, 0b10]);

		const where = () => {
			const { pa, hit } = unit.translate(8, 0x2abcn, { pasid: 7 });
			return `${hit} ${pa.toString(16)}`;
		};
		expect(where()).toBe("iotlb 109abc");
		// the second stage moves the page: its invalidation reaches what both stages made, at whatever address
		second.map(0x9000n, 0x11_0000n, 4096n, BOTH, { replace: true });
		expect(where()).toBe("iotlb 109abc");
		unit.invalidate({ scope: "page", domain: 5, address: 0x9000n });
		expect(where()).toBe("iotlb 109abc");
		unit.invalidate({ scope: "page", domain: 4, address: 0x9000n });
		expect(where()).toBe("walk 110abc");
		// the guest moves its page
		poke(0x5000n + 8n * 2n, 0xa000n | 7n);
		unit.invalidate({ scope: "page", domain: 4, pasid: 8, address: 0x2000n });
		unit.invalidate({ scope: "page", domain: 4, pasid: 7, address: 0x3000n });
		unit.invalidate({ scope: "pasid", domain: 4, pasid: 8 });
		expect(where()).toBe("iotlb 110abc");
		unit.invalidate({ scope: "page", domain: 4, pasid: 7, address: 0x2000n });
		expect(where()).toBe("walk 10aabc");
		poke(0x5000n + 8n * 2n, 0xb000n | 7n);
		unit.invalidate({ scope: "pasid", domain: 4, pasid: 7 });
		expect(where()).toBe("walk 10babc");
	});

	it("are refused where the unit has no such thing, with the tables as they were", () => {
		const { engine, unit, first, second } = machine();
		const nested: RouteConfig = { type: "nested", domain: 1, first, second };
		// there is a root table from here on, so that what is blocked is refused by it
		unit.setRoute(8, { type: "blocked", pasid: 3 });
		const before = engine.framesUsed;
		expect(codeOf(() => unit.setRoute(8, { type: "first-stage", domain: 1, table: second }))).toBe("Unsupported");
		expect(codeOf(() => unit.setRoute(8, { type: "second-stage", domain: 1, table: first }))).toBe("Unsupported");
		expect(codeOf(() => unit.setRoute(8, { type: "first-stage", domain: 1, table: { format: "vtd-first", root: 0n, levels: 3 } }))).toBe("Unsupported");
		expect(codeOf(() => unit.setRoute(8, { ...nested, pasid: 1 << 20 }))).toBe("Unsupported");
		const ecap = unit.readRegister("ECAP");
		unit.writeRegister("ECAP", ecap & ~(1n << 26n));
		expect(codeOf(() => unit.setRoute(8, nested))).toBe("Unsupported");
		unit.writeRegister("ECAP", ecap & ~(1n << 40n));
		expect(codeOf(() => unit.setRoute(8, { type: "bypass", domain: 1, pasid: 1 }))).toBe("Unsupported");
		unit.writeRegister("RTADDR", 0n);
		expect(codeOf(() => unit.setRoute(8, nested))).toBe("Unsupported");
		expect(codeOf(() => unit.setRoute(8, { type: "second-stage", domain: 1, table: second, pasid: 1 }))).toBe("Unsupported");
		expect(engine.framesUsed).toBe(before);
	});

	it("reach the engine's own tables alone", () => {
		const { unit, second } = machine({ RTADDR: 0x1000n | (1n << 10n) });
		expect(codeOf(() => unit.setRoute(8, { type: "second-stage", domain: 1, table: second }))).toBe("OutOfFrames");
	});
});
