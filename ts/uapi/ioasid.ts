import {
	type AddressSpace,
	type Attachment,
	type Device,
	needsWbinvd,
	PAGE,
	PageSource,
	PasidTableSpace,
	type Process,
	type Snoop,
	Space,
	UserSpace,
	type UserTable,
} from "../core/index.ts";
import { DeviceCalls } from "./device-calls.ts";
import { call, refuse } from "./errors.ts";
import { type DoorEvent, type InvalidateOptions, type MapOptions, permitted, type SpaceInfo } from "./ioasid-types.ts";
import type { IoasidNode } from "./node.ts";

/** Formats of PASID tables that a guest may own. */
const PASID_TABLES: readonly string[] = ["smmuv3", "amdvi", "riscv"];

/**
 * What the 2021 doors share: calls about spaces by their numbers. `caller` is the process that makes the call: it names
 * memory, and pays.
 */
export abstract class IoasidFile extends DeviceCalls {
	protected kernelSpace(operation: string, ioasid: number, node: IoasidNode): Space {
		return node.space instanceof Space ? node.space : refuse("EOPNOTSUPP", `${operation}: ioasid ${ioasid} is not managed by map and unmap`);
	}

	/** @throws DoorError EBUSY while something is attached, or a child lives */
	free(ioasid: number): void {
		const node = this.ready("free", ioasid);
		call(() => node.space.free());
		for (const mirror of node.mirrors) {
			mirror.free();
			this.context.spaces.delete(mirror);
		}
		this.context.spaces.delete(node.space);
		this.numbers.delete(ioasid);
	}

	/** What all attached hardware lets it use. @throws DoorError EINVAL when none is */
	getInfo(ioasid: number): SpaceInfo {
		const { space } = this.ready("get_info", ioasid);
		const units = [...new Set([...(space.attachments as Set<Attachment>)].filter(({ mode }) => mode !== "sw").map(({ iommu }) => iommu))];
		if (units.length === 0) refuse("EINVAL", `get_info: nothing is attached to ioasid ${ioasid}`);
		const reserved = units.flatMap(({ capabilities }) => [...capabilities.reserved]);
		const addrWidth = Math.min(...units.map(({ capabilities }) => capabilities.addressBits));
		const nestings = units.map(({ capabilities }) => capabilities.nesting);
		return {
			ranges: permitted(reserved, (1n << BigInt(addrWidth)) - 1n),
			addrWidth,
			pageSizes: units.reduce((mask, { capabilities }) => mask & capabilities.pageSizes, ~0n & ((1n << 64n) - 1n)),
			nesting: nestings.includes("none") ? "none" : nestings.includes("sw") ? "sw" : "hw",
			snoopEnforce: units.every(({ capabilities }) => capabilities.enforcesSnoop),
		};
	}

	/** Maps from now on, attaches no more (policy `explicitEnable`). @throws DoorError EOPNOTSUPP, EINVAL */
	enable(ioasid: number): void {
		const node = this.ready("enable", ioasid);
		if (!this.policy.explicitEnable) refuse("EOPNOTSUPP", "enable: not offered");
		if (node.enabled) refuse("EINVAL", `enable: ioasid ${ioasid} is enabled already`);
		node.enabled = true;
	}

	protected mappable(operation: string, ioasid: number): { node: IoasidNode; spaces: Space[] } {
		const node = this.ready(operation, ioasid);
		const space = this.kernelSpace(operation, ioasid, node);
		if (!this.policy.mapBeforeAttach && space.kind !== "memory" && space.attachments.size === 0) refuse("EINVAL", `${operation}: nothing is attached to ioasid ${ioasid}`);
		if (this.policy.explicitEnable && !node.enabled) refuse("EINVAL", `${operation}: ioasid ${ioasid} is not enabled`);
		return { node, spaces: [space, ...node.mirrors] };
	}

	/** Run on each space, all or none. */
	private onEach(spaces: Space[], act: (space: Space) => void, undo: (space: Space) => void): void {
		const done: Space[] = [];
		try {
			for (const space of spaces) {
				act(space);
				done.push(space);
			}
		} catch (error) {
			for (const space of done) undo(space);
			throw error;
		}
	}

	/** Map memory of the caller, or addresses of the parent. Without `iova` the kernel picks. @returns the address. @throws DoorError */
	map(caller: Process, ioasid: number, options: MapOptions): bigint {
		const operation = "map";
		const { spaces } = this.mappable(operation, ioasid);
		const { vaddr, size, read = true, write = true } = options;
		const [space] = spaces;
		const iova = options.iova ?? call(() => this.choose(space, size));
		if (space.kind === "memory" && iova !== vaddr) refuse("EINVAL", `${operation}: a memory root maps addresses to themselves: ioasid ${ioasid}`);
		if (size <= 0n || vaddr < 0n || (vaddr | size) & (PAGE - 1n)) refuse("EINVAL", `${operation}: address and size must be multiples of a page: ioasid ${ioasid}`);
		if (!read && !write) refuse("EINVAL", `${operation}: neither read nor write: ioasid ${ioasid}`);
		const backing = space.parent !== null ? ({ kind: "parent", address: vaddr } as const) : { kind: "memory" as const, ...this.memory(caller, vaddr, size, write) };
		call(() =>
			this.onEach(
				spaces,
				(each) => each.map(iova, size, backing, { read, write }),
				(each) => each.unmap(iova, size),
			),
		);
		return iova;
	}

	private choose(space: Space, size: bigint): bigint {
		if (size <= 0n || size & (PAGE - 1n)) refuse("EINVAL", "map: size must be a multiple of a page");
		return space.chooseAddress(size);
	}

	/** Pages of the caller: of what it registered, when it did. @throws DoorError EINVAL outside of registered memory */
	private memory(caller: Process, vaddr: bigint, size: bigint, write: boolean): { source: PageSource; offset: bigint } {
		if (this.context.registered.size === 0) return { source: new PageSource(caller, vaddr, size, write, caller), offset: 0n };
		let covered = 0n;
		for (const [source, { address, size: bytes }] of this.context.registered) {
			if (source.owner !== caller) continue;
			if (vaddr >= address && vaddr + size <= address + bytes) return { source, offset: vaddr - address };
			const first = vaddr > address ? vaddr : address;
			const end = vaddr + size < address + bytes ? vaddr + size : address + bytes;
			if (first < end) covered += end - first;
		}
		if (covered === size) {
			// in several that touch, which pay
			const source = new PageSource(caller, vaddr, size, write, caller);
			source.stopCharging();
			return { source, offset: 0n };
		}
		return refuse("EINVAL", `map: the memory is not registered: [0x${vaddr.toString(16)}, 0x${(vaddr + size - 1n).toString(16)}]`);
	}

	/** Map a region of another device. @throws DoorError */
	barMap(ioasid: number, iova: bigint, physical: bigint, size: bigint): void {
		const { spaces } = this.mappable("bar_map", ioasid);
		if (spaces[0].parent !== null || spaces[0].kind !== "kernel") refuse("EINVAL", `bar_map: only roots map device memory: ioasid ${ioasid}`);
		if (physical & (PAGE - 1n)) refuse("EINVAL", `bar_map: the offset must be a multiple of a page: ioasid ${ioasid}`);
		call(() =>
			this.onEach(
				spaces,
				(each) => each.map(iova, size, { kind: "device", physical }, { read: true, write: true }, "bar_map"),
				(each) => each.unmap(iova, size),
			),
		);
	}

	/** @returns bytes unmapped, and with `getDirty` the written pages, counted from `iova`. @throws DoorError */
	unmap(ioasid: number, iova: bigint, size: bigint, options: { getDirty?: boolean; cut?: boolean } = {}): { size: bigint; dirty?: number[] } {
		const { spaces } = this.mappable("unmap", ioasid);
		let dirty: number[] | undefined;
		if (options.getDirty) {
			this.offersDirty("unmap");
			const pages = call(() => writtenOf(spaces, iova, size, false, "unmap"));
			dirty = [...pages].map((page) => Number((page - iova) / PAGE)).sort((a, b) => a - b);
		}
		let bytes = 0n;
		for (const each of spaces) bytes = call(() => each.unmap(iova, size, { ...(options.cut === undefined ? {} : { cut: options.cut }) }));
		return dirty === undefined ? { size: bytes } : { size: bytes, dirty };
	}

	/** Set one page of a child's window to an address of the parent (null: clear it), whatever was there: H_PUT_TCE. @throws DoorError */
	putPage(ioasid: number, iova: bigint, address: bigint | null): void {
		const operation = "h_put_tce";
		const [space] = this.mappable(operation, ioasid).spaces;
		const window = space.windows?.find(({ first, last }) => iova >= first && iova <= last);
		if (space.windows !== null && window === undefined) refuse("EINVAL", `${operation}: no window lies at 0x${iova.toString(16)}: ioasid ${ioasid}`);
		const page = window?.pageSize ?? PAGE;
		if (iova & (page - 1n)) refuse("EINVAL", `${operation}: 0x${iova.toString(16)} is no page of the window: ioasid ${ioasid}`);
		// the low bits of a TCE are its rights
		call(() => (address === null ? space.unmap(iova, page, { cut: true, operation }) : space.replace(iova, page, address & ~(page - 1n), operation)));
	}

	/** What an address means in the parent, and in process memory. @throws DoorError ENOENT */
	lookup(ioasid: number, address: bigint): { parent?: bigint; hva?: bigint } {
		const { space } = this.ready("lookup", ioasid);
		const found = space.locate(address);
		if (found === undefined) refuse("ENOENT", `lookup: nothing is at 0x${address.toString(16)} of ioasid ${ioasid}`);
		return { ...(found.parent === undefined ? {} : { parent: found.parent }), ...(found.memory === undefined ? {} : { hva: found.memory.address }) };
	}

	// ---- user tables

	protected userTable(format: string, root: bigint, width = 48): UserTable {
		if (!this.machine.tableReader.formats.includes(format)) refuse("EOPNOTSUPP", `alloc: no such page-table format: ${format}`);
		if (root < 0n || root & 0xfffn) refuse("EINVAL", "alloc: a root lies at a page");
		return { format, root, width };
	}

	protected parentSpace(operation: string, number: number | undefined): AddressSpace | null {
		if (number === undefined) return null;
		const { space } = this.ready(operation, number);
		if (space instanceof UserSpace || space instanceof PasidTableSpace) refuse("EINVAL", `${operation}: a user table has no children: ioasid ${number}`);
		return space;
	}

	protected newUserSpace(parent: AddressSpace, table: UserTable, extra: { snoop?: Snoop; iopf?: boolean } = {}): UserSpace {
		return new UserSpace(parent, table, this.machine.userAccess, { ...this.options(), ...extra });
	}

	protected newPasidTable(parent: AddressSpace, { format, addr, size }: { format: string; addr: bigint; size: number }, extra: { snoop?: Snoop; iopf?: boolean } = {}): PasidTableSpace {
		if (!PASID_TABLES.includes(format)) refuse("EOPNOTSUPP", `alloc: no such PASID-table format: ${format}`);
		if (!Number.isInteger(size) || size < 1 || size > 1 << 20) refuse("EINVAL", `alloc: a PASID table has 1 to 2^20 entries, not ${size}`);
		if (addr < 0n || addr & 0x3fn) refuse("EINVAL", "alloc: the PASID table is not aligned");
		return new PasidTableSpace(parent, format, addr, size, { ...this.options(), ...extra });
	}

	/** Drop cached answers. @throws DoorError EOPNOTSUPP (not a user table), EINVAL (unknown cookie or vPASID) */
	protected drop(ioasid: number, caches: { iotlb: boolean; deviceTlb: boolean; pasid: boolean }, options: InvalidateOptions): void {
		const operation = "invalidate";
		const { space } = this.ready(operation, ioasid);
		if (!(space instanceof UserSpace) && !(space instanceof PasidTableSpace)) refuse("EOPNOTSUPP", `${operation}: its tables are the kernel's: ioasid ${ioasid}`);
		const { cookie, vpasid, range } = options;
		const only = cookie === undefined ? undefined : this.context.byCookie(cookie);
		if (only?.length === 0) refuse("EINVAL", `${operation}: no device has cookie ${cookie}`);
		if (range !== undefined && (range.size <= 0n || range.first < 0n)) refuse("EINVAL", `${operation}: the range is empty`);
		const delegated = space instanceof PasidTableSpace;
		const attachments = [...(space.attachments as Set<Attachment>)];
		if (vpasid !== undefined && !(delegated ? vpasid < space.entries : attachments.some((a) => a.vpasid === vpasid))) refuse("EINVAL", `${operation}: no vPASID ${vpasid} of ioasid ${ioasid}`);
		const addresses = range === undefined ? undefined : { first: range.first, last: range.first + range.size - 1n };
		if (space instanceof UserSpace && caches.iotlb && (only === undefined || attachments.some(({ device }) => only.includes(device)))) call(() => space.refresh(addresses));
		for (const { device, iommu, pasid, vpasid: number, alias } of attachments) {
			if (only !== undefined && !only.includes(device)) continue;
			if (!delegated && vpasid !== undefined && number !== vpasid) continue;
			for (const rid of this.ridsOf(device, pasid)) iommu.invalidate(rid, delegated ? (vpasid ?? "all") : pasid, caches, addresses);
			if (alias !== null) iommu.invalidate(device.rid, alias.pasid, caches, addresses);
		}
	}

	private ridsOf(device: Device, pasid: number | null): Set<number> {
		return pasid === null ? new Set(device.requester.untagged.requesters.map(({ rid }) => rid)) : new Set([device.rid]);
	}

	// ---- windows

	/** @throws DoorError */
	windowCreate(ioasid: number, size: bigint, pageSize: bigint, base?: bigint): bigint {
		const node = this.ready("window_create", ioasid);
		return call(() => this.kernelSpace("window_create", ioasid, node).createWindow(size, pageSize, base));
	}

	/** @throws DoorError */
	windowRemove(ioasid: number, base: bigint): void {
		const node = this.ready("window_remove", ioasid);
		call(() => this.kernelSpace("window_remove", ioasid, node).removeWindow(base));
	}

	// ---- dirty tracking

	protected offersDirty(operation: string): void {
		if (!this.policy.dirtyTracking) refuse("EOPNOTSUPP", `${operation}: dirty tracking is not offered`);
	}

	/** A space that tracks, and its mirrors. @throws DoorError EOPNOTSUPP */
	private dirtySpaces(operation: string, ioasid: number): Space[] {
		this.offersDirty(operation);
		const node = this.ready(operation, ioasid);
		return [this.kernelSpace(operation, ioasid, node), ...node.mirrors];
	}

	/** @throws DoorError EOPNOTSUPP */
	dirtyStart(ioasid: number): void {
		const spaces = this.dirtySpaces("dirty_start", ioasid);
		call(() =>
			this.onEach(
				spaces,
				(space) => space.startDirty(this.policy.dirtySplit),
				(space) => space.stopDirty(),
			),
		);
	}

	/** @throws DoorError */
	dirtyStop(ioasid: number): void {
		const spaces = this.dirtySpaces("dirty_stop", ioasid);
		if (!spaces[0].tracksDirty) refuse("EINVAL", `dirty_stop: it was not started: ioasid ${ioasid}`);
		for (const space of spaces) space.stopDirty();
	}

	/** Written pages of a range as indices in `pageSize`, ascending; they are forgotten. @throws DoorError */
	dirtyGet(ioasid: number, iova: bigint, size: bigint, pageSize: bigint): number[] {
		const spaces = this.dirtySpaces("dirty_get", ioasid);
		if (pageSize < PAGE || pageSize & (pageSize - 1n) || size <= 0n || (iova | size) & (pageSize - 1n)) refuse("EINVAL", "dirty_get: the range must be a multiple of its pages");
		const pages = call(() => writtenOf(spaces, iova, size, true, "dirty_get"));
		return [...new Set([...pages].map((page) => Number((page - iova) / pageSize)))].sort((a, b) => a - b);
	}

	// ---- memory and faults

	/** Faults since the last read, oldest first. @throws DoorError EINVAL when the file is closed */
	readEvents(): DoorEvent[] {
		this.open("events");
		return this.context.events.splice(0).map(({ device, space, address, write, recoverable, pasid, ambiguous }) => ({
			ioasid: this.numberOf(space) ?? 0,
			cookie: this.context.devices.get(device)?.cookie ?? null,
			addr: address,
			perm: write ? "w" : "r",
			recoverable,
			...(pasid === undefined ? {} : { pasid }),
			ambiguous,
		}));
	}

	/** Answer a page request; of several that match, the oldest. @throws DoorError ENOENT */
	respond(ioasid: number, address: bigint, code: "success" | "invalid", options: { cookie?: bigint; vpasid?: number } = {}): void {
		const { space } = this.ready("fault_respond", ioasid);
		const { cookie, vpasid } = options;
		call(
			() =>
				this.machine.pageRequests.respond((event) => {
					if (event.space !== space || event.address !== address) return false;
					if (cookie !== undefined && (this.context.devices.get(event.device)?.cookie ?? null) !== cookie) return false;
					return vpasid === undefined || (event.pasid ?? event.vpasid) === vpasid;
				}, code),
			{ NotFound: "ENOENT" },
		);
	}

	/** A guest's wbinvd, on the host's behalf. @throws DoorError ENXIO when nothing of this file asks for it */
	wbinvd(): void {
		this.open("wbinvd");
		if (!needsWbinvd(this.context)) refuse("ENXIO", "wbinvd: no device of this file may bypass the caches");
	}

	checkExtension(name: string): number {
		this.open("check_extension");
		if (name === "map_type1v2") return 1;
		if (name === "multidev_group") return Number(this.policy.multiDeviceGroups);
		if (name === "no_snoop") return Number(this.policy.noSnoopExt);
		if (name === "dirty_tracking") return Number(this.policy.dirtyTracking);
		return 0;
	}
}

/** Pages written through any of the spaces, which hold the same maps. @throws CoreError Invalid when tracking was not started */
function writtenOf(spaces: readonly Space[], iova: bigint, size: bigint, clear: boolean, operation: string): Set<bigint> {
	return new Set(spaces.flatMap((space) => [...space.readDirty(iova, size, clear, operation)]));
}
