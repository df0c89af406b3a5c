/** The stack of all sizes at once against one cache of each size. */
import { describe, expect, test } from "vitest";
import { LruStack } from "../../../ts/replay/curve/stack.ts";
import { random } from "../fixtures/generate.ts";

/** One fully associative LRU cache, oldest first. */
class Cache {
	readonly entries: number[] = [];
	constructor(readonly size: number) {}
	remove(item: number): boolean {
		const at = this.entries.indexOf(item);
		if (at >= 0) this.entries.splice(at, 1);
		return at >= 0;
	}
	use(item: number): void {
		if (!this.remove(item) && this.entries.length === this.size) this.entries.shift();
		this.entries.push(item);
	}
	touch(item: number): void {
		if (this.remove(item)) this.entries.push(item);
	}
}

function compare(seed: number, items: number, weights: { touch: number; drop: number }, steps: number): void {
	const next = random(seed);
	const stack = new LruStack();
	const caches = Array.from({ length: items + 2 }, (_, i) => new Cache(i + 1));
	for (let step = 0; step < steps; step++) {
		// low items more often
		const item = Math.floor(items * next() * next());
		const dice = next();
		const depth = stack.depth(item);
		const smallest = caches.findIndex((cache) => cache.entries.includes(item)) + 1;
		expect([seed, step, depth]).toEqual([seed, step, smallest]);
		const act = dice < weights.touch ? "touch" : dice < weights.touch + weights.drop ? "drop" : "use";
		stack[act](item);
		for (const cache of caches) {
			if (act === "drop") cache.remove(item);
			else cache[act](item);
		}
	}
}

describe("the LRU stack", () => {
	test("is every size of a plain LRU cache", () => {
		for (let seed = 1; seed <= 5; seed++) compare(seed, 30, { touch: 0, drop: 0 }, 600);
	});
	test("keeps room where an entry was invalidated", () => {
		for (let seed = 1; seed <= 10; seed++) compare(seed, 25, { touch: 0, drop: 0.2 }, 800);
	});
	test("refreshes an entry only where it is held", () => {
		for (let seed = 1; seed <= 10; seed++) compare(seed, 25, { touch: 0.1, drop: 0 }, 800);
		for (let seed = 1; seed <= 20; seed++) compare(seed, 16, { touch: 0.4, drop: 0.2 }, 500);
	});
	test("goes on past the end of its slots", () => {
		compare(3, 12, { touch: 0.05, drop: 0.1 }, 12_000);
	});
	test("forgets an item as if it had never been", () => {
		const stack = new LruStack();
		for (const item of [0, 1, 2, 3]) stack.use(item);
		stack.forget(2);
		expect([0, 1, 2, 3].map((item) => stack.depth(item))).toEqual([3, 2, 0, 1]);
	});
});
