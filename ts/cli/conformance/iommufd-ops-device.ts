/** Steps on devices and tables. */
import { HW_CAPS, HWPT_FLAGS } from "../../uapi/abi/iommufd.ts";
import { hwptInvalidateSelftest, hwptSelftest, MOCK, MOCK_FLAGS, testHwInfo, viommuInvalidateSelftest } from "../../uapi/abi/iommufd-test.ts";
import { ATTACH_FLAGS, deviceAttachIommufdPt, deviceBindIommufd, deviceDetachIommufdPt, VFIO } from "../../uapi/abi/vfio.ts";
import type { Fields, Struct } from "../../uapi/abi/struct.ts";
import { Descriptors, OpenFile } from "../../uapi/descriptors.ts";
import { Errno } from "../../uapi/errno.ts";
import { VfioDeviceFile } from "../../uapi/iommufd.ts";
import { run } from "../../uapi/iommufd/call.ts";
import { TableEntity } from "../../uapi/iommufd/entities.ts";
import { SelftestEntity } from "../../uapi/iommufd/selftest.ts";
import type { CallContext, IommufdDoor } from "./iommufd-door.ts";
import type { Steps } from "./iommufd-steps.ts";
import { result } from "./iommufd-transport.ts";

type Part = Pick<
	IommufdDoor,
	| "mock_domain" | "bind" | "unbind" | "attach" | "detach" | "replace" | "pasid_attach" | "pasid_replace" | "pasid_detach" | "pasid_check" | "hw_info" | "translate" | "hwpt_alloc" | "check_map"
	| "hwpt_invalidate" | "check_iotlb" | "check_cache" | "set_dirty_tracking" | "mark_dirty" | "get_dirty_bitmap"
>;

const deviceFlags = (flags: { no_dirty: boolean; pasid: boolean } = { no_dirty: false, pasid: false }, raw = 0) => (flags.no_dirty ? MOCK_FLAGS.noDirty : 0) | (flags.pasid ? MOCK_FLAGS.pasid : 0) | raw;
const DATA_TYPES = { selftest: MOCK.hwptData, none: 0, unknown: 0x7777 };
const HW_TYPES = { default: 0, selftest: MOCK.hwInfoType, unknown: 0x7777 };

/** A device that the scenario binds by itself, as a VFIO device file. */
export function bindDevice(steps: Steps, context: CallContext, owner: number, flags: number, group?: string, reserved: Array<[bigint, bigint]> = []): { handle: number; dev: number } {
	const { world, transport } = steps;
	const process = world.process(context.process);
	const device = world.selftest.createDevice(flags, group, reserved.map(([first, last]) => ({ first, last })));
	const file = new VfioDeviceFile(device, () => world.selftest.removeDevice(device));
	const descriptors = Descriptors.of(process);
	const fd = descriptors.reserve();
	descriptors.install(fd, new OpenFile("vfio", file, world.credentials()));
	const handle = world.remember(process, fd);
	try {
		const bound = { argsz: deviceBindIommufd.size, flags: 0, iommufd: world.fd(process, owner), out_devid: 0 };
		const dev = transport.name === "typed" ? file.bind(world.iommufd(owner)) : vfio(steps, context, handle, VFIO.deviceBindIommufd, deviceBindIommufd, bound).out_devid;
		steps.bound.set(handle, device);
		return { handle, dev };
	} catch (error) {
		world.close(handle);
		throw error;
	}
}

/** A VFIO call with a struct. @returns the struct afterwards. @throws Errno */
export function vfio<F extends Fields>(steps: Steps, context: CallContext, handle: number, cmd: number, struct: Struct<F>, values: Parameters<Struct<F>["encode"]>[0]): ReturnType<Struct<F>["decode"]> {
	const process = steps.world.process(context.process);
	return steps.world.withMemory(process, struct.size, (at) => {
		process.write(at, struct.encode(values));
		result(steps.world.file(process, handle).ioctl(cmd, at));
		return struct.decode(process.read(at, struct.size)) as ReturnType<Struct<F>["decode"]>;
	});
}

/** Change what a bound device is attached to. @throws Errno */
export function change(steps: Steps, context: CallContext, handle: number, pasid: number | null, pt: number, how: "attach" | "replace"): number {
	const { world, transport } = steps;
	const file = world.openFile(handle).ops as VfioDeviceFile;
	const attached = world.host.routes.isAttached(file.device, pasid);
	if (transport.name === "binary" && attached === (how === "replace")) {
		const values = { argsz: deviceAttachIommufdPt.size, flags: pasid === null ? 0 : ATTACH_FLAGS.pasid, pt_id: pt, pasid: pasid ?? 0 };
		return vfio(steps, context, handle, VFIO.deviceAttachIommufdPt, deviceAttachIommufdPt, values).pt_id;
	}
	const door = [...world.host.files].find((one) => one.deviceEntity(file.device) !== undefined);
	const entity = door?.deviceEntity(file.device);
	if (door === undefined || entity === undefined) throw new Errno("ENOENT", "not bound");
	return run(() => door.changeTable(entity, pasid, pt, how));
}

export function deviceSteps(steps: Steps): Part {
	const { world } = steps;
	const isBound = (reference: number) => steps.bound.has(reference);
	return {
		mock_domain({ pt, flags, group, resv, raw_flags }, context) {
			const bits = deviceFlags(flags, raw_flags);
			if (group === undefined && resv === undefined) {
				const { out } = steps.test(context, "mock_domain_flags", { id: pt, u: { mock_domain_flags: { dev_flags: bits } } });
				const made = out.u?.mock_domain;
				return { binds: { self: made?.out_stdev_id, hwpt: made?.out_hwpt_id, dev: made?.out_idev_id } };
			}
			let made = { stdev: 0, hwpt: 0, dev: 0 };
			run(() => world.selftest.mockDomain(world.iommufd(context.fd), pt, world.selftest.createDevice(bits, group, resv?.map(([first, last]) => ({ first, last }))), (ids) => {
				made = ids;
			}));
			return { binds: { self: made.stdev, hwpt: made.hwpt, dev: made.dev } };
		},
		bind({ flags, group, resv, owner_fd }, context) {
			const { handle, dev } = bindDevice(steps, context, owner_fd ?? context.fd, deviceFlags(flags), group, resv);
			return { binds: { self: handle, dev } };
		},
		unbind({ device }) {
			world.close(device);
			steps.bound.delete(device);
		},
		attach({ device, pt }, context) {
			if (!isBound(device)) {
				const entity = world.iommufd(context.fd).objects.get(device, SelftestEntity);
				const id = run(() => world.iommufd(context.fd).changeTable(entity.device, null, pt, "attach"));
				return { binds: { self: id }, gives: { pt: id } };
			}
			const id = change(steps, context, device, null, pt, "attach");
			return { binds: { self: id }, gives: { pt: id } };
		},
		detach({ device }, context) {
			if (!isBound(device)) {
				const door = world.iommufd(context.fd);
				door.detach(door.objects.get(device, SelftestEntity).device, null);
			} else if (steps.transport.name === "typed") (world.openFile(device).ops as VfioDeviceFile).detach(null);
			else vfio(steps, context, device, VFIO.deviceDetachIommufdPt, deviceDetachIommufdPt, { argsz: deviceDetachIommufdPt.size });
		},
		replace({ device, pt }, context) {
			let id: number;
			if (isBound(device)) id = change(steps, context, device, null, pt, "replace");
			else id = steps.test(context, "mock_domain_replace", { id: device, u: { mock_domain_replace: { pt_id: pt } } }).out.u?.mock_domain_replace?.pt_id ?? 0;
			return { binds: { self: id }, gives: { pt: id } };
		},
		pasid_attach({ device, pasid, pt }, context) {
			if (isBound(device)) change(steps, context, device, pasid, pt, "attach");
			else steps.test(context, "pasid_attach", { id: device, u: { pasid_attach: { pasid, pt_id: pt } } });
		},
		pasid_replace({ device, pasid, pt }, context) {
			if (isBound(device)) change(steps, context, device, pasid, pt, "replace");
			else steps.test(context, "pasid_replace", { id: device, u: { pasid_replace: { pasid, pt_id: pt } } });
		},
		pasid_detach({ device, pasid }, context) {
			if (isBound(device)) (world.openFile(device).ops as VfioDeviceFile).detach(pasid);
			else steps.test(context, "pasid_detach", { id: device, u: { pasid_detach: { pasid } } });
		},
		pasid_check({ device, pasid, hwpt }, context) {
			if (!isBound(device)) {
				steps.test(context, "pasid_check", { id: device, u: { pasid_check: { pasid, hwpt_id: hwpt } } });
				return;
			}
			const wanted = hwpt === 0 ? undefined : world.iommufd(context.fd).objects.get(hwpt, TableEntity).table;
			if (world.host.routes.tableOf(steps.device(context, device), pasid) !== wanted) throw new Errno("EINVAL", "another table");
		},
		hw_info({ dev, data_len, type, raw_flags, reserved, null_buf }, context) {
			const bytes = new Uint8Array(data_len).fill(0xff);
			const flags = (type === undefined ? 0 : 1) | (raw_flags ?? 0);
			const input = { flags, dev_id: dev, data_len, data_uptr: null_buf ? 0n : bytes, data_type: { in: HW_TYPES[type ?? "default"] }, rsvd: [reserved ?? 0, 0, 0] };
			const out = steps.command(context, "get_hw_info", input);
			const known = out.data_type?.out === MOCK.hwInfoType ? "selftest" : "default";
			const gives: Record<string, unknown> = {
				data_len: out.data_len,
				type: known,
				dirty_cap: ((out.out_capabilities ?? 0n) & HW_CAPS.dirtyTracking) !== 0n,
				pasid_bits: out.out_max_pasid_log2,
				trailing_zero: bytes.subarray(testHwInfo.size).every((byte) => byte === 0),
			};
			if (data_len >= testHwInfo.size) gives.regs = testHwInfo.decode(bytes).test_reg;
			return { gives } as never;
		},
		translate({ device, iova, access, pasid }, context) {
			const answer = world.machine.dma(steps.device(context, device), pasid ?? null, iova, access === "w" ? "write" : "read");
			return answer.kind === "fault" ? { error: "fault" } : { gives: { va: answer.physical } };
		},
		hwpt_alloc({ dev, pt, flags, fault, data, raw_flags, reserved }, context) {
			const has = flags ?? { nest_parent: false, dirty: false, pasid: false, fault: false };
			const bits = (has.nest_parent ? HWPT_FLAGS.nestParent : 0) | (has.dirty ? HWPT_FLAGS.dirtyTracking : 0) | (has.fault ? HWPT_FLAGS.faultIdValid : 0) | (has.pasid ? HWPT_FLAGS.pasid : 0);
			const type = data === undefined ? 0 : DATA_TYPES[data.type];
			const length = data === undefined ? 0 : Number(data.len ?? (data.type === "none" ? 0n : BigInt(hwptSelftest.size)));
			const bytes = new Uint8Array(Math.max(length, hwptSelftest.size));
			bytes.set(hwptSelftest.encode({ iotlb: Number(data?.iotlb ?? BigInt(MOCK.iotlbDefault)) }));
			const input = { flags: bits | (raw_flags ?? 0), dev_id: dev, pt_id: pt, rsvd: reserved, data_type: type, data_len: length, data_uptr: data === undefined || data.null ? 0n : bytes, fault_id: fault };
			return { binds: { self: steps.command(context, "hwpt_alloc", input).out_hwpt_id } };
		},
		check_map({ hwpt, iova, length, user_va }, context) {
			steps.test(context, "check_map", { id: hwpt, u: { check_map: { iova, length, uptr: user_va } } });
		},
		hwpt_invalidate({ hwpt, entries, type, entry_len, null_array, reserved }, context) {
			const virtual = entries.some(({ vdev, cache }) => vdev !== undefined || cache !== undefined);
			const size = virtual ? viommuInvalidateSelftest.size : hwptInvalidateSelftest.size;
			const stride = { exact: size, one: 1, plus_one: size + 1, zero: 0 }[entry_len ?? "exact"];
			const bytes = new Uint8Array(entries.length * (size + 1) + 64);
			entries.forEach(({ all, iotlb, cache, vdev, bad_flags }, i) => {
				const flags = bad_flags ? 0xffff_ffff : all ? 1 : 0;
				const encoded = virtual
					? viommuInvalidateSelftest.encode({ flags, vdev_id: Number(vdev ?? 0n), cache_id: Number(cache ?? 0n) })
					: hwptInvalidateSelftest.encode({ flags, iotlb_id: Number(iotlb ?? 0n) });
				bytes.set(encoded, i * Math.max(stride, size));
			});
			const input = {
				hwpt_id: hwpt,
				data_uptr: null_array ? 0n : bytes,
				data_type: type === "invalid" ? MOCK.invalidateDataInvalid : MOCK.invalidateData,
				entry_len: stride,
				entry_num: entries.length,
				rsvd: reserved,
			};
			const { error, out } = steps.attempt(context, "hwpt_invalidate", input);
			return { error, gives: { done: out.entry_num ?? 0 } };
		},
		check_iotlb({ hwpt, entry, value }, context) {
			const ids = entry === "all" ? [0, 1, 2, 3] : [entry];
			for (const id of ids) steps.test(context, "check_iotlb", { id: hwpt, u: { check_iotlb: { id, iotlb: Number(value) } } });
		},
		check_cache({ dev, entry, value }, context) {
			const ids = entry === "all" ? [0, 1, 2, 3] : [entry];
			for (const id of ids) steps.test(context, "check_dev_cache", { id: dev, u: { check_dev_cache: { id, cache: Number(value) } } });
		},
		set_dirty_tracking({ hwpt, enable, raw_flags }, context) {
			steps.command(context, "hwpt_set_dirty_tracking", { hwpt_id: hwpt, flags: (enable ? 1 : 0) | (raw_flags ?? 0) });
		},
		mark_dirty({ hwpt, iova, length, page_size, bits }, context) {
			const { out } = steps.test(context, "dirty", { id: hwpt, u: { dirty: { iova, length, page_size, uptr: bitmap(length, page_size, bits) } } });
			return { gives: { count: out.u?.dirty?.out_nr_dirty ?? 0n } };
		},
		get_dirty_bitmap({ hwpt, iova, length, page_size, no_clear, raw_flags, reserved }, context) {
			const data = bitmap(length, page_size, []);
			steps.command(context, "hwpt_get_dirty_bitmap", { hwpt_id: hwpt, flags: (no_clear ? 1 : 0) | (raw_flags ?? 0), rsvd: reserved, iova, length, page_size, data });
			const bits: number[] = [];
			for (let bit = 0; bit < data.length * 8; bit++) if ((data[bit >> 3] & (1 << (bit & 7))) !== 0) bits.push(bit);
			return { gives: { bits } };
		},
	};
}

/** An array with a bit for each page, as far as that is a sane number. */
function bitmap(length: bigint, page: bigint, bits: readonly number[]): Uint8Array {
	const pages = page === 0n ? 64n : length / page + 1n;
	const bytes = new Uint8Array(Number((pages > 1n << 23n ? 1n << 23n : pages) / 8n) + 8);
	for (const bit of bits) if (bit >> 3 < bytes.length) bytes[bit >> 3] |= 1 << (bit & 7);
	return bytes;
}
