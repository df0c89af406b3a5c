import type { Attached } from "./address-space.ts";
import type { Device } from "./device.ts";
import { CoreError } from "./errors.ts";
import type { FaultAnswer, PageFault } from "./fault-queue.ts";
import type { Group } from "./group.ts";
import type { HardwareTable } from "./io-table.ts";
import { userCallsOf } from "./iommu-user.ts";
import { applyAll, type Requester, Slot } from "./slot.ts";

/** One group under one PASID (or none): members share the table. */
interface Route {
	table: HardwareTable;
	readonly slot: Slot;
	readonly members: Set<Device>;
	readonly mark: Attached;
}

/** Devices that are led to tables as objects. A group has one table for each PASID, and one for requests without. */
export class TableRoutes {
	private readonly groups = new WeakMap<Group<Device>, Map<number | null, Route>>();
	/** pages of groups whose last one has not come, by device */
	private readonly partial = new WeakMap<Device, Array<{ group: number; pasid: number | null; fault: PageFault }>>();

	private routesOf(group: Group<Device>): Map<number | null, Route> {
		let routes = this.groups.get(group);
		if (routes === undefined) {
			routes = new Map();
			this.groups.set(group, routes);
		}
		return routes;
	}

	/** The table that the device's group is led to. */
	tableOf(device: Device, pasid: number | null): HardwareTable | undefined {
		return this.routesOf(device.group).get(pasid)?.table;
	}

	isAttached(device: Device, pasid: number | null): boolean {
		return this.routesOf(device.group).get(pasid)?.members.has(device) ?? false;
	}

	/** PASIDs under which a device is attached, null for none. */
	attachmentsOf(device: Device): Array<number | null> {
		return [...this.routesOf(device.group)].filter(([, route]) => route.members.has(device)).map(([pasid]) => pasid);
	}

	/**
	 * A device asks for a page. With the last page of its group the group goes to the queue of the table that the device uses;
	 * without a queue it is refused at once. `respond` tells the device.
	 * @throws CoreError NoSpace: the group is refused
	 */
	requestPage(device: Device, pasid: number | null, group: number, fault: PageFault, respond: (answer: FaultAnswer) => void): void {
		const waiting = this.partial.get(device) ?? [];
		if (!fault.last) {
			this.partial.set(device, [...waiting, { group, pasid, fault }]);
			return;
		}
		const mine = (one: { group: number; pasid: number | null }) => one.group === group && one.pasid === pasid;
		this.partial.set(
			device,
			waiting.filter((one) => !mine(one)),
		);
		const queue = this.tableOf(device, pasid)?.faultQueue;
		if (!queue) {
			respond("invalid");
			return;
		}
		try {
			queue.report({ device, pasid, group, faults: [...waiting.filter(mine).map((one) => one.fault), fault], respond });
		} catch (error) {
			respond("invalid");
			throw error;
		}
	}

	/** A table under requests without PASID and tables under PASIDs have to be made for that. @throws CoreError Invalid */
	private refusePasid(device: Device, pasid: number | null, table: HardwareTable, operation: string): void {
		const context = { operation, object: `device ${device.name}` };
		const routes = this.routesOf(device.group);
		table.refuseUnit(device.iommu, operation, context.object);
		if (pasid === null) {
			if (!table.pasid && [...routes.keys()].some((key) => key !== null)) throw new CoreError("Invalid", `PASIDs are attached, and ${table.name} was not made for that`, context);
			return;
		}
		if (pasid === 0) throw new CoreError("Invalid", "PASID 0 stands for requests without one", context);
		if (!table.pasid) throw new CoreError("Invalid", `${table.name} was not made for PASIDs`, context);
		const plain = routes.get(null)?.table;
		if (plain !== undefined && !plain.pasid) throw new CoreError("Invalid", `requests without PASID use ${plain.name}, which was not made to stand beside PASIDs`, context);
		const bits = userCallsOf(device.iommu)?.deviceInfo?.(device.rid).pasidBits ?? (device.capabilities.pasid ? device.iommu.capabilities.pasidBits : 0);
		if (pasid >= 2 ** bits) throw new CoreError("Invalid", `PASID ${pasid} is beyond ${bits} bits`, context);
	}

	private reserve(device: Device, table: HardwareTable, operation: string): void {
		table.bottom.space.reserveAll(device.reserved, device, operation);
	}

	private slotFor(device: Device, pasid: number | null): Slot {
		if (pasid === null) return device.requester.untagged;
		const requesters = [...new Set([...device.group.members].map(({ requester }) => requester))] as Requester[];
		return new Slot(requesters, pasid);
	}

	/** @throws CoreError Busy (attached already), Invalid (the group uses another table, or it does not fit), Conflict, and what the unit refuses with; nothing has changed */
	attach(device: Device, pasid: number | null, table: HardwareTable): void {
		const operation = "attach";
		const context = { operation, object: `device ${device.name}` };
		const routes = this.routesOf(device.group);
		const route = routes.get(pasid);
		if (route?.members.has(device)) throw new CoreError("Busy", `it is attached to ${route.table.name}`, context);
		if (route !== undefined && route.table !== table) throw new CoreError("Invalid", `its group uses ${route.table.name}`, context);
		if (pasid === null) this.reserve(device, table, operation);
		if (route !== undefined) {
			route.members.add(device);
			return;
		}
		try {
			this.refusePasid(device, pasid, table, operation);
			table.bottom.space.failures.pass("table", operation, context.object);
			routes.set(pasid, this.install(device, pasid, table));
		} catch (error) {
			if (pasid === null) table.bottom.space.unreserve(device);
			throw error;
		}
	}

	private install(device: Device, pasid: number | null, table: HardwareTable): Route {
		const slot = this.slotFor(device, pasid);
		if (!slot.empty) throw new CoreError("Busy", "another door has routed it", { operation: "attach", object: `device ${device.name}` });
		const mark: Attached = { mode: pasid === null ? "rid" : "rid_pasid", iommu: device.iommu, ats: device.capabilities.ats, pri: device.capabilities.pri, slot };
		const route: Route = { table, slot, members: new Set([device]), mark };
		slot.layers.push({ space: table, users: new Set([mark]) });
		if (pasid !== null) for (const requester of slot.requesters) requester.pasids.set(pasid, slot);
		applyAll(slot.requesters, () => {
			slot.layers.pop();
			if (pasid !== null) for (const requester of slot.requesters) requester.pasids.delete(pasid);
		});
		table.attachments.add(mark);
		return route;
	}

	/**
	 * Lead the whole group to another table; no other state shows in between.
	 * @returns the table that was used before, and how many devices moved
	 * @throws CoreError Invalid (the device itself is not attached), and as attach; the old table stays
	 */
	replace(device: Device, pasid: number | null, table: HardwareTable): { old: HardwareTable; moved: number } {
		const operation = "replace";
		const route = this.routesOf(device.group).get(pasid);
		if (route === undefined || !route.members.has(device)) throw new CoreError("Invalid", "it is not attached", { operation, object: `device ${device.name}` });
		const { table: old, slot, mark, members } = route;
		if (old === table) return { old, moved: 0 };
		const space = table.bottom.space;
		const elsewhere = pasid === null && space !== old.bottom.space;
		const reserved: Device[] = [];
		try {
			if (elsewhere) {
				for (const member of members) {
					this.reserve(member, table, operation);
					reserved.push(member);
				}
			}
			this.refusePasid(device, pasid, table, operation);
			space.failures.pass("table", operation, `device ${device.name}`);
			slot.layers[0] = { space: table, users: new Set([mark]) };
			applyAll(slot.requesters, () => {
				slot.layers[0] = { space: old, users: new Set([mark]) };
			});
		} catch (error) {
			for (const member of reserved) space.unreserve(member);
			throw error;
		}
		if (elsewhere) for (const member of members) old.bottom.space.unreserve(member);
		old.attachments.delete(mark);
		table.attachments.add(mark);
		route.table = table;
		// requests that wait would go to a table that the device has left
		old.faultQueue?.abandon((group) => group.pasid === pasid && members.has(group.device));
		return { old, moved: members.size };
	}

	/** The last member blocks the route. @returns the table that the device leaves; undefined when it was not attached */
	detach(device: Device, pasid: number | null): HardwareTable | undefined {
		const routes = this.routesOf(device.group);
		const route = routes.get(pasid);
		if (route === undefined || !route.members.delete(device)) return undefined;
		const { table, slot, mark } = route;
		if (route.members.size === 0) {
			routes.delete(pasid);
			slot.layers.pop();
			if (pasid !== null) for (const requester of slot.requesters) requester.pasids.delete(pasid);
			slot.reapply();
			table.attachments.delete(mark);
		}
		if (pasid === null) table.bottom.space.unreserve(device);
		table.faultQueue?.abandon((group) => group.device === device && group.pasid === pasid);
		return table;
	}
}
