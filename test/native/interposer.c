/*
 * Preloaded into a program: calls on the nodes below /dev/iommu and /dev/vfio go to the process that listens at
 * IOASID_SOCKET; every other call goes on to the C library. The other side reads and writes the program's memory itself,
 * so that only numbers and addresses are sent. A file of the other side keeps a number of the program by a descriptor of
 * /dev/null.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum { HELLO = 1, FORKED, OPEN, IOCTL, READ, WRITE, POLL, CLOSE, DUP, MMAP, MUNMAP, DMA };

struct request {
	uint32_t op, pid;
	uint64_t arg[6];
};
struct reply {
	int64_t result;
	uint64_t taken; /* the spare number names a file now */
	uint64_t extra; /* mmap: where the memory lies in the shared file */
};

#define FILES 1024
static char ours[FILES];
static int sock = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
static int is_ours(int fd) { return fd >= 0 && fd < FILES && ours[fd]; }

static void die(const char *what)
{
	fprintf(stderr, "interposer: %s: %s\n", what, strerror(errno));
	_exit(125);
}

static void move(int out, void *data, size_t size)
{
	for (char *at = data; size > 0;) {
		long n = out ? syscall(SYS_write, sock, at, size) : syscall(SYS_read, sock, at, size);
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) die("the other side is gone");
		at += n;
		size -= n;
	}
}

static struct reply call(uint32_t op, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);

static void join(uint32_t op, uint64_t parent)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = getenv("IOASID_SOCKET");
	if (!path) die("IOASID_SOCKET is not set");
	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	/* out of the way of the numbers that programs expect */
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	sock = fcntl(fd, F_DUPFD_CLOEXEC, FILES - 24);
	REAL(close)(fd);
	if (sock < 0 || connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0) die(path);
	call(op, parent, 0, 0, 0, 0, 0);
}

static struct reply call(uint32_t op, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	struct request request = { op, (uint32_t)getpid(), { a, b, c, d, e, f } };
	struct reply reply;
	pthread_mutex_lock(&lock);
	if (sock < 0 && op != HELLO && op != FORKED) {
		pthread_mutex_unlock(&lock);
		join(HELLO, 0);
		pthread_mutex_lock(&lock);
	}
	move(1, &request, sizeof(request));
	move(0, &reply, sizeof(reply));
	pthread_mutex_unlock(&lock);
	return reply;
}

static long told(int64_t result)
{
	if (result >= 0) return result;
	errno = (int)-result;
	return -1;
}

/* a call that may make a file: it gets the lowest free number */
static long making(uint32_t op, uint64_t a, uint64_t b, uint64_t c)
{
	int spare = syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC);
	struct reply reply = call(op, a, b, c, (uint64_t)(int64_t)spare, 0, 0);
	if (reply.taken) ours[spare] = 1;
	else if (spare >= 0) syscall(SYS_close, spare);
	return told(reply.result);
}

static int node(const char *path) { return !strcmp(path, "/dev/iommu") || !strncmp(path, "/dev/vfio/", 10); }

int open(const char *path, int flags, ...)
{
	va_list list;
	va_start(list, flags);
	int mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(list, int) : 0;
	va_end(list);
	if (node(path)) return making(OPEN, (uintptr_t)path, flags, 0);
	return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
int openat(int dir, const char *path, int flags, ...)
{
	va_list list;
	va_start(list, flags);
	int mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(list, int) : 0;
	va_end(list);
	if (node(path)) return making(OPEN, (uintptr_t)path, flags, 0);
	return syscall(SYS_openat, dir, path, flags, mode);
}
int open64(const char *path, int flags, ...) __attribute__((alias("open")));
int openat64(int dir, const char *path, int flags, ...) __attribute__((alias("openat")));

int ioctl(int fd, unsigned long request, ...)
{
	va_list list;
	va_start(list, request);
	unsigned long arg = va_arg(list, unsigned long);
	va_end(list);
	return is_ours(fd) ? making(IOCTL, fd, request, arg) : syscall(SYS_ioctl, fd, request, arg);
}

ssize_t read(int fd, void *buffer, size_t count) { return is_ours(fd) ? told(call(READ, fd, (uintptr_t)buffer, count, 0, 0, 0).result) : syscall(SYS_read, fd, buffer, count); }
ssize_t write(int fd, const void *buffer, size_t count) { return is_ours(fd) ? told(call(WRITE, fd, (uintptr_t)buffer, count, 0, 0, 0).result) : syscall(SYS_write, fd, buffer, count); }

int close(int fd)
{
	if (!is_ours(fd)) return syscall(SYS_close, fd);
	ours[fd] = 0;
	long result = told(call(CLOSE, fd, 0, 0, 0, 0, 0).result);
	syscall(SYS_close, fd);
	return result;
}

int dup(int fd) { return is_ours(fd) ? making(DUP, fd, UINT64_MAX, 0) : syscall(SYS_dup, fd); }
int dup3(int fd, int at, int flags)
{
	if (is_ours(at) && !is_ours(fd) && syscall(SYS_fcntl, fd, F_GETFD) >= 0) close(at);
	long result = syscall(SYS_dup3, fd, at, flags);
	if (result < 0 || !is_ours(fd)) return result;
	ours[at] = 1;
	return told(call(DUP, fd, at, 0, UINT64_MAX, 0, 0).result);
}
int dup2(int fd, int at) { return fd == at ? (syscall(SYS_fcntl, fd, F_GETFD) < 0 ? -1 : at) : dup3(fd, at, 0); }

/* files of both sides are asked in turn until one has something to say */
int poll(struct pollfd *list, nfds_t count, int timeout)
{
	nfds_t mine = 0;
	for (nfds_t i = 0; i < count; i++) mine += is_ours(list[i].fd);
	if (mine == 0) return REAL(poll)(list, count, timeout);
	if (mine == count) return told(call(POLL, (uintptr_t)list, count, (uint64_t)(int64_t)timeout, 0, 0, 0).result);
	for (int waited = 0;; waited += 5) {
		int ready = 0;
		for (nfds_t i = 0; i < count; i++) {
			long result = is_ours(list[i].fd) ? told(call(POLL, (uintptr_t)&list[i], 1, 0, 0, 0, 0).result) : REAL(poll)(&list[i], 1, 0);
			if (result < 0) return -1;
			ready += result;
		}
		if (ready > 0 || (timeout >= 0 && waited >= timeout)) return ready;
		usleep(5000);
	}
}

/* room is taken first, then the shared memory of the other side laid over it */
void *mmap(void *address, size_t length, int prot, int flags, int fd, off_t offset)
{
	if (!is_ours(fd)) return (void *)syscall(SYS_mmap, address, length, prot, flags, fd, offset);
	long room = syscall(SYS_mmap, address, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | (flags & MAP_FIXED), -1, 0);
	struct reply reply = call(MMAP, fd, room == -1 ? 0 : room, length, prot, flags, offset);
	if (reply.result < 0) {
		if (room != -1) syscall(SYS_munmap, room, length);
		return (void *)told(reply.result);
	}
	int shared = syscall(SYS_openat, AT_FDCWD, getenv("IOASID_SHARED"), O_RDWR | O_CLOEXEC);
	long at = syscall(SYS_mmap, room, length, prot, MAP_SHARED | MAP_FIXED, shared, reply.extra);
	if (shared < 0 || at != room) die("shared memory");
	syscall(SYS_close, shared);
	return (void *)room;
}
void *mmap64(void *address, size_t length, int prot, int flags, int fd, off_t offset) __attribute__((alias("mmap")));
int munmap(void *address, size_t length)
{
	if (sock >= 0) call(MUNMAP, (uintptr_t)address, length, 0, 0, 0, 0);
	return syscall(SYS_munmap, address, length);
}

/* the parent goes on once the child's files are known */
pid_t fork(void)
{
	int ready[2];
	if (pipe(ready) < 0) return -1;
	pid_t parent = getpid(), child = REAL(fork)();
	if (child == 0) {
		if (sock >= 0) {
			syscall(SYS_close, sock);
			join(FORKED, parent);
		}
		syscall(SYS_write, ready[1], "", 1);
	}
	syscall(SYS_close, ready[1]);
	char byte;
	if (child > 0) syscall(SYS_read, ready[0], &byte, 1);
	syscall(SYS_close, ready[0]);
	return child;
}

/* for programs that want a device to act: DMA of `name` at `iova`. @returns 0, or -1 when it faults */
int ioasid_dma(const char *name, uint64_t iova, void *buffer, uint64_t length, int write) { return (int)call(DMA, (uintptr_t)name, iova, (uintptr_t)buffer, length, write, 0).result; }
