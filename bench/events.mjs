// The in-memory replay loop: 64 Ki events of a synthetic mix, 65 DMA, 15 map, 15 unmap, 5 invalidate in a hundred.
import { ACCESS_READ, ACCESS_WRITE, EVENT_DMA, EVENT_INVALIDATE, EVENT_MAP, EVENT_UNMAP, INV_PAGE, NO_PASID } from "../dist/assembly/layout.js";
import { Engine } from "../dist/ts/engine/index.js";
import { generator } from "./machines.mjs";

export const EVENTS = 65_536;
const DEVICES = 4;
/** pages that a device has mapped at most */
const WINDOW = 1024;

/**
 * A run whose events begin and end with the same pages mapped, so that it can be run again and again. Every unmap is
 * followed by its invalidation sooner or later, as a driver in its lazy mode would do it.
 */
export function eventRun() {
	const engine = Engine.create({ tables: { frames: 256 }, units: [{ architecture: "vtd" }], run: { events: EVENTS, devices: DEVICES } });
	const [unit] = engine.units;
	const devices = Array.from({ length: DEVICES }, (_, i) => ({ rid: i << 3, table: engine.createTable({ format: "vtd-second", levels: 4 }) }));
	devices.forEach(({ rid, table }, i) => unit.setRoute(rid, { type: "second-stage", domain: i + 1, table }));
	const run = engine.createRun(unit, devices);
	const columns = run.columns();
	const random = generator(7);
	// per device a list of mapped pages and their outputs, one of free pages, and pages whose invalidation is to come
	const mapped = Array.from({ length: DEVICES }, () => []);
	const free = Array.from({ length: DEVICES }, () => Array.from({ length: WINDOW }, (_, page) => page));
	const stale = Array.from({ length: DEVICES }, () => []);
	const counts = { dma: 0, map: 0, unmap: 0, invalidate: 0 };
	const put = (i, kind, id, page, pa, how, pasid = NO_PASID) => {
		columns.kind[i] = kind;
		columns.id[i] = id;
		columns.pasid[i] = pasid;
		columns.flags[i] = how;
		columns.verdict[i] = 0;
		columns.iova[2 * i] = page * 4096;
		columns.size[2 * i] = kind === EVENT_DMA ? 64 : 4096;
		columns.pa[2 * i] = (pa * 4096) >>> 0;
		columns.pa[2 * i + 1] = Math.floor(pa / 2 ** 20);
	};
	for (let i = 0; i < EVENTS; i++) {
		const d = random(DEVICES);
		const kind = random(100);
		// at the end everything goes, so that the next run finds what this one found
		const closing = i >= EVENTS - 2 * DEVICES * 400;
		if (closing || kind >= 80) {
			const at = closing ? mapped.findIndex((list) => list.length > 0) : d;
			if (stale[d].length > 0 && (at < 0 || (kind >= 95 && !closing))) {
				put(i, EVENT_INVALIDATE, d + 1, stale[d].pop(), 0, INV_PAGE, 0);
				counts.invalidate += 1;
				continue;
			}
			if (at >= 0 && mapped[at].length > 0) {
				const { page } = mapped[at].splice(random(mapped[at].length), 1)[0];
				free[at].push(page);
				stale[at].push(page);
				put(i, EVENT_UNMAP, at, page, 0, 0);
				counts.unmap += 1;
				continue;
			}
			put(i, EVENT_INVALIDATE, d + 1, random(WINDOW), 0, INV_PAGE, 0);
			counts.invalidate += 1;
			continue;
		}
		// dma goes to one of the 32 pages mapped last, as it does in recorded traces
		if (kind < 65 && mapped[d].length > 0) {
			const list = mapped[d];
			const { page, pa } = list[list.length - 1 - random(Math.min(list.length, 32))];
			put(i, EVENT_DMA, d, page, pa, random(2) ? ACCESS_READ : ACCESS_WRITE);
			counts.dma += 1;
			continue;
		}
		const at = free[d].length === 0 ? 0 : random(free[d].length);
		const page = free[d].splice(at, 1)[0];
		const pa = 0x100000 + random(1 << 20);
		mapped[d].push({ page, pa });
		put(i, EVENT_MAP, d, page, pa, ACCESS_READ | ACCESS_WRITE);
		counts.map += 1;
	}
	return { engine, unit, run, counts };
}
