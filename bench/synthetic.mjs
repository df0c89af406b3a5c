// A recorded run of any length, chunk by chunk: devices that map a page, use it, unmap and invalidate it, round and round.
import { makeColumns, NO_PASID } from "../dist/ts/replay/trace.js";

const DEVICES = 8;
const CHUNK = 65_536;
/** pages that a device goes round in */
const WINDOW = 4096;
/** pages that a device has mapped at a time, about */
const DEEP = 256;

/** A trace stream (ts/replay/head.ts) of `events` events. */
export function synthetic(events) {
	const devices = Array.from({ length: DEVICES }, (_, i) => ({ segment: 0, rid: (i + 1) << 3, name: `0000:00:${(i + 1).toString(16).padStart(2, "0")}.0`, domain: i + 1, levels: 4 }));
	const report = { lines: 0, ignoredLines: 0, damagedLines: 0, damage: [], notes: [] };
	return { head: { architecture: "vtd", stage: "second", files: ["synthetic"], devices, report, events, frames: 4096 }, chunks: () => chunks(events) };
}

async function* chunks(events) {
	const turn = new Uint32Array(DEVICES);
	let device = 0;
	let step = 0;
	for (let done = 0; done < events; done += CHUNK) {
		const count = Math.min(CHUNK, events - done);
		const columns = { ...makeColumns(count), length: count };
		columns.pasid.fill(NO_PASID);
		for (let i = 0; i < count; i++) {
			const round = turn[device];
			const old = round >= DEEP;
			// map, four uses of young pages, then the oldest goes and is invalidated
			const kind = step === 0 ? 2 : step < 5 ? 1 : step === 5 ? 3 : 4;
			const at = step === 0 ? round : step < 5 ? round - ((step * 37 * (round % 5)) % Math.min(round + 1, DEEP)) : round - DEEP;
			const page = at % WINDOW;
			columns.time[i] = (done + i) / 8;
			columns.kind[i] = kind;
			columns.id[i] = kind === 4 ? device + 1 : device;
			columns.iova[2 * i] = page * 4096;
			columns.size[2 * i] = 4096;
			if (kind < 3) columns.pa[2 * i] = 0x1000_0000 + device * 0x100_0000 + page * 4096;
			columns.flags[i] = kind === 4 ? 2 : kind === 1 ? 8 : kind === 2 ? 3 : 0;
			step++;
			if (step > 6 || (step > 4 && !old)) {
				step = 0;
				turn[device]++;
				device = (device + 1) % DEVICES;
			}
		}
		yield columns;
	}
}
