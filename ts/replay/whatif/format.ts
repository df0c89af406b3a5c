import { REPLAY_FORMATS, type ReplayFormatName } from "../formats.ts";
import type { WhatIf } from "./contract.ts";

const NAMES = Object.keys(REPLAY_FORMATS);

/** Tables, walks and device tables of another format or architecture under the same maps. */
export const format: WhatIf<ReplayFormatName> = {
	name: "format",
	argument: "<name>",
	description: `tables of another format: ${NAMES.join(", ")}`,
	parse(text) {
		if (text === true || !Object.hasOwn(REPLAY_FORMATS, text)) throw new RangeError(`"${text}" is none of ${NAMES.join(", ")}`);
		return text as ReplayFormatName;
	},
	title: (name) => `${name} tables`,
	apply: ({ trace, options }, name) => ({ trace, options: { ...options, format: name } }),
};
