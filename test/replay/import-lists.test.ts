/** Lists of accesses and the CSV of anybody's simulator, through the importer and the engine. */
import { describe, expect, test } from "vitest";
import { importTrace } from "../../ts/replay/importers/import.ts";
import { recognise } from "../../ts/replay/importers/index.ts";
import { replayTrace } from "../../ts/replay/replay.ts";
import { Access, Kind, NO_PASID, Scope, Verdict } from "../../ts/replay/trace.ts";
import { random } from "./fixtures/generate.ts";

const read = (data: string, strict = true) => importTrace({ name: "list", data }, { strict });
const wide = (column: Uint32Array, row: number) => BigInt(column[2 * row + 1]) * 2n ** 32n + BigInt(column[2 * row]);

describe("packet lists", () => {
	test.each([
		["hexadecimal, blanks", "0x7f3a2000 0x8\n0x7f3a3000 0x10\n0x7f3a2040 0x8\n"],
		["no 0x, decimal ids, no line end", "7f3a2000\t8\n7f3a3000\t16\n7f3a2040\t8"],
		["commas, names, comments", "# addr,sid\n0x7f3a2000,00:01.0\n0x7f3a3000, 0000:00:02.0\n\n0x7f3a2040,00:01.0\r\n"],
	])("%s", async (_, data) => {
		expect(recognise(data, "x").name).toBe("packet-list");
		const { columns, devices } = await read(data);
		expect(devices.map(({ rid, name }) => [rid, name])).toEqual([[8, "0000:00:01.0"], [16, "0000:00:02.0"]]);
		expect(Array.from(columns.kind)).toEqual([Kind.map, Kind.dma, Kind.map, Kind.dma, Kind.dma]);
		expect(wide(columns.iova, 4)).toBe(0x7f3a2040n);
	});

	test("has the hit rate of a plain LRU, and every access translates", async () => {
		const next = random(5);
		const lines: string[] = [];
		const lru = new Map<string, true>();
		let hits = 0;
		for (let i = 0; i < 5000; i++) {
			const sid = 8 * (1 + Math.floor(next() * 3));
			const page = 0x80000 + Math.floor(next() ** 3 * 200);
			lines.push(`0x${page.toString(16)}${(i & 0xfff).toString(16).padStart(3, "0")} ${sid}${i % 3 === 0 ? " w" : ""}`);
			const key = `${sid}:${page}`;
			if (lru.delete(key)) hits++;
			lru.set(key, true);
			if (lru.size > 64) lru.delete(lru.keys().next().value as string);
		}
		const summary = await replayTrace(await read(lines.join("\n")), { iotlb: { sets: 1, ways: 64 } });
		expect(summary.dma).toMatchObject({ total: 5000, matched: 5000 });
		expect(summary.iotlb).toEqual({ hits, misses: 5000 - hits });
		expect(summary.notes.join()).toMatch(/mapped to themselves/);
	});

	test.each(["0x7f3a2000", "0x7f3a2000 8 x", "zz 8", "0x7f3a2000 8f", "0x12345678901234567 8"])("damage: %s", async (line) => {
		const { report, columns } = await read(`${"0x1000 8\n".repeat(12)}${line}\n`, false);
		expect(report.damage).toMatchObject([{ line: 13 }]);
		expect(Array.from(columns.kind).filter((kind) => kind === Kind.dma).length).toBe(12);
	});

	test("a list of decimals, a poem and a table are none", () => {
		for (const text of ["1 2\n3 4\n", "dead beef\n", "a,b\n1,2\n"]) expect(() => recognise(text, "x")).toThrow(/not a format/);
	});
});

describe("simulator CSV", () => {
	test("columns in any order; every kind of row", async () => {
		const { columns, devices, report } = await read(
			[
				"# made by hand",
				"Kind,time_ns,Device,iova,size,pa,access,verdict,domain,pasid,scope,reason,colour",
				"map,1000,00:01.0,0x1000,8192,0x123456789000,w,,3,,,,red",
				"map,1500,16,0x1000,,0x2000,r,,4,5,,,",
				"dma,2000,0x8,0x1040,64,0x123456789040,r,miss,,,,,",
				"write,2500,8,8256,64,,,hit,,,,,",
				"fault,3000,0000:00:02.0,0x5000,,,w,,,,,6,",
				"unmap,4000,8,0x1000,8192,,,,,,,,",
				"inv,5000,,0x1000,8192,,,,3,,,,",
				"inv,6000,,,,,,,3,,,,",
				"inv,6000,,,,,,,3,5,pasid,,",
			].join("\n"),
		);
		expect(devices).toMatchObject([{ name: "0000:00:01.0", domain: 3 }, { name: "0000:00:02.0", domain: 4 }]);
		expect(Array.from(columns.time)).toEqual([0, 0.5, 1, 1.5, 2, 3, 4, 5, 5]);
		const rows = Array.from(columns.kind.keys(), (row) => [columns.kind[row], columns.id[row], wide(columns.iova, row), wide(columns.size, row), wide(columns.pa, row), columns.flags[row], columns.verdict[row], columns.pasid[row]]);
		expect(rows).toEqual([
			[Kind.map, 0, 0x1000n, 8192n, 0x123456789000n, Access.read | Access.write, 0, NO_PASID],
			[Kind.map, 1, 0x1000n, 4096n, 0x2000n, Access.read, 0, 5],
			[Kind.dma, 0, 0x1040n, 64n, 0x123456789040n, Access.read, Verdict.miss, NO_PASID],
			[Kind.dma, 0, 0x2040n, 64n, 0x12345678a040n, Access.write, Verdict.hit, NO_PASID],
			[Kind.fault, 1, 0x5000n, 1n, 6n, Access.write, 0, NO_PASID],
			[Kind.unmap, 0, 0x1000n, 8192n, 0n, 0, 0, NO_PASID],
			[Kind.invalidate, 3, 0x1000n, 8192n, 0n, Scope.page, 0, NO_PASID],
			[Kind.invalidate, 3, 0n, 0n, 0n, Scope.domain, 0, NO_PASID],
			[Kind.invalidate, 3, 0n, 0n, 0n, Scope.pasid, 0, 5],
		]);
		expect(report.notes.join()).toMatch(/columns that mean nothing here: colour/);
	});

	test("two columns are enough; maps are then made at first use, and made anew when the output changes", async () => {
		const bare = await read("device,iova\n8,0x1000\n8,0x1040\n16,0x1000\n");
		expect(Array.from(bare.columns.kind)).toEqual([Kind.map, Kind.dma, Kind.dma, Kind.map, Kind.dma]);
		expect((await replayTrace(bare)).dma).toMatchObject({ total: 3, matched: 3 });
		const moved = await read("device,iova,pa\n8,0x1000,0x5000\n8,0x1010,0x6010\n");
		expect(Array.from(moved.columns.kind)).toEqual([Kind.map, Kind.dma, Kind.map, Kind.dma]);
		expect((await replayTrace(moved, { iotlb: false })).dma).toMatchObject({ matched: 2 });
	});

	test("replays with its maps, faults and invalidations", async () => {
		const summary = await replayTrace(await read("time_us,kind,device,iova,size,pa,reason,access\n1,map,8,0x1000,4096,0x5000,,r\n2,read,8,0x1008,8,0x5008,,\n3,fault,8,0x1000,1,,5,w\n4,unmap,8,0x1000,4096,,,\n5,inv,8,0x1000,4096,,,\n6,fault,8,0x1000,1,,,r\n"));
		expect(summary.dma).toMatchObject({ total: 3, matched: 3 });
		expect(summary.faults).toMatchObject({ recorded: 2, matched: 2 });
	});

	test.each([
		["8,0x1000,dam,1", /unknown kind/],
		["8,0x1000,dma,x", /time/],
		["8,zz,dma,1", /iova/],
		["eight,0x1000,dma,1", /no device/],
		["8,0x1000,map,1", /no pa/],
		["8,0x1000,dma", /number of fields/],
		["8,0x1000,dma,1,2", /number of fields/],
	])("damage: %s", async (line, what) => {
		const { report, columns } = await read(`device,iova,kind,time_us\n${line}\n8,0x1000,dma,9\n`, false);
		expect(report.damage).toMatchObject([{ line: 2, what: expect.stringMatching(what) }]);
		expect(Array.from(columns.kind)).toEqual([Kind.map, Kind.dma]);
	});
});
