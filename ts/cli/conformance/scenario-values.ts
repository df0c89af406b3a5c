/**
 * Values in scenario files. Numbers are JSON integers, `"0x..."`, `"$name"` or `"$name+0x..."`; names are bound by earlier
 * steps. A value is parsed once, checking its shape and its names, into what gives it when the step runs.
 */

/** What the names of a scenario stand for while it runs: `$x`, `$x.hwpt`. */
export type Names = Map<string, bigint>;
export type Expression<T> = (names: Names) => T;

/** A scenario that is not of its vocabulary. */
export class ScenarioError extends Error {
	override readonly name = "ScenarioError";
}

/** How one parameter is written. `bound`: the names that earlier steps bind. @throws ScenarioError */
export type Parameter<T> = (value: unknown, bound: ReadonlySet<string>) => Expression<T>;
export type ParameterValue<P> = P extends Parameter<infer T> ? T : never;

const NUMBER = /^(?:0x[0-9a-f]+|\d+)$/;
const NAME = /^(\$[a-z][a-z0-9_]*(?:\.[a-z]+)?)(?:([+-])(0x[0-9a-f]+))?$/;

function refuse(value: unknown, wanted: string): never {
	throw new ScenarioError(`${JSON.stringify(value)} is not ${wanted}`);
}

/** The value of a number or of an expression with a name; undefined when it is neither. @throws ScenarioError for a name that is not bound */
export function numeric(value: unknown, bound: ReadonlySet<string>): Expression<bigint> | undefined {
	if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return () => BigInt(value);
	if (typeof value !== "string") return undefined;
	if (NUMBER.test(value)) return () => BigInt(value);
	const parts = NAME.exec(value);
	if (parts === null) return undefined;
	const [, name, sign, text = "0"] = parts;
	if (!bound.has(name)) throw new ScenarioError(`${name} is not bound`);
	const more = sign === "-" ? -BigInt(text) : BigInt(text);
	return (names) => {
		const known = names.get(name);
		if (known === undefined) throw new ScenarioError(`${name} was not given by the step that binds it`);
		return BigInt.asUintN(64, known + more);
	};
}

/** an address, a length, a cookie */
export const num: Parameter<bigint> = (value, bound) => numeric(value, bound) ?? refuse(value, "a number");

/** an object id, a descriptor, a process: whatever the door numbers */
export const id: Parameter<number> = (value, bound) => {
	const at = num(value, bound);
	return (names) => Number(at(names));
};

export const ref: Parameter<number> = (value, bound) => (typeof value === "string" && value.startsWith("$") ? id(value, bound) : refuse(value, "a name"));

export const str: Parameter<string> = (value) => (typeof value === "string" ? () => value : refuse(value, "a string"));
export const bool: Parameter<boolean> = (value) => (typeof value === "boolean" ? () => value : refuse(value, "true or false"));

export function oneOf<const V extends string>(...allowed: V[]): Parameter<V> {
	return (value) => {
		const found = allowed.find((one) => one === value);
		return found === undefined ? refuse(value, `one of ${allowed.join(", ")}`) : () => found;
	};
}

/** A list of names, as an object that says of each whether it is there. */
export function flags<const V extends string>(...allowed: V[]): Parameter<Record<V, boolean>> {
	return (value) => {
		if (!Array.isArray(value) || !value.every((one) => allowed.includes(one))) refuse(value, `a list of ${allowed.join(", ")}`);
		const set = Object.fromEntries(allowed.map((one) => [one, (value as unknown[]).includes(one)])) as Record<V, boolean>;
		return () => set;
	};
}

export function listOf<T>(element: Parameter<T>): Parameter<T[]> {
	return (value, bound) => {
		if (!Array.isArray(value)) refuse(value, "a list");
		const all = value.map((one) => element(one, bound));
		return (names) => all.map((one) => one(names));
	};
}

type Parameters = Readonly<Record<string, Parameter<unknown>>>;
export type ValuesOf<R extends Parameters, O extends Parameters> = { [K in keyof R]: ParameterValue<R[K]> } & { [K in keyof O]?: ParameterValue<O[K]> };

/** An object with these keys; any other is refused. */
export function record<R extends Parameters, O extends Parameters>(required: R, optional: O): Parameter<ValuesOf<R, O>> {
	const known: Parameters = { ...optional, ...required };
	return (value, bound) => {
		if (typeof value !== "object" || value === null || Array.isArray(value)) refuse(value, "an object");
		const given = Object.entries(value as object);
		for (const key of Object.keys(required)) if (!(key in (value as object))) throw new ScenarioError(`${key} is missing`);
		const all = given.map(([key, one]): [string, Expression<unknown>] => {
			if (!Object.hasOwn(known, key)) throw new ScenarioError(`${key} is not known`);
			try {
				return [key, known[key](one, bound)];
			} catch (error) {
				if (error instanceof ScenarioError) throw new ScenarioError(`${key}: ${error.message}`, { cause: error });
				throw error;
			}
		});
		return (names) => Object.fromEntries(all.map(([key, one]) => [key, one(names)])) as ValuesOf<R, O>;
	};
}

const pair = listOf(num);
/** inclusive [first, last] */
export const range: Parameter<[bigint, bigint]> = (value, bound) => (Array.isArray(value) && value.length === 2 ? (pair(value, bound) as Expression<[bigint, bigint]>) : refuse(value, "[first, last]"));

/** What a step gave back, or is to give back. */
export type Output = bigint | number | boolean | string | Output[] | { [key: string]: Output };

/** An expected output: numbers and names as in parameters, other strings stand for themselves. */
export const output: Parameter<Output> = (value, bound) => {
	if (typeof value === "boolean") return () => value;
	if (Array.isArray(value)) return listOf(output)(value, bound);
	if (typeof value === "object" && value !== null) return record({}, Object.fromEntries(Object.keys(value).map((key) => [key, output])))(value, bound) as Expression<Output>;
	return numeric(value, bound) ?? str(value, bound);
};

export const show = (value: unknown): string => JSON.stringify(value, (_, one) => (typeof one === "bigint" ? `0x${one.toString(16)}` : one)) ?? "nothing";

/** Lists are equal in length and element by element, objects in the keys that are expected, numbers whatever their type. */
export function matches(expected: Output, got: Output | undefined): boolean {
	if (got === undefined) return false;
	if (Array.isArray(expected)) return Array.isArray(got) && got.length === expected.length && expected.every((one, i) => matches(one, got[i]));
	if (typeof expected === "object") return typeof got === "object" && !Array.isArray(got) && Object.entries(expected).every(([key, one]) => matches(one, got[key]));
	if (typeof expected === "bigint" && typeof got === "number") return Number.isSafeInteger(got) && BigInt(got) === expected;
	return expected === got;
}
