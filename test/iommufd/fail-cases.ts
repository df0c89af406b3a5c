/** Commands whose allocations are failed in turn, each with the state before it. */
import type { CommandName } from "../../ts/uapi/abi/commands.ts";
import { MOCK } from "../../ts/uapi/abi/iommufd-test.ts";
import { type Case, allocates, data, guest, mapped, nested, nothing, pinned, tracked, virtual } from "./fail-states.ts";
import { APERTURE, FIXED, RW } from "./world.ts";

export const COMMAND_CASES: Readonly<Record<Exclude<CommandName, "test">, Record<string, Case>>> = {
	destroy: {
		"a space with areas": nothing((world) => {
			const ioas = world.ioas();
			mapped(world, ioas);
			return () => world.client.destroy({ id: ioas });
		}),
		"a table with pages pinned": nothing((world) => {
			const { table, ioas } = tracked(world);
			mapped(world, ioas, APERTURE + 0x8000n);
			return () => world.client.destroy({ id: table });
		}),
		"a device": nothing((world) => {
			const { stdev } = world.mock(world.ioas());
			return () => world.client.destroy({ id: stdev });
		}),
	},
	ioas_alloc: { "a space": allocates((world) => () => world.ioas()) },
	ioas_allow_iovas: {
		"two ranges": nothing((world) => {
			const ioas = world.ioas();
			const ranges = new Uint8Array(new BigUint64Array([0x1000n, 0x2fffn, 0x8000n, 0x8fffn]).buffer);
			return () => world.client.ioasAllowIovas({ ioas_id: ioas, num_iovas: 2, allowed_iovas: ranges });
		}),
	},
	ioas_copy: {
		"two areas": allocates((world) => {
			const { ioas } = nested(world);
			const target = world.ioas();
			world.mock(target);
			mapped(world, ioas);
			mapped(world, ioas, APERTURE + 0x3000n);
			return () => world.client.ioasCopy({ flags: RW | FIXED, dst_ioas_id: target, src_ioas_id: ioas, length: 0x6000n, dst_iova: APERTURE, src_iova: APERTURE });
		}),
	},
	ioas_iova_ranges: {
		"holes of a device": nothing((world) => {
			const { ioas } = nested(world);
			return () => world.client.ioasIovaRanges({ ioas_id: ioas, num_iovas: 4, allowed_iovas: new Uint8Array(64) });
		}),
	},
	ioas_map: {
		"without a table": allocates((world) => {
			const ioas = world.ioas();
			return () => mapped(world, ioas);
		}),
		"into two tables": allocates((world) => {
			const { ioas } = nested(world);
			return () => mapped(world, ioas);
		}),
		"page by page": allocates((world) => {
			const { ioas } = nested(world);
			world.client.option({ option_id: 1, op: 0, object_id: ioas, val64: 0n });
			return () => mapped(world, ioas);
		}),
	},
	ioas_unmap: {
		"areas in tables": nothing((world) => {
			const { ioas } = nested(world);
			mapped(world, ioas);
			mapped(world, ioas, APERTURE + 0x8000n);
			return () => world.client.ioasUnmap({ ioas_id: ioas, iova: APERTURE, length: 0x10000n });
		}),
		"areas that an access lets go": nothing((world) => {
			const { ioas } = pinned(world);
			return () => world.client.ioasUnmap({ ioas_id: ioas, iova: 0n, length: (1n << 64n) - 1n });
		}),
	},
	option: {
		"accounting": nothing((world) => () => world.client.option({ option_id: 0, op: 0, val64: 1n })),
		"no large pages": nothing((world) => {
			const ioas = world.ioas();
			mapped(world, ioas);
			return () => world.client.option({ option_id: 1, op: 0, object_id: ioas, val64: 0n });
		}),
	},
	vfio_ioas: {
		"all three": nothing((world) => {
			const ioas = world.ioas();
			return () => {
				for (const op of [1, 0, 2]) world.client.vfioIoas({ op, ioas_id: ioas });
			};
		}),
	},
	hwpt_alloc: {
		"a table of a space": allocates((world) => {
			const { ioas, device } = nested(world);
			mapped(world, ioas);
			return () => world.client.hwptAlloc({ flags: 2, dev_id: device.dev, pt_id: ioas });
		}),
		"a table with a fault queue": allocates((world) => {
			const { ioas, device } = nested(world);
			const fault_id = world.client.faultQueueAlloc({}).out_fault_id as number;
			return () => world.client.hwptAlloc({ flags: 4, dev_id: device.dev, pt_id: ioas, fault_id });
		}),
		"a user's table": allocates((world) => {
			const { device, parent } = nested(world);
			return () => world.client.hwptAlloc({ dev_id: device.dev, pt_id: parent, data_type: MOCK.hwptData, data_len: 8, data_uptr: data(1) });
		}),
		"a user's table over a virtual IOMMU": allocates((world) => {
			const { device, viommu } = virtual(world);
			return () => world.client.hwptAlloc({ dev_id: device.dev, pt_id: viommu, data_type: MOCK.hwptData, data_len: 8, data_uptr: data(1) });
		}),
	},
	get_hw_info: {
		"with a buffer": nothing((world) => {
			const { device } = nested(world);
			return () => world.client.getHwInfo({ dev_id: device.dev, data_len: 8, data_uptr: new Uint8Array(8) });
		}),
	},
	hwpt_set_dirty_tracking: {
		"on and off": nothing((world) => {
			const { table } = tracked(world);
			return () => {
				for (const flags of [1, 0]) world.client.hwptSetDirtyTracking({ flags, hwpt_id: table });
			};
		}),
	},
	hwpt_get_dirty_bitmap: {
		"of an area": nothing((world) => {
			const { table } = tracked(world);
			return () => world.client.hwptGetDirtyBitmap({ hwpt_id: table, iova: APERTURE, length: 0x3000n, page_size: 2048n, data: new Uint8Array(8) });
		}),
	},
	hwpt_invalidate: {
		"a user's table": nothing((world) => {
			const { hwpt } = guest(world);
			return () => world.client.hwptInvalidate({ hwpt_id: hwpt, data_type: MOCK.invalidateData, entry_len: 8, entry_num: 2, data_uptr: new Uint8Array(16) });
		}),
	},
	fault_queue_alloc: { "a queue": allocates((world) => () => world.client.faultQueueAlloc({})) },
	ioas_map_file: {
		"into two tables": allocates((world) => {
			const { ioas } = nested(world);
			const fd = world.memfd(0x4000n);
			return () => world.client.ioasMapFile({ flags: RW, ioas_id: ioas, fd, start: 0n, length: 0x4000n });
		}),
	},
	viommu_alloc: {
		"with a region": allocates((world) => {
			const { device, parent } = nested(world);
			return () => world.client.viommuAlloc({ type: MOCK.viommuType, dev_id: device.dev, hwpt_id: parent, data_len: 24, data_uptr: new Uint8Array(24) });
		}),
	},
	vdevice_alloc: {
		"a number": allocates((world) => {
			const { viommu, device } = virtual(world);
			return () => world.client.vdeviceAlloc({ viommu_id: viommu, dev_id: device.dev, virt_id: 9n });
		}),
	},
	ioas_change_process: {
		"two files": nothing((world) => {
			const { ioas } = nested(world);
			for (let i = 0; i < 2; i++) world.client.ioasMapFile({ flags: RW, ioas_id: ioas, fd: world.memfd(0x2000n), start: 0n, length: 0x2000n });
			return () => world.client.ioasChangeProcess({});
		}),
	},
	veventq_alloc: {
		"a queue": allocates((world) => {
			const { viommu } = virtual(world);
			return () => world.client.veventqAlloc({ viommu_id: viommu, type: MOCK.veventqType, veventq_depth: 2 });
		}),
	},
	hw_queue_alloc: {
		"the second of two": allocates((world) => {
			const { viommu, ioas } = virtual(world);
			mapped(world, ioas);
			const queue = (index: number) => world.client.hwQueueAlloc({ viommu_id: viommu, type: MOCK.hwQueueType, index, nesting_parent_iova: APERTURE, length: 0x1000n });
			queue(0);
			return () => queue(1);
		}),
	},
};
