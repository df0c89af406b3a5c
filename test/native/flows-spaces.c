/* Flows on address spaces, accesses and tables. */
#include "flow.h"

void framing(void)
{
	int fd = opened();
	struct { struct iommu_ioas_alloc cmd; char tail[64]; } big = { .cmd = { .size = sizeof(big) } };
	CHECK(ioctl(fd, IOMMU(0x81), &big) == 0 && big.cmd.out_ioas_id == 1);
	big.tail[63] = 1;
	FAILS(E2BIG, ioctl(fd, IOMMU(0x81), &big));
	big.cmd.size = 11;
	FAILS(EINVAL, ioctl(fd, IOMMU(0x81), &big));
	big.cmd = (struct iommu_ioas_alloc){ .size = 12, .flags = 1 };
	FAILS(EOPNOTSUPP, ioctl(fd, IOMMU(0x81), &big));
	void *bad[] = { NULL, (void *)8, (void *)-1l, (void *)-4096l, (void *)(1ul << 63), (void *)0x123456789abcdef0ul };
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) FAILS(EFAULT, ioctl(fd, IOMMU(0x81), bad[i]));
	/* a struct that reaches over the last byte of memory, and one that ends with it */
	char *page = buffer(PAGE);
	*(u32 *)(page + PAGE - 8) = 12;
	FAILS(EFAULT, ioctl(fd, IOMMU(0x81), page + PAGE - 8));
	*(struct iommu_ioas_alloc *)(page + PAGE - 12) = (struct iommu_ioas_alloc){ .size = 12 };
	CHECK(ioctl(fd, IOMMU(0x81), page + PAGE - 12) == 0 && *(u32 *)(page + PAGE - 4) == 2);
	/* memory that the program may only read: the object is taken back */
	struct iommu_ioas_alloc *fixed = (void *)page;
	*fixed = (struct iommu_ioas_alloc){ .size = 12 };
	CHECK(mprotect(page, PAGE, PROT_READ) == 0);
	FAILS(EFAULT, ioctl(fd, IOMMU(0x81), fixed));
	CHECK(mprotect(page, PAGE, PROT_READ | PROT_WRITE) == 0);
	CHECK(ioctl(fd, IOMMU(0x81), fixed) == 0 && fixed->out_ioas_id == 3);
	/* the kernel takes 32 bits of the number, whatever is above them */
	CHECK(ioctl(fd, 0xffffffff00000000ul | IOMMU(0x81), fixed) == 0 && fixed->out_ioas_id == 4);
	FAILS(ENOTTY, ioctl(fd, (unsigned long)(int)0xc0083b81, fixed));
	FAILS(ENOTTY, ioctl(fd, IOMMU(0x9f), fixed));
	FAILS(EINVAL, read(fd, page, 1));
	FAILS(EINVAL, write(fd, page, 1));
	FAILS(EBADF, ioctl(777, IOMMU(0x81), fixed));
	FAILS(ENOENT, open("/dev/vfio/nothing", O_RDWR));
	CHECK(close(fd) == 0);
	FAILS(EBADF, close(fd));
}

void maps(void)
{
	int fd = opened();
	u32 ioas = ioas_alloc(fd);
	struct iommu_test_cmd dev = mock(fd, ioas);
	char *memory = buffer(4 * PAGE);
	CHECK(map(fd, ioas, memory, 3 * PAGE, MOCK_APERTURE) == 0);
	struct iommu_test_cmd check = { .check_map = { MOCK_APERTURE, 3 * PAGE, (uintptr_t)memory } };
	CHECK(test(fd, &check, OP_CHECK_MAP, dev.mock_domain.out_hwpt_id) == 0);
	check.check_map.uptr += PAGE;
	FAILS(EINVAL, test(fd, &check, OP_CHECK_MAP, dev.mock_domain.out_hwpt_id));
	CHECK(refs(fd, memory, 3 * PAGE, 1) == 0 && refs(fd, memory + 3 * PAGE, PAGE, 0) == 0);
	FAILS(EEXIST, map(fd, ioas, memory, PAGE, MOCK_APERTURE));
	/* the fifth page is not there: nothing of the map stays */
	FAILS(EFAULT, map(fd, ioas, memory, 5 * PAGE, MOCK_APERTURE + 0x100000));
	FAILS(EFAULT, map(fd, ioas, (void *)0x1000, PAGE, MOCK_APERTURE + 0x100000));
	FAILS(EOVERFLOW, map(fd, ioas, (void *)-4096l, 2 * PAGE, MOCK_APERTURE + 0x100000));
	FAILS(EFAULT, map(fd, ioas, (void *)(1ul << 63), PAGE, MOCK_APERTURE + 0x100000));
	CHECK(mprotect(memory + 3 * PAGE, PAGE, PROT_READ) == 0);
	FAILS(EFAULT, map(fd, ioas, memory + 3 * PAGE, PAGE, MOCK_APERTURE + 0x100000));
	CHECK(refs(fd, memory, 3 * PAGE, 1) == 0 && refs(fd, memory + 3 * PAGE, PAGE, 0) == 0);
	/* a chosen address; the struct has it */
	struct iommu_ioas_map any = { .size = sizeof(any), .flags = MAP_READABLE, .ioas_id = ioas, .user_va = (uintptr_t)memory + 3 * PAGE, .length = PAGE };
	CHECK(ioctl(fd, IOMMU(0x85), &any) == 0 && any.iova >= MOCK_APERTURE && any.iova != MOCK_APERTURE);
	/* a part of an area stops an unmap; what lies before it is gone, the length is not told */
	struct iommu_ioas_unmap cmd = { .size = sizeof(cmd), .ioas_id = ioas, .iova = MOCK_APERTURE, .length = PAGE };
	FAILS(ENOENT, ioctl(fd, IOMMU(0x86), &cmd));
	CHECK(cmd.length == PAGE);
	cmd.iova = 0, cmd.length = -1ull;
	CHECK(ioctl(fd, IOMMU(0x86), &cmd) == 0 && cmd.length == 4 * PAGE);
	CHECK(refs(fd, memory, 4 * PAGE, 0) == 0);
	/* an array that is too short is filled as far as it goes */
	struct iommu_iova_range ranges[2] = { { 7, 7 }, { 7, 7 } };
	struct iommu_ioas_iova_ranges list = { .size = sizeof(list), .ioas_id = ioas, .num_iovas = 0, .allowed_iovas = (uintptr_t)ranges };
	FAILS(EMSGSIZE, ioctl(fd, IOMMU(0x84), &list));
	CHECK(list.num_iovas == 1 && ranges[0].start == 7);
	CHECK(ioctl(fd, IOMMU(0x84), &list) == 0 && ranges[0].start == MOCK_APERTURE && ranges[0].last == 0x7fffffff && ranges[1].start == 7);
	FAILS(EBUSY, destroy(fd, ioas));
	CHECK(destroy(fd, dev.mock_domain.out_stdev_id) == 0 && destroy(fd, ioas) == 0);
	close(fd);
}

void accesses(void)
{
	int fd = opened();
	u32 ioas = ioas_alloc(fd);
	char *memory = buffer(2 * PAGE), local[64];
	CHECK(map(fd, ioas, memory, 2 * PAGE, MOCK_APERTURE) == 0);
	struct iommu_test_cmd cmd = { .create_access = { .flags = 1 } };
	CHECK(test(fd, &cmd, OP_CREATE_ACCESS, ioas) == 0);
	int access = cmd.create_access.out_access_fd;
	CHECK(access > fd);
	strcpy(memory + PAGE - 4, "over the border");
	cmd = (struct iommu_test_cmd){ .access_rw = { MOCK_APERTURE + PAGE - 4, 16, (uintptr_t)local, 0 } };
	CHECK(test(fd, &cmd, OP_ACCESS_RW, access) == 0 && !strcmp(local, "over the border"));
	strcpy(local, "back");
	cmd.access_rw.flags = 1;
	CHECK(test(fd, &cmd, OP_ACCESS_RW, access) == 0 && !strcmp(memory + PAGE - 4, "back"));
	/* pages afresh, through the machine's physical memory */
	strcpy(memory + 8, "slow");
	cmd = (struct iommu_test_cmd){ .access_rw = { MOCK_APERTURE + 8, 5, (uintptr_t)local, 4 } };
	CHECK(test(fd, &cmd, OP_ACCESS_RW, access) == 0 && !strcmp(local, "slow"));
	cmd.access_rw.uptr = 8;
	FAILS(EFAULT, test(fd, &cmd, OP_ACCESS_RW, access));
	cmd = (struct iommu_test_cmd){ .access_rw = { MOCK_APERTURE + 2 * PAGE - 1, 2, (uintptr_t)local, 0 } };
	FAILS(ENOENT, test(fd, &cmd, OP_ACCESS_RW, access));
	cmd = (struct iommu_test_cmd){ .access_pages = { 1, 0, MOCK_APERTURE, 2 * PAGE, (uintptr_t)memory } };
	CHECK(test(fd, &cmd, OP_ACCESS_PAGES, access) == 0);
	u32 pin = cmd.access_pages.out_access_pages_id;
	CHECK(refs(fd, memory, 2 * PAGE, 1) == 0);
	cmd.access_pages.uptr += PAGE;
	FAILS(EBADE, test(fd, &cmd, OP_ACCESS_PAGES, access));
	cmd = (struct iommu_test_cmd){ .destroy_pages = { pin } };
	CHECK(test(fd, &cmd, OP_DESTROY_PAGES, access) == 0 && refs(fd, memory, 2 * PAGE, 0) == 0);
	FAILS(ENOENT, test(fd, &cmd, OP_DESTROY_PAGES, access));
	FAILS(EBADF, test(fd, &cmd, OP_DESTROY_PAGES, (u32)-1));
	FAILS(EBADFD, test(fd, &cmd, OP_DESTROY_PAGES, fd));
	FAILS(EBUSY, destroy(fd, ioas));
	CHECK(close(access) == 0 && destroy(fd, ioas) == 0);
	close(fd);
}

void nested(void)
{
	int fd = opened();
	u32 ioas = ioas_alloc(fd);
	struct iommu_test_cmd dev = mock(fd, ioas);
	u32 id = dev.mock_domain.out_idev_id, parent = hwpt(fd, 1, id, ioas, 0, 0, NULL, 0);
	u32 data[2] = { 0xbadbeef, 0 };
	u32 table = hwpt(fd, 0, id, parent, 0, 0xdead, data, 4);
	struct iommu_test_cmd tlb = { .check_iotlb = { 2, 0xbadbeef } };
	CHECK(test(fd, &tlb, OP_CHECK_IOTLB, table) == 0);
	/* the third entry names nothing: two are done, and the number says so */
	struct { u32 flags, id; } entries[4] = { { 0, 0 }, { 0, 2 }, { 0, 9 }, { 0, 1 } };
	struct iommu_hwpt_invalidate cmd = { .size = sizeof(cmd), .hwpt_id = table, .data_uptr = (uintptr_t)entries, .data_type = 0xdeadbeef, .entry_len = 8, .entry_num = 4 };
	FAILS(EINVAL, ioctl(fd, IOMMU(0x8d), &cmd));
	CHECK(cmd.entry_num == 2);
	tlb.check_iotlb.iotlb = 0;
	CHECK(test(fd, &tlb, OP_CHECK_IOTLB, table) == 0);
	tlb.check_iotlb.id = 1, tlb.check_iotlb.iotlb = 0xbadbeef;
	CHECK(test(fd, &tlb, OP_CHECK_IOTLB, table) == 0);
	/* an array whose second entry is not memory */
	char *page = buffer(PAGE);
	cmd.data_uptr = (uintptr_t)page + PAGE - 8, cmd.entry_num = 2;
	FAILS(EFAULT, ioctl(fd, IOMMU(0x8d), &cmd));
	CHECK(cmd.entry_num == 1);
	FAILS(EBUSY, destroy(fd, parent));
	close(fd);
}
