/**
 * What each bit of a page-table entry does, as the specifications' tables of entries say: an entry that maps read, write and
 * execute to users is taken, and one bit of it turned over. Bits that are not named are ignored by a walk: the same output,
 * the same rights.
 *
 * Lists of bits are written as the specifications do: "51:46 11 7". `level` 0 holds the smallest leaves.
 */
import type { TableFormatName } from "../../ts/engine/index.ts";

/** What becomes of one access. "elsewhere": another table or page, by whatever lies there; a number: output bits that change. */
export type Effect = "absent" | "reserved" | "output-size" | "update-refused" | "no-read" | "no-write" | "no-execute" | "no-user" | "elsewhere" | "same" | { output: bigint };

export interface EntryPlace {
	format: TableFormatName;
	level: number;
	/** number of levels of the table */
	levels: number;
	/** lg2 bytes of the leaf; null for a table entry */
	leaf: number | null;
	entry: bigint;
	/** the address that is asked for */
	address: bigint;
	/** output address of the leaf's first byte */
	output: bigint;
	/** the unit lacks what makes optional bits legal: SC and DT of VT-d, Svpbmt and Svrsw60t59b of RISC-V */
	plain: boolean;
}

/** Widths that the units of this test have: bits above are reserved, or a fault of their own. */
export const WIDTHS = { haw: 46, vmsa: 44 };

function has(list: string, bit: number): boolean {
	return list.split(" ").some((part) => {
		const [high, low = high] = part.split(":").map(Number);
		return part !== "" && bit <= high && bit >= low;
	});
}

type Access = "r" | "w" | "x";
interface Bits {
	absent?: string;
	reserved?: string;
	outputSize?: string;
	/** A that is wanted, and D for a write */
	accessed?: string;
	dirty?: string;
	/** without it nobody but the privileged passes; data alone */
	user?: string;
	userData?: string;
	/** without a right of its own a fetch is a read */
	read?: string;
	write?: string;
	execute?: string;
	/** output address of a leaf: entry bit b is address bit b + shift */
	address?: string;
	shift?: number;
	elsewhere?: string;
}

function effectOf(bits: Bits, { output, address, leaf }: EntryPlace, bit: number, access: Access, executes: boolean): Effect {
	const named = (list: string | undefined) => list !== undefined && has(list, bit);
	if (named(bits.absent)) return "absent";
	if (named(bits.reserved)) return "reserved";
	if (named(bits.outputSize)) return "output-size";
	if (named(bits.accessed) || (access === "w" && named(bits.dirty))) return "update-refused";
	if (named(bits.user) || (access !== "x" && named(bits.userData))) return "no-user";
	if (access === "r" && named(bits.read)) return "no-read";
	if (access === "w" && named(bits.write)) return "no-write";
	if (access === "x" && executes && named(bits.execute)) return "no-execute";
	if (access === "x" && !executes && named(bits.read)) return "no-read";
	if (named(bits.elsewhere)) return "elsewhere";
	if (!named(bits.address)) return "same";
	if (leaf === null) return "elsewhere";
	return { output: (output | (address & ((1n << BigInt(leaf)) - 1n))) ^ (1n << BigInt(bit + (bits.shift ?? 0))) };
}

const range = (high: number, low: number) => (high >= low ? `${high}:${low}` : "");
const list = (...parts: string[]) => parts.filter((part) => part !== "").join(" ");

/** VT-d 9.8, tables "Format of Second-Stage ..." */
function vtdSecond({ leaf, plain }: EntryPlace): Bits {
	const beyond = `51:${WIDTHS.haw}`;
	// PS of a table entry: reserved above PDPE, and a page that is not aligned below
	if (leaf === null) return { reserved: list(beyond, "62 11 7"), read: "0", write: "1", address: `${WIDTHS.haw - 1}:12` };
	return { reserved: list(beyond, range(leaf - 1, 12), plain ? "62 11" : ""), read: "0", write: "1", address: `${WIDTHS.haw - 1}:${leaf}`, elsewhere: leaf > 12 ? "7" : "" };
}

/** VT-d 9.7, tables "Format of ... First-Stage" */
function vtdFirst({ leaf }: EntryPlace): Bits {
	const all = { absent: "0", write: "1", user: "2", execute: "63" };
	const beyond = `51:${WIDTHS.haw}`;
	if (leaf === null) return { ...all, reserved: list(beyond, "7"), address: `${WIDTHS.haw - 1}:12` };
	// 12 is PAT of a large page
	return { ...all, reserved: list(beyond, range(leaf - 1, 13)), address: `${WIDTHS.haw - 1}:${leaf}`, elsewhere: leaf > 12 ? "7" : "" };
}

/** AMD64 volume 2, 5.3.3 and 5.3.4; 48882 2.2.6 */
function amdV2({ leaf, level }: EntryPlace): Bits {
	const all = { absent: "0", write: "1", user: "2", execute: "63" };
	const beyond = `51:${WIDTHS.haw}`;
	if (leaf === null) return { ...all, reserved: list(beyond, level >= 3 ? "8:7" : "7"), address: `${WIDTHS.haw - 1}:12` };
	return { ...all, reserved: list(beyond, range(leaf - 1, 13)), address: `${WIDTHS.haw - 1}:${leaf}`, elsewhere: leaf > 12 ? "7" : "" };
}

/** 48882 2.2.3, figures "I/O Page Directory Entry", "I/O Page Table Entry", table "Example Page Size Encodings" */
function amdV1(place: EntryPlace, bit: number): Bits | Effect {
	const { leaf, level, entry, address } = place;
	const turned = entry ^ (1n << BigInt(bit));
	const next = Number((turned >> 9n) & 7n);
	const own = 12 + 9 * level;
	/** the output of a page of 2^lg2 bytes */
	const page = (lg2: number): Effect => {
		const mask = (1n << BigInt(lg2)) - 1n;
		return { output: (turned & 0x000f_ffff_ffff_f000n & ~mask) | (address & mask) };
	};
	if (has("11:9", bit) || (leaf !== null && Number((entry >> 9n) & 7n) === 7 && has("51:12", bit))) {
		if (next === 0) return level === 5 ? "reserved" : page(own);
		if (next === 7) {
			let zero = 12;
			while (zero < 52 && ((turned >> BigInt(zero)) & 1n) === 1n) zero += 1;
			// larger than the level's own and smaller than the next level's
			return zero < 52 && zero + 1 > own && zero + 1 < own + 9 ? page(zero + 1) : "reserved";
		}
		// levels of the specification count from 1
		if (next >= level + 1) return "reserved";
		const skipped = (1n << BigInt(own)) - (1n << BigInt(12 + 9 * next));
		return (address & skipped) === 0n ? "elsewhere" : "absent";
	}
	if (leaf === null) return { absent: "0", reserved: "60:52", read: "61", write: "62", address: "51:12" };
	return { absent: "0", reserved: "58:52", read: "61", write: "62", address: `51:${leaf}` };
}

/** Arm ARM D8.3.1, D8.3.2, figures of table, block and page descriptors; D8.4 for their rights */
function vmsa({ leaf, level, format, entry }: EntryPlace): Bits {
	const first = format.startsWith("vmsav8-first");
	const page = { "4k": 12, "6k": 14, "64k": 16 }[format.endsWith("16k") ? "6k" : format.endsWith("64k") ? "64k" : "4k"] as number;
	const span = page + (page - 3) * level;
	const beyond = `47:${WIDTHS.vmsa}`;
	// level 1 and 2 of the architecture with 4 KiB, level 2 with larger granules
	const blocks = page === 12 ? level === 1 || level === 2 : level === 1;
	if (leaf === null) {
		// a block without AF
		const type = blocks ? { absent: "0", accessed: "1" } : { absent: "1:0" };
		return { ...type, outputSize: beyond, address: `${WIDTHS.vmsa - 1}:${page}`, ...(first ? { execute: "60", userData: "61", write: "62" } : {}) };
	}
	const contiguous = (entry >> 52n) & 1n;
	// where the bit tells more than one entry, an address that contradicts the set counts alone: bits from the entry's span
	const common = { absent: level === 0 ? "1:0" : "0", elsewhere: level === 0 ? "" : "1", accessed: "10", outputSize: beyond, address: `${WIDTHS.vmsa - 1}:${contiguous ? span : leaf}` };
	return first ? { ...common, userData: "6", write: "7", execute: "54" } : { ...common, read: "6", write: "7", execute: "54" };
}

/** Privileged Architecture 12.4.1, 12.3.2, "Svnapot", "Svpbmt", "Svrsw60t59b", 18.5 */
function riscv({ leaf, plain }: EntryPlace): Bits {
	const extra = plain ? "62:59" : "";
	// R, W or X makes a leaf, which is not aligned, or W without R; U, A and D are reserved
	if (leaf === null) return { absent: "0", reserved: list("63:61 58:54 7:6 4:1", extra), address: "53:10", shift: 2 };
	const all = { absent: "0", write: "2", execute: "3", user: "4", accessed: "6", dirty: "7", shift: 2 };
	// N: 64 KiB has the low bits of its PPN 1000b, and is a page of 4 KiB at the eighth without
	if (leaf === 16) return { ...all, reserved: list("58:54 13:10 1", extra), address: "53:14", elsewhere: "63" };
	return { ...all, reserved: list("63 58:54 1", range(10 + leaf - 13, 10), extra), address: `53:${10 + leaf - 12}` };
}

/** Privileged Architecture 12.3.1, figure "Sv32 page table entry" */
function riscv32({ leaf }: EntryPlace): Bits {
	if (leaf === null) return { absent: "0", reserved: "7:6 4:1", address: "31:10", shift: 2 };
	const all = { absent: "0", write: "2", execute: "3", user: "4", accessed: "6", dirty: "7", shift: 2 };
	return { ...all, reserved: list("1", range(10 + leaf - 13, 10)), address: `31:${10 + leaf - 12}` };
}

/** LoPAR "TCE Table"; both bits of a table's entry are set, and either makes it one */
function tce({ leaf }: EntryPlace): Bits {
	if (leaf === null) return { outputSize: "63:60", address: "59:12" };
	return { outputSize: "63:60", read: "0", write: "1", address: `59:${leaf}` };
}

/** Formats whose entries tell a fetch from a read, in the mode that this test uses. */
const EXECUTES = ["vtd-first", "amd-v2", "vmsav8", "riscv"];

/** What an access comes to once `bit` of an entry is turned over. */
export function effect(place: EntryPlace, bit: number, access: Access): Effect {
	const { format } = place;
	const bits =
		format === "vtd-second" ? vtdSecond(place) : format === "vtd-first" ? vtdFirst(place) : format === "amd-v1" ? amdV1(place, bit) : format === "amd-v2" ? amdV2(place)
		: format.startsWith("vmsav8") ? vmsa(place) : format.startsWith("riscv-sv32") ? riscv32(place) : format.startsWith("riscv") ? riscv(place) : tce(place);
	if (typeof bits === "string" || "output" in bits) return bits as Effect;
	return effectOf(bits as Bits, place, bit, access, EXECUTES.some((name) => format.startsWith(name)));
}
