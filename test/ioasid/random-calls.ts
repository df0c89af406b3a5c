/** Random calls at all doors, each followed by the plain model; what must hold is checked after each. */
import fc from "fast-check";
import { expect } from "vitest";
import { GuestPasidTable, GuestTable } from "../../ts/cli/conformance/ioasid/guest.ts";
import { type Device, type DeviceCapabilities, type DeviceDriver, type Group, Machine, type PageRequest, type Process } from "../../ts/core/index.ts";
import { drivers } from "../../ts/driver/index.ts";
import { createUnits, userFormats } from "../../ts/iommu/index.ts";
import { DoorError, type IoasidFile, IoasidV1, IommuV2, KvmVm, VfioContainer } from "../../ts/uapi/index.ts";
import { GUEST, type PlainAttachment, PlainModel, PlainSpace } from "./plain-model.ts";

const RAM = { start: 1n << 32n, size: 1n << 34n };
const BASE = GUEST;
const PAGES = 64;
const PAGE = 4096n;
/** pages of guest memory that hold tables: roots, each with its pool; the last has another unit's format */
const TABLES = [32n, 40n, 52n];
/** page of the guest's PASID table, and its entries */
const PASIDS = 48n;
const ENTRIES = 16;

export const OPS = ["alloc", "free", "bind", "attach", "detach", "map", "unmap", "close_device", "close_file", "guest", "pasids", "window", "register", "dirty", "kvm", "enqcmd", "container", "scene", "dma", "page"] as const;
/** Which call, and numbers that choose its objects. */
export type Op = { op: (typeof OPS)[number]; a: number; b: number; c: number; d: number };

const WEIGHTS: Record<Op["op"], number> = { alloc: 8, free: 3, bind: 8, attach: 18, detach: 8, map: 16, unmap: 8, close_device: 1, close_file: 1, guest: 10, pasids: 4, window: 6, register: 2, dirty: 12, kvm: 4, enqcmd: 3, container: 5, scene: 10, dma: 10, page: 6 };
const small = fc.nat({ max: 255 });
export const operation: fc.Arbitrary<Op> = fc.record({ op: fc.oneof(...OPS.map((op) => ({ weight: WEIGHTS[op], arbitrary: fc.constant(op) }))), a: small, b: small, c: small, d: small });

interface Door {
	file: IoasidFile;
	spaces: Map<number, PlainSpace>;
	closed: boolean;
}

interface Actor {
	device: Device;
	driver: DeviceDriver;
	door: Door | null;
}

const FOREIGN = { vtd: "riscv", riscv: "vtd", smmuv3: "amdvi", amdvi: "smmuv3" } as const;
const POLICY = { dirtyTracking: true, addressRouted: true };

export class Walk {
	readonly machine: Machine;
	readonly model = new PlainModel();
	readonly actors = new Map<string, Actor>();
	readonly groups: Array<Group<Device>> = [];
	readonly contained = new Map<Group<Device>, Door>();
	readonly processes: Process[];
	readonly doors: Door[];
	readonly graveyard: Door[] = [];
	readonly tables: GuestTable[];
	/** the guest's PASID table and what is in it; Intel's are the host's */
	readonly pasidTable: GuestPasidTable | null;
	readonly roots = new Map<number, bigint>();
	readonly registered: Array<{ door: Door; process: Process; first: bigint; size: bigint }> = [];
	readonly vm: KvmVm;
	readonly entries = new Map<number, PlainSpace>();
	readonly taken = new Map<string, number>();
	/** page requests that nobody has answered */
	readonly requests: Array<{ request: PageRequest; route: unknown }> = [];
	private readonly base: number;
	private tablesMade = 0;
	private seed = 1;

	constructor(readonly kind: "vtd" | "smmuv3" | "amdvi" | "riscv" | "ppc") {
		// PAPR's has no PASIDs and no user tables
		const own = kind === "ppc" ? "vtd" : kind;
		const capabilities = kind === "ppc" ? {} : { addressBits: 48, pageSizes: 0x40201000n, reserved: [{ first: 0xfee0_0000n, last: 0xfeef_ffffn }], pasidBits: 20, enforcesSnoop: true, nesting: "hw" as const, maxDepth: 3, pasidTables: kind !== "vtd", dirty: true };
		const { engine, units } = createUnits([{ name: "strong", kind, ...capabilities }, { name: "weak", kind, ...capabilities, enforcesSnoop: false }, { name: "soft", kind, ...capabilities, nesting: "sw", maxDepth: 4 }], { memory: [{ kind: "sparse", ...RAM }], sparsePages: 2048, tables: { frames: 2048, count: 256 } });
		this.machine = new Machine(engine, units, RAM);
		this.machine.tableReader = userFormats;
		this.processes = [0, 1].map((i) => {
			const process = this.machine.createProcess(`process ${i}`);
			process.map(BASE, BigInt(PAGES) * PAGE);
			return process;
		});
		const group = (name: string) => {
			const made = this.machine.createGroup(name);
			this.groups.push(made);
			return made;
		};
		let rid = 8;
		const add = (name: string, driver: keyof typeof drivers, unit: number, in_: Group<Device>, caps: Partial<DeviceCapabilities> = {}, parent?: Device) => {
			const device = this.machine.addDevice({ name, rid: rid++, unit, driver: drivers[driver], group: in_, capabilities: caps, ...(parent === undefined ? {} : { parent }) });
			this.actors.set(name, { device, driver: drivers[driver], door: null });
			return device;
		};
		const pair = group("pair");
		add("f0", "vfio-pci", 0, pair, { pasid: true, delegated: true, ats: true });
		add("f1", "vfio-pci", 0, pair);
		add("f2", "vfio-pci", 0, group("f2"), { pasid: true, dmwr: true, delegated: true, pri: true });
		add("f3", "vfio-pci", 1, group("f3"), { pasid: true, noSnoop: true });
		add("f4", "vfio-pci", 2, group("f4"), { pasid: true, ats: true });
		add("v0", "vfio-pci", 0, group("v0"), { pasid: true, virtualTable: true });
		const host = add("host", "kernel", 0, group("host"));
		add("m0", "mdev-pasid", 0, group("m0"), { pasid: true }, host);
		add("m1", "mdev-pasid", 0, group("m1"), { pasid: true, dmwr: true }, host);
		const host2 = add("host2", "kernel", 0, group("host2"));
		add("m2", "mdev-pasid", 0, group("m2"), { pasid: true, dmwr: true, pri: true }, host2);
		add("s0", "mdev-sw", 0, group("s0"), {}, host);
		this.doors = [this.open(0), this.open(1), this.open(2), this.open(3)];
		const [owner] = this.processes;
		this.tables = TABLES.map((page, i) => new GuestTable(owner, i === 2 ? FOREIGN[own] : own, BASE, page * PAGE, (page + 1n) * PAGE, 48));
		this.pasidTable = own === "vtd" ? null : new GuestPasidTable(owner, own, BASE, PASIDS * PAGE, ENTRIES);
		this.vm = new KvmVm(this.machine);
		for (const name of ["f2", "m1", "m2"]) this.vm.assign(this.device(name), this.doors[0].file.context.policy);
		this.base = engine.framesUsed;
		for (const unit of units) {
			const { createTable, destroyTable } = unit;
			unit.createTable = (content, attributes) => {
				const table = createTable.call(unit, content, attributes);
				this.tablesMade++;
				return table;
			};
			unit.destroyTable = (table) => {
				this.tablesMade--;
				destroyTable.call(unit, table);
			};
		}
	}

	private open(which: number): Door {
		const file = which === 2 ? new IoasidV1(this.machine, POLICY) : which === 3 ? new VfioContainer(this.machine) : new IommuV2(this.machine, POLICY);
		return { file, spaces: new Map(), closed: false };
	}

	private device(name: string): Device {
		return this.actor(name).device;
	}

	private actor(name: string): Actor {
		const found = this.actors.get(name);
		if (found === undefined) throw new Error(name);
		return found;
	}

	private pick<T>(list: readonly T[], n: number): T | undefined {
		return list.length === 0 ? undefined : list[n % list.length];
	}

	private next(n: number): number {
		this.seed = (Math.imul(this.seed, 1664525) + 1013904223) >>> 0;
		return (this.seed >>> 8) % n;
	}

	/** The file that has a device: by bind, or as a container. */
	private holder(name: string): Door | null {
		return this.actor(name).door ?? this.contained.get(this.device(name).group) ?? null;
	}

	/** Name of the slot that a device's requests use. */
	private slotOf(name: string, vpasid: number | null): string | null {
		const { device, driver } = this.actor(name);
		if (driver.software) return null;
		if (device.isPart) return `${name}:${vpasid ?? "default"}`;
		return vpasid === null ? `group ${device.group.name}` : `${name}:${vpasid}`;
	}

	// ---- calls

	/** @returns whether the product took the call */
	step({ op, a, b, c, d }: Op): boolean {
		try {
			const done = this[op](a, b, c, d);
			if (done) this.taken.set(op, (this.taken.get(op) ?? 0) + 1);
			return done;
		} catch (error) {
			if (error instanceof DoorError) return false;
			throw error;
		}
	}

	private door(n: number): Door {
		return this.doors[n % this.doors.length];
	}

	private space(door: Door, n: number): [number, PlainSpace] | undefined {
		return this.pick([...door.spaces], n);
	}

	private alloc(a: number, b: number, c: number, d: number): boolean {
		const door = this.door(a);
		const { file } = door;
		const parent = b % 3 === 0 ? undefined : this.space(door, b);
		if (file instanceof IoasidV1) {
			const number = parent === undefined ? file.alloc() : file.createNesting(parent[0]);
			door.spaces.set(number, new PlainSpace("kernel", parent?.[1] ?? null));
			return true;
		}
		if (!(file instanceof IommuV2)) return false;
		return this.make(door, parent, this.processes[0], c, d);
	}

	/** A space of some kind at the v2 door. */
	private make(door: Door, parent: [number, PlainSpace] | undefined, owner: Process, c: number, d: number): boolean {
		const file = door.file as IommuV2;
		const above = parent === undefined ? {} : { parent: parent[0] };
		if (d % 6 === 0 && this.pasidTable !== null) {
			const { format, address } = this.pasidTable;
			const number = file.alloc(owner, { kind: "user", ...above, userPasidTable: { format, addr: address, size: ENTRIES } });
			door.spaces.set(number, new PlainSpace("pasid-table", parent?.[1] ?? null, null, { at: address, roots: this.roots, entryBytes: { smmuv3: 64n, riscv: 16n, amdvi: 8n }[this.pasidTable.format], format }));
			return true;
		}
		const kind = (["kernel", "kernel", "kernel", "user", "user", "identity", "dummy"] as const)[c % 7];
		const { root, format } = this.tables[d % TABLES.length];
		const windows = kind === "kernel" && d % 5 === 0;
		const number = file.alloc(owner, { kind, ...above, ...(windows ? { windows } : {}), ...(kind === "user" ? { userPgtable: { format, addr: root } } : {}) });
		const space = new PlainSpace(kind, parent?.[1] ?? null, kind === "user" ? { format, root } : null);
		if (windows) space.windows = [];
		door.spaces.set(number, space);
		return true;
	}

	/** What guests with their own tables look like: all of memory, a space in it, a device there. */
	private scene(a: number, b: number, c: number, d: number): boolean {
		const index = a % 3;
		const door = this.doors[index];
		const [owner] = this.processes;
		const root = door.file instanceof IoasidV1 ? door.file.alloc() : (door.file as IommuV2).alloc(owner);
		const memory = new PlainSpace("kernel", null);
		door.spaces.set(root, memory);
		const registered = this.registered.some((one) => one.door === door);
		if (registered) return true;
		door.file.map(owner, root, { iova: 0n, vaddr: BASE, size: BigInt(PAGES) * PAGE });
		memory.maps.push({ iova: 0n, size: BigInt(PAGES) * PAGE, to: BASE, process: owner, read: true, write: true });
		const names = [...this.actors.keys()];
		const own = names.filter((one) => this.holder(one) === door);
		const suited = d % 6 === 0 && this.pasidTable !== null ? ["f0", "f2"] : own.length > 0 && b % 2 === 0 ? own : names;
		const name = this.pick(suited, b >> 1) as string;
		if (this.holder(name) === null) this.step({ op: "bind", a: index, b: names.indexOf(name), c: 0, d: 0 });
		if (d % 5 === 1 && door.file instanceof IommuV2) return this.beside(name, door, root, memory, c);
		if (c % 4 !== 0) {
			if (door.file instanceof IoasidV1) door.spaces.set(door.file.createNesting(root), new PlainSpace("kernel", memory));
			else if (!this.make(door, [root, memory], owner, c, d)) return true;
		}
		return this.attachTo(name, door, door.spaces.size - 1, d, c);
	}

	/** Two spaces, each with a window, that share a RID. */
	private beside(name: string, door: Door, root: number, memory: PlainSpace, c: number): boolean {
		const file = door.file as IommuV2;
		const [owner] = this.processes;
		for (const i of [0n, 1n]) {
			const below = c % 2 === 0;
			const number = file.alloc(owner, { windows: true, ...(below ? { parent: root } : {}) });
			const space = new PlainSpace("kernel", below ? memory : null);
			door.spaces.set(number, space);
			const window = { first: ((BigInt(c) % 3n) * 16n + i * 8n) * PAGE, size: 8n * PAGE };
			file.windowCreate(number, window.size, PAGE, window.first);
			space.windows = [window];
			const map = { iova: window.first + i * PAGE, size: 4n * PAGE, to: (below ? 0n : BASE) + BigInt(c % 48) * PAGE, process: below ? null : owner, read: true, write: c % 5 !== 0 };
			file.map(owner, number, { iova: map.iova, vaddr: map.to, size: map.size, write: map.write });
			space.maps.push(map);
			if (!this.attachTo(name, door, door.spaces.size - 1, 1, 1)) return false;
		}
		return true;
	}

	private free(a: number, b: number): boolean {
		const door = this.door(a);
		const found = this.space(door, b);
		if (found === undefined) return false;
		const [number, space] = found;
		door.file.free(number);
		expect(this.model.attachments.some((one) => one.space === space)).toBe(false);
		expect([...door.spaces.values()].some(({ parent }) => parent === space)).toBe(false);
		door.spaces.delete(number);
		return true;
	}

	private bind(a: number, b: number): boolean {
		const door = this.door(a);
		const name = this.pick([...this.actors.keys()], b) as string;
		const actor = this.actor(name);
		door.file.bind(actor.device, BigInt(b));
		expect(this.holder(name) === null).toBe(true);
		expect(actor.driver.ownership).toBe("user");
		for (const member of actor.device.group.members) {
			const other = this.actor(member.name).door;
			expect(other === null || other === door).toBe(true);
		}
		actor.door = door;
		return true;
	}

	private note(name: string, space: PlainSpace, vpasid: number | null, holds = true): void {
		const slot = this.slotOf(name, vpasid);
		if (slot !== null) {
			const there = this.model.attachments.filter((one) => one.slot === slot);
			// a member of the group joins what is installed, whatever lies under it
			const joins = there.some((one) => one.space === space && one.device !== name);
			if (joins && there.some((one) => one.space.windows === null)) expect(this.model.installed(slot, 0n)).toBe(space);
			else for (const other of there) {
				// one space in a slot, a parent and its child for one device, or spaces whose windows lie apart
				const apart = space.windows?.every((one) => other.space.windows?.every((two) => one.first >= two.first + two.size || two.first >= one.first + one.size)) ?? false;
				const stacked = other.device === name && (space.isBelow(other.space) || other.space.isBelow(space));
				expect(other.space === space ? other.device !== name : stacked || (apart && other.space.windows !== null), `${name} by ${space.kind} beside ${other.device} by ${other.space.kind}`).toBe(true);
			}
		}
		this.model.attachments.push({ device: name, space, vpasid, slot, holds });
	}

	private attach(a: number, b: number, c: number, d: number): boolean {
		const names = [...this.actors.keys()];
		const bound = names.filter((one) => this.holder(one) !== null);
		const name = this.pick(a % 8 === 0 || bound.length === 0 ? names : bound, a >> 3) as string;
		return this.attachTo(name, this.holder(name) ?? this.door(b), b, c, d);
	}

	private attachTo(name: string, door: Door, b: number, c: number, d: number): boolean {
		const found = this.space(door, b);
		if (found === undefined) return false;
		const [number, space] = found;
		const vpasid = c % 3 === 0 ? 1 + (d % 3) : null;
		const noAutoPin = d % 5 === 0;
		door.file.attach(this.device(name), number, { ...(vpasid === null ? {} : { vpasid }), ...(noAutoPin ? { noAutoPin } : {}) });
		expect(space.kind).not.toBe("dummy");
		expect(this.holder(name) === door).toBe(true);
		this.note(name, space, vpasid, !(noAutoPin && this.actor(name).driver.software));
		return true;
	}

	private forget(gone: (attachment: PlainAttachment) => boolean): void {
		this.model.attachments = this.model.attachments.filter((one) => !gone(one));
		for (const [vpasid, space] of this.entries) {
			if (!this.model.attachments.some((one) => one.space === space && one.vpasid === vpasid && ["m1", "m2"].includes(one.device))) this.entries.delete(vpasid);
		}
	}

	private detach(a: number): boolean {
		const one = this.pick(this.model.attachments, a);
		if (one === undefined) return false;
		const door = this.doors.find(({ spaces }) => [...spaces.values()].includes(one.space));
		const number = [...(door?.spaces ?? [])].find(([, space]) => space === one.space)?.[0];
		if (door === undefined || number === undefined || this.holder(one.device) !== door) return false;
		door.file.detach(this.device(one.device), number, one.vpasid === null ? {} : { vpasid: one.vpasid });
		expect(one.slot !== null && this.model.attachments.some((other) => other.device === one.device && other.slot === one.slot && other.space.isBelow(one.space))).toBe(false);
		this.forget((other) => other === one);
		return true;
	}

	private map(a: number, b: number, c: number, d: number): boolean {
		const door = this.door(a);
		const found = this.pick([...door.spaces].filter(([, { kind }]) => a % 8 === 0 || kind === "kernel" || kind === "dummy"), b);
		if (found === undefined) return false;
		const [number, space] = found;
		const process = this.processes[a % 3 === 0 ? 1 : 0];
		// often all of guest memory where guests have it, so that tables are there
		const whole = d % 4 === 0;
		const size = whole ? BigInt(PAGES) * PAGE : PAGE << BigInt(d % 4);
		const iova = whole ? 0n : BigInt(c % 48) * PAGE;
		const page = whole ? 0n : BigInt((c + d) % 56) * PAGE;
		const root = space.parent === null;
		const vaddr = root ? BASE + page : space.parent?.kind === "dummy" ? BASE + page : page;
		const at = space.kind === "dummy" ? vaddr : iova;
		const [read, write] = [[true, true], [true, true], [true, false], [false, true]][(c >> 2) % 4];
		door.file.map(process, number, { iova: at, vaddr, size, read, write });
		expect(["kernel", "dummy"]).toContain(space.kind);
		expect(space.maps.some((map) => map.iova < at + size && at < map.iova + map.size)).toBe(false);
		if (space.windows !== null) expect(space.windows.some((window) => at >= window.first && at + size <= window.first + window.size)).toBe(true);
		const registered = root && this.registered.some((one) => one.door === door);
		if (registered) expect(this.registered.some((one) => one.door === door && one.process === process && vaddr >= one.first && vaddr + size <= one.first + one.size)).toBe(true);
		space.maps.push({ iova: at, size, to: vaddr, process: root ? process : null, read, write, registered });
		this.tellBelow(space);
		return true;
	}

	private unmap(a: number, b: number, c: number, d: number): boolean {
		const door = this.door(a);
		const found = this.space(door, b);
		if (found === undefined) return false;
		const [number, space] = found;
		const one = this.pick(space.maps, c);
		const exact = d % 4 !== 0 && one !== undefined;
		const iova = exact ? one.iova : (space.kind === "dummy" ? BASE : 0n) + BigInt(c % 16) * PAGE;
		const size = exact ? one.size : BigInt(1 + (d % 80)) * PAGE;
		const { size: bytes } = door.file.unmap(number, iova, size);
		const going = space.maps.filter((map) => map.iova < iova + size && iova < map.iova + map.size);
		expect(going.every((map) => map.iova >= iova && map.iova + map.size <= iova + size)).toBe(true);
		expect(bytes).toBe(going.reduce((sum, map) => sum + map.size, 0n));
		for (const map of going) space.maps.splice(space.maps.indexOf(map), 1);
		space.forget(iova, size);
		this.tellBelow(space);
		return true;
	}

	private window(a: number, b: number, c: number, d: number): boolean {
		const door = this.door(a);
		const found = this.pick([...door.spaces].filter(([, { windows }]) => windows !== null), b) ?? this.space(door, b);
		if (found === undefined) return false;
		const [number, space] = found;
		const known = this.pick(space.windows ?? [], c);
		if (d % 4 === 0 && known !== undefined) {
			door.file.windowRemove(number, known.first);
			space.windows?.splice(space.windows.indexOf(known), 1);
			for (const map of [...space.maps]) if (map.iova >= known.first && map.iova < known.first + known.size) space.maps.splice(space.maps.indexOf(map), 1);
			space.forget(known.first, known.size);
			this.tellBelow(space);
			return true;
		}
		const size = PAGE << BigInt(c % 7);
		const first = door.file.windowCreate(number, size, PAGE, d % 4 === 1 ? undefined : BigInt(d % 64) * PAGE);
		expect(space.windows?.some((window) => window.first < first + size && first < window.first + window.size)).toBe(false);
		space.windows?.push({ first, size });
		return true;
	}

	private register(a: number, b: number, c: number, d: number): boolean {
		const door = this.doors[2];
		const file = door.file as IoasidV1;
		const known = this.pick(this.registered.filter((one) => one.door === door), c);
		if (d % 2 === 0 && known !== undefined) {
			file.unregisterMemory(known.process, known.first, known.size);
			this.registered.splice(this.registered.indexOf(known), 1);
			if (!this.registered.some((one) => one.door === door)) for (const space of door.spaces.values()) for (const map of space.maps) map.registered = false;
			return true;
		}
		const process = this.processes[a % 2];
		const first = BASE + BigInt(b % 4) * 16n * PAGE;
		const size = PAGE << BigInt(4 + (c % 3));
		file.registerMemory(process, first, size);
		// maps of this file that were there are paid with it
		for (const space of door.spaces.values()) if (space.parent === null) for (const map of space.maps) map.registered = true;
		this.registered.push({ door, process, first, size });
		return true;
	}

	private dirty(a: number, b: number, c: number): boolean {
		const door = this.door(a);
		const tracked = [...door.spaces].filter(([, { written }]) => written !== null);
		const routed = [...door.spaces].filter(([, space]) => this.model.attachments.some((one) => one.space === space || one.space.isBelow(space)));
		const found = this.pick(c % 5 > 0 && tracked.length > 0 ? tracked : routed, b) ?? this.space(door, b);
		if (found === undefined) return false;
		const [number, space] = found;
		if (c % 5 === 0) {
			door.file.dirtyStart(number);
			space.written = new Set();
			space.suspects.clear();
			return true;
		}
		if (c % 5 === 1) {
			door.file.dirtyStop(number);
			space.written = null;
			return true;
		}
		const from = (space.kind === "dummy" ? BASE : 0n) + (c % 5 === 2 ? BigInt(c % 40) * PAGE : 0n);
		const size = c % 5 === 2 ? 16n * PAGE : 128n * PAGE;
		const expected = [...(space.written ?? [])].filter((page) => page >= from && page < from + size).map((page) => Number((page - from) / PAGE));
		const suspected = (bit: number) => space.suspects.has(from + BigInt(bit) * PAGE) && !expected.includes(bit);
		const bits = door.file.dirtyGet(number, from, size, PAGE).filter((bit) => !suspected(bit));
		expect(bits, `written pages of ${number}`).toEqual(expected.sort((x, y) => x - y));
		space.forget(from, size);
		return true;
	}

	private pasids(a: number, b: number): boolean {
		if (this.pasidTable === null) return a % 2 === 0;
		const pasid = 1 + (b % 3);
		const table = this.tables[a % 2];
		if (a % 5 === 0) {
			this.pasidTable.clear(pasid);
			this.roots.delete(pasid);
		} else {
			this.pasidTable.write(pasid, table);
			this.roots.set(pasid, table.root);
		}
		this.tellGuests(({ pasids }) => pasids !== null, (file, number) => {
			file.invalidate(number, { cache: "pasid" });
			this.invalidate(file, number);
		});
		return true;
	}

	/** Tables of guests may lie in what has changed. */
	private tellBelow(space: PlainSpace): void {
		this.tellGuests(
			(other) => other.table !== null && other.isBelow(space),
			(file, number) => this.invalidate(file, number),
		);
	}

	private invalidate(file: IommuV2, number: number, range?: { first: bigint; size: bigint }): void {
		for (const cache of ["iotlb", "devtlb"] as const) file.invalidate(number, { cache, ...(range === undefined ? {} : { range }) });
	}

	/** Guests invalidate. Closed files take no calls: their stale answers are legal, so their routes go. */
	private tellGuests(uses: (space: PlainSpace) => boolean, tell: (file: IommuV2, number: number) => void): void {
		for (const door of [...this.doors, ...this.graveyard]) {
			for (const [number, space] of door.spaces) {
				if (!uses(space)) continue;
				if (door.closed) for (const name of new Set(this.model.attachments.filter((one) => one.space === space).map(({ device }) => device))) this.closeActor(name);
				else if (door.file instanceof IommuV2) tell(door.file, number);
			}
		}
	}

	private closeActor(name: string): void {
		const actor = this.actor(name);
		const { device } = actor;
		if (actor.door === null) return;
		this.machine.release(device);
		actor.door = null;
		this.forget((one) => one.device === name);
	}

	private close_device(a: number): boolean {
		const name = this.pick([...this.actors.keys()], a) as string;
		if (this.actor(name).door === null) return false;
		this.closeActor(name);
		return true;
	}

	/** Its devices' routes live on until they are closed; a new file takes its place. */
	private close_file(a: number): boolean {
		const index = a % this.doors.length;
		const door = this.doors[index];
		door.file.close();
		door.closed = true;
		for (const [group, holder] of [...this.contained]) if (holder === door) this.leave(group);
		this.graveyard.push(door);
		this.doors[index] = this.open(index);
		return true;
	}

	private guest(a: number, b: number, c: number): boolean {
		const table = this.tables[a % this.tables.length];
		const va = BigInt(b % 12) * PAGE;
		if (c % 4 === 0) table.clear(va);
		else table.write(va, BigInt(c % 72) * PAGE, 1, true, c % 3 !== 0);
		this.tellGuests(({ table: own }) => own?.root === table.root, (file, number) => this.invalidate(file, number, { first: va, size: PAGE }));
		this.tellGuests(({ pasids }) => pasids !== null, (file, number) => this.invalidate(file, number));
		return true;
	}

	private kvm(a: number, b: number, c: number): boolean {
		const vpasid = 1 + (b % 3);
		if (a % 4 === 0) {
			const on = b % 4 !== 0;
			this.vm.setTranslation(on, this.doors[0].file.context.policy);
			if (!on) this.entries.clear();
			return true;
		}
		if (a % 4 === 1) {
			this.vm.unmapIoasid(vpasid);
			expect(this.entries.delete(vpasid)).toBe(true);
			return true;
		}
		const door = this.door(a >> 2);
		const found = this.space(door, c);
		if (found === undefined) return false;
		this.vm.mapIoasid(vpasid, door.file, found[0]);
		expect(this.vm.translates).toBe(true);
		expect(this.model.attachments.some((one) => one.space === found[1] && one.vpasid === vpasid && ["m1", "m2"].includes(one.device))).toBe(true);
		this.entries.set(vpasid, found[1]);
		return true;
	}

	private enqcmd(a: number, b: number, c: number): boolean {
		const name = ["m1", "m2", "f2"][a % 3];
		const vpasid = 1 + (b % 3);
		const result = this.vm.enqcmd(this.device(name), vpasid);
		if (!this.vm.translates) {
			expect(result).toEqual(name === "f2" ? { pasid: vpasid } : { refused: "portal" });
			return true;
		}
		const space = this.entries.get(vpasid);
		if (space === undefined) {
			expect(result).toEqual({ refused: "translation" });
			return true;
		}
		// what the CPU names is led to the space of the entry on devices that have it there, and nowhere on others
		if ("refused" in result) throw new Error("an entry that is there was refused");
		if (name === "f2" && this.model.installed("group f2", 0n)?.kind === "pasid-table") return true;
		const has = this.model.attachments.some((one) => one.device === name && one.space === space && one.vpasid === vpasid);
		this.compare(name, result.pasid, has && name !== "f2" ? space : null, BigInt(c % 64) * PAGE, false, "enqcmd");
		return true;
	}

	private leave(group: Group<Device>): void {
		this.contained.delete(group);
		for (const { name } of group.members) this.forget((one) => one.device === name);
	}

	private container(a: number, b: number, c: number, d: number): boolean {
		const door = this.doors[3];
		const file = door.file as VfioContainer;
		const group = this.pick(this.groups, b) as Group<Device>;
		if (a % 8 < 4) {
			file.setContainer(group);
			expect([...group.members].every(({ name }) => this.actor(name).door === null)).toBe(true);
			this.contained.set(group, door);
			this.follow(door, [group]);
			return true;
		}
		if (a % 8 === 4) {
			const held = this.pick([...this.contained.keys()], b);
			if (held === undefined) return false;
			file.unsetContainer(held);
			this.leave(held);
			// with the last group, the hidden space and all below it are gone
			for (const number of [...door.spaces.keys()]) if (this.contained.size === 0 && !this.exists(door, number)) door.spaces.delete(number);
			return true;
		}
		if (a % 8 === 5) {
			file.setIommu(b % 2 === 0 ? "type1" : "type1v2");
			door.spaces.set(file.vfioIoasid("get"), new PlainSpace("kernel", null));
			this.follow(door, [...this.contained.keys()]);
			return true;
		}
		const hidden = file.vfioIoasid("get");
		const space = door.spaces.get(hidden) as PlainSpace;
		const iova = BigInt(c % 48) * PAGE;
		if (a % 8 === 6) {
			file.vfioMap(this.processes[0], iova, BASE + iova, PAGE << BigInt(d % 3), { read: true, write: true });
			space.maps.push({ iova, size: PAGE << BigInt(d % 3), to: BASE + iova, process: this.processes[0], read: true, write: true });
			this.tellBelow(space);
			return true;
		}
		const size = PAGE << BigInt(d % 4);
		const bytes = file.vfioUnmap(iova, size);
		space.forget(iova, size);
		// type1 cuts: take the pages out one by one
		let went = 0n;
		for (const map of [...space.maps]) {
			const from = map.iova > iova ? map.iova : iova;
			const to = map.iova + map.size < iova + size ? map.iova + map.size : iova + size;
			if (from >= to) continue;
			went += to - from;
			space.maps.splice(space.maps.indexOf(map), 1);
			if (map.iova < from) space.maps.push({ ...map, size: from - map.iova });
			if (map.iova + map.size > to) space.maps.push({ ...map, iova: to, to: map.to + (to - map.iova), size: map.iova + map.size - to });
		}
		expect(bytes).toBe(went);
		this.tellBelow(space);
		return true;
	}

	private exists(door: Door, number: number): boolean {
		try {
			door.file.spaceOf(number);
			return true;
		} catch {
			return false;
		}
	}

	/** Members that a set-up container attached. */
	private follow(door: Door, groups: Iterable<Group<Device>>): void {
		const file = door.file as VfioContainer;
		if (file.hiddenCount === 0) return;
		const space = door.spaces.get(this.hiddenOf(file)) as PlainSpace;
		for (const group of groups) for (const { name } of group.members) if (this.actor(name).driver.ownership === "user") this.note(name, space, null, !this.actor(name).driver.software);
	}

	private hiddenOf(file: VfioContainer): number {
		return file.vfioIoasid("get");
	}

	/** Writes of one device, where it has something mapped more often than not. */
	private dma(a: number, b: number, c: number, d: number): boolean {
		const one = this.pick(this.model.attachments, a);
		const name = a % 4 === 0 || one === undefined ? (this.pick([...this.actors.keys()], a) as string) : one.device;
		const vpasid = b % 4 === 0 ? 1 + (c % 3) : (one?.vpasid ?? null);
		for (let i = 0; i < 4; i++) this.probe(name, vpasid, BigInt((c + i * d) % (b % 2 === 0 ? 12 : 48)) * PAGE + 8n * BigInt(b), true);
		return true;
	}

	/** A device asks for a page; users answer some. */
	private page(a: number, b: number, c: number, d: number): boolean {
		const waiting = this.pick(this.requests, a);
		if (c % 3 === 0 && waiting !== undefined) {
			const { request } = waiting;
			const door = this.doors.find(({ file }) => file.numberOf(request.event.space) !== null);
			if (door === undefined) return false;
			const code = d % 2 === 0 ? "success" : "invalid";
			const oldest = this.requests.find(({ request: { event } }) => event.space === request.event.space && event.address === request.event.address);
			door.file.respond(door.file.numberOf(request.event.space) as number, request.event.address, code);
			expect(oldest?.request.state).toBe(code);
			this.requests.splice(this.requests.indexOf(oldest as (typeof this.requests)[number]), 1);
			return true;
		}
		const one = this.pick(this.model.attachments, a);
		if (one === undefined) return false;
		const { device, driver } = this.actor(one.device);
		const vpasid = b % 4 === 0 ? 1 + (c % 3) : one.vpasid;
		const slot = this.slotOf(one.device, vpasid);
		const whole = device.isPart || vpasid === null ? null : this.model.installed(`group ${device.group.name}`, 0n);
		const address = BigInt((c + d) % 16) * PAGE;
		const space = slot === null ? null : whole?.kind === "pasid-table" ? whole.under(vpasid as number) : this.model.installed(slot, address);
		const pasid = vpasid === null ? (driver.defaultPasid?.(device) ?? null) : (this.machine.routes.attachmentsOf(device).find((route) => route.vpasid === vpasid)?.pasid ?? vpasid);
		if (slot === null || space === undefined) return false;
		const write = d % 2 === 0;
		const request = this.machine.requestPage(device, pasid, address, write ? "write" : "read");
		const routed = whole?.kind === "pasid-table" || this.model.attachments.some((other) => other.slot === slot);
		const allowed = space?.reach(address, write) ?? null;
		if (write && allowed !== null) space?.mark(address);
		else if (write && this.kind === "riscv" && device.capabilities.ats) space?.suspect(address);
		expect(request.state, `page request of ${one.device} pasid ${pasid} at 0x${address.toString(16)}`).toBe(allowed !== null ? "success" : routed ? "pending" : "invalid");
		if (request.state === "pending") this.requests.push({ request, route: this.routeOf(request) });
		return true;
	}

	/** The attachment that a request waits with: it goes with the last one of its space and number. */
	private routeOf({ event }: PageRequest): unknown {
		return this.machine.routes.attachmentsOf(event.device).find((route) => route.space === event.space && route.vpasid === event.vpasid);
	}

	// ---- what must hold

	private compare(name: string, pasid: number | null, space: PlainSpace | null, address: bigint, write: boolean, what: string): void {
		const { device } = this.actor(name);
		const result = this.machine.dma(device, pasid, address, write ? "write" : "read");
		const allowed = space?.reach(address, write) ?? null;
		const where = `${what}: ${name} pasid ${pasid} ${write ? "writes" : "reads"} 0x${address.toString(16)}`;
		if (allowed === null) {
			expect(result.kind, where).toBe("fault");
			// a translation request that may write dirties the second stage whatever the first allows, as in RISC-V's reference model
			if (write && this.kind === "riscv" && device.capabilities.ats) space?.suspect(address);
			return;
		}
		expect(result.kind, where).toBe("memory");
		if (result.kind !== "memory") return;
		if (write) space?.mark(address);
		const owned = this.machine.ownerOf(result.physical);
		expect(owned?.run.owner === allowed.process && owned.address === allowed.address, `${where}: 0x${owned?.address.toString(16)} instead of 0x${allowed.address.toString(16)}`).toBe(true);
	}

	private probe(name: string, vpasid: number | null, address: bigint, write: boolean): void {
		const { device, driver } = this.actor(name);
		const slot = this.slotOf(name, vpasid);
		if (slot === null) return;
		const space = this.model.installed(slot, address);
		const whole = device.isPart || vpasid === null ? null : this.model.installed(`group ${device.group.name}`, address);
		if (whole?.kind === "pasid-table") {
			const guest = whole.under(vpasid ?? 0);
			if (guest !== undefined) this.compare(name, vpasid, guest, address, write, "by the guest's PASID table");
			return;
		}
		const route = this.machine.routes.attachmentsOf(device).find((one) => one.vpasid === vpasid && one.pasid !== null);
		if (vpasid !== null || device.isPart) {
			const pasid = route?.pasid ?? (vpasid === null ? driver.defaultPasid?.(device) : device.isPart ? undefined : vpasid);
			if (pasid === undefined || pasid === null) expect(space === null, `${name} has no number for ${vpasid}`).toBe(true);
			else this.compare(name, pasid, space, address, write, "tagged");
			return;
		}
		const owned = [...device.group.members].some((member) => this.actor(member.name).door !== null) || this.contained.has(device.group);
		if (!owned) {
			expect(this.machine.dma(device, null, address).kind, `${name} is the host's`).toBe("host");
			return;
		}
		this.compare(name, null, space, address, write, "untagged");
	}

	check(probes: number): void {
		for (const process of this.processes) {
			let pages = 0;
			for (const { spaces } of [...this.doors, ...this.graveyard]) for (const space of spaces.values()) if (space.parent === null) pages += this.model.charged(space, process);
			for (const one of this.registered) if (one.process === process) pages += Number(one.size / PAGE);
			expect(process.locked, `pages locked by ${process.name}`).toBe(pages);
		}
		for (const [name, { device }] of this.actors) expect(this.machine.routes.attachmentsOf(device).length, `routes of ${name}`).toBe(this.model.attachments.filter((one) => one.device === name).length);
		const names = [...this.actors.keys()];
		for (let i = 0; i < probes; i++) {
			const vpasid = this.next(3) === 0 ? 1 + this.next(3) : null;
			this.probe(names[this.next(names.length)], vpasid, BigInt(this.next(this.next(2) === 0 ? 12 : 60)) * PAGE + BigInt(this.next(4096)), this.next(3) === 0);
		}
	}

	/** Files that are closed and have no device left hold nothing; who waited with a route that ended has an answer. */
	sweep(): void {
		for (const one of [...this.requests]) {
			const ended = one.route !== undefined && this.routeOf(one.request) !== one.route;
			expect(one.request.state).toBe(ended ? "invalid" : one.request.state);
			if (one.request.state === "pending") continue;
			expect(one.request.state).toBe("invalid");
			this.requests.splice(this.requests.indexOf(one), 1);
		}
		for (const door of this.graveyard) {
			if ([...this.actors.values()].some((actor) => actor.door === door)) continue;
			door.spaces.clear();
			for (const one of this.registered.filter((range) => range.door === door)) this.registered.splice(this.registered.indexOf(one), 1);
		}
	}

	finish(): void {
		for (const name of this.actors.keys()) this.closeActor(name);
		for (let i = 0; i < this.doors.length; i++) this.close_file(i);
		for (const door of this.doors) door.file.close();
		for (const process of this.processes) expect(process.locked, "pages stay charged").toBe(0);
		for (const { device } of this.actors.values()) {
			expect(device.requester.installedCount, `routes of ${device.name} stay`).toBe(0);
			if (!device.isPart) expect(this.machine.dma(device, null, 0n).kind).toBe("host");
		}
		for (const { request } of this.requests) expect(request.state, "nobody waits any more").toBe("invalid");
		expect(this.machine.pageRequests.waiting, "page requests that stay").toBe(0);
		expect(this.tablesMade, "tables that stay").toBe(0);
		// root, context and PASID tables of the six RIDs stay once they are made
		expect(this.machine.engine.framesUsed - this.base).toBeLessThan(256);
	}
}
