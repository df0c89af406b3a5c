import { describe, expect, it, test } from "vitest";
import { CoreError } from "../../ts/core/index.ts";
import { chainEnd, receiveArgsz, writeFittingChain, writeWholeChain } from "../../ts/uapi/abi/argsz.ts";
import { COMMANDS } from "../../ts/uapi/abi/commands.ts";
import { hwptVtdS1Invalidate } from "../../ts/uapi/abi/data.ts";
import { isCommand, receive } from "../../ts/uapi/abi/framing.ts";
import { hwptSelftest } from "../../ts/uapi/abi/iommufd-test.ts";
import * as vfio from "../../ts/uapi/abi/vfio.ts";
import { Errno, errnoName, errnoOf } from "../../ts/uapi/errno.ts";
import { copyDriverData, copyStructToUser, type UserMemory } from "../../ts/uapi/user-memory.ts";

const AT = 0x7f00_0000_0000n;

/** Some bytes at AT, nothing elsewhere. */
class Flat implements UserMemory {
	readonly bytes: Uint8Array;
	readOnly = false;
	constructor(size = 8192) {
		this.bytes = new Uint8Array(size);
	}
	private check(address: bigint, length: number) {
		const end = AT + BigInt(this.bytes.length);
		if (length > 0 && (address < AT || address + BigInt(length) > end)) throw new CoreError("MemoryFault", "no memory there", { operation: "test", object: "flat" });
	}
	read(address: bigint, length: number) {
		this.check(address, length);
		return this.bytes.slice(Number(address - AT), Number(address - AT) + length);
	}
	write(address: bigint, data: Uint8Array) {
		this.check(address, data.length);
		if (this.readOnly) throw new CoreError("MemoryFault", "read-only", { operation: "test", object: "flat" });
		this.bytes.set(data, Number(address - AT));
	}
}

/** name of the Errno that is thrown, or "ok" */
function outcome(act: () => unknown): string {
	try {
		act();
		return "ok";
	} catch (error) {
		if (error instanceof Errno) return error.code;
		throw error;
	}
}

function caller(size: number, fill: (view: DataView) => void = () => {}) {
	const memory = new Flat();
	const view = new DataView(memory.bytes.buffer);
	view.setUint32(0, size, true);
	fill(view);
	return memory;
}

describe("numbers", () => {
	it("between the first and the last command belong to iommufd", () => {
		expect([0x3b7f, 0x3b80, 0x3b94, 0x3b95, 0x3ba0].map((cmd) => isCommand(cmd, false))).toEqual([false, true, true, false, false]);
		expect([0x3b7f, 0x3b95, 0x3ba0, 0x3ba1].map((cmd) => isCommand(cmd, true))).toEqual([false, true, true, false]);
	});
	it("are looked up after the size field is read", () => {
		expect(outcome(() => receive(caller(8), 0xc0083b80, AT, false))).toBe("ENOTTY");
		expect(outcome(() => receive(caller(8), 0x3c80, AT, false))).toBe("ENOTTY");
		expect(outcome(() => receive(caller(8), 0x3b99, AT, true))).toBe("ENOTTY");
		expect(outcome(() => receive(caller(8), 0xc0083b80, 0n, false))).toBe("EFAULT");
		expect(outcome(() => receive(caller(72), 0x3ba0, AT, false))).toBe("ENOTTY");
		expect(receive(caller(72), 0x3ba0, AT, true).name).toBe("test");
	});
});

describe.each(Object.entries(COMMANDS))("the size of %s", (name, { nr, struct, minSize }) => {
	const cmd = 0x3b00 + nr;
	const { size } = struct;
	it("must reach the last mandatory field", () => {
		expect(outcome(() => receive(caller(minSize - 1), cmd, AT, true))).toBe("EINVAL");
		expect(outcome(() => receive(caller(0), cmd, AT, true))).toBe("EINVAL");
		expect(receive(caller(minSize), cmd, AT, true)).toMatchObject({ name, userSize: minSize });
	});
	it("may be larger when the tail is zero", () => {
		expect(receive(caller(size + 100), cmd, AT, true).name).toBe(name);
		expect(outcome(() => receive(caller(size + 100, (view) => view.setUint8(size + 99, 1)), cmd, AT, true))).toBe("E2BIG");
		expect(outcome(() => receive(caller(size + 100, (view) => view.setUint8(size, 1)), cmd, AT, true))).toBe("E2BIG");
		expect(receive(caller(size, (view) => view.setUint8(size, 1)), cmd, AT, true).name).toBe(name);
	});
	it("must be memory", () => {
		expect(outcome(() => receive(caller(8), cmd, 0n, true))).toBe("EFAULT");
		expect(outcome(() => receive(caller(8), cmd, (1n << 64n) - 2n, true))).toBe("EFAULT");
		const end = new Flat(size - 1);
		new DataView(end.bytes.buffer).setUint32(0, size, true);
		expect(outcome(() => receive(end, cmd, AT, true))).toBe("EFAULT");
		// a tail that goes on where there is no memory: what is set before is seen first
		const huge = 0xffff_fff0;
		expect(outcome(() => receive(caller(huge), cmd, AT, true))).toBe("EFAULT");
		expect(outcome(() => receive(caller(huge, (view) => view.setUint8(4000, 1)), cmd, AT, true))).toBe("E2BIG");
	});
});

describe("an answer", () => {
	it("is copied as far as the caller's size goes", () => {
		const memory = caller(24, (view) => {
			view.setUint32(8, 5, true);
			view.setUint32(24, 0x55, true);
			view.setUint32(40, 0x66, true);
		});
		const request = receive(memory, 0x3b89, AT, false);
		if (request.name !== "hwpt_alloc") throw new Error(request.name);
		// what an old caller does not send is zero, whatever lies behind its struct
		expect(request.values).toMatchObject({ dev_id: 5, data_type: 0, fault_id: 0 });
		request.respond({ out_hwpt_id: 9, fault_id: 3 });
		const view = new DataView(memory.bytes.buffer);
		expect([16, 24, 40].map((at) => view.getUint32(at, true))).toEqual([9, 0x55, 0x66]);
	});
	it("of a caller with a larger struct ends with the known part", () => {
		const memory = caller(200);
		const request = receive(memory, 0x3b81, AT, false);
		if (request.name !== "ioas_alloc") throw new Error(request.name);
		request.respond({ out_ioas_id: 1 });
		expect([...memory.bytes.subarray(0, 13)]).toEqual([200, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
	});
	it("to memory that cannot be written is EFAULT", () => {
		const memory = caller(12);
		const request = receive(memory, 0x3b81, AT, false);
		memory.readOnly = true;
		expect(outcome(() => request.respond({} as never))).toBe("EFAULT");
	});
});

describe("driver data", () => {
	const read = (length: number, at = AT, fill?: (view: DataView) => void) => () => hwptSelftest.decode(copyDriverData(caller(0xbad, fill), at, length, 4, hwptSelftest.size));
	test("of the old size, the new one and a longer one", () => {
		expect(read(4)()).toEqual({ iotlb: 0xbad, pagetable_type: 0 });
		expect(read(8, AT, (view) => view.setUint32(4, 1, true))()).toEqual({ iotlb: 0xbad, pagetable_type: 1 });
		expect(outcome(read(12))).toBe("ok");
		expect(outcome(read(12, AT, (view) => view.setUint8(8, 1)))).toBe("E2BIG");
	});
	test("that is null, short or not there", () => {
		expect(outcome(read(4, 0n))).toBe("EINVAL");
		expect(outcome(read(3))).toBe("EINVAL");
		expect(outcome(read(4, 0x1000n))).toBe("EFAULT");
	});
	test("as elements of an array with the caller's stride", () => {
		const memory = new Flat();
		const view = new DataView(memory.bytes.buffer);
		view.setBigUint64(32, 0x1000n, true);
		view.setBigUint64(40, 7n, true);
		expect(hwptVtdS1Invalidate.decode(copyDriverData(memory, AT + 32n, 32, 24, 24))).toMatchObject({ addr: 0x1000n, npages: 7n });
		view.setUint8(32 + 24, 1);
		expect(outcome(() => hwptVtdS1Invalidate.decode(copyDriverData(memory, AT + 32n, 32, 24, 24)))).toBe("E2BIG");
		expect(outcome(() => copyDriverData(memory, AT + 23n, 23, 24, 24))).toBe("EINVAL");
	});
	test("given back is cut or followed by zeros", () => {
		const memory = new Flat();
		memory.bytes.fill(0xff);
		copyStructToUser(memory, AT, 2, Uint8Array.of(1, 2, 3));
		copyStructToUser(memory, AT + 8n, 5, Uint8Array.of(1, 2, 3));
		expect([...memory.bytes.subarray(0, 14)]).toEqual([1, 2, 255, 255, 255, 255, 255, 255, 1, 2, 3, 0, 0, 255]);
		expect(outcome(() => copyStructToUser(memory, AT, 0xffff_ffff, Uint8Array.of(1)))).toBe("EFAULT");
	});
});

describe("argsz", () => {
	const info = (argsz: number, flags = 0) => caller(argsz, (view) => view.setUint32(4, flags, true));
	test("must reach the last mandatory field, flags must be known", () => {
		expect(outcome(() => receiveArgsz(info(15), vfio.iommuType1Info, AT, "iova_pgsizes", 0))).toBe("EINVAL");
		expect(outcome(() => receiveArgsz(info(16, 4), vfio.iommuType1Info, AT, "iova_pgsizes", 3))).toBe("EINVAL");
		expect(outcome(() => receiveArgsz(info(16, 0x8000_0000), vfio.iommuType1Info, AT, "iova_pgsizes", 3))).toBe("EINVAL");
		expect(outcome(() => receiveArgsz(info(16, 3), vfio.iommuType1Info, AT, "iova_pgsizes", 3))).toBe("ok");
		expect(outcome(() => receiveArgsz(new Flat(15), vfio.iommuType1Info, AT, "iova_pgsizes", 0))).toBe("EFAULT");
	});
	test("limits the answer", () => {
		for (const [argsz, last, bytes] of [[16, undefined, 16], [20, undefined, 20], [4096, undefined, 24], [4096, "flags", 8]] as const) {
			const memory = info(argsz);
			memory.bytes.fill(0xee, 8, 64);
			receiveArgsz(memory, vfio.iommuType1Info, AT, "iova_pgsizes", 0).respond({ iova_pgsizes: 0n, cap_offset: 0, pad: 0 }, last);
			expect(memory.bytes.subarray(0, 64).lastIndexOf(0) + 1).toBe(bytes);
		}
	});
	test("grows with a flag", () => {
		const attach = (argsz: number, flags: number) => () => {
			const memory = info(argsz, flags);
			new DataView(memory.bytes.buffer).setUint32(12, 77, true);
			return receiveArgsz(memory, vfio.deviceAttachIommufdPt, AT, "pt_id", 1, { 1: "pasid" });
		};
		expect(attach(16, 1)().values.pasid).toBe(77);
		expect(attach(16, 0)().values.pasid).toBe(0);
		expect(attach(12, 0)().values.pasid).toBe(0);
		expect(outcome(attach(12, 1))).toBe("EINVAL");
		const short = new Flat(12);
		vfio.deviceAttachIommufdPt.write(new DataView(short.bytes.buffer), 0, { argsz: 16 });
		short.bytes[4] = 1;
		expect(outcome(() => receiveArgsz(short, vfio.deviceAttachIommufdPt, AT, "pt_id", 1, { 1: "pasid" }))).toBe("EFAULT");
	});
});

describe("capability chains", () => {
	const { iommuType1Info, iommuType1InfoDmaAvail, iommuType1InfoCapIovaRange, iovaRange, TYPE1_CAP } = vfio;
	const avail = { head: iommuType1InfoDmaAvail.encode({ header: TYPE1_CAP.dmaAvail, avail: 65535 }) };
	const ranges = {
		head: iommuType1InfoCapIovaRange.encode({ header: TYPE1_CAP.iovaRange, nr_iovas: 2 }),
		elements: [iovaRange.encode({ start: 0n, end: 0xfedf_ffffn }), iovaRange.encode({ start: 0xfef0_0000n, end: 0xffff_ffffn })],
	};
	const chain = [avail, ranges];
	const size = iommuType1Info.size;
	const header = (memory: Flat, at: number) => vfio.infoCapHeader.read(new DataView(memory.bytes.buffer), at);

	test("end where the layouts say: avail at 24, ranges at 40", () => expect(chainEnd(size, chain)).toBe(40 + 16 + 32));

	test("of the container are linked only when all fits", () => {
		const memory = new Flat();
		expect(writeFittingChain(memory, AT, 88, size, chain)).toEqual({ argsz: 88, cap_offset: 24 });
		expect(header(memory, 24)).toEqual({ id: 3, version: 1, next: 40 });
		expect(header(memory, 40)).toEqual({ id: 1, version: 1, next: 0 });
		expect(iommuType1InfoCapIovaRange.decode(memory.bytes.subarray(40, 88))).toMatchObject({
			nr_iovas: 2,
			iova_ranges: [{ start: 0n, end: 0xfedf_ffffn }, { start: 0xfef0_0000n, end: 0xffff_ffffn }],
		});
	});
	test("of the container say the size of all, and touch nothing behind argsz", () => {
		for (let argsz = 16; argsz < 88; argsz++) {
			const memory = new Flat();
			memory.bytes.fill(0xee);
			expect(writeFittingChain(memory, AT, argsz, size, chain)).toEqual({ argsz: 88, cap_offset: 0 });
			expect(memory.bytes.subarray(argsz).every((byte) => byte === 0xee)).toBe(true);
			expect(memory.bytes[24] === 0xee).toBe(argsz < 36);
			expect(memory.bytes[56] === 0xee).toBe(argsz < 72);
			expect(memory.bytes[40] === 0xee).toBe(true);
			if (argsz >= 40) expect(header(memory, 24).next).toBe(40);
		}
	});
	test("of a device are written whole or not at all", () => {
		const memory = new Flat();
		expect(writeWholeChain(memory, AT, 87, size, chain)).toEqual({ argsz: 88, cap_offset: 0 });
		expect(memory.bytes.every((byte) => byte === 0)).toBe(true);
		expect(writeWholeChain(memory, AT, 100, size, chain)).toEqual({ argsz: 100, cap_offset: 24 });
		expect(header(memory, 24)).toEqual({ id: 3, version: 1, next: 40 });
		expect(header(memory, 40)).toEqual({ id: 1, version: 1, next: 0 });
		expect(writeWholeChain(memory, AT, 24, size, [])).toEqual({ argsz: 24, cap_offset: 0 });
	});
});

test("errors have Linux numbers, both ways", () => {
	expect([errnoOf("EPERM"), errnoOf("EINVAL"), errnoOf("EOPNOTSUPP"), errnoOf("EADDRINUSE"), errnoOf("EBADE"), errnoOf("EMSGSIZE"), errnoOf("EOVERFLOW")]).toEqual([1, 22, 95, 98, 52, 90, 75]);
	expect(errnoName(-25)).toBe("ENOTTY");
	expect(errnoName(14)).toBe("EFAULT");
	expect(errnoName(-4095)).toBeUndefined();
	expect(new Errno("ESPIPE", "x").result).toBe(-29);
});
