/** A trace's dictionary as it comes from a file that anybody may have written: checked, not believed. */
import type { Trace, TraceDevice } from "../trace.ts";
import type { Dictionary } from "./format.ts";

const ARCHITECTURES: Record<Trace["architecture"], true> = { vtd: true, smmuv3: true, unknown: true };
const STAGES: Record<Trace["stage"], true> = { first: true, second: true };

const whole = (value: unknown, most: number): value is number => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most;
const wholeOrNull = (value: unknown, most: number): value is number | null => value === null || whole(value, most);
const texts = (value: unknown): value is string[] => Array.isArray(value) && value.every((text) => typeof text === "string");

function isKey<Key extends string>(known: Record<Key, true>, value: unknown): value is Key {
	return typeof value === "string" && Object.hasOwn(known, value);
}

function isDevice(value: unknown): value is TraceDevice {
	if (typeof value !== "object" || value === null) return false;
	const { segment, rid, name, domain, levels } = value as Record<string, unknown>;
	return whole(segment, 0xffffffff) && whole(rid, 0xffff) && typeof name === "string" && wholeOrNull(domain, 0xffffffff) && wholeOrNull(levels, 6);
}

/** The dictionary, or what is wrong with it. */
export function readDictionary(value: object): Dictionary | string {
	const { architecture, stage, files, notes, devices } = value as Record<string, unknown>;
	if (!isKey(ARCHITECTURES, architecture)) return `architecture ${JSON.stringify(architecture)}`;
	if (!isKey(STAGES, stage)) return `stage ${JSON.stringify(stage)}`;
	if (!texts(files) || !texts(notes)) return "files and notes must be lists of texts";
	if (!Array.isArray(devices)) return "devices must be a list";
	const bad = devices.findIndex((device) => !isDevice(device));
	if (bad >= 0) return `device ${bad}: ${JSON.stringify(devices[bad])}`;
	return { architecture, stage, files, notes, devices };
}

const MADE = "made of ";

/** Notes that tell what a converted recording was made of in the first place. */
export function withOrigin(notes: readonly string[], files: readonly string[]): string[] {
	return files.length === 0 || notes.some((note) => note.startsWith(MADE)) ? [...notes] : [...notes, MADE + files.join(", ")];
}
