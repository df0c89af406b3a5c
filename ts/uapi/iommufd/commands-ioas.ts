/** Commands on address spaces. */
import { type AddressRange, CoreError, ExportedPages, FilePages, type IoOwner, LAST_ADDRESS, PAGE, PageSource, searchRanges, UserPages } from "../../core/index.ts";
import { iovaRange, MAP_FLAGS, OPTION, OPTION_OP, VFIO_IOAS_OP } from "../abi/iommufd.ts";
import { Errno } from "../errno.ts";
import { BufferFile, MemoryFile } from "../memory-file.ts";
import { copyFromUser, copyToUser } from "../user-memory.ts";
import { type Call, refuseAllOnes, refuseUnknown } from "./call.ts";
import type { Iommufd } from "./door.ts";
import { IoasEntity } from "./entities.ts";

export function alloc(door: Iommufd, { values, respond }: Call<"ioas_alloc">): void {
	refuseUnknown(values.flags);
	const made = door.createIoas();
	try {
		respond({ out_ioas_id: made.id });
	} catch (error) {
		door.objects.remove(made);
		throw error;
	}
}

const ioasOf = (door: Iommufd, id: number) => door.objects.get(id, IoasEntity);

export function iovaRanges(door: Iommufd, { values, memory, respond }: Call<"ioas_iova_ranges">): void {
	refuseUnknown(values.rsvd);
	const { space } = ioasOf(door, values.ioas_id);
	const { usable } = space;
	usable.slice(0, values.num_iovas).forEach(({ first, last }, i) => {
		copyToUser(memory, values.allowed_iovas + BigInt(i * iovaRange.size), iovaRange.encode({ start: first, last }));
	});
	respond({ num_iovas: usable.length, out_iova_alignment: space.granule });
	if (usable.length > values.num_iovas) throw new Errno("EMSGSIZE", `${usable.length} ranges, there is room for ${values.num_iovas}`);
}

export function allowIovas(door: Iommufd, { values, memory }: Call<"ioas_allow_iovas">): void {
	refuseUnknown(values.rsvd);
	const { space } = ioasOf(door, values.ioas_id);
	// in order, since a caller may send many
	const ranges: AddressRange[] = [];
	for (let i = 0; i < values.num_iovas; i++) {
		const { start: first, last } = iovaRange.decode(copyFromUser(memory, values.allowed_iovas + BigInt(i) * BigInt(iovaRange.size), iovaRange.size));
		if (first >= last) throw new Errno("EINVAL", `range ${i} ends before it starts`);
		const index = searchRanges(ranges, first);
		if (index < ranges.length && ranges[index].first <= last) throw new Errno("EINVAL", `range ${i} meets another one`);
		ranges.splice(index, 0, { first, last });
	}
	space.setAllowed(ranges);
}

/** @throws Errno in the order of the kernel: flags, all ones, direction */
function mapFlags(flags: number, ...values: bigint[]): { fixed: boolean; permissions: { read: boolean; write: boolean } } {
	refuseUnknown(flags & ~(MAP_FLAGS.fixed | MAP_FLAGS.readable | MAP_FLAGS.writeable));
	refuseAllOnes(...values);
	const permissions = { read: (flags & MAP_FLAGS.readable) !== 0, write: (flags & MAP_FLAGS.writeable) !== 0 };
	if (!permissions.read && !permissions.write) throw new Errno("EINVAL", "neither to be read nor written");
	return { fixed: (flags & MAP_FLAGS.fixed) !== 0, permissions };
}

/** Pages [start, start + length) of an owner as a source, and the byte of it that `start` is. */
function sourceOf(owner: IoOwner, start: bigint, length: bigint, writable: boolean, account: PageSource["account"]): { source: PageSource; offset: bigint } {
	const first = start & ~(PAGE - 1n);
	const size = ((start + length - 1n) | (PAGE - 1n)) + 1n - first;
	return { source: new PageSource(owner, first, size, writable, account), offset: start - first };
}

/** Map new pages into a space. @throws CoreError, Errno; nothing stays */
export function mapPages(ioas: IoasEntity, owner: IoOwner, start: bigint, length: bigint, iova: bigint | null, permissions: { read: boolean; write: boolean }, account: PageSource["account"]): bigint {
	try {
		const { source, offset } = sourceOf(owner, start, length, permissions.write, account);
		return ioas.space.map([{ source, offset, length }], iova, start, permissions);
	} catch (error) {
		owner.close?.();
		throw error;
	}
}

/** @throws Errno EOVERFLOW (the range wraps), EINVAL (empty, or the whole address space) */
export function refuseUserRange(address: bigint, length: bigint): void {
	if (address + length > LAST_ADDRESS) throw new Errno("EOVERFLOW", "the user's range wraps");
	if (length === 0n || length > LAST_ADDRESS - PAGE) throw new Errno("EINVAL", `0x${length.toString(16)} bytes`);
}

/** Tell the address, or take the mapping back. */
function told(ioas: IoasEntity, iova: bigint, length: bigint, respond: () => void): void {
	try {
		respond();
	} catch (error) {
		ioas.space.unmap(iova, iova + length - 1n);
		throw error;
	}
}

export function map(door: Iommufd, { values, caller, respond }: Call<"ioas_map">): void {
	const { fixed, permissions } = mapFlags(values.flags | (values.rsvd === 0 ? 0 : 1 << 31), values.iova, values.length);
	const ioas = ioasOf(door, values.ioas_id);
	refuseUserRange(values.user_va, values.length);
	const iova = mapPages(ioas, new UserPages(caller.process), values.user_va, values.length, fixed ? values.iova : null, permissions, door.accountOf(caller));
	told(ioas, iova, values.length, () => respond({ iova }));
}

/** The owner of a file's pages. @throws Errno EBADF, EINVAL, ENODEV */
function fileOwner({ caller, values }: Call<"ioas_map_file">): IoOwner {
	const { ops } = caller.descriptors.get(values.fd);
	const { start, length } = values;
	if (ops instanceof BufferFile) {
		if (length === 0n || start + length > ops.exporter.size) throw new Errno("EINVAL", `the buffer has 0x${ops.exporter.size.toString(16)} bytes`);
		return new ExportedPages(ops.exporter);
	}
	refuseUserRange(start, length);
	if (!(ops instanceof MemoryFile)) throw new Errno("EINVAL", "the file is no memory");
	return new FilePages(ops.memory);
}

export function mapFile(door: Iommufd, call: Call<"ioas_map_file">): void {
	const { values, caller, respond } = call;
	const { fixed, permissions } = mapFlags(values.flags, values.iova, values.length);
	const ioas = ioasOf(door, values.ioas_id);
	const owner = fileOwner(call);
	// a buffer of another driver is nobody's locked memory
	const account = owner.kind === "exporter" ? null : door.accountOf(caller);
	const iova = mapPages(ioas, owner, values.start, values.length, fixed ? values.iova : null, permissions, account);
	told(ioas, iova, values.length, () => respond({ iova }));
}

export function copy(door: Iommufd, { values, respond }: Call<"ioas_copy">): void {
	const { fixed, permissions } = mapFlags(values.flags, values.length, values.dst_iova, values.src_iova);
	const source = ioasOf(door, values.src_ioas_id);
	if (values.length === 0n) throw new Errno("EINVAL", "nothing to copy");
	if (values.src_iova + values.length - 1n > LAST_ADDRESS) throw new Errno("EOVERFLOW", "the source wraps");
	const slices = source.space.slices(values.src_iova, values.src_iova + values.length - 1n);
	const target = ioasOf(door, values.dst_ioas_id);
	const [first] = slices;
	const near = first.source.address + first.offset;
	const iova = target.space.map(slices, fixed ? values.dst_iova : null, near, permissions);
	told(target, iova, values.length, () => respond({ dst_iova: iova }));
}

export function unmap(door: Iommufd, { values, respond }: Call<"ioas_unmap">): void {
	const { space } = ioasOf(door, values.ioas_id);
	const { iova, length } = values;
	const everything = iova === 0n && length === LAST_ADDRESS;
	let last = LAST_ADDRESS;
	if (!everything) {
		refuseAllOnes(iova, length);
		if (length === 0n) throw new Errno("EINVAL", "nothing to unmap");
		last = iova + length - 1n;
		if (last > LAST_ADDRESS) throw new Errno("EOVERFLOW", "the range wraps");
	}
	const { bytes, refused } = space.unmap(iova, last);
	if (refused !== null) throw refused;
	if (bytes === 0n && !everything) throw new Errno("ENOENT", "nothing is mapped there");
	respond({ length: bytes });
}

export function option(door: Iommufd, { values, caller, respond }: Call<"option">): void {
	refuseUnknown(values.rsvd);
	const { option_id, op, object_id, val64 } = values;
	const known = op === OPTION_OP.set || op === OPTION_OP.get;
	const bit = () => {
		if (val64 !== 0n && val64 !== 1n) throw new Errno("EINVAL", `value ${val64}`);
		return val64 === 1n;
	};
	if (option_id === OPTION.rlimitMode) {
		if (object_id !== 0) throw new Errno("EOPNOTSUPP", "it is an option of the file");
		if (!known) throw new Errno("EOPNOTSUPP", `operation ${op}`);
		if (op === OPTION_OP.get) {
			respond({ val64: door.accounting === "process" ? 1n : 0n });
			return;
		}
		if (!caller.credentials.privileged) throw new Errno("EPERM", "accounting needs privilege");
		if (!door.objects.isEmpty) throw new Errno("EBUSY", "objects exist");
		door.accounting = bit() ? "process" : "user";
		respond({});
		return;
	}
	if (option_id !== OPTION.hugePages) throw new Errno("EOPNOTSUPP", `option ${option_id}`);
	const { space } = ioasOf(door, object_id);
	if (!known) throw new Errno("EOPNOTSUPP", `operation ${op}`);
	if (op === OPTION_OP.set) space.setHugePages(bit());
	respond({ val64: space.hugePages ? 1n : 0n });
}

export function vfioIoas(door: Iommufd, { values, respond }: Call<"vfio_ioas">): void {
	refuseUnknown(values.rsvd);
	if (values.op === VFIO_IOAS_OP.get) {
		if (door.compat === null) throw new Errno("ENODEV", "the container has no space");
		respond({ ioas_id: door.compat.id });
	} else if (values.op === VFIO_IOAS_OP.set) door.compat = ioasOf(door, values.ioas_id);
	else if (values.op === VFIO_IOAS_OP.clear) door.compat = null;
	else throw new Errno("EOPNOTSUPP", `operation ${values.op}`);
}

/** File mappings of all spaces are paid for by the caller from now on, all or none. */
export function changeProcess(door: Iommufd, { values, caller }: Call<"ioas_change_process">): void {
	refuseUnknown(values.rsvd);
	const sources = new Set<PageSource>();
	for (const entity of door.objects) {
		if (!(entity instanceof IoasEntity)) continue;
		for (const { source } of entity.space.areas) {
			if ((source.owner as IoOwner).kind !== "file") throw new Errno("EINVAL", "an area maps memory of a process");
			sources.add(source);
		}
	}
	const moved: Array<[PageSource, PageSource["account"]]> = [];
	try {
		for (const source of sources) {
			const old = source.account;
			source.moveCharge(door.accountOf(caller));
			moved.push([source, old]);
		}
	} catch (error) {
		for (const [source, old] of moved) source.moveCharge(old);
		if (error instanceof CoreError) throw new Errno("ENOMEM", error.message, { cause: error });
		throw error;
	}
}
