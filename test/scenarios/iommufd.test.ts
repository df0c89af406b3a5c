/** The runner of iommufd scenarios, against doors that answer as a scenario says, or not quite. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, expectTypeOf, it, test } from "vitest";
import type { Verdict } from "../../ts/cli/conformance/contract.ts";
import { iommufdScenarios } from "../../ts/cli/conformance/iommufd.ts";
import type { Answer, AnswerOf, CallContext, IommufdDoor, ParametersOf } from "../../ts/cli/conformance/iommufd-door.ts";
import { binaryDoor, typedDoor } from "../../ts/cli/conformance/iommufd-doors.ts";
import { parseScenario } from "../../ts/cli/conformance/iommufd-scenario.ts";
import { FEATURES, type Feature, OPERATIONS, type OperationName } from "../../ts/cli/conformance/iommufd-vocabulary.ts";
import { matches, type Names, type Output, output, ScenarioError } from "../../ts/cli/conformance/scenario-values.ts";
import { COMMANDS } from "../../ts/uapi/abi/commands.ts";
import { Errno, type ErrnoName } from "../../ts/uapi/errno.ts";

interface Step {
	op: OperationName;
	expect?: string;
	as?: string;
	out?: Record<string, unknown>;
}
interface Scenario {
	id: string;
	requires?: Feature[];
	steps: Step[];
}
const read = (name: string) => readFileSync(new URL(name, import.meta.url));
const file = JSON.parse(gunzipSync(read("iommufd.json.gz")).toString()) as { scenarios: Scenario[] };
const vocabulary = JSON.parse(read("iommufd-vocab.json").toString()) as {
	features: string[];
	ops: Record<string, { req: Record<string, string>; opt?: Record<string, string>; binds?: string[]; outs?: string[] }>;
};

type Call = (op: string, parameters: Record<string, unknown>, context: CallContext) => Answer | undefined;

/** A door of which every operation is `call`. */
function doorOf(call: Call, more: Partial<IommufdDoor> = {}): IommufdDoor {
	const base = { features: new Set(FEATURES), start: { fd: 3, process: 100 }, physicalOf: (va: bigint) => va + (1n << 40n), finish: () => [], ...more };
	return new Proxy(base, {
		get: (target, key) => (key in target ? target[key as keyof typeof target] : (parameters: Record<string, unknown>, context: CallContext) => call(String(key), parameters, context)),
	}) as unknown as IommufdDoor;
}

/** Answers step by step what the scenario expects; `change` may answer something else. */
function echo(scenario: Scenario, change: (step: Step, answer: Answer) => Answer = (_, answer) => answer): IommufdDoor {
	const steps = scenario.steps.filter(({ op }) => op !== "assert_num");
	const names: Names = new Map([["$fd0", 3n], ["$main", 100n]]);
	let next = 1000n;
	const door = doorOf((op) => {
		const step = steps.shift()!;
		expect(step.op).toBe(op);
		const binds: Record<string, bigint> = {};
		if (step.as !== undefined && (step.expect ?? "ok") === "ok") {
			for (const what of OPERATIONS[step.op].binds) {
				binds[what] = next++;
				names.set(what === "self" ? `$${step.as}` : `$${step.as}.${what}`, binds[what]);
			}
		}
		const gives = Object.fromEntries(
			Object.entries(step.out ?? {}).map(([name, value]): [string, Output] => {
				const resolved = output(value, new Set(names.keys()))(names);
				return [name, name === "va" ? door.physicalOf(resolved as bigint)! : resolved];
			}),
		);
		return change(step, { error: step.expect === undefined || step.expect === "ok" ? undefined : (step.expect as ErrnoName), gives, binds });
	});
	return door;
}

function run(scenarios: Scenario[], create: (scenario: Scenario) => IommufdDoor): Verdict[] {
	let at = 0;
	const shape = iommufdScenarios(() => create(scenarios[at]));
	const verdicts: Verdict[] = [];
	for (const verdict of shape.run({ scenarios }, () => true, { uncached: false })) {
		verdicts.push(verdict);
		at++;
	}
	return verdicts;
}
const one = (steps: object[], call: Call, more?: Partial<IommufdDoor>, requires?: Feature[]) => run([{ id: "a/b", steps: steps as Step[], requires }], () => doorOf(call, more))[0];

describe("the vocabulary", () => {
	test("has the operations, parameters, names and outputs of the shared one", () => {
		const shape = Object.entries(OPERATIONS).map(([name, { required, optional, binds, gives }]) => [name, { req: Object.keys(required).sort(), opt: Object.keys(optional).sort(), binds, gives }]);
		const shared = Object.entries(vocabulary.ops).map(([name, { req, opt = {}, binds = [], outs = [] }]) => {
			const required = Object.keys(req).filter((key) => key !== "as").sort();
			return [name, { req: required, opt: Object.keys(opt).sort(), binds: binds.map((bind) => bind.slice(1) || "self"), gives: outs }];
		});
		expect(Object.fromEntries(shape)).toEqual(Object.fromEntries(shared));
		expect([...FEATURES]).toEqual(vocabulary.features);
	});
	test("takes every value of an enumeration or of flags and no other", () => {
		for (const [name, { req, opt = {} }] of Object.entries(vocabulary.ops)) {
			const { required, optional } = OPERATIONS[name as OperationName];
			const parameters: Record<string, (value: unknown, bound: Set<string>) => unknown> = { ...required, ...optional };
			for (const [key, type] of Object.entries({ ...req, ...opt })) {
				const [kind, list] = type.split(":");
				if (list === undefined) continue;
				for (const value of list.split(",")) expect(() => parameters[key](kind === "enum" ? value : [value], new Set())).not.toThrow();
				expect(() => parameters[key](kind === "enum" ? "other" : ["other"], new Set())).toThrow(ScenarioError);
			}
		}
	});
	test("names the commands of the door", () => {
		const commands = vocabulary.ops.raw.req.cmd.slice(5).split(",").filter((name) => !name.startsWith("unknown"));
		expect(commands.sort()).toEqual(Object.keys(COMMANDS).filter((name) => name !== "test").sort());
	});
	test("gives the door its types", () => {
		expectTypeOf<ParametersOf<"check_refs">>().toMatchObjectType<{ va: bigint; length: bigint; refs: number }>();
		expectTypeOf<ParametersOf<"ioas_map">["flags"]>().toEqualTypeOf<Record<"readable" | "writeable" | "fixed", boolean>>();
		expectTypeOf<ParametersOf<"ioas_map">["iova"]>().toEqualTypeOf<bigint | undefined>();
		expectTypeOf<keyof NonNullable<AnswerOf<"mock_domain">["binds"]>>().toEqualTypeOf<"self" | "hwpt" | "dev">();
		expectTypeOf<keyof NonNullable<AnswerOf<"get_dirty_bitmap">["gives"]>>().toEqualTypeOf<"bits">();
		expectTypeOf<Parameters<IommufdDoor["destroy"]>[0]>().toMatchObjectType<{ id: number }>();
	});
});

describe("the shared file", () => {
	it("parses into calls, all of it", () => {
		expect(file.scenarios).toHaveLength(209);
		for (const scenario of file.scenarios) expect(parseScenario(scenario).calls).toHaveLength(scenario.steps.length);
		expect(iommufdScenarios(() => doorOf(() => ({}))).recognises(file)).toBe(true);
	});

	const plain = file.scenarios.filter(({ steps }) => steps.every(({ op }) => op !== "assert_num"));
	it("passes at a door that answers what is expected", () => {
		expect(plain.length).toBeGreaterThan(190);
		expect(run(plain, echo).filter(({ outcome }) => outcome !== "passed")).toEqual([]);
	});
	it("fails at every step that goes otherwise", () => {
		let steps = 0;
		for (const scenario of plain) {
			for (const wrong of scenario.steps) {
				const turned = run([scenario], () => echo(scenario, (step, answer) => (step === wrong ? { ...answer, error: answer.error === undefined ? "EIO" : undefined } : answer)))[0];
				expect(turned.outcome).toBe("failed");
				steps++;
			}
		}
		expect(steps).toBeGreaterThan(1000);
	});
	it("fails at every output that is missing or another", () => {
		let outputs = 0;
		for (const scenario of plain) {
			for (const wrong of scenario.steps) {
				for (const name of Object.keys(wrong.out ?? {})) {
					for (const value of [undefined, "something else"]) {
						const turned = run([scenario], () => echo(scenario, (step, answer) => (step === wrong ? { ...answer, gives: { ...answer.gives, [name]: value as Output } } : answer)))[0];
						expect(turned.outcome).toBe("failed");
						expect(turned.expected).toContain(`${wrong.op}: ${name}`);
						outputs++;
					}
				}
			}
		}
		expect(outputs).toBeGreaterThan(100);
	});
});

describe("a scenario", () => {
	it("runs each step where it says, with names resolved", () => {
		const seen: unknown[] = [];
		const verdict = one(
			[
				{ op: "open", as: "fd2", node: "iommu" },
				{ op: "proc_fork", as: "kid" },
				{ op: "ioas_alloc", as: "io", fd: "$fd2" },
				{ op: "ioas_map", ioas: "$io", user_va: "0x1000", length: 4096, flags: ["readable"], as: "at", proc: "$kid", fd: "$fd2" },
				{ op: "ioas_unmap", ioas: "$io", iova: "$at+0x800", length: "0x800", out: { length: "$at-0x1000" } },
				{ op: "assert_num", value: "$at", multiple_of: 4096, in: [0, "0x2000"], not_in: ["0x2001", "0x3000"], eq: "0x2000", ne: 1 },
			],
			(op, parameters, context) => {
				seen.push([op, parameters, context]);
				const binds: Record<string, number | bigint> = { open: 7, proc_fork: 101, ioas_alloc: 1, ioas_map: 0x2000n };
				return { binds: { self: binds[op] }, gives: { length: 0x1000 } };
			},
		);
		expect(verdict).toEqual({ id: "a/b", outcome: "passed" });
		expect(seen[2]).toEqual(["ioas_alloc", {}, { fd: 7, process: 100 }]);
		expect(seen[3]).toEqual(["ioas_map", { ioas: 1, user_va: 0x1000n, length: 4096n, flags: { readable: true, writeable: false, fixed: false } }, { fd: 7, process: 101 }]);
		expect(seen[4]).toEqual(["ioas_unmap", { ioas: 1, iova: 0x2800n, length: 0x800n }, { fd: 3, process: 100 }]);
	});

	test.each([
		[{ multiple_of: 3 }, "a multiple of"],
		[{ multiple_of: 0 }, "a multiple of"],
		[{ in: [1, 9] }, "in "],
		[{ not_in: [9, 10] }, "not in "],
		[{ eq: 11 }, "0xb"],
		[{ ne: 10 }, "not "],
	])("of a number that is not %o fails", (rule, expected) => {
		expect(one([{ op: "assert_num", value: 10, ...rule }], () => ({}))).toMatchObject({ outcome: "failed", expected: expect.stringContaining(expected), got: '"0xa"' });
	});

	it("takes an errno that is thrown, and its outputs from an answer", () => {
		const steps = [{ op: "ioas_iova_ranges", ioas: 1, max: 0, expect: "EMSGSIZE", out: { num: 2 } }];
		expect(one(steps, () => ({ error: "EMSGSIZE", gives: { num: 2 } })).outcome).toBe("passed");
		const thrown = () => {
			throw new Errno("EMSGSIZE", "x");
		};
		expect(one(steps, thrown)).toMatchObject({ outcome: "failed", expected: "step 0 ioas_iova_ranges: num \"0x2\"", got: "nothing" });
		expect(one([{ ...steps[0], out: undefined }], thrown).outcome).toBe("passed");
	});

	it("fails when the door breaks, when something is left, and when a name was not given", () => {
		const broken = () => {
			throw new TypeError("broken");
		};
		expect(one([{ op: "ioas_alloc" }], broken)).toMatchObject({ outcome: "failed", got: "TypeError: broken" });
		expect(one([{ op: "ioas_alloc" }], () => undefined, { finish: () => ["1 page pinned"] })).toMatchObject({ outcome: "failed", got: "1 page pinned" });
		expect(one([{ op: "ioas_alloc", as: "x" }, { op: "destroy", id: "$x" }], () => ({}))).toMatchObject({ outcome: "failed", got: expect.stringContaining("$x was not given") });
	});

	it("fails when translate reaches another byte or there is none", () => {
		const steps = [{ op: "translate", device: "$main", iova: 0, access: "r", out: { va: "0x1000" } }];
		expect(one(steps, () => ({ gives: { va: 0x1000n } }), { physicalOf: () => 0x1000n }).outcome).toBe("passed");
		expect(one(steps, () => ({ gives: { va: 0x1000n } }), { physicalOf: () => 0x2000n }).outcome).toBe("failed");
		expect(one(steps, () => ({ gives: { va: 0x1000n } }), { physicalOf: () => undefined })).toMatchObject({ outcome: "failed", got: "none" });
	});

	it("is skipped when the door lacks what it requires", () => {
		const features = new Set<Feature>(["mmap"]);
		expect(one([{ op: "ioas_alloc" }], () => ({}), { features }, ["dmabuf"]).outcome).toBe("skipped");
		expect(one([{ op: "ioas_alloc" }], () => ({}), { features }, ["mmap"]).outcome).toBe("passed");
	});

	test.each([
		[{ op: "nothing" }, 'no operation "nothing"'],
		[{ op: "toString" }, "no operation"],
		[{ op: "destroy" }, "id is missing"],
		[{ op: "destroy", id: 1, more: 2 }, "more is not known"],
		[{ op: "destroy", id: -1 }, "id: -1 is not a number"],
		[{ op: "destroy", id: "$x" }, "id: $x is not bound"],
		[{ op: "destroy", id: 1, as: "x" }, "destroy binds nothing"],
		[{ op: "destroy", id: 1, expect: "EWHAT" }, '"EWHAT" is no outcome'],
		[{ op: "destroy", id: 1, expect: "toString" }, "is no outcome"],
		[{ op: "destroy", id: 1, expect: "fault" }, "is no outcome"],
		[{ op: "destroy", id: 1, out: { id: 1 } }, "destroy does not give id"],
		[{ op: "unbind", device: 1 }, "device: 1 is not a name"],
		[{ op: "ioas_alloc", as: "X" }, "is no name"],
		[{ op: "ioas_allow_iovas", ioas: 1, ranges: [[1]] }, "is not [first, last]"],
		[{ op: "hwpt_alloc", dev: 1, pt: 1, data: { iotlb: 1 } }, "data: type is missing"],
		[{ op: "close", target: "$fd0", fd: "$fd9" }, "$fd9 is not bound"],
	])("with %o is refused by name", (step, message) => {
		expect(one([step], () => ({}))).toMatchObject({ outcome: "failed", expected: "a scenario of the vocabulary", got: expect.stringContaining(message) });
	});

	it("is not one with a name of a step that failed", () => {
		expect(() => parseScenario({ id: "a/b", steps: [{ op: "ioas_alloc", as: "x", expect: "EIO" }, { op: "destroy", id: "$x" }] })).toThrow("step 1: id: $x is not bound");
		expect(() => parseScenario({ id: "a/b", requires: ["luck"], steps: [] })).toThrow(ScenarioError);
	});
});

test("files of other shapes are not recognised", () => {
	const shape = iommufdScenarios(() => doorOf(() => ({})));
	for (const other of [null, [], {}, { scenarios: 1 }, { suite: "ioasid", scenarios: [] }, { scenarios: [{ id: 1, steps: [] }] }]) expect(shape.recognises(other)).toBe(false);
});

test("outputs match by value", () => {
	expect(matches([1n, { a: 2n }], [1, { a: 2n, b: 3 }])).toBe(true);
	expect([matches([1n], [1n, 2n]), matches({ a: 1n }, { b: 1n }), matches(1n, true), matches(1n, 1.5), matches(true, false), matches({ a: 1n }, [1n])]).toEqual(Array(6).fill(false));
});

describe.each([
	["methods", typedDoor],
	["ioctls", binaryDoor],
])("the shared file through %s", (_, create) => {
	it("passes", () => {
		const verdicts = [...iommufdScenarios(create).run(file, () => true, { uncached: false })];
		expect(verdicts).toHaveLength(209);
		expect(verdicts.filter(({ outcome }) => outcome !== "passed")).toEqual([]);
	});
});
