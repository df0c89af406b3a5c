/** What is mapped, as plain intervals of smallest pages: the model that page tables are held against. */

/** Page numbers, both ends inside; `output` is the page that `first` goes to. */
export interface Interval {
	first: number;
	last: number;
	output: number;
	/** 1 read, 2 write, 4 execute */
	rights: number;
	dirty: boolean;
}

export class IntervalMap {
	/** sorted, disjoint */
	readonly list: Interval[] = [];

	/** Index of the first interval that ends at `page` or later. */
	private from(page: number): number {
		let low = 0;
		let high = this.list.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			if (this.list[middle].last < page) low = middle + 1;
			else high = middle;
		}
		return low;
	}

	at(page: number): Interval | null {
		const found = this.list[this.from(page)];
		return found !== undefined && found.first <= page ? found : null;
	}

	/** Intervals, cut to [first, last]. */
	within(first: number, last: number): Interval[] {
		const out: Interval[] = [];
		for (let i = this.from(first); i < this.list.length && this.list[i].first <= last; i++) {
			const one = this.list[i];
			const start = Math.max(one.first, first);
			out.push({ ...one, first: start, last: Math.min(one.last, last), output: one.output + start - one.first });
		}
		return out;
	}

	/** Pages that are mapped in [first, last]. */
	pages(first: number, last: number): number {
		return this.within(first, last).reduce((sum, one) => sum + one.last - one.first + 1, 0);
	}

	/** Put `pieces` in the place of everything in [first, last]. */
	replace(first: number, last: number, pieces: Interval[]): void {
		const start = this.from(first);
		let end = start;
		while (end < this.list.length && this.list[end].first <= last) end += 1;
		const [head, tail] = [this.list[start], this.list[end - 1]];
		const all: Interval[] = [];
		if (end > start && head.first < first) all.push({ ...head, last: first - 1 });
		all.push(...pieces);
		if (end > start && tail.last > last) all.push({ ...tail, first: last + 1, output: tail.output + last + 1 - tail.first });
		// neighbours that go on alike are one
		const joined: Interval[] = [];
		for (const one of all) {
			const before = joined.at(-1);
			const alike = before !== undefined && before.last + 1 === one.first && before.rights === one.rights && before.dirty === one.dirty;
			if (alike && before.output + one.first - before.first === one.output) before.last = one.last;
			else joined.push({ ...one });
		}
		this.list.splice(start, end - start, ...joined);
	}

	map(first: number, last: number, output: number, rights: number): void {
		this.replace(first, last, [{ first, last, output, rights, dirty: false }]);
	}

	unmap(first: number, last: number): void {
		this.replace(first, last, []);
	}

	change(first: number, last: number, what: Partial<Pick<Interval, "rights" | "dirty">>): void {
		this.replace(first, last, this.within(first, last).map((one) => ({ ...one, ...what })));
	}
}
