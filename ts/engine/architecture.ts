import {
	AMDVI_ADDRESS_BITS,
	AMDVI_CONTROL,
	AMDVI_DEVICE_TABLE,
	AMDVI_EXCLUSION_BASE,
	AMDVI_EXCLUSION_LIMIT,
	AMDVI_FEATURES,
	AMDVI_SEGMENT,
	ARCH_AMDVI,
	FORMAT_AMD_V1,
	FORMAT_AMD_V2,
} from "../../assembly/layout.ts";
import { ARCH_VTD, FORMAT_VTD_FIRST, FORMAT_VTD_SECOND, VTD_CAP, VTD_ECAP, VTD_HAW, VTD_ROOT, VTD_STATUS } from "../../assembly/layout.ts";

/** Kinds of IOMMU unit that the engine has. */
export type ArchitectureName = "vtd" | "amdvi";

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
	registers: { RTADDR: VTD_ROOT, CAP: VTD_CAP, ECAP: VTD_ECAP, HAW: VTD_HAW, GSTS: VTD_STATUS },
	defaults: {
		// ND 64 Ki domains, SAGAW 3 to 5 levels, MGAW 57 bits, SLLPS 2M and 1G, FS1GP, FS5LP (11.4.2)
		CAP: 6n | (0b1110n << 8n) | (56n << 16n) | (3n << 34n) | (1n << 56n) | (1n << 60n),
		// QI, DT, PT, SC; NEST, ERS, SRS, EAFS, PSS 20 bits, PASID, SMTS, SSADS, SSTS, FSTS (11.4.3)
		ECAP: 2n | 4n | 64n | 128n | (1n << 26n) | (1n << 30n) | (1n << 31n) | (1n << 34n) | (19n << 35n) | (1n << 40n) | (1n << 43n) | (7n << 45n),
		HAW: 52n,
		GSTS: 1n << 31n,
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
		...Object.fromEntries(Array.from({ length: 7 }, (_, i) => [`SEGMENT${i + 1}`, AMDVI_SEGMENT + i])),
	},
	defaults: {
		// IommuEn, GTEn (48882 3.4.3)
		CONTROL: 1n | (1n << 16n),
		// PPRSup, NXSup, GTSup, HATS 6 levels, GATS 5 levels, GLXSup 3 levels, PASmax 20 bits, USSup, GIoSup, HASup, HDSup
		EFR: 2n | 8n | 16n | (2n << 10n) | (1n << 12n) | (2n << 14n) | (19n << 32n) | (1n << 37n) | (1n << 48n) | (1n << 49n) | (1n << 52n),
		PASIZE: 52n,
	},
	formats: { "amd-v1": FORMAT_AMD_V1, "amd-v2": FORMAT_AMD_V2 },
};

/** The registry: one line for each architecture. */
export const ARCHITECTURES: Record<ArchitectureName, Architecture> = { vtd, amdvi };
