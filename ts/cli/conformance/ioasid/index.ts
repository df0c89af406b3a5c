/** Scenario files of the 2021 doors: flows of steps on a machine made for each. */
import { CoreError, type Process } from "../../../core/index.ts";
import { EngineError } from "../../../engine/index.ts";
import { DoorError, ERRNOS, type ErrnoName, IoasidFile } from "../../../uapi/index.ts";
import type { FileShape, Verdict } from "../contract.ts";
import { CheckFailed, type Operation, type Outcome } from "./ops.ts";
import { checkOps } from "./ops-check.ts";
import { ioasidOps } from "./ops-ioasid.ts";
import { worldOps } from "./ops-world.ts";
import { Names, type Scenario, ScenarioError, show, type Step } from "./values.ts";
import { World } from "./world.ts";

const OPERATIONS: Record<string, Operation> = { ...worldOps, ...ioasidOps, ...checkOps };

interface ScenarioFile {
	suite: string;
	scenarios: Scenario[];
}

/** What a failure of a step is called: an errno, or null for one that is none. */
function errnoOf(error: unknown): ErrnoName | null {
	if (error instanceof DoorError) return error.errno;
	if (error instanceof CoreError) return ERRNOS[error.reason];
	return null;
}

function allowed(expect: Step["expect"], errno: string): boolean {
	if (expect === "error") return true;
	const names = Array.isArray(expect) ? expect : [expect];
	return names.includes(errno) || (names.includes("ENOTSUPP") && errno === "EOPNOTSUPP");
}

class Run {
	readonly world: World;
	private readonly names = new Names();
	private lastFailure = "";

	constructor(scenario: Scenario) {
		this.world = new World(scenario);
	}

	private caller(step: Step): Process {
		const process = this.world.processes.get(step.proc === undefined ? "main" : step.proc.slice(1));
		if (process === undefined) throw new ScenarioError(`no process ${step.proc}`);
		return process;
	}

	private file(step: Step): IoasidFile {
		if (step.fd !== undefined) return this.names.ref(step.fd, IoasidFile);
		const [first] = this.world.files;
		if (first === undefined) throw new DoorError("EINVAL", `${step.op}: no file is open`);
		return first;
	}

	private act(step: Step): Outcome {
		if (step.op === "reason") {
			const missing = (step.mentions as string[]).filter((text) => !this.lastFailure.includes(text));
			if (missing.length > 0) throw new CheckFailed(`"${this.lastFailure}" does not mention ${missing.join(", ")}`);
			return {};
		}
		const operation = OPERATIONS[step.op];
		if (operation === undefined) throw new ScenarioError(`no operation ${step.op}`);
		return operation({ world: this.world, names: this.names, step, caller: this.caller(step), file: () => this.file(step) }) ?? {};
	}

	/** Why a step went wrong; null when it did not. */
	step(step: Step): { expected: string; got: string } | null {
		const { expect = "ok", out, any_of: anyOf } = step;
		let outcome: Outcome;
		try {
			outcome = this.act(step);
		} catch (error) {
			const errno = errnoOf(error);
			if (errno === null && !(error instanceof CheckFailed) && !(error instanceof ScenarioError) && !(error instanceof EngineError)) throw error;
			const got = error instanceof Error ? error.message : String(error);
			if (errno === null) return { expected: expect === "ok" ? "ok" : show(expect), got };
			this.lastFailure = got;
			return expect !== "ok" && allowed(expect, errno) ? null : { expected: show(expect), got: `${errno} (${got})` };
		}
		if (expect !== "ok") return { expected: show(expect), got: `ok ${show(outcome.outputs ?? {})}` };
		if (step.as !== undefined && outcome.bound !== undefined) this.names.set(step.as, outcome.bound);
		const wanted = anyOf ?? (out === undefined ? [] : [out]);
		const outputs = outcome.outputs ?? {};
		if (wanted.length === 0 || wanted.some((one) => this.fits(one, outputs))) return null;
		return { expected: show(anyOf ?? out), got: show(outputs) };
	}

	private fits(wanted: Record<string, unknown>, outputs: Record<string, unknown>): boolean {
		if (wanted.fault === "any") return outputs.fault !== undefined && this.fits({ ...wanted, fault: outputs.fault }, outputs);
		return this.names.matches(wanted, outputs);
	}

	/** Close everything; nothing may be left charged, pinned or routed. */
	finish(): string | null {
		const { world } = this;
		for (const { device } of world.devices.values()) world.closeDevice(device);
		for (const file of world.files) file.close();
		for (const { device } of world.devices.values()) world.closeDevice(device);
		for (const [name, process] of world.processes) if (process.locked !== 0) return `${process.locked} pages of ${name} stay charged`;
		for (const { device, name } of world.devices.values()) if (device.requester.installedCount > 0) return `routes of ${name} stay`;
		return null;
	}
}

function runScenario(scenario: Scenario): { expected: string; got: string } | null {
	const run = new Run(scenario);
	for (const [index, step] of scenario.steps.entries()) {
		const wrong = run.step(step);
		if (wrong !== null) return { expected: `step ${index} ${step.op}: ${wrong.expected}`, got: wrong.got };
	}
	const left = run.finish();
	return left === null ? null : { expected: "nothing left", got: left };
}

export const ioasidScenarios: FileShape = {
	recognises(content): content is ScenarioFile {
		return typeof content === "object" && content !== null && (content as ScenarioFile).suite === "ioasid" && Array.isArray((content as ScenarioFile).scenarios);
	},
	*run(content, wanted): Iterable<Verdict> {
		for (const scenario of (content as ScenarioFile).scenarios) {
			if (!wanted(scenario.id)) continue;
			let wrong: { expected: string; got: string } | null;
			try {
				wrong = runScenario(scenario);
			} catch (error) {
				wrong = { expected: "no crash", got: error instanceof Error ? (error.stack ?? error.message) : String(error) };
			}
			yield wrong === null ? { id: scenario.id, outcome: "passed" } : { id: scenario.id, outcome: "failed", ...wrong };
		}
	},
};
