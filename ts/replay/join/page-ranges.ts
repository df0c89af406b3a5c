/**
 * Values by 4 KiB page. Small ranges are kept page by page, which is what drivers map; large ones whole, so that a range of any size,
 * sensible or not, costs no more than what is there.
 */

/** Pages from which a range is large. */
const LARGE = 4096;

interface Range<Value> {
	first: number;
	end: number;
	/** of page `first` */
	value: Value;
}

export class PageRanges<Value> {
	private readonly small = new Map<number, Value>();
	/** by first page; they do not overlap */
	private large: Range<Value>[] = [];

	/** `at` gives the value of the page that lies `offset` pages after that of `value`. */
	constructor(private readonly at: (value: Value, offset: number) => Value) {}

	/** Sets pages [first, end), `value` being that of the first; how many had one before. */
	set(first: number, end: number, value: Value): number {
		let replaced = this.large.length === 0 ? 0 : this.cut(first, end);
		if (end - first < LARGE) {
			const before = this.small.size;
			for (let page = first; page < end; page++) this.small.set(page, this.at(value, page - first));
			return replaced + Math.max(0, end - first) - (this.small.size - before);
		}
		replaced += this.drop(first, end);
		this.large.push({ first, end, value });
		this.large.sort((a, b) => a.first - b.first);
		return replaced;
	}

	delete(first: number, end: number): void {
		if (this.large.length > 0) this.cut(first, end);
		this.drop(first, end);
	}

	get(page: number): Value | undefined {
		const one = this.small.get(page);
		if (one !== undefined || this.large.length === 0) return one;
		const range = this.around(page);
		return range === undefined ? undefined : this.at(range.value, page - range.first);
	}

	/** Whether every page of a range that is not empty has a value. */
	covers(first: number, end: number): boolean {
		let page = first;
		while (page < end) {
			if (this.small.has(page)) page++;
			else {
				const range = this.large.length === 0 ? undefined : this.around(page);
				if (range === undefined) return false;
				page = range.end;
			}
		}
		return end > first;
	}

	/** The values in a range, of large ranges once. */
	each(first: number, end: number, visit: (value: Value) => void): void {
		for (const page of pagesWithin(this.small, first, end)) {
			const value = this.small.get(page);
			if (value !== undefined) visit(value);
		}
		for (const range of this.large) if (range.first < end && range.end > first) visit(range.value);
	}

	private around(page: number): Range<Value> | undefined {
		return this.large.find((range) => range.first <= page && page < range.end);
	}

	/** Takes small ranges away; how many pages went. */
	private drop(first: number, end: number): number {
		const before = this.small.size;
		for (const page of pagesWithin(this.small, first, end)) this.small.delete(page);
		return before - this.small.size;
	}

	/** Takes the range out of large ones; how many pages went. */
	private cut(first: number, end: number): number {
		let pages = 0;
		this.large = this.large.flatMap((range) => {
			const from = Math.max(first, range.first);
			const to = Math.min(end, range.end);
			if (from >= to) return [range];
			pages += to - from;
			const left: Range<Value>[] = [];
			if (range.first < from) left.push({ ...range, end: from });
			if (to < range.end) left.push({ first: to, end: range.end, value: this.at(range.value, to - range.first) });
			return left;
		});
		return pages;
	}
}

/** The pages of [first, end) that may be in `pages`, ascending: all of them, or what is there when that is less. */
export function* pagesWithin(pages: ReadonlyMap<number, unknown>, first: number, end: number): Generator<number, void, undefined> {
	if (end - first <= pages.size || end - first < LARGE) for (let page = first; page < end; page++) yield page;
	else yield* [...pages.keys()].filter((page) => page >= first && page < end).sort((a, b) => a - b);
}
