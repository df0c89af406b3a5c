/** A machine with mock devices, one process and one open /dev/iommu, and a dump of all that it holds. */
import { Machine, type Process } from "../../ts/core/index.ts";
import { Engine } from "../../ts/engine/index.ts";
import { MOCK, TEST_OP } from "../../ts/uapi/abi/iommufd-test.ts";
import { type Caller, Descriptors, OpenFile } from "../../ts/uapi/descriptors.ts";
import { Errno, errnoName } from "../../ts/uapi/errno.ts";
import { type CommandInput, type CommandOutput, IommufdClient, IommufdFile, IommufdHost, MemoryFile, Selftest } from "../../ts/uapi/iommufd.ts";
import { IoasEntity, PagingEntity, TableEntity } from "../../ts/uapi/iommufd/entities.ts";
import type { MockTable } from "../../ts/uapi/iommufd/mock-iommu.ts";

const RAM = { start: 0x1_0000_0000n, size: 0x1000_0000n };
export const MEMORY = 0x1000_0000n;
/** a page that is touched from the start */
export const STRUCTS = 0x2000_0000n;
export const APERTURE: bigint = MOCK.apertureStart;
const SIZE = 0x10_0000n;
export const RW = 6;
export const FIXED = 1;

export class World {
	readonly selftest: Selftest = new Selftest(() => this.machine);
	readonly machine: Machine;
	readonly host: IommufdHost;
	readonly file: IommufdFile;
	readonly process: Process;
	readonly caller: Caller;
	readonly client: IommufdClient;

	/** `touched`: memory has its frames already */
	constructor(private readonly touched = false) {
		const engine = Engine.create({ memory: [{ kind: "sparse", ...RAM }], units: [], tables: { frames: 1 } });
		this.machine = new Machine(engine, [this.selftest.iommu], RAM);
		this.host = new IommufdHost(this.machine);
		this.host.test = this.selftest;
		this.process = this.machine.createProcess("main");
		this.process.map(MEMORY, SIZE, { shared: true });
		this.process.map(STRUCTS, 0x1000n);
		this.process.write(STRUCTS, Uint8Array.of(0));
		if (touched) this.process.write(MEMORY, new Uint8Array(Number(SIZE)));
		this.file = new IommufdFile(this.host);
		const descriptors = Descriptors.of(this.process);
		this.caller = { process: this.process, credentials: { privileged: true, ipcLock: false }, descriptors };
		descriptors.install(descriptors.reserve(), new OpenFile("/dev/iommu", this.file, this.caller.credentials));
		this.client = new IommufdClient(this.file, this.caller);
	}

	test(op: keyof typeof TEST_OP, input: CommandInput<"test">): CommandOutput<"test"> {
		return this.client.test({ ...input, op: TEST_OP[op] });
	}

	/** What a system call returned. @throws Errno */
	done(result: number): number {
		const name = result < 0 ? errnoName(result) : undefined;
		if (name !== undefined) throw new Errno(name, "system call");
		return result;
	}

	ioas(): number {
		return this.client.ioasAlloc({}).out_ioas_id as number;
	}

	mock(pt: number, flags = 0): { stdev: number; hwpt: number; dev: number } {
		const made = this.test("mock_domain_flags", { id: pt, u: { mock_domain_flags: { dev_flags: flags } } }).u?.mock_domain;
		return { stdev: made?.out_stdev_id as number, hwpt: made?.out_hwpt_id as number, dev: made?.out_idev_id as number };
	}

	memfd(size: bigint): number {
		const { descriptors } = this.caller;
		const fd = descriptors.reserve();
		const memory = this.process.createMemory("memfd", size);
		if (this.touched) memory.write(0n, new Uint8Array(Number(size)));
		descriptors.install(fd, new OpenFile("memfd", new MemoryFile(memory), this.caller.credentials));
		return fd;
	}

	/** All that can be seen of the machine: objects, spaces, tables, routes, pins, charges, descriptors. */
	dump(): unknown {
		const objects = this.file.objects.describe();
		const spaces = [];
		const tables = [];
		const routes = [];
		for (const entity of this.file.objects) {
			if (entity instanceof IoasEntity) {
				const { space } = entity;
				const areas = [...space.areas].map(({ first, last, permissions, offset, uses, locks, source }) => [first, last, permissions, offset, uses, locks, source.pinned]);
				spaces.push([entity.id, areas, space.usable, space.allowed, space.granule, space.hugePages, space.tables.size, space.accesses.size]);
			}
			if (entity instanceof PagingEntity) tables.push([entity.id, [...(entity.table.hardware as MockTable).content], entity.table.tracking]);
			if (entity instanceof TableEntity) tables.push([entity.id, entity.fault?.id ?? null, entity.table.attachments.size]);
		}
		for (const device of this.machine.allDevices) {
			const pasids = this.host.routes.attachmentsOf(device);
			routes.push([device.name, pasids.map((pasid) => [pasid, this.host.routes.tableOf(device, pasid)?.name]), device.requester.untagged.layers.length, [...device.requester.pasids.keys()]]);
		}
		const { framesPinned, framesUsed } = this.machine;
		const charged = [this.process.pinnedVm, this.process.locked, [...this.host.locked]];
		return { objects, spaces, tables, routes, framesPinned, framesUsed: this.touched ? framesUsed : null, charged, fds: this.caller.descriptors.open, hardware: this.selftest.iommu.tableCount };
	}
}
