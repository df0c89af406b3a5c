/* A program written for the kernel's iommufd and VFIO: flows whose answers it checks by itself. One line for each flow. */
#include "flow.h"

jmp_buf failed;
void framing(void), maps(void), accesses(void), nested(void), faults(void), events(void), dirty(void), device(void), container(void), descriptors(void), children(void);

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
