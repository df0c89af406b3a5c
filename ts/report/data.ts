/**
 * What the page of a report holds: columns of numbers as JSON. Everything that is drawn or tabled is in here, thinned by
 * the rules that `rules` states, so that a report stays small whatever the length of the run.
 */
import type { FaultReport } from "../replay/history/types.ts";
import type { LatencyFigures, PageSizeFigures } from "../replay/summary.ts";
import type { FaultColumns, FaultKind } from "./faults.ts";
import type { Level } from "./levels.ts";

export interface ReportData {
	version: 1;
	/** what the page's title says */
	heading: {
		/** base names of the trace's files */
		trace: string;
		/** the hardware that it was replayed on */
		machine: string;
		/** what recorded it */
		recorded: string;
		/** when it was recorded, ISO 8601; null when the trace does not say */
		date: string | null;
		/** of this package */
		version: string;
	};
	/** lines of "name: value" about the whole replay */
	facts: Array<[name: string, value: string]>;
	notes: string[];
	/** how the series were thinned, in words */
	rules: string[];
	/** by DMAs, most first; the last one may stand for all others */
	devices: DeviceRow[];
	/** look-ups by the leaf that answered; bytes null: none did */
	pageSizes: PageSizeFigures[];
	/** null without a table of costs */
	latency: LatencyFigures | null;
	/** counts over time in windows of equal width */
	time: {
		/** microseconds: the start of the first window, and the width of each */
		start: number;
		width: number;
		windows: number;
		/** as `devices` */
		perDevice: Array<{ lookups: number[]; hits: number[]; faults: number[] }>;
		maps: number[];
		unmaps: number[];
		invalidations: number[];
	};
	levels: {
		/** end of each sample, microseconds */
		time: number[];
		/** translations of each sample */
		lookups: number[];
		levels: Level[];
	};
	addressMaps: AddressMapData[];
	/** null when the replay was not asked for curves */
	curves: CurveData | null;
	faults: { total: number; kinds: FaultKind[]; list: FaultColumns; devices: string[] };
	/** null when the trace was not held against its history */
	history: Pick<FaultReport, "byCause" | "afterUnmap" | "maps" | "pages" | "notes"> & { stories: Array<[time: number, device: string, address: string, access: string, text: string]> } | null;
}

export interface DeviceRow {
	name: string;
	dma: number;
	hits: number;
	misses: number;
	faults: number;
	references: number;
	/** null where it stands for several devices */
	peakBytes: number | null;
	disagreements: number;
}

/** One device's address space by time. Strings have a character for each cell. */
export interface AddressMapData {
	device: string;
	/** bytes of a row */
	granule: number;
	/** first address of each row, ascending, hexadecimal */
	rows: string[];
	/** microseconds of a column; the first starts with the first window */
	width: number;
	columns: number;
	/** DMAs of each row */
	dmas: number[];
	/** per row: DMAs of each cell, `0` none, else the digit (base 36) 1 + floor(log2(DMAs)) */
	touched: string[];
	/** per row: state of each cell, 0 to 3: 1 mapped, 2 faulted */
	states: string[];
}

/** Miss ratios at sizes. */
export interface CurveData {
	/** entries of the IOTLB, ascending */
	sizes: number[];
	/** miss ratio at each size, 0 to 1 */
	series: Array<{ label: string; misses: number[] }>;
	/** remarks on how they were made */
	notes: string[];
}
