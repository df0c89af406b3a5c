import { PageIndex, widened } from "../curve/page-index.ts";
import { pageOf, RowBuffer, setNumber } from "../rows.ts";
import { wideAt } from "../history/words.ts";
import { type Columns, Kind, type TraceDevice } from "../trace.ts";
import type { WhatIf } from "./contract.ts";
import { type Rewriter, rewrite, rewritten } from "./rewrite.ts";

/** Pages of one block size that are mapped one by one, and where they lead. */
class Blocks {
	private readonly pages = new PageIndex();
	/** by page: output page, -1 when not mapped */
	private output = new Float64Array(1024);
	private rights = new Uint8Array(1024);
	private readonly full = new Map<string, number>();

	constructor(readonly size: number) {}

	private key = (space: number, block: number) => `${space} ${block}`;

	set(space: number, page: number, output: number, rights: number): void {
		const before = this.pages.size;
		const item = this.pages.add(space, page);
		if (item >= this.output.length) {
			this.output = widened(this.output);
			this.rights = widened(this.rights);
		}
		const was = item < before ? this.output[item] : -1;
		this.output[item] = output;
		this.rights[item] = rights;
		const change = Number(output >= 0) - Number(was >= 0);
		if (change === 0) return;
		const key = this.key(space, Math.floor(page / this.size));
		this.full.set(key, (this.full.get(key) ?? 0) + change);
	}

	/** Output page of a block whose pages are all mapped, in order, alike, and to an aligned place; -1 otherwise. */
	whole(space: number, block: number): { output: number; rights: number } | null {
		if (this.full.get(this.key(space, block)) !== this.size) return null;
		const first = this.pages.find(space, block * this.size);
		const output = this.output[first];
		const rights = this.rights[first];
		if (output % this.size !== 0) return null;
		for (let i = 1; i < this.size; i++) {
			const item = this.pages.find(space, block * this.size + i);
			if (this.output[item] !== output + i || this.rights[item] !== rights) return null;
		}
		return { output, rights };
	}
}

/** Maps that together fill an aligned block in order become one map of the block, which one leaf can hold. */
class Merging implements Rewriter {
	readonly rows = new RowBuffer();
	private readonly blocks: Blocks;
	/** blocks made */
	count = 0;

	constructor(
		private readonly devices: readonly TraceDevice[],
		lg2: number,
	) {
		this.blocks = new Blocks(2 ** (lg2 - 12));
	}

	take(columns: Columns): void {
		const { rows, blocks, devices } = this;
		const { size } = blocks;
		// devices of one domain share a space
		const spaceOf = (device: number) => devices[device].domain ?? 65536 + device;
		for (let row = 0; row < columns.length; row++) {
			rows.copy(columns, row);
			const kind = columns.kind[row];
			const device = columns.id[row];
			const bytes = wideAt(columns.size, row);
			if ((kind !== Kind.map && kind !== Kind.unmap) || device >= devices.length || bytes === 0) continue;
			const space = spaceOf(device);
			const first = pageOf(columns.iova, row);
			const end = first + Math.ceil(((columns.iova[2 * row] & 0xfff) + bytes) / 4096);
			const output = pageOf(columns.pa, row);
			for (let at = first; at < end; ) {
				const block = Math.floor(at / size);
				const last = Math.min(end, (block + 1) * size);
				// a block of one map is a leaf already: its pages are not looked at one by one
				if (last - at === size) {
					at = last + size * Math.max(0, Math.floor((end - last) / size));
					continue;
				}
				for (let page = at; page < last; page++) blocks.set(space, page, kind === Kind.map ? output + page - first : -1, columns.flags[row]);
				const whole = kind === Kind.map ? blocks.whole(space, block) : null;
				if (whole !== null) {
					const made = rows.copy(columns, row);
					setNumber(rows.columns.iova, made, block * size * 4096);
					setNumber(rows.columns.size, made, size * 4096);
					setNumber(rows.columns.pa, made, whole.output * 4096);
					rows.columns.flags[made] = whole.rights;
					this.count++;
				}
				at = last;
			}
		}
	}
}

const SIZES: Record<string, number> = { "2M": 21, "1G": 30 };

export const merge: WhatIf<keyof typeof SIZES> = {
	name: "merge",
	argument: "[size]",
	description: "maps that fill an aligned block in order become one large leaf, 2M (default) or 1G",
	parse(text) {
		if (text === true) return "2M";
		if (!Object.hasOwn(SIZES, text)) throw new RangeError(`"${text}" is none of ${Object.keys(SIZES).join(", ")}`);
		return text;
	},
	title: (size) => `contiguous maps merged into ${size} leaves`,
	async apply({ trace, options }, size) {
		let blocks = 0;
		const changed = await rewritten(trace, async function* () {
			const merging = new Merging(trace.head.devices, SIZES[size]);
			yield* rewrite(trace, merging);
			blocks = merging.count;
		});
		const bytes = 2 ** SIZES[size];
		return {
			trace: changed,
			options,
			extra: [{ label: "blocks merged", value: blocks }],
			after: ({ summary: { perPageSize } }) => [
				{ label: "look-ups of large leaves", value: perPageSize.filter((p) => (p.bytes ?? 0) >= bytes).reduce((sum, p) => sum + p.hits + p.misses, 0) },
			],
			notes: blocks === 0 ? [`no maps of the trace fill an aligned block of ${size} in order`] : [],
		};
	},
};
