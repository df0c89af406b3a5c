/** Descriptors and system calls, by a file that counts: it reads and writes bytes, maps a page, and says when it is gone. */
import { beforeEach, describe, expect, it } from "vitest";
import { FramePool, type MemoryObject, Process } from "../../ts/core/index.ts";
import { Engine } from "../../ts/engine/index.ts";
import { type Caller, Descriptors, type FileOps, type MmapRequest, OpenFile, POLL } from "../../ts/uapi/descriptors.ts";
import { Errno, errnoOf } from "../../ts/uapi/errno.ts";
import { File, Nodes } from "../../ts/uapi/file.ts";
import { copyFromUser, copyToUser } from "../../ts/uapi/user-memory.ts";

const AT = 0x1000_0000n;
const root = { privileged: true };
const user = { privileged: false, uid: 1000 };
const refused = (name: Parameters<typeof errnoOf>[0]) => -errnoOf(name);

let main: Process;
let frames: FramePool;
let nodes: Nodes;
let toy: Toy;

class Toy implements FileOps {
	kept: Uint8Array = Uint8Array.of();
	released = 0;
	mapped = 0;
	calls: Caller[] = [];
	constructor(readonly region: MemoryObject) {}
	ioctl(caller: Caller, cmd: number, argp: bigint) {
		this.calls.push(caller);
		if (cmd !== 0x3b01) throw new Errno("ENOTTY", "no such call");
		const [value] = copyFromUser(caller.process, argp, 1);
		copyToUser(caller.process, argp, Uint8Array.of(value + 1));
		return value;
	}
	read(caller: Caller, address: bigint, length: number) {
		const bytes = this.kept.subarray(0, length);
		copyToUser(caller.process, address, bytes);
		return bytes.length;
	}
	write(caller: Caller, address: bigint, length: number) {
		this.kept = copyFromUser(caller.process, address, length);
		return length;
	}
	poll() {
		return this.kept.length > 0 ? POLL.in | POLL.out : POLL.out;
	}
	mmap(_caller: Caller, request: MmapRequest) {
		if (request.offset !== 0x5000n || request.length !== 0x1000n) throw new Errno("ENXIO", "no region there");
		return { object: this.region, watcher: { open: () => void this.mapped++, close: () => void this.mapped-- } };
	}
	release() {
		this.released++;
		this.region.release();
	}
}

beforeEach(() => {
	const engine = Engine.create({ memory: [{ kind: "sparse", start: 0n, size: 0x100_0000n }], units: [], tables: { frames: 1, base: 1n << 40n } });
	frames = new FramePool(0x1000n, 0xff_ffffn);
	main = new Process("main", engine.memory, frames);
	main.map(AT, 0x2000n);
	nodes = new Nodes();
	nodes.add("/dev/toy", () => {
		toy = new Toy(main.createMemory("region", 0x1000n));
		return toy;
	});
	nodes.add("/dev/bare", () => ({}));
	nodes.add("/dev/closed", () => {
		throw new Errno("EPERM", "closed");
	});
});

describe("calls", () => {
	it("return a number, an errno as a negative one", () => {
		const file = nodes.open("/dev/toy", main, root);
		main.write(AT, Uint8Array.of(41));
		expect(file.ioctl(0x3b01, AT)).toBe(41);
		expect(main.read(AT, 1)[0]).toBe(42);
		expect(file.ioctl(0x3b01)).toBe(refused("EFAULT"));
		expect(file.ioctl(0x3b02, AT)).toBe(refused("ENOTTY"));
		expect(file.write(AT, 3)).toBe(3);
		expect(file.write(AT + 0x1fffn, 2)).toBe(refused("EFAULT"));
		expect(file.read(AT + 0x1000n, 100)).toBe(3);
		expect([...main.read(AT + 0x1000n, 4)]).toEqual([42, 0, 0, 0]);
		expect(file.poll()).toBe(POLL.in | POLL.out);
		expect([toy.calls[0].process === main, toy.calls[0].credentials === root]).toEqual([true, true]);
	});

	it("that a file does not have are refused as Linux refuses them", () => {
		const file = nodes.open("/dev/bare", main, root);
		expect([file.ioctl(1), file.read(AT, 1), file.write(AT, 1)]).toEqual([refused("ENOTTY"), refused("EINVAL"), refused("EINVAL")]);
		expect(file.mmap(null, 1n, { read: true, write: false }, 0n)).toBe(BigInt(refused("ENODEV")));
		expect(file.poll() & (POLL.in | POLL.out)).toBe(POLL.in | POLL.out);
	});

	it("keep to the mode of the open", () => {
		const writer = nodes.open("/dev/toy", main, root, { read: false, write: true });
		expect([writer.read(AT, 1), writer.write(AT, 1)]).toEqual([refused("EBADF"), 1]);
		const reader = nodes.open("/dev/toy", main, root, { read: true, write: false });
		expect([reader.read(AT, 1), reader.write(AT, 1)]).toEqual([0, refused("EBADF")]);
		const access = { read: true, write: true };
		expect(reader.mmap(null, 0x1000n, access, 0x5000n)).toBe(BigInt(refused("EACCES")));
		expect(writer.mmap(null, 0x1000n, { read: true, write: false }, 0x5000n)).toBe(BigInt(refused("EACCES")));
		expect(reader.mmap(null, 0x1000n, { ...access, shared: false }, 0x5000n)).toBeGreaterThan(0n);
	});

	it("that fail for other reasons than an errno are not hidden", () => {
		nodes.add("/dev/broken", () => ({
			ioctl() {
				throw new TypeError("a fault of ours");
			},
		}));
		expect(() => nodes.open("/dev/broken", main, root).ioctl(1)).toThrow(TypeError);
	});
});

describe("opening", () => {
	it("takes the lowest free number", () => {
		const files = [0, 1, 2].map(() => nodes.open("/dev/bare", main, root));
		expect(files.map((file) => file.fd)).toEqual([0, 1, 2]);
		expect(files[1].close()).toBe(0);
		expect(nodes.open("/dev/bare", main, root).fd).toBe(1);
		expect(Descriptors.of(main).open).toEqual([0, 1, 2]);
	});
	it("refused leaves nothing", () => {
		expect(() => nodes.open("/dev/none", main, root)).toThrow("ENOENT");
		expect(() => nodes.open("/dev/closed", main, root)).toThrow("EPERM");
		expect(() => nodes.add("/dev/toy", () => ({}))).toThrow("EEXIST");
		Descriptors.of(main).limit = 1;
		expect(nodes.open("/dev/bare", main, root).fd).toBe(0);
		expect(() => nodes.open("/dev/bare", main, root)).toThrow("EMFILE");
	});
	it("ends when the node is taken away", () => {
		const remove = nodes.add("/dev/gone", () => ({}));
		const file = nodes.open("/dev/gone", main, root);
		remove();
		expect(() => nodes.open("/dev/gone", main, root)).toThrow("ENOENT");
		expect(file.close()).toBe(0);
	});
});

describe("a description", () => {
	it("is released with its last descriptor", () => {
		const file = nodes.open("/dev/toy", main, root);
		const other = file.dup();
		expect([file.close(), file.close(), file.ioctl(0x3b01, AT)]).toEqual([0, refused("EBADF"), refused("EBADF")]);
		expect(file.poll()).toBe(POLL.nval);
		expect(toy.released).toBe(0);
		expect(other.ioctl(0x3b01, AT)).toBe(0);
		other.close();
		expect(toy.released).toBe(1);
	});

	it("is not reached through a number that was given again", () => {
		const file = nodes.open("/dev/toy", main, root);
		file.close();
		expect(nodes.open("/dev/bare", main, root).fd).toBe(file.fd);
		expect(file.ioctl(0x3b01, AT)).toBe(refused("EBADF"));
	});

	it("is inherited by fork, and the caller is who calls", () => {
		const file = nodes.open("/dev/toy", main, user);
		const child = main.fork("child");
		const inherited = file.in(child);
		child.write(AT, Uint8Array.of(7));
		expect(inherited.ioctl(0x3b01, AT)).toBe(7);
		expect([main.read(AT, 1)[0], child.read(AT, 1)[0]]).toEqual([0, 8]);
		expect([toy.calls[0].process === child, toy.calls[0].credentials === user]).toEqual([true, true]);
		file.close();
		expect(toy.released).toBe(0);
		const grandchild = child.fork("grandchild");
		child.exit();
		expect(toy.released).toBe(0);
		grandchild.exit();
		expect(toy.released).toBe(1);
		expect(() => file.in(child)).toThrow("EBADF");
	});

	it("opened after a fork is not the child's", () => {
		nodes.open("/dev/bare", main, root);
		const child = main.fork("child");
		const later = nodes.open("/dev/toy", main, root);
		expect(() => later.in(child)).toThrow("EBADF");
		main.exit();
		expect(toy.released).toBe(1);
	});

	it("may be made by a call, by a number that is reserved first", () => {
		const table = Descriptors.of(main);
		const fd = table.reserve();
		expect(() => new File(main, fd)).toThrow("EBADF");
		expect(table.open).toEqual([]);
		table.unreserve(fd);
		const again = table.reserve();
		expect(again).toBe(fd);
		table.install(again, new OpenFile("made", { ioctl: () => 9 }, root));
		expect(new File(main, fd).ioctl(1)).toBe(9);
		table.unreserve(fd);
		expect(table.open).toEqual([fd]);
	});
});

describe("mmap", () => {
	const access = { read: true, write: true };
	it("maps the file's memory, rounded to pages, and holds the file", () => {
		const file = nodes.open("/dev/toy", main, root);
		const at = file.mmap(null, 0x800n, access, 0x5000n);
		main.write(at + 4n, Uint8Array.of(3));
		expect(toy.region.read(4n, 1)[0]).toBe(3);
		file.close();
		expect([toy.mapped, toy.released]).toEqual([1, 0]);
		const child = main.fork("child");
		main.unmap(at, 0x1000n);
		expect([toy.mapped, toy.released]).toEqual([1, 0]);
		child.exit();
		expect([toy.mapped, toy.released]).toEqual([0, 1]);
		main.exit();
		expect(frames.used).toBe(0);
	});
	it("refused holds nothing", () => {
		const file = nodes.open("/dev/toy", main, root);
		const refusals = [
			file.mmap(null, 0n, access, 0x5000n),
			file.mmap(null, 1n, access, 0x5800n),
			file.mmap(null, 0x1000n, access, 0x6000n),
			file.mmap(null, 0x2000n, access, 0x5000n),
			file.mmap(AT + 1n, 0x1000n, access, 0x5000n),
			file.mmap(AT, 0x1000n, access, 0x5000n),
		];
		expect(refusals.map(Number)).toEqual(["EINVAL", "EINVAL", "ENXIO", "ENXIO", "EINVAL", "EEXIST"].map((name) => refused(name as "EINVAL")));
		expect(toy.mapped).toBe(0);
		file.close();
		expect(toy.released).toBe(1);
	});
});
