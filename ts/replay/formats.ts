/** Formats that a trace can be replayed in, beside the one of its recording: one line for each. */
import type { ArchitectureName, TableFormatName } from "../engine/index.ts";

export interface ReplayFormat {
	architecture: ArchitectureName;
	table: TableFormatName;
	/** kind of route without a PASID that leads to such a table */
	route: "first-stage" | "second-stage";
	/** fewest and most levels; the recorded number is kept where it lies between, else the nearest is taken */
	levels: readonly [number, number];
	/** registers that differ from a new unit's */
	registers?: Record<string, bigint>;
	/** its cached answers are invalidated by PASID (0: the requests without one) */
	byPasid: boolean;
}

/** RTADDR_REG.TTM 01b: scalable mode (VT-d 11.4.5) */
const SCALABLE = { RTADDR: 1n << 10n };

export const REPLAY_FORMATS = {
	"vtd-second": { architecture: "vtd", table: "vtd-second", route: "second-stage", levels: [3, 5], byPasid: false },
	"vtd-first": { architecture: "vtd", table: "vtd-first", route: "first-stage", levels: [4, 5], registers: SCALABLE, byPasid: true },
	"amd-v1": { architecture: "amdvi", table: "amd-v1", route: "second-stage", levels: [3, 6], byPasid: false },
} as const satisfies Record<string, ReplayFormat>;

export type ReplayFormatName = keyof typeof REPLAY_FORMATS;
