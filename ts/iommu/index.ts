import { CoreError, type IommuDriver } from "../core/index.ts";
import type { ArchitectureName, Engine, Unit } from "../engine/index.ts";
import { VtdIommu } from "./vtd.ts";

/** Kinds of unit: one line for each. */
const KINDS: Partial<Record<ArchitectureName, (engine: Engine, unit: Unit) => IommuDriver>> = {
	vtd: (engine, unit) => new VtdIommu(engine, unit),
};

/** A driver for each unit of an engine, in order. @throws CoreError Unsupported for a unit whose kind has none */
export function driversOf(engine: Engine): IommuDriver[] {
	return engine.units.map((unit) => {
		const make = KINDS[unit.architecture];
		if (make === undefined) throw new CoreError("Unsupported", `no driver for ${unit.architecture}`, { operation: "driversOf", object: `unit ${unit.index}` });
		return make(engine, unit);
	});
}

export { VtdIommu } from "./vtd.ts";
