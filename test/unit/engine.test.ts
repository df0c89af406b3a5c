import { describe, expect, it } from "vitest";
import { Engine } from "../../ts/engine/index.ts";

function machine() {
	const engine = Engine.create({ units: [{ architecture: "vtd" }], tables: { frames: 256 } });
	const table = engine.createTable({ format: "vtd-second", levels: 4 });
	const [unit] = engine.units;
	unit.setRoute(0x08, { type: "second-stage", domain: 3, table });
	return { engine, unit, table };
}

describe("a unit with one device", () => {
	it("translates what is mapped and faults on the rest with VT-d's reasons", () => {
		const { unit, table } = machine();
		table.map(0xfffff000n, 0xd4ef000n, 4096n, { read: true, write: false });
		const answer = unit.translate(0x08, 0xfffff123n);
		expect(answer).toMatchObject({ status: "translated", pa: 0xd4ef123n, pageBytes: 4096, hit: "walk", references: 4 });
		expect(unit.translate(0x08, 0xfffff456n)).toMatchObject({ status: "translated", pa: 0xd4ef456n, hit: "iotlb" });
		expect(unit.translate(0x08, 0xfffff000n, { access: "write" })).toMatchObject({ status: "fault", fault: 5 });
		expect(unit.translate(0x08, 0x1000n)).toMatchObject({ status: "fault", fault: 6 });
		expect(unit.translate(0x10, 0x1000n)).toMatchObject({ status: "fault", fault: 2 });
		expect(unit.translate(0x108, 0x1000n)).toMatchObject({ status: "fault", fault: 1 });
		expect(unit.translate(0x08, 0xfee00000n, { access: "write" }).status).toBe("interrupt");
		const record = unit.takeFault();
		expect(record).not.toBeNull();
	});
});
