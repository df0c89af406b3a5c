/* A program written for the kernel's iommufd and VFIO: flows whose answers it checks by itself. One line for each flow. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "abi.h"

#define PAGE 4096ul
extern int ioasid_dma(const char *name, u64 iova, void *buffer, u64 length, int write) __attribute__((weak));

static jmp_buf failed;
#define CHECK(what) \
	do { \
		if (!(what)) { \
			printf("     line %d: %s (errno %d, %s)\n", __LINE__, #what, errno, strerror(errno)); \
			longjmp(failed, 1); \
		} \
	} while (0)
#define FAILS(code, call) CHECK((errno = 0, (call) == -1 && errno == (code)))

/* memory of three pages with nothing around it */
static char *buffer(size_t size)
{
	char *room = mmap(NULL, size + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(room != MAP_FAILED);
	CHECK(mprotect(room + PAGE, size, PROT_READ | PROT_WRITE) == 0);
	return room + PAGE;
}

static u32 ioas_alloc(int fd)
{
	struct iommu_ioas_alloc cmd = { .size = sizeof(cmd) };
	CHECK(ioctl(fd, IOMMU(0x81), &cmd) == 0);
	return cmd.out_ioas_id;
}
static int map(int fd, u32 ioas, void *at, u64 length, u64 iova)
{
	struct iommu_ioas_map cmd = { .size = sizeof(cmd), .flags = MAP_FIXED_IOVA | MAP_WRITEABLE | MAP_READABLE, .ioas_id = ioas, .user_va = (uintptr_t)at, .length = length, .iova = iova };
	return ioctl(fd, IOMMU(0x85), &cmd);
}
static int test(int fd, struct iommu_test_cmd *cmd, u32 op, u32 id)
{
	cmd->size = sizeof(*cmd);
	cmd->op = op;
	cmd->id = id;
	return ioctl(fd, IOMMU_TEST, cmd);
}
static struct iommu_test_cmd mock(int fd, u32 pt)
{
	struct iommu_test_cmd cmd = { 0 };
	CHECK(test(fd, &cmd, OP_MOCK_DOMAIN_FLAGS, pt) == 0);
	return cmd;
}
static int refs(int fd, void *at, u64 length, u32 count)
{
	struct iommu_test_cmd cmd = { .check_refs = { .uptr = (uintptr_t)at, .length = length, .refs = count } };
	return test(fd, &cmd, OP_CHECK_REFS, 0);
}
static u32 hwpt(int fd, u32 flags, u32 dev, u32 pt, u32 fault, u32 type, void *data, u32 length)
{
	struct iommu_hwpt_alloc cmd = { .size = sizeof(cmd), .flags = flags, .dev_id = dev, .pt_id = pt, .fault_id = fault, .data_type = type, .data_uptr = (uintptr_t)data, .data_len = length };
	CHECK(ioctl(fd, IOMMU(0x89), &cmd) == 0);
	return cmd.out_hwpt_id;
}
static void replace(int fd, u32 stdev, u32 pt)
{
	struct iommu_test_cmd cmd = { .replace = { pt } };
	CHECK(test(fd, &cmd, OP_REPLACE, stdev) == 0);
}
static int destroy(int fd, u32 id)
{
	struct iommu_destroy cmd = { sizeof(cmd), id };
	return ioctl(fd, IOMMU(0x80), &cmd);
}
static int opened(void)
{
	int fd = open("/dev/iommu", O_RDWR);
	CHECK(fd > 2);
	return fd;
}

static void framing(void)
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

static void maps(void)
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

static void accesses(void)
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

static void nested(void)
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

static void faults(void)
{
	int fd = opened();
	u32 ioas = ioas_alloc(fd);
	struct iommu_test_cmd dev = mock(fd, ioas);
	struct iommu_fault_alloc queue = { .size = sizeof(queue) };
	CHECK(ioctl(fd, IOMMU(0x8e), &queue) == 0);
	int events = queue.out_fault_fd;
	replace(fd, dev.mock_domain.out_stdev_id, hwpt(fd, 4, dev.mock_domain.out_idev_id, ioas, queue.out_fault_id, 0, NULL, 0));
	struct pollfd list = { events, POLLIN | POLLOUT, 0 };
	CHECK(poll(&list, 1, 0) == 1 && list.revents == POLLOUT);
	struct iommu_hwpt_pgfault record[2];
	CHECK(read(events, record, sizeof(record)) == 0);
	FAILS(ESPIPE, read(events, record, 39));
	FAILS(EINVAL, read(events, record, (size_t)1 << 63));
	struct iommu_test_cmd cmd = { .trigger_iopf = { dev.mock_domain.out_idev_id, 0, 2, 3, 0xdeadbeaf } };
	CHECK(test(fd, &cmd, OP_TRIGGER_IOPF, 0) == 0);
	CHECK(poll(&list, 1, -1) == 1 && list.revents == (POLLIN | POLLOUT));
	FAILS(EFAULT, read(events, (void *)8, 40));
	CHECK(read(events, record, 80) == 40);
	CHECK(record[0].flags == 2 && record[0].dev_id == dev.mock_domain.out_idev_id && record[0].grpid == 2 && record[0].perm == 3 && record[0].addr == 0xdeadbeaf && record[0].cookie == 1);
	struct iommu_hwpt_page_response answer[2] = { { 1, 0 }, { 77, 0 } };
	FAILS(ESPIPE, write(events, answer, 7));
	CHECK(write(events, answer, 16) == 8);
	FAILS(EINVAL, write(events, answer, 8));
	/* a child makes the event that this one waits for */
	list.events = POLLIN;
	CHECK(poll(&list, 1, 20) == 0);
	pid_t child = fork();
	if (child == 0) {
		usleep(50000);
		_exit(test(fd, &cmd, OP_TRIGGER_IOPF, 0) == 0 ? 0 : 1);
	}
	CHECK(poll(&list, 1, 10000) == 1 && list.revents == POLLIN);
	int status;
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	/* beside a file of the program's own */
	int own[2];
	CHECK(pipe(own) == 0);
	struct pollfd both[2] = { { own[0], POLLIN, 0 }, { events, POLLIN, 0 } };
	CHECK(poll(both, 2, 1000) == 1 && both[0].revents == 0 && both[1].revents == POLLIN);
	CHECK(destroy(fd, queue.out_fault_id) == -1 && errno == EBUSY);
	close(own[0]), close(own[1]), close(events), close(fd);
}

static void events(void)
{
	int fd = opened();
	u32 ioas = ioas_alloc(fd);
	struct iommu_test_cmd dev = mock(fd, ioas);
	u32 id = dev.mock_domain.out_idev_id, parent = hwpt(fd, 1, id, ioas, 0, 0, NULL, 0);
	struct { u32 in, out; u64 offset, length; } data = { .in = 0x1234 };
	struct iommu_viommu_alloc viommu = { .size = sizeof(viommu), .type = 0xdeadbeef, .dev_id = id, .hwpt_id = parent, .data_len = sizeof(data), .data_uptr = (uintptr_t)&data };
	CHECK(ioctl(fd, IOMMU(0x90), &viommu) == 0 && data.out == 0x1234 && data.length == 2 * PAGE);
	/* its region is shared memory */
	FAILS(EINVAL, (long)mmap(NULL, data.length, PROT_READ, MAP_PRIVATE, fd, data.offset));
	FAILS(ENXIO, (long)mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, data.offset));
	u32 *region = mmap(NULL, data.length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, data.offset);
	CHECK(region != MAP_FAILED && region[0] == 0x1234);
	FAILS(EBUSY, destroy(fd, viommu.out_viommu_id));
	/* what is written there is read through a space that maps it */
	u32 word = 0;
	struct iommu_test_cmd access = { .create_access = { .flags = 0 } };
	CHECK(map(fd, ioas, region, PAGE, MOCK_APERTURE) == 0 && test(fd, &access, OP_CREATE_ACCESS, ioas) == 0);
	int reader = access.create_access.out_access_fd;
	region[1] = 0x5678;
	access = (struct iommu_test_cmd){ .access_rw = { MOCK_APERTURE + 4, 4, (uintptr_t)&word, 4 } };
	CHECK(test(fd, &access, OP_ACCESS_RW, reader) == 0 && word == 0x5678 && close(reader) == 0);
	CHECK(munmap(region, data.length) == 0);
	struct iommu_vdevice_alloc vdevice = { .size = sizeof(vdevice), .viommu_id = viommu.out_viommu_id, .dev_id = id, .virt_id = 9 };
	CHECK(ioctl(fd, IOMMU(0x91), &vdevice) == 0);
	u32 tlb[2] = { 1, 0 };
	replace(fd, dev.mock_domain.out_stdev_id, hwpt(fd, 0, id, viommu.out_viommu_id, 0, 0xdead, tlb, 8));
	struct iommu_veventq_alloc queue = { .size = sizeof(queue), .viommu_id = viommu.out_viommu_id, .type = 0xbeefbeef, .veventq_depth = 1 };
	CHECK(ioctl(fd, IOMMU(0x93), &queue) == 0);
	struct iommu_test_cmd cmd = { .trigger_vevent = { id } };
	CHECK(test(fd, &cmd, OP_TRIGGER_VEVENT, 0) == 0 && test(fd, &cmd, OP_TRIGGER_VEVENT, 0) == 0);
	/* the queue holds one: the second is told as lost */
	u32 words[8];
	CHECK(read(queue.out_veventq_fd, words, sizeof(words)) == 20);
	CHECK(words[0] == 0 && words[1] == 0 && words[2] == 9 && words[3] == 1 && words[4] == 1);
	FAILS(EBADF, ioctl(-1, IOMMU(0x81), words));
	close(queue.out_veventq_fd), close(fd);
}

static void dirty(void)
{
	int fd = opened();
	u32 ioas = ioas_alloc(fd);
	struct iommu_test_cmd dev = mock(fd, ioas);
	u32 table = hwpt(fd, 2, dev.mock_domain.out_idev_id, ioas, 0, 0, NULL, 0);
	char *memory = buffer(16 * PAGE), *bitmap = buffer(PAGE);
	CHECK(map(fd, ioas, memory, 16 * PAGE, MOCK_APERTURE) == 0);
	struct iommu_hwpt_set_dirty_tracking track = { .size = sizeof(track), .flags = 1, .hwpt_id = table };
	CHECK(ioctl(fd, IOMMU(0x8b), &track) == 0);
	unsigned char marks[2] = { 0x81, 0x40 };
	struct iommu_test_cmd cmd = { .dirty = { 0, MOCK_APERTURE, 16 * PAGE, PAGE, (uintptr_t)marks, 0 } };
	CHECK(test(fd, &cmd, OP_DIRTY, table) == 0 && cmd.dirty.out_nr_dirty == 3);
	/* bits are added to an array that may lie anywhere; one that is no memory loses none of them */
	struct iommu_hwpt_get_dirty_bitmap get = { .size = sizeof(get), .hwpt_id = table, .iova = MOCK_APERTURE, .length = 16 * PAGE, .page_size = PAGE, .data = (uintptr_t)bitmap + PAGE - 1 };
	FAILS(EFAULT, ioctl(fd, IOMMU(0x8c), &get));
	CHECK((unsigned char)bitmap[PAGE - 1] == 0x81);
	get.data = (uintptr_t)bitmap + PAGE - 3;
	bitmap[PAGE - 3] = 2, bitmap[PAGE - 1] = 0;
	CHECK(ioctl(fd, IOMMU(0x8c), &get) == 0);
	CHECK((unsigned char)bitmap[PAGE - 3] == 0x83 && (unsigned char)bitmap[PAGE - 2] == 0x40 && bitmap[PAGE - 1] == 0);
	memset(bitmap, 0, PAGE);
	CHECK(ioctl(fd, IOMMU(0x8c), &get) == 0 && bitmap[PAGE - 3] == 0 && bitmap[PAGE - 2] == 0);
	close(fd);
}

static void device(void)
{
	int fd = opened(), cdev = open("/dev/vfio/devices/vfio0", O_RDWR);
	struct device_bind_iommufd bind = { .argsz = sizeof(bind), .iommufd = -1 };
	FAILS(EINVAL, ioctl(cdev, DEVICE_BIND_IOMMUFD, &bind));
	bind.iommufd = fd;
	CHECK(ioctl(cdev, DEVICE_BIND_IOMMUFD, &bind) == 0);
	u32 ioas = ioas_alloc(fd), table = hwpt(fd, 2, bind.out_devid, ioas, 0, 0, NULL, 0);
	struct device_attach_iommufd_pt attach = { .argsz = 12, .pt_id = table };
	CHECK(ioctl(cdev, DEVICE_ATTACH_IOMMUFD_PT, &attach) == 0 && attach.pt_id == table);
	/* DMA of the device reads and writes this memory, and says which pages it wrote */
	char *memory = buffer(4 * PAGE), local[32];
	u64 iova = 0x40000000;
	CHECK(map(fd, ioas, memory, 4 * PAGE, iova) == 0);
	struct iommu_hwpt_set_dirty_tracking track = { .size = sizeof(track), .flags = 1, .hwpt_id = table };
	CHECK(ioctl(fd, IOMMU(0x8b), &track) == 0);
	strcpy(memory + PAGE - 3, "from here");
	CHECK(ioasid_dma("vfio0", iova + PAGE - 3, local, 10, 0) == 0 && !strcmp(local, "from here"));
	CHECK(ioasid_dma("vfio0", iova + 3 * PAGE + 5, "to there", 9, 1) == 0 && !strcmp(memory + 3 * PAGE + 5, "to there"));
	CHECK(ioasid_dma("vfio0", iova + 4 * PAGE, local, 1, 0) == -1);
	u64 bits = 0;
	struct iommu_hwpt_get_dirty_bitmap get = { .size = sizeof(get), .hwpt_id = table, .iova = iova, .length = 4 * PAGE, .page_size = PAGE, .data = (uintptr_t)&bits };
	CHECK(ioctl(fd, IOMMU(0x8c), &get) == 0 && bits == 8);
	struct vfio_device_info info = { .argsz = sizeof(info) };
	CHECK(ioctl(cdev, VFIO_DEVICE_GET_INFO, &info) == 0 && (info.flags & VFIO_DEVICE_FLAGS_PCI));
	struct vfio_region_info region = { .argsz = sizeof(region) };
	FAILS(EINVAL, ioctl(cdev, VFIO_DEVICE_GET_REGION_INFO, &region));
	struct vfio_device_feature feature = { .argsz = sizeof(feature), .flags = VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_PCI_VF_TOKEN };
	FAILS(ENOTTY, ioctl(cdev, VFIO_DEVICE_FEATURE, &feature));
	/* the device keeps the file's objects */
	close(fd);
	CHECK(ioasid_dma("vfio0", iova, local, 1, 0) == 0);
	struct device_detach_iommufd_pt detach = { .argsz = 8 };
	CHECK(ioctl(cdev, DEVICE_DETACH_IOMMUFD_PT, &detach) == 0);
	CHECK(ioasid_dma("vfio0", iova, local, 1, 0) == -1);
	close(cdev);
}

static void container(void)
{
	int fd = open("/dev/vfio/vfio", O_RDWR), group = open("/dev/vfio/0", O_RDWR);
	CHECK(ioctl(fd, VFIO_GET_API_VERSION) == VFIO_API_VERSION && ioctl(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) == 1);
	FAILS(ENODEV, ioctl(fd, VFIO_CHECK_EXTENSION, VFIO_DMA_CC_IOMMU));
	struct vfio_group_status status = { .argsz = sizeof(status) };
	CHECK(ioctl(group, VFIO_GROUP_GET_STATUS, &status) == 0 && status.flags == VFIO_GROUP_FLAGS_VIABLE);
	int none = -1;
	FAILS(EBADF, ioctl(group, VFIO_GROUP_SET_CONTAINER, &none));
	CHECK(ioctl(group, VFIO_GROUP_SET_CONTAINER, &fd) == 0);
	CHECK(ioctl(fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0);
	FAILS(ENODEV, ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "vfio7"));
	int cdev = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "vfio0");
	CHECK(cdev > group);
	/* the size comes back first, then the chain */
	struct { struct vfio_iommu_type1_info info; char room[256]; } answer = { .info = { .argsz = sizeof(answer.info) } };
	CHECK(ioctl(fd, VFIO_IOMMU_GET_INFO, &answer) == 0 && answer.info.cap_offset == 0 && answer.info.argsz > sizeof(answer.info) && answer.info.argsz < sizeof(answer));
	CHECK(ioctl(fd, VFIO_IOMMU_GET_INFO, &answer) == 0 && answer.info.cap_offset == sizeof(answer.info));
	int found = 0;
	for (u32 at = answer.info.cap_offset; at != 0;) {
		struct vfio_info_cap_header *header = (void *)((char *)&answer + at);
		if (header->id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) found = ((struct vfio_iommu_type1_info_cap_iova_range *)header)->nr_iovas;
		at = header->next;
	}
	CHECK(found == 2);
	char *memory = buffer(3 * PAGE), local[8];
	struct vfio_iommu_type1_dma_map cmd = { .argsz = sizeof(cmd), .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE, .vaddr = (uintptr_t)memory, .iova = 0x10000, .size = PAGE };
	CHECK(ioctl(fd, VFIO_IOMMU_MAP_DMA, &cmd) == 0);
	cmd.vaddr += PAGE, cmd.iova += PAGE, cmd.size = 2 * PAGE;
	CHECK(ioctl(fd, VFIO_IOMMU_MAP_DMA, &cmd) == 0);
	strcpy(memory + 2 * PAGE, "three");
	CHECK(ioasid_dma("vfio0", 0x12000, local, 6, 0) == 0 && !strcmp(local, "three"));
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap), .iova = 0x10000, .size = 2 * PAGE };
	FAILS(ENOENT, ioctl(fd, VFIO_IOMMU_UNMAP_DMA, &unmap));
	CHECK(unmap.size == PAGE);
	unmap = (struct vfio_iommu_type1_dma_unmap){ .argsz = sizeof(unmap), .flags = VFIO_DMA_UNMAP_FLAG_ALL };
	CHECK(ioctl(fd, VFIO_IOMMU_UNMAP_DMA, &unmap) == 0 && unmap.size == 2 * PAGE);
	close(cdev), close(group), close(fd);
}

static void descriptors(void)
{
	int fd = opened(), first = dup(fd), own = open("/dev/zero", O_RDONLY);
	CHECK(first == fd + 1 && own == first + 1);
	CHECK(dup2(first, 50) == 50 && ioas_alloc(50) == 1 && close(first) == 0);
	FAILS(EBADF, ioctl(first, IOMMU(0x81), NULL));
	/* the lowest free number is given again, also by a command */
	struct iommu_fault_alloc queue = { .size = sizeof(queue) };
	CHECK(ioctl(50, IOMMU(0x8e), &queue) == 0 && queue.out_fault_fd == (u32)first);
	/* over another file of ours, and over one of the program */
	CHECK(dup2(fd, first) == first && ioas_alloc(first) == 3 && dup2(fd, own) == own && ioas_alloc(own) == 4);
	CHECK(dup2(fd, fd) == fd && close(fd) == 0 && close(first) == 0 && close(own) == 0 && ioas_alloc(50) == 5 && close(50) == 0);
}

static void children(void)
{
	int fd = opened(), status;
	u32 ioas = ioas_alloc(fd);
	struct iommu_test_cmd dev = mock(fd, ioas), cmd = { .create_access = { .flags = 0 } };
	char *memory = buffer(2 * PAGE), local[8];
	strcpy(memory, "parent");
	CHECK(test(fd, &cmd, OP_CREATE_ACCESS, ioas) == 0);
	int access = cmd.create_access.out_access_fd;
	/* the child's memory at the same address is its own; it ends with everything open, in the middle of it */
	int ready[2];
	CHECK(pipe(ready) == 0);
	pid_t child = fork();
	if (child == 0) {
		strcpy(memory, "child");
		int done = map(fd, ioas, memory, PAGE, MOCK_APERTURE) == 0 && refs(fd, memory, PAGE, 1) == 0;
		if (write(ready[1], done ? "y" : "n", 1) == 1) pause();
	}
	CHECK(read(ready[0], local, 1) == 1 && local[0] == 'y');
	CHECK(map(fd, ioas, memory, PAGE, MOCK_APERTURE + PAGE) == 0);
	cmd = (struct iommu_test_cmd){ .access_rw = { MOCK_APERTURE, 6, (uintptr_t)local, 0 } };
	CHECK(test(fd, &cmd, OP_ACCESS_RW, access) == 0 && !strcmp(local, "child"));
	cmd.access_rw = (typeof(cmd.access_rw)){ MOCK_APERTURE + PAGE, 7, (uintptr_t)local, 0 };
	CHECK(test(fd, &cmd, OP_ACCESS_RW, access) == 0 && !strcmp(local, "parent"));
	kill(child, SIGKILL);
	CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
	/* the file lives: the child's areas too, until they are unmapped */
	struct iommu_test_cmd check = { .check_map = { MOCK_APERTURE + PAGE, PAGE, (uintptr_t)memory } };
	CHECK(test(fd, &check, OP_CHECK_MAP, dev.mock_domain.out_hwpt_id) == 0);
	struct iommu_ioas_unmap unmap = { .size = sizeof(unmap), .ioas_id = ioas, .iova = MOCK_APERTURE, .length = PAGE };
	CHECK(ioctl(fd, IOMMU(0x86), &unmap) == 0 && unmap.length == PAGE);
	/* a file that only a child has is the child's to close */
	child = fork();
	if (child == 0) {
		usleep(50000);
		u32 more = ioas_alloc(fd);
		exit(more > ioas && map(fd, more, memory, PAGE, MOCK_APERTURE) == 0 ? 0 : 1);
	}
	close(access), close(fd), close(ready[0]), close(ready[1]);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
}

int main(void)
{
	static const struct { const char *name; void (*run)(void); } flows[] = {
		{ "sizes, numbers and bad addresses", framing }, { "maps and unmaps of the program's memory", maps }, { "software accesses", accesses }, { "nested tables and their invalidation", nested },
		{ "page requests: read, write, poll", faults }, { "virtual IOMMUs: a shared region, events", events }, { "dirty bitmaps", dirty }, { "a VFIO device, and its DMA", device },
		{ "a VFIO container", container }, { "descriptors", descriptors }, { "children", children },
	};
	volatile int bad = 0;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (unsigned i = 0; i < sizeof(flows) / sizeof(*flows); i++) {
		int wrong = setjmp(failed);
		if (wrong == 0) flows[i].run();
		printf("%s %s\n", wrong ? "FAIL" : "ok  ", flows[i].name);
		bad += wrong;
	}
	return bad;
}
