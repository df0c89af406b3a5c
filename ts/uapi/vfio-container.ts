import { type AddressSpace, type Attachment, Context, type Device, type Group, type Machine, type Policy, type Process, Space } from "../core/index.ts";
import { call, refuse } from "./errors.ts";
import { IommuV2 } from "./iommu-v2.ts";
import type { IoasidNode } from "./node.ts";

export type ContainerType = "type1" | "type1v2";

/**
 * A VFIO container (/dev/vfio/vfio) as a case of the same objects: one hidden IOASID that the container's map and unmap act
 * on, and that the calls of /dev/iommu may name too. Attaching a group calls each member's driver; members whose IOMMU
 * snoops otherwise get a second hidden space with the same maps.
 */
export class VfioContainer extends IommuV2 {
	private readonly groups = new Set<Group<Device>>();
	private readonly openDevices = new Set<Device>();
	private type: ContainerType | null = null;
	/** number that map and unmap act on */
	private current: number | null = null;
	/** the hidden IOASID */
	private hidden: number | null = null;
	private closing = false;

	constructor(machine: Machine, policy: Partial<Policy> = {}, name?: string) {
		super(machine, policy, name, true);
		this.context.deviceLeft = (device) => {
			this.context.removeDevice(device);
			this.dropMirrors();
			this.closeDevice(device);
		};
	}

	/** Though devices that are open keep what it has. */
	override get isClosed(): boolean {
		return this.closing;
	}

	/** The hidden IOASID's own, while there is one. */
	private get own(): IoasidNode | undefined {
		return this.hidden === null ? undefined : this.numbers.get(this.hidden);
	}

	// ---- groups

	/** @throws DoorError ENOTTY: a container is given groups */
	override bind(device: Device): never {
		return refuse("ENOTTY", `bind: ${this.context.name} is a container: device ${device.name}`);
	}

	/** @throws DoorError ENOTTY */
	override groupBind(): never {
		return refuse("ENOTTY", `group_bind: ${this.context.name} is a container`);
	}

	/** @throws DoorError EBUSY for the container's own, and as at the other door */
	override free(ioasid: number): void {
		if (ioasid === this.hidden) refuse("EBUSY", `free: the container lives in it: ioasid ${ioasid}`);
		super.free(ioasid);
		if (this.current === ioasid) this.current = null;
	}

	/** @throws DoorError EBUSY (another owner), EINVAL (not viable), ENOTTY (in a container) */
	setContainer(group: Group<Device>): void {
		const operation = "set_container";
		this.open(operation);
		if (group.owner instanceof Context) refuse("EBUSY", `${operation}: group ${group.name} belongs to ${group.owner.name}`);
		for (const member of group.members) if (this.machine.isBound(member)) refuse("EBUSY", `${operation}: ${member.name} is bound: group ${group.name}`);
		if (this.policy.fdHomogeneous) {
			const formats = new Set([...this.groups, group].flatMap(({ members }) => [...members].map(({ iommu }) => iommu.capabilities.format)));
			if (formats.size > 1) refuse("EINVAL", `${operation}: its devices are behind another kind of IOMMU: group ${group.name}`);
		}
		call(() => {
			this.machine.refuseUnviable(group, operation);
			for (const member of group.members) if (this.machine.ownershipOf(member) === "user") this.machine.refuseAssignment(member, operation);
			this.machine.takeGroup(group, this.context);
		});
		this.groups.add(group);
		if (this.type === null) return;
		try {
			this.attachGroup(group);
		} catch (error) {
			this.leave(group);
			throw error;
		}
	}

	/** @throws DoorError EBUSY while a device of the group is open, EINVAL */
	unsetContainer(group: Group<Device>): void {
		if (!this.groups.has(group)) refuse("EINVAL", `unset_container: group ${group.name} is not in ${this.context.name}`);
		for (const device of group.members) if (this.openDevices.has(device)) refuse("EBUSY", `unset_container: ${device.name} is open: group ${group.name}`);
		this.leave(group);
	}

	private leave(group: Group<Device>): void {
		this.groups.delete(group);
		this.detachGroup(group.members);
		this.machine.returnGroup(group);
		if (this.groups.size > 0) return;
		this.type = null;
		this.dropHidden();
	}

	private dropHidden(): void {
		const { own } = this;
		this.hidden = null;
		this.current = null;
		if (own === undefined) return;
		const { space, mirrors } = own;
		// what was made below it goes with it
		const below = [...this.numbers].filter(([, node]) => node.space === space || node.space.isBelow(space)).sort(([, x], [, y]) => y.space.depth - x.space.depth);
		for (const [each, node] of below) {
			node.space.free();
			this.context.spaces.delete(node.space);
			this.numbers.delete(each);
		}
		for (const mirror of mirrors) {
			mirror.free();
			this.context.spaces.delete(mirror);
		}
	}

	/** @throws DoorError ENODEV (no group yet), EINVAL (no such type) */
	setIommu(type: string): void {
		this.open("set_iommu");
		if (type !== "type1" && type !== "type1v2") refuse("EINVAL", `set_iommu: no such type: ${type}`);
		if (this.groups.size === 0) refuse("ENODEV", "set_iommu: the container has no group");
		if (this.type !== null) refuse("EINVAL", "set_iommu: it is set already");
		this.type = type;
		this.hidden = this.add(new Space(null, this.options("hidden ioasid")));
		this.current = this.hidden;
		// the old door has no call for it
		if (this.own !== undefined) this.own.enabled = true;
		const done: Array<Group<Device>> = [];
		try {
			for (const group of this.groups) {
				this.attachGroup(group);
				done.push(group);
			}
		} catch (error) {
			for (const group of done) this.detachGroup(group.members);
			this.type = null;
			this.dropHidden();
			throw error;
		}
	}

	/** Every member that a user's driver has is attached, each in its driver's way. */
	private attachGroup(group: Group<Device>): void {
		const node = this.own;
		if (node === undefined) return;
		const done: Device[] = [];
		try {
			for (const device of group.members) {
				if (this.machine.ownershipOf(device) !== "user") continue;
				this.context.addDevice(device, null);
				done.push(device);
				const space = this.mirrorFor(device, node);
				const software = this.machine.driverOf(device, "set_container").software === true;
				call(() => this.machine.attach(device, space, software ? { noAutoPin: true } : {}), { Occupied: "EBUSY" });
			}
		} catch (error) {
			this.detachGroup(done);
			throw error;
		}
	}

	private detachGroup(devices: Iterable<Device>): void {
		for (const device of devices) {
			this.machine.release(device);
			this.context.removeDevice(device);
		}
		this.dropMirrors();
	}

	/** Mirrors that nobody needs go; what was written through them stays known. */
	private dropMirrors(): void {
		const node = this.own;
		for (const mirror of [...(node?.mirrors ?? [])]) {
			if (mirror.attachments.size > 0) continue;
			if (mirror.tracksDirty) for (const page of mirror.readDirty(0n, 1n << 64n, true)) node?.space.dirtied(page);
			mirror.free();
			node?.mirrors.splice(node.mirrors.indexOf(mirror), 1);
			this.context.spaces.delete(mirror);
		}
	}

	/** The hidden space that a device can share: one that snoops as its IOMMU does. */
	protected override mirrorFor(device: Device, node: IoasidNode): AddressSpace {
		if (node !== this.own) return node.space;
		if (this.machine.driverOf(device, "attach").software === true) return node.space;
		const fits = (space: AddressSpace) => space.enforcesSnoop === null || space.enforcesSnoop === device.iommu.capabilities.enforcesSnoop;
		const found = [node.space, ...node.mirrors].find(fits);
		if (found !== undefined) return found;
		const mirror = new Space(null, this.options("mirror"));
		mirror.owner = this.context;
		for (const { first, last, permissions, backing } of (node.space as Space).mappedAreas) mirror.map(first, last - first + 1n, backing, permissions);
		if ((node.space as Space).tracksDirty) mirror.startDirty(this.policy.dirtySplit);
		node.mirrors.push(mirror);
		this.context.spaces.add(mirror);
		return mirror;
	}

	/** Hidden spaces in use. */
	get hiddenCount(): number {
		return this.own === undefined ? 0 : 1 + this.own.mirrors.length;
	}

	// ---- devices

	/** @throws DoorError EINVAL before the container is set up */
	openDevice(device: Device): void {
		this.open("get_device_fd");
		if (this.type === null || !this.groups.has(device.group)) refuse("EINVAL", `get_device_fd: its group is in no container that is set up: device ${device.name}`);
		if (this.machine.ownershipOf(device) !== "user") refuse("EINVAL", `get_device_fd: its driver gives it to no user: device ${device.name}`);
		this.openDevices.add(device);
	}

	isOpen(device: Device): boolean {
		return this.openDevices.has(device);
	}

	closeDevice(device: Device): void {
		this.openDevices.delete(device);
		if (this.closing) this.settle();
	}

	// ---- the container's own calls

	private target(operation: string): number {
		this.open(operation);
		if (this.type === null || this.current === null) refuse("EINVAL", `${operation}: the container has no IOASID`);
		return this.current;
	}

	/** @throws DoorError */
	vfioMap(caller: Process, iova: bigint, vaddr: bigint, size: bigint, permissions: { read: boolean; write: boolean }): void {
		this.map(caller, this.target("vfio_map"), { iova, vaddr, size, ...permissions });
	}

	/** type1 may cut mappings, type1v2 may not; the size tells what went. @throws DoorError */
	vfioUnmap(iova: bigint, size: bigint): bigint {
		return this.unmap(this.target("vfio_unmap"), iova, size, { cut: this.type === "type1" }).size;
	}

	/** The IOASID that map and unmap act on. @throws DoorError EINVAL, ENODEV */
	vfioIoasid(verb: "get" | "set" | "clear", ioasid?: number): number {
		this.open("vfio_ioasid");
		if (verb === "get") return this.current ?? refuse("ENODEV", "vfio_ioasid: none is set");
		if (verb === "clear") {
			this.current = null;
			return 0;
		}
		if (ioasid === undefined) refuse("EINVAL", "vfio_ioasid: no number");
		this.node("vfio_ioasid", ioasid);
		this.current = ioasid;
		return ioasid;
	}

	/** Every hidden space enforces snooping: DMA of the container is coherent. */
	vfioCheckExtension(name: string): number {
		this.open("vfio_check_extension");
		if (name === "type1" || name === "type1v2") return 1;
		if (name !== "dma_cc" || this.own === undefined) return 0;
		const { space, mirrors } = this.own;
		const attached = [space, ...mirrors].flatMap((each) => [...(each.attachments as Set<Attachment>)]).filter(({ mode }) => mode !== "sw");
		return Number(attached.every(({ space: each }) => each.enforcesSnoop === true));
	}

	/** @throws DoorError ENOTTY always: dirty pages are read at the other door */
	dirtyPages(): never {
		return refuse("ENOTTY", "dirty_pages: not in the compatibility layer");
	}

	/** All groups leave once no device is open. */
	override close(): void {
		this.closing = true;
		this.settle();
	}

	override settle(): void {
		if (!this.closing || this.openDevices.size > 0 || this.context.closed) return;
		for (const group of [...this.groups]) this.leave(group);
		this.context.closed = true;
		super.settle();
	}
}
