import type { AttachHints, Attachment, Device, DeviceDriver, Slots, Space } from "../core/index.ts";

/** A whole PCI function given to user space: routed by its RID. */
export class VfioPci implements DeviceDriver {
	readonly name = "vfio-pci";

	constructor(private readonly slots: Slots) {}

	attach(device: Device, space: Space, hints?: AttachHints): Attachment {
		return this.slots.attachRid(device, space, hints);
	}

	detach(device: Device): void {
		this.slots.detachRid(device);
	}
}
