/** Structs of the iommufd commands: linux/iommufd.h. `size` of each is the caller's sizeof. */
import { array, s32, struct, u8, u16, u32, u64, union } from "./struct.ts";

export const iovaRange = struct("iommu_iova_range", { start: u64, last: u64 });

export const destroy = struct("iommu_destroy", { size: u32, id: u32 });
export const ioasAlloc = struct("iommu_ioas_alloc", { size: u32, flags: u32, out_ioas_id: u32 });
export const ioasAllowIovas = struct("iommu_ioas_allow_iovas", { size: u32, ioas_id: u32, num_iovas: u32, rsvd: u32, allowed_iovas: u64 });
export const ioasCopy = struct("iommu_ioas_copy", { size: u32, flags: u32, dst_ioas_id: u32, src_ioas_id: u32, length: u64, dst_iova: u64, src_iova: u64 });
export const ioasIovaRanges = struct("iommu_ioas_iova_ranges", { size: u32, ioas_id: u32, num_iovas: u32, rsvd: u32, allowed_iovas: u64, out_iova_alignment: u64 });
export const ioasMap = struct("iommu_ioas_map", { size: u32, flags: u32, ioas_id: u32, rsvd: u32, user_va: u64, length: u64, iova: u64 });
export const ioasUnmap = struct("iommu_ioas_unmap", { size: u32, ioas_id: u32, iova: u64, length: u64 });
export const option = struct("iommu_option", { size: u32, option_id: u32, op: u16, rsvd: u16, object_id: u32, val64: u64 });
export const vfioIoas = struct("iommu_vfio_ioas", { size: u32, ioas_id: u32, op: u16, rsvd: u16 });
export const hwptAlloc = struct("iommu_hwpt_alloc", {
	size: u32,
	flags: u32,
	dev_id: u32,
	pt_id: u32,
	out_hwpt_id: u32,
	rsvd: u32,
	data_type: u32,
	data_len: u32,
	data_uptr: u64,
	fault_id: u32,
	rsvd2: u32,
});
export const hwInfo = struct("iommu_hw_info", {
	size: u32,
	flags: u32,
	dev_id: u32,
	data_len: u32,
	data_uptr: u64,
	data_type: union({ in: u32, out: u32 }),
	out_max_pasid_log2: u8,
	rsvd: array(u8, 3),
	out_capabilities: u64,
});
export const hwptSetDirtyTracking = struct("iommu_hwpt_set_dirty_tracking", { size: u32, flags: u32, hwpt_id: u32, rsvd: u32 });
export const hwptGetDirtyBitmap = struct("iommu_hwpt_get_dirty_bitmap", { size: u32, hwpt_id: u32, flags: u32, rsvd: u32, iova: u64, length: u64, page_size: u64, data: u64 });
export const hwptInvalidate = struct("iommu_hwpt_invalidate", { size: u32, hwpt_id: u32, data_uptr: u64, data_type: u32, entry_len: u32, entry_num: u32, rsvd: u32 });
export const faultAlloc = struct("iommu_fault_alloc", { size: u32, flags: u32, out_fault_id: u32, out_fault_fd: u32 });
export const ioasMapFile = struct("iommu_ioas_map_file", { size: u32, flags: u32, ioas_id: u32, fd: s32, start: u64, length: u64, iova: u64 });
export const viommuAlloc = struct("iommu_viommu_alloc", {
	size: u32,
	flags: u32,
	type: u32,
	dev_id: u32,
	hwpt_id: u32,
	out_viommu_id: u32,
	data_len: u32,
	rsvd: u32,
	data_uptr: u64,
});
export const vdeviceAlloc = struct("iommu_vdevice_alloc", { size: u32, viommu_id: u32, dev_id: u32, out_vdevice_id: u32, virt_id: u64 });
export const ioasChangeProcess = struct("iommu_ioas_change_process", { size: u32, rsvd: u32 });
export const veventqAlloc = struct("iommu_veventq_alloc", {
	size: u32,
	flags: u32,
	viommu_id: u32,
	type: u32,
	veventq_depth: u32,
	out_veventq_id: u32,
	out_veventq_fd: u32,
	rsvd: u32,
});
export const hwQueueAlloc = struct("iommu_hw_queue_alloc", {
	size: u32,
	flags: u32,
	viommu_id: u32,
	type: u32,
	index: u32,
	out_hw_queue_id: u32,
	nesting_parent_iova: u64,
	length: u64,
});

/** flags of IOAS_MAP, IOAS_MAP_FILE and IOAS_COPY */
export const MAP_FLAGS = { fixed: 1, writeable: 2, readable: 4 } as const;
export const OPTION = { rlimitMode: 0, hugePages: 1 } as const;
export const OPTION_OP = { set: 0, get: 1 } as const;
export const VFIO_IOAS_OP = { get: 0, set: 1, clear: 2 } as const;
export const HWPT_FLAGS = { nestParent: 1, dirtyTracking: 2, faultIdValid: 4, pasid: 8 } as const;
export const HW_INFO_FLAGS = { inputType: 1 } as const;
export const HW_CAPS = { dirtyTracking: 1n, pasidExec: 2n, pasidPriv: 4n, atsNotSupported: 8n } as const;
export const DIRTY_FLAGS = { enable: 1 } as const;
export const DIRTY_BITMAP_FLAGS = { noClear: 1 } as const;
