/**
 * A recorded run as columns: what every importer produces and what the replay consumes.
 *
 * Events never become JavaScript objects. One event is one index into parallel columns; 64-bit values are
 * kept as little-endian pairs of 32-bit words (`lo` at `2 * i`, `hi` at `2 * i + 1`), which the engine reads
 * as u64 and JavaScript writes without BigInt.
 */
import {
	ACCESS_ANY,
	ACCESS_READ,
	ACCESS_WRITE,
	EVENT_DMA,
	EVENT_FAULT,
	EVENT_INVALIDATE,
	EVENT_MAP,
	EVENT_UNMAP,
	INV_DEVICE,
	INV_DOMAIN,
	INV_GLOBAL,
	INV_PAGE,
	INV_PASID,
	INV_PASID_PAGE,
	NO_PASID,
	VERDICT_HIT,
	VERDICT_MISS,
	VERDICT_NONE,
} from "../../assembly/layout.ts";
import type { LoggedFault } from "./logged-fault.ts";

/** Values of the `kind` column. */
export const Kind = {
	dma: EVENT_DMA,
	map: EVENT_MAP,
	unmap: EVENT_UNMAP,
	invalidate: EVENT_INVALIDATE,
	fault: EVENT_FAULT,
} as const;

/** Values of the `flags` column of a dma or fault row; a map row takes `read` and `write` as a mask. */
export const Access = { read: ACCESS_READ, write: ACCESS_WRITE, any: ACCESS_ANY } as const;

/** Values of the `flags` column of an invalidate row. `pasid*` rows are first-stage invalidations. */
export const Scope = {
	global: INV_GLOBAL,
	domain: INV_DOMAIN,
	page: INV_PAGE,
	device: INV_DEVICE,
	pasid: INV_PASID,
	pasidPage: INV_PASID_PAGE,
} as const;

/** Values of the `verdict` column: the recorder's own IOTLB answer to a dma row. */
export const Verdict = { none: VERDICT_NONE, hit: VERDICT_HIT, miss: VERDICT_MISS } as const;

export { NO_PASID };

/** `id` column of a row whose device nobody could tell. */
export const NO_DEVICE = 0xffffffff;

/**
 * The columns of `length` events, in replay order (time never decreases).
 *
 * | column | dma | map, unmap | invalidate | fault |
 * |---|---|---|---|---|
 * | id | index into `devices` | the same, or NO_DEVICE | domain id (ASID on Arm); `device` scope: RID | index into `devices` |
 * | iova | address of the access | first byte | first byte | address of the access |
 * | size | bytes (4096 where the recorder logs translations) | bytes | bytes, 0 = whole scope | bytes |
 * | pa | recorded output address | map: output address | 0 | recorded reason code, 0 = not told |
 * | flags | Access | map: permissions | Scope | Access |
 * | verdict | Verdict | 0 | 0 | 0 |
 */
export interface Columns {
	length: number;
	/** microseconds since the start of the trace */
	time: Float64Array;
	kind: Uint8Array;
	flags: Uint8Array;
	verdict: Uint8Array;
	id: Uint32Array;
	/** PASID of the row, or NO_PASID */
	pasid: Uint32Array;
	iova: Uint32Array;
	size: Uint32Array;
	pa: Uint32Array;
}

/** One recorded device. */
export interface TraceDevice {
	/** PCI segment (domain in the kernel's words) */
	segment: number;
	/** requester id: bus << 8 | device << 3 | function */
	rid: number;
	/** `0000:00:01.0` */
	name: string;
	/** domain id (VT-d) or ASID (SMMUv3) that the recorder tagged its translations with; null when it never said */
	domain: number | null;
	/** page-table levels of the device's tables as recorded; null when the recorder never said */
	levels: number | null;
}

/** A place where the input could not be read as what it should be. */
export interface Damage {
	file: string;
	/** 1-based; null when the whole file is meant */
	line: number | null;
	what: string;
}

/** What an importer met besides events. */
export interface ImportReport {
	/** lines read, all files */
	lines: number;
	/** lines that are well formed but carry nothing for a replay */
	ignoredLines: number;
	/** lines that should have been an event and could not be read; the first ones are in `damage` */
	damagedLines: number;
	/** at most the first 100 */
	damage: Damage[];
	/** free remarks for people: "no guest ftrace: faults and addresses cannot be checked", counts of unowned unmaps ... */
	notes: string[];
}

/** A whole recorded run. */
export interface Trace {
	/** what recorded it: decides the device-table and page-table format of the replay */
	architecture: "vtd" | "smmuv3" | "unknown";
	/** first-stage (scalable mode, PASID-granular) tables were recorded instead of second-stage ones */
	stage: "first" | "second";
	/** base names of the inputs */
	files: string[];
	/** time 0 in microseconds since 1970, when the recorder's clock says */
	startedAt?: number;
	devices: TraceDevice[];
	columns: Columns;
	report: ImportReport;
	/** faults of a kernel log in words, the first 1000; absent when no kernel log was read */
	loggedFaults?: LoggedFault[];
}

/** Empty columns with room for `capacity` events. */
export function makeColumns(capacity: number): Columns {
	return {
		length: 0,
		time: new Float64Array(capacity),
		kind: new Uint8Array(capacity),
		flags: new Uint8Array(capacity),
		verdict: new Uint8Array(capacity),
		id: new Uint32Array(capacity),
		pasid: new Uint32Array(capacity),
		iova: new Uint32Array(2 * capacity),
		size: new Uint32Array(2 * capacity),
		pa: new Uint32Array(2 * capacity),
	};
}
