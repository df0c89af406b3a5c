/**
 * What each iommufd command refuses, as the interface's description has it: reserved fields, flags, pointers, numbers of
 * objects, and which check comes first. Fields are named by their layouts (layouts.json); a second reserved field is `rsvd2`.
 */
import type { CommandName } from "../../ts/uapi/abi/commands.ts";
import { MOCK } from "../../ts/uapi/abi/iommufd-test.ts";
import type { ErrnoName } from "../../ts/uapi/errno.ts";
import { APERTURE, MEMORY } from "../iommufd/world.ts";
import { ARRAY, type Fields, type Kind, type Zoo } from "./command-world.ts";

const ALL_ONES = (1n << 64n) - 1n;
type Patch = (fields: Fields) => Fields;
const set = (more: Fields): Patch => (fields) => ({ ...fields, ...more });
const flag = (name: string, bits: number): Patch => (fields) => ({ ...fields, [name]: Number(fields[name] ?? 0) | bits });
const unflag = (name: string, bits: number): Patch => (fields) => ({ ...fields, [name]: Number(fields[name] ?? 0) & ~bits });

export interface Row {
	/** fields of a call that succeeds */
	readonly valid: (zoo: Zoo) => Fields;
	/** refused with EOPNOTSUPP when set */
	readonly reserved?: readonly string[];
	/** reserved fields that the kernel does not look at */
	readonly unread?: readonly string[];
	/** bits of `flags` that mean something; absent: no such field */
	readonly flags?: number;
	/** pointer fields: what a bad one is refused with, null and other; `written`: read-only memory is bad too */
	readonly pointers?: Readonly<Record<string, { null: ErrnoName; other: ErrnoName; written?: true }>>;
	/** fields with numbers of objects: kinds that are taken, and what another or none is refused with */
	readonly ids?: Readonly<Record<string, { takes: readonly Kind[]; none: ErrnoName; other: ErrnoName }>>;
	/** in the order of the checks; each is tried with all that come behind it */
	readonly order?: ReadonlyArray<readonly [Patch, ErrnoName]>;
	/** further refusals, each by itself */
	readonly refused?: ReadonlyArray<readonly [Patch, ErrnoName]>;
}

const id = (takes: readonly Kind[], other: ErrnoName = "ENOENT", none: ErrnoName = "ENOENT") => ({ takes, none, other });
const array = (written?: true) => ({ null: "EFAULT", other: "EFAULT", ...(written ? { written } : {}) }) as const;
const MAP = 7;

export const ROWS: Readonly<Record<Exclude<CommandName, "test">, Row>> = {
	destroy: { valid: (zoo) => ({ id: zoo.id("access_free") }), refused: [[set({ id: 0 }), "ENOENT"], [set({ id: 0xffff_ffff }), "ENOENT"]] },
	ioas_alloc: { valid: () => ({}), flags: 0 },
	ioas_allow_iovas: {
		valid: (zoo) => ({ ioas_id: zoo.id("ioas"), num_iovas: 1, allowed_iovas: zoo.words(APERTURE, APERTURE + 0xffffn) }),
		reserved: ["rsvd"],
		pointers: { allowed_iovas: array() },
		ids: { ioas_id: id(["ioas"]) },
		order: [[set({ rsvd: 1 }), "EOPNOTSUPP"], [set({ ioas_id: 999 }), "ENOENT"], [set({ allowed_iovas: 8n }), "EFAULT"]],
	},
	ioas_copy: {
		valid: (zoo) => ({ flags: MAP, dst_ioas_id: zoo.id("ioas_empty"), src_ioas_id: zoo.id("ioas"), length: 0x1000n, dst_iova: APERTURE, src_iova: zoo.area }),
		flags: 7,
		ids: { dst_ioas_id: id(["ioas"]), src_ioas_id: id(["ioas"]) },
		order: [
			[flag("flags", 8), "EOPNOTSUPP"],
			[set({ dst_iova: ALL_ONES }), "EOVERFLOW"],
			[unflag("flags", 6), "EINVAL"],
			[set({ src_ioas_id: 999 }), "ENOENT"],
			[set({ length: 0n }), "EINVAL"],
			[set({ src_iova: 0x7000_0000n }), "ENOENT"],
			[set({ dst_ioas_id: 999 }), "ENOENT"],
		],
		refused: [[set({ length: ALL_ONES }), "EOVERFLOW"], [set({ src_iova: ALL_ONES }), "EOVERFLOW"], [set({ src_iova: ALL_ONES - 0xfffn, length: 0x2000n }), "EOVERFLOW"], [set({ src_iova: 0x7000_0000n }), "ENOENT"]],
	},
	ioas_iova_ranges: {
		valid: (zoo) => ({ ioas_id: zoo.id("ioas"), num_iovas: 4, allowed_iovas: ARRAY }),
		reserved: ["rsvd"],
		pointers: { allowed_iovas: array(true) },
		ids: { ioas_id: id(["ioas"]) },
		order: [[set({ rsvd: 1 }), "EOPNOTSUPP"], [set({ ioas_id: 999 }), "ENOENT"], [set({ allowed_iovas: 8n }), "EFAULT"]],
		refused: [[set({ num_iovas: 0 }), "EMSGSIZE"]],
	},
	ioas_map: {
		valid: (zoo) => ({ flags: MAP, ioas_id: zoo.id("ioas"), user_va: MEMORY, length: 0x1000n, iova: APERTURE + 0x80_0000n }),
		reserved: ["rsvd"],
		flags: 7,
		// memory that is not there is only looked at by a table
		pointers: { user_va: array() },
		ids: { ioas_id: id(["ioas"]) },
		order: [
			[flag("flags", 8), "EOPNOTSUPP"],
			[set({ iova: ALL_ONES }), "EOVERFLOW"],
			[unflag("flags", 6), "EINVAL"],
			[set({ ioas_id: 999 }), "ENOENT"],
			[set({ user_va: ALL_ONES - 0xfffn, length: 0x2000n }), "EOVERFLOW"],
			[set({ length: 0n }), "EINVAL"],
			[set({ length: 0x1234n }), "EINVAL"],
			[set({ iova: 0x123n }), "EINVAL"],
			[set({ iova: ALL_ONES - 0x7ffn, length: 0x1000n }), "EOVERFLOW"],
			[set({ iova: 0n }), "EINVAL"],
		],
		refused: [[set({ length: ALL_ONES }), "EOVERFLOW"], [set({ iova: APERTURE + 0x10_0000n }), "EEXIST"], [set({ user_va: MEMORY + 0x123n }), "EINVAL"]],
	},
	ioas_unmap: {
		valid: (zoo) => ({ ioas_id: zoo.id("ioas"), iova: zoo.area, length: 0x4000n }),
		ids: { ioas_id: id(["ioas"]) },
		order: [[set({ ioas_id: 999 }), "ENOENT"], [set({ length: ALL_ONES }), "EOVERFLOW"], [set({ length: 0n }), "EINVAL"], [set({ iova: ALL_ONES - 0xfffn, length: 0x2000n }), "EOVERFLOW"], [set({ iova: 0x7000_0000n }), "ENOENT"]],
		refused: [[set({ iova: ALL_ONES }), "EOVERFLOW"], [set({ length: 0x2000n }), "ENOENT"]],
	},
	option: {
		valid: (zoo) => ({ option_id: 1, op: 1, object_id: zoo.id("ioas") }),
		reserved: ["rsvd"],
		ids: { object_id: id(["ioas"]) },
		order: [[set({ rsvd: 1 }), "EOPNOTSUPP"], [set({ object_id: 999 }), "ENOENT"], [set({ op: 2 }), "EOPNOTSUPP"]],
		refused: [
			[set({ option_id: 2 }), "EOPNOTSUPP"],
			[set({ op: 0, val64: 2n }), "EINVAL"],
			[set({ option_id: 0 }), "EOPNOTSUPP"],
			[set({ option_id: 0, object_id: 0, op: 2 }), "EOPNOTSUPP"],
			[set({ option_id: 0, object_id: 0, op: 0, val64: 7n }), "EBUSY"],
		],
	},
	vfio_ioas: {
		valid: (zoo) => ({ ioas_id: zoo.id("ioas"), op: 1 }),
		reserved: ["rsvd"],
		ids: { ioas_id: id(["ioas"]) },
		refused: [[set({ op: 0 }), "ENODEV"], [set({ op: 3 }), "EOPNOTSUPP"]],
	},
	hwpt_alloc: {
		valid: (zoo) => ({ dev_id: zoo.id("device"), pt_id: zoo.id("ioas") }),
		reserved: ["rsvd"],
		unread: ["rsvd2"],
		flags: 15,
		ids: { dev_id: id(["device"]), pt_id: id(["ioas", "paging", "viommu"], "EINVAL", "EINVAL") },
		order: [[set({ rsvd: 1 }), "EOPNOTSUPP"], [set({ data_len: 4 }), "EINVAL"], [set({ data_len: 0, dev_id: 999 }), "ENOENT"], [set({ pt_id: 999 }), "EINVAL"], [flag("flags", 64), "EOPNOTSUPP"]],
		refused: [[set({ data_type: MOCK.hwptData }), "EINVAL"], [set({ flags: 4 }), "ENOENT"], [set({ flags: 5 }), "EOPNOTSUPP"]],
	},
	get_hw_info: {
		valid: (zoo) => ({ dev_id: zoo.id("device"), data_len: 16, data_uptr: ARRAY }),
		reserved: ["rsvd"],
		flags: 1,
		pointers: { data_uptr: array(true) },
		ids: { dev_id: id(["device"]) },
		order: [[flag("flags", 2), "EOPNOTSUPP"], [set({ dev_id: 999 }), "ENOENT"], [set({ flags: 1, out_data_type: 77 }), "EOPNOTSUPP"], [set({ data_uptr: 8n }), "EFAULT"]],
	},
	hwpt_set_dirty_tracking: {
		valid: (zoo) => ({ flags: 1, hwpt_id: zoo.id("paging") }),
		unread: ["rsvd"],
		flags: 1,
		ids: { hwpt_id: id(["paging"]) },
		order: [[flag("flags", 2), "EOPNOTSUPP"], [set({ hwpt_id: 999 }), "ENOENT"]],
	},
	hwpt_get_dirty_bitmap: {
		valid: (zoo) => ({ hwpt_id: zoo.tracked(), iova: zoo.area, length: 0x4000n, page_size: 0x800n, data: ARRAY }),
		reserved: ["rsvd"],
		flags: 1,
		pointers: { data: array(true) },
		ids: { hwpt_id: id(["paging"]) },
		order: [[set({ rsvd: 1 }), "EOPNOTSUPP"], [set({ hwpt_id: 999 }), "ENOENT"], [set({ iova: ALL_ONES - 0xfffn }), "EOVERFLOW"], [set({ iova: APERTURE + 1n }), "EINVAL"], [set({ page_size: 0n }), "EINVAL"]],
		refused: [[set({ length: 0n }), "EOVERFLOW"], [set({ page_size: 0n }), "EINVAL"], [set({ page_size: 0x8000n }), "EINVAL"], [set({ length: 0x8000n }), "EINVAL"]],
	},
	hwpt_invalidate: {
		valid: (zoo) => ({ hwpt_id: zoo.id("nested"), data_uptr: zoo.words(1n << 32n, 2n << 32n), data_type: MOCK.invalidateData, entry_len: 8, entry_num: 2 }),
		reserved: ["rsvd"],
		pointers: { data_uptr: { null: "EINVAL", other: "EFAULT" } },
		ids: { hwpt_id: id(["nested"], "EINVAL") },
		order: [[set({ rsvd: 1 }), "EOPNOTSUPP"], [set({ entry_len: 0 }), "EINVAL"], [set({ hwpt_id: 999, entry_len: 8 }), "ENOENT"], [set({ data_type: 77 }), "EINVAL"]],
		refused: [[set({ entry_len: 7 }), "EINVAL"], [set({ entry_len: 9 }), "EINVAL"], [set({ data_type: 77, entry_num: 0 }), "EINVAL"]],
	},
	fault_queue_alloc: { valid: () => ({}), flags: 0 },
	ioas_map_file: {
		valid: (zoo) => ({ flags: MAP, ioas_id: zoo.id("ioas"), fd: zoo.file4, start: 0n, length: 0x1000n, iova: APERTURE + 0x80_0000n }),
		flags: 7,
		ids: { ioas_id: id(["ioas"]) },
		order: [[flag("flags", 8), "EOPNOTSUPP"], [set({ iova: ALL_ONES }), "EOVERFLOW"], [unflag("flags", 6), "EINVAL"], [set({ ioas_id: 999 }), "ENOENT"], [set({ fd: -1 }), "EBADF"]],
		refused: [[set({ fd: 900 }), "EBADF"], [set({ length: 0n }), "EINVAL"], [set({ length: 0x10_0000n }), "EINVAL"], [set({ start: ALL_ONES - 0xfffn, length: 0x2000n }), "EOVERFLOW"]],
	},
	viommu_alloc: {
		valid: (zoo) => ({ type: MOCK.viommuType, dev_id: zoo.id("device"), hwpt_id: zoo.id("parent") }),
		unread: ["rsvd"],
		flags: 0,
		ids: { dev_id: id(["device"]), hwpt_id: id(["paging"]) },
		order: [[set({ flags: 1 }), "EOPNOTSUPP"], [set({ type: 0 }), "EOPNOTSUPP"], [set({ type: 9, dev_id: 999 }), "ENOENT"], [set({ type: 9 }), "EOPNOTSUPP"], [set({ hwpt_id: 999 }), "ENOENT"]],
	},
	vdevice_alloc: {
		valid: (zoo) => ({ viommu_id: zoo.id("viommu"), dev_id: zoo.id("device_free"), virt_id: 77n }),
		ids: { viommu_id: id(["viommu"]), dev_id: id(["device"]) },
		order: [[set({ viommu_id: 999 }), "ENOENT"], [set({ dev_id: 999 }), "ENOENT"]],
		refused: [[set({ virt_id: 9n }), "EEXIST"]],
	},
	ioas_change_process: { valid: (zoo) => zoo.emptied(), reserved: ["rsvd"] },
	veventq_alloc: {
		valid: (zoo) => ({ viommu_id: zoo.id("viommu_free"), type: MOCK.veventqType, veventq_depth: 2 }),
		reserved: ["rsvd"],
		flags: 0,
		ids: { viommu_id: id(["viommu"]) },
		order: [[set({ flags: 1 }), "EOPNOTSUPP"], [set({ veventq_depth: 0 }), "EINVAL"], [set({ viommu_id: 999 }), "ENOENT"]],
		refused: [[set({ type: 0 }), "EOPNOTSUPP"]],
	},
	hw_queue_alloc: {
		valid: (zoo) => ({ viommu_id: zoo.id("viommu_free"), type: MOCK.hwQueueType, index: 0, nesting_parent_iova: zoo.area, length: 0x1000n }),
		flags: 0,
		ids: { viommu_id: id(["viommu"]) },
		order: [
			[set({ flags: 1 }), "EOPNOTSUPP"],
			[set({ length: 0n }), "EINVAL"],
			[set({ nesting_parent_iova: ALL_ONES, length: 2n }), "EOVERFLOW"],
			[set({ viommu_id: 999 }), "ENOENT"],
			[set({ type: 5 }), "EOPNOTSUPP"],
			[set({ nesting_parent_iova: 0x7000_0000n, length: 1n }), "ENOENT"],
		],
		refused: [[set({ type: 0 }), "EOPNOTSUPP"], [set({ index: 2 }), "EINVAL"], [set({ index: 1 }), "EIO"]],
	},
};
