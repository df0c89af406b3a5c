/** Device-TLBs and page requests of real units: stale until invalidated and never otherwise; groups, records, responses. */
import { expect, test } from "vitest";
import { type ArchitectureName, Engine, type TableFormatName, type Unit } from "../../ts/engine/index.ts";
import { ARCHITECTURES } from "../../ts/engine/architecture.ts";
import { encodePageRequest as amdRecord } from "../reference/amdvi-records.ts";
import { encodePageRequest as riscvRecord } from "../reference/riscv-records.ts";
import { Random } from "./random.ts";

const RID = 0x1234;
const OTHER = 0x0208;
const ALL = { read: true, write: true };

/** PAPR bridges have no ATS. */
type AtsArchitecture = Exclude<ArchitectureName, "papr">;

/** Where the entry of a requester lies that `setRoute` has written, and the bits that allow ATS and page requests. */
const KINDS: Record<AtsArchitecture, { format: TableFormatName; levels: number; registers: Record<string, bigint>; allow: (engine: Engine, unit: Unit, rid: number) => void }> = {
	vtd: {
		format: "vtd-second",
		levels: 4,
		registers: { RTADDR: 1n << 10n, ECAP: ARCHITECTURES.vtd.defaults.ECAP | (1n << 29n) },
		allow({ memory }, unit, rid) {
			const root = memory.read64((unit.readRegister("RTADDR") & ~0xfffn) + BigInt((rid >> 8) * 16 + (rid & 0x80 ? 8 : 0))) & ~0xfffn;
			const at = root + BigInt((rid & 0x7f) * 32);
			memory.write64(at, memory.read64(at) | 4n | 16n);
		},
	},
	riscv: {
		format: "riscv-sv-x4",
		levels: 4,
		registers: { CAPABILITIES: ARCHITECTURES.riscv.defaults.CAPABILITIES | (1n << 25n) },
		allow({ memory }, unit, rid) {
			const ddtp = unit.readRegister("DDTP");
			let table = ((ddtp >> 10n) & ((1n << 44n) - 1n)) << 12n;
			for (let level = Number(ddtp & 15n) - 2; level > 0; level--) {
				const index = level === 2 ? rid >> 15 : (rid >> 6) & 511;
				table = ((memory.read64(table + BigInt(8 * index)) >> 10n) & ((1n << 44n) - 1n)) << 12n;
			}
			const at = table + BigInt((rid & 63) * 64);
			memory.write64(at, memory.read64(at) | 2n | 4n);
		},
	},
	smmuv3: {
		format: "vmsav8-second-4k",
		levels: 4,
		registers: { IDR0: ARCHITECTURES.smmuv3.defaults.IDR0 | (1n << 10n) | (1n << 16n), CR0: ARCHITECTURES.smmuv3.defaults.CR0 | 2n | 16n },
		allow({ memory }, unit, rid) {
			const leaf = memory.read64((unit.readRegister("STRTAB_BASE") & 0xffffffffffffc0n) + BigInt((rid >> 8) * 8)) & 0xffffffffffffc0n;
			const at = leaf + BigInt((rid & 255) * 64 + 8);
			memory.write64(at, memory.read64(at) | (1n << 28n));
		},
	},
	amdvi: {
		format: "amd-v1",
		levels: 4,
		registers: { CONTROL: ARCHITECTURES.amdvi.defaults.CONTROL | (1n << 15n) },
		allow({ memory }, unit, rid) {
			const at = (unit.readRegister("DEVTAB") & 0xffffffffff000n) + BigInt((rid & 0x1fff) * 32);
			memory.write64(at, memory.read64(at) | (1n << 52n));
			memory.write64(at + 8n, memory.read64(at + 8n) | (1n << 32n));
		},
	},
};
const NAMES = Object.keys(KINDS) as AtsArchitecture[];

function machine(architecture: AtsArchitecture, config: { deviceTlb?: { sets: number; ways: number; devices?: number }; pageRequests?: number } = {}) {
	const { format, levels, registers, allow } = KINDS[architecture];
	const engine = Engine.create({ units: [{ architecture, registers, deviceTlb: { sets: 4, ways: 4 }, ...config }] });
	const [unit] = engine.units;
	const table = engine.createTable({ format, levels });
	for (const rid of [RID, OTHER]) {
		unit.setRoute(rid, { type: "second-stage", domain: 5, table });
		allow(engine, unit, rid);
	}
	return { engine, unit, table };
}

const device = (unit: Unit, address: bigint, access: "read" | "write" = "read", rid = RID) => unit.translate(rid, address, { type: "device", access });
const quads = (bytes: Uint8Array | null) => (bytes === null ? null : [0, 8].map((at) => new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at, true)));

/** The record of a request without PASID, as each specification lays it out. */
function record(architecture: ArchitectureName, address: bigint, write: boolean, group: number): bigint[] {
	const page = address & ~0xfffn;
	const riscv = () => riscvRecord({ device: RID, pasid: null, privileged: false, execute: false, read: !write, write, last: true, group, address });
	// 7.4.1; chapter 8
	if (architecture === "vtd") return [1n | (BigInt(RID) << 16n), page | (BigInt(group) << 3n) | 4n | (write ? 2n : 1n)];
	if (architecture === "smmuv3") return [BigInt(RID) | (1n << 62n) | (write ? 1n << 61n : 1n << 60n), page | BigInt(group)];
	if (architecture === "riscv") return [...riscv()];
	const both = amdRecord({ DeviceID: RID, PASID: null, group, last: true, read: !write, write, execute: false, user: false, malformed: false, Address: address });
	return [both & ((1n << 64n) - 1n), both >> 64n];
}

test.each(NAMES)("%s: a device asks for a page, waits for its group, and comes back", (architecture) => {
	const { unit, table } = machine(architecture);
	const first = device(unit, 0x5123n);
	expect([first.status, first.group]).toEqual(["page-request", 0]);
	expect([device(unit, 0x5fffn).group, device(unit, 0x6000n, "write").group]).toEqual([0, 1]);
	expect(unit.counters().pageRequests).toEqual({ queued: 2, lost: 0 });
	expect(quads(unit.takePageRequest())).toEqual(record(architecture, 0x5000n, false, 0));
	expect(quads(unit.takePageRequest())).toEqual(record(architecture, 0x6000n, true, 1));
	expect(unit.takePageRequest()).toBeNull();
	expect(unit.takeFault()).toBeNull();
	// another device, another index
	expect(() => unit.respond(OTHER, 0, "success")).toThrow(/no group 0 waits/);
	table.map(0x5000n, 0x9000n, 4096n, { read: true, write: false });
	unit.respond(RID, 0, "success");
	const answer = device(unit, 0x5123n);
	expect([answer.status, answer.pa, answer.hit, answer.read, answer.write]).toEqual(["translated", 0x9123n, "walk", true, false]);
	expect(device(unit, 0x5124n).hit).toBe("device-tlb");
	// a right that is missing is asked for; a refusal is told once
	const denied = device(unit, 0x5000n, "write");
	expect([denied.status, denied.group]).toEqual(["page-request", 0]);
	unit.respond(RID, 0, "invalid");
	expect([device(unit, 0x5000n, "write").status, device(unit, 0x5000n, "write").status]).toEqual(["fault", "page-request"]);
	expect(unit.translate(RID, 0x6000n, { type: "device", access: "write", pageRequests: false }).status).toBe("fault");
	// a translation request alone asks for nothing
	const { completion, status } = unit.translate(RID, 0x7000n, { type: "translation" });
	expect([status, completion?.status, completion?.entry]).toEqual(["fault", "success", 0n]);
	expect(unit.counters().pageRequests.queued).toBe(4);
});

test.each(NAMES)("%s: a full queue, or no group, is answered by the hardware", (architecture) => {
	const { unit } = machine(architecture, { pageRequests: 2 });
	expect([0x1000n, 0x2000n, 0x3000n].map((page) => device(unit, page).group)).toEqual([0, 1, null]);
	expect(unit.counters().pageRequests).toEqual({ queued: 2, lost: 1 });
	unit.respond(RID, 0, "success");
	// the queue is still full: AMD has PPRAutoRspEn for that
	const full = device(unit, 0x3000n);
	expect([full.status, full.group]).toEqual(architecture === "amdvi" ? ["fault", null] : ["page-request", null]);
	if (architecture === "amdvi") {
		unit.writeRegister("CONTROL", unit.readRegister("CONTROL") | (1n << 39n));
		expect(device(unit, 0x3000n).status).toBe("page-request");
	}
	unit.takePageRequest();
	expect(device(unit, 0x3000n).group).toBe(0);
});

test("VT-d: a PASID's page request says so", () => {
	const { engine, unit, table } = machine("vtd");
	unit.setRoute(RID, { type: "second-stage", domain: 5, table, pasid: 0x12345 });
	KINDS.vtd.allow(engine, unit, RID);
	const { group } = unit.translate(RID, 0x8000n, { type: "device", pasid: 0x12345, access: "execute", privileged: true });
	expect(group).toBe(0);
	expect(quads(unit.takePageRequest())).toEqual([1n | (1n << 8n) | (BigInt(RID) << 16n) | (0x12345n << 32n) | (1n << 52n) | (1n << 53n), 0x8000n | 4n | 1n]);
	expect(() => unit.respond(RID, 0, "success", 0x12344)).toThrow();
	unit.respond(RID, 0, "success", 0x12345);
});

test("invalidations of a device-TLB: by device, PASID, range, all", () => {
	const { engine, unit, table } = machine("vtd");
	table.map(0n, 0x10_0000n, 0x8000n, ALL);
	unit.setRoute(RID, { type: "second-stage", domain: 5, table, pasid: 1 });
	KINDS.vtd.allow(engine, unit, RID);
	const ask = (rid: number, page: number, pasid?: number) => unit.translate(rid, BigInt(page) << 12n, { type: "device", ...(pasid === undefined ? {} : { pasid }) }).hit === "device-tlb";
	const held = () => [0, 1, 2, 3].map((page) => [ask(RID, page), ask(OTHER, page), ask(RID, page, 1)].map(Number).join("")).join(" ");
	held();
	expect(held()).toBe("111 111 111 111");
	// neither the IOTLB's invalidations nor those of the context
	unit.invalidate({ scope: "global" });
	expect(held()).toBe("111 111 111 111");
	unit.invalidate({ scope: "device-tlb", rid: RID, address: 0x1000n });
	expect(held()).toBe("111 011 111 111");
	unit.invalidate({ scope: "device-tlb", rid: RID, pasid: 1, address: 0x2000n, mask: 1 });
	expect(held()).toBe("111 111 110 110");
	unit.invalidate({ scope: "device-tlb", rid: RID, pasid: "all" });
	expect(held()).toBe("010 010 010 010");
	unit.invalidate({ scope: "device-tlb", pasid: "all" });
	expect(held()).toBe("000 000 000 000");
	expect(unit.counters().deviceTlb.invalidations).toBe(1 + 2 + 8 + 12);
});

test("a device beyond the last device-TLB takes the one that was taken first", () => {
	const { unit, table } = machine("amdvi", { deviceTlb: { sets: 1, ways: 4, devices: 1 } });
	table.map(0n, 0x10_0000n, 0x1000n, ALL);
	expect([device(unit, 0n).hit, device(unit, 0n).hit, device(unit, 0n, "read", OTHER).hit, device(unit, 0n, "read", OTHER).hit]).toEqual(["walk", "device-tlb", "iotlb", "device-tlb"]);
	expect(device(unit, 0n).hit).toBe("iotlb");
});

test.each(NAMES)("%s: every answer is the table's, now or since the last invalidations that cover it", (architecture) => {
	const steps = process.env.IOASID_NIGHTLY ? 250_000 : 2500;
	const { unit, table } = machine(architecture);
	const random = new Random(7);
	const PAGES = 6;
	// "page, rights" or "": what the IOTLB may hold, and each device's TLB, which fills from it
	const now = Array.from({ length: PAGES }, () => "");
	const iotlb = now.map((state) => new Set([state]));
	const devices = [RID, OTHER].map(() => now.map((state) => new Set([state])));
	let stale = 0;
	let hits = 0;
	for (let step = 0; step < steps; step++) {
		const page = random.below(PAGES);
		const address = BigInt(page) << 12n;
		const kind = random.below(20);
		if (kind < 3) {
			if (now[page] !== "") table.unmap(address, 4096n);
			now[page] = "";
			if (kind > 0) {
				const write = random.below(2) === 0;
				const to = BigInt(0x100 + random.below(4));
				table.map(address, to << 12n, 4096n, { read: true, write });
				now[page] = `${to} ${write}`;
			}
			for (const sets of [iotlb, ...devices]) sets[page].add(now[page]);
		} else if (kind === 3) {
			unit.invalidate({ scope: "page", domain: 5, address });
			iotlb[page] = new Set([now[page]]);
		} else if (kind < 6) {
			const which = random.below(2);
			const all = random.below(4) === 0;
			unit.invalidate({ scope: "device-tlb", rid: [RID, OTHER][which], ...(all ? {} : { address }) });
			for (let i = 0; i < PAGES; i++) if (all || i === page) devices[which][i] = new Set(iotlb[i]);
		} else {
			const which = random.below(2);
			const write = random.below(3) === 0;
			const got = unit.translate([RID, OTHER][which], address, { type: "device", access: write ? "write" : "read", pageRequests: false });
			const may = devices[which][page];
			if (got.status === "fault") {
				// what is refused was looked up in the tables
				expect(now[page] === "" || (write && now[page].endsWith("false")), `step ${step}: fault`).toBe(true);
				continue;
			}
			const to = got.pa >> 12n;
			// an entry of a read may have been told no right to write
			const possible = [...may].filter((state) => state.startsWith(`${to} `) && (!write || state.endsWith("true")));
			expect(possible.length, `step ${step}: ${to} of ${[...may].join(" | ")}`).toBeGreaterThan(0);
			if (!now[page].startsWith(`${to} `)) stale++;
			if (got.hit === "device-tlb") hits++;
		}
	}
	expect(stale).toBeGreaterThan(steps / 50);
	expect(hits).toBeGreaterThan(steps / 5);
});
