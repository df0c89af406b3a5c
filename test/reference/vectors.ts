/**
 * Golden vectors: the gzipped files of test/vectors and the sparse memory image that they describe.
 * Memory not listed reads as zero; a file may bound memory by `ram`, and a case may hold ranges where any access
 * (`no_access`), any write (`no_write`) or any read (`poison`) fails.
 */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import type { Memory } from "./contract.ts";

/** An address as vectors write it: "0x..." text or a plain number. */
export type VectorAddress = string | number;

/** The parts of a case that every architecture's files share. */
export interface VectorCase {
	id: string;
	/** [address, bytes in increasing address order, as hex] */
	memory: Array<[VectorAddress, string]>;
	/** [address, length] */
	no_access?: Array<[VectorAddress, VectorAddress]>;
	no_write?: Array<[VectorAddress, VectorAddress]>;
	poison?: Array<[VectorAddress, VectorAddress]>;
}

export interface VectorFile<Case extends VectorCase = VectorCase> {
	arch: string;
	source: string;
	/** [first, length]: the only addresses that exist; all addresses exist when absent */
	ram?: Array<[VectorAddress, VectorAddress]>;
	cases: Case[];
}

/** Reads test/vectors/NAME.json.gz. */
export function loadVectors<Case extends VectorCase = VectorCase>(name: string): VectorFile<Case> {
	const file = new URL(`../vectors/${name}.json.gz`, import.meta.url);
	return JSON.parse(gunzipSync(readFileSync(file)).toString("utf8")) as VectorFile<Case>;
}

/** One write that memory took. */
export interface RecordedWrite {
	pa: bigint;
	bytes: 4 | 8;
	value: bigint;
}

interface Range {
	first: bigint;
	/** one past the last byte */
	end: bigint;
}

function ranges(list: Array<[VectorAddress, VectorAddress]> | undefined): Range[] {
	return (list ?? []).map(([first, length]) => ({ first: BigInt(first), end: BigInt(first) + BigInt(length) }));
}

function touches(list: Range[], pa: bigint, bytes: number): boolean {
	return list.some((range) => pa < range.end && pa + BigInt(bytes) > range.first);
}

/** Sparse byte memory. Every write is kept in `writes`, in order. */
export class SparseMemory implements Memory {
	readonly writes: RecordedWrite[] = [];
	/** every address that was asked for, in order */
	readonly reads: bigint[] = [];
	noAccess: Range[] = [];
	noWrite: Range[] = [];
	poison: Range[] = [];
	readonly #bytes = new Map<bigint, number>();
	/** null: no bounds */
	readonly #ram: Range[] | null;

	/** `ram`: [first, length] of each piece that exists; all of the address space when not given */
	constructor(ram?: Array<[VectorAddress, VectorAddress]>) {
		this.#ram = ram === undefined ? null : ranges(ram);
	}

	/** The image and the failing ranges of a vector case. */
	static of(item: VectorCase, ram?: Array<[VectorAddress, VectorAddress]>): SparseMemory {
		const memory = new SparseMemory(ram);
		for (const [address, hex] of item.memory) {
			memory.poke(BigInt(address), hex);
		}
		memory.noAccess = ranges(item.no_access);
		memory.noWrite = ranges(item.no_write);
		memory.poison = ranges(item.poison);
		return memory;
	}

	/** Stores bytes written as hex in increasing address order, past all checks. */
	poke(address: bigint, hex: string): void {
		for (let i = 0; i < hex.length; i += 2) {
			this.#bytes.set(address + BigInt(i / 2), Number.parseInt(hex.slice(i, i + 2), 16));
		}
	}

	/** Stores `bytes` (1 to 8) bytes, little-endian, past all checks. */
	set(address: bigint, value: bigint, bytes = 8): void {
		for (let i = 0; i < bytes; i++) {
			this.#bytes.set(address + BigInt(i), Number((value >> BigInt(8 * i)) & 0xffn));
		}
	}

	/** The little-endian value stored there, past all checks. */
	get(address: bigint, bytes = 8): bigint {
		let value = 0n;
		for (let i = bytes - 1; i >= 0; i--) {
			value = (value << 8n) | BigInt(this.#bytes.get(address + BigInt(i)) ?? 0);
		}
		return value;
	}

	/** What `length` bytes there read as, as hex in increasing address order. */
	hex(address: bigint, length: number): string {
		let text = "";
		for (let i = 0; i < length; i++) {
			text += (this.#bytes.get(address + BigInt(i)) ?? 0).toString(16).padStart(2, "0");
		}
		return text;
	}

	read(pa: bigint, bytes: 4 | 8): { value: bigint } | { error: "access" | "poison" } {
		this.reads.push(pa);
		if (!this.#exists(pa, bytes) || touches(this.noAccess, pa, bytes)) {
			return { error: "access" };
		}
		if (touches(this.poison, pa, bytes)) {
			return { error: "poison" };
		}
		return { value: this.get(pa, bytes) };
	}

	write(pa: bigint, bytes: 4 | 8, value: bigint): boolean {
		if (!this.#exists(pa, bytes) || touches(this.noAccess, pa, bytes) || touches(this.noWrite, pa, bytes)) {
			return false;
		}
		this.set(pa, value, bytes);
		this.writes.push({ pa, bytes, value });
		return true;
	}

	#exists(pa: bigint, bytes: number): boolean {
		if (this.#ram === null) {
			return true;
		}
		return this.#ram.some((piece) => pa >= piece.first && pa + BigInt(bytes) <= piece.end);
	}
}
