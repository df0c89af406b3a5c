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
	GEOMETRY_EXTRA,
	GEOMETRY_FLAGS,
	GEOMETRY_FORMAT,
	GEOMETRY_GRANULE,
	GEOMETRY_INPUT_BITS,
	GEOMETRY_LEAVES,
	GEOMETRY_OUTPUT_BITS,
	GEOMETRY_ROOT,
	GEOMETRY_TOP,
	MAP_REPLACE,
	OUTCOME_TRANSLATED,
	TABLE_DONE,
	TABLE_FRAMES,
	TABLE_KEEP,
	TABLE_LEAVES,
	TABLE_MAPPED,
	TABLE_REPLACED,
} from "../../assembly/layout.ts";
import { EngineError, type EngineErrorCode } from "./errors.ts";
import type { EngineExports } from "./instantiate.ts";
import { TABLE_FORMATS, type TableFormat, type TableFormatName } from "./page-table-formats.ts";
import type { Views } from "./views.ts";

/** Format of a kernel-built table. */
export interface PageTableConfig {
	format: TableFormatName;
	/** as many as the format has (page-table-formats.ts) */
	levels: number;
	/** output address bits; default: the most that the format has */
	outputBits?: number;
	/** input address bits when fewer than the levels give */
	inputBits?: number;
	/** largest leaf, lg2 bytes; default: the format's largest */
	largestLeafLg2?: number;
	/** lg2 bytes of the leaves that maps may use beside the smallest; default: all that the format has */
	leaves?: readonly number[];
	/** routes to the table ask hardware to set A and D; default false, first stages of VT-d always do */
	accessedDirty?: boolean;
}

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
		const bad = (what: string, knob: string): never => {
			freed(record);
			throw new EngineError("BadConfig", what, { operation: "Engine.createTable", knob });
		};
		if (!Object.hasOwn(TABLE_FORMATS, config.format)) bad(`unknown format "${config.format}"`, "format");
		const format = TABLE_FORMATS[config.format];
		const { levels, outputBits = format.outputBits, inputBits = format.inputBits(levels), largestLeafLg2 = 63, leaves = format.leaves } = config;
		const smallest = format.leaves[0];
		const mask = (lg2s: readonly number[]) => lg2s.reduce((bits, lg2) => bits | (1n << BigInt(lg2)), 0n);
		if (!format.levels.includes(levels)) bad(`levels must be ${format.levels.join(" or ")}, not ${levels}`, "levels");
		const least = format.leastInputBits?.(levels) ?? smallest + 1;
		if (!(inputBits >= least && inputBits <= format.inputBits(levels))) bad(`${inputBits} input bits do not fit ${levels} levels`, "inputBits");
		if (!(outputBits > smallest && outputBits <= format.outputBits)) bad(`output bits must be ${smallest + 1} to ${format.outputBits}, not ${outputBits}`, "outputBits");
		this.format = format;
		const view = views.data();
		view.setBigUint64(record + GEOMETRY_ROOT, 0n, true);
		view.setBigUint64(record + GEOMETRY_LEAVES, mask(format.leaves), true);
		view.setUint32(record + GEOMETRY_FORMAT, format.code, true);
		view.setUint32(record + GEOMETRY_TOP, levels - 1, true);
		view.setUint32(record + GEOMETRY_INPUT_BITS, inputBits, true);
		view.setUint32(record + GEOMETRY_OUTPUT_BITS, outputBits, true);
		view.setUint32(record + GEOMETRY_FLAGS, format.flags | (config.accessedDirty ? (format.trackFlags ?? 0) : 0), true);
		view.setUint32(record + GEOMETRY_GRANULE, smallest, true);
		view.setBigUint64(record + GEOMETRY_EXTRA, BigInt(format.extra?.(levels, inputBits) ?? 0), true);
		view.setBigUint64(record + TABLE_MAPPED, 0n, true);
		view.setBigUint64(record + TABLE_LEAVES, mask(format.leaves.filter((lg2) => lg2 === smallest || (lg2 <= largestLeafLg2 && leaves.includes(lg2)))), true);
		view.setUint32(record + TABLE_FRAMES, 0, true);
		view.setUint32(record + TABLE_KEEP, 0, true);
		if (exports.openTable(context, record) !== EDIT_OK) {
			freed(record);
			throw new EngineError("OutOfFrames", "no frame is left for the root", { operation: "Engine.createTable", knob: "tables.frames" });
		}
		if (this.root >> BigInt(outputBits) !== 0n) {
			exports.closeTable(context, record);
			bad(`table frames lie beyond ${outputBits} bits`, "tables.base");
		}
	}

	private check(operation: string): void {
		if (!this.open) throw new EngineError("Disposed", "the table is gone", { operation });
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
		this.range("PageTable.map", iova, size);
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
		this.range("PageTable.unmap", iova, size);
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
		this.range("PageTable.protect", iova, size);
		const code = this.exports.protectPages(this.context, this.record, low(iova), high(iova), low(size), high(size), permissionBits(permissions));
		if (code !== EDIT_OK) this.fail("PageTable.protect", code, iova, size);
		return this.views.data().getBigUint64(this.record + TABLE_DONE, true);
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
		this.range(operation, iova, size);
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

	/** From now on maps use leaves of at most 2^lg2 bytes; what is mapped stays as it is. */
	limitLeaves(lg2: number): void {
		const smallest = this.format.leaves[0];
		let mask = 0n;
		for (const leaf of this.format.leaves) if (leaf === smallest || leaf <= lg2) mask |= 1n << BigInt(leaf);
		this.views.data().setBigUint64(this.record + TABLE_LEAVES, mask, true);
	}

	/** Unmap everything; the root stays where it is. */
	clear(): void {
		const bits = BigInt(this.inputBits);
		if (!this.format.signed && bits < 64n) this.unmap(0n, 1n << bits);
		else for (const half of [0n, (1n << 64n) - (1n << (bits - 1n))]) this.unmap(half, 1n << (bits - 1n));
	}

	/** Last address that the table takes, of the lower half where it has two. */
	get inputLast(): bigint {
		return (1n << BigInt(this.format.signed ? this.inputBits - 1 : this.inputBits)) - 1n;
	}

	private get inputBits(): number {
		return this.views.data().getUint32(this.record + GEOMETRY_INPUT_BITS, true);
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
