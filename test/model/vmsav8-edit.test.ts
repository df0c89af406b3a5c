/** Random map and unmap on VMSAv8-64 tables of all granules, against a plain map of their smallest pages. */
import { describe, expect, it } from "vitest";
import { Engine, EngineError } from "../../ts/engine/index.ts";
import { TABLE_FORMATS, type TableFormatName } from "../../ts/engine/page-table-formats.ts";
import { Random } from "./random.ts";

/** a window of 1 GiB and a little more, so that leaves of up to 1 GiB fit and straddle its end */
const FIRST = 1n << 30n;
const PAGES = (1 << 18) + 700;

const RIGHTS = [1, 2, 3, 4, 5, 7];
const edits = process.env.IOASID_NIGHTLY ? 30_000 : 500;
const cases = Object.entries(TABLE_FORMATS)
	.filter(([name]) => name.startsWith("vmsav8"))
	.flatMap(([name, format]) => format.levels.map((levels) => [name as TableFormatName, levels] as const));

describe("map and unmap", () => {
	it.each(cases)("of %s with %i levels agree with a map of pages", (format, levels) => {
		const shape = TABLE_FORMATS[format];
		const random = new Random(levels * 77 + format.length);
		// frames that every format's output reaches
		const engine = Engine.create({ tables: { frames: 1400, base: 1n << 32n } });
		const table = engine.createTable({ format, levels });
		const root = table.frames;
		const page = 1n << BigInt(shape.leaves[0]);
		const at = (index: number) => FIRST + BigInt(index) * page;
		const output = new Float64Array(PAGES);
		const rights = new Uint8Array(PAGES);
		const sizes = new Set<number>();
		let mapped = 0;
		const check = (index: number, where: string) => {
			if (index < 0 || index >= PAGES) return;
			const got = table.lookUp(at(index) + 0x123n);
			// `any` asks for data: a page that is for fetches alone is none
			if ((rights[index] & 3) === 0) {
				expect(got, where).toBeNull();
				return;
			}
			if (got === null) throw new Error(`${where}: page ${index} is not mapped`);
			sizes.add(Math.log2(got.pageBytes));
			expect([got.pa, got.read, got.write], where).toEqual([BigInt(output[index]) * page + 0x123n, (rights[index] & 1) !== 0, (rights[index] & 2) !== 0]);
			if (shape.executes) expect(got.execute, where).toBe((rights[index] & 4) !== 0);
		};
		for (let n = 0; n < edits; n++) {
			// now and then everything, in the largest leaves
			const whole = n % 100 === 50;
			// and a contiguous set of 2 MiB
			const set = n % 100 === 75;
			const size = whole ? 999 : random.below(1000);
			let count = size < 900 ? 1 + random.below(40) : size < 985 ? random.pick([512, 1024, 1023, 16, 700]) : whole || random.chance(0.5) ? 1 << 18 : 200_000;
			let first = random.below(PAGES);
			if (set) count = 1 << 13;
			if (count === 1 << 18) first = 0;
			else if (set) first -= first % count;
			else if (random.chance(0.5)) first -= first % random.pick([16, 512, 1024, 1 << 18]);
			count = Math.min(count, PAGES - first);
			// the first page's address is a multiple of 1 GiB: as aligned as the input, often
			const to = whole || set || random.chance(0.7) ? first + (random.below(3) << 18) : random.below(1 << 20);
			const want = whole ? 7 : random.pick(RIGHTS);
			const used = rights.subarray(first, first + count).reduce((sum, one) => sum + (one === 0 ? 0 : 1), 0);
			const where = `edit ${n}: ${first} + ${count} -> ${to}, ${want}`;
			if (!whole && !set && random.chance(0.4)) {
				expect(table.unmap(at(first), BigInt(count) * page), where).toBe(BigInt(used) * page);
				rights.fill(0, first, first + count);
				mapped -= used;
			} else {
				const replace = whole || set || random.chance(0.5);
				let code = "";
				try {
					table.map(at(first), BigInt(to) * page, BigInt(count) * page, { read: (want & 1) !== 0, write: (want & 2) !== 0, execute: (want & 4) !== 0 }, { replace });
				} catch (error) {
					code = error instanceof EngineError ? error.code : String(error);
				}
				const expected = !shape.expressible(want) ? "Permission" : used > 0 && !replace ? "Occupied" : "";
				expect(code, where).toBe(expected);
				if (code === "") {
					for (let i = 0; i < count; i++) output[first + i] = to + i;
					rights.fill(want, first, first + count);
					mapped += count - used;
				}
			}
			for (const index of [first - 1, first, first + (count >> 1), first + count - 1, first + count, random.below(PAGES)]) check(index, where);
			expect(table.mapped, where).toBe(BigInt(mapped) * page);
		}
		// every leaf of the format that fits the window was built
		expect([...sizes].sort((a, b) => a - b)).toEqual(shape.leaves.filter((lg2) => lg2 <= 30));
		expect(table.frames).toBe(engine.framesUsed);
		table.clear();
		expect([table.mapped, table.frames]).toEqual([0n, root]);
		table.dispose();
		expect(engine.framesUsed).toBe(0);
	});
});
