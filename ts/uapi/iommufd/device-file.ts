/** A VFIO device and a VFIO group as files: /dev/vfio/devices/vfioN (bound to an iommufd) and /dev/vfio/N (through a container). */
import type { Device, Group } from "../../core/index.ts";
import { type Capability, receiveArgsz } from "../abi/argsz.ts";
import { ATTACH_FLAGS, DETACH_FLAGS, deviceAttachIommufdPt, deviceBindIommufd, deviceDetachIommufdPt, GROUP_FLAGS, groupStatus, VFIO } from "../abi/vfio.ts";
import { type Caller, type FileOps, OpenFile } from "../descriptors.ts";
import { Errno } from "../errno.ts";
import { copyFromUser } from "../user-memory.ts";
import { run } from "./call.ts";
import { joinContainer } from "./container.ts";
import { Iommufd } from "./door.ts";
import { deviceQuery } from "./device-info.ts";
import type { DeviceEntity } from "./entities.ts";

/** The iommufd behind a descriptor. @throws Errno EBADF, EBADFD */
function iommufdOf(caller: Caller, fd: number): Iommufd {
	const { ops } = caller.descriptors.get(fd);
	if (!(ops instanceof Iommufd)) throw new Errno("EBADFD", `descriptor ${fd} is no iommufd`);
	return ops;
}

export class VfioDeviceFile implements FileOps {
	private door: Iommufd | null = null;
	private entity: DeviceEntity | null = null;
	/** opened through its group, which binds and attaches it */
	grouped = false;

	constructor(
		readonly device: Device,
		/** told when the last descriptor is gone */
		private readonly closed: () => void = () => {},
		/** what its information is followed by */
		private readonly capabilities: readonly Capability[] = [],
	) {}

	/** What it is bound as. @throws Errno EINVAL before it is bound */
	private bound(): { door: Iommufd; entity: DeviceEntity } {
		if (this.door === null || this.entity === null) throw new Errno("EINVAL", `${this.device.name} is not bound`);
		return { door: this.door, entity: this.entity };
	}

	/** @throws Errno EINVAL */
	private refuseBound(): void {
		if (this.entity !== null) throw new Errno("EINVAL", `${this.device.name} is bound already`);
	}

	/** Give the device to an iommufd. @returns its number there. @throws Errno EINVAL (bound already), EPERM, ENOMEM */
	bind(door: Iommufd): number {
		this.refuseBound();
		this.entity = door.bind(this.device);
		this.door = door;
		return this.entity.id;
	}

	/** Attach it, or lead it elsewhere when it is attached. @returns number of the table. @throws Errno */
	attach(pasid: number | null, pt: number): number {
		const { door, entity } = this.bound();
		return run(() => door.changeTable(entity, pasid, pt, door.host.routes.isAttached(this.device, pasid) ? "replace" : "attach"));
	}

	detach(pasid: number | null): void {
		const { door, entity } = this.bound();
		door.detach(entity, pasid);
	}

	private unbind(): void {
		if (this.door !== null && this.entity !== null) this.door.unbind(this.entity);
		[this.door, this.entity] = [null, null];
	}

	ioctl(caller: Caller, cmd: number, argp: bigint): number {
		const memory = caller.process;
		if (cmd === VFIO.deviceBindIommufd) {
			const { values, respond } = receiveArgsz(memory, deviceBindIommufd, argp, "out_devid", 0);
			if (values.iommufd < 0) throw new Errno("EINVAL", `descriptor ${values.iommufd}`);
			this.refuseBound();
			const out_devid = this.bind(iommufdOf(caller, values.iommufd));
			undoing(() => respond({ out_devid }, "out_devid"), () => this.unbind());
			return 0;
		}
		// nothing else works before it is bound
		this.bound();
		if (cmd === VFIO.deviceAttachIommufdPt && !this.grouped) {
			const { values, respond } = receiveArgsz(memory, deviceAttachIommufdPt, argp, "pt_id", ATTACH_FLAGS.pasid, { [ATTACH_FLAGS.pasid]: "pasid" });
			const pasid = (values.flags & ATTACH_FLAGS.pasid) === 0 ? null : values.pasid;
			const pt_id = this.attach(pasid, values.pt_id);
			// what a replace has replaced does not come back
			undoing(() => respond({ pt_id }, "pt_id"), () => this.detach(pasid));
			return 0;
		}
		if (cmd === VFIO.deviceDetachIommufdPt && !this.grouped) {
			const { values } = receiveArgsz(memory, deviceDetachIommufdPt, argp, "flags", DETACH_FLAGS.pasid, { [DETACH_FLAGS.pasid]: "pasid" });
			this.detach((values.flags & DETACH_FLAGS.pasid) === 0 ? null : values.pasid);
			return 0;
		}
		return deviceQuery(memory, cmd, argp, this.capabilities);
	}

	release(): void {
		this.unbind();
		this.closed();
	}
}

/** Run the last step of a call; when it fails, take back what was done. */
function undoing(step: () => void, undo: () => void): void {
	try {
		step();
	} catch (error) {
		undo();
		throw error;
	}
}

export class VfioGroupFile implements FileOps {
	private door: Iommufd | null = null;

	constructor(
		readonly group: Group<Device>,
		/** told when the last descriptor is gone */
		private readonly closed: () => void = () => {},
	) {}

	/** Use an iommufd as the group's container; it gets a space when it has none. @throws Errno EINVAL */
	setContainer(door: Iommufd): void {
		if (this.door !== null) throw new Errno("EINVAL", "the group has a container");
		run(() => joinContainer(door));
		this.door = door;
	}

	/** Open a device of the group: bound and attached to the container's space. @throws Errno EINVAL, ENODEV, and what an attach refuses with */
	openDevice(name: string): VfioDeviceFile {
		if (this.door === null) throw new Errno("EINVAL", "the group has no container");
		const device = [...this.group.members].find((member) => member.name === name);
		if (device === undefined) throw new Errno("ENODEV", `no device ${name} in group ${this.group.name}`);
		const file = new VfioDeviceFile(device);
		file.grouped = true;
		file.bind(this.door);
		try {
			file.attach(null, run(() => joinContainer(this.door as Iommufd)).id);
		} catch (error) {
			file.release();
			throw error;
		}
		return file;
	}

	release(): void {
		this.closed();
	}

	ioctl(caller: Caller, cmd: number, argp: bigint): number {
		switch (cmd) {
			case VFIO.groupGetStatus: {
				const { respond } = receiveArgsz(caller.process, groupStatus, argp, "flags", 0xffff_ffff);
				const owned = this.group.owner !== null ? 0 : GROUP_FLAGS.viable;
				respond({ flags: this.door === null ? owned : GROUP_FLAGS.viable | GROUP_FLAGS.containerSet });
				return 0;
			}
			case VFIO.groupSetContainer:
				this.setContainer(iommufdOf(caller, new DataView(copyFromUser(caller.process, argp, 4).buffer).getInt32(0, true)));
				return 0;
			case VFIO.groupUnsetContainer:
				if (this.door === null) throw new Errno("EINVAL", "the group has no container");
				// devices that are open keep the iommufd for themselves
				this.door = null;
				return 0;
			case VFIO.groupGetDeviceFd: {
				const fd = caller.descriptors.reserve();
				try {
					caller.descriptors.install(fd, new OpenFile("[vfio-device]", this.openDevice(readName(caller, argp)), caller.credentials));
				} catch (error) {
					caller.descriptors.unreserve(fd);
					throw error;
				}
				return fd;
			}
			default:
				throw new Errno("ENOTTY", `no command 0x${cmd.toString(16)}`);
		}
	}
}

/** a C string of at most a page. @throws Errno EFAULT, EINVAL (no end) */
function readName(caller: Caller, address: bigint): string {
	let text = "";
	for (let i = 0n; i < 4096n; i++) {
		const [byte] = copyFromUser(caller.process, address + i, 1);
		if (byte === 0) return text;
		text += String.fromCharCode(byte);
	}
	throw new Errno("EINVAL", "a name without end");
}
