import { describe, expect, test } from "vitest";
import {
	type AmdRegisters,
	type AmdRequest,
	CONTROL,
	decodeCommand,
	EFR,
	EVENT,
	encodeEvent,
	encodePageRequest,
	translateAmdvi,
	V1,
	V2,
	walkAmdV1,
} from "./amdvi.ts";
import type { Result } from "./contract.ts";
import { loadVectors, SparseMemory, type VectorCase } from "./vectors.ts";

interface AmdCase extends VectorCase {
	registers: { DEVTAB_BASE: string; CONTROL: string; EXT_FEATURES: string };
	space: { mode: number; root: string; dteIR: number; dteIW: number } | null;
	requests: Array<{
		rid: number;
		pasid: number | null;
		iova: string;
		access: "r" | "w";
		scope: "walk" | "context";
		enforce: "pa" | "code" | "status";
		code_alternatives?: number[];
		expect: { status: "ok" | "fault"; pa?: string; code?: number | null };
	}>;
}

const vectors = loadVectors<AmdCase>("amdvi-qemu");

describe("amdvi-qemu vectors", () => {
	test("every enforced request, through the device table and, where the case allows, by the walk alone", () => {
		const wrong: string[] = [];
		let count = 0;
		for (const item of vectors.cases) {
			const registers: AmdRegisters = {
				deviceTable: BigInt(item.registers.DEVTAB_BASE),
				control: CONTROL.IommuEn,
				exclusionBase: 0n,
				exclusionLimit: 0n,
				extendedFeatures: BigInt(item.registers.EXT_FEATURES),
			};
			for (const wanted of item.requests) {
				count++;
				const request: AmdRequest = {
					device: wanted.rid,
					pasid: wanted.pasid,
					privileged: false,
					address: BigInt(wanted.iova),
					length: 1,
					access: wanted.access,
				};
				const name = `${item.id} ${wanted.iova} ${wanted.access}`;
				const got = translateAmdvi(SparseMemory.of(item, vectors.ram), registers, request);
				const status = got.status === "fault" ? "fault" : "ok";
				if (status !== wanted.expect.status) {
					wrong.push(`${name}: ${status}, not ${wanted.expect.status} ${JSON.stringify(got.code)}`);
				} else if (status === "ok" && got.pa !== BigInt(wanted.expect.pa ?? 0)) {
					wrong.push(`${name}: ${got.pa.toString(16)}, not ${wanted.expect.pa}`);
				} else if (status === "fault") {
					const codes = [wanted.expect.code, ...(wanted.code_alternatives ?? [])];
					if (!codes.includes(got.code)) {
						wrong.push(`${name}: code ${got.code}, not ${codes}`);
					}
				}
				if (wanted.scope === "walk" && item.space !== null) {
					const geometry = {
						mode: item.space.mode,
						root: BigInt(item.space.root),
						ir: item.space.dteIR === 1,
						iw: item.space.dteIW === 1,
						setAccessed: false,
						setDirty: false,
					};
					const walk = walkAmdV1(SparseMemory.of(item, vectors.ram), geometry, request);
					if (
						(walk.outcome === "translated") !== (wanted.expect.status === "ok") ||
						(walk.outcome === "translated" && walk.pa !== BigInt(wanted.expect.pa ?? 0))
					) {
						wrong.push(`${name}: walk ${walk.outcome} ${walk.pa.toString(16)}`);
					}
				}
			}
		}
		expect(wrong).toEqual([]);
		expect(count).toBe(262);
	});
});

const DEVTAB = 0x10000n;
const HOST = 0x40_0000n; // host tables: one page per level below
const RW = V1.PR | V1.IR | V1.IW;
const GUEST = V2.P | V2.RW | V2.US;
/** everything that this reference knows: GTSup, PPRSup, NXSup, USSup, GIoSup, HASup, HDSup, 6 levels, 5 guest levels, GLX 2 */
const ALL =
	EFR.PPRSup |
	EFR.NXSup |
	EFR.GTSup |
	EFR.USSup |
	EFR.GIoSup |
	EFR.HASup |
	EFR.HDSup |
	EFR.GAUpdateDisSup |
	(2n << 10n) |
	(1n << 12n) |
	(2n << 14n) |
	(19n << 32n);

function registers(some: Partial<AmdRegisters> = {}): AmdRegisters {
	return {
		deviceTable: DEVTAB,
		control: CONTROL.IommuEn | CONTROL.GTEn,
		exclusionBase: 0n,
		exclusionLimit: 0n,
		extendedFeatures: ALL,
		...some,
	};
}

function read(address: bigint, some: Partial<AmdRequest> = {}): AmdRequest {
	return { device: 1, pasid: null, privileged: false, address, length: 1, access: "r", ...some };
}

interface Entry {
	mode?: number;
	root?: bigint;
	ir?: boolean;
	iw?: boolean;
	glx?: number;
	gcr3?: bigint;
	guest?: boolean;
	giov?: boolean;
	five?: boolean;
	had?: number;
	low?: bigint;
	high?: bigint;
}

function setEntry(memory: SparseMemory, device: number, e: Entry): void {
	const gcr3 = e.gcr3 ?? 0n;
	const at = DEVTAB + BigInt(device) * 32n;
	const bit = (on: boolean | undefined, n: bigint) => (on ? 1n << n : 0n);
	const q0 =
		3n |
		(BigInt(e.had ?? 0) << 7n) |
		(BigInt(e.mode ?? 0) << 9n) |
		(e.root ?? 0n) |
		bit(e.giov, 54n) |
		bit(e.guest, 55n) |
		(BigInt(e.glx ?? 0) << 56n) |
		(((gcr3 >> 12n) & 7n) << 58n) |
		bit(e.ir ?? true, 61n) |
		bit(e.iw ?? true, 62n);
	const q1 = 0x1234n | (((gcr3 >> 15n) & 0xffffn) << 16n) | ((gcr3 >> 31n) << 43n);
	memory.set(at, q0 | (e.low ?? 0n));
	memory.set(at + 8n, q1 | (e.high ?? 0n));
	memory.set(at + 16n, bit(e.five, 54n));
	memory.set(at + 24n, 0n);
}

/** flags of an event, by name, those that are set */
function flags(result: Result): string {
	const names = ["GN", "NX", "US", "I", "PR", "RW", "PE", "RZ", "TR"];
	return `${result.code} ${names.filter((name) => result.fields[name] === true).join(" ")}`.trim();
}

describe("host tables", () => {
	function host(mode: number, some: Entry = {}): SparseMemory {
		const memory = new SparseMemory();
		setEntry(memory, 1, { mode, root: HOST, ...some });
		return memory;
	}
	const table = (next: number, address: bigint) => RW | (BigInt(next) << 9n) | address;

	test("default page sizes of levels 1 to 5; none at level 6", () => {
		for (let mode = 1; mode <= 6; mode++) {
			const memory = host(mode);
			memory.set(HOST + 8n * 1n, table(0, 0x7_ffff_ffff_f000n));
			const shift = BigInt(12 + 9 * (mode - 1));
			const got = translateAmdvi(memory, registers(), read((1n << shift) | 0x123n));
			if (mode === 6) {
				expect(flags(got)).toBe("2 PR");
				continue;
			}
			expect([got.status, got.pageBytes]).toEqual(["ok", 1n << shift]);
			expect(got.pa).toBe((0x7_ffff_ffff_f000n & ~((1n << shift) - 1n)) | 0x123n);
		}
	});

	test("sizes in the address", () => {
		for (const [shift, legal] of [[13n, true], [20n, true], [21n, false], [22n, false]] as const) {
			const memory = host(1);
			const ones = ((1n << (shift - 1n)) - 1n) & ~0xfffn;
			memory.set(HOST + 8n * 5n, table(7, 0x8000_0000n | ones));
			const got = translateAmdvi(memory, registers(), read(0x5678n));
			expect(legal ? [got.pa, got.pageBytes] : flags(got)).toEqual(
				legal ? [0x8000_0000n | (0x5678n & ((1n << shift) - 1n)), 1n << shift] : "2 PR",
			);
		}
		const memory = host(2); // 4K-64K sizes are too small for level 2
		memory.set(HOST, table(7, 0x8000_0000n));
		expect(flags(translateAmdvi(memory, registers(), read(0n)))).toBe("2 PR");
		memory.set(HOST, table(7, 0x8000_0000n | 0x1f_f000n)); // 4M
		expect(translateAmdvi(memory, registers(), read(0x20_1000n)).status).toBe("fault"); // the other item is empty
		expect(translateAmdvi(memory, registers(), read(0x1000n)).pageBytes).toBe(0x40_0000n);
	});

	test("level skipping, and the bits that must be zero", () => {
		const memory = host(4);
		memory.set(HOST + 8n * 2n, table(1, 0x50_0000n)); // skips 3 and 2
		memory.set(0x50_0000n + 8n * 3n, table(0, 0xabc_d000n));
		const base = 2n << 39n;
		expect(translateAmdvi(memory, registers(), read(base | 0x3eefn)).pa).toBe(0xabc_deefn);
		for (const bit of [21n, 29n, 30n, 38n]) {
			expect(flags(translateAmdvi(memory, registers(), read(base | 0x3000n | (1n << bit))))).toBe("2 PR");
		}
		expect(flags(translateAmdvi(memory, registers(), read(base | 0x3000n | (1n << 48n))))).toBe("2 PR");
		memory.set(HOST + 8n * 2n, table(4, 0x50_0000n)); // not below
		expect(flags(translateAmdvi(memory, registers(), read(base)))).toBe("2 PR");
	});

	test("reserved bits by kind of entry, ignored bits, PR = 0", () => {
		for (let bit = 1n; bit < 64n; bit++) {
			const memory = host(2);
			memory.set(HOST, table(1, 0x50_0000n) | (bit >= 12n && bit < 52n ? 0n : 1n << bit));
			memory.set(0x50_0000n, table(0, 0n));
			if (bit < 9n || bit > 51n) {
				const bad = bit >= 52n && bit <= 60n;
				const got = translateAmdvi(memory, registers(), read(0n));
				expect(got.status === "ok" ? "" : flags(got), `table ${bit}`).toBe(bad ? "2 PR RZ" : "");
				memory.set(HOST, table(1, 0x50_0000n));
				memory.set(0x50_0000n, table(0, 0n) | (1n << bit));
				const page = translateAmdvi(memory, registers(), read(0n));
				const badPage = bit >= 52n && bit <= 58n;
				expect(page.status === "ok" ? "" : flags(page), `page ${bit}`).toBe(badPage ? "2 PR RZ" : "");
			}
		}
		const memory = host(1);
		memory.set(HOST, (table(0, 0x1000n) | V1.PAGE_RESERVED) & ~1n);
		expect(flags(translateAmdvi(memory, registers(), read(0n)))).toBe("2");
	});

	test("permissions are ANDed from the DTE to the page", () => {
		for (let mask = 0; mask < 8; mask++) {
			const memory = host(2, { iw: (mask & 1) === 0 });
			memory.set(HOST, table(1, 0x50_0000n) & ~((mask & 2) !== 0 ? V1.IW : 0n));
			memory.set(0x50_0000n, table(0, 0x1000n) & ~((mask & 4) !== 0 ? V1.IW : 0n));
			expect(translateAmdvi(memory, registers(), read(0n)).w).toBe(mask === 0);
			const got = translateAmdvi(memory, registers(), read(0n, { access: "w" }));
			expect(got.status === "ok" ? "" : flags(got)).toBe(mask === 0 ? "" : "2 PR RW PE");
		}
		const memory = new SparseMemory();
		setEntry(memory, 1, { ir: false });
		expect(flags(translateAmdvi(memory, registers(), read(0x5000n)))).toBe("2 PR PE");
		expect(translateAmdvi(memory, registers(), read(0x5000n, { access: "w" }))).toMatchObject({
			status: "ok",
			pa: 0x5000n,
			r: false,
			w: true,
		});
	});

	test("A and D by HAD", () => {
		for (const [had, access, want] of [
			[0, "w", []],
			[1, "w", [V1.A, V1.A]],
			[3, "r", [V1.A, V1.A]],
			[3, "w", [V1.A, V1.A | V1.D]],
		] as const) {
			const memory = host(2, { had });
			memory.set(HOST, table(1, 0x50_0000n));
			memory.set(0x50_0000n, table(0, 0x1000n));
			const got = translateAmdvi(memory, registers(), read(0n, { access }));
			expect(got.writes.map((one) => one.value & (V1.A | V1.D))).toEqual(want);
			expect(translateAmdvi(memory, registers(), read(0n, { access })).writes).toEqual([]);
		}
		const memory = host(1, { had: 3 });
		memory.set(HOST, table(0, 0x1000n) & ~V1.IW);
		expect(translateAmdvi(memory, registers(), read(0n, { access: "w" })).writes).toEqual([]);
		memory.noWrite = [{ first: HOST, end: HOST + 8n }];
		expect(translateAmdvi(memory, registers(), read(0n))).toMatchObject({ code: 4, fields: { Address: HOST, Type: 2 } });
	});

	test("mode 7 and modes above HATS", () => {
		expect(flags(translateAmdvi(host(7), registers(), read(0n)))).toBe("2 PR");
		const four = registers({ extendedFeatures: ALL & ~(3n << 10n) });
		expect(flags(translateAmdvi(host(5), four, read(0n)))).toBe("2 PR");
		expect(flags(translateAmdvi(host(4), four, read(0n)))).toBe("2");
		const none = registers({ extendedFeatures: ALL | (3n << 10n) });
		expect(flags(translateAmdvi(host(1), none, read(0n)))).toBe("2 PR");
	});
});

describe("device table", () => {
	test("V, TV, size, bus errors, reserved bits", () => {
		const memory = new SparseMemory();
		memory.set(DEVTAB + 32n, 2n | (1n << 63n)); // V = 0: nothing else counts
		expect(translateAmdvi(memory, registers(), read(0x1234n))).toMatchObject({ status: "bypass", pa: 0x1234n });
		memory.set(DEVTAB + 32n, 1n);
		expect(flags(translateAmdvi(memory, registers(), read(0x1234n)))).toBe("2");
		expect(flags(translateAmdvi(memory, registers(), read(0n, { device: 128 })))).toBe("2");
		const asked = translateAmdvi(memory, registers(), read(0n, { device: 128, type: "translation" }));
		expect([asked.code, asked.fields.Type]).toEqual([8, 2]);
		expect(translateAmdvi(memory, registers({ deviceTable: DEVTAB | 1n }), read(0n, { device: 255 })).status).toBe(
			"bypass",
		);
		memory.noAccess = [{ first: DEVTAB + 56n, end: DEVTAB + 64n }];
		const lost = translateAmdvi(memory, registers(), read(0n));
		expect([lost.code, lost.fields.Address, lost.fields.Type]).toEqual([3, DEVTAB + 32n, 2]);
		memory.noAccess = [];
		memory.poison = [{ first: DEVTAB + 32n, end: DEVTAB + 33n }];
		expect(translateAmdvi(memory, registers(), read(0n)).fields.Type).toBe(3);
		memory.poison = [];
		for (const bit of [2n, 6n, 63n]) {
			setEntry(memory, 1, { low: 1n << bit });
			expect(flags(translateAmdvi(memory, registers(), read(0n)))).toBe("1 RZ");
		}
		for (const high of [1n << 42n, 3n << 35n]) {
			setEntry(memory, 1, { high });
			expect(flags(translateAmdvi(memory, registers(), read(0n)))).toBe("1 RZ");
		}
		setEntry(memory, 1, { had: 1 });
		expect(translateAmdvi(memory, registers(), read(0n)).status).toBe("ok");
		expect(flags(translateAmdvi(memory, registers({ extendedFeatures: 0n }), read(0n)))).toBe("1 RZ");
		expect(translateAmdvi(memory, registers({ control: 0n }), read(5n)).status).toBe("bypass");
	});

	test("segments", () => {
		const memory = new SparseMemory();
		setEntry(memory, 1, {});
		memory.set(0x20000n + 32n, 1n); // segment 1: TV = 0
		const segmented = registers({ control: CONTROL.IommuEn | (1n << 34n), segments: [0x20000n] });
		expect(translateAmdvi(memory, segmented, read(0n)).status).toBe("ok");
		expect(flags(translateAmdvi(memory, segmented, read(0n, { device: 0x8001 })))).toBe("2");
	});

	test("exclusion range", () => {
		const memory = new SparseMemory();
		setEntry(memory, 1, { mode: 1, root: HOST });
		const range = { exclusionBase: 0x8000n | 1n, exclusionLimit: 0x9000n };
		const status = (address: bigint, some: Partial<AmdRegisters> = {}) =>
			translateAmdvi(memory, registers({ ...range, ...some }), read(address)).status;
		expect(status(0x8000n)).toBe("fault");
		expect(status(0x8000n, { exclusionBase: 0x8003n })).toBe("bypass"); // Allow
		setEntry(memory, 1, { mode: 1, root: HOST, ir: false, iw: false, high: 1n << 39n }); // EX
		expect(status(0x7fffn)).toBe("fault");
		expect(status(0x8000n)).toBe("bypass");
		expect(status(0x9fffn)).toBe("bypass");
		expect(status(0xa000n)).toBe("fault");
		expect(status(0x8000n, { exclusionBase: 0x8002n })).toBe("fault"); // not enabled
		const guest = translateAmdvi(memory, registers(range), read(0x8000n, { pasid: 1 }));
		expect(guest.status).toBe("fault");
	});

	test("SE, SA and translation requests", () => {
		const memory = new SparseMemory();
		const reported = (high: bigint, some: Partial<AmdRegisters> = {}, type: AmdRequest["type"] = "untranslated") => {
			setEntry(memory, 1, { mode: 1, root: HOST, high });
			const got = translateAmdvi(memory, registers(some), read(0n, { type }));
			expect(got.code).toBe(2);
			return got.reported;
		};
		expect(reported(0n)).toBe(true);
		expect(reported(0n, { faulted: new Set([1]) })).toBe(true);
		expect(reported(1n << 33n)).toBe(true);
		expect(reported(1n << 33n, { faulted: new Set([1]) })).toBe(false);
		expect(reported(1n << 34n)).toBe(false);
		expect(reported(1n << 32n, {}, "translation")).toBe(false);
		setEntry(memory, 1, {});
		for (const type of ["translation", "translated"] as const) {
			const got = translateAmdvi(memory, registers(), read(0n, { type }));
			expect([got.code, got.fields.Type, got.fields.TR]).toEqual([8, 1, type === "translation"]);
		}
		setEntry(memory, 1, { mode: 1, root: HOST, high: 1n << 32n });
		expect(translateAmdvi(memory, registers(), read(5n, { type: "translated" })).status).toBe("bypass");
	});

	test("interrupt range", () => {
		const memory = new SparseMemory();
		setEntry(memory, 1, { ir: false, iw: false });
		expect(translateAmdvi(memory, registers(), read(0xfee0_1000n, { access: "w" })).status).toBe("interrupt");
		expect(translateAmdvi(memory, registers(), read(0xfee0_1000n))).toMatchObject({ code: 8, fields: { Type: 0 } });
	});
});

/** Guest tables at G + level * 0x1000, guest CR3 table at C; `shift` moves guest memory in host memory. */
const G = 0x60_0000n;
const C = 0x70_0000n;

function guestTables(memory: SparseMemory, levels: number, leafLevel: number, leaf: bigint, to = (a: bigint) => a): void {
	for (let level = levels; level > leafLevel; level--) {
		memory.set(to(G + BigInt(level) * 0x1000n) + 8n * 3n, GUEST | (G + BigInt(level - 1) * 0x1000n));
	}
	memory.set(to(G + BigInt(leafLevel) * 0x1000n) + 8n * 3n, leaf);
}

/** the address whose index is 3 at every level */
function threes(levels: number): bigint {
	let address = 0n;
	for (let level = 0; level < levels; level++) {
		address |= 3n << BigInt(12 + 9 * level);
	}
	return address;
}

describe("guest tables", () => {
	function guest(some: Entry = {}, pasid = 7): SparseMemory {
		const memory = new SparseMemory();
		setEntry(memory, 1, { guest: true, gcr3: C, ...some });
		memory.set(C + BigInt(pasid) * 8n, (G + (some.five ? 0x5000n : 0x4000n)) | 1n);
		return memory;
	}
	const at = (some: Partial<AmdRequest> = {}, levels = 4) => read(threes(levels) | 0x3abn, { pasid: 7, ...some });

	test("page sizes, 4 and 5 levels", () => {
		for (const levels of [4, 5]) {
			for (const level of [1, 2, 3]) {
				const memory = guest({ five: levels === 5 });
				guestTables(memory, levels, level, GUEST | 0x1c0_0000_1000n | (level > 1 ? V2.PS : 0n));
				const got = translateAmdvi(memory, registers(), at({}, levels));
				const bytes = 1n << BigInt(12 + 9 * (level - 1));
				expect([got.status, got.pageBytes]).toEqual(["ok", bytes]);
				expect(got.pa).toBe((0x1c0_0000_1000n & ~(bytes - 1n)) | ((threes(levels) | 0x3abn) & (bytes - 1n)));
			}
		}
		const memory = guest();
		guestTables(memory, 4, 4, GUEST | V2.PS); // no pages at level 4
		expect(flags(translateAmdvi(memory, registers(), at()))).toBe("2 GN US PR RZ");
	});

	test("canonical addresses", () => {
		const memory = guest();
		memory.set(G + 0x4000n + 8n * 511n, GUEST | (G + 0x3000n));
		guestTables(memory, 3, 1, GUEST | 0x9000n);
		const low = threes(3);
		expect(translateAmdvi(memory, registers(), at({ address: low | (0x1ff_ffffn << 39n) })).pa).toBe(0x9000n);
		expect(flags(translateAmdvi(memory, registers(), at({ address: low | (0x1ffn << 39n) })))).toBe("2 GN US PR");
		expect(flags(translateAmdvi(memory, registers(), at({ address: low | (1n << 63n) })))).toBe("2 GN US PR");
	});

	test("U/S, R/W, NX at every level", () => {
		for (let level = 1; level <= 4; level++) {
			const memory = guest();
			guestTables(memory, 4, 1, GUEST | 0x9000n);
			const where = G + BigInt(level) * 0x1000n + 24n;
			const entry = memory.get(where);
			const run = (value: bigint, some: Partial<AmdRequest>, features = ALL) => {
				memory.set(where, value);
				const got = translateAmdvi(memory, registers({ extendedFeatures: features }), at(some));
				return got.status === "ok" ? "ok" : flags(got);
			};
			expect(run(entry & ~V2.US, {})).toBe("2 GN US PR PE");
			expect(run(entry & ~V2.US, { privileged: true })).toBe("ok");
			expect(run(entry & ~V2.US, {}, ALL & ~EFR.USSup)).toBe("ok");
			expect(run(entry & ~V2.RW, { access: "w" })).toBe("2 GN US PR RW PE");
			expect(run(entry & ~V2.RW, { access: "w", privileged: true })).toBe("2 GN PR RW PE");
			expect(run(entry & ~V2.RW, {})).toBe("ok");
			expect(run(entry | V2.NX, {})).toBe("ok");
			expect(run(entry | V2.NX, { access: "x" })).toBe("2 GN NX US PR PE");
			expect(run(entry | V2.NX, {}, ALL & ~EFR.NXSup)).toBe("2 GN US PR RZ");
			expect(run(entry, { access: "x", privileged: true })).toBe("ok"); // no SMEP
			expect(run(entry & ~V2.P, {})).toBe("2 GN US");
		}
	});

	test("reserved bits", () => {
		for (let bit = 7n; bit < 63n; bit++) {
			const memory = guest();
			guestTables(memory, 4, 2, GUEST | V2.PS);
			memory.set(G + 0x2000n + 24n, GUEST | V2.PS | (1n << bit));
			const got = translateAmdvi(memory, registers({ addressBits: 48 }), at());
			const bad = (bit >= 13n && bit < 21n) || (bit >= 48n && bit < 52n);
			expect(got.status, `2M page bit ${bit}`).toBe(bad ? "fault" : "ok");
			if (bad) {
				expect(flags(got)).toBe("2 GN US PR RZ");
			}
		}
		for (const bit of [7n, 8n]) {
			const memory = guest();
			guestTables(memory, 4, 1, GUEST);
			memory.set(G + 0x4000n + 24n, GUEST | (G + 0x3000n) | (1n << bit));
			expect(flags(translateAmdvi(memory, registers(), at()))).toBe("2 GN US PR RZ");
		}
	});

	test("A and D", () => {
		const memory = guest();
		guestTables(memory, 4, 1, GUEST | 0x9000n);
		const bits = (result: Result) => result.writes.map((one) => one.value & (V2.A | V2.D));
		const off = { control: CONTROL.IommuEn | CONTROL.GTEn | CONTROL.GAUpdateDis | CONTROL.GDUpdateDis };
		expect(bits(translateAmdvi(memory, registers(off), at({ access: "w" })))).toEqual([]);
		expect(bits(translateAmdvi(memory, registers(), at()))).toEqual([V2.A, V2.A, V2.A, V2.A]);
		expect(bits(translateAmdvi(memory, registers(), at()))).toEqual([]);
		expect(bits(translateAmdvi(memory, registers(), at({ access: "w" })))).toEqual([V2.A | V2.D]);
	});

	test("GIOV, GV, GTEn, PASID", () => {
		const memory = guest({ giov: true }, 0);
		guestTables(memory, 4, 1, GUEST | 0x9000n);
		const none = read(threes(4));
		expect(translateAmdvi(memory, registers(), none)).toMatchObject({ pa: 0x9000n, fields: { GN: true, PASID: 0 } });
		expect(translateAmdvi(memory, registers({ control: CONTROL.IommuEn }), none).pa).toBe(threes(4)); // Mode 0
		setEntry(memory, 1, { guest: true, gcr3: C });
		expect(translateAmdvi(memory, registers(), none).pa).toBe(threes(4));
		expect(flags(translateAmdvi(memory, registers(), at()))).toBe("2 GN US"); // GCR3 entry not valid
		setEntry(memory, 1, { gcr3: C });
		expect(flags(translateAmdvi(memory, registers(), at({ pasid: 0 })))).toBe("2 GN US");
		setEntry(memory, 1, { guest: true, gcr3: C });
		expect(flags(translateAmdvi(memory, registers(), at({ pasid: 512 })))).toBe("2 GN US");
		memory.set(C, 1n | (1n << 52n) | (G + 0x4000n));
		expect(flags(translateAmdvi(memory, registers(), at({ pasid: 0 })))).toBe("2 GN US PR RZ");
	});

	test("GCR3 tables of 1 to 3 levels, root scattered over the DTE", () => {
		const root = 0xa_5a5a_5a5a_5000n;
		for (const [glx, pasid] of [[0, 0x1ff], [1, 0x3abcd], [2, 0xfabcd]] as const) {
			const memory = new SparseMemory();
			setEntry(memory, 1, { guest: true, gcr3: root, glx });
			let table = root;
			for (let level = glx; level > 0; level--) {
				const next = 0x80_0000n + BigInt(level) * 0x1000n;
				memory.set(table + BigInt((pasid >> (9 * level)) & 511) * 8n, next | 1n);
				table = next;
			}
			memory.set(table + BigInt(pasid & 511) * 8n, (G + 0x4000n) | 1n);
			guestTables(memory, 4, 1, GUEST | 0x9000n);
			expect(translateAmdvi(memory, registers(), at({ pasid })).pa).toBe(0x93abn);
			const small = registers({ extendedFeatures: ALL & ~(0x1fn << 32n) }); // PASmax = 0: 1 bit
			expect(flags(translateAmdvi(memory, small, at({ pasid })))).toBe("2 GN US");
			const flat = registers({ extendedFeatures: ALL & ~(3n << 14n) }); // GLXSup = 0
			expect(translateAmdvi(memory, flat, at({ pasid })).code).toBe(glx === 0 ? 0 : EVENT.ILLEGAL_DEV_TABLE_ENTRY);
		}
		const memory = guest({ glx: 3 });
		expect(flags(translateAmdvi(memory, registers(), at()))).toBe("1 GN");
		setEntry(memory, 1, { guest: true, five: true });
		expect(flags(translateAmdvi(memory, registers({ extendedFeatures: ALL & ~(3n << 12n) }), at()))).toBe("1 GN");
	});
});

describe("nested", () => {
	/** guest memory lies 1 GiB higher in host memory: one level-3 host table of 1G pages, item 0 to 1G, item 7 to 12G */
	const up = (gpa: bigint) => gpa + 0x4000_0000n;
	function nested(some: Entry = {}): SparseMemory {
		const memory = new SparseMemory();
		setEntry(memory, 1, { mode: 3, root: HOST, guest: true, gcr3: C, ...some });
		memory.set(HOST, RW | 0x4000_0000n);
		memory.set(HOST + 8n * 7n, RW | 0x3_0000_0000n);
		memory.set(C + 8n, (G + 0x4000n) | 1n);
		guestTables(memory, 4, 1, GUEST | 0x1_c000_9000n, up);
		return memory;
	}
	const at = (some: Partial<AmdRequest> = {}) => read(threes(4) | 0x3abn, { pasid: 1, ...some });

	test("both stages", () => {
		const memory = nested();
		const got = translateAmdvi(memory, registers(), at({ access: "w" }));
		expect(got).toMatchObject({ status: "ok", pa: 0x3_0000_93abn, pageBytes: 0x1000n, r: true, w: true });
		expect(got.writes.map((one) => one.pa)).toEqual([4n, 3n, 2n, 1n].map((level) => up(G + level * 0x1000n) + 24n));
	});

	test("GCR3TRPMode puts the GCR3 table behind the host table", () => {
		const memory = nested();
		const mode = registers({ control: CONTROL.IommuEn | CONTROL.GTEn | CONTROL.GCR3TRPMode });
		expect(flags(translateAmdvi(memory, mode, at()))).toBe("2 GN US");
		memory.set(up(C) + 8n, (G + 0x4000n) | 1n);
		expect(translateAmdvi(memory, mode, at()).pa).toBe(0x3_0000_93abn);
	});

	test("host faults keep the device's address; A and D of the guest stay", () => {
		const memory = nested();
		memory.set(HOST + 8n * 7n, 0n);
		const got = translateAmdvi(memory, registers(), at());
		expect(flags(got)).toBe("2 GN US");
		expect(got.fields).toMatchObject({ Address: at().address, GPA: 0x1_c000_93abn, PASID: 1 });
		expect(got.writes.length).toBe(4);
		memory.set(HOST, 0n); // the tables themselves
		const lost = translateAmdvi(memory, registers(), at());
		expect([flags(lost), lost.fields.GPA]).toEqual(["2 GN US", G + 0x4018n]);
	});

	test("permissions of both stages; table updates need host write and make host pages dirty", () => {
		const memory = nested({ had: 3 });
		memory.set(HOST + 8n * 7n, RW & ~V1.IW);
		expect(translateAmdvi(memory, registers(), at())).toMatchObject({ status: "ok", r: true, w: false });
		expect(flags(translateAmdvi(memory, registers(), at({ access: "w" })))).toBe("2 GN US PR RW PE");
		expect(memory.get(HOST) & (V1.A | V1.D)).toBe(V1.A | V1.D);
		expect(memory.get(HOST + 8n * 7n) & (V1.A | V1.D)).toBe(V1.A);
		const readOnly = nested();
		readOnly.set(HOST, (RW & ~V1.IW) | 0x4000_0000n);
		expect(flags(translateAmdvi(readOnly, registers(), at()))).toBe("2 GN US PR PE");
		guestTables(readOnly, 4, 1, GUEST | V2.A | 0x1_c000_9000n, up);
		for (const level of [4n, 3n, 2n]) {
			const where = up(G + level * 0x1000n) + 24n;
			readOnly.set(where, readOnly.get(where) | V2.A);
		}
		expect(translateAmdvi(readOnly, registers(), at()).status).toBe("ok");
	});

	test("hardware errors name the system physical address", () => {
		const memory = nested();
		const where = up(G + 0x2000n) + 24n;
		memory.noAccess = [{ first: where, end: where + 8n }];
		expect(translateAmdvi(memory, registers(), at())).toMatchObject({ code: 4, fields: { Address: where, GN: true } });
		memory.noAccess = [{ first: HOST, end: HOST + 8n }];
		expect(translateAmdvi(memory, registers(), at()).fields.Address).toBe(HOST);
	});
});

describe("records", () => {
	test("IO_PAGE_FAULT", () => {
		const memory = new SparseMemory();
		setEntry(memory, 1, { mode: 1, root: HOST });
		memory.set(HOST, V1.PR | V1.IR);
		const got = translateAmdvi(memory, registers(), read(0xabcn, { access: "w" }));
		// code 2, PE RW PR, domain 1234h, device 1
		expect(got.fields.record).toBe((0xabcn << 64n) | 0x2070_1234_0000_0001n);
		const fields = got.fields as never;
		const guest = encodeEvent(2, Object.assign({}, fields, { GN: true, PASID: 0xa_bcde, US: true }));
		expect(guest & ((1n << 64n) - 1n)).toBe(0x2075_bcde_000a_0001n);
	});

	test("page request", () => {
		const record = encodePageRequest({
			DeviceID: 0x108,
			PASID: 0x5_4321,
			group: 9,
			last: true,
			read: true,
			write: true,
			execute: false,
			user: true,
			malformed: false,
			Address: 0x7fff_1234_5678n,
		});
		expect(record).toBe((0x7fff_1234_5000n << 64n) | 0x1164_1609_4321_0108n);
	});

	test("commands", () => {
		expect(decodeCommand(0x3000_0042_0000_0000n, 0x7fff_ffff_ffff_f003n)).toEqual({
			op: "INVALIDATE_IOMMU_PAGES",
			domain: 0x42,
			pasid: 0,
			gn: false,
			pde: true,
			range: { first: 0n, bytes: 1n << 64n },
		});
		expect(decodeCommand(0x3000_0042_0000_0007n, 0x1235_5004n)).toMatchObject({
			pasid: 7,
			gn: true,
			range: { first: 0x1235_5000n, bytes: 0x1000n },
		});
		expect(decodeCommand(0x3000_0000_0000_0000n, 0x1234_7001n)).toMatchObject({
			range: { first: 0x1234_0000n, bytes: 0x1_0000n },
		});
		expect(decodeCommand(0x4a21_0108_0443_0108n, 0x5004n)).toMatchObject({
			device: 0x108,
			queue: 0x108,
			maxPend: 4,
			pasid: 0xa_4321,
			gn: true,
		});
		expect(decodeCommand(0x7000_0021_0000_0108n, 0x1009_0000_0004n)).toMatchObject({
			op: "COMPLETE_PPR_REQUEST",
			pasid: 0x21,
			tag: 9,
			code: 1,
		});
		expect(decodeCommand(0x2000_0001_0000_0108n, 0n).op).toBe("illegal");
		expect(decodeCommand(0x9000_0000_0000_0000n, 0n).op).toBe("illegal");
		expect(decodeCommand(0x8000_0000_0000_0000n, 0n).op).toBe("INVALIDATE_IOMMU_ALL");
	});
});
