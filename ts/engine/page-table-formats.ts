/** Formats of the page tables that the engine builds: one line of FORMATS for each. */
import { ACCESS_WRITE, FORMAT_RISCV_SV, FORMAT_RISCV_SV32, FORMAT_VTD_SECOND, RISCV_SV_X4 } from "../../assembly/layout.ts";

export type TableFormatName = "vtd-second" | "riscv-sv" | "riscv-sv-x4" | "riscv-sv32" | "riscv-sv32-x4";

/** What `Engine.createTable` needs to know of a format; entries are the engine's (assembly/format). */
export interface TableFormat {
	code: number;
	/** of its geometry */
	flags: number;
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

// [PRIV 12.3 to 12.6, 18.5] NAPOT leaves of 64 KiB are built too: every RISC-V IOMMU has Svnapot
// [PRIV 12.3.1] W without R is reserved
const riscvExpressible = (permissions: number) => (permissions & 3) !== ACCESS_WRITE;
const riscv = { code: FORMAT_RISCV_SV, levels: [3, 4, 5], outputBits: 56, leaves: [12, 16, 21, 30, 39, 48], executes: true, expressible: riscvExpressible };
const riscv32 = { code: FORMAT_RISCV_SV32, levels: [2], outputBits: 34, leaves: [12, 22], signed: false, executes: true, expressible: riscvExpressible };

export const TABLE_FORMATS: Record<TableFormatName, TableFormat> = {
	"vtd-second": { code: FORMAT_VTD_SECOND, flags: 0, levels: [3, 4, 5], inputBits: (levels) => 12 + 9 * levels, signed: false, outputBits: 52, leaves: [12, 21, 30], executes: false, expressible: (permissions) => (permissions & 3) !== 0 },
	"riscv-sv": { ...riscv, flags: 0, inputBits: (levels) => 12 + 9 * levels, signed: true },
	"riscv-sv-x4": { ...riscv, flags: RISCV_SV_X4, inputBits: (levels) => 14 + 9 * levels, signed: false },
	"riscv-sv32": { ...riscv32, flags: 0, inputBits: () => 32 },
	"riscv-sv32-x4": { ...riscv32, flags: RISCV_SV_X4, inputBits: () => 34 },
};
