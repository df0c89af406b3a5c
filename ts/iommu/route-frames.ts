import { CoreError } from "../core/index.ts";
import type { Engine } from "../engine/index.ts";

/** A second stage that can show frames of the driver. */
export interface Shows {
	/** @throws CoreError NoSpace, Occupied */
	show(physical: bigint, order: number): bigint;
	hide(at: bigint, order: number): void;
}

interface Block {
	physical: bigint;
	order: number;
	/** address as the unit's walk of device tables sees it */
	seen: bigint;
}

/**
 * Table frames of one requester's routes (CD tables, process directories). Where such tables are read through a second
 * stage, the frames are shown there, read-only, in a range that the unit reserves.
 */
export class RouteFrames {
	private readonly blocks: Block[] = [];

	constructor(
		private readonly engine: Engine,
		/** second stage that the tables are read through */
		private readonly base: Shows | null,
	) {}

	/** A zeroed block of 2^order frames. @throws EngineError OutOfFrames, CoreError NoSpace */
	take(order = 0): Block {
		const physical = this.engine.takeFrames(order);
		try {
			const seen = this.base === null ? physical : this.base.show(physical, order);
			const block = { physical, order, seen };
			this.blocks.push(block);
			return block;
		} catch (error) {
			this.engine.giveFrames(physical, order);
			throw error;
		}
	}

	write(address: bigint, words: readonly bigint[]): void {
		words.forEach((word, i) => {
			this.engine.memory.write64(address + BigInt(8 * i), word);
		});
	}

	/** Return every frame; nothing leads there any more. */
	dispose(): void {
		for (const { physical, order, seen } of this.blocks) {
			this.base?.hide(seen, order);
			this.engine.giveFrames(physical, order);
		}
		this.blocks.length = 0;
	}
}

/** Places of a second stage that its user cannot map, for tables of the driver. */
export class ShownRange {
	private readonly taken = new Set<number>();

	constructor(
		private readonly first: bigint,
		private readonly pages: number,
	) {}

	/** Address of 2^order pages, aligned to their size. @throws CoreError NoSpace */
	take(order: number): bigint {
		const size = 2 ** order;
		for (let at = 0; at + size <= this.pages; at += size) {
			if (Array.from({ length: size }, (_, i) => at + i).some((page) => this.taken.has(page))) continue;
			for (let i = 0; i < size; i++) this.taken.add(at + i);
			return this.first + BigInt(at) * 4096n;
		}
		throw new CoreError("NoSpace", "no room for device tables in the reserved range", { operation: "attach", object: "second stage" });
	}

	give(address: bigint, order: number): void {
		const at = Number((address - this.first) / 4096n);
		for (let i = 0; i < 2 ** order; i++) this.taken.delete(at + i);
	}
}
