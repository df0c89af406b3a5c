import type { DeviceDriver, Slots } from "../core/index.ts";
import { VfioPci } from "./vfio-pci.ts";

/** Drivers by name: one line for each. */
export const drivers: Record<string, (slots: Slots) => DeviceDriver> = {
	"vfio-pci": (slots) => new VfioPci(slots),
};
