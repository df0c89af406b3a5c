/** Steps on IOASIDs, guest tables and containers. */
import type { Device, Group } from "../../../core/index.ts";
import { DoorError, IoasidFile, IoasidV1, VfioContainer } from "../../../uapi/index.ts";
import { type GuestFormat, GuestPasidTable, GuestTable } from "./guest.ts";
import { type Call, CheckFailed, deviceOf, flag, ioasid, type Operation, small, v1, v2 } from "./ops.ts";
import { ScenarioError } from "./values.ts";

function pair(call: Call, value: unknown): { first: bigint; size: bigint } | undefined {
	if (value === undefined) return undefined;
	const [first, size] = (value as unknown[]).map((one) => call.names.number(one));
	return { first, size };
}

function container({ names, step }: Call): VfioContainer {
	const file = names.ref(step.container, IoasidFile);
	if (!(file instanceof VfioContainer)) throw new DoorError("ENOTTY", `${step.op}: ${file.context.name} is no container`);
	return file;
}

function group({ world, step }: Call): Group<Device> {
	const found = world.groups.get(step.group as string);
	if (found === undefined) throw new ScenarioError(`no group ${String(step.group)}`);
	return found;
}

const ranges = (list: Array<{ first: bigint; last: bigint }>) => list.map(({ first, last }) => [first, last]);
const defined = <T extends object>(object: T) => Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as Partial<T>;

export const ioasidOps: Record<string, Operation> = {
	attach(call) {
		const { step } = call;
		const { ppasid } = call.file().attach(
			deviceOf(call).device,
			ioasid(call),
			defined({
				vpasid: small(call, "vpasid"),
				queue: step.queue as string | undefined,
				noSnoopUnused: flag(step, "hints", "no_snoop_unused"),
				noAutoPin: flag(step, "hints", "no_auto_pin"),
				implicitGroup: step.implicit_group as boolean | undefined,
				mode: step.mode as "rid" | undefined,
				wrapper: step.wrapper as "pci" | undefined,
			}),
		);
		return { outputs: { ppasid_visible: ppasid !== undefined } };
	},
	detach(call) {
		const { device } = deviceOf(call);
		call.file().detach(device, ioasid(call), defined({ vpasid: small(call, "vpasid"), queue: call.step.queue as string | undefined }));
		return undefined;
	},
	device_get_info(call) {
		const info = v2(call).deviceGetInfo(call.names.number(call.step.cookie));
		return {
			outputs: {
				ranges: ranges(info.ranges),
				addr_width: info.addrWidth,
				page_sizes: info.pageSizes,
				nesting: info.nesting,
				snoop_enforce: info.snoopEnforce,
				formats: info.formats,
				pasid_bits: info.pasidBits,
				pasid_table: info.pasidTable,
				pri: info.pri,
			},
		};
	},
	vfio_device_info(call) {
		const info = call.file().vfioDeviceInfo(deviceOf(call).device);
		return { outputs: { pasid: info.pasid, pasid_delegated: info.pasidDelegated, pasid_cpu: info.pasidCpu, pasid_cpu_virt: info.pasidCpuVirt } };
	},
	ioasid_alloc(call) {
		const { step, names, caller } = call;
		if (call.file() instanceof IoasidV1) {
			const extra = Object.keys(step).filter((key) => !["op", "as", "fd", "proc", "expect", "note"].includes(key));
			if (extra.length > 0) throw new DoorError("EINVAL", `alloc: /dev/ioasid takes no ${extra.join(", ")}`);
			return { bound: v1(call).alloc() };
		}
		const pgtable = step.user_pgtable as { format: string; addr: unknown; width?: unknown } | undefined;
		const pasidTable = step.user_pasid_table as { format: string; addr: unknown; size: unknown } | undefined;
		const number = v2(call).alloc(
			caller,
			defined({
				kind: step.kind as "kernel" | undefined,
				parent: step.parent === undefined ? undefined : ioasid(call, "parent"),
				snoop: step.snoop as "auto" | undefined,
				iopf: step.iopf as boolean | undefined,
				windows: step.windows as boolean | undefined,
				userPgtable: pgtable && { format: pgtable.format, addr: names.number(pgtable.addr), ...(pgtable.width === undefined ? {} : { width: Number(names.number(pgtable.width)) }) },
				userPasidTable: pasidTable && { format: pasidTable.format, addr: names.number(pasidTable.addr), size: Number(names.number(pasidTable.size)) },
			}),
		);
		return { bound: number };
	},
	ioasid_free(call) {
		call.file().free(ioasid(call));
		return undefined;
	},
	get_info(call) {
		const info = call.file().getInfo(ioasid(call));
		return { outputs: { ranges: ranges(info.ranges), addr_width: info.addrWidth, page_sizes: info.pageSizes, nesting: info.nesting, snoop_enforce: info.snoopEnforce } };
	},
	create_nesting: (call) => ({ bound: v1(call).createNesting(ioasid(call, "parent")) }),
	bind_pgtable(call) {
		const { names, step } = call;
		v1(call).bindPgtable(ioasid(call), step.format as string, names.number(step.addr), small(call, "width"));
		return undefined;
	},
	unbind_pgtable(call) {
		v1(call).unbindPgtable(ioasid(call));
		return undefined;
	},
	bind_pasid_table(call) {
		const { names, step } = call;
		v1(call).bindPasidTable(ioasid(call), step.format as string, names.number(step.addr), Number(names.number(step.size)));
		return undefined;
	},
	map(call) {
		const { names, step, caller } = call;
		const flags = step.flags as string[] | undefined;
		const iova = call.file().map(caller, ioasid(call), {
			vaddr: names.number(step.vaddr),
			size: names.number(step.size),
			...(step.alloc === true || step.iova === undefined ? {} : { iova: names.number(step.iova) }),
			...(flags === undefined ? {} : { read: flags.includes("read"), write: flags.includes("write") }),
		});
		return { bound: iova, outputs: { iova } };
	},
	bar_map(call) {
		const { names, step } = call;
		call.file().barMap(ioasid(call), names.number(step.iova), deviceOf(call).bar + names.number(step.offset), names.number(step.size));
		return undefined;
	},
	unmap(call) {
		const { names, step } = call;
		const { size, dirty } = call.file().unmap(ioasid(call), names.number(step.iova), names.number(step.size), { getDirty: step.get_dirty === true });
		return { outputs: { size, ...(dirty === undefined ? {} : { dirty }) } };
	},
	invalidate(call) {
		const { step, names } = call;
		const range = pair(call, step.range);
		const file = call.file();
		if (!("invalidate" in file)) throw new ScenarioError("no invalidate");
		(file as { invalidate(ioasid: number, options: object): void }).invalidate(
			ioasid(call),
			defined({ cache: step.cache as string | undefined, cookie: names.optional(step.cookie), vpasid: small(call, "vpasid"), range }),
		);
		return undefined;
	},
	lookup(call) {
		return { outputs: { ...call.file().lookup(ioasid(call), call.names.number(call.step.addr)) } };
	},
	window_create(call) {
		const { names, step } = call;
		const base = call.file().windowCreate(ioasid(call), names.number(step.size), names.number(step.page_size), names.optional(step.base));
		return { bound: base, outputs: { base } };
	},
	window_remove(call) {
		call.file().windowRemove(ioasid(call), call.names.number(call.step.base));
		return undefined;
	},
	dirty_start(call) {
		call.file().dirtyStart(ioasid(call));
		return undefined;
	},
	dirty_stop(call) {
		call.file().dirtyStop(ioasid(call));
		return undefined;
	},
	dirty_get(call) {
		const { names, step } = call;
		const bits = call.file().dirtyGet(ioasid(call), names.number(step.iova), names.number(step.size), names.number(step.page_size));
		return { outputs: { bits, count: bits.length } };
	},

	pt_new({ names, step, caller }) {
		const width = step.width === undefined ? 48 : Number(names.number(step.width));
		return { bound: new GuestTable(caller, step.format as GuestFormat, names.number(step.hva), names.number(step.root), names.number(step.pool), width) };
	},
	pt_write({ names, step }) {
		const perms = (step.perms as string[] | undefined) ?? ["read", "write"];
		const level = step.level === undefined ? 1 : Number(names.number(step.level));
		names.ref(step.table, GuestTable).write(names.number(step.va), names.number(step.to), level, perms.includes("read"), perms.includes("write"));
		return undefined;
	},
	pt_clear({ names, step }) {
		names.ref(step.table, GuestTable).clear(names.number(step.va));
		return undefined;
	},
	pasid_table_new({ names, step, caller }) {
		return { bound: new GuestPasidTable(caller, step.format as "riscv", names.number(step.hva), names.number(step.addr), Number(names.number(step.size))) };
	},
	pasid_table_write({ names, step }) {
		names.ref(step.table, GuestPasidTable).write(Number(names.number(step.pasid)), names.ref(step.pgtable, GuestTable));
		return undefined;
	},
	pasid_table_clear({ names, step }) {
		names.ref(step.table, GuestPasidTable).clear(Number(names.number(step.pasid)));
		return undefined;
	},

	vfio_set_container(call) {
		container(call).setContainer(group(call));
		return undefined;
	},
	vfio_unset_container(call) {
		const found = group(call);
		const owner = call.world.files.find((file): file is VfioContainer => file instanceof VfioContainer && file.context === found.owner);
		if (owner === undefined) throw new DoorError("EINVAL", `unset_container: group ${found.name} is in no container`);
		owner.unsetContainer(found);
		return undefined;
	},
	vfio_set_iommu(call) {
		container(call).setIommu(call.step.type as string);
		return undefined;
	},
	vfio_get_device_fd(call) {
		const { device } = deviceOf(call);
		const owner = call.world.containerOf(device);
		if (owner === undefined) throw new DoorError("EINVAL", "get_device_fd: its group is in no container");
		owner.openDevice(device);
		return undefined;
	},
	vfio_map(call) {
		const { names, step, caller } = call;
		const flags = (step.flags as string[] | undefined) ?? ["read", "write"];
		container(call).vfioMap(caller, names.number(step.iova), names.number(step.vaddr), names.number(step.size), { read: flags.includes("read"), write: flags.includes("write") });
		return undefined;
	},
	vfio_unmap(call) {
		return { outputs: { size: container(call).vfioUnmap(call.names.number(call.step.iova), call.names.number(call.step.size)) } };
	},
	vfio_ioasid(call) {
		const number = container(call).vfioIoasid(call.step.verb as "get", call.step.ioasid === undefined ? undefined : ioasid(call));
		return { bound: number };
	},
	vfio_hidden_count(call) {
		const { hiddenCount } = container(call);
		if (BigInt(hiddenCount) !== call.names.number(call.step.count)) throw new CheckFailed(`${hiddenCount} hidden IOASIDs`);
		return undefined;
	},
	vfio_check_extension: (call) => ({ outputs: { value: container(call).vfioCheckExtension(call.step.ext as string) } }),
	vfio_dirty_pages(call) {
		container(call).dirtyPages();
	},
};
