import type { LoggedFault } from "./logged-fault.ts";

/** What a replay found: the object that `ioasid replay --json` prints. */
export interface ReplaySummary {
	/** of this shape */
	version: 1;
	/** dma + map + unmap + inv + fault */
	events: number;
	dma: {
		/** recorded translations and recorded faults; matched + wrongAddress + unexplained */
		total: number;
		matched: number;
		/** both sides answered, differently (of two faults: another reason) */
		wrongAddress: number;
		/** one side faulted, the other did not */
		unexplained: number;
		/** answers of a cache that the table no longer gave */
		stale: number;
	};
	iotlb: { hits: number; misses: number };
	/** the recorder's own IOTLB verdicts, and how many the replay agrees with */
	recorded: { hits: number; misses: number; agree: number; disagree: number };
	faults: {
		recorded: number;
		matched: number;
		list: ReplayFault[];
		/** faults of a kernel log in words; absent when none was read */
		logged?: LoggedFault[];
	};
	perDevice: ReplayDevice[];
	/** look-ups of the IOTLB by the leaf that answered */
	perPageSize: PageSizeFigures[];
	/** null where devices have no TLBs of their own */
	deviceTlb: DeviceTlbFigures | null;
	/** null without a table of costs */
	latency: LatencyFigures | null;
	/** what came before the mark and is in no figure but `events`, `refusedEdits` and `replacedMaps`; null without a mark */
	warmUp: { events: number; dma: number } | null;
	/** of the engine part */
	seconds: number;
	eventsPerSecond: number;
	importSeconds: number;
	damagedLines: number;
	/** first disagreements, explained */
	disagreements: Disagreement[];
	/** remarks of the importer and the replay */
	notes: string[];
	/** maps over pages that were mapped, which they replaced */
	replacedMaps: number;
	/** maps and unmaps that the tables refused (misaligned, too wide) */
	refusedEdits: number;
}

/** What devices with a TLB of their own did. DMAs that it answered never reach the IOTLB: they are in neither its hits nor its misses. */
export interface DeviceTlbFigures {
	/** DMAs that it answered: so many look-ups of the IOTLB were saved */
	hits: number;
	/** PCIe ATS translation requests, which the IOTLB or a walk answered */
	requests: number;
	/** ATS Invalidate Requests: one to each device for each invalidation of its domain */
	invalidations: number;
	perDevice: { name: string; hits: number; requests: number; invalidations: number }[];
}

export interface PageSizeFigures {
	/** bytes of the leaf; null: none answered (a fault) */
	bytes: number | null;
	hits: number;
	misses: number;
}

/** What the requests of dma and fault events cost, in the unit of the table of costs. */
export interface LatencyFigures {
	/** as the table says; empty when it does not */
	unit: string;
	/** events */
	count: number;
	mean: number;
	p50: number;
	p99: number;
	most: number;
	perDevice: { name: string; count: number; mean: number; p50: number; p99: number; most: number }[];
}

/** A fault that the replay raised. */
export interface ReplayFault {
	sid: number;
	/** hexadecimal */
	address: string;
	/** the architecture's code */
	reason: number;
	write: boolean;
}

export interface ReplayDevice {
	sid: number;
	name: string;
	dma: number;
	hits: number;
	misses: number;
	/** most bytes mapped at a time */
	peakBytes: number;
	/** memory references of page-table walks */
	references: number;
	faults: number;
	disagreements: number;
}

/** A DMA on which recorder and replay disagree, and the event behind it. Addresses are hexadecimal. */
export interface Disagreement {
	/** microseconds since the start of the trace */
	time: number;
	device: string;
	address: string;
	kind: "wrong address" | "unexplained";
	recorded: string;
	replayed: string;
	/** the last map, unmap or invalidation that covers the address, in words */
	because: string;
}
