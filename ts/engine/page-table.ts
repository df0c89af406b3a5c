import {
	ACCESS_ANY,
	ACCESS_EXECUTE,
	ACCESS_READ,
	ACCESS_WRITE,
	DIRTY_BASE,
	DIRTY_BITMAP,
	DIRTY_BITMAP_BYTES,
	DIRTY_KEEP,
	DIRTY_NEXT,
	EDIT_ALIGNMENT,
	EDIT_EXISTS,
	EDIT_FORMAT,
	EDIT_NO_FRAME,
	EDIT_OK,
	EDIT_PERMISSION,
	EDIT_RANGE,
	GEOMETRY_INPUT_BITS,
	GEOMETRY_OUTPUT_BITS,
	GEOMETRY_ROOT,
	MAP_REPLACE,
	OUTCOME_TRANSLATED,
	TABLE_DONE,
	TABLE_FRAMES,
	TABLE_LEAVES,
	TABLE_MAPPED,
	TABLE_REPLACED,
} from "../../assembly/layout.ts";
import { EngineError, type EngineErrorCode } from "./errors.ts";
import type { EngineExports } from "./instantiate.ts";
import { leafMask, type PageTableConfig, writeRecord } from "./page-table-config.ts";
import type { TableFormat } from "./page-table-formats.ts";
import type { Views } from "./views.ts";

export interface Permissions {
	read: boolean;
	write: boolean;
	/** for formats that tell a fetch from a read; default false */
	execute?: boolean;
}

const permissionBits = (p: Permissions) => (p.read ? ACCESS_READ : 0) | (p.write ? ACCESS_WRITE : 0) | (p.execute ? ACCESS_EXECUTE : 0);
const low = (value: bigint) => Number(value & 0xffffffffn);
const high = (value: bigint) => Number((value >> 32n) & 0xffffffffn);

const FAILURES: Record<number, [EngineErrorCode, string]> = {
	[EDIT_EXISTS]: ["Occupied", "something is mapped there"],
	[EDIT_NO_FRAME]: ["OutOfFrames", "no frame is left for a table"],
	[EDIT_ALIGNMENT]: ["Misaligned", "addresses and size must be multiples of the smallest leaf"],
	[EDIT_RANGE]: ["OutOfRange", "beyond the table's input or output width"],
	[EDIT_PERMISSION]: ["Permission", "the format cannot express these permissions"],
	[EDIT_FORMAT]: ["Unsupported", "hardware does not track A and D in this table"],
};

/** A page table that the engine builds in frames of its own. Made by `Engine.createTable`. */
export class PageTable {
	private open = true;
	private readonly format: TableFormat;
	/** Last address that the table takes, of the lower half where it has two. */
	readonly inputLast: bigint;

	/** @internal */
	constructor(
		private readonly exports: EngineExports,
		private readonly views: Views,
		private readonly context: number,
		private readonly scratch: number,
		/** address of the table's record in linear memory */
		readonly record: number,
		readonly config: Readonly<PageTableConfig>,
		private readonly freed: (record: number) => void,
	) {
		try {
			this.format = writeRecord(views.data(), record, config);
			if (exports.openTable(context, record) !== EDIT_OK) {
				throw new EngineError("OutOfFrames", "no frame is left for the root", { operation: "Engine.createTable", knob: "tables.frames" });
			}
			this.inputLast = (1n << (config.upper ? 64n : BigInt(this.format.signed ? this.inputBits - 1 : this.inputBits))) - 1n;
			const outputBits = views.data().getUint32(record + GEOMETRY_OUTPUT_BITS, true);
			if (this.root >> BigInt(outputBits) !== 0n) {
				exports.closeTable(context, record);
				throw new EngineError("BadConfig", `table frames lie beyond ${outputBits} bits`, { operation: "Engine.createTable", knob: "tables.base" });
			}
		} catch (error) {
			freed(record);
			throw error;
		}
	}

	private check(operation: string): void {
		if (!this.open) throw new EngineError("Disposed", "the table is gone", { operation });
	}

	/** @throws EngineError OutOfRange */
	private input(operation: string, iova: bigint, size: bigint): void {
		this.range(operation, iova, size);
		if (this.beyond(iova + size - 1n)) this.fail(operation, EDIT_RANGE, iova, size);
	}

	private fail(operation: string, code: number, iova: bigint, size: bigint): never {
		const [name, what] = FAILURES[code] ?? ["Unsupported", `edit failed (${code})`];
		throw new EngineError(name, what, { operation, first: iova, last: iova + size - 1n, ...(code === EDIT_NO_FRAME ? { knob: "tables.frames" } : {}) });
	}

	/** Physical address of the root. */
	get root(): bigint {
		return this.views.data().getBigUint64(this.record + GEOMETRY_ROOT, true);
	}

	/** Bytes mapped. */
	get mapped(): bigint {
		return this.views.data().getBigUint64(this.record + TABLE_MAPPED, true);
	}

	/** 4 KiB frames held, the root included. */
	get frames(): number {
		return this.views.data().getUint32(this.record + TABLE_FRAMES, true);
	}

	/** 1 when the last `map` with `replace` found something to replace. */
	get replaced(): number {
		return this.views.data().getUint32(this.record + TABLE_REPLACED, true);
	}

	/**
	 * Map [iova, iova + size) to `pa` in the largest leaves that alignment allows.
	 * @throws EngineError Occupied (unless `replace`), Misaligned, OutOfRange, Permission, OutOfFrames; nothing is changed then
	 */
	map(iova: bigint, pa: bigint, size: bigint, permissions: Permissions, options: { replace?: boolean } = {}): void {
		this.check("PageTable.map");
		this.input("PageTable.map", iova, size);
		this.range("PageTable.map", pa, size);
		const code = this.exports.mapPages(this.context, this.record, low(iova), high(iova), low(pa), high(pa), low(size), high(size), permissionBits(permissions), options.replace ? MAP_REPLACE : 0);
		if (code !== EDIT_OK) this.fail("PageTable.map", code, iova, size);
	}

	/**
	 * Unmap [iova, iova + size), holes allowed; a large leaf is split when part of it goes.
	 * @returns bytes that were mapped there
	 * @throws EngineError Misaligned, OutOfRange, OutOfFrames (for a split); nothing is changed then
	 */
	unmap(iova: bigint, size: bigint): bigint {
		this.check("PageTable.unmap");
		this.input("PageTable.unmap", iova, size);
		const code = this.exports.unmapPages(this.context, this.record, low(iova), high(iova), low(size), high(size));
		if (code !== EDIT_OK) this.fail("PageTable.unmap", code, iova, size);
		return this.views.data().getBigUint64(this.record + TABLE_DONE, true);
	}

	/**
	 * Give everything that is mapped in [iova, iova + size) other permissions, holes allowed; a large leaf is split when
	 * part of it changes. Cached answers stay until invalidated.
	 * @returns bytes that were mapped there
	 * @throws EngineError Misaligned, OutOfRange, Permission, OutOfFrames (for a split); nothing is changed then
	 */
	protect(iova: bigint, size: bigint, permissions: Permissions): bigint {
		this.check("PageTable.protect");
		this.input("PageTable.protect", iova, size);
		const code = this.exports.protectPages(this.context, this.record, low(iova), high(iova), low(size), high(size), permissionBits(permissions));
		if (code !== EDIT_OK) this.fail("PageTable.protect", code, iova, size);
		return this.views.data().getBigUint64(this.record + TABLE_DONE, true);
	}

	/**
	 * Split the leaves that reach across an end of [iova, iova + size). Every address is translated as before, with its
	 * rights, attributes, A and D; cached answers may stay.
	 * @throws EngineError Misaligned, OutOfRange, OutOfFrames; nothing is changed then
	 */
	split(iova: bigint, size: bigint): void {
		this.check("PageTable.split");
		this.input("PageTable.split", iova, size);
		const code = this.exports.splitPages(this.context, this.record, low(iova), high(iova), low(size), high(size));
		if (code !== EDIT_OK) this.fail("PageTable.split", code, iova, size);
	}

	/**
	 * Read the D bits of [iova, iova + size) into `bitmap`, bit n of byte n >> 3 for the n-th `pageBytes` (default: the smallest leaf's) of
	 * the range; bits that are set there stay set. They are cleared in the table unless `keep`: cached answers must be
	 * invalidated before the next write is sure to be seen. A large leaf is dirty from end to end, and is split when it
	 * reaches beyond a range that is cleared.
	 * @returns pages of `pageBytes` that the table says are dirty
	 * @throws EngineError BadConfig (pageBytes, bitmap), Misaligned, OutOfRange, OutOfFrames (for a split), Unsupported for a
	 * table without `accessedDirty`; nothing is changed then
	 */
	readDirty(iova: bigint, size: bigint, bitmap: Uint8Array, options: { keep?: boolean; pageBytes?: number } = {}): number {
		const operation = "PageTable.readDirty";
		const smallest = this.format.leaves[0];
		const { keep = false, pageBytes = 2 ** smallest } = options;
		this.check(operation);
		this.input(operation, iova, size);
		const lg2 = Math.log2(pageBytes);
		if (!Number.isInteger(lg2) || lg2 < smallest) throw new EngineError("BadConfig", `pages must be a power of two of ${2 ** smallest} at least, not ${pageBytes}`, { operation, knob: "pageBytes" });
		const pages = (size + BigInt(pageBytes) - 1n) >> BigInt(lg2);
		if (BigInt(bitmap.length) * 8n < pages) throw new EngineError("BadConfig", `${bitmap.length} bytes do not hold ${pages} bits`, { operation, knob: "bitmap", first: iova, last: iova + size - 1n });
		let at = iova;
		let count = 0;
		let counted = -1;
		do {
			const code = this.exports.readDirty(this.context, this.record, low(iova), high(iova), low(size), high(size), low(at), high(at), keep ? DIRTY_KEEP : 0);
			if (code !== EDIT_OK) this.fail(operation, code, iova, size);
			const view = this.views.data();
			const window = this.views.bytes().subarray(this.scratch + DIRTY_BITMAP, this.scratch + DIRTY_BITMAP + DIRTY_BITMAP_BYTES);
			// pages of the range before the window's first
			const before = Number((view.getBigUint64(this.scratch + DIRTY_BASE, true) - iova) >> BigInt(smallest));
			for (let i = 0; i < window.length; i++) {
				for (let bits = window[i]; bits !== 0; bits &= bits - 1) {
					const page = Math.floor((before + 8 * i + 31 - Math.clz32(bits & -bits)) / 2 ** (lg2 - smallest));
					if (page === counted) continue;
					counted = page;
					count += 1;
					bitmap[Math.floor(page / 8)] |= 1 << (page % 8);
				}
			}
			at = view.getBigUint64(this.scratch + DIRTY_NEXT, true);
		} while (at !== 0n);
		return count;
	}

	/** From now on maps use leaves of at most 2^lg2 bytes, of `leaves` (lg2 bytes; default: all that the format has); what is mapped stays as it is. */
	limitLeaves(lg2: number, leaves?: readonly number[]): void {
		this.views.data().setBigUint64(this.record + TABLE_LEAVES, leafMask(this.format, lg2, leaves), true);
	}

	/** Unmap everything; the root stays where it is. */
	clear(): void {
		const bits = BigInt(this.inputBits);
		if (!this.format.signed && bits < 64n) this.unmap(this.inputLast + 1n - (1n << bits), 1n << bits);
		else for (const half of [0n, (1n << 64n) - (1n << (bits - 1n))]) this.unmap(half, 1n << (bits - 1n));
	}

	private get inputBits(): number {
		return this.views.data().getUint32(this.record + GEOMETRY_INPUT_BITS, true);
	}

	/** Bit 59 of an address chooses between two TCE tables: a walk of one leaves it out. */
	private beyond(iova: bigint): boolean {
		return !this.format.signed && iova > this.inputLast;
	}

	private range(operation: string, first: bigint, size: bigint): void {
		if (first < 0n || size <= 0n || first + size > 1n << 64n) {
			throw new EngineError("OutOfRange", "addresses must be 0 to 2^64 - 1, size at least 1", { operation, first, last: first + size - 1n });
		}
		// what lies between the halves is no address
		if (this.format.signed && first >> 63n !== (first + size - 1n) >> 63n) {
			throw new EngineError("OutOfRange", "a range lies in one half of the input", { operation, first, last: first + size - 1n });
		}
	}

	/** What the table says of an address now, past every cache; null when it is not mapped for the access. */
	lookUp(iova: bigint, access: Permissions | "any" = "any"): { pa: bigint; pageBytes: number; read: boolean; write: boolean; execute: boolean } | null {
		this.check("PageTable.lookUp");
		if (this.beyond(iova)) return null;
		const bits = access === "any" ? ACCESS_ANY : permissionBits(access);
		if (this.exports.lookUp(this.context, this.record, low(iova), high(iova), bits) !== OUTCOME_TRANSLATED) return null;
		const view = this.views.data();
		const permissions = view.getUint32(this.scratch + 20, true);
		return {
			pa: view.getBigUint64(this.scratch + 8, true),
			pageBytes: 2 ** view.getUint32(this.scratch + 16, true),
			read: (permissions & ACCESS_READ) !== 0,
			write: (permissions & ACCESS_WRITE) !== 0,
			execute: (permissions & ACCESS_EXECUTE) !== 0,
		};
	}

	/** Return every frame. Routes to the table must be gone. */
	dispose(): void {
		if (!this.open) return;
		this.open = false;
		this.exports.closeTable(this.context, this.record);
		this.freed(this.record);
	}
}
