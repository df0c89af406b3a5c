// The same devices, tables and requests for the engine and for the JavaScript walker.
import { ACCESS_READ, NO_PASID } from "../dist/assembly/layout.js";
import { Engine } from "../dist/ts/engine/index.js";
import { JsUnit } from "./js-walker.mjs";

export const BATCH = 65_536;
const BOTH = { read: true, write: true };

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
export function machines(pages, devices) {
	const perDevice = pages / devices;
	const engine = Engine.create({ tables: { frames: Math.ceil(pages / 256) + devices * 4 + 64, count: devices }, batch: BATCH, units: [{ architecture: "vtd", iotlb: { sets: 1024, ways: 4 }, contextCache: { sets: 64, ways: 4 } }] });
	const [unit] = engine.units;
	const js = new JsUnit(4096);
	const random = generator(20261101);
	for (let device = 0; device < devices; device++) {
		const rid = 0x100 + device; // virtual functions
		const table = engine.createTable({ format: "vtd-second", levels: 4 });
		unit.setRoute(rid, { type: "second-stage", domain: device + 1, table });
		js.device(rid, device + 1);
		for (let page = 0; page < perDevice; page++) {
			// apart, so that no large leaf comes about
			const pa = 0x1_0000_0000 + random(1 << 24) * 4096;
			table.map(BigInt(page) * 4096n, BigInt(pa), 4096n, BOTH);
			js.map(rid, page * 4096, pa);
		}
	}
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
	return { engine, unit, js, iova, rid };
}
