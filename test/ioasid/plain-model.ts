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
	/** of memory that is charged as a whole */
	registered?: boolean;
}

/** How 8-byte entries of a user's table read. */
export type EntryRules = (entry: bigint, level: number) => { kind: "absent" } | { kind: "table" | "leaf"; to: bigint; read: boolean; write: boolean };

const X86: EntryRules = (entry, level) =>
	(entry & 1n) === 0n || (level > 2 && (entry & 0x80n) !== 0n) ? { kind: "absent" } : { kind: level === 0 || (entry & 0x80n) !== 0n ? "leaf" : "table", to: entry & 0xf_ffff_ffff_f000n, read: true, write: (entry & 2n) !== 0n };
const SV48: EntryRules = (entry) =>
	(entry & 1n) === 0n || (entry & 6n) === 4n ? { kind: "absent" } : { kind: (entry & 0xen) !== 0n ? "leaf" : "table", to: ((entry >> 10n) & 0xfff_ffff_ffffn) << 12n, read: (entry & 0xen) === 0n || (entry & 2n) !== 0n, write: (entry & 0xen) === 0n || (entry & 4n) !== 0n };
const ARM: EntryRules = (entry, level) =>
	(entry & 1n) === 0n || (level === 0 && (entry & 2n) === 0n) ? { kind: "absent" } : { kind: level > 0 && (entry & 2n) !== 0n ? "table" : "leaf", to: entry & 0xffff_ffff_f000n, read: true, write: (entry & 3n) === 3n && level > 0 ? true : (entry & 0x80n) === 0n };

const RULES: Readonly<Record<string, EntryRules>> = { vtd: X86, amdvi: X86, riscv: SV48, smmuv3: ARM };

/** where guest address 0 lies in the guest's process */
export const GUEST = 0x4000_0000n;

export class PlainSpace {
	readonly maps: PlainMap[] = [];
	/** nothing is mapped outside of them; null: there are none */
	windows: Array<{ first: bigint; size: bigint }> | null = null;
	/** pages that were written since tracking is on */
	written: Set<bigint> | null = null;
	/** pages that the hardware may count as written, though nothing was */
	readonly suspects = new Set<bigint>();
	private readonly byRoot = new Map<bigint, PlainSpace>();

	constructor(
		readonly kind: "kernel" | "dummy" | "identity" | "user" | "pasid-table",
		readonly parent: PlainSpace | null,
		/** of a user's table */
		readonly table: { format: string; root: bigint } | null = null,
		/** roots of a guest's PASID table, and where it lies in the parent */
		readonly pasids: { at: bigint; roots: ReadonlyMap<number, bigint>; entryBytes: bigint; format: string } | null = null,
	) {}

	/** The guest's space of one PASID; undefined: other memory lies where its table was, and nobody knows what that says. */
	under(pasid: number): PlainSpace | null | undefined {
		if (this.pasids === null) return null;
		const { at, roots, entryBytes, format } = this.pasids;
		const found = this.parent?.reach(at + BigInt(pasid) * entryBytes, false) ?? null;
		if (found === null) return null;
		if (found.address !== GUEST + at + BigInt(pasid) * entryBytes) return undefined;
		const root = roots.get(pasid);
		if (root === undefined) return null;
		let space = this.byRoot.get(root);
		if (space === undefined) {
			space = new PlainSpace("user", this.parent, { format, root });
			this.byRoot.set(root, space);
		}
		return space;
	}

	/** A write of DMA went through. */
	mark(address: bigint): void {
		this.written?.add(address & ~0xfffn);
		const to = this.above(address, true);
		if (to !== null) this.parent?.mark(to);
	}

	/** A write was refused where a read would not have been, but its translation request had the second stage made dirty. */
	suspect(address: bigint): void {
		this.suspects.add(address & ~0xfffn);
		const to = this.above(address, false);
		if (to !== null) this.parent?.suspect(to);
	}

	/** Where an address lies in the parent. */
	private above(address: bigint, write: boolean): bigint | null {
		if (this.kind === "user") return this.walk(address, write);
		if (this.kind !== "kernel" && this.kind !== "dummy") return address;
		const map = this.maps.find(({ iova, size }) => address >= iova && address < iova + size);
		return map !== undefined && map.process === null ? map.to + (address - map.iova) : null;
	}

	/** Maps in a range are gone. */
	forget(first: bigint, size: bigint): void {
		for (const pages of [this.written ?? new Set<bigint>(), this.suspects]) for (const page of pages) if (page >= first && page < first + size) pages.delete(page);
	}

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
		if (this.kind === "identity" || this.kind === "pasid-table") return this.parent?.reach(address, write) ?? null;
		if (this.kind === "user") {
			const to = this.walk(address, write);
			return to === null ? null : (this.parent?.reach(to, write) ?? null);
		}
		const map = this.maps.find(({ iova, size }) => address >= iova && address < iova + size);
		if (map === undefined || !(write ? map.write : map.read)) return null;
		const to = map.to + (address - map.iova);
		return map.process === null ? (this.parent?.reach(to, write) ?? null) : { process: map.process, address: to };
	}

	/** Address of the parent behind an address of a user's table. */
	private walk(address: bigint, write: boolean): bigint | null {
		if (this.table === null || address >= 1n << 47n) return null;
		let table = this.table.root;
		for (let level = 3; level >= 0; level--) {
			const shift = BigInt(12 + 9 * level);
			const at = this.parent?.reach(table + ((address >> shift) & 511n) * 8n, false) ?? null;
			if (at === null) return null;
			const entry = RULES[this.table.format](new DataView(at.process.read(at.address, 8).buffer).getBigUint64(0, true), level);
			if (entry.kind === "absent" || !(write ? entry.write : entry.read)) return null;
			// reserved address bits; Arm's block descriptors have none that fault
			if (entry.kind === "leaf" && this.table.format !== "smmuv3" && (entry.to & ~(level > 0 && this.table.format !== "riscv" ? 0x1000n : 0n) & ((1n << shift) - 1n)) !== 0n) return null;
			if (entry.kind === "leaf") return (entry.to & ~((1n << shift) - 1n)) + (address & ((1n << shift) - 1n));
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

	/** The space that a slot leads an address to: the deepest, or the one whose window it lies in. */
	installed(slot: string, address: bigint): PlainSpace | null {
		const all = this.attachments.filter((one) => one.slot === slot).map(({ space }) => space);
		const spaces = all.every(({ windows }) => windows !== null) ? all.filter(({ windows }) => windows?.some(({ first, size }) => address >= first && address < first + size)) : all;
		return spaces.sort((a, b) => b.depth - a.depth)[0] ?? null;
	}

	/** Pages that a process pays for the maps of a root. */
	charged(root: PlainSpace, process: Process): number {
		if (root.kind !== "dummy" && !this.attachments.some(({ space, holds }) => holds && space.root === root)) return 0;
		return root.maps.reduce((pages, map) => pages + (map.process === process && !map.registered ? Number(map.size >> 12n) : 0), 0);
	}
}
