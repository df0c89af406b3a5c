/** Kinds of IOMMU unit as core plans against them: tables, tags and device-table words. */
import type { IommuCapabilities, IommuDriver } from "../core/index.ts";
import { type ArchitectureName, Engine, type EngineConfig } from "../engine/index.ts";
import { AmdviIommu, amdviRegisters } from "./amdvi.ts";
import { DEVICE_TLB, type UnitSetting } from "./engine-iommu.ts";
import { PaprIommu } from "./papr.ts";
import { RiscvIommu, riscvRegisters } from "./riscv.ts";
import { Smmuv3Iommu, smmuv3Registers } from "./smmuv3.ts";
import { VtdIommu, vtdRegisters } from "./vtd.ts";

export { BounceIommu } from "./bounce.ts";
export { userFormats } from "./user-formats.ts";

/** Kinds of unit: one line for each. */
const KINDS: Record<ArchitectureName, { make: (setting: UnitSetting) => IommuDriver; registers: Record<string, bigint> }> = {
	amdvi: { make: (setting) => new AmdviIommu(setting), registers: amdviRegisters },
	smmuv3: { make: (setting) => new Smmuv3Iommu(setting), registers: smmuv3Registers },
	papr: { make: (setting) => new PaprIommu(setting), registers: {} },
	riscv: { make: (setting) => new RiscvIommu(setting), registers: riscvRegisters },
	vtd: { make: (setting) => new VtdIommu(setting), registers: vtdRegisters },
};

/** What a unit can do when nobody says otherwise. */
const DEFAULTS: Omit<IommuCapabilities, "format"> = {
	addressBits: 48,
	pageSizes: 0x40201000n,
	reserved: [{ first: 0xfee00000n, last: 0xfeefffffn }],
	pasidBits: 20,
	enforcesSnoop: true,
	nesting: "hw",
	maxDepth: 2,
	pasidTables: false,
	dirty: true,
};

/** What PAPR bridges can do otherwise: no interrupt range below 2^60, no PASIDs, no tables of users. */
const PAPR_DEFAULTS: Partial<IommuCapabilities> = { addressBits: 60, pageSizes: 0x41211000n, reserved: [], pasidBits: 0, nesting: "sw", maxDepth: 4 };

function defaultsOf(architecture: ArchitectureName): IommuCapabilities {
	if (architecture === "papr") return { ...DEFAULTS, ...PAPR_DEFAULTS, format: "ppc" };
	// Intel's PASID tables are the host's alone
	return { ...DEFAULTS, pasidTables: architecture !== "vtd", format: architecture };
}

/** A driver for each unit of an engine, in order. */
export function driversOf(engine: Engine): IommuDriver[] {
	return engine.units.map((unit) => KINDS[unit.architecture].make({ engine, unit, capabilities: defaultsOf(unit.architecture) }));
}

/** One unit of a machine; what is left out is as its kind has it. */
export interface UnitDescription extends Partial<Omit<IommuCapabilities, "format">> {
	name: string;
	kind: "vtd" | "smmuv3" | "amdvi" | "riscv" | "ppc";
}

/** Make an engine with these units, and the driver of each. @throws EngineError */
export function createUnits(descriptions: readonly UnitDescription[], config: Omit<EngineConfig, "units">): { engine: Engine; units: IommuDriver[] } {
	const architectures = descriptions.map(({ kind }): ArchitectureName => (kind === "ppc" ? "papr" : kind));
	const engine = Engine.create({ ...config, units: architectures.map((architecture) => ({ architecture, registers: KINDS[architecture].registers, ...(architecture === "papr" ? {} : { deviceTlb: DEVICE_TLB }) })) });
	const units = descriptions.map(({ name, kind, ...capabilities }, i) => KINDS[architectures[i]].make({ engine, unit: engine.units[i], capabilities: { ...defaultsOf(architectures[i]), ...capabilities }, name }));
	return { engine, units };
}
