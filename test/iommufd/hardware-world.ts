/** A machine with one unit of the engine and a device in front of it, opened by ioctls, and a dump of all that it holds. */
import { type Device, Machine, type Process } from "../../ts/core/index.ts";
import { drivers } from "../../ts/driver/index.ts";
import type { Engine } from "../../ts/engine/index.ts";
import { createUnits, type UnitDescription } from "../../ts/iommu/index.ts";
import { COMMANDS, type CommandName, ioctlNumber } from "../../ts/uapi/abi/commands.ts";
import type { Fields, Struct, Updates, Values } from "../../ts/uapi/abi/struct.ts";
import * as vfio from "../../ts/uapi/abi/vfio.ts";
import { Descriptors } from "../../ts/uapi/descriptors.ts";
import { Errno, errnoName } from "../../ts/uapi/errno.ts";
import type { Iommufd } from "../../ts/uapi/iommufd/door.ts";
import { IoasEntity } from "../../ts/uapi/iommufd/entities.ts";
import { createIommufd, type File, type IommufdNodes } from "../../ts/uapi/iommufd.ts";

const RAM = { start: 0x1_0000_0000n, size: 0x1000_0000n };
/** 8 MiB of memory, so aligned that 2 MiB leaves can map it */
export const MEMORY = 0x1000_0000n;
export const STRUCTS = 0x2000_0000n;
export const IOVA = 0x4000_0000n;

export type Kind = "vtd" | "smmuv3" | "amdvi" | "riscv";
export const KINDS: readonly Kind[] = ["vtd", "smmuv3", "amdvi", "riscv"];

const CAPABILITIES = { addressBits: 48, pageSizes: 0x4020_1000n, reserved: [{ first: 0xfee0_0000n, last: 0xfeef_ffffn }], pasidBits: 16, enforcesSnoop: true, nesting: "hw", maxDepth: 2, pasidTables: false, dirty: true } as const;

export class HardwareWorld {
	readonly engine: Engine;
	readonly machine: Machine;
	readonly doors: IommufdNodes;
	readonly process: Process;
	readonly device: Device;
	readonly iommufd: File;
	readonly door: Iommufd;

	constructor(kind: Kind) {
		const made = createUnits([{ name: kind, kind, ...CAPABILITIES } as UnitDescription], { memory: [{ kind: "sparse", ...RAM }], tables: { frames: 512 } });
		this.engine = made.engine;
		this.machine = new Machine(this.engine, made.units, RAM);
		this.doors = createIommufd(this.machine);
		this.device = this.machine.addDevice({ name: "vfio0", rid: 8, driver: drivers["vfio-pci"], capabilities: { pasid: true } });
		this.doors.addDevice(this.device);
		this.process = this.machine.createProcess("main");
		this.process.map(MEMORY, 0x80_0000n);
		this.process.unpin(this.process.pin(MEMORY, 0x80_0000n));
		this.process.map(STRUCTS, 0x2000n);
		this.process.write(STRUCTS, new Uint8Array(0x2000));
		this.iommufd = this.open("/dev/iommu");
		[this.door] = this.doors.host.files;
	}

	open(path: string): File {
		return this.doors.open(path, this.process, { privileged: true });
	}

	/** @throws Errno */
	done(result: number): number {
		const name = result < 0 ? errnoName(result) : undefined;
		if (name !== undefined) throw new Errno(name, "ioctl");
		return result;
	}

	/** An ioctl with a struct in the process's memory. @returns the struct afterwards. @throws Errno */
	call<F extends Fields>(file: File, cmd: number, struct: Struct<F>, values: Updates<F>): Values<F> {
		this.process.write(STRUCTS, struct.encode(values));
		this.done(file.ioctl(cmd, STRUCTS));
		return struct.decode(this.process.read(STRUCTS, struct.size));
	}

	command<N extends CommandName>(name: N, values: object, file = this.iommufd): Record<string, number & bigint> {
		const { struct, nr } = COMMANDS[name];
		return this.call(file, ioctlNumber(nr), struct as unknown as Struct<Fields>, { ...values, size: struct.size } as never) as never;
	}

	ioas(): number {
		return this.command("ioas_alloc", {}).out_ioas_id;
	}

	map(ioas_id: number, length = 0x3000n, iova = IOVA, user_va = MEMORY): unknown {
		return this.command("ioas_map", { flags: 7, ioas_id, user_va, length, iova });
	}

	/** The device, bound to the file. */
	bound(): File {
		const file = this.open("/dev/vfio/devices/vfio0");
		this.bind(file);
		return file;
	}

	bind(file: File): number {
		return this.call(file, vfio.VFIO.deviceBindIommufd, vfio.deviceBindIommufd, { argsz: 16, iommufd: this.iommufd.fd }).out_devid;
	}

	attach(file: File, pt_id: number, pasid?: number): number {
		const how = pasid === undefined ? { argsz: 12 } : { argsz: 16, flags: 1, pasid };
		return this.call(file, vfio.VFIO.deviceAttachIommufdPt, vfio.deviceAttachIommufdPt, { ...how, pt_id }).pt_id;
	}

	detach(file: File, pasid?: number): void {
		this.call(file, vfio.VFIO.deviceDetachIommufdPt, vfio.deviceDetachIommufdPt, pasid === undefined ? { argsz: 8 } : { argsz: 12, flags: 1, pasid });
	}

	/** A group that uses the file as its container. */
	joined(): File {
		const group = this.open("/dev/vfio/0");
		this.setContainer(group);
		return group;
	}

	setContainer(group: File): void {
		this.process.write(STRUCTS, new Uint8Array(new Int32Array([this.iommufd.fd]).buffer));
		this.done(group.ioctl(vfio.VFIO.groupSetContainer, STRUCTS));
	}

	deviceFd(group: File): number {
		this.process.write(STRUCTS, new TextEncoder().encode("vfio0\0"));
		return this.done(group.ioctl(vfio.VFIO.groupGetDeviceFd, STRUCTS));
	}

	dma(iova: bigint, pasid: number | null = null): string {
		const answer = this.machine.dma(this.device, pasid, iova);
		return answer.kind === "memory" ? `0x${answer.physical.toString(16)}` : answer.kind === "fault" ? answer.fault : answer.kind;
	}

	/** All that can be seen: objects, areas, what each page and its neighbours lead to, routes, frames, pins, descriptors. */
	dump(): unknown {
		const spaces = [...this.door.objects].filter((entity) => entity instanceof IoasEntity).map(({ id, space }) => [id, [...space.areas].map(({ first, last, source, uses }) => [first, last, source.pinned, uses]), space.usable, space.granule, space.tables.size]);
		const reached = [null, 5].map((pasid) => Array.from({ length: 6 }, (_, page) => this.dma(IOVA + 0x1000n * BigInt(page - 1), pasid)));
		const routes = this.doors.host.routes.attachmentsOf(this.device).map((pasid) => [pasid, this.doors.host.routes.tableOf(this.device, pasid)?.name]);
		const { framesPinned, framesUsed } = this.machine;
		return { objects: this.door.objects.describe(), compat: this.door.compat?.id ?? null, spaces, reached, routes, owned: this.device.group.owner !== null, tables: this.engine.framesUsed, framesPinned, framesUsed, fds: Descriptors.of(this.process).open };
	}
}
