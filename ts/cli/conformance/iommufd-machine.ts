/** The machine of one iommufd scenario: mock devices, processes, and descriptors by handles that stay the same in every process. */
import { Machine, type Process } from "../../core/index.ts";
import { Engine } from "../../engine/index.ts";
import { type Caller, type Credentials, Descriptors, type OpenFile } from "../../uapi/descriptors.ts";
import { Errno } from "../../uapi/errno.ts";
import { File, type Nodes } from "../../uapi/file.ts";
import { createIommufd, IommufdFile, type IommufdHost, MemoryFile, Selftest } from "../../uapi/iommufd.ts";

const RAM = { start: 0x1_0000_0000n, size: 0x1000_0000n };
/** no number that the doors give out is as large */
const FIRST_HANDLE = 1 << 24;

export class IommufdMachine {
	readonly machine: Machine;
	readonly selftest: Selftest;
	readonly host: IommufdHost;
	readonly nodes: Nodes;
	readonly processes = new Map<number, Process>();
	private readonly handles = new Map<number, OpenFile>();
	private next = FIRST_HANDLE;
	/** processes have given up the right to lock memory without limit */
	limited = false;

	constructor() {
		this.selftest = new Selftest(() => this.machine);
		const engine = Engine.create({ memory: [{ kind: "sparse", ...RAM }], units: [], tables: { frames: 1 } });
		this.machine = new Machine(engine, [this.selftest.iommu], RAM);
		({ host: this.host, nodes: this.nodes } = createIommufd(this.machine, { selftest: this.selftest }));
	}

	addProcess(process: Process): number {
		const number = this.next++;
		this.processes.set(number, process);
		return number;
	}

	process(number: number): Process {
		const found = this.processes.get(number);
		if (found === undefined) throw new Error(`no process ${number}`);
		return found;
	}

	credentials(privileged = true): Credentials {
		return { privileged, ipcLock: privileged && !this.limited };
	}

	caller(process: Process, privileged = true): Caller {
		return { process, credentials: this.credentials(privileged), descriptors: Descriptors.of(process) };
	}

	/** Remember what a descriptor of a process names. */
	remember(process: Process, fd: number): number {
		const handle = this.next++;
		this.handles.set(handle, Descriptors.of(process).get(fd));
		return handle;
	}

	/** @throws Errno EBADF */
	openFile(handle: number): OpenFile {
		const file = this.handles.get(handle);
		if (file === undefined) throw new Errno("EBADF", `no descriptor ${handle}`);
		return file;
	}

	isOpen(handle: number): boolean {
		return this.handles.has(handle);
	}

	/** The descriptor of a handle in a process, passed to it when it has none. @throws Errno EBADF */
	fd(process: Process, handle: number): number {
		const file = this.openFile(handle);
		const descriptors = Descriptors.of(process);
		for (const fd of descriptors.open) if (descriptors.get(fd) === file) return fd;
		const fd = descriptors.reserve();
		descriptors.install(fd, file);
		return fd;
	}

	file(process: Process, handle: number, privileged = true): File {
		return new File(process, this.fd(process, handle), this.credentials(privileged));
	}

	/** Close a handle in every process that has it. @throws Errno EBADF */
	close(handle: number): void {
		const file = this.openFile(handle);
		this.handles.delete(handle);
		for (const process of this.processes.values()) {
			const descriptors = Descriptors.of(process);
			for (const fd of descriptors.open) if (descriptors.get(fd) === file) descriptors.close(fd);
		}
	}

	/** Bytes in a process for one call, gone when it ends. */
	withMemory<T>(process: Process, size: number, use: (address: bigint) => T): T {
		const bytes = BigInt(Math.max(1, Math.ceil(size / 4096))) * 4096n;
		const address = process.map(null, bytes);
		try {
			return use(address);
		} finally {
			process.unmap(address, bytes);
		}
	}

	iommufd(handle: number): IommufdFile {
		const { ops } = this.openFile(handle);
		if (!(ops instanceof IommufdFile)) throw new Errno("EBADF", `descriptor ${handle} is no iommufd`);
		return ops;
	}

	memoryFile(handle: number): MemoryFile {
		const { ops } = this.openFile(handle);
		if (!(ops instanceof MemoryFile)) throw new Errno("EBADF", `descriptor ${handle} is no memory`);
		return ops;
	}

	/** Close everything. @returns what is left */
	finish(): string[] {
		const left: string[] = [];
		for (const handle of [...this.handles.keys()]) this.close(handle);
		// what is still mapped of a file keeps it open
		for (const process of this.processes.values()) process.exit();
		if (this.machine.framesPinned > 0) left.push(`${this.machine.framesPinned} pages pinned`);
		for (const file of this.host.files) left.push(`an iommufd with objects ${JSON.stringify(file.objects.describe())}`);
		for (const process of this.processes.values()) {
			if (process.pinnedVm !== 0 || process.locked !== 0) left.push(`process ${process.name} is charged for ${process.pinnedVm} pages`);
		}
		if (this.host.locked.size > 0) left.push("a user is charged");
		if (this.selftest.iommu.tableCount !== 0) left.push(`${this.selftest.iommu.tableCount} tables`);
		if (this.machine.framesUsed !== 0) left.push(`${this.machine.framesUsed} frames`);
		return left;
	}
}
