/** AMD IOMMU: names of the I/O Virtualization Technology specification (48882) and, for v2 tables, AMD64 volume 2. */
import { FORMAT_AMD_V1, FORMAT_AMD_V2 } from "../../../assembly/layout.ts";
import { type EntryFormat, type FaultName, field, type Structure, type Words, zero } from "./contract.ts";

const efr = (bit: number) => ({ reserved: { register: "EFR", bit } });

const DTE: Structure = {
	name: "device table entry",
	section: "48882 2.2.2.1",
	bytes: 32,
	fields: [
		field("V", 0, "entry is valid"),
		field("TV", 1, "translation fields are valid"),
		zero([6, 2]),
		field("HAD", [8, 7], "host A and D", { values: { 0: "none", 1: "A", 3: "A and D" } }),
		field("Mode", [11, 9], "levels of the host table", { values: { 0: "no translation", 7: "reserved" } }),
		field("HostPageTableRoot", [51, 12], "host table", { shift: 12 }),
		field("PPR", 52, "peripheral page requests"),
		field("GPRP", 53, "guest PPR response with PASID"),
		field("GIOV", 54, "guest I/O protection", efr(48)),
		field("GV", 55, "guest translation", efr(4)),
		field("GLX", [57, 56], "GCR3 table levels, less one"),
		field("GCR3[14:12]", [60, 58], "guest CR3 table"),
		field("IR", 61, "read"),
		field("IW", 62, "write"),
		zero(63),
		field("DomainID", [79, 64], "domain"),
		field("GCR3[30:15]", [95, 80], "guest CR3 table"),
		field("I", 96, "IOTLB (ATS)"),
		field("SE", 97, "page faults are recorded once"),
		field("SA", 98, "page faults are not recorded"),
		field("IoCtl", [100, 99], "port I/O"),
		field("Cache", 101, "cache hint"),
		field("SD", 102, "snoop disable"),
		field("EX", 103, "exclusion range counts"),
		field("SysMgt", [105, 104], "system management"),
		zero(106),
		field("GCR3[51:31]", [127, 107], "guest CR3 table"),
		field("IV", 128, "interrupt map is valid"),
		field("IntTabLen", [132, 129], "interrupt table length"),
		field("IG", 133, "interrupt faults are not recorded"),
		field("InterruptTableRoot", [179, 134], "interrupt table", { shift: 6 }),
		field("GuestPagingMode", [183, 182], "guest levels", { values: { 0: "4", 1: "5" } }),
		field("IntCtl", [189, 188], "fixed and arbitrated interrupts"),
	],
};

const GCR3: Structure = {
	name: "GCR3 table entry",
	section: "48882 2.2.6",
	bytes: 8,
	fields: [field("V", 0, "valid"), zero([2, 1]), field("PWT", 3, "write-through"), field("PCD", 4, "cache disable"), zero([11, 5]), field("ADDR", [51, 12], "guest CR3, or the next level", { shift: 12 }), zero([63, 52])],
};

const v1: EntryFormat = {
	section: "48882 2.2.3",
	level: (level) => `I/O entry, level ${level + 1}`,
	fields: [
		field("PR", 0, "present"),
		field("A", 5, "accessed"),
		field("D", 6, "dirty", { in: "leaf" }),
		field("NextLevel", [11, 9], "next level", { values: { 0: "page", 7: "page, size in its address" } }),
		field("ADDR", [51, 12], "table or page", { shift: 12 }),
		field("U", 59, "untranslated requests only", { in: "leaf" }),
		field("FC", 60, "force coherent", { in: "leaf" }),
		field("IR", 61, "read"),
		field("IW", 62, "write"),
	],
	// what is present, and yet stops a walk as absent, skips levels whose address bits are not zero
	decides: { 1: [["PR", 0], ["NextLevel", -1]], 2: [["NextLevel", -1]], 3: [["IR", 0]], 4: [["IW", 0]] },
};

const NAMES = ["PTE", "PDE", "PDPE", "PML4E", "PML5E"];

const v2: EntryFormat = {
	section: "AMD64 volume 2, 5.3",
	level: (level) => `guest ${NAMES[level]}`,
	fields: [
		field("P", 0, "present"),
		field("R/W", 1, "write"),
		field("U/S", 2, "user"),
		field("PWT", 3, "write-through"),
		field("PCD", 4, "cache disable"),
		field("A", 5, "accessed"),
		field("D", 6, "dirty", { in: "leaf" }),
		field("PS", 7, "maps a page (PAT in a PTE)"),
		field("G", 8, "global", { in: "leaf" }),
		field("ADDR", [51, 12], "table or page", { shift: 12 }),
		field("NX", 63, "no-execute"),
	],
	decides: { 1: [["P", 0]], 4: [["R/W", 0]], 5: [["NX", 1]], 6: [["U/S", 0]] },
};

const fault = (name: string, means: string, section: string, ...fields: string[]): FaultName => ({ name, means, section: `48882 ${section}`, fields });

const faults: Record<number, FaultName> = {
	1: fault("ILLEGAL_DEV_TABLE_ENTRY", "reserved bits, or fields that the unit does not support, of the device table entry", "2.5.2"),
	2: fault("IO_PAGE_FAULT", "the tables do not allow the access", "2.5.3", "TV", "Mode", "IR", "IW", "V"),
	3: fault("DEV_TAB_HARDWARE_ERROR", "the device table entry cannot be read", "2.5.4"),
	4: fault("PAGE_TAB_HARDWARE_ERROR", "a page table or GCR3 entry cannot be read or updated", "2.5.5"),
	8: fault("INVALID_DEVICE_REQUEST", "a request that this address range does not take", "2.5.9"),
};

export const amdvi: Words = {
	registers: ["DEVTAB", "CONTROL"],
	structure: ({ phase }) => (phase === "device" ? DTE : GCR3),
	formats: { [FORMAT_AMD_V1]: v1, [FORMAT_AMD_V2]: v2 },
	faults,
};
