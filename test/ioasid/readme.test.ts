import { expect, it } from "vitest";
import { createUnits, drivers, IommuV2, Machine, VfioContainer } from "../../ts/index.ts";

it("the README's example: one group, two devices, one by RID and one by RID and PASID, then as a container", () => {
	const RAM = { start: 1n << 32n, size: 1n << 30n };
	const { engine, units } = createUnits(
		[{ name: "mmu0", kind: "vtd" }],
		{ memory: [{ kind: "sparse", ...RAM }], sparsePages: 256 },
	);
	const machine = new Machine(engine, units, RAM);
	const vmm = machine.createProcess("vmm");
	vmm.map(0x40000000n, 0x1000000n); // guest RAM

	const group = machine.createGroup("10"); // two functions without ACS between them
	const nic = machine.addDevice({ name: "nic", rid: 0x0100, group, driver: drivers["vfio-pci"] });
	const gpu = machine.addDevice({ name: "gpu", rid: 0x0101, group, driver: drivers["vfio-pci"], capabilities: { pasid: true } });

	// /dev/iommu: both devices bound to one file; each driver chooses how its device is routed
	const fd = new IommuV2(machine);
	fd.bind(nic, 1n);
	fd.bind(gpu, 2n);
	const gpa = fd.alloc(vmm);
	fd.map(vmm, gpa, { iova: 0n, vaddr: 0x40000000n, size: 0x1000000n });
	fd.attach(nic, gpa); // by RID
	const gva = fd.alloc(vmm, { parent: gpa });
	fd.map(vmm, gva, { iova: 0x7f000000n, vaddr: 0x8000n, size: 0x1000n }); // an address of the parent
	fd.attach(gpu, gva, { vpasid: 1 }); // by RID and PASID

	const where = (device = nic, pasid: number | null = null, address = 0n) => {
		const answer = machine.dma(device, pasid, address);
		return answer.kind === "memory" ? machine.ownerOf(answer.physical)?.address : answer.kind === "fault" ? answer.fault : answer.kind;
	};
	expect(where(nic, null, 0x1000n)).toBe(0x40001000n);
	expect(where(gpu, null, 0x1000n)).toBe(0x40001000n); // one group, one RID slot
	expect(where(gpu, 1, 0x7f000008n)).toBe(0x40008008n);
	expect(where(gpu, 2, 0x7f000008n)).toBe("pasid");
	expect(vmm.locked).toBe(4096); // the root is charged, its child is not
	machine.release(nic);
	machine.release(gpu);
	fd.close();
	expect(where()).toBe("host");

	// the same machine through a VFIO container
	const container = new VfioContainer(machine);
	container.setContainer(group);
	container.setIommu("type1v2");
	container.openDevice(nic);
	container.vfioMap(vmm, 0n, 0x40000000n, 0x1000000n, { read: true, write: true });
	const hidden = container.vfioIoasid("get"); // its one hidden IOASID
	expect(container.hiddenCount).toBe(1);
	expect(container.lookup(hidden, 0x1000n)).toEqual({ hva: 0x40001000n });
	expect(where(nic, null, 0x1000n)).toBe(0x40001000n);
	expect(where(gpu, null, 0x1000n)).toBe(0x40001000n);
	container.closeDevice(nic);
	container.close();
	expect([where(), vmm.locked]).toEqual(["host", 0]);
});
