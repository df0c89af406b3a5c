/** Commands on virtual IOMMUs. */
import { EventQueue, IoAccess, LAST_ADDRESS, type MemoryObject, PAGE, userCallsOf, VirtualIommu } from "../../core/index.ts";
import { Errno } from "../errno.ts";
import { type Call, refuseUnknown, userData } from "./call.ts";
import type { Iommufd } from "./door.ts";
import { DeviceEntity, HwQueueEntity, PagingEntity, VdeviceEntity, VeventqEntity, ViommuEntity } from "./entities.ts";
import { VeventFile } from "./queue-files.ts";

export function viommuAlloc(door: Iommufd, { values, memory, respond }: Call<"viommu_alloc">): void {
	// the kernel does not look at the reserved field
	refuseUnknown(values.flags);
	if (values.type === 0) throw new Errno("EOPNOTSUPP", "no type is asked for");
	const { device } = door.objects.get(values.dev_id, DeviceEntity);
	const users = userCallsOf(device.iommu);
	if (users?.createVirtual === undefined) throw new Errno("EOPNOTSUPP", "its IOMMU has no virtual ones");
	const data = values.data_len === 0 ? null : userData(memory, values.type, values.data_uptr, values.data_len);
	// an unknown type is refused before the table is looked at
	if (!users.virtualTypes?.includes(values.type)) throw new Errno("EOPNOTSUPP", `no virtual IOMMU of type 0x${values.type.toString(16)}`);
	const parent = door.objects.get(values.hwpt_id, PagingEntity);
	if (!parent.table.nestParent) throw new Errno("EINVAL", "the table was not made to be a parent");
	if (parent.table.iommu !== device.iommu) throw new Errno("EINVAL", "the table is of another IOMMU");
	door.objects.create((id) => {
		const viommu = new VirtualIommu(`viommu ${id}`, device.iommu, parent.table);
		const entity = new ViommuEntity(viommu, parent, (one) => door.closeRegion(one));
		try {
			const place = (object: MemoryObject) => {
				const offset = door.placeRegion(entity, object.size);
				entity.region = { object, offset };
				return offset;
			};
			const unit = users.createVirtual?.(device.rid, values.type, data, viommu, place);
			if (unit === undefined) throw new Errno("EOPNOTSUPP", `no virtual IOMMU of type 0x${values.type.toString(16)}`);
			viommu.unit = unit;
			respond({ out_viommu_id: id });
		} catch (error) {
			door.closeRegion(entity);
			(viommu.unit as typeof viommu.unit | undefined)?.close?.();
			parent.holders--;
			throw error;
		}
		return entity;
	});
}

export function vdeviceAlloc(door: Iommufd, { values, respond }: Call<"vdevice_alloc">): void {
	const viommu = door.objects.get(values.viommu_id, ViommuEntity);
	const device = door.objects.get(values.dev_id, DeviceEntity);
	if (viommu.viommu.iommu !== device.device.iommu) throw new Errno("EINVAL", "the device is behind another IOMMU");
	if (device.vdevice !== null) throw new Errno("EEXIST", `the device is virtual device ${device.vdevice.id}`);
	door.objects.create((id) => {
		viommu.viommu.addDevice(values.virt_id, device.device);
		const entity = new VdeviceEntity(viommu, device, values.virt_id);
		try {
			respond({ out_vdevice_id: id });
		} catch (error) {
			entity.destroy();
			throw error;
		}
		return entity;
	});
}

export function veventqAlloc(door: Iommufd, { values, caller, respond }: Call<"veventq_alloc">): void {
	refuseUnknown(values.flags, values.rsvd);
	if (values.type === 0) throw new Errno("EOPNOTSUPP", "no type is asked for");
	if (values.veventq_depth === 0) throw new Errno("EINVAL", "a queue of no depth");
	const viommu = door.objects.get(values.viommu_id, ViommuEntity);
	if (viommu.viommu.events.has(values.type)) throw new Errno("EEXIST", `it has a queue of type 0x${values.type.toString(16)}`);
	const { failures } = door.host.machine;
	const entity = door.objects.create(() => new VeventqEntity(new EventQueue(values.veventq_depth, failures), viommu, values.type));
	try {
		door.openFile(
			caller,
			"[iommufd-viommu-event]",
			() => new VeventFile(entity, () => door.drop()),
			(fd) => respond({ out_veventq_id: entity.id, out_veventq_fd: fd }),
		);
	} catch (error) {
		door.objects.remove(entity);
		throw error;
	}
}

export function hwQueueAlloc(door: Iommufd, { values, respond }: Call<"hw_queue_alloc">): void {
	refuseUnknown(values.flags);
	const { type, index, length, nesting_parent_iova: iova } = values;
	if (type === 0) throw new Errno("EOPNOTSUPP", "no type is asked for");
	if (length === 0n) throw new Errno("EINVAL", "a queue of no length");
	if (iova + length - 1n > LAST_ADDRESS) throw new Errno("EOVERFLOW", "the queue wraps");
	const viommu = door.objects.get(values.viommu_id, ViommuEntity);
	const { unit } = viommu.viommu;
	if (unit.createQueue === undefined || !unit.queueTypes?.includes(type)) throw new Errno("EOPNOTSUPP", `no queues of type 0x${type.toString(16)}`);
	door.objects.create((id) => {
		const access = new IoAccess(`hw queue ${id}`, true, null);
		access.moveTo(viommu.parent.ioas.space);
		const undo: Array<() => void> = [() => access.moveTo(null)];
		try {
			const first = iova & ~(PAGE - 1n);
			const pin = access.pin(first, ((iova + length - 1n) | (PAGE - 1n)) + 1n - first, false, true);
			undo.push(() => access.unpin(pin, true));
			if (pin.pages.length !== 1) throw new Errno("EFAULT", "its pages do not follow one another");
			const queue = unit.createQueue?.(type, index, pin.pages[0].address + (iova - first), iova);
			if (queue === undefined) throw new Errno("EOPNOTSUPP", `no queue of type 0x${type.toString(16)}`);
			undo.push(() => queue.close());
			const after = queue.after === undefined ? null : ([...door.objects].find((one) => one instanceof HwQueueEntity && one.viommu === viommu && one.type === type && one.index === queue.after) as HwQueueEntity);
			respond({ out_hw_queue_id: id });
			return new HwQueueEntity(queue, viommu, type, index, after, access, pin);
		} catch (error) {
			for (const each of undo.reverse()) each();
			throw error;
		}
	});
}
