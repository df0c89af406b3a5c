import type { Context } from "./context.ts";
import type { Device } from "./device.ts";
import type { DmaOwnership } from "./device-driver.ts";
import { CoreError } from "./errors.ts";
import type { Group } from "./group.ts";
import { applyAll, Slot } from "./slot.ts";

/**
 * Why a group cannot be given to a user: a member that a host driver makes DMA with. Parts of functions are isolated by
 * their own driver, and a function that such a part wraps is its driver's.
 */
export function refuseUnviable(group: Group<Device>, ownershipOf: (device: Device) => DmaOwnership, wraps: (device: Device) => boolean, operation: string): void {
	const wrapped = new Set([...group.members].filter(wraps).map(({ parent }) => parent));
	for (const member of group.members) {
		if (member.isPart || wrapped.has(member) || ownershipOf(member) !== "kernel") continue;
		throw new CoreError("Invalid", `${member.name} is used by a host driver`, { operation, object: `group ${group.name}` });
	}
}

/** Functions of a group: members with a RID of their own. */
function functions(group: Group<Device>): Device[] {
	return [...group.members].filter(({ isPart }) => !isPart);
}

/** The group's RIDs leave the default domain and are blocked, whatever that domain is. @throws CoreError */
export function takeGroup(group: Group<Device>, context: Context): void {
	const requesters = new Set(functions(group).map(({ requester }) => requester));
	const shared = context.policy.groupDetach === "last" && !context.policy.subGroups;
	if (shared) {
		group.sharedSlot = new Slot([], null);
		for (const requester of requesters) requester.useSlot(group.sharedSlot);
	}
	for (const requester of requesters) {
		requester.host = false;
		requester.defaultSeen = false;
	}
	group.owner = context;
	applyAll(requesters, () => undo(group, requesters));
}

function undo(group: Group<Device>, requesters: Iterable<{ host: boolean; defaultSeen: boolean; useSlot(slot: null): void }>): void {
	for (const requester of requesters) {
		if (group.sharedSlot !== null) requester.useSlot(null);
		requester.host = true;
		requester.defaultSeen = true;
	}
	group.sharedSlot = null;
	group.owner = null;
}

/** The group goes back to the host. */
export function returnGroup(group: Group<Device>): void {
	const requesters = new Set(functions(group).map(({ requester }) => requester));
	undo(group, requesters);
	applyAll(requesters);
}

/** A device that comes to a group while a user owns it is blocked too. */
export function joinGroup(device: Device): void {
	const { group, requester } = device;
	if (group.owner === null || device.isPart) return;
	if (group.sharedSlot !== null && requester.untagged !== group.sharedSlot) requester.useSlot(group.sharedSlot);
	requester.host = false;
	requester.defaultSeen = false;
	requester.apply();
}
