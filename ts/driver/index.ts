import type { DeviceDriver } from "../core/index.ts";
import { bridge, kernel, none, pciStub } from "./host.ts";
import { mdevPasid } from "./mdev-pasid.ts";
import { mdevSw } from "./mdev-sw.ts";
import { mdevVf } from "./mdev-vf.ts";
import { vdpa } from "./vdpa.ts";
import { vfioPci } from "./vfio-pci.ts";

/** Drivers by name: one line for each. */
export const drivers = {
	"vfio-pci": vfioPci,
	"mdev-pasid": mdevPasid,
	"mdev-sw": mdevSw,
	"mdev-vf": mdevVf,
	vdpa,
	kernel,
	"pci-stub": pciStub,
	bridge,
	none,
} satisfies Record<string, DeviceDriver>;
