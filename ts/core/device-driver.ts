import type { Attachment } from "./attachment.ts";
import type { Device } from "./device.ts";
import type { AttachHints } from "./iommu-driver.ts";
import type { Space } from "./space.ts";

/**
 * The driver behind a device: it alone decides how the device is routed into an address space. Doors call `attach`;
 * a door never names a slot.
 */
export interface DeviceDriver {
	readonly name: string;
	/** @throws CoreError */
	attach(device: Device, space: Space, hints?: AttachHints): Attachment;
	/** @throws CoreError NotFound when nothing is attached */
	detach(device: Device): void;
}
