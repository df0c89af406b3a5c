import type { AddressSpace } from "./address-space.ts";
import type { Device } from "./device.ts";
import type { DmaAnswer } from "./iommu-driver.ts";
import { PAGE } from "./frames.ts";
import type { Slot } from "./slot.ts";
import type { Space } from "./space.ts";
import { PasidTableSpace } from "./pasid-table-space.ts";
import { UserSpace } from "./user-space.ts";

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

/** In the words of the space that the request is led into; an empty slot has none. */
function faultKind({ where }: DmaAnswer & { ok: false }, tagged: boolean, space: AddressSpace | null, address: bigint, access: "read" | "write"): FaultKind {
	if (where === "permission") return "perm";
	const delegated = tagged && space instanceof PasidTableSpace;
	if (space === null || (delegated && where !== "stage1" && where !== "stage2")) return tagged ? "pasid" : "blocked";
	// rights that meet in nothing leave no entry
	if (!delegated && space.refuses(address, access)) return "perm";
	const twoStages = (space instanceof UserSpace && [...space.attachments].some(({ iommu }) => iommu.capabilities.nesting === "hw")) || delegated;
	if (!twoStages) return "unmapped";
	if (where === "stage2") return where;
	return space instanceof UserSpace && space.leadsBeyond(address) ? "stage2" : "stage1";
}

/** Make one DMA of a device. Spaces that bring pages in do so, as for a device that asks and tries again. */
export function translate(device: Device, pasid: number | null, address: bigint, access: "read" | "write", bringIn = true): DmaResult {
	const { requester, iommu } = device;
	const { space } = routedSpace(device, pasid, address);
	const delegated = pasid !== null && space instanceof PasidTableSpace;
	// the guest said how many entries its table has; a format may reach further
	if (delegated && pasid >= space.entries) return { kind: "fault", fault: "pasid", code: 0 };
	const routed = pasid === null ? requester.state.untagged : requester.state.pasids.get(pasid);
	if (space instanceof UserSpace) space.walkLive(iommu, address);
	for (let tries = 0; ; tries++) {
		const answer = iommu.translate(requester.rid, pasid, address, access);
		// formats that know no write without read
		if (answer.ok && access === "read" && space?.hidesReads && !delegated && space.refuses(address, access)) return { kind: "fault", fault: "perm", code: 0 };
		if (answer.ok) return routed?.kind === "host" ? { kind: "host", physical: answer.physical } : { kind: "memory", physical: answer.physical, pageBytes: answer.pageBytes };
		if (answer.where === "aside") {
			if (routed?.kind === "host") return { kind: "host", physical: address };
			const found = space === null ? null : lookUp(space, address, access);
			if (found !== null) return found;
		}
		// a walk touches at most a few dozen pages, each of which may have to be brought in
		if (bringIn && tries < 64 && space !== null && faultInPath(space, pasid, device, address, answer, access === "write")) continue;
		return { kind: "fault", fault: faultKind(answer, pasid !== null, space, address, access), code: answer.code };
	}
}

/** An address that the unit does not walk: what the space says of it. */
function lookUp(space: AddressSpace, address: bigint, access: "read" | "write"): DmaResult | null {
	for (const run of space.resolve(address, address)) {
		if (address < run.iova || address >= run.iova + run.size) continue;
		if (!run.permissions[access]) return { kind: "fault", fault: "perm", code: 0 };
		if (access === "write") space.dirtied(address & ~(PAGE - 1n));
		return { kind: "memory", physical: run.pa + (address - run.iova), pageBytes: Number(PAGE) };
	}
	return null;
}

/** Bring in what stopped a request: by the address that the unit told, or by looking the way up in software. */
function faultInPath(space: AddressSpace, pasid: number | null, { iommu }: Device, address: bigint, answer: DmaAnswer & { ok: false }, write: boolean): boolean {
	const delegated = pasid !== null && space instanceof PasidTableSpace;
	if (answer.where === "requester") return false;
	if (answer.where === "pasid") return delegated && space.entryIn(pasid);
	if (answer.where === "stage2" && space.parent !== null && mayLack(space.parent)) {
		const stopped = answer.address;
		if (stopped !== undefined && (space.parent.faultIn(stopped, false) || space.parent.faultIn(stopped, write))) return true;
	}
	return !delegated && space.faultIn(address, write, iommu);
}

/** Pages of it or above may be absent. */
function mayLack(space: AddressSpace): boolean {
	return space.iopf || (space.parent !== null && mayLack(space.parent));
}
