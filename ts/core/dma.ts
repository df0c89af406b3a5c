import type { AddressSpace } from "./address-space.ts";
import type { Device } from "./device.ts";
import type { DmaAnswer } from "./iommu-driver.ts";
import type { Slot } from "./slot.ts";
import type { Space } from "./space.ts";
import { PasidTableSpace, UserSpace } from "./user-space.ts";

/**
 * Why a DMA got nowhere: its slot is empty (`blocked` untagged, `pasid` tagged, or no entry of a guest's PASID table), a
 * kernel table has nothing there, a user table's own entry is absent, what it leads to is, or the right is missing.
 */
export type FaultKind = "blocked" | "pasid" | "unmapped" | "stage1" | "stage2" | "perm";

export type DmaResult = { kind: "memory"; physical: bigint; pageBytes: number } | { kind: "host"; physical: bigint } | { kind: "fault"; fault: FaultKind; code: number };

/** The space that a request is led into: installed in the slot (of several by window, the one with the address), or behind the guest's PASID table. */
export function routedSpace(device: Device, pasid: number | null, address: bigint): { slot: Slot | null; space: AddressSpace | null } {
	const { requester } = device;
	const { untagged } = requester;
	const owner = untagged.top?.space;
	if (pasid !== null && owner instanceof PasidTableSpace) return { slot: untagged, space: owner };
	const slot = pasid === null ? untagged : (requester.pasids.get(pasid) ?? null);
	const installed = slot?.installed ?? [];
	const layer = installed.length > 1 ? installed.find(({ space }) => (space as Space).windows?.some(({ first, last }) => address >= first && address <= last)) : undefined;
	return { slot, space: (layer ?? installed[0])?.space ?? null };
}

function faultKind(answer: DmaAnswer & { ok: false }, tagged: boolean, space: AddressSpace | null, address: bigint): FaultKind {
	const { where } = answer;
	if (where === "permission") return "perm";
	if (where === "pasid") return "pasid";
	if (where === "requester") return tagged ? "pasid" : "blocked";
	const twoStages = (space instanceof UserSpace && space.attachments.size > 0 && [...space.attachments].some(({ iommu }) => iommu.capabilities.nesting === "hw")) || (space instanceof PasidTableSpace && tagged);
	if (!twoStages) return "unmapped";
	return where === "stage1" && space instanceof UserSpace && space.leadsBeyond(address) ? "stage2" : where;
}

/** Make one DMA of a device. Spaces that bring pages in do so, as for a device that asks and tries again. */
export function translate(device: Device, pasid: number | null, address: bigint, access: "read" | "write", bringIn = true): DmaResult {
	const { requester, iommu } = device;
	const { space } = routedSpace(device, pasid, address);
	// the guest said how many entries its table has; a format may reach further
	if (pasid !== null && space instanceof PasidTableSpace && pasid >= space.entries) return { kind: "fault", fault: "pasid", code: 0 };
	const routed = pasid === null ? requester.state.untagged : requester.state.pasids.get(pasid);
	for (let tries = 0; ; tries++) {
		const answer = iommu.translate(requester.rid, pasid, address, access);
		if (answer.ok) return routed?.kind === "host" ? { kind: "host", physical: answer.physical } : { kind: "memory", physical: answer.physical, pageBytes: answer.pageBytes };
		// a walk touches at most a few dozen pages, each of which may have to be brought in
		if (bringIn && tries < 64 && space !== null && faultInPath(space, address, answer, access === "write")) continue;
		return { kind: "fault", fault: faultKind(answer, pasid !== null, space, address), code: answer.code };
	}
}

/** Bring in what stopped a request: by the address that the unit told, or by looking the way up in software. */
function faultInPath(space: AddressSpace, address: bigint, answer: DmaAnswer & { ok: false }, write: boolean): boolean {
	if (answer.where === "requester" || answer.where === "pasid") return false;
	if (answer.where === "stage2" && answer.address !== undefined && space.parent !== null) {
		if (space.parent.faultIn(answer.address, false) || space.parent.faultIn(answer.address, write)) return true;
	}
	return space.faultIn(address, write);
}
