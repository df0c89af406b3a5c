/** Line shapes of each format, old and new. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { importTrace } from "../../ts/replay/importers/import.ts";
import { openTrace } from "../../ts/replay/stream.ts";
import { recognise } from "../../ts/replay/importers/index.ts";
import { Access, type Columns, Kind, NO_DEVICE, Scope, Verdict } from "../../ts/replay/trace.ts";
import { replayWithMaps } from "./fixtures/model.ts";

const path = (name: string) => new URL(`fixtures/${name}`, import.meta.url).pathname;
const from = (...lines: string[]) => importTrace({ name: "text", data: `${lines.join("\n")}\n` }, { strict: true });
const wide = (column: Uint32Array, row: number) => BigInt(column[2 * row + 1]) * 2n ** 32n + BigInt(column[2 * row]);
const rowsOf = (columns: Columns) =>
	Array.from({ length: columns.length }, (_, row) => ({
		kind: columns.kind[row],
		id: columns.id[row],
		iova: wide(columns.iova, row),
		size: wide(columns.size, row),
		pa: wide(columns.pa, row),
		flags: columns.flags[row],
		verdict: columns.verdict[row],
	}));

test("every fixture is recognised by its content", () => {
	const names = { "qemu-vtd": "vtd_mixed_cut.qemu.log.gz", "qemu-smmuv3": "smmuv3_mixed_cut.qemu.log.gz", ftrace: "vtd_faults_edu.guest_ftrace.txt.gz", "merged-csv": "vtd_mixed_cut.merged.csv.gz" };
	for (const [name, file] of Object.entries(names)) {
		const head = gunzipSync(readFileSync(path(file))).toString("latin1").slice(0, 1 << 16);
		expect(recognise(head, file).name).toBe(name);
		// without its header and cut anywhere, too
		expect(recognise(head.slice(3000), file).name).toBe(name);
	}
});

describe("QEMU intel-iommu", () => {
	test("64-bit addresses, large pages, new names of fields", async () => {
		const { columns, devices } = await from(
			"vtd_dmar_enable enable 1",
			"vtd_iotlb_page_update IOTLB page update sid 0x1fa iova 0xfedcba9876543210 pte 0x123456789003 domain 0x1f",
			"vtd_dmar_translate dev 01:1f.02 iova 0xfedcba9876543000 -> gpa 0x123456789000 mask 0xfff",
			"vtd_iotlb_page_hit IOTLB page hit sid 0x1fa iova 0x40012345 pte 0x80000083 domain 0x1f",
			"vtd_dmar_translate dev 01:1f.02 iova 0x40000000 -> gpa 0x80000000 mask 0x1fffff",
		);
		expect(devices).toEqual([{ segment: 0, rid: 0x1fa, name: "0000:01:1f.2", domain: 0x1f, levels: null }]);
		expect(rowsOf(columns)).toEqual([
			{ kind: Kind.dma, id: 0, iova: 0xfedcba9876543000n, size: 4096n, pa: 0x123456789000n, flags: Access.any, verdict: Verdict.miss },
			{ kind: Kind.dma, id: 0, iova: 0x40012000n, size: 4096n, pa: 0x80012000n, flags: Access.any, verdict: Verdict.hit },
		]);
	});

	test("a verdict belongs to the translation of its device and page", async () => {
		const { columns } = await from(
			"vtd_dmar_enable enable 1",
			"vtd_iotlb_page_hit IOTLB page hit sid 0x8 iova 0x1000 slpte 0x5003 domain 0x3",
			"vtd_iotlb_page_update IOTLB page update sid 0x10 iova 0x1000 slpte 0x6003 domain 0x4",
			"vtd_dmar_translate dev 00:01.00 iova 0x1000 -> gpa 0x5000 mask 0xfff",
			"vtd_dmar_translate dev 00:02.00 iova 0x1000 -> gpa 0x6000 mask 0xfff",
			"vtd_dmar_translate dev 00:02.00 iova 0x2000 -> gpa 0x7000 mask 0xfff",
		);
		expect(Array.from(columns.verdict)).toEqual([Verdict.hit, Verdict.miss, Verdict.none]);
	});

	test("invalidations of every scope", async () => {
		const { columns } = await from(
			"vtd_inv_desc invalidate desc type iotlb high 0x0 low 0xd2",
			"vtd_inv_desc_iotlb_global iotlb invalidate global",
			"vtd_inv_desc invalidate desc type iotlb high 0x0 low 0x300e2",
			"vtd_inv_desc_iotlb_domain iotlb invalidate whole domain 0x3",
			"vtd_inv_desc invalidate desc type iotlb high 0xffff0044 low 0x300f2",
			"vtd_inv_desc_iotlb_pages iotlb invalidate domain 0x3 addr 0xffff0000 mask 0x4",
			"vtd_inv_desc invalidate desc type wait high 0x1852804 low 0x200000025",
			"vtd_inv_desc invalidate desc type piotlb high 0x0 low 0x700050026",
			"vtd_inv_desc invalidate desc type piotlb high 0xffffe001 low 0x700050036",
		);
		const rows = rowsOf(columns).map(({ id, flags, iova, size }, row) => [flags, id, iova, size, columns.pasid[row]]);
		expect(rows).toEqual([
			[Scope.global, 0, 0n, 0n, 0xffffffff],
			[Scope.domain, 3, 0n, 0n, 0xffffffff],
			[Scope.page, 3, 0xffff0000n, 65536n, 0xffffffff],
			[Scope.pasid, 5, 0n, 0n, 7],
			[Scope.pasidPage, 5, 0xffffe000n, 8192n, 7],
		]);
	});

	test("interrupts and DMAs before remapping are left out; context lines make devices and levels", async () => {
		const { columns, devices, report } = await from(
			"vtd_dmar_translate dev 00:05.00 iova 0x7000 -> gpa 0x7000 mask 0xfff",
			"vtd_dmar_enable enable 1",
			"vtd_iotlb_cc_update IOTLB context update bus 0x2 devfn 0x10 high 0x402 low 0x27b26001 gen 0 -> gen 1",
			"vtd_dmar_translate dev 00:01.00 iova 0xfee00000 -> gpa 0xfee00000 mask 0xfff",
			"vtd_dmar_fault sid 0x8 fault 5 addr 0x7000 write 1",
		);
		expect(rowsOf(columns)).toMatchObject([{ kind: Kind.fault, iova: 0x7000n, pa: 5n, flags: Access.write }]);
		expect(devices).toMatchObject([{ rid: 8, domain: null }, { rid: 0x210, domain: 4, levels: 4 }]);
		expect(report.notes.join()).toMatch(/1 DMAs into 0xFEE.*1 DMAs while remapping was off/);
	});

	test("in scalable mode the context words are no domain", async () => {
		const { devices } = await from("vtd_reg_dmar_root addr 0x1a38000 scalable 1", "vtd_iotlb_cc_update IOTLB context update bus 0x0 devfn 0x8 high 0x0 low 0x27b26001 gen 0 -> gen 1");
		expect(devices).toMatchObject([{ rid: 8, domain: null, levels: null }]);
	});
});

describe("QEMU SMMUv3", () => {
	test("old and new shapes", async () => {
		const { columns, devices } = await from(
			"smmu_iotlb_lookup_miss IOTLB cache MISS asid=3 vmid=-1 addr=0xffffd000 hit=0 miss=1 hit rate=0",
			"smmuv3_translate_success smmuv3-iommu-memory-region-8-1 sid=0x8 iova=0xffffd040 translated=0x4efd3040 perm=0x1 stage=1",
			"smmuv3_translate_success smmuv3-iommu-memory-region-16-2 sid=16 iova=0x1000 translated=0x2000 perm=0x3",
			"smmuv3_range_inval vmid=0 asid=3 addr=0xffffc000 tg=1 num_pages=0x10 ttl=3 leaf=1 stage=1",
			"smmuv3_s1_range_inval vmid=0 asid=3 addr=0xffff0000 tg=3 num_pages=0x2 ttl=3 leaf=1",
			"smmu_iotlb_inv_asid IOTLB invalidate asid=3",
			"smmu_iotlb_inv_all IOTLB invalidate all",
		);
		expect(devices.map(({ rid, domain }) => [rid, domain])).toEqual([[8, 3], [16, null]]);
		expect(rowsOf(columns).map(({ kind, flags, size, verdict }) => [kind, flags, size, verdict])).toEqual([
			[Kind.dma, Access.read, 4096n, Verdict.miss],
			[Kind.dma, Access.any, 4096n, Verdict.none],
			[Kind.invalidate, Scope.page, 65536n, 0],
			[Kind.invalidate, Scope.page, 131072n, 0],
			[Kind.invalidate, Scope.domain, 0n, 0],
			[Kind.invalidate, Scope.global, 0n, 0],
		]);
	});
});

describe("ftrace", () => {
	const map = "map: IOMMU: iova=0x00000000fffff000 - 0x0000000100000000 paddr=0x000000000d4ef000 size=4096";
	const owner = "dma_alloc: 0000:00:01.0 dir=BIDIRECTIONAL dma_addr=fffff000 size=512 virt_addr=0 flags=GFP_KERNEL attrs=";

	test.each([
		["as of 6.12", "    kworker/u8:3-120     [000] .....     2.864186: ", ""],
		["no flags", "    kworker/u8:3-120     [000]     2.864186: ", ""],
		["four flags", "    kworker/u8:3-120     [000] d..1     2.864186: ", ""],
		["thread groups", "    kworker/u8:3-120     (    120) [000] .....     2.864186: ", ""],
		["nanoseconds", "    kworker/u8:3-120     [000] .....     2.864186123: ", ""],
		["a comm with brackets and colons", "  a [12] b: c-120     [000] .....     2.864186: ", ""],
	])("%s", async (_, prefix) => {
		const { columns, devices } = await from("# tracer: nop", prefix + map, prefix + owner);
		expect(devices.map(({ name }) => name)).toEqual(["0000:00:01.0"]);
		expect(rowsOf(columns)).toMatchObject([{ kind: Kind.map, id: 0, iova: 0xfffff000n, size: 4096n, pa: 0xd4ef000n, flags: Access.read | Access.write }]);
	});

	const at = (task: string, cpu: number, flags: string, micros: number, event: string) => `  ${task} [00${cpu}] ${flags}  1.${String(micros).padStart(6, "0")}: ${event}`;

	test("older maps have no end; newer ones name the device", async () => {
		const { columns, devices } = await from(
			at("a-1", 0, "...1", 1, "map: IOMMU: iova=0x0000000000001000 paddr=0x0000000000005000 size=4096"),
			at("a-1", 0, "...1", 2, "map: IOMMU: dev=0000:00:02.0 iova=0x0000000000002000 - 0x0000000000003000 paddr=0x0000000000006000 size=4096"),
			at("a-1", 0, "...1", 3, "dma_map_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=1000 size=10 phys_addr=5000 attrs="),
		);
		expect(Array.from(columns.id, (id) => devices[id].name)).toEqual(["0000:00:01.0", "0000:00:02.0"]);
		expect(columns.flags[0]).toBe(Access.read);
	});

	test("a handler that interrupts a driver maps for itself", async () => {
		const { columns, devices } = await from(
			at("a-1", 0, "....1", 1, "map: IOMMU: iova=0x0000000000001000 - 0x0000000000002000 paddr=0x0000000000005000 size=4096"),
			at("a-1", 0, "..s.1", 2, "map: IOMMU: iova=0x0000000000001000 - 0x0000000000002000 paddr=0x0000000000006000 size=4096"),
			at("a-1", 0, "..s.1", 3, "dma_map_page: 0000:00:02.0 dir=TO_DEVICE dma_addr=1000 size=10 phys_addr=6000 attrs="),
			at("a-1", 1, "....1", 4, "dma_map_page: 0000:00:01.0 dir=FROM_DEVICE dma_addr=1000 size=10 phys_addr=5000 attrs="),
		);
		expect(Array.from(columns.id, (id) => devices[id].name)).toEqual(["0000:00:01.0", "0000:00:02.0"]);
		// no table of these architectures has write-only entries
		expect(Array.from(columns.flags)).toEqual([Access.read | Access.write, Access.read]);
	});

	test("unmaps by the call before, the call after, and the only device that maps the range", async () => {
		const maps = ["1", "2"].flatMap((slot, index) => [
			at("a-1", 0, "....1", 10 * index, `map: IOMMU: iova=0x0000000000001000 - 0x0000000000003000 paddr=0x000000000000${slot}000 size=8192`),
			at("a-1", 0, "....1", 10 * index + 1, `dma_map_sg: 0000:00:0${slot}.0 dir=TO_DEVICE nents=2/2 ents=1/1 dma_addrs={0x1000} sizes={0x2000} phys_addrs={0x${slot}000,0x9000} attrs=`),
		]);
		const unmap = (page: number) => `unmap: IOMMU: iova=0x000000000000${page}000 - 0x000000000000${page + 1}000 size=4096 unmapped_size=4096`;
		const { columns, devices, report } = await from(
			...maps,
			at("<idle>-0", 1, "..s.1", 30, "dma_unmap_sg: 0000:00:02.0 dir=TO_DEVICE phys_addrs={0x2000,0x9000} attrs="),
			at("<idle>-0", 1, "..s.1", 31, unmap(1)),
			at("<idle>-0", 1, "..s.1", 40, unmap(2)),
			// another CPU's idle task is another task
			at("<idle>-0", 0, "..s.1", 41, "dma_unmap_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=2000 size=9 attrs="),
			at("<idle>-0", 1, "..s.1", 42, "dma_unmap_page: 0000:00:02.0 dir=TO_DEVICE dma_addr=2010 size=9 attrs="),
			at("b-7", 1, "....1", 50, unmap(1)),
			at("b-7", 1, "....1", 60, unmap(5)),
		);
		const owners = Array.from(columns.id.slice(2), (id) => (id === NO_DEVICE ? null : devices[id].name));
		expect(owners).toEqual(["0000:00:02.0", "0000:00:02.0", "0000:00:01.0", null]);
		expect(report.notes.join()).toMatch(/1 unmaps belong to no device/);
	});

	test("a fault that the kernel reports", async () => {
		const { columns, devices } = await from(
			at("a-1", 0, "....1", 1, "map: IOMMU: iova=0x0000000000001000 - 0x0000000000002000 paddr=0x0000000000005000 size=4096"),
			at("a-1", 0, "....1", 3, "dma_map_page: 0000:00:02.0 dir=TO_DEVICE dma_addr=1000 size=10 phys_addr=5000 attrs="),
			at("a-1", 0, "....1", 9, "io_page_fault: IOMMU:amd_iommu 0000:00:02.0 iova=0x0000000000001000 flags=0x0001"),
		);
		expect(rowsOf(columns)[1]).toMatchObject({ kind: Kind.fault, id: 0, iova: 0x1000n, flags: Access.write });
		expect(devices.length).toBe(1);
	});
});

describe("joined CSV", () => {
	const HEADER = "t_us,kind,id,iova,size,pa,info";

	test("the real cut replays, and knows what recorded it", async () => {
		const trace = await importTrace(path("vtd_mixed_cut.merged.csv.gz"));
		expect([trace.architecture, trace.stage]).toEqual(["vtd", "second"]);
		expect(replayWithMaps(trace)).toMatchObject({ wrong: 0, unexplained: 0, forbidden: 0, verdicts: { disagree: 0 } });
		expect(trace.devices[0]).toMatchObject({ name: "0000:00:01.0", domain: 3 });
	});

	test("every kind of row", async () => {
		const { columns, devices, architecture } = await from(
			HEADER,
			"10.5,map,8,0xfffff000,8192,0x123456789000,w",
			"11.25,map,16,0x1000,4096,0x2000,r",
			"12,dma,8,0xfffff040,4096,0x123456789040,miss;did=3;pte=0x60000008090f4b",
			"13,dma,8,0xfffff040,4096,0x123456789040,hit;did=3;pte=0x0",
			"14,fault,16,0x5000,4096,6,w",
			"14,fault,16,0x5000,4096,0x6,r",
			"15,unmap,-1,0xfffff000,8192,0x0,",
			"16,unmap,None,0x7000,4096,0x0,",
			"17,inv,3,0xfffff000,8192,0x0,page",
			"18,inv,0,0x0,0,0x0,global",
			"19,inv,3,0x1000,4096,0x0,pasid-page",
		);
		expect(architecture).toBe("smmuv3");
		expect(devices).toMatchObject([{ rid: 8, domain: 3 }, { rid: 16, domain: null }]);
		expect(Array.from(columns.time.slice(0, 3))).toEqual([0, 0.75, 1.5]);
		expect(rowsOf(columns).map(({ kind, id, flags, pa }) => [kind, id, flags, pa])).toEqual([
			[Kind.map, 0, Access.read | Access.write, 0x123456789000n],
			[Kind.map, 1, Access.read, 0x2000n],
			[Kind.dma, 0, Access.any, 0x123456789040n],
			[Kind.dma, 0, Access.any, 0x123456789040n],
			[Kind.fault, 1, Access.write, 6n],
			[Kind.fault, 1, Access.read, 6n],
			[Kind.unmap, 0, 0, 0n],
			[Kind.unmap, NO_DEVICE, 0, 0n],
			[Kind.invalidate, 3, Scope.page, 0n],
			[Kind.invalidate, 0, Scope.global, 0n],
			[Kind.invalidate, 3, Scope.pasidPage, 0n],
		]);
	});

	test.each([
		"1,dma,8,0x1000,4096,0x2000",
		"1,dam,8,0x1000,4096,0x2000,hit",
		"x,dma,8,0x1000,4096,0x2000,hit",
		"1,dma,eight,0x1000,4096,0x2000,hit",
		"1,dma,8,1000,4096,0x2000,hit",
		"1,dma,8,0x1000,4k,0x2000,hit",
		"1,dma,8,0x1000,4096,,hit",
		"1,map,8,0x1000,4096,0x2000,x",
		"1,inv,8,0x1000,4096,0x0,everything",
	])("damage: %s", async (line) => {
		const { report, columns } = await importTrace({ name: "m.csv", data: `${HEADER}\n${line}\n2,map,8,0x1000,4096,0x2000,r\n` });
		expect(report.damage).toMatchObject([{ file: "m.csv", line: 2 }]);
		expect(columns.length).toBe(1);
	});

	test("time never goes back", async () => {
		const { columns, report } = await from(HEADER, "5,map,8,0x1000,4096,0x2000,r", "3,map,8,0x3000,4096,0x2000,r", "9,map,8,0x4000,4096,0x2000,r");
		expect(Array.from(columns.time)).toEqual([0, 0, 4]);
		expect(report.notes.join()).toMatch(/1 rows go back in time/);
	});

	test("from and to: maps stay, DMAs outside go", async () => {
		const csv = gunzipSync(readFileSync(path("vtd_mixed_cut.merged.csv.gz"))).toString();
		const whole = await importTrace({ name: "m.csv", data: csv });
		const middle = whole.columns.time[400];
		const end = whole.columns.time[600];
		const cut = await importTrace({ name: "m.csv", data: csv }, { from: middle, to: end });
		const expected = Array.from(whole.columns.time.keys()).filter((row) => {
			const time = whole.columns.time[row];
			return time < end && (time >= middle || whole.columns.kind[row] !== Kind.dma);
		});
		expect(rowsOf(cut.columns)).toEqual(expected.map((row) => rowsOf(whole.columns)[row]));
		expect(replayWithMaps(cut)).toMatchObject({ wrong: 0, unexplained: 0 });
	});

	test("streams in chunks of 64 Ki events that make up the whole", async () => {
		const lines = Array.from({ length: 150_000 }, (_, i) => `${i},dma,${8 * (1 + (i % 3))},0x${(i * 4096).toString(16)},4096,0x1000,miss;did=3;pte=0x1003`);
		const data = new TextEncoder().encode(`${HEADER}\n${lines.join("\n")}\n`);
		const lengths: number[] = [];
		let row = 0;
		const { head, chunks } = await openTrace(data, { stream: true });
		expect(head).toMatchObject({ architecture: "vtd", events: 150_000, report: { lines: 150_001 } });
		const { devices } = head;
		for await (const columns of chunks()) {
			lengths.push(columns.length);
			for (let i = 0; i < columns.length; i++, row++) {
				if (wide(columns.iova, i) !== BigInt(row * 4096) || devices[columns.id[i]].rid !== 8 * (1 + (row % 3)) || columns.time[i] !== row) throw new Error(`row ${row} is wrong`);
			}
		}
		expect(row).toBe(150_000);
		expect(lengths.slice(0, -1).every((length) => length === 1 << 16)).toBe(true);
		// what needs a join comes whole
		expect((await openTrace({ name: "x", data: "vtd_dmar_enable enable 1\n" }, { stream: true })).head.events).toBe(0);
	});
});
