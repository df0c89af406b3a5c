/** What the QEMU vectors cannot show: one small machine, one rule of the specification each. */
import { beforeEach, describe, expect, it } from "vitest";
import type { Request, Result } from "./contract.ts";
import { CLASS, EVENT, encodeEvent, type SmmuRegisters, translateSmmuv3 } from "./smmuv3.ts";
import { vmsaGeometry } from "./smmuv3-geometry.ts";
import { swap64, walkVmsav8 } from "./smmuv3-walk.ts";
import { SparseMemory } from "./vectors.ts";

const STRTAB = 0x10_0000n;
const CDS = 0x20_0000n;
const S1 = 0x30_0000n;
const S2 = 0x40_0000n;
const PAGE = 0x8000_0000n;

let memory: SparseMemory;
let registers: SmmuRegisters;

/** stage 1 and 2, HTTU 2, 16-bit ids, CD2L, little-endian only, 2-level stream tables; SSID 8; 48 bits, all granules */
const IDR0 = 0x3 | (2 << 2) | (2 << 6) | (1 << 12) | (1 << 18) | (1 << 19) | (1 << 27);

beforeEach(() => {
	memory = new SparseMemory();
	registers = {
		idr0: IDR0,
		idr1: 16 | (8 << 6) | (1 << 26),
		idr3: (1 << 2) | (1 << 4) | (1 << 13) | (1 << 17),
		idr5: 0x75,
		cr0: 1,
		cr2: 2,
		gbpa: 0,
		strtabBase: STRTAB,
		strtabBaseCfg: 4,
	};
	cd();
});

/** STE 0 */
function ste(config: number, more: [bigint, bigint, bigint, bigint] = [0n, 0n, 0n, 0n], s2 = S2_FIELDS): void {
	memory.set(STRTAB, 1n | (BigInt(config) << 1n) | CDS | more[0]);
	memory.set(STRTAB + 8n, more[1]);
	memory.set(STRTAB + 16n, s2 | more[2]);
	memory.set(STRTAB + 24n, S2 | more[3]);
}
/** 4K, T0SZ 25, SL0 1, 48 bits, VMSAv8-64, S2R */
const S2_FIELDS = (25n << 32n) | (1n << 38n) | (5n << 48n) | (1n << 51n) | (1n << 58n);
const S2HA = 1n << 56n;
const S2HD = 1n << 55n;

/** A CD: 4K, T0SZ 25 (levels 1 to 3), EPD1, 48 bits, A, R. */
function cd(more = 0n, at = CDS, second: [bigint, bigint, bigint] = [S1, 0n, 0n], without = 0n): void {
	const base = 25n | (1n << 30n) | (1n << 31n) | (5n << 32n) | (1n << 41n) | (1n << 45n) | (1n << 46n);
	memory.set(at, (base & ~without) | more);
	memory.set(at + 8n, second[0]);
	memory.set(at + 16n, second[1]);
	memory.set(at + 24n, second[2]);
}
const HA = 1n << 43n;
const HD = 1n << 42n;

const AF = 1n << 10n;
const DBM = 1n << 51n;
const USER = 1n << 6n;
const RO = 1n << 7n;

/** The page at VA 0 by three levels, and what its leaf says. */
function page(leaf: bigint, tableBits = 0n): void {
	memory.set(S1, (S1 + 0x1000n) | 3n | tableBits);
	memory.set(S1 + 0x1000n, (S1 + 0x2000n) | 3n);
	memory.set(S1 + 0x2000n, leaf);
}
const LEAF = S1 + 0x2000n;

/** Stage 2: one 1 GiB identity block for the tables (with `bits`), and one for the page. */
function second(tables: bigint, pages: bigint = tables): void {
	memory.set(S2, 1n | tables);
	memory.set(S2 + 16n, PAGE | 1n | pages);
}
const S2RW = AF | (3n << 6n);

function run(more: Partial<Request> = {}): Result {
	const request: Request = {
		device: 0,
		pasid: null,
		privileged: false,
		address: 0n,
		length: 1,
		access: "r",
		...more,
	};
	return translateSmmuv3(memory, registers, request);
}
const OK = { status: "ok", code: 0 };

describe("stage 1 leaf", () => {
	beforeEach(() => ste(5));
	it("translates, and says what the requester may", () => {
		page(PAGE | 3n | AF | USER);
		expect(run()).toMatchObject({ ...OK, pa: PAGE, pageBytes: 0x1000n, r: true, w: true, x: true });
		expect(run({ privileged: true })).toMatchObject({ r: true, w: true, x: false });
	});
	it.each([
		["AP 00", AF, "", "rwx", "x"],
		["AP 01", AF | USER, "", "rw", "rwx"],
		["AP 10", AF | RO, "", "rx", "x"],
		["AP 11", AF | RO | USER, "", "rx", "rx"],
		["UXN", AF | USER | (1n << 54n), "", "rw", "rw"],
		["PXN", AF | RO | (1n << 53n), "", "r", "x"],
		["APTable 01", AF | USER, "61", "rwx", "x"],
		["APTable 10", AF | USER, "62", "rx", "rx"],
		["APTable 11", AF | USER, "61,62", "rx", "x"],
		["PXNTable", AF | RO, "59", "r", "x"],
		["UXNTable", AF | RO | USER, "60", "rx", "r"],
	])("%s", (_name, leaf, table, privileged, user) => {
		const bits = table === "" ? 0n : table.split(",").reduce((sum, n) => sum | (1n << BigInt(n)), 0n);
		page(PAGE | 3n | leaf, bits);
		for (const access of ["r", "w", "x"] as const) {
			for (const [allowed, priv] of [
				[privileged, true],
				[user, false],
			] as const) {
				const code = allowed.includes(access) ? 0 : EVENT.F_PERMISSION;
				expect(run({ access, privileged: priv }).code, `${access} ${priv}`).toBe(code);
			}
		}
	});
	it("HAD ignores what tables say", () => {
		page(PAGE | 3n | AF | USER, 1n << 62n);
		expect(run({ access: "w" }).code).toBe(EVENT.F_PERMISSION);
		cd(0n, CDS, [S1 | 2n, 0n, 0n]);
		expect(run({ access: "w" }).code).toBe(0);
	});
	it("WXN, PAN, EPAN, E0PD", () => {
		page(PAGE | 3n | AF | USER);
		cd(1n << 36n);
		expect(run({ access: "x" }).code).toBe(EVENT.F_PERMISSION);
		cd(1n << 40n);
		expect(run({ privileged: true }).code).toBe(EVENT.F_PERMISSION);
		expect(run().code).toBe(0);
		page(PAGE | 3n | AF | (1n << 53n));
		expect(run({ privileged: true }).code).toBe(0);
		cd(1n << 40n, CDS, [S1 | (1n << 59n), 0n, 0n]);
		expect(run({ privileged: true }).code).toBe(EVENT.F_PERMISSION);
		cd(0n, CDS, [S1 | 4n, 0n, 0n]);
		expect(run({ access: "x" }).code).toBe(EVENT.F_TRANSLATION);
		expect(run({ privileged: true }).code).toBe(0);
	});
	it("AF: fault, AFFD, hardware", () => {
		page(PAGE | 3n | USER);
		expect(run().code).toBe(EVENT.F_ACCESS);
		cd(1n << 35n);
		expect(run()).toMatchObject({ ...OK, writes: [] });
		cd(HA);
		expect(run()).toMatchObject({ ...OK, writes: [{ pa: LEAF, bytes: 8, value: PAGE | 3n | USER | AF }] });
		expect(run().writes).toEqual([]);
	});
	it("AF comes before permission, and a permission fault leaves AF", () => {
		page(PAGE | 3n);
		expect(run().code).toBe(EVENT.F_ACCESS);
		cd(HA);
		expect(run()).toMatchObject({ code: EVENT.F_PERMISSION, writes: [] });
	});
	it("dirty state: DBM with HD makes a write clear AP[2]", () => {
		const clean = PAGE | 3n | USER | RO | DBM;
		page(clean);
		cd(HA);
		expect(run({ access: "w" }).code).toBe(EVENT.F_PERMISSION);
		cd(HA | HD);
		expect(run()).toMatchObject({ ...OK, w: true, fields: { clean: true } });
		expect(run({ access: "w" }).writes).toEqual([{ pa: LEAF, bytes: 8, value: (clean | AF) & ~RO }]);
		page(clean, 1n << 62n);
		expect(run({ access: "w" })).toMatchObject({ code: EVENT.F_PERMISSION, writes: [] });
	});
	it("a refused update is F_WALK_EABT", () => {
		page(PAGE | 3n | USER);
		cd(HA);
		memory.noWrite = [{ first: LEAF, end: LEAF + 8n }];
		expect(run()).toMatchObject({ code: EVENT.F_WALK_EABT, fields: { FetchAddr: LEAF, S2: false, CLASS: CLASS.TT } });
	});
	it("address size: leaf and table, before AF", () => {
		cd(0n, CDS, [S1, 0n, 0n], 7n << 32n);
		page((1n << 32n) | 3n);
		expect(run()).toMatchObject({ code: EVENT.F_ADDR_SIZE, fields: { S2: false, CLASS: CLASS.IN } });
		memory.set(S1, (1n << 33n) | 3n);
		expect(run().code).toBe(EVENT.F_ADDR_SIZE);
	});
	it("fetch abort names the entry", () => {
		page(PAGE | 3n | AF);
		memory.noAccess = [{ first: LEAF, end: LEAF + 8n }];
		const got = run();
		expect(got).toMatchObject({ code: EVENT.F_WALK_EABT, reported: true, fields: { FetchAddr: LEAF } });
		expect(encodeEvent(got)).toEqual([0x0bn, (1n << 35n) | (1n << 40n), 0n, LEAF]);
	});
	it("R = 0 keeps the fault out of the queue", () => {
		cd(0n, CDS, [S1, 0n, 0n], 1n << 45n);
		expect(run()).toMatchObject({ code: EVENT.F_TRANSLATION, reported: false });
		cd(1n << 44n, CDS, [S1, 0n, 0n], 1n << 45n);
		expect(run()).toMatchObject({ code: EVENT.F_TRANSLATION, reported: true, fields: { Stall: true } });
	});
	it("EL2 has one range and no unprivileged", () => {
		registers.idr0 |= 1 << 9;
		ste(5, [0n, 2n << 30n, 0n, 0n]);
		page(PAGE | 3n | AF);
		expect(run({ access: "w" }).code).toBe(0);
		expect(run({ address: 1n << 63n }).code).toBe(EVENT.F_TRANSLATION);
		ste(5, [0n, 1n << 30n, 0n, 0n]);
		expect(run().code).toBe(EVENT.C_BAD_STE);
	});
	it("PRIVCFG and INSTCFG only with ATTR_PERMS_OVR", () => {
		page(PAGE | 3n | AF | (1n << 54n));
		ste(5, [0n, 3n << 48n, 0n, 0n]);
		expect(run({ access: "w" }).code).toBe(0);
		registers.idr1 &= ~(1 << 26);
		expect(run({ access: "w" }).code).toBe(EVENT.F_PERMISSION);
	});
});

describe("ranges", () => {
	it("TTB1, TBI and EPD", () => {
		ste(5);
		const high = 0xffff_ff80_0000_0000n;
		// T1SZ 25, TG1 4K
		const ttb1 = (25n << 16n) | (2n << 22n);
		cd(ttb1, CDS, [S1, S1, 0n], 1n << 30n);
		page(PAGE | 3n | AF | USER);
		expect(run({ address: high })).toMatchObject({ ...OK, pa: PAGE });
		expect(run({ address: high & ~(1n << 60n) }).code).toBe(EVENT.F_TRANSLATION);
		expect(run({ address: 1n << 60n }).code).toBe(EVENT.F_TRANSLATION);
		expect(run({ address: 1n << 39n }).code).toBe(EVENT.F_TRANSLATION);
		cd(ttb1 | (3n << 38n), CDS, [S1, S1, 0n], 1n << 30n);
		expect(run({ address: high & ~(1n << 60n) }).code).toBe(0);
		expect(run({ address: 1n << 60n }).code).toBe(0);
		cd(ttb1, CDS, [S1, S1, 0n]);
		expect(run({ address: high }).code).toBe(EVENT.F_TRANSLATION);
		// an illegal T1SZ counts only without EPD1
		cd(3n << 16n);
		expect(run().code).toBe(0);
		cd(3n << 16n, CDS, [S1, S1, 0n], 1n << 30n);
		expect(run().code).toBe(EVENT.C_BAD_CD);
	});
	it("T0SZ, TTB and granule make a CD illegal", () => {
		ste(5);
		cd(40n, CDS, [S1, 0n, 0n], 0x3fn);
		expect(run().code).toBe(EVENT.C_BAD_CD);
		registers.idr3 |= 1 << 9;
		expect(run().code).not.toBe(EVENT.C_BAD_CD);
		cd(3n << 6n);
		expect(run().code).toBe(EVENT.C_BAD_CD);
		cd(0n, CDS, [S1 | (1n << 40n), 0n, 0n], 7n << 32n);
		expect(run().code).toBe(EVENT.C_BAD_CD);
	});
});

describe("formats", () => {
	const walk = (granule: 12 | 14 | 16, txsz: number, entries: Array<[bigint, bigint]>, address: bigint, more = {}) => {
		for (const [at, value] of entries) {
			memory.set(at, value);
		}
		const g = vmsaGeometry({ stage: 1, granule, txsz, root: S1, outputBits: 48, ...more });
		return walkVmsav8(memory, g, { address, access: "r", privileged: true });
	};
	it.each([
		[12, 16, 0, false, false],
		[12, 16, 0, true, true],
		[12, 25, 1, false, true],
		[12, 34, 2, false, true],
		[14, 17, 1, false, false],
		[14, 17, 1, true, true],
		[14, 28, 2, false, true],
		[16, 21, 1, false, false],
		[16, 22, 2, false, true],
	] as const)("granule 2^%i, T0SZ %i: block at level %i with DS %s: %s", (granule, txsz, level, ds, legal) => {
		const start = 3 - Math.floor((64 - txsz - 1 - granule) / (granule - 3));
		const at = S1;
		let table = at;
		for (let l = start; l < level; l++) {
			memory.set(table, (table + 0x1_0000n) | 3n);
			table += 0x1_0000n;
		}
		const got = walk(granule, txsz, [[table, 1n | AF]], 0x123n, { ds });
		expect(got.outcome).toBe(legal ? "translated" : "not-present");
		if (legal) {
			expect(got.pageBytes).toBe(1n << BigInt(granule + (granule - 3) * (3 - level)));
			expect(got.level).toBe(3 - level);
		}
	});
	it("64K: level 1 blocks and bits 15:12 need 52-bit output", () => {
		const entry = 1n | AF | (5n << 12n);
		expect(walk(16, 16, [[S1, entry]], 0n).outcome).toBe("not-present");
		expect(walk(16, 16, [], 0n, { pa52: true, outputBits: 52 })).toMatchObject({
			outcome: "translated",
			pa: 5n << 48n,
			pageBytes: 1n << 42n,
		});
		expect(walk(16, 16, [], 0n, { pa52: true }).outcome).toBe("address-size");
	});
	it("DS: bits 9:8 are address bits 51:50", () => {
		const leaf: [bigint, bigint] = [S1, 1n | AF | (3n << 8n) | (3n << 48n)];
		expect(walk(12, 34, [leaf], 0n, { ds: true, outputBits: 52 })).toMatchObject({
			outcome: "translated",
			pa: 15n << 48n,
		});
		expect(walk(12, 34, [leaf], 0n)).toMatchObject({ outcome: "translated", pa: 0n });
	});
	it("level 3 with 01 is invalid; reserved bits are ignored", () => {
		page(PAGE | 1n | AF);
		expect(walk(12, 25, [], 0n).outcome).toBe("not-present");
		page(PAGE | 3n | AF | (3n << 48n) | (1n << 50n) | (0xfn << 55n) | (0xfn << 59n));
		expect(walk(12, 25, [], 0n).outcome).toBe("translated");
	});
	it("contiguous: the span, but not of a set that contradicts itself", () => {
		const contiguous = 1n << 52n;
		page(PAGE | 3n | AF | contiguous);
		expect(walk(12, 25, [], 0n).pageBytes).toBe(0x1_0000n);
		page((PAGE + 0x1000n) | 3n | AF | contiguous);
		expect(walk(12, 25, [], 0n)).toMatchObject({ pa: PAGE + 0x1000n, pageBytes: 0x1000n });
	});
	it("big-endian tables, updates too", () => {
		const g = vmsaGeometry({ stage: 1, granule: 12, txsz: 34, root: S1, bigEndian: true, ha: true });
		memory.set(S1, swap64(PAGE | 1n));
		expect(walkVmsav8(memory, g, { address: 5n, access: "r", privileged: true }).pa).toBe(PAGE + 5n);
		expect(memory.get(S1)).toBe(swap64(PAGE | 1n | AF));
	});
});

describe("stage 2", () => {
	it("alone: permissions, execute never, AF", () => {
		ste(6);
		second(S2RW);
		expect(run({ access: "w", address: PAGE + 7n })).toMatchObject({ ...OK, pa: PAGE + 7n, pageBytes: 1n << 30n });
		second(0n, AF | (1n << 6n));
		const got = run({ access: "w", address: PAGE });
		expect(got).toMatchObject({ code: EVENT.F_PERMISSION, fields: { S2: true, CLASS: CLASS.IN, IPA: PAGE } });
		expect(encodeEvent(got)).toEqual([0x13n, (1n << 39n) | (2n << 40n), PAGE, PAGE]);
		for (const [xn, user, privileged] of [
			[0n, true, true],
			[1n, true, false],
			[2n, false, false],
			[3n, false, true],
		] as const) {
			second(0n, S2RW | (xn << 53n));
			expect(run({ access: "x", address: PAGE }).code === 0).toBe(user);
			expect(run({ access: "x", address: PAGE, privileged: true }).code === 0).toBe(privileged);
		}
		second(0n, 3n << 6n);
		expect(run({ address: PAGE }).code).toBe(EVENT.F_ACCESS);
		expect(run({ address: 1n << 39n })).toMatchObject({ code: EVENT.F_TRANSLATION, fields: { S2: true } });
		expect(run({ address: 1n << 48n })).toMatchObject({ code: EVENT.F_ADDR_SIZE, fields: { S2: false } });
	});
	it("dirty state sets S2AP[1]", () => {
		ste(6, [0n, 0n, S2HA | S2HD, 0n]);
		second(0n, DBM | (1n << 6n));
		expect(run({ access: "w", address: PAGE }).writes).toEqual([
			{ pa: S2 + 16n, bytes: 8, value: PAGE | 1n | DBM | (3n << 6n) | AF },
		]);
	});
	it("concatenated first tables: up to 16, aligned together", () => {
		// 4K, SL0 0 (level 2), T0SZ 30: 34 bits, 16 tables of 512 entries
		const concatenated = (30n << 32n) | (5n << 48n) | (1n << 51n);
		ste(6, [0n, 0n, 0n, 0n], concatenated);
		memory.set(S2 + 0xfff8n, PAGE | 1n | S2RW);
		expect(run({ address: 0x3_ffe0_0000n })).toMatchObject({ ...OK, pa: PAGE, pageBytes: 1n << 21n });
		ste(6, [0n, 0n, 0n, 0n], (29n << 32n) | (5n << 48n) | (1n << 51n));
		expect(run().code).toBe(EVENT.C_BAD_STE);
	});
	it("nested: table and CD accesses through stage 2", () => {
		ste(7);
		page(PAGE | 3n | AF | USER);
		second(S2RW);
		expect(run()).toMatchObject({ ...OK, pa: PAGE, pageBytes: 0x1000n });
		memory.set(S2 + 16n, 0n);
		expect(run()).toMatchObject({ code: EVENT.F_TRANSLATION, fields: { S2: true, CLASS: CLASS.IN, IPA: PAGE } });
		second(0n);
		expect(run()).toMatchObject({ code: EVENT.F_ACCESS, fields: { S2: true, CLASS: CLASS.CD, IPA: CDS } });
		// stage 1 tables at an IPA of their own
		cd(0n, CDS, [0x4000_0000n, 0n, 0n]);
		second(S2RW);
		const got = run();
		expect(got).toMatchObject({
			code: EVENT.F_TRANSLATION,
			fields: { S2: true, CLASS: CLASS.TT, IPA: 0x4000_0000n },
		});
		expect(encodeEvent(got)).toEqual([0x10n, (1n << 35n) | (1n << 39n) | (1n << 40n), 0n, 0x4000_0000n]);
	});
	it("nested: a stage 1 update needs stage 2 to be writable", () => {
		ste(7);
		cd(HA);
		page(PAGE | 3n | USER);
		second(AF | (1n << 6n), S2RW);
		expect(run()).toMatchObject({
			code: EVENT.F_PERMISSION,
			fields: { S2: true, CLASS: CLASS.TT, TTRnW: false, IPA: LEAF },
		});
		ste(7, [0n, 0n, S2HA | S2HD, 0n]);
		second(DBM | (1n << 6n), S2RW);
		expect(run().writes.map((write) => write.pa)).toEqual([S2, S2, LEAF]);
		// the update stays when stage 2 then refuses the output
		page(PAGE | 3n | USER);
		memory.set(S2 + 16n, 0n);
		expect(run()).toMatchObject({ code: EVENT.F_TRANSLATION, writes: [{ pa: LEAF }] });
	});
	it("S2PTW: no tables or CDs in Device memory", () => {
		ste(7, [0n, 0n, 1n << 54n, 0n]);
		page(PAGE | 3n | AF | USER);
		second(S2RW);
		expect(run()).toMatchObject({ code: EVENT.F_PERMISSION, fields: { CLASS: CLASS.CD } });
		second(S2RW | (0xfn << 2n), S2RW);
		expect(run().code).toBe(0);
	});
});

describe("configuration", () => {
	it("disabled, bypass, abort, invalid", () => {
		expect(run().code).toBe(EVENT.C_BAD_STE);
		ste(0);
		expect(run()).toMatchObject({ status: "fault", code: 0, reported: false });
		ste(4);
		expect(run({ address: 5n })).toMatchObject({ status: "bypass", pa: 5n });
		expect(run({ address: 1n << 48n })).toMatchObject({ code: EVENT.F_ADDR_SIZE, reported: true });
		expect(run({ pasid: 1 }).code).toBe(EVENT.C_BAD_SUBSTREAMID);
		registers.cr0 = 0;
		expect(run({ address: 5n }).status).toBe("bypass");
		registers.gbpa = 1 << 20;
		expect(run({ address: 5n })).toMatchObject({ status: "fault", code: 0, reported: false });
	});
	it("stream table, linear and two-level", () => {
		expect(run({ device: 16 })).toMatchObject({ code: EVENT.C_BAD_STREAMID, reported: true });
		registers.cr2 = 0;
		expect(run({ device: 16 }).reported).toBe(false);
		memory.noAccess = [{ first: STRTAB + 64n, end: STRTAB + 128n }];
		expect(run({ device: 1 })).toMatchObject({ code: EVENT.F_STE_FETCH, fields: { FetchAddr: STRTAB + 64n } });
		registers.strtabBaseCfg = 10 | (8 << 6) | (1 << 16);
		const leaf = 0x50_0000n;
		memory.noAccess = [];
		memory.set(STRTAB + 8n, leaf | 3n);
		memory.set(leaf + 3n * 64n, 9n);
		expect(run({ device: 0x103 }).status).toBe("bypass");
		for (const [l1, device] of [
			[leaf | 3n, 0x104],
			[leaf | 10n, 0x103],
			[leaf | 12n, 0x103],
			[leaf, 0x103],
		] as const) {
			memory.set(STRTAB + 8n, l1);
			expect(run({ device }).code).toBe(EVENT.C_BAD_STREAMID);
		}
	});
	it("substreams: S1CDMax, S1DSS, linear CDs", () => {
		page(PAGE | 3n | AF | USER);
		ste(5);
		expect(run({ pasid: 0 }).code).toBe(EVENT.C_BAD_SUBSTREAMID);
		const max = 3n << 59n;
		ste(5, [max, 0n, 0n, 0n]);
		cd(0n, CDS + 7n * 64n);
		expect(run({ pasid: 7 })).toMatchObject(OK);
		expect(run({ pasid: 8 }).code).toBe(EVENT.C_BAD_SUBSTREAMID);
		expect(run({ pasid: 6 }).code).toBe(EVENT.C_BAD_CD);
		expect(run().code).toBe(EVENT.F_STREAM_DISABLED);
		ste(5, [max, 1n, 0n, 0n]);
		expect(run({ address: 9n })).toMatchObject({ status: "bypass", pa: 9n });
		ste(5, [max, 2n, 0n, 0n]);
		expect(run()).toMatchObject(OK);
		expect(run({ pasid: 0 }).code).toBe(EVENT.F_STREAM_DISABLED);
		ste(5, [9n << 59n, 0n, 0n, 0n]);
		expect(run().code).toBe(EVENT.C_BAD_STE);
		memory.noAccess = [{ first: CDS, end: CDS + 64n }];
		ste(5);
		expect(run()).toMatchObject({ code: EVENT.F_CD_FETCH, fields: { FetchAddr: CDS } });
	});
	it.each([
		[1n, 6n],
		[2n, 10n],
	])("two-level CDs, S1Fmt %s", (format, split) => {
		registers.idr1 = 16 | (12 << 6);
		page(PAGE | 3n | AF | USER);
		ste(5, [(12n << 59n) | (format << 4n), 2n, 0n, 0n]);
		const leaf = 0x60_0000n;
		memory.set(CDS, 0n);
		memory.set(CDS + 8n, leaf | 1n);
		cd(0n, leaf + 5n * 64n);
		const pasid = Number((1n << split) + 5n);
		expect(run({ pasid })).toMatchObject(OK);
		expect(run({ pasid: 1 }).code).toBe(EVENT.C_BAD_SUBSTREAMID);
		expect(run()).toMatchObject({ code: EVENT.C_BAD_SUBSTREAMID, fields: { SubstreamID: 0 } });
		memory.set(CDS + 8n, (1n << 50n) | 1n);
		expect(run({ pasid }).code).toBe(EVENT.C_BAD_SUBSTREAMID);
		registers.idr0 &= ~(1 << 19);
		expect(run({ pasid }).code).toBe(EVENT.C_BAD_STE);
	});
});

it("any configuration and any table end in an answer", () => {
	let seed = 12345;
	const next = (): bigint => {
		seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
		return BigInt(seed >>> 8);
	};
	const word = (): bigint => next() | (next() << 24n) | ((next() & 0xffffn) << 48n);
	const codes = new Set<number>();
	for (let i = 0; i < 4000; i++) {
		memory = new SparseMemory();
		registers.idr0 = Number(IDR0) | (i & 1 ? 1 << 9 : 0);
		registers.idr3 = i & 2 ? 0xffff_ffff : 1 << 2;
		registers.idr5 = 0x70 | (i & 4 ? 0xc86 : 0x5);
		ste([5, 6, 7][i % 3], [word() & (0xffn << 56n), word(), word() & (0x7fen << 32n), word() & 0xcn], S2_FIELDS);
		cd(word() & (0xff_ffffn << 34n), CDS, [S1 | (word() & 0xen), S1, (word() & 1n) << 58n]);
		for (const table of [S1, S2]) {
			for (let n = 0n; n < 16n; n++) {
				const target = (next() & 1n) === 1n ? table : word() & 0x3_ffff_0000_0000n;
				memory.set(table + n * 8n, target | (word() & (0xfffn << 51n)) | (word() & 0xffcn) | 3n);
			}
		}
		const got = run({
			address: word() >> BigInt(i % 64),
			access: (["r", "w", "x"] as const)[i % 3],
			privileged: (i & 8) !== 0,
			pasid: i & 16 ? null : Number(next() & 0xffn),
		});
		codes.add(got.code);
		encodeEvent(got);
	}
	expect(codes.size).toBeGreaterThan(6);
});
