/* What <linux/iommufd.h> and the newer <linux/vfio.h> define; Debian 12's headers are older than both. */
#include <stdint.h>

typedef uint32_t u32;
typedef uint64_t u64;
#define IOMMU(nr) (0x3b00 + (nr))

struct iommu_destroy { u32 size, id; };
struct iommu_ioas_alloc { u32 size, flags, out_ioas_id; };
struct iommu_iova_range { u64 start, last; };
struct iommu_ioas_iova_ranges { u32 size, ioas_id, num_iovas, reserved; u64 allowed_iovas, out_iova_alignment; };
struct iommu_ioas_map { u32 size, flags, ioas_id, reserved; u64 user_va, length, iova; };
struct iommu_ioas_unmap { u32 size, ioas_id; u64 iova, length; };
struct iommu_hwpt_alloc { u32 size, flags, dev_id, pt_id, out_hwpt_id, reserved, data_type, data_len; u64 data_uptr; u32 fault_id, reserved2; };
struct iommu_hw_info { u32 size, flags, dev_id, data_len; u64 data_uptr; u32 out_data_type; uint8_t out_max_pasid_log2, reserved[3]; u64 out_capabilities; };
struct iommu_hwpt_set_dirty_tracking { u32 size, flags, hwpt_id, reserved; };
struct iommu_hwpt_get_dirty_bitmap { u32 size, hwpt_id, flags, reserved; u64 iova, length, page_size, data; };
struct iommu_hwpt_invalidate { u32 size, hwpt_id; u64 data_uptr; u32 data_type, entry_len, entry_num, reserved; };
struct iommu_fault_alloc { u32 size, flags, out_fault_id, out_fault_fd; };
struct iommu_hwpt_pgfault { u32 flags, dev_id, pasid, grpid, perm, reserved; u64 addr; u32 length, cookie; };
struct iommu_hwpt_page_response { u32 cookie, code; };
struct iommu_viommu_alloc { u32 size, flags, type, dev_id, hwpt_id, out_viommu_id, data_len, reserved; u64 data_uptr; };
struct iommu_vdevice_alloc { u32 size, viommu_id, dev_id, out_vdevice_id; u64 virt_id; };
struct iommu_veventq_alloc { u32 size, flags, viommu_id, type, veventq_depth, out_veventq_id, out_veventq_fd, reserved; };

enum { MAP_FIXED_IOVA = 1, MAP_WRITEABLE = 2, MAP_READABLE = 4 };

struct device_bind_iommufd { u32 argsz, flags; int32_t iommufd; u32 out_devid; };
struct device_attach_iommufd_pt { u32 argsz, flags, pt_id, pasid; };
struct device_detach_iommufd_pt { u32 argsz, flags, pasid; };
#define DEVICE_BIND_IOMMUFD 0x3b76
#define DEVICE_ATTACH_IOMMUFD_PT 0x3b77
#define DEVICE_DETACH_IOMMUFD_PT 0x3b78

/* the test command */
struct iommu_test_cmd {
	u32 size, op, id, reserved;
	union {
		struct { u32 out_stdev_id, out_hwpt_id, out_idev_id, dev_flags; } mock_domain;
		struct { u32 pt_id; } replace;
		struct { u64 iova, length, uptr; } check_map;
		struct { u64 length, uptr; u32 refs; } check_refs;
		struct { u32 out_access_fd, flags; } create_access;
		struct { u32 access_pages_id; } destroy_pages;
		struct { u32 flags, out_access_pages_id; u64 iova, length, uptr; } access_pages;
		struct { u64 iova, length, uptr; u32 flags; } access_rw;
		struct { u32 flags; u64 iova, length, page_size, uptr, out_nr_dirty; } dirty;
		struct { u32 id, iotlb; } check_iotlb;
		struct { u32 dev_id, pasid, grpid, perm; u64 addr; } trigger_iopf;
		struct { u32 dev_id; } trigger_vevent;
		u64 room[6];
	};
	u32 last;
};
#define IOMMU_TEST IOMMU(0xa0)
enum { OP_CHECK_MAP = 3, OP_CHECK_REFS, OP_CREATE_ACCESS, OP_DESTROY_PAGES, OP_ACCESS_PAGES, OP_ACCESS_RW, OP_REPLACE = 10, OP_MOCK_DOMAIN_FLAGS = 12, OP_DIRTY, OP_CHECK_IOTLB, OP_TRIGGER_IOPF, OP_TRIGGER_VEVENT = 17 };
#define MOCK_APERTURE 0x1000000ull
