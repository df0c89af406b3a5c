// The same devices, tables and requests for the engine and for the JavaScript walker.
import { ACCESS_READ, NO_PASID } from "../dist/assembly/layout.js";
import { Engine } from "../dist/ts/engine/index.js";
import { JsNested, JsUnit } from "./js-walker.mjs";

export const BATCH = 65_536;
const BOTH = { read: true, write: true };

/** One line for each architecture: the formats of its two stages. */
export const FORMATS = {
	vtd: { first: "vtd-first", second: "vtd-second" },
	amdvi: { first: "amd-v2", second: "amd-v1" },
	smmuv3: { first: "vmsav8-first-4k", second: "vmsav8-second-4k" },
	riscv: { first: "riscv-sv", second: "riscv-sv-x4" },
};

/** xorshift32 */
export function generator(seed) {
	let x = seed | 1;
	return (below) => {
		x ^= x << 13;
		x ^= x >>> 17;
		x ^= x << 5;
		return (x >>> 0) % below;
	};
}

/**
 * `pages` pages over `devices` devices, and BATCH requests at random among them.
 * @returns engine, its unit, the JavaScript unit, and the requests as columns
 */
export function machines(pages, devices, architecture) {
	const perDevice = pages / devices;
	const engine = Engine.create({ tables: { frames: Math.ceil(pages / 256) + devices * 8 + 512, count: devices }, batch: BATCH, units: [{ architecture, iotlb: { sets: 1024, ways: 4 }, contextCache: { sets: 64, ways: 4 } }] });
	const [unit] = engine.units;
	const js = new JsUnit(4096);
	const random = generator(20261101);
	for (let device = 0; device < devices; device++) {
		const rid = 0x100 + device; // virtual functions
		const table = engine.createTable({ format: FORMATS[architecture].second, levels: 4 });
		unit.setRoute(rid, { type: "second-stage", domain: device + 1, table });
		js.device(rid, device + 1);
		for (let page = 0; page < perDevice; page++) {
			// apart, so that no large leaf comes about
			const pa = 0x1_0000_0000 + random(1 << 24) * 4096;
			table.map(BigInt(page) * 4096n, BigInt(pa), 4096n, BOTH);
			js.map(rid, page * 4096, pa);
		}
	}
	return { engine, unit, js, ...requests(unit, js, random, devices, perDevice) };
}

/** BATCH requests at random, in the unit's columns and as they are; the JavaScript unit must give the same answers. */
function requests(unit, js, random, devices, perDevice) {
	const iova = new Float64Array(BATCH);
	const rid = new Uint32Array(BATCH);
	const columns = unit.batchBuffers();
	for (let i = 0; i < BATCH; i++) {
		rid[i] = 0x100 + random(devices);
		iova[i] = random(perDevice) * 4096 + random(4096);
		columns.iova[i] = BigInt(iova[i]);
		columns.rid[i] = rid[i];
		columns.pasid[i] = NO_PASID;
		columns.access[i] = ACCESS_READ;
	}
	// the same answers, or the comparison is worth nothing
	if (unit.batch(BATCH) !== 0) throw new Error("the engine faults");
	for (let i = 0; i < BATCH; i++) {
		if (js.translate(rid[i], iova[i], 1) !== Number(columns.pa[i])) throw new Error(`request ${i}: the two sides differ`);
	}
	return { iova, rid };
}

const GUEST = 0x10_0000_0000;

/** A device table entry that has a host table gets guest tables too: GV, GIOV, and a GCR3 table of one level with PASID 0. */
function addGuest(engine, unit, rid, root) {
	const table = engine.takeFrames(0);
	engine.memory.write64(table, root | 1n);
	const at = (unit.readRegister("DEVTAB") & ~0xfffn) + BigInt(rid) * 32n;
	const [low, high] = [engine.memory.read64(at), engine.memory.read64(at + 8n)];
	engine.memory.write64(at, low | (1n << 55n) | (1n << 54n) | (((table >> 12n) & 7n) << 58n));
	engine.memory.write64(at + 8n, high | (((table >> 15n) & 0xffffn) << 16n) | ((table >> 31n) << 43n));
	unit.invalidate({ scope: "global" });
}

/** One device with both stages and `pages` pages, over no IOTLB and no paging-structure caches: every request walks both. */
export function nestedMachine(pages, architecture) {
	const frames = 512 * Math.ceil((pages / 256 + 512) / 512);
	const units = [{ architecture, iotlb: false, walkCache: false, ...(architecture === "vtd" ? { registers: { RTADDR: 1n << 10n } } : {}) }];
	const engine = Engine.create({ tables: { frames, count: 2 }, batch: BATCH, units });
	const [unit] = engine.units;
	const random = generator(20261102);
	const first = engine.createTable({ format: FORMATS[architecture].first, levels: 4 });
	const second = engine.createTable({ format: FORMATS[architecture].second, levels: 4 });
	const js = new JsNested(frames * 4096);
	second.map(BigInt(engine.plan.frameBase), BigInt(engine.plan.frameBase), BigInt(frames) * 4096n, BOTH);
	for (let page = 0; page < pages; page++) {
		const guest = GUEST + page * 8192;
		const pa = 0x1_0000_0000 + random(1 << 24) * 4096;
		first.map(BigInt(page) * 4096n, BigInt(guest), 4096n, { ...BOTH, execute: true });
		second.map(BigInt(guest), BigInt(pa), 4096n, { ...BOTH, execute: true });
		js.map(page * 4096, guest, pa);
	}
	if (architecture === "amdvi") {
		unit.setRoute(0x100, { type: "second-stage", domain: 1, table: second });
		addGuest(engine, unit, 0x100, first.root);
	} else unit.setRoute(0x100, { type: "nested", domain: 1, first, second });
	return { engine, unit, js, ...requests(unit, js, random, 1, pages) };
}
