/** VFIO's ioctls and the commands that build real page tables: each allocation fails in turn, frames of the engine among them. */
import { describe, expect, it } from "vitest";
import { createUnits } from "../../ts/iommu/index.ts";
import { drivers } from "../../ts/driver/index.ts";
import { Machine } from "../../ts/core/index.ts";
import { iommuType1DmaMap, iommuType1DmaUnmap, iommuType1Info, VFIO } from "../../ts/uapi/abi/vfio.ts";
import type { File } from "../../ts/uapi/iommufd.ts";
import { DoorError, VfioContainer } from "../../ts/uapi/index.ts";
import { failEach } from "./fail-each.ts";
import { HardwareWorld, IOVA, KINDS, type Kind, MEMORY, STRUCTS } from "./hardware-world.ts";

interface Case {
	/** "refused": no such ioctl here */
	readonly allocates: "always" | "nothing" | "refused";
	readonly setUp: (world: HardwareWorld) => () => unknown;
}

const allocates = (setUp: Case["setUp"]): Case => ({ allocates: "always", setUp });
const nothing = (setUp: Case["setUp"]): Case => ({ allocates: "nothing", setUp });
const refused: Case = { allocates: "refused", setUp: () => () => {} };

const LARGE = 0x40_0000n;
const mapDma = (world: HardwareWorld, size = 0x3000n) => world.call(world.iommufd, VFIO.iommuMapDma, iommuType1DmaMap, { argsz: 32, flags: 3, vaddr: MEMORY, iova: IOVA, size });
const unmapDma = (world: HardwareWorld, iova: bigint, size: bigint) => world.call(world.iommufd, VFIO.iommuUnmapDma, iommuType1DmaUnmap, { argsz: 24, iova, size });
const container = (world: HardwareWorld) => world.deviceFd(world.joined());
/** A device that has been attached, so that tables which stay once made are there. */
const attached = (world: HardwareWorld): { file: File; ioas: number } => {
	const file = world.bound();
	const ioas = world.ioas();
	world.attach(file, ioas);
	return { file, ioas };
};
/** a table for PASIDs under the device, and one under PASID 5 when that is asked for */
const pasids = (world: HardwareWorld, route = false) => {
	const { file, ioas } = attached(world);
	const dev_id = world.door.deviceId(world.device);
	const table = () => world.command("hwpt_alloc", { flags: 8, dev_id, pt_id: ioas }).out_hwpt_id;
	const [plain, other] = [table(), table()];
	world.attach(file, plain);
	world.map(ioas);
	if (route) world.attach(file, plain, 5);
	return { file, plain, other };
};

/** Every number of VFIO, by its name. */
const VFIO_CASES: Readonly<Record<keyof typeof VFIO, Record<string, Case>>> = {
	getApiVersion: { "": nothing((world) => () => world.iommufd.ioctl(VFIO.getApiVersion)) },
	checkExtension: { "": nothing((world) => () => world.iommufd.ioctl(VFIO.checkExtension, 1)) },
	setIommu: {
		"to type 1": nothing((world) => {
			container(world);
			return () => world.done(world.iommufd.ioctl(VFIO.setIommu, 1));
		}),
	},
	iommuGetInfo: {
		"with its chain": nothing((world) => {
			container(world);
			return () => world.call(world.iommufd, VFIO.iommuGetInfo, iommuType1Info, { argsz: 4096 });
		}),
	},
	iommuMapDma: {
		"of pages": allocates((world) => {
			container(world);
			return () => mapDma(world);
		}),
		"of large pages": allocates((world) => {
			container(world);
			return () => mapDma(world, LARGE);
		}),
		"of type 1, page by page": allocates((world) => {
			container(world);
			world.done(world.iommufd.ioctl(VFIO.setIommu, 1));
			return () => mapDma(world, 0x8000n);
		}),
	},
	iommuUnmapDma: {
		"of a whole area": nothing((world) => {
			container(world);
			mapDma(world, LARGE);
			return () => unmapDma(world, IOVA, LARGE);
		}),
		"of type 1, cut at both ends": allocates((world) => {
			container(world);
			world.done(world.iommufd.ioctl(VFIO.setIommu, 1));
			mapDma(world, LARGE);
			return () => unmapDma(world, IOVA + 0x1000n, 0x2000n);
		}),
	},
	groupGetStatus: {
		"": nothing((world) => {
			const group = world.open("/dev/vfio/0");
			world.process.write(STRUCTS, Uint8Array.of(8, 0, 0, 0));
			return () => world.done(group.ioctl(VFIO.groupGetStatus, STRUCTS));
		}),
	},
	groupSetContainer: {
		"that has no space yet": allocates((world) => {
			const group = world.open("/dev/vfio/0");
			return () => world.setContainer(group);
		}),
	},
	groupUnsetContainer: {
		"": nothing((world) => {
			const group = world.joined();
			return () => world.done(group.ioctl(VFIO.groupUnsetContainer));
		}),
	},
	groupGetDeviceFd: {
		"with areas to fill in": allocates((world) => {
			const group = world.joined();
			mapDma(world, LARGE);
			return () => world.deviceFd(group);
		}),
	},
	deviceBindIommufd: {
		"": allocates((world) => {
			const file = world.open("/dev/vfio/devices/vfio0");
			return () => world.bind(file);
		}),
	},
	deviceAttachIommufdPt: {
		"to a space": allocates((world) => {
			const file = world.bound();
			const ioas = world.ioas();
			world.map(ioas, LARGE);
			return () => world.attach(file, ioas);
		}),
		"to a table": allocates((world) => {
			const { file, ioas } = attached(world);
			world.map(ioas);
			const table = world.command("hwpt_alloc", { dev_id: world.door.deviceId(world.device), pt_id: ioas }).out_hwpt_id;
			world.detach(file);
			return () => world.attach(file, table);
		}),
		"in place of another space": allocates((world) => {
			const { file } = attached(world);
			const other = world.ioas();
			world.map(other);
			return () => world.attach(file, other);
		}),
		"to a PASID": allocates((world) => {
			const { file, plain } = pasids(world);
			return () => world.attach(file, plain, 5);
		}),
		"to a PASID, in place of another table": allocates((world) => {
			const { file, other } = pasids(world, true);
			return () => world.attach(file, other, 5);
		}),
	},
	deviceDetachIommufdPt: {
		"": nothing((world) => {
			const { file, ioas } = attached(world);
			world.map(ioas, LARGE);
			return () => world.detach(file);
		}),
		"of a PASID": nothing((world) => {
			const { file } = pasids(world, true);
			return () => world.detach(file, 5);
		}),
	},
	deviceGetInfo: {
		"": nothing((world) => {
			const file = world.bound();
			world.process.write(STRUCTS, Uint8Array.of(24, 0, 0, 0));
			return () => world.done(file.ioctl(VFIO.deviceGetInfo, STRUCTS));
		}),
	},
	// there is none to tell of, to set or to reset
	deviceGetRegionInfo: { "": refused },
	deviceGetIrqInfo: { "": refused },
	deviceSetIrqs: { "": refused },
	deviceReset: { "": refused },
	deviceGetPciHotResetInfo: { "": refused },
	devicePciHotReset: { "": refused },
	deviceIoeventfd: { "": refused },
	deviceFeature: { "": refused },
	iommuEnable: { "": refused },
	iommuDisable: { "": refused },
	iommuDirtyPages: { "": refused },
};

/** Commands that change page tables of the hardware. */
const TABLE_CASES: Readonly<Record<string, Record<string, Case>>> = {
	ioas_map: {
		"into two tables": allocates((world) => {
			const { ioas } = attached(world);
			world.command("hwpt_alloc", { dev_id: world.door.deviceId(world.device), pt_id: ioas });
			return () => world.map(ioas, LARGE);
		}),
	},
	ioas_unmap: {
		"of pages and large pages": nothing((world) => {
			const { ioas } = attached(world);
			world.map(ioas, LARGE);
			world.map(ioas, 0x3000n, IOVA + LARGE);
			return () => world.command("ioas_unmap", { ioas_id: ioas, iova: 0n, length: (1n << 64n) - 1n });
		}),
	},
	hwpt_alloc: {
		"with areas to fill in": allocates((world) => {
			const { ioas } = attached(world);
			world.map(ioas, LARGE);
			return () => world.command("hwpt_alloc", { flags: 1, dev_id: world.door.deviceId(world.device), pt_id: ioas });
		}),
	},
	hwpt_set_dirty_tracking: {
		"splits large pages": allocates((world) => {
			const { file, ioas } = attached(world);
			const table = world.command("hwpt_alloc", { flags: 2, dev_id: world.door.deviceId(world.device), pt_id: ioas }).out_hwpt_id;
			world.attach(file, table);
			world.map(ioas, LARGE);
			return () => world.command("hwpt_set_dirty_tracking", { flags: 1, hwpt_id: table });
		}),
	},
	hwpt_get_dirty_bitmap: {
		"of an area": nothing((world) => {
			const { file, ioas } = attached(world);
			const table = world.command("hwpt_alloc", { flags: 2, dev_id: world.door.deviceId(world.device), pt_id: ioas }).out_hwpt_id;
			world.attach(file, table);
			world.map(ioas);
			world.command("hwpt_set_dirty_tracking", { flags: 1, hwpt_id: table });
			return () => world.command("hwpt_get_dirty_bitmap", { hwpt_id: table, iova: IOVA, length: 0x3000n, page_size: 4096n, data: STRUCTS + 0x1000n });
		}),
	},
};

type Run = [kind: Kind, name: string, one: Case];
const named = (table: Readonly<Record<string, Record<string, Case>>>) => Object.entries(table).flatMap(([name, cases]) => Object.entries(cases).map(([what, one]): [string, Case] => [`${name} ${what}`.trim(), one]));
const ALL = [...named(VFIO_CASES), ...named(TABLE_CASES)];
const runs = (allocates: Case["allocates"]): Run[] => KINDS.flatMap((kind) => ALL.filter(([, one]) => one.allocates === allocates).map(([name, one]): Run => [kind, name, one]));

function end(world: HardwareWorld, frames: number): void {
	world.machine.failures.failAfter(0);
	world.process.exit();
	expect([world.machine.framesPinned, world.machine.framesUsed, world.door.objects.describe(), world.dma(IOVA)]).toEqual([0, 0, [], "host"]);
	// root, context and PASID tables of a device stay once made
	expect(world.engine.framesUsed).toBeLessThanOrEqual(frames);
}

describe("each allocation fails in turn", () => {
	it.each(runs("always"))("over %s of %s", (kind, _, { setUp }) => {
		// what stays once made is made by a first round
		const frames = (() => {
			const world = new HardwareWorld(kind);
			setUp(world)();
			return world.engine.framesUsed;
		})();
		const world = new HardwareWorld(kind);
		const act = setUp(world);
		// frames come in blocks, or are refused before the first of several
		failEach(world, act);
		end(world, frames);
	});

	it.each(runs("nothing"))("over %s of %s: there is none", (kind, _, { setUp }) => {
		const world = new HardwareWorld(kind);
		const act = setUp(world);
		world.machine.failures.failAfter(0);
		act();
		expect(world.machine.failures.allocations).toBe(0);
		end(world, world.engine.framesUsed);
	});

	it.each(ALL.filter(([, one]) => one.allocates === "refused"))("%s is refused before anything is allocated", (name) => {
		const world = new HardwareWorld("vtd");
		const cmd = VFIO[name as keyof typeof VFIO];
		const file = name.startsWith("device") ? world.bound() : world.iommufd;
		world.process.write(STRUCTS, Uint8Array.of(64, 0, 0, 0));
		world.machine.failures.failAfter(0);
		expect(file.ioctl(cmd, STRUCTS)).toBeLessThan(0);
		expect(world.machine.failures.allocations).toBe(0);
	});
});

it("a container of the other door cuts a large page, or changes nothing", () => {
	const ram = { start: 1n << 32n, size: 1n << 28n };
	const { engine, units } = createUnits([{ name: "vtd", kind: "vtd" }], { memory: [{ kind: "sparse", ...ram }], sparsePages: 64 });
	const machine = new Machine(engine, units, ram);
	const process = machine.createProcess("main");
	process.map(MEMORY, LARGE);
	const device = machine.addDevice({ rid: 8, driver: drivers["vfio-pci"] });
	const container = new VfioContainer(machine);
	container.setContainer(device.group);
	container.setIommu("type1");
	container.vfioMap(process, IOVA, MEMORY, LARGE, { read: true, write: true });
	const dump = () => [engine.framesUsed, machine.framesPinned, process.locked, ...[0n, 0x1000n, 0x2000n].map((at) => machine.dma(device, null, IOVA + at))];
	const state = dump();
	let failed = 0;
	for (let n = 1; ; n++) {
		machine.failures.failAfter(n);
		try {
			expect(container.vfioUnmap(IOVA + 0x1000n, 0x1000n)).toBe(0x1000n);
			break;
		} catch (error) {
			expect([error instanceof DoorError, (error as DoorError).errno]).toEqual([true, "ENOMEM"]);
			expect(dump()).toEqual(state);
			failed++;
		}
		expect(n).toBeLessThan(10);
	}
	expect(failed).toBeGreaterThan(0);
	expect(machine.dma(device, null, IOVA + 0x1000n).kind).toBe("fault");
	expect(machine.framesPinned).toBe(Number(LARGE / 0x1000n) - 1);
});
