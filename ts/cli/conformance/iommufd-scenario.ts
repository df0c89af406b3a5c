/** Scenarios of iommufd files, parsed and checked into calls. */
import { type ErrnoName, isErrnoName } from "../../uapi/errno.ts";
import { FEATURES, type Feature, OPERATIONS, type OperationName } from "./iommufd-vocabulary.ts";
import { type Expression, type Output, output, record, ref, ScenarioError } from "./scenario-values.ts";

export interface Call {
	op: OperationName;
	parameters: Expression<Record<string, unknown>>;
	/** undefined: `$fd0`, `$main` */
	fd?: Expression<number>;
	process?: Expression<number>;
	expect: "ok" | "fault" | ErrnoName;
	gives: Array<[name: string, value: Expression<Output>]>;
	/** names by what the operation binds: self -> `$x`, hwpt -> `$x.hwpt` */
	binds: Array<[what: string, name: string]>;
}

export interface Scenario {
	id: string;
	requires: Feature[];
	calls: Call[];
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
const COMMON = ["op", "expect", "out", "as", "proc", "fd", "note"];

function expectation(value: unknown, op: OperationName): Call["expect"] {
	if (value === undefined || value === "ok") return "ok";
	if (value === "fault" && op === "translate") return value;
	if (!isErrnoName(value)) throw new ScenarioError(`${JSON.stringify(value)} is no outcome of ${op}`);
	return value;
}

function parseStep(step: unknown, bound: Set<string>): Call {
	if (!isObject(step)) throw new ScenarioError("a step is an object");
	if (typeof step.op !== "string" || !Object.hasOwn(OPERATIONS, step.op)) throw new ScenarioError(`no operation ${JSON.stringify(step.op)}`);
	const op = step.op as OperationName;
	const { required, optional, binds, gives } = OPERATIONS[op];
	const own = Object.fromEntries(Object.entries(step).filter(([key]) => !COMMON.includes(key)));
	const expected = step.out === undefined ? {} : step.out;
	if (!isObject(expected)) throw new ScenarioError("out is an object");
	const call: Call = {
		op,
		parameters: record(required, optional)(own, bound),
		fd: step.fd === undefined ? undefined : ref(step.fd, bound),
		process: step.proc === undefined ? undefined : ref(step.proc, bound),
		expect: expectation(step.expect, op),
		gives: Object.entries(expected).map(([name, value]) => {
			if (!gives.some((one) => one === name)) throw new ScenarioError(`${op} does not give ${name}`);
			return [name, output(value, bound)];
		}),
		binds: [],
	};
	if (step.as !== undefined) {
		if (typeof step.as !== "string" || !/^[a-z][a-z0-9_]*$/.test(step.as)) throw new ScenarioError(`${JSON.stringify(step.as)} is no name`);
		if (binds.length === 0) throw new ScenarioError(`${op} binds nothing`);
		call.binds = binds.map((what) => [what, what === "self" ? `$${step.as}` : `$${step.as}.${what}`]);
		if (call.expect === "ok") for (const [, name] of call.binds) bound.add(name);
	}
	return call;
}

/** @throws ScenarioError that names the step */
export function parseScenario(content: unknown): Scenario {
	if (!isObject(content) || typeof content.id !== "string" || !Array.isArray(content.steps)) throw new ScenarioError("a scenario has an id and steps");
	const requires = content.requires ?? [];
	if (!Array.isArray(requires) || !requires.every((one) => FEATURES.includes(one))) throw new ScenarioError(`requires ${JSON.stringify(requires)}`);
	const bound = new Set(["$fd0", "$main"]);
	const calls = content.steps.map((step, i) => {
		try {
			return parseStep(step, bound);
		} catch (error) {
			if (error instanceof ScenarioError) throw new ScenarioError(`step ${i}: ${error.message}`, { cause: error });
			throw error;
		}
	});
	return { id: content.id, requires, calls };
}
