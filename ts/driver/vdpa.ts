import { CoreError, type DeviceDriver } from "../core/index.ts";
import { vfioPci } from "./vfio-pci.ts";

/**
 * A vDPA device: data queues by RID, the control queue by a PASID of its own that the driver chooses. Its rings want
 * coherent DMA, so the IOMMU has to enforce snooping.
 */
export const vdpa: DeviceDriver = {
	name: "vdpa",
	ownership: "user",
	pasids: vfioPci.pasids,

	bind(device) {
		if (!device.iommu.capabilities.enforcesSnoop) throw new CoreError("Unsupported", `${device.iommu.name} cannot enforce snooping`, { operation: "bind", object: `device ${device.name}` });
	},

	attach(device, space, request, routes) {
		if (request.queue === undefined) return vfioPci.attach(device, space, request, routes);
		const context = { operation: "attach", object: `device ${device.name}` };
		if (request.queue !== "cvq" || request.vpasid !== undefined) throw new CoreError("Unsupported", "its one queue with a route of its own is cvq", context);
		const pasid = routes.takePasid(device);
		try {
			return routes.attachPasid(device, space, request, pasid, "rid_pasid");
		} catch (error) {
			routes.givePasid(device, pasid);
			throw error;
		}
	},
};
