/**
 * The engine's IOTLB, fully associative and LRU, in every size at once: entries tagged by domain and page size, filled by
 * walks that succeed, answering as long as their rights do, emptied by invalidations.
 */
import { Access, Scope } from "../trace.ts";
import { PageIndex, widened } from "./page-index.ts";
import { LruStack } from "./stack.ts";

/** Rights of an entry where not all sizes hold the same: `rights[i]` in caches of `from[i]` entries up to below `from[i + 1]`. */
interface MixedRights {
	from: number[];
	rights: number[];
}

const allows = (rights: number, access: number) => (access & Access.any ? (rights & (Access.read | Access.write)) !== 0 : (rights & access) === access);

export class IotlbModel {
	private readonly stack = new LruStack();
	private readonly index = new PageIndex();
	private rights = new Uint8Array(1024);
	private readonly mixed = new Map<number, MixedRights>();
	/** lists of live items by space, as item + 1 */
	private heads: number[] = [];
	private before = new Int32Array(1024);
	private after = new Int32Array(1024);
	private readonly liveOf: number[] = [];
	/** lg2 page sizes met, ascending */
	private readonly sizes: number[] = [];
	private readonly spaces = new Map<number, number>();
	/** look-ups for which sizes of caches hold the address under different page sizes */
	ambiguous = 0;
	/** the last access hits in caches of `starts[i]` entries up to below `ends[i]` */
	readonly starts: number[] = [];
	readonly ends: number[] = [];

	/** Pages met so far. */
	get pages(): number {
		return this.index.size;
	}

	/**
	 * One access to the 4 KiB page number `page` of a domain: `leaf` is lg2 bytes of what a walk finds now, 0 when it
	 * faults, with `rights`. Returns the item that holds the answer, -1 when there is none; see `starts` and `ends`.
	 */
	access(domain: number, page: number, leaf: number, rights: number, access: number): number {
		this.starts.length = 0;
		this.ends.length = 0;
		let item = leaf === 0 ? -1 : this.itemOf(domain, page, leaf);
		const held = this.held(domain, page, item);
		if (held < 0) {
			if (item < 0) return -1;
			this.rights[item] = rights;
			this.link(item);
			this.stack.use(item);
			return item;
		}
		if (leaf === 0 || held !== item) {
			if (item >= 0) this.ambiguous++;
			item = held;
		}
		const depth = this.stack.depth(item);
		const mixed = this.mixed.get(item);
		if (mixed !== undefined) this.usedMixed(item, mixed, depth, leaf === 0 ? null : rights, access);
		else {
			const had = this.rights[item];
			if (allows(had, access)) {
				this.hit(depth, Number.POSITIVE_INFINITY);
				// smaller caches walk, and hold today's rights
				if (leaf !== 0 && had !== rights) this.mix(item, [0, depth], [rights, had]);
			} else if (leaf !== 0) this.rights[item] = rights;
		}
		if (leaf === 0) this.stack.touch(item);
		else this.stack.use(item);
		return item;
	}

	/** One invalidation, `scope` of {@link Scope}; pages are 4 KiB, both included. */
	invalidate(scope: number, domain: number, pasid: number, firstPage: number, lastPage: number): void {
		if (scope === Scope.global) {
			for (let space = 0; space < this.heads.length; space++) this.dropAll(space);
			return;
		}
		// entries without a PASID are those of PASID 0
		if ((scope === Scope.pasid || scope === Scope.pasidPage) && (pasid & 0xfffff) !== 0) return;
		const space = this.spaces.get(domain & 0xffff);
		if (space === undefined || scope === Scope.device) return;
		if (scope === Scope.domain || scope === Scope.pasid) this.dropAll(space);
		else this.dropRange(space, firstPage, lastPage);
	}

	/** The item is no page of this model any more (sampling). */
	forget(item: number): void {
		if (!this.stack.has(item)) return;
		this.stack.forget(item);
		this.mixed.delete(item);
		this.unlink(item);
	}

	private itemOf(domain: number, page: number, leaf: number): number {
		let space = this.spaces.get(domain);
		if (space === undefined) {
			space = this.heads.push(0) - 1;
			this.liveOf.push(0);
			this.spaces.set(domain, space);
		}
		if (!this.sizes.includes(leaf)) {
			this.sizes.push(leaf);
			this.sizes.sort((a, b) => a - b);
		}
		const item = this.index.add(space * 64 + leaf, Math.floor(page / 2 ** (leaf - 12)));
		if (item >= this.rights.length) {
			this.rights = widened(this.rights);
			this.before = widened(this.before);
			this.after = widened(this.after);
		}
		return item;
	}

	/** The item that answers for the page in the largest caches; -1 when none holds it. `item` is that of today's walk. */
	private held(domain: number, page: number, item: number): number {
		if (this.sizes.length === 1 && item >= 0) return this.stack.has(item) ? item : -1;
		const space = this.spaces.get(domain);
		if (space === undefined) return -1;
		for (const leaf of this.sizes) {
			const found = this.index.find(space * 64 + leaf, Math.floor(page / 2 ** (leaf - 12)));
			if (found >= 0 && this.stack.has(found)) return found;
		}
		return -1;
	}

	private hit(from: number, to: number): void {
		this.starts.push(from);
		this.ends.push(to);
	}

	/** `today`: rights that a walk finds now, null when it faults. */
	private usedMixed(item: number, { from, rights }: MixedRights, depth: number, today: number | null, access: number): void {
		const starts: number[] = today === null ? [] : [0];
		const held: number[] = today === null ? [] : [today];
		rights.forEach((had, i) => {
			const start = Math.max(depth, from[i]);
			const end = from[i + 1] ?? Number.POSITIVE_INFINITY;
			if (start >= end) return;
			const good = allows(had, access);
			if (good) this.hit(start, end);
			const has = good || today === null ? had : today;
			if (held[held.length - 1] === has) return;
			starts.push(start);
			held.push(has);
		});
		this.mix(item, starts, held);
	}

	private mix(item: number, from: number[], rights: number[]): void {
		if (rights.length > 1) {
			this.mixed.set(item, { from, rights });
			return;
		}
		this.mixed.delete(item);
		this.rights[item] = rights[0];
	}

	private link(item: number): void {
		const space = this.index.space[item] >>> 6;
		const head = this.heads[space];
		this.after[item] = head;
		this.before[item] = 0;
		if (head > 0) this.before[head - 1] = item + 1;
		this.heads[space] = item + 1;
		this.liveOf[space]++;
	}

	private unlink(item: number): void {
		const space = this.index.space[item] >>> 6;
		const [before, after] = [this.before[item], this.after[item]];
		if (before > 0) this.after[before - 1] = after;
		else this.heads[space] = after;
		if (after > 0) this.before[after - 1] = before;
		this.liveOf[space]--;
	}

	private drop(item: number): void {
		this.stack.drop(item);
		this.mixed.delete(item);
		this.unlink(item);
	}

	private dropAll(space: number): void {
		while (this.heads[space] > 0) this.drop(this.heads[space] - 1);
	}

	private dropRange(space: number, firstPage: number, lastPage: number): void {
		if (lastPage - firstPage < this.liveOf[space]) {
			for (const leaf of this.sizes) {
				const shift = 2 ** (leaf - 12);
				const last = Math.floor(lastPage / shift);
				for (let page = Math.floor(firstPage / shift); page <= last; page++) {
					const item = this.index.find(space * 64 + leaf, page);
					if (item >= 0 && this.stack.has(item)) this.drop(item);
				}
			}
			return;
		}
		for (let at = this.heads[space]; at > 0; ) {
			const item = at - 1;
			at = this.after[item];
			const bytes = 2 ** ((this.index.space[item] & 63) - 12);
			const first = this.index.page[item] * bytes;
			if (first <= lastPage && first + bytes > firstPage) this.drop(item);
		}
	}
}
