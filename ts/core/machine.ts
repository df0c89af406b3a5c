import type { Engine } from "../engine/index.ts";
import { Access } from "./access.ts";
import type { AddressSpace } from "./address-space.ts";
import type { Attachment } from "./attachment.ts";
import { Context } from "./context.ts";
import { Device, type DeviceCapabilities, formatAddress, NO_CAPABILITIES } from "./device.ts";
import type { AttachRequest, DeviceDriver, DmaOwnership } from "./device-driver.ts";
import { type DmaResult, translate } from "./dma.ts";
import { CoreError } from "./errors.ts";
import { FailPoint } from "./fail-point.ts";
import { FramePool, type FrameRun, PAGE } from "./frames.ts";
import { Group } from "./group.ts";
import type { AddressRange, IommuDriver, TableAttributes } from "./iommu-driver.ts";
import { joinGroup, refuseUnviable, returnGroup, takeGroup } from "./ownership.ts";
import { type PageRequest, PageRequests } from "./page-request.ts";
import { Process } from "./process.ts";
import { MemoryObject } from "./process-object.ts";
import { Routes } from "./routes.ts";
import { Requester } from "./slot.ts";
import { type KernelSpaceOptions, Space } from "./space.ts";
import { groupsOf, type TopologyFunction } from "./topology.ts";
import type { UserAccess, UserTableReader } from "./user-space.ts";

export interface DeviceConfig {
	/** default: its address */
	name?: string;
	segment?: number;
	/** bus << 8 | device << 3 | function; a part has its parent's */
	rid?: number;
	/** unit in front of it: an index, or the unit's driver; default 0 */
	unit?: number | IommuDriver;
	driver: DeviceDriver;
	/** default: a group of its own */
	group?: Group<Device>;
	capabilities?: Partial<DeviceCapabilities>;
	/** the function that it is a part of: requests carry its RID */
	parent?: Device;
	/** the function whose RID its requests carry (a bridge between them) */
	aliasOf?: Device;
	/** input addresses that firmware or the platform keeps for it */
	reserved?: readonly AddressRange[];
}

/** RAM of a machine, for its processes: a region of the engine's memory. */
export interface RamConfig {
	start: bigint;
	size: bigint;
}

/** An engine with the devices, groups, processes and spaces around it. */
export class Machine {
	readonly routes = new Routes();
	readonly pageRequests = new PageRequests();
	/** makes allocations fail, of the engine's table frames too, for tests */
	readonly failures: FailPoint;
	/** told of devices that are pulled */
	readonly removals = new Set<(device: Device) => void>();
	private readonly devices = new Map<string, Device>();
	private readonly drivers = new Map<Device, DeviceDriver>();
	/** parts that sit on a function */
	private readonly parts = new Map<Device, Set<Device>>();
	private readonly requesters = new Map<IommuDriver, Map<number, Requester>>();
	/** open files that a device is bound to */
	private readonly bindings = new Map<Device, Set<Context>>();
	/** what software has of the spaces that its devices are attached to */
	private readonly accesses = new Map<Attachment, Set<Access>>();
	private readonly frames: FramePool | null;
	private spaces = 0;
	private groups = 0;
	/** reads user tables for software nesting; machines without it take none */
	tableReader: UserTableReader = { formats: [], leaves: () => [] };

	/** `iommus`: a driver for each unit, in order. */
	constructor(
		readonly engine: Engine,
		private readonly iommus: readonly IommuDriver[],
		ram?: RamConfig,
	) {
		const { memory } = engine;
		this.failures = new FailPoint(engine);
		const zero = (address: bigint, size: bigint) => {
			for (let at = address; at < address + size; at += PAGE) if (memory.read(at, Number(PAGE)).some((byte) => byte !== 0)) memory.writeBytes(at, new Uint8Array(Number(PAGE)));
		};
		this.frames = ram === undefined ? null : new FramePool(ram.start, ram.start + ram.size - 1n, zero, this.failures);
		this.routes.closings.add((attachment) => this.closed(attachment));
	}

	/** Waiting requests of a route that ended are answered, and software lets go: nobody else will. */
	private closed(attachment: Attachment): void {
		const { device, space, vpasid } = attachment;
		this.pageRequests.abandon((event) => event.device === device && event.space === space && event.vpasid === vpasid);
		for (const access of this.accesses.get(attachment) ?? []) access.close();
		this.accesses.delete(attachment);
	}

	// ---- what there is

	createGroup(name = `${this.groups++}`): Group<Device> {
		return new Group(name);
	}

	/** The isolation groups of a topology, by the names of their functions: for `addDevice`. @throws CoreError Occupied, Invalid */
	createGroups(functions: readonly TopologyFunction[]): Map<string, Group<Device>> {
		const groups = new Map<string, Group<Device>>();
		for (const { members } of groupsOf(functions)) {
			const group = this.createGroup();
			for (const name of members) groups.set(name, group);
		}
		return groups;
	}

	/** @throws CoreError Occupied (the address is taken), NotFound (no such unit) */
	addDevice(config: DeviceConfig): Device {
		const { segment = 0, rid = config.parent?.rid ?? config.aliasOf?.rid ?? 0, unit = 0, parent = null } = config;
		const name = config.name ?? formatAddress({ segment, rid });
		const context = { operation: "Machine.addDevice", object: `device ${name}` };
		if (this.devices.has(name)) throw new CoreError("Occupied", "a device is there", context);
		const iommu = parent?.iommu ?? config.aliasOf?.iommu ?? (typeof unit === "number" ? this.iommus[unit] : unit);
		if (iommu === undefined) throw new CoreError("NotFound", `no unit ${String(unit)}`, context);
		const group = config.group ?? config.aliasOf?.group ?? this.createGroup();
		const device = new Device(name, this.requesterOf(iommu, segment, rid, config), group, { ...NO_CAPABILITIES, ats: config.capabilities?.pri ?? false, ...config.capabilities }, parent, config.driver.part ?? parent !== null, config.reserved);
		this.devices.set(name, device);
		this.drivers.set(device, config.driver);
		if (parent !== null) this.parts.set(parent, (this.parts.get(parent) ?? new Set()).add(device));
		joinGroup(device);
		return device;
	}

	private requesterOf(iommu: IommuDriver, segment: number, rid: number, { parent, aliasOf, driver }: DeviceConfig): Requester {
		const shared = parent?.requester ?? aliasOf?.requester;
		if (shared !== undefined) return shared;
		// a part without parent has no RID of its own: nothing is ever put into the unit for it
		if (driver.part) return new Requester(iommu, segment, rid);
		let known = this.requesters.get(iommu);
		if (known === undefined) {
			known = new Map();
			this.requesters.set(iommu, known);
		}
		const key = segment * 65536 + rid;
		let requester = known.get(key);
		if (requester === undefined) {
			requester = new Requester(iommu, segment, rid);
			known.set(key, requester);
			requester.apply();
		}
		return requester;
	}

	/** @throws CoreError NotFound */
	driverOf(device: Device, operation: string): DeviceDriver {
		const driver = this.drivers.get(device);
		if (driver === undefined) throw new CoreError("NotFound", "not a device of this machine", { operation, object: `device ${device.name}` });
		return driver;
	}

	/** Whose DMA a device makes. */
	ownershipOf(device: Device): DmaOwnership {
		return this.drivers.get(device)?.ownership ?? "none";
	}

	get allDevices(): Iterable<Device> {
		return this.devices.values();
	}

	/** Give the device another driver. @throws CoreError Busy: it is in use, or a user owns its group and the driver would make DMA */
	probe(device: Device, driver: DeviceDriver): void {
		const context = { operation: "probe", object: `device ${device.name}` };
		if (this.isBound(device)) throw new CoreError("Busy", "a user has it", context);
		if (device.group.owner !== null && driver.ownership === "kernel") throw new CoreError("Busy", `group ${device.group.name} belongs to a user`, context);
		this.drivers.set(device, driver);
	}

	/** The device is pulled, whatever its state. @throws CoreError NotFound: it is gone */
	unplug(device: Device): void {
		this.driverOf(device, "unplug");
		for (const part of this.partsOf(device)) this.unplug(part);
		this.release(device);
		device.group.members.delete(device);
		this.devices.delete(device.name);
		this.drivers.delete(device);
		if (device.parent !== null) this.parts.get(device.parent)?.delete(device);
		const { owner } = device.group;
		if (owner !== null && !this.groupInUse(device.group)) returnGroup(device.group);
		if (owner instanceof Context) owner.deviceLeft(device);
		// aliases are in one group
		const shares = [...device.group.members].some(({ requester, isPart }) => !isPart && requester === device.requester);
		if (!shares && !device.isPart) {
			device.requester.useSlot(null);
			device.requester.host = false;
			device.requester.apply();
			this.requesters.get(device.iommu)?.delete(device.segment * 65536 + device.rid);
		}
		for (const removal of this.removals) removal(device);
	}

	// ---- who has what

	isBound(device: Device): boolean {
		return (this.bindings.get(device)?.size ?? 0) > 0;
	}

	boundTo(device: Device): ReadonlySet<Context> {
		return this.bindings.get(device) ?? new Set();
	}

	/** Members that belong to a file keep the group with it; a container keeps it by itself. */
	private groupInUse(group: Group<Device>): boolean {
		return (group.owner instanceof Context && group.owner.isContainer) || [...group.members].some((member) => this.isBound(member));
	}

	/** @throws CoreError Invalid, naming the member that a host driver uses */
	refuseUnviable(group: Group<Device>, operation: string): void {
		const isWrapper = ({ part, software, defaultPasid }: DeviceDriver) => part === true && !software && defaultPasid === undefined;
		refuseUnviable(group, (device) => this.ownershipOf(device), (device) => isWrapper(this.driverOf(device, operation)), operation);
	}

	/** Give a whole group to a file. @throws CoreError Invalid (not viable) */
	takeGroup(group: Group<Device>, context: Context): void {
		this.refuseUnviable(group, "take_group");
		takeGroup(group, context);
	}

	/** Give a group back to the host. */
	returnGroup(group: Group<Device>): void {
		returnGroup(group);
	}

	/** Parts that sit on a device. */
	partsOf(device: Device): Device[] {
		return [...(this.parts.get(device) ?? [])];
	}

	/** A user has it, by a file of its own or in a container. */
	private isAssigned(device: Device): boolean {
		const { owner } = device.group;
		return this.isBound(device) || (owner instanceof Context && owner.isContainer && this.ownershipOf(device) === "user");
	}

	/** @throws CoreError Denied (firmware uses it), Busy (parts sit on it, or its parent is given away) */
	refuseAssignment(device: Device, operation: string): void {
		const where = { operation, object: `device ${device.name}` };
		if (device.capabilities.firmwareRanges) throw new CoreError("Denied", "firmware has ranges of its own for it", where);
		const [part] = device.isPart ? [] : this.partsOf(device);
		if (part !== undefined) throw new CoreError("Busy", `${part.name} sits on it`, where);
		if (device.parent !== null && this.isAssigned(device.parent)) throw new CoreError("Busy", `its parent ${device.parent.name} is given away`, where);
	}

	/**
	 * Give a device to an open file. With the first of its group, the whole group's DMA is blocked until it is attached.
	 * @throws CoreError Busy (bound already, another file has the group, parts sit on it, the cookie is taken), Invalid (the
	 *   group is not viable), Denied, Unsupported
	 */
	bind(context: Context, device: Device, cookie: bigint | null): void {
		const where = { operation: "bind", object: `device ${device.name}` };
		const driver = this.driverOf(device, "bind");
		const { policy } = context;
		const { group } = device;
		const bound = this.bindings.get(device);
		if (bound !== undefined && bound.size > 0 && (bound.has(context) || !policy.multiFdBind)) throw new CoreError("Busy", "it is bound already", where);
		if (driver.ownership !== "user") throw new CoreError("Unsupported", `its driver ${driver.name} does not give it away`, where);
		this.refuseAssignment(device, "bind");
		driver.bind?.(device);
		if (cookie !== null && policy.dupCookie === "refuse" && context.byCookie(cookie).length > 0) throw new CoreError("Busy", `cookie ${cookie} is taken`, where);
		if (!policy.multiDeviceGroups && [...group.members].filter(({ isPart }) => !isPart).length > 1) throw new CoreError("Unsupported", `group ${group.name} has several members`, where);
		if (policy.fdHomogeneous) {
			for (const other of context.devices.keys()) {
				if (other.iommu.capabilities.format !== device.iommu.capabilities.format) throw new CoreError("Invalid", `${other.name} is behind another kind of IOMMU`, where);
			}
		}
		if (group.owner !== null && group.owner !== context && !(policy.multiFdBind && bound !== undefined && bound.size > 0)) {
			throw new CoreError("Busy", `group ${group.name} belongs to another file`, where);
		}
		if (group.owner === null) {
			this.refuseUnviable(group, "bind");
			takeGroup(group, context);
		}
		context.addDevice(device, cookie);
		if (bound === undefined) this.bindings.set(device, new Set([context]));
		else bound.add(context);
	}

	/** The device leaves all files: its routes end, and with the group's last device the host has the group again. */
	release(device: Device): void {
		const files = [...this.boundTo(device)];
		this.routes.detachAll(device);
		this.pageRequests.abandon((event) => event.device === device);
		for (const context of files) context.removeDevice(device);
		this.bindings.delete(device);
		this.driverOf(device, "unbind").unbind?.(device, this.routes);
		if (device.group.owner !== null && !this.groupInUse(device.group)) returnGroup(device.group);
		for (const context of files) context.deviceLeft(device);
	}

	/** The device leaves one of the files that it is bound to; the last takes all that it has. */
	unbind(context: Context, device: Device): void {
		const files = this.bindings.get(device);
		if (!files?.has(context)) return;
		if (files.size === 1) {
			this.release(device);
			return;
		}
		files.delete(context);
		context.removeDevice(device);
		context.deviceLeft(device);
	}

	/** Attach a device to a space, in the way that its driver chooses. @throws CoreError, as DeviceDriver.attach */
	attach(device: Device, space: AddressSpace, request: AttachRequest & TableAttributes = {}): Attachment {
		const { levels, domain } = request;
		if (space instanceof Space && (levels !== undefined || domain !== undefined)) {
			space.attributes = { ...(levels === undefined ? {} : { levels }), ...(domain === undefined ? {} : { domain }) };
		}
		return this.driverOf(device, "attach").attach(device, space, request, this.routes);
	}

	/** End the device's routes to a space, or all. @throws CoreError NotFound, Busy */
	detach(device: Device, space?: AddressSpace): void {
		const list = this.routes.attachmentsOf(device).filter((attachment) => space === undefined || attachment.space === space);
		if (list.length === 0) throw new CoreError("NotFound", "nothing is attached", { operation: "detach", object: `device ${device.name}` });
		for (const attachment of [...list].reverse()) this.routes.detach(attachment);
	}

	// ---- memory and spaces

	/** @throws CoreError Unsupported when the machine has no RAM */
	createProcess(name: string): Process {
		if (this.frames === null) throw new CoreError("Unsupported", "the machine has no RAM", { operation: "Machine.createProcess", object: `process ${name}` });
		return new Process(name, this.engine.memory, this.frames);
	}

	/** Memory that is no process's: a driver's pages that users may map. The caller holds it. @throws CoreError Unsupported */
	createMemory(name: string, size: bigint): MemoryObject {
		if (this.frames === null) throw new CoreError("Unsupported", "the machine has no RAM", { operation: "Machine.createMemory", object: name });
		return new MemoryObject(name, size, this.engine.memory, this.frames);
	}

	createSpace(options: KernelSpaceOptions = {}): Space {
		return new Space(null, { name: `space ${this.spaces++}`, ...options });
	}

	/** How software reads users' tables. */
	get userAccess(): UserAccess {
		return { reader: this.tableReader, read64: (physical) => this.engine.memory.read64(physical) };
	}

	/** Whose memory a physical address is: the owner, and its address there. */
	ownerOf(physical: bigint): { run: FrameRun; address: bigint } | undefined {
		const run = this.frames?.find(physical);
		return run === undefined ? undefined : { run, address: run.userAddress + (physical - run.first) };
	}

	/** One DMA of a device; `pasid` is the number on the bus. */
	dma(device: Device, pasid: number | null, address: bigint, access: "read" | "write" = "read"): DmaResult {
		return translate(device, pasid, address, access);
	}

	/** Software's way into the space that its device was attached to last, till that ends. @throws CoreError NotFound */
	openAccess(device: Device, unmapped?: (iova: bigint, size: bigint) => void): Access {
		const attachment = this.routes.attachmentsOf(device).findLast(({ mode }) => mode === "sw");
		if (attachment === undefined) throw new CoreError("NotFound", "no software route of it", { operation: "Machine.openAccess", object: `device ${device.name}` });
		const access = new Access(attachment.space, unmapped);
		this.accesses.set(attachment, (this.accesses.get(attachment) ?? new Set()).add(access));
		return access;
	}

	/**
	 * A device asks for a page (PRI) and waits: the answer shows in `state`. It comes from the kernel, from `fault_respond` of
	 * a 2021 door, or from the fault file of an iommufd table. @throws CoreError NoSpace
	 */
	requestPage(device: Device, pasid: number | null, address: bigint, access: "read" | "write" = "read"): PageRequest {
		return this.pageRequests.request(device, pasid, address, access === "write");
	}

	/** Pages of RAM that are handed out. */
	get framesUsed(): number {
		return this.frames?.used ?? 0;
	}

	/** Pages of RAM that are pinned, by anybody. */
	get framesPinned(): number {
		return this.frames?.pinned ?? 0;
	}
}
