import type { UserLeaf, UserTable, UserTableReader } from "../core/index.ts";

/** What one entry of a user's table says. */
interface Entry {
	kind: "absent" | "leaf" | "table";
	to: bigint;
	read: boolean;
	write: boolean;
}

/** Entries of 8 bytes, 512 to a table, 4 KiB pages. */
interface Format {
	/** levels of a table that takes this many input bits */
	levels(width: number): number;
	/** `level` 0 holds 4 KiB leaves */
	entry(word: bigint, level: number): Entry;
	/** upper halves of canonical addresses exist */
	signed: boolean;
}

const PAGE_BITS = 0x000f_ffff_ffff_f000n;
const absent: Entry = { kind: "absent", to: 0n, read: false, write: false };
const nines = (width: number) => Math.ceil((width - 12) / 9);

/** Address bits of an entry that lie inside of its page: reserved. */
const inside = (to: bigint, level: number) => to & ((1n << BigInt(12 + 9 * level)) - 1n);

/** x86-64 entries: VT-d first stage (spec 9.8) and AMD v2 (AMD64 APM 2, 5.3): P 0, R/W 1, PS 7; 12 is no address bit of a large page. */
const x86: Format = {
	levels: nines,
	signed: true,
	entry(word, level) {
		if ((word & 1n) === 0n) return absent;
		const leaf = level === 0 || (word & 0x80n) !== 0n;
		if (leaf && level > 0 && (level > 2 || inside(word & PAGE_BITS & ~0x1000n, level) !== 0n)) return absent;
		return { kind: leaf ? "leaf" : "table", to: word & PAGE_BITS, read: true, write: (word & 2n) !== 0n };
	},
};

/** VMSAv8-64 descriptors, 4 KiB granule (Arm DDI 0487 D8.3): 1:0 type, 7 AP[2], 62 APTable[1]. */
const vmsav8: Format = {
	levels: nines,
	signed: false,
	entry(word, level) {
		const type = Number(word & 3n);
		if ((type & 1) === 0 || (level === 0 && type === 1)) return absent;
		if (level > 0 && type === 3) return { kind: "table", to: word & 0x0000_ffff_ffff_f000n, read: true, write: ((word >> 62n) & 1n) === 0n };
		if (level > 2) return absent;
		return { kind: "leaf", to: word & 0x0000_ffff_ffff_f000n, read: true, write: ((word >> 7n) & 1n) === 0n };
	},
};

/** RISC-V PTEs (privileged spec 12.3): V 0, R 1, W 2, X 3, PPN 53:10. */
const sv: Format = {
	levels: nines,
	signed: true,
	entry(word, level) {
		if ((word & 1n) === 0n) return absent;
		const to = ((word >> 10n) & 0xfff_ffff_ffffn) << 12n;
		const [read, write, execute] = [1n, 2n, 3n].map((bit) => ((word >> bit) & 1n) !== 0n);
		if ((write && !read) || ((read || execute) && inside(to, level) !== 0n)) return absent;
		return read || execute ? { kind: "leaf", to, read, write } : { kind: "table", to, read: true, write: true };
	},
};

const FORMATS: Record<string, Format> = { vtd: x86, smmuv3: vmsav8, amdvi: x86, riscv: sv };

function* walk(format: Format, read: (address: bigint) => bigint | undefined, table: bigint, level: number, base: bigint, first: bigint, last: bigint, rights: { read: boolean; write: boolean }): Iterable<UserLeaf> {
	const span = 1n << BigInt(12 + 9 * level);
	const from = first > base ? (first - base) / span : 0n;
	const to = last >= base + 512n * span ? 511n : (last - base) / span;
	for (let index = from; index <= to; index++) {
		const word = read(table + index * 8n);
		if (word === undefined) {
			// nothing readable in this page of the table
			index |= 511n;
			continue;
		}
		const entry = format.entry(word, level);
		if (entry.kind === "absent") continue;
		const permissions = { read: rights.read && entry.read, write: rights.write && entry.write };
		const address = base + index * span;
		if (entry.kind === "leaf") yield { address, size: span, to: entry.to & ~(span - 1n), permissions };
		else if (level > 0) yield* walk(format, read, entry.to, level - 1, address, first, last, permissions);
	}
}

/** Software's way through the tables that users write, for shadows and look-up; the lower half of signed formats. */
export const userFormats: UserTableReader = {
	formats: Object.keys(FORMATS),
	*leaves({ format, root, width }: UserTable, read, first, last) {
		const rules = FORMATS[format];
		if (rules === undefined) return;
		const bits = rules.signed ? width - 1 : width;
		const end = (1n << BigInt(bits)) - 1n;
		if (first > end) return;
		yield* walk(rules, read, root, rules.levels(width) - 1, 0n, first, last < end ? last : end, { read: true, write: true });
	},
};
