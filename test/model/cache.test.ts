/** Caches: transparent when every change is invalidated, and exactly the geometry, policy and scopes that were asked for. */
import { describe, expect, it } from "vitest";
import { CACHE_MODEL_POLICIES, type CacheModel, cacheModel } from "./cache-model.ts";
import { type CacheConfig, Engine, type PageTable, type Unit } from "../../ts/engine/index.ts";
import { ACCESS_READ, ACCESS_WRITE, NO_PASID, WORD_FAULT_MASK, WORD_FAULT_SHIFT, WORD_HIT_SHIFT, WORD_SIZE_SHIFT } from "../../assembly/layout.ts";
import { Random } from "./random.ts";

const BOTH = { read: true, write: true };
const OFF = { architecture: "vtd", iotlb: false, walkCache: false, contextCache: false, pasidCache: false } as const;

/** Units over the same tables: their own root each, the devices' tables shared. */
function route(units: readonly Unit[], devices: Array<{ rid: number; domain: number; table: PageTable }>): void {
	for (const unit of units) for (const { rid, domain, table } of devices) unit.setRoute(rid, { type: "second-stage", domain, table });
}

describe("caches", () => {
	it("all off and all on give the same answers when every change is invalidated", () => {
		const random = new Random(11);
		const tiny: CacheConfig = { sets: 2, ways: 2 };
		const engine = Engine.create({
			tables: { frames: 4096 },
			units: [OFF, { architecture: "vtd" }, { architecture: "vtd", iotlb: tiny, walkCache: tiny, contextCache: { sets: 1, ways: 2 } }, { architecture: "vtd", iotlb: { sets: 1, ways: 256 }, walkCache: false }, { architecture: "vtd", iotlb: false }],
		});
		const devices = Array.from({ length: 6 }, (_, i) => ({ rid: i * 0x48, domain: 1 + (i >> 1), levels: 3 + ((i >> 1) % 3) }));
		// two devices to a domain share its table
		const tables = [0, 1, 2].map((i) => engine.createTable({ format: "vtd-second", levels: 3 + i }));
		route(engine.units, devices.map(({ rid, domain }) => ({ rid, domain, table: tables[domain - 1] })));
		const pageOf = () => (random.chance(0.5) ? random.below(64) : random.below(8) * 512 + random.below(3)) + 262144 * random.below(2);
		let faults = 0;
		for (let n = 0; n < 60_000; n++) {
			const domain = 1 + random.below(3);
			const table = tables[domain - 1];
			const iova = BigInt(pageOf()) * 4096n;
			if (random.chance(0.1)) {
				const aligned = random.chance(0.2);
				const lg2 = aligned ? 9n : BigInt(random.below(4));
				const first = iova & ~((4096n << lg2) - 1n);
				if (random.chance(0.5)) table.map(first, (BigInt(1 + random.below(1000)) << 21n) | (aligned ? 0n : first & 0x1fffffn), 4096n << lg2, random.pick([BOTH, { read: true, write: false }, { read: false, write: true }]), { replace: true });
				else table.unmap(first, 4096n << lg2);
				for (const unit of engine.units) unit.invalidate({ scope: "page", domain, address: first, mask: Number(lg2) });
				continue;
			}
			const rid = devices[2 * (domain - 1) + random.below(2)].rid;
			const access = random.pick(["read", "write", "any", "execute"] as const);
			const [want, ...others] = engine.units.map((unit) => unit.translate(rid, iova + 0x10n, { access }));
			if (want.status === "fault") faults += 1;
			for (const got of others) {
				if (got.status !== want.status || got.pa !== want.pa || got.fault !== want.fault || got.read !== want.read || got.write !== want.write || got.execute !== want.execute || got.pageBytes !== want.pageBytes) {
					expect({ ...got, hit: "", references: 0 }, `request ${n}`).toEqual({ ...want, hit: "", references: 0 });
				}
			}
		}
		expect(faults).toBeGreaterThan(1000);
		const hits = engine.units.map((unit) => unit.counters().iotlb.hits);
		expect(hits[0]).toBe(0);
		expect(hits[1]).toBeGreaterThan(1000);
		expect(hits[4]).toBe(0);
	});

	it("batch equals scalar on 100,000 random requests", () => {
		const random = new Random(12);
		const capacity = 4096;
		const make = () => {
			const engine = Engine.create({ tables: { frames: 2048 }, batch: capacity, units: [{ architecture: "vtd" }] });
			const devices = Array.from({ length: 8 }, (_, i) => ({ rid: i * 0x21, domain: i + 1, table: engine.createTable({ format: "vtd-second", levels: 4 }) }));
			route(engine.units, devices);
			const fill = new Random(13);
			for (const { table } of devices) {
				for (let n = 0; n < 200; n++) table.map(BigInt(fill.below(1024)) * 4096n, BigInt(1 + fill.below(1 << 20)) * 4096n, 4096n, { read: fill.chance(0.8), write: true }, { replace: true });
				table.map(1n << 30n, 2n << 30n, 1n << 30n, BOTH);
				table.map(0x600000n, 0x800000n, 0x400000n, { read: true, write: false });
			}
			return { unit: engine.units[0], engine };
		};
		const one = make();
		const many = make();
		for (let done = 0; done < 100_000; done += capacity) {
			const columns = many.unit.batchBuffers();
			const count = Math.min(capacity, 100_000 - done);
			let failed = 0;
			for (let i = 0; i < count; i++) {
				columns.iova[i] = random.chance(0.02) ? BigInt(0xfee00000 + random.below(4096)) : random.chance(0.1) ? (1n << 30n) + BigInt(random.below(1 << 30)) : BigInt(random.below(0xb00000));
				columns.rid[i] = random.below(random.chance(0.05) ? 0x400 : 8) * 0x21;
				columns.pasid[i] = random.chance(0.02) ? 5 : NO_PASID;
				columns.access[i] = random.pick([ACCESS_READ, ACCESS_WRITE]);
			}
			const refused = many.unit.batch(count);
			for (let i = 0; i < count; i++) {
				const got = one.unit.translate(columns.rid[i], columns.iova[i], { pasid: columns.pasid[i], access: columns.access[i] === ACCESS_READ ? "read" : "write" });
				const word = columns.word[i];
				const status = ["translated", "fault", "page-request", "interrupt"][word & 15];
				if (status !== "translated") failed += 1;
				const same =
					status === got.status &&
					(status !== "translated" || (columns.pa[i] === got.pa && 2 ** (word >>> WORD_SIZE_SHIFT) === got.pageBytes && ["walk", "iotlb", "device-tlb", "bypass"][(word >>> WORD_HIT_SHIFT) & 15] === got.hit)) &&
					(status !== "fault" || ((word >>> WORD_FAULT_SHIFT) & WORD_FAULT_MASK) === got.fault);
				if (!same) expect({ status, pa: columns.pa[i] }, `request ${done + i}`).toEqual(got);
			}
			expect(refused).toBe(failed);
		}
		expect(many.unit.counters()).toEqual(one.unit.counters());
	});

	const GEOMETRIES: Array<[number, number]> = [
		[1, 1],
		[1, 8],
		[4, 2],
		[64, 4],
		[1, 16],
		[1, 64],
		[1, 256],
		[2, 32],
	];
	const GRID = CACHE_MODEL_POLICIES.flatMap((replacement) => GEOMETRIES.map(([sets, ways]) => [replacement, sets, ways] as const));

	it.each(GRID)("an IOTLB of policy %s and %i sets of %i hits and misses as its plain model", (replacement, sets, ways) => {
		const random = new Random(sets * 1000 + ways);
		const engine = Engine.create({ tables: { frames: 64 }, units: [{ architecture: "vtd", iotlb: { sets, ways, replacement, seed: 77 } }] });
		const [unit] = engine.units;
		const devices = [1, 2].map((domain) => ({ rid: domain, domain, table: engine.createTable({ format: "vtd-second", levels: 3 }) }));
		route([unit], devices);
		const pages = 2 * sets * ways + 6;
		for (const { table } of devices) table.map(0n, 1n << 32n, BigInt(pages) * 4096n, BOTH);
		// only 4 KiB leaves: the model has one page size
		for (const { table } of devices) for (let at = 0n; at < BigInt(pages) * 4096n; at += 1n << 21n) table.map(at, (1n << 32n) + at + 4096n, 4096n, BOTH, { replace: true });
		const model: CacheModel = cacheModel({ sets, ways, replacement, seed: 77 });
		for (let n = 0; n < 6000; n++) {
			const device = random.below(2);
			const page = random.chance(0.6) ? random.below(Math.max(2, Math.floor(sets * ways * 0.6))) : random.below(pages);
			if (random.chance(0.02)) {
				unit.invalidate({ scope: "page", domain: devices[device].domain, address: BigInt(page) * 4096n });
				model.drop((domain, at) => domain === devices[device].domain && at === page);
				continue;
			}
			if (random.chance(0.001)) {
				unit.invalidate({ scope: "domain", domain: devices[device].domain });
				model.drop((domain) => domain === devices[device].domain);
				continue;
			}
			const hit = model.access(devices[device].domain, page);
			const got = unit.translate(devices[device].rid, BigInt(page) * 4096n).hit === "iotlb";
			if (got !== hit) expect(got, `access ${n}, page ${page} of ${devices[device].domain}`).toBe(hit);
		}
		const counters = unit.counters().iotlb;
		expect(counters).toEqual({ hits: model.hits, misses: model.misses, fills: model.misses, evictions: model.evictions, invalidations: model.invalidations });
		expect(counters.hits).toBeGreaterThan(ways * sets > 1 ? 100 : 0);
	});

	it.each([
		["set-associative", { sets: 64, ways: 16 }],
		["indexed", { sets: 1, ways: 1024 }],
	])("invalidations of a %s IOTLB drop what they should and nothing else", (_name, iotlb) => {
		const random = new Random(21);
		const engine = Engine.create({ tables: { frames: 512 }, units: [{ architecture: "vtd", iotlb }] });
		const [unit] = engine.units;
		const devices = [1, 2, 3].map((domain) => ({ rid: domain * 8, domain, table: engine.createTable({ format: "vtd-second", levels: 4 }) }));
		route([unit], devices);
		for (const { table } of devices) {
			table.map(0n, 1n << 40n, 512n * 4096n - 4096n, BOTH);
			table.map(1n << 21n, 1n << 41n, 32n << 21n, BOTH);
			table.map(1n << 30n, 1n << 42n, 2n << 30n, BOTH);
		}
		/** domain and first page -> pages; small enough that nothing is evicted */
		let model = new Map<string, { domain: number; first: number; pages: number }>();
		const drop = (gone: (entry: { domain: number; first: number; pages: number }) => boolean) => {
			model = new Map([...model].filter(([, entry]) => !gone(entry)));
		};
		let checked = 0;
		for (let n = 0; n < 20_000; n++) {
			const { rid, domain } = random.pick(devices);
			const kind = random.below(100);
			const page = kind % 3 === 0 ? random.below(40) : kind % 3 === 1 ? 512 + random.below(32 * 512) : 262144 + random.below(2 * 262144);
			if (random.chance(0.9)) {
				const pages = page < 511 ? 1 : page < 262144 ? 512 : 262144;
				const first = Math.floor(page / pages) * pages;
				const key = `${domain} ${first}`;
				const want = model.has(key);
				model.set(key, { domain, first, pages });
				const got = unit.translate(rid, BigInt(page) * 4096n).hit === "iotlb";
				if (got !== want) expect(got, `request ${n}: page ${page} of domain ${domain}`).toBe(want);
				if (want) checked += 1;
			} else if (kind < 2) {
				unit.invalidate({ scope: "global" });
				drop(() => true);
			} else if (kind < 8) {
				unit.invalidate({ scope: "domain", domain });
				drop((entry) => entry.domain === domain);
			} else if (kind < 16) {
				// a context or device invalidation leaves the IOTLB alone
				unit.invalidate(random.chance(0.5) ? { scope: "device", rid } : { scope: "global", caches: ["context"] });
			} else {
				const mask = random.pick([0, 0, 1, 3, 5, 6, 9, 18]);
				const address = BigInt(page) * 4096n;
				unit.invalidate({ scope: "page", domain, address, mask });
				const size = 2 ** mask;
				const first = Math.floor(page / size) * size;
				drop((entry) => entry.domain === domain && entry.first < first + size && entry.first + entry.pages > first);
			}
		}
		expect(checked).toBeGreaterThan(3000);
		expect(unit.counters().iotlb.evictions).toBe(0);
	});

	it("context entries stay until device, domain or global invalidation", () => {
		const engine = Engine.create({ units: [{ architecture: "vtd" }] });
		const [unit] = engine.units;
		const devices = [1, 2, 3].map((domain) => ({ rid: domain * 8, domain: domain === 3 ? 2 : domain, table: engine.createTable({ format: "vtd-second", levels: 4 }) }));
		route([unit], devices);
		for (const { table } of devices) table.map(0n, 1n << 30n, 4096n, BOTH);
		const misses = (act: () => void) => {
			for (const { rid } of devices) unit.translate(rid, 0n);
			const before = unit.counters().context.misses;
			act();
			return devices.map(({ rid }) => {
				const at = unit.counters().context.misses;
				unit.translate(rid, 0n);
				return unit.counters().context.misses - at;
			}).concat(unit.counters().context.misses - before);
		};
		expect(misses(() => {})).toEqual([0, 0, 0, 0]);
		expect(misses(() => unit.invalidate({ scope: "device", rid: 16 }))).toEqual([0, 1, 0, 1]);
		expect(misses(() => unit.invalidate({ scope: "domain", domain: 2 }))).toEqual([0, 1, 1, 2]);
		expect(misses(() => unit.invalidate({ scope: "domain", domain: 2, caches: ["iotlb"] }))).toEqual([0, 0, 0, 0]);
		expect(misses(() => unit.invalidate({ scope: "page", domain: 2, address: 0n }))).toEqual([0, 0, 0, 0]);
		expect(misses(() => unit.invalidate({ scope: "global" }))).toEqual([1, 1, 1, 3]);
		// the cached context is what answers until then
		unit.setRoute(8, { type: "blocked" });
		expect(unit.translate(8, 0n).status).toBe("translated");
		unit.invalidate({ scope: "device", rid: 8 });
		expect(unit.translate(8, 0n)).toMatchObject({ status: "fault", fault: 2 });
	});
});
