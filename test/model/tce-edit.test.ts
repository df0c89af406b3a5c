/** Random map, unmap, protect, device writes and dirty harvests on TCE tables of every page size and depth, against a plain map of pages. */
import { describe, expect, it } from "vitest";
import { Engine, EngineError } from "../../ts/engine/index.ts";
import { TABLE_FORMATS, type TableFormatName } from "../../ts/engine/page-table-formats.ts";
import { Random } from "./random.ts";

const EDITS = process.env.IOASID_NIGHTLY ? 30_000 : 200;
const RID = 0x18;
const OFF = { iotlb: false, walkCache: false, contextCache: false, pasidCache: false } as const;

const cases = Object.entries(TABLE_FORMATS)
	.filter(([name]) => name.startsWith("tce"))
	.flatMap(([name, format]) => format.levels.map((levels) => [name as TableFormatName, levels] as const));

describe("edits", () => {
	it.each(cases)("of %s with %i levels agree with a map of pages, and so does a bridge", (format, levels) => {
		const shape = TABLE_FORMATS[format];
		const [lg2] = shape.leaves;
		const random = new Random(levels * 31 + lg2);
		const engine = Engine.create({ tables: { frames: 1500, base: 1n << 46n }, units: [{ architecture: "papr", registers: { CONTROL: 2n }, ...OFF }] });
		const inputBits = random.pick([shape.inputBits(levels), lg2 + 9 * levels, lg2 + 9 * levels - 3].filter((bits) => bits <= 59));
		const table = engine.createTable({ format, levels, inputBits, accessedDirty: true });
		const [unit] = engine.units;
		unit.setRoute(RID, { type: "second-stage", domain: 3, table });
		const before = engine.framesUsed;
		const page = 1n << BigInt(lg2);
		// two stretches: the first addresses, and the last
		const pages = Math.min(1100, 2 ** Math.min(20, inputBits - lg2 - 1));
		const at = (index: number) => (index < pages ? BigInt(index) : (1n << BigInt(inputBits - lg2)) - BigInt(2 * pages - index)) * page;
		const output = new Float64Array(2 * pages);
		const rights = new Uint8Array(2 * pages);
		const dirty = new Uint8Array(2 * pages);
		const check = (index: number, where: string) => {
			const got = table.lookUp(at(index) + 0x123n);
			expect(got === null ? 0 : (got.read ? 1 : 0) + (got.write ? 2 : 0), where).toBe(rights[index]);
			if (got !== null) expect([got.pa, got.pageBytes], where).toEqual([BigInt(output[index]) * page + 0x123n, Number(page)]);
		};
		let written = 0;
		let mapped = 0;
		for (let n = 0; n < EDITS; n++) {
			const side = random.below(2) * pages;
			const first = side + random.below(pages);
			const count = Math.min(side + pages - first, random.pick([1, 2, 9, 512, 513, 700]));
			const size = BigInt(count) * page;
			const where = `edit ${n}: ${count} from ${first}`;
			const used = rights.subarray(first, first + count).reduce((sum, one) => sum + (one === 0 ? 0 : 1), 0);
			const want = random.pick([1, 2, 3, 3]);
			const permissions = { read: (want & 1) !== 0, write: (want & 2) !== 0 };
			const what = random.below(10);
			if (what < 4) {
				const replace = random.chance(0.5);
				const to = random.below(1 << 20);
				let code = "";
				try {
					table.map(at(first), BigInt(to) * page, size, permissions, { replace });
				} catch (error) {
					code = error instanceof EngineError ? error.code : String(error);
				}
				expect(code, where).toBe(used > 0 && !replace ? "Occupied" : "");
				if (code === "") {
					for (let i = 0; i < count; i++) output[first + i] = to + i;
					rights.fill(want, first, first + count);
					dirty.fill(0, first, first + count);
					mapped += count - used;
				}
			} else if (what < 6) {
				expect(table.unmap(at(first), size), where).toBe(BigInt(used) * page);
				rights.fill(0, first, first + count);
				dirty.fill(0, first, first + count);
				mapped -= used;
			} else if (what < 7) {
				expect(table.protect(at(first), size, permissions), where).toBe(BigInt(used) * page);
				for (let i = first; i < first + count; i++) if (rights[i] !== 0) rights[i] = want;
			} else if (what < 9) {
				for (const index of [first, first + count - 1, side + random.below(pages)]) {
					const write = random.chance(0.7);
					const got = unit.translate(RID, at(index) + 0x456n, { access: write ? "write" : "read" });
					const allowed = (rights[index] & (write ? 2 : 1)) !== 0;
					expect(got.status, where).toBe(allowed ? "translated" : "fault");
					if (!allowed) expect(got.fault, where).toBe(rights[index] === 0 ? 6 : write ? 8 : 7);
					else if (write) {
						dirty[index] = 1;
						written += 1;
					}
				}
			} else {
				const bits = new Uint8Array((count >> 3) + 1);
				const keep = random.chance(0.5);
				const total = table.readDirty(at(first), size, bits, { keep });
				for (let i = 0; i < count; i++) expect((bits[i >> 3] >> (i & 7)) & 1, where).toBe(dirty[first + i]);
				expect(total, where).toBe(dirty.subarray(first, first + count).reduce((sum, bit) => sum + bit, 0));
				if (!keep) dirty.fill(0, first, first + count);
			}
			for (const index of [first, first + count - 1, random.below(2 * pages)]) check(index, where);
			expect(table.mapped, where).toBe(BigInt(mapped) * page);
		}
		for (let index = 0; index < 2 * pages; index++) check(index, "at the end");
		expect(written).toBeGreaterThan(EDITS / 50);
		// the table ends where its levels do
		const covered = lg2 + Math.max(9, Math.ceil((inputBits - lg2) / levels)) * levels;
		if (covered < 59) expect(unit.translate(RID, 1n << BigInt(covered)).fault).toBe(5);
		// bit 59 is the other table's
		if (inputBits < 59) expect(() => table.map(at(2 * pages - 1) + page, 0n, page, { read: true, write: true })).toThrow(/width/);
		expect(() => table.map(0x800n, 0n, page, { read: true, write: true })).toThrow(/multiples/);
		table.clear();
		expect([table.mapped, engine.framesUsed]).toEqual([0n, before]);
	});
});
