/**
 * The LRU stack of fully associative caches of every size at once: the cache of n entries holds what lies at depths 1 to n
 * (Mattson et al. 1970), in O(log n) an operation.
 *
 * Two things beside plain use happen to an IOTLB. An invalidation takes an entry away from the caches that hold it: it
 * leaves a hole at its depth, which the next insertion from above fills, so that no deeper entry moves. And an access can
 * be answered or refused by a cached entry that the tables would no longer give: it refreshes the entry in the caches that
 * hold it and inserts nothing in the smaller ones. Such an entry is pinned: it keeps its depth though it is younger than
 * entries above it, until entries younger than itself fill all the depths above.
 */
import { Fenwick } from "./fenwick.ts";

const FREE = -2;
const HOLE = -1;

/** An item or hole that keeps its depth. */
interface Pin {
	/** item, or HOLE */
	item: number;
	depth: number;
	/** time of its last use; 0 of a hole */
	slot: number;
}

export class LruStack {
	/** by item: its slot, 0 when it is in no cache; slots are points in time, the youngest highest */
	private slotOf = new Int32Array(1024);
	/** by slot: item, HOLE or FREE */
	private slots = new Int32Array(4097).fill(FREE);
	/** a one for each slot with an item that is not pinned, or a hole */
	private counts = new Fenwick(4096);
	private next = 1;
	/** slots of holes, a binary heap with the youngest first */
	private readonly holes: number[] = [];
	/** ascending by depth; hardly ever longer than one or two */
	private readonly pins: Pin[] = [];

	/** Whether caches of some size hold the item. */
	has(item: number): boolean {
		return this.slotOf[item] > 0;
	}

	/** Depth of an item, 1 the youngest; 0 when no cache holds it. */
	depth(item: number): number {
		const slot = this.slotOf[item];
		if (!slot) return 0;
		if (this.pins.length > 0) {
			const pin = this.pins.find((p) => p.item === item);
			if (pin !== undefined) return pin.depth;
		}
		return this.depthOfSlot(slot);
	}

	/** Used in every cache, inserted where it is missing. */
	use(item: number): void {
		if (item >= this.slotOf.length) this.grow(item);
		const old = this.slotOf[item];
		if (old && old === this.next - 1 && this.pins.length === 0) return;
		const pin = this.pins.length > 0 ? this.pins.findIndex((p) => p.item === item) : -1;
		const slot = this.takeSlot();
		this.vacate(item, pin);
		this.counts.add(slot, 1);
		this.slots[slot] = item;
		this.slotOf[item] = slot;
		if (this.pins.length > 0) this.unpin();
	}

	/** Refreshed in the caches that hold it; the others stay as they are. */
	touch(item: number): void {
		const depth = this.depth(item);
		if (depth === 0) return;
		const slot = this.takeSlot();
		const old = this.slotOf[item];
		const pin = this.pins.find((p) => p.item === item);
		this.slots[old] = FREE;
		this.slots[slot] = item;
		this.slotOf[item] = slot;
		if (pin !== undefined) {
			pin.slot = slot;
			return;
		}
		this.counts.add(old, -1);
		if (depth === 1) this.counts.add(slot, 1);
		else this.addPin({ item, depth, slot });
	}

	/** Taken out of every cache that holds it; they keep the room. */
	drop(item: number): void {
		const slot = this.slotOf[item];
		if (!slot) return;
		this.slotOf[item] = 0;
		const pin = this.pins.find((p) => p.item === item);
		if (pin === undefined) this.makeHole(slot);
		else {
			this.slots[slot] = FREE;
			pin.item = HOLE;
			pin.slot = 0;
		}
	}

	/** As if it had never been: what lies deeper comes up. */
	forget(item: number): void {
		const slot = this.slotOf[item];
		if (!slot) return;
		const depth = this.depth(item);
		this.slotOf[item] = 0;
		this.slots[slot] = FREE;
		const pin = this.pins.findIndex((p) => p.item === item);
		if (pin < 0) this.counts.add(slot, -1);
		else this.pins.splice(pin, 1);
		for (const p of this.pins) if (p.depth > depth) p.depth--;
		if (this.pins.length > 0) this.unpin();
	}

	/** The item leaves its place to go to the front: the first hole before it is filled by what moves down, and its own place is the hole then. */
	private vacate(item: number, pin: number): void {
		const slot = this.slotOf[item];
		const { pins, holes } = this;
		const depth = !slot ? Number.POSITIVE_INFINITY : pin >= 0 ? pins[pin].depth : holes.length + pins.length > 0 ? this.depthOfSlot(slot) : 0;
		const plain = holes.length > 0 ? this.depthOfSlot(holes[0]) : Number.POSITIVE_INFINITY;
		const pinned = pins.length > 0 ? pins.findIndex((p) => p.item === HOLE) : -1;
		const pinnedDepth = pinned < 0 ? Number.POSITIVE_INFINITY : pins[pinned].depth;
		const absorbed = Math.min(plain, pinnedDepth) < depth;
		if (slot && pin >= 0) {
			this.slots[slot] = FREE;
			if (absorbed) {
				pins[pin].item = HOLE;
				pins[pin].slot = 0;
			}
		}
		const leaving = pin >= 0 ? pins[pin] : undefined;
		if (absorbed) {
			if (plain < pinnedDepth) this.fillHole();
			else pins.splice(pinned, 1);
			if (slot && pin < 0) this.makeHole(slot);
		} else if (slot && pin < 0) {
			this.slots[slot] = FREE;
			this.counts.add(slot, -1);
		} else if (leaving !== undefined) pins.splice(pins.indexOf(leaving), 1);
	}

	private depthOfSlot(slot: number): number {
		let depth = this.counts.total - this.counts.sum(slot - 1);
		for (const pin of this.pins) {
			if (pin.depth > depth) break;
			depth++;
		}
		return depth;
	}

	private addPin(pin: Pin): void {
		const at = this.pins.findIndex((p) => p.depth > pin.depth);
		this.pins.splice(at < 0 ? this.pins.length : at, 0, pin);
	}

	/** Pinned items that younger ones have pushed down take part in the order again. */
	private unpin(): void {
		for (let i = 0; i < this.pins.length; ) {
			const { item, depth, slot } = this.pins[i];
			if (item === HOLE || this.counts.total - this.counts.sum(slot) < depth - i) {
				i++;
				continue;
			}
			this.pins.splice(i, 1);
			this.counts.add(slot, 1);
		}
	}

	private makeHole(slot: number): void {
		this.slots[slot] = HOLE;
		const { holes } = this;
		let i = holes.push(slot) - 1;
		while (i > 0) {
			const up = (i - 1) >> 1;
			if (holes[up] >= slot) break;
			holes[i] = holes[up];
			i = up;
		}
		holes[i] = slot;
	}

	/** The youngest hole is no more. */
	private fillHole(): void {
		const { holes } = this;
		this.slots[holes[0]] = FREE;
		this.counts.add(holes[0], -1);
		const last = holes.pop() as number;
		const { length } = holes;
		if (length === 0) return;
		let i = 0;
		for (;;) {
			let child = 2 * i + 1;
			if (child >= length) break;
			if (child + 1 < length && holes[child + 1] > holes[child]) child++;
			if (holes[child] <= last) break;
			holes[i] = holes[child];
			i = child;
		}
		holes[i] = last;
	}

	private takeSlot(): number {
		if (this.next === this.slots.length) this.compact();
		return this.next++;
	}

	/** Time runs out of slots: the ones in use move together, in order. */
	private compact(): void {
		const old = this.slots;
		const used = old.length - 1 - this.countFree();
		const length = Math.max(old.length - 1, 2 ** Math.ceil(Math.log2(2 * used + 2)));
		const slots = new Int32Array(length + 1).fill(FREE);
		const marks = new Uint8Array(length + 1);
		const pinned = new Map(this.pins.map((pin) => [pin.item, pin]));
		this.holes.length = 0;
		let to = 1;
		for (let from = 1; from < old.length; from++) {
			const item = old[from];
			if (item === FREE) continue;
			slots[to] = item;
			marks[to] = 1;
			if (item === HOLE) this.holes.push(to);
			else {
				this.slotOf[item] = to;
				const pin = pinned.get(item);
				if (pin !== undefined) {
					pin.slot = to;
					marks[to] = 0;
				}
			}
			to++;
		}
		// descending, which is a heap
		this.holes.reverse();
		this.slots = slots;
		this.counts = new Fenwick(length);
		this.counts.fill(marks);
		this.next = to;
	}

	private countFree(): number {
		let free = 0;
		for (let slot = 1; slot < this.slots.length; slot++) if (this.slots[slot] === FREE) free++;
		return free;
	}

	private grow(item: number): void {
		const wider = new Int32Array(2 ** Math.ceil(Math.log2(item + 1)) * 2);
		wider.set(this.slotOf);
		this.slotOf = wider;
	}
}
