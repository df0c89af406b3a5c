import {
	ACCESS_ANY,
	ACCESS_READ,
	ACCESS_WRITE,
	EDIT_ALIGNMENT,
	EDIT_EXISTS,
	EDIT_NO_FRAME,
	EDIT_OK,
	EDIT_PERMISSION,
	EDIT_RANGE,
	FORMAT_VTD_SECOND,
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
import type { Views } from "./views.ts";

/** Format of a kernel-built table. */
export interface PageTableConfig {
	format: "vtd-second";
	/** 3, 4 or 5 */
	levels: number;
	/** output address bits; default 52 */
	outputBits?: number;
	/** input address bits when fewer than the levels give */
	inputBits?: number;
	/** largest leaf, lg2 bytes; default 30 */
	largestLeafLg2?: number;
}

export interface Permissions {
	read: boolean;
	write: boolean;
}

const permissionBits = (p: Permissions) => (p.read ? ACCESS_READ : 0) | (p.write ? ACCESS_WRITE : 0);
const low = (value: bigint) => Number(value & 0xffffffffn);
const high = (value: bigint) => Number((value >> 32n) & 0xffffffffn);

const FAILURES: Record<number, [EngineErrorCode, string]> = {
	[EDIT_EXISTS]: ["Occupied", "something is mapped there"],
	[EDIT_NO_FRAME]: ["OutOfFrames", "no frame is left for a table"],
	[EDIT_ALIGNMENT]: ["Misaligned", "addresses and size must be multiples of the smallest leaf"],
	[EDIT_RANGE]: ["OutOfRange", "beyond the table's input or output width"],
	[EDIT_PERMISSION]: ["Permission", "the format cannot express these permissions"],
};

/** A page table that the engine builds in frames of its own. Made by `Engine.createTable`. */
export class PageTable {
	private open = true;

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
		const { levels, outputBits = 52, inputBits = 12 + 9 * levels, largestLeafLg2 = 30 } = config;
		const bad = (what: string, knob: string): never => {
			freed(record);
			throw new EngineError("BadConfig", what, { operation: "Engine.createTable", knob });
		};
		if (config.format !== "vtd-second") bad(`unknown format "${config.format}"`, "format");
		if (![3, 4, 5].includes(levels)) bad(`levels must be 3, 4 or 5, not ${levels}`, "levels");
		if (!(inputBits > 12 && inputBits <= 12 + 9 * levels)) bad(`${inputBits} input bits do not fit ${levels} levels`, "inputBits");
		if (!(outputBits > 12 && outputBits <= 52)) bad(`output bits must be 13 to 52, not ${outputBits}`, "outputBits");
		let leaves = 1n << 12n;
		for (const lg2 of [21, 30]) if (lg2 <= largestLeafLg2) leaves |= 1n << BigInt(lg2);
		const view = views.data();
		view.setBigUint64(record + GEOMETRY_ROOT, 0n, true);
		view.setBigUint64(record + GEOMETRY_LEAVES, (1n << 12n) | (1n << 21n) | (1n << 30n), true);
		view.setUint32(record + GEOMETRY_FORMAT, FORMAT_VTD_SECOND, true);
		view.setUint32(record + GEOMETRY_TOP, levels - 1, true);
		view.setUint32(record + GEOMETRY_INPUT_BITS, inputBits, true);
		view.setUint32(record + GEOMETRY_OUTPUT_BITS, outputBits, true);
		view.setUint32(record + GEOMETRY_FLAGS, 0, true);
		view.setUint32(record + GEOMETRY_GRANULE, 12, true);
		view.setBigUint64(record + TABLE_MAPPED, 0n, true);
		view.setBigUint64(record + TABLE_LEAVES, leaves, true);
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

	/** Unmap everything; the root stays where it is. */
	clear(): void {
		this.unmap(0n, 1n << BigInt(this.inputBits));
	}

	private get inputBits(): number {
		return this.views.data().getUint32(this.record + GEOMETRY_INPUT_BITS, true);
	}

	private range(operation: string, first: bigint, size: bigint): void {
		if (first < 0n || size <= 0n || first + size > 1n << 64n) {
			throw new EngineError("OutOfRange", "addresses must be 0 to 2^64 - 1, size at least 1", { operation, first, last: first + size - 1n });
		}
	}

	/** What the table says of an address now, past every cache; null when it is not mapped for the access. */
	lookUp(iova: bigint, access: Permissions | "any" = "any"): { pa: bigint; pageBytes: number; read: boolean; write: boolean } | null {
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
