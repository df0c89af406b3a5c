/** One open /dev/iommu: its objects, devices and the file that commands come through. */
import { Context, type Device, type HardwareTable, IoSpace, type Machine, MappedTable, TableRoutes } from "../../core/index.ts";
import { type Caller, type FileOps, type MmapRequest, type MmapSource, OpenFile } from "../descriptors.ts";
import { Errno } from "../errno.ts";
import { type AccountMode, PinAccount, type UserPagesLocked } from "./accounts.ts";
import { type Call, run, toErrno } from "./call.ts";
import { DeviceEntity, IoasEntity, PagingEntity, TableEntity, type ViommuEntity } from "./entities.ts";
import { ObjectTable } from "./objects.ts";

/** What answers the test command (0xa0) of a machine that has one. */
export interface TestCommand {
	/** @returns what the ioctl returns */
	run(door: Iommufd, call: Call<"test">): number;
}

/** What all open files of one machine share. */
export class IommufdHost {
	readonly routes = new TableRoutes();
	readonly locked: UserPagesLocked = new Map();
	/** open files whose objects live */
	readonly files = new Set<Iommufd>();
	test: TestCommand | null = null;

	constructor(
		readonly machine: Machine,
		readonly options: { noIommu?: boolean } = {},
	) {}
}

const PAGE = 4096n;

/** State of one open file. `IommufdFile` takes the calls. */
export class Iommufd {
	readonly objects: ObjectTable;
	readonly context: Context;
	/** space of the VFIO container on this file */
	compat: IoasEntity | null = null;
	private readonly tables = new Map<HardwareTable, TableEntity>();
	private readonly regions: ViommuEntity[] = [];
	/** the open file, and whoever keeps the context alive beside it */
	private users = 1;
	private over = false;

	constructor(
		readonly host: IommufdHost,
		public accounting: "user" | "process" = "user",
	) {
		this.objects = new ObjectTable(host.machine.failures);
		this.context = new Context({}, "iommufd");
		host.files.add(this);
	}

	// ---- memory

	/** Who pays for pages that a caller maps. */
	accountOf({ process, credentials }: Caller): PinAccount {
		const exempt = credentials.ipcLock ?? credentials.privileged;
		const mode: AccountMode = exempt ? "none" : this.accounting;
		return new PinAccount(process, credentials.uid ?? 0, mode, this.host.locked);
	}

	createIoas(): IoasEntity {
		const { machine } = this.host;
		return this.objects.create((id) => {
			machine.failures.pass("table", "ioas_alloc", `ioas ${id}`);
			return new IoasEntity(new IoSpace(`ioas ${id}`, machine.engine.memory, machine.failures), (ioas) => {
				if (this.compat === ioas) this.compat = null;
			});
		});
	}

	// ---- devices

	/**
	 * Give a device to this file; its group's DMA is blocked until it is attached. `keepsOpen`: the file's objects live until
	 * it is unbound.
	 * @throws Errno EPERM (another file has the group), EINVAL, EBUSY, ENOMEM
	 */
	bind(device: Device, keepsOpen = true): DeviceEntity {
		const { machine } = this.host;
		const { owner } = device.group;
		if (owner !== null && owner !== this.context) throw new Errno("EPERM", `group ${device.group.name} belongs to another file`);
		return run(() =>
			this.objects.create(() => {
				machine.bind(this.context, device, null);
				if (keepsOpen) this.users++;
				return new DeviceEntity(device, keepsOpen);
			}),
		);
	}

	/** The device leaves: its attachments end, its virtual device is dead. */
	unbind(entity: DeviceEntity): void {
		const { routes, machine } = this.host;
		for (const pasid of routes.attachmentsOf(entity.device)) this.detach(entity, pasid);
		if (entity.vdevice !== null) this.objects.remove(entity.vdevice, true);
		this.objects.remove(entity);
		machine.release(entity.device);
		if (entity.keepsOpen) this.drop();
	}

	/** The object of a device that is bound here. */
	deviceEntity(device: Device): DeviceEntity | undefined {
		for (const entity of this.objects) if (entity instanceof DeviceEntity && entity.device === device) return entity;
		return undefined;
	}

	/** Number of a device here, 0 for none. */
	deviceId(device: Device): number {
		return this.deviceEntity(device)?.id ?? 0;
	}

	// ---- tables and attachments

	/** Number a table. `ready` is called before the number names it and may refuse. @throws CoreError, Errno */
	addTable<E extends TableEntity>(make: (id: number) => E, ready: (entity: E) => void = () => {}): E {
		return this.objects.create((id) => {
			const entity = make(id);
			entity.id = id;
			try {
				ready(entity);
			} catch (error) {
				entity.destroy();
				throw error;
			}
			this.tables.set(entity.table, entity);
			return entity;
		});
	}

	/** Attach a device, or lead its group to another table. @returns number of the table. @throws CoreError, Errno */
	changeTable(entity: DeviceEntity, pasid: number | null, id: number, change: "attach" | "replace"): number {
		const target = this.objects.any(id);
		if (target instanceof TableEntity) {
			this.doChange(entity, pasid, target, change);
			return target.id;
		}
		if (!(target instanceof IoasEntity)) throw new Errno("EINVAL", `a device is not attached to a ${target.kind}`);
		for (const table of [...target.space.tables]) {
			const candidate = this.tables.get(table as MappedTable);
			if (!(candidate instanceof PagingEntity) || !candidate.table.automatic) continue;
			try {
				this.doChange(entity, pasid, candidate, change);
				return candidate.id;
			} catch (error) {
				// it does not fit the device: another may
				if ((toErrno(error) as Errno).code !== "EINVAL") throw error;
			}
		}
		return this.automaticTable(entity, pasid, target, change).id;
	}

	private automaticTable(entity: DeviceEntity, pasid: number | null, ioas: IoasEntity, change: "attach" | "replace"): PagingEntity {
		const { routes } = this.host;
		const { device } = entity;
		const make = (id: number) => new PagingEntity(new MappedTable(ioas.space, device.iommu, { automatic: true }, `table ${id}`), ioas);
		if (change === "replace") {
			return this.addTable(make, (made) => {
				ioas.space.addTable(made.table);
				this.doChange(entity, pasid, made, change);
			});
		}
		return this.addTable(make, (made) => {
			routes.attach(device, pasid, made.table);
			try {
				ioas.space.addTable(made.table);
			} catch (error) {
				routes.detach(device, pasid);
				throw error;
			}
			made.holders++;
			entity.holders++;
		});
	}

	private doChange(entity: DeviceEntity, pasid: number | null, target: TableEntity, change: "attach" | "replace"): void {
		const { routes } = this.host;
		if (change === "attach") {
			routes.attach(entity.device, pasid, target.table);
			target.holders++;
			entity.holders++;
			return;
		}
		const { old, moved } = routes.replace(entity.device, pasid, target.table);
		target.holders += moved;
		this.letGo(old, moved);
	}

	/** Attachments less on a table: an automatic one goes with the last. */
	private letGo(table: HardwareTable, attachments: number): void {
		const entity = this.tables.get(table);
		if (entity === undefined || attachments === 0) return;
		entity.holders -= attachments;
		if (entity instanceof PagingEntity && entity.table.automatic && entity.holders === 0) this.destroyTable(entity);
	}

	private destroyTable(entity: TableEntity): void {
		this.tables.delete(entity.table);
		this.objects.remove(entity);
	}

	detach(entity: DeviceEntity, pasid: number | null): void {
		const table = this.host.routes.detach(entity.device, pasid);
		if (table === undefined) return;
		entity.holders--;
		this.letGo(table, 1);
	}

	/** @throws Errno ENOENT, EBUSY */
	destroy(id: number): void {
		const entity = this.objects.destroy(id);
		if (entity instanceof TableEntity) this.tables.delete(entity.table);
	}

	// ---- regions of virtual IOMMUs

	/** Give a virtual IOMMU's region a place in the file. */
	placeRegion(viommu: ViommuEntity, size: bigint): bigint {
		let offset = 0n;
		for (const { region } of this.regions) if (region !== null && region.offset < offset + size && region.offset + region.object.size > offset) offset = region.offset + region.object.size;
		this.regions.push(viommu);
		this.regions.sort((a, b) => ((a.region?.offset ?? 0n) < (b.region?.offset ?? 0n) ? -1 : 1));
		return offset;
	}

	closeRegion(viommu: ViommuEntity): void {
		const index = this.regions.indexOf(viommu);
		if (index >= 0) this.regions.splice(index, 1);
		viommu.region?.object.release();
	}

	mmap(_caller: Caller, { offset, length, shared }: MmapRequest): MmapSource {
		if (length % PAGE !== 0n || !shared) throw new Errno("EINVAL", "regions are mapped shared, in pages");
		const found = this.regions.find(({ region }) => region !== null && region.offset === offset && region.object.size === length);
		if (found === undefined || found.region === null) throw new Errno("ENXIO", `no region of 0x${length.toString(16)} bytes at 0x${offset.toString(16)}`);
		return {
			object: found.region.object,
			watcher: {
				open: () => void found.holders++,
				close: () => void found.holders--,
			},
		};
	}

	// ---- descriptors

	/**
	 * Give the caller a descriptor for a file that belongs to this one and keeps it alive. `respond` is called with the number
	 * before the descriptor is open, and may refuse.
	 * @throws Errno EMFILE
	 */
	openFile(caller: Caller, name: string, make: () => FileOps, respond: (fd: number) => void): void {
		const fd = caller.descriptors.reserve();
		try {
			respond(fd);
			this.users++;
			caller.descriptors.install(fd, new OpenFile(name, make(), caller.credentials));
		} catch (error) {
			caller.descriptors.unreserve(fd);
			throw error;
		}
	}

	/** Somebody less keeps the context: the last one ends it. */
	drop(): void {
		this.users--;
		if (this.users === 0) this.end();
	}

	/** The last descriptor is gone. */
	release(): void {
		this.drop();
	}

	private end(): void {
		if (this.over) return;
		this.over = true;
		for (let left = true; left; ) {
			left = false;
			for (const entity of this.objects) {
				if (entity.holders > 0) continue;
				if (entity instanceof TableEntity) this.tables.delete(entity.table);
				this.objects.remove(entity);
				left = true;
			}
		}
		this.objects.bury();
		this.host.files.delete(this);
	}

	get ended(): boolean {
		return this.over;
	}
}
