/**
 * IOVA space of one domain in which a range may not be used again before its invalidation, as a kernel with a flush queue
 * keeps it. A map of a range that still waits is given another one, and what is done with it follows.
 */
export class RenamedSpace {
	/** pages that wait for their invalidation */
	private readonly waiting = new Set<number>();
	/** recorded page -> page given instead, while it is mapped */
	private readonly renamed = new Map<number, number>();
	/** ranges beyond all recorded ones that are free again, by their length in pages */
	private readonly free = new Map<number, number[]>();
	private next: number;

	/** `first`: a page beyond all that the domain uses; `end`: where its tables end. */
	constructor(
		first: number,
		private readonly end: number,
	) {
		this.next = first;
		this.first = first;
	}

	private readonly first: number;

	/** Page that a recorded one stands for now. */
	at(page: number): number {
		return this.renamed.get(page) ?? page;
	}

	/** Where a map of `pages` from `page` on goes; null when no room is left. */
	map(page: number, pages: number): number | null {
		// over what is mapped: it stays where it is
		if (this.renamed.has(page)) {
			const held = this.at(page);
			let same = true;
			for (let i = 1; i < pages && same; i++) same = this.at(page + i) === held + i;
			if (same) return held;
		}
		let taken = false;
		for (let i = page; i < page + pages && !taken; i++) taken = this.waiting.has(i);
		for (let i = page; i < page + pages; i++) this.renamed.delete(i);
		if (!taken) return page;
		const given = this.free.get(pages)?.pop() ?? this.fresh(pages);
		if (given === null) return null;
		for (let i = 0; i < pages; i++) this.renamed.set(page + i, given + i);
		return given;
	}

	/** Naturally aligned, so that large leaves stay possible. */
	private fresh(pages: number): number | null {
		const align = 2 ** Math.ceil(Math.log2(pages));
		const at = Math.ceil(this.next / align) * align;
		if (at + pages > this.end) return null;
		this.next = at + pages;
		return at;
	}

	/** The recorded pages are unmapped; what they stood for waits. */
	unmap(page: number, pages: number): void {
		for (let i = page; i < page + pages; i++) {
			this.waiting.add(this.at(i));
			this.renamed.delete(i);
		}
	}

	/** Invalidated: `pages` from `page` on, as they were given, may be used again. */
	flushed(page: number, pages: number): void {
		for (let i = page; i < page + pages; i++) this.waiting.delete(i);
		if (page < this.first) return;
		const list = this.free.get(pages);
		if (list === undefined) this.free.set(pages, [page]);
		else list.push(page);
	}
}
