import type { AddressSpace, BindingMode } from "./address-space.ts";
import { Attachment } from "./attachment.ts";
import type { Device } from "./device.ts";
import type { AttachRequest, RouteOperations } from "./device-driver.ts";
import { CoreError } from "./errors.ts";
import { applyAll, type Layer, type Requester, type Slot } from "./slot.ts";
import { Space } from "./space.ts";
import { PasidTableSpace } from "./pasid-table-space.ts";

interface GlobalPasid {
	pasid: number;
	/** attachments that answer to it */
	uses: number;
}

/** May refuse that a route ends. @throws CoreError */
export type DetachGuard = (attachment: Attachment) => void;

/** Every route of a machine: which device leads where, and which PASIDs are taken. */
export class Routes implements RouteOperations {
	private readonly byDevice = new Map<Device, Attachment[]>();
	/** PASIDs that drivers keep for their devices, by requester */
	private readonly kept = new Map<Requester, Set<number>>();
	/** PASIDs that mean one (space, vPASID) on every RID */
	private readonly globals = new Map<AddressSpace, Map<number, GlobalPasid>>();
	private readonly globalNumbers = new Set<number>();
	/** how often a number is kept or routed, over all RIDs */
	private readonly taken = new Map<number, number>();
	/** asked before a route ends, told after */
	readonly guards = new Set<DetachGuard>();
	readonly closings = new Set<(attachment: Attachment) => void>();
	/** told when a device has come into a space */
	readonly openings = new Set<(attachment: Attachment) => void>();

	attachmentsOf(device: Device): readonly Attachment[] {
		return this.byDevice.get(device) ?? [];
	}

	/** The attachment of a device to a space under the user's number. */
	find(device: Device, space: AddressSpace, vpasid: number | null, queue: string | null): Attachment | undefined {
		return this.attachmentsOf(device).find((a) => a.space === space && a.vpasid === vpasid && (a.options.queue ?? null) === queue);
	}

	// ---- checks that every route has to pass

	private refuse(device: Device, space: AddressSpace, request: AttachRequest, mode: BindingMode): void {
		const context = { operation: "attach", object: `device ${device.name}` };
		const { vpasid, queue } = request;
		if (space.kind === "memory") throw new CoreError("Invalid", `${space.name} only keeps memory`, context);
		if (this.find(device, space, vpasid ?? null, queue ?? null) !== undefined) throw new CoreError("Invalid", `it is attached to ${space.name} already`, context);
		if (request.mode !== undefined && request.mode !== mode) throw new CoreError("Unsupported", `its driver routes it as ${mode}, not ${request.mode}`, context);
		const { policy } = space;
		const others = [...device.group.members].filter((member) => member !== device);
		if (!policy.mixedModes) {
			for (const member of device.group.members) {
				const other = this.attachmentsOf(member).find((a) => a.mode !== mode);
				if (other !== undefined) throw new CoreError("Invalid", `${member.name} of group ${device.group.name} is attached as ${other.mode}, this would be ${mode}`, context);
			}
		}
		if (policy.parentFirst && space.parent !== null && space.parent.kind !== "memory" && !this.attachmentsOf(device).some((a) => a.space === space.parent)) {
			throw new CoreError("Invalid", `it is not attached to the parent ${space.parent.name}`, context);
		}
		if (mode === "sw") return;
		const { iommu, capabilities } = device;
		if (policy.pasidNeedsSingleton && others.length > 0 && (mode === "rid_pasid" || mode === "rid_pasid_global")) throw new CoreError("Unsupported", `group ${device.group.name} has other members`, context);
		if (vpasid !== undefined) {
			if (!capabilities.pasid) throw new CoreError("Unsupported", "it has no PASIDs", context);
			if (!Number.isInteger(vpasid) || vpasid < 0 || vpasid >= 2 ** iommu.capabilities.pasidBits) throw new CoreError("Invalid", `vPASID ${vpasid} is beyond ${iommu.capabilities.pasidBits} bits`, context);
		}
		if (space instanceof PasidTableSpace) {
			if (!capabilities.pasid || !capabilities.delegated) throw new CoreError("Unsupported", "its PASID table cannot be the guest's", context);
		}
		for (let at: AddressSpace | null = space; at !== null; at = at.parent) {
			if (at.iopf && !capabilities.pri) throw new CoreError("Unsupported", `${at.name} wants page requests, which it cannot make`, context);
		}
		if (space.depth > iommu.capabilities.maxDepth) throw new CoreError("Unsupported", `${space.depth} levels, ${iommu.name} takes ${iommu.capabilities.maxDepth}`, context);
		space.refuseSnoop(iommu, "attach", context.object);
		space.refuseUnit(iommu, "attach", context.object);
	}

	/** Put a space into a slot for a device. @throws CoreError, nothing changed */
	private install(device: Device, space: AddressSpace, request: AttachRequest, mode: BindingMode, slot: Slot | null, holds: boolean): Attachment {
		const { vpasid, queue, noSnoopUnused } = request;
		const attachment = new Attachment(device, space, mode, slot, {
			...(vpasid === undefined ? {} : { vpasid }),
			...(queue === undefined ? {} : { queue }),
			...(noSnoopUnused === undefined ? {} : { noSnoopUnused }),
		});
		attachment.holds = holds;
		if (holds) space.hold();
		if (mode !== "sw") space.decideSnoop(device.iommu);
		space.attachments.add(attachment);
		try {
			if (slot !== null) space.joined(device.iommu);
			if (slot !== null) this.push(slot, attachment);
		} catch (error) {
			space.attachments.delete(attachment);
			if (mode !== "sw") space.reopenSnoop();
			if (holds) space.unhold();
			throw error;
		}
		const list = this.byDevice.get(device);
		if (list === undefined) this.byDevice.set(device, [attachment]);
		else list.push(attachment);
		for (const opening of this.openings) opening(attachment);
		return attachment;
	}

	private push(slot: Slot, attachment: Attachment): void {
		const joined = slot.layers.find(({ space }) => space === attachment.space);
		if (joined !== undefined) {
			joined.users.add(attachment);
			// a device of another kind may want ATS
			if (attachment.ats) slot.reapply(() => joined.users.delete(attachment));
			return;
		}
		const layer: Layer = { space: attachment.space, users: new Set([attachment]) };
		// a parent may come after its child, which stays what is installed
		const below = slot.layers.findIndex(({ space }) => space.isBelow(layer.space));
		const index = below < 0 ? slot.layers.length : below;
		slot.layers.splice(index, 0, layer);
		this.occupy(slot);
		slot.reapply(() => {
			slot.layers.splice(index, 1);
			this.vacate(slot);
		});
	}

	/** A slot of a PASID that got its first layer. */
	private occupy(slot: Slot): void {
		const { pasid } = slot;
		if (pasid === null || slot.layers.length > 1) return;
		slot.requesters[0].pasids.set(pasid, slot);
		this.count(pasid, 1);
	}

	private count(pasid: number, by: 1 | -1): void {
		const uses = (this.taken.get(pasid) ?? 0) + by;
		if (uses > 0) this.taken.set(pasid, uses);
		else this.taken.delete(pasid);
	}

	/** A slot of a PASID that may have lost its last one. */
	private vacate(slot: Slot): void {
		const { pasid } = slot;
		if (pasid === null || !slot.empty) return;
		slot.requesters[0].pasids.delete(pasid);
		this.count(pasid, -1);
	}

	/** @throws CoreError Busy unless the slot is empty, holds the space, or (`stacks`) holds its parents or children for this device alone */
	private refuseSlot(device: Device, space: AddressSpace, slot: Slot, windowed: boolean, stacks = true): void {
		const { top } = slot;
		if (top === undefined || top.space === space) return;
		const context = { operation: "attach", object: `device ${device.name}` };
		const where = slot.pasid === null ? `group ${device.group.name}` : `PASID ${slot.pasid}`;
		if (windowed && slot.isWindowed && space instanceof Space) {
			for (const { first, last } of space.windows ?? []) slot.refuseWindow(space, { first, last }, "attach");
			return;
		}
		// a child would hide the spaces beside its parent
		const beside = slot.isWindowed && slot.layers.length > 1;
		const alone = !beside && slot.layers.every(({ users }) => [...users].every((user) => (user as Attachment).device === device));
		const onPath = slot.layers.every((layer) => space.isBelow(layer.space) || layer.space.isBelow(space));
		if (stacks && !windowed && alone && onPath) return;
		throw new CoreError("Busy", `${where} is routed into ${top.space.name}`, context);
	}

	// ---- the ways of routing

	/** Members behind other units move with it. @throws CoreError Invalid, Conflict: the space does not fit those */
	private refuseMoved(device: Device, space: AddressSpace, slot: Slot): void {
		for (const { iommu } of slot.requesters) {
			if (iommu === device.iommu) continue;
			space.refuseSnoop(iommu, "attach", `device ${device.name}`);
			space.refuseUnit(iommu, "attach", `device ${device.name}`);
		}
	}

	attachRid(device: Device, space: AddressSpace, request: AttachRequest): Attachment {
		const windowed = space instanceof Space && space.windows !== null && space.policy.addressRouted;
		const mode = space instanceof PasidTableSpace ? "pasid_table" : windowed ? "rid_window" : "rid";
		this.refuse(device, space, request, mode);
		const slot = device.requester.untagged;
		this.refuseSlot(device, space, slot, windowed);
		this.refuseMoved(device, space, slot);
		if (!space.policy.subGroups) {
			for (const { requester, isPart, name } of device.group.members) {
				const other = requester.untagged.top;
				if (!isPart && requester.untagged !== slot && other !== undefined && other.space !== space) {
					throw new CoreError("Busy", `${name} of group ${device.group.name} is routed into ${other.space.name}`, { operation: "attach", object: `device ${device.name}` });
				}
			}
		}
		if (mode === "pasid_table") {
			for (const requester of slot.requesters) {
				if (requester.pasids.size === 0) continue;
				// of the two kinds, the second is a note
				if (space.policy.pasidTableTracking && slot.empty) return this.install(device, space, request, mode, null, false);
				throw new CoreError("Busy", "PASIDs of its RID are routed one by one", { operation: "attach", object: `device ${device.name}` });
			}
		}
		return this.install(device, space, request, mode, slot, true);
	}

	attachPasid(device: Device, space: AddressSpace, request: AttachRequest, pasid: number, mode: "rid_pasid" | "rid_pasid_global"): Attachment {
		try {
			const attachment = this.routePasid(device, space, request, pasid, mode);
			if (this.answersToGlobal(attachment)) this.useGlobal(space, attachment.vpasid, 1);
			return attachment;
		} catch (error) {
			// a number that was made for it goes
			this.useGlobal(space, request.vpasid ?? null, 0);
			throw error;
		}
	}

	private routePasid(device: Device, space: AddressSpace, request: AttachRequest, pasid: number, mode: "rid_pasid" | "rid_pasid_global"): Attachment {
		this.refuse(device, space, request, mode);
		const { requester } = device;
		const context = { operation: "attach", object: `device ${device.name}` };
		if (space instanceof PasidTableSpace) throw new CoreError("Invalid", "a PASID table is attached to a RID", context);
		if (pasid === 0) throw new CoreError("Invalid", "PASID 0 stands for requests without one", context);
		if (requester.untagged.top?.space instanceof PasidTableSpace) {
			if (space.policy.pasidTableTracking) return this.install(device, space, request, mode, null, false);
			throw new CoreError("Busy", "a guest's table has all PASIDs of its RID", context);
		}
		// whatever number its requests carry on the bus
		const taken = request.vpasid === undefined ? undefined : this.attachmentsOf(device).find((a) => a.slot !== null && a.vpasid === request.vpasid);
		if (taken !== undefined) throw new CoreError("Busy", `vPASID ${request.vpasid} of it is routed into ${taken.space.name}`, context);
		const queued = request.queue === undefined ? undefined : this.attachmentsOf(device).find((a) => a.options.queue === request.queue);
		if (queued !== undefined) throw new CoreError("Busy", `${request.queue} of it is routed into ${queued.space.name}`, context);
		const slot = requester.slotOf(pasid);
		if (this.globalNumbers.has(pasid) && this.globals.get(space)?.get(request.vpasid ?? -1)?.pasid !== pasid) throw new CoreError("Busy", `PASID ${pasid} is one that CPUs name`, context);
		const alias = this.aliasSlot(device, space, request, mode);
		if (slot.top !== undefined && slot.top.space === space) throw new CoreError("Busy", `PASID ${pasid} of its RID is routed already`, context);
		// a user's number names one space; the slot of a part's own requests may hold a parent and its child
		this.refuseSlot(device, space, slot, false, request.vpasid === undefined && request.queue === undefined);
		const attachment = this.install(device, space, request, mode, slot, true);
		if (alias === null) return attachment;
		try {
			this.push(alias, attachment);
			attachment.alias = alias;
		} catch (error) {
			this.close(attachment);
			throw error;
		}
		return attachment;
	}

	/** The second PASID under which a function that does ENQCMD answers, where policy wants it. */
	private aliasSlot(device: Device, space: AddressSpace, { vpasid }: AttachRequest, mode: BindingMode): Slot | null {
		if (!space.policy.pasidAlias || mode !== "rid_pasid_global" || vpasid === undefined || device.isPart) return null;
		const slot = device.requester.slotOf(this.globalPasid(space, vpasid, device));
		if (!slot.empty) throw new CoreError("Busy", `PASID ${slot.pasid} of its RID is routed already`, { operation: "attach", object: `device ${device.name}` });
		return slot;
	}

	attachSoftware(device: Device, space: AddressSpace, request: AttachRequest): Attachment {
		this.refuse(device, space, request, "sw");
		for (const other of this.attachmentsOf(device)) {
			if (!space.isBelow(other.space)) throw new CoreError("Busy", `it is attached to ${other.space.name}`, { operation: "attach", object: `device ${device.name}` });
		}
		return this.install(device, space, request, "sw", null, !request.noAutoPin);
	}

	// ---- PASIDs

	private isFree(requester: Requester, pasid: number): boolean {
		return !requester.pasids.has(pasid) && !this.kept.get(requester)?.has(pasid) && !this.globalNumbers.has(pasid);
	}

	/** Numbers from the middle of the space up: guests start at the bottom, global ones at the top. */
	takePasid(device: Device, avoid: readonly number[] = []): number {
		const { requester, iommu } = device;
		const { pasidBits } = iommu.capabilities;
		const half = pasidBits > 0 ? 2 ** (pasidBits - 1) : 0;
		for (let i = 0; i < 2 * half; i++) {
			const pasid = (half + i) % (2 * half);
			if (pasid === 0 || avoid.includes(pasid) || !this.isFree(requester, pasid)) continue;
			const kept = this.kept.get(requester) ?? new Set<number>();
			this.kept.set(requester, kept.add(pasid));
			this.count(pasid, 1);
			return pasid;
		}
		throw new CoreError("Exhausted", "every PASID of its RID is taken", { operation: "attach", object: `device ${device.name}` });
	}

	/** Return a PASID that takePasid gave. */
	givePasid(device: Device, pasid: number): void {
		const kept = this.kept.get(device.requester);
		if (!kept?.delete(pasid)) return;
		this.count(pasid, -1);
		if (kept.size === 0) this.kept.delete(device.requester);
	}

	globalPasid(space: AddressSpace, vpasid: number, device: Device): number {
		const known = this.globals.get(space)?.get(vpasid);
		if (known !== undefined) return known.pasid;
		const bits = device.iommu.capabilities.pasidBits;
		for (let pasid = 2 ** bits - 1; pasid > 0; pasid--) {
			if (pasid === vpasid || this.globalNumbers.has(pasid) || this.taken.has(pasid)) continue;
			const numbers = this.globals.get(space) ?? new Map<number, GlobalPasid>();
			this.globals.set(space, numbers.set(vpasid, { pasid, uses: 0 }));
			this.globalNumbers.add(pasid);
			return pasid;
		}
		throw new CoreError("Exhausted", "every PASID is taken somewhere", { operation: "attach", object: `device ${device.name}` });
	}

	/** Whether a PASID is one of those that mean the same on every RID. */
	isGlobal(pasid: number): boolean {
		return this.globalNumbers.has(pasid);
	}

	/** Another attachment, or one less, answers to the global PASID of (space, vpasid); the last one frees it. */
	private useGlobal(space: AddressSpace, vpasid: number | null, by: 0 | 1 | -1): void {
		const numbers = this.globals.get(space);
		const known = vpasid === null ? undefined : numbers?.get(vpasid);
		if (numbers === undefined || vpasid === null || known === undefined) return;
		known.uses += by;
		if (known.uses > 0) return;
		numbers.delete(vpasid);
		this.globalNumbers.delete(known.pasid);
		if (numbers.size === 0) this.globals.delete(space);
	}

	private answersToGlobal({ space, vpasid, pasid, alias }: Attachment): boolean {
		const known = vpasid === null ? undefined : this.globals.get(space)?.get(vpasid)?.pasid;
		return known !== undefined && (known === pasid || known === alias?.pasid);
	}

	// ---- ends

	/**
	 * End a route: its slot falls back to the parent layer, or is blocked.
	 * @throws CoreError Busy while the device is attached to a child in the same slot, or a guard refuses; and as attach, when the parent has become what the unit cannot be given
	 */
	detach(attachment: Attachment): void {
		const { device, slot, space } = attachment;
		if (attachment.closed) throw new CoreError("NotFound", "it is not attached", { operation: "detach", object: `device ${device.name}` });
		const stack = this.attachmentsOf(device).filter((other) => other !== attachment && other.slot === slot && other.vpasid === attachment.vpasid);
		const child = stack.find((other) => other.space.isBelow(space));
		if (child !== undefined) throw new CoreError("Busy", `it is attached to the child ${child.space.name}`, { operation: "detach", object: `device ${device.name}` });
		if (space instanceof Space) space.refuseWhileLent("detach");
		for (const guard of this.guards) guard(attachment);
		this.close(attachment, true);
	}

	/** End every route of a device, deepest first; nothing can refuse. */
	detachAll(device: Device): void {
		const list = [...this.attachmentsOf(device)].sort((a, b) => b.space.depth - a.space.depth);
		for (const attachment of list) this.close(attachment);
	}

	/** A parent that the hardware cannot be given in its place leaves the slot blocked, or with `mayRefuse` refuses. @throws CoreError; nothing has changed then */
	private pull(slot: Slot, attachment: Attachment, mayRefuse: boolean): void {
		const index = slot.layers.findIndex(({ users }) => users.has(attachment));
		if (index < 0) return;
		const layer = slot.layers[index];
		layer.users.delete(attachment);
		if (layer.users.size > 0) return;
		slot.layers.splice(index, 1);
		this.vacate(slot);
		try {
			slot.reapply(() => {
				if (!mayRefuse) return;
				layer.users.add(attachment);
				slot.layers.splice(index, 0, layer);
				this.occupy(slot);
			});
		} catch (error) {
			if (mayRefuse) throw error;
			slot.block();
		}
	}

	/** @throws CoreError with `mayRefuse`, nothing has changed then */
	private close(attachment: Attachment, mayRefuse = false): void {
		const { device, slot, space, mode, alias } = attachment;
		const global = this.answersToGlobal(attachment);
		if (slot !== null) this.pull(slot, attachment, mayRefuse);
		if (alias !== null) this.pull(alias, attachment, false);
		attachment.closed = true;
		space.attachments.delete(attachment);
		const list = this.byDevice.get(device) ?? [];
		list.splice(list.indexOf(attachment), 1);
		if (list.length === 0) this.byDevice.delete(device);
		if (attachment.holds) space.unhold();
		if (mode !== "sw") space.reopenSnoop();
		if (global) this.useGlobal(space, attachment.vpasid, -1);
		// a part's hidden PASID stays with it; what a driver took for this route is free again
		if (attachment.pasid !== null && (attachment.vpasid !== null || attachment.options.queue !== undefined)) this.givePasid(device, attachment.pasid);
		for (const closing of this.closings) closing(attachment);
	}

	/** @throws CoreError what keeps an attachment from leading to `next` under the same number */
	private refuseTurn({ device, mode }: Attachment, next: AddressSpace): void {
		const context = { operation: "bind", object: `device ${device.name}` };
		if (next instanceof PasidTableSpace) {
			if (mode !== "rid" && mode !== "rid_window") throw new CoreError("Invalid", "a PASID table is attached to a RID", context);
			if (!device.capabilities.pasid || !device.capabilities.delegated) throw new CoreError("Unsupported", "its PASID table cannot be the guest's", context);
			if (device.requester.pasids.size > 0) throw new CoreError("Busy", "PASIDs of its RID are routed one by one", context);
		}
		if (mode !== "sw") next.refuseUnit(device.iommu, "bind", next.name);
	}

	/** Every attachment of `old` leads to `next` from now on: a space that changed its kind under its number. @throws CoreError */
	replaceSpace(old: AddressSpace, next: AddressSpace): void {
		const moved = [...(old.attachments as Set<Attachment>)];
		const slots = new Set(moved.flatMap(({ slot, alias }) => [slot, alias]).filter((slot) => slot !== null));
		for (const attachment of moved) this.refuseTurn(attachment, next);
		const swap = (from: AddressSpace, to: AddressSpace) => {
			for (const slot of slots) for (const layer of slot.layers) if (layer.space === from) layer.space = to;
			for (const attachment of moved) {
				from.attachments.delete(attachment);
				to.attachments.add(attachment);
				attachment.space = to;
				if (attachment.mode === "rid" || attachment.mode === "pasid_table") attachment.mode = to instanceof PasidTableSpace ? "pasid_table" : "rid";
			}
		};
		const move = (from: AddressSpace, to: AddressSpace) => {
			const numbers = this.globals.get(from);
			if (numbers !== undefined) this.globals.set(to, numbers);
			this.globals.delete(from);
		};
		swap(old, next);
		applyAll(new Set([...slots].flatMap((slot) => slot.requesters)), () => swap(next, old));
		move(old, next);
	}
}
