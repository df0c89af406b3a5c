/**
 * RISC-V page tables, literally: Sv32, Sv39, Sv48, Sv57 (first stage) and Sv32x4, Sv39x4, Sv48x4, Sv57x4 (second
 * stage). [PRIV] is the RISC-V Privileged Architecture, [IOMMU] the RISC-V IOMMU Architecture Specification 1.0.x.
 *
 * Entry, 8 bytes (4 bytes in Sv32 and Sv32x4) [PRIV 12.3-12.6 "Sv32".."Sv57", 18.5 "Two-Stage Address Translation"]:
 *
 *     0 V | 1 R | 2 W | 3 X | 4 U | 5 G | 6 A | 7 D | 9:8 RSW | 53:10 PPN (Sv32: 31:10)
 *     58:54 reserved | 60:59 reserved, or software's with Svrsw60t59b | 62:61 PBMT | 63 N
 *
 * Order of the checks [PRIV 12.3.2 "Virtual Address Translation Process", steps of our own numbering in `walkSv`]:
 *  1. first stage: address canonical; second stage: address within the width -> else address-size, no table read
 *  2. table address within PAS, then the read itself (access-error before poison)
 *  3. V; then R=0 with W=1; reserved bits and encodings (58:54, 60:59, PBMT, N)
 *  4. pointer (R=W=X=0): N, PBMT, D, A, U must be 0; below the last level there is no table
 *  5. leaf: superpage alignment; NAPOT encoding
 *  6. U against the privilege, then R / W / X
 *  7. A and D: set by hardware, or refused
 * All of 3-7 end in the same architectural fault, so that only the neutral outcome depends on their order.
 */
import type { Memory, Outcome, Request, WalkResult } from "./contract.ts";

// [PRIV 12.4.1 "Addressing and Memory Protection"]: the low ten bits are the same in every format
export const PTE_V = 1n << 0n;
export const PTE_R = 1n << 1n;
export const PTE_W = 1n << 2n;
export const PTE_X = 1n << 3n;
export const PTE_U = 1n << 4n;
export const PTE_G = 1n << 5n;
export const PTE_A = 1n << 6n;
export const PTE_D = 1n << 7n;
/** [PRIV 12.4.1] PPN of an 8-byte entry: bits 53:10; of a 4-byte entry: bits 31:10 (12.3.1) */
export const PTE_PPN_SHIFT = 10n;
export const PTE_PPN_BITS_64 = 44n;
export const PTE_PPN_BITS_32 = 22n;
/** [PRIV 12.4.1] bits 58:54 are reserved in every 8-byte entry */
export const PTE_RESERVED_58_54 = 0x1fn << 54n;
/** [PRIV "Svrsw60t59b"] bits 60:59 are software's when the extension is there, else reserved ([IOMMU] capabilities bit 14) */
export const PTE_RSW_60_59 = 3n << 59n;
/** [PRIV "Svpbmt"] bits 62:61: 0 PMA, 1 NC, 2 IO, 3 reserved; all of it reserved without Svpbmt */
export const PTE_PBMT_SHIFT = 61n;
/** [PRIV "Svnapot"] bit 63 */
export const PTE_N = 1n << 63n;
/** [PRIV "Svnapot" table "Page table entry encodings when pte.N=1"] only level 0 with ppn[3:0] = 1000 is defined: 64 KiB */
export const NAPOT_PPN_MASK = 0xfn;
export const NAPOT_PPN_64K = 0x8n;
export const NAPOT_BYTES = 1n << 16n;

export type SvMode = "bare" | "sv32" | "sv39" | "sv48" | "sv57";

interface ModeShape {
	levels: number;
	/** index bits of every level below the root, and of the root too in the first stage */
	indexBits: bigint;
	entryBytes: 4 | 8;
	/** bits of a first-stage address; the second stage has two more [PRIV 18.5.1 "Guest Physical Address Translation"] */
	addressBits: bigint;
}

/** [PRIV 12.3 - 12.6] */
export const MODES: Record<Exclude<SvMode, "bare">, ModeShape> = {
	sv32: { levels: 2, indexBits: 10n, entryBytes: 4, addressBits: 32n },
	sv39: { levels: 3, indexBits: 9n, entryBytes: 8, addressBits: 39n },
	sv48: { levels: 4, indexBits: 9n, entryBytes: 8, addressBits: 48n },
	sv57: { levels: 5, indexBits: 9n, entryBytes: 8, addressBits: 57n },
};

/** [PRIV 18.5.1] the root of an x4 table has two index bits more: 16 KiB, aligned to it */
export const X4_EXTRA_BITS = 2n;
/** [IOMMU 3.1.3.1 "Translation control", SXL] with SXL=1 a guest address has 34 bits, whatever the second-stage mode */
export const SXL_GUEST_BITS = 34n;
/**
 * Span that a Bare stage contributes. [IOMMU 3.6 "PCIe ATS translation request handling", note] leaves the size to the
 * implementation; the reference model's configuration is 256 TiB.
 */
export const BARE_BYTES = 1n << 48n;

/** Everything that a walk needs besides the request. */
export interface SvGeometry {
	/** "bare": no table; output is input */
	mode: SvMode;
	/** 1: Sv32..Sv57; 2: the x4 form of the mode */
	stage: 1 | 2;
	/** address of the root table: PPN x 4096 (a guest address for a nested first stage) */
	root: bigint;
	/** first stage and PDT: DC.tc.SBE; second stage, DDT and MSI tables: fctl.BE [IOMMU "Endianness of in-memory data structures"] */
	bigEndian: boolean;
	/** first stage DC.tc.SADE, second stage DC.tc.GADE */
	hardwareUpdate: boolean;
	/** capabilities.Svpbmt */
	svpbmt: boolean;
	/** capabilities.Svrsw60t59b */
	svrsw60t59b: boolean;
	/** the IOMMU has no capability bit for it; true unless a test says otherwise */
	svnapot: boolean;
	/** capabilities.PAS: a table address with bits above is an access fault; leaf addresses are not checked */
	physicalBits: number;
	/** DC.tc.SXL: caps the second stage's input at 34 bits */
	sxl: boolean;
	/** PC.ta.SUM: a supervisor may read and write U pages (first stage) */
	sum: boolean;
}

/** What a walk serves. */
export interface SvRequest {
	address: bigint;
	access: Request["access"];
	/** true: supervisor. The second stage ignores it: always user [PRIV 18.5.1] */
	privileged: boolean;
	/** why the second stage is walked: the transaction's own address, a first-stage table, a process directory */
	purpose?: "final" | "table" | "directory";
	/** a second-stage walk for a first-stage table while SADE=1: a writable leaf must also be dirty */
	wantDirty?: boolean;
	/** false for ATS translation requests: R, W and X do not fault, they are reported */
	checkAccess?: boolean;
	/** an ATS translation request without No Write: reads, and dirties the page where it may write */
	mayWrite?: boolean;
}

/** A second-stage walk that stopped a first-stage walk or a directory walk. */
export interface StageTwoFailure {
	walk: SvWalk;
	/** guest address of the table's page */
	base: bigint;
	/** the table could be read; hardware wanted to set A or D in its entry and the second stage has no W */
	update: boolean;
}

export interface SvWalk extends WalkResult {
	/** memory type of the leaf: 0 PMA, 1 NC, 2 IO */
	pbmt: number;
	/** G of the leaf or of any pointer above it */
	global: boolean;
	/** U of the leaf */
	user: boolean;
	/** X of the leaf itself; `x` is false for a supervisor on a U page */
	executable: boolean;
	/** the leaf is a NAPOT entry; `pageBytes` is its whole 64 KiB */
	napot: boolean;
	/** the second stage refused a table address or the update of an entry; `outcome` repeats its outcome */
	stageTwo: StageTwoFailure | null;
}

/** Turns the address of a first-stage table entry into a system address. `base`: the page of that table. */
export type TableTranslate = (address: bigint, base: bigint) => { leaf: SvWalk } | StageTwoFailure;

function swap(value: bigint, bytes: number): bigint {
	let out = 0n;
	for (let i = 0; i < bytes; i++) {
		out = (out << 8n) | ((value >> BigInt(8 * i)) & 0xffn);
	}
	return out;
}

/** One implicit read in the given byte order, PAS checked first. */
export function readWord(
	memory: Memory,
	pa: bigint,
	bytes: 4 | 8,
	bigEndian: boolean,
	physicalBits: number,
): { value: bigint } | { error: "access" | "poison" } {
	if (pa >> BigInt(physicalBits) !== 0n) {
		return { error: "access" };
	}
	const got = memory.read(pa, bytes);
	if ("error" in got || !bigEndian) {
		return got;
	}
	return { value: swap(got.value, bytes) };
}

function writeWord(memory: Memory, pa: bigint, bytes: 4 | 8, value: bigint, bigEndian: boolean): boolean {
	return memory.write(pa, bytes, bigEndian ? swap(value, bytes) : value);
}

/** A Bare stage: everything is allowed [IOMMU 3.1.3.2, 3.1.3.4 mode encodings, 0 "No translation or protection"]. */
export function bareWalk(stage: 1 | 2, address: bigint): SvWalk {
	return {
		outcome: "translated",
		pa: address,
		pageBytes: BARE_BYTES,
		r: true,
		w: true,
		x: true,
		level: 0,
		entryAddress: 0n,
		entry: 0n,
		beforeFirstTable: true,
		pbmt: 0,
		// a Bare first stage is the same in every address space; the second stage has no global pages
		global: stage === 1,
		user: true,
		executable: true,
		napot: false,
		stageTwo: null,
	};
}

/** Bits of input that the stage takes: 32 / 39 / 48 / 57, two more in the second stage, 34 at most there with SXL. */
export function inputBits(geometry: SvGeometry): bigint {
	const shape = MODES[geometry.mode as Exclude<SvMode, "bare">];
	if (geometry.stage === 1) {
		return shape.addressBits;
	}
	const bits = shape.addressBits + X4_EXTRA_BITS;
	return geometry.sxl && bits > SXL_GUEST_BITS ? SXL_GUEST_BITS : bits;
}

function addressFits(geometry: SvGeometry, address: bigint): boolean {
	const bits = inputBits(geometry);
	if (geometry.stage === 2 || geometry.mode === "sv32") {
		// [PRIV 18.5.1] upper bits zero; [IOMMU 3.1.3.1 SXL] an IOVA beyond bit 31 faults in Sv32
		return address >> bits === 0n;
	}
	// [PRIV 12.4.1, 12.5.1, 12.6.1] bits 63:VASIZE equal bit VASIZE-1
	const upper = address >> (bits - 1n);
	return upper === 0n || upper === (1n << (65n - bits)) - 1n;
}

/** One walk of one stage. `translateTable` makes it the first stage of a nested walk. */
export function walkSv(
	memory: Memory,
	geometry: SvGeometry,
	request: SvRequest,
	translateTable?: TableTranslate,
): SvWalk {
	const { address } = request;
	if (geometry.mode === "bare") {
		return bareWalk(geometry.stage, address);
	}
	const shape = MODES[geometry.mode];
	const result: SvWalk = { ...bareWalk(geometry.stage, 0n), pageBytes: 0n, r: false, w: false, x: false, user: false };
	result.global = false;
	result.executable = false;
	result.level = shape.levels - 1;
	const stop = (outcome: Outcome, stageTwo: StageTwoFailure | null = null): SvWalk => {
		result.outcome = outcome;
		result.stageTwo = stageTwo;
		return result;
	};

	// 1. width of the address
	if (!addressFits(geometry, address)) {
		return stop("address-size");
	}
	result.beforeFirstTable = false;

	let base = geometry.root;
	let level = shape.levels - 1;
	for (;;) {
		result.level = level;
		// 2. the entry's address, through the second stage when nested; then the read
		const bits = shape.indexBits + (geometry.stage === 2 && level === shape.levels - 1 ? X4_EXTRA_BITS : 0n);
		const shift = 12n + shape.indexBits * BigInt(level);
		const index = (address >> shift) & ((1n << bits) - 1n);
		let entryAddress = base + index * BigInt(shape.entryBytes);
		let tableLeaf: SvWalk | null = null;
		if (translateTable !== undefined) {
			const table = translateTable(entryAddress, base);
			if ("walk" in table) {
				result.entryAddress = entryAddress;
				return stop(table.walk.outcome, table);
			}
			tableLeaf = table.leaf;
			entryAddress = tableLeaf.pa;
		}
		result.entryAddress = entryAddress;
		const got = readWord(memory, entryAddress, shape.entryBytes, geometry.bigEndian, geometry.physicalBits);
		if ("error" in got) {
			return stop(got.error === "access" ? "access-error" : "poison");
		}
		const entry = got.value;
		result.entry = entry;

		// 3. valid, and no reserved encoding
		if ((entry & PTE_V) === 0n) {
			return stop("not-present");
		}
		if ((entry & PTE_R) === 0n && (entry & PTE_W) !== 0n) {
			return stop("reserved");
		}
		const pbmt = shape.entryBytes === 8 ? (entry >> PTE_PBMT_SHIFT) & 3n : 0n;
		const napot = shape.entryBytes === 8 && (entry & PTE_N) !== 0n;
		if (shape.entryBytes === 8) {
			if ((entry & PTE_RESERVED_58_54) !== 0n) {
				return stop("reserved");
			}
			if ((entry & PTE_RSW_60_59) !== 0n && !geometry.svrsw60t59b) {
				return stop("reserved");
			}
			if (pbmt === 3n || (pbmt !== 0n && !geometry.svpbmt)) {
				return stop("reserved");
			}
			if (napot && (!geometry.svnapot || level !== 0)) {
				return stop("reserved");
			}
		}
		const ppnBits = shape.entryBytes === 8 ? PTE_PPN_BITS_64 : PTE_PPN_BITS_32;
		const ppn = (entry >> PTE_PPN_SHIFT) & ((1n << ppnBits) - 1n);

		// 4. pointer to the next table
		if ((entry & (PTE_R | PTE_X)) === 0n) {
			if (napot || pbmt !== 0n || (entry & (PTE_D | PTE_A | PTE_U)) !== 0n) {
				return stop("reserved");
			}
			result.global ||= (entry & PTE_G) !== 0n;
			if (level === 0) {
				return stop("reserved");
			}
			level--;
			base = ppn << 12n;
			continue;
		}

		// 5. leaf: alignment and NAPOT encoding
		const lowPpn = (1n << (shape.indexBits * BigInt(level))) - 1n;
		if ((ppn & lowPpn) !== 0n) {
			return stop("reserved");
		}
		if (napot && (ppn & NAPOT_PPN_MASK) !== NAPOT_PPN_64K) {
			return stop("reserved");
		}

		// 6. privilege, then access
		const supervisor = geometry.stage === 1 && request.privileged;
		const user = (entry & PTE_U) !== 0n;
		// [IOMMU 3.2.3.1 ENS, SUM] a supervisor never executes U pages and reads and writes them only with SUM
		const dataAllowed = supervisor ? !user || geometry.sum : user;
		const codeAllowed = supervisor ? !user : user;
		result.user = user;
		result.global ||= (entry & PTE_G) !== 0n;
		result.executable = (entry & PTE_X) !== 0n;
		result.napot = napot;
		result.pbmt = Number(pbmt);
		result.r = dataAllowed && (entry & PTE_R) !== 0n;
		result.w = dataAllowed && (entry & PTE_W) !== 0n;
		result.x = codeAllowed && result.executable;
		if (!(request.access === "x" ? codeAllowed : dataAllowed)) {
			return stop("no-user");
		}
		if (request.checkAccess !== false) {
			if (request.access === "x" && !result.x) {
				return stop("no-execute");
			}
			if (request.access === "r" && !result.r) {
				return stop("no-read");
			}
			if (request.access === "w" && !result.w) {
				return stop("no-write");
			}
		}

		// 7. accessed and dirty
		const writable = (entry & PTE_W) !== 0n;
		const store = request.access === "w" || request.mayWrite === true;
		const table = request.purpose === "table";
		const clean = (entry & PTE_D) === 0n && writable;
		const needs = (entry & PTE_A) === 0n || (clean && (store || (table && request.wantDirty === true)));
		if (needs) {
			if (!geometry.hardwareUpdate) {
				return stop("update-refused");
			}
			// the second stage must let hardware write the page that holds this first-stage entry
			if (tableLeaf !== null && !tableLeaf.w) {
				const walk: SvWalk = { ...tableLeaf, outcome: "no-write" };
				return stop("no-write", { walk, base, update: true });
			}
			const updated = entry | PTE_A | (writable && (store || table) ? PTE_D : 0n);
			if (!writeWord(memory, entryAddress, shape.entryBytes, updated, geometry.bigEndian)) {
				return stop("access-error");
			}
			result.entry = updated;
		}

		const pageBytes = napot ? NAPOT_BYTES : 1n << shift;
		result.pageBytes = pageBytes;
		result.pa = ((ppn << 12n) & ~(pageBytes - 1n)) | (address & (pageBytes - 1n));
		return stop("translated");
	}
}
