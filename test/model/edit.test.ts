/** Random map and unmap on a page table against a plain map of 4 KiB pages. */
import { describe, expect, it } from "vitest";
import { Engine, EngineError, type PageTable } from "../../ts/engine/index.ts";
import { Random } from "./random.ts";

/** The window: 1 GiB aligned, two of them and a little more, so that leaves of all sizes fit and straddle. */
const BASE = 5n << 30n;
const PAGES = 2 * 262144 + 1024;

/** Page -> output page and rights, 0 = nothing. */
class Model {
	readonly output = new Float64Array(PAGES);
	readonly rights = new Uint8Array(PAGES);
	mapped = 0;

	used(first: number, count: number): number {
		let n = 0;
		for (let i = first; i < first + count; i++) if (this.rights[i] !== 0) n += 1;
		return n;
	}

	map(first: number, count: number, output: number, rights: number): void {
		this.mapped += count - this.used(first, count);
		for (let i = 0; i < count; i++) this.output[first + i] = output + i;
		this.rights.fill(rights, first, first + count);
	}

	unmap(first: number, count: number): number {
		const used = this.used(first, count);
		this.rights.fill(0, first, first + count);
		this.mapped -= used;
		return used;
	}
}

const iovaOf = (page: number) => BASE + BigInt(page) * 4096n;
const bytes = (count: number) => BigInt(count) * 4096n;

/** The page of the table says what the model says. */
function check(table: PageTable, model: Model, page: number): void {
	if (page < 0 || page >= PAGES) return;
	const got = table.lookUp(iovaOf(page) + 0x123n);
	if (model.rights[page] === 0) {
		if (got !== null) expect(got, `page ${page}`).toBeNull();
		return;
	}
	const want = { pa: BigInt(model.output[page]) * 4096n + 0x123n, read: (model.rights[page] & 1) !== 0, write: (model.rights[page] & 2) !== 0 };
	if (got === null || got.pa !== want.pa || got.read !== want.read || got.write !== want.write) expect(got, `page ${page}`).toMatchObject(want);
}

interface Edit {
	first: number;
	count: number;
	output: number;
	rights: number;
	what: "map" | "replace" | "unmap";
}

/** An edit somewhere in the window; large ones are rare, or everything would always be overwritten. */
function edit(random: Random, window: number): Edit {
	let count: number;
	let first: number;
	const size = random.below(1000);
	if (size < 930) {
		count = 1 + random.below(8);
		first = random.below(window);
	} else if (size < 996) {
		count = random.pick([512, 512, 1024, 511, 700]);
		first = random.chance(0.7) ? random.below(Math.ceil(window / 512)) * 512 : random.below(window);
	} else {
		count = random.pick([262144, 262144, 200_000]);
		first = random.chance(0.8) ? random.below(3) * 262144 : random.below(window);
	}
	first = Math.min(first, window - 1);
	count = Math.min(count, window - first);
	// often as aligned as the input, so that large leaves are built
	const output = random.chance(0.7) ? (1 + random.below(60)) * 262144 + first : 262144 + random.below(1 << 26);
	return { first, count, output, rights: 1 + random.below(3), what: random.pick(["map", "map", "replace", "unmap"] as const) };
}

function apply(table: PageTable, { first, count, output, rights, what }: Edit): void {
	if (what === "unmap") table.unmap(iovaOf(first), bytes(count));
	else table.map(iovaOf(first), BigInt(output) * 4096n, bytes(count), { read: (rights & 1) !== 0, write: (rights & 2) !== 0 }, { replace: what === "replace" });
}

function codeOf(run: () => void): string {
	try {
		run();
		return "done";
	} catch (error) {
		if (error instanceof EngineError) return error.code;
		throw error;
	}
}

describe("map and unmap", () => {
	it.each([
		[3, 60_000, 1],
		[4, 30_000, 2],
		[5, 15_000, 3],
	])("of %i levels agree with a map of pages over %i random edits", (levels, edits, seed) => {
		const random = new Random(seed);
		const engine = Engine.create({ tables: { frames: 2048 } });
		const table = engine.createTable({ format: "vtd-second", levels });
		const model = new Model();
		for (let n = 0; n < edits; n++) {
			const one = edit(random, PAGES);
			const { first, count, what } = one;
			if (what === "unmap") {
				const gone = table.unmap(iovaOf(first), bytes(count));
				if (gone !== bytes(model.used(first, count))) expect(gone, `edit ${n}`).toBe(bytes(model.used(first, count)));
				model.unmap(first, count);
			} else {
				const blocked = what === "map" && model.used(first, count) > 0;
				const code = codeOf(() => apply(table, one));
				if (code !== (blocked ? "Occupied" : "done")) expect(code, `edit ${n}`).toBe(blocked ? "Occupied" : "done");
				if (!blocked) {
					if (what === "replace" && table.replaced !== (model.used(first, count) > 0 ? 1 : 0)) expect(table.replaced, `edit ${n}`).toBe(model.used(first, count) > 0 ? 1 : 0);
					model.map(first, count, one.output, one.rights);
				}
			}
			for (const page of [first - 1, first, first + count - 1, first + count, first + random.below(count), random.below(PAGES)]) check(table, model, page);
			if (table.mapped !== bytes(model.mapped)) expect(table.mapped, `edit ${n}`).toBe(bytes(model.mapped));
			if (n % 10_000 === 9_999) for (let page = 0; page < PAGES; page += 1 + random.below(64)) check(table, model, page);
		}
		expect(table.frames).toBe(engine.framesUsed);
		table.unmap(iovaOf(0), bytes(PAGES));
		expect(table.mapped).toBe(0n);
		expect(table.frames).toBe(1);
		expect(engine.framesUsed).toBe(1);
		table.dispose();
		expect(engine.framesUsed).toBe(0);
	});

	it("builds the largest leaves that alignment allows, and splits one when part of it goes", () => {
		const engine = Engine.create({ tables: { frames: 16 } });
		const table = engine.createTable({ format: "vtd-second", levels: 4 });
		const both = { read: true, write: true };
		// 4 GiB in 1 GiB leaves: two tables, though 4 KiB pages would want 2,051
		table.map(0n, 8n << 30n, 4n << 30n, both);
		expect(table.frames).toBe(2);
		expect(table.lookUp(0x1234567n)).toMatchObject({ pa: (8n << 30n) + 0x1234567n, pageBytes: 2 ** 30 });
		expect(table.unmap(0x5000n, 4096n)).toBe(4096n);
		expect(table.frames).toBe(4);
		expect(table.lookUp(0x4fffn)).toMatchObject({ pageBytes: 4096 });
		expect(table.lookUp(0x5000n)).toBeNull();
		expect(table.lookUp(0x200000n)).toMatchObject({ pa: (8n << 30n) + 0x200000n, pageBytes: 2 ** 21 });
		expect(table.lookUp(1n << 30n)).toMatchObject({ pageBytes: 2 ** 30 });
	});

	/** content of the whole window, as text to compare */
	const content = (table: PageTable, window: number) => {
		const out: string[] = [];
		for (let page = 0; page < window; page++) {
			const got = table.lookUp(iovaOf(page));
			out.push(got === null ? "-" : `${got.pa.toString(16)}${got.read ? "r" : ""}${got.write ? "w" : ""}`);
		}
		return out.join(" ");
	};

	it("leave the table as it was when frames run out", () => {
		const random = new Random(7);
		const engine = Engine.create({ tables: { frames: 4 } });
		const table = engine.createTable({ format: "vtd-second", levels: 3 });
		const window = 3 * 512;
		const model = new Model();
		let refused = 0;
		for (let n = 0; n < 3_000; n++) {
			const one = { ...edit(random, window) };
			const before = { frames: engine.framesUsed, mapped: table.mapped, text: content(table, window) };
			// a pool that is really empty, or a failure asked for
			const asked = n % 2 === 1;
			if (asked) engine.failAfter(1 + random.below(3));
			const code = codeOf(() => apply(table, one));
			engine.failAfter(0);
			if (code === "done") {
				if (one.what === "unmap") model.unmap(one.first, one.count);
				else model.map(one.first, one.count, one.output, one.rights);
			} else {
				expect(["OutOfFrames", "Occupied"]).toContain(code);
				if (code === "OutOfFrames") refused += 1;
				const where = `edit ${n}: ${JSON.stringify(one)}`;
				expect(content(table, window) === before.text, where).toBe(true);
				expect(table.mapped, where).toBe(before.mapped);
				expect(engine.framesUsed, where).toBe(before.frames);
			}
			for (const page of [one.first - 1, one.first, one.first + one.count - 1, one.first + one.count]) if (page < window) check(table, model, page);
		}
		expect(refused).toBeGreaterThan(200);
		expect(table.mapped).toBe(bytes(model.mapped));
		table.unmap(iovaOf(0), bytes(window));
		expect(engine.framesUsed).toBe(1);
	});
});
