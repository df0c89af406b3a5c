/** Windowed spaces that share a RID, on units whose hardware knows one table for all addresses and on PAPR's: what changes in one, and what was written, stays its own. */
import { describe, expect, it } from "vitest";
import { Machine, PAGE, PageSource, type Space } from "../../ts/core/index.ts";
import { drivers } from "../../ts/driver/index.ts";
import { createUnits, type UnitDescription } from "../../ts/iommu/index.ts";
import { ALL, flows } from "./flow.ts";

const RAM = { start: 1n << 32n, size: 1n << 30n };
const MEMORY = 0x4000_0000n;
const options = { addressRouted: true, dirtyTracking: true } as const;

/** Two windows of one space around one of another, a device in both, memory everywhere. */
const SHARED = (kind: string) => `
	mmu = iommu ${kind}
	ram = mem 0x40000000 0x40000000
	fd = open iommu
	d = device mmu vfio-pci
	bind d
	a = ioasid_alloc windows
	b = ioasid_alloc windows
	w1 = window_create a 0x10000 0x1000 base=0
	w2 = window_create b 0x10000 0x1000 base=0x10000
	w3 = window_create a 0x10000 0x1000 base=0x20000
	map a 0x40000000 0x4000 iova=0
	map a 0x40100000 0x4000 iova=0x20000
	map b 0x40200000 0x4000 iova=0x10000
	attach d a
	attach d b
`;

describe("windowed spaces that share a RID", () => {
	flows("each address leads into the space whose window it lies in, and a part goes alone", ALL, (kind) => `
		${SHARED(kind)}
		slots d => hw:2
		xlate d 0x1008 => hva:0x40001008
		xlate d 0x11008 => hva:0x40201008
		xlate d 0x21008 => hva:0x40101008
		xlate d 0x31008 => fault:unmapped
		unmap a 0 0x30000 => size:0x8000
		xlate d 0x1008 => fault:unmapped
		xlate d 0x11008 => hva:0x40201008
		map a 0x40300000 0x1000 iova=0x2000
		xlate d 0x2008 => hva:0x40300008
		window_remove b 0x10000
		xlate d 0x11008 => fault:unmapped
		w4 = window_create b 0x10000 0x1000 base=0x30000
		map b 0x40400000 0x1000 iova=0x30000
		xlate d 0x30008 => hva:0x40400008
		w5 = window_create a 0x20000 0x1000 base=0x20000 !error
		detach d a
		xlate d 0x2008 => fault:unmapped
		xlate d 0x30008 => hva:0x40400008
		detach d b
		xlate d 0x30008 => fault:blocked
	`, { options });
	flows("what was written is told by its own space, once, through windows that come and routes that go", ALL, (kind) => `
		${SHARED(kind)}
		dirty_start a
		dma_write d 0x1000 8 7
		dma_write d 0x11000 8 7
		dma_write d 0x22000 8 7
		dirty_start b
		dma_write d 0x12000 8 7
		dirty_get b 0 0x40000 0x1000 => bits:[0x12]
		w4 = window_create a 0x10000 0x1000 base=0x30000
		dma_write d 0x3000 8 7
		detach d b
		dirty_get a 0 0x40000 0x1000 => bits:[1,3,0x22]
		dirty_get a 0 0x40000 0x1000 => bits:[]
		attach d b
		dma_write d 0x13000 8 7
		unmap b 0x10000 0x4000 get_dirty => dirty:[3]
		dma_write d 0x2000 8 7
		detach d a
		dirty_get a 0 0x40000 0x1000 => bits:[2]
	`, { options });
	flows("a child takes the place of its windowed parent alone, not of what lies beside it", ALL, (kind) => `
		${SHARED(kind)}
		c = ioasid_alloc parent=b
		map c 0x11000 0x1000 iova=0x50000
		attach d c !EBUSY
		xlate d 0x11008 => hva:0x40201008
		xlate d 0x1008 => hva:0x40001008
		detach d a
		attach d c
		xlate d 0x50008 => hva:0x40201008
		xlate d 0x11008 => fault:unmapped
		attach d a !error
		detach d c
		xlate d 0x11008 => hva:0x40201008
	`, { options: { ...options, parentFirst: false } });
	flows("a parent under its windowed child lets no other window in", ALL, (kind) => `
		${SHARED(kind)}
		detach d a
		detach d b
		p = ioasid_alloc
		map p 0x40000000 0x100000 iova=0
		c = ioasid_alloc parent=p windows
		w4 = window_create c 0x10000 0x1000 base=0x50000
		map c 0x3000 0x1000 iova=0x50000
		attach d c
		attach d p
		attach d a !EBUSY
		xlate d 0x50008 => hva:0x40003008
		xlate d 0x1008 => fault:unmapped
		detach d c
		xlate d 0x1008 => hva:0x40001008
	`, { options });
	it.each(["vtd", "smmuv3", "amdvi", "riscv"] as const)("one space starts to record in pages, the other's large leaves forget nothing (%s)", (kind) => {
		const unit: UnitDescription = { name: "mmu", kind, addressBits: 48, pageSizes: 0x4020_1000n, reserved: [], pasidBits: 20, enforcesSnoop: true, nesting: "hw", maxDepth: 2, pasidTables: false, dirty: true };
		const { engine, units } = createUnits([unit], { memory: [{ kind: "sparse", ...RAM }], sparsePages: 8192, tables: { frames: 256 } });
		const machine = new Machine(engine, units, RAM);
		const process = machine.createProcess("main");
		process.map(MEMORY, 0x80_0000n);
		const device = machine.addDevice({ rid: 8, driver: drivers["vfio-pci"] });
		const large = 0x20_0000n;
		const spaces: Space[] = [0n, 1n].map((i) => {
			const space = machine.createSpace({ windows: true, policy: { ...machine.createSpace().policy, addressRouted: true } });
			space.createWindow(large, PAGE, i * large);
			space.map(i * large, large, { kind: "memory", source: new PageSource(process, MEMORY + i * large, large, true, process), offset: 0n }, { read: true, write: true });
			machine.attach(device, space);
			return space;
		});
		const [a, b] = spaces;
		const write = (address: bigint) => expect(machine.dma(device, null, address, "write").kind).toBe("memory");
		a.startDirty(false);
		write(0x5000n);
		engine.failAfter(1);
		expect(() => b.startDirty(true)).toThrow(/no frame/);
		engine.failAfter(0);
		expect([a.readDirty(0n, large, false).has(0x5000n), b.tracksDirty]).toEqual([true, false]);
		b.startDirty(true);
		write(large + 0x3000n);
		const first = a.readDirty(0n, large, true);
		expect([first.has(0x5000n), b.readDirty(large, large, true)]).toEqual([true, new Set([large + 0x3000n])]);
		// the joined table that comes with a route records as its spaces do
		machine.detach(device, a);
		machine.attach(device, a);
		write(large + 0x9000n);
		expect(b.readDirty(large, large, true)).toEqual(new Set([large + 0x9000n]));
		write(0x6000n);
		b.stopDirty();
		expect(a.readDirty(0n, large, true).has(0x6000n)).toBe(true);
	});
});
