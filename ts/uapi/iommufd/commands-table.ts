/** Commands on tables, devices and page requests. */
import { FaultQueue, LAST_ADDRESS, MappedTable, NestedTable, PAGE, userCallsOf } from "../../core/index.ts";
import { DIRTY_BITMAP_FLAGS, DIRTY_FLAGS, HW_CAPS, HW_INFO_FLAGS, HWPT_FLAGS } from "../abi/iommufd.ts";
import { Errno } from "../errno.ts";
import { clearUser, copyFromUser, copyToUser, type UserMemory } from "../user-memory.ts";
import { type Call, refuseUnknown, userArray, userData } from "./call.ts";
import type { Iommufd } from "./door.ts";
import { DeviceEntity, FaultEntity, IoasEntity, NestedEntity, PagingEntity, type TableEntity, ViommuEntity } from "./entities.ts";
import type { Entity } from "./objects.ts";
import { FaultFile } from "./queue-files.ts";

type AllocCall = Call<"hwpt_alloc">;

/** What one device can do. */
export function deviceInfo({ device }: DeviceEntity): { dirty: boolean; pasidBits: number } {
	const { iommu, capabilities } = device;
	return userCallsOf(iommu)?.deviceInfo?.(device.rid) ?? { dirty: iommu.capabilities.dirty, pasidBits: capabilities.pasid ? iommu.capabilities.pasidBits : 0 };
}

function dataOf({ values, memory }: AllocCall) {
	return values.data_len === 0 ? undefined : userData(memory, values.data_type, values.data_uptr, values.data_len);
}

/** @throws Errno, CoreError */
function pagingTable(call: AllocCall, device: DeviceEntity, ioas: IoasEntity): (id: number) => PagingEntity {
	const { flags } = call.values;
	refuseUnknown(flags & ~(HWPT_FLAGS.nestParent | HWPT_FLAGS.dirtyTracking | HWPT_FLAGS.faultIdValid | HWPT_FLAGS.pasid));
	const has = (flag: number) => (flags & flag) !== 0;
	if (has(HWPT_FLAGS.dirtyTracking) && !deviceInfo(device).dirty) throw new Errno("EOPNOTSUPP", "the device records no writes");
	if (has(HWPT_FLAGS.faultIdValid) && has(HWPT_FLAGS.nestParent)) throw new Errno("EOPNOTSUPP", "a nesting parent delivers no faults");
	const options = { nestParent: has(HWPT_FLAGS.nestParent), dirty: has(HWPT_FLAGS.dirtyTracking), pasid: has(HWPT_FLAGS.pasid), data: dataOf(call) };
	return (id) => {
		const entity = new PagingEntity(new MappedTable(ioas.space, device.device.iommu, options, `table ${id}`), ioas);
		try {
			ioas.space.addTable(entity.table);
		} catch (error) {
			entity.destroy();
			throw error;
		}
		return entity;
	};
}

/** @throws Errno, CoreError */
function nestedTable(call: AllocCall, { device }: DeviceEntity, under: PagingEntity | ViommuEntity): (id: number) => NestedEntity {
	const { flags } = call.values;
	const { iommu } = device;
	const data = dataOf(call);
	const calls = userCallsOf(iommu);
	const createNested = calls?.createNested?.bind(calls);
	refuseUnknown(flags & ~(HWPT_FLAGS.faultIdValid | HWPT_FLAGS.pasid));
	if (data === undefined || createNested === undefined) throw new Errno("EOPNOTSUPP", "a nested table needs the driver and data for it");
	const parent = under instanceof ViommuEntity ? under.parent : under;
	if (parent.table.iommu !== iommu) throw new Errno("EINVAL", "the parent is a table of another IOMMU");
	if (under instanceof PagingEntity && !parent.table.nestParent) throw new Errno("EINVAL", "the parent was not made to be one");
	const virtual = under instanceof ViommuEntity ? under.viommu : null;
	return (id) => {
		const user = createNested(parent.table.hardware, data, virtual?.unit ?? null);
		return new NestedEntity(new NestedTable(parent.table, user, iommu, (flags & HWPT_FLAGS.pasid) !== 0, `table ${id}`), under);
	};
}

function tableMaker(door: Iommufd, call: AllocCall, device: DeviceEntity): (id: number) => TableEntity {
	let under: Entity;
	try {
		under = door.objects.any(call.values.pt_id);
	} catch (error) {
		throw new Errno("EINVAL", `nothing to make a table of under ${call.values.pt_id}`, { cause: error });
	}
	if (under instanceof IoasEntity) return pagingTable(call, device, under);
	if (under instanceof PagingEntity || under instanceof ViommuEntity) return nestedTable(call, device, under);
	throw new Errno("EINVAL", `no table is made of a ${under.kind}`);
}

export function alloc(door: Iommufd, call: AllocCall): void {
	const { values, respond } = call;
	refuseUnknown(values.rsvd);
	if ((values.data_type === 0) !== (values.data_len === 0)) throw new Errno("EINVAL", "data without type, or a type without data");
	const device = door.objects.get(values.dev_id, DeviceEntity);
	door.addTable(tableMaker(door, call, device), (made) => {
		if ((values.flags & HWPT_FLAGS.faultIdValid) !== 0) {
			made.fault = door.objects.get(values.fault_id, FaultEntity);
			made.fault.holders++;
			made.table.faultQueue = made.fault.queue;
		}
		respond({ out_hwpt_id: made.id });
	});
}

export function hardwareInfo(door: Iommufd, { values, memory, respond }: Call<"get_hw_info">): void {
	refuseUnknown(values.flags & ~HW_INFO_FLAGS.inputType, ...values.rsvd);
	const device = door.objects.get(values.dev_id, DeviceEntity);
	const users = userCallsOf(device.device.iommu);
	const asked = (values.flags & HW_INFO_FLAGS.inputType) === 0 ? 0 : values.data_type.in;
	if (users?.hardwareInfo === undefined && asked !== 0) throw new Errno("EOPNOTSUPP", `no information of type ${asked}`);
	const info = users?.hardwareInfo?.(device.device.rid, asked) ?? { type: 0, bytes: new Uint8Array(0) };
	const { bytes } = info;
	const length = Math.min(values.data_len, bytes.length);
	if (values.data_len > 0 && values.data_uptr === 0n) throw new Errno("EFAULT", "no buffer for the information");
	if (length > 0) copyToUser(memory, values.data_uptr, bytes.subarray(0, length));
	if (values.data_len > length) clearUser(memory, values.data_uptr + BigInt(length), values.data_len - length);
	const { dirty, pasidBits } = deviceInfo(device);
	respond({ data_len: bytes.length, data_type: { out: info.type }, out_max_pasid_log2: pasidBits, out_capabilities: dirty ? HW_CAPS.dirtyTracking : 0n });
}

export function setDirtyTracking(door: Iommufd, { values }: Call<"hwpt_set_dirty_tracking">): void {
	refuseUnknown(values.flags & ~DIRTY_FLAGS.enable);
	const { table } = door.objects.get(values.hwpt_id, PagingEntity);
	table.setTracking((values.flags & DIRTY_FLAGS.enable) !== 0);
}

export function dirtyBitmap(door: Iommufd, { values, memory }: Call<"hwpt_get_dirty_bitmap">): void {
	refuseUnknown(values.flags & ~DIRTY_BITMAP_FLAGS.noClear, values.rsvd);
	const { table } = door.objects.get(values.hwpt_id, PagingEntity);
	const { iova, length, page_size: page, data } = values;
	const last = iova + BigInt.asUintN(64, length - 1n);
	if (last > LAST_ADDRESS) throw new Errno("EOVERFLOW", "the range wraps");
	const end = last + 1n;
	const { granule } = table.space;
	if ((iova | end) & (granule - 1n)) throw new Errno("EINVAL", `the granule is 0x${granule.toString(16)}`);
	if (page === 0n || (iova | end) & (page - 1n)) throw new Errno("EINVAL", `the range is no multiple of 0x${page.toString(16)}`);
	const bits = new Map<bigint, number>();
	table.readDirty(iova, last, false, (at, size) => {
		// a large leaf may reach out of the range
		const from = at > iova ? at : iova;
		const to = at + size - 1n < last ? at + size - 1n : last;
		for (let bit = (from - iova) / page; bit <= (to - iova) / page; bit++) bits.set(bit >> 3n, (bits.get(bit >> 3n) ?? 0) | (1 << Number(bit & 7n)));
	});
	setBits(memory, data, bits);
	// forgotten once the caller has them
	if (bits.size > 0 && (values.flags & DIRTY_BITMAP_FLAGS.noClear) === 0) table.readDirty(iova, last, true, () => {});
}

/** Set bits in a caller's array: by byte from its start, a page of it at a time. @throws Errno EFAULT */
function setBits(memory: UserMemory, data: bigint, bits: ReadonlyMap<bigint, number>): void {
	const pages = new Map<bigint, bigint[]>();
	for (const byte of bits.keys()) {
		const page = (data + byte) / PAGE;
		const known = pages.get(page);
		if (known === undefined) pages.set(page, [byte]);
		else known.push(byte);
	}
	for (const bytes of pages.values()) {
		const first = bytes.reduce((least, byte) => (byte < least ? byte : least));
		const last = bytes.reduce((most, byte) => (byte > most ? byte : most));
		const array = copyFromUser(memory, data + first, Number(last - first) + 1);
		for (const byte of bytes) array[Number(byte - first)] |= bits.get(byte) as number;
		copyToUser(memory, data + first, array);
	}
}

export function invalidate(door: Iommufd, { values, memory, respond }: Call<"hwpt_invalidate">): void {
	let done = 0;
	try {
		refuseUnknown(values.rsvd);
		if (values.entry_num > 0 && (values.data_uptr === 0n || values.entry_len === 0)) throw new Errno("EINVAL", "entries without place or length");
		const target = door.objects.any(values.hwpt_id);
		const entries = userArray(memory, values.data_type, values.data_uptr, values.entry_len, values.entry_num);
		if (!(target instanceof NestedEntity || target instanceof ViommuEntity)) throw new Errno("EINVAL", `a ${target.kind} has no caches of the user`);
		const result = target instanceof NestedEntity ? userCallsOf(target.table.iommu)?.invalidate?.(target.table.user, entries) : target.viommu.unit.invalidate?.(entries);
		if (result === undefined) throw new Errno("EOPNOTSUPP", "its caches are not the user's");
		done = result.done;
		if (result.refused !== undefined) throw result.refused;
	} finally {
		respond({ entry_num: done });
	}
}

export function faultQueueAlloc(door: Iommufd, { values, caller, respond }: Call<"fault_queue_alloc">): void {
	refuseUnknown(values.flags);
	const { failures } = door.host.machine;
	const entity = door.objects.create(() => new FaultEntity(new FaultQueue(failures)));
	try {
		door.openFile(
			caller,
			"[iommufd-pgfault]",
			() => new FaultFile(entity, (device) => door.deviceId(device), () => door.drop()),
			(fd) => respond({ out_fault_id: entity.id, out_fault_fd: fd }),
		);
	} catch (error) {
		door.objects.remove(entity);
		throw error;
	}
}
