/** Device-TLBs of real units: stale until invalidated and never otherwise, by decoded and by raw commands. */
import { expect, test } from "vitest";
import { createUnits } from "../../ts/iommu/index.ts";
import type { EngineTable } from "../../ts/iommu/engine-table.ts";
import { device, KINDS, machine, NAMES, OTHER, RID } from "./ats-machine.ts";
import { Random } from "./random.ts";

const ALL = { read: true, write: true };

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

/** Raw commands of each architecture for a device-TLB: of a page, of 2^n pages, of a PASID, of all PASIDs. */
const sized = (address: bigint, lg2: number) => address | (((1n << BigInt(lg2)) - 1n) & ~0xfffn & ~(1n << BigInt(lg2 - 1)));
const COMMANDS: Record<(typeof NAMES)[number], (pasid: number | null, address: bigint, lg2: number, all?: boolean) => bigint[]> = {
	vtd: (pasid, address, lg2, all = false) => {
		const word = lg2 > 12 ? sized(address, lg2) : address;
		if (pasid === null) return [3n | (BigInt(RID) << 32n), word | (lg2 > 12 ? 1n : 0n), 0n, 0n];
		return [8n | (BigInt(RID) << 16n) | (BigInt(pasid) << 32n), word | (lg2 > 12 ? 0x800n : 0n) | (all ? 1n : 0n), 0n, 0n];
	},
	amdvi: (pasid, address, lg2) => {
		const number = BigInt(pasid ?? 0);
		const low = (4n << 60n) | BigInt(RID) | ((number & 0xffn) << 48n) | (((number >> 8n) & 0xffn) << 16n) | ((number >> 16n) << 56n);
		return [low, (lg2 > 12 ? sized(address, lg2) | 1n : address) | (pasid === null ? 0n : 4n)];
	},
	smmuv3: (pasid, address, lg2, all = false) => [0x40n | (all ? 512n : 0n) | (pasid === null ? 0n : 2048n | (BigInt(pasid) << 12n)) | (BigInt(RID) << 32n), address | BigInt(lg2 - 12)],
	riscv: (pasid, address, lg2, all = false) => [4n | (pasid === null ? 0n : (1n << 32n) | (BigInt(pasid) << 12n)) | (BigInt(RID) << 40n), (lg2 > 12 ? sized(address, lg2) | 0x800n : address) | (all ? 1n : 0n)],
};

test.each(NAMES)("%s: raw commands for a device-TLB drop what they name, and that alone", (architecture) => {
	const { engine, units } = createUnits(
		[{ name: architecture, kind: architecture, addressBits: 48, pageSizes: 0x40201000n, reserved: [], pasidBits: 20, enforcesSnoop: true, nesting: "hw", maxDepth: 2, pasidTables: false, dirty: true }],
		{ memory: [] },
	);
	const [unit] = engine.units;
	const table = units[0].createTable(() => [{ iova: 0x4000n, pa: 0x10_0000n, size: 0x4000n, permissions: ALL }], {}) as EngineTable;
	const PASIDS = [0x101, 0x4_0203];
	units[0].configure(RID, { untagged: { kind: "table", table }, pasids: new Map(PASIDS.map((pasid) => [pasid, { kind: "table", table }])), ats: true, pri: false });
	const has = (pasid: number | null, page: number) => Number(unit.translate(RID, BigInt(page) << 12n, { type: "device", pageRequests: false, ...(pasid === null ? {} : { pasid }) }).hit === "device-tlb");
	const held = () => [null, ...PASIDS].map((pasid) => [4, 5, 6, 7].map((page) => has(pasid, page)).join("")).join(" ");
	const after = (...command: Parameters<(typeof COMMANDS)["vtd"]>) => {
		held();
		expect(held()).toBe("1111 1111 1111");
		const answer = unit.command(new Uint8Array(new BigUint64Array(COMMANDS[architecture](...command)).buffer));
		expect(answer.status).toBe("done");
		return held();
	};
	expect(after(null, 0x5000n, 12)).toBe("1011 1111 1111");
	expect(after(null, 0x6000n, 13)).toBe("1100 1111 1111");
	expect(after(null, 0x4000n, 14)).toBe("0000 1111 1111");
	expect(after(PASIDS[0], 0x7000n, 12)).toBe("1111 1110 1111");
	expect(after(PASIDS[1], 0x4000n, 13)).toBe("1111 1111 0011");
	expect(after(PASIDS[1], 0x4000n, 14)).toBe("1111 1111 0000");
	// the Global bit names every PASID; AMD's command has none
	if (architecture !== "amdvi") expect(after(PASIDS[0], 0x4000n, 13, true)).toBe("0011 0011 0011");
});
