/** Numbers for (space, page) pairs in the order of their first use: an open-addressing hash over typed arrays, no object for a page. */
export class PageIndex {
	/** by item */
	page = new Float64Array(1024);
	space = new Uint32Array(1024);
	size = 0;
	/** item + 1, 0 in an empty bucket */
	private buckets = new Int32Array(4096);

	/** Number of a page, -1 when it was never added. */
	find(space: number, page: number): number {
		const { buckets } = this;
		const mask = buckets.length - 1;
		for (let at = hashPage(space, page) & mask; ; at = (at + 1) & mask) {
			const item = buckets[at] - 1;
			if (item < 0 || (this.page[item] === page && this.space[item] === space)) return item;
		}
	}

	/** Number of a page, added when it is new. */
	add(space: number, page: number): number {
		const found = this.find(space, page);
		if (found >= 0) return found;
		if (2 * this.size >= this.buckets.length) this.widen();
		const item = this.size++;
		if (item === this.page.length) {
			this.page = widened(this.page);
			this.space = widened(this.space);
		}
		this.page[item] = page;
		this.space[item] = space;
		this.place(item);
		return item;
	}

	private place(item: number): void {
		const { buckets } = this;
		const mask = buckets.length - 1;
		let at = hashPage(this.space[item], this.page[item]) & mask;
		while (buckets[at] !== 0) at = (at + 1) & mask;
		buckets[at] = item + 1;
	}

	private widen(): void {
		this.buckets = new Int32Array(this.buckets.length * 2);
		for (let item = 0; item < this.size; item++) this.place(item);
	}
}

/** A well mixed 32-bit hash of a page of a space (finalizer of MurmurHash3), not negative. */
export function hashPage(space: number, page: number): number {
	let h = Math.imul(page >>> 0, 0x9e3779b1) ^ Math.imul((page / 2 ** 32) >>> 0, 0x85ebca77) ^ Math.imul(space + 1, 0xc2b2ae3d);
	h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
	h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
	return (h ^ (h >>> 16)) >>> 0;
}

/** The same values in an array of twice the length. */
export function widened<T extends Float64Array | Uint32Array | Int32Array | Uint8Array>(old: T): T {
	const wider = new (old.constructor as new (length: number) => T)(old.length * 2);
	wider.set(old);
	return wider;
}
