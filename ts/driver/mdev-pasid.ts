import { CoreError, type Device, type DeviceDriver, type RouteOperations } from "../core/index.ts";

/** Hidden PASID of each part's own requests, as long as a user has it. */
const defaults = new WeakMap<Device, number>();

function defaultPasid(device: Device, routes: RouteOperations): number {
	const known = defaults.get(device);
	if (known !== undefined) return known;
	const pasid = routes.takePasid(device);
	defaults.set(device, pasid);
	return pasid;
}

/**
 * A part of a function (SIOV): its requests carry a PASID of the parent's RID that its user never learns. A vPASID gets a
 * physical PASID of its own; where the part takes ENQCMD, one number for all parts of an address space, so that the CPU
 * can translate it.
 */
export const mdevPasid: DeviceDriver = {
	name: "mdev-pasid",
	ownership: "user",
	part: true,

	pasids({ capabilities }) {
		const { pasid, dmwr } = capabilities;
		return { supported: pasid, delegated: false, cpu: pasid && dmwr, translated: pasid && dmwr };
	},

	defaultPasid(device) {
		return defaults.get(device) ?? null;
	},

	unbind(device, routes) {
		const pasid = defaults.get(device);
		if (pasid === undefined) return;
		defaults.delete(device);
		routes.givePasid(device, pasid);
	},

	attach(device, space, request, routes) {
		const { vpasid, queue } = request;
		const context = { operation: "attach", object: `device ${device.name}` };
		if (queue !== undefined) throw new CoreError("Unsupported", `it has no queue ${queue} with a route of its own`, context);
		if (space.kind === "pasid-table") throw new CoreError("Unsupported", "a part of a function has no PASID table", context);
		if (vpasid === undefined) return routes.attachPasid(device, space, request, defaultPasid(device, routes), "rid_pasid");
		if (!device.capabilities.pasid) throw new CoreError("Unsupported", "it has its hidden PASID and nothing else", context);
		if (device.capabilities.dmwr) return routes.attachPasid(device, space, request, routes.globalPasid(space, vpasid, device), "rid_pasid_global");
		const pasid = routes.takePasid(device, [vpasid]);
		try {
			return routes.attachPasid(device, space, request, pasid, "rid_pasid");
		} catch (error) {
			routes.givePasid(device, pasid);
			throw error;
		}
	},
};
