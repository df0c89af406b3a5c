import { CoreError, type DeviceDriver } from "../core/index.ts";

/**
 * A whole PCI function given to a user: by its RID, and with a vPASID by RID and that PASID. Where the device looks PASIDs up
 * in a table of its own, the number on the bus is another; where it takes ENQCMD, the PASID is one that CPUs may name.
 */
export const vfioPci: DeviceDriver = {
	name: "vfio-pci",
	ownership: "user",

	pasids({ capabilities }) {
		const { pasid, delegated, dmwr } = capabilities;
		return { supported: pasid, delegated: pasid && delegated, cpu: pasid && dmwr, translated: false };
	},

	attach(device, space, request, routes) {
		const { vpasid, queue } = request;
		if (queue !== undefined) throw new CoreError("Unsupported", `it has no queue ${queue} with a route of its own`, { operation: "attach", object: `device ${device.name}` });
		if (vpasid === undefined) return routes.attachRid(device, space, request);
		const mode = device.capabilities.dmwr ? "rid_pasid_global" : "rid_pasid";
		if (!device.capabilities.virtualTable) return routes.attachPasid(device, space, request, vpasid, mode);
		const pasid = routes.takePasid(device, [vpasid]);
		try {
			return routes.attachPasid(device, space, request, pasid, mode);
		} catch (error) {
			routes.givePasid(device, pasid);
			throw error;
		}
	},
};
