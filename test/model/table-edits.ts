/** Random edits of page tables: near the ends and the middle of what a table takes, about as large as a leaf or a few. */
import type { Random } from "./random.ts";
import type { TableCase } from "./table-machine.ts";

/** more pages than this are mapped only where large leaves fit */
const SMALL_RUN = 1500;

/** First and last page of the input, or of one half of canonical addresses. */
export type Half = [number, number];

export type Kind = "map" | "replace" | "unmap" | "protect" | "split" | "harvest" | "keep" | "misaligned" | "beyond";

export interface Edit {
	kind: Kind;
	/** smallest pages */
	first: number;
	count: number;
	output: number;
	rights: number;
	/** frames until one is refused; 0: none is */
	fail: number;
}

export function halvesOf({ leaves, inputBits, config, signed }: TableCase): Half[] {
	const pages = (bits: number) => 2 ** (bits - leaves[0]);
	const all = pages(64);
	if (config.upper) return [[all - pages(inputBits), all - 1]];
	if (!signed) return [[0, pages(inputBits) - 1]];
	return [[0, pages(inputBits - 1) - 1], [all - pages(inputBits - 1), all - 1]];
}

/** An edit near an end of a half or near its middle, about as large as a leaf or a few. */
export function nextEdit(random: Random, shape: TableCase, halves: Half[]): Edit {
	const [page] = shape.leaves;
	const [low, high] = random.pick(halves);
	const lg2 = random.chance(0.5) ? page : random.pick(shape.leaves);
	const leaf = 2 ** (lg2 - page);
	let first = random.pick([low, high + 1 - leaf * 4, low + 2 ** Math.max(0, Math.floor(Math.log2(high - low)) - 1)]);
	first = Math.max(low, Math.floor(first / leaf) * leaf + leaf * random.below(4));
	let count = leaf * random.pick([1, 1, 1, 2, 3]);
	const ragged = random.below(6);
	if (ragged === 0) first += 1 + random.below(40);
	if (ragged === 1) count += 1 + random.below(40);
	if (ragged === 2) first = Math.max(low, first - 1 - random.below(40));
	if (ragged === 3) count = 1 + Math.floor(random.below(1 << 20) * 2 ** -20 * count);
	if (ragged === 4) first += Math.floor((random.below(1 << 20) * leaf) / 2 ** 20);
	const what = random.below(1000);
	const kind: Kind =
		what < 250 ? "map" : what < 450 ? "replace" : what < 600 ? "unmap" : what < 760 ? "protect" : what < 860 ? "split" : what < 920 ? "harvest" : what < 960 ? "keep" : what < 980 ? "misaligned" : "beyond";
	const outputs = 2 ** (shape.outputBits - page);
	let output: number;
	if (random.chance(0.75)) {
		// as aligned as the input
		const largest = 2 ** Math.min((shape.leaves.at(-1) as number) - page, Math.log2(outputs) - 1);
		output = (first % largest) + largest * random.below(Math.min(1 << 12, outputs / largest));
	} else {
		output = random.below(Math.min(2 ** 32 - 1, outputs));
		count = Math.min(count, SMALL_RUN);
	}
	if (kind === "harvest" || kind === "keep") count = Math.min(count, 1 << 16);
	first = Math.min(first, high);
	count = Math.min(count, high + 1 - first);
	if (output + count > outputs) {
		output = first % 2 ** 5;
		count = Math.min(count, SMALL_RUN);
	}
	return { kind, first, count, output, rights: random.chance(0.7) ? random.pick([1, 3, 3, 7, 5]) : random.below(8), fail: random.chance(0.05) ? 1 + random.below(4) : 0 };
}
