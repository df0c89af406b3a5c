/** System calls on open files, and the nodes that are opened by path. */
import { CoreError, type CoreReason, type ProcessMemory } from "../core/index.ts";
import { type Caller, type Credentials, Descriptors, type FileOps, type Mode, OpenFile, POLL } from "./descriptors.ts";
import { Errno, type ErrnoName } from "./errno.ts";

const PAGE = 4096n;
const MMAP_ERRNO: Partial<Record<CoreReason, ErrnoName>> = { Misaligned: "EINVAL", Occupied: "EEXIST" };

/** 0 or more, or the negative number of an errno. */
function answer<T extends number | bigint>(call: () => T, negative: (code: number) => T): T {
	try {
		return call();
	} catch (error) {
		if (error instanceof Errno) return negative(error.result);
		throw error;
	}
}
/** what one read or write moves at most, as Linux has it (MAX_RW_COUNT) */
const MOST = 0x7fff_f000n;

/** Bytes that a read or write asks for. @throws Errno EINVAL: negative, as a signed number */
function count(length: number | bigint): number {
	const bytes = BigInt.asIntN(64, BigInt(length));
	if (bytes < 0n) throw new Errno("EINVAL", `${bytes} bytes`);
	return Number(bytes < MOST ? bytes : MOST);
}

const numbered = (call: () => number) => answer(call, (code) => code);

/** One descriptor of a process, as system calls use it. Every call returns 0 or more, or a negative errno. */
export class File {
	private readonly description: OpenFile;
	private readonly table: Descriptors;

	/** @throws Errno EBADF */
	constructor(
		readonly process: ProcessMemory,
		readonly fd: number,
		/** of the process that makes the calls; default those of the opener */
		private readonly credentials?: Credentials,
	) {
		this.table = Descriptors.of(process);
		this.description = this.table.get(fd);
	}

	/** The file, as long as this descriptor still names it. */
	private get ops(): FileOps {
		if (this.table.get(this.fd) !== this.description) throw new Errno("EBADF", `descriptor ${this.fd} names another file by now`);
		return this.description.ops;
	}

	private get caller(): Caller {
		return { process: this.process, credentials: this.credentials ?? this.description.credentials, descriptors: this.table };
	}

	/**
	 * `cmd`: its low 32 bits count, whatever its sign. `argp`: an address in the process's memory, or the argument itself
	 * where the command takes a value.
	 */
	ioctl(cmd: number | bigint, argp: bigint | number = 0n): number {
		return numbered(() => {
			const { ops } = this;
			if (ops.ioctl === undefined) throw new Errno("ENOTTY", `${this.description.name} takes no ioctl`);
			return ops.ioctl(this.caller, Number(BigInt.asUintN(32, BigInt(cmd))), BigInt.asUintN(64, BigInt(argp)));
		});
	}

	/** Read into the process's memory. */
	read(address: bigint, length: number | bigint): number {
		return numbered(() => {
			const { ops } = this;
			if (!this.description.mode.read) throw new Errno("EBADF", `${this.description.name} is not open for reading`);
			if (ops.read === undefined) throw new Errno("EINVAL", `${this.description.name} cannot be read`);
			return ops.read(this.caller, address, count(length));
		});
	}

	/** Write from the process's memory. */
	write(address: bigint, length: number | bigint): number {
		return numbered(() => {
			const { ops } = this;
			if (!this.description.mode.write) throw new Errno("EBADF", `${this.description.name} is not open for writing`);
			if (ops.write === undefined) throw new Errno("EINVAL", `${this.description.name} cannot be written`);
			return ops.write(this.caller, address, count(length));
		});
	}

	/** Bits of POLL that hold now; POLL.nval when the descriptor is closed. */
	poll(): number {
		try {
			const { ops } = this;
			return ops.poll?.(this.caller) ?? POLL.in | POLL.out | POLL.rdnorm | POLL.wrnorm;
		} catch (error) {
			if (error instanceof Errno) return POLL.nval;
			throw error;
		}
	}

	/** Be told when `poll` has something new to say. @returns a call that ends it. @throws Errno EBADF */
	watch(listener: () => void): () => void {
		const { wakeups } = this.ops;
		wakeups?.add(listener);
		return () => void wakeups?.delete(listener);
	}

	/**
	 * Map a part of the file into the process, at an address or where there is room (null).
	 * @returns the address, or a negative errno
	 */
	mmap(address: bigint | null, length: bigint, access: { read: boolean; write: boolean; shared?: boolean }, offset: bigint): bigint {
		const { read, write, shared = true } = access;
		return answer(
			() => {
				const { ops, description } = this;
				if (length <= 0n || offset < 0n || offset % PAGE !== 0n) throw new Errno("EINVAL", `0x${length.toString(16)} bytes at offset 0x${offset.toString(16)}`);
				const { mode, name } = description;
				if (!mode.read || (shared && write && !mode.write)) throw new Errno("EACCES", `${name} was not opened for that`);
				if (ops.mmap === undefined) throw new Errno("ENODEV", `${name} cannot be mapped`);
				const size = ((length + PAGE - 1n) / PAGE) * PAGE;
				const { watcher, ...source } = ops.mmap(this.caller, { offset, length: size, read, write, shared });
				// a mapping holds its file as a descriptor does
				const held = {
					open() {
						description.hold();
						watcher?.open();
					},
					close() {
						watcher?.close();
						description.release();
					},
				};
				try {
					return this.process.map(address, size, { read, write, shared, ...source, watcher: held });
				} catch (error) {
					if (error instanceof CoreError) throw new Errno(MMAP_ERRNO[error.reason] ?? "ENOMEM", error.message, { cause: error });
					throw error;
				}
			},
			(code) => BigInt(code),
		);
	}

	close(): number {
		return numbered(() => {
			void this.ops;
			this.table.close(this.fd);
			return 0;
		});
	}

	/** As `at` (dup2), or as a free number. @throws Errno EBADF, EMFILE */
	dup(at?: number): File {
		void this.ops;
		return new File(this.process, this.table.dup(this.fd, at), this.credentials);
	}

	/** The same descriptor in a child that inherited it. @throws Errno EBADF */
	in(process: ProcessMemory): File {
		return new File(process, this.fd, this.credentials);
	}
}

/** Makes the file of a node at each open. @throws Errno */
export type Opener = (caller: Caller) => FileOps;

/** Nodes by path: /dev/iommu, /dev/vfio/vfio, /dev/vfio/devices/vfio0 ... */
export class Nodes {
	private readonly openers = new Map<string, Opener>();

	/** @returns what takes the node away; files that are open live on. @throws Errno EEXIST */
	add(path: string, opener: Opener): () => void {
		if (this.openers.has(path)) throw new Errno("EEXIST", `node ${path}`);
		this.openers.set(path, opener);
		return () => void this.openers.delete(path);
	}

	/** @throws Errno ENOENT, EMFILE, or what the node refuses with */
	open(path: string, process: ProcessMemory, credentials: Credentials, mode: Mode = { read: true, write: true }): File {
		const opener = this.openers.get(path);
		if (opener === undefined) throw new Errno("ENOENT", `node ${path}`);
		const descriptors = Descriptors.of(process);
		const fd = descriptors.reserve();
		try {
			descriptors.install(fd, new OpenFile(path, opener({ process, credentials, descriptors }), credentials, mode));
		} catch (error) {
			descriptors.unreserve(fd);
			throw error;
		}
		return new File(process, fd, credentials);
	}
}
