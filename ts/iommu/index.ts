/** Kinds of IOMMU unit as core plans against them: tables, tags and device-table words. */
import { CoreError, type IommuCapabilities, type IommuDriver } from "../core/index.ts";
import { type ArchitectureName, Engine, type EngineConfig, type Unit } from "../engine/index.ts";
import { BounceIommu } from "./bounce.ts";
import { userFormats } from "./user-formats.ts";
import { VtdIommu } from "./vtd.ts";

export { BounceIommu } from "./bounce.ts";
export { userFormats } from "./user-formats.ts";

/** Kinds of unit: one line for each. */
const KINDS: Partial<Record<ArchitectureName, (engine: Engine, unit: Unit, capabilities: IommuCapabilities, name?: string) => IommuDriver>> = {
	vtd: (engine, unit, capabilities, name) => new VtdIommu(engine, unit, capabilities, name),
};

/** What a unit can do when nobody says otherwise. */
const DEFAULTS: Omit<IommuCapabilities, "format"> = {
	addressBits: 57,
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
		const make = KINDS[unit.architecture];
		if (make === undefined) throw new CoreError("Unsupported", `no driver for ${unit.architecture}`, { operation: "driversOf", object: `unit ${unit.index}` });
		return make(engine, unit, { ...DEFAULTS, format: unit.architecture });
	});
}

/** One unit of a machine. */
export interface UnitDescription extends Omit<IommuCapabilities, "format"> {
	name: string;
	kind: "vtd" | "smmuv3" | "amdvi" | "riscv" | "ppc";
}

/** Make an engine with these units, and the driver of each. @throws EngineError */
export function createUnits(descriptions: readonly UnitDescription[], config: Omit<EngineConfig, "units">): { engine: Engine; units: IommuDriver[] } {
	const engine = Engine.create(config);
	const memory = { reader: userFormats, read64: (physical: bigint) => engine.memory.read64(physical) };
	return { engine, units: descriptions.map(({ name, kind, ...capabilities }) => new BounceIommu(name, { ...capabilities, format: kind }, memory)) };
}
