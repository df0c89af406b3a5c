// The in-memory replay loop: 64 Ki events of a synthetic mix, 65 DMA, 15 map, 15 unmap, 5 invalidate in a hundred.
import { ACCESS_READ, ACCESS_WRITE, EVENT_DMA, EVENT_INVALIDATE, EVENT_MAP, EVENT_UNMAP, INV_DOMAIN, INV_PAGE, NO_PASID } from "../dist/assembly/layout.js";
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
	for (const [i, { rid, table }] of devices.entries()) unit.setRoute(rid, { type: "second-stage", domain: i + 1, table });
	const run = engine.createRun(unit, devices);
	const columns = run.columns();
	const random = generator(7);
	// per device a list of mapped pages and their outputs, one of free pages, and pages whose invalidation is to come
	const mapped = Array.from({ length: DEVICES }, () => []);
	const free = Array.from({ length: DEVICES }, () => Array.from({ length: WINDOW }, (_, page) => page).filter((page) => page % 512 !== 0));
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
	// a page that stays in each 2 MiB, as the tables of a busy device do
	for (const { table } of devices) for (const page of [0, 512]) table.map(BigInt(page) * 4096n, 1n << 40n, 4096n, { read: true, write: true });
	for (let i = 0; i < EVENTS; i++) {
		const d = random(DEVICES);
		const kind = random(100);
		// at the end everything goes, so that the next run finds what this one found
		const closing = i >= EVENTS - 1024;
		const list = mapped[d];
		if (closing || (kind >= 80 && kind < 95)) {
			const of = closing ? Math.max(0, mapped.findIndex((one) => one.length > 0)) : d;
			if (mapped[of].length > 0) {
				const { page } = mapped[of].splice(random(mapped[of].length), 1)[0];
				stale[of].push(page);
				put(i, EVENT_UNMAP, of, page, 0, 0);
				counts.unmap += 1;
				continue;
			}
		}
		if (closing || kind >= 95) {
			// by page, and the whole domain when much is waiting; only then may a page be mapped again
			const of = closing ? Math.max(0, stale.findIndex((one) => one.length > 0)) : d;
			if (closing || stale[of].length > 64) {
				put(i, EVENT_INVALIDATE, of + 1, 0, 0, INV_DOMAIN, 0);
				free[of].push(...stale[of].splice(0));
			} else {
				const page = stale[of].pop() ?? 0;
				put(i, EVENT_INVALIDATE, of + 1, page, 0, INV_PAGE, 0);
				if (page !== 0) free[of].push(page);
			}
			counts.invalidate += 1;
			continue;
		}
		// dma goes to one of the 32 pages mapped last, as it does in recorded traces
		if (list.length > 0 && (kind < 65 || free[d].length === 0 || list.length > 150)) {
			const { page, pa } = list[list.length - 1 - random(Math.min(list.length, 32))];
			put(i, EVENT_DMA, d, page, pa, random(2) ? ACCESS_READ : ACCESS_WRITE);
			counts.dma += 1;
			continue;
		}
		const page = free[d].splice(random(free[d].length), 1)[0];
		const pa = 0x100000 + random(1 << 20);
		list.push({ page, pa });
		put(i, EVENT_MAP, d, page, pa, ACCESS_READ | ACCESS_WRITE);
		counts.map += 1;
	}
	if (mapped.some((list) => list.length > 0) || stale.some((list) => list.length > 0)) throw new Error("the run does not end as it began");
	return { engine, unit, run, counts };
}
