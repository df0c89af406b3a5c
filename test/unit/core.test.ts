import { beforeEach, describe, expect, it } from "vitest";
import { Context, CoreError, type CoreReason, DEFAULT_POLICY, type Device, Machine, PageSource, type Process, type Space } from "../../ts/core/index.ts";
import { drivers } from "../../ts/driver/index.ts";
import { Engine } from "../../ts/engine/index.ts";
import { driversOf } from "../../ts/iommu/index.ts";

const RAM = { start: 0x1_0000_0000n, size: 0x1000_0000n };
const RW = { read: true, write: true };

const memory = (source: PageSource, offset: bigint) => ({ kind: "memory" as const, source, offset });

let context: Context;
let engine: Engine;
let machine: Machine;
let process: Process;
let device: Device;
let space: Space;
let source: PageSource;

beforeEach(() => {
	engine = Engine.create({ units: [{ architecture: "vtd" }], memory: [{ kind: "sparse", ...RAM }], tables: { frames: 512 } });
	machine = new Machine(engine, driversOf(engine), RAM);
	process = machine.createProcess("main");
	process.map(0x4000_0000n, 0x10_0000n);
	source = new PageSource(process, 0x4000_0000n, 0x10_0000n);
	device = machine.addDevice({ rid: 0x08, driver: drivers["vfio-pci"] });
	space = machine.createSpace();
	context = new Context();
	machine.bind(context, device, null);
});

/** A further function, given to the same file. */
function addBound(rid: number, group?: Device["group"]): Device {
	const made = machine.addDevice({ rid, driver: drivers["vfio-pci"], ...(group === undefined ? {} : { group }) });
	machine.bind(context, made, null);
	return made;
}

const dma = (address: bigint, access: "read" | "write" = "read", rid = device.rid) => engine.units[0].translate(rid, address, { access });

function refuses(reason: CoreReason, act: () => unknown): void {
	let seen: unknown;
	try {
		act();
	} catch (error) {
		seen = error;
	}
	expect(seen).toBeInstanceOf(CoreError);
	expect((seen as CoreError).reason).toBe(reason);
}

describe("a device attached by RID", () => {
	it("reaches exactly the bytes that the space maps", () => {
		machine.attach(device, space);
		space.map(0x1000n, 0x3000n, memory(source, 0x2000n), RW);
		process.write(0x4000_3123n, Uint8Array.of(1, 2, 3));
		const answer = dma(0x2123n);
		expect(answer.status).toBe("translated");
		expect([...engine.memory.read(answer.pa, 3)]).toEqual([1, 2, 3]);
		expect(answer.pa).toBe(process.frameOf(0x4000_3000n) + 0x123n);
		expect(dma(0x4000n)).toMatchObject({ status: "fault", fault: 6 });
	});

	it("faults before attach and after detach, cached or not", () => {
		expect(dma(0x1000n).status).toBe("fault");
		space.map(0x1000n, 0x1000n, memory(source, 0n), RW);
		machine.attach(device, space);
		expect(dma(0x1000n).status).toBe("translated");
		machine.detach(device);
		expect(dma(0x1000n)).toMatchObject({ status: "fault", fault: 2 });
		expect(source.pinned).toBe(0);
		refuses("NotFound", () => machine.detach(device));
	});

	it("loses a cached answer with the unmap", () => {
		machine.attach(device, space);
		space.map(0x1000n, 0x2000n, memory(source, 0n), RW);
		expect(dma(0x1000n).hit).toBe("walk");
		expect(dma(0x1000n).hit).toBe("iotlb");
		expect(space.unmap(0x1000n, 0x2000n)).toBe(0x2000n);
		expect(dma(0x1000n).status).toBe("fault");
		expect(source.pinned).toBe(0);
	});

	it("shares its space with another device, one of the same group in another space", () => {
		const group = machine.createGroup();
		const policy = { ...DEFAULT_POLICY, subGroups: true };
		context = new Context(policy);
		const two = addBound(0x10, group);
		addBound(0x11, group);
		const three = [...group.members][1];
		const other = machine.createSpace({ policy });
		machine.attach(device, space);
		machine.attach(two, space);
		refuses("Busy", () => machine.attach(three, machine.createSpace()));
		machine.attach(three, other);
		space.map(0x1000n, 0x1000n, memory(source, 0n), RW);
		other.map(0x1000n, 0x1000n, memory(source, 0x1000n), RW);
		expect(dma(0x1000n, "read", 0x10).pa).toBe(dma(0x1000n).pa);
		expect(dma(0x1000n, "read", 0x11).pa).toBe(process.frameOf(0x4000_1000n));
		machine.detach(two);
		expect(dma(0x1000n).status).toBe("translated");
	});
});

describe("refusals change nothing", () => {
	it("of maps", () => {
		machine.attach(device, space);
		space.reserve(0xfee0_0000n, 0xfeef_ffffn);
		space.map(0x1000n, 0x2000n, memory(source, 0n), { read: true, write: false });
		const pinned = source.pinned;
		refuses("Occupied", () => space.map(0x2000n, 0x2000n, memory(source, 0x4000n), RW));
		refuses("Misaligned", () => space.map(0x8001n, 0x1000n, memory(source, 0n), RW));
		refuses("Overflow", () => space.map(0x8000n, 0x1000n, memory(source, 0x10_0000n), RW));
		refuses("Reserved", () => space.map(0xfee0_0000n, 0x1000n, memory(source, 0n), RW));
		refuses("Denied", () => space.map(0x8000n, 0x1000n, memory(new PageSource(process, 0x4000_0000n, 0x1000n, false), 0n), RW));
		refuses("MemoryFault", () => space.map(0x8000n, 0x2000n, memory(new PageSource(process, 0x400f_f000n, 0x2000n), 0n), RW));
		refuses("Cut", () => space.unmap(0x1000n, 0x1000n));
		expect(space.unmap(0x9000n, 0x1000n)).toBe(0n);
		expect(source.pinned).toBe(pinned);
		expect(dma(0x1000n, "write")).toMatchObject({ status: "fault", fault: 5 });
		expect(dma(0x8000n).status).toBe("fault");
	});

	it("of frames: each allocation of a map and of an attach fails in turn", () => {
		for (let n = 1; ; n++) {
			const before = { frames: engine.framesUsed, pinned: source.pinned };
			engine.failAfter(n);
			let done = true;
			try {
				space.map(0x1000n, 0x2000n, memory(source, 0n), RW);
				machine.attach(device, space);
			} catch (error) {
				done = false;
				expect((error as CoreError).reason).toBe("NoSpace");
			}
			engine.failAfter(0);
			if (done) break;
			if (machine.routes.attachmentsOf(device).length === 0) space.unmap(0x1000n, 0x2000n);
			expect({ frames: engine.framesUsed, pinned: source.pinned }).toEqual({ ...before, frames: expect.any(Number) });
			expect(engine.framesUsed - before.frames).toBeLessThanOrEqual(2); // root and context tables stay once made
			expect(n).toBeLessThan(20);
		}
		expect(dma(0x1000n).status).toBe("translated");
	});

	it("of domains and slots", () => {
		machine.attach(device, space, { domain: 7, levels: 3 });
		refuses("Invalid", () => machine.attach(device, space));
		const two = addBound(0x10);
		refuses("Occupied", () => machine.attach(two, machine.createSpace(), { domain: 7 }));
		refuses("Unsupported", () => machine.attach(two, machine.createSpace(), { domain: 65536 }));
		refuses("Occupied", () => machine.addDevice({ rid: 0x10, driver: drivers["vfio-pci"] }));
		expect(dma(1n << 40n)).toMatchObject({ status: "fault", fault: 4 });
	});
});

describe("pins", () => {
	it("are one for each page of a source, however many areas and tables use it", () => {
		machine.attach(device, space);
		const two = addBound(0x10);
		const other = machine.createSpace();
		machine.attach(two, other);
		space.map(0x1000n, 0x2000n, memory(source, 0n), RW);
		space.map(0x8000n, 0x1000n, memory(source, 0x1000n), RW);
		other.map(0x1000n, 0x2000n, memory(source, 0n), RW);
		expect(source.pinned).toBe(2);
		space.unmap(0n, 0x10000n);
		expect(source.pinned).toBe(2);
		other.unmap(0x1000n, 0x2000n);
		expect(source.pinned).toBe(0);
	});

	it("keep a frame that its process has let go", () => {
		machine.attach(device, space);
		space.map(0x1000n, 0x1000n, memory(source, 0n), RW);
		process.write(0x4000_0000n, Uint8Array.of(9));
		process.unmap(0x4000_0000n, 0x10_0000n);
		expect(engine.memory.read(dma(0x1000n).pa, 1)[0]).toBe(9);
		refuses("MemoryFault", () => process.read(0x4000_0000n, 1));
	});
});

describe("a space lent to the engine", () => {
	it("refuses core until it is taken back, and is empty then", () => {
		machine.attach(device, space);
		const loan = space.lend();
		refuses("Busy", () => space.map(0x1000n, 0x1000n, memory(source, 0n), RW));
		refuses("Busy", () => space.unmap(0x1000n, 0x1000n));
		refuses("Busy", () => machine.detach(device));
		refuses("Busy", () => space.lend());
		const two = addBound(0x10);
		refuses("Busy", () => machine.attach(two, space));
		loan.table.map(0x5000n, 0x9000n, 0x1000n, RW);
		expect(dma(0x5000n).pa).toBe(0x9000n);
		expect(space.takeBack(loan)).toEqual({ mapped: 0x1000n, frames: 4 });
		expect(dma(0x5000n).status).toBe("fault");
		space.map(0x1000n, 0x1000n, memory(source, 0n), RW);
		expect(dma(0x1000n).status).toBe("translated");
	});

	it("cannot be lent with areas, nor without a table", () => {
		refuses("Unsupported", () => space.lend());
		machine.attach(device, space);
		space.map(0x1000n, 0x1000n, memory(source, 0n), RW);
		refuses("Busy", () => space.lend());
	});
});
