/** Values of options that several commands take. */
import { readFileSync } from "node:fs";
import { InvalidArgumentError } from "commander";
import { type CostTable, parseCostTable } from "../replay/latency.ts";
import type { WarmUp } from "../replay/warm-up.ts";

export const amount = (text: string): number => {
	const n = Number(text);
	if (text.trim() === "" || !Number.isFinite(n) || n < 0) throw new InvalidArgumentError(`"${text}" is no number of at least 0`);
	return n;
};

export const whole = (text: string): number => {
	const n = amount(text);
	if (!Number.isInteger(n)) throw new InvalidArgumentError(`"${text}" is no whole number`);
	return n;
};

/** Marks by time and by event are one thing to the library. */
export function warmUpOf({ warmUp, warmUpEvents }: { warmUp?: number; warmUpEvents?: number }): { warmUp?: WarmUp } {
	if (warmUp !== undefined) return { warmUp: { time: warmUp } };
	return warmUpEvents === undefined ? {} : { warmUp: { events: warmUpEvents } };
}

/** A JSON file with what requests cost. */
export function costs(path: string): CostTable {
	try {
		return parseCostTable(JSON.parse(readFileSync(path, "utf8")));
	} catch (error) {
		throw new InvalidArgumentError(`${path}: ${(error as Error).message}`);
	}
}
