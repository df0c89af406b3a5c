import type { Attachment } from "./attachment.ts";
import type { Context } from "./context.ts";
import type { Device } from "./device.ts";
import { CoreError } from "./errors.ts";
import type { Machine } from "./machine.ts";
import type { Policy } from "./policy.ts";

/** What a store with a PASID from the CPU came to. */
export type EnqcmdResult = { refused: "portal" | "translation" } | { pasid: number };

let made = 0;

/**
 * The KVM side: which PASIDs of the guest the CPU translates, which portals are open, and whether the guest's wbinvd
 * has to be real.
 */
export class VirtualMachine {
	private readonly files = new Set<Context>();
	private readonly devices = new Set<Device>();
	private readonly table = new Map<number, Attachment>();
	private translating = false;
	/** wbinvd had to reach the caches once, and policy keeps that so */
	private keptReal = false;

	constructor(
		machine: Machine,
		readonly name = `vm ${made++}`,
	) {
		machine.routes.closings.add((attachment) => this.forget(attachment));
		machine.routes.guards.add((attachment) => this.guard(attachment));
		machine.routes.openings.add(() => this.observe());
		machine.removals.add((device) => this.devices.delete(device));
	}

	/** KVM learns of the devices of an open file. */
	addFile(file: Context): void {
		this.files.add(file);
		this.observe();
	}

	/** @throws CoreError NotFound */
	removeFile(file: Context): void {
		if (!this.files.delete(file)) throw new CoreError("NotFound", `it has no ${file.name}`, { operation: "kvm_del_fd", object: this.name });
	}

	private forget(attachment: Attachment): void {
		for (const [vpasid, entry] of this.table) {
			if (entry !== attachment) continue;
			// another attachment of the same space and number may carry the entry on
			const other = this.findAttachment(entry.space, vpasid);
			if (other === undefined) this.table.delete(vpasid);
			else this.table.set(vpasid, other);
		}
	}

	/** @throws CoreError Busy where policy keeps what the CPU translates to */
	private guard(attachment: Attachment): void {
		if (attachment.space.policy.kvmFree !== "busy") return;
		for (const [vpasid, entry] of this.table) {
			if (entry.space === attachment.space && attachment.vpasid === vpasid && attachment.mode === entry.mode) throw new CoreError("Busy", `${this.name} translates PASID ${vpasid} to it`, { operation: "detach", object: `device ${attachment.device.name}` });
		}
	}

	/** @throws CoreError Busy: a mix that policy keeps apart */
	assign(device: Device, policy: Readonly<Policy>): void {
		this.refuseMix([...this.devices, device], this.translating, policy, "vm_assign");
		this.devices.add(device);
	}

	private refuseMix(devices: Device[], translating: boolean, policy: Readonly<Policy>, operation: string): void {
		if (!policy.mixGuard || !translating) return;
		const functions = devices.find(({ isPart, capabilities }) => !isPart && capabilities.dmwr && capabilities.pasid);
		const part = devices.find(({ isPart, capabilities }) => isPart && capabilities.dmwr);
		if (functions !== undefined && part !== undefined) throw new CoreError("Busy", `${functions.name} wants the guest's PASIDs, ${part.name} translated ones`, { operation, object: this.name });
	}

	/** Turn PASID translation on or off; off forgets every entry. @throws CoreError Busy */
	setTranslation(on: boolean, policy: Readonly<Policy>): void {
		this.refuseMix([...this.devices], on, policy, "kvm_pasid_cap");
		this.translating = on;
		if (!on) this.table.clear();
	}

	get translates(): boolean {
		return this.translating;
	}

	private findAttachment(space: Attachment["space"], vpasid: number): Attachment | undefined {
		for (const attachment of space.attachments as Set<Attachment>) {
			if (!attachment.closed && attachment.vpasid === vpasid && attachment.mode === "rid_pasid_global" && attachment.device.isPart) return attachment;
		}
		return undefined;
	}

	/** Translate a guest's PASID to the one of an attachment. @throws CoreError Denied, NotFound */
	mapPasid(vpasid: number, space: Attachment["space"]): void {
		const context = { operation: "kvm_map_pasid", object: this.name };
		if (!this.translating) throw new CoreError("Denied", "PASID translation is off", context);
		const attachment = this.findAttachment(space, vpasid);
		if (attachment === undefined) throw new CoreError("NotFound", `nothing that the CPU may name is attached to ${space.name} as ${vpasid}`, context);
		this.table.set(vpasid, attachment);
	}

	/** @throws CoreError NotFound */
	unmapPasid(vpasid: number): void {
		if (!this.table.delete(vpasid)) throw new CoreError("NotFound", `PASID ${vpasid} is not translated`, { operation: "kvm_unmap_pasid", object: this.name });
	}

	/** The guest stores a command with a PASID to a device's portal. */
	enqcmd(device: Device, vpasid: number): EnqcmdResult {
		if (!this.devices.has(device) || !device.capabilities.dmwr || (device.isPart && !this.translating)) return { refused: "portal" };
		if (!this.translating) return { pasid: vpasid };
		const pasid = this.table.get(vpasid)?.pasid;
		return pasid === undefined || pasid === null ? { refused: "translation" } : { pasid };
	}

	/** Whether wbinvd has to reach the caches. */
	get wbinvdIsReal(): boolean {
		return this.keptReal || [...this.files].some((file) => needsWbinvd(file));
	}

	/** What holds now may be kept. */
	private observe(): void {
		for (const file of this.files) if (!this.keptReal && !file.policy.wbinvdRevoke) this.keptReal = needsWbinvd(file);
	}
}

/** Whether DMA of some device of a file may bypass the caches. */
export function needsWbinvd(file: Context): boolean {
	for (const space of file.spaces) {
		if (space.enforcesSnoop !== false) continue;
		for (const attachment of space.attachments as Set<Attachment>) {
			if (attachment.mode === "sw") continue;
			if (file.policy.wbinvdRule === "legacy") return true;
			if (attachment.device.capabilities.noSnoop && !attachment.options.noSnoopUnused) return true;
		}
	}
	return false;
}
