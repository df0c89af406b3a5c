/** Steps on page requests, virtual IOMMUs, accesses and the container. */
import type { Device } from "../../core/index.ts";
import { PAGE_RESPONSE, PGFAULT_FLAGS, PGFAULT_PERM, pageResponse, pgfault, VEVENT_FLAGS, veventHeader } from "../../uapi/abi/data.ts";
import { VFIO_IOAS_OP } from "../../uapi/abi/iommufd.ts";
import { ACCESS_FLAGS, MOCK, MOCK_FLAGS, veventSelftest, viommuSelftest } from "../../uapi/abi/iommufd-test.ts";
import { DMA_MAP_FLAGS, DMA_UNMAP_FLAGS, EXTENSION, infoCapHeader, iommuType1DmaMap, iommuType1DmaUnmap, iommuType1Info, iommuType1InfoCapIovaRange, iommuType1InfoDmaAvail, iovaRange, TYPE1_INFO_FLAGS, VFIO } from "../../uapi/abi/vfio.ts";
import { POLL } from "../../uapi/descriptors.ts";
import { Errno } from "../../uapi/errno.ts";
import { run } from "../../uapi/iommufd/call.ts";
import { joinContainer } from "../../uapi/iommufd/container.ts";
import { DeviceEntity } from "../../uapi/iommufd/entities.ts";
import type { CallContext, IommufdDoor } from "./iommufd-door.ts";
import { bindDevice, change, vfio } from "./iommufd-ops-device.ts";
import type { Steps } from "./iommufd-steps.ts";
import { result } from "./iommufd-transport.ts";

type Part = Pick<
	IommufdDoor,
	| "fault_queue_alloc" | "close_fd" | "trigger_fault" | "fault_read" | "fault_respond" | "fault_poll" | "check_response" | "viommu_alloc" | "vdevice_alloc" | "veventq_alloc" | "trigger_vevent"
	| "vevent_read" | "hw_queue_alloc" | "region_map" | "region_unmap" | "access_create" | "access_destroy" | "access_replace" | "access_pin" | "access_unpin" | "access_rw" | "vfio_version"
	| "vfio_extension" | "vfio_set_iommu" | "vfio_ioas" | "vfio_container_attach" | "vfio_map_dma" | "vfio_unmap_dma" | "vfio_get_info" | "vfio_dirty_pages"
>;

const EXTENSIONS = { type1: EXTENSION.type1, type1v2: EXTENSION.type1v2, unmap_all: EXTENSION.unmapAll, dma_cc: EXTENSION.dmaCc, nesting: EXTENSION.nesting, update_vaddr: EXTENSION.updateVaddr, noiommu: EXTENSION.noIommu, unknown: 77 };
const IOAS_VERBS = { get: VFIO_IOAS_OP.get, set: VFIO_IOAS_OP.set, clear: VFIO_IOAS_OP.clear, unknown: 9 };
const VIOMMU_TYPES = { selftest: MOCK.viommuType, default: 0, unknown: 0x7777 };

export function queueSteps(steps: Steps): Part {
	const { world } = steps;
	const processOf = (context: CallContext) => world.process(context.process);
	const deviceOf = (context: CallContext, id: number): Device => world.iommufd(context.fd).objects.get(id, DeviceEntity).device;
	/** regions that are mapped: address -> process and length */
	const mapped = new Map<bigint, { process: number; length: bigint }>();
	const ioctl = (context: CallContext, cmd: number, argument: number) => result(world.file(processOf(context), context.fd).ioctl(cmd, argument));
	return {
		fault_queue_alloc({ raw_flags }, context) {
			const out = steps.command(context, "fault_queue_alloc", { flags: raw_flags });
			const fd = steps.remember(context, out.out_fault_fd as number);
			steps.rememberQueue(context, out.out_fault_id as number, fd);
			return { binds: { self: out.out_fault_id, fd } };
		},
		close_fd({ target }) {
			world.close(target);
		},
		trigger_fault({ dev, addr, pasid, perm, grpid = 0, last = true }, context) {
			const wants = perm ?? { read: true, write: false, exec: false, priv: false };
			const bits = (wants.read ? PGFAULT_PERM.read : 0) | (wants.write ? PGFAULT_PERM.write : 0) | (wants.exec ? PGFAULT_PERM.exec : 0) | (wants.priv ? PGFAULT_PERM.priv : 0);
			if (last) steps.test(context, "trigger_iopf", { u: { trigger_iopf: { dev_id: dev, pasid: pasid ?? 0, grpid, perm: bits, addr } } });
			else run(() => world.selftest.requestPage(world.host.routes, deviceOf(context, dev), pasid ?? null, grpid, { permissions: bits, address: addr, last }));
		},
		fault_read({ queue, max = 1, bytes }, context) {
			const process = processOf(context);
			const length = bytes ?? max * pgfault.size;
			return world.withMemory(process, length, (at) => {
				const got = result(steps.queue(context, queue).read(at, length));
				const count = got / pgfault.size;
				const faults = Array.from({ length: count }, (_, i) => {
					const record = pgfault.decode(process.read(at + BigInt(i * pgfault.size), pgfault.size));
					const perm = Object.entries(PGFAULT_PERM).flatMap(([name, bit]) => ((record.perm & bit) === 0 ? [] : [name]));
					return {
						dev: record.dev_id,
						addr: record.addr,
						grpid: record.grpid,
						pasid: record.pasid,
						pasid_valid: (record.flags & PGFAULT_FLAGS.pasidValid) !== 0,
						last: (record.flags & PGFAULT_FLAGS.lastPage) !== 0,
						perm,
						cookie: record.cookie,
					};
				});
				return { binds: { self: faults[count - 1]?.cookie }, gives: { count, faults } };
			});
		},
		fault_respond({ queue, cookie, code = "success", bytes = pageResponse.size }, context) {
			const process = processOf(context);
			world.withMemory(process, Math.max(bytes, pageResponse.size), (at) => {
				process.write(at, pageResponse.encode({ cookie: Number(cookie), code: { success: PAGE_RESPONSE.success, invalid: PAGE_RESPONSE.invalid, unknown: 7 }[code] }));
				result(steps.queue(context, queue).write(at, bytes));
			});
		},
		fault_poll({ queue }, context) {
			const bits = steps.queue(context, queue).poll();
			return { gives: { readable: (bits & POLL.in) !== 0, writable: (bits & POLL.out) !== 0 } };
		},
		check_response({ dev, grpid, code }, context) {
			const answer = world.selftest.answerOf(deviceOf(context, dev), grpid) ?? "none";
			if (answer !== code) throw new Errno("EIO", `the answer is ${answer}`);
		},

		viommu_alloc({ dev, hwpt, type = "selftest", data, raw_flags }, context) {
			const bytes = viommuSelftest.encode({ in_data: Number(data ?? 0n) });
			const given = data === undefined ? {} : { data_len: bytes.length, data_uptr: bytes };
			const out = steps.command(context, "viommu_alloc", { flags: raw_flags, type: VIOMMU_TYPES[type], dev_id: dev, hwpt_id: hwpt, ...given });
			const { out_data, out_mmap_offset, out_mmap_length } = viommuSelftest.decode(bytes);
			if (data !== undefined) steps.rememberRegion(context, out.out_viommu_id as number, { offset: out_mmap_offset, length: out_mmap_length });
			return { binds: { self: out.out_viommu_id, region: out_mmap_offset }, gives: { data: out_data } };
		},
		vdevice_alloc({ viommu, dev, virt_id }, context) {
			return { binds: { self: steps.command(context, "vdevice_alloc", { viommu_id: viommu, dev_id: dev, virt_id }).out_vdevice_id } };
		},
		veventq_alloc({ viommu, type = "selftest", depth = 16, raw_flags, reserved }, context) {
			const out = steps.command(context, "veventq_alloc", { flags: raw_flags, viommu_id: viommu, type: type === "selftest" ? MOCK.veventqType : 0, veventq_depth: depth, rsvd: reserved });
			const fd = steps.remember(context, out.out_veventq_fd as number);
			steps.rememberQueue(context, out.out_veventq_id as number, fd);
			return { binds: { self: out.out_veventq_id, fd } };
		},
		trigger_vevent({ dev, count }, context) {
			for (let i = 0; i < count; i++) steps.test(context, "trigger_vevent", { u: { trigger_vevent: { dev_id: dev } } });
		},
		vevent_read({ queue, max = 64 }, context) {
			const process = processOf(context);
			const whole = veventHeader.size + veventSelftest.size;
			return world.withMemory(process, max * whole, (at) => {
				const got = result(steps.queue(context, queue).read(at, max * whole));
				const bytes = process.read(at, got);
				const events: Array<{ virt_id: number; seq: number }> = [];
				let lost = false;
				for (let i = 0; i < got; ) {
					const { flags, sequence } = veventHeader.decode(bytes.subarray(i, i + veventHeader.size));
					i += veventHeader.size;
					if ((flags & VEVENT_FLAGS.lostEvents) !== 0) {
						lost = true;
						continue;
					}
					events.push({ virt_id: veventSelftest.decode(bytes.subarray(i, i + veventSelftest.size)).virt_id, seq: sequence });
					i += veventSelftest.size;
				}
				return { gives: { events, lost } };
			});
		},
		hw_queue_alloc({ viommu, index, iova, length, type = "selftest", raw_flags }, context) {
			const input = { flags: raw_flags, viommu_id: viommu, type: type === "selftest" ? MOCK.hwQueueType : 0, index, nesting_parent_iova: iova, length };
			return { binds: { self: steps.command(context, "hw_queue_alloc", input).out_hw_queue_id } };
		},
		region_map({ viommu, offset_pages, length }, context) {
			const process = processOf(context);
			const region = steps.region(context, viommu);
			const bytes = { exact: region.length, half: region.length / 2n, double: region.length * 2n }[length];
			const at = world.file(process, context.fd).mmap(null, bytes, { read: true, write: true, shared: true }, region.offset + offset_pages * 4096n);
			if (at < 0n) result(at);
			mapped.set(at, { process: context.process, length: bytes });
			return { binds: { self: at }, gives: { data: new DataView(process.read(at, 4).buffer).getUint32(0, true) } };
		},
		region_unmap({ target }) {
			const region = mapped.get(BigInt(target));
			if (region === undefined) throw new Errno("EINVAL", "no region is mapped there");
			world.process(region.process).unmap(BigInt(target), region.length);
			mapped.delete(BigInt(target));
		},

		access_create({ ioas, pin, raw_flags }, context) {
			const { out } = steps.test(context, "create_access", { id: ioas, u: { create_access: { flags: (pin ? 1 : 0) | (raw_flags ?? 0) } } });
			return { binds: { self: steps.remember(context, out.u?.create_access?.out_access_fd as number) } };
		},
		access_destroy({ access }) {
			world.close(access);
		},
		access_replace({ access, ioas }, context) {
			steps.test(context, "access_replace_ioas", { id: steps.fdOf(context, access), u: { access_replace_ioas: { ioas_id: ioas } } });
		},
		access_pin({ access, iova, length, write, user_va }, context) {
			const { out } = steps.test(context, "access_pages", { id: steps.fdOf(context, access), u: { access_pages: { flags: write ? ACCESS_FLAGS.write : 0, iova, length, uptr: user_va } } });
			return { binds: { self: out.u?.access_pages?.out_access_pages_id } };
		},
		access_unpin({ access, pin }, context) {
			steps.test(context, "destroy_access_pages", { id: steps.fdOf(context, access), u: { destroy_access_pages: { access_pages_id: pin } } });
		},
		access_rw({ access, iova, length, dir, byte, slow }, context) {
			const data = new Uint8Array(Math.min(Number(length), 1 << 25)).fill(dir === "write" ? (byte ?? 0) : 0);
			const flags = (dir === "write" ? ACCESS_FLAGS.write : 0) | (slow ? ACCESS_FLAGS.slowPath : 0);
			steps.test(context, "access_rw", { id: steps.fdOf(context, access), u: { access_rw: { iova, length, uptr: data, flags } } });
			if (dir === "read" && byte !== undefined && data.some((one) => one !== byte)) throw new Errno("EBADE", "other bytes");
		},

		vfio_version(_, context) {
			return { gives: { value: ioctl(context, VFIO.getApiVersion, 0) } };
		},
		vfio_extension({ ext }, context) {
			return { gives: { value: ioctl(context, VFIO.checkExtension, EXTENSIONS[ext]) } };
		},
		vfio_set_iommu({ type }, context) {
			ioctl(context, VFIO.setIommu, EXTENSIONS[type]);
		},
		vfio_ioas({ verb, ioas, reserved }, context) {
			const out = steps.command(context, "vfio_ioas", { op: IOAS_VERBS[verb], ioas_id: ioas, rsvd: reserved });
			return { gives: { ioas: out.ioas_id ?? 0 } };
		},
		vfio_container_attach({ flags }, context) {
			const bits = (flags?.no_dirty ? MOCK_FLAGS.noDirty : 0) | (flags?.pasid ? MOCK_FLAGS.pasid : 0);
			const ioas = run(() => joinContainer(world.iommufd(context.fd))).id;
			const { handle, dev } = bindDevice(steps, context, context.fd, bits);
			try {
				return { binds: { self: handle, hwpt: change(steps, context, handle, null, ioas, "attach"), dev, ioas } };
			} catch (error) {
				world.close(handle);
				throw error;
			}
		},
		vfio_map_dma({ iova, vaddr, size, flags, raw_flags, argsz }, context) {
			const bits = (flags.read ? DMA_MAP_FLAGS.read : 0) | (flags.write ? DMA_MAP_FLAGS.write : 0) | (raw_flags ?? 0);
			vfio(steps, context, context.fd, VFIO.iommuMapDma, iommuType1DmaMap, { argsz: argsz === "short" ? 16 : iommuType1DmaMap.size, flags: bits >>> 0, vaddr, iova, size });
		},
		vfio_unmap_dma({ iova, size, all, raw_flags, argsz }, context) {
			const bits = (all ? DMA_UNMAP_FLAGS.all : 0) | (raw_flags ?? 0);
			const out = vfio(steps, context, context.fd, VFIO.iommuUnmapDma, iommuType1DmaUnmap, { argsz: argsz === "short" ? 16 : iommuType1DmaUnmap.size, flags: bits >>> 0, iova, size });
			return { gives: { size: out.size } };
		},
		vfio_get_info({ argsz }, context) {
			const process = processOf(context);
			const length = { short: 8, nocaps: 16, header: iommuType1Info.size, full: 4096 }[argsz];
			return world.withMemory(process, 4096, (at) => {
				process.write(at, iommuType1Info.encode({ argsz: length }));
				result(world.file(process, context.fd).ioctl(VFIO.iommuGetInfo, at));
				const bytes = process.read(at, 4096);
				const info = iommuType1Info.decode(bytes.subarray(0, Math.min(length, iommuType1Info.size)));
				const gives: Record<string, unknown> = {
					pgsizes_nonzero: info.iova_pgsizes !== 0n || length < 16,
					has_pgsizes: (info.flags & TYPE1_INFO_FLAGS.pgsizes) !== 0,
					has_caps: (info.flags & TYPE1_INFO_FLAGS.caps) !== 0,
					cap_offset_set: info.cap_offset !== 0,
					argsz_grew: info.argsz > length,
				};
				for (let next = info.cap_offset; next !== 0; ) {
					const header = infoCapHeader.decode(bytes.subarray(next, next + infoCapHeader.size));
					if (header.id === 1) {
						const { nr_iovas } = iommuType1InfoCapIovaRange.decode(bytes.subarray(next, next + iommuType1InfoCapIovaRange.size));
						const base = next + iommuType1InfoCapIovaRange.size;
						gives.ranges = Array.from({ length: nr_iovas }, (_, i) => {
							const { start, end } = iovaRange.decode(bytes.subarray(base + i * iovaRange.size, base + (i + 1) * iovaRange.size));
							return [start, end];
						});
					}
					if (header.id === 3) gives.avail = iommuType1InfoDmaAvail.decode(bytes.subarray(next, next + iommuType1InfoDmaAvail.size)).avail;
					next = header.next;
				}
				return { gives } as never;
			});
		},
		vfio_dirty_pages(_, context) {
			ioctl(context, VFIO.iommuDirtyPages, 0);
		},
	};
}
