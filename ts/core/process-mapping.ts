import { FrameMap } from "./frame-map.ts";
import { type FramePool, searchRanges } from "./frames.ts";
import type { MappingWatcher } from "./process-memory.ts";
import type { MemoryObject } from "./process-object.ts";

/** One range of a process's addresses with one kind of memory. Holds its object and its private frames. */
export class Mapping {
	/** frames of its own, by address */
	readonly map = new FrameMap();
	/** where its own frames shall lie: physical address minus user address; null: no such place, undefined: not asked yet */
	planned: bigint | null | undefined;

	constructor(
		readonly first: bigint,
		/** inclusive */
		public last: bigint,
		public access: { read: boolean; write: boolean },
		readonly shared: boolean,
		/** null: private zero-filled memory */
		readonly object: MemoryObject | null,
		/** byte of the object that lies at `first` */
		readonly objectOffset: bigint,
		readonly watcher: MappingWatcher | null,
		readonly frames: FramePool,
	) {
		object?.hold();
		watcher?.open();
	}

	/** The same memory for a range inside, without frames of its own. */
	part(first: bigint, last: bigint): Mapping {
		return new Mapping(first, last, { ...this.access }, this.shared, this.object, this.offsetOf(first), this.watcher, this.frames);
	}

	/** Cut off what lies at `at` and behind, a page inside the range. */
	splitAt(at: bigint): Mapping {
		const behind = this.part(at, this.last);
		behind.planned = this.planned;
		for (const { first, last, physical } of this.map.remove(at, this.last)) behind.map.set(first, last, physical);
		this.last = at - 1n;
		return behind;
	}

	/** Byte of the object at an address. */
	offsetOf(address: bigint): bigint {
		return this.objectOffset + (address - this.first);
	}

	/** Give up the frames of its own in [first, last]. */
	discard(first: bigint, last: bigint): void {
		for (const { first: from, last: to, physical } of this.map.remove(first, last)) this.frames.drop(physical, to - from + 1n);
	}

	close(): void {
		this.discard(this.first, this.last);
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

	at(address: bigint): Mapping | undefined {
		const found = this.list[searchRanges(this.list, address)];
		return found !== undefined && found.first <= address ? found : undefined;
	}

	meets(first: bigint, last: bigint): boolean {
		const found = this.list[searchRanges(this.list, first)];
		return found !== undefined && found.first <= last;
	}

	add(mapping: Mapping): void {
		this.list.splice(searchRanges(this.list, mapping.first), 0, mapping);
	}

	/** The mappings of a range, split so that none reaches out of it. */
	carve(first: bigint, last: bigint): Mapping[] {
		for (const at of [first, last + 1n]) {
			const across = this.at(at);
			if (across !== undefined && across.first < at) this.add(across.splitAt(at));
		}
		return this.list.slice(searchRanges(this.list, first), searchRanges(this.list, last + 1n));
	}

	remove(first: bigint, last: bigint): Mapping[] {
		const gone = this.carve(first, last);
		this.list.splice(searchRanges(this.list, first), gone.length);
		return gone;
	}

	/** The first room of `size` bytes in [from, to); undefined when there is none. */
	room(size: bigint, from: bigint, to: bigint): bigint | undefined {
		let at = from;
		for (let i = searchRanges(this.list, from); i < this.list.length && this.list[i].first < at + size; i++) at = this.list[i].last + 1n;
		return at + size <= to ? at : undefined;
	}

	clear(): Mapping[] {
		const all = this.list;
		this.list = [];
		return all;
	}
}
