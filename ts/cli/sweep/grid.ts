/** What a sweep varies: the registry of dimensions, one entry each. Values are texts, so that plans and results can be written down. */
import { InvalidArgumentError } from "commander";
import { type CacheConfig, parseCacheConfig, type Replacement } from "../../engine/index.ts";
import { REPLAY_ARCHITECTURES, REPLAY_FORMATS, type ReplayFormatName } from "../../replay/formats.ts";
import type { ReplayOptions } from "../../replay/replay.ts";
import { deviceTlb, iotlb } from "../iotlb.ts";

/** The part of the options that can be sent to another thread or machine. */
export type JobOptions = Pick<ReplayOptions, "iotlb" | "deviceTlb" | "walkCache" | "contextCache" | "ignoreInvalidations" | "device" | "format" | "architecture">;

interface Dimension {
	/** for people: the values it takes */
	readonly values: string;
	/** Sets `value` in `options`, in which the dimensions before it stand already. @throws InvalidArgumentError */
	apply(value: string, options: JobOptions): void;
}

function onOff(value: string, name: string): boolean {
	if (value === "on" || value === "off") return value === "on";
	throw new InvalidArgumentError(`${name}=${value}: on or off`);
}

function oneOf<Name extends string>(dimension: string, value: string, names: readonly Name[]): Name {
	const found = names.find((name) => name === value);
	if (found === undefined) throw new InvalidArgumentError(`${dimension}=${value}: one of ${names.join(", ")}`);
	return found;
}

function policy(value: string, options: JobOptions): void {
	const { iotlb: cache } = options;
	if (cache === false || typeof cache === "string") throw new InvalidArgumentError(`policy=${value} does not go with iotlb=${cache === false ? "off" : cache}`);
	if (cache?.replacement !== undefined) throw new InvalidArgumentError(`policy=${value}: an iotlb value has a policy of its own`);
	const { sets, ways }: CacheConfig = cache ?? { sets: 64, ways: 4 };
	const { replacement, seed } = parseCacheConfig(`1x1:${value}`, "policy");
	options.iotlb = { sets, ways, replacement: replacement as Replacement, ...(seed === undefined ? {} : { seed }) };
}

/** In the order in which they are applied. */
export const dimensions: Record<string, Dimension> = {
	iotlb: {
		values: "SETSxWAYS, full:N, each with :POLICY; qemu-7.2, qemu-10, off",
		apply: (value, options) => {
			options.iotlb = value === "off" ? false : iotlb(value);
		},
	},
	policy: { values: "lru, plru, fifo, random[:SEED], clear", apply: policy },
	"device-tlb": {
		values: "off, SETSxWAYS, full:N, each with :POLICY",
		apply: (value, options) => {
			options.deviceTlb = deviceTlb(value);
		},
	},
	"walk-cache": {
		values: "on, off",
		apply: (value, options) => {
			options.walkCache = onOff(value, "walk-cache");
		},
	},
	"context-cache": {
		values: "on, off",
		apply: (value, options) => {
			options.contextCache = onOff(value, "context-cache");
		},
	},
	invalidations: {
		values: "on, off (caches are never cleared)",
		apply: (value, options) => {
			options.ignoreInvalidations = !onOff(value, "invalidations");
		},
	},
	architecture: {
		values: REPLAY_ARCHITECTURES.join(", "),
		apply: (value, options) => {
			options.architecture = oneOf("architecture", value, REPLAY_ARCHITECTURES);
		},
	},
	format: {
		values: Object.keys(REPLAY_FORMATS).join(", "),
		apply: (value, options) => {
			if (options.architecture !== undefined) throw new InvalidArgumentError(`format=${value} does not go with architecture=${options.architecture}`);
			options.format = oneOf("format", value, Object.keys(REPLAY_FORMATS) as ReplayFormatName[]);
		},
	},
	device: {
		values: "0000:00:01.0, or all",
		apply: (value, options) => {
			if (value !== "all") options.device = value;
		},
	},
};

/** One `--grid` option: a dimension and its values. */
export interface Axis {
	name: string;
	values: string[];
}

/** Reads `NAME=VALUE,VALUE,...`. @throws InvalidArgumentError */
export function parseAxis(text: string, before: Axis[] = []): Axis[] {
	const at = text.indexOf("=");
	const name = text.slice(0, Math.max(0, at));
	if (!Object.hasOwn(dimensions, name)) throw new InvalidArgumentError(`"${text}" is no NAME=VALUE,...; NAME is ${Object.keys(dimensions).join(", ")}`);
	if (before.some((axis) => axis.name === name)) throw new InvalidArgumentError(`${name} comes twice; give all its values at once`);
	const values = text.slice(at + 1).split(",");
	for (const [i, value] of values.entries()) {
		if (value === "") throw new InvalidArgumentError(`"${text}" has an empty value`);
		if (values.indexOf(value) < i) throw new InvalidArgumentError(`${name}=${value} comes twice`);
	}
	return [...before, { name, values }];
}

/** The options of one point of the grid. @throws InvalidArgumentError for values that do not go together */
export function optionsOf(grid: readonly Axis[], values: readonly string[]): JobOptions {
	const options: JobOptions = {};
	for (const [name, dimension] of Object.entries(dimensions)) {
		const at = grid.findIndex((axis) => axis.name === name);
		if (at >= 0) dimension.apply(values[at], options);
	}
	return options;
}

/** Every point of the grid, the last dimension changing fastest. */
export function points(grid: readonly Axis[]): string[][] {
	return grid.reduce<string[][]>((all, { values }) => all.flatMap((point) => values.map((value) => [...point, value])), [[]]);
}
