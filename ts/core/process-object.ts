import type { PhysicalMemory } from "../engine/index.ts";
import { CoreError } from "./errors.ts";
import { FrameMap } from "./frame-map.ts";
import { type Extent, type FramePool, PAGE, pushExtent } from "./frames.ts";

const pageDown = (address: bigint) => address & ~(PAGE - 1n);

/** Write bytes into frames. @throws CoreError NoSpace when the engine has no memory for them */
export function writeFrame(ram: PhysicalMemory, address: bigint, data: Uint8Array, context: { operation: string; object: string }): void {
	try {
		ram.writeBytes(address, data);
	} catch (error) {
		throw new CoreError("NoSpace", "the engine has no memory for a frame", context, { cause: error });
	}
}

/**
 * Memory that several mappings share: a file in memory, shared anonymous memory, a device's region. Its pages get frames
 * when first touched and keep them until the object is gone or cut. Who makes it holds it once; each mapping holds it too.
 */
export class MemoryObject {
	/** by offset */
	private readonly map = new FrameMap();
	private holders = 1;
	/** where its frames shall lie: physical address of byte 0; null: no such place */
	private planned: bigint | null | undefined;

	constructor(
		readonly name: string,
		/** bytes */
		private bytes: bigint,
		private readonly ram: PhysicalMemory,
		private readonly frames: FramePool,
		/** user address that byte 0 will have, for large leaves */
		private readonly userAddress = 0n,
	) {}

	get size(): bigint {
		return this.bytes;
	}

	private context(operation: string, offset: bigint, size: bigint) {
		return { operation, object: `memory ${this.name}`, first: offset, last: offset + size - 1n };
	}

	/** Frames behind [offset, offset + size) of pages, as far as there are any. @throws CoreError MemoryFault behind the end */
	peek(operation: string, offset: bigint, size: bigint) {
		if (offset < 0n || pageDown(offset + size - 1n) >= this.bytes) throw new CoreError("MemoryFault", "behind the end", this.context(operation, offset, size));
		return this.map.pieces(offset, offset + size - 1n);
	}

	/** Frames behind [offset, offset + size), made where there are none. @throws CoreError MemoryFault behind the end, NoSpace: nothing is made then */
	touch(operation: string, offset: bigint, size: bigint): Extent[] {
		const first = pageDown(offset);
		const last = pageDown(offset + size - 1n) + PAGE - 1n;
		const made: Array<[bigint, bigint]> = [];
		try {
			for (const piece of this.peek(operation, first, last - first + 1n)) {
				if (piece.physical !== undefined) continue;
				this.planned ??= this.frames.plan(this.userAddress, pageDown(this.bytes + PAGE - 1n)) ?? null;
				const bytes = piece.last - piece.first + 1n;
				const taken = this.frames.take(this, piece.first, bytes, this.planned === null ? undefined : this.planned + piece.first);
				if (taken === undefined) throw new CoreError("NoSpace", "the machine's RAM is used up", this.context(operation, piece.first, bytes));
				made.push([piece.first, piece.last]);
				let at = piece.first;
				for (const extent of taken) {
					this.map.set(at, at + extent.size - 1n, extent.address);
					at += extent.size;
				}
			}
		} catch (error) {
			for (const [from, to] of made) this.discard(from, to);
			throw error;
		}
		const extents: Extent[] = [];
		for (const { first: from, last: to, physical } of this.map.pieces(offset, offset + size - 1n)) pushExtent(extents, physical as bigint, to - from + 1n);
		return extents;
	}

	private discard(first: bigint, last: bigint): void {
		for (const { first: from, last: to, physical } of this.map.remove(first, last)) this.frames.drop(physical, to - from + 1n);
	}

	/** Physical address of the frame that has the byte at `offset`'s page. @throws CoreError MemoryFault, NoSpace */
	frameOf(offset: bigint): bigint {
		return this.touch("MemoryObject.frameOf", pageDown(offset), PAGE)[0].address;
	}

	/** Pin the pages of [offset, offset + size). @throws CoreError MemoryFault, NoSpace; nothing is pinned then */
	pin(offset: bigint, size: bigint): Extent[] {
		const extents = this.touch("MemoryObject.pin", offset, size);
		for (const { address, size: bytes } of extents) this.frames.pin(address, bytes);
		return extents;
	}

	unpin(extents: readonly Extent[]): void {
		for (const { address, size } of extents) this.frames.unpin(address, size);
	}

	/** @throws CoreError MemoryFault; nothing is copied then */
	read(offset: bigint, length: number): Uint8Array {
		const out = new Uint8Array(length);
		this.check("MemoryObject.read", offset, length);
		for (const { first, last, physical } of this.map.pieces(offset, offset + BigInt(length) - 1n)) {
			if (physical !== undefined) out.set(this.ram.read(physical, Number(last - first + 1n)), Number(first - offset));
		}
		return out;
	}

	/** @throws CoreError MemoryFault, nothing is written then; NoSpace */
	write(offset: bigint, data: Uint8Array): void {
		this.check("MemoryObject.write", offset, data.length);
		let at = 0;
		for (const { address, size } of data.length === 0 ? [] : this.touch("MemoryObject.write", offset, BigInt(data.length))) {
			writeFrame(this.ram, address, data.subarray(at, at + Number(size)), this.context("MemoryObject.write", offset, size));
			at += Number(size);
		}
	}

	private check(operation: string, offset: bigint, length: number): void {
		if (offset >= 0n && offset + BigInt(length) <= this.bytes) return;
		throw new CoreError("MemoryFault", `the memory has 0x${this.bytes.toString(16)} bytes`, this.context(operation, offset, BigInt(length)));
	}

	/** Cut or lengthen it. What is cut reads as zero when it is lengthened again; pinned frames live on for their holders. */
	resize(size: bigint): void {
		if (size < this.bytes) {
			const border = pageDown(size + PAGE - 1n);
			this.discard(border, pageDown(this.bytes + PAGE - 1n));
			if (size < border) {
				const [{ physical }] = this.map.pieces(size, border - 1n);
				if (physical !== undefined) this.ram.writeBytes(physical, new Uint8Array(Number(border - size)));
			}
		}
		this.bytes = size;
	}

	hold(): this {
		this.holders++;
		return this;
	}

	/** Give up one hold; the last one frees the pages. */
	release(): void {
		this.holders--;
		if (this.holders === 0) this.discard(0n, (1n << 64n) - 1n);
	}
}
