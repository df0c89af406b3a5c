/** RISC-V IOMMU: names of the IOMMU Architecture Specification 1.0 and of the Privileged Architecture. */
import { FORMAT_RISCV_SV, FORMAT_RISCV_SV32 } from "../../../assembly/layout.ts";
import { type EntryFormat, type Field, faultTable, field, type Structure, type Words, zero } from "./contract.ts";

const HOST_MODES = { 0: "Bare", 8: "Sv39x4 (Sv32x4 with GXL)", 9: "Sv48x4", 10: "Sv57x4" };
const MODES = { 0: "Bare", 8: "Sv39 (Sv32 with SXL)", 9: "Sv48", 10: "Sv57" };
const caps = (bit: number) => ({ reserved: { register: "CAPABILITIES", bit } });

const nonLeaf = (name: string): Structure => ({
	name,
	section: "RISC-V IOMMU 3.1.1, 3.2.1",
	bytes: 8,
	fields: [field("V", 0, "valid"), zero([9, 1]), field("PPN", [53, 10], "next table", { shift: 12 }), zero([63, 54])],
});
const DDT = nonLeaf("non-leaf DDT entry");
const PDT = nonLeaf("non-leaf PDT entry");

const BASE: Field[] = [
	field("V", 0, "valid"),
	field("EN_ATS", 1, "ATS", caps(25)),
	field("EN_PRI", 2, "page requests", caps(25)),
	field("T2GPA", 3, "ATS answers with guest addresses", caps(26)),
	field("DTF", 4, "faults are not recorded"),
	field("PDTV", 5, "fsc is a process directory"),
	field("PRPR", 6, "page response with PASID", caps(25)),
	field("GADE", 7, "hardware A and D, second stage", caps(24)),
	field("SADE", 8, "hardware A and D, first stage", caps(24)),
	field("DPE", 9, "requests without process_id are process 0's"),
	field("SBE", 10, "big-endian first stage"),
	field("SXL", 11, "32-bit first stage"),
	zero([23, 12]),
	zero([63, 32]),
	field("iohgatp.PPN", [107, 64], "second-stage root", { shift: 12 }),
	field("iohgatp.GSCID", [123, 108], "guest"),
	field("iohgatp.MODE", [127, 124], "second stage", { values: HOST_MODES }),
	zero([139, 128]),
	field("ta.PSCID", [159, 140], "process space"),
	zero([167, 160]),
	field("ta.RCID", [179, 168], "QoS resource", caps(41)),
	field("ta.MCID", [191, 180], "QoS monitor", caps(41)),
	field("fsc.PPN", [235, 192], "first-stage root or process directory", { shift: 12 }),
	zero([251, 236]),
	field("fsc.MODE", [255, 252], "iosatp: 0 Bare, 8 Sv39 (Sv32 with SXL), 9 Sv48, 10 Sv57; pdtp: 1 PD8, 2 PD17, 3 PD20"),
];
const EXTENSION: Field[] = [
	field("msiptp.PPN", [299, 256], "MSI page table", { shift: 12 }),
	zero([315, 300]),
	field("msiptp.MODE", [319, 316], "MSI page table", { values: { 0: "Off", 1: "Flat" } }),
	field("msi_addr_mask", [371, 320], "mask of interrupt file pages"),
	zero([383, 372]),
	field("msi_addr_pattern", [435, 384], "pattern of interrupt file pages"),
	zero([447, 436]),
	zero([511, 448]),
];
const DC: Structure = { name: "device context", section: "RISC-V IOMMU 3.1.3", bytes: 32, fields: BASE };
const EXTENDED: Structure = { name: "device context (extended)", section: "RISC-V IOMMU 3.1.3", bytes: 64, fields: [...BASE, ...EXTENSION] };

const PC: Structure = {
	name: "process context",
	section: "RISC-V IOMMU 3.2.3",
	bytes: 16,
	fields: [
		field("V", 0, "valid"),
		field("ENS", 1, "supervisor requests"),
		field("SUM", 2, "supervisors reach user pages"),
		zero([11, 3]),
		field("PSCID", [31, 12], "process space"),
		zero([63, 32]),
		field("fsc.PPN", [107, 64], "first-stage root", { shift: 12 }),
		zero([123, 108]),
		field("fsc.MODE", [127, 124], "first stage", { values: MODES }),
	],
};

const MSI: Structure = {
	name: "MSI page-table entry",
	section: "RISC-V IOMMU 3.3.3",
	bytes: 16,
	fields: [
		field("V", 0, "valid"),
		field("M", [2, 1], "mode", { values: { 1: "MRIF", 3: "basic" } }),
		field("PPN", [53, 10], "basic: page", { shift: 12 }),
		field("MRIF", [53, 7], "MRIF: memory-resident interrupt file", { shift: 9 }),
		zero([62, 54]),
		field("C", 63, "custom"),
		field("NID[9:0]", [73, 64], "MRIF: notice identity"),
		field("NPPN", [117, 74], "MRIF: notice page", { shift: 12 }),
		field("NID[10]", 124, "MRIF: notice identity"),
	],
};

const LOW: Field[] = [
	field("V", 0, "valid"),
	field("R", 1, "read", { in: "leaf" }),
	field("W", 2, "write", { in: "leaf" }),
	field("X", 3, "execute", { in: "leaf" }),
	field("U", 4, "user", { in: "leaf" }),
	field("G", 5, "global"),
	field("A", 6, "accessed", { in: "leaf" }),
	field("D", 7, "dirty", { in: "leaf" }),
	field("RSW", [9, 8], "software's"),
];
const decides: EntryFormat["decides"] = { 1: [["V", 0]], 3: [["U", 0], ["R", 0]], 4: [["W", 0]], 5: [["X", 0], ["U", 1]], 6: [["U", 0], ["U", 1]], 11: [["A", 0], ["D", 0]] };

const sv: EntryFormat = {
	section: "Privileged Architecture 12.4, 18.5",
	level: (level) => `PTE, level ${level}`,
	fields: [...LOW, field("PPN", [53, 10], "table or page", { shift: 12 }), field("RSW60", [60, 59], "software's (Svrsw60t59b)"), field("PBMT", [62, 61], "memory type", { values: { 0: "PMA", 1: "NC", 2: "IO", 3: "reserved" } }), field("N", 63, "NAPOT")],
	decides,
};
const sv32: EntryFormat = { section: "Privileged Architecture 12.3, 18.5", level: (level) => `PTE, level ${level}`, fields: [...LOW, field("PPN", [31, 10], "table or page", { shift: 12 })], decides };

const faults = faultTable("RISC-V IOMMU 4.2", [
	[1, "instruction access fault", "memory that a fetch needs cannot be read, or an MSI page does not execute"],
	[4, "read address misaligned", "the address is not aligned"],
	[5, "read access fault", "a page-table entry cannot be read or updated"],
	[6, "write/AMO address misaligned", "the address is not aligned"],
	[7, "write/AMO access fault", "a page-table entry cannot be read or updated"],
	[12, "instruction page fault", "the first stage does not allow the fetch"],
	[13, "read page fault", "the first stage does not allow the read"],
	[15, "write/AMO page fault", "the first stage does not allow the write"],
	[20, "instruction guest-page fault", "the second stage does not allow the fetch, or a first-stage table's"],
	[21, "read guest-page fault", "the second stage does not allow the read, or a first-stage table's"],
	[23, "write/AMO guest-page fault", "the second stage does not allow the write, or a first-stage table's"],
	[256, "all inbound transactions disallowed", "ddtp.iommu_mode is Off"],
	[257, "DDT entry load access fault", "a DDT entry cannot be read"],
	[258, "DDT entry not valid", "V of a DDT entry is 0", "V"],
	[259, "DDT entry misconfigured", "reserved bits or settings that the unit does not have"],
	[260, "transaction type disallowed", "the device_id, process_id or privilege is not one that the context takes", "PDTV", "ENS"],
	[261, "MSI PTE load access fault", "an MSI page-table entry cannot be read"],
	[262, "MSI PTE not valid", "V of the MSI page-table entry is 0", "V"],
	[263, "MSI PTE misconfigured", "reserved bits or mode of the MSI page-table entry", "M", "C=1"],
	[264, "MRIF access fault", "the memory-resident interrupt file cannot be reached"],
	[265, "PDT entry load access fault", "a PDT entry cannot be read"],
	[266, "PDT entry not valid", "V of a PDT entry is 0", "V"],
	[267, "PDT entry misconfigured", "reserved bits or settings that the unit does not have"],
	[268, "DDT data corruption", "a DDT entry is poisoned"],
	[269, "PDT data corruption", "a PDT entry is poisoned"],
	[270, "MSI PT data corruption", "an MSI page-table entry is poisoned"],
	[271, "MSI MRIF data corruption", "an interrupt file is poisoned"],
	[272, "internal data path error", "the unit's own"],
	[273, "IOMMU MSI write access fault", "an interrupt of the unit cannot be written"],
	[274, "first/second-stage PT data corruption", "a page-table entry is poisoned"],
]);

export const riscv: Words = {
	registers: ["DDTP", "FCTL"],
	structure({ phase, level, register }) {
		if (phase === "walk") return MSI;
		if (phase === "pasid") return level === 0 ? PC : PDT;
		if (level !== 0) return DDT;
		return (register("CAPABILITIES") >> 22n) & 1n ? EXTENDED : DC;
	},
	formats: { [FORMAT_RISCV_SV]: sv, [FORMAT_RISCV_SV32]: sv32 },
	faults,
};
