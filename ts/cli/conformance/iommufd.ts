/**
 * Scenarios for the iommufd door: steps that must succeed or be refused with a named errno. One wrong step fails its
 * scenario; after the last one every context is closed, and nothing may be left.
 */
import { Errno } from "../../uapi/errno.ts";
import type { FileShape, Verdict } from "./contract.ts";
import type { Answer, CallContext, IommufdDoor, ParametersOf } from "./iommufd-door.ts";
import { type Call, parseScenario } from "./iommufd-scenario.ts";
import { matches, type Names, type Output, ScenarioError, show } from "./scenario-values.ts";

interface Mismatch {
	expected: string;
	got: string;
}

function assertNumber({ value, multiple_of, in: inside, not_in, eq, ne }: ParametersOf<"assert_num">): Mismatch | undefined {
	const wrong: string[] = [];
	const within = ([first, last]: [bigint, bigint]) => value >= first && value <= last;
	if (multiple_of !== undefined && (multiple_of === 0n || value % multiple_of !== 0n)) wrong.push(`a multiple of ${show(multiple_of)}`);
	if (inside !== undefined && !within(inside)) wrong.push(`in ${show(inside)}`);
	if (not_in !== undefined && within(not_in)) wrong.push(`not in ${show(not_in)}`);
	if (eq !== undefined && value !== eq) wrong.push(show(eq));
	if (ne !== undefined && value === ne) wrong.push(`not ${show(ne)}`);
	return wrong.length === 0 ? undefined : { expected: wrong.join(" and "), got: show(value) };
}

type Method = (parameters: Record<string, unknown>, context: CallContext) => Answer | undefined;

function perform(door: IommufdDoor, call: Call, names: Names): Answer {
	const context = { fd: call.fd?.(names) ?? door.start.fd, process: call.process?.(names) ?? door.start.process };
	try {
		const method = (door as unknown as Record<string, Method>)[call.op];
		return method.call(door, call.parameters(names), context) ?? {};
	} catch (error) {
		if (error instanceof Errno) return { error: error.code };
		throw error;
	}
}

/** `va` of translate names a user address: the byte behind it now is what the door must reach. */
function outputOf(door: IommufdDoor, call: Call, name: string, value: Output): Output | undefined {
	return call.op === "translate" && name === "va" ? door.physicalOf(value as bigint) : value;
}

function runCall(door: IommufdDoor, call: Call, names: Names): Mismatch | undefined {
	if (call.op === "assert_num") return assertNumber(call.parameters(names) as unknown as ParametersOf<"assert_num">);
	const { error = "ok", gives = {}, binds = {} } = perform(door, call, names);
	if (error !== call.expect) return { expected: call.expect, got: error };
	for (const [name, expression] of call.gives) {
		const written = expression(names);
		const expected = outputOf(door, call, name, written);
		if (expected === undefined) return { expected: `memory at ${show(written)}`, got: "none" };
		if (!matches(expected, gives[name])) return { expected: `${name} ${show(expected)}`, got: show(gives[name]) };
	}
	for (const [what, name] of call.binds) {
		const value = binds[what];
		if (error === "ok" && value !== undefined) names.set(name, BigInt(value));
	}
	return undefined;
}

function runScenario(content: unknown, create: () => IommufdDoor): Omit<Verdict, "id"> {
	const failed = ({ expected, got }: Mismatch): Omit<Verdict, "id"> => ({ outcome: "failed", expected, got });
	try {
		const { requires, calls } = parseScenario(content);
		const door = create();
		if (requires.some((one) => !door.features.has(one))) return { outcome: "skipped" };
		const names: Names = new Map([
			["$fd0", BigInt(door.start.fd)],
			["$main", BigInt(door.start.process)],
		]);
		for (const [i, call] of calls.entries()) {
			const mismatch = runCall(door, call, names);
			if (mismatch !== undefined) return failed({ expected: `step ${i} ${call.op}: ${mismatch.expected}`, got: mismatch.got });
		}
		const left = door.finish();
		return left.length === 0 ? { outcome: "passed" } : failed({ expected: "nothing left after close", got: left.join(", ") });
	} catch (error) {
		// a fault of the door fails its scenario, not the run
		const wanted = error instanceof ScenarioError ? "a scenario of the vocabulary" : "an outcome";
		return failed({ expected: wanted, got: error instanceof Error ? `${error.name}: ${error.message}` : String(error) });
	}
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

/** The shape of iommufd scenario files; `create` makes the machine of one scenario. */
export function iommufdScenarios(create: () => IommufdDoor): FileShape {
	return {
		recognises(content) {
			if (!isObject(content) || !Array.isArray(content.scenarios)) return false;
			return (content.suite ?? "iommufd") === "iommufd" && content.scenarios.every((one) => isObject(one) && typeof one.id === "string" && Array.isArray(one.steps));
		},
		*run(content, wanted) {
			for (const scenario of (content as { scenarios: Array<{ id: string }> }).scenarios) {
				if (wanted(scenario.id)) yield { id: scenario.id, ...runScenario(scenario, create) };
			}
		},
	};
}
