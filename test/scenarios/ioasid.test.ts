import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { ioasidScenarios } from "../../ts/cli/conformance/ioasid/index.ts";

interface Step {
	op: string;
	expect?: unknown;
	out?: Record<string, unknown>;
}

interface Scenario {
	id: string;
	title: string;
	source: string;
	steps: Step[];
}

const FILE = JSON.parse(gunzipSync(readFileSync(new URL("ioasid.json.gz", import.meta.url))).toString("utf8")) as { suite: string; scenarios: Scenario[] };

function verdictOf(scenario: Scenario) {
	const [verdict] = ioasidScenarios.run({ suite: FILE.suite, scenarios: [scenario] }, () => true, { uncached: false });
	return verdict;
}

describe("scenarios", () => {
	for (const scenario of FILE.scenarios) {
		it(`${scenario.id}: ${scenario.title} [${scenario.source}]`, () => {
			expect(verdictOf(scenario)).toEqual({ id: scenario.id, outcome: "passed" });
		});
	}
});

/** Something else than an output says. */
function other(value: unknown): unknown {
	if (typeof value === "boolean") return !value;
	if (Array.isArray(value)) return [...value, "0x77"];
	return "0x7777777";
}

/** Copies of a scenario with one expectation broken each. */
function* broken(scenario: Scenario): Iterable<{ what: string; scenario: Scenario }> {
	for (const [index, step] of scenario.steps.entries()) {
		const change = (next: Step) => ({ ...scenario, steps: scenario.steps.map((one, i) => (i === index ? next : one)) });
		for (const [key, value] of Object.entries(step.out ?? {})) yield { what: `step ${index}: ${key}`, scenario: change({ ...step, out: { ...step.out, [key]: other(value) } }) };
		if (typeof step.expect === "string" && step.expect !== "ok") {
			const { expect: _refusal, ...rest } = step;
			yield { what: `step ${index}: no refusal`, scenario: change(rest) };
			if (step.expect !== "error") yield { what: `step ${index}: another errno`, scenario: change({ ...step, expect: "EOVERFLOW" }) };
		}
	}
}

describe("a broken expectation fails its scenario", () => {
	for (const area of ["attach/four_modes_one_ioasid", "dirty/write_marks", "map/rules", "fault/page_request", "info/permitted_ranges"]) {
		it(area, () => {
			const scenario = FILE.scenarios.find(({ id }) => id === area) as Scenario;
			let count = 0;
			for (const one of broken(scenario)) {
				expect(verdictOf(one.scenario), one.what).toMatchObject({ outcome: "failed" });
				count++;
			}
			expect(count).toBeGreaterThan(3);
		});
	}
});
