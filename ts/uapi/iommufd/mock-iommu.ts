/**
 * The IOMMU of the kernel's selftest: pages of half a host page, an aperture, nested tables with four cached entries each,
 * devices with caches of their own, virtual IOMMUs with events and queues. Written as any user's driver would be.
 */
import {
	CoreError,
	type DmaAnswer,
	type HardwareQueue,
	type Invalidated,
	type IommuCapabilities,
	type IommuTable,
	type MemoryObject,
	type RequesterState,
	RunList,
	type TableAttributes,
	type TableContent,
	type TableRun,
	type Target,
	type UserArray,
	type UserData,
	type UserDriver,
	type UserInterface,
	type UserTable,
	type VirtualHost,
	type VirtualUnit,
} from "../../core/index.ts";
import { hwptInvalidateSelftest, hwptSelftest, MOCK, MOCK_FLAGS, SELFTEST_INVALIDATE_FLAGS, testHwInfo, veventSelftest, viommuInvalidateSelftest, viommuSelftest } from "../abi/iommufd-test.ts";
import { Errno } from "../errno.ts";
import { readData } from "./call.ts";

const { pageSize } = MOCK;
const down = (address: bigint) => address & -pageSize;

/** A table of runs, with the pages that were written. */
export class MockTable implements IommuTable {
	/** what is mapped, in order */
	readonly content = new RunList();
	private readonly written = new Set<bigint>();
	private tracks = false;

	constructor(readonly dirty: boolean) {}

	find(iova: bigint): TableRun | undefined {
		return this.content.find(iova);
	}

	physical(iova: bigint): bigint | undefined {
		const run = this.find(iova);
		return run === undefined ? undefined : run.pa + (iova - run.iova);
	}

	map(run: TableRun): void {
		this.content.map(run);
	}

	unmap(iova: bigint, size: bigint): void {
		this.content.unmap(iova, size);
		for (const page of this.written) if (page >= iova && page < iova + size) this.written.delete(page);
	}

	trackDirty(on: boolean): void {
		if (on) this.written.clear();
		this.tracks = on;
	}

	get tracking(): boolean {
		return this.tracks;
	}

	/** As if DMA had written there. @returns whether something is mapped there */
	mark(iova: bigint): boolean {
		if (this.find(iova) === undefined) return false;
		this.written.add(down(iova));
		return true;
	}

	wrote(iova: bigint): void {
		if (this.tracks) this.written.add(down(iova));
	}

	readDirty(iova: bigint, size: bigint, clear: boolean, visit: (iova: bigint, size: bigint) => void): void {
		for (const page of [...this.written]) {
			if (page < iova || page >= iova + size) continue;
			visit(page, pageSize);
			if (clear) this.written.delete(page);
		}
	}
}

/** What a nested table keeps. */
export class MockNested {
	readonly iotlb: number[];

	constructor(
		value: number,
		readonly virtual: MockVirtual | null,
	) {
		this.iotlb = Array(MOCK.iotlbEntries).fill(value);
	}
}

/** What the IOMMU knows of a device. */
export interface MockDevice {
	readonly flags: number;
	readonly cache: number[];
	/** virtual IOMMU that it is attached through, and its number there */
	virtual: MockVirtual | null;
	virtualId: bigint;
	/** the next attach under the faulty PASID fails */
	faulty: boolean;
}

function failing(done: number, error: unknown): Invalidated {
	return { done, refused: error };
}

/** Run entries one by one up to the first that is refused. */
function each(entries: UserArray, type: number, size: number, one: (bytes: Uint8Array) => void): Invalidated {
	if (entries.type !== type) return failing(0, new Errno("EINVAL", `entries of type 0x${entries.type.toString(16)}`));
	if (entries.count > 0 && entries.entryLength !== size) return failing(0, new Errno("EINVAL", `entries of ${entries.entryLength} bytes, they have ${size}`));
	for (let done = 0; done < entries.count; done++) {
		try {
			one(entries.take(done, size, size));
		} catch (error) {
			return failing(done, error);
		}
	}
	return { done: entries.count, refused: undefined };
}

function refuseFlags(flags: number): void {
	if ((flags & ~SELFTEST_INVALIDATE_FLAGS.all) !== 0) throw new Errno("EOPNOTSUPP", `flags 0x${flags.toString(16)}`);
}

/** The driver's part of a virtual IOMMU. */
export class MockVirtual implements VirtualUnit {
	readonly queueTypes = [MOCK.hwQueueType];
	private readonly queues: Array<HardwareQueue | undefined> = [];

	constructor(
		readonly host: VirtualHost,
		private readonly devices: ReadonlyMap<number, MockDevice>,
	) {}

	invalidate(entries: UserArray): Invalidated {
		return each(entries, MOCK.invalidateData, viommuInvalidateSelftest.size, (bytes) => {
			const { flags, vdev_id, cache_id } = viommuInvalidateSelftest.decode(bytes);
			refuseFlags(flags);
			if (cache_id >= MOCK.cacheEntries) throw new Errno("EINVAL", `cache entry ${cache_id}`);
			const rid = this.host.requesterOf(BigInt(vdev_id));
			const known = rid === undefined ? undefined : this.devices.get(rid);
			if (known === undefined) throw new Errno("EINVAL", `no virtual device ${vdev_id}`);
			if ((flags & SELFTEST_INVALIDATE_FLAGS.all) !== 0) known.cache.fill(0);
			else known.cache[cache_id] = 0;
		});
	}

	createQueue(_type: number, index: number, physical: bigint, iova: bigint): HardwareQueue {
		if (index >= MOCK.hwQueues) throw new Errno("EINVAL", `queue ${index}`);
		if (this.queues[index] !== undefined) throw new Errno("EEXIST", `queue ${index} is there`);
		if (index > 0 && this.queues[index - 1] === undefined) throw new Errno("EIO", `queue ${index - 1} comes first`);
		if (this.host.physical(iova) !== physical) throw new Errno("EFAULT", "the queue is not where the table says");
		const queue: HardwareQueue = {
			...(index > 0 ? { after: index - 1 } : {}),
			close: () => {
				this.queues[index] = undefined;
			},
		};
		this.queues[index] = queue;
		return queue;
	}
}

const same = (a: Target | undefined, b: Target | undefined): boolean => {
	if (a?.kind === "table" && b?.kind === "table") return a.table === b.table;
	return a?.kind === "user" && b?.kind === "user" && a.user === b.user;
};

export class MockIommu implements UserDriver {
	readonly name = "mock iommu";
	readonly capabilities: IommuCapabilities = {
		format: "selftest",
		addressBits: 31,
		pageSizes: pageSize | MOCK.hugePageSize,
		reserved: [{ first: 0n, last: MOCK.apertureStart - 1n }],
		pasidBits: MOCK.pasidBits,
		enforcesSnoop: false,
		nesting: "hw",
		maxDepth: 2,
		pasidTables: false,
		dirty: true,
	};
	readonly devices = new Map<number, MockDevice>();
	private readonly states = new Map<number, RequesterState>();
	private tables = 0;

	/** `createMemory`: the driver's own pages. */
	constructor(private readonly createMemory: (name: string, size: bigint) => MemoryObject) {}

	/** tables that exist */
	get tableCount(): number {
		return this.tables;
	}

	addDevice(rid: number, flags: number): MockDevice {
		const device: MockDevice = { flags, cache: Array(MOCK.cacheEntries).fill(MOCK.cacheDefault), virtual: null, virtualId: 0n, faulty: false };
		this.devices.set(rid, device);
		return device;
	}

	removeDevice(rid: number): void {
		this.devices.delete(rid);
		this.states.delete(rid);
	}

	createTable(content: TableContent, { dirty = false, data }: TableAttributes): IommuTable {
		if (data !== undefined) readData(data, MOCK.hwptData, hwptSelftest, "iotlb");
		const table = new MockTable(dirty);
		for (const run of content()) table.map(run);
		this.tables++;
		return table;
	}

	destroyTable(): void {
		this.tables--;
	}

	// ---- routes

	private refuse(device: MockDevice, target: Target): void {
		const noDirty = (device.flags & MOCK_FLAGS.noDirty) !== 0;
		if (noDirty && target.kind === "table" && (target.table as MockTable).dirty) throw new CoreError("Invalid", "the device records no writes", { operation: "configure", object: this.name });
	}

	configure(rid: number, state: RequesterState): void {
		const device = this.devices.get(rid);
		if (device === undefined) {
			this.states.set(rid, state);
			return;
		}
		const old = this.states.get(rid);
		let [virtual, virtualId] = [device.virtual, device.virtualId];
		if (!same(state.untagged, old?.untagged)) {
			[virtual, virtualId] = [null, 0n];
			if (state.untagged !== undefined) this.refuse(device, state.untagged);
			if (state.untagged?.kind === "user") {
				({ virtual } = state.untagged.user.own as MockNested);
				const id = virtual?.host.virtualIdOf(rid);
				if (virtual !== null && id === undefined) throw new CoreError("NotFound", "the device has no number in the virtual IOMMU", { operation: "configure", object: this.name });
				virtualId = id ?? 0n;
			}
		}
		for (const [pasid, target] of state.pasids) {
			if (same(target, old?.pasids.get(pasid))) continue;
			this.refuse(device, target);
			if (pasid !== MOCK.faultyPasid) continue;
			device.faulty = !device.faulty;
			if (!device.faulty) throw new CoreError("NoSpace", "every second attach of this PASID fails", { operation: "configure", object: this.name });
		}
		if (!state.pasids.has(MOCK.faultyPasid)) device.faulty = false;
		[device.virtual, device.virtualId] = [virtual, virtualId];
		this.states.set(rid, state);
	}

	invalidate(): void {}

	translate(rid: number, pasid: number | null, address: bigint, access: "read" | "write"): DmaAnswer {
		const state = this.states.get(rid);
		const target = pasid === null ? state?.untagged : state?.pasids.get(pasid);
		if (target === undefined) return { ok: false, where: pasid === null ? "requester" : "pasid", code: 1 };
		if (target.kind === "host") return { ok: true, physical: address, pageBytes: Number(pageSize) };
		if (target.kind === "windows") return { ok: false, where: "stage1", address, code: 1 };
		// a user's table has no format here: it leaves addresses as they are
		const table = (target.kind === "table" ? target.table : target.parent) as MockTable;
		const run = table.find(address);
		if (run === undefined) return { ok: false, where: target.kind === "table" ? "stage1" : "stage2", address, code: 1 };
		if (!run.permissions[access]) return { ok: false, where: "permission", address, code: 2 };
		if (access === "write") table.wrote(address);
		return { ok: true, physical: run.pa + (address - run.iova), pageBytes: Number(pageSize) };
	}

	// ---- what users may ask

	readonly userCalls: UserInterface = {
		virtualTypes: [MOCK.viommuType],
		deviceInfo: (rid: number) => {
			const flags = this.devices.get(rid)?.flags ?? 0;
			return { dirty: (flags & MOCK_FLAGS.noDirty) === 0, pasidBits: (flags & MOCK_FLAGS.pasid) === 0 ? 0 : MOCK.pasidBits };
		},
		hardwareInfo: (_rid, type) => {
			if (type !== 0 && type !== MOCK.hwInfoType) throw new CoreError("Unsupported", `no information of type ${type}`, { operation: "hw_info", object: this.name });
			return { type: MOCK.hwInfoType, bytes: testHwInfo.encode({ test_reg: MOCK.hwInfoReg }) };
		},
		createNested: (_parent, data: UserData, virtual: VirtualUnit | null): UserTable => {
			if (data.type !== MOCK.hwptData) throw new CoreError("Unsupported", `no tables of type ${data.type}`, { operation: "hwpt_alloc", object: this.name });
			const { iotlb } = readData(data, MOCK.hwptData, hwptSelftest, "iotlb");
			return { format: "selftest", root: 0n, width: 64, own: new MockNested(iotlb, virtual as MockVirtual | null) };
		},
		invalidate: (table: UserTable, entries: UserArray) => {
			const { iotlb } = table.own as MockNested;
			return each(entries, MOCK.invalidateData, hwptInvalidateSelftest.size, (bytes) => {
				const { flags, iotlb_id } = hwptInvalidateSelftest.decode(bytes);
				refuseFlags(flags);
				if (iotlb_id >= MOCK.iotlbEntries) throw new Errno("EINVAL", `cached entry ${iotlb_id}`);
				if ((flags & SELFTEST_INVALIDATE_FLAGS.all) !== 0) iotlb.fill(0);
				else iotlb[iotlb_id] = 0;
			});
		},
		createVirtual: (_rid, _type, data, host, place) => {
			if (data !== null) {
				const { in_data } = readData(data, MOCK.viommuType, viommuSelftest, "out_data");
				const region = this.createMemory("mock viommu", MOCK.regionSize);
				region.write(0n, veventSelftest.encode({ virt_id: in_data }));
				const out_mmap_offset = place(region);
				data.give(viommuSelftest.encode({ in_data, out_data: in_data, out_mmap_offset, out_mmap_length: MOCK.regionSize }));
			}
			return new MockVirtual(host, this.devices);
		},
	};
}
