/** The door over units of the engine: real tables, devices as files, calls across dup, fork and exit. */
import { beforeEach, describe, expect, it } from "vitest";
import { type Device, Machine, PAGE, type Process } from "../../ts/core/index.ts";
import { drivers } from "../../ts/driver/index.ts";
import type { Engine } from "../../ts/engine/index.ts";
import { createUnits } from "../../ts/iommu/index.ts";
import { COMMANDS, type CommandName, ioctlNumber } from "../../ts/uapi/abi/commands.ts";
import { hwInfoVtd, hwptVtdS1, hwptVtdS1Invalidate, pageResponse, pgfault } from "../../ts/uapi/abi/data.ts";
import type { Fields, Struct } from "../../ts/uapi/abi/struct.ts";
import { deviceAttachIommufdPt, deviceBindIommufd, deviceDetachIommufdPt, iommuType1DmaMap, VFIO } from "../../ts/uapi/abi/vfio.ts";
import { errnoName } from "../../ts/uapi/errno.ts";
import type { Iommufd } from "../../ts/uapi/iommufd/door.ts";
import { createIommufd, File, type Nodes } from "../../ts/uapi/iommufd.ts";

const RAM = { start: 0x1_0000_0000n, size: 0x1000_0000n };
const MEMORY = 0x1000_0000n;
const STRUCTS = 0x2000_0000n;
const IOVA = 0x4000_0000n;

let engine: Engine;
let machine: Machine;
let nodes: Nodes;
let main: Process;
let iommufd: File;
let opened: Iommufd[];
let device: Device;

function world(kind: "vtd" | "smmuv3" | "amdvi" | "riscv") {
	const capabilities = { addressBits: 48, pageSizes: 0x4020_1000n, reserved: [{ first: 0xfee0_0000n, last: 0xfeef_ffffn }], pasidBits: 16, enforcesSnoop: true, nesting: "hw" as const, maxDepth: 2, pasidTables: false, dirty: true };
	const made = createUnits([{ name: kind, kind, ...capabilities }], { memory: [{ kind: "sparse", ...RAM }], tables: { frames: 512 } });
	engine = made.engine;
	machine = new Machine(engine, made.units, RAM);
	const doors = createIommufd(machine);
	nodes = doors.nodes;
	device = machine.addDevice({ name: "vfio0", rid: 8, driver: drivers["vfio-pci"], capabilities: { pasid: true, pri: true } });
	doors.addDevice(device);
	main = machine.createProcess("main");
	main.map(MEMORY, 0x10_0000n);
	main.map(STRUCTS, 0x2000n);
	iommufd = nodes.open("/dev/iommu", main, { privileged: true });
	opened = [...doors.host.files];
}

/** An ioctl with a struct in the caller's memory. @returns the struct afterwards, or the errno */
function call<F extends Fields>(file: File, cmd: number, struct: Struct<F>, values: object): ReturnType<Struct<F>["decode"]> | string {
	file.process.write(STRUCTS, struct.encode(values as never));
	const answer = file.ioctl(cmd, STRUCTS);
	if (answer < 0) return errnoName(answer) as string;
	return struct.decode(file.process.read(STRUCTS, struct.size)) as ReturnType<Struct<F>["decode"]>;
}
function command<N extends CommandName>(name: N, values: object, file = iommufd): Record<string, number & bigint> {
	const { struct, nr } = COMMANDS[name];
	const answer = call(file, ioctlNumber(nr), struct as unknown as Struct<Fields>, { ...values, size: struct.size });
	if (typeof answer === "string") throw new Error(answer);
	return answer as never;
}
function bound(): File {
	const file = nodes.open("/dev/vfio/devices/vfio0", main, { privileged: true });
	expect(call(file, VFIO.deviceAttachIommufdPt, deviceAttachIommufdPt, { argsz: 16, pt_id: 1 })).toBe("EINVAL");
	expect(call(file, VFIO.deviceBindIommufd, deviceBindIommufd, { argsz: 16, iommufd: iommufd.fd })).toMatchObject({ out_devid: expect.any(Number) });
	return file;
}
const dma = (address: bigint, access: "read" | "write" = "read") => machine.dma(device, null, address, access);

describe.each(["vtd", "smmuv3", "amdvi", "riscv"] as const)("over %s", (kind) => {
	beforeEach(() => world(kind));

	it("a device reaches what is mapped, and nothing else", () => {
		const file = bound();
		const ioas = command("ioas_alloc", {}).out_ioas_id;
		expect(dma(IOVA).kind).toBe("fault");
		const { pt_id } = call(file, VFIO.deviceAttachIommufdPt, deviceAttachIommufdPt, { argsz: 12, pt_id: ioas }) as { pt_id: number };
		expect(pt_id).toBeGreaterThan(ioas);
		command("ioas_map", { flags: 7, ioas_id: ioas, user_va: MEMORY, length: 0x8000n, iova: IOVA });
		expect(dma(IOVA + 0x1234n, "write")).toMatchObject({ kind: "memory", physical: main.physical(MEMORY + 0x1234n) });
		expect(dma(IOVA + 0x8000n).kind).toBe("fault");
		// a second space: a second attach is a replace
		const other = command("ioas_alloc", {}).out_ioas_id;
		command("ioas_map", { flags: 5, ioas_id: other, user_va: MEMORY + PAGE, length: PAGE, iova: IOVA });
		expect(call(file, VFIO.deviceAttachIommufdPt, deviceAttachIommufdPt, { argsz: 12, pt_id: other })).toMatchObject({ argsz: 12 });
		expect(dma(IOVA)).toMatchObject({ physical: main.physical(MEMORY + PAGE) });
		expect(dma(IOVA, "write").kind).toBe("fault");
		command("ioas_unmap", { ioas_id: other, iova: IOVA, length: PAGE });
		expect(dma(IOVA).kind).toBe("fault");
		expect(call(file, VFIO.deviceDetachIommufdPt, deviceDetachIommufdPt, { argsz: 8 })).toMatchObject({ argsz: 8 });
		expect(dma(IOVA).kind).toBe("fault");
		expect([file.close(), iommufd.close()]).toEqual([0, 0]);
		expect([opened[0].ended, machine.framesPinned]).toEqual([true, 0]);
	});

	it("page tables that run out of frames refuse, and all is as before", () => {
		const file = bound();
		const ioas = command("ioas_alloc", {}).out_ioas_id;
		call(file, VFIO.deviceAttachIommufdPt, deviceAttachIommufdPt, { argsz: 12, pt_id: ioas });
		const before = [engine.framesUsed, machine.framesPinned];
		let failed = 0;
		for (let n = 1; ; n++) {
			engine.failAfter(n);
			try {
				command("ioas_map", { flags: 7, ioas_id: ioas, user_va: MEMORY, length: 0x3000n, iova: IOVA });
				break;
			} catch (error) {
				expect((error as Error).message).toBe("ENOMEM");
				engine.failAfter(0);
				expect([engine.framesUsed, machine.framesPinned]).toEqual(before);
				failed++;
			}
		}
		engine.failAfter(0);
		expect(failed).toBeGreaterThan(0);
		expect(dma(IOVA + 0x2000n)).toMatchObject({ physical: main.physical(MEMORY + 0x2000n) });
	});

	it("page requests go through the unit's queue to the fault file, and their answers back", () => {
		const file = bound();
		const [unit] = engine.units;
		const ioas = command("ioas_alloc", {}).out_ioas_id;
		const dev_id = opened[0].deviceId(device);
		const { out_fault_id, out_fault_fd } = command("fault_queue_alloc", {});
		const faults = new File(main, out_fault_fd);
		const table = command("hwpt_alloc", { flags: 4, dev_id, pt_id: ioas, fault_id: out_fault_id }).out_hwpt_id;
		call(file, VFIO.deviceAttachIommufdPt, deviceAttachIommufdPt, { argsz: 12, pt_id: table });
		const answer = (cookie: number, code: number) => {
			main.write(STRUCTS, pageResponse.encode({ cookie, code }));
			return faults.write(STRUCTS, 8);
		};
		const wanted = machine.requestPage(device, null, IOVA + 0x234n, "write");
		const unwanted = machine.requestPage(device, null, IOVA + 0x5000n);
		expect([wanted, unwanted]).toMatchObject([{ state: "pending", group: 0 }, { state: "pending", group: 1 }]);
		expect(unit.counters().pageRequests).toEqual({ queued: 2, lost: 0 });
		expect(faults.read(STRUCTS, 80)).toBe(80);
		const [first, second] = [0n, 40n].map((at) => pgfault.decode(main.read(STRUCTS + at, 40)));
		expect([first, second]).toMatchObject([
			{ flags: 2, dev_id, grpid: 0, perm: 2, addr: IOVA },
			{ flags: 2, dev_id, grpid: 1, perm: 1, addr: IOVA + 0x5000n },
		]);
		command("ioas_map", { flags: 7, ioas_id: ioas, user_va: MEMORY, length: PAGE, iova: IOVA });
		expect([answer(first.cookie, 0), answer(second.cookie, 1), answer(first.cookie, 0)]).toEqual([8, 8, expect.any(Number)]);
		expect([wanted.state, unwanted.state]).toEqual(["success", "invalid"]);
		expect(() => unit.respond(8, 0, "success")).toThrow(/no group 0 waits/);
		expect(dma(IOVA + 0x234n, "write")).toMatchObject({ physical: main.physical(MEMORY + 0x234n) });
		// a page that was refused is asked for anew; who leaves the table is refused
		expect(machine.requestPage(device, null, IOVA).state).toBe("success");
		const again = machine.requestPage(device, null, IOVA + 0x5000n);
		expect([again.state, again.group !== null, unit.counters().pageRequests.queued]).toEqual(["pending", true, 3]);
		call(file, VFIO.deviceDetachIommufdPt, deviceDetachIommufdPt, { argsz: 8 });
		expect(again.state).toBe("invalid");
		expect(() => unit.respond(8, again.group as number, "success")).toThrow(/no group/);
		// a table without a queue has nobody to ask
		call(file, VFIO.deviceAttachIommufdPt, deviceAttachIommufdPt, { argsz: 12, pt_id: ioas });
		expect(machine.requestPage(device, null, IOVA + 0x5000n)).toMatchObject({ state: "invalid", group: null });
	});

	it("what may only be written is not read, whatever the format can say", () => {
		const file = bound();
		const ioas = command("ioas_alloc", {}).out_ioas_id;
		call(file, VFIO.deviceAttachIommufdPt, deviceAttachIommufdPt, { argsz: 12, pt_id: ioas });
		command("ioas_map", { flags: 3, ioas_id: ioas, user_va: MEMORY, length: PAGE, iova: IOVA });
		command("ioas_map", { flags: 5, ioas_id: ioas, user_va: MEMORY + PAGE, length: PAGE, iova: IOVA + PAGE });
		expect(dma(IOVA, "write")).toMatchObject({ physical: main.physical(MEMORY) });
		expect([dma(IOVA), dma(IOVA + PAGE, "write")]).toMatchObject([{ kind: "fault", fault: "perm" }, { kind: "fault", fault: "perm" }]);
		command("ioas_unmap", { ioas_id: ioas, iova: IOVA, length: PAGE });
		expect([dma(IOVA), dma(IOVA + PAGE)]).toMatchObject([{ kind: "fault", fault: "unmapped" }, { kind: "memory" }]);
	});

	it("dirty pages are told by the hardware's own bits", () => {
		const file = bound();
		const ioas = command("ioas_alloc", {}).out_ioas_id;
		const dev = opened[0].deviceId(device);
		const table = command("hwpt_alloc", { flags: 2, dev_id: dev, pt_id: ioas }).out_hwpt_id;
		call(file, VFIO.deviceAttachIommufdPt, deviceAttachIommufdPt, { argsz: 12, pt_id: table });
		command("ioas_map", { flags: 7, ioas_id: ioas, user_va: MEMORY, length: 0x8000n, iova: IOVA });
		command("hwpt_set_dirty_tracking", { flags: 1, hwpt_id: table });
		dma(IOVA + 0x3000n, "write");
		dma(IOVA + 0x5000n);
		const read = () => {
			main.write(STRUCTS + PAGE, new Uint8Array(8));
			command("hwpt_get_dirty_bitmap", { hwpt_id: table, iova: IOVA, length: 0x8000n, page_size: PAGE, data: STRUCTS + PAGE });
			return main.read(STRUCTS + PAGE, 1)[0];
		};
		expect([read(), read()]).toEqual([0x08, 0]);
		dma(IOVA + 0x3000n, "write");
		expect(read()).toBe(0x08);
	});
});

describe("over vtd", () => {
	beforeEach(() => world("vtd"));

	it("tells its registers and nests a guest's table", () => {
		const file = bound();
		const dev = opened[0].deviceId(device);
		const info = command("get_hw_info", { dev_id: dev, data_len: 24, data_uptr: STRUCTS + PAGE });
		expect(info).toMatchObject({ data_len: 24, data_type: { out: 1 }, out_capabilities: 1n });
		expect(hwInfoVtd.decode(main.read(STRUCTS + PAGE, 24)).ecap_reg).toBe(engine.units[0].readRegister("ECAP"));
		const ioas = command("ioas_alloc", {}).out_ioas_id;
		const parent = command("hwpt_alloc", { flags: 1, dev_id: dev, pt_id: ioas }).out_hwpt_id;
		command("ioas_map", { flags: 7, ioas_id: ioas, user_va: MEMORY, length: 0x1_0000n, iova: 0x1_0000n });
		const word = (at: bigint, value: bigint) => main.write(MEMORY + at - 0x1_0000n, new Uint8Array(new BigUint64Array([value]).buffer));
		// four levels at guest addresses 0x10000 to 0x13000; the page is at 0x14000
		word(0x1_0000n, 0x1_1007n);
		word(0x1_1000n, 0x1_2007n);
		word(0x1_2000n, 0x1_3007n);
		word(0x1_3000n + 5n * 8n, 0x1_4007n);
		const nest = (values: object) => {
			main.write(STRUCTS + PAGE, hwptVtdS1.encode(values));
			return command("hwpt_alloc", { dev_id: dev, pt_id: parent, data_type: 1, data_len: 24, data_uptr: STRUCTS + PAGE }).out_hwpt_id;
		};
		expect(() => nest({ pgtbl_addr: 0x1_0001n, addr_width: 48 })).toThrow("EINVAL");
		expect(() => nest({ flags: 8n, addr_width: 48 })).toThrow("EOPNOTSUPP");
		const nested = nest({ pgtbl_addr: 0x1_0000n, addr_width: 48 });
		expect(call(file, VFIO.deviceAttachIommufdPt, deviceAttachIommufdPt, { argsz: 12, pt_id: nested })).toMatchObject({ pt_id: nested });
		expect(dma(0x5678n)).toMatchObject({ physical: main.physical(MEMORY + 0x4678n) });
		word(0x1_3000n + 5n * 8n, 0n);
		expect(dma(0x5678n).kind).toBe("memory");
		main.write(STRUCTS + PAGE, hwptVtdS1Invalidate.encode({ addr: 0n, npages: (1n << 64n) - 1n }));
		expect(command("hwpt_invalidate", { hwpt_id: nested, data_uptr: STRUCTS + PAGE, data_type: 0, entry_len: 24, entry_num: 1 }).entry_num).toBe(1);
		expect(dma(0x5678n).kind).toBe("fault");
	});

	it("a group joins the file as its container", () => {
		const group = nodes.open("/dev/vfio/0", main, { privileged: true });
		main.write(STRUCTS, new Uint8Array(new Int32Array([iommufd.fd]).buffer));
		expect(group.ioctl(VFIO.groupSetContainer, STRUCTS)).toBe(0);
		main.write(STRUCTS, new TextEncoder().encode("vfio0\0"));
		const fd = group.ioctl(VFIO.groupGetDeviceFd, STRUCTS);
		expect(fd).toBeGreaterThan(0);
		expect(() => nodes.open("/dev/vfio/0", main, { privileged: true })).toThrow(/EBUSY|open already/);
		expect(call(iommufd, VFIO.iommuMapDma, iommuType1DmaMap, { argsz: 32, flags: 3, vaddr: MEMORY, iova: IOVA, size: PAGE })).toMatchObject({ iova: IOVA });
		expect(dma(IOVA)).toMatchObject({ physical: main.physical(MEMORY) });
		expect(iommufd.ioctl(VFIO.checkExtension, 4)).toBe(1);
		// a device that is open keeps what it has
		expect(group.ioctl(VFIO.groupUnsetContainer)).toBe(0);
		expect(dma(IOVA)).toMatchObject({ physical: main.physical(MEMORY) });
		expect(new File(main, fd).close()).toBe(0);
		expect(group.close()).toBe(0);
		expect(nodes.open("/dev/vfio/0", main, { privileged: true }).close()).toBe(0);
	});

	it("lives while a duplicate, a child or a device has it", () => {
		const file = bound();
		const ioas = command("ioas_alloc", {}).out_ioas_id;
		call(file, VFIO.deviceAttachIommufdPt, deviceAttachIommufdPt, { argsz: 12, pt_id: ioas });
		const copy = iommufd.dup();
		const child = main.fork("child");
		const inherited = iommufd.in(child);
		iommufd.close();
		copy.close();
		expect(command("ioas_map", { flags: 7, ioas_id: ioas, user_va: MEMORY, length: PAGE, iova: IOVA }, inherited).iova).toBe(IOVA);
		expect(dma(IOVA)).toMatchObject({ physical: child.physical(MEMORY) });
		child.exit();
		// the device holds the context, and the page is pinned for it
		expect([opened[0].ended, dma(IOVA).kind, machine.framesPinned]).toEqual([false, "memory", 1]);
		main.exit();
		expect([opened[0].ended, dma(IOVA).kind, machine.framesPinned, machine.framesUsed]).toEqual([true, "host", 0, 0]);
	});

	it("large memory is mapped in large leaves", () => {
		world("vtd");
		const file = bound();
		const ioas = command("ioas_alloc", {}).out_ioas_id;
		call(file, VFIO.deviceAttachIommufdPt, deviceAttachIommufdPt, { argsz: 12, pt_id: ioas });
		main.map(0x8000_0000n, 0x0800_0000n);
		const before = engine.framesUsed;
		command("ioas_map", { flags: 7, ioas_id: ioas, user_va: 0x8000_0000n, length: 0x0800_0000n, iova: 0x8000_0000n });
		expect(engine.framesUsed - before).toBeLessThan(4);
		expect(dma(0x87ff_ffffn)).toMatchObject({ physical: main.physical(0x87ff_ffffn), pageBytes: 0x20_0000 });
		expect(machine.framesPinned).toBe(0x8000);
	});
});
