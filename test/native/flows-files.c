/* Flows on VFIO files, descriptors and children. */
#include "flow.h"

void device(void)
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

void container(void)
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

void descriptors(void)
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

void children(void)
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
