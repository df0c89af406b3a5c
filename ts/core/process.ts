import type { PhysicalMemory } from "../engine/index.ts";
import { CoreError } from "./errors.ts";
import { type Backing, type Extent, type FramePool, PAGE, pushExtent } from "./frames.ts";

interface Mapping {
	first: bigint;
	last: bigint;
	backing: Backing;
	/** byte of the backing that `first` names */
	offset: bigint;
	writable: boolean;
}

/** Told when user addresses [first, last] stop meaning what they meant. */
export type UnmapListener = (first: bigint, last: bigint) => void;

/**
 * Memory of a process: user addresses over frames of the machine's RAM. A page has one frame for as long as it is
 * mapped or pinned. `locked` counts the pages charged to it, up to `lockedLimit`.
 */
export class Process {
	private readonly mappings: Mapping[] = [];
	private readonly listeners = new Set<UnmapListener>();
	private lockedPages = 0;
	/** pages that may be charged (RLIMIT_MEMLOCK) */
	lockedLimit = Number.POSITIVE_INFINITY;

	constructor(
		readonly name: string,
		private readonly ram: PhysicalMemory,
		private readonly frames: FramePool,
	) {}

	private context(operation: string, address: bigint, size: bigint) {
		return { operation, object: `process ${this.name}`, first: address, last: address + size - 1n };
	}

	/** Index of the first mapping that ends at or after the address. */
	private search(address: bigint): number {
		let low = 0;
		let high = this.mappings.length;
		while (low < high) {
			const mid = (low + high) >> 1;
			if (this.mappings[mid].last < address) low = mid + 1;
			else high = mid;
		}
		return low;
	}

	private find(address: bigint): Mapping | undefined {
		const found = this.mappings[this.search(address)];
		return found !== undefined && found.first <= address ? found : undefined;
	}

	/** Declare zero-filled memory at [address, address + size), both multiples of a page. @throws CoreError Misaligned, Occupied, NoSpace */
	map(address: bigint, size: bigint, writable = true): void {
		const last = address + size - 1n;
		const context = this.context("Process.map", address, size);
		if (size <= 0n || (address | size) & (PAGE - 1n)) throw new CoreError("Misaligned", "memory comes in pages", context);
		const index = this.search(address);
		if (index < this.mappings.length && this.mappings[index].first <= last) throw new CoreError("Occupied", "memory is there", context);
		const backing = this.frames.reserve(this, address, size);
		if (backing === undefined) throw new CoreError("NoSpace", "the machine's RAM is used up", context);
		this.mappings.splice(index, 0, { first: address, last, backing, offset: 0n, writable });
	}

	/**
	 * Take memory away, holes allowed; pinned frames live on for their holders.
	 * @throws CoreError Misaligned, NotFound when nothing lies there
	 */
	unmap(address: bigint, size: bigint): void {
		const last = address + size - 1n;
		const context = this.context("Process.unmap", address, size);
		if (size <= 0n || (address | size) & (PAGE - 1n)) throw new CoreError("Misaligned", "memory comes in pages", context);
		let index = this.search(address);
		if (index === this.mappings.length || this.mappings[index].first > last) throw new CoreError("NotFound", "no memory there", context);
		for (const listener of [...this.listeners]) listener(address, last);
		while (index < this.mappings.length && this.mappings[index].first <= last) {
			const mapping = this.mappings[index];
			const from = mapping.first > address ? mapping.first : address;
			const to = mapping.last < last ? mapping.last : last;
			const kept: Mapping[] = [];
			if (mapping.first < from) kept.push({ ...mapping, last: from - 1n });
			if (mapping.last > to) kept.push({ ...mapping, first: to + 1n, offset: mapping.offset + (to + 1n - mapping.first) });
			this.mappings.splice(index, 1, ...kept);
			mapping.backing.mapped -= to - from + 1n;
			this.frames.settle(mapping.backing);
			index += kept.length;
		}
	}

	/** Take everything away. */
	exit(): void {
		for (const { first, last } of [...this.mappings]) this.unmap(first, last - first + 1n);
	}

	/** @returns a call that ends it */
	onUnmap(listener: UnmapListener): () => void {
		this.listeners.add(listener);
		return () => this.listeners.delete(listener);
	}

	private each(operation: string, address: bigint, size: bigint, visit: (mapping: Mapping, offset: bigint, at: bigint, bytes: bigint) => void): void {
		for (let at = 0n; at < size; ) {
			const mapping = this.find(address + at);
			if (mapping === undefined) throw new CoreError("MemoryFault", "no memory there", this.context(operation, address + at, 1n));
			const here = address + at;
			const rest = mapping.last - here + 1n;
			const bytes = rest < size - at ? rest : size - at;
			visit(mapping, mapping.offset + (here - mapping.first), at, bytes);
			at += bytes;
		}
	}

	/** Physical address behind a user address. @throws CoreError MemoryFault */
	physical(address: bigint): bigint {
		let found = 0n;
		this.each("Process.physical", address, 1n, ({ backing }, offset) => {
			found = backing.address + offset;
		});
		return found;
	}

	/** Physical address of the frame behind a page. @throws CoreError MemoryFault */
	frameOf(address: bigint): bigint {
		return this.physical(address & ~(PAGE - 1n));
	}

	/**
	 * Pin the pages of [address, address + size): their frames stay until they are unpinned, whatever the process does.
	 * @throws CoreError Misaligned, MemoryFault, Denied (a write pin of read-only memory)
	 */
	pin(address: bigint, size: bigint, write = false): Extent[] {
		if (size <= 0n || (address | size) & (PAGE - 1n)) throw new CoreError("Misaligned", "pins are of pages", this.context("Process.pin", address, size));
		const extents: Extent[] = [];
		const held: Array<{ backing: Backing; pages: number }> = [];
		this.each("Process.pin", address, size, (mapping, offset, at, bytes) => {
			if (write && !mapping.writable) throw new CoreError("Denied", "the memory is read-only", this.context("Process.pin", address + at, bytes));
			pushExtent(extents, mapping.backing.address + offset, bytes);
			held.push({ backing: mapping.backing, pages: Number(bytes / PAGE) });
		});
		for (const { backing, pages } of held) backing.pins += pages;
		return extents;
	}

	/** Let pinned frames go, all of a pin or a part. */
	unpin(extents: readonly Extent[]): void {
		for (const extent of extents) {
			for (let at = 0n; at < extent.size; ) {
				const backing = this.frames.find(extent.address + at);
				if (backing === undefined) throw new Error(`unpin of 0x${(extent.address + at).toString(16)}, which is nobody's frame`);
				const rest = backing.address + backing.size - (extent.address + at);
				const bytes = rest < extent.size - at ? rest : extent.size - at;
				backing.pins -= Number(bytes / PAGE);
				at += bytes;
				this.frames.settle(backing);
			}
		}
	}

	/** @throws CoreError MemoryFault; nothing is read then */
	read(address: bigint, length: number): Uint8Array {
		const out = new Uint8Array(length);
		this.each("Process.read", address, BigInt(length), ({ backing }, offset, at, bytes) => out.set(this.ram.read(backing.address + offset, Number(bytes)), Number(at)));
		return out;
	}

	/** @throws CoreError MemoryFault; nothing is written then */
	write(address: bigint, data: Uint8Array): void {
		const size = BigInt(data.length);
		this.each("Process.write", address, size, ({ writable }, _offset, at, bytes) => {
			if (!writable) throw new CoreError("MemoryFault", "the memory is read-only", this.context("Process.write", address + at, bytes));
		});
		this.each("Process.write", address, size, ({ backing }, offset, at, bytes) => this.ram.writeBytes(backing.address + offset, data.subarray(Number(at), Number(at + bytes))));
	}

	/** Charge locked pages. @throws CoreError NoSpace over the limit */
	charge(pages: number): void {
		if (this.lockedPages + pages > this.lockedLimit) {
			throw new CoreError("NoSpace", `${this.lockedPages} pages are locked, the limit is ${this.lockedLimit}`, { operation: "Process.charge", object: `process ${this.name}` });
		}
		this.lockedPages += pages;
	}

	uncharge(pages: number): void {
		this.lockedPages -= pages;
	}

	/** Pages charged now. */
	get locked(): number {
		return this.lockedPages;
	}
}
