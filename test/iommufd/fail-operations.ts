/** The same for the operations of the test command, and for the files that commands make. */
import { MOCK, type TEST_OP } from "../../ts/uapi/abi/iommufd-test.ts";
import { File } from "../../ts/uapi/iommufd.ts";
import { type Case, access, allocates, faulting, fresh, guest, mapped, nested, nothing, onPasid, pasids, pinned, replace, reporting, request, tracked } from "./fail-states.ts";
import { APERTURE, FIXED, MEMORY, RW, STRUCTS } from "./world.ts";

export const OPERATION_CASES: Readonly<Record<keyof typeof TEST_OP, Record<string, Case>>> = {
	add_reserved: {
		"a range": allocates((world) => {
			const ioas = world.ioas();
			return () => world.test("add_reserved", { id: ioas, u: { add_reserved: { start: 0x5000n, length: 0x1000n } } });
		}),
	},
	mock_domain: {
		"makes a table": allocates((world) => {
			const ioas = world.ioas();
			mapped(world, ioas);
			mapped(world, ioas, APERTURE + 0x8000n);
			return () => world.test("mock_domain", { id: ioas });
		}),
		"joins a table": allocates((world) => {
			const { ioas } = nested(world);
			return () => world.test("mock_domain", { id: ioas });
		}),
	},
	mock_domain_flags: {
		"with PASIDs": allocates((world) => {
			const ioas = world.ioas();
			return () => world.mock(ioas, 4);
		}),
	},
	check_map: {
		"an area": nothing((world) => {
			const ioas = world.ioas();
			const { hwpt } = world.mock(ioas);
			mapped(world, ioas);
			return () => world.test("check_map", { id: hwpt, u: { check_map: { iova: APERTURE, length: 0x3000n, uptr: MEMORY } } });
		}),
	},
	check_refs: { "of no pins": nothing((world) => () => world.test("check_refs", { u: { check_refs: { length: 0x1000n, uptr: MEMORY } } })) },
	create_access: {
		"that pins": allocates((world) => {
			const ioas = world.ioas();
			return () => access(world, ioas);
		}),
	},
	destroy_access_pages: {
		"a pin": nothing((world) => {
			const { fd, pin } = pinned(world);
			return () => world.test("destroy_access_pages", { id: fd, u: { destroy_access_pages: { access_pages_id: pin } } });
		}),
	},
	access_pages: {
		"of two areas": allocates((world) => {
			const ioas = world.ioas();
			mapped(world, ioas);
			mapped(world, ioas, APERTURE + 0x3000n);
			const fd = access(world, ioas);
			return () => world.test("access_pages", { id: fd, u: { access_pages: { iova: APERTURE, length: 0x6000n } } });
		}),
	},
	access_rw: {
		"a write": fresh((world) => {
			const ioas = world.ioas();
			world.client.ioasMap({ flags: RW | FIXED, ioas_id: ioas, user_va: MEMORY + 0x8000n, length: 0x3000n, iova: APERTURE });
			const fd = access(world, ioas, 0);
			return () => world.test("access_rw", { id: fd, u: { access_rw: { iova: APERTURE, length: 0x3000n, uptr: new Uint8Array(0x3000), flags: 1 } } });
		}),
		"a slow read": fresh((world) => {
			const ioas = world.ioas();
			world.client.ioasMap({ flags: RW | FIXED, ioas_id: ioas, user_va: MEMORY + 0x8000n, length: 0x3000n, iova: APERTURE });
			const fd = access(world, ioas, 0);
			return () => world.test("access_rw", { id: fd, u: { access_rw: { iova: APERTURE, length: 0x3000n, uptr: new Uint8Array(0x3000), flags: 4 } } });
		}),
	},
	memory_limit: { "a batch": nothing((world) => () => world.test("memory_limit", { u: { memory_limit: { limit: 65536 } } })) },
	mock_domain_replace: {
		"to another space": allocates((world) => {
			const { device } = nested(world);
			const other = world.ioas();
			mapped(world, other);
			return () => replace(world, device.stdev, other);
		}),
	},
	access_replace_ioas: {
		"to another space": allocates((world) => {
			const fd = access(world, world.ioas());
			const other = world.ioas();
			return () => world.test("access_replace_ioas", { id: fd, u: { access_replace_ioas: { ioas_id: other } } });
		}),
	},
	dirty: {
		"three pages": nothing((world) => {
			const { table } = tracked(world);
			return () => world.test("dirty", { id: table, u: { dirty: { iova: APERTURE, length: 0x3000n, page_size: 0x1000n, uptr: Uint8Array.of(7) } } });
		}),
	},
	check_iotlb: {
		"an entry": nothing((world) => {
			const { hwpt } = guest(world);
			return () => world.test("check_iotlb", { id: hwpt, u: { check_iotlb: { id: 0, iotlb: 1 } } });
		}),
	},
	trigger_iopf: {
		"with a queue": allocates((world) => {
			const { device } = faulting(world);
			return () => request(world, device.dev);
		}),
	},
	check_dev_cache: {
		"an entry": nothing((world) => {
			const { device } = nested(world);
			return () => world.test("check_dev_cache", { id: device.dev, u: { check_dev_cache: { id: 0, cache: MOCK.cacheDefault } } });
		}),
	},
	trigger_vevent: {
		"with a queue": allocates((world) => {
			const { device } = reporting(world);
			return () => world.test("trigger_vevent", { u: { trigger_vevent: { dev_id: device.dev } } });
		}),
	},
	pasid_attach: {
		"to a table": allocates((world) => {
			const { id, plain } = pasids(world);
			return () => world.test("pasid_attach", { id, u: { pasid_attach: { pasid: 5, pt_id: plain } } });
		}),
	},
	pasid_replace: {
		"by another table": allocates((world) => {
			const { id, other } = onPasid(world);
			return () => world.test("pasid_replace", { id, u: { pasid_replace: { pasid: 5, pt_id: other } } });
		}),
	},
	pasid_detach: {
		"a table": nothing((world) => {
			const { id } = onPasid(world);
			return () => world.test("pasid_detach", { id, u: { pasid_detach: { pasid: 5 } } });
		}),
	},
	pasid_check: {
		"a table": nothing((world) => {
			const { id, plain } = onPasid(world);
			return () => world.test("pasid_check", { id, u: { pasid_check: { pasid: 5, hwpt_id: plain } } });
		}),
	},
	dmabuf_get: { "a buffer": allocates((world) => () => world.test("dmabuf_get", { u: { dmabuf_get: { length: 4096 } } })) },
	dmabuf_revoke: {
		"a buffer that is mapped": nothing((world) => {
			const { ioas } = nested(world);
			world.test("dmabuf_get", { u: { dmabuf_get: { length: 4096 } } });
			const fd = Math.max(...world.caller.descriptors.open);
			world.client.ioasMapFile({ flags: RW, ioas_id: ioas, fd, start: 0n, length: 4096n });
			return () => world.test("dmabuf_revoke", { u: { dmabuf_revoke: { dmabuf_fd: fd, revoked: 1 } } });
		}),
	},
};

/** Reads, writes and maps of the files that commands make. */
export const FILE_CASES: Readonly<Record<string, Record<string, Case>>> = {
	"the fault queue": {
		"is read": allocates((world) => {
			const { device, fd } = faulting(world);
			request(world, device.dev);
			return () => world.done(new File(world.process, fd).read(STRUCTS, 40));
		}),
		"is written": nothing((world) => {
			const { device, fd } = faulting(world);
			request(world, device.dev);
			const file = new File(world.process, fd);
			file.read(STRUCTS, 40);
			world.process.write(STRUCTS, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
			return () => world.done(file.write(STRUCTS, 8));
		}),
	},
	"the event queue": {
		"is read": nothing((world) => {
			const { device, fd } = reporting(world);
			world.test("trigger_vevent", { u: { trigger_vevent: { dev_id: device.dev } } });
			return () => world.done(new File(world.process, fd).read(STRUCTS, 64));
		}),
	},
};
