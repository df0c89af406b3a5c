/** Requirements that no scenario and no other flow touches, and the count of all. */
import { execFileSync } from "node:child_process";
import { describe, expect, it, vi } from "vitest";
import { type Account, Context, type Device, type DeviceDriver, type DmaAnswer, Machine, PageSource, type Process } from "../../ts/core/index.ts";
import { drivers } from "../../ts/driver/index.ts";
import { BounceIommu, createUnits, type UnitDescription, userFormats } from "../../ts/iommu/index.ts";
import { GuestTable } from "../../ts/cli/conformance/ioasid/guest.ts";
import { DoorError, IommuV2 } from "../../ts/uapi/index.ts";
import { ALL, flow, flows, HARDWARE, runFlow } from "./flow.ts";

const RAM = { start: 1n << 32n, size: 1n << 34n };
const UNIT = { name: "mmu", kind: "vtd" as const, addressBits: 48, pageSizes: 0x40201000n, reserved: [{ first: 0xfee0_0000n, last: 0xfeef_ffffn }], pasidBits: 20, enforcesSnoop: true, nesting: "hw" as const, maxDepth: 2, pasidTables: false, dirty: true } satisfies UnitDescription;

function world(units: UnitDescription[] = [UNIT]): { machine: Machine; process: Process } {
	const { engine, units: made } = createUnits(units, { memory: [{ kind: "sparse", ...RAM }], sparsePages: 512, tables: { frames: 1024, count: 64 } });
	const machine = new Machine(engine, made, RAM);
	machine.tableReader = userFormats;
	const process = machine.createProcess("main");
	process.map(0x4000_0000n, 0x100_0000n);
	return { machine, process };
}

const V2 = (kind = "vtd", more = "") => `
	mmu = iommu ${kind} ${more}
	ram = mem 0x40000000 0x40000000
	fd = open iommu
`;

describe("drivers choose, and users bring their own", () => {
	it("BM12 a user's own IOMMU driver bounces every page behind the same interface", () => {
		/** A page that is reached goes through a copy in low memory. */
		class Swiotlb extends BounceIommu {
			bounced = 0;
			override translate(rid: number, pasid: number | null, address: bigint, access: "read" | "write"): DmaAnswer {
				const answer = super.translate(rid, pasid, address, access);
				if (!answer.ok) return answer;
				this.bounced++;
				engine.memory.writeBytes(LOW, engine.memory.read(answer.physical & ~0xfffn, 4096));
				return { ...answer, physical: LOW | (answer.physical & 0xfffn) };
			}
		}
		const LOW = RAM.start + RAM.size - 4096n;
		const { engine } = createUnits([], { memory: [{ kind: "sparse", ...RAM }], sparsePages: 64 });
		const { name: _name, kind: _kind, ...capabilities } = UNIT;
		const iommu = new Swiotlb("bounce", { ...capabilities, format: "none" }, { reader: userFormats, read64: (at) => engine.memory.read64(at) });
		const machine = new Machine(engine, [iommu], { ...RAM, size: RAM.size - 4096n });
		const process = machine.createProcess("main");
		process.map(0x4000_0000n, 0x1000n);
		process.write(0x4000_0010n, Uint8Array.of(7));
		const device = machine.addDevice({ rid: 8, driver: drivers["vfio-pci"] });
		const fd = new IommuV2(machine);
		fd.bind(device);
		const ioasid = fd.alloc(process);
		fd.map(process, ioasid, { iova: 0n, vaddr: 0x4000_0000n, size: 0x1000n });
		fd.attach(device, ioasid);
		const result = machine.dma(device, null, 0x10n);
		expect(result).toMatchObject({ kind: "memory", physical: LOW | 0x10n });
		expect(engine.memory.read(LOW | 0x10n, 1)[0]).toBe(7);
		expect(machine.dma(device, null, 0x1000n).kind).toBe("fault");
		expect(iommu.bounced).toBe(1);
	});

	it("WHO1 WHO6 PV11 a registered driver picks mode and number: here a global PASID for every attach", () => {
		const { machine, process } = world();
		const own: DeviceDriver = {
			...drivers["vfio-pci"],
			name: "own",
			attach: (device, space, request, routes) => routes.attachPasid(device, space, { ...request, vpasid: 1 }, routes.globalPasid(space, 1, device), "rid_pasid_global"),
		};
		const [one, two] = [8, 16].map((rid) => machine.addDevice({ rid, driver: own, capabilities: { pasid: true } }));
		const fd = new IommuV2(machine);
		const ioasid = fd.alloc(process);
		fd.map(process, ioasid, { iova: 0n, vaddr: 0x4000_0000n, size: 0x1000n });
		const pasids = [one, two].map((device) => {
			fd.bind(device);
			return fd.attach(device, ioasid).attachment.pasid;
		});
		expect(pasids[0]).toBe(pasids[1]);
		expect(machine.dma(one, pasids[0], 0n).kind).toBe("memory");
		expect(machine.dma(one, null, 0n)).toMatchObject({ kind: "fault", fault: "blocked" });
	});

	flow("WHO2 WHO3 MD1 a function may do all of its class; a hint never leads a driver past itself; three kinds of parts", `
		${V2()}
		f = device mmu vfio-pci pasid
		p = device mmu kernel
		s = device mmu mdev-sw parent=p
		q = device mmu mdev-pasid parent=p pasid
		vf = device mmu kernel group=v
		w = device mmu mdev-vf parent=vf
		bind f
		bind s
		bind q
		bind w
		a = ioasid_alloc
		attach f a vpasid=1 mode=rid_pasid_global !error
		attach f a vpasid=1 mode=rid !error
		attach f a
		attach f a vpasid=1
		attach s a mode=rid !error
		attach s a mode=sw
		attach q a mode=rid_pasid
		attach w a mode=rid
	`);
});

describe("groups, files and lifetime", () => {
	flow("GR16 by PASID in a group of several: allowed, as the option has it by default", `
		${V2()}
		a = device mmu vfio-pci group=g pasid
		b = device mmu vfio-pci group=g
		bind a
		x = ioasid_alloc
		attach a x vpasid=1
		slots a => hw:1
	`);
	flows("LT3 LT4 a user's table goes with its IOASID; a device that closes never shows the host's domain before", HARDWARE, (kind) => `
		${V2(kind)}
		d = device mmu vfio-pci group=g
		e = device mmu vfio-pci group=g
		bind d
		bind e
		gpa = ioasid_alloc
		map gpa 0x40000000 0x400000 iova=0
		u = ioasid_alloc kind=user parent=gpa user_pgtable={format:${kind},addr:0x100000}
		attach d gpa
		attach d u
		ioasid_free u !EBUSY
		detach d u
		ioasid_free u
		xlate d 0x1000 => hva:0x40001000
		invalidate u !error
		device_close d
		xlate d 0x1000 => fault:blocked
		slot_history d => default_seen:false
	`);
	flow("FD4 FD5 FD7 FD8 a second root for one RID is refused; an empty file does nothing; one queue for all IOASIDs of a file", `
		${V2()}
		fd2 = open iommu
		d = device mmu vfio-pci pri pasid
		bind d cookie=1
		a = ioasid_alloc
		b = ioasid_alloc
		c = ioasid_alloc
		attach d a
		x = ioasid_alloc fd=fd2
		map x 0x40000000 0x1000 iova=0 fd=fd2
		attach d x fd=fd2 !error
		attach d b !EBUSY
		locked 0
		attach d b vpasid=1
		attach d c vpasid=2
		r0 = page_request d 0x1000
		r1 = page_request d 0x2000 pasid=1
		r2 = page_request d 0x3000 pasid=2
		events => events:[{ioasid:$a,addr:0x1000},{ioasid:$b,addr:0x2000},{ioasid:$c,addr:0x3000}]
		events fd=fd2 => events:[]
	`);
});

describe("memory", () => {
	flow("NS15 windows of devices over one parent", `
		${V2("ppc")}
		d = device mmu vfio-pci
		e = device mmu vfio-pci
		bind d
		bind e
		parent = ioasid_alloc
		map parent 0x40000000 0x100000 iova=0
		x = ioasid_alloc parent=parent windows
		y = ioasid_alloc parent=parent windows
		window_create x 0x10000 0x1000 base=0
		window_create y 0x10000 0x1000 base=0x10000
		attach d x
		attach e y
		map x 0x2000 0x1000 iova=0
		map y 0x2000 0x1000 iova=0x10000
		xlate d 8 => hva:0x40002008
		xlate e 0x10008 => hva:0x40002008
		xlate d 0x10008 => fault:unmapped
		locked 256
	`);
	it("PN8 spaces that share a source pin and charge its pages once", () => {
		const { machine, process } = world();
		const source = new PageSource(process, 0x4000_0000n, 0x4000n, true, process);
		const context = new Context();
		const [a, b] = [machine.createSpace(), machine.createSpace()];
		const devices = [8, 16].map((rid) => machine.addDevice({ rid, driver: drivers["vfio-pci"] }));
		for (const device of devices) machine.bind(context, device, null);
		machine.attach(devices[0], a);
		machine.attach(devices[1], b);
		a.map(0n, 0x4000n, { kind: "memory", source, offset: 0n }, { read: true, write: true });
		// a copy takes what stands behind a map
		const area = a.areaAt(0x1000n);
		b.map(0x8000n, 0x4000n, (area as NonNullable<typeof area>).backing, { read: true, write: true });
		expect(process.locked).toBe(4);
		expect(machine.dma(devices[1], null, 0x9008n)).toEqual(machine.dma(devices[0], null, 0x1008n));
		a.unmap(0n, 0x4000n);
		expect(process.locked).toBe(4);
		b.unmap(0x8000n, 0x4000n);
		expect(process.locked).toBe(0);
	});
	it("PN9 one account for a user's processes, or one for each", () => {
		const { machine, process } = world();
		const other = machine.createProcess("other");
		other.map(0x4000_0000n, 0x4000n);
		let charged = 0;
		const user: Account = {
			charge(pages) {
				charged += pages;
			},
			uncharge(pages) {
				charged -= pages;
			},
		};
		const both = [process, other].map((owner) => new PageSource(owner, 0x4000_0000n, 0x4000n, true, user));
		for (const source of both) source.pin(0n, 0x4000n);
		expect([charged, process.locked, other.locked]).toEqual([8, 0, 0]);
		const single = new PageSource(other, 0x4000_0000n, 0x4000n, true, other);
		single.pin(0n, 0x1000n);
		expect([charged, other.locked]).toEqual([8, 1]);
		for (const source of both) source.unpin(0n, 0x4000n);
		expect(charged).toBe(0);
	});
	flow("PN10 what a table uses is unpinned by nobody else: the process drops its memory, the DMA still lands", `
		${V2()}
		d = device mmu vfio-pci
		bind d
		a = ioasid_alloc
		attach d a
		map a 0x40000000 0x2000 iova=0
		dma_write d 0 0x10 0x5a
		mem_drop 0x40000000 0x2000
		dma_read d 0 0x10 0x5a
		locked 2
		unmap a 0 0x2000
		locked 0
		map a 0x40000000 0x1000 iova=0 !error
	`);
	flow("MP7 MP8 a large leaf is split on the fly for what is taken out of it", `
		${V2()}
		d = device mmu vfio-pci group=g
		c = open vfio
		vfio_set_container g c
		vfio_set_iommu c type1
		vfio_map c 0 0x40000000 0x40000000
		vfio_unmap c 0x200000 0x200000 => size:0x200000
		vfio_unmap c 0x401000 0x1000 => size:0x1000
		xlate d 0x200000 => fault:unmapped
		xlate d 0x401000 => fault:unmapped
		xlate d 0x400ff8 => hva:0x40400ff8
		xlate d 0x3ffffff8 => hva:0x7ffffff8
	`, { uapi: "vfio" });
	flow("MP10 a map lands in every unit, or in none", `
		${V2()}
		narrow = iommu riscv reserved=[[0x100000,0x1fffff]]
		d = device mmu vfio-pci
		e = device narrow vfio-pci
		bind d
		bind e
		a = ioasid_alloc
		attach d a
		attach e a
		map a 0x40000000 0x1000 iova=0x100000 !error
		xlate d 0x100000 => fault:unmapped
		locked 0
		map a 0x40000000 0x1000 iova=0x200000
		xlate d 0x200000 => hva:0x40000000
		xlate e 0x200000 => hva:0x40000000
	`);
	flow("MP14 no moving of mapped memory to other addresses", `
		c = open vfio
		vfio_check_extension c update_vaddr => value:0
	`, { uapi: "vfio" });
});

describe("tables, cookies, invalidation", () => {
	flows("UP8 another unit's table: software merges it, or it is refused at attach", HARDWARE, (kind) => `
		${V2(kind)}
		soft = iommu ${kind} nesting=sw
		d = device mmu vfio-pci
		e = device soft vfio-pci
		bind d
		bind e
		gpa = ioasid_alloc
		map gpa 0x40000000 0x400000 iova=0
		t = pt_new ${kind === "riscv" ? "vtd" : "riscv"} 0x40000000 0x100000 0x110000
		pt_write t 0x2000 0x1000
		u = ioasid_alloc kind=user parent=gpa user_pgtable={format:${kind === "riscv" ? "vtd" : "riscv"},addr:0x100000}
		attach d u !EINVAL
		attach e u
		xlate e 0x2000 => hva:0x40001000
	`);
	it("LT7 LT8 a detach that finds no frames for the parent's table is refused; a close leaves the slot blocked", () => {
		const { machine, process } = world();
		const group = machine.createGroup();
		const [one, two] = [8, 9].map((rid) => machine.addDevice({ rid, group, driver: drivers["vfio-pci"] }));
		const fd = new IommuV2(machine);
		for (const device of [one, two]) fd.bind(device);
		const parent = fd.alloc(process);
		fd.map(process, parent, { iova: 0n, vaddr: 0x4000_0000n, size: 0x1_0000n });
		const child = fd.alloc(process, { parent });
		fd.map(process, child, { iova: 0x2_0000n, vaddr: 0x2000n, size: 0x1000n });
		const at = (device: Device, address: bigint) => {
			const answer = machine.dma(device, null, address);
			return answer.kind === "memory" ? machine.ownerOf(answer.physical)?.address : answer.kind === "fault" ? answer.fault : answer.kind;
		};
		const attach = () => {
			fd.attach(one, parent);
			fd.attach(one, child);
		};
		attach();
		machine.failures.failAfter(1);
		expect(() => fd.detach(one, child)).toThrow(DoorError);
		expect([at(one, 0x2_0000n), at(two, 0x2_0000n)]).toEqual([0x4000_2000n, 0x4000_2000n]);
		fd.detach(one, child);
		expect(at(two, 0x1000n)).toBe(0x4000_1000n);
		fd.attach(one, child);
		machine.failures.failAfter(1);
		machine.release(one);
		machine.failures.failAfter(0);
		expect([at(one, 0x2_0000n), at(two, 0x1000n)]).toEqual(["blocked", "blocked"]);
		fd.attach(two, parent);
		expect(at(one, 0x1000n)).toBe(0x4000_1000n);
	});
	it("CK3 events carry the machine's own device beside the user's cookie", () => {
		const { machine, process } = world();
		const device = machine.addDevice({ rid: 8, driver: drivers["vfio-pci"], capabilities: { pri: true } });
		const fd = new IommuV2(machine);
		fd.bind(device, 0x77n);
		const ioasid = fd.alloc(process);
		fd.attach(device, ioasid);
		machine.requestPage(device, null, 0x5000n, "write");
		expect(fd.context.events[0].device).toBe(device);
		expect(fd.readEvents()).toEqual([{ ioasid, cookie: 0x77n, addr: 0x5000n, perm: "w", recoverable: true, ambiguous: false }]);
	});
	flow("CK5 CK6 a shared RID is told as ambiguous, a part of a function is not", `
		${V2()}
		a = device mmu vfio-pci pri group=g
		b = device mmu vfio-pci pri alias_of=a
		p = device mmu kernel
		m = device mmu mdev-pasid parent=p pasid pri
		n = device mmu mdev-pasid parent=p pasid pri
		bind a cookie=1
		bind b cookie=2
		bind m cookie=3
		bind n cookie=4
		x = ioasid_alloc
		attach a x
		attach b x
		attach m x
		attach n x
		r1 = page_request b 0x1000
		r2 = page_request n 0x2000
		events => events:[{cookie:2,ambiguous:true},{cookie:4,ambiguous:false}]
	`);
	flows("IV4 IV5 on a PASID table the PASID cache is what is dropped; elsewhere there is none, and kernel tables need nothing", ["smmuv3", "amdvi", "riscv"], (kind) => `
		${V2(kind)}
		d = device mmu vfio-pci pasid delegated
		bind d cookie=1
		gpa = ioasid_alloc
		map gpa 0x40000000 0x400000 iova=0
		cd = pasid_table_new ${kind} 0x40000000 0x300000 8
		t = pt_new ${kind} 0x40000000 0x100000 0x110000
		pt_write t 0x7000 0x8000
		pasid_table_write cd 2 t
		all = ioasid_alloc kind=user parent=gpa user_pasid_table={format:${kind},addr:0x300000,size:8}
		u = ioasid_alloc kind=user parent=gpa user_pgtable={format:${kind},addr:0x100000}
		attach d all
		xlate d 0x7000 pasid=2 => hva:0x40008000
		pasid_table_clear cd 2
		invalidate all cache=pasid vpasid=2
		invalidate all cache=iotlb vpasid=2
		xlate d 0x7000 pasid=2 => fault:pasid
		invalidate all cache=pasid vpasid=8 !error
		invalidate u cache=pasid !error
		invalidate gpa !error
	`);
	flow("DT5 a space that tracks takes no device whose unit records nothing; reading before the start is an error", `
		${V2()}
		plain = iommu vtd dirty=false
		d = device mmu vfio-pci
		e = device plain vfio-pci pasid
		bind d
		bind e
		a = ioasid_alloc
		attach d a
		dirty_get a 0 0x1000 0x1000 !EINVAL
		dirty_start a
		attach e a !error
		attach e a vpasid=1 !error
		dirty_stop a
		attach e a
	`, { options: { dirtyTracking: true } });
});

describe("faults, snooping, KVM", () => {
	it.each(["vtd", "smmuv3", "amdvi", "riscv"] as const)("FL3 FL4 FL9 a page request waits in the unit till its user answers, detaches or closes (%s)", (kind) => {
		const { machine, process } = world([{ ...UNIT, kind }]);
		const [unit] = machine.engine.units;
		const device = machine.addDevice({ rid: 8, driver: drivers["vfio-pci"], capabilities: { pri: true, pasid: true } });
		const fd = new IommuV2(machine);
		fd.bind(device, 7n);
		const parent = fd.alloc(process);
		fd.map(process, parent, { iova: 0n, vaddr: 0x4000_0000n, size: 0x40_0000n });
		const table = new GuestTable(process, kind, 0x4000_0000n, 0x10_0000n, 0x11_0000n, 48);
		const user = fd.alloc(process, { kind: "user", parent, userPgtable: { format: kind, addr: 0x10_0000n } });
		fd.attach(device, user, { vpasid: 1 });
		const ask = (address: bigint) => machine.requestPage(device, 1, address, "write");
		const requests = [ask(0x7000n), ask(0x8000n), ask(0x7000n), ask(0x9000n)];
		expect(requests.map(({ state, group }) => [state, group])).toEqual([["pending", 0], ["pending", 1], ["pending", null], ["pending", 2]]);
		expect(unit.counters().pageRequests).toEqual({ queued: 3, lost: 0 });
		expect(fd.readEvents().map(({ addr, recoverable }) => [addr, recoverable])).toEqual([[0x7000n, true], [0x8000n, true], [0x7000n, true], [0x9000n, true]]);
		table.write(0x7000n, 0x8000n, 1, true, true);
		fd.respond(user, 0x7000n, "success", { vpasid: 1 });
		fd.respond(user, 0x8000n, "invalid");
		expect(requests.map(({ state }) => state)).toEqual(["success", "invalid", "pending", "pending"]);
		for (const group of [0, 1]) expect(() => unit.respond(8, group, "success")).toThrow(/no group/);
		expect([ask(0x7000n).state, ask(0x8000n).state]).toEqual(["success", "pending"]);
		fd.detach(device, user, { vpasid: 1 });
		expect(requests.map(({ state }) => state)).toEqual(["success", "invalid", "invalid", "invalid"]);
		for (const group of [0, 1, 2, 3]) expect(() => unit.respond(8, group, "success")).toThrow(/no group/);
	});
	flows("BM7 FL2 of spaces that share a RID by address, the one whose window a request lies in is told", ALL, (kind) => `
		${V2(kind)}
		d = device mmu vfio-pci pri
		bind d cookie=1
		a = ioasid_alloc windows
		b = ioasid_alloc windows
		w1 = window_create a 0x10000 0x1000 base=0
		w2 = window_create b 0x10000 0x1000 base=0x40000000
		attach d a
		attach d b
		r1 = page_request d 0x40001000
		r2 = page_request d 0x1000 access=w
		dma_miss d 0x40002000
		events => events:[{ioasid:$b,addr:0x40001000,perm:r},{ioasid:$a,addr:0x1000,perm:w},{ioasid:$b,recoverable:false}]
		fault_respond a 0x40001000 success !error
		fault_respond b 0x40001000 success
		detach d a
		fault_state r1 => state:success
		fault_state r2 => state:invalid
	`, { options: { addressRouted: true } });
	it("FL6 events are read in order, are lost never, and are gone once read", () => {
		const { machine, process } = world();
		const device = machine.addDevice({ rid: 8, driver: drivers["vfio-pci"], capabilities: { pri: true } });
		const fd = new IommuV2(machine);
		fd.bind(device);
		fd.attach(device, fd.alloc(process));
		for (let i = 0; i < 2000; i++) machine.requestPage(device, null, BigInt(i) << 12n);
		expect(fd.readEvents().map(({ addr }) => addr)).toEqual(Array.from({ length: 2000 }, (_, i) => BigInt(i) << 12n));
		expect(fd.readEvents()).toEqual([]);
	});
	flow("FL10 a user may hand events to guests by device, as queues of their own, and answer each by its cookie", `
		${V2()}
		d = device mmu vfio-pci pri
		e = device mmu vfio-pci pri
		bind d cookie=1
		bind e cookie=2
		a = ioasid_alloc
		attach d a
		attach e a
		r1 = page_request d 0x1000
		r2 = page_request e 0x1000
		r3 = page_request d 0x1000
		fault_respond a 0x1000 success cookie=1
		fault_state r1 => state:success
		fault_state r3 => state:pending
		fault_respond a 0x1000 invalid cookie=2
		fault_respond a 0x1000 success cookie=1
		fault_state r2 => state:invalid
		fault_state r3 => state:success
	`);
	flow("SN14 the administrator's switch: no IOASID without enforced snooping", `
		${V2()}
		weak = iommu vtd snoop_enforce=false
		d = device weak vfio-pci no_snoop
		bind d
		a = ioasid_alloc snoop=no !EINVAL
		a = ioasid_alloc
		attach d a !EINVAL
		fd_wbinvd !ENXIO
	`, { options: { noSnoopExt: false } });
	flow("SN15 one call flushes for the whole file, when some device of it may bypass the caches", `
		${V2()}
		weak = iommu vtd snoop_enforce=false
		d = device weak vfio-pci no_snoop
		e = device weak vfio-pci no_snoop
		bind d
		bind e
		a = ioasid_alloc
		b = ioasid_alloc
		attach d a
		attach e b
		fd_wbinvd
		device_close d
		fd_wbinvd
		device_close e
		fd_wbinvd !ENXIO
	`);
	for (const kind of ["smmuv3", "vtd"] as const) {
		it(`PV12 the tag of a space's table (VMID, domain id) may be given from outside (${kind})`, () => {
			const { machine } = world([{ ...UNIT, kind }]);
			const context = new Context();
			const devices = [8, 16].map((rid) => machine.addDevice({ rid, driver: drivers["vfio-pci"] }));
			for (const device of devices) machine.bind(context, device, null);
			machine.attach(devices[0], machine.createSpace(), { domain: 42 });
			expect(() => machine.attach(devices[1], machine.createSpace(), { domain: 42 })).toThrow(/42/);
			machine.attach(devices[1], machine.createSpace(), { domain: 43 });
		});
	}
	flow("PV13 KVM is given files of the old interface too", `
		${V2()}
		weak = iommu vtd snoop_enforce=false
		d = device weak vfio-pci no_snoop group=g
		c = open vfio
		v = vm
		kvm_add_fd v fd=c
		vfio_set_container g c
		vfio_set_iommu c type1v2
		wbinvd v => real:true
		kvm_del_fd v fd=c
		wbinvd v => real:false
	`, { uapi: "core" });
});

describe("queries and windows", () => {
	flow("CQ5 CQ6 CQ7 what is told can be tried: ranges narrow at attach, attach is the last word", `
		${V2()}
		narrow = iommu vtd addr_width=39 nesting=none pasid_bits=0
		d = device mmu vfio-pci
		e = device narrow vfio-pci pasid
		bind d cookie=1
		bind e cookie=2
		device_get_info 2 => addr_width:39,nesting:none,formats:[],pasid_bits:0,pasid_table:false,pri:false
		a = ioasid_alloc
		attach d a
		get_info a => addr_width:48
		attach e a
		get_info a => addr_width:39,nesting:none
		map a 0x40000000 0x1000 iova=0x8000000000 !EINVAL
		b = ioasid_alloc
		attach e b vpasid=1 !error
		u = ioasid_alloc kind=user parent=a user_pgtable={format:vtd,addr:0x8000}
		detach e a
		attach e u !error
		s = ioasid_alloc kind=sva
		attach e s !error
		map a 0x40000000 0x1000 iova=0x8000000000
		attach e a !EINVAL
	`);
	flows("WN3 WN5 WN7 WN9 windows come and go at run time, bases may be left open, and an attach that would break one fails", ALL, (kind) => `
		${V2(kind)}
		narrow = iommu ${kind} addr_width=39
		d = device mmu vfio-pci
		e = device narrow vfio-pci
		bind d
		bind e
		w = ioasid_alloc windows
		attach d w
		b0 = window_create w 0x100000 0x1000
		window_create w 0x100000 0x1000 base=0x8000000000
		attach e w !EINVAL
		window_remove w 0x8000000000
		attach e w
		window_create w 0x100000 0x1000 base=0x8000000000 !error
		window_remove w b0
		window_create w 0x200000 0x1000 base=0
		map w 0x40000000 0x200000 iova=0
		xlate e 0x1ff008 => hva:0x401ff008
	`);
	it("OB3 refusals are told to the caller and printed nowhere", () => {
		const prints = (["log", "info", "warn", "error", "debug"] as const).map((method) => vi.spyOn(console, method).mockImplementation(() => {}));
		const writes = [vi.spyOn(process.stdout, "write"), vi.spyOn(process.stderr, "write")];
		expect(runFlow(`
			${V2()}
			d = device mmu vfio-pci
			k = device mmu kernel group=g
			e = device mmu vfio-pci group=g
			bind e !EINVAL
			reason [k,g]
			bind d
			bind d !EBUSY
			a = ioasid_alloc
			attach d 99 !EINVAL
			attach d a
			map a 0x40000800 0x1000 iova=0 !EINVAL
			xlate d 0x1000 => fault:unmapped
			ioasid_free a !EBUSY
		`)).toBe(null);
		for (const spy of [...prints, ...writes]) {
			expect(spy).not.toHaveBeenCalled();
			spy.mockRestore();
		}
	});
});

describe("RFC v2 device types: flags and slots follow from driver and capabilities", () => {
	const TYPES = [
		{ type: 1, what: "function without PASIDs", device: "vfio-pci", capabilities: {}, flags: [false, false, false, false], plain: "rid", tagged: null },
		{ type: 2, what: "software part", device: "mdev-sw", capabilities: {}, flags: [false, false, false, false], plain: "sw", tagged: null },
		{ type: 3, what: "part with its hidden PASID alone", device: "mdev-pasid", capabilities: {}, flags: [false, false, false, false], plain: "rid_pasid", tagged: null },
		{ type: 4, what: "function whose PASID table is the guest's", device: "vfio-pci", capabilities: { pasid: true, delegated: true }, flags: [true, true, false, false], plain: "rid", tagged: { mode: "rid_pasid", same: true } },
		{ type: 5, what: "function with PASIDs", device: "vfio-pci", capabilities: { pasid: true }, flags: [true, false, false, false], plain: "rid", tagged: { mode: "rid_pasid", same: true } },
		{ type: 6, what: "part with PASIDs", device: "mdev-pasid", capabilities: { pasid: true }, flags: [true, false, false, false], plain: "rid_pasid", tagged: { mode: "rid_pasid", same: false } },
		{ type: 7, what: "function with ENQCMD", device: "vfio-pci", capabilities: { pasid: true, dmwr: true }, flags: [true, false, true, false], plain: "rid", tagged: { mode: "rid_pasid_global", same: true } },
		{ type: 8, what: "part with ENQCMD", device: "mdev-pasid", capabilities: { pasid: true, dmwr: true }, flags: [true, false, true, true], plain: "rid_pasid", tagged: { mode: "rid_pasid_global", same: false } },
	] as const;

	for (const kind of HARDWARE) {
		it.each(TYPES)(`type $type: $what (${kind})`, ({ device: driver, capabilities, flags, plain, tagged }) => {
			const { machine, process } = world([{ ...UNIT, kind, pasidTables: kind !== "vtd" }]);
			const parent = driver === "vfio-pci" ? undefined : machine.addDevice({ rid: 8, driver: drivers.kernel });
			const device: Device = machine.addDevice({ name: "device", rid: 16, driver: drivers[driver], capabilities, ...(parent === undefined ? {} : { parent }) });
			const fd = new IommuV2(machine);
			fd.bind(device);
			const { pasid, pasidDelegated, pasidCpu, pasidCpuVirt } = fd.vfioDeviceInfo(device);
			expect([pasid, pasidDelegated, pasidCpu, pasidCpuVirt]).toEqual(flags);
			const ioasid = fd.alloc(process);
			expect(fd.attach(device, ioasid).attachment.mode).toBe(plain);
			if (tagged === null) {
				expect(() => fd.attach(device, ioasid, { vpasid: 5 })).toThrow(DoorError);
				return;
			}
			const { attachment } = fd.attach(device, ioasid, { vpasid: 5 });
			expect(attachment.mode).toBe(tagged.mode);
			expect(attachment.pasid === 5).toBe(tagged.same);
		});
	}
});

describe("every requirement", () => {
	it("is claimed by a test, or has a written reason", () => {
		const script = new URL("requirements.mjs", import.meta.url).pathname;
		expect(execFileSync("node", [script], { encoding: "utf8" })).toContain("BM1 ");
	});
});
