/**
 * SHARDS (Waldspurger et al., FAST 2015): a curve from the pages whose hash is small. Depths among the sampled pages are
 * spread by 1 / rate. Fixed rate, or a fixed number of pages whose rate falls as pages are met.
 *
 * The stated error comes from the sample itself: four groups of its pages, told apart by other bits of the hash, make a
 * curve each; their spread says how far a quarter of the sample is off, and half of that how far all of it is.
 */
import { HitCounts, missRatioAt } from "./hit-counts.ts";
import { IotlbModel } from "./iotlb-model.ts";
import type { HitCurve, Sampling } from "./types.ts";

export type SamplerOptions =
	/** share of the pages, above 0 and at most 1 */
	| { rate: number }
	/** pages at a time */
	| { pages: number };

/** The hash is compared in 2^24 steps; its low byte tells groups apart. */
const STEPS = 2 ** 24;
const GROUPS = 4;
/** Sizes, evenly on a logarithmic scale, over which errors are averaged. */
const POINTS = 64;

class Sampled {
	readonly model = new IotlbModel();

	/** Adds what one access hits to `counts`, as `1 / rate` accesses. Returns the item. */
	access(scale: number, domain: number, page: number, leaf: number, rights: number, access: number, counts: readonly HitCounts[]): number {
		const { model } = this;
		const item = model.access(domain, page, leaf, rights, access);
		const spread = (depth: number) => Math.round((depth - 1) * scale) + 1;
		for (const count of counts) count.weight += scale;
		for (let i = 0; i < model.starts.length; i++) {
			for (const count of counts) {
				count.add(spread(model.starts[i]), scale);
				if (model.ends[i] !== Number.POSITIVE_INFINITY) count.add(spread(model.ends[i]), -scale);
			}
		}
		return item;
	}
}

export class Sampler {
	private readonly all = new Sampled();
	private readonly groups = Array.from({ length: GROUPS }, () => ({ sampled: new Sampled(), counts: new HitCounts() }));
	/** hashes below are sampled */
	private threshold: number;
	private readonly most: number | null;
	/** of a fixed number of pages: what is held, a binary heap with the largest hash first */
	private readonly heap: { hash: number; item: number; group: number; groupItem: number }[] = [];
	private readonly held = new Set<number>();
	private taken = 0;

	constructor(options: SamplerOptions) {
		if ("rate" in options) {
			if (!(options.rate > 0 && options.rate <= 1)) throw new RangeError(`the sampling rate must be above 0 and at most 1, not ${options.rate}`);
			this.threshold = Math.max(1, Math.round(options.rate * STEPS));
			this.most = null;
		} else {
			if (!Number.isInteger(options.pages) || options.pages < 1) throw new RangeError(`the pages of a sample must be a whole number of at least 1, not ${options.pages}`);
			this.threshold = STEPS;
			this.most = options.pages;
		}
	}

	/** Every model that invalidations reach. */
	get models(): IotlbModel[] {
		return [this.all.model, ...this.groups.map(({ sampled }) => sampled.model)];
	}

	access(hash: number, domain: number, page: number, leaf: number, rights: number, access: number, counts: readonly HitCounts[]): void {
		const place = hash >>> 8;
		if (place >= this.threshold) return;
		const rate = this.threshold / STEPS;
		if (counts.length > 0) this.taken++;
		const group = hash % GROUPS;
		const { sampled, counts: groupCounts } = this.groups[group];
		const item = this.all.access(1 / rate, domain, page, leaf, rights, access, counts);
		const groupItem = sampled.access(GROUPS / rate, domain, page, leaf, rights, access, counts.length > 0 ? [groupCounts] : []);
		if (this.most === null || item < 0 || this.held.has(item)) return;
		this.held.add(item);
		this.push({ hash: place, item, group, groupItem });
		while (this.heap.length > this.most && this.heap[0].hash > 0) this.lower();
	}

	/** The rate falls to the largest hash that is held; the pages at it go. */
	private lower(): void {
		this.threshold = this.heap[0].hash;
		while (this.heap.length > 0 && this.heap[0].hash >= this.threshold) {
			const { item, group, groupItem } = this.pop();
			this.held.delete(item);
			this.all.model.forget(item);
			if (groupItem >= 0) this.groups[group].sampled.model.forget(groupItem);
		}
	}

	/** How `curve`, the estimate of all look-ups, came about. */
	sampling(curve: HitCurve): Sampling {
		return {
			rate: this.threshold / STEPS,
			pages: this.most,
			sampled: this.taken,
			sampledPages: this.most === null ? this.all.model.pages : this.held.size,
			error: this.error(curve),
		};
	}

	private error(curve: HitCurve): number {
		const largest = curve.sizes[curve.sizes.length - 1] ?? 1;
		const curves = this.groups.map(({ counts }) => {
			counts.accesses = curve.accesses;
			return counts.curve();
		});
		let sum = 0;
		for (let i = 0; i < POINTS; i++) {
			const size = Math.round(largest ** (i / (POINTS - 1)));
			const ratios = curves.map((c) => missRatioAt(c, size));
			const mean = ratios.reduce((a, b) => a + b, 0) / GROUPS;
			const variance = ratios.reduce((a, b) => a + (b - mean) ** 2, 0) / (GROUPS - 1);
			sum += Math.sqrt(variance / GROUPS);
		}
		return sum / POINTS;
	}

	private push(entry: (typeof this.heap)[number]): void {
		const { heap } = this;
		let i = heap.push(entry) - 1;
		while (i > 0) {
			const up = (i - 1) >> 1;
			if (heap[up].hash >= entry.hash) break;
			heap[i] = heap[up];
			i = up;
		}
		heap[i] = entry;
	}

	private pop(): (typeof this.heap)[number] {
		const { heap } = this;
		const top = heap[0];
		const last = heap.pop() as (typeof heap)[number];
		let i = 0;
		while (heap.length > 0) {
			let child = 2 * i + 1;
			if (child >= heap.length) break;
			if (child + 1 < heap.length && heap[child + 1].hash > heap[child].hash) child++;
			if (heap[child].hash <= last.hash) break;
			heap[i] = heap[child];
			i = child;
		}
		if (heap.length > 0) heap[i] = last;
		return top;
	}
}
