/** Formats of the page tables that the engine builds: one line of FORMATS for each. */
import { ACCESS_READ, FORMAT_VMSA_FIRST, FORMAT_VMSA_SECOND, FORMAT_VTD_SECOND, VMSA_PRIVILEGES } from "../../assembly/layout.ts";

export type TableFormatName = "vtd-second" | VmsaName;
type VmsaName = `vmsav8-${"first" | "second"}-${"4k" | "16k" | "64k"}`;

/** What `Engine.createTable` needs to know of a format; entries are the engine's (assembly/format). */
export interface TableFormat {
	code: number;
	/** of its geometry */
	flags: number;
	/** numbers of levels that it comes in */
	levels: readonly number[];
	inputBits(levels: number): number;
	/** fewest input address bits of so many levels; default: more than the smallest leaf has */
	leastInputBits?(levels: number): number;
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

// Arm ARM DDI 0487 D8.2, D8.7.1: blocks and contiguous sets of 48-bit descriptors; the levels follow from the input width.
// A stage 2 has up to 16 tables at its first level, as far as one block of frames (512 KiB) holds them.
const vmsa = (granule: number, levels: number[], leaves: number[]) => {
	const bits = (n: number) => granule + (granule - 3) * n;
	const shape = { levels, leaves, leastInputBits: (n: number) => bits(n - 1) + 1, signed: false, outputBits: 48, executes: true };
	return {
		first: { ...shape, code: FORMAT_VMSA_FIRST, flags: VMSA_PRIVILEGES, inputBits: (n: number) => Math.min(48, bits(n)), expressible: (permissions: number) => (permissions & ACCESS_READ) !== 0 },
		second: { ...shape, code: FORMAT_VMSA_SECOND, flags: 0, inputBits: (n: number) => Math.min(48, bits(n) + 4, bits(n - 1) + 16), expressible: (permissions: number) => (permissions & 3) !== 0 },
	};
};
const vmsa4k = vmsa(12, [3, 4], [12, 16, 21, 25, 30, 34]);
const vmsa16k = vmsa(14, [2, 3], [14, 21, 25, 30]);
const vmsa64k = vmsa(16, [2, 3], [16, 21, 29, 34]);

export const TABLE_FORMATS: Record<TableFormatName, TableFormat> = {
	"vtd-second": { code: FORMAT_VTD_SECOND, flags: 0, levels: [3, 4, 5], inputBits: (levels) => 12 + 9 * levels, signed: false, outputBits: 52, leaves: [12, 21, 30], executes: false, expressible: (permissions) => (permissions & 3) !== 0 },
	"vmsav8-first-4k": vmsa4k.first,
	"vmsav8-second-4k": vmsa4k.second,
	"vmsav8-first-16k": vmsa16k.first,
	"vmsav8-second-16k": vmsa16k.second,
	"vmsav8-first-64k": vmsa64k.first,
	"vmsav8-second-64k": vmsa64k.second,
};
