/** How the vectors of each architecture name a unit's registers and its requesters: one line in ADAPTERS for each. */
import type { UnitConfig } from "../../engine/index.ts";
import type { VectorCase, VectorRequest } from "./vectors-shape.ts";

export interface Adapter {
	/** the unit that a case describes */
	unit(item: VectorCase): UnitConfig;
	/** who asks */
	requester(request: VectorRequest): { rid: number; pasid?: number; privileged?: boolean };
}

function register(item: VectorCase, name: string): bigint {
	const value = item.registers?.[name];
	if (value === undefined) throw new Error(`the case has no register ${name}`);
	return BigInt(value);
}

const vtd: Adapter = {
	unit(item) {
		const cap = register(item, "CAP_REG");
		// CAP_REG 21:16 MGAW is the width less one
		const haw = item.space?.haw ?? Number((cap >> 16n) & 63n) + 1;
		return {
			architecture: "vtd",
			registers: { RTADDR: register(item, "RTADDR_REG"), CAP: cap, ECAP: register(item, "ECAP_REG"), HAW: BigInt(haw), GSTS: 1n << 31n },
		};
	},
	// the recorded DMA carried no PASID; `pasid` of the file is informative
	requester: (request) => ({ rid: request.rid ?? 0 }),
};

const amdvi: Adapter = {
	// CONTROL of the files is in words; IommuEn is what matters to a translation
	unit: (item) => ({
		architecture: "amdvi",
		registers: { DEVTAB: register(item, "DEVTAB_BASE"), CONTROL: 1n, EFR: register(item, "EXT_FEATURES") },
	}),
	requester: (request) => ({ rid: request.rid ?? 0, pasid: request.pasid ?? undefined }),
};

const smmuv3: Adapter = {
	// CR0 of the files is in words: SMMUEN, EVENTQEN, CMDQEN; a StreamID out of range is recorded (CR2.RECINVSID)
	unit: (item) => ({
		architecture: "smmuv3",
		registers: {
			...Object.fromEntries(["IDR0", "IDR1", "IDR3", "IDR5", "STRTAB_BASE", "STRTAB_BASE_CFG"].map((name) => [name, register(item, name)])),
			CR0: 0xdn,
			CR2: 2n,
			GBPA: 0n,
		},
	}),
	// the oracle takes every access as privileged
	requester: (request) => ({ rid: request.rid ?? 0, pasid: request.pasid ?? undefined, privileged: true }),
};

const riscv: Adapter = {
	unit: (item) => ({
		architecture: "riscv",
		registers: { CAPABILITIES: register(item, "CAP"), FCTL: register(item, "FCTL"), DDTP: register(item, "DDTP") },
	}),
	requester: (request) => ({ rid: request.rid ?? 0, pasid: request.pasid ?? undefined }),
};

export const ADAPTERS: Record<string, Adapter> = { vtd, amdvi, smmuv3, riscv };
