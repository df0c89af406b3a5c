/** Each allocation on the way of each command fails in turn: a typed error, and everything is as before. */
import { describe, expect, it } from "vitest";
import { MOCK } from "../../ts/uapi/abi/iommufd-test.ts";
import { Errno } from "../../ts/uapi/errno.ts";
import { APERTURE, FIXED, MEMORY, RW, World } from "./world.ts";

/** What stands before the command, and the command. */
type Case = (world: World) => () => unknown;

const selftestData = (value: number) => Uint8Array.of(value & 255, 0, 0, 0, 0, 0, 0, 0);
const nested = (world: World) => {
	const ioas = world.ioas();
	const device = world.mock(ioas, 4);
	const parent = world.client.hwptAlloc({ flags: 1, dev_id: device.dev, pt_id: ioas }).out_hwpt_id as number;
	return { ioas, device, parent };
};
const virtual = (world: World) => {
	const made = nested(world);
	const viommu = world.client.viommuAlloc({ type: MOCK.viommuType, dev_id: made.device.dev, hwpt_id: made.parent }).out_viommu_id as number;
	return { ...made, viommu };
};
const mapped = (world: World, ioas: number, iova = APERTURE, length = 0x3000n) => world.client.ioasMap({ flags: RW | FIXED, ioas_id: ioas, user_va: MEMORY, length, iova });

const CASES: Record<string, Case> = {
	ioas_alloc: (world) => () => world.ioas(),
	ioas_map_without_table: (world) => {
		const ioas = world.ioas();
		return () => mapped(world, ioas);
	},
	ioas_map_into_two_tables: (world) => {
		const { ioas } = nested(world);
		return () => mapped(world, ioas);
	},
	ioas_map_file: (world) => {
		const { ioas } = nested(world);
		const fd = world.memfd(0x4000n);
		return () => world.client.ioasMapFile({ flags: RW, ioas_id: ioas, fd, start: 0n, length: 0x4000n });
	},
	ioas_copy_of_two_areas: (world) => {
		const { ioas } = nested(world);
		const target = world.ioas();
		world.mock(target);
		mapped(world, ioas);
		mapped(world, ioas, APERTURE + 0x3000n);
		return () => world.client.ioasCopy({ flags: RW | FIXED, dst_ioas_id: target, src_ioas_id: ioas, length: 0x6000n, dst_iova: APERTURE, src_iova: APERTURE });
	},
	attach_makes_a_table: (world) => {
		const ioas = world.ioas();
		mapped(world, ioas);
		mapped(world, ioas, APERTURE + 0x8000n);
		return () => world.mock(ioas);
	},
	attach_joins_a_table: (world) => {
		const { ioas } = nested(world);
		return () => world.mock(ioas);
	},
	replace_to_another_space: (world) => {
		const { device } = nested(world);
		const other = world.ioas();
		mapped(world, other);
		return () => world.test("mock_domain_replace", { id: device.stdev, u: { mock_domain_replace: { pt_id: other } } });
	},
	hwpt_alloc: (world) => {
		const { ioas, device } = nested(world);
		mapped(world, ioas);
		return () => world.client.hwptAlloc({ flags: 2, dev_id: device.dev, pt_id: ioas });
	},
	hwpt_alloc_nested: (world) => {
		const { device, parent } = nested(world);
		return () => world.client.hwptAlloc({ dev_id: device.dev, pt_id: parent, data_type: MOCK.hwptData, data_len: 8, data_uptr: selftestData(1) });
	},
	pasid_attach: (world) => {
		const { ioas, device } = nested(world);
		const table = world.client.hwptAlloc({ flags: 8, dev_id: device.dev, pt_id: ioas }).out_hwpt_id as number;
		world.test("mock_domain_replace", { id: device.stdev, u: { mock_domain_replace: { pt_id: table } } });
		return () => world.test("pasid_attach", { id: device.stdev, u: { pasid_attach: { pasid: 5, pt_id: table } } });
	},
	fault_queue_alloc: (world) => () => world.client.faultQueueAlloc({}),
	viommu_alloc_with_region: (world) => {
		const { device, parent } = nested(world);
		return () => world.client.viommuAlloc({ type: MOCK.viommuType, dev_id: device.dev, hwpt_id: parent, data_len: 24, data_uptr: new Uint8Array(24) });
	},
	vdevice_alloc: (world) => {
		const { viommu, device } = virtual(world);
		return () => world.client.vdeviceAlloc({ viommu_id: viommu, dev_id: device.dev, virt_id: 9n });
	},
	veventq_alloc: (world) => {
		const { viommu } = virtual(world);
		return () => world.client.veventqAlloc({ viommu_id: viommu, type: MOCK.veventqType, veventq_depth: 2 });
	},
	hw_queue_alloc: (world) => {
		const { viommu, ioas } = virtual(world);
		mapped(world, ioas);
		return () => world.client.hwQueueAlloc({ viommu_id: viommu, type: MOCK.hwQueueType, index: 0, nesting_parent_iova: APERTURE, length: 0x1000n });
	},
	create_access: (world) => {
		const ioas = world.ioas();
		return () => world.test("create_access", { id: ioas, u: { create_access: { flags: 1 } } });
	},
	access_pages: (world) => {
		const ioas = world.ioas();
		mapped(world, ioas);
		mapped(world, ioas, APERTURE + 0x3000n);
		const fd = world.test("create_access", { id: ioas, u: { create_access: { flags: 1 } } }).u?.create_access?.out_access_fd as number;
		return () => world.test("access_pages", { id: fd, u: { access_pages: { iova: APERTURE, length: 0x6000n } } });
	},
	access_replace_ioas: (world) => {
		const ioas = world.ioas();
		const other = world.ioas();
		const fd = world.test("create_access", { id: ioas, u: { create_access: { flags: 1 } } }).u?.create_access?.out_access_fd as number;
		return () => world.test("access_replace_ioas", { id: fd, u: { access_replace_ioas: { ioas_id: other } } });
	},
	trigger_iopf: (world) => {
		const { ioas, device } = nested(world);
		const queue = world.client.faultQueueAlloc({}).out_fault_id as number;
		const table = world.client.hwptAlloc({ flags: 4, dev_id: device.dev, pt_id: ioas, fault_id: queue }).out_hwpt_id as number;
		world.test("mock_domain_replace", { id: device.stdev, u: { mock_domain_replace: { pt_id: table } } });
		return () => world.test("trigger_iopf", { u: { trigger_iopf: { dev_id: device.dev, grpid: 1, perm: 1 } } });
	},
	add_reserved: (world) => {
		const ioas = world.ioas();
		return () => world.test("add_reserved", { id: ioas, u: { add_reserved: { start: 0x5000n, length: 0x1000n } } });
	},
};

describe("each allocation fails in turn", () => {
	// pages that a process touches for the first time stay with it when what follows fails
	const runs = Object.keys(CASES).flatMap((name) => [true, false].map((touched): [string, boolean] => [name, touched]));
	it.each(runs)("of %s, memory touched before: %s", (name, touched) => {
		const world = new World(touched);
		const act = CASES[name](world);
		const { failures } = world.machine;
		const before = world.dump();
		let failed = 0;
		for (let n = 1; ; n++) {
			failures.failAfter(n);
			try {
				act();
				break;
			} catch (error) {
				expect(error).toBeInstanceOf(Errno);
				expect((error as Errno).code).toBe("ENOMEM");
				expect(failures.allocations).toBe(n);
				failures.failAfter(0);
				expect(world.dump()).toEqual(before);
				failed++;
			}
			expect(n).toBeLessThan(60);
		}
		failures.failAfter(0);
		expect(failed).toBeGreaterThan(0);
		world.process.exit();
		expect([world.machine.framesPinned, world.machine.framesUsed, world.file.objects.describe(), world.selftest.iommu.tableCount]).toEqual([0, 0, [], 0]);
	});
});

describe("a caller whose struct cannot be written", () => {
	/** commands that give nothing back, and the kernel's replace, which stands */
	const silent = ["replace_to_another_space", "pasid_attach", "access_replace_ioas", "trigger_iopf", "add_reserved"];
	it.each(Object.keys(CASES).filter((name) => !silent.includes(name)))("gets EFAULT and nothing of %s", (name) => {
		const world = new World(true);
		const act = CASES[name](world);
		const before = world.dump();
		const call = world.file.call.bind(world.file);
		world.file.call = (command, given) =>
			call(command, {
				...given,
				respond() {
					throw new Errno("EFAULT", "no struct");
				},
			});
		expect(act).toThrow("EFAULT");
		expect(world.dump()).toEqual(before);
	});
});
