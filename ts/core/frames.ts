export const PAGE = 4096n;

/** Bytes of physical memory that follow one another. */
export interface Extent {
	address: bigint;
	size: bigint;
}

/** Somebody's frames: one run of physical memory, named once. It is returned when neither a mapping nor a pin needs it. */
export interface Backing {
	readonly address: bigint;
	readonly size: bigint;
	/** who asked for it, and the user address of its first byte: for telling where a DMA went */
	readonly owner: object;
	readonly userAddress: bigint;
	/** bytes that mappings use, and pages that are pinned */
	mapped: bigint;
	pins: number;
}

/** The part of `extents` from byte `offset` on, `size` bytes long. */
export function sliceExtents(extents: readonly Extent[], offset: bigint, size: bigint): Extent[] {
	const parts: Extent[] = [];
	let skip = offset;
	let rest = size;
	for (const extent of extents) {
		if (rest === 0n) break;
		if (skip >= extent.size) {
			skip -= extent.size;
			continue;
		}
		const bytes = extent.size - skip < rest ? extent.size - skip : rest;
		parts.push({ address: extent.address + skip, size: bytes });
		rest -= bytes;
		skip = 0n;
	}
	return parts;
}

/** Adds an extent to a list, joined to the last one when it follows. */
export function pushExtent(extents: Extent[], address: bigint, size: bigint): void {
	const last = extents[extents.length - 1];
	if (last !== undefined && last.address + last.size === address) last.size += size;
	else extents.push({ address, size });
}

/**
 * Hands out the machine's RAM in runs of 4 KiB pages. Addresses are cheap (RAM is a sparse region: a page takes memory
 * when it is first written), so new runs are taken until the region ends, and only then old ones again, zeroed.
 */
export class FramePool {
	private next: bigint;
	private readonly backings: Backing[] = [];
	private readonly free: Extent[] = [];
	private usedBytes = 0n;

	constructor(
		first: bigint,
		private readonly last: bigint,
		private readonly zero: (address: bigint, size: bigint) => void,
	) {
		this.next = first;
	}

	/** A zeroed run of `size` bytes, placed so that large leaves can map it; undefined when RAM is used up. */
	reserve(owner: object, userAddress: bigint, size: bigint): Backing | undefined {
		let alignment = PAGE;
		while (alignment < size && alignment < 1n << 30n && userAddress % (2n * alignment) === 0n) alignment *= 2n;
		const address = this.take(size, alignment);
		if (address === undefined) return undefined;
		const backing: Backing = { address, size, owner, userAddress, mapped: size, pins: 0 };
		this.backings.splice(this.search(address), 0, backing);
		this.usedBytes += size;
		return backing;
	}

	private take(size: bigint, alignment: bigint): bigint | undefined {
		const aligned = (this.next + alignment - 1n) & ~(alignment - 1n);
		if (aligned + size - 1n <= this.last) {
			this.next = aligned + size;
			return aligned;
		}
		const index = this.free.findIndex((extent) => extent.size >= size);
		if (index < 0) return undefined;
		const extent = this.free[index];
		const address = extent.address;
		if (extent.size === size) this.free.splice(index, 1);
		else this.free[index] = { address: address + size, size: extent.size - size };
		this.zero(address, size);
		return address;
	}

	private search(address: bigint): number {
		let low = 0;
		let high = this.backings.length;
		while (low < high) {
			const mid = (low + high) >> 1;
			if (this.backings[mid].address + this.backings[mid].size <= address) low = mid + 1;
			else high = mid;
		}
		return low;
	}

	/** Whose frame a physical address lies in. */
	find(address: bigint): Backing | undefined {
		const found = this.backings[this.search(address)];
		return found !== undefined && found.address <= address ? found : undefined;
	}

	/** Give the run back once nobody maps or pins it. */
	settle(backing: Backing): void {
		if (backing.mapped > 0n || backing.pins > 0) return;
		const index = this.search(backing.address);
		if (this.backings[index] !== backing) return;
		this.backings.splice(index, 1);
		this.free.push({ address: backing.address, size: backing.size });
		this.usedBytes -= backing.size;
	}

	/** Pages that are handed out. */
	get used(): number {
		return Number(this.usedBytes / PAGE);
	}
}
