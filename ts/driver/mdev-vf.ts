import { CoreError, type DeviceDriver } from "../core/index.ts";

/** A virtual function wrapped by a driver (for migration, say): it is routed by the function's RID, in the function's group. */
export const mdevVf: DeviceDriver = {
	name: "mdev-vf",
	ownership: "user",
	part: true,

	attach(device, space, request, routes) {
		if (request.vpasid !== undefined || request.queue !== undefined) throw new CoreError("Unsupported", "it is routed by its RID alone", { operation: "attach", object: `device ${device.name}` });
		return routes.attachRid(device, space, request);
	},
};
