/** The test command (0xa0) of the kernel's selftest, and the devices that it makes. */
import { type Device, SharedBuffer, type FaultAnswer, type Group, IoAccess, type IoPin, type Machine, type PageFault, PAGE, type ProcessMemory, type TableRoutes } from "../../core/index.ts";
import { vfioPci } from "../../driver/vfio-pci.ts";
import { ACCESS_FLAGS, CREATE_ACCESS_FLAGS, MOCK, MOCK_FLAGS, TEST_OP, veventSelftest } from "../abi/iommufd-test.ts";
import { type Caller, type FileOps, OpenFile } from "../descriptors.ts";
import { Errno } from "../errno.ts";
import { BufferFile } from "../memory-file.ts";
import { copyFromUser, copyToUser } from "../user-memory.ts";
import type { Call } from "./call.ts";
import type { Iommufd, TestCommand } from "./door.ts";
import { DeviceEntity, IoasEntity, NestedEntity, PagingEntity, TableEntity } from "./entities.ts";
import { MockIommu, type MockNested, type MockTable } from "./mock-iommu.ts";
import { Entity } from "./objects.ts";

/** A mock device that the test command made: bound and attached for as long as the object lives. */
export class SelftestEntity extends Entity {
	readonly kind = "selftest";

	constructor(
		readonly device: DeviceEntity,
		private readonly close: () => void,
	) {
		super();
	}

	destroy(): void {
		this.close();
	}
}

class AccessEntity extends Entity {
	readonly kind = "access";

	destroy(): void {}
}

const MOST = 16n * 1024n * 1024n;

/** A software access behind a descriptor; closing it ends the access. */
export class AccessFile implements FileOps {
	readonly access: IoAccess;
	private readonly pins = new Map<number, IoPin>();
	private next = 0;

	constructor(
		readonly door: Iommufd,
		private readonly entity: AccessEntity,
		pinning: boolean,
		private readonly ioas: { current: IoasEntity | null },
	) {
		this.access = new IoAccess(`access ${entity.id}`, pinning, (iova, length) => {
			for (const [id, pin] of this.pins) {
				if (pin.iova > iova + length - 1n || pin.iova + pin.length - 1n < iova) continue;
				this.pins.delete(id);
				this.access.unpin(pin);
			}
		});
	}

	moveTo(ioas: IoasEntity | null): void {
		this.access.moveTo(ioas?.space ?? null);
		if (ioas !== null) ioas.holders++;
		if (this.ioas.current !== null) this.ioas.current.holders--;
		this.ioas.current = ioas;
	}

	/** @returns number of the pin; `check` may refuse it. @throws CoreError, Errno */
	pin(iova: bigint, length: bigint, write: boolean, check: (pin: IoPin, id: number) => void): number {
		const pin = this.access.pin(iova, length, write);
		const id = this.next;
		try {
			check(pin, id);
		} catch (error) {
			this.access.unpin(pin);
			throw error;
		}
		this.next++;
		this.pins.set(id, pin);
		return id;
	}

	/** @throws Errno ENOENT */
	unpin(id: number): void {
		const pin = this.pins.get(id);
		if (pin === undefined) throw new Errno("ENOENT", `no pin ${id}`);
		this.pins.delete(id);
		this.access.unpin(pin);
	}

	release(): void {
		this.moveTo(null);
		this.entity.holders--;
		this.door.objects.remove(this.entity);
		this.door.drop();
	}
}

type Union = Call<"test">["values"]["u"];
type Given = Call<"test">;
type Operation = (door: Iommufd, call: Given) => unknown;
type OpName = keyof typeof TEST_OP;

export class Selftest implements TestCommand {
	readonly iommu: MockIommu;
	private readonly groups = new Map<string, Group<Device>>();
	private readonly answers = new Map<Device, Map<number, FaultAnswer | "pending">>();
	private readonly rids = new Set<number>();
	/** bytes that pages are handled in at a time; nothing here depends on it */
	batchBytes: number = MOCK.memoryLimit;

	/** `machine` may still be made: it is asked for when devices come. */
	constructor(private readonly machine: () => Machine) {
		this.iommu = new MockIommu((name, size) => this.machine().createMemory(name, size));
	}

	// ---- devices

	/** A new device behind the mock IOMMU. @throws Errno EINVAL: unknown flags */
	createDevice(flags = 0, group?: string, reserved: ReadonlyArray<{ first: bigint; last: bigint }> = []): Device {
		if ((flags & ~(MOCK_FLAGS.noDirty | MOCK_FLAGS.hugeIova | MOCK_FLAGS.pasid)) !== 0) throw new Errno("EINVAL", `device flags 0x${flags.toString(16)}`);
		const machine = this.machine();
		let rid = 1;
		while (this.rids.has(rid)) rid++;
		this.iommu.addDevice(rid, flags);
		let shared = group === undefined ? undefined : this.groups.get(group);
		if (group !== undefined && shared === undefined) {
			shared = machine.createGroup(group);
			this.groups.set(group, shared);
		}
		const capabilities = { pasid: (flags & MOCK_FLAGS.pasid) !== 0, pri: true };
		const device = machine.addDevice({ name: `iommufd_mock${rid}`, rid, unit: this.iommu, driver: vfioPci, capabilities, reserved, ...(shared === undefined ? {} : { group: shared }) });
		this.rids.add(rid);
		return device;
	}

	removeDevice(device: Device): void {
		this.machine().unplug(device);
		this.iommu.removeDevice(device.rid);
		this.rids.delete(device.rid);
		this.answers.delete(device);
	}

	/** A device that is bound and attached, as one object. @throws Errno, CoreError; nothing stays */
	mockDomain(door: Iommufd, pt: number, device: Device, respond: (made: { stdev: number; hwpt: number; dev: number }) => void): SelftestEntity {
		try {
			return door.objects.create((stdev) => {
				const entity = door.bind(device, false);
				try {
					const hwpt = door.changeTable(entity, null, pt, "attach");
					respond({ stdev, hwpt, dev: entity.id });
				} catch (error) {
					door.unbind(entity);
					throw error;
				}
				return new SelftestEntity(entity, () => {
					door.unbind(entity);
					this.removeDevice(device);
				});
			});
		} catch (error) {
			this.removeDevice(device);
			throw error;
		}
	}

	/** Last answer to a group of page requests of a device; undefined when it made none. */
	answerOf(device: Device, group: number): FaultAnswer | "pending" | undefined {
		return this.answers.get(device)?.get(group);
	}

	/** A device asks for a page; without a queue behind its table it is refused at once. @throws CoreError NoSpace */
	requestPage(routes: TableRoutes, device: Device, pasid: number | null, group: number, fault: PageFault): void {
		const answers = this.answers.get(device) ?? new Map<number, FaultAnswer | "pending">();
		this.answers.set(device, answers);
		if (fault.last) answers.set(group, "pending");
		routes.requestPage(device, pasid, group, fault, (answer) => void answers.set(group, answer));
	}

	// ---- the command

	run(door: Iommufd, call: Given): number {
		const { op } = call.values;
		const name = (Object.keys(TEST_OP) as OpName[]).find((one) => TEST_OP[one] === op);
		if (name === undefined) throw new Errno("EOPNOTSUPP", `test operation ${op}`);
		const value = this.operations[name](door, call);
		return typeof value === "number" ? value : 0;
	}

	private readonly operations: Readonly<Record<OpName, Operation>> = {
		add_reserved: (door, { values }) => {
			const { start, length } = values.u.add_reserved;
			const { space } = door.objects.get(values.id, IoasEntity);
			if (length === 0n) throw new Errno("EINVAL", "nothing to reserve");
			if (start + length > 1n << 64n) throw new Errno("EOVERFLOW", "the range wraps");
			space.reserve(start, start + length - 1n, null);
		},
		mock_domain: (door, call) => this.addDomain(door, call, 0),
		mock_domain_flags: (door, call) => this.addDomain(door, call, call.values.u.mock_domain_flags.dev_flags),
		mock_domain_replace: (door, { values, respond }) => {
			const { device } = door.objects.get(values.id, SelftestEntity);
			const pt_id = door.changeTable(device, null, values.u.mock_domain_replace.pt_id, "replace");
			respond({ u: { mock_domain_replace: { pt_id } } });
		},
		check_map: (door, { values, caller }) => {
			const { iova, length, uptr } = values.u.check_map;
			const table = this.paging(door, values.id);
			if ((iova | length | uptr) & (MOCK.pageSize - 1n) || uptr + length >= 1n << 64n) throw new Errno("EINVAL", "no whole mock pages");
			for (let at = 0n; at < length; at += MOCK.pageSize) {
				const user = uptr + at;
				const expected = caller.process.frameOf(user) + (user & (PAGE - 1n));
				if (table.physical(iova + at) !== expected) throw new Errno("EINVAL", `0x${(iova + at).toString(16)} leads elsewhere`);
			}
		},
		check_refs: (_door, { values, caller }) => {
			const { length, uptr, refs } = values.u.check_refs;
			if ((length | uptr) & (PAGE - 1n) || uptr + length >= 1n << 64n) throw new Errno("EINVAL", "no whole pages");
			for (let at = uptr; at < uptr + length; at += PAGE) {
				const pins = caller.process.pinsOf(at);
				if (pins !== refs) throw new Errno("EIO", `${pins} pins at 0x${at.toString(16)}`);
			}
		},
		create_access: (door, { values, caller, respond }) => {
			const { flags } = values.u.create_access;
			if ((flags & ~CREATE_ACCESS_FLAGS.needsPinPages) !== 0) throw new Errno("EOPNOTSUPP", `access flags 0x${flags.toString(16)}`);
			const entity = door.objects.create(() => new AccessEntity());
			// its driver holds it
			entity.holders++;
			const file = new AccessFile(door, entity, (flags & CREATE_ACCESS_FLAGS.needsPinPages) !== 0, { current: null });
			try {
				file.moveTo(door.objects.get(values.id, IoasEntity));
				door.openFile(caller, "[iommufd_test_staccess]", () => file, (fd) => respond({ u: { create_access: { out_access_fd: fd, flags } } }));
			} catch (error) {
				file.moveTo(null);
				door.objects.remove(entity);
				throw error;
			}
		},
		destroy_access_pages: (_door, { values, caller }) => accessOf(caller, values.id).unpin(values.u.destroy_access_pages.access_pages_id),
		access_pages: (_door, { values, caller, respond }) => {
			const { flags, iova, length, uptr } = values.u.access_pages;
			if ((flags & ~(ACCESS_FLAGS.write | ACCESS_FLAGS.syz)) !== 0) throw new Errno("EOPNOTSUPP", `flags 0x${flags.toString(16)}`);
			if (length > MOST) throw new Errno("ENOMEM", "more than 16 MiB");
			const file = accessOf(caller, values.id);
			if (!file.access.pins) throw new Errno("EOPNOTSUPP", "not the kind of access that pins");
			const at = (flags & ACCESS_FLAGS.syz) === 0 ? iova : nthArea(file, iova);
			file.pin(at, length, (flags & ACCESS_FLAGS.write) !== 0, (pin, id) => {
				if (uptr !== 0n) checkPages(caller.process, uptr, pin);
				respond({ u: { access_pages: { ...values.u.access_pages, out_access_pages_id: id } } });
			});
		},
		access_rw: (_door, { values, memory, caller }) => {
			const { iova, length, uptr, flags } = values.u.access_rw;
			if ((flags & ~(ACCESS_FLAGS.write | ACCESS_FLAGS.slowPath | ACCESS_FLAGS.syz)) !== 0) throw new Errno("EOPNOTSUPP", `flags 0x${flags.toString(16)}`);
			if (length > MOST) throw new Errno("ENOMEM", "more than 16 MiB");
			const file = accessOf(caller, values.id);
			const write = (flags & ACCESS_FLAGS.write) !== 0;
			const at = (flags & ACCESS_FLAGS.syz) === 0 ? iova : nthArea(file, iova);
			const data = write ? copyFromUser(memory, uptr, Number(length)) : new Uint8Array(Number(length));
			file.access.copy(at, data, write, (flags & ACCESS_FLAGS.slowPath) === 0 ? caller.process : null);
			if (!write) copyToUser(memory, uptr, data);
		},
		memory_limit: (_door, { values }) => {
			const { limit } = values.u.memory_limit;
			if (limit < 12) throw new Errno("EINVAL", `a batch of ${limit} bytes`);
			this.batchBytes = limit;
		},
		access_replace_ioas: (door, { values, caller }) => {
			const file = accessOf(caller, values.id);
			if (file.access.space === null) throw new Errno("ENOENT", "the access is at no space");
			file.moveTo(door.objects.get(values.u.access_replace_ioas.ioas_id, IoasEntity));
		},
		dirty: (door, { values, memory, respond }) => {
			const { iova, length, page_size: page, uptr } = values.u.dirty;
			if (page === 0n || length === 0n || iova % page !== 0n || length % page !== 0n || uptr === 0n) throw new Errno("EINVAL", "no whole pages, or no bitmap");
			const table = this.paging(door, values.id);
			const bitmap = copyFromUser(memory, uptr, Number((length / page + 7n) / 8n));
			let marked = 0n;
			if (!table.tracking) throw new Errno("EINVAL", "tracking is off");
			for (let i = 0n; i < length / page; i++) {
				if ((bitmap[Number(i >> 3n)] & (1 << Number(i & 7n))) === 0) continue;
				if (table.mark(iova + i * page)) marked++;
			}
			respond({ u: { dirty: { ...values.u.dirty, out_nr_dirty: marked } } });
		},
		check_iotlb: (door, { values }) => {
			const { id, iotlb } = values.u.check_iotlb;
			const nested = door.objects.get(values.id, NestedEntity).table.user.own as MockNested;
			if (id >= MOCK.iotlbEntries || nested.iotlb[id] !== iotlb) throw new Errno("EINVAL", `entry ${id} is not 0x${iotlb.toString(16)}`);
		},
		trigger_iopf: (door, { values }) => {
			const { dev_id, pasid, grpid, perm, addr } = values.u.trigger_iopf;
			const { device } = door.objects.get(dev_id, DeviceEntity);
			this.requestPage(door.host.routes, device, pasid === 0 ? null : pasid, grpid, { permissions: perm, address: addr, last: true });
		},
		check_dev_cache: (door, { values }) => {
			const { id, cache } = values.u.check_dev_cache;
			const { device } = door.objects.get(values.id, DeviceEntity);
			const entries = this.iommu.devices.get(device.rid)?.cache ?? [];
			if (id >= MOCK.cacheEntries || entries[id] !== cache) throw new Errno("EINVAL", `entry ${id} is not 0x${cache.toString(16)}`);
		},
		trigger_vevent: (door, { values }) => {
			const { device } = door.objects.get(values.u.trigger_vevent.dev_id, DeviceEntity);
			const mock = this.iommu.devices.get(device.rid);
			if (!mock?.virtual || mock.virtualId === 0n) throw new Errno("ENOENT", "the device is on no virtual IOMMU");
			mock.virtual.host.report(MOCK.veventqType, veventSelftest.encode({ virt_id: Number(BigInt.asUintN(32, mock.virtualId)) }));
		},
		pasid_attach: (door, { values }) => this.changePasid(door, values.id, values.u.pasid_attach, "attach"),
		pasid_replace: (door, { values }) => this.changePasid(door, values.id, values.u.pasid_replace, "replace"),
		pasid_detach: (door, { values }) => {
			const { device } = door.objects.get(values.id, SelftestEntity);
			const { pasid } = values.u.pasid_detach;
			door.detach(device, pasid === 0 ? null : pasid);
		},
		pasid_check: (door, { values }) => {
			const { pasid, hwpt_id } = values.u.pasid_check;
			const { device } = door.objects.get(values.id, SelftestEntity);
			const table = door.host.routes.tableOf(device.device, pasid === 0 ? null : pasid);
			const wanted = hwpt_id === 0 ? undefined : door.objects.get(hwpt_id, TableEntity).table;
			if (table !== wanted) throw new Errno("EINVAL", `PASID ${pasid} leads elsewhere`);
		},
		dmabuf_get: (door, { values, caller }) => {
			const { length } = values.u.dmabuf_get;
			if (length === 0 || length > 65536) throw new Errno("EINVAL", `a buffer of ${length} bytes`);
			const { machine } = door.host;
			machine.failures.pass("table", "dmabuf_get", "buffer");
			const fd = caller.descriptors.reserve();
			caller.descriptors.install(fd, new OpenFile("dmabuf", new BufferFile(new SharedBuffer(machine.createMemory("dmabuf", BigInt(length)))), caller.credentials));
			return fd;
		},
		dmabuf_revoke: (_door, { values, caller }) => {
			const { dmabuf_fd, revoked } = values.u.dmabuf_revoke;
			const { ops } = caller.descriptors.get(dmabuf_fd);
			if (!(ops instanceof BufferFile)) throw new Errno("EINVAL", "not a buffer");
			ops.exporter.revoke(revoked !== 0);
		},
	};

	private addDomain(door: Iommufd, { values, respond }: Given, flags: number): void {
		const device = this.createDevice(flags);
		this.mockDomain(door, values.id, device, ({ stdev, hwpt, dev }) => respond({ u: { mock_domain: { out_stdev_id: stdev, out_hwpt_id: hwpt, out_idev_id: dev } } }));
	}

	private changePasid(door: Iommufd, id: number, { pasid, pt_id }: Union["pasid_attach"], change: "attach" | "replace"): void {
		const { device } = door.objects.get(id, SelftestEntity);
		door.changeTable(device, pasid === 0 ? null : pasid, pt_id, change);
	}

	/** @throws Errno ENOENT, EINVAL (a table of another unit) */
	private paging(door: Iommufd, id: number): MockTable {
		const { table } = door.objects.get(id, PagingEntity);
		if (table.iommu !== this.iommu) throw new Errno("EINVAL", "not a table of the mock IOMMU");
		return table.hardware as MockTable;
	}
}

/** @throws Errno EBADF, EBADFD */
function accessOf(caller: Caller, fd: number): AccessFile {
	const { ops } = caller.descriptors.get(fd);
	if (!(ops instanceof AccessFile)) throw new Errno("EBADFD", `descriptor ${fd} is no access`);
	return ops;
}

/** An address as area number (low 32 bits, counted around) and offset in it, for random tests. */
function nthArea({ access }: AccessFile, iova: bigint): bigint {
	const areas = [...(access.space?.areas ?? [])];
	if (areas.length === 0) return iova >> 32n;
	return areas[Number(BigInt.asUintN(32, iova)) % areas.length].first + (iova >> 32n);
}

/** @throws Errno EBADE: another page, EFAULT */
function checkPages(process: ProcessMemory, uptr: bigint, pin: IoPin): void {
	let at = uptr;
	for (const { address, size } of pin.pages) {
		for (let frame = address; frame < address + size; frame += PAGE, at += PAGE) {
			if (process.frameOf(at) !== frame) throw new Errno("EBADE", `another page is at 0x${at.toString(16)}`);
		}
	}
}
