import type { AddressSpace, Attached, BindingMode } from "./address-space.ts";
import type { Device } from "./device.ts";
import type { IommuDriver } from "./iommu-driver.ts";
import type { Slot } from "./slot.ts";

/** A device routed into a space. */
export class Attachment implements Attached {
	/** the route was closed */
	closed = false;
	/** a second PASID that leads to the same space */
	alias: Slot | null = null;
	/** pins that the root has because of it */
	holds = false;

	constructor(
		readonly device: Device,
		/** replaced when a space changes its kind under its number */
		public space: AddressSpace,
		/** replaced with it */
		public mode: BindingMode,
		/** null: software, or a note under a PASID table */
		readonly slot: Slot | null,
		readonly options: {
			/** number that the user knows the route by */
			vpasid?: number;
			/** a queue of the device with a route of its own */
			queue?: string;
			noSnoopUnused?: boolean;
		},
	) {}

	get iommu(): IommuDriver {
		return this.device.iommu;
	}

	get ats(): boolean {
		return this.device.capabilities.ats;
	}

	get pri(): boolean {
		return this.device.capabilities.pri;
	}

	/** the PASID on the bus, null for none */
	get pasid(): number | null {
		return this.slot?.pasid ?? null;
	}

	get vpasid(): number | null {
		return this.options.vpasid ?? null;
	}
}
