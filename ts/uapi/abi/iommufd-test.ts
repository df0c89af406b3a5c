/** The test command 0xa0 of the kernel's selftest and the data of its mock driver: drivers/iommu/iommufd/iommufd_test.h. */
import { s32, struct, u32, u64, union } from "./struct.ts";

const stdev = { out_stdev_id: u32, out_hwpt_id: u32, out_idev_id: u32 };

/** What the union holds, by operation; `id` of the command is said beside each. */
const operations = {
	/** id: IOAS */
	add_reserved: struct("add_reserved", { start: u64, length: u64 }),
	/** id: IOAS or table */
	mock_domain: struct("mock_domain", stdev),
	/** id: IOAS or table */
	mock_domain_flags: struct("mock_domain_flags", { ...stdev, dev_flags: u32 }),
	/** id: mock device */
	mock_domain_replace: struct("mock_domain_replace", { pt_id: u32 }),
	/** id: table */
	check_map: struct("check_map", { iova: u64, length: u64, uptr: u64 }),
	check_refs: struct("check_refs", { length: u64, uptr: u64, refs: u32 }),
	/** id: IOAS */
	create_access: struct("create_access", { out_access_fd: u32, flags: u32 }),
	/** id: descriptor of an access */
	destroy_access_pages: struct("destroy_access_pages", { access_pages_id: u32 }),
	/** id: descriptor of an access */
	access_pages: struct("access_pages", { flags: u32, out_access_pages_id: u32, iova: u64, length: u64, uptr: u64 }),
	/** id: descriptor of an access */
	access_rw: struct("access_rw", { iova: u64, length: u64, uptr: u64, flags: u32 }),
	memory_limit: struct("memory_limit", { limit: u32 }),
	/** id: descriptor of an access */
	access_replace_ioas: struct("access_replace_ioas", { ioas_id: u32 }),
	/** id: table */
	dirty: struct("dirty", { flags: u32, iova: u64, length: u64, page_size: u64, uptr: u64, out_nr_dirty: u64 }),
	/** id: nested table */
	check_iotlb: struct("check_iotlb", { id: u32, iotlb: u32 }),
	trigger_iopf: struct("trigger_iopf", { dev_id: u32, pasid: u32, grpid: u32, perm: u32, addr: u64 }),
	/** id: device */
	check_dev_cache: struct("check_dev_cache", { id: u32, cache: u32 }),
	trigger_vevent: struct("trigger_vevent", { dev_id: u32 }),
	/** id: mock device, of the four with a PASID */
	pasid_attach: struct("pasid_attach", { pasid: u32, pt_id: u32 }),
	pasid_replace: struct("pasid_replace", { pasid: u32, pt_id: u32 }),
	pasid_detach: struct("pasid_detach", { pasid: u32 }),
	pasid_check: struct("pasid_check", { pasid: u32, hwpt_id: u32 }),
	/** the descriptor is what the ioctl returns */
	dmabuf_get: struct("dmabuf_get", { length: u32, open_flags: u32 }),
	dmabuf_revoke: struct("dmabuf_revoke", { dmabuf_fd: s32, revoked: u32 }),
};

export const testCmd = struct("iommu_test_cmd", { size: u32, op: u32, id: u32, rsvd: u32, u: union(operations), last: u32 });

/** `op` of each member of the union */
export const TEST_OP = {
	add_reserved: 1,
	mock_domain: 2,
	check_map: 3,
	check_refs: 4,
	create_access: 5,
	destroy_access_pages: 6,
	access_pages: 7,
	access_rw: 8,
	memory_limit: 9,
	mock_domain_replace: 10,
	access_replace_ioas: 11,
	mock_domain_flags: 12,
	dirty: 13,
	check_iotlb: 14,
	trigger_iopf: 15,
	check_dev_cache: 16,
	trigger_vevent: 17,
	pasid_attach: 18,
	pasid_replace: 19,
	pasid_detach: 20,
	pasid_check: 21,
	dmabuf_get: 22,
	dmabuf_revoke: 23,
} as const satisfies Record<keyof typeof operations, number>;

export const testHwInfo = struct("iommu_test_hw_info", { flags: u32, test_reg: u32 });
export const hwptSelftest = struct("iommu_hwpt_selftest", { iotlb: u32, pagetable_type: u32 });
export const hwptInvalidateSelftest = struct("iommu_hwpt_invalidate_selftest", { flags: u32, iotlb_id: u32 });
export const viommuInvalidateSelftest = struct("iommu_viommu_invalidate_selftest", { flags: u32, vdev_id: u32, cache_id: u32 });
export const viommuSelftest = struct("iommu_viommu_selftest", { in_data: u32, out_data: u32, out_mmap_offset: u64, out_mmap_length: u64 });
export const veventSelftest = struct("iommu_viommu_event_selftest", { virt_id: u32 });

export const MOCK_FLAGS = { noDirty: 1, hugeIova: 2, pasid: 4 } as const;
export const ACCESS_FLAGS = { write: 1, slowPath: 4, syz: 0x10000 } as const;
export const CREATE_ACCESS_FLAGS = { needsPinPages: 1 } as const;
export const SELFTEST_INVALIDATE_FLAGS = { all: 1 } as const;
export const PAGETABLE_TYPE = { default: 0, huge: 1 } as const;

/** Numbers that the mock driver answers to. */
export const MOCK = {
	apertureStart: 0x100_0000n,
	apertureLast: 0x7fff_ffffn,
	/** half a host page */
	pageSize: 2048n,
	hugePageSize: 512n * 2048n,
	iotlbEntries: 4,
	iotlbDefault: 0xbadbeef,
	cacheEntries: 4,
	cacheDefault: 0xbaddad,
	pasidBits: 20,
	/** every second attach of it fails */
	faultyPasid: 1024,
	hwInfoType: 0xfeedbeef,
	hwInfoReg: 0xdeadbeef,
	hwptData: 0xdead,
	invalidateData: 0xdeadbeef,
	invalidateDataInvalid: 0xdadbeef,
	viommuType: 0xdeadbeef,
	hwQueueType: 0xdeadbeef,
	hwQueues: 2,
	veventqType: 0xbeefbeef,
	/** what a user may map of a virtual IOMMU */
	regionSize: 0x2000n,
	memoryLimit: 65536,
} as const;
