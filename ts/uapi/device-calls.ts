import { type AddressSpace, type Attachment, Context, type Device, type Machine, type Policy, type Space } from "../core/index.ts";
import { call, refuse } from "./errors.ts";
import type { AttachOptions } from "./ioasid-types.ts";
import type { IoasidNode } from "./node.ts";

/** A device whose driver tells of no PASIDs. */
const NO_PASIDS = { supported: false, delegated: false, cpu: false, translated: false };

const WRAPPERS = { pci: "rid", pci_pasid: "rid_pasid", pci_vpasid: "rid_pasid", pci_enqcmd: "rid_pasid_global", sw: "sw" } as const;

/** An open file of a 2021 door: its IOASID numbers, the devices bound to it, and which of them is attached where. */
export abstract class DeviceCalls {
	readonly context: Context;
	protected readonly numbers = new Map<number, IoasidNode>();
	private next = 1;

	constructor(
		readonly machine: Machine,
		policy: Partial<Policy> = {},
		name?: string,
		isContainer = false,
	) {
		this.context = new Context(policy, name, isContainer);
		this.context.deviceLeft = () => this.settle();
	}

	protected get policy(): Readonly<Policy> {
		return this.context.policy;
	}

	/** It takes no calls any more. */
	get isClosed(): boolean {
		return this.context.closed;
	}

	protected open(operation: string): void {
		if (this.isClosed) refuse("EINVAL", `${operation}: ${this.context.name} is closed`);
	}

	// ---- numbers

	/** @throws DoorError EINVAL */
	protected node(operation: string, ioasid: number): IoasidNode {
		this.open(operation);
		return this.numbers.get(ioasid) ?? refuse("EINVAL", `${operation}: no ioasid ${ioasid} in ${this.context.name}`);
	}

	/** A node that takes commands: not while its group is half attached. @throws DoorError EINVAL, EDEADLK */
	protected ready(operation: string, ioasid: number): IoasidNode {
		const node = this.node(operation, ioasid);
		if (this.policy.groupPolicy !== "partial") return node;
		for (const { device, mode } of node.space.attachments as Set<Attachment>) {
			if (mode !== "rid" && mode !== "rid_window" && mode !== "pasid_table") continue;
			for (const member of device.group.members) {
				if (this.machine.driverOf(member, operation).name !== "vfio-pci" || this.machine.routes.attachmentsOf(member).length > 0) continue;
				refuse("EDEADLK", `${operation}: ${member.name} of group ${device.group.name} is not attached yet: ioasid ${ioasid}`);
			}
		}
		return node;
	}

	protected add(space: AddressSpace): number {
		space.owner = this.context;
		this.context.spaces.add(space);
		const number = this.next++;
		this.numbers.set(number, { space, mirrors: [], enabled: false });
		return number;
	}

	/** Number of a space. */
	numberOf(space: AddressSpace): number | null {
		for (const [number, node] of this.numbers) if (node.space === space || node.mirrors.includes(space as Space)) return number;
		return null;
	}

	/** The space behind a number. @throws DoorError EINVAL */
	spaceOf(ioasid: number): AddressSpace {
		return this.node("space", ioasid).space;
	}

	protected options(name = `ioasid ${this.next}`) {
		return { name: `${this.context.name} ${name}`, policy: this.policy };
	}

	// ---- devices

	/** @throws DoorError */
	bind(device: Device, cookie?: bigint): void {
		this.open("bind");
		this.refuseContained(device, "bind");
		if (this.policy.groupPolicy === "explicit") refuse("EPERM", `bind: the whole group ${device.group.name} is bound, not one device: device ${device.name}`);
		call(() => this.machine.bind(this.context, device, cookie ?? null), { Unsupported: "EOPNOTSUPP" });
	}

	protected refuseContained(device: Device, operation: string): void {
		if (device.group.owner instanceof Context && device.group.owner.isContainer) refuse("ENOTTY", `${operation}: group ${device.group.name} is in a container: device ${device.name}`);
	}

	/** Bind every member that a user's driver has, in one call. @throws DoorError */
	groupBind(members: Iterable<Device>): void {
		this.open("group_bind");
		const wanted = [...members].filter((member) => this.machine.driverOf(member, "group_bind").ownership === "user");
		const done: Device[] = [];
		try {
			for (const device of wanted) {
				this.refuseContained(device, "group_bind");
				call(() => this.machine.bind(this.context, device, null));
				done.push(device);
			}
		} catch (error) {
			for (const device of done) this.machine.unbind(this.context, device);
			throw error;
		}
	}

	protected bound(operation: string, device: Device): void {
		this.open(operation);
		if (!this.context.devices.has(device)) refuse("EINVAL", `${operation}: it is not bound to ${this.context.name}: device ${device.name}`);
	}

	/** Attach in the way the device's driver chooses. @returns the attachment, and the physical PASID where policy shows it. @throws DoorError */
	attach(device: Device, ioasid: number, options: AttachOptions = {}): { attachment: Attachment; ppasid?: number } {
		const operation = "attach";
		this.bound(operation, device);
		const node = this.node(operation, ioasid);
		const { vpasid, queue, noSnoopUnused, noAutoPin, wrapper } = options;
		const meant = wrapper === undefined ? undefined : WRAPPERS[wrapper];
		const mode = options.mode ?? meant;
		if (meant !== undefined && mode !== meant) refuse("EINVAL", `${operation}: ${wrapper} means ${meant}, not ${mode}: device ${device.name}`);
		if (this.policy.explicitEnable && node.enabled) refuse("EINVAL", `${operation}: ioasid ${ioasid} is enabled already`);
		if (this.policy.groupPolicy === "implicit-flag" && !options.implicitGroup) {
			for (const member of device.group.members) {
				if (member !== device && !this.context.devices.has(member)) refuse("EPERM", `${operation}: ${member.name} of group ${device.group.name} has not joined: device ${device.name}`);
			}
		}
		if (vpasid !== undefined && this.hidesPasids(device)) refuse("EOPNOTSUPP", `${operation}: it shows no PASIDs: device ${device.name}`);
		const twice = vpasid !== undefined && this.machine.routes.find(device, node.space, vpasid, queue ?? null) !== undefined;
		if (vpasid !== undefined && !twice && this.policy.pasidQuota > 0 && this.vpasidsInUse() >= this.policy.pasidQuota) {
			refuse("ENOSPC", `${operation}: ${this.policy.pasidQuota} PASIDs are in use, which is the quota: device ${device.name}`);
		}
		const space = node.mirrors.length > 0 ? this.mirrorFor(device, node) : node.space;
		const attachment = call(
			() =>
				this.machine.attach(device, space, {
					...(vpasid === undefined ? {} : { vpasid }),
					...(queue === undefined ? {} : { queue }),
					...(mode === undefined ? {} : { mode }),
					...(noSnoopUnused === undefined ? {} : { noSnoopUnused }),
					...(noAutoPin === undefined ? {} : { noAutoPin }),
				}),
			{ Occupied: "EBUSY" },
		);
		// a note under a guest's PASID table has the guest's own number
		return vpasid !== undefined && this.policy.exposePasid ? { attachment, ppasid: attachment.pasid ?? vpasid } : { attachment };
	}

	protected mirrorFor(_device: Device, node: IoasidNode): AddressSpace {
		return node.space;
	}

	private vpasidsInUse(): number {
		let count = 0;
		for (const device of this.context.devices.keys()) for (const { vpasid, space } of this.machine.routes.attachmentsOf(device)) if (vpasid !== null && space.owner === this.context) count++;
		return count;
	}

	/** @throws DoorError EINVAL, EBUSY */
	detach(device: Device, ioasid: number, options: { vpasid?: number; queue?: string } = {}): void {
		this.bound("detach", device);
		const { space } = this.node("detach", ioasid);
		const attachment = this.machine.routes.find(device, space, options.vpasid ?? null, options.queue ?? null);
		if (attachment === undefined) refuse("EINVAL", `detach: it is not attached to ioasid ${ioasid}: device ${device.name}`);
		call(() => this.machine.routes.detach(attachment));
	}

	/** What a user may see of the device's PASIDs (VFIO device info). @throws DoorError EINVAL before bind */
	vfioDeviceInfo(device: Device): { pasid: boolean; pasidDelegated: boolean; pasidCpu: boolean; pasidCpuVirt: boolean } {
		this.bound("vfio_device_info", device);
		const { supported, delegated, cpu, translated } = this.machine.driverOf(device, "vfio_device_info").pasids?.(device) ?? NO_PASIDS;
		const hidden = this.hidesPasids(device);
		return { pasid: supported && !hidden, pasidDelegated: delegated && !hidden, pasidCpu: cpu && !hidden, pasidCpuVirt: translated && !hidden };
	}

	/** Policy shows no PASIDs of it. */
	protected hidesPasids(device: Device): boolean {
		return this.policy.hideSecond && this.isLaterPart(device);
	}

	/** Another part of the same function was bound to this file before. */
	private isLaterPart(device: Device): boolean {
		for (const other of this.context.devices.keys()) {
			if (other === device) return false;
			if (device.parent !== null && other.parent === device.parent) return true;
		}
		return false;
	}

	/** Device regions are reachable only once it is bound. @throws DoorError EACCES */
	deviceMmap(device: Device): void {
		if (!this.machine.isBound(device)) refuse("EACCES", `mmap: it is not bound: device ${device.name}`);
	}

	// ---- the end

	/** Close the file. What its bound devices use lives until they are closed. */
	close(): void {
		if (this.context.closed) return;
		this.context.closed = true;
		this.settle();
	}

	/** Everything goes once the file is closed and no device needs it. */
	settle(): void {
		if (!this.context.closed || this.context.devices.size > 0) return;
		const spaces = [...this.numbers.values()].flatMap(({ space, mirrors }) => [space, ...mirrors]);
		for (const space of spaces.sort((a, b) => pathLength(b) - pathLength(a))) {
			if (space.attachments.size === 0 && space.children.size === 0) space.free();
		}
		this.numbers.clear();
		this.context.spaces.clear();
		for (const [source, { size }] of this.context.registered) source.unpin(0n, size);
		this.context.registered.clear();
	}
}

function pathLength(space: AddressSpace): number {
	return space.parent === null ? 0 : pathLength(space.parent) + 1;
}
