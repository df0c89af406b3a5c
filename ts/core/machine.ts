import type { Engine } from "../engine/index.ts";
import { type Attachment, Slots } from "./attachment.ts";
import { Device, formatAddress } from "./device.ts";
import type { DeviceDriver } from "./device-driver.ts";
import { CoreError } from "./errors.ts";
import { Group } from "./group.ts";
import type { AttachHints, IommuDriver } from "./iommu-driver.ts";
import { FramePool, Process } from "./process.ts";
import { Space } from "./space.ts";

export interface DeviceConfig {
	segment?: number;
	/** bus << 8 | device << 3 | function */
	rid: number;
	/** index of the unit in front of it; default 0 */
	unit?: number;
	/** makes the driver of this device; it is given the operations that it may call */
	driver: (slots: Slots) => DeviceDriver;
	/** default: a group of its own */
	group?: Group<Device>;
}

/** RAM of a machine, for its processes: a region of the engine's memory. */
export interface RamConfig {
	start: bigint;
	size: bigint;
}

/** An engine with the devices, groups, processes and spaces around it. */
export class Machine {
	readonly slots = new Slots();
	private readonly devices = new Map<string, Device>();
	private readonly drivers = new Map<Device, DeviceDriver>();
	private readonly frames: FramePool | null;
	private spaces = 0;
	private groups = 0;

	/** `iommus`: a driver for each unit of the engine, in order. */
	constructor(
		readonly engine: Engine,
		private readonly iommus: readonly IommuDriver[],
		ram?: RamConfig,
	) {
		this.frames = ram === undefined ? null : new FramePool(ram.start, ram.start + ram.size - 1n);
	}

	createGroup(): Group<Device> {
		return new Group(this.groups++);
	}

	/** @throws CoreError Occupied (the address is taken), NotFound (no such unit) */
	addDevice(config: DeviceConfig): Device {
		const { segment = 0, rid, unit = 0, group = this.createGroup() } = config;
		const name = formatAddress({ segment, rid });
		const context = { operation: "Machine.addDevice", object: `device ${name}` };
		if (this.devices.has(name)) throw new CoreError("Occupied", "a device is there", context);
		const iommu = this.iommus[unit];
		if (iommu === undefined) throw new CoreError("NotFound", `no unit ${unit}`, context);
		const device = new Device(segment, rid, iommu, group);
		this.devices.set(name, device);
		this.drivers.set(device, config.driver(this.slots));
		return device;
	}

	private driverOf(operation: string, device: Device): DeviceDriver {
		const driver = this.drivers.get(device);
		if (driver === undefined) throw new CoreError("NotFound", "not a device of this machine", { operation, object: `device ${device.name}` });
		return driver;
	}

	/** Attach a device to a space, in the way that its driver chooses. @throws CoreError, as DeviceDriver.attach */
	attach(device: Device, space: Space, hints?: AttachHints): Attachment {
		return this.driverOf("attach", device).attach(device, space, hints);
	}

	/** @throws CoreError NotFound, Busy */
	detach(device: Device): void {
		this.driverOf("detach", device).detach(device);
	}

	/** @throws CoreError Unsupported when the machine has no RAM */
	createProcess(name: string): Process {
		if (this.frames === null) throw new CoreError("Unsupported", "the machine has no RAM", { operation: "Machine.createProcess", object: `process ${name}` });
		return new Process(name, this.engine.memory, this.frames);
	}

	createSpace(): Space {
		return new Space(this.spaces++);
	}
}
