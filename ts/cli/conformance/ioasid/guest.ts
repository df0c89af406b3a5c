/** What a guest does to its own tables: real bytes in its memory, in the formats that hardware walks. */
import type { Process } from "../../../core/index.ts";

export type GuestFormat = "vtd" | "smmuv3" | "amdvi" | "riscv";

interface Layout {
	/** levels of a table for this many input bits */
	levels(width: number): number;
	table(to: bigint): bigint;
	leaf(to: bigint, level: number, read: boolean, write: boolean): bigint;
	/** address in a table entry, null when it is none */
	next(entry: bigint, level: number): bigint | null;
}

const ADDRESS = 0x000f_ffff_ffff_f000n;
const nines = (width: number) => Math.ceil((width - 12) / 9);

// P, R/W, U/S, A, D; PS in large leaves
const x86: Layout = {
	levels: nines,
	table: (to) => to | 0x27n,
	leaf: (to, level, _read, write) => to | 0x65n | (write ? 2n : 0n) | (level > 0 ? 0x80n : 0n),
	next: (entry, level) => ((entry & 1n) === 0n || level === 0 || (entry & 0x80n) !== 0n ? null : entry & ADDRESS),
};

const LAYOUTS: Record<GuestFormat, Layout> = {
	vtd: x86,
	amdvi: x86,
	// page or block, AF, SH inner, AP[1] (EL0), AP[2] read-only, nG
	smmuv3: {
		levels: nines,
		table: (to) => to | 3n,
		leaf: (to, level, _read, write) => to | (level === 0 ? 3n : 1n) | (1n << 10n) | (3n << 8n) | (1n << 6n) | (write ? 0n : 1n << 7n) | (1n << 11n),
		next: (entry, level) => ((entry & 3n) !== 3n || level === 0 ? null : entry & 0x0000_ffff_ffff_f000n),
	},
	// V, R, W, U, A, D
	riscv: {
		levels: nines,
		table: (to) => ((to >> 12n) << 10n) | 1n,
		leaf: (to, _level, read, write) => ((to >> 12n) << 10n) | 1n | (read ? 2n : 0n) | (write ? 4n : 0n) | 0xd0n,
		next: (entry) => ((entry & 1n) === 0n || (entry & 0xen) !== 0n ? null : ((entry >> 10n) & 0xfff_ffff_ffffn) << 12n),
	},
};

/** A page table of the guest: addresses are guest physical, memory is the process's at `hva` + address. */
export class GuestTable {
	private readonly layout: Layout;

	constructor(
		private readonly process: Process,
		readonly format: GuestFormat,
		private readonly hva: bigint,
		readonly root: bigint,
		private pool: bigint,
		readonly width: number,
	) {
		this.layout = LAYOUTS[format];
		this.process.write(hva + root, new Uint8Array(4096));
	}

	private read(address: bigint): bigint {
		return new DataView(this.process.read(this.hva + address, 8).buffer).getBigUint64(0, true);
	}

	private store(address: bigint, entry: bigint): void {
		const bytes = new Uint8Array(8);
		new DataView(bytes.buffer).setBigUint64(0, entry, true);
		this.process.write(this.hva + address, bytes);
	}

	/** Address of the entry at a level, tables made on the way. */
	private entryAt(va: bigint, level: number, make: boolean): bigint | null {
		let table = this.root;
		for (let at = this.layout.levels(this.width) - 1; ; at--) {
			const entry = table + ((va >> BigInt(12 + 9 * at)) & 511n) * 8n;
			if (at === level) return entry;
			const next = this.layout.next(this.read(entry), at);
			if (next !== null) {
				table = next;
				continue;
			}
			if (!make) return null;
			const page = this.pool;
			this.pool += 4096n;
			this.process.write(this.hva + page, new Uint8Array(4096));
			this.store(entry, this.layout.table(page));
			table = page;
		}
	}

	/** `level` 1 = 4 KiB, 2 = 2 MiB, 3 = 1 GiB. */
	write(va: bigint, to: bigint, level: number, read: boolean, write: boolean): void {
		const entry = this.entryAt(va, level - 1, true);
		if (entry !== null) this.store(entry, this.layout.leaf(to, level - 1, read, write));
	}

	/** Clear whatever leaf maps the address. */
	clear(va: bigint): void {
		for (let level = 2; level >= 0; level--) {
			const entry = this.entryAt(va, level, false);
			if (entry === null) return;
			const word = this.read(entry);
			if (level > 0 && this.layout.next(word, level) !== null) continue;
			this.store(entry, 0n);
			return;
		}
	}
}

/** A PASID table of the guest: linear CD table, one-level GCR3 table, PD8 process directory. */
export class GuestPasidTable {
	constructor(
		private readonly process: Process,
		readonly format: Exclude<GuestFormat, "vtd">,
		private readonly hva: bigint,
		readonly address: bigint,
		readonly size: number,
	) {
		this.process.write(hva + address, new Uint8Array(size * this.entryBytes));
	}

	private get entryBytes(): number {
		return this.format === "smmuv3" ? 64 : this.format === "riscv" ? 16 : 8;
	}

	private words(table: GuestTable, pasid: number): bigint[] {
		const asid = BigInt((pasid & 0xfff) + 1);
		if (this.format === "amdvi") return [table.root | 1n]; // V (48882 2.2.6.3)
		if (this.format === "riscv") {
			// ta: V, PSCID 31:12; fsc: MODE 63:60, PPN (RISC-V IOMMU 3.1.4)
			const mode = table.width <= 39 ? 8n : table.width <= 48 ? 9n : 10n;
			return [1n | (asid << 12n), (mode << 60n) | (table.root >> 12n)];
		}
		// T0SZ, EPD1, V, IPS 48 bits, AFFD, AA64, R, A, ASET, ASID; TTB0; MAIR (IHI 0070 5.4.1)
		const t0sz = BigInt(64 - table.width);
		const first = t0sz | (1n << 30n) | (1n << 31n) | (5n << 32n) | (1n << 35n) | (1n << 41n) | (1n << 45n) | (1n << 46n) | (1n << 47n) | (asid << 48n);
		return [first, table.root, 0n, 0xffn, 0n, 0n, 0n, 0n];
	}

	write(pasid: number, table: GuestTable): void {
		this.put(pasid, this.words(table, pasid));
	}

	clear(pasid: number): void {
		this.put(pasid, Array.from({ length: this.entryBytes / 8 }, () => 0n));
	}

	private put(pasid: number, words: bigint[]): void {
		const bytes = new Uint8Array(this.entryBytes);
		const view = new DataView(bytes.buffer);
		words.forEach((word, i) => {
			view.setBigUint64(i * 8, word, true);
		});
		this.process.write(this.hva + this.address + BigInt(pasid * this.entryBytes), bytes);
	}
}
