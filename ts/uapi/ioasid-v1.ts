import { type Device, type Machine, PageSource, PAGE, type Policy, type Process, Space, UserSpace, V1_POLICY, type AddressSpace, PasidTableSpace } from "../core/index.ts";
import { call, refuse } from "./errors.ts";
import { IoasidFile } from "./ioasid.ts";
import type { InvalidateOptions } from "./ioasid-types.ts";
import type { IoasidNode } from "./node.ts";

/**
 * The May 2021 text, /dev/ioasid: an IOASID is made empty, attached, and then filled by maps or given a user's table.
 */
export class IoasidV1 extends IoasidFile {
	constructor(machine: Machine, policy: Partial<Policy> = {}, name?: string) {
		super(machine, { ...V1_POLICY, ...policy }, name);
	}

	/** @throws DoorError EINVAL, EBUSY while attached */
	unbind(device: Device): void {
		this.bound("unbind", device);
		if (this.machine.routes.attachmentsOf(device).length > 0) refuse("EBUSY", `unbind: it is attached: device ${device.name}`);
		this.machine.unbind(this.context, device);
	}

	/** An empty root. */
	alloc(): number {
		this.open("alloc");
		return this.add(new Space(null, this.options()));
	}

	/** A child of an attached IOASID. @throws DoorError EINVAL, EDEADLK */
	createNesting(parent: number): number {
		const space = this.parentSpace("create_nesting", parent);
		if (space === null) refuse("EINVAL", "create_nesting: no parent");
		this.attached("create_nesting", parent, space);
		return this.add(new Space(space, this.options()));
	}

	private attached(operation: string, ioasid: number, space: AddressSpace): void {
		if (!this.policy.mapBeforeAttach && space.attachments.size === 0) refuse("EINVAL", `${operation}: nothing is attached to ioasid ${ioasid}`);
	}

	/** Give every attachment another space under the same number. */
	private turn(node: IoasidNode, make: () => AddressSpace): void {
		const old = node.space;
		const next = make();
		next.owner = this.context;
		try {
			call(() => this.machine.routes.replaceSpace(old, next));
		} catch (error) {
			next.free();
			throw error;
		}
		node.space = next;
		this.context.spaces.delete(old);
		this.context.spaces.add(next);
		old.free();
	}

	private child(operation: string, ioasid: number): { node: IoasidNode; space: Space; parent: AddressSpace } {
		const node = this.ready(operation, ioasid);
		const { space } = node;
		if (!(space instanceof Space)) refuse("EBUSY", `${operation}: a table is bound already: ioasid ${ioasid}`);
		if (space.parent === null) refuse("EINVAL", `${operation}: only a child takes a user's table: ioasid ${ioasid}`);
		if (space.areaCount > 0 || space.children.size > 0) refuse("EBUSY", `${operation}: it is in use: ioasid ${ioasid}`);
		this.attached(operation, ioasid, space);
		return { node, space, parent: space.parent };
	}

	/** @throws DoorError EOPNOTSUPP (unknown format), EINVAL (not a child, not the attached IOMMU's format), EBUSY */
	bindPgtable(ioasid: number, format: string, addr: bigint, width?: number): void {
		const { node, parent } = this.child("bind_pgtable", ioasid);
		const table = this.userTable(format, addr, width);
		this.turn(node, () => this.newUserSpace(parent, table));
	}

	/** Back to an empty table. @throws DoorError EINVAL when none is bound */
	unbindPgtable(ioasid: number): void {
		const node = this.ready("unbind_pgtable", ioasid);
		const { space } = node;
		if (!(space instanceof UserSpace) && !(space instanceof PasidTableSpace)) refuse("EINVAL", `unbind_pgtable: no table is bound: ioasid ${ioasid}`);
		this.turn(node, () => new Space(space.parent, this.options()));
	}

	/** @throws DoorError as bindPgtable */
	bindPasidTable(ioasid: number, format: string, addr: bigint, size: number): void {
		const { node, parent } = this.child("bind_pasid_table", ioasid);
		this.turn(node, () => this.newPasidTable(parent, { format, addr, size }));
	}

	/** Pin and charge memory of the caller once, for all maps to come. @throws DoorError EINVAL, EFAULT, ENOMEM */
	registerMemory(caller: Process, vaddr: bigint, size: bigint): void {
		this.open("register_memory");
		if (size <= 0n || (vaddr | size) & (PAGE - 1n)) refuse("EINVAL", "register_memory: address and size must be multiples of a page");
		for (const { address, size: bytes } of this.context.registered.values()) {
			if (vaddr < address + bytes && vaddr + size > address) refuse("EEXIST", `register_memory: it is registered already: [0x${vaddr.toString(16)}, 0x${(vaddr + size - 1n).toString(16)}]`);
		}
		const source = new PageSource(caller, vaddr, size, true);
		call(() => source.pin(0n, size));
		// what is mapped already is paid with it from now on
		const relieved = [...this.mappedSources()];
		const freed = relieved.reduce((pages, one) => pages + (one.account === caller && !one.isExempt ? one.pinned : 0), 0);
		if (caller.locked - freed + Number(size / PAGE) > caller.lockedLimit) {
			source.unpin(0n, size);
			refuse("ENOMEM", `register_memory: the limit is ${caller.lockedLimit} pages: process ${caller.name}`);
		}
		for (const one of relieved) one.stopCharging();
		source.moveCharge(caller);
		this.context.registered.set(source, { address: vaddr, size });
	}

	/** Where maps of roots come from, but for registered memory. */
	private mappedSources(): Set<PageSource> {
		const sources = new Set<PageSource>();
		for (const root of this.context.spaces) {
			if (!(root instanceof Space) || root.parent !== null) continue;
			for (const { backing } of root.mappedAreas) if (backing.kind === "memory" && !this.context.registered.has(backing.source)) sources.add(backing.source);
		}
		return sources;
	}

	/** @throws DoorError EINVAL (not registered like that), EBUSY while a map lies in it */
	unregisterMemory(caller: Process, vaddr: bigint, size: bigint): void {
		this.open("unregister_memory");
		for (const [source, range] of this.context.registered) {
			if (source.owner !== caller || range.address !== vaddr || range.size !== size) continue;
			for (const root of this.context.spaces) {
				if (!(root instanceof Space)) continue;
				for (const { backing, first, last } of root.mappedAreas) {
					if (backing.kind !== "memory") continue;
					const at = backing.source.address + backing.offset;
					if (backing.source.owner === caller && at < vaddr + size && at + (last - first) >= vaddr) refuse("EBUSY", `unregister_memory: ${root.name} maps it`);
				}
			}
			if (this.context.registered.size === 1) this.chargeMapped(caller, source);
			source.unpin(0n, size);
			this.context.registered.delete(source);
			return;
		}
		refuse("EINVAL", `unregister_memory: not registered: [0x${vaddr.toString(16)}, 0x${(vaddr + size - 1n).toString(16)}]`);
	}

	/** Maps of roots are paid for themselves again, the last registered pages no more. @throws DoorError ENOMEM; nothing has changed then */
	private chargeMapped(caller: Process, last: PageSource): void {
		const sources = [...this.mappedSources()].filter(({ isExempt }) => isExempt);
		const own = sources.filter(({ account }) => account === caller);
		const pages = own.reduce((sum, { pinned }) => sum + pinned, 0);
		if (caller.locked - last.pinned + pages > caller.lockedLimit) refuse("ENOMEM", `unregister_memory: what is mapped would be charged, the limit is ${caller.lockedLimit} pages: process ${caller.name}`);
		const done: PageSource[] = [];
		try {
			for (const source of sources) {
				if (source.account === caller) continue;
				call(() => source.resumeCharging());
				done.push(source);
			}
		} catch (error) {
			for (const source of done) source.stopCharging();
			throw error;
		}
		last.moveCharge(null);
		for (const source of own) source.resumeCharging();
	}

	/** Every cache, for all routes of the IOASID. @throws DoorError */
	invalidate(ioasid: number, options: Pick<InvalidateOptions, "range"> = {}): void {
		this.drop(ioasid, { iotlb: true, deviceTlb: true, pasid: true }, options);
	}
}
