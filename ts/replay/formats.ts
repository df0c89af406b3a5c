/** Formats that a trace can be replayed in, beside the one of its recording: one line for each. */
import type { ArchitectureName, TableFormatName } from "../engine/index.ts";
import type { TraceHead } from "./head.ts";

export interface ReplayFormat {
	architecture: ArchitectureName;
	table: TableFormatName;
	/** kind of route without a PASID that leads to such a table */
	route: "first-stage" | "second-stage";
	/** fewest and most levels; the recorded number is kept where it lies between, else the nearest is taken */
	levels: readonly [number, number];
	/** lg2 bytes of the leaves that kernels make: Linux sets neither Arm's contiguous bit nor RISC-V's N */
	leaves?: readonly number[];
	/** registers that differ from a new unit's */
	registers?: Record<string, bigint>;
	/**
	 * What cached answers are filed under: the domain; PASID or ASID 0 of the domain, as requests without one are; or the domain's
	 * number as a process of domain 0.
	 */
	tags: "domain" | "pasid" | "process";
}

/** RTADDR_REG.TTM 01b: scalable mode (VT-d 11.4.5) */
const SCALABLE = { RTADDR: 1n << 10n };

const WHOLE_BLOCKS = [12, 21, 30, 39] as const;

const riscvFirst = (levels: number) => ({ architecture: "riscv", table: "riscv-sv", route: "first-stage", levels: [levels, levels], tags: "process", leaves: WHOLE_BLOCKS }) as const;
const riscvSecond = (levels: number) => ({ architecture: "riscv", table: "riscv-sv-x4", route: "second-stage", levels: [levels, levels], tags: "domain", leaves: WHOLE_BLOCKS }) as const;

export const REPLAY_FORMATS = {
	"vtd-second": { architecture: "vtd", table: "vtd-second", route: "second-stage", levels: [3, 5], tags: "domain" },
	"vtd-first": { architecture: "vtd", table: "vtd-first", route: "first-stage", levels: [4, 5], registers: SCALABLE, tags: "pasid" },
	"amd-v1": { architecture: "amdvi", table: "amd-v1", route: "second-stage", levels: [3, 6], tags: "domain" },
	"smmuv3-stage1": { architecture: "smmuv3", table: "vmsav8-first-4k", route: "first-stage", levels: [3, 4], tags: "pasid", leaves: WHOLE_BLOCKS },
	"smmuv3-stage2": { architecture: "smmuv3", table: "vmsav8-second-4k", route: "second-stage", levels: [3, 4], tags: "domain", leaves: WHOLE_BLOCKS },
	"riscv-sv39": riscvFirst(3),
	"riscv-sv48": riscvFirst(4),
	"riscv-sv57": riscvFirst(5),
	"riscv-sv39x4": riscvSecond(3),
	"riscv-sv48x4": riscvSecond(4),
	"riscv-sv57x4": riscvSecond(5),
} as const satisfies Record<string, ReplayFormat>;

export type ReplayFormatName = keyof typeof REPLAY_FORMATS;

/** The format that an architecture's first and second stages stand for. AMD-Vi replays have host tables alone. */
const STAGES: Record<ArchitectureName, Record<TraceHead["stage"], ReplayFormatName>> = {
	vtd: { first: "vtd-first", second: "vtd-second" },
	amdvi: { first: "amd-v1", second: "amd-v1" },
	smmuv3: { first: "smmuv3-stage1", second: "smmuv3-stage2" },
	riscv: { first: "riscv-sv48", second: "riscv-sv48x4" },
};

/** `recorded`: that of the recording, where it is known. */
export const REPLAY_ARCHITECTURES = ["recorded", ...(Object.keys(STAGES) as ArchitectureName[])] as const;

export interface FormatChoice {
	format?: ReplayFormatName;
	/** its tables of the stage that was recorded; `format` goes first */
	architecture?: (typeof REPLAY_ARCHITECTURES)[number];
}

/** The format that is asked for; null where nothing is, or the recorder is not known. */
export function formatOf({ format, architecture }: FormatChoice, trace: Pick<TraceHead, "architecture" | "stage">): ReplayFormatName | null {
	if (format !== undefined) return format;
	const wanted = architecture === "recorded" ? trace.architecture : architecture;
	return wanted === undefined || wanted === "unknown" ? null : STAGES[wanted][trace.stage];
}
