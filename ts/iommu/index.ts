/** Kinds of IOMMU unit as core plans against them: tables, tags and device-table words. */
import { CoreError, type IommuCapabilities, type IommuDriver } from "../core/index.ts";
import { type ArchitectureName, Engine, type EngineConfig } from "../engine/index.ts";
import { AmdviIommu, amdviRegisters } from "./amdvi.ts";
import { BounceIommu } from "./bounce.ts";
import { DEVICE_TLB, type UnitSetting } from "./engine-iommu.ts";
import { RiscvIommu, riscvRegisters } from "./riscv.ts";
import { Smmuv3Iommu, smmuv3Registers } from "./smmuv3.ts";
import { userFormats } from "./user-formats.ts";
import { VtdIommu, vtdRegisters } from "./vtd.ts";

export { BounceIommu } from "./bounce.ts";
export { userFormats } from "./user-formats.ts";

/** Kinds of unit: one line for each. */
const KINDS: Partial<Record<ArchitectureName, { make: (setting: UnitSetting) => IommuDriver; registers: Record<string, bigint> }>> = {
	amdvi: { make: (setting) => new AmdviIommu(setting), registers: amdviRegisters },
	smmuv3: { make: (setting) => new Smmuv3Iommu(setting), registers: smmuv3Registers },
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

/** A driver for each unit of an engine, in order. @throws CoreError Unsupported for a unit whose kind has none */
export function driversOf(engine: Engine): IommuDriver[] {
	return engine.units.map((unit) => {
		const kind = KINDS[unit.architecture];
		if (kind === undefined) throw new CoreError("Unsupported", `no driver for ${unit.architecture}`, { operation: "driversOf", object: `unit ${unit.index}` });
		return kind.make({ engine, unit, capabilities: { ...DEFAULTS, format: unit.architecture } });
	});
}

/** One unit of a machine. */
export interface UnitDescription extends Omit<IommuCapabilities, "format"> {
	name: string;
	kind: "vtd" | "smmuv3" | "amdvi" | "riscv" | "ppc";
}

/** Make an engine with these units, and the driver of each. @throws EngineError */
export function createUnits(descriptions: readonly UnitDescription[], config: Omit<EngineConfig, "units">): { engine: Engine; units: IommuDriver[] } {
	const architectures = descriptions.map(({ kind }) => (kind in KINDS ? (kind as ArchitectureName) : null));
	const engine = Engine.create({
		...config,
		units: architectures.flatMap((architecture) => (architecture === null ? [] : [{ architecture, registers: KINDS[architecture]?.registers ?? {}, deviceTlb: DEVICE_TLB }])),
	});
	const memory = { reader: userFormats, read64: (physical: bigint) => engine.memory.read64(physical) };
	let index = 0;
	const units = descriptions.map(({ name, kind, ...capabilities }, i) => {
		const architecture = architectures[i];
		const known = architecture === null ? undefined : KINDS[architecture];
		if (known === undefined) return new BounceIommu(name, { ...capabilities, format: kind }, memory);
		return known.make({ engine, unit: engine.units[index++], capabilities: { ...capabilities, format: kind }, name });
	});
	return { engine, units };
}
