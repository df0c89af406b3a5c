/** Formats of the page tables that the engine builds: one line of FORMATS for each. */
import {
	ACCESS_READ,
	ACCESS_WRITE,
	AMD_V1_ACCESSED,
	AMD_V1_DIRTY,
	AMD_V1_READ,
	AMD_V1_WRITE,
	AMD_V2_ACCESSED,
	AMD_V2_DIRTY,
	AMD_V2_NX,
	FORMAT_AMD_V1,
	FORMAT_AMD_V2,
	FORMAT_VMSA_FIRST,
	FORMAT_VMSA_SECOND,
	VMSA_ACCESSED,
	VMSA_BIG_ENDIAN,
	VMSA_DIRTY,
	VMSA_PRIVILEGES,
	VMSA_UPPER,
	FORMAT_RISCV_SV,
	FORMAT_RISCV_SV32,
	FORMAT_TCE,
	FORMAT_VTD_FIRST,
	FORMAT_VTD_SECOND,
	RISCV_SV_BIG_ENDIAN,
	RISCV_SV_UPDATE,
	RISCV_SV_X4,
	TCE_CHANGES,
	VTD_FIRST_EXECUTE,
	VTD_FIRST_NO_EXECUTE,
	VTD_SECOND_TRACKS,
} from "../../assembly/layout.ts";

export type TceName = `tce-${"4k" | "64k" | "2m" | "16m" | "256m" | "1g"}`;

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
	/** fewest input address bits of so many levels; default: more than the smallest leaf has */
	leastInputBits?(levels: number): number;
	/** GEOMETRY_EXTRA of a table; default 0 */
	extra?(levels: number, inputBits: number): number;
	/** the upper half of the input lies at the top of 64 bits */
	signed: boolean;
	/** most output address bits */
	outputBits: number;
	/** flag of big-endian tables, where there are such */
	bigEndian?: number;
	/** flag of the upper range of input addresses, TTBR1 */
	upper?: number;
	/** lg2 bytes of its leaves; those that a number of levels lacks are left out by the engine */
	leaves: readonly number[];
	/** of those that a map builds only when `PageTableConfig.leaves` names them */
	rareLeaves?: readonly number[];
	/** entries tell a fetch from a read */
	executes: boolean;
	/** entries can express these ACCESS_* bits */
	expressible(permissions: number): boolean;
}

const nines = (levels: number) => Math.min(12 + 9 * levels, 64);
const eitherRight = (permissions: number) => (permissions & 3) !== 0;
const present = (permissions: number) => (permissions & ACCESS_READ) !== 0;
const x86 = { levels: [4, 5], inputBits: nines, signed: true, outputBits: 52, leaves: [12, 21, 30], executes: true, expressible: present };

// Arm ARM DDI 0487 D8.2, D8.7.1: blocks and contiguous sets of 48-bit descriptors; the levels follow from the input width.
// A stage 2 has up to 16 tables at its first level, as far as one block of frames (512 KiB) holds them.
const vmsa = (granule: number, levels: number[], leaves: number[]) => {
	const bits = (n: number) => granule + (granule - 3) * n;
	const shape = { trackFlags: VMSA_ACCESSED | VMSA_DIRTY, bigEndian: VMSA_BIG_ENDIAN, levels, leaves, leastInputBits: (n: number) => bits(n - 1) + 1, signed: false, outputBits: 48, executes: true };
	return {
		first: { ...shape, code: FORMAT_VMSA_FIRST, flags: VMSA_PRIVILEGES, upper: VMSA_UPPER, inputBits: (n: number) => Math.min(48, bits(n)), expressible: present },
		second: { ...shape, code: FORMAT_VMSA_SECOND, flags: 0, inputBits: (n: number) => Math.min(48, bits(n) + 4, bits(n - 1) + 16), expressible: eitherRight },
	};
};
const vmsa4k = vmsa(12, [3, 4], [12, 16, 21, 25, 30, 34]);
const vmsa16k = vmsa(14, [2, 3], [14, 21, 25, 30]);
const vmsa64k = vmsa(16, [2, 3], [16, 21, 29, 34]);
// [PRIV 12.3.1] W without R is reserved; 12.3 to 12.6, 18.5; NAPOT leaves too: every RISC-V IOMMU has Svnapot
const riscvExpressible = (permissions: number) => (permissions & 3) !== ACCESS_WRITE;
const riscv = { code: FORMAT_RISCV_SV, trackFlags: RISCV_SV_UPDATE, bigEndian: RISCV_SV_BIG_ENDIAN, levels: [3, 4, 5], outputBits: 56, leaves: [12, 16, 21, 30, 39, 48], executes: true, expressible: riscvExpressible };
const riscv32 = { code: FORMAT_RISCV_SV32, trackFlags: RISCV_SV_UPDATE, bigEndian: RISCV_SV_BIG_ENDIAN, levels: [2], outputBits: 34, leaves: [12, 22], signed: false, executes: true, expressible: riscvExpressible };

// IODA2, IODA3: tables of one width at all levels, a page (4 KiB) to one block of frames (512 KiB); pages of one size; 59 bits
// of a DMA address at most
const tce = (page: number): TableFormat => {
	const width = (levels: number, inputBits: number) => Math.max(9, Math.ceil((inputBits - page) / levels));
	return {
		code: FORMAT_TCE,
		flags: 0,
		trackFlags: TCE_CHANGES,
		// edits count in 64 bits
		levels: [1, 2, 3, 4, 5].filter((levels) => page + 9 * levels < 64),
		inputBits: (levels) => Math.min(59, page + 16 * levels),
		extra: width,
		signed: false,
		outputBits: 60,
		leaves: [page],
		executes: false,
		expressible: eitherRight,
	};
};

// 48882 2.2.3: every power of two but that of an entry at the top level; those between the levels' own are 7h pages
const amdV1Leaves = Array.from({ length: 40 }, (_, i) => 12 + i);

/** The registry. */
const FORMATS = {
	"vtd-second": { code: FORMAT_VTD_SECOND, flags: 0, trackFlags: VTD_SECOND_TRACKS, levels: [3, 4, 5], inputBits: nines, signed: false, outputBits: 52, leaves: [12, 21, 30], executes: false, expressible: eitherRight },
	// A and D are always set
	"vtd-first": { ...x86, code: FORMAT_VTD_FIRST, flags: VTD_FIRST_EXECUTE | VTD_FIRST_NO_EXECUTE },
	"amd-v1": { code: FORMAT_AMD_V1, flags: AMD_V1_READ | AMD_V1_WRITE, trackFlags: AMD_V1_ACCESSED | AMD_V1_DIRTY, levels: [3, 4, 5, 6], inputBits: nines, signed: false, outputBits: 52, leaves: amdV1Leaves, rareLeaves: amdV1Leaves.filter((lg2) => lg2 % 9 !== 3), executes: false, expressible: eitherRight },
	"amd-v2": { ...x86, code: FORMAT_AMD_V2, flags: AMD_V2_NX, trackFlags: AMD_V2_ACCESSED | AMD_V2_DIRTY },
	"vmsav8-first-4k": vmsa4k.first,
	"vmsav8-second-4k": vmsa4k.second,
	"vmsav8-first-16k": vmsa16k.first,
	"vmsav8-second-16k": vmsa16k.second,
	"vmsav8-first-64k": vmsa64k.first,
	"vmsav8-second-64k": vmsa64k.second,
	"riscv-sv": { ...riscv, flags: 0, inputBits: nines, signed: true },
	"riscv-sv-x4": { ...riscv, flags: RISCV_SV_X4, inputBits: (levels) => 14 + 9 * levels, signed: false },
	"riscv-sv32": { ...riscv32, flags: 0, inputBits: () => 32 },
	"riscv-sv32-x4": { ...riscv32, flags: RISCV_SV_X4, inputBits: () => 34 },
	"tce-4k": tce(12),
	"tce-64k": tce(16),
	"tce-2m": tce(21),
	"tce-16m": tce(24),
	"tce-256m": tce(28),
	"tce-1g": tce(30),
} satisfies Record<string, TableFormat>;

export type TableFormatName = keyof typeof FORMATS;
export const TABLE_FORMATS: Record<TableFormatName, TableFormat> = FORMATS;
