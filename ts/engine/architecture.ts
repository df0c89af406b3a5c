import { ARCH_VTD, FORMAT_VTD_SECOND, VTD_CAP, VTD_ECAP, VTD_HAW, VTD_ROOT, VTD_STATUS } from "../../assembly/layout.ts";

/** Kinds of IOMMU unit that the engine has. */
export type ArchitectureName = "vtd";

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
		// ND 64 Ki domains, SAGAW 3 to 5 levels, MGAW 57 bits, SLLPS 2M and 1G (11.4.2)
		CAP: 6n | (0b1110n << 8n) | (56n << 16n) | (3n << 34n),
		// QI, DT, PT, SC (11.4.3)
		ECAP: 2n | 4n | 64n | 128n,
		HAW: 52n,
		GSTS: 1n << 31n,
	},
	formats: { "vtd-second": FORMAT_VTD_SECOND },
};

/** The registry: one line for each architecture. */
export const ARCHITECTURES: Record<ArchitectureName, Architecture> = { vtd };
