/**
 * One VMSAv8-64 table walk (stage 1 or stage 2; 4K, 16K, 64K granule), from the Arm ARM (DDI 0487) chapter D8 and the
 * shared pseudocode AArch64.S1Translate / AArch64.S2Translate, with what SMMUv3 (IHI 0070) adds.
 *
 * `VmsaGeometry` counts levels as Arm does; `WalkResult.level` is the contract's, 3 minus Arm's.
 *
 * Descriptor (D8.3):
 *
 *   bit    table (stage 1)     block or page, stage 1      block or page, stage 2
 *   0      valid               valid                       valid
 *   1      1                   block 0, page 1             block 0, page 1
 *   4:2    -                   AttrIndx[2:0]               MemAttr[2:0]       (5:2 is MemAttr[3:0])
 *   5      -                   NS                          MemAttr[3]
 *   6      -                   AP[1] unprivileged access   S2AP[0] read
 *   7      -                   AP[2] read only             S2AP[1] write
 *   9:8    address 51:50 (DS)  SH, or address 51:50 (DS)   as stage 1
 *   10     -                   AF                          AF
 *   11     -                   nG                          RES0, or NS
 *   15:12  address 51:48 (64K granule with 52-bit output), else the low address bits of a 4K table or page
 *   16     -                   nT in blocks (BBML): ignored here
 *   47:n   next table          output address              output address    (49:n with DS)
 *   51     -                   DBM                         DBM
 *   52     -                   Contiguous                  Contiguous
 *   53     -                   PXN                         XN[0]
 *   54     -                   UXN (XN in one-privilege regimes)   XN[1]
 *   59     PXNTable
 *   60     UXNTable (XNTable)
 *   61     APTable[0] no unprivileged access
 *   62     APTable[1] no write
 *   63     NSTable: of no effect to a Non-secure stream
 *
 * Every other bit is RES0 or IGNORED and never faults. Level 3 with bits 1:0 = 01 and a block at a level that has no
 * blocks are invalid descriptors (D8.3.1, D8.3.2).
 *
 * Order (IHI 0070 7.3.22): input range, EPD and E0PD; for each level: fetch abort, invalid descriptor, address size;
 * then on the leaf: access flag, permission; then the hardware update of the leaf.
 */
import type { Memory, WalkResult } from "./contract.ts";
import { blockLevel, contiguousBits, levelShift, stride, type VmsaGeometry } from "./smmuv3-geometry.ts";

/** The part of a request that a stage looks at. */
export interface VmsaAccess {
	address: bigint;
	/** "x" is a read of an instruction (InD = 1) */
	access: "r" | "w" | "x";
	privileged: boolean;
	/** stage 2 only: a CD fetch or an access to a stage 1 table (S2PTW) */
	implicit?: boolean;
	/** as of Request */
	unchecked?: "read" | "read-write";
}

export interface VmsaWalk extends WalkResult {
	/**
	 * The leaf is writable-clean: `w` holds because hardware would mark it dirty first (HD with DBM). A cache may not
	 * let a write through on this entry.
	 */
	clean: boolean;
	/** the stage 2 walk for a stage 1 table entry that did not translate; the outcome is then its outcome */
	blocked: VmsaWalk | null;
	/** with `blocked`: the IPA of the stage 1 entry, and whether it was to be written (TTRnW = 0) */
	blockedAddress: bigint;
	blockedWrite: boolean;
}

/** AArch64.DescriptorOA, before alignment to a block or a table. */
function descriptorAddress(entry: bigint, g: VmsaGeometry): bigint {
	if (g.granule === 16) {
		const high = g.pa52 ? ((entry >> 12n) & 0xfn) << 48n : 0n;
		return high | (entry & 0x0000_ffff_ffff_0000n);
	}
	if (g.ds) {
		return (((entry >> 8n) & 3n) << 50n) | (entry & 0x0003_ffff_ffff_f000n);
	}
	return entry & 0x0000_ffff_ffff_f000n;
}

export function swap64(value: bigint): bigint {
	let swapped = 0n;
	for (let i = 0n; i < 64n; i += 8n) {
		swapped = (swapped << 8n) | ((value >> i) & 0xffn);
	}
	return swapped;
}

/** AArch64.VAIsOutOfRange (D8.2.4), and AArch64.IPAIsOutOfRange for stage 2. */
function outOfRange(address: bigint, g: VmsaGeometry): boolean {
	const top = g.stage === 1 && g.tbi ? 56n : 64n;
	const above = (address & ((1n << top) - 1n)) >> BigInt(64 - g.txsz);
	const ones = (1n << (top - BigInt(64 - g.txsz))) - 1n;
	return above !== (g.stage === 1 && g.upper ? ones : 0n);
}

interface Permissions {
	r: boolean;
	w: boolean;
	x: boolean;
}

/** AArch64.S1DirectBasePermissions, D8.4. `table` holds APTable (bits 62:61), UXNTable (60), PXNTable (59). */
function stage1Permissions(entry: bigint, table: bigint, g: VmsaGeometry, a: VmsaAccess): Permissions {
	const bit = (n: bigint): boolean => ((entry >> n) & 1n) === 1n;
	const tableBit = (n: bigint): boolean => ((table >> n) & 1n) === 1n;
	// D8.5.3: with dirty state management DBM makes AP[2] count as 0
	const readOnly = bit(7n) && !(g.ha && g.hd && bit(51n));
	let r: boolean;
	let w: boolean;
	let x: boolean;
	if (g.unprivileged) {
		let pw = !readOnly;
		let pr = true;
		let ur = bit(6n);
		let uw = bit(6n) && !readOnly;
		if (tableBit(61n)) {
			ur = false;
			uw = false;
		}
		if (tableBit(62n)) {
			pw = false;
			uw = false;
		}
		// D8.4.1.2.3: what the unprivileged can write, the privileged cannot execute
		const px = !(bit(53n) || tableBit(59n) || uw);
		const ux = !(bit(54n) || tableBit(60n));
		// PAN holds for data only; EPAN widens it to what the unprivileged may execute
		if (g.pan && (ur || uw || (g.epan && ux))) {
			pr = false;
			pw = false;
		}
		[r, w, x] = a.privileged ? [pr, pw, px] : [ur, uw, ux];
	} else {
		r = true;
		w = !readOnly && !tableBit(62n);
		x = !(bit(54n) || tableBit(60n));
	}
	if (g.wxn && w) {
		x = false;
	}
	return { r, w, x };
}

/** AArch64.S2DirectBasePermissions, D8.4.2; XN as FEAT_XNX where implemented. */
function stage2Permissions(entry: bigint, g: VmsaGeometry, a: VmsaAccess): Permissions {
	const r = ((entry >> 6n) & 1n) === 1n;
	const w = ((entry >> 7n) & 1n) === 1n || (g.ha && g.hd && ((entry >> 51n) & 1n) === 1n);
	const xn = Number((entry >> 53n) & 3n);
	let x: boolean;
	if (!g.xnx) {
		x = (xn & 2) === 0;
	} else if (a.privileged) {
		x = xn === 0 || xn === 3;
	} else {
		x = xn === 0 || xn === 1;
	}
	return { r, w, x };
}

/** MemAttr of a stage 2 leaf is a Device type (D8.6.5; with FWB bit 4 tells). */
function stage2Device(entry: bigint, g: VmsaGeometry): boolean {
	return g.fwb ? ((entry >> 4n) & 1n) === 0n : ((entry >> 4n) & 3n) === 0n;
}

/**
 * Walks one stage. `tables` translates (by stage 2) the address of a stage 1 entry that is about to be read or, for
 * the update of AF and dirty state, written.
 *
 * Outcomes: "not-present" is a Translation fault, "address-size" an Address Size fault, "update-refused" an Access
 * flag fault (AF = 0 and hardware may not set it), "no-*" Permission faults ("no-user": the privileged would pass),
 * "access-error" and "poison" external aborts, on the fetch and on the update of an entry alike.
 */
export function walkVmsav8(
	memory: Memory,
	geometry: VmsaGeometry,
	access: VmsaAccess,
	tables: ((address: bigint, write: boolean) => VmsaWalk) | null = null,
): VmsaWalk {
	const g = geometry;
	const result: VmsaWalk = {
		outcome: "not-present",
		pa: 0n,
		pageBytes: 0n,
		r: false,
		w: false,
		x: false,
		level: 3 - g.startLevel,
		entryAddress: 0n,
		entry: 0n,
		beforeFirstTable: true,
		clean: false,
		blocked: null,
		blockedAddress: 0n,
		blockedWrite: false,
	};
	const stop = (outcome: WalkResult["outcome"]): VmsaWalk => ({ ...result, outcome });

	if (g.stage === 1 && (g.epd || (g.e0pd && g.unprivileged && !access.privileged))) {
		return stop("not-present");
	}
	if (outOfRange(access.address, g)) {
		return stop("not-present");
	}
	result.beforeFirstTable = false;
	const input = access.address & ((1n << BigInt(64 - g.txsz)) - 1n);

	/** Reaches an entry through stage 2, or says in what that ended (the rest is in `result.blocked`). */
	const locate = (address: bigint, write: boolean): { pa: bigint } | { outcome: WalkResult["outcome"] } => {
		if (tables === null) {
			return { pa: address };
		}
		const second = tables(address, write);
		if (second.outcome === "translated") {
			return { pa: second.pa };
		}
		result.blocked = second;
		result.blockedAddress = address;
		result.blockedWrite = write;
		return { outcome: second.outcome };
	};

	let base = g.root;
	let hierarchical = 0n;
	for (let level = g.startLevel; ; level++) {
		const shift = BigInt(levelShift(g.granule, level));
		// the first table takes all bits that are left: fewer than a full index, or up to 4 more (concatenation)
		const index =
			level === g.startLevel ? input >> shift : (input >> shift) & ((1n << BigInt(stride(g.granule))) - 1n);
		const entryAddress = base + index * 8n;
		result.level = 3 - level;
		result.entryAddress = entryAddress;
		result.entry = 0n;

		const located = locate(entryAddress, false);
		if ("outcome" in located) {
			return stop(located.outcome);
		}
		// from here on the physical address, which F_WALK_EABT reports as FetchAddr
		result.entryAddress = located.pa;
		const fetched = memory.read(located.pa, 8);
		if ("error" in fetched) {
			return stop(fetched.error === "poison" ? "poison" : "access-error");
		}
		const entry = g.bigEndian ? swap64(fetched.value) : fetched.value;
		result.entry = entry;

		// AArch64.DecodeDescriptorType
		const type = Number(entry & 3n);
		const isTable = type === 3 && level < 3;
		const isLeaf = level === 3 ? type === 3 : type === 1 && blockLevel(g.granule, level, g.ds, g.pa52);
		if (!isTable && !isLeaf) {
			return stop("not-present");
		}

		const address = descriptorAddress(entry, g);
		if (isTable) {
			const next = (address >> BigInt(g.granule)) << BigInt(g.granule);
			if (next >> BigInt(g.outputBits) !== 0n) {
				return stop("address-size");
			}
			if (g.stage === 1 && !g.had) {
				hierarchical |= entry & (0xfn << 59n);
			}
			base = next;
			continue;
		}

		const output = (address >> shift) << shift;
		if (output >> BigInt(g.outputBits) !== 0n) {
			return stop("address-size");
		}
		result.pa = output | (input & ((1n << shift) - 1n));
		result.pageBytes = leafBytes(entry, output, input, level, g);

		const p =
			g.stage === 1 ? stage1Permissions(entry, hierarchical, g, access) : stage2Permissions(entry, g, access);
		Object.assign(result, p);
		const writable = g.stage === 1 ? ((entry >> 7n) & 1n) === 0n : ((entry >> 7n) & 1n) === 1n;
		result.clean = p.w && !writable;

		if (((entry >> 10n) & 1n) === 0n && !g.ha && !g.affd) {
			return stop("update-refused");
		}
		if (g.stage === 2 && access.implicit === true && g.ptw && stage2Device(entry, g)) {
			return stop(access.access === "w" ? "no-write" : "no-read");
		}
		const allowed = access.unchecked !== undefined || { r: p.r, w: p.w, x: p.x }[access.access];
		const dirties = access.unchecked === undefined ? access.access === "w" : access.unchecked === "read-write" && p.w;
		if (!allowed) {
			if (g.stage === 1 && g.unprivileged && !access.privileged) {
				const other = stage1Permissions(entry, hierarchical, g, { ...access, privileged: true });
				if (other[access.access]) {
					return stop("no-user");
				}
			}
			return stop(access.access === "r" ? "no-read" : access.access === "w" ? "no-write" : "no-execute");
		}

		// D8.5, IHI 0070 3.13: AF, and for a write the dirty state of a DBM leaf, in one atomic update
		let updated = entry;
		if (g.ha) {
			updated |= 1n << 10n;
			if (g.hd && dirties && ((entry >> 51n) & 1n) === 1n) {
				updated = g.stage === 1 ? updated & ~(1n << 7n) : updated | (1n << 7n);
			}
		}
		if (updated !== entry) {
			// the write needs its own leave of stage 2 (3.13.5)
			const target = locate(entryAddress, true);
			if ("outcome" in target) {
				return stop(target.outcome);
			}
			if (!memory.write(target.pa, 8, g.bigEndian ? swap64(updated) : updated)) {
				return stop("access-error");
			}
			result.entry = updated;
			result.clean = result.clean && !dirties;
		}
		return stop("translated");
	}
}

/**
 * What one entry maps: its own size, or the contiguous set's. A set that would not fit the input range, or whose
 * entry does not hold the output that its place in the set asks for, is a misprogrammed one (CONSTRAINED
 * UNPREDICTABLE, D8.7.1): then the entry counts alone.
 */
function leafBytes(entry: bigint, output: bigint, input: bigint, level: number, g: VmsaGeometry): bigint {
	const shift = levelShift(g.granule, level);
	const more = ((entry >> 52n) & 1n) === 1n ? contiguousBits(g.granule, level) : 0;
	const span = BigInt(shift + more);
	if (more === 0 || shift + more > 64 - g.txsz) {
		return 1n << BigInt(shift);
	}
	const mask = (1n << span) - (1n << BigInt(shift));
	return (output & mask) === (input & mask) ? 1n << span : 1n << BigInt(shift);
}
