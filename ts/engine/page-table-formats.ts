/** Formats of the page tables that the engine builds: one line of FORMATS for each. */
import {
	ACCESS_READ,
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
	VTD_SECOND_TRACKS,
} from "../../assembly/layout.ts";

export type TableFormatName = "vtd-second" | "vtd-first" | "amd-v1" | "amd-v2";

/** What `Engine.createTable` needs to know of a format; entries are the engine's (assembly/format). */
export interface TableFormat {
	code: number;
	/** of its geometry */
	flags: number;
	/** and of one whose A and D bits hardware sets, where that is a choice */
	trackFlags?: number;
	/** numbers of levels that it comes in */
	levels: readonly number[];
	inputBits(levels: number): number;
	/** the upper half of the input lies at the top of 64 bits */
	signed: boolean;
	/** most output address bits */
	outputBits: number;
	/** lg2 bytes of its leaves; those that a number of levels lacks are left out by the engine */
	leaves: readonly number[];
	/** entries tell a fetch from a read */
	executes: boolean;
	/** entries can express these ACCESS_* bits */
	expressible(permissions: number): boolean;
}

const nines = (levels: number) => Math.min(12 + 9 * levels, 64);
const eitherRight = (permissions: number) => (permissions & 3) !== 0;
const present = (permissions: number) => (permissions & ACCESS_READ) !== 0;
const x86 = { levels: [4, 5], inputBits: nines, signed: true, outputBits: 52, leaves: [12, 21, 30], executes: true, expressible: present };

export const TABLE_FORMATS: Record<TableFormatName, TableFormat> = {
	"vtd-second": { code: FORMAT_VTD_SECOND, flags: 0, trackFlags: VTD_SECOND_TRACKS, levels: [3, 4, 5], inputBits: nines, signed: false, outputBits: 52, leaves: [12, 21, 30], executes: false, expressible: eitherRight },
	// A and D are always set
	"vtd-first": { ...x86, code: FORMAT_VTD_FIRST, flags: VTD_FIRST_EXECUTE | VTD_FIRST_NO_EXECUTE },
	"amd-v1": { code: FORMAT_AMD_V1, flags: AMD_V1_READ | AMD_V1_WRITE, trackFlags: AMD_V1_ACCESSED | AMD_V1_DIRTY, levels: [3, 4, 5, 6], inputBits: nines, signed: false, outputBits: 52, leaves: [12, 21, 30, 39, 48], executes: false, expressible: eitherRight },
	"amd-v2": { ...x86, code: FORMAT_AMD_V2, flags: AMD_V2_NX, trackFlags: AMD_V2_ACCESSED | AMD_V2_DIRTY },
};
