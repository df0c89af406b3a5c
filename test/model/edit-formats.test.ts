/** Random map, unmap, protect, device writes and dirty harvests on tables of every format, against a plain map of pages. */
import { describe, expect, it } from "vitest";
import { Engine, EngineError, type PageTable, type PageTableConfig, type TableFormatName, type Unit } from "../../ts/engine/index.ts";
import { Random } from "./random.ts";

const EDITS = process.env.IOASID_NIGHTLY ? 100_000 : 3_000;
/** two 1 GiB leaves and a little more */
const PAGES = 2 * 262144 + 1024;

class Model {
	readonly output = new Float64Array(PAGES);
	/** 0: nothing is mapped; read 1, write 2 */
	readonly rights = new Uint8Array(PAGES);
	readonly dirty = new Uint8Array(PAGES);

	used(first: number, count: number): number {
		let n = 0;
		for (let i = first; i < first + count; i++) if (this.rights[i] !== 0) n += 1;
		return n;
	}
}

const OFF = { iotlb: false, walkCache: false, contextCache: false, pasidCache: false } as const;
const DEVICE = 8;

/** A unit without caches that reaches the table as `DEVICE`. */
function machine(config: PageTableConfig): { engine: Engine; table: PageTable; unit: Unit } {
	const amd = config.format.startsWith("amd");
	const engine = Engine.create({
		memory: [{ kind: "sparse", start: 0n, size: 0x10000 }],
		sparsePages: 4,
		tables: { frames: 4096 },
		units: [config.format.startsWith("vmsav8") ? { architecture: "smmuv3", ...OFF } : amd ? { architecture: "amdvi", ...OFF } : { architecture: "vtd", registers: { RTADDR: 1n << 10n }, ...OFF }],
	});
	const table = engine.createTable(config);
	const [unit] = engine.units;
	if (config.format === "vtd-first" || config.format.startsWith("vmsav8-first")) unit.setRoute(DEVICE, { type: "first-stage", domain: 1, table });
	else if (config.format !== "amd-v2") unit.setRoute(DEVICE, { type: "second-stage", domain: 1, table });
	else {
		// DTE: V, TV, GIOV, GV, GCR3 table of one level at 0x2000, IR, IW; GuestPagingMode
		unit.writeRegister("DEVTAB", 0x1000n);
		const words = [3n | (1n << 54n) | (1n << 55n) | (2n << 58n) | (3n << 61n), 1n, BigInt(config.levels - 4) << 54n];
		const bytes = new DataView(new ArrayBuffer(24));
		for (const [i, word] of words.entries()) bytes.setBigUint64(8 * i, word, true);
		engine.memory.writeBytes(0x1000n + BigInt(DEVICE * 32), new Uint8Array(bytes.buffer));
		bytes.setBigUint64(0, table.root | 1n, true);
		engine.memory.writeBytes(0x2000n, new Uint8Array(bytes.buffer, 0, 8));
	}
	return { engine, table, unit };
}

const CASES: Array<[TableFormatName, number, bigint]> = [
	["vtd-second", 3, 5n << 30n],
	["vtd-second", 5, 0n],
	["vtd-first", 4, 5n << 30n],
	["vtd-first", 4, (1n << 64n) - (6n << 30n)],
	["vtd-first", 5, (1n << 56n) - (6n << 30n)],
	["amd-v1", 3, 0n],
	["amd-v1", 4, 5n << 30n],
	["amd-v1", 6, (1n << 64n) - (6n << 30n)],
	["amd-v2", 4, (1n << 64n) - (1n << 47n)],
	["amd-v2", 5, 5n << 30n],
	["vmsav8-first-4k", 3, 0n],
	["vmsav8-first-4k", 4, 5n << 30n],
	["vmsav8-second-4k", 3, 5n << 30n],
	["vmsav8-second-4k", 4, (1n << 48n) - (6n << 30n)],
];

describe("edits of every format", () => {
	it.each(CASES)("%s of %i levels at %s", (format, levels, base) => {
		const random = new Random(levels * 7 + format.length + Number(base >> 60n));
		const { engine, table, unit } = machine({ format, levels, accessedDirty: true });
		const model = new Model();
		const root = table.frames;
		const deviceTables = engine.framesUsed - root;
		// what is present can be read, but for the formats of two bits
		const apart = format === "vtd-second" || format === "amd-v1" || format.startsWith("vmsav8-second");
		const iova = (page: number) => base + BigInt(page) * 4096n;
		const check = (page: number) => {
			if (page < 0 || page >= PAGES) return;
			const got = table.lookUp(iova(page) + 0x123n);
			const rights = model.rights[page];
			const found = got === null ? 0 : (got.read ? 1 : 0) + (got.write ? 2 : 0);
			if (found !== rights) expect(found, `page ${page}`).toBe(rights);
			if (got !== null && got.pa !== BigInt(model.output[page]) * 4096n + 0x123n) expect(got.pa, `page ${page}`).toBe(BigInt(model.output[page]) * 4096n + 0x123n);
		};
		// mostly where other edits are
		const somewhere = () => (random.chance(0.9) ? random.pick([0, 262144 - 300, PAGES - 600]) + random.below(600) : random.below(PAGES));
		let writes = 0;
		let harvested = 0;
		for (let n = 0; n < EDITS; n++) {
			const size = random.below(1000);
			let count = size < 930 ? 1 + random.below(8) : size < 996 ? random.pick([512, 512, 1024, 511, 700]) : random.pick([262144, 262144, 200_000]);
			let first = size < 930 || random.chance(0.3) ? somewhere() : Math.floor(random.below(PAGES) / (size < 996 ? 512 : 262144)) * (size < 996 ? 512 : 262144);
			first = Math.min(first, PAGES - 1);
			count = Math.min(count, PAGES - first);
			const what = random.below(10);
			if (what === 9 && random.chance(0.7)) count = Math.min(PAGES - first, 600);
			const bytes = BigInt(count) * 4096n;
			const rights = apart ? random.pick([1, 2, 3, 3]) : random.pick([1, 3, 3]);
			const permissions = { read: (rights & 1) !== 0, write: (rights & 2) !== 0 };
			if (what < 3) {
				const output = random.chance(0.7) ? (1 + random.below(60)) * 262144 + first + Number((base >> 12n) & 0x3ffffn) : 262144 + random.below(1 << 26);
				table.map(iova(first), BigInt(output) * 4096n, bytes, permissions, { replace: true });
				for (let i = 0; i < count; i++) model.output[first + i] = output + i;
				model.rights.fill(rights, first, first + count);
				model.dirty.fill(0, first, first + count);
			} else if (what < 5) {
				expect(table.unmap(iova(first), bytes)).toBe(BigInt(model.used(first, count)) * 4096n);
				model.rights.fill(0, first, first + count);
				model.dirty.fill(0, first, first + count);
			} else if (what < 7) {
				expect(table.protect(iova(first), bytes, permissions)).toBe(BigInt(model.used(first, count)) * 4096n);
				for (let i = first; i < first + count; i++) if (model.rights[i] !== 0) model.rights[i] = rights;
			} else if (what < 9) {
				for (let k = 0; k < 4; k++) {
					const page = random.chance(0.5) ? first + random.below(count) : somewhere();
					const write = random.chance(0.7);
					const leaf = table.lookUp(iova(page));
					const answer = unit.translate(DEVICE, iova(page), { access: write ? "write" : "read" });
					const allowed = (model.rights[page] & (write ? 2 : 1)) !== 0;
					if ((answer.status === "translated") !== allowed) expect(answer.status, `edit ${n} page ${page}`).toBe(allowed ? "translated" : "fault");
					if (!allowed || !write || leaf === null) continue;
					writes += 1;
					// D is the leaf's
					const pages = leaf.pageBytes / 4096;
					const start = page - Number((iova(page) >> 12n) % BigInt(pages));
					model.dirty.fill(1, Math.max(start, 0), Math.min(start + pages, PAGES));
				}
			} else {
				const keep = random.chance(0.5);
				const pageBytes = random.pick([4096, 4096, 8192, 1 << 21]);
				const bits = new Uint8Array(Math.ceil(Math.ceil((count * 4096) / pageBytes) / 8));
				const want = new Uint8Array(bits.length);
				for (let i = 0; i < count; i++) {
					const bit = Math.floor((i * 4096) / pageBytes);
					if (model.dirty[first + i]) want[bit >> 3] |= 1 << (bit & 7);
				}
				const dirty = table.readDirty(iova(first), bytes, bits, { keep, pageBytes });
				if (Buffer.compare(bits, want) !== 0) expect(bits, `edit ${n} ${first} ${count}`).toEqual(want);
				expect(dirty).toBe(want.reduce((sum, byte) => sum + byte.toString(2).replaceAll("0", "").length, 0));
				harvested += dirty;
				if (!keep) model.dirty.fill(0, first, first + count);
			}
			for (const page of [first - 1, first, first + count - 1, first + count, first + random.below(count), random.below(PAGES)]) check(page);
		}
		expect(table.mapped).toBe(BigInt(model.used(0, PAGES)) * 4096n);
		for (let page = 0; page < PAGES; page += 1 + random.below(64)) check(page);
		expect(writes).toBeGreaterThan(EDITS / 60);
		expect(harvested).toBeGreaterThan(EDITS / 60);
		table.clear();
		expect(table.mapped).toBe(0n);
		expect(engine.framesUsed).toBe(deviceTables + root);
	});

	it("splits a leaf whose part is protected, and refuses what the format cannot express", () => {
		const { table, engine } = machine({ format: "vtd-first", levels: 4 });
		table.map(0n, 4n << 30n, 1n << 30n, { read: true, write: true, execute: true });
		const before = table.frames;
		expect(table.protect(0x1000n, 0x1000n, { read: true, write: false })).toBe(0x1000n);
		expect(table.frames).toBe(before + 2);
		expect(table.lookUp(0x1000n)).toMatchObject({ pageBytes: 4096, write: false, execute: false });
		expect(table.lookUp(0x2000n)).toMatchObject({ pageBytes: 4096, write: true, execute: true, pa: (4n << 30n) + 0x2000n });
		expect(table.lookUp(1n << 21n)).toMatchObject({ pageBytes: 1 << 21, write: true });
		const code = (run: () => unknown) => {
			try {
				run();
			} catch (error) {
				if (error instanceof EngineError) return error.code;
				throw error;
			}
			return "done";
		};
		expect(code(() => table.protect(0n, 0x1000n, { read: false, write: true }))).toBe("Permission");
		expect(code(() => table.protect(0x800n, 0x1000n, { read: true, write: true }))).toBe("Misaligned");
		// canonical at both ends, and not between them
		expect(code(() => table.map((1n << 47n) - 0x1000n, 0n, (1n << 64n) - (1n << 48n) + 0x2000n, { read: true, write: true }))).toBe("OutOfRange");
		expect(code(() => table.map(1n << 47n, 0n, 0x1000n, { read: true, write: true }))).toBe("OutOfRange");
		engine.failAfter(1);
		expect(code(() => table.protect(1n << 21n, 0x1000n, { read: true, write: false }))).toBe("OutOfFrames");
		engine.failAfter(0);
		expect(table.lookUp(1n << 21n)).toMatchObject({ pageBytes: 1 << 21, write: true });
		expect(code(() => table.readDirty(0n, 0x2000n, new Uint8Array(0)))).toBe("BadConfig");
		expect(code(() => table.readDirty(0n, 0x2000n, new Uint8Array(1), { pageBytes: 5000 }))).toBe("BadConfig");
		// a leaf that reaches over many windows of the harvest is dirty in each, and clean afterwards
		const { table: large, unit } = machine({ format: "vtd-first", levels: 4 });
		large.map(0n, 4n << 30n, 1n << 30n, { read: true, write: true });
		expect(unit.translate(DEVICE, 0x1000n, { access: "write" }).status).toBe("translated");
		const bits = new Uint8Array(1 << 15);
		for (const pages of [1 << 18, 1 << 18]) expect(large.readDirty(0n, 1n << 30n, bits, { keep: true })).toBe(pages);
		for (const pages of [1 << 18, 0]) expect(large.readDirty(0n, 1n << 30n, bits)).toBe(pages);
		expect(bits.every((byte) => byte === 0xff)).toBe(true);
		const plain = engine.createTable({ format: "vtd-second", levels: 4 });
		expect(code(() => plain.readDirty(0n, 0x1000n, new Uint8Array(1)))).toBe("Unsupported");
		expect(code(() => engine.createTable({ format: "vtd-first", levels: 3 }))).toBe("BadConfig");
		expect(code(() => engine.createTable({ format: "toString" as TableFormatName, levels: 3 }))).toBe("BadConfig");
	});
});
