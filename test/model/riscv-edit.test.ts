/** Random map, unmap, protect, device writes and dirty harvests on RISC-V tables, against a plain map of pages. */
import { describe, expect, it } from "vitest";
import { Engine, EngineError, type PageTable } from "../../ts/engine/index.ts";
import { TABLE_FORMATS, type TableFormatName } from "../../ts/engine/page-table-formats.ts";
import { Random } from "./random.ts";

/** a window of 1 GiB and a little more, so that leaves of up to 1 GiB fit and straddle its end */
const FIRST = 1n << 30n;
const PAGES = (1 << 18) + 700;

const RIGHTS = [1, 2, 3, 4, 5, 7];
const edits = process.env.IOASID_NIGHTLY ? 30_000 : 350;
const cases = Object.entries(TABLE_FORMATS).filter(([name]) => name.startsWith("riscv")).flatMap(([name, format]) => format.levels.map((levels) => [name as TableFormatName, levels] as const));

describe("edits of RISC-V tables", () => {
	it.each(cases)("%s with %i levels agree with a map of pages", (format, levels) => {
		const shape = TABLE_FORMATS[format];
		const random = new Random(levels * 77 + format.length);
		// frames that every format's output reaches
		const small = format.startsWith("riscv-sv32");
		const engine = Engine.create({
			tables: { frames: 1400, base: 1n << 32n },
			units: [{ architecture: "riscv", iotlb: false, walkCache: false, registers: { FCTL: small ? 4n : 0n, GXL_WRITABLE: 1n } }],
		});
		const [unit] = engine.units;
		const table: PageTable = engine.createTable({ format, levels, accessedDirty: true });
		unit.setRoute(8, { type: format.endsWith("x4") ? "second-stage" : "first-stage", domain: 1, table });
		const directories = engine.framesUsed - table.frames;
		const root = table.frames;
		const page = 1n << BigInt(shape.leaves[0]);
		const at = (index: number) => FIRST + BigInt(index) * page;
		const output = new Float64Array(PAGES);
		const rights = new Uint8Array(PAGES);
		const dirty = new Uint8Array(PAGES);
		let harvested = 0;
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
			const size = whole ? 999 : random.below(1000);
			let count = size < 900 ? 1 + random.below(40) : size < 985 ? random.pick([512, 1024, 1023, 16, 700]) : whole || random.chance(0.5) ? 1 << 18 : 200_000;
			let first = random.below(PAGES);
			if (count === 1 << 18) first = 0;
			else if (random.chance(0.5)) first -= first % random.pick([16, 512, 1024, 1 << 18]);
			count = Math.min(count, PAGES - first);
			// the first page's address is a multiple of 1 GiB: as aligned as the input, often
			const to = whole || random.chance(0.7) ? first + (random.below(3) << 18) : random.below(1 << 20);
			const want = whole ? 7 : random.pick(RIGHTS);
			const used = rights.subarray(first, first + count).reduce((sum, one) => sum + (one === 0 ? 0 : 1), 0);
			const where = `edit ${n}: ${first} + ${count} -> ${to}, ${want}`;
			const what = whole ? 9 : random.below(10);
			if (what < 2) {
				const done = shape.expressible(want) ? table.protect(at(first), BigInt(count) * page, { read: (want & 1) !== 0, write: (want & 2) !== 0, execute: (want & 4) !== 0 }) : null;
				if (done === null) continue;
				expect(done, where).toBe(BigInt(used) * page);
				for (let i = first; i < first + count; i++) if (rights[i] !== 0) rights[i] = want;
			} else if (what < 4) {
				// D is the leaf's, and a harvest forgets it
				for (let k = 0; k < 8; k++) {
					const index = first + random.below(count);
					const leaf = table.lookUp(at(index));
					const answer = unit.translate(8, at(index), { access: "write" });
					expect(answer.status, where).toBe((rights[index] & 2) !== 0 ? "translated" : "fault");
					if (leaf === null || answer.status !== "translated") continue;
					const pages = leaf.pageBytes / 4096;
					const start = index - (index % pages);
					dirty.fill(1, start, Math.min(start + pages, PAGES));
				}
				const bits = new Uint8Array(Math.ceil(count / 8));
				const wanted = new Uint8Array(bits.length);
				for (let i = 0; i < count; i++) if (dirty[first + i]) wanted[i >> 3] |= 1 << (i & 7);
				const keep = random.chance(0.5);
				harvested += table.readDirty(at(first), BigInt(count) * page, bits, { keep });
				expect(Buffer.compare(bits, wanted), where).toBe(0);
				if (!keep) dirty.fill(0, first, first + count);
			} else if (what < 6) {
				expect(table.unmap(at(first), BigInt(count) * page), where).toBe(BigInt(used) * page);
				rights.fill(0, first, first + count);
				dirty.fill(0, first, first + count);
				mapped -= used;
			} else {
				const replace = whole || random.chance(0.5);
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
					dirty.fill(0, first, first + count);
					mapped += count - used;
				}
			}
			for (const index of [first - 1, first, first + (count >> 1), first + count - 1, first + count, random.below(PAGES)]) check(index, where);
			expect(table.mapped, where).toBe(BigInt(mapped) * page);
		}
		// every leaf of the format that fits the window was built
		expect([...sizes].sort((a, b) => a - b)).toEqual(shape.leaves.filter((lg2) => lg2 <= 30));
		expect(harvested).toBeGreaterThan(0);
		expect(table.frames + directories).toBe(engine.framesUsed);
		table.clear();
		expect([table.mapped, table.frames]).toEqual([0n, root]);
		table.dispose();
		expect(engine.framesUsed).toBe(directories);
	});
});
