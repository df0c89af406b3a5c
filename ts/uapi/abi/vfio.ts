/** Structs of the VFIO container (type1), group and device (cdev) calls: linux/vfio.h. `argsz` of each is the caller's size. */
import { array, flexible, s32, struct, u8, u16, u32, u64 } from "./struct.ts";

// capability chains: `next` counts from the start of the struct that the chain belongs to, 0 ends it
export const infoCapHeader = struct("vfio_info_cap_header", { id: u16, version: u16, next: u32 });

// container
export const iommuType1Info = struct("vfio_iommu_type1_info", { argsz: u32, flags: u32, iova_pgsizes: u64, cap_offset: u32, pad: u32 });
export const iovaRange = struct("vfio_iova_range", { start: u64, end: u64 });
export const iommuType1InfoCapIovaRange = struct("vfio_iommu_type1_info_cap_iova_range", { header: infoCapHeader, nr_iovas: u32, reserved: u32, iova_ranges: flexible(iovaRange) });
export const iommuType1InfoCapMigration = struct("vfio_iommu_type1_info_cap_migration", { header: infoCapHeader, flags: u32, pgsize_bitmap: u64, max_dirty_bitmap_size: u64 });
export const iommuType1InfoDmaAvail = struct("vfio_iommu_type1_info_dma_avail", { header: infoCapHeader, avail: u32 });
export const iommuType1DmaMap = struct("vfio_iommu_type1_dma_map", { argsz: u32, flags: u32, vaddr: u64, iova: u64, size: u64 });
export const iommuType1DmaUnmap = struct("vfio_iommu_type1_dma_unmap", { argsz: u32, flags: u32, iova: u64, size: u64, data: flexible(u8) });
export const bitmap = struct("vfio_bitmap", { pgsize: u64, size: u64, data: u64 });
export const iommuType1DirtyBitmap = struct("vfio_iommu_type1_dirty_bitmap", { argsz: u32, flags: u32, data: flexible(u8) });
export const iommuType1DirtyBitmapGet = struct("vfio_iommu_type1_dirty_bitmap_get", { iova: u64, size: u64, bitmap });

// group
export const groupStatus = struct("vfio_group_status", { argsz: u32, flags: u32 });

// device
export const deviceInfo = struct("vfio_device_info", { argsz: u32, flags: u32, num_regions: u32, num_irqs: u32, cap_offset: u32, pad: u32 });
export const regionInfo = struct("vfio_region_info", { argsz: u32, flags: u32, index: u32, cap_offset: u32, size: u64, offset: u64 });
export const regionSparseMmapArea = struct("vfio_region_sparse_mmap_area", { offset: u64, size: u64 });
export const regionInfoCapSparseMmap = struct("vfio_region_info_cap_sparse_mmap", { header: infoCapHeader, nr_areas: u32, reserved: u32, areas: flexible(regionSparseMmapArea) });
export const regionInfoCapType = struct("vfio_region_info_cap_type", { header: infoCapHeader, type: u32, subtype: u32 });
export const irqInfo = struct("vfio_irq_info", { argsz: u32, flags: u32, index: u32, count: u32 });
export const irqSet = struct("vfio_irq_set", { argsz: u32, flags: u32, index: u32, start: u32, count: u32, data: flexible(u8) });
/** `id` is the group's number, or the device's in the caller's iommufd */
export const pciDependentDevice = struct("vfio_pci_dependent_device", { id: u32, segment: u16, bus: u8, devfn: u8 });
export const pciHotResetInfo = struct("vfio_pci_hot_reset_info", { argsz: u32, flags: u32, count: u32, devices: flexible(pciDependentDevice) });
export const pciHotReset = struct("vfio_pci_hot_reset", { argsz: u32, flags: u32, count: u32, group_fds: flexible(s32) });
export const deviceIoeventfd = struct("vfio_device_ioeventfd", { argsz: u32, flags: u32, offset: u64, data: u64, fd: s32, reserved: u32 });
export const deviceFeature = struct("vfio_device_feature", { argsz: u32, flags: u32, data: flexible(u8) });
/** older callers end with `out_devid` */
export const deviceBindIommufd = struct("vfio_device_bind_iommufd", { argsz: u32, flags: u32, iommufd: s32, out_devid: u32, token_uuid_ptr: u64 });
/** older callers end with `pt_id` */
export const deviceAttachIommufdPt = struct("vfio_device_attach_iommufd_pt", { argsz: u32, flags: u32, pt_id: u32, pasid: u32 });
/** older callers end with `flags` */
export const deviceDetachIommufdPt = struct("vfio_device_detach_iommufd_pt", { argsz: u32, flags: u32, pasid: u32 });
/** data of the feature PCI_VF_TOKEN */
export const vfToken = struct("vf_token", { uuid: array(u8, 16) });

/** Numbers: type ';', base 100. Some are shared: which one is meant depends on the file. */
const BASE = 0x3b64;
export const VFIO = {
	getApiVersion: BASE,
	checkExtension: BASE + 1,
	setIommu: BASE + 2,
	groupGetStatus: BASE + 3,
	groupSetContainer: BASE + 4,
	groupUnsetContainer: BASE + 5,
	groupGetDeviceFd: BASE + 6,
	deviceGetInfo: BASE + 7,
	deviceGetRegionInfo: BASE + 8,
	deviceGetIrqInfo: BASE + 9,
	deviceSetIrqs: BASE + 10,
	deviceReset: BASE + 11,
	deviceGetPciHotResetInfo: BASE + 12,
	devicePciHotReset: BASE + 13,
	deviceIoeventfd: BASE + 16,
	deviceFeature: BASE + 17,
	deviceBindIommufd: BASE + 18,
	deviceAttachIommufdPt: BASE + 19,
	deviceDetachIommufdPt: BASE + 20,
	iommuGetInfo: BASE + 12,
	iommuMapDma: BASE + 13,
	iommuUnmapDma: BASE + 14,
	iommuEnable: BASE + 15,
	iommuDisable: BASE + 16,
	iommuDirtyPages: BASE + 17,
} as const;

export const VFIO_API_VERSION = 0;
export const EXTENSION = { type1: 1, type1v2: 3, dmaCc: 4, nesting: 6, noIommu: 8, unmapAll: 9, updateVaddr: 10 } as const;
export const TYPE1_INFO_FLAGS = { pgsizes: 1, caps: 2 } as const;
export const TYPE1_CAP = { iovaRange: { id: 1, version: 1 }, migration: { id: 2, version: 1 }, dmaAvail: { id: 3, version: 1 } } as const;
export const DMA_MAP_FLAGS = { read: 1, write: 2, vaddr: 4 } as const;
export const DMA_UNMAP_FLAGS = { getDirtyBitmap: 1, all: 2, vaddr: 4 } as const;
export const GROUP_FLAGS = { viable: 1, containerSet: 2 } as const;
export const DEVICE_FLAGS = { reset: 1, pci: 2, platform: 4, amba: 8, ccw: 16, ap: 32, fslMc: 64, caps: 128, cdx: 256 } as const;
/** `mask`: which feature */
export const FEATURE_FLAGS = { mask: 0xffff, get: 1 << 16, set: 1 << 17, probe: 1 << 18 } as const;
export const ATTACH_FLAGS = { pasid: 1 } as const;
export const DETACH_FLAGS = { pasid: 1 } as const;
