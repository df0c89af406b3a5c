/** The objects that iommufd numbers. */
import type { Device, EventQueue, FaultQueue, HardwareQueue, HardwareTable, IoAccess, IoPin, IoSpace, MappedTable, MemoryObject, NestedTable, VirtualIommu } from "../../core/index.ts";
import { Entity } from "./objects.ts";

export class IoasEntity extends Entity {
	readonly kind = "ioas";

	constructor(
		readonly space: IoSpace,
		/** the file forgets it as its container's space */
		private readonly forget: (ioas: IoasEntity) => void,
	) {
		super();
	}

	destroy(): void {
		this.forget(this);
		this.space.unmap(0n, (1n << 64n) - 1n);
	}
}

/** Tables: what attachments hold. */
export abstract class TableEntity extends Entity {
	abstract readonly table: HardwareTable;
	fault: FaultEntity | null = null;

	protected dropFault(): void {
		if (this.fault !== null) this.fault.holders--;
		this.fault = null;
		this.table.faultQueue = null;
	}
}

export class PagingEntity extends TableEntity {
	readonly kind = "paging";

	constructor(
		readonly table: MappedTable,
		readonly ioas: IoasEntity,
	) {
		super();
		ioas.holders++;
	}

	destroy(): void {
		this.dropFault();
		this.table.close();
		this.ioas.holders--;
	}
}

export class NestedEntity extends TableEntity {
	readonly kind = "nested";

	constructor(
		readonly table: NestedTable,
		readonly under: PagingEntity | ViommuEntity,
	) {
		super();
		under.holders++;
	}

	destroy(): void {
		this.dropFault();
		this.under.holders--;
	}
}

export class DeviceEntity extends Entity {
	readonly kind = "device";
	vdevice: VdeviceEntity | null = null;

	constructor(
		readonly device: Device,
		/** the file's objects live until it is unbound */
		readonly keepsOpen: boolean,
	) {
		super();
		// its driver holds it until it is unbound
		this.holders = 1;
	}

	destroy(): void {}
}

export class FaultEntity extends Entity {
	readonly kind = "fault";

	constructor(readonly queue: FaultQueue) {
		super();
	}

	destroy(): void {
		this.queue.abandon();
	}
}

export class ViommuEntity extends Entity {
	readonly kind = "viommu";
	/** what the user may map of it, and where in the file */
	region: { object: MemoryObject; offset: bigint } | null = null;

	constructor(
		readonly viommu: VirtualIommu,
		readonly parent: PagingEntity,
		private readonly closeRegion: (viommu: ViommuEntity) => void,
	) {
		super();
		parent.holders++;
	}

	destroy(): void {
		this.closeRegion(this);
		this.viommu.unit.close?.();
		this.parent.holders--;
	}
}

export class VdeviceEntity extends Entity {
	readonly kind = "vdevice";

	constructor(
		readonly viommu: ViommuEntity,
		readonly device: DeviceEntity,
		readonly virtualId: bigint,
	) {
		super();
		viommu.holders++;
		device.vdevice = this;
	}

	destroy(): void {
		this.viommu.viommu.devices.delete(this.virtualId);
		this.device.vdevice = null;
		this.viommu.holders--;
	}
}

export class VeventqEntity extends Entity {
	readonly kind = "veventq";

	constructor(
		readonly queue: EventQueue,
		readonly viommu: ViommuEntity,
		readonly type: number,
	) {
		super();
		viommu.holders++;
		viommu.viommu.events.set(type, queue);
	}

	destroy(): void {
		this.viommu.viommu.events.delete(this.type);
		this.viommu.holders--;
	}
}

export class HwQueueEntity extends Entity {
	readonly kind = "hw_queue";

	constructor(
		readonly queue: HardwareQueue,
		readonly viommu: ViommuEntity,
		readonly type: number,
		readonly index: number,
		readonly after: HwQueueEntity | null,
		private readonly access: IoAccess,
		private readonly pin: IoPin,
	) {
		super();
		viommu.holders++;
		viommu.parent.ioas.holders++;
		if (after !== null) after.holders++;
	}

	destroy(): void {
		this.queue.close();
		this.access.unpin(this.pin, true);
		this.access.moveTo(null);
		this.viommu.parent.ioas.holders--;
		this.viommu.holders--;
		if (this.after !== null) this.after.holders--;
	}
}
