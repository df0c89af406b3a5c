import type { IommuDriver } from "../core/index.ts";
import type { ArchitectureName, Engine, Unit } from "../engine/index.ts";
import { VtdIommu } from "./vtd.ts";

/** Kinds of unit: one line for each. */
const KINDS: Record<ArchitectureName, (engine: Engine, unit: Unit) => IommuDriver> = {
	vtd: (engine, unit) => new VtdIommu(engine, unit),
};

/** A driver for each unit of an engine, in order. */
export function driversOf(engine: Engine): IommuDriver[] {
	return engine.units.map((unit) => KINDS[unit.architecture](engine, unit));
}

export { VtdIommu } from "./vtd.ts";
