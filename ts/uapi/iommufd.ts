/**
 * The iommufd door for callers in this language: each command (0x80-0x94) is a method. Fields are named as in the structs
 * of linux/iommufd.h; what is left out is zero. Where a struct has a pointer, give the bytes themselves: commands read
 * and write the array.
 */
import type { Device, Group, Machine, ProcessMemory } from "../core/index.ts";
import { COMMANDS, type CommandName } from "./abi/commands.ts";
import type { Caller, Credentials } from "./descriptors.ts";
import { Errno } from "./errno.ts";
import { type File, Nodes } from "./file.ts";
import { BufferMemory, type Call, type CommandValues } from "./iommufd/call.ts";
import { VfioDeviceFile, VfioGroupFile } from "./iommufd/device-file.ts";
import { IommufdHost } from "./iommufd/door.ts";
import { IommufdFile } from "./iommufd/file.ts";
import type { Selftest } from "./iommufd/selftest.ts";

export { type Credentials, Descriptors } from "./descriptors.ts";
export { Errno, type ErrnoName } from "./errno.ts";
export { File, Nodes } from "./file.ts";
export { VfioDeviceFile, VfioGroupFile } from "./iommufd/device-file.ts";
export { IommufdHost } from "./iommufd/door.ts";
export { IommufdFile } from "./iommufd/file.ts";
export { Selftest } from "./iommufd/selftest.ts";
export { BufferFile, MemoryFile } from "./memory-file.ts";

/** Nodes of a machine's iommufd, and what they share. */
export interface IommufdNodes {
	readonly host: IommufdHost;
	readonly nodes: Nodes;
	/** `/dev/vfio/devices/NAME` and `/dev/vfio/GROUP` of a device that a user may have. @throws Errno EEXIST */
	addDevice(device: Device): void;
	/** @throws Errno ENOENT, EMFILE */
	open(path: string, process: ProcessMemory, credentials: Credentials): File;
}

/**
 * Set up `/dev/iommu` and `/dev/vfio/vfio` for a machine; further nodes may be added. `selftest`: the mock devices and the
 * test command of the kernel's selftest.
 */
export function createIommufd(machine: Machine, options: { noIommu?: boolean; selftest?: Selftest } = {}): IommufdNodes {
	const host = new IommufdHost(machine, options);
	host.test = options.selftest ?? null;
	const nodes = new Nodes();
	nodes.add("/dev/iommu", () => new IommufdFile(host));
	nodes.add("/dev/vfio/vfio", () => new IommufdFile(host, "process"));
	const groups = new Set<Group<Device>>();
	return {
		host,
		nodes,
		addDevice(device) {
			nodes.add(`/dev/vfio/devices/${device.name}`, () => new VfioDeviceFile(device));
			if (groups.has(device.group)) return;
			groups.add(device.group);
			let opened = false;
			nodes.add(`/dev/vfio/${device.group.name}`, () => {
				if (opened) throw new Errno("EBUSY", `group ${device.group.name} is open already`);
				opened = true;
				return new VfioGroupFile(device.group, () => {
					opened = false;
				});
			});
		},
		open: (path, process, credentials) => nodes.open(path, process, credentials),
	};
}

type Input<V> = V extends bigint ? bigint | Uint8Array : V extends readonly unknown[] ? V : V extends object ? { [K in keyof V]?: Input<V[K]> } : V;
/** Fields of a command; any may be left out. */
export type CommandInput<N extends CommandName> = { [K in keyof CommandValues<N>]?: Input<CommandValues<N>[K]> };
/** Fields that a command gives back. */
export type CommandOutput<N extends CommandName> = Partial<CommandValues<N>>;

const isPlain = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);

/** `blank` with what is given, byte arrays placed in memory. */
function fill(memory: BufferMemory, blank: unknown, given: unknown): unknown {
	if (given === undefined) return blank;
	if (given instanceof Uint8Array) return memory.place(given);
	if (!isPlain(given) || !isPlain(blank)) return given;
	return Object.fromEntries(Object.entries(blank).map(([key, value]) => [key, fill(memory, value, given[key])]));
}

/**
 * Run a command with values in this language. `out` receives what the command gives back, also when it then refuses.
 * @returns what the ioctl would return
 * @throws Errno
 */
export function invoke<N extends CommandName>(file: IommufdFile, name: N, caller: Caller, input: CommandInput<N>, out: CommandOutput<N> = {} as CommandOutput<N>): number {
	const memory = new BufferMemory();
	const values = fill(memory, COMMANDS[name].struct.decode(new Uint8Array(0)), input) as CommandValues<N>;
	const call: Call<N> = { caller, memory, values, respond: (updates) => void Object.assign(out, updates) };
	return file.call(name, call);
}

/** An open /dev/iommu and the process that calls it. Every method throws Errno; nothing has changed then but where it says so. */
export class IommufdClient {
	constructor(
		readonly file: IommufdFile,
		readonly caller: Caller,
	) {}

	private run<N extends CommandName>(name: N, input: CommandInput<N>, out: CommandOutput<N> = {} as CommandOutput<N>): CommandOutput<N> {
		invoke(this.file, name, this.caller, input, out);
		return out;
	}

	/** End an object that nobody holds. */
	destroy(input: CommandInput<"destroy">): CommandOutput<"destroy"> {
		return this.run("destroy", input);
	}

	/** A new address space. */
	ioasAlloc(input: CommandInput<"ioas_alloc">): CommandOutput<"ioas_alloc"> {
		return this.run("ioas_alloc", input);
	}

	/** Chosen addresses lie in these ranges from now on. */
	ioasAllowIovas(input: CommandInput<"ioas_allow_iovas">): CommandOutput<"ioas_allow_iovas"> {
		return this.run("ioas_allow_iovas", input);
	}

	/** Map what another place maps; pages are shared. */
	ioasCopy(input: CommandInput<"ioas_copy">): CommandOutput<"ioas_copy"> {
		return this.run("ioas_copy", input);
	}

	/** Ranges that are not reserved. EMSGSIZE with the number that there are when the array is short. */
	ioasIovaRanges(input: CommandInput<"ioas_iova_ranges">, out?: CommandOutput<"ioas_iova_ranges">): CommandOutput<"ioas_iova_ranges"> {
		return this.run("ioas_iova_ranges", input, out);
	}

	/** Map the caller's memory. */
	ioasMap(input: CommandInput<"ioas_map">): CommandOutput<"ioas_map"> {
		return this.run("ioas_map", input);
	}

	/** Unmap whole areas; 0 and all ones: everything. */
	ioasUnmap(input: CommandInput<"ioas_unmap">): CommandOutput<"ioas_unmap"> {
		return this.run("ioas_unmap", input);
	}

	/** Accounting mode of the file, large pages of a space. */
	option(input: CommandInput<"option">): CommandOutput<"option"> {
		return this.run("option", input);
	}

	/** The container's space. */
	vfioIoas(input: CommandInput<"vfio_ioas">): CommandOutput<"vfio_ioas"> {
		return this.run("vfio_ioas", input);
	}

	/** A table: filled from a space, or the user's own over one. */
	hwptAlloc(input: CommandInput<"hwpt_alloc">): CommandOutput<"hwpt_alloc"> {
		return this.run("hwpt_alloc", input);
	}

	/** What a device and its IOMMU can do. */
	getHwInfo(input: CommandInput<"get_hw_info">): CommandOutput<"get_hw_info"> {
		return this.run("get_hw_info", input);
	}

	/** Record what DMA writes, or stop. */
	hwptSetDirtyTracking(input: CommandInput<"hwpt_set_dirty_tracking">): CommandOutput<"hwpt_set_dirty_tracking"> {
		return this.run("hwpt_set_dirty_tracking", input);
	}

	/** Bits of written pages are set in the array. */
	hwptGetDirtyBitmap(input: CommandInput<"hwpt_get_dirty_bitmap">): CommandOutput<"hwpt_get_dirty_bitmap"> {
		return this.run("hwpt_get_dirty_bitmap", input);
	}

	/** Drop cached answers of the user's tables; `entry_num` comes back as the entries that were done, also with an error. */
	hwptInvalidate(input: CommandInput<"hwpt_invalidate">, out?: CommandOutput<"hwpt_invalidate">): CommandOutput<"hwpt_invalidate"> {
		return this.run("hwpt_invalidate", input, out);
	}

	/** A queue of page requests, with a descriptor to read. */
	faultQueueAlloc(input: CommandInput<"fault_queue_alloc">): CommandOutput<"fault_queue_alloc"> {
		return this.run("fault_queue_alloc", input);
	}

	/** Map pages of a file. */
	ioasMapFile(input: CommandInput<"ioas_map_file">): CommandOutput<"ioas_map_file"> {
		return this.run("ioas_map_file", input);
	}

	/** A virtual IOMMU over a nesting parent. */
	viommuAlloc(input: CommandInput<"viommu_alloc">): CommandOutput<"viommu_alloc"> {
		return this.run("viommu_alloc", input);
	}

	/** A device's number in a virtual IOMMU. */
	vdeviceAlloc(input: CommandInput<"vdevice_alloc">): CommandOutput<"vdevice_alloc"> {
		return this.run("vdevice_alloc", input);
	}

	/** File mappings are paid for by the caller from now on. */
	ioasChangeProcess(input: CommandInput<"ioas_change_process">): CommandOutput<"ioas_change_process"> {
		return this.run("ioas_change_process", input);
	}

	/** Events of one type for a guest, with a descriptor to read. */
	veventqAlloc(input: CommandInput<"veventq_alloc">): CommandOutput<"veventq_alloc"> {
		return this.run("veventq_alloc", input);
	}

	/** A guest's queue that the hardware reads itself. */
	hwQueueAlloc(input: CommandInput<"hw_queue_alloc">): CommandOutput<"hw_queue_alloc"> {
		return this.run("hw_queue_alloc", input);
	}

	/** The test command of a machine that has one. */
	test(input: CommandInput<"test">, out?: CommandOutput<"test">): CommandOutput<"test"> {
		return this.run("test", input, out);
	}
}
