/** Values of a scenario: numbers, names and how outputs compare. */

export interface Step {
	op: string;
	expect?: string | string[];
	out?: Record<string, unknown>;
	any_of?: Array<Record<string, unknown>>;
	as?: string;
	fd?: string;
	proc?: string;
	[parameter: string]: unknown;
}

export interface Scenario {
	id: string;
	uapi: "v1" | "v2" | "vfio" | "core";
	options?: Record<string, unknown>;
	requires?: string[];
	steps: Step[];
}

/** A scenario that is not well formed. */
export class ScenarioError extends Error {}

/** Names that steps have bound. */
export class Names {
	private readonly bound = new Map<string, unknown>();

	set(name: string, value: unknown): void {
		this.bound.set(name, value);
	}

	get(name: string): unknown {
		if (!this.bound.has(name)) throw new ScenarioError(`$${name} is bound to nothing`);
		return this.bound.get(name);
	}

	/** An integer, "0x..", "$x" or "$x+0x10". */
	number(value: unknown): bigint {
		if (typeof value === "bigint") return value;
		if (typeof value === "number") return BigInt(value);
		if (typeof value !== "string") throw new ScenarioError(`not a number: ${JSON.stringify(value)}`);
		if (!value.startsWith("$")) return BigInt(value);
		const [name, plus] = value.slice(1).split("+");
		const base = this.get(name);
		if (typeof base !== "bigint" && typeof base !== "number") throw new ScenarioError(`$${name} is no number`);
		return BigInt(base) + (plus === undefined ? 0n : BigInt(plus));
	}

	optional(value: unknown): bigint | undefined {
		return value === undefined ? undefined : this.number(value);
	}

	/** The object that a reference names. */
	ref<T>(value: unknown, kind: abstract new (...args: never[]) => T): T {
		const found = typeof value === "string" && value.startsWith("$") ? this.get(value.slice(1)) : undefined;
		if (!(found instanceof kind)) throw new ScenarioError(`${JSON.stringify(value)} names no ${kind.name}`);
		return found;
	}

	/** Whether an output is what a step says: lists exactly, objects by the keys given. */
	matches(expected: unknown, got: unknown): boolean {
		if (Array.isArray(expected)) return Array.isArray(got) && expected.length === got.length && expected.every((one, i) => this.matches(one, got[i]));
		if (expected === null) return got === null || got === undefined;
		if (typeof expected === "object") {
			if (typeof got !== "object" || got === null) return false;
			return Object.entries(expected).every(([key, one]) => this.matches(one, (got as Record<string, unknown>)[key]));
		}
		if (typeof expected === "boolean") return expected === got;
		if (typeof got === "number" || typeof got === "bigint") return this.isNumber(expected) && this.number(expected) === BigInt(got);
		if (typeof expected === "string" && expected.startsWith("$")) return this.get(expected.slice(1)) === got;
		return expected === got;
	}

	private isNumber(value: unknown): boolean {
		if (typeof value === "number") return true;
		if (typeof value !== "string") return false;
		if (!value.startsWith("$")) return /^(0x[0-9a-f]+|\d+)$/i.test(value);
		const bound = this.bound.get(value.slice(1).split("+")[0]);
		return typeof bound === "number" || typeof bound === "bigint";
	}
}

/** Text of a value, for reports of failures. */
export function show(value: unknown): string {
	return JSON.stringify(value, (_key, one) => {
		if (typeof one === "bigint") return `0x${one.toString(16)}`;
		if (typeof one !== "object" || one === null || Array.isArray(one) || Object.getPrototypeOf(one) === Object.prototype) return one;
		return `$${String((one as { name?: string }).name ?? one.constructor.name)}`;
	});
}
