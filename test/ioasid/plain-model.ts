/**
 * What devices may reach, said as plainly as can be: lists of maps and attachments, no tables and no caches. It follows
 * the calls that the doors took; it does not say which calls they take.
 */
import type { Process } from "../../ts/core/index.ts";

export interface PlainMap {
	iova: bigint;
	size: bigint;
	/** address in the process, or in the parent */
	to: bigint;
	process: Process | null;
	read: boolean;
	write: boolean;
}

/** How 8-byte entries of a user's table read. */
export type EntryRules = (entry: bigint, level: number) => { kind: "absent" } | { kind: "table" | "leaf"; to: bigint; read: boolean; write: boolean };

const X86: EntryRules = (entry, level) =>
	(entry & 1n) === 0n ? { kind: "absent" } : { kind: level === 0 || (entry & 0x80n) !== 0n ? "leaf" : "table", to: entry & 0xf_ffff_ffff_f000n, read: true, write: (entry & 2n) !== 0n };
const SV48: EntryRules = (entry) =>
	(entry & 1n) === 0n ? { kind: "absent" } : { kind: (entry & 0xen) !== 0n ? "leaf" : "table", to: ((entry >> 10n) & 0xfff_ffff_ffffn) << 12n, read: (entry & 0xen) === 0n || (entry & 2n) !== 0n, write: (entry & 0xen) === 0n || (entry & 4n) !== 0n };
const ARM: EntryRules = (entry, level) =>
	(entry & 1n) === 0n || (level === 0 && (entry & 2n) === 0n) ? { kind: "absent" } : { kind: level > 0 && (entry & 2n) !== 0n ? "table" : "leaf", to: entry & 0xffff_ffff_f000n, read: true, write: (entry & 3n) === 3n && level > 0 ? true : (entry & 0x80n) === 0n };

export const RULES: Readonly<Record<string, EntryRules>> = { vtd: X86, amdvi: X86, riscv: SV48, smmuv3: ARM };

export class PlainSpace {
	readonly maps: PlainMap[] = [];

	constructor(
		readonly kind: "kernel" | "dummy" | "identity" | "user",
		readonly parent: PlainSpace | null,
		/** of a user's table */
		readonly table: { format: string; root: bigint } | null = null,
	) {}

	get depth(): number {
		return this.parent === null ? 0 : this.parent.depth + 1;
	}

	get root(): PlainSpace {
		return this.parent === null ? this : this.parent.root;
	}

	isBelow(other: PlainSpace): boolean {
		return this.parent !== null && (this.parent === other || this.parent.isBelow(other));
	}

	/** Bytes that a request reaches; null when it faults. */
	reach(address: bigint, write: boolean): { process: Process; address: bigint } | null {
		if (this.kind === "identity") return this.parent?.reach(address, write) ?? null;
		if (this.kind === "user") return this.walk(address, write);
		const map = this.maps.find(({ iova, size }) => address >= iova && address < iova + size);
		if (map === undefined || !(write ? map.write : map.read)) return null;
		const to = map.to + (address - map.iova);
		return map.process === null ? (this.parent?.reach(to, write) ?? null) : { process: map.process, address: to };
	}

	private walk(address: bigint, write: boolean): { process: Process; address: bigint } | null {
		if (this.table === null || address >= 1n << 47n) return null;
		let table = this.table.root;
		for (let level = 3; level >= 0; level--) {
			const shift = BigInt(12 + 9 * level);
			const at = this.parent?.reach(table + ((address >> shift) & 511n) * 8n, false) ?? null;
			if (at === null) return null;
			const entry = RULES[this.table.format](new DataView(at.process.read(at.address, 8).buffer).getBigUint64(0, true), level);
			if (entry.kind === "absent" || !(write ? entry.write : entry.read)) return null;
			if (entry.kind === "leaf") return this.parent?.reach((entry.to & ~((1n << shift) - 1n)) + (address & ((1n << shift) - 1n)), write) ?? null;
			table = entry.to;
		}
		return null;
	}
}

export interface PlainAttachment {
	device: string;
	space: PlainSpace;
	vpasid: number | null;
	/** requests that it leads, by name of the slot; null for software */
	slot: string | null;
	/** its tree's root is pinned for it */
	holds: boolean;
}

export class PlainModel {
	attachments: PlainAttachment[] = [];

	/** The space that a slot leads to: the deepest. */
	installed(slot: string): PlainSpace | null {
		const spaces = this.attachments.filter((one) => one.slot === slot).map(({ space }) => space);
		return spaces.sort((a, b) => b.depth - a.depth)[0] ?? null;
	}

	/** Pages that a process pays for the maps of a root. */
	charged(root: PlainSpace, process: Process): number {
		if (root.kind !== "dummy" && !this.attachments.some(({ space, holds }) => holds && space.root === root)) return 0;
		return root.maps.reduce((pages, map) => pages + (map.process === process ? Number(map.size >> 12n) : 0), 0);
	}
}
