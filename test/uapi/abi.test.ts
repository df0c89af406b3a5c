/** Struct tables against the measured layouts of the kernel's headers (layouts.json: x86-64, 6.12 and newer). */
import { readFileSync } from "node:fs";
import { describe, expect, it, test } from "vitest";
import { COMMANDS, ioctlNumber, ioctlParts } from "../../ts/uapi/abi/commands.ts";
import * as data from "../../ts/uapi/abi/data.ts";
import * as iommufd from "../../ts/uapi/abi/iommufd.ts";
import * as selftest from "../../ts/uapi/abi/iommufd-test.ts";
import { array, flexible, type Fields, type Struct, Struct as StructClass, s32, struct, u8, u16, u32, u64, union } from "../../ts/uapi/abi/struct.ts";
import * as vfio from "../../ts/uapi/abi/vfio.ts";

type Field = [name: string, offset: number, type: string];
interface Layouts {
	commands: Record<string, { nr: number; size: number; min: number; fields: Field[] }>;
	structs: Record<string, { size: number; fields: Field[] }>;
	testOps: Array<[op: number, name: string, fields: Field[]]>;
}
const layouts = JSON.parse(readFileSync(new URL("layouts.json", import.meta.url), "utf8")) as Layouts;

const isStruct = (value: unknown): value is Struct<Fields> => value instanceof StructClass;
const ALL = new Map([iommufd, data, selftest, vfio].flatMap((module) => Object.values(module).filter(isStruct)).map((one) => [one.name, one]));

const SIZES: Record<string, number> = { u8: 1, u16: 2, u32: 4, s32: 4, u64: 8, vfio_info_cap_header: 8, vfio_iova_range: 0 };
/** [name, offset, size] of every field; a second reserved field is rsvd2 in the table, `[]` and `[n]` are left off. */
const shapeOf = (one: Struct<Fields>, base = 0) => Object.entries(one.fields).map(([name, type]) => [name.replace(/^rsvd2$/, "rsvd"), base + one.offsets[name], type.size]);
const shapeFrom = (fields: Field[]) =>
	fields.map(([name, offset, type]) => {
		const count = /\[(\d*)\]/.exec(name)?.[1];
		return [name.replace(/\[\d*\]/, "").replace(/^out_data_type$/, "data_type"), offset, count === undefined ? SIZES[type] : SIZES[type] * Number(count)];
	});

describe("commands", () => {
	const measured = Object.entries(layouts.commands);
	it("are all there", () => {
		expect(measured).toHaveLength(21);
		expect(Object.keys(COMMANDS)).toHaveLength(measured.length + 1);
	});
	test.each(measured)("%s", (name, { nr, size, min, fields }) => {
		const command = Object.values(COMMANDS).find((one) => one.nr === nr)!;
		expect(command.struct.name).toBe(`iommu_${name}`);
		expect(command.struct.size).toBe(size);
		expect(command.minSize).toBe(min);
		expect(shapeOf(command.struct as never)).toEqual(shapeFrom(fields));
	});
	it("have numbers of type ; with no direction and no size", () => {
		expect(ioctlNumber(COMMANDS.destroy.nr)).toBe(0x3b80);
		expect(ioctlNumber(COMMANDS.test.nr)).toBe(0x3ba0);
		expect(ioctlParts(0x3b85)).toEqual({ direction: 0, size: 0, type: 0x3b, nr: 0x85 });
		expect(ioctlParts(0xc0283b85)).toEqual({ direction: 3, size: 40, type: 0x3b, nr: 0x85 });
	});
});

describe("records", () => {
	/** structs of which the measured header has only the beginning: what newer callers send behind it */
	const GREW: Record<string, number> = { vfio_device_bind_iommufd: 24, vfio_device_attach_iommufd_pt: 16, vfio_device_detach_iommufd_pt: 12, iommu_hwpt_selftest: 8 };
	test.each(Object.entries(layouts.structs))("%s", (name, { size, fields }) => {
		const one = ALL.get(name)!;
		const shape = shapeOf(one);
		expect(shape.slice(0, fields.length)).toEqual(shapeFrom(fields));
		expect(one.size).toBe(GREW[name] ?? size);
		if (name in GREW) expect(one.endOf(Object.keys(one.fields)[fields.length - 1])).toBe(size);
		else expect(shape).toHaveLength(fields.length);
	});

	// not in the measured file: sizes and last fields by the headers' field order
	test.each([
		["iommu_hw_info_arm_smmuv3", 40, "aidr", 36],
		["iommu_hw_info_tegra241_cmdqv", 8, "rsvd", 7],
		["iommu_hw_info_amd", 16, "efr2", 8],
		["iommu_hwpt_arm_smmuv3", 16, "ste", 0],
		["iommu_hwpt_amd_guest", 32, "dte", 0],
		["iommu_viommu_arm_smmuv3_invalidate", 16, "cmd", 0],
		["iommu_viommu_tegra241_cmdqv", 16, "out_vintf_mmap_length", 8],
		["iommu_vevent_arm_smmuv3", 32, "evt", 0],
		["iommu_vevent_tegra241_cmdqv", 16, "lvcmdq_err_map", 0],
		["iommu_viommu_selftest", 24, "out_mmap_length", 16],
		["iommu_viommu_event_selftest", 4, "virt_id", 0],
		["vfio_iommu_type1_info_cap_migration", 32, "max_dirty_bitmap_size", 24],
		["vfio_bitmap", 24, "data", 16],
		["vfio_iommu_type1_dirty_bitmap", 8, "data", 8],
		["vfio_iommu_type1_dirty_bitmap_get", 40, "bitmap", 16],
		["vfio_group_status", 8, "flags", 4],
		["vfio_device_info", 24, "pad", 20],
		["vfio_region_info", 32, "offset", 24],
		["vfio_region_info_cap_sparse_mmap", 16, "areas", 16],
		["vfio_region_info_cap_type", 16, "subtype", 12],
		["vfio_irq_info", 16, "count", 12],
		["vfio_irq_set", 20, "data", 20],
		["vfio_pci_dependent_device", 8, "devfn", 7],
		["vfio_pci_hot_reset_info", 12, "devices", 12],
		["vfio_pci_hot_reset", 12, "group_fds", 12],
		["vfio_device_ioeventfd", 32, "reserved", 28],
		["vfio_device_feature", 8, "data", 8],
	] as Array<[string, number, string, number]>)("%s is %i bytes", (name, size, last, offset) => {
		const one = ALL.get(name)!;
		expect(one.size).toBe(size);
		expect(one.offsets[last]).toBe(offset);
		expect(Object.keys(one.fields).at(-1)).toBe(last);
	});
});

describe("the test command", () => {
	const { testCmd, TEST_OP } = selftest;
	const union = (testCmd.fields.u as unknown as { read(view: DataView, at: number): Record<string, unknown> }).read(new DataView(new ArrayBuffer(72)), 16);
	it("is 72 bytes, 68 of them needed", () => {
		expect(testCmd.size).toBe(72);
		expect(testCmd.offsets).toMatchObject({ size: 0, op: 4, id: 8, rsvd: 12, u: 16, last: 64 });
		expect(COMMANDS.test).toMatchObject({ nr: 0xa0, minSize: 68 });
		expect(testCmd.fields.u.size).toBe(48);
	});
	it("has a member for every operation", () => {
		expect(Object.values(TEST_OP)).toEqual(layouts.testOps.map(([op]) => op));
		expect(Object.keys(union).sort()).toEqual(Object.keys(TEST_OP).sort());
	});
	test.each(layouts.testOps)("operation %i %s", (op, _name, fields) => {
		const name = Object.entries(TEST_OP).find(([, number]) => number === op)![0];
		// each field alone, found again at its offset by the number that is written there
		for (const [field, offset, type] of fields) {
			const bytes = new Uint8Array(72);
			const view = new DataView(bytes.buffer);
			if (type === "u64") view.setBigUint64(offset, 0x8877665544332211n, true);
			else view.setUint32(offset, 0x44332211, true);
			const read = testCmd.decode(bytes).u as Record<string, Record<string, unknown>>;
			expect(read[name][field]).toBe(type === "u64" ? 0x8877665544332211n : 0x44332211);
			expect(testCmd.encode({ u: { [name]: { [field]: read[name][field] } } })).toEqual(bytes);
		}
		expect(Object.keys(union[name] as object)).toHaveLength(fields.length);
	});
});

it("VFIO numbers start at 100 of the same type", () => {
	const { VFIO } = vfio;
	expect(VFIO).toMatchObject({ getApiVersion: 0x3b64, checkExtension: 0x3b65, setIommu: 0x3b66, iommuGetInfo: 0x3b70, iommuMapDma: 0x3b71, iommuUnmapDma: 0x3b72, iommuDirtyPages: 0x3b75 });
	expect(VFIO).toMatchObject({ groupGetStatus: 0x3b67, groupGetDeviceFd: 0x3b6a, deviceGetInfo: 0x3b6b, deviceFeature: 0x3b75, deviceBindIommufd: 0x3b76, deviceAttachIommufdPt: 0x3b77, deviceDetachIommufdPt: 0x3b78 });
});

describe("a table of fields", () => {
	const inner = struct("inner", { a: u8, b: u32 });
	const one = struct("one", { byte: u8, half: u16, inner, sign: s32, list: array(u16, 3), wide: u64, u: union({ word: u32, bytes: array(u8, 6) }), tail: flexible(inner) });
	it("lies as C lays it", () => {
		expect(one.offsets).toEqual({ byte: 0, half: 2, inner: 4, sign: 12, list: 16, wide: 24, u: 32, tail: 40 });
		expect([inner.size, one.size, one.align]).toEqual([8, 40, 8]);
	});
	it("reads what it wrote, byte for byte", () => {
		const values = { byte: 0xff, half: 0x1234, inner: { a: 1, b: 0xffffffff }, sign: -2, list: [1, 2, 3], wide: 0xffff_ffff_ffff_fffen };
		const bytes = one.encode({ ...values, u: { word: 0x04030201 }, tail: [{ a: 7 }] }, inner.size);
		expect([...bytes.subarray(0, 16)]).toEqual([0xff, 0, 0x34, 0x12, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff]);
		expect(one.decode(bytes)).toEqual({ ...values, u: { word: 0x04030201, bytes: [1, 2, 3, 4, 0, 0] }, tail: [{ a: 7, b: 0 }] });
	});
	it("keeps fields that a write leaves out, and reads what is missing as zero", () => {
		const bytes = one.encode({ byte: 1, sign: -1 });
		one.write(new DataView(bytes.buffer), 0, { byte: 2 });
		expect(one.decode(bytes)).toMatchObject({ byte: 2, sign: -1 });
		expect(one.decode(bytes.subarray(0, 12))).toMatchObject({ byte: 2, sign: 0, wide: 0n });
	});
	it("refuses what does not fit, by field", () => {
		expect(() => one.encode({ half: 65536 })).toThrow("one.half: 65536 does not fit u16");
		expect(() => one.encode({ byte: -1 })).toThrow(RangeError);
		expect(() => one.encode({ wide: 1n << 64n })).toThrow("one.wide");
		expect(() => one.encode({ list: [1, 2, 3, 4] })).toThrow("one.list");
		expect(() => one.encode({ inner: { b: 0.5 } })).toThrow("inner.b");
	});
});
