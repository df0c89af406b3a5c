/** States that a failed allocation is to leave as they are, and how cases say what they allocate. */
import { MOCK } from "../../ts/uapi/abi/iommufd-test.ts";
import { APERTURE, FIXED, MEMORY, RW, type World } from "./world.ts";

export interface Case {
	/** "untouched": only frames of memory that nobody has touched yet */
	readonly allocates: "always" | "untouched" | "nothing";
	/** makes the state before, and gives the call */
	readonly setUp: (world: World) => () => unknown;
}

export const allocates = (setUp: Case["setUp"]): Case => ({ allocates: "always", setUp });
export const fresh = (setUp: Case["setUp"]): Case => ({ allocates: "untouched", setUp });
export const nothing = (setUp: Case["setUp"]): Case => ({ allocates: "nothing", setUp });

export const data = (value: number) => Uint8Array.of(value & 255, 0, 0, 0, 0, 0, 0, 0);
export const nested = (world: World) => {
	const ioas = world.ioas();
	const device = world.mock(ioas, 4);
	const parent = world.client.hwptAlloc({ flags: 1, dev_id: device.dev, pt_id: ioas }).out_hwpt_id as number;
	return { ioas, device, parent };
};
export const guest = (world: World) => {
	const made = nested(world);
	const hwpt = world.client.hwptAlloc({ dev_id: made.device.dev, pt_id: made.parent, data_type: MOCK.hwptData, data_len: 8, data_uptr: data(1) }).out_hwpt_id as number;
	return { ...made, hwpt };
};
export const virtual = (world: World) => {
	const made = nested(world);
	const viommu = world.client.viommuAlloc({ type: MOCK.viommuType, dev_id: made.device.dev, hwpt_id: made.parent }).out_viommu_id as number;
	return { ...made, viommu };
};
/** a device on a virtual IOMMU with a queue of events */
export const reporting = (world: World) => {
	const made = virtual(world);
	world.client.vdeviceAlloc({ viommu_id: made.viommu, dev_id: made.device.dev, virt_id: 9n });
	const hwpt = world.client.hwptAlloc({ dev_id: made.device.dev, pt_id: made.viommu, data_type: MOCK.hwptData, data_len: 8, data_uptr: data(1) }).out_hwpt_id as number;
	replace(world, made.device.stdev, hwpt);
	const queue = world.client.veventqAlloc({ viommu_id: made.viommu, type: MOCK.veventqType, veventq_depth: 2 });
	return { ...made, hwpt, fd: queue.out_veventq_fd as number };
};
export const mapped = (world: World, ioas: number, iova = APERTURE, length = 0x3000n) => world.client.ioasMap({ flags: RW | FIXED, ioas_id: ioas, user_va: MEMORY, length, iova });
export const replace = (world: World, id: number, pt_id: number) => world.test("mock_domain_replace", { id, u: { mock_domain_replace: { pt_id } } });
export const access = (world: World, ioas: number, flags = 1) => world.test("create_access", { id: ioas, u: { create_access: { flags } } }).u?.create_access?.out_access_fd as number;
/** an access with pinned pages */
export const pinned = (world: World) => {
	const ioas = world.ioas();
	mapped(world, ioas);
	const fd = access(world, ioas);
	const pin = world.test("access_pages", { id: fd, u: { access_pages: { iova: APERTURE, length: 0x2000n } } }).u?.access_pages?.out_access_pages_id as number;
	return { ioas, fd, pin };
};
/** tables that may stand beside PASIDs, one of them under the device */
export const pasids = (world: World) => {
	const { ioas, device } = nested(world);
	const table = () => world.client.hwptAlloc({ flags: 8, dev_id: device.dev, pt_id: ioas }).out_hwpt_id as number;
	const [plain, other] = [table(), table()];
	replace(world, device.stdev, plain);
	return { id: device.stdev, plain, other };
};
export const onPasid = (world: World) => {
	const made = pasids(world);
	world.test("pasid_attach", { id: made.id, u: { pasid_attach: { pasid: 5, pt_id: made.plain } } });
	return made;
};
export const tracked = (world: World) => {
	const { ioas, device } = nested(world);
	mapped(world, ioas);
	const table = world.client.hwptAlloc({ flags: 2, dev_id: device.dev, pt_id: ioas }).out_hwpt_id as number;
	world.client.hwptSetDirtyTracking({ flags: 1, hwpt_id: table });
	return { ioas, device, table };
};
export const faulting = (world: World) => {
	const { ioas, device } = nested(world);
	const made = world.client.faultQueueAlloc({});
	const table = world.client.hwptAlloc({ flags: 4, dev_id: device.dev, pt_id: ioas, fault_id: made.out_fault_id as number }).out_hwpt_id as number;
	replace(world, device.stdev, table);
	return { device, fd: made.out_fault_fd as number };
};
export const request = (world: World, dev_id: number) => world.test("trigger_iopf", { u: { trigger_iopf: { dev_id, grpid: 1, perm: 1 } } });
