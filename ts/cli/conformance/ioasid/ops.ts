/** What a step's operation gets to work with, and gives back. */
import type { Process } from "../../../core/index.ts";
import { DoorError, type IoasidFile, IoasidV1, IommuV2 } from "../../../uapi/index.ts";
import type { Names, Step } from "./values.ts";
import type { ScenarioDevice, World } from "./world.ts";
import { ScenarioDevice as DeviceClass } from "./world.ts";

/** The check of a step itself did not hold. */
export class CheckFailed extends Error {}

export interface Call {
	world: World;
	names: Names;
	step: Step;
	/** process that runs the step */
	caller: Process;
	file: () => IoasidFile;
}

/** Outputs by name; `bound` is what `as` names. */
export interface Outcome {
	outputs?: Record<string, unknown>;
	bound?: unknown;
}

export type Operation = (call: Call) => Outcome | undefined;

/** The door of the July 2021 text: a container has its calls too. */
export function v2(call: Call): IommuV2 {
	const file = call.file();
	if (!(file instanceof IommuV2)) throw new DoorError("ENOTTY", `${call.step.op} is a call of /dev/iommu`);
	return file;
}

export function v1(call: Call): IoasidV1 {
	const file = call.file();
	if (!(file instanceof IoasidV1)) throw new DoorError("ENOTTY", `${call.step.op} is a call of /dev/ioasid`);
	return file;
}

export function deviceOf({ names, step }: Call): ScenarioDevice {
	return names.ref(step.device, DeviceClass);
}

/** A small number that the step gives, or none. */
export function small({ names, step }: Call, key: string): number | undefined {
	const value = names.optional(step[key]);
	return value === undefined ? undefined : Number(value);
}

/** An IOASID number; one that is too large for anything names nothing. */
export function ioasid(call: Call, key = "ioasid"): number {
	return Number(call.names.number(call.step[key]));
}

export function flag(step: Step, key: string, name: string): boolean | undefined {
	const flags = step[key] as string[] | undefined;
	return flags?.includes(name);
}
