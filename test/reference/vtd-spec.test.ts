/** The VT-d reference against cases worked out by hand from the specification, where QEMU's answers do not reach. */
import { describe, expect, it } from "vitest";
import type { Memory, Result } from "./contract.ts";
import { SparseMemory } from "./vectors.ts";
import {
	faultRecord,
	type FirstStageGeometry,
	firstStageReserved,
	REASON,
	type SecondStageGeometry,
	secondStageReserved,
	translateVtd,
	type VtdRegisters,
	type VtdRequest,
	walkFirstStage,
	walkSecondStage,
} from "./vtd.ts";

const R = 1n;
const W = 2n;
const X = 4n;
const PS = 0x80n;
const FS_P = 1n;
const FS_RW = 2n;
const FS_US = 4n;
const FS_A = 0x20n;
const FS_D = 0x40n;
const FS_EA = 0x400n;
const SS_A = 0x100n;
const SS_D = 0x200n;

const IOVA = 0x1234_5678_9abcn & ((1n << 47n) - 1n);

/** CAP_REG: SAGAW all three, MGAW 57, ZLR, 2M and 1G, FS1GP, FS5LP */
const CAP = (0b1110n << 8n) | (56n << 16n) | (1n << 22n) | (3n << 34n) | (1n << 56n) | (1n << 60n);
/** ECAP_REG: DT, PT, SC, NEST, PRS, SRS, EAFS, PASID, SMTS, SSADS, SSTS, FSTS, RPS, RPRIVS */
const ECAP = [2, 6, 7, 26, 29, 31, 34, 40, 43, 45, 46, 47, 49, 53].reduce((mask, at) => mask | (1n << BigInt(at)), 0n);

const ROOT = 0x1000n;
const CONTEXT = 0x2000n;
const DIRECTORY = 0x3000n;
const PASIDS = 0x4000n;
const FIRST = 0x100000n;
const SECOND = 0x200000n;
const HAW = 52;
const DEVICE = 0x0310;

function index(address: bigint, level: number): bigint {
	return (address >> BigInt(12 + 9 * level)) & 511n;
}

/** Tables for one address: returns the address of the entry at each level, [level] */
function chain(
	memory: SparseMemory,
	base: bigint,
	levels: number,
	address: bigint,
	leafLevel: number,
	table: bigint,
	leaf: bigint,
): bigint[] {
	const at: bigint[] = [];
	for (let level = levels - 1; level >= leafLevel; level--) {
		const page = base + BigInt(levels - 1 - level) * 0x1000n;
		at[level] = page + index(address, level) * 8n;
		memory.set(at[level], level === leafLevel ? leaf | (level > 0 ? PS : 0n) : (page + 0x1000n) | table);
	}
	return at;
}

function request(over: Partial<VtdRequest> = {}): VtdRequest {
	return { device: DEVICE, pasid: null, privileged: false, address: IOVA, length: 1, access: "r", ...over };
}

function registers(mode: "legacy" | "scalable", over: Partial<VtdRegisters> = {}): VtdRegisters {
	return { rtaddr: ROOT | (mode === "scalable" ? 1n << 10n : 0n), cap: CAP, ecap: ECAP, enabled: true, haw: HAW, ...over };
}

function secondStage(over: Partial<SecondStageGeometry> = {}): SecondStageGeometry {
	return {
		root: SECOND,
		levels: 4,
		inputBits: 48,
		haw: HAW,
		pages2M: true,
		pages1G: true,
		snoopControl: true,
		transientMapping: true,
		accessedDirty: false,
		executeEnable: false,
		unsnoopedWalk: false,
		zeroLengthRead: true,
		...over,
	};
}

function firstStage(over: Partial<FirstStageGeometry> = {}): FirstStageGeometry {
	return {
		root: FIRST,
		levels: 4,
		haw: HAW,
		pages1G: true,
		extendedAccessed: false,
		writeProtect: false,
		executeRequests: false,
		noExecute: false,
		supervisorExecutePrevention: false,
		unsnoopedWalk: false,
		second: null,
		...over,
	};
}

describe("second stage", () => {
	for (const levels of [3, 4, 5] as const) {
		for (const leafLevel of [0, 1, 2]) {
			it(`${levels} levels, leaf at ${leafLevel}: translates, and every reserved bit faults`, () => {
				const address = ((1n << BigInt(12 + 9 * levels)) - 1n) & 0xfdb_9753_1246_8aceb5n;
				const size = 1n << BigInt(12 + 9 * leafLevel);
				const memory = new SparseMemory();
				const page = 0xa5_c0000_0000n & ~(size - 1n);
				const at = chain(memory, SECOND, levels, address, leafLevel, R | W, page | R | W | (1n << 63n) | (0x3ffn << 52n));
				const g = secondStage({ levels, inputBits: 12 + 9 * levels, haw: 46, snoopControl: false, transientMapping: false });
				const walk = walkSecondStage(memory, g, request({ address }));
				expect(walk).toMatchObject({ outcome: "translated", pa: page | (address & (size - 1n)), pageBytes: size, r: true, w: true });
				for (let level = leafLevel; level < levels; level++) {
					const before = memory.get(at[level]);
					const mask = secondStageReserved(g, level, level === leafLevel);
					for (let bit = 0n; bit < 64n; bit++) {
						if (bit < 2n || (bit >= 12n && bit < 46n) || (bit === 7n && level === leafLevel)) {
							continue;
						}
						const isPageSize = bit === 7n && level > leafLevel && level <= 2;
						memory.set(at[level], before ^ (1n << bit));
						const now = walkSecondStage(memory, g, request({ address }));
						if (!isPageSize) {
							expect(now.outcome, `level ${level} bit ${bit}`).toBe((mask >> bit) & 1n ? "reserved" : "translated");
						}
					}
					memory.set(at[level], before);
				}
				for (let bit = 12n; bit < BigInt(12 + 9 * leafLevel); bit++) {
					memory.set(at[leafLevel], memory.get(at[leafLevel]) | (1n << bit));
					expect(walkSecondStage(memory, g, request({ address })).outcome).toBe("reserved");
					memory.set(at[leafLevel], memory.get(at[leafLevel]) & ~(1n << bit));
				}
			});
		}
	}

	it("refuses an address beyond the input width before any read", () => {
		const memory = new SparseMemory();
		const walk = walkSecondStage(memory, secondStage({ inputBits: 39, levels: 3 }), request({ address: 1n << 39n }));
		expect(walk).toMatchObject({ outcome: "address-size", beforeFirstTable: true });
		expect(memory.reads).toEqual([]);
	});

	it("combines permissions over the levels at the end, after presence and reserved bits", () => {
		const memory = new SparseMemory();
		const at = chain(memory, SECOND, 4, IOVA, 0, R | W, 0x5000n | R | W);
		const g = secondStage();
		memory.set(at[3], memory.get(at[3]) & ~W);
		expect(walkSecondStage(memory, g, request({ access: "w" })).outcome).toBe("no-write");
		expect(walkSecondStage(memory, g, request())).toMatchObject({ outcome: "translated", r: true, w: false });
		memory.set(at[0], 0n);
		expect(walkSecondStage(memory, g, request({ access: "w" })).outcome).toBe("not-present");
		memory.set(at[0], 0x5000n | W);
		expect(walkSecondStage(memory, g, request()).outcome).toBe("no-read");
		memory.set(at[3], memory.get(at[3]) | W);
		expect(walkSecondStage(memory, g, request({ length: 0 })).outcome).toBe("translated");
		expect(walkSecondStage(memory, secondStage({ zeroLengthRead: false }), request({ length: 0 })).outcome).toBe("no-read");
	});

	it("page-size bits without the capability are reserved", () => {
		const memory = new SparseMemory();
		chain(memory, SECOND, 4, IOVA, 1, R | W, 0x40000000n | R | W);
		expect(walkSecondStage(memory, secondStage({ pages2M: false }), request()).outcome).toBe("reserved");
		chain(memory, SECOND, 4, IOVA, 2, R | W, 0x40000000n | R | W);
		expect(walkSecondStage(memory, secondStage({ pages1G: false }), request()).outcome).toBe("reserved");
	});

	it("sets A on the way and D on a write, only when enabled", () => {
		const memory = new SparseMemory();
		const at = chain(memory, SECOND, 4, IOVA, 0, R | W, 0x5000n | R | W);
		walkSecondStage(memory, secondStage(), request({ access: "w" }));
		expect(memory.writes).toEqual([]);
		walkSecondStage(memory, secondStage({ accessedDirty: true }), request());
		expect(memory.writes.map((write) => write.pa)).toEqual([at[3], at[2], at[1], at[0]]);
		expect(memory.get(at[0])).toBe(0x5000n | R | W | SS_A);
		memory.writes.length = 0;
		walkSecondStage(memory, secondStage({ accessedDirty: true }), request({ access: "w" }));
		expect(memory.writes).toEqual([{ pa: at[0], bytes: 8, value: 0x5000n | R | W | SS_A | SS_D }]);
		memory.writes.length = 0;
		walkSecondStage(memory, secondStage({ accessedDirty: true, unsnoopedWalk: true }), request({ access: "w" }));
		expect(memory.writes).toEqual([]);
	});
});

describe("first stage", () => {
	const TABLE = FS_P | FS_RW | FS_US;
	for (const levels of [4, 5] as const) {
		for (const leafLevel of [0, 1, 2]) {
			for (const upper of [false, true]) {
				it(`${levels} levels, leaf at ${leafLevel}, ${upper ? "upper" : "lower"} half: translates, and every reserved bit faults`, () => {
					const width = BigInt(12 + 9 * levels);
					const low = 0x5b_9753_1246_8aceb5n & ((1n << (width - 1n)) - 1n);
					const address = upper ? ((1n << 64n) - 1n) ^ low : low;
					const size = 1n << BigInt(12 + 9 * leafLevel);
					const memory = new SparseMemory();
					const page = 0xa5_c000_0000n & ~(size - 1n);
					const at = chain(memory, FIRST, levels, address, leafLevel, TABLE, page | TABLE);
					const g = firstStage({ levels, haw: 46 });
					expect(walkFirstStage(memory, g, request({ address }))).toMatchObject({
						outcome: "translated",
						pa: page | (address & (size - 1n)),
						pageBytes: size,
					});
					for (let level = leafLevel; level < levels; level++) {
						const before = memory.get(at[level]);
						const mask = firstStageReserved(g, level, level === leafLevel);
						for (let bit = 3n; bit < 64n; bit++) {
							if ((bit >= 12n && bit < 46n) || (bit === 7n && level <= 2 && (level > 0 || leafLevel > 0))) {
								continue;
							}
							memory.set(at[level], before ^ (1n << bit));
							expect(walkFirstStage(memory, g, request({ address })).outcome, `level ${level} bit ${bit}`).toBe(
								(mask >> bit) & 1n ? "reserved" : "translated",
							);
						}
						memory.set(at[level], before);
					}
					// bit 12 of a large page is PAT
					if (leafLevel > 0) {
						memory.set(at[leafLevel], page | TABLE | PS | (1n << 12n));
						expect(walkFirstStage(memory, g, request({ address })).pa).toBe(page | (address & (size - 1n)));
						memory.set(at[leafLevel], page | TABLE | PS | (1n << 13n));
						expect(walkFirstStage(memory, g, request({ address })).outcome).toBe("reserved");
					}
				});
			}
		}
	}

	it("refuses what is not canonical, by the number of levels", () => {
		const memory = new SparseMemory();
		for (const [levels, address, outcome] of [
			[4, 1n << 47n, "address-size"],
			[4, 0xffff_7fff_ffff_ffffn, "address-size"],
			[4, 0xffff_8000_0000_0000n, "not-present"],
			[5, 1n << 47n, "not-present"],
			[5, 1n << 56n, "address-size"],
			[5, 0xff00_0000_0000_0000n, "not-present"],
			[5, 0xfe00_0000_0000_0000n, "address-size"],
		] as const) {
			expect(walkFirstStage(memory, firstStage({ levels }), request({ address })).outcome).toBe(outcome);
		}
	});

	it("sets A, D and EA", () => {
		const memory = new SparseMemory();
		const at = chain(memory, FIRST, 4, IOVA, 0, TABLE, 0x5000n | TABLE);
		walkFirstStage(memory, firstStage(), request());
		expect(memory.writes.map((write) => write.pa)).toEqual([at[3], at[2], at[1], at[0]]);
		expect(memory.get(at[0])).toBe(0x5000n | TABLE | FS_A);
		walkFirstStage(memory, firstStage(), request({ access: "w" }));
		expect(memory.get(at[0])).toBe(0x5000n | TABLE | FS_A | FS_D);
		memory.writes.length = 0;
		walkFirstStage(memory, firstStage({ extendedAccessed: true }), request());
		expect(memory.writes.length).toBe(4);
		expect(memory.get(at[3]) & (FS_EA | FS_D)).toBe(FS_EA);
		memory.writes.length = 0;
		walkFirstStage(memory, firstStage({ extendedAccessed: true }), request({ access: "w" }));
		expect(memory.writes).toEqual([]);
	});

	it("keeps A of the tables when the leaf is refused, and leaves the leaf alone", () => {
		const memory = new SparseMemory();
		const at = chain(memory, FIRST, 4, IOVA, 0, TABLE, 0x5000n | FS_P | FS_US);
		expect(walkFirstStage(memory, firstStage(), request({ access: "w" })).outcome).toBe("no-write");
		expect(memory.writes.map((write) => write.pa)).toEqual([at[3], at[2], at[1]]);
	});

	it("user, supervisor, write protect, execute", () => {
		const make = (flags: bigint) => {
			const memory = new SparseMemory();
			chain(memory, FIRST, 4, IOVA, 0, TABLE, 0x5000n | FS_P | flags);
			return memory;
		};
		const outcome = (flags: bigint, g: Partial<FirstStageGeometry>, over: Partial<VtdRequest>) =>
			walkFirstStage(make(flags), firstStage(g), request(over)).outcome;
		expect(outcome(FS_RW, {}, {})).toBe("no-user");
		expect(outcome(FS_RW, {}, { privileged: true })).toBe("translated");
		expect(outcome(0n, {}, { privileged: true, access: "w" })).toBe("translated");
		expect(outcome(0n, { writeProtect: true }, { privileged: true, access: "w" })).toBe("no-write");
		expect(outcome(FS_US, {}, { privileged: true, access: "w" })).toBe("translated");
		expect(outcome(FS_US, { writeProtect: true }, { privileged: true, access: "w" })).toBe("no-write");
		expect(outcome(FS_US, {}, { access: "w" })).toBe("no-write");
		// U/S comes before R/W
		expect(outcome(0n, {}, { access: "w" })).toBe("no-user");
		const execute = { executeRequests: true, noExecute: true };
		const XD = 1n << 63n;
		expect(outcome(FS_US | XD, execute, { access: "x" })).toBe("no-execute");
		expect(outcome(FS_US | XD, execute, { access: "r" })).toBe("translated");
		expect(outcome(FS_US | XD, { executeRequests: true }, { access: "r" })).toBe("reserved");
		expect(outcome(FS_US | XD, {}, { access: "r" })).toBe("translated");
		expect(outcome(FS_US, { ...execute, supervisorExecutePrevention: true }, { access: "x", privileged: true })).toBe("no-execute");
		expect(outcome(0n, { ...execute, supervisorExecutePrevention: true }, { access: "x", privileged: true })).toBe("translated");
	});
});

describe("legacy mode", () => {
	function setup(type: bigint, aw = 2n, extra = 0n): SparseMemory {
		const memory = new SparseMemory();
		memory.set(ROOT + 3n * 16n, CONTEXT | 1n);
		memory.set(CONTEXT + 0x10n * 16n, SECOND | (type << 2n) | 1n | extra);
		memory.set(CONTEXT + 0x10n * 16n + 8n, (0xabcdn << 8n) | aw);
		return memory;
	}
	const code = (memory: SparseMemory, over: Partial<VtdRequest> = {}, regs: Partial<VtdRegisters> = {}): Result =>
		translateVtd(memory, registers("legacy", regs), request(over));

	it("five levels, domain, and the input limits", () => {
		const memory = setup(0n, 3n);
		const address = 0x123_4567_89ab_cdefn & ((1n << 57n) - 1n);
		chain(memory, SECOND, 5, address, 1, R | W, 0x40000000n | R);
		expect(code(memory, { address })).toMatchObject({ status: "ok", pa: 0x40000000n | (address & 0x1fffffn), w: false });
		expect(code(memory, { address }).fields).toMatchObject({ DID: 0xabcd, TT: 0 });
		expect(code(memory, { address: 1n << 57n }).code).toBe(REASON.LGN_1_BEYOND);
		// MGAW 48 over AGAW 57
		expect(code(memory, { address }, { cap: (CAP & ~(0x3fn << 16n)) | (47n << 16n) }).code).toBe(REASON.LGN_1_BEYOND);
	});

	it("pass-through and its capability", () => {
		expect(code(setup(2n))).toMatchObject({ status: "ok", pa: IOVA, r: true, w: true });
		expect(code(setup(2n), { address: 1n << 48n }).code).toBe(REASON.LGN_1_BEYOND);
		expect(code(setup(2n), {}, { ecap: ECAP & ~(1n << 6n) }).code).toBe(REASON.LCT_4_INVALID);
		expect(code(setup(1n), {}, { ecap: ECAP & ~(1n << 2n) }).code).toBe(REASON.LCT_4_INVALID);
		expect(code(setup(3n)).code).toBe(REASON.LCT_4_INVALID);
		expect(code(setup(0n, 4n)).code).toBe(REASON.LCT_4_INVALID);
		expect(code(setup(0n, 3n), {}, { cap: CAP & ~(1n << 11n) }).code).toBe(REASON.LCT_4_INVALID);
	});

	it("translation and translated requests need TT 01", () => {
		for (const at of ["translation", "translated"] as const) {
			expect(code(setup(0n), { at }).code).toBe(REASON.LCT_5_BLOCKED);
			expect(code(setup(2n), { at }).code).toBe(REASON.LCT_5_BLOCKED);
		}
		expect(code(setup(1n), { at: "translated" })).toMatchObject({ status: "ok", pa: IOVA });
		expect(code(setup(1n), { at: "translation" })).toMatchObject({ code: REASON.LGN_3_READ, reported: false });
	});

	it("reserved bits of the context entry, FPD, tables that cannot be read", () => {
		for (const bit of [4n, 11n, 52n, 63n]) {
			expect(code(setup(0n, 2n, 1n << bit)).code).toBe(REASON.LCT_3_RESERVED);
		}
		for (const [bit, bad] of [
			[3n, false],
			[6n, false],
			[7n, true],
			[24n, true],
			[63n, true],
		] as const) {
			const memory = setup(2n);
			memory.set(CONTEXT + 0x108n, memory.get(CONTEXT + 0x108n) | (1n << bit));
			expect(code(memory).code).toBe(bad ? REASON.LCT_3_RESERVED : 0);
		}
		expect(code(setup(0n))).toMatchObject({ code: REASON.LGN_3_READ, reported: true });
		expect(code(setup(0n, 2n, 2n))).toMatchObject({ code: REASON.LGN_3_READ, reported: false });
		const memory = setup(0n);
		memory.noAccess = [{ first: CONTEXT, end: CONTEXT + 0x1000n }];
		expect(code(memory).code).toBe(REASON.LCT_1_ACCESS);
		memory.noAccess = [{ first: SECOND, end: SECOND + 0x1000n }];
		expect(code(memory).code).toBe(REASON.LCT_4_INVALID);
		memory.noAccess = [{ first: SECOND + 0x1000n, end: SECOND + 0x2000n }];
		chain(memory, SECOND, 4, IOVA, 0, R, R);
		expect(code(memory).code).toBe(REASON.LSS_1_ACCESS);
	});

	it("interrupt range in and out, remapping off, PASID, abort", () => {
		const memory = setup(0n);
		expect(code(memory, { address: 0xfee01234n, access: "w" }).status).toBe("interrupt");
		chain(memory, SECOND, 4, IOVA, 0, R | W, 0xfee00000n | R);
		expect(code(memory).code).toBe(REASON.LGN_4_INTERRUPT);
		expect(code(memory, { access: "w" }).code).toBe(REASON.LGN_2_WRITE);
		// a large page that merely holds the range
		chain(memory, SECOND, 4, IOVA, 2, R | W, 0xc0000000n | R);
		expect(code(memory).status).toBe((0xc0000000n | (IOVA & 0x3fffffffn)) >> 20n === 0xfeen ? "fault" : "ok");
		expect(code(memory, {}, { enabled: false })).toMatchObject({ status: "bypass", pa: IOVA });
		expect(code(memory, { pasid: 1 }).code).toBe(REASON.RTA_2_PASID);
		expect(code(memory, {}, { rtaddr: ROOT | (2n << 10n) }).code).toBe(REASON.RTA_1_INVALID);
		expect(code(memory, {}, { rtaddr: ROOT | (3n << 10n) }).code).toBe(REASON.RTA_1_INVALID);
		expect(code(memory, {}, { rtaddr: ROOT | (3n << 10n), ecap: ECAP | (1n << 52n) }).code).toBe(REASON.RTA_4_ABORT);
	});

	it("fault record", () => {
		const result = code(setup(0n), { access: "w" });
		expect(faultRecord(result)).toEqual([IOVA & ~0xfffn, (1n << 63n) | (5n << 32n) | BigInt(DEVICE)]);
		const read = code(setup(0n), { pasid: 0x54321, privileged: true });
		expect(faultRecord(read)[1]).toBe(
			(1n << 63n) | (1n << 62n) | (0x54321n << 40n) | (0x31n << 32n) | (1n << 31n) | (1n << 29n) | BigInt(DEVICE),
		);
	});
});

describe("scalable mode", () => {
	interface Entry {
		q0?: bigint;
		q1?: bigint;
		q2?: bigint;
		context0?: bigint;
		context1?: bigint;
		directory?: bigint;
		pasid?: number;
		device?: number;
	}
	/** PASID 0 of device 03:02.0 unless told; q0 and q2 without pointers */
	function setup(entry: Entry): SparseMemory {
		const memory = new SparseMemory();
		const device = entry.device ?? DEVICE;
		const pasid = BigInt(entry.pasid ?? 0);
		memory.set(ROOT + BigInt(device >> 8) * 16n + ((device & 0xff) >= 0x80 ? 8n : 0n), CONTEXT | 1n);
		const at = CONTEXT + BigInt(device & 0x7f) * 32n;
		memory.set(at, DIRECTORY | 1n | (entry.context0 ?? 0n));
		memory.set(at + 8n, entry.context1 ?? 0n);
		memory.set(DIRECTORY + (pasid >> 6n) * 8n, PASIDS | 1n | (entry.directory ?? 0n));
		const table = PASIDS + (pasid & 63n) * 64n;
		memory.set(table, SECOND | 1n | (entry.q0 ?? 0n));
		memory.set(table + 8n, 0x1234n | (entry.q1 ?? 0n));
		memory.set(table + 16n, FIRST | (entry.q2 ?? 0n));
		return memory;
	}
	const type = (value: bigint) => value << 6n;
	const AW4 = 2n << 2n;
	const run = (memory: SparseMemory, over: Partial<VtdRequest> = {}, regs: Partial<VtdRegisters> = {}): Result =>
		translateVtd(memory, registers("scalable", regs), request(over));
	const FS = FS_P | FS_RW | FS_US;

	it("root, context, directory and PASID table faults", () => {
		const ok = { q0: type(4n) };
		expect(run(new SparseMemory()).code).toBe(REASON.SRT_2_PRESENT);
		expect(run(setup(ok))).toMatchObject({ status: "ok", pa: IOVA });
		expect(run(setup(ok), { device: 0x390 }).code).toBe(REASON.SRT_2_PRESENT);
		expect(run(setup({ ...ok, device: 0x390 }), { device: 0x390 })).toMatchObject({ status: "ok", pa: IOVA });
		expect(run(setup(ok), { device: 0x311 }).code).toBe(REASON.SCT_2_PRESENT);
		expect(run(setup(ok), {}, { ecap: ECAP & ~(1n << 43n) }).code).toBe(REASON.RTA_1_INVALID);
		for (const bit of [5n, 8n, 52n, 63n]) {
			expect(run(setup({ ...ok, context0: 1n << bit })).code).toBe(REASON.SCT_3_RESERVED);
		}
		expect(run(setup({ ...ok, context1: 1n << 21n })).code).toBe(REASON.SCT_3_RESERVED);
		expect(run(setup(ok), { pasid: 0 }).code).toBe(REASON.SCT_6_PASIDE);
		expect(run(setup({ ...ok, context0: 8n }), { pasid: 0x2000 }).code).toBe(REASON.SCT_7_PASID_RANGE);
		expect(run(setup({ ...ok, context0: 8n | (1n << 9n) }), { pasid: 0x2000 }).code).toBe(REASON.SPD_2_PRESENT);
		expect(run(setup({ ...ok, context1: 0x2000n })).code).toBe(REASON.SCT_9_RID_PASID);
		expect(run(setup({ ...ok, context1: 0x1fffn, pasid: 0x1fff }))).toMatchObject({ status: "ok" });
		expect(run(setup({ ...ok, context0: 8n, pasid: 77 }), { pasid: 77 }).fields).toMatchObject({ PASID: 77, DID: 0x1234, PGTT: 4 });
		expect(run(setup({ ...ok, context0: 8n, pasid: 77 }), { pasid: 76 }).code).toBe(REASON.SPT_2_PRESENT);
		for (const bit of [2n, 11n, 52n]) {
			expect(run(setup({ ...ok, directory: 1n << bit })).code).toBe(REASON.SPD_3_RESERVED);
		}
		const memory = setup(ok);
		for (const [first, code] of [
			[ROOT, REASON.SRT_1_ACCESS],
			[CONTEXT, REASON.SCT_1_ACCESS],
			[DIRECTORY, REASON.SPD_1_ACCESS],
			[PASIDS, REASON.SPT_1_ACCESS],
		] as const) {
			memory.noAccess = [{ first, end: first + 0x1000n }];
			expect(run(memory).code).toBe(code);
		}
	});

	it("device-TLB requests need DTE; translated requests stop at the context entry", () => {
		expect(run(setup({ q0: type(4n) }), { at: "translation" }).code).toBe(REASON.SCT_5_DTE);
		expect(run(setup({ q0: type(4n), context0: 4n }), { at: "translation" })).toMatchObject({ status: "ok", pa: IOVA });
		expect(run(setup({ q0: 0n, context0: 4n }), { at: "translated" })).toMatchObject({ status: "ok", pa: IOVA });
		expect(run(setup({ context0: 4n }), { at: "translated", address: 1n << 52n }).code).toBe(REASON.SGN_4_BEYOND_HAW);
		expect(run(setup({ context0: 4n }), { at: "translated", address: 0xfee00000n }).code).toBe(REASON.SGN_8_INTERRUPT);
	});

	it("FPD at each structure", () => {
		const bad = { q0: type(0n) };
		expect(run(setup(bad))).toMatchObject({ code: REASON.SPT_4_INVALID, reported: true });
		for (const fpd of [{ context0: 2n }, { directory: 2n }, { q0: 2n }]) {
			expect(run(setup({ ...bad, ...fpd }))).toMatchObject({ code: REASON.SPT_4_INVALID, reported: false });
		}
	});

	it("PASID entry: invalid and reserved", () => {
		for (const value of [0n, 5n, 6n, 7n]) {
			expect(run(setup({ q0: type(value) | AW4 })).code).toBe(REASON.SPT_4_INVALID);
		}
		for (const [value, bit] of [
			[1n, 47],
			[2n, 46],
			[3n, 26],
			[4n, 6],
		] as const) {
			expect(run(setup({ q0: type(value) | AW4 }), {}, { ecap: ECAP & ~(1n << BigInt(bit)) }).code).toBe(REASON.SPT_4_INVALID);
		}
		for (const aw of [0n, 4n, 7n]) {
			expect(run(setup({ q0: type(2n) | (aw << 2n) })).code).toBe(REASON.SPT_4_INVALID);
		}
		// AW means nothing to the first stage, FSPM nothing to the second
		expect(run(setup({ q0: type(1n) })).code).toBe(REASON.SFS_2_PRESENT);
		expect(run(setup({ q0: type(2n) | AW4, q2: 3n << 2n })).code).toBe(REASON.SSS_2_PRESENT);
		expect(run(setup({ q0: type(1n), q2: 2n << 2n })).code).toBe(REASON.SPT_4_INVALID);
		expect(run(setup({ q0: type(1n), q2: 1n << 2n }), {}, { cap: CAP & ~(1n << 60n) }).code).toBe(REASON.SPT_4_INVALID);
		expect(run(setup({ q0: type(1n) | (1n << 10n) })).code).toBe(REASON.SPT_3_RESERVED);
		expect(run(setup({ q0: type(1n), q1: 1n << 16n })).code).toBe(REASON.SPT_3_RESERVED);
		expect(run(setup({ q0: type(1n), q1: 1n << 23n })).code).toBe(REASON.SPT_3_RESERVED);
		expect(run(setup({ q0: type(1n), q1: 1n << 23n }), {}, { ecap: ECAP | (1n << 48n) }).code).toBe(REASON.SFS_2_PRESENT);
		expect(run(setup({ q0: type(1n), q2: 1n << 8n })).code).toBe(REASON.SPT_3_RESERVED);
		expect(run(setup({ q0: type(1n), q2: 1n }), {}, { ecap: ECAP & ~(1n << 31n) }).code).toBe(REASON.SPT_3_RESERVED);
		expect(run(setup({ q0: type(2n) | AW4 | (1n << 9n) }), {}, { ecap: ECAP & ~(1n << 45n) }).code).toBe(REASON.SPT_3_RESERVED);
	});

	it("second stage: its own codes", () => {
		const q0 = type(2n) | AW4;
		const memory = setup({ q0 });
		const at = chain(memory, SECOND, 4, IOVA, 0, R | W, 0x5000n | R);
		expect(run(memory)).toMatchObject({ status: "ok", pa: 0x5000n | (IOVA & 0xfffn), w: false });
		expect(run(memory, { access: "w" }).code).toBe(REASON.SGN_6_WRITE);
		memory.set(at[0], 0x5000n | W);
		expect(run(memory).code).toBe(REASON.SGN_7_READ);
		memory.set(at[0], 0x5000n | R | (1n << 52n) | (1n << 11n));
		expect(run(memory).status).toBe("ok");
		memory.set(at[1], memory.get(at[1]) | (1n << 11n));
		expect(run(memory).code).toBe(REASON.SSS_3_RESERVED);
		memory.set(at[1], 0n);
		expect(run(memory).code).toBe(REASON.SSS_2_PRESENT);
		expect(run(memory, { address: 1n << 48n }).code).toBe(REASON.SGN_5_BEYOND);
		memory.noAccess = [{ first: at[2] & ~0xfffn, end: (at[2] & ~0xfffn) + 0x1000n }];
		expect(run(memory).code).toBe(REASON.SSS_1_ACCESS);
		memory.noAccess = [{ first: SECOND, end: SECOND + 0x1000n }];
		expect(run(memory).code).toBe(REASON.SSS_4_ROOT_ACCESS);
	});

	it("second stage: A and D by SSADE, and what stands against them", () => {
		const memory = setup({ q0: type(2n) | AW4 | (1n << 9n) });
		const at = chain(memory, SECOND, 4, IOVA, 0, R | W, 0x5000n | R | W);
		expect(run(memory, { access: "w" }).writes.map((write) => write.pa)).toEqual([at[3], at[2], at[1], at[0]]);
		expect(memory.get(at[0])).toBe(0x5000n | R | W | SS_A | SS_D);
		memory.set(at[0], 0x5000n | R | W);
		expect(run(memory, {}, { ecap: ECAP | (1n << 48n) }).code).toBe(REASON.SSS_5_UNSNOOPED);
		memory.noWrite = [{ first: at[0], end: at[0] + 8n }];
		expect(run(memory).code).toBe(REASON.SSS_6_UPDATE);
	});

	it("first stage: codes, SRE, RID_PRIV, ERE", () => {
		const memory = setup({ q0: type(1n), context0: 8n });
		const at = chain(memory, FIRST, 4, IOVA, 0, FS, 0x5000n | FS_P | FS_RW);
		expect(run(memory).code).toBe(REASON.SGN_2_USER);
		expect(run(memory, { pasid: 0, privileged: true }).code).toBe(REASON.SPT_6_SRE);
		// without PASID the privilege comes from RID_PRIV alone
		expect(run(memory, { privileged: true }).code).toBe(REASON.SGN_2_USER);
		const private_ = (over: Entry) => {
			const made = setup({ q0: type(1n), context0: 8n, ...over });
			chain(made, FIRST, 4, IOVA, 0, FS, 0x5000n | FS_P);
			return made;
		};
		expect(run(private_({ q2: 1n }), { pasid: 0, privileged: true, access: "w" })).toMatchObject({ status: "ok" });
		expect(run(private_({ q2: 1n | (1n << 4n) }), { pasid: 0, privileged: true, access: "w" }).code).toBe(REASON.SGN_6_WRITE);
		expect(run(private_({ q2: 1n, context1: 1n << 20n }))).toMatchObject({ status: "ok" });
		expect(run(private_({ context1: 1n << 20n })).code).toBe(REASON.SPT_6_SRE);
		expect(run(private_({ context1: 1n << 20n }), {}, { ecap: ECAP & ~(1n << 53n) }).code).toBe(REASON.SCT_3_RESERVED);
		expect(run(memory, { pasid: 0, access: "x" }).code).toBe(REASON.SPT_5_ERE);
		const execute = { ecap: ECAP | (1n << 30n) };
		const user = private_({ q2: 2n | (1n << 5n) });
		user.set(at[0], 0x5000n | FS | (1n << 63n));
		expect(run(user, { pasid: 0, access: "x" }, execute).code).toBe(REASON.SGN_3_EXECUTE);
		user.set(at[0], 0x5000n | FS);
		expect(run(user, { pasid: 0, access: "x" }, execute).status).toBe("ok");
		memory.set(at[3], memory.get(at[3]) & ~FS_A);
		memory.noWrite = [{ first: at[3], end: at[3] + 8n }];
		expect(run(memory).code).toBe(REASON.SFS_10_UPDATE);
		expect(run(memory, {}, { ecap: ECAP | (1n << 48n) }).code).toBe(REASON.SFS_9_UNSNOOPED);
		memory.noAccess = [{ first: FIRST, end: FIRST + 0x1000n }];
		expect(run(memory).code).toBe(REASON.SFS_4_ROOT_ACCESS);
		expect(run(memory, { address: 1n << 47n }).code).toBe(REASON.SGN_1_CANONICAL);
	});

	it("interrupt range: input with PASID is DMA, output is refused", () => {
		const memory = setup({ q0: type(1n), context0: 8n });
		chain(memory, FIRST, 4, 0xfee00000n, 0, FS, 0x5000n | FS);
		expect(run(memory, { address: 0xfee00000n }).status).toBe("interrupt");
		expect(run(memory, { address: 0xfee00000n, pasid: 0 })).toMatchObject({ status: "ok", pa: 0x5000n });
		chain(memory, FIRST, 4, IOVA, 0, FS, 0xfeeff000n | FS);
		expect(run(memory).code).toBe(REASON.SGN_8_INTERRUPT);
		expect(run(setup({ q0: type(4n), context0: 8n }), { address: 0xfee00000n, pasid: 0 }).code).toBe(REASON.SGN_8_INTERRUPT);
	});

	describe("nested", () => {
		/** guest-physical pages that the first stage uses, and where the second stage puts them */
		const HOST = 0x900000n;
		const LEAF = 0x77000n;
		const PAGES = [FIRST, FIRST + 0x1000n, FIRST + 0x2000n, FIRST + 0x3000n, LEAF];
		/** second-stage leaves: one table of 4K leaves for the first 2M, another for the next */
		function nested(over: Entry = {}, leaf = FS, flags: (page: bigint) => bigint = () => R | W) {
			const memory = setup({ q0: type(3n) | AW4 | (over.q0 ?? 0n), q2: over.q2 });
			const leafAt = new Map<bigint, bigint>();
			for (const page of PAGES) {
				const at = chain(memory, SECOND, 4, page, 0, R | W | X, (page + HOST) | flags(page));
				leafAt.set(page, at[0]);
			}
			const first: bigint[] = [];
			for (let level = 3; level >= 0; level--) {
				const page = FIRST + BigInt(3 - level) * 0x1000n;
				first[level] = page + HOST + index(IOVA, level) * 8n;
				memory.set(first[level], level === 0 ? LEAF | leaf : (page + 0x1000n) | FS);
			}
			return { memory, first, leafAt };
		}

		it("takes every address through the second stage", () => {
			const { memory, first } = nested();
			const result = run(memory, { access: "w" });
			expect(result).toMatchObject({ status: "ok", pa: LEAF + HOST + (IOVA & 0xfffn), pageBytes: 0x1000n });
			expect(result.writes.map((write) => write.pa)).toEqual([first[3], first[2], first[1], first[0]]);
			expect(memory.get(first[0])).toBe(LEAF | FS | FS_A | FS_D);
			// root, context, directory, PASID entry; 4 x (4 + 1) + 4 with no update left
			memory.reads.length = 0;
			run(memory, { access: "w" });
			expect(memory.reads.length).toBe(1 + 4 + 1 + 8 + 24);
		});

		it("permissions of the second stage on table pages", () => {
			const lacks = (page: bigint, lost: bigint) => (one: bigint) => (one === page ? (R | W) & ~lost : R | W);
			expect(run(nested({}, FS, lacks(FIRST, R)).memory).code).toBe(REASON.SFS_6_ROOT_READ);
			expect(run(nested({}, FS, lacks(FIRST + 0x2000n, R)).memory).code).toBe(REASON.SFS_7_READ);
			expect(run(nested({}, FS, lacks(FIRST + 0x2000n, W)).memory).code).toBe(REASON.SFS_8_WRITE);
			expect(run(nested({}, FS, lacks(FIRST + 0x2000n, R | W)).memory).code).toBe(REASON.SSS_2_PRESENT);
			expect(run(nested({}, FS, lacks(LEAF, W)).memory, { access: "w" }).code).toBe(REASON.SGN_6_WRITE);
			expect(run(nested({}, FS, lacks(LEAF, R)).memory).code).toBe(REASON.SGN_7_READ);
			// accessed already: a table page may be read-only
			const { memory, first } = nested({}, FS | FS_A, lacks(FIRST + 0x3000n, W));
			expect(run(memory)).toMatchObject({ status: "ok" });
			expect(run(memory, { access: "w" }).code).toBe(REASON.SFS_8_WRITE);
			expect(memory.get(first[3]) & FS_A).toBe(FS_A);
		});

		it("a first-stage update stays when the second stage then refuses", () => {
			const { memory, first } = nested({}, FS, (page) => (page === LEAF ? R : R | W));
			expect(run(memory, { access: "w" }).code).toBe(REASON.SGN_6_WRITE);
			expect(memory.get(first[0])).toBe(LEAF | FS | FS_A | FS_D);
		});

		it("addresses beyond the second stage's width", () => {
			const { memory, first } = nested();
			const cap = CAP;
			memory.set(first[0], (1n << 48n) | FS);
			expect(run(memory, {}, { cap }).code).toBe(REASON.SGN_5_BEYOND);
			memory.set(first[1], (1n << 48n) | FS);
			expect(run(memory, {}, { cap }).code).toBe(REASON.SFS_5_BEYOND);
			memory.set(first[1], (1n << 51n) | FS);
			expect(run(memory, {}, { haw: 50 }).code).toBe(REASON.SFS_3_RESERVED);
			memory.set(PASIDS + 16n, (1n << 48n) | FIRST);
			expect(run(memory).code).toBe(REASON.SFS_5_BEYOND);
		});

		it("second-stage A and D of table pages and of the output", () => {
			const { memory, leafAt } = nested({ q0: 1n << 9n });
			expect(run(memory).status).toBe("ok");
			for (const page of PAGES) {
				const dirty = memory.get(leafAt.get(page) as bigint) & (SS_A | SS_D);
				expect(dirty).toBe(page === LEAF ? SS_A : SS_A | SS_D);
			}
		});

		it("combines page size and permissions of both stages", () => {
			const memory = setup({ q0: type(3n) | AW4 });
			chain(memory, SECOND, 4, FIRST, 1, R | W, R | W);
			const far = 0x40000000n;
			memory.set(SECOND + 0x1000n, (SECOND + 0x2000n) | R | W);
			memory.set(SECOND + 0x1000n + 8n, 0x80000000n | R | PS);
			chain(memory, FIRST, 4, IOVA, 1, FS, far | FS);
			expect(run(memory)).toMatchObject({
				status: "ok",
				pa: 0x80000000n | (IOVA & 0x1fffffn),
				pageBytes: 0x200000n,
				r: true,
				w: false,
			});
		});

		it("interrupt range as the final output only", () => {
			const { memory, leafAt } = nested();
			memory.set(leafAt.get(LEAF) as bigint, 0xfee00000n | R | W);
			expect(run(memory).code).toBe(REASON.SGN_8_INTERRUPT);
		});
	});
});

describe("hostile memory", () => {
	it("always ends in an answer, within the bound on reads", () => {
		let state = 0x9e3779b9n;
		const random = (count: number): bigint => {
			let value = 0n;
			for (let i = 0; i < count; i += 16) {
				state = (state * 6364136223846793005n + 1442695040888963407n) & ((1n << 64n) - 1n);
				value = (value << 16n) | (state >> 48n);
			}
			return value & ((1n << BigInt(count)) - 1n);
		};
		const codes = new Map<number, number>();
		for (let round = 0; round < 3000; round++) {
			// four out of five words look like table entries within a few pages, so that loops are common
			const words = new Map<bigint, bigint>();
			let reads = 0;
			const memory: Memory = {
				read: (pa) => {
					reads++;
					if (pa >= 0x10000n) {
						return { error: "access" };
					}
					const value = words.get(pa) ?? (random(8) < 50n ? random(64) : (random(4) << 12n) | (random(2) << 5n) | 7n);
					words.set(pa, value);
					return { value };
				},
				write: (pa, _bytes, value) => {
					words.set(pa, value);
					return random(5) !== 0n;
				},
			};
			// mostly a well-formed way to a random PASID entry
			if (random(3) !== 0n) {
				words.set(ROOT, CONTEXT | 1n);
				words.set(CONTEXT, DIRECTORY | 9n);
				for (let word = 1n; word < 4n; word++) {
					words.set(CONTEXT + 8n * word, 0n);
				}
				words.set(DIRECTORY, PASIDS | 1n);
				words.set(PASIDS, (random(4) << 12n) | ((random(2) + 1n) << 6n) | ((random(2) | 1n) << 2n) | (random(1) << 9n) | 1n);
				words.set(PASIDS + 8n, random(16));
				words.set(PASIDS + 16n, (random(4) << 12n) | (random(1) << 2n) | (random(1) << 4n) | random(1) | (random(1) << 7n));
				for (let word = 3n; word < 8n; word++) {
					words.set(PASIDS + 8n * word, 0n);
				}
			}
			const result = translateVtd(
				memory,
				{ rtaddr: ROOT | (random(3) === 0n ? random(2) << 10n : 1n << 10n), cap: CAP, ecap: ECAP, enabled: true, haw: 46 },
				request({
					device: 0,
					pasid: random(1) === 1n ? 0 : null,
					privileged: random(1) === 1n,
					address: random(random(1) === 1n ? 64 : 40),
					access: (["r", "w", "x"] as const)[Number(random(8)) % 3],
				}),
			);
			codes.set(result.code, (codes.get(result.code) ?? 0) + 1);
			// 1 + 4 + 1 + 8 of the device tables; nested of five levels over five: 5 x (5 + 1 + 5) + 5
			expect(reads).toBeLessThanOrEqual(14 + 60);
		}
		expect(codes.size, [...codes.keys()].sort((a, b) => a - b).join(" ")).toBeGreaterThanOrEqual(20);
	});
});
