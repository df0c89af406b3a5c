/* Flows on queues, virtual IOMMUs and dirty bitmaps. */
#include "flow.h"

void faults(void)
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

void events(void)
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

void dirty(void)
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
