import { expect, test } from "vitest";
import { Engine } from "../../ts/engine/index.ts";

test("memory that nothing wrote reads as zero after a device table entry was read", () => {
	const engine = Engine.create({ memory: [{ kind: "sparse", start: 0n, size: 1n << 20n }], units: [{ architecture: "amdvi" }] });
	engine.units[0].setRoute(8, { type: "bypass", domain: 5 });
	engine.units[0].translate(8, 0x1234n);
	expect(engine.memory.read(0x5000n, 4096).every((byte) => byte === 0)).toBe(true);
});

test("setRoute writes device table entries of AMD-Vi", () => {
	const engine = Engine.create({ units: [{ architecture: "amdvi" }] });
	const unit = engine.units[0];
	for (const rid of [0x0008, 0xfff8]) {
		unit.setRoute(rid, { type: "bypass", domain: 5 });
		expect(unit.translate(rid, 0x1234n)).toMatchObject({ status: "translated", pa: 0x1234n, hit: "bypass" });
		unit.setRoute(rid, { type: "blocked" });
		unit.invalidate({ scope: "global" });
		expect(unit.translate(rid, 0x1234n)).toMatchObject({ status: "fault", fault: 2 });
	}
});

test("what a translation leaves behind does not show in sparse memory that nobody wrote", () => {
	const engine = Engine.create({ memory: [{ kind: "sparse", start: 0n, size: 1 << 20 }], sparsePages: 1, units: [{ architecture: "amdvi" }] });
	engine.units[0].setRoute(8, { type: "bypass", domain: 5 });
	expect(engine.units[0].translate(8, 0x1234n).status).toBe("translated");
	expect(engine.memory.read(0x4000n, 4096).every((byte) => byte === 0)).toBe(true);
});
