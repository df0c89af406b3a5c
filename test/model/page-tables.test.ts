/**
 * Random edits of page tables of every format and geometry against a plain interval map, their walks against the map and
 * against the slow references.
 */
import { describe, expect, it } from "vitest";
import { type TableCase, tableCases } from "./table-machine.ts";
import { Trial } from "./table-trial.ts";

const cases = tableCases();
/** random edits of a case: nightly 100,000 of each format, over all its geometries */
function editsOf({ config }: TableCase): number {
	return process.env.IOASID_NIGHTLY ? Math.ceil(100_000 / cases.filter((one) => one.config.format === config.format).length) : 100;
}
const SEED = Number(process.env.IOASID_SEED ?? 1);

function seedOf({ name }: TableCase): number {
	return SEED * 1000 + [...name].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 997, 7);
}

function run(trial: Trial, seed: number, edits: number): void {
	for (let n = 0; n < edits; n++) {
		const edit = trial.next();
		try {
			trial.step(edit);
			if (n % 2000 === 1999) trial.finish();
		} catch (error) {
			throw new Error(`seed ${seed}, operation ${n} (${JSON.stringify(edit)}) of ${trial.shape.name}: ${error instanceof Error ? error.message : error}`, { cause: error });
		}
	}
	trial.finish();
}

describe("edits and walks", () => {
	it.each(cases.map((shape) => [shape.name, shape] as const))("of %s agree with a map of intervals and the reference", (_name, shape) => {
		const seed = seedOf(shape);
		const trial = new Trial(shape, seed);
		trial.everyLeaf();
		run(trial, seed, editsOf(shape));
		trial.machine.table.dispose();
		expect(trial.machine.engine.framesUsed).toBe(trial.others);
		expect([...trial.sizes].sort((a, b) => a - b)).toEqual(shape.leaves);
		for (const what of ["map", "replace", "unmap", "protect", "split", "Misaligned", "OutOfRange", "Occupied", "translated", "fault"]) {
			expect(trial.seen[what] ?? 0, what).toBeGreaterThan(0);
		}
		if (shape.tracks) expect(trial.seen.dirty ?? 0).toBeGreaterThan(0);
	});

	// of each format the table with the most levels
	const deepest = [...new Map(cases.filter(({ config }) => config.levels > 1).map((shape) => [shape.config.format, shape])).values()];
	it.each(deepest.map((shape) => [shape.name, shape] as const))("of %s change nothing when frames run out", (_name, shape) => {
		const seed = seedOf(shape) + 1;
		// one path of tables below the root, and one table more
		const trial = new Trial(shape, seed, shape.config.levels);
		run(trial, seed, process.env.IOASID_NIGHTLY ? 5_000 : 100);
		expect(trial.seen.OutOfFrames ?? 0).toBeGreaterThan(0);
		expect((trial.seen.map ?? 0) + (trial.seen.replace ?? 0)).toBeGreaterThan(0);
	});
});
