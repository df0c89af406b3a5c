/** Routes that `setRoute` writes for an AMD IOMMU, PASIDs among them: what was asked for, what the engine and the reference walk. */
import { describe, expect, it } from "vitest";
import { Engine, EngineError, type PageTable, type RouteConfig } from "../../ts/engine/index.ts";
import type { Memory } from "../reference/contract.ts";
import { translateAmdvi } from "../reference/amdvi.ts";
import { Random } from "./random.ts";

const BASE = 1n << 32n;
const FRAMES = 1024;
const OFF = { iotlb: false, walkCache: false, contextCache: false, pasidCache: false } as const;
const both = { read: true, write: true };
const PASIDS = [1, 2, 511, 512, 0xfffff];
const IOVA = 0x7000n;

function make(registers: Record<string, bigint> = {}) {
	const engine = Engine.create({ tables: { frames: FRAMES, base: BASE }, units: [{ architecture: "amdvi", registers, ...OFF }] });
	const [unit] = engine.units;
	const memory: Memory = {
		read: (pa) => (pa >= BASE && pa < BASE + BigInt(FRAMES) * 4096n ? { value: engine.memory.read64(pa) } : { error: "access" }),
		write: () => true,
	};
	const ask = (device: number, pasid: number | null, address = IOVA) => {
		const wide = (name: string) => unit.readRegister(name);
		const registers = {
			deviceTable: wide("DEVTAB"), segments: Array.from({ length: 7 }, (_, i) => wide(`SEGMENT${i + 1}`)), control: wide("CONTROL"),
			exclusionBase: 0n, exclusionLimit: 0n, extendedFeatures: wide("EFR"), addressBits: 52,
		};
		const want = translateAmdvi(memory, registers, { device, pasid, privileged: false, address, length: 1, access: "r" });
		const got = unit.translate(device, address, { pasid: pasid ?? undefined });
		expect([got.status, got.fault, got.pa]).toEqual([want.status === "fault" ? "fault" : "translated", want.code, want.pa]);
		return got.status === "translated" ? got.pa : null;
	};
	return { engine, unit, ask };
}

function codeOf(run: () => unknown): string {
	try {
		run();
		return "";
	} catch (error) {
		if (error instanceof EngineError) return error.code;
		throw error;
	}
}

describe("routes of an AMD IOMMU", () => {
	it("by requester and by PASID are what was asked for, over random changes of them", () => {
		const { engine, unit, ask } = make();
		const random = new Random(11);
		const made = (format: "amd-v1" | "amd-v2", levels: number, output: bigint) => {
			const table = engine.createTable({ format, levels });
			table.map(IOVA, output, 0x1000n, both);
			return table;
		};
		const guests = [0, 1, 2].map((i) => made("amd-v2", 4, BigInt(i + 1) << 20n));
		const wide = made("amd-v2", 5, 9n << 20n);
		const hosts = [4, 5].map((i) => made("amd-v1", 4, BigInt(i) << 24n));
		for (const host of hosts) {
			host.map(BASE, BASE, BigInt(FRAMES) * 4096n, both);
			// where guests' pages go
			for (let i = 1n; i < 10n; i++) host.map(i << 20n, (i << 20n) + host.root, 0x1000n, both);
		}
		/** where the page at IOVA goes; null is refused */
		const through = (guest: PageTable, host: PageTable | null) => {
			const gpa = guest.lookUp(IOVA)?.pa ?? 0n;
			return host === null ? gpa : (host.lookUp(gpa)?.pa ?? null);
		};
		interface Device {
			host: PageTable | null;
			own: bigint | null;
			levels: number | null;
			pasids: Map<number, bigint | null>;
		}
		const devices = new Map<number, Device>([3, 0x2001].map((rid) => [rid, { host: null, own: null, levels: null, pasids: new Map() }]));
		for (const rid of devices.keys()) unit.setRoute(rid, { type: "blocked" });
		let refused = 0;
		for (let n = 0; n < 1500; n++) {
			const rid = random.pick([...devices.keys()]);
			const device = devices.get(rid) as Device;
			const pasid = random.chance(0.6) ? random.pick(PASIDS) : undefined;
			const type = random.pick(["blocked", "bypass", "first-stage", "first-stage", "second-stage", "nested", "nested"] as const);
			const first = random.chance(0.1) ? wide : random.pick(guests);
			const second = device.host !== null && random.chance(0.7) ? device.host : random.pick(hosts);
			const route = { type, domain: 7, table: type === "first-stage" ? first : second, first, second, ...(pasid === undefined ? {} : { pasid }) } as RouteConfig;
			const code = codeOf(() => unit.setRoute(rid, route));
			const host = type === "nested" || type === "second-stage" ? second : null;
			const guest = type === "nested" || type === "first-stage";
			let want = "";
			if (pasid !== undefined) {
				if (type === "bypass" || type === "second-stage") want = "Unsupported";
				else if (guest && device.levels !== null && (device.levels !== first.config.levels || device.host !== host)) want = "Unsupported";
				else if (guest && device.levels === null && device.own !== null && device.host !== host) want = "Unsupported";
			} else if (device.pasids.size > 0 && host === null && (device.host !== null || (guest && device.levels !== first.config.levels))) want = "Unsupported";
			expect(code, `change ${n}: ${type} of ${rid}, ${pasid}`).toBe(want);
			if (want !== "") refused += 1;
			else if (pasid !== undefined) {
				if (guest) {
					device.pasids.set(pasid, through(first, host));
					device.levels = first.config.levels;
					device.host = host;
				} else device.pasids.delete(pasid);
			} else {
				const keeps = device.pasids.size > 0 && host === null;
				if (!keeps) {
					device.pasids.clear();
					device.levels = guest ? first.config.levels : null;
					device.host = host;
				}
				device.own = type === "blocked" ? null : type === "bypass" ? IOVA : guest ? through(first, host) : (host?.lookUp(IOVA)?.pa ?? null);
			}
			unit.invalidate({ scope: "global" });
			expect(ask(rid, null), `change ${n}`).toBe(device.own);
			for (const one of PASIDS) expect(ask(rid, one), `change ${n}, pasid ${one}`).toBe(device.pasids.get(one) ?? null);
		}
		expect(refused).toBeGreaterThan(100);
		// GCR3 tables go with the last route
		for (const rid of devices.keys()) for (const pasid of PASIDS) unit.setRoute(rid, { type: "blocked", pasid });
		for (const rid of devices.keys()) unit.setRoute(rid, { type: "blocked" });
		const tables = [...guests, wide, ...hosts].reduce((sum, table) => sum + table.frames, 0);
		expect(engine.framesUsed).toBe(tables + 2 * 64);
	});

	it("are refused where the unit lacks guest tables, and change nothing without frames", () => {
		const lacking = make({ EFR: 2n << 10n });
		const guest = lacking.engine.createTable({ format: "amd-v2", levels: 4 });
		expect(codeOf(() => lacking.unit.setRoute(1, { type: "first-stage", domain: 1, table: guest }))).toBe("Unsupported");
		const { engine, unit, ask } = make();
		const table = engine.createTable({ format: "amd-v2", levels: 5 });
		table.map(IOVA, 5n << 20n, 0x1000n, both);
		for (const pasid of [0, 1 << 20]) expect(codeOf(() => unit.setRoute(1, { type: "first-stage", domain: 1, table, pasid }))).toBe("Unsupported");
		unit.setRoute(1, { type: "bypass", domain: 1 });
		const before = engine.framesUsed;
		for (const failing of [1, 2, 3]) {
			engine.failAfter(failing);
			expect(codeOf(() => unit.setRoute(1, { type: "first-stage", domain: 1, table }))).toBe("OutOfFrames");
			engine.failAfter(0);
			expect([engine.framesUsed, ask(1, null)]).toEqual([before, IOVA]);
		}
		unit.setRoute(1, { type: "first-stage", domain: 1, table });
		expect(ask(1, null)).toBe(5n << 20n);
		expect(() => unit.setRoute(1, { type: "first-stage", domain: 1, table: engine.createTable({ format: "amd-v1", levels: 4 }) })).toThrow(/cannot be written/);
	});
});
