import {
	AMD_V1_ACCESSED,
	AMD_V1_DIRTY,
	AMD_V1_READ,
	AMD_V1_WRITE,
	AMD_V2_ACCESSED,
	AMD_V2_DIRTY,
	AMD_V2_NX,
	FORMAT_AMD_V1,
	FORMAT_AMD_V2,
	FORMAT_VTD_FIRST,
	FORMAT_VTD_SECOND,
	VTD_FIRST_EXECUTE,
	VTD_FIRST_NO_EXECUTE,
	VTD_SECOND_EXECUTE,
	VTD_SECOND_TRACKS,
} from "../../assembly/layout.ts";

/** What a table of a format looks like: numbers alone, how its entries are written is in assembly/format. */
export interface Format {
	/** FORMAT_* of assembly/layout.ts */
	code: number;
	/** counts of levels that there are */
	levels: number[];
	/** input address bits of so many levels */
	inputBits(levels: number): number;
	/** addresses beyond half of the input range stand at the top of the 64 bits (canonical form) */
	canonical: boolean;
	/** most output address bits */
	outputBits: number;
	/** lg2 of the leaf sizes that edits build */
	leaves: number[];
	/** geometry flags of every table, of one whose A and D bits hardware updates, and of one with execute rights */
	flags: number;
	trackFlags: number;
	executeFlags: number;
}

const nines = (levels: number) => Math.min(12 + 9 * levels, 64);

/** The registry: one entry for each format that assembly/formats.ts edits. */
export const FORMATS = {
	"vtd-second": {
		code: FORMAT_VTD_SECOND,
		levels: [3, 4, 5],
		inputBits: nines,
		canonical: false,
		outputBits: 52,
		leaves: [12, 21, 30],
		flags: 0,
		trackFlags: VTD_SECOND_TRACKS,
		executeFlags: VTD_SECOND_EXECUTE,
	},
	"vtd-first": {
		code: FORMAT_VTD_FIRST,
		levels: [4, 5],
		inputBits: nines,
		canonical: true,
		outputBits: 52,
		leaves: [12, 21, 30],
		flags: 0,
		trackFlags: 0,
		executeFlags: VTD_FIRST_EXECUTE | VTD_FIRST_NO_EXECUTE,
	},
	"amd-v1": {
		code: FORMAT_AMD_V1,
		levels: [1, 2, 3, 4, 5, 6],
		inputBits: nines,
		canonical: false,
		outputBits: 52,
		leaves: [12, 21, 30, 39, 48],
		flags: AMD_V1_READ | AMD_V1_WRITE,
		trackFlags: AMD_V1_ACCESSED | AMD_V1_DIRTY,
		executeFlags: 0,
	},
	"amd-v2": {
		code: FORMAT_AMD_V2,
		levels: [4, 5],
		inputBits: nines,
		canonical: true,
		outputBits: 52,
		leaves: [12, 21, 30],
		flags: 0,
		trackFlags: AMD_V2_ACCESSED | AMD_V2_DIRTY,
		executeFlags: AMD_V2_NX,
	},
} as const satisfies Record<string, Format>;

export type FormatName = keyof typeof FORMATS;
