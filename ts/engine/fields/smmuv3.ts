/** Arm SMMUv3: names of IHI 0070 (chapters 5 and 7), of VMSAv8-64 those of the Arm ARM (DDI 0487, D8.3). */
import { FORMAT_VMSA_FIRST, FORMAT_VMSA_SECOND } from "../../../assembly/layout.ts";
import { type EntryFormat, faultTable, field, type Structure, type Words } from "./contract.ts";

const SIZES = { 0: "32 bits", 1: "36 bits", 2: "40 bits", 3: "42 bits", 4: "44 bits", 5: "48 bits", 6: "52 bits" };
const GRANULES = { 0: "4K", 1: "64K", 2: "16K" };

const L1STD: Structure = {
	name: "level 1 stream table descriptor",
	section: "IHI 0070 5.1",
	bytes: 8,
	fields: [field("Span", [4, 0], "2^(Span - 1) entries, 0 none"), field("L2Ptr", [55, 6], "level 2 table", { shift: 6 })],
};

const STE: Structure = {
	name: "STE",
	section: "IHI 0070 5.2",
	bytes: 64,
	fields: [
		field("V", 0, "valid"),
		field("Config", [3, 1], "what the stream does", { values: { 0: "abort", 4: "bypass", 5: "stage 1", 6: "stage 2", 7: "both stages" } }),
		field("S1Fmt", [5, 4], "CD table", { values: { 0: "linear", 1: "two levels, 4K leaves", 2: "two levels, 64K leaves" } }),
		field("S1ContextPtr", [55, 6], "CD or CD table", { shift: 6 }),
		field("S1CDMax", [63, 59], "lg2 number of CDs"),
		field("S1DSS", [65, 64], "requests without SubstreamID", { values: { 0: "terminated", 1: "skip stage 1", 2: "use CD 0" } }),
		field("S2FWB", 89, "forced write-back"),
		field("S1STALLD", 91, "stage 1 may not stall"),
		field("EATS", [93, 92], "ATS", { values: { 0: "off", 1: "full", 2: "split-stage" } }),
		field("STRW", [95, 94], "stream world"),
		field("PRIVCFG", [113, 112], "privilege", { values: { 0: "incoming", 2: "unprivileged", 3: "privileged" } }),
		field("INSTCFG", [115, 114], "instruction", { values: { 0: "incoming", 2: "data", 3: "instruction" } }),
		field("S2VMID", [143, 128], "VMID"),
		field("S2T0SZ", [165, 160], "stage 2 input: 64 - S2T0SZ bits"),
		field("S2SL0", [167, 166], "start level"),
		field("S2TG", [175, 174], "granule", { values: GRANULES }),
		field("S2PS", [178, 176], "output size", { values: SIZES }),
		field("S2AA64", 179, "VMSAv8-64"),
		field("S2ENDI", 180, "big-endian tables"),
		field("S2AFFD", 181, "AF = 0 does not fault"),
		field("S2PTW", 182, "table walks keep off Device memory"),
		field("S2HD", 183, "hardware D"),
		field("S2HA", 184, "hardware A"),
		field("S2S", 185, "stage 2 stalls"),
		field("S2R", 186, "stage 2 faults are recorded"),
		field("S2SL0_2", 194, "start level, high bit"),
		field("S2DS", 195, "52-bit descriptors"),
		field("S2TTB", [243, 196], "stage 2 table", { shift: 4 }),
	],
};

const L1CD: Structure = {
	name: "level 1 context descriptor",
	section: "IHI 0070 5.3",
	bytes: 8,
	fields: [field("V", 0, "valid"), field("L2Ptr", [55, 12], "level 2 table", { shift: 12 })],
};

const CD: Structure = {
	name: "CD",
	section: "IHI 0070 5.4",
	bytes: 64,
	fields: [
		field("T0SZ", [5, 0], "TTB0 input: 64 - T0SZ bits"),
		field("TG0", [7, 6], "granule of TTB0", { values: GRANULES }),
		field("EPD0", 14, "no walks of TTB0"),
		field("ENDI", 15, "big-endian tables"),
		field("T1SZ", [21, 16], "TTB1 input: 64 - T1SZ bits"),
		field("TG1", [23, 22], "granule of TTB1", { values: { 1: "16K", 2: "4K", 3: "64K" } }),
		field("EPD1", 30, "no walks of TTB1"),
		field("V", 31, "valid"),
		field("IPS", [34, 32], "output size", { values: SIZES }),
		field("AFFD", 35, "AF = 0 does not fault"),
		field("WXN", 36, "what can be written cannot be executed"),
		field("TBI0", 38, "top byte ignored"),
		field("TBI1", 39, "top byte ignored"),
		field("PAN", 40, "privileged accesses keep off user pages"),
		field("AA64", 41, "VMSAv8-64"),
		field("HD", 42, "hardware D"),
		field("HA", 43, "hardware A"),
		field("S", 44, "faults stall"),
		field("R", 45, "faults are recorded"),
		field("A", 46, "faults abort"),
		field("ASID", [63, 48], "ASID"),
		field("HAD0", 65, "table bits of rights are ignored"),
		field("E0PD0", 66, "unprivileged accesses fault"),
		field("TTB0", [115, 68], "stage 1 table", { shift: 4 }),
		field("EPAN", 123, "enhanced PAN"),
		field("HAD1", 129, "table bits of rights are ignored"),
		field("E0PD1", 130, "unprivileged accesses fault"),
		field("TTB1", [179, 132], "stage 1 table of the upper range", { shift: 4 }),
		field("DS", 186, "52-bit descriptors"),
		field("MAIR0", [223, 192], "memory attributes 0 to 3"),
		field("MAIR1", [255, 224], "memory attributes 4 to 7"),
	],
};

// bits 1:0: 3 a table (or a page at level 3), 1 a block, else invalid
const type = field("type", [1, 0], "descriptor", { values: { 0: "invalid", 1: "block", 2: "invalid", 3: "table or page" } });
const level = (stage: number) => (at: number) => `stage ${stage} descriptor, level ${3 - at}`;
const address = field("OutputAddress", [49, 12], "table, block or page", { shift: 12 });

const first: EntryFormat = {
	section: "DDI 0487 D8.3",
	level: level(1),
	fields: [
		type,
		field("AttrIndx", [4, 2], "index of MAIR", { in: "leaf" }),
		field("AP[1]", 6, "unprivileged access", { in: "leaf" }),
		field("AP[2]", 7, "read-only", { in: "leaf" }),
		field("SH", [9, 8], "shareability", { in: "leaf" }),
		field("AF", 10, "accessed", { in: "leaf" }),
		field("nG", 11, "not global", { in: "leaf" }),
		address,
		field("DBM", 51, "dirty bit modifier", { in: "leaf" }),
		field("Contiguous", 52, "one of a contiguous set", { in: "leaf" }),
		field("PXN", 53, "privileged execute never", { in: "leaf" }),
		field("UXN", 54, "unprivileged execute never", { in: "leaf" }),
		field("PXNTable", 59, "privileged execute never below", { in: "table" }),
		field("UXNTable", 60, "unprivileged execute never below", { in: "table" }),
		field("APTable[0]", 61, "no unprivileged access below", { in: "table" }),
		field("APTable[1]", 62, "no write below", { in: "table" }),
	],
	decides: {
		1: [["type", 0], ["type", 2], ["type", 1], ["type", 3]],
		4: [["APTable[1]", 1], ["AP[2]", 1]],
		5: [["UXNTable", 1], ["PXNTable", 1], ["UXN", 1], ["PXN", 1]],
		6: [["APTable[0]", 1], ["AP[1]", 0]],
		8: [["OutputAddress", -1]],
		11: [["AF", 0]],
	},
};

const second: EntryFormat = {
	section: "DDI 0487 D8.3",
	level: level(2),
	fields: [
		type,
		field("MemAttr", [5, 2], "memory type", { in: "leaf" }),
		field("S2AP[0]", 6, "read", { in: "leaf" }),
		field("S2AP[1]", 7, "write", { in: "leaf" }),
		field("SH", [9, 8], "shareability", { in: "leaf" }),
		field("AF", 10, "accessed", { in: "leaf" }),
		address,
		field("DBM", 51, "dirty bit modifier", { in: "leaf" }),
		field("Contiguous", 52, "one of a contiguous set", { in: "leaf" }),
		field("XN", [54, 53], "execute never", { in: "leaf", values: { 0: "all execute", 1: "unprivileged alone", 2: "nobody", 3: "privileged alone" } }),
	],
	decides: {
		1: [["type", 0], ["type", 2], ["type", 1], ["type", 3]],
		3: [["S2AP[0]", 0], ["MemAttr", -1]],
		4: [["S2AP[1]", 0], ["MemAttr", -1]],
		5: [["XN", -1]],
		6: [["XN", -1]],
		8: [["OutputAddress", -1]],
		11: [["AF", 0]],
	},
};

const faults = faultTable("IHI 0070 7.3", [
	[0, "no event", "the stream aborts, or the address is beyond the output of a unit that is off", "Config"],
	[1, "F_UUT", "an unsupported upstream transaction"],
	[2, "C_BAD_STREAMID", "the StreamID is beyond the stream table", "Span"],
	[3, "F_STE_FETCH", "the STE cannot be read"],
	[4, "C_BAD_STE", "the STE is invalid", "V", "Config", "S2AA64"],
	[5, "F_BAD_ATS_TREQ", "an ATS translation request that the STE does not allow", "EATS"],
	[6, "F_STREAM_DISABLED", "STE.S1DSS does not take this SubstreamID, or its absence", "S1DSS"],
	[7, "F_TRANSL_FORBIDDEN", "a translated request that is not allowed", "EATS"],
	[8, "C_BAD_SUBSTREAMID", "the SubstreamID is beyond the CD table", "S1CDMax", "V", "L2Ptr"],
	[9, "F_CD_FETCH", "the CD cannot be read"],
	[10, "C_BAD_CD", "the CD is invalid", "V", "AA64", "T0SZ"],
	[11, "F_WALK_EABT", "a page-table entry cannot be read or updated"],
	[0x10, "F_TRANSLATION", "no descriptor translates the address", "EPD0=1", "EPD1=1", "E0PD0=1", "E0PD1=1"],
	[0x11, "F_ADDR_SIZE", "an address is wider than the output size", "IPS", "S2PS"],
	[0x12, "F_ACCESS", "the access flag is 0 and hardware may not set it"],
	[0x13, "F_PERMISSION", "the descriptor does not allow the access"],
]);

export const smmuv3: Words = {
	registers: ["STRTAB_BASE", "STRTAB_BASE_CFG", "CR0"],
	structure({ phase, level: at }) {
		if (phase === "device") return at === 1 ? L1STD : STE;
		return at === 1 ? L1CD : CD;
	},
	formats: { [FORMAT_VMSA_FIRST]: first, [FORMAT_VMSA_SECOND]: second },
	faults,
};
