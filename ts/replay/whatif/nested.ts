import { NESTED_LEAVES } from "../direct-machine.ts";
import type { WhatIf } from "./contract.ts";
import { format } from "./format.ts";

/** The same maps as a guest's own: first-stage tables that a second stage translates. */
export const nested: WhatIf<keyof typeof NESTED_LEAVES> = {
	name: "nested",
	argument: "[leaf]",
	description: `first-stage tables under a second stage of VT-d, its leaves ${Object.keys(NESTED_LEAVES).join(", ")} (default 2M)`,
	parse(text) {
		if (text === true) return "2M";
		if (!Object.hasOwn(NESTED_LEAVES, text)) throw new RangeError(`"${text}" is none of ${Object.keys(NESTED_LEAVES).join(", ")}`);
		return text as keyof typeof NESTED_LEAVES;
	},
	title: (leaf) => `nested under a second stage of ${leaf} leaves`,
	apply(subject, leaf) {
		const change = format.apply(subject, "vtd-first");
		return { ...change, options: { ...subject.options, nested: leaf } };
	},
};
