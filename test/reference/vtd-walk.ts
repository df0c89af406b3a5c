/**
 * Intel VT-d second-stage (formerly second-level) translation, the slow literal form. First stage: vtd-first.ts.
 *
 * Specification: Intel Virtualization Technology for Directed I/O, Architecture Specification, rev. 3.x to 5.x
 * (section and table names as of rev. 4): 3.7 "Second-Stage Translation", 9.8 "Second-Stage Paging Entries".
 *
 * Entry (64 bit, little-endian):
 *
 * | bits      | table entry (PML5E, PML4E, PDPE, PDE)      | leaf (1G PDPE, 2M PDE, 4K PTE)                    |
 * | 0 R       | read                                       | read                                              |
 * | 1 W       | write                                      | write                                             |
 * | 2 X       | ignored unless SSEE of the PASID entry     | ignored unless SSEE (rev. 3 with ECAP.ERS only)   |
 * | 6:3       | ignored                                    | 5:3 EMT, 6 IPAT (memory type only)                |
 * | 7 PS      | PML5E, PML4E: reserved; PDPE, PDE: 0       | PDPE, PDE: 1; PTE: ignored                        |
 * | 8 A       | accessed when A/D is on, else ignored      | the same                                          |
 * | 9 D       | ignored                                    | dirty when A/D is on, else ignored                |
 * | 10        | ignored                                    | ignored                                           |
 * | 11        | reserved                                   | SNP when ECAP.SC, else reserved                   |
 * | H-1:12    | address of the next table                  | address of the page; below its size: reserved     |
 * | 51:H      | reserved (H = host address width)          | reserved                                          |
 * | 61:52     | ignored                                    | ignored                                           |
 * | 62        | reserved                                   | TM when ECAP.DT, else reserved                    |
 * | 63        | ignored                                    | ignored                                           |
 *
 * Bits 8 and 9 outside A/D mode are ignored whatever they hold (legacy mode; SSADE = 0).
 * SNP, EMT and IPAT only concern coherency and memory type; no check depends on them.
 */
import type { Memory, Outcome, Request, WalkResult } from "./contract.ts";

const R = 1n << 0n;
const W = 1n << 1n;
const X = 1n << 2n;
const PS = 1n << 7n;
const A = 1n << 8n;
const D = 1n << 9n;
const SNP = 1n << 11n;
const TM = 1n << 62n;

/** What decides a second-stage walk. */
export interface SecondStageGeometry {
	/** SSPTPTR, 4K aligned */
	root: bigint;
	/** 3, 4 or 5: AGAW 39, 48, 57 (9.3 and 9.6, field AW) */
	levels: 3 | 4 | 5;
	/** input addresses at or above 2^inputBits are refused: min(AGAW, MGAW) (3.6, CAP_REG.MGAW) */
	inputBits: number;
	/** host address width (9.8: bits 51:HAW are reserved) */
	haw: number;
	/** CAP_REG.SSLPS bit 0 (bit 34): 2M leaves */
	pages2M: boolean;
	/** CAP_REG.SSLPS bit 1 (bit 35): 1G leaves */
	pages1G: boolean;
	/** ECAP_REG.SC: bit 11 of a leaf is SNP, otherwise reserved */
	snoopControl: boolean;
	/** ECAP_REG.DT: bit 62 of a leaf is TM (legacy and rev. 2 hardware), otherwise reserved */
	transientMapping: boolean;
	/** SSADE of the PASID-table entry with ECAP_REG.SSADS: hardware sets A and D (3.7.2) */
	accessedDirty: boolean;
	/** SSEE of the PASID-table entry (rev. 3, ECAP_REG.ERS): bit 2 permits execute; otherwise execute is read */
	executeEnable: boolean;
	/** ECAP_REG.SMPWC with PWSNP = 0: an A/D update that is needed cannot be made (7.1.3, SSS.5) */
	unsnoopedWalk: boolean;
	/** CAP_REG.ZLR: a zero-length read needs R or W only (11.4.2) */
	zeroLengthRead: boolean;
}

/** A walk's result with what VT-d's fault codes further need. */
export interface VtdWalkResult extends WalkResult {
	/** which stage's tables decided */
	stage: 1 | 2;
	/**
	 * stage 2 within a nested walk: what was being translated: the first-stage root pointer (FSPTPTR), a table
	 * address of a first-stage entry, a first-stage entry that hardware must write, or the request itself
	 */
	during: "root" | "entry" | "update" | "output";
	/** update-refused because the walk does not snoop (SFS.9, SSS.5), not because memory refused it (SFS.10, SSS.6) */
	unsnooped: boolean;
}

/** Bits that must be zero in the entry that serves as a table entry or a leaf at `level`. */
export function secondStageReserved(g: SecondStageGeometry, level: number, leaf: boolean): bigint {
	// 9.8: bits 51:HAW
	let mask = ((1n << 52n) - 1n) & ~((1n << BigInt(g.haw)) - 1n);
	if (!leaf) {
		// 9.8: bits 11 and 62 of table entries
		mask |= SNP | TM;
		// 9.8: bit 7 of PML5E and PML4E; without large pages at PDPE or PDE too (11.4.2 SSLPS)
		mask |= PS;
		return mask;
	}
	if (!g.snoopControl) {
		mask |= SNP;
	}
	if (!g.transientMapping) {
		mask |= TM;
	}
	// 9.8: address bits below the page size: 20:12 of a 2M page, 29:12 of a 1G page
	mask |= (1n << BigInt(12 + 9 * level)) - (1n << 12n);
	return mask;
}

/** Whether PS in the entry at `level` makes it a leaf that this hardware knows (11.4.2 SSLPS). */
function isLeaf(g: SecondStageGeometry, level: number, entry: bigint): boolean {
	if (level === 0) {
		return true;
	}
	if ((entry & PS) === 0n) {
		return false;
	}
	return (level === 1 && g.pages2M) || (level === 2 && g.pages1G);
}

/**
 * Walks second-stage tables (3.7). `request.access` "x" is a read that with SSEE needs bit 2 (X) too.
 *
 * Order at each entry: read it; R = W = 0 is not present; reserved bits; (A); descend. After the leaf: permissions
 * combined over all levels (write or read, then execute), then A and D of the leaf in one write. So a not-present or
 * reserved entry further down wins over a missing permission further up. A set further up stays when the walk fails
 * further down. The interrupt range is the caller's business.
 */
export function walkSecondStage(memory: Memory, g: SecondStageGeometry, request: Request): VtdWalkResult {
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
		stage: 2,
		during: "output",
		unsnooped: false,
	};
	const end = (outcome: Outcome): VtdWalkResult => ({ ...result, outcome });
	/** 3.7.2: an atomic write of the entry; false when it cannot be made */
	const update = (updated: bigint): boolean => {
		if (updated === result.entry) {
			return true;
		}
		if (g.unsnoopedWalk) {
			result.unsnooped = true;
			return false;
		}
		if (!memory.write(result.entryAddress, 8, updated)) {
			return false;
		}
		result.entry = updated;
		return true;
	};
	// 3.6: requests above 2^X - 1, X = min(MGAW, AGAW), are blocked
	if (address >> BigInt(g.inputBits) !== 0n) {
		result.beforeFirstTable = true;
		return end("address-size");
	}
	let table = g.root;
	let r = true;
	let w = true;
	let x = true;
	for (let level = g.levels - 1; level >= 0; level--) {
		const shift = BigInt(12 + 9 * level);
		const entryAddress = table + ((address >> shift) & 511n) * 8n;
		result.level = level;
		result.entryAddress = entryAddress;
		const read = memory.read(entryAddress, 8);
		if ("error" in read) {
			return end(read.error === "poison" ? "poison" : "access-error");
		}
		const entry = read.value;
		result.entry = entry;
		if ((entry & (R | W)) === 0n) {
			return end("not-present");
		}
		const leaf = isLeaf(g, level, entry);
		if ((entry & secondStageReserved(g, level, leaf)) !== 0n) {
			return end("reserved");
		}
		r = r && (entry & R) !== 0n;
		w = w && (entry & W) !== 0n;
		x = x && (!g.executeEnable || (entry & X) !== 0n);
		if (!leaf) {
			// 3.7.2: A is set in every entry that is used
			if (g.accessedDirty && !update(entry | A)) {
				return end("update-refused");
			}
			table = entry & ((1n << 52n) - 1n) & ~0xfffn;
			continue;
		}
		const pageBytes = 1n << shift;
		result.pageBytes = pageBytes;
		result.pa = (entry & ((1n << 52n) - 1n) & ~(pageBytes - 1n)) | (address & (pageBytes - 1n));
		result.r = r;
		result.w = w;
		result.x = r && x;
		const write = request.unchecked === undefined ? request.access === "w" : request.unchecked === "read-write" && w;
		if (request.unchecked === undefined) {
			if (write && !w) {
				return end("no-write");
			}
			if (!write && !r && !(g.zeroLengthRead && request.length === 0 && w)) {
				return end("no-read");
			}
			if (request.access === "x" && !x) {
				return end("no-execute");
			}
		}
		if (g.accessedDirty && !update(entry | A | (write ? D : 0n))) {
			return end("update-refused");
		}
		return result;
	}
	throw new Error("unreachable: level 0 is always a leaf");
}
