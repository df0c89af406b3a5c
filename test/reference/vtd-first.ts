/**
 * Intel VT-d first-stage translation (4 and 5 levels) and nested translation, the slow literal form.
 *
 * Specification: Intel VT-d Architecture Specification, rev. 3.x to 5.x: 3.6 "First-Stage Translation", 3.8 "Nested
 * Translation", 9.7 "First-Stage Paging Entries", 7.1.3 fault conditions SFS.n, SSS.n and SGN.n.
 *
 * Entry (64 bit, little-endian; the layout of Intel 64 paging):
 *
 * | bits   | table entry (PML5E, PML4E, PDPE, PDE)       | leaf (1G PDPE, 2M PDE, 4K PTE)                          |
 * | 0 P    | present; 0: every other bit is ignored      | the same                                                |
 * | 1 R/W  | write                                       | write                                                   |
 * | 2 U/S  | 1: user requests may pass                   | the same                                                |
 * | 4:3    | PWT, PCD (memory type only)                 | the same                                                |
 * | 5 A    | accessed, always set by hardware            | the same                                                |
 * | 6 D    | ignored                                     | dirty, set by hardware on a write                       |
 * | 7 PS   | PML5E, PML4E: reserved; PDPE, PDE: 0        | PDPE, PDE: 1; PTE: PAT                                  |
 * | 8 G    | ignored                                     | global                                                  |
 * | 9      | ignored                                     | ignored                                                 |
 * | 10 EA  | extended accessed, set when EAFE            | the same                                                |
 * | 11     | ignored                                     | ignored                                                 |
 * | H-1:12 | address of the next table                   | page; 1G: 29:13 reserved; 2M: 20:13 reserved; 12 = PAT  |
 * | 51:H   | reserved (H = host address width)           | reserved                                                |
 * | 62:52  | ignored                                     | ignored                                                 |
 * | 63 XD  | with ECAP.ERS (rev. 3): NXE ? no execute : reserved. Without ERS (and since rev. 4): ignored          |
 */
import type { Memory, Outcome, Request } from "./contract.ts";
import { type SecondStageGeometry, type VtdWalkResult, walkSecondStage } from "./vtd-walk.ts";

const P = 1n << 0n;
const RW = 1n << 1n;
const US = 1n << 2n;
const A = 1n << 5n;
const D = 1n << 6n;
const PS = 1n << 7n;
const EA = 1n << 10n;
const XD = 1n << 63n;

/** What decides a first-stage walk. */
export interface FirstStageGeometry {
	/** FSPTPTR, 4K aligned; a guest-physical address when `second` is there */
	root: bigint;
	/** FSPM of the PASID-table entry: 00b 4 levels (48 bit), 01b 5 levels (57 bit) */
	levels: 4 | 5;
	/** host address width (9.7: bits 51:HAW are reserved) */
	haw: number;
	/** CAP_REG.FS1GP: 1G leaves (2M leaves always exist) */
	pages1G: boolean;
	/** EAFE of the PASID-table entry: hardware sets EA with A (3.6.3) */
	extendedAccessed: boolean;
	/** WPE: supervisor writes obey R/W too (3.6.2) */
	writeProtect: boolean;
	/** ECAP_REG.ERS: execute requests exist, XD has a meaning (rev. 3 only) */
	executeRequests: boolean;
	/** NXE: XD forbids execute, otherwise XD is reserved; only with executeRequests */
	noExecute: boolean;
	/** SMEP: a supervisor does not execute user pages; only with executeRequests */
	supervisorExecutePrevention: boolean;
	/** ECAP_REG.SMPWC with PWSNP = 0: an A/D update that is needed cannot be made (7.1.3, SFS.9) */
	unsnoopedWalk: boolean;
	/** nested translation (3.8): every address that the first stage produces passes through here */
	second: SecondStageGeometry | null;
}

/** Bits that must be zero in the present entry that serves as a table entry or a leaf at `level` (9.7). */
export function firstStageReserved(g: FirstStageGeometry, level: number, leaf: boolean): bigint {
	let mask = ((1n << 52n) - 1n) & ~((1n << BigInt(g.haw)) - 1n);
	if (g.executeRequests && !g.noExecute) {
		mask |= XD;
	}
	if (!leaf) {
		// PML5E and PML4E; PDPE without FS1GP
		mask |= PS;
	} else if (level > 0) {
		// bit 12 is PAT; from 13 up to the page size
		mask |= (1n << BigInt(12 + 9 * level)) - (1n << 13n);
	}
	return mask;
}

function isLeaf(g: FirstStageGeometry, level: number, entry: bigint): boolean {
	if (level === 0) {
		return true;
	}
	return (entry & PS) !== 0n && (level === 1 || (level === 2 && g.pages1G));
}

/** 3.6: bits 63:N-1 of the address are all equal, N = 48 or 57. */
export function isCanonical(address: bigint, levels: 4 | 5): boolean {
	const high = address >> BigInt(12 + 9 * levels - 1);
	return high === 0n || high === (1n << BigInt(64 - (12 + 9 * levels - 1))) - 1n;
}

/**
 * Walks first-stage tables (3.6), through the second stage where there is one (3.8).
 *
 * Order: canonical address; then at each entry: second stage of the entry's address (read), read it, P, reserved
 * bits; for a table entry A (and EA): second stage for write, write. After the leaf: U/S, execute, write combined over
 * all levels; then A, D, EA of the leaf in one write; then the second stage of the output for the request's own access.
 * So an entry that is not present or reserved further down wins over a permission missing further up. What hardware
 * wrote stays when the walk fails later.
 *
 * Permissions (3.6.2): user request: U/S = 1 at all levels; write needs R/W at all levels. Supervisor request: any
 * page; write needs R/W at all levels only when WPE. Execute: no XD at any level, and with SMEP not a user page.
 */
export function walkFirstStage(memory: Memory, g: FirstStageGeometry, request: Request): VtdWalkResult {
	const address = request.address;
	const result: VtdWalkResult = {
		outcome: "translated",
		pa: 0n,
		pageBytes: 0n,
		r: false,
		w: false,
		x: false,
		level: g.levels - 1,
		entryAddress: 0n,
		entry: 0n,
		beforeFirstTable: false,
		stage: 1,
		during: "output",
		unsnooped: false,
	};
	const end = (outcome: Outcome): VtdWalkResult => ({ ...result, outcome });
	// 7.1.3 SGN.1
	if (!isCanonical(address, g.levels)) {
		result.beforeFirstTable = true;
		return end("address-size");
	}
	/** 3.8: a guest-physical address of the walk, for read or write, through the second stage */
	const guest = (gpa: bigint, access: "r" | "w", during: VtdWalkResult["during"]): VtdWalkResult | bigint => {
		if (g.second === null) {
			return gpa;
		}
		const walk = walkSecondStage(memory, g.second, { ...request, unchecked: undefined, address: gpa, access, length: 8 });
		return walk.outcome === "translated" ? walk.pa : { ...walk, during };
	};
	/** 3.6.3: an atomic write of the entry; null when made or not needed */
	const update = (gpa: bigint, updated: bigint): VtdWalkResult | null => {
		if (updated === result.entry) {
			return null;
		}
		const written = guest(gpa, "w", "update");
		if (typeof written !== "bigint") {
			return written;
		}
		if (g.unsnoopedWalk) {
			result.unsnooped = true;
			return end("update-refused");
		}
		if (!memory.write(written, 8, updated)) {
			return end("update-refused");
		}
		result.entry = updated;
		return null;
	};
	const accessed = A | (g.extendedAccessed ? EA : 0n);
	let table = g.root;
	let rw = true;
	let us = true;
	let xd = false;
	for (let level = g.levels - 1; level >= 0; level--) {
		const shift = BigInt(12 + 9 * level);
		const gpa = table + ((address >> shift) & 511n) * 8n;
		result.level = level;
		const entryAddress = guest(gpa, "r", level === g.levels - 1 ? "root" : "entry");
		if (typeof entryAddress !== "bigint") {
			return entryAddress;
		}
		result.entryAddress = entryAddress;
		const read = memory.read(entryAddress, 8);
		if ("error" in read) {
			return end(read.error === "poison" ? "poison" : "access-error");
		}
		const entry = read.value;
		result.entry = entry;
		if ((entry & P) === 0n) {
			return end("not-present");
		}
		const leaf = isLeaf(g, level, entry);
		if ((entry & firstStageReserved(g, level, leaf)) !== 0n) {
			return end("reserved");
		}
		rw = rw && (entry & RW) !== 0n;
		us = us && (entry & US) !== 0n;
		xd = xd || (g.executeRequests && (entry & XD) !== 0n);
		if (!leaf) {
			const failed = update(gpa, entry | accessed);
			if (failed !== null) {
				return failed;
			}
			table = entry & ((1n << 52n) - 1n) & ~0xfffn;
			continue;
		}
		const pageBytes = 1n << shift;
		const output = (entry & ((1n << 52n) - 1n) & ~(pageBytes - 1n)) | (address & (pageBytes - 1n));
		result.pageBytes = pageBytes;
		result.pa = output;
		if (request.privileged) {
			result.r = true;
			result.w = rw || !g.writeProtect;
			result.x = !xd && !(g.executeRequests && g.supervisorExecutePrevention && us);
		} else {
			result.r = us;
			result.w = us && rw;
			result.x = us && !xd;
		}
		if (!request.privileged && !us) {
			return end("no-user");
		}
		if (request.unchecked === undefined && request.access === "x" && !result.x) {
			return end("no-execute");
		}
		if (request.unchecked === undefined && request.access === "w" && !result.w) {
			return end("no-write");
		}
		const dirties = request.unchecked === undefined ? request.access === "w" : request.unchecked === "read-write" && result.w;
		const failed = update(gpa, entry | accessed | (dirties ? D : 0n));
		if (failed !== null) {
			return failed;
		}
		if (g.second === null) {
			return result;
		}
		// 3.8: the output of the first stage is the input of the second
		const walk = walkSecondStage(memory, g.second, {
			...request,
			address: output,
			...(request.unchecked === undefined ? {} : { unchecked: dirties ? "read-write" : "read" }),
		});
		if (walk.outcome !== "translated") {
			return { ...walk, during: "output" };
		}
		result.pa = walk.pa;
		result.pageBytes = walk.pageBytes < pageBytes ? walk.pageBytes : pageBytes;
		result.r = result.r && walk.r;
		result.w = result.w && walk.w;
		result.x = result.x && walk.x;
		return result;
	}
	throw new Error("unreachable: level 0 is always a leaf");
}
