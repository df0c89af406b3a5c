/**
 * AMD I/O Virtualization Technology (IOMMU) Specification, document 48882: page tables, literally.
 *
 * Host tables (v1), section 2.2.3 "I/O Page Tables for Host Translations". Entry bits:
 *
 *   bit   0  PR   present                       bits 11:9   Next Level: 0 = page of this level's default size,
 *   bit   5  A    accessed (HASup, DTE.HAD)                  1-6 = table of that level, 7 = page, size in address
 *   bit   6  D    dirty (HDSup, pages only)     bits 51:12  address
 *   bit  59  U    untranslated only (pages)     bit   60    FC force coherent (pages)
 *   bit  61  IR   reads permitted               bit   62    IW writes permitted
 *   bits 4:1, 8:7, 63 (and 6 of a table entry) are ignored; 58:52 of a page, 60:52 of a table entry are reserved.
 *
 * Guest tables (v2), section 2.2.6 and AMD64 Architecture Programmer's Manual volume 2, section 5.3 (long mode):
 *
 *   bit 0 P, 1 R/W, 2 U/S, 3 PWT, 4 PCD, 5 A, 6 D (page), 7 PS (levels 2 and 3; PAT at level 1), 8 G (page),
 *   bit 12 PAT of a large page, 51:12 address, 62:52 available, 63 NX.
 *
 * Section numbers are those of revision 3.0x; the subsections moved by one between revisions.
 */
import type { Memory, Request, WalkResult } from "./contract.ts";

/** Why an outcome "reserved" or "address-size": RZ of the event is 1 for the first, 0 for the others (section 2.5.3). */
export type Illegal = "none" | "reserved-bits" | "level" | "page-size" | "skipped-bits" | "width";

export interface AmdWalk extends WalkResult {
	illegal: Illegal;
	/** v1 leaf bits 60 and 59, for the answer to an ATS translation request */
	forceCoherent: boolean;
	untranslatedOnly: boolean;
	/** v2 leaf bit 8 */
	global: boolean;
	/** nested only: the host walk that stopped a guest walk, and the guest physical address it was for */
	host: AmdWalk | null;
	hostAddress: bigint;
}

/** Run-time record of a host (v1) table. */
export interface AmdV1Geometry {
	/** 1-6: level of the root table (DTE.Mode) */
	mode: number;
	/** 4K-aligned system physical address */
	root: bigint;
	/** permission that the walk starts with (DTE.IR, DTE.IW) */
	ir: boolean;
	iw: boolean;
	/** hardware sets A in every entry of the walk; D in the page entry upon a write (DTE.HAD, HASup, HDSup) */
	setAccessed: boolean;
	setDirty: boolean;
}

/** Translates guest physical addresses for a guest walk; Mode 0 is the identity with IR and IW. */
export type HostStage = (memory: Memory, address: bigint, access: "r" | "w", unchecked?: Request["unchecked"]) => AmdWalk;

/** Run-time record of a guest (v2) table. */
export interface AmdV2Geometry {
	levels: 4 | 5;
	/** guest CR3, 4K-aligned guest physical address */
	root: bigint;
	/** EFR.NXSup: NX counts; else bit 63 is reserved and an execute is a read */
	nx: boolean;
	/** EFR.USSup: U/S counts; else it is not looked at */
	us: boolean;
	/** hardware sets A (not Control.GAUpdateDis) and D (not Control.GDUpdateDis) */
	setAccessed: boolean;
	setDirty: boolean;
	/** address bits at and above are reserved in entries (MAXPHYADDR, 52 at most) */
	addressBits: number;
	host: HostStage;
}

export const ADDRESS_MASK = 0x000f_ffff_ffff_f000n; // bits 51:12

/** Section 2.2.3, figures "I/O Page Table Entry" and "I/O Page Directory Entry". */
export const V1 = {
	PR: 1n << 0n,
	A: 1n << 5n,
	D: 1n << 6n,
	U: 1n << 59n,
	FC: 1n << 60n,
	IR: 1n << 61n,
	IW: 1n << 62n,
	/** page entry: bits 58:52 */
	PAGE_RESERVED: 0x7fn << 52n,
	/** table entry: bits 60:52 */
	TABLE_RESERVED: 0x1ffn << 52n,
} as const;

/** AMD64 volume 2, section 5.3.3 to 5.4. */
export const V2 = {
	P: 1n << 0n,
	RW: 1n << 1n,
	US: 1n << 2n,
	A: 1n << 5n,
	D: 1n << 6n,
	PS: 1n << 7n,
	G: 1n << 8n,
	NX: 1n << 63n,
} as const;

function stopped(outcome: WalkResult["outcome"], where: Partial<AmdWalk>): AmdWalk {
	return {
		outcome,
		pa: 0n,
		pageBytes: 0n,
		r: false,
		w: false,
		x: false,
		level: 0,
		entryAddress: 0n,
		entry: 0n,
		beforeFirstTable: false,
		illegal: "none",
		forceCoherent: false,
		untranslatedOnly: false,
		global: false,
		host: null,
		hostAddress: 0n,
		...where,
	};
}

/** Section 2.2.3, table "Page Table Level Parameters": level L maps pages of 2^(12 + 9 (L - 1)) by default. */
function levelShift(level: number): bigint {
	return BigInt(12 + 9 * (level - 1));
}

/**
 * log2 of the size that a Next Level = 7 entry encodes: the lowest 0 of the address, counted from bit 12, is one below
 * (0 at bit 12: 8K). 0 when no bit of 51:12 is 0. Section 2.2.3, table "Example Page Size Encodings".
 */
export function encodedPageShift(entry: bigint): bigint {
	for (let bit = 12n; bit <= 51n; bit++) {
		if (((entry >> bit) & 1n) === 0n) {
			return bit + 1n;
		}
	}
	return 0n;
}

/**
 * One host walk. Order: address width before any table; in each entry PR, reserved bits, level (and skipped address
 * bits) or page size; IR and IW are ANDed all the way (section 2.2.3) and judged once, at the page entry. A and D are
 * written root first, only when the whole walk has succeeded.
 */
export function walkAmdV1(memory: Memory, geometry: AmdV1Geometry, request: Request): AmdWalk {
	const { mode, root } = geometry;
	const address = request.address;
	// section 2.2.3: address bits above those that the root level translates must be zero
	if (mode < 6 && address >> levelShift(mode + 1) !== 0n) {
		return stopped("address-size", { illegal: "width", level: mode - 1, beforeFirstTable: true });
	}
	let level = mode;
	let table = root & ADDRESS_MASK;
	let ir = geometry.ir;
	let iw = geometry.iw;
	const walked: Array<{ pa: bigint; entry: bigint }> = [];
	for (;;) {
		// level 6 has address bits 63:57 only
		const index = (address >> levelShift(level)) & 0x1ffn;
		const entryAddress = table + index * 8n;
		const got = memory.read(entryAddress, 8);
		if ("error" in got) {
			return stopped(got.error === "poison" ? "poison" : "access-error", { level: level - 1, entryAddress });
		}
		const entry = got.value;
		const at = { level: level - 1, entryAddress, entry };
		if ((entry & V1.PR) === 0n) {
			return stopped("not-present", at); // all other bits are ignored
		}
		const next = Number((entry >> 9n) & 7n);
		const isPage = next === 0 || next === 7;
		if ((entry & (isPage ? V1.PAGE_RESERVED : V1.TABLE_RESERVED)) !== 0n) {
			return stopped("reserved", { ...at, illegal: "reserved-bits" });
		}
		ir = ir && (entry & V1.IR) !== 0n;
		iw = iw && (entry & V1.IW) !== 0n;
		walked.push({ pa: entryAddress, entry });
		if (!isPage) {
			if (next >= level) {
				return stopped("reserved", { ...at, illegal: "level" });
			}
			// address bits that a skipped level would have translated must be zero
			const skipped = (1n << levelShift(level)) - (1n << levelShift(next + 1));
			if ((address & skipped) !== 0n) {
				return stopped("reserved", { ...at, illegal: "skipped-bits" });
			}
			level = next;
			table = entry & ADDRESS_MASK;
			continue;
		}
		if (level === 6) {
			return stopped("reserved", { ...at, illegal: "level" }); // no pages at the top level
		}
		let shift = levelShift(level);
		if (next === 7) {
			shift = encodedPageShift(entry);
			// larger than this level's default, smaller than the next level's
			if (shift <= levelShift(level) || shift >= levelShift(level + 1)) {
				return stopped("reserved", { ...at, illegal: "page-size" });
			}
		}
		const pageBytes = 1n << shift;
		const found = {
			...at,
			pageBytes,
			r: ir,
			w: iw,
			x: ir, // host tables know no execute
			forceCoherent: (entry & V1.FC) !== 0n,
			untranslatedOnly: (entry & V1.U) !== 0n,
		};
		if (request.unchecked === undefined && (request.access === "w" ? !iw : !ir)) {
			return stopped(request.access === "w" ? "no-write" : "no-read", found);
		}
		const dirties = request.unchecked === undefined ? request.access === "w" : request.unchecked === "read-write" && iw;
		// sections 2.2.3.1 and 2.2.3.2
		for (const [i, step] of walked.entries()) {
			const last = i === walked.length - 1;
			const wanted =
				(geometry.setAccessed ? V1.A : 0n) |
				(geometry.setDirty && last && dirties ? V1.D : 0n);
			if ((step.entry & wanted) !== wanted && !memory.write(step.pa, 8, step.entry | wanted)) {
				return stopped("update-refused", { ...found, entryAddress: step.pa, entry: step.entry });
			}
		}
		// address bits below the page size are not looked at
		const pa = (entry & ADDRESS_MASK & ~(pageBytes - 1n)) | (address & (pageBytes - 1n));
		return { ...stopped("translated", found), pa };
	}
}

/** Mode 0: no table, the address stays; DTE.IR and DTE.IW decide (section 2.2.2, field Mode). */
export function identityHost(ir: boolean, iw: boolean): HostStage {
	return (_memory, address, access, unchecked) => {
		const found = { r: ir, w: iw, x: ir, pageBytes: 1n << 64n, beforeFirstTable: true };
		if (unchecked === undefined && (access === "w" ? !iw : !ir)) {
			return stopped(access === "w" ? "no-write" : "no-read", found);
		}
		return { ...stopped("translated", found), pa: address };
	};
}

/** A host table as the stage below a guest walk. */
export function tableHost(geometry: AmdV1Geometry): HostStage {
	return (memory, address, access, unchecked) =>
		walkAmdV1(memory, geometry, { device: 0, pasid: null, privileged: false, address, length: 1, access, unchecked });
}

/** Reads one 8-byte entry at a guest physical address; a fault of the host stage comes back as the walk that failed. */
export function readThroughHost(
	memory: Memory,
	host: HostStage,
	address: bigint,
): { entry: bigint; pa: bigint } | { failed: AmdWalk } {
	const below = host(memory, address, "r");
	if (below.outcome !== "translated") {
		return { failed: { ...below, host: below, hostAddress: address } };
	}
	const got = memory.read(below.pa, 8);
	if ("error" in got) {
		const outcome = got.error === "poison" ? "poison" : "access-error";
		return { failed: stopped(outcome, { entryAddress: below.pa }) };
	}
	return { entry: got.value, pa: below.pa };
}

/**
 * One guest walk to a guest physical address, every entry read through the host stage. Order: canonical address; in
 * each entry P, reserved bits; at the page U/S, then R/W, then NX. As with CR0.WP = 1, R/W binds the supervisor too;
 * there is no SMEP or SMAP. Then A (every level) and D (page, write) are written root first, each through the host
 * stage as a write (section 2.2.7.4). The result's `pa` is a guest physical address.
 */
export function walkAmdV2(memory: Memory, geometry: AmdV2Geometry, request: Request): AmdWalk {
	const { levels, addressBits, host } = geometry;
	const address = request.address;
	// AMD64 volume 2, section 5.3.1: canonical form
	const top = BigInt(12 + 9 * levels - 1);
	const high = address >> top;
	if (high !== 0n && high !== (1n << (64n - top)) - 1n) {
		return stopped("address-size", { illegal: "width", level: levels - 1, beforeFirstTable: true });
	}
	let reservedAlways = 0n;
	for (let bit = BigInt(addressBits); bit < 52n; bit++) {
		reservedAlways |= 1n << bit;
	}
	if (!geometry.nx) {
		reservedAlways |= V2.NX;
	}
	let table = geometry.root & ADDRESS_MASK;
	let user = true;
	let write = true;
	let execute = true;
	const walked: Array<{ gpa: bigint; entry: bigint }> = [];
	for (let level = levels as number; ; level--) {
		const gpa = table + ((address >> levelShift(level)) & 0x1ffn) * 8n;
		const got = readThroughHost(memory, host, gpa);
		if ("failed" in got) {
			return got.failed.host === null ? { ...got.failed, level: level - 1 } : got.failed;
		}
		const { entry, pa: entryAddress } = got;
		const at = { level: level - 1, entryAddress, entry };
		if ((entry & V2.P) === 0n) {
			return stopped("not-present", at);
		}
		const large = (level === 2 || level === 3) && (entry & V2.PS) !== 0n;
		let reserved = reservedAlways;
		if (level >= 4) {
			reserved |= 0x180n; // bits 8:7 must be zero in PML4E and PML5E
		}
		if (large) {
			reserved |= (1n << levelShift(level)) - 0x2000n; // below the page, above PAT (bit 12)
		}
		if ((entry & reserved) !== 0n) {
			return stopped("reserved", { ...at, illegal: "reserved-bits" });
		}
		user = user && (entry & V2.US) !== 0n;
		write = write && (entry & V2.RW) !== 0n;
		execute = execute && (entry & V2.NX) === 0n;
		walked.push({ gpa, entry });
		if (level !== 1 && !large) {
			table = entry & ADDRESS_MASK;
			continue;
		}
		const pageBytes = 1n << levelShift(level);
		const reachable = !geometry.us || request.privileged || user;
		const found = {
			...at,
			pageBytes,
			r: reachable,
			w: reachable && write,
			x: reachable && execute,
			global: (entry & V2.G) !== 0n,
		};
		if (!reachable) {
			return stopped("no-user", found);
		}
		const unchecked = request.unchecked !== undefined;
		if (!unchecked && request.access === "w" && !write) {
			return stopped("no-write", found);
		}
		if (!unchecked && request.access === "x" && geometry.nx && !execute) {
			return stopped("no-execute", found);
		}
		const dirties = unchecked ? request.unchecked === "read-write" && found.w : request.access === "w";
		for (const [i, step] of walked.entries()) {
			const last = i === walked.length - 1;
			const wanted =
				(geometry.setAccessed ? V2.A : 0n) |
				(geometry.setDirty && last && dirties ? V2.D : 0n);
			if ((step.entry & wanted) === wanted) {
				continue;
			}
			const below = host(memory, step.gpa, "w");
			if (below.outcome !== "translated") {
				return { ...below, host: below, hostAddress: step.gpa };
			}
			if (!memory.write(below.pa, 8, step.entry | wanted)) {
				return stopped("update-refused", { ...found, entryAddress: below.pa, entry: step.entry });
			}
		}
		const pa = (entry & ADDRESS_MASK & ~(pageBytes - 1n)) | (address & (pageBytes - 1n));
		return { ...stopped("translated", found), pa };
	}
}

/**
 * Guest walk, then the host stage for its output. Permissions are those of both, the page the smaller of both. A and D
 * that the guest walk wrote stay when the host stage then faults.
 */
export function walkAmdNested(memory: Memory, geometry: AmdV2Geometry, request: Request): AmdWalk {
	const guest = walkAmdV2(memory, geometry, request);
	if (guest.outcome !== "translated") {
		return guest;
	}
	const unchecked = request.unchecked === undefined || guest.w ? request.unchecked : "read";
	const below = geometry.host(memory, guest.pa, request.access === "w" ? "w" : "r", unchecked);
	if (below.outcome !== "translated") {
		return { ...below, host: below, hostAddress: guest.pa };
	}
	let pageBytes = guest.pageBytes;
	if (below.pageBytes < pageBytes) {
		pageBytes = below.pageBytes;
	}
	return {
		...guest,
		pa: below.pa,
		pageBytes,
		r: guest.r && below.r,
		w: guest.w && below.w,
		x: guest.x && below.x,
		forceCoherent: below.forceCoherent,
		untranslatedOnly: below.untranslatedOnly,
	};
}
