/** Registers of a unit, by their specification names. */
import { ARCHITECTURES } from "./architecture.ts";
import { EngineError } from "./errors.ts";
import { high, low, type UnitRecord } from "./unit-record.ts";

function indexOf({ architecture, index }: UnitRecord, name: string, operation: string): number {
	const at = ARCHITECTURES[architecture].registers[name];
	if (at === undefined) throw new EngineError("BadConfig", `${architecture} has no register ${name}`, { operation, object: `unit ${index}` });
	return at;
}

/** See Unit.writeRegister. */
export function writeRegister(unit: UnitRecord, name: string, value: bigint): void {
	unit.exports.writeRegister(unit.record, indexOf(unit, name, "Unit.writeRegister"), low(value), high(value));
}

/** See Unit.readRegister. */
export function readRegister(unit: UnitRecord, name: string): bigint {
	return BigInt.asUintN(64, unit.exports.readRegister(unit.record, indexOf(unit, name, "Unit.readRegister")));
}
