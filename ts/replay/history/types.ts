/** What the history of a page says of an access, and of maps, as plain data. Times are microseconds since the start of the trace. */

/** Why an access had no answer, or another one than recorded. Every fault and unexplained DMA has exactly one. */
export type Cause =
	/** the device's last map of the page was taken away before */
	| "use after unmap"
	/** the first that the trace says of the page is its unmap: it was mapped before the recording began */
	| "mapped before the trace"
	/** the device maps the page only later */
	| "use before map"
	/** the device never maps the page, another one has it mapped at the time or had it before */
	| "other device"
	/** mapped, without the right that the access needs */
	| "wrong direction"
	/** no device ever maps the page */
	| "never mapped"
	/** the table maps the page with the right: the answer of a cache was older than the map, or the recorder had another reason */
	| "mapped";

/** The map, unmap or invalidation behind an answer. Addresses are hexadecimal. */
export interface EventRef {
	/** row of the trace's columns */
	row: number;
	time: number;
	kind: "map" | "unmap" | "invalidate";
	/** null for an invalidation */
	device: string | null;
	iova: string;
	/** bytes; 0 in an invalidation of everything in its scope */
	size: number;
	/** of a map, else null */
	pa: string | null;
	/** rights of a map, else null */
	rights: "r" | "w" | "rw" | "-" | null;
}

/** One access joined to the history of its page. */
export interface FaultStory {
	/** row of the trace's columns */
	row: number;
	time: number;
	sid: number;
	device: string;
	address: string;
	access: "read" | "write" | "any";
	/** recorded reason code of a fault row; null for a DMA */
	recorded: number | null;
	cause: Cause;
	/** microseconds between the event behind and the access; negative when the event comes later; null without an event */
	after: number | null;
	/** the event behind; null when never mapped */
	event: EventRef | null;
	/** of a use after unmap: microseconds until the page is mapped again; null when it never is */
	remapped: number | null;
	/** in words: "use after unmap by 12.3 us: [0xfffff000, +4096]" */
	text: string;
}

export interface FaultReport {
	version: 1;
	/** accesses with a story: recorded faults, and DMAs that the tables do not explain */
	total: number;
	byCause: Record<Cause, number>;
	/** at most `limit` stories, in the order of time */
	stories: FaultStory[];
	perDevice: { sid: number; name: string; total: number; byCause: Record<Cause, number> }[];
	/** pages with most stories, at most 20 */
	pages: HotPage[];
	/** "use after unmap" by how long after, in powers of two of microseconds */
	afterUnmap: Histogram;
	maps: LifeTimes;
	notes: string[];
}

/** A page of a device with stories. */
export interface HotPage {
	sid: number;
	device: string;
	/** first byte, hexadecimal */
	page: string;
	count: number;
	/** of the first story */
	cause: Cause;
	/** recorded output page of the first DMA among them, hexadecimal; null when all are faults */
	pa: string | null;
}

/** Counts over intervals: `counts[i]` values in [edges[i], edges[i + 1]); `edges` has one more than `counts`, both empty without values. */
export interface Histogram {
	edges: number[];
	counts: number[];
}

/** How long maps live. A map ends at the unmap or the map that takes its last page away. */
export interface LifeTimes {
	maps: number;
	ended: number;
	/** maps that a later map replaced, in whole or in part */
	replaced: number;
	/** maps that still held a page at the end of the trace */
	alive: number;
	/** microseconds, of ended maps; null when none ended */
	mean: number | null;
	p50: number | null;
	p99: number | null;
	longest: number | null;
	/** ended maps by life time, in powers of two of microseconds; the first interval starts at 0 */
	histogram: Histogram;
	perDevice: { sid: number; name: string; maps: number; ended: number; alive: number; aliveBytes: number; mean: number | null; p50: number | null; p99: number | null }[];
	/** the first maps that were never unmapped (at most 100) */
	neverUnmapped: EventRef[];
	/** unmaps of pages of which none was mapped */
	emptyUnmaps: number;
}
