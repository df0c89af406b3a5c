import { PAGE, type Page } from "./process-frames.ts";
import type { MappingWatcher } from "./process-memory.ts";
import type { MemoryObject } from "./process-object.ts";

/** One range of a process's addresses with one kind of memory. Holds its object and its private pages. */
export class Mapping {
	constructor(
		readonly first: bigint,
		/** inclusive */
		public last: bigint,
		public access: { read: boolean; write: boolean },
		readonly shared: boolean,
		/** null: private zero-filled memory */
		readonly object: MemoryObject | null,
		/** page of the object that lies at `first` */
		readonly objectPage: number,
		readonly watcher: MappingWatcher | null,
		/** pages of its own, by page number of the address */
		readonly pages = new Map<number, Page>(),
	) {
		object?.hold();
		watcher?.open();
	}

	/** The same memory for a range inside: `pages` are handed over, not copied. */
	private part(first: bigint, last: bigint, pages: Map<number, Page>): Mapping {
		const objectPage = this.objectPage + Number((first - this.first) / PAGE);
		return new Mapping(first, last, { ...this.access }, this.shared, this.object, objectPage, this.watcher, pages);
	}

	/** Cut off what lies at `at` and behind, a page inside the range. */
	splitAt(at: bigint): Mapping {
		const border = Number(at / PAGE);
		const behind = new Map([...this.pages].filter(([page]) => page >= border));
		for (const page of behind.keys()) this.pages.delete(page);
		const part = this.part(at, this.last, behind);
		this.last = at - 1n;
		return part;
	}

	/** For a child: `pages` are its own holds. */
	copyWith(pages: Map<number, Page>): Mapping {
		return this.part(this.first, this.last, pages);
	}

	objectPageOf(page: number): number {
		return this.objectPage + page - Number(this.first / PAGE);
	}

	close(): void {
		for (const page of this.pages.values()) page.drop();
		this.pages.clear();
		this.object?.release();
		this.watcher?.close();
	}
}

/** The mappings of a process, by address, none over another. */
export class MappingList {
	private list: Mapping[] = [];

	[Symbol.iterator](): Iterator<Mapping> {
		return this.list[Symbol.iterator]();
	}

	/** index of the first mapping that ends at or behind an address */
	private indexOf(address: bigint): number {
		let low = 0;
		let high = this.list.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			if (this.list[middle].last < address) low = middle + 1;
			else high = middle;
		}
		return low;
	}

	at(address: bigint): Mapping | undefined {
		const found = this.list[this.indexOf(address)];
		return found !== undefined && found.first <= address ? found : undefined;
	}

	meets(first: bigint, last: bigint): boolean {
		const found = this.list[this.indexOf(first)];
		return found !== undefined && found.first <= last;
	}

	add(mapping: Mapping): void {
		this.list.splice(this.indexOf(mapping.first), 0, mapping);
	}

	/** The mappings of a range, split so that none reaches out of it. */
	carve(first: bigint, last: bigint): Mapping[] {
		for (const at of [first, last + 1n]) {
			const across = this.at(at);
			if (across !== undefined && across.first < at) this.add(across.splitAt(at));
		}
		const from = this.indexOf(first);
		const to = this.indexOf(last + 1n);
		return this.list.slice(from, to);
	}

	remove(first: bigint, last: bigint): Mapping[] {
		const gone = this.carve(first, last);
		this.list.splice(this.indexOf(first), gone.length);
		return gone;
	}

	/** The first room of `size` bytes in [from, to); undefined when there is none. */
	room(size: bigint, from: bigint, to: bigint): bigint | undefined {
		let at = from;
		for (let i = this.indexOf(from); i < this.list.length && this.list[i].first < at + size; i++) at = this.list[i].last + 1n;
		return at + size <= to ? at : undefined;
	}

	clear(): Mapping[] {
		const all = this.list;
		this.list = [];
		return all;
	}
}
