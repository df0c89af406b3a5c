/** The vocabulary of iommufd scenarios: each operation's parameters, what it gives back and what names it binds. */
import { COMMANDS, type CommandName } from "../../uapi/abi/commands.ts";
import { bool, flags, id, listOf, num, oneOf, type Parameter, range, record, ref, str } from "./scenario-values.ts";

type Parameters = Readonly<Record<string, Parameter<unknown>>>;

export interface Operation<R extends Parameters = Parameters, O extends Parameters = Parameters, B extends string = string, G extends string = string> {
	readonly required: R;
	readonly optional: O;
	/** names that `as` binds: `self` is `$x`, others `$x.NAME` */
	readonly binds: readonly B[];
	/** outputs that can be compared */
	readonly gives: readonly G[];
}

function op<R extends Parameters, O extends Parameters = Record<never, never>, const B extends string = never, const G extends string = never>(
	required: R,
	optional: O = {} as O,
	{ binds = [], gives = [] }: { binds?: readonly B[]; gives?: readonly G[] } = {},
): Operation<R, O, B, G> {
	return { required, optional, binds, gives };
}

const self = ["self"] as const;
const mapFlags = flags("readable", "writeable", "fixed");
const deviceFlags = flags("no_dirty", "pasid");
const entry: Parameter<number | "all"> = (value, bound) => (value === "all" ? () => "all" : id(value, bound));
const bits = listOf(id);
const nestedData = record({ type: oneOf("selftest", "none", "unknown") }, { iotlb: num, len: num, null: bool, pt: num });
const invalidation = record({}, { all: bool, iotlb: num, cache: num, vdev: num, bad_flags: bool });

const commands = (Object.keys(COMMANDS) as CommandName[]).filter((name): name is Exclude<CommandName, "test"> => name !== "test");

export const OPERATIONS = {
	// contexts
	open: op({ node: oneOf("iommu", "vfio") }, {}, { binds: self }),
	close: op({ target: ref }),
	raw: op({ cmd: oneOf(...commands, "unknown_low", "unknown_high"), size: oneOf("min_minus_1", "exact", "plus_zero", "plus_nonzero", "null_ptr") }),
	assert_num: op({ value: num }, { multiple_of: num, in: range, not_in: range, eq: num, ne: num }),

	// memory
	mem: op({ va: num, length: num }, { huge: bool }, { binds: self }),
	mem_drop: op({ va: num, length: num }),
	mem_fill: op({ va: num, length: num, byte: id }),
	mem_check: op({ va: num, length: num, byte: id }),
	file: op({ kind: oneOf("memfd", "dmabuf"), length: num }, { map_va: num }, { binds: self }),
	file_truncate: op({ file: ref, length: num }),
	file_close: op({ file: ref }),
	dmabuf_revoke: op({ file: ref, revoked: bool }),
	check_refs: op({ va: num, length: num, refs: id }),
	memlock: op({ pages: id }),
	batch_limit: op({ bytes: id }),
	proc_fork: op({}, {}, { binds: self }),
	proc_exit: op({ target: ref }),
	check_pinned: op({ target: ref, pages: id }),

	// address spaces
	ioas_alloc: op({}, { raw_flags: id }, { binds: self }),
	destroy: op({ id }),
	ioas_map: op({ ioas: id, user_va: num, length: num, flags: mapFlags }, { iova: num, raw_flags: id, reserved: id }, { binds: self, gives: ["iova"] }),
	ioas_map_file: op({ ioas: id, file: id, start: num, length: num, flags: mapFlags }, { iova: num, raw_flags: id }, { binds: self, gives: ["iova"] }),
	ioas_copy: op({ src: id, dst: id, src_iova: num, length: num, flags: mapFlags }, { dst_iova: num, raw_flags: id }, { binds: self, gives: ["iova"] }),
	ioas_unmap: op({ ioas: id, iova: num, length: num }, {}, { gives: ["length"] }),
	ioas_iova_ranges: op({ ioas: id, max: id }, { reserved: id }, { gives: ["num", "ranges", "alignment"] }),
	ioas_allow_iovas: op({ ioas: id, ranges: listOf(range) }, { reserved: id }),
	option: op({ option: oneOf("rlimit_mode", "huge_pages", "unknown"), verb: oneOf("get", "set", "unknown") }, { object: id, value: num, reserved: id, unprivileged: bool }, { gives: ["value"] }),
	ioas_change_process: op({}, { reserved: id }),
	reserve: op({ ioas: id, start: num, length: num }),

	// devices
	mock_domain: op({ pt: id }, { flags: deviceFlags, group: str, resv: listOf(range), raw_flags: id }, { binds: ["self", "hwpt", "dev"] }),
	bind: op({}, { flags: deviceFlags, group: str, resv: listOf(range), owner_fd: ref }, { binds: ["self", "dev"] }),
	unbind: op({ device: ref }),
	attach: op({ device: ref, pt: id }, {}, { binds: self, gives: ["pt"] }),
	detach: op({ device: ref }),
	replace: op({ device: id, pt: id }, {}, { binds: self, gives: ["pt"] }),
	pasid_attach: op({ device: id, pasid: id, pt: id }),
	pasid_replace: op({ device: id, pasid: id, pt: id }),
	pasid_detach: op({ device: id, pasid: id }),
	pasid_check: op({ device: id, pasid: id, hwpt: id }),
	hw_info: op({ dev: id, data_len: id }, { type: oneOf("default", "selftest", "unknown"), raw_flags: id, reserved: id, null_buf: bool }, { gives: ["data_len", "type", "regs", "dirty_cap", "pasid_bits", "trailing_zero"] }),
	/** `va`: the physical address that the door translates to; what is expected names a user address of the first process */
	translate: op({ device: ref, iova: num, access: oneOf("r", "w") }, { pasid: id }, { gives: ["va"] }),

	// tables
	hwpt_alloc: op({ dev: id, pt: id }, { flags: flags("nest_parent", "dirty", "pasid", "fault"), fault: id, data: nestedData, raw_flags: id, reserved: id }, { binds: self }),
	check_map: op({ hwpt: id, iova: num, length: num, user_va: num }),
	hwpt_invalidate: op({ hwpt: id, entries: listOf(invalidation) }, { type: oneOf("selftest", "invalid"), entry_len: oneOf("exact", "one", "plus_one", "zero"), null_array: bool, reserved: id }, { gives: ["done"] }),
	check_iotlb: op({ hwpt: id, entry, value: id }),
	check_cache: op({ dev: id, entry, value: id }),
	set_dirty_tracking: op({ hwpt: id, enable: bool }, { raw_flags: id }),
	mark_dirty: op({ hwpt: id, iova: num, length: num, page_size: num, bits }, {}, { gives: ["count"] }),
	get_dirty_bitmap: op({ hwpt: id, iova: num, length: num, page_size: num }, { no_clear: bool, raw_flags: id, reserved: id }, { gives: ["bits"] }),

	// faults
	fault_queue_alloc: op({}, { raw_flags: id }, { binds: ["self", "fd"] }),
	close_fd: op({ target: ref }),
	trigger_fault: op({ dev: id, addr: num }, { pasid: id, perm: flags("read", "write", "exec", "priv"), grpid: id, last: bool }),
	fault_read: op({ queue: ref }, { max: id, bytes: id }, { binds: self, gives: ["count", "faults"] }),
	fault_respond: op({ queue: ref, cookie: id }, { code: oneOf("success", "invalid", "unknown"), bytes: id }),
	fault_poll: op({ queue: ref }, {}, { gives: ["readable", "writable"] }),
	check_response: op({ dev: id, grpid: id, code: oneOf("success", "invalid", "pending", "none") }),

	// virtual IOMMUs
	viommu_alloc: op({ dev: id, hwpt: id }, { type: oneOf("selftest", "default", "unknown"), data: id, raw_flags: id }, { binds: ["self", "region"], gives: ["data"] }),
	vdevice_alloc: op({ viommu: id, dev: id, virt_id: num }, {}, { binds: self }),
	veventq_alloc: op({ viommu: id }, { type: oneOf("selftest", "default"), depth: id, raw_flags: id, reserved: id }, { binds: ["self", "fd"] }),
	trigger_vevent: op({ dev: id, count: id }),
	vevent_read: op({ queue: ref }, { max: id }, { gives: ["events", "lost"] }),
	hw_queue_alloc: op({ viommu: id, index: id, iova: num, length: num }, { type: oneOf("selftest", "default"), raw_flags: id }, { binds: self }),
	region_map: op({ viommu: ref, offset_pages: num, length: oneOf("exact", "half", "double") }, {}, { binds: self, gives: ["data"] }),
	region_unmap: op({ target: ref }),

	// software accesses
	access_create: op({ ioas: id }, { pin: bool, raw_flags: id }, { binds: self }),
	access_destroy: op({ access: ref }),
	access_replace: op({ access: ref, ioas: id }),
	access_pin: op({ access: ref, iova: num, length: num }, { write: bool, user_va: num }, { binds: self }),
	access_unpin: op({ access: ref, pin: id }),
	access_rw: op({ access: ref, iova: num, length: num, dir: oneOf("read", "write") }, { byte: id, slow: bool }),

	// VFIO container
	vfio_version: op({}, {}, { gives: ["value"] }),
	vfio_extension: op({ ext: oneOf("type1", "type1v2", "unmap_all", "dma_cc", "nesting", "update_vaddr", "noiommu", "unknown") }, {}, { gives: ["value"] }),
	vfio_set_iommu: op({ type: oneOf("type1", "type1v2", "noiommu", "unknown") }),
	vfio_ioas: op({ verb: oneOf("get", "set", "clear", "unknown") }, { ioas: id, reserved: id }, { gives: ["ioas"] }),
	vfio_container_attach: op({}, { flags: deviceFlags }, { binds: ["self", "hwpt", "dev", "ioas"] }),
	vfio_map_dma: op({ iova: num, vaddr: num, size: num, flags: flags("read", "write") }, { raw_flags: id, argsz: oneOf("short", "exact") }),
	vfio_unmap_dma: op({ iova: num, size: num }, { all: bool, raw_flags: id, argsz: oneOf("short", "exact") }, { gives: ["size"] }),
	vfio_get_info: op({ argsz: oneOf("short", "nocaps", "header", "full") }, {}, { gives: ["pgsizes_nonzero", "has_pgsizes", "has_caps", "cap_offset_set", "argsz_grew", "ranges", "avail"] }),
	vfio_dirty_pages: op({}),
} as const;

export type OperationName = keyof typeof OPERATIONS;

/** What a build may lack; scenarios that need it are skipped then. */
export const FEATURES = ["memlock", "process", "multi_device_group", "dmabuf", "reserved_regions", "privilege", "mmap", "enforce_coherency"] as const;
export type Feature = (typeof FEATURES)[number];
