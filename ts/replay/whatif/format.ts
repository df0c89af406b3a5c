import { REPLAY_FORMATS, type ReplayFormatName } from "../formats.ts";
import { Access, Kind } from "../trace.ts";
import type { WhatIf } from "./contract.ts";
import { scopedBy } from "./scopes.ts";

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
	apply({ trace, options }, name) {
		const { columns } = trace;
		const { byPasid, route } = REPLAY_FORMATS[name];
		const scopes = scopedBy(columns, byPasid);
		// first stages cannot say "write only"
		if (route === "first-stage") for (let row = 0; row < columns.length; row++) if (columns.kind[row] === Kind.map) scopes.flags[row] |= Access.read;
		const faults = columns.kind.includes(Kind.fault);
		return {
			trace: { ...trace, stage: "second", columns: { ...columns, ...scopes } },
			options: { ...options, format: name },
			notes: faults ? ["recorded fault reasons are another architecture's: their DMAs count as wrong"] : [],
		};
	},
};
