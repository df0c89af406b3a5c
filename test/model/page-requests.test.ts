/** Page requests of real units (PCIe PRI 10.4): groups, records, responses, overflows, and devices that may not ask. */
import { expect, test } from "vitest";
import type { GroupResponse, Unit } from "../../ts/engine/index.ts";
import { encodePageRequest } from "../reference/amdvi-records.ts";
import { acknowledge, device, KINDS, machine, NAMES, OTHER, overflowed, quads, RID, record } from "./ats-machine.ts";
import { Random } from "./random.ts";

const ALL = { read: true, write: true };
const span = (unit: Unit, address: bigint, pages: number, rid = RID) => unit.translate(rid, address, { type: "device", access: "write", pages });
const drain = (unit: Unit) => {
	const records: Array<bigint[] | null> = [];
	for (let one = unit.takePageRequest(); one !== null; one = unit.takePageRequest()) records.push(quads(one));
	return records;
};

test.each(NAMES)("%s: a device asks for a page, waits for its group, and comes back", (architecture) => {
	const { unit, table } = machine(architecture);
	const first = device(unit, 0x5123n);
	expect([first.status, first.group]).toEqual(["page-request", 0]);
	expect([device(unit, 0x5fffn).group, device(unit, 0x6000n, "write").group]).toEqual([0, 1]);
	expect(unit.counters().pageRequests).toEqual({ queued: 2, lost: 0 });
	expect(quads(unit.takePageRequest())).toEqual(record(architecture, 0x5000n, false, 0));
	expect(quads(unit.takePageRequest())).toEqual(record(architecture, 0x6000n, true, 1));
	expect(unit.takePageRequest()).toBeNull();
	expect(unit.takeFault()).toBeNull();
	// another device, another index
	expect(() => unit.respond(OTHER, 0, "success")).toThrow(/no group 0 waits/);
	table.map(0x5000n, 0x9000n, 4096n, { read: true, write: false });
	unit.respond(RID, 0, "success");
	const answer = device(unit, 0x5123n);
	expect([answer.status, answer.pa, answer.hit, answer.read, answer.write]).toEqual(["translated", 0x9123n, "walk", true, false]);
	expect(device(unit, 0x5124n).hit).toBe("device-tlb");
	// a right that is missing is asked for; a refusal is told once
	const denied = device(unit, 0x5000n, "write");
	expect([denied.status, denied.group]).toEqual(["page-request", 0]);
	unit.respond(RID, 0, "invalid");
	expect([device(unit, 0x5000n, "write").status, device(unit, 0x5000n, "write").status]).toEqual(["fault", "page-request"]);
	expect(unit.translate(RID, 0x6000n, { type: "device", access: "write", pageRequests: false }).status).toBe("fault");
	// a translation request alone asks for nothing
	const { completion, status } = unit.translate(RID, 0x7000n, { type: "translation" });
	expect([status, completion?.status, completion?.entry]).toEqual(["fault", "success", 0n]);
	expect(unit.counters().pageRequests.queued).toBe(4);
});

test.each(NAMES)("%s: a full queue, or no group, is answered by the hardware", (architecture) => {
	const { unit } = machine(architecture, { pageRequests: 2 });
	expect([0x1000n, 0x2000n, 0x3000n].map((page) => device(unit, page).group)).toEqual([0, 1, null]);
	expect(unit.counters().pageRequests).toEqual({ queued: 2, lost: 1 });
	expect(overflowed(unit)).toBe(false);
	unit.respond(RID, 0, "success");
	// the queue is still full: AMD has PPRAutoRspEn for that
	const full = device(unit, 0x3000n);
	expect([full.status, full.group]).toEqual(architecture === "amdvi" ? ["fault", null] : ["page-request", null]);
	if (architecture === "amdvi") {
		unit.writeRegister("CONTROL", unit.readRegister("CONTROL") | (1n << 39n));
		expect(device(unit, 0x3000n).status).toBe("page-request");
	}
	expect(overflowed(unit)).toBe(true);
	// room alone ends no overflow
	unit.takePageRequest();
	expect(device(unit, 0x3000n).group).toBeNull();
	acknowledge(unit);
	expect(device(unit, 0x3000n).group).toBe(0);
	unit.takePageRequest();
	expect(quads(unit.takePageRequest())).toEqual(record(architecture, 0x3000n, false, 0));
});

test("VT-d: a PASID's page request says so", () => {
	const { engine, unit, table } = machine("vtd");
	unit.setRoute(RID, { type: "second-stage", domain: 5, table, pasid: 0x12345 });
	KINDS.vtd.allow(engine, unit, RID);
	const { group } = unit.translate(RID, 0x8000n, { type: "device", pasid: 0x12345, access: "execute", privileged: true });
	expect(group).toBe(0);
	expect(quads(unit.takePageRequest())).toEqual([1n | (1n << 8n) | (BigInt(RID) << 16n) | (0x12345n << 32n) | (1n << 52n) | (1n << 53n), 0x8000n | 4n | 1n]);
	expect(() => unit.respond(RID, 0, "success", 0x12344)).toThrow();
	unit.respond(RID, 0, "success", 0x12345);
});

test.each(NAMES)("%s: a group holds the pages of a span that the device lacks, and one response answers it", (architecture) => {
	const { unit, table } = machine(architecture);
	table.map(0x7000n, 0x9000n, 4096n, ALL);
	table.map(0x8000n, 0xa000n, 4096n, { read: true, write: false });
	const first = span(unit, 0x5123n, 5);
	expect([first.status, first.group, first.fault]).toEqual(["page-request", 0, device(unit, 0xf_0000n, "write", OTHER).fault]);
	// 7000h is there, 8000h may not be written
	const pages = [0x5000n, 0x6000n, 0x8000n, 0x9000n];
	drain(unit).slice(0, -1).forEach((one, i) => void expect(one).toEqual(record(architecture, pages[i], true, 0, i === 3)));
	expect(unit.counters().pageRequests).toEqual({ queued: 5, lost: 0 });
	// what came with it is in the device's TLB
	expect(span(unit, 0x7000n, 64).hit).toBe("device-tlb");
	// whoever comes back for one of its pages waits with the group; a span that meets it asks for the rest
	expect([span(unit, 0x8fffn, 1).group, span(unit, 0x9000n, 64).group]).toEqual([0, 0]);
	expect(span(unit, 0x3000n, 4).group).toBe(2);
	expect(drain(unit)).toEqual([record(architecture, 0x3000n, true, 2, false), record(architecture, 0x4000n, true, 2, true)]);
	table.protect(0x8000n, 0x1000n, ALL);
	table.map(0x5000n, 0xb000n, 8192n, ALL);
	table.map(0x9000n, 0xd000n, 4096n, ALL);
	unit.respond(RID, 0, "success");
	unit.invalidate({ scope: "domain", domain: 5, caches: ["iotlb"] });
	expect([0x5000n, 0x6000n, 0x8000n, 0x9000n].map((page) => span(unit, page, 1).status)).toEqual(["translated", "translated", "translated", "translated"]);
	expect(() => unit.respond(RID, 0, "success")).toThrow(/no group 0 waits/);
	// a group that was refused is refused page by page, once each
	unit.respond(RID, 2, "invalid");
	expect([0x3000n, 0x4000n, 0x3000n].map((page) => span(unit, page, 1).status)).toEqual(["fault", "fault", "page-request"]);
	for (const pages of [0, 65, 1.5]) expect(() => span(unit, 0n, pages)).toThrow(/OutOfRange|pages/);
});

test.each(NAMES)("%s: a group that overflows the queue loses its end and is answered with Success", (architecture) => {
	const { unit } = machine(architecture, { pageRequests: 4 });
	if (architecture === "amdvi") unit.writeRegister("CONTROL", unit.readRegister("CONTROL") | (1n << 39n));
	const answer = span(unit, 0x1000n, 6);
	expect([answer.status, answer.group, overflowed(unit)]).toEqual(["page-request", null, true]);
	expect(unit.counters().pageRequests).toEqual({ queued: 4, lost: 2 });
	// no Last: software ignores it
	expect(drain(unit)).toEqual([0x1000n, 0x2000n, 0x3000n, 0x4000n].map((page) => record(architecture, page, true, 0, false)));
	expect(() => unit.respond(RID, 0, "success")).toThrow(/no group 0 waits/);
	expect([span(unit, 0x1000n, 2).group, drain(unit)]).toEqual([null, []]);
	acknowledge(unit);
	expect([span(unit, 0x1000n, 2).group, drain(unit).length, overflowed(unit)]).toEqual([0, 2, false]);
});

test.each(NAMES)("%s: a device without page requests is refused as the specification says", (architecture) => {
	const { engine, unit } = machine(architecture, {}, false);
	const answer = unit.translate(RID, 0x5000n, { type: "device", access: "write" });
	expect(answer.status).toBe("fault");
	expect(unit.counters().pageRequests).toEqual({ queued: 0, lost: 0 });
	const faults = quads(unit.takeFault());
	// 7.1.3 SCT.8, 11.4.7.6; 2.5.10; IHI 0070 has no such bit: its queue is off; 3.7
	const want = {
		vtd: [0x5000n, (1n << 63n) | (0x47n << 32n) | (1n << 28n) | BigInt(RID)],
		amdvi: (() => {
			const both = encodePageRequest({ DeviceID: RID, PASID: null, group: 0, last: true, read: false, write: true, execute: false, user: false, malformed: false, Address: 0x5000n }, 9);
			return [both & ((1n << 64n) - 1n), both >> 64n];
		})(),
		smmuv3: null,
		riscv: [260n | (9n << 34n) | (BigInt(RID) << 40n), 0n],
	}[architecture];
	expect(faults).toEqual(want);
	expect(answer.recorded).toBe(want !== null);
	if (want !== null) expect(answer.fault).toBe({ vtd: 0x47, amdvi: 9, smmuv3: 0, riscv: 260 }[architecture]);
	// allowed, and asked again
	KINDS[architecture].allow(engine, unit, RID);
	unit.invalidate({ scope: "device", rid: RID });
	expect(unit.translate(RID, 0x5000n, { type: "device", access: "write" }).status).toBe("page-request");
	// a queue that is off answers with Response Failure, and nothing is recorded
	if (architecture === "vtd") return;
	const [name, value] = { amdvi: ["CONTROL", 1n] as const, smmuv3: ["CR0", 0x11n] as const, riscv: ["PQCSR", 0n] as const }[architecture];
	unit.writeRegister(name, value);
	expect([unit.translate(RID, 0x6000n, { type: "device" }).status, unit.takeFault()]).toEqual(["fault", null]);
});

test("VT-d: a page request is led through the PASID table", () => {
	const { engine, unit, table } = machine("vtd");
	unit.setRoute(RID, { type: "second-stage", domain: 5, table, pasid: 1 });
	KINDS.vtd.allow(engine, unit, RID);
	// 7.1.3 SPT.2: no permission for the translation request, a fault and Invalid Request for the page request
	const answer = unit.translate(RID, 0x5000n, { type: "device", pasid: 2, access: "write" });
	expect([answer.status, answer.fault, answer.recorded]).toEqual(["fault", 0x59, true]);
	expect(quads(unit.takeFault())).toEqual([0x5000n, (1n << 63n) | (2n << 40n) | (0x59n << 32n) | (1n << 31n) | (1n << 28n) | BigInt(RID)]);
	expect([unit.takeFault(), unit.counters().pageRequests.queued]).toEqual([null, 0]);
	expect(unit.translate(RID, 0x5000n, { type: "device", pasid: 1, access: "write" }).status).toBe("page-request");
});

test.each(NAMES)("%s: groups against a model: indices, records and Last, responses, overflows", (architecture) => {
	const steps = process.env.IOASID_NIGHTLY ? 200_000 : 2000;
	const random = new Random(11);
	const QUEUE = 8;
	const PAGES = 24;
	const { unit, table } = machine(architecture, { pageRequests: QUEUE });
	if (architecture === "amdvi") unit.writeRegister("CONTROL", unit.readRegister("CONTROL") | (1n << 39n));
	const mapped = new Set<number>();
	// index -> its device and pages
	const waiting = new Map<number, { rid: number; pages: number[] }>();
	const refused = new Map<string, number>();
	let queue: bigint[][] = [];
	let overflow = false;
	const seen = { groups: 0, several: 0, overflows: 0, refusals: 0 };
	const key = (rid: number, page: number) => `${rid} ${page}`;
	const groupOf = (rid: number, page: number) => [...waiting].find(([, group]) => group.rid === rid && group.pages.includes(page))?.[0];
	for (let step = 0; step < steps; step++) {
		const what = random.below(10);
		const rid = RID;
		const page = random.below(PAGES);
		if (what < 5) {
			const pages = 1 + random.below(10);
			const got = span(unit, BigInt(page) << 12n, pages, rid);
			const name = `step ${step}: ${page} of ${pages}`;
			if (mapped.has(page)) {
				expect(got.status, name).toBe("translated");
				continue;
			}
			const mine = groupOf(rid, page);
			if (mine !== undefined) {
				expect([got.status, got.group], name).toEqual(["page-request", mine]);
				continue;
			}
			if (refused.has(key(rid, page))) {
				refused.delete(key(rid, page));
				seen.refusals += 1;
				expect(got.status, name).toBe("fault");
				continue;
			}
			const lacked = Array.from({ length: pages }, (_, i) => page + i).filter((one, i) => i === 0 || (!mapped.has(one) && groupOf(rid, one) === undefined && !refused.has(key(rid, one))));
			if (waiting.size === QUEUE) {
				expect([got.status, got.group], name).toEqual(["page-request", null]);
				continue;
			}
			const room = overflow ? 0 : QUEUE - queue.length;
			const index = got.group ?? 0;
			if (lacked.length <= room) {
				expect(got.group, name).not.toBeNull();
				// an index of no group that waits
				expect(waiting.has(index), name).toBe(false);
				waiting.set(index, { rid, pages: lacked });
				seen.groups += 1;
				if (lacked.length > 1) seen.several += 1;
				// one that was refused and that nobody came back to may be taken
				for (const [one, at] of [...refused]) if (at === index) refused.delete(one);
				for (const [i, one] of lacked.entries()) queue.push(record(architecture, BigInt(one) << 12n, true, index, i === lacked.length - 1));
			} else {
				expect([got.status, got.group], name).toEqual(["page-request", null]);
				overflow = true;
				seen.overflows += 1;
				for (const one of lacked.slice(0, room)) queue.push(record(architecture, BigInt(one) << 12n, true, 0, false));
			}
		} else if (what < 6) {
			const records = drain(unit) as bigint[][];
			expect(records.length, `step ${step}`).toBe(queue.length);
			// of a group that was cut the index is nobody's
			const plain = (list: bigint[][]) => list.map((one) => one.map((word) => word & ~cutMask(architecture)).join());
			expect(plain(records), `step ${step}`).toEqual(plain(queue));
			queue = [];
			expect(overflowed(unit), `step ${step}`).toBe(overflow);
			acknowledge(unit);
			overflow = false;
		} else if (what < 9 && waiting.size > 0) {
			const index = random.pick([...waiting.keys()]);
			const { pages } = waiting.get(index) as { pages: number[] };
			const response = random.pick<GroupResponse>(["success", "success", "invalid", "failure"]);
			if (response === "success") {
				for (const one of pages) {
					if (!mapped.has(one)) table.map(BigInt(one) << 12n, BigInt(0x100 + one) << 12n, 4096n, ALL);
					mapped.add(one);
				}
			} else for (const one of pages) refused.set(key(rid, one), index);
			if (random.chance(0.5)) unit.respond(rid, index, response);
			else expect(unit.command(new Uint8Array(new BigUint64Array(RESPONSES[architecture](index, response)).buffer)).status).toBe("done");
			waiting.delete(index);
			expect(() => unit.respond(rid, index, response)).toThrow();
		} else if (mapped.has(page)) {
			table.unmap(BigInt(page) << 12n, 4096n);
			unit.invalidate({ scope: "page", domain: 5, address: BigInt(page) << 12n });
			unit.invalidate({ scope: "device-tlb", address: BigInt(page) << 12n });
			mapped.delete(page);
		}
	}
	for (const [what, count] of Object.entries(seen)) expect(count, what).toBeGreaterThan(steps / 500);
});

/** The raw response to a group of RID, as software gives it to each architecture. */
const CODES: Record<GroupResponse, bigint> = { success: 0n, invalid: 1n, failure: 15n };
const RESPONSES: Record<(typeof NAMES)[number], (group: number, response: GroupResponse) => bigint[]> = {
	vtd: (group, response) => [9n | (CODES[response] << 12n) | (BigInt(RID) << 16n), (BigInt(group) << 3n) | 4n, 0n, 0n],
	amdvi: (group, response) => [(7n << 60n) | BigInt(RID), (BigInt(group) << 32n) | (CODES[response] << 44n)],
	smmuv3: (group, response) => [0x41n | (BigInt(RID) << 32n), BigInt(group) | ({ failure: 0n, invalid: 1n, success: 2n }[response] << 12n)],
	riscv: (group, response) => [4n | 0x80n | (BigInt(RID) << 40n), (BigInt(group) << 32n) | (CODES[response] << 44n)],
};

/** Bits of a record's two quadwords that hold the group index, in either. */
function cutMask(architecture: (typeof NAMES)[number]): bigint {
	if (architecture === "amdvi") return 0x1ffn << 32n;
	return architecture === "smmuv3" ? 0x1ffn : 0x1ffn << 3n;
}
