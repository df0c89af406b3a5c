/** Open files and the descriptors by which processes name them. */
import type { MappingWatcher, MemoryObject, ProcessMemory } from "../core/index.ts";
import { Errno } from "./errno.ts";

/** Whose call it is. */
export interface Credentials {
	/** may do what needs privilege, and is charged for nothing */
	readonly privileged: boolean;
	/** may lock memory without limit (CAP_IPC_LOCK); default as `privileged` */
	readonly ipcLock?: boolean;
	/** whom pinned memory is charged to; default 0 */
	readonly uid?: number;
}

/** The process that makes a call, with the descriptors that it names files by. */
export interface Caller {
	readonly process: ProcessMemory;
	readonly credentials: Credentials;
	readonly descriptors: Descriptors;
}

export interface MmapRequest {
	/** bytes into the file, a multiple of a page */
	readonly offset: bigint;
	/** bytes, a multiple of a page */
	readonly length: bigint;
	readonly read: boolean;
	readonly write: boolean;
	readonly shared: boolean;
}

export interface MmapSource {
	object: MemoryObject;
	/** byte of the object where the mapping begins; default 0 */
	offset?: bigint;
	watcher?: MappingWatcher;
}

/** bits of a poll answer */
export const POLL = { in: 0x1, out: 0x4, err: 0x8, hup: 0x10, nval: 0x20, rdnorm: 0x40, wrnorm: 0x100 } as const;

/** What stands behind an open file. Calls throw Errno; a call that is left out is refused as Linux refuses it. */
export interface FileOps {
	/** @returns what the system call returns, 0 or more */
	ioctl?(caller: Caller, cmd: number, argp: bigint): number;
	/** Copy up to `length` bytes to `address` in the caller's memory. @returns how many */
	read?(caller: Caller, address: bigint, length: number): number;
	/** @returns how many bytes were taken */
	write?(caller: Caller, address: bigint, length: number): number;
	/** @returns bits of POLL; left out: always readable and writable */
	poll?(caller: Caller): number;
	/** called when poll has something new to say */
	readonly wakeups?: Set<() => void>;
	mmap?(caller: Caller, request: MmapRequest): MmapSource;
	/** The last descriptor and the last mapping are gone. */
	release?(): void;
}

export interface Mode {
	readonly read: boolean;
	readonly write: boolean;
}

/** An open file description: shared by dup, fork and mappings, released with the last of them. */
export class OpenFile {
	private holders = 0;

	constructor(
		/** path or what kind of file it is */
		readonly name: string,
		readonly ops: FileOps,
		/** of who opened it */
		readonly credentials: Credentials,
		readonly mode: Mode = { read: true, write: true },
	) {}

	hold(): void {
		this.holders++;
	}

	release(): void {
		this.holders--;
		if (this.holders === 0) this.ops.release?.();
	}
}

/** as RLIMIT_NOFILE is usually set */
const LIMIT = 1024;

/** Descriptors of one process. Its children inherit them, its exit closes them. */
export class Descriptors {
	private static readonly tables = new WeakMap<ProcessMemory, Descriptors>();

	/** The table of a process, made at its first use. */
	static of(process: ProcessMemory): Descriptors {
		let table = Descriptors.tables.get(process);
		if (table === undefined) {
			table = new Descriptors(process);
			Descriptors.tables.set(process, table);
		}
		return table;
	}

	/** null: reserved */
	private readonly files = new Map<number, OpenFile | null>();
	/** descriptors that may be open at a time */
	limit = LIMIT;
	/** gives out numbers for a process that has other files too; default the lowest that is free here */
	chooseNumber: (() => number) | null = null;

	private constructor(readonly process: ProcessMemory) {
		process.observe({
			forked: (child) => {
				const table = Descriptors.of(child);
				table.limit = this.limit;
				for (const [fd, file] of this.files) {
					if (file === null) continue;
					file.hold();
					table.files.set(fd, file);
				}
			},
			exited: () => {
				for (const fd of this.open) this.close(fd);
				this.files.clear();
			},
		});
	}

	/** Take a free number; `install` or `unreserve` follows. @throws Errno EMFILE */
	reserve(): number {
		let fd = this.chooseNumber?.() ?? 0;
		if (this.chooseNumber === null) while (this.files.has(fd)) fd++;
		if (fd >= this.limit || fd < 0 || this.files.has(fd)) throw new Errno("EMFILE", `process ${this.process.name} has ${this.limit} descriptors`);
		this.files.set(fd, null);
		return fd;
	}

	unreserve(fd: number): void {
		if (this.files.get(fd) === null) this.files.delete(fd);
	}

	/** Let a reserved number name a file. */
	install(fd: number, file: OpenFile): void {
		file.hold();
		this.files.set(fd, file);
	}

	/** The file of a number. @throws Errno EBADF */
	get(fd: number): OpenFile {
		const file = this.files.get(fd);
		if (file === undefined || file === null) throw new Errno("EBADF", `descriptor ${fd} of process ${this.process.name} is not open`);
		return file;
	}

	/** @throws Errno EBADF */
	close(fd: number): void {
		const file = this.get(fd);
		this.files.delete(fd);
		file.release();
	}

	/** Another number for the same file: a free one, or `at`, whatever it named before. @throws Errno EBADF, EMFILE */
	dup(fd: number, at?: number): number {
		const file = this.get(fd);
		if (at === fd) return fd;
		if (at !== undefined && (at < 0 || at >= this.limit)) throw new Errno("EBADF", `descriptor ${at} is beyond the ${this.limit} that may be open`);
		if (at !== undefined && this.files.has(at)) this.close(at);
		const other = at ?? this.reserve();
		this.install(other, file);
		return other;
	}

	/** Numbers that are open, ascending. */
	get open(): number[] {
		return [...this.files].flatMap(([fd, file]) => (file === null ? [] : [fd])).sort((a, b) => a - b);
	}
}
