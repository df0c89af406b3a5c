import { CoreError, type DeviceDriver } from "../core/index.ts";

/** A device made by software: nothing is put into the IOMMU, its driver looks addresses up in the space. */
export const mdevSw: DeviceDriver = {
	name: "mdev-sw",
	ownership: "user",
	part: true,
	software: true,

	attach(device, space, request, routes) {
		if (request.vpasid !== undefined || request.queue !== undefined) throw new CoreError("Unsupported", "software has no PASIDs and no queues", { operation: "attach", object: `device ${device.name}` });
		return routes.attachSoftware(device, space, request);
	},
};
