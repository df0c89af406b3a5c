/** Intel VT-d: names of the Architecture Specification, chapters 7 and 9. */
import { FORMAT_VTD_FIRST, FORMAT_VTD_SECOND } from "../../../assembly/layout.ts";
import { type EntryFormat, faultTable, field, type Structure, type Words, zero } from "./contract.ts";

const cap = (bit: number) => ({ reserved: { register: "ECAP", bit } });

const ROOT: Structure = {
	name: "root entry",
	section: "VT-d 9.1",
	bytes: 16,
	fields: [field("P", 0, "present"), zero([11, 1]), field("CTP", [63, 12], "context table", { shift: 12 }), zero([127, 64])],
};

const SCALABLE_ROOT: Structure = {
	name: "scalable-mode root entry",
	section: "VT-d 9.2",
	bytes: 8,
	fields: [field("P", 0, "present (LP or UP)"), zero([11, 1]), field("CTP", [63, 12], "scalable-mode context table", { shift: 12 })],
};

const CONTEXT: Structure = {
	name: "context entry",
	section: "VT-d 9.3",
	bytes: 16,
	fields: [
		field("P", 0, "present"),
		field("FPD", 1, "faults are not recorded"),
		field("TT", [3, 2], "translation type", { values: { 0: "untranslated requests only", 1: "device-TLB too", 2: "pass-through", 3: "reserved" } }),
		zero([11, 4]),
		field("SSPTPTR", [63, 12], "second-stage root", { shift: 12 }),
		field("AW", [66, 64], "address width", { values: { 1: "39 bits, 3 levels", 2: "48 bits, 4 levels", 3: "57 bits, 5 levels" } }),
		zero(71),
		field("DID", [87, 72], "domain"),
		zero([127, 88]),
	],
};

const SCALABLE_CONTEXT: Structure = {
	name: "scalable-mode context entry",
	section: "VT-d 9.4",
	bytes: 32,
	fields: [
		field("P", 0, "present"),
		field("FPD", 1, "faults are not recorded"),
		field("DTE", 2, "device-TLB", cap(2)),
		field("PASIDE", 3, "requests with PASID", cap(40)),
		field("PRE", 4, "page requests", cap(29)),
		zero([8, 5]),
		field("PDTS", [11, 9], "PASID directory size: 2^(PDTS + 7) entries"),
		field("PASIDDIRPTR", [63, 12], "PASID directory", { shift: 12 }),
		field("RID_PASID", [83, 64], "PASID of requests without one"),
		field("RID_PRIV", 84, "requests without PASID are privileged", cap(53)),
		zero([127, 85]),
		zero([255, 128]),
	],
};

const DIRECTORY: Structure = {
	name: "PASID directory entry",
	section: "VT-d 9.5",
	bytes: 8,
	fields: [field("P", 0, "present"), field("FPD", 1, "faults are not recorded"), zero([11, 2]), field("SMPTBLPTR", [63, 12], "PASID table", { shift: 12 })],
};

const PASID: Structure = {
	name: "PASID table entry",
	section: "VT-d 9.6",
	bytes: 64,
	fields: [
		field("P", 0, "present"),
		field("FPD", 1, "faults are not recorded"),
		field("AW", [4, 2], "second-stage width", { values: { 1: "39 bits, 3 levels", 2: "48 bits, 4 levels", 3: "57 bits, 5 levels" } }),
		field("SSEE", 5, "second-stage execute enable"),
		field("PGTT", [8, 6], "translation type", { values: { 1: "first stage", 2: "second stage", 3: "nested", 4: "pass-through" } }),
		field("SSADE", 9, "second-stage A and D"),
		zero([11, 10]),
		field("SSPTPTR", [63, 12], "second-stage root", { shift: 12 }),
		field("DID", [79, 64], "domain"),
		zero([86, 80]),
		field("PWSNP", 87, "page walks snoop", cap(48)),
		field("PGSNP", 88, "pages snoop", cap(7)),
		field("SRE", 128, "supervisor requests"),
		field("ERE", 129, "execute requests"),
		field("FSPM", [131, 130], "first-stage paging", { values: { 0: "4 levels", 1: "5 levels" } }),
		field("WPE", 132, "write protect"),
		field("NXE", 133, "no-execute"),
		field("SMEP", 134, "supervisor executes no user page"),
		field("EAFE", 135, "extended accessed"),
		zero([139, 136]),
		field("FSPTPTR", [191, 140], "first-stage root", { shift: 12 }),
		zero([511, 192]),
	],
};

const NAMES = ["PTE", "PDE", "PDPE", "PML4E", "PML5E"];

const second: EntryFormat = {
	section: "VT-d 9.8",
	level: (level) => `SS-${NAMES[level]}`,
	fields: [
		field("R", 0, "read"),
		field("W", 1, "write"),
		field("X", 2, "execute (with SSEE)"),
		field("EMT", [5, 3], "memory type", { in: "leaf" }),
		field("IPAT", 6, "ignore PAT", { in: "leaf" }),
		field("PS", 7, "maps a page"),
		field("A", 8, "accessed (with SSADE)"),
		field("D", 9, "dirty (with SSADE)", { in: "leaf" }),
		field("SNP", 11, "snoop"),
		field("ADDR", [51, 12], "table or page", { shift: 12 }),
		field("TM", 62, "transient mapping"),
	],
	decides: { 1: [["R", 0], ["W", 0]], 3: [["R", 0]], 4: [["W", 0]], 5: [["X", 0], ["R", 0]], 8: [], 11: [["A", 0], ["D", 0]] },
};

const first: EntryFormat = {
	section: "VT-d 9.7",
	level: (level) => `FS-${NAMES[level]}`,
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
		field("EA", 10, "extended accessed"),
		field("ADDR", [51, 12], "table or page", { shift: 12 }),
		field("XD", 63, "execute disable"),
	],
	decides: { 1: [["P", 0]], 4: [["R/W", 0]], 5: [["XD", 1]], 6: [["U/S", 0]], 11: [["A", 0], ["EA", 0], ["D", 0]] },
};

const faults = faultTable("VT-d 7.1.3", [
	[1, "LRT.2", "the root entry is not present", "P"],
	[2, "LCT.2", "the context entry is not present", "P"],
	[3, "LCT.4", "the context entry is invalid: AW or TT is not supported, or the table at SSPTPTR cannot be read", "AW", "TT"],
	[4, "LGN.1", "the address is beyond the width of the tables (min of AW and MGAW)"],
	[5, "LGN.2", "a write where the second stage has no W"],
	[6, "LGN.3", "a read where the second stage has no R"],
	[7, "LSS.1", "a second-stage entry cannot be read"],
	[8, "LRT.1", "the root entry cannot be read"],
	[9, "LCT.1", "the context entry cannot be read"],
	[10, "LRT.3", "reserved bits of the root entry are set"],
	[11, "LCT.3", "reserved bits of the context entry are set"],
	[12, "LSS.2", "reserved bits of a second-stage entry are set"],
	[13, "LCT.5", "a translation or translated request where TT is not 01b", "TT"],
	[14, "LGN.4", "the output lies in the interrupt range FEEx_xxxxh", "ADDR"],
	[0x30, "RTA.1", "the translation table mode of RTADDR_REG is not supported"],
	[0x31, "RTA.2", "a request with PASID in legacy mode"],
	[0x32, "RTA.3", "a page request in legacy mode"],
	[0x33, "RTA.4", "RTADDR_REG is in abort-DMA mode"],
	[0x38, "SRT.1", "the scalable-mode root entry cannot be read"],
	[0x39, "SRT.2", "the scalable-mode root entry is not present", "P"],
	[0x3a, "SRT.3", "reserved bits of the scalable-mode root entry are set"],
	[0x40, "SCT.1", "the scalable-mode context entry cannot be read"],
	[0x41, "SCT.2", "the scalable-mode context entry is not present", "P"],
	[0x42, "SCT.3", "reserved bits of the scalable-mode context entry are set"],
	[0x43, "SCT.4", "the scalable-mode context entry is invalid"],
	[0x44, "SCT.5", "a translation or translated request without DTE", "DTE"],
	[0x45, "SCT.6", "a request with PASID without PASIDE", "PASIDE"],
	[0x46, "SCT.7", "the PASID is beyond the directory (PDTS)", "PDTS"],
	[0x47, "SCT.8", "a page request without PRE", "PRE"],
	[0x48, "SCT.9", "RID_PASID is beyond the directory (PDTS)", "RID_PASID", "PDTS"],
	[0x50, "SPD.1", "the PASID directory entry cannot be read"],
	[0x51, "SPD.2", "the PASID directory entry is not present", "P"],
	[0x52, "SPD.3", "reserved bits of the PASID directory entry are set"],
	[0x58, "SPT.1", "the PASID table entry cannot be read"],
	[0x59, "SPT.2", "the PASID table entry is not present", "P"],
	[0x5a, "SPT.3", "reserved bits of the PASID table entry are set"],
	[0x5b, "SPT.4", "PGTT, AW or FSPM is not supported", "PGTT", "AW", "FSPM"],
	[0x5c, "SPT.5", "an execute request without ERE", "ERE"],
	[0x5d, "SPT.6", "a supervisor request without SRE", "SRE"],
	[0x70, "SFS.1", "a first-stage entry cannot be read"],
	[0x71, "SFS.2", "a first-stage entry is not present"],
	[0x72, "SFS.3", "reserved bits of a first-stage entry are set"],
	[0x73, "SFS.4", "the first-stage table at FSPTPTR cannot be read"],
	[0x74, "SFS.5", "a first-stage table address is beyond the second stage"],
	[0x75, "SFS.6", "the second stage forbids to read the table at FSPTPTR"],
	[0x76, "SFS.7", "the second stage forbids to read a first-stage table"],
	[0x77, "SFS.8", "the second stage forbids to update a first-stage entry"],
	[0x78, "SSS.1", "a second-stage entry cannot be read"],
	[0x79, "SSS.2", "a second-stage entry is not present"],
	[0x7a, "SSS.3", "reserved bits of a second-stage entry are set"],
	[0x7b, "SSS.4", "the second-stage table at SSPTPTR cannot be read"],
	[0x7c, "SSS.5", "an A or D update is due that an unsnooped walk cannot make"],
	[0x7d, "SSS.6", "an update of a second-stage entry failed"],
	[0x80, "SGN.1", "the address is not canonical"],
	[0x81, "SGN.2", "a user request to a supervisor page"],
	[0x82, "SGN.3", "an execute request to a page that forbids it"],
	[0x83, "SGN.4", "a pass-through address beyond the host address width"],
	[0x84, "SGN.5", "the input of the second stage is too wide"],
	[0x85, "SGN.6", "a write to a page that forbids it"],
	[0x86, "SGN.7", "a read of a page that forbids it"],
	[0x87, "SGN.8", "the output lies in the interrupt range FEEx_xxxxh", "ADDR"],
	[0x90, "SFS.9", "an A, D or EA update is due that an unsnooped walk cannot make"],
	[0x91, "SFS.10", "an update of a first-stage entry failed"],
]);

export const vtd: Words = {
	registers: ["RTADDR", "GSTS"],
	structure({ phase, level, register }) {
		const scalable = (register("RTADDR") >> 10n) & 1n;
		if (phase === "pasid") return level === 3 ? DIRECTORY : PASID;
		if (level === 1) return scalable ? SCALABLE_ROOT : ROOT;
		return scalable ? SCALABLE_CONTEXT : CONTEXT;
	},
	formats: { [FORMAT_VTD_SECOND]: second, [FORMAT_VTD_FIRST]: first },
	faults,
};
