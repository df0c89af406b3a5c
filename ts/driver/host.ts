import { CoreError, type DeviceDriver, type DmaOwnership } from "../core/index.ts";

function keeps(name: string, ownership: DmaOwnership): DeviceDriver {
	return {
		name,
		ownership,
		attach(device) {
			throw new CoreError("Unsupported", `its driver ${name} gives nothing to users`, { operation: "attach", object: `device ${device.name}` });
		},
	};
}

/** A host driver that makes DMA. */
export const kernel = keeps("kernel", "kernel");
/** pci-stub: it holds a function for nobody and makes no DMA. */
export const pciStub = keeps("pci-stub", "none");
/** PCI interconnect. */
export const bridge = keeps("bridge", "none");
/** No driver at all. */
export const none = keeps("none", "none");
