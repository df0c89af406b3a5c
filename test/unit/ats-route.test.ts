import { expect, test } from "vitest";
import { Machine } from "../../ts/core/index.ts";
import { drivers } from "../../ts/driver/index.ts";
import { createUnits, type UnitDescription } from "../../ts/iommu/index.ts";
import type { EngineTable } from "../../ts/iommu/engine-table.ts";
import { IommuV2 } from "../../ts/uapi/index.ts";

const RID = 0x0310;
const description = (kind: UnitDescription["kind"]): UnitDescription => ({
	name: kind,
	kind,
	addressBits: 48,
	pageSizes: 0x40201000n,
	reserved: [{ first: 0xfee00000n, last: 0xfeefffffn }],
	pasidBits: 20,
	enforcesSnoop: true,
	nesting: "hw",
	maxDepth: 2,
	pasidTables: false,
	dirty: true,
});
const run = { iova: 0x4000n, pa: 0x10_0000n, size: 0x4000n, permissions: { read: true, write: true } };

test.each(["vtd", "smmuv3", "amdvi", "riscv"] as const)("%s: what a device with ATS was told goes with the device-TLB's invalidation only", (kind) => {
	const { engine, units } = createUnits([description(kind)], { memory: [] });
	const [iommu] = units;
	const [unit] = engine.units;
	const table = iommu.createTable(() => [run], {}) as EngineTable;
	for (const pasid of [null, 3]) {
		const state = { untagged: { kind: "table", table } as const, pasids: new Map(pasid === null ? [] : [[pasid, { kind: "table", table } as const]]), ats: true, pri: false };
		iommu.configure(RID, state);
		const reaches = () => iommu.translate(RID, pasid, 0x5000n, "read").ok;
		expect([reaches(), reaches()]).toEqual([true, true]);
		expect(unit.counters().deviceTlb.hits).toBeGreaterThan(0);
		// behind the driver's back: every part of the table
		const parts = pasid === null || kind === "vtd" ? [table.part("second")] : [table.part("second"), table.part("first")];
		for (const pages of parts) pages.unmap(0x5000n, 4096n);
		expect(reaches()).toBe(true);
		unit.invalidate({ scope: "global", caches: ["iotlb"] });
		iommu.invalidate(RID, pasid, { iotlb: true, deviceTlb: false, pasid: false });
		expect(reaches()).toBe(true);
		iommu.invalidate(RID, pasid, { iotlb: false, deviceTlb: true, pasid: false }, { first: 0x6000n, last: 0x6fffn });
		expect(reaches()).toBe(true);
		iommu.invalidate(RID, pasid, { iotlb: false, deviceTlb: true, pasid: false }, { first: 0x5000n, last: 0x5fffn });
		expect(reaches()).toBe(false);
		// the driver's own unmap reaches everything
		const beside = () => iommu.translate(RID, pasid, 0x7000n, "write").ok;
		expect([beside(), beside()]).toEqual([true, true]);
		table.unmap(0x7000n, 0x1000n);
		expect(beside()).toBe(false);
		table.map({ ...run, iova: 0x7000n, pa: 0x10_3000n, size: 0x1000n });
		expect(beside()).toBe(true);
		// a route that goes takes what the device was told with it
		iommu.configure(RID, { pasids: new Map(), ats: false, pri: false });
		expect(beside()).toBe(false);
		for (const pages of parts) pages.map(0x5000n, 0x10_1000n, 4096n, run.permissions);
	}
});

test.each(["vtd", "smmuv3", "amdvi", "riscv"] as const)("%s: a device without ATS may not send translation requests", (kind) => {
	const { engine, units } = createUnits([description(kind)], { memory: [] });
	const table = units[0].createTable(() => [run], {});
	units[0].configure(RID, { untagged: { kind: "table", table }, pasids: new Map(), ats: false, pri: false });
	expect(units[0].translate(RID, null, 0x5000n, "read").ok).toBe(true);
	expect(engine.units[0].counters().deviceTlb.fills).toBe(0);
	const { status, completion } = engine.units[0].translate(RID, 0x5000n, { type: "translation" });
	expect([status, completion?.status]).toEqual(["fault", "unsupported-request"]);
	expect(engine.units[0].translate(RID, 0x10_1000n, { type: "translated" }).status).toBe("fault");
});

test.each(["vtd", "smmuv3", "amdvi", "riscv"] as const)("%s: a device asks for absent pages where its routes allow it, and no other does", (kind) => {
	const { engine, units } = createUnits([description(kind)], { memory: [] });
	const [unit] = engine.units;
	const table = units[0].createTable(() => [run], {}) as EngineTable;
	const asks = (state: { ats: boolean; pri: boolean }) => {
		units[0].configure(RID, { untagged: { kind: "table", table }, pasids: new Map(), ...state });
		return unit.translate(RID, 0x9000n, { type: "device", access: "write" });
	};
	// the entries of three have a bit for it; SMMUv3 leaves it to its queue
	const without = asks({ ats: true, pri: false });
	expect(without.status).toBe(kind === "smmuv3" ? "page-request" : "fault");
	expect(asks({ ats: false, pri: true }).status).toBe("fault");
	if (without.status === "page-request") {
		unit.respond(RID, without.group ?? -1, "invalid");
		unit.takePageRequest();
		// the retry of the request that was refused
		expect(asks({ ats: true, pri: false }).status).toBe("fault");
	}
	const { status, group } = asks({ ats: true, pri: true });
	expect(status).toBe("page-request");
	expect(unit.takePageRequest()).not.toBeNull();
	table.map({ ...run, iova: 0x9000n, size: 0x1000n });
	unit.respond(RID, group ?? -1, "success");
	expect(unit.translate(RID, 0x9000n, { type: "device", access: "write" })).toMatchObject({ status: "translated", pa: run.pa });
});

test.each(["vtd", "smmuv3", "amdvi", "riscv"] as const)("BM5 %s: page requests are a part of the mode, in the words of the device's own entry", (kind) => {
	const ram = { start: 1n << 32n, size: 1n << 28n };
	const { engine, units } = createUnits([description(kind)], { memory: [{ kind: "sparse", ...ram }], sparsePages: 64 });
	const machine = new Machine(engine, units, ram);
	const process = machine.createProcess("vmm");
	process.map(0x40000000n, 0x100000n);
	const [plain, asking] = [false, true].map((pri, i) => machine.addDevice({ name: `d${i}`, rid: 0x100 + 8 * i, driver: drivers["vfio-pci"], capabilities: { pri, ats: true } }));
	const fd = new IommuV2(machine);
	const spaces = [plain, asking].map((device, i) => {
		fd.bind(device, BigInt(i));
		const space = fd.alloc(process, i === 1 ? { iopf: true } : {});
		fd.map(process, space, { iova: 0n, vaddr: 0x40000000n, size: 0x10000n });
		fd.attach(device, space);
		return space;
	});
	const asks = (rid: number) => engine.units[0].translate(rid, 0x900000n, { type: "device" }).status;
	// SMMUv3's entries have ATS alone: its queue takes what comes
	expect(asks(0x100)).toBe(kind === "smmuv3" ? "page-request" : "fault");
	expect(asks(0x108)).toBe("page-request");
	fd.detach(asking, spaces[1]);
	expect(asks(0x108)).toBe("fault");
	expect(() => fd.attach(plain, spaces[1])).toThrow(/page requests/);
});
