#pragma once
/* What all flows use: checks, and calls whose refusal ends a flow. */
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

extern jmp_buf failed;
#define CHECK(what) \
	do { \
		if (!(what)) { \
			printf("     line %d: %s (errno %d, %s)\n", __LINE__, #what, errno, strerror(errno)); \
			longjmp(failed, 1); \
		} \
	} while (0)
#define FAILS(code, call) CHECK((errno = 0, (call) == -1 && errno == (code)))

/* memory with nothing around it */
static inline char *buffer(size_t size)
{
	char *room = mmap(NULL, size + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(room != MAP_FAILED);
	CHECK(mprotect(room + PAGE, size, PROT_READ | PROT_WRITE) == 0);
	return room + PAGE;
}

static inline u32 ioas_alloc(int fd)
{
	struct iommu_ioas_alloc cmd = { .size = sizeof(cmd) };
	CHECK(ioctl(fd, IOMMU(0x81), &cmd) == 0);
	return cmd.out_ioas_id;
}
static inline int map(int fd, u32 ioas, void *at, u64 length, u64 iova)
{
	struct iommu_ioas_map cmd = { .size = sizeof(cmd), .flags = MAP_FIXED_IOVA | MAP_WRITEABLE | MAP_READABLE, .ioas_id = ioas, .user_va = (uintptr_t)at, .length = length, .iova = iova };
	return ioctl(fd, IOMMU(0x85), &cmd);
}
static inline int test(int fd, struct iommu_test_cmd *cmd, u32 op, u32 id)
{
	cmd->size = sizeof(*cmd);
	cmd->op = op;
	cmd->id = id;
	return ioctl(fd, IOMMU_TEST, cmd);
}
static inline struct iommu_test_cmd mock(int fd, u32 pt)
{
	struct iommu_test_cmd cmd = { 0 };
	CHECK(test(fd, &cmd, OP_MOCK_DOMAIN_FLAGS, pt) == 0);
	return cmd;
}
static inline int refs(int fd, void *at, u64 length, u32 count)
{
	struct iommu_test_cmd cmd = { .check_refs = { .uptr = (uintptr_t)at, .length = length, .refs = count } };
	return test(fd, &cmd, OP_CHECK_REFS, 0);
}
static inline u32 hwpt(int fd, u32 flags, u32 dev, u32 pt, u32 fault, u32 type, void *data, u32 length)
{
	struct iommu_hwpt_alloc cmd = { .size = sizeof(cmd), .flags = flags, .dev_id = dev, .pt_id = pt, .fault_id = fault, .data_type = type, .data_uptr = (uintptr_t)data, .data_len = length };
	CHECK(ioctl(fd, IOMMU(0x89), &cmd) == 0);
	return cmd.out_hwpt_id;
}
static inline void replace(int fd, u32 stdev, u32 pt)
{
	struct iommu_test_cmd cmd = { .replace = { pt } };
	CHECK(test(fd, &cmd, OP_REPLACE, stdev) == 0);
}
static inline int destroy(int fd, u32 id)
{
	struct iommu_destroy cmd = { sizeof(cmd), id };
	return ioctl(fd, IOMMU(0x80), &cmd);
}
static inline int opened(void)
{
	int fd = open("/dev/iommu", O_RDWR);
	CHECK(fd > 2);
	return fd;
}
