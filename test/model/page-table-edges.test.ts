/** What edits of page tables refuse, how many frames they take, and harvests that are longer than one window. */
import { describe, expect, it } from "vitest";
import { Engine, EngineError, type TableFormatName } from "../../ts/engine/index.ts";
import { caseOf, tableMachine } from "./table-machine.ts";

function codeOf(run: () => unknown): string {
	try {
		run();
		return "done";
	} catch (error) {
		if (error instanceof EngineError) return error.code;
		throw error;
	}
}

const both = { read: true, write: true };

describe("page tables", () => {
	it("take the frames that the largest leaves want, and more when a part of one goes", () => {
		const table = Engine.create({ tables: { frames: 16 } }).createTable({ format: "vtd-second", levels: 4 });
		// 4 GiB in leaves of 1 GiB: two tables, though pages of 4 KiB would want 2,051
		table.map(0n, 8n << 30n, 4n << 30n, both);
		expect(table.frames).toBe(2);
		expect(table.unmap(0x5000n, 4096n)).toBe(4096n);
		expect(table.frames).toBe(4);
		expect(table.lookUp(0x200000n)).toMatchObject({ pa: (8n << 30n) + 0x200000n, pageBytes: 2 ** 21 });
		table.split(1n << 30n, (1n << 30n) + 0x3000n);
		expect(table.frames).toBe(6);
		expect(table.lookUp(2n << 30n)).toMatchObject({ pa: 10n << 30n, pageBytes: 4096 });
		expect(table.lookUp(1n << 30n)).toMatchObject({ pageBytes: 2 ** 30 });
	});

	it("refuse what the format cannot express, what is not aligned, and ranges that leave the input", () => {
		const shape = caseOf("vtd-first", 4);
		const { table, engine } = tableMachine(shape);
		table.map(0n, 4n << 30n, 1n << 30n, { read: true, write: true, execute: true });
		const before = table.frames;
		expect(table.protect(0x1000n, 0x1000n, { read: true, write: false })).toBe(0x1000n);
		expect(table.frames).toBe(before + 2);
		expect(codeOf(() => table.protect(0n, 0x1000n, { read: false, write: true }))).toBe("Permission");
		expect(codeOf(() => table.protect(0x800n, 0x1000n, both))).toBe("Misaligned");
		expect(codeOf(() => table.map(0x4000_0000n, 0x800n, 0x1000n, both))).toBe("Misaligned");
		// canonical at both ends, and not between them
		expect(codeOf(() => table.map((1n << 47n) - 0x1000n, 0n, (1n << 64n) - (1n << 48n) + 0x2000n, both))).toBe("OutOfRange");
		expect(codeOf(() => table.map(1n << 47n, 0n, 0x1000n, both))).toBe("OutOfRange");
		// the output's width
		expect(codeOf(() => table.map(0x4000_0000n, (1n << 52n) - 0x1000n, 0x2000n, both))).toBe("OutOfRange");
		engine.failAfter(1);
		expect(codeOf(() => table.protect(1n << 21n, 0x1000n, { read: true, write: false }))).toBe("OutOfFrames");
		engine.failAfter(0);
		expect(table.lookUp(1n << 21n)).toMatchObject({ pageBytes: 1 << 21, write: true });
		expect(codeOf(() => table.readDirty(0n, 0x2000n, new Uint8Array(0)))).toBe("BadConfig");
		expect(codeOf(() => table.readDirty(0n, 0x2000n, new Uint8Array(1), { pageBytes: 5000 }))).toBe("BadConfig");
		expect(codeOf(() => engine.createTable({ format: "vtd-first", levels: 3 }))).toBe("BadConfig");
		expect(codeOf(() => engine.createTable({ format: "vtd-first", levels: 4, bigEndian: true }))).toBe("BadConfig");
		expect(codeOf(() => engine.createTable({ format: "vmsav8-second-4k", levels: 4, upper: true }))).toBe("BadConfig");
		expect(codeOf(() => engine.createTable({ format: "toString" as TableFormatName, levels: 3 }))).toBe("BadConfig");
	});

	it("of one half of a bridge's addresses end at the bit that chooses the half", () => {
		const { table } = tableMachine(caseOf("tce-64k", 3));
		table.map(0n, 1n << 40n, 0x10000n, both);
		expect(table.lookUp(1n << 59n)).toBeNull();
		expect(codeOf(() => table.map(1n << 59n, 0n, 0x10000n, both))).toBe("OutOfRange");
		expect(codeOf(() => table.unmap(1n << 59n, 0x10000n))).toBe("OutOfRange");
		expect(table.mapped).toBe(0x10000n);
	});

	it("tell a leaf that reaches over many windows of a harvest as dirty in each, and as clean afterwards", () => {
		const { table, unit, rid, pasid } = tableMachine(caseOf("vtd-first", 4));
		table.map(0n, 4n << 30n, 1n << 30n, both);
		expect(unit.translate(rid, 0x1000n, { access: "write", pasid: pasid ?? undefined }).status).toBe("translated");
		const bits = new Uint8Array(1 << 15);
		for (const pages of [1 << 18, 1 << 18]) expect(table.readDirty(0n, 1n << 30n, bits, { keep: true })).toBe(pages);
		for (const pages of [1 << 18, 0]) expect(table.readDirty(0n, 1n << 30n, bits)).toBe(pages);
		expect(bits.every((byte) => byte === 0xff)).toBe(true);
	});
});
