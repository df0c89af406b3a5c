import {
	AMDVI_ADDRESS_BITS,
	AMDVI_COMMAND_BASE,
	AMDVI_COMMAND_HEAD,
	AMDVI_COMMAND_TAIL,
	AMDVI_STATUS,
	RISCV_CQB,
	RISCV_CQCSR,
	RISCV_PQCSR,
	RISCV_CQH,
	RISCV_CQT,
	SMMU_CMDQ_BASE,
	SMMU_CMDQ_CONS,
	SMMU_CMDQ_PROD,
	SMMU_GERROR,
	SMMU_GERRORN,
	SMMU_PRIQ_CONS,
	SMMU_PRIQ_PROD,
	VTD_COMPLETION,
	VTD_FAULT_STATUS,
	VTD_IQA,
	VTD_IQH,
	VTD_IQT,
	VTD_PAGE_STATUS,
	VTD_QUEUE_ERROR,
	AMDVI_CONTROL,
	AMDVI_DEVICE_TABLE,
	AMDVI_EXCLUSION_BASE,
	AMDVI_EXCLUSION_LIMIT,
	AMDVI_FEATURES,
	AMDVI_SEGMENT,
	ARCH_AMDVI,
	FORMAT_AMD_V1,
	FORMAT_AMD_V2,
	ARCH_RISCV,
	FORMAT_RISCV_SV,
	FORMAT_RISCV_SV32,
	RISCV_BE_WRITABLE,
	RISCV_CAPABILITIES,
	RISCV_DDTP,
	RISCV_FCTL,
	RISCV_GXL_WRITABLE,
	RISCV_MCID_BITS,
	RISCV_RCID_BITS,
} from "../../assembly/layout.ts";
import { ARCH_PAPR, FORMAT_TCE, PAPR_CONTROL, PAPR_PES, PAPR_PEST, PAPR_RTT, PAPR_TVT } from "../../assembly/layout.ts";
import {
	ARCH_SMMUV3,
	FORMAT_VMSA_FIRST,
	FORMAT_VMSA_SECOND,
	SMMU_CR0,
	SMMU_CR2,
	SMMU_GBPA,
	SMMU_IDR0,
	SMMU_IDR1,
	SMMU_IDR3,
	SMMU_IDR5,
	SMMU_STRTAB_BASE,
	SMMU_STRTAB_BASE_CFG,
} from "../../assembly/layout.ts";
import { ARCH_VTD, FORMAT_VTD_FIRST, FORMAT_VTD_SECOND, VTD_CAP, VTD_ECAP, VTD_HAW, VTD_ROOT, VTD_STATUS } from "../../assembly/layout.ts";

/** Kinds of IOMMU unit that the engine has. */
export type ArchitectureName = "vtd" | "amdvi" | "smmuv3" | "riscv" | "papr";

/** What ts/engine knows of an architecture: numbers and register names; everything else is in assembly/device. */
export interface Architecture {
	name: ArchitectureName;
	code: number;
	/** register name -> index of the unit's register file */
	registers: Record<string, number>;
	/** registers of a new unit */
	defaults: Record<string, bigint>;
	/** page-table formats by name */
	formats: Record<string, number>;
}

const vtd: Architecture = {
	name: "vtd",
	code: ARCH_VTD,
	registers: { RTADDR: VTD_ROOT, CAP: VTD_CAP, ECAP: VTD_ECAP, HAW: VTD_HAW, GSTS: VTD_STATUS, IQA: VTD_IQA, IQH: VTD_IQH, IQT: VTD_IQT, FSTS: VTD_FAULT_STATUS, ICS: VTD_COMPLETION, IQERCD: VTD_QUEUE_ERROR, PRS: VTD_PAGE_STATUS },
	defaults: {
		// ND 64 Ki domains, SAGAW 3 to 5 levels, MGAW 57 bits, SLLPS 2M and 1G, FS1GP, FS5LP (11.4.2)
		CAP: 6n | (0b1110n << 8n) | (56n << 16n) | (3n << 34n) | (1n << 56n) | (1n << 60n),
		// QI, DT, PT, SC; NEST, ERS, SRS, EAFS, PSS 20 bits, PASID, SMTS, SSADS, SSTS, FSTS (11.4.3)
		ECAP: 2n | 4n | 64n | 128n | (1n << 26n) | (1n << 30n) | (1n << 31n) | (1n << 34n) | (19n << 35n) | (1n << 40n) | (1n << 43n) | (7n << 45n),
		HAW: 52n,
		// TES, QIES
		GSTS: (1n << 31n) | (1n << 26n),
	},
	formats: { "vtd-second": FORMAT_VTD_SECOND, "vtd-first": FORMAT_VTD_FIRST },
};

const amdvi: Architecture = {
	name: "amdvi",
	code: ARCH_AMDVI,
	registers: {
		DEVTAB: AMDVI_DEVICE_TABLE,
		CONTROL: AMDVI_CONTROL,
		EXCLUSION_BASE: AMDVI_EXCLUSION_BASE,
		EXCLUSION_LIMIT: AMDVI_EXCLUSION_LIMIT,
		EFR: AMDVI_FEATURES,
		PASIZE: AMDVI_ADDRESS_BITS,
		CMD_BASE: AMDVI_COMMAND_BASE,
		CMD_HEAD: AMDVI_COMMAND_HEAD,
		CMD_TAIL: AMDVI_COMMAND_TAIL,
		STATUS: AMDVI_STATUS,
		...Object.fromEntries(Array.from({ length: 7 }, (_, i) => [`SEGMENT${i + 1}`, AMDVI_SEGMENT + i])),
	},
	defaults: {
		// IommuEn, CmdBufEn, GTEn (48882 3.4.3)
		CONTROL: 1n | (1n << 12n) | (1n << 16n),
		// PPRSup, NXSup, GTSup, IASup, HATS 6 levels, GATS 5 levels, GLXSup 3 levels, PASmax 20 bits, USSup, GIoSup, HASup, HDSup
		EFR: 2n | 8n | 16n | 64n | (2n << 10n) | (1n << 12n) | (2n << 14n) | (19n << 32n) | (1n << 37n) | (1n << 48n) | (1n << 49n) | (1n << 52n),
		PASIZE: 52n,
	},
	formats: { "amd-v1": FORMAT_AMD_V1, "amd-v2": FORMAT_AMD_V2 },
};

const smmuv3: Architecture = {
	name: "smmuv3",
	code: ARCH_SMMUV3,
	registers: {
		IDR0: SMMU_IDR0,
		IDR1: SMMU_IDR1,
		IDR3: SMMU_IDR3,
		IDR5: SMMU_IDR5,
		CR0: SMMU_CR0,
		CR2: SMMU_CR2,
		GBPA: SMMU_GBPA,
		STRTAB_BASE: SMMU_STRTAB_BASE,
		STRTAB_BASE_CFG: SMMU_STRTAB_BASE_CFG,
		CMDQ_BASE: SMMU_CMDQ_BASE,
		CMDQ_PROD: SMMU_CMDQ_PROD,
		CMDQ_CONS: SMMU_CMDQ_CONS,
		GERROR: SMMU_GERROR,
		GERRORN: SMMU_GERRORN,
		PRIQ_PROD: SMMU_PRIQ_PROD,
		PRIQ_CONS: SMMU_PRIQ_CONS,
	},
	defaults: {
		// S2P, S1P, TTF AArch64, HTTU access and dirty, ASID16, VMID16, CD2L, ST_LEVEL 2-level (IHI 0070 6.3.1)
		IDR0: 3n | (2n << 2n) | (2n << 6n) | (1n << 12n) | (1n << 18n) | (1n << 19n) | (1n << 27n),
		// SIDSIZE 16, SSIDSIZE 20, ATTR_PERMS_OVR
		IDR1: 16n | (20n << 6n) | (1n << 26n),
		// HAD, XNX, FWB, E0PD, EPAN
		IDR3: (1n << 2n) | (1n << 4n) | (1n << 8n) | (1n << 13n) | (1n << 17n),
		// OAS 48 bits, GRAN4K, GRAN16K, GRAN64K
		IDR5: 5n | (7n << 4n),
		// SMMUEN, EVENTQEN, CMDQEN; RECINVSID
		CR0: 0xdn,
		CR2: 2n,
	},
	formats: { "vmsav8-first": FORMAT_VMSA_FIRST, "vmsav8-second": FORMAT_VMSA_SECOND },
};


const riscv: Architecture = {
	name: "riscv",
	code: ARCH_RISCV,
	registers: {
		CAPABILITIES: RISCV_CAPABILITIES,
		FCTL: RISCV_FCTL,
		DDTP: RISCV_DDTP,
		CQB: RISCV_CQB,
		CQH: RISCV_CQH,
		CQT: RISCV_CQT,
		CQCSR: RISCV_CQCSR,
		PQCSR: RISCV_PQCSR,
		// of the implementation: whether fctl.GXL and fctl.BE can be written, widths of RCID and MCID
		GXL_WRITABLE: RISCV_GXL_WRITABLE,
		BE_WRITABLE: RISCV_BE_WRITABLE,
		RCID_BITS: RISCV_RCID_BITS,
		MCID_BITS: RISCV_MCID_BITS,
	},
	defaults: {
		// 6.3: version 1.0, Sv32 to Sv57, Svrsw60t59b, Svpbmt, their x4 forms, MSI_FLAT, MSI_MRIF, AMO_HWAD, END, PAS 56, PD8, PD17, PD20
		CAPABILITIES: 0x10n | (0xfn << 8n) | (3n << 14n) | (0xfn << 16n) | (7n << 22n) | (1n << 27n) | (56n << 32n) | (7n << 38n),
		RCID_BITS: 12n,
		MCID_BITS: 12n,
		// pqen, pqon
		PQCSR: (1n << 16n) | 1n,
	},
	formats: { "riscv-sv": FORMAT_RISCV_SV, "riscv-sv32": FORMAT_RISCV_SV32 },
};

const papr: Architecture = {
	name: "papr",
	code: ARCH_PAPR,
	registers: { RTT: PAPR_RTT, TVT: PAPR_TVT, PEST: PAPR_PEST, PES: PAPR_PES, CONTROL: PAPR_CONTROL },
	// as many PEs as IODA3 bridges have
	defaults: { PES: 512n },
	formats: { tce: FORMAT_TCE },
};

/** The registry: one line for each architecture. */
export const ARCHITECTURES: Record<ArchitectureName, Architecture> = { vtd, amdvi, smmuv3, riscv, papr };
