/** What a page table is made of: its configuration, and the record in linear memory that says it to the engine. */
import {
	GEOMETRY_EXTRA,
	GEOMETRY_FLAGS,
	GEOMETRY_FORMAT,
	GEOMETRY_GRANULE,
	GEOMETRY_INPUT_BITS,
	GEOMETRY_LEAVES,
	GEOMETRY_OUTPUT_BITS,
	GEOMETRY_ROOT,
	GEOMETRY_TOP,
	TABLE_FRAMES,
	TABLE_KEEP,
	TABLE_LEAVES,
	TABLE_MAPPED,
} from "../../assembly/layout.ts";
import { EngineError } from "./errors.ts";
import { TABLE_FORMATS, type TableFormat, type TableFormatName } from "./page-table-formats.ts";

/** Format of a kernel-built table. */
export interface PageTableConfig {
	format: TableFormatName;
	/** as many as the format has (page-table-formats.ts) */
	levels: number;
	/** output address bits; default: the most that the format has */
	outputBits?: number;
	/** input address bits when fewer than the levels give */
	inputBits?: number;
	/** largest leaf, lg2 bytes; default: the format's largest */
	largestLeafLg2?: number;
	/** lg2 bytes of the leaves that maps may use beside the smallest; default: all that the format has, for `amd-v1` without 7h pages */
	leaves?: readonly number[];
	/** entries are big-endian: VMSAv8-64 and RISC-V; default false */
	bigEndian?: boolean;
	/** the table is TTBR1's, of the addresses at the top of 64 bits: VMSAv8-64 first stages; default false */
	upper?: boolean;
	/** routes to the table ask hardware to set A and D; default false, first stages of VT-d always do */
	accessedDirty?: boolean;
}

const mask = (lg2s: readonly number[]) => lg2s.reduce((bits, lg2) => bits | (1n << BigInt(lg2)), 0n);

/** Leaves that maps use: the smallest, and of `leaves` (default: all but the rare ones) those of at most 2^largest bytes. */
export function leafMask(format: TableFormat, largest: number, leaves?: readonly number[]): bigint {
	const rare = format.rareLeaves ?? [];
	const wanted = (lg2: number) => (leaves === undefined ? !rare.includes(lg2) : leaves.includes(lg2));
	return mask(format.leaves.filter((lg2) => lg2 === format.leaves[0] || (lg2 <= largest && wanted(lg2))));
}

function bad(what: string, knob: string): never {
	throw new EngineError("BadConfig", what, { operation: "Engine.createTable", knob });
}

/** Write the record of an empty table without a root. @throws EngineError BadConfig */
export function writeRecord(view: DataView, record: number, config: PageTableConfig): TableFormat {
	if (!Object.hasOwn(TABLE_FORMATS, config.format)) bad(`unknown format "${config.format}"`, "format");
	const format = TABLE_FORMATS[config.format];
	const { levels, outputBits = format.outputBits, inputBits = format.inputBits(levels), largestLeafLg2 = 63 } = config;
	const smallest = format.leaves[0];
	if (!format.levels.includes(levels)) bad(`levels must be ${format.levels.join(" or ")}, not ${levels}`, "levels");
	const least = format.leastInputBits?.(levels) ?? smallest + 1;
	if (!(inputBits >= least && inputBits <= format.inputBits(levels))) bad(`${inputBits} input bits do not fit ${levels} levels`, "inputBits");
	if (!(outputBits > smallest && outputBits <= format.outputBits)) bad(`output bits must be ${smallest + 1} to ${format.outputBits}, not ${outputBits}`, "outputBits");
	if (config.bigEndian && format.bigEndian === undefined) bad(`${config.format} is little-endian`, "bigEndian");
	if (config.upper && format.upper === undefined) bad(`${config.format} has one range`, "upper");
	view.setBigUint64(record + GEOMETRY_ROOT, 0n, true);
	view.setBigUint64(record + GEOMETRY_LEAVES, mask(format.leaves), true);
	view.setUint32(record + GEOMETRY_FORMAT, format.code, true);
	view.setUint32(record + GEOMETRY_TOP, levels - 1, true);
	view.setUint32(record + GEOMETRY_INPUT_BITS, inputBits, true);
	view.setUint32(record + GEOMETRY_OUTPUT_BITS, outputBits, true);
	const flag = (asked: boolean | undefined, bit: number | undefined) => (asked ? (bit ?? 0) : 0);
	view.setUint32(record + GEOMETRY_FLAGS, format.flags | flag(config.accessedDirty, format.trackFlags) | flag(config.bigEndian, format.bigEndian) | flag(config.upper, format.upper), true);
	view.setUint32(record + GEOMETRY_GRANULE, smallest, true);
	view.setBigUint64(record + GEOMETRY_EXTRA, BigInt(format.extra?.(levels, inputBits) ?? 0), true);
	view.setBigUint64(record + TABLE_MAPPED, 0n, true);
	view.setBigUint64(record + TABLE_LEAVES, leafMask(format, largestLeafLg2, config.leaves), true);
	view.setUint32(record + TABLE_FRAMES, 0, true);
	view.setUint32(record + TABLE_KEEP, 0, true);
	return format;
}
