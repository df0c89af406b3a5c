/** Plain models of a cache of one page size, written from what its policies mean. */
import type { CacheConfig, Replacement } from "../../ts/engine/index.ts";

export const CACHE_MODEL_POLICIES: Replacement[] = ["lru", "fifo", "plru", "random", "clear"];

interface Line {
	domain: number;
	page: number;
}

export interface CacheModel {
	hits: number;
	misses: number;
	evictions: number;
	invalidations: number;
	/** true on a hit; a miss fills */
	access(domain: number, page: number): boolean;
	drop(gone: (domain: number, page: number) => boolean): void;
}

/** One set: `ways` slots, in which the policy chooses. */
class SetModel {
	readonly slots: Array<Line | null>;
	/** slots, the one to go first in front: by use (lru) or by arrival (fifo) */
	order: number[] = [];
	/** free slots of an indexed cache, the one to be used next at the end */
	free: number[] = [];
	/** tree of plru: node -> true when the victim is on the right */
	readonly tree: boolean[];

	constructor(readonly ways: number) {
		this.slots = Array.from({ length: ways }, () => null);
		this.tree = Array.from({ length: ways }, () => false);
		this.free = Array.from({ length: ways }, (_, i) => ways - 1 - i);
	}

	touchTree(slot: number): void {
		let low = 0;
		let size = this.ways;
		let node = 1;
		while (size > 1) {
			size /= 2;
			const right = slot >= low + size;
			this.tree[node] = !right;
			node = 2 * node + (right ? 1 : 0);
			if (right) low += size;
		}
	}

	treeVictim(): number {
		let node = 1;
		while (node < this.ways) node = 2 * node + (this.tree[node] ? 1 : 0);
		return node - this.ways;
	}
}

export function cacheModel({ sets, ways, replacement = "lru", seed = 1 }: CacheConfig): CacheModel {
	const all = Array.from({ length: sets }, () => new SetModel(ways));
	// above 8 ways a cache of one set hands out the slot that was freed last; below, the lowest free slot
	const indexed = sets === 1 && ways > 8;
	let state = Math.imul(seed, 0x9e3779b9) | 1;
	const random = () => {
		state ^= state << 13;
		state ^= state >>> 17;
		state ^= state << 5;
		return state >>> 0;
	};
	const empty = (set: SetModel, slot: number) => {
		set.slots[slot] = null;
		set.order = set.order.filter((one) => one !== slot);
		set.free.push(slot);
	};
	const model: CacheModel = {
		hits: 0,
		misses: 0,
		evictions: 0,
		invalidations: 0,
		access(domain, page) {
			const set = all[page & (sets - 1)];
			const found = set.slots.findIndex((line) => line !== null && line.domain === domain && line.page === page);
			if (found >= 0) {
				model.hits += 1;
				if (replacement === "lru") set.order = [...set.order.filter((one) => one !== found), found];
				if (replacement === "plru") set.touchTree(found);
				return true;
			}
			model.misses += 1;
			if (set.free.length === 0) {
				const victims = replacement === "clear" ? set.slots.map((_, i) => i) : [replacement === "plru" ? set.treeVictim() : replacement === "random" ? random() % ways : set.order[0]];
				for (const victim of victims) {
					empty(set, victim);
					model.evictions += 1;
				}
			}
			const slot = indexed ? (set.free.pop() as number) : Math.min(...set.free);
			set.free = set.free.filter((one) => one !== slot);
			set.slots[slot] = { domain, page };
			set.order.push(slot);
			if (replacement === "plru") set.touchTree(slot);
			return false;
		},
		drop(gone) {
			for (const set of all) {
				for (const [slot, line] of set.slots.entries()) {
					if (line === null || !gone(line.domain, line.page)) continue;
					empty(set, slot);
					model.invalidations += 1;
				}
			}
		},
	};
	return model;
}
