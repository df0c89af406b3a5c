/** VFIO by bytes: argsz, flags, chains and partial results of the container, the group and the device. */
import { beforeEach, describe, expect, it } from "vitest";
import type { Capability } from "../../ts/uapi/abi/argsz.ts";
import { VFIO } from "../../ts/uapi/abi/vfio.ts";
import { Descriptors, OpenFile } from "../../ts/uapi/descriptors.ts";
import { errnoName } from "../../ts/uapi/errno.ts";
import { File, VfioDeviceFile } from "../../ts/uapi/iommufd.ts";
import { HardwareWorld, IOVA, MEMORY, STRUCTS } from "../iommufd/hardware-world.ts";

/** the end of STRUCTS, where memory ends */
const END = STRUCTS + 0x2000n;
const ALL_ONES = (1n << 64n) - 1n;

let world: HardwareWorld;
beforeEach(() => {
	world = new HardwareWorld("vtd");
});

const outcome = (result: number): string | number => (result < 0 ? (errnoName(result) as string) : result);
/** u32 words at an address, from there an ioctl. */
function ask(file: File, cmd: number, words: readonly number[], at = STRUCTS): string | number {
	world.process.write(at, new Uint8Array(new Uint32Array(words).buffer));
	return outcome(file.ioctl(cmd, at));
}
const view = (bytes: number, at = STRUCTS) => new DataView(world.process.read(at, bytes).buffer);
/** low and high word of 64 bits */
const wide = (value: bigint) => [Number(value & 0xffff_ffffn), Number(value >> 32n)];
const joined = () => world.deviceFd(world.joined());

interface Row {
	/** bytes that argsz must reach */
	readonly min: number;
	/** of a struct that is accepted, from argsz on */
	readonly words: (world: HardwareWorld) => number[];
	/** known bits; null: flags only come back */
	readonly flags: number | null;
	readonly file: (world: HardwareWorld) => File;
	/** what a good struct gives; default 0 */
	readonly gives?: string;
}

const iommufd = (made: HardwareWorld) => {
	made.deviceFd(made.joined());
	return made.iommufd;
};
const bound = (made: HardwareWorld) => made.bound();
const attached = (made: HardwareWorld) => {
	const file = made.bound();
	made.attach(file, made.ioas());
	return file;
};
const map = (iova = IOVA, size = 0x2000n, vaddr = MEMORY, flags = 3) => [32, flags, ...wide(vaddr), ...wide(iova), ...wide(size)];
const unmap = (iova = IOVA, size = 0x2000n, flags = 0) => [24, flags, ...wide(iova), ...wide(size)];

const ROWS: Readonly<Record<string, Row & { cmd: number }>> = {
	IOMMU_GET_INFO: { cmd: VFIO.iommuGetInfo, min: 16, flags: null, file: iommufd, words: () => [24, 0, 0, 0, 0, 0] },
	IOMMU_MAP_DMA: { cmd: VFIO.iommuMapDma, min: 32, flags: 3, file: iommufd, words: () => map() },
	IOMMU_UNMAP_DMA: { cmd: VFIO.iommuUnmapDma, min: 24, flags: 2, file: iommufd, words: () => unmap() },
	GROUP_GET_STATUS: { cmd: VFIO.groupGetStatus, min: 8, flags: null, file: (made) => made.joined(), words: () => [8, 0] },
	DEVICE_BIND_IOMMUFD: { cmd: VFIO.deviceBindIommufd, min: 16, flags: 0, file: (made) => made.open("/dev/vfio/devices/vfio0"), words: (made) => [16, 0, made.iommufd.fd, 0] },
	DEVICE_ATTACH_IOMMUFD_PT: { cmd: VFIO.deviceAttachIommufdPt, min: 12, flags: 1, file: bound, words: (made) => [12, 0, made.ioas()] },
	DEVICE_DETACH_IOMMUFD_PT: { cmd: VFIO.deviceDetachIommufdPt, min: 8, flags: 1, file: attached, words: () => [8, 0] },
	DEVICE_GET_INFO: { cmd: VFIO.deviceGetInfo, min: 16, flags: null, file: bound, words: () => [24, 0, 0, 0, 0, 0] },
	DEVICE_GET_REGION_INFO: { cmd: VFIO.deviceGetRegionInfo, min: 32, flags: null, file: bound, words: () => [32, 0, 0, 0, 0, 0, 0, 0], gives: "EINVAL" },
	DEVICE_GET_IRQ_INFO: { cmd: VFIO.deviceGetIrqInfo, min: 16, flags: null, file: bound, words: () => [16, 0, 0, 0], gives: "EINVAL" },
	DEVICE_SET_IRQS: { cmd: VFIO.deviceSetIrqs, min: 20, flags: null, file: bound, words: () => [20, 0, 0, 0, 0], gives: "EINVAL" },
	DEVICE_FEATURE: { cmd: VFIO.deviceFeature, min: 8, flags: 0x7_ffff, file: bound, words: () => [8, 1 << 18], gives: "ENOTTY" },
};

describe.each(Object.entries(ROWS))("%s", (_, { cmd, min, words, flags, file, gives = 0 }) => {
	it("takes argsz from its least on", () => {
		for (const argsz of [min, min + 1, min + 4, 4096, 0xffff_ffff]) {
			// a chain is written where argsz says that there is room
			if (argsz > 4096 && flags === null) continue;
			world = new HardwareWorld("vtd");
			const opened = file(world);
			expect(ask(opened, cmd, [argsz, ...words(world).slice(1)]), `argsz ${argsz}`).toBe(gives);
		}
	});
	it("refuses less", () => {
		const opened = file(world);
		const rest = words(world).slice(1);
		for (let argsz = 0; argsz < min; argsz++) expect(ask(opened, cmd, [argsz, ...rest]), `argsz ${argsz}`).toBe("EINVAL");
	});
	it("refuses unknown flags", () => {
		const opened = file(world);
		const [argsz, known, ...rest] = words(world);
		for (let bit = 0; flags !== null && bit < 32; bit++) if (!((flags >>> bit) & 1)) expect(ask(opened, cmd, [argsz, (known | (1 << bit)) >>> 0, ...rest]), `flag ${bit}`).toBe("EINVAL");
	});
	it("refuses structs that are not memory", () => {
		const opened = file(world);
		for (const at of [0n, 8n, END, END - BigInt(min) + 1n, 1n << 63n, ALL_ONES - 3n]) expect(outcome(opened.ioctl(cmd, at)), `0x${at.toString(16)}`).toBe("EFAULT");
		const exact = words(world).slice(0, min / 4);
		exact[0] = min;
		expect(ask(opened, cmd, exact, END - BigInt(min))).toBe(gives);
	});
});

describe("the container", () => {
	it("answers values, by all 64 bits", () => {
		const { iommufd: file } = world;
		const extension = (which: bigint | number) => outcome(file.ioctl(VFIO.checkExtension, which));
		expect(outcome(file.ioctl(VFIO.getApiVersion))).toBe(0);
		expect([1, 3, 9, 6, 8, 10, 2, 0, 99].map(extension)).toEqual([1, 1, 1, 0, 0, 0, 0, 0, 0]);
		expect([extension(4), extension((1n << 32n) + 1n), outcome(file.ioctl(VFIO.setIommu, 3)), outcome(file.ioctl(VFIO.setIommu, 2))]).toEqual(["ENODEV", 0, "ENODEV", "EINVAL"]);
		joined();
		expect([extension(4), outcome(file.ioctl(VFIO.setIommu, 3)), outcome(file.ioctl(VFIO.setIommu, (1n << 32n) + 3n)), outcome(file.ioctl(VFIO.setIommu, 1)), outcome(file.ioctl(VFIO.setIommu, 1))]).toEqual([1, 0, "EINVAL", 0, 0]);
	});

	it("knows a number by all of its 32 bits, whatever its sign", () => {
		const { iommufd: file } = world;
		expect([0xc000_3b64, 0x3c64, VFIO.iommuDirtyPages, VFIO.iommuEnable, -1, 0x3b64 - 2 ** 32, 0xffff_ffff_0000_3b64n].map((cmd) => outcome(file.ioctl(cmd)))).toEqual(["ENOTTY", "ENOTTY", "ENOTTY", "ENOTTY", "ENOTTY", 0, 0]);
	});

	it("has nothing to act on before a group joins", () => {
		for (const [cmd, words] of [[VFIO.iommuGetInfo, [24, 0, 0, 0, 0, 0]], [VFIO.iommuMapDma, map()], [VFIO.iommuUnmapDma, unmap()]] as const) expect(ask(world.iommufd, cmd, words)).toBe("ENODEV");
	});

	it("tells the size that its chain needs, and the chain to who has it", () => {
		joined();
		const info = (argsz: number) => {
			world.process.write(STRUCTS, new Uint8Array(256).fill(0xee));
			expect(ask(world.iommufd, VFIO.iommuGetInfo, [argsz, 0])).toBe(0);
			return view(256);
		};
		const needed = info(24).getUint32(0, true);
		// header 24, DMA avail 12 padded to 16, ranges 16 and 16 each: below, between and above what is reserved
		expect(needed).toBe(24 + 16 + 16 + 2 * 16);
		for (let argsz = 16; argsz < needed; argsz++) {
			const short = info(argsz);
			expect([short.getUint32(0, true), short.getUint32(4, true)], `argsz ${argsz}`).toEqual([needed, 3]);
			if (argsz >= 20) expect(short.getUint32(16, true)).toBe(0);
			for (let at = argsz; at < 256; at++) expect(short.getUint8(at), `byte ${at} for argsz ${argsz}`).toBe(0xee);
		}
		for (const argsz of [needed, needed + 8]) {
			const whole = info(argsz);
			expect([whole.getUint32(0, true), whole.getBigUint64(8, true), whole.getUint32(16, true)]).toEqual([needed, 0x4020_1000n, 24]);
			const capability = (at: number) => [whole.getUint16(at, true), whole.getUint16(at + 2, true), whole.getUint32(at + 4, true)];
			expect([capability(24), capability(40), whole.getUint32(48, true)]).toEqual([[3, 1, 40], [1, 1, 0], 2]);
			expect([56, 64, 72, 80].map((at) => whole.getBigUint64(at, true))).toEqual([0n, 0xfedf_ffffn, 0xfef0_0000n, (1n << 48n) - 1n]);
		}
	});

	it("maps at fixed places only", () => {
		joined();
		const { iommufd: file } = world;
		const tries: Array<[number[], string | number]> = [
			[map(), 0],
			[map(), "EEXIST"],
			[map(IOVA + 0x1000n), "EEXIST"],
			[map(0xfee0_0000n), "EINVAL"],
			[map(IOVA + 0x10_0800n), "EINVAL"],
			[map(IOVA + 0x10_0000n, 0n), "EINVAL"],
			[map(IOVA + 0x10_0000n, 0x1800n), "EINVAL"],
			[map(IOVA + 0x10_0000n, 0x1000n, MEMORY + 0x800n), "EINVAL"],
			[map(IOVA + 0x10_0000n, 0x1000n, 0x9000_0000n), "EFAULT"],
			[map(IOVA + 0x10_0000n, 0x2000n, ALL_ONES - 0xfffn), "EOVERFLOW"],
			[map(ALL_ONES - 0xfffn, 0x2000n), "EOVERFLOW"],
		];
		for (const [words, expected] of tries) expect(ask(file, VFIO.iommuMapDma, words), words.join(" ")).toBe(expected);
		expect(world.machine.framesPinned).toBe(2);
	});

	it("tells what was unmapped, also when a mapping sticks out", () => {
		joined();
		const { iommufd: file } = world;
		for (const [i, size] of [0x1000n, 0x1000n, 0x4000n].entries()) expect(ask(file, VFIO.iommuMapDma, map(IOVA + BigInt(i) * 0x1000n, size))).toBe(0);
		const remove = (iova: bigint, size: bigint, flags = 0) => [ask(file, VFIO.iommuUnmapDma, unmap(iova, size, flags)), view(24).getBigUint64(16, true)];
		expect(remove(IOVA - 0x4000n, 0x4000n)).toEqual([0, 0n]);
		expect(remove(IOVA, 0x3000n)).toEqual(["ENOENT", 0x2000n]);
		expect(remove(IOVA + 0x3000n, 0x3000n)).toEqual(["ENOENT", 0n]);
		expect(remove(0n, 0n)[0]).toBe("EINVAL");
		expect(remove(IOVA, ALL_ONES)[0]).toBe("EOVERFLOW");
		// everything has neither address nor size; the dirty bitmap is the other door's
		expect([remove(IOVA, 0n, 2)[0], remove(0n, 0x1000n, 2)[0], remove(IOVA, 0x4000n, 1)[0]]).toEqual(["EINVAL", "EINVAL", "EINVAL"]);
		expect(remove(0n, 0n, 2)).toEqual([0, 0x4000n]);
		expect(remove(0n, 0n, 2)).toEqual([0, 0n]);
		expect(world.machine.framesPinned).toBe(0);
	});

	it("of type 1 cuts at both ends", () => {
		joined();
		const { iommufd: file } = world;
		expect(outcome(file.ioctl(VFIO.setIommu, 1))).toBe(0);
		expect(ask(file, VFIO.iommuMapDma, map(IOVA, 0x40_0000n))).toBe(0);
		expect(ask(file, VFIO.iommuUnmapDma, unmap(IOVA + 0x1000n, 0x2000n))).toBe(0);
		expect([0n, 0x1000n, 0x2000n, 0x3000n].map((at) => world.dma(IOVA + at))).toEqual([expect.stringMatching(/^0x/), "unmapped", "unmapped", expect.stringMatching(/^0x/)]);
		expect(ask(file, VFIO.iommuUnmapDma, unmap(IOVA + 0x800n, 0x1000n))).toBe("EINVAL");
		expect(outcome(file.ioctl(VFIO.setIommu, 1))).toBe(0);
	});
});

describe("a group", () => {
	const container = (file: File, fd: number) => ask(file, VFIO.groupSetContainer, [fd >>> 0]);
	it("takes an iommufd, once", () => {
		const group = world.open("/dev/vfio/0");
		const status = () => [ask(group, VFIO.groupGetStatus, [8, 0]), view(8).getUint32(4, true)];
		const none = Descriptors.of(world.process).reserve();
		expect([status(), container(group, -1), container(group, none), container(group, group.fd)]).toEqual([[0, 1], "EBADF", "EBADF", "EBADFD"]);
		expect([outcome(group.ioctl(VFIO.groupSetContainer, 8n)), outcome(group.ioctl(VFIO.groupUnsetContainer)), outcome(group.ioctl(VFIO.groupGetDeviceFd, STRUCTS))]).toEqual(["EFAULT", "EINVAL", "EINVAL"]);
		expect([container(group, world.iommufd.fd), container(group, world.iommufd.fd), status()]).toEqual([0, "EINVAL", [0, 3]]);
		expect([outcome(group.ioctl(VFIO.groupUnsetContainer)), status(), outcome(group.ioctl(VFIO.getApiVersion))]).toEqual([0, [0, 1], "ENOTTY"]);
	});

	it("is not viable for others while a device of it is bound", () => {
		world.bound();
		const group = world.open("/dev/vfio/0");
		expect([ask(group, VFIO.groupGetStatus, [8, 0]), view(8).getUint32(4, true)]).toEqual([0, 0]);
	});

	it("opens its devices by name", () => {
		const group = world.joined();
		const named = (text: string, at = STRUCTS) => {
			world.process.write(at, new TextEncoder().encode(text));
			return outcome(group.ioctl(VFIO.groupGetDeviceFd, at));
		};
		expect([named("vfio9\0"), named("vfio0", END - 5n), outcome(group.ioctl(VFIO.groupGetDeviceFd, 0n))]).toEqual(["ENODEV", "EFAULT", "EFAULT"]);
		world.process.write(STRUCTS, new Uint8Array(0x2000).fill(97));
		expect(outcome(group.ioctl(VFIO.groupGetDeviceFd, STRUCTS))).toBe("EINVAL");
		const fd = named("vfio0\0");
		expect(fd).toBeGreaterThan(0);
		// what the group has bound and attached is not led elsewhere
		const device = new File(world.process, fd as number);
		expect(ask(device, VFIO.deviceGetInfo, [16, 0, 9, 9])).toBe(0);
		expect([ask(device, VFIO.deviceBindIommufd, [16, 0, world.iommufd.fd, 0]), ask(device, VFIO.deviceAttachIommufdPt, [12, 0, 1]), ask(device, VFIO.deviceDetachIommufdPt, [8, 0])]).toEqual(["EINVAL", "ENOTTY", "ENOTTY"]);
	});
});

describe("a device", () => {
	it("is bound before anything else", () => {
		const file = world.open("/dev/vfio/devices/vfio0");
		expect([VFIO.deviceGetInfo, VFIO.deviceAttachIommufdPt, VFIO.deviceDetachIommufdPt, VFIO.deviceFeature, VFIO.deviceReset, 0x3b00].map((cmd) => outcome(file.ioctl(cmd, 0n)))).toEqual(new Array(6).fill("EINVAL"));
		const bind = (fd: number, at = STRUCTS) => ask(file, VFIO.deviceBindIommufd, [16, 0, fd >>> 0, 0], at);
		const none = Descriptors.of(world.process).reserve();
		expect([bind(-1), bind(-2147483648), bind(none), bind(file.fd)]).toEqual(["EINVAL", "EINVAL", "EBADF", "EBADFD"]);
		expect([bind(world.iommufd.fd), view(16).getUint32(12, true), bind(world.iommufd.fd), bind(none)]).toEqual([0, 1, "EINVAL", "EINVAL"]);
		expect(outcome(file.ioctl(0x3b00, 0n))).toBe("ENOTTY");
	});

	it("is as before when the struct cannot be written", () => {
		const file = world.open("/dev/vfio/devices/vfio0");
		const state = world.dump();
		const locked = (words: number[], cmd: number) => {
			world.process.write(STRUCTS, new Uint8Array(new Uint32Array(words).buffer));
			world.process.protect(STRUCTS, 0x1000n, { read: true, write: false });
			const result = outcome(file.ioctl(cmd, STRUCTS));
			world.process.protect(STRUCTS, 0x1000n, { read: true, write: true });
			return result;
		};
		expect(locked([16, 0, world.iommufd.fd, 0], VFIO.deviceBindIommufd)).toBe("EFAULT");
		expect(world.dump()).toEqual(state);
		world.bind(file);
		const ioas = world.ioas();
		world.attach(file, ioas);
		world.detach(file);
		const attachable = world.dump();
		expect(locked([12, 0, ioas], VFIO.deviceAttachIommufdPt)).toBe("EFAULT");
		expect(world.dump()).toEqual(attachable);
		expect(world.attach(file, ioas)).toBeGreaterThan(0);
	});

	it("is attached to numbers of spaces and tables", () => {
		const file = world.bound();
		const ioas = world.ioas();
		const attach = (pt: number, pasid?: number) => ask(file, VFIO.deviceAttachIommufdPt, pasid === undefined ? [12, 0, pt] : [16, 1, pt, pasid]);
		const device = world.door.deviceId(world.device);
		expect([attach(0), attach(999), attach(device), attach(0xffff_ffff)]).toEqual(["ENOENT", "ENOENT", "EINVAL", "ENOENT"]);
		expect([attach(ioas), attach(ioas), ask(file, VFIO.deviceDetachIommufdPt, [8, 0]), ask(file, VFIO.deviceDetachIommufdPt, [8, 0])]).toEqual([0, 0, 0, 0]);
		// PASIDs: the flag needs its field, a space is no table for one, and the number has to fit
		expect(ask(file, VFIO.deviceAttachIommufdPt, [12, 1, ioas, 5])).toBe("EINVAL");
		expect(ask(file, VFIO.deviceDetachIommufdPt, [8, 1, 5])).toBe("EINVAL");
		const table = world.command("hwpt_alloc", { flags: 8, dev_id: device, pt_id: ioas }).out_hwpt_id;
		expect([attach(ioas, 5), attach(table, 0x1_0000), attach(table, 0xffff), attach(table, 0xffff)]).toEqual(["EINVAL", "EINVAL", 0, 0]);
		expect([ask(file, VFIO.deviceDetachIommufdPt, [12, 1, 7]), ask(file, VFIO.deviceDetachIommufdPt, [12, 1, 0xffff])]).toEqual([0, 0]);
	});

	it("tells of itself", () => {
		const file = world.bound();
		world.process.write(STRUCTS, new Uint8Array(64).fill(0xee));
		expect(ask(file, VFIO.deviceGetInfo, [16, 0])).toBe(0);
		expect([4, 8, 12, 16].map((at) => view(64).getUint32(at, true))).toEqual([2, 0, 0, 0xeeee_eeee]);
		// a probe may name several ways at once, a call one
		const feature = (flags: number) => ask(file, VFIO.deviceFeature, [8, flags]);
		const [get, set, probe] = [1 << 16, 1 << 17, 1 << 18];
		expect([feature(get | set), feature(get | 5), feature(probe | get | set), feature(probe | 0xffff), feature(0)]).toEqual(["EINVAL", "ENOTTY", "ENOTTY", "ENOTTY", "ENOTTY"]);
		expect(outcome(file.ioctl(VFIO.deviceReset))).toBe("EINVAL");
	});

	it("with capabilities tells the size that they need", () => {
		const capability: Capability = { head: Uint8Array.of(4, 0, 1, 0, 0, 0, 0, 0, 7, 0, 0, 0) };
		const descriptors = Descriptors.of(world.process);
		const fd = descriptors.reserve();
		descriptors.install(fd, new OpenFile("vfio0", new VfioDeviceFile(world.device, () => {}, [capability, capability]), { privileged: true }));
		const file = new File(world.process, fd);
		world.bind(file);
		const info = (argsz: number) => {
			expect(ask(file, VFIO.deviceGetInfo, [argsz, 0, 0, 0, 9, 9])).toBe(0);
			return view(64);
		};
		const needed = 24 + 16 + 16;
		for (const argsz of [16, 24, needed - 1]) expect([info(argsz).getUint32(0, true), info(argsz).getUint32(4, true)]).toEqual([needed, 2 | 128]);
		const whole = info(needed);
		expect([whole.getUint32(0, true), whole.getUint32(16, true), whole.getUint32(28, true), whole.getUint32(44, true), whole.getUint32(48, true)]).toEqual([needed, 24, 40, 0, 7]);
	});
});
