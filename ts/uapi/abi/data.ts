/** Structs that iommufd commands point to and that its queue files carry, by architecture: linux/iommufd.h. */
import { array, struct, u8, u32, u64 } from "./struct.ts";

// GET_HW_INFO
export const hwInfoVtd = struct("iommu_hw_info_vtd", { flags: u32, rsvd: u32, cap_reg: u64, ecap_reg: u64 });
export const hwInfoSmmuv3 = struct("iommu_hw_info_arm_smmuv3", { flags: u32, rsvd: u32, idr: array(u32, 6), iidr: u32, aidr: u32 });
export const hwInfoTegra241Cmdqv = struct("iommu_hw_info_tegra241_cmdqv", { flags: u32, version: u8, log2vcmdqs: u8, log2vsids: u8, rsvd: u8 });
export const hwInfoAmd = struct("iommu_hw_info_amd", { efr: u64, efr2: u64 });
export const HW_INFO_TYPE = { none: 0, vtd: 1, smmuv3: 2, tegra241Cmdqv: 3, amd: 4 } as const;
export const HW_INFO_VTD_FLAGS = { erratum772415: 1 } as const;

// HWPT_ALLOC: a nested table
export const hwptVtdS1 = struct("iommu_hwpt_vtd_s1", { flags: u64, pgtbl_addr: u64, addr_width: u32, rsvd: u32 });
/** words 0 and 1 of a stream table entry */
export const hwptSmmuv3 = struct("iommu_hwpt_arm_smmuv3", { ste: array(u64, 2) });
/** a guest's device table entry */
export const hwptAmdGuest = struct("iommu_hwpt_amd_guest", { dte: array(u64, 4) });
export const HWPT_DATA = { none: 0, vtdS1: 1, smmuv3: 2, amdGuest: 3 } as const;
export const HWPT_VTD_S1_FLAGS = { sre: 1n, eafe: 2n, wpe: 4n } as const;

// HWPT_INVALIDATE: elements of the array
export const hwptVtdS1Invalidate = struct("iommu_hwpt_vtd_s1_invalidate", { addr: u64, npages: u64, flags: u32, rsvd: u32 });
/** one command of a guest's queue */
export const viommuSmmuv3Invalidate = struct("iommu_viommu_arm_smmuv3_invalidate", { cmd: array(u64, 2) });
export const INVALIDATE_DATA = { vtdS1: 0, smmuv3: 1 } as const;
export const VTD_S1_INVALIDATE_FLAGS = { leaf: 1 } as const;

// VIOMMU_ALLOC, HW_QUEUE_ALLOC
export const viommuTegra241Cmdqv = struct("iommu_viommu_tegra241_cmdqv", { out_vintf_mmap_offset: u64, out_vintf_mmap_length: u64 });
export const VIOMMU_TYPE = { default: 0, smmuv3: 1, tegra241Cmdqv: 2 } as const;
export const HW_QUEUE_TYPE = { default: 0, tegra241Cmdqv: 1 } as const;

// fault queue file
export const pgfault = struct("iommu_hwpt_pgfault", { flags: u32, dev_id: u32, pasid: u32, grpid: u32, perm: u32, rsvd: u32, addr: u64, length: u32, cookie: u32 });
export const pageResponse = struct("iommu_hwpt_page_response", { cookie: u32, code: u32 });
export const PGFAULT_FLAGS = { pasidValid: 1, lastPage: 2 } as const;
export const PGFAULT_PERM = { read: 1, write: 2, exec: 4, priv: 8 } as const;
export const PAGE_RESPONSE = { success: 0, invalid: 1 } as const;

// virtual event queue file: the header, then the event of the queue's type
export const veventHeader = struct("iommufd_vevent_header", { flags: u32, sequence: u32 });
/** an event record with the virtual stream id */
export const veventSmmuv3 = struct("iommu_vevent_arm_smmuv3", { evt: array(u64, 4) });
export const veventTegra241Cmdqv = struct("iommu_vevent_tegra241_cmdqv", { lvcmdq_err_map: array(u64, 2) });
export const VEVENT_FLAGS = { lostEvents: 1 } as const;
export const VEVENTQ_TYPE = { default: 0, smmuv3: 1, tegra241Cmdqv: 2 } as const;
