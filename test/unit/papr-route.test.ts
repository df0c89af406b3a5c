/** PAPR windows end to end: spaces of core, TCE tables in simulated memory, DMA through the engine's walk. */
import { beforeEach, describe, expect, it } from "vitest";
import { Context, CoreError, type Device, DEFAULT_POLICY, type IommuDriver, Machine, PageSource, type Process, type Space } from "../../ts/core/index.ts";
import { drivers } from "../../ts/driver/index.ts";
import { Engine } from "../../ts/engine/index.ts";
import { BounceIommu, createUnits, driversOf, userFormats } from "../../ts/iommu/index.ts";
import { Random } from "../model/random.ts";

// 16 MiB aligned: process memory starts there
const RAM = { start: 0x1_0000_0000n, size: 0x4000_0000n };
const VA = 0x4000_0000n;
const HIGH = 1n << 59n;
const RW = { read: true, write: true };
const K4 = 0x1000n;
const K64 = 0x1_0000n;
const M16 = 0x100_0000n;

let engine: Engine;
let machine: Machine;
let units: IommuDriver[];
let process: Process;
let source: PageSource;
let device: Device;
const context = new Context();

function setUp(frames = 1024, over: Record<string, unknown> = {}): void {
	({ engine, units } = createUnits(
		[{ name: "phb", kind: "ppc", addressBits: 60, pageSizes: 0x1011000n, reserved: [], pasidBits: 0, enforcesSnoop: true, nesting: "sw", maxDepth: 4, pasidTables: false, dirty: true, ...over }],
		{ memory: [{ kind: "sparse", ...RAM }], sparsePages: 64, tables: { frames, count: 64 } },
	));
	machine = new Machine(engine, units, RAM);
	process = machine.createProcess("main");
	process.map(VA, 0x2000_0000n);
	source = new PageSource(process, VA, 0x2000_0000n);
	device = add(8);
}

function add(rid: number): Device {
	const made = machine.addDevice({ rid, driver: drivers["vfio-pci"] });
	machine.bind(context, made, null);
	return made;
}

beforeEach(() => setUp());

const windowed = (...windows: Array<[bigint, bigint, bigint]>) => {
	const space = machine.createSpace({ windows: true, policy: { ...DEFAULT_POLICY, addressRouted: true } });
	for (const [base, size, page] of windows) space.createWindow(size, page, base);
	return space;
};
const map = (space: Space, iova: bigint, offset: bigint, size: bigint, permissions = RW) => space.map(iova, size, { kind: "memory", source, offset }, permissions);
const dma = (address: bigint, access: "read" | "write" = "read", rid = device.requester.rid) => engine.units[0].translate(rid, address, { access });
const where = (address: bigint, access: "read" | "write" = "read", rid = 8) => {
	const answer = units[0].translate(rid, null, address, access);
	return answer.ok ? answer.physical : answer.where;
};
const physical = (offset: bigint) => process.frameOf(VA + (offset & ~0xfffn)) + (offset & 0xfffn);

function reason(act: () => unknown): string {
	try {
		act();
	} catch (error) {
		if (error instanceof CoreError) return error.reason;
		throw error;
	}
	return "done";
}

describe("windows of a space", () => {
	it("are two TCE tables, each with the pages of its windows, chosen by bit 59", () => {
		for (const [low, high] of [[K4, K64], [K64, M16], [M16, K4]] as const) {
			setUp();
			const space = windowed([0n, 0x8000_0000n, low], [HIGH, 0x4000_0000n, high]);
			machine.attach(device, space);
			map(space, 0x3000_0000n, 0n, 2n * M16);
			map(space, HIGH + M16, 2n * M16, 2n * M16);
			expect(dma(0x3000_1234n)).toMatchObject({ pa: physical(0x1234n), pageBytes: Number(low) });
			expect(dma(0x3000_1234n)).toMatchObject({ pa: physical(0x1234n), hit: "iotlb" });
			expect(dma(HIGH + M16 + 0x15678n, "write")).toMatchObject({ pa: physical(2n * M16 + 0x15678n), pageBytes: Number(high) });
			// the same offsets in the other half
			expect(dma(HIGH + 0x3000_1234n)).toMatchObject({ status: "fault", fault: 6 });
			expect(dma(M16)).toMatchObject({ status: "fault", fault: 6 });
			// past what 5 levels of the windows' own size need
			expect(dma(1n << 58n).fault).toBe(5);
			expect(dma(HIGH | (1n << 58n)).fault).toBe(5);
			expect(where(1n << 58n)).toBe("stage1");
		}
	});

	it("come and go under DMA: what is left keeps translating", () => {
		const space = windowed();
		machine.attach(device, space);
		expect(where(0x1000n)).toBe("stage1");
		expect(dma(0x1000n).fault).toBe(4);
		space.createWindow(0x4000_0000n, K4, 0n);
		map(space, 0x1000n, 0n, K4, { read: true, write: false });
		space.createWindow(0x4000_0000n, K64, HIGH);
		map(space, HIGH + K64, K64, K64);
		expect(where(HIGH + K64 + 8n, "write")).toBe(physical(K64 + 8n));
		expect([where(0x1000n), where(0x1000n, "write")]).toEqual([physical(0n), "permission"]);
		// a second one in the lower half: the table grows
		space.createWindow(0x1000_0000n, K4, 1n << 40n);
		map(space, 1n << 40n, 0x2000n, K4);
		expect([where(0x1000n), where(1n << 40n)]).toEqual([physical(0n), physical(0x2000n)]);
		space.removeWindow(0n);
		expect([where(0x1000n), where(1n << 40n), where(HIGH + K64)]).toEqual(["stage1", physical(0x2000n), physical(K64)]);
		space.removeWindow(1n << 40n);
		space.removeWindow(HIGH);
		for (const address of [0x1000n, 1n << 40n, HIGH + K64]) expect(where(address)).toBe("stage1");
		const frames = engine.framesUsed;
		space.createWindow(0x4000_0000n, K4, 0n);
		expect(where(0x1000n)).toBe("stage1");
		machine.detach(device);
		expect(where(0x1000n)).toBe("requester");
		expect(engine.framesUsed).toBe(frames);
	});

	it("of one half and several page sizes share a table of the smallest", () => {
		const space = windowed([0n, 0x1000_0000n, K64], [0x2000_0000n, 0x1000_0000n, K4]);
		machine.attach(device, space);
		map(space, K64, K64, 2n * K64);
		map(space, 0x2000_3000n, 0x5000n, K4);
		expect(dma(K64 + 0x9123n)).toMatchObject({ pa: physical(K64 + 0x9123n), pageBytes: 4096 });
		expect(dma(0x2000_3000n)).toMatchObject({ pa: physical(0x5000n), pageBytes: 4096 });
		expect(where(0x2000_4000n)).toBe("stage1");
	});

	it("of large pages over memory that is not aligned to them use smaller TCEs, mapped before and after", () => {
		const space = windowed([0n, 0x1000_0000n, K64]);
		machine.attach(device, space);
		map(space, K64, K64, K64);
		expect(dma(K64).pageBytes).toBe(65536);
		map(space, 4n * K64, 0x3000n, K64);
		expect(dma(4n * K64 + 0xf008n)).toMatchObject({ pa: physical(0x1_2008n), pageBytes: 4096 });
		expect(dma(K64 + 0x8008n)).toMatchObject({ pa: physical(K64 + 0x8008n), pageBytes: 4096 });
		space.unmap(K64, K64);
		expect([where(K64), where(4n * K64)]).toEqual(["stage1", physical(0x3000n)]);
		// mapped before the attach
		const other = windowed([0n, 0x1000_0000n, K64]);
		map(other, 0n, 0x3000n, K64);
		const second = add(0x10);
		machine.attach(second, other);
		expect(dma(0x2000n, "read", 0x10)).toMatchObject({ pa: physical(0x5000n), pageBytes: 4096 });
	});

	it("attached as a whole (addressRouted off) are the same two tables", () => {
		const space = machine.createSpace({ windows: true, policy: { ...DEFAULT_POLICY, addressRouted: false } });
		space.createWindow(0x4000_0000n, K64, 0n);
		machine.attach(device, space);
		map(space, K64, K64, K64);
		expect(dma(K64)).toMatchObject({ pa: physical(K64), pageBytes: 65536 });
		space.createWindow(M16, M16, HIGH);
		map(space, HIGH, M16, M16);
		expect(dma(HIGH + 0x12_3456n)).toMatchObject({ pa: physical(M16 + 0x12_3456n), pageBytes: 1 << 24 });
	});
});

describe("spaces on one RID", () => {
	it("are told apart by address, in one half too, and each follows its own edits", () => {
		const low = windowed([0n, 0x8000_0000n, K4]);
		const middle = windowed([0x1_0000_0000n, 0x1000_0000n, K4]);
		const high = windowed([HIGH, 0x1000_0000n, K64]);
		map(low, 0x1000n, 0n, K4);
		map(middle, 0x1_0000_0000n, 0x1000n, K4);
		map(high, HIGH, K64, K64);
		for (const space of [low, middle, high]) machine.attach(device, space);
		expect([0x1000n, 0x1_0000_0000n, HIGH].map((address) => where(address))).toEqual([physical(0n), physical(0x1000n), physical(K64)]);
		map(middle, 0x1_0000_2000n, 0x9000n, K4);
		low.unmap(0x1000n, K4);
		expect([0x1000n, 0x1_0000_2000n].map((address) => where(address))).toEqual(["stage1", physical(0x9000n)]);
		expect(reason(() => machine.attach(device, windowed([0x4000_0000n, K4, K4])))).toBe("Occupied");
		machine.detach(device, middle);
		expect([0x1_0000_0000n, HIGH].map((address) => where(address))).toEqual(["stage1", physical(K64)]);
		machine.detach(device, low);
		machine.detach(device, high);
		expect(where(HIGH)).toBe("requester");
	});

	it("share tables between requesters, and an unmap reaches the cached answers of all", () => {
		const space = windowed([0n, 0x1000_0000n, K4]);
		map(space, 0n, 0n, 16n * K4);
		machine.attach(device, space);
		const before = engine.framesUsed;
		const others = [0x10, 0x18, 0x20].map(add);
		for (const other of others) machine.attach(other, space);
		expect(engine.framesUsed).toBe(before);
		for (const rid of [8, 0x10, 0x18, 0x20]) expect([where(0x3000n, "read", rid), dma(0x3000n, "read", rid).hit]).toEqual([physical(0x3000n), "iotlb"]);
		machine.detach(others[0]);
		space.unmap(0n, 16n * K4);
		for (const rid of [8, 0x18, 0x20]) expect(where(0x3000n, "read", rid)).toBe("stage1");
		expect(where(0x3000n, "read", 0x10)).toBe("requester");
	});
});

describe("a space without windows", () => {
	it("has both halves in pages of 4 KiB", () => {
		const space = machine.createSpace();
		machine.attach(device, space);
		map(space, 0x1000n, 0n, 2n * M16);
		map(space, HIGH - K4, 0x4000n, 2n * K4);
		map(space, (1n << 60n) - K4, 0x8000n, K4);
		expect([0x2008n, HIGH - 8n, HIGH + 8n, (1n << 60n) - 1n].map((address) => where(address))).toEqual([0x1008n, 0x4ff8n, 0x5008n, 0x8fffn].map(physical));
		expect(where(1n << 60n)).toBe("stage1");
		expect(reason(() => map(space, 1n << 60n, 0n, K4))).toBe("Overflow");
		space.unmap(HIGH - K4, 2n * K4);
		expect([where(HIGH - 8n), where(HIGH + 8n)]).toEqual(["stage1", "stage1"]);
	});
});

describe("the bridge", () => {
	it("passes the host's own requests, and no PASID", () => {
		const host = machine.addDevice({ rid: 0x30, driver: drivers["vfio-pci"] });
		expect(where(0x1234_5678n, "write", 0x30)).toBe(0x1234_5678n);
		expect(dma((1n << 50n) - 1n, "read", 0x30).fault).toBe(4);
		machine.bind(context, host, null);
		expect(where(0x1234_5678n, "write", 0x30)).toBe("requester");
		const answer = units[0].translate(0x30, 5, 0n, "read");
		expect(answer).toMatchObject({ ok: false, where: "pasid", code: 3 });
	});

	it("makes no DMA of a PE that is stopped, until its state is cleared", () => {
		const space = windowed([0n, 0x1000_0000n, K4]);
		map(space, 0n, 0n, K4);
		machine.attach(device, space);
		const [unit] = engine.units;
		unit.writeRegister("CONTROL", unit.readRegister("CONTROL") | 1n);
		expect(where(8n)).toBe(physical(8n));
		expect(where(0x1000n)).toBe("stage1");
		expect([where(8n), dma(8n).fault]).toEqual(["requester", 2]);
		// PESTB of the first PE that is not the host's
		engine.memory.write64(unit.readRegister("PEST") + 16n * 2n + 8n, 0n);
		expect(where(8n)).toBe(physical(8n));
	});

	it("records a fault with its TCE", () => {
		const space = windowed([0n, 0x1000_0000n, K4]);
		map(space, 0n, 0n, K4, { read: true, write: false });
		machine.attach(device, space);
		const answer = dma(0x10n, "write");
		const record = engine.units[0].takeFault();
		const view = new DataView(record?.buffer ?? new ArrayBuffer(0));
		expect([view.getUint16(0), view.getUint16(2), view.getUint8(4), view.getBigUint64(8), view.getBigUint64(16), view.getBigUint64(24)]).toEqual([8, 8, 1, 0x10n, answer.entryAddress, physical(0n) | 1n]);
	});

	it("refuses what it has not: PASIDs, user tables, windows beyond 2^60; nothing is changed then", () => {
		setUp(1024, { addressBits: 64 });
		const space = windowed([0n, 0x1000_0000n, K4]);
		map(space, 0n, 0n, K4);
		machine.attach(device, space);
		expect(reason(() => space.createWindow(K4, K4, 1n << 60n))).toBe("Unsupported");
		expect(space.windows?.map(({ first }) => first)).toEqual([0n]);
		expect(where(8n)).toBe(physical(8n));
		const table = units[0].createTable(() => [], {});
		const pasids = new Map([[1, { kind: "table" as const, table }]]);
		expect(reason(() => units[0].configure(8, { pasids, ats: false, pri: false }))).toBe("Unsupported");
		const user = { format: "ppc", root: 0n, width: 40 };
		expect(reason(() => units[0].configure(8, { untagged: { kind: "user", user, parent: table }, pasids: new Map(), ats: false, pri: false }))).toBe("Unsupported");
		expect(where(8n)).toBe(physical(8n));
	});

	it("has 512 PEs, and gives them back", () => {
		setUp(2048);
		const space = windowed([0n, 0x1000_0000n, K4]);
		map(space, 0n, 0n, K4);
		const all = Array.from({ length: 510 }, (_, i) => add(0x100 + i));
		for (const one of all) machine.attach(one, space);
		expect(reason(() => machine.attach(device, space))).toBe("Exhausted");
		expect(where(0n)).toBe("requester");
		machine.detach(all[77]);
		machine.attach(device, space);
		expect([where(0n), where(0n, "read", 0x100 + 509)]).toEqual([physical(0n), physical(0n)]);
	});

	it("leaves everything as it was when frames run out", () => {
		const low = windowed([0n, 1n << 40n, K4]);
		map(low, 0n, 0n, K4);
		machine.attach(device, low);
		const before = engine.framesUsed;
		const high = windowed([HIGH, 1n << 40n, K4]);
		map(high, HIGH, K4, K4);
		for (let n = 1; n < 6; n++) {
			engine.failAfter(n);
			expect(reason(() => machine.attach(device, high)), `frame ${n}`).toBe(n < 5 ? "NoSpace" : "done");
			engine.failAfter(0);
			expect(where(0n)).toBe(physical(0n));
			if (n < 5) expect([engine.framesUsed, where(HIGH)]).toEqual([before, "stage1"]);
		}
		expect(where(HIGH)).toBe(physical(K4));
	});

	it("marks what DMA writes, in the window's pages or, split, in those of 4 KiB", () => {
		for (const split of [false, true]) {
			setUp();
			const space = windowed([0n, 0x1000_0000n, K64]);
			map(space, 0n, 0n, 4n * K64);
			machine.attach(device, space);
			dma(K64 + 8n, "write");
			space.startDirty(split);
			expect(space.readDirty(0n, 4n * K64, false).size).toBe(0);
			for (let i = 0; i < 2; i++) {
				expect([dma(8n).status, dma(K64 + 0x5000n, "write").status]).toEqual(["translated", "translated"]);
				const pages = [...space.readDirty(0n, 4n * K64, i > 0)];
				expect(pages).toEqual(split ? [K64 + 0x5000n] : Array.from({ length: 16 }, (_, page) => K64 + BigInt(page) * K4));
			}
			expect(space.readDirty(0n, 4n * K64, true).size).toBe(0);
			dma(K64 + 0x5000n, "write");
			expect(space.readDirty(0n, 4n * K64, true).size).toBe(split ? 1 : 16);
		}
		setUp(1024, { dirty: false });
		const space = windowed([0n, 0x1000_0000n, K4]);
		machine.attach(device, space);
		expect(reason(() => space.startDirty(true))).toBe("Unsupported");
	});

	it("is what an engine's papr unit gets without a description", () => {
		const plain = Engine.create({ units: [{ architecture: "papr" }], memory: [{ kind: "sparse", ...RAM }] });
		const [driver] = driversOf(plain);
		expect(driver.capabilities).toMatchObject({ format: "ppc", addressBits: 60, pasidBits: 0, nesting: "sw" });
	});

	it("routes written by Unit.setRoute: a table, pass-through, blocked", () => {
		const plain = Engine.create({ units: [{ architecture: "papr" }] });
		const [unit] = plain.units;
		const table = plain.createTable({ format: "tce-16m", levels: 2 });
		table.map(M16, 5n * M16, M16, RW);
		unit.setRoute(9, { type: "second-stage", domain: 7, table });
		expect(unit.translate(9, M16 + 5n)).toMatchObject({ pa: 5n * M16 + 5n, pageBytes: 1 << 24 });
		unit.setRoute(10, { type: "bypass", domain: 8 });
		expect(unit.translate(10, 0x12345n)).toMatchObject({ pa: 0x12345n, hit: "bypass" });
		unit.setRoute(9, { type: "blocked" });
		unit.invalidate({ scope: "device", rid: 9 });
		expect(unit.translate(9, M16).fault).toBe(4);
		expect(() => unit.setRoute(9, { type: "bypass", domain: 512 })).toThrow(/route/);
	});
});

/** Windows, maps and attachments at random; a DMA reaches exactly what some window's map says. */
it.each(["the engine's bridge", "a driver made of software"])("random windows on several RIDs of %s reach the bytes that a plain list of maps allows", (unit) => {
	if (unit.startsWith("a driver")) {
		const memory = { reader: userFormats, read64: (physical: bigint) => engine.memory.read64(physical) };
		units = [new BounceIommu("swiotlb", units[0].capabilities, memory)];
		machine = new Machine(engine, units, RAM);
		process = machine.createProcess("main");
		process.map(VA, 0x2000_0000n);
		source = new PageSource(process, VA, 0x2000_0000n);
		device = add(8);
	}
	const random = new Random(2026);
	const spaces: Array<{ space: Space; maps: Array<{ iova: bigint; size: bigint; offset: bigint; write: boolean }> }> = [];
	const devices = [device, add(0x10)];
	const attached = devices.map(() => new Set<Space>());
	for (let i = 0; i < 4; i++) spaces.push({ space: windowed(), maps: [] });
	const bases = [0n, 0x2000_0000n, 1n << 41n, HIGH, HIGH + 0x1000_0000n];
	let reached = 0;
	let attaches = 0;
	for (let n = 0; n < 500; n++) {
		const pick = random.pick(spaces);
		const { space } = pick;
		const which = random.below(2);
		const what = random.below(12);
		if (what < 2) reason(() => space.createWindow(0x1000_0000n, random.pick([K4, K64, M16]), random.pick(bases)));
		else if (what < 3 && space.windows?.length) {
			const { first, last } = random.pick(space.windows);
			space.removeWindow(first);
			pick.maps = pick.maps.filter(({ iova }) => iova < first || iova > last);
		} else if (what < 6 && space.windows?.length) {
			const { first, pageSize } = random.pick(space.windows);
			const iova = first + BigInt(random.below(8)) * pageSize;
			const offset = BigInt(random.below(24)) * (random.chance(0.8) ? M16 : K64);
			const write = random.chance(0.5);
			if (reason(() => map(space, iova, offset, pageSize, { read: true, write })) === "done") pick.maps.push({ iova, size: pageSize, offset, write });
		} else if (what < 7 && pick.maps.length > 0) {
			const [gone] = pick.maps.splice(random.below(pick.maps.length), 1);
			expect(space.unmap(gone.iova, gone.size)).toBe(gone.size);
		} else if (what < 9) {
			if (attached[which].has(space)) {
				machine.detach(devices[which], space);
				attached[which].delete(space);
			} else if (reason(() => machine.attach(devices[which], space)) === "done") {
				attached[which].add(space);
				attaches += 1;
			}
		}
		for (let k = 0; k < 12; k++) {
			const rid = devices[which].requester.rid;
			const known = random.chance(0.7) ? random.pick(spaces).maps : [];
			const address = known.length > 0 ? random.pick(known).iova + BigInt(random.below(0x10000)) : random.pick(bases) + BigInt(random.below(0x900_0000));
			const access = random.chance(0.5) ? "write" : "read";
			const hit = spaces.filter(({ space: one }) => attached[which].has(one)).flatMap(({ maps }) => maps).find(({ iova, size }) => address >= iova && address < iova + size);
			const want = attached[which].size === 0 ? "requester" : hit === undefined ? "stage1" : access === "write" && !hit.write ? "permission" : physical(hit.offset + (address - hit.iova));
			expect(where(address, access, rid), `step ${n}: ${access} of 0x${address.toString(16)} by ${rid}`).toBe(want);
			if (typeof want === "bigint") reached += 1;
		}
	}
	expect(reached).toBeGreaterThan(500);
	expect(attaches).toBeGreaterThan(20);
});
