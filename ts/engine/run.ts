import {
	COST_DEVICE_TLB,
	COST_HIT,
	COST_OTHER,
	COST_REFERENCES,
	COST_TABLE_BYTES,
	RUN_COSTS,
	RUN_DEVICE_BYTES,
	RUN_DEVICE_DMA,
	RUN_DEVICE_DOMAIN,
	RUN_DEVICE_FAULTS,
	RUN_DEVICE_HITS,
	RUN_DEVICE_MATCHED,
	RUN_DEVICE_MISSES,
	RUN_DEVICE_PEAK,
	RUN_DEVICE_PREFETCH_REFERENCES,
	RUN_DEVICE_PREFETCHES,
	RUN_DEVICE_REFERENCES,
	RUN_DEVICE_RID,
	RUN_DEVICE_STALE,
	RUN_DEVICE_TABLE,
	RUN_DEVICE_TLB,
	RUN_DEVICE_TLB_HITS,
	RUN_DEVICE_TLB_INVALIDATIONS,
	RUN_DEVICE_TLB_REQUESTS,
	RUN_DEVICE_UNEXPLAINED,
	RUN_DEVICE_WRONG,
	RUN_IGNORE_INVALIDATIONS,
	RUN_PREFETCH,
	RUN_PROCESS_TAGS,
	RUN_VERIFY,
	TABLE_KEEP,
} from "../../assembly/layout.ts";
import { EngineError } from "./errors.ts";
import type { EngineExports } from "./instantiate.ts";
import type { PageTable } from "./page-table.ts";
import type { Unit } from "./unit.ts";
import type { Views } from "./views.ts";

/** The event buffer's columns (EVENTS_* in layout.ts); 64-bit values are pairs of words, low first. */
export interface RunColumns {
	capacity: number;
	iova: Uint32Array;
	size: Uint32Array;
	pa: Uint32Array;
	/** output address of a dma event */
	answerPa: Uint32Array;
	id: Uint32Array;
	pasid: Uint32Array;
	/** what a dma event cost, in the unit of the costs that the run was given; else as it was */
	cost: Float32Array;
	kind: Uint8Array;
	flags: Uint8Array;
	verdict: Uint8Array;
	/** ANSWER_* */
	answer: Uint8Array;
	/** fault code of a dma event, EDIT_* of an edit */
	code: Uint16Array;
	/** lg2 bytes of the leaf that answered a dma event; 0 when none did */
	leaf: Uint8Array;
	/** ACCESS_* bits of that answer */
	rights: Uint8Array;
}

/** What a request costs, in any one unit. Levels count from 0, the table of the smallest leaves; what is absent costs 0. */
export interface RequestCosts {
	/** an answer of the IOTLB */
	hit?: number;
	/** an answer of a device's own TLB */
	deviceTlb?: number;
	/** every other request, on top of its memory references */
	miss?: number;
	/** one memory reference of a walk, by level */
	first?: readonly number[];
	second?: readonly number[];
	/** one memory reference into device tables, by level */
	tables?: readonly number[];
}

/** Counters of one device of a run. */
export interface RunDeviceCounters {
	dma: number;
	hits: number;
	misses: number;
	references: number;
	faults: number;
	matched: number;
	wrong: number;
	unexplained: number;
	stale: number;
	/** most bytes mapped at a time */
	peakBytes: number;
	/** translations fetched ahead, and the memory references that took: in no other figure of the device */
	prefetches: number;
	prefetchReferences: number;
	/** requests that the device's own TLB answered: they are neither hits nor misses */
	tlbHits: number;
	/** translation requests, which the IOTLB or a walk answered */
	tlbRequests: number;
	/** Invalidate Requests to the device */
	tlbInvalidations: number;
}

/** One device of a run. */
export interface RunDevice {
	rid: number;
	table: PageTable | null;
	/** by which invalidations name its translations; for device-TLBs alone */
	domain?: number;
}

export interface RunOptions {
	/** caches are never cleared */
	ignoreInvalidations?: boolean;
	/** check every cached answer against the table; default true */
	verify?: boolean;
	/** a walk fetches the next page's translation too */
	prefetch?: boolean;
	/**
	 * Requests are those of devices with a TLB of their own (knob `deviceTlb` of the unit; routes must allow ATS), which invalidations
	 * of their domain reach. `process`: these name the domain as a PASID of domain 0.
	 */
	deviceTlb?: "domain" | "process";
}

/** Runs columns of recorded events through one unit, with tables that were lent to the engine. */
export class EventRun {
	/** @internal */
	constructor(
		private readonly exports: EngineExports,
		private readonly views: Views,
		private readonly context: number,
		private readonly buffer: { offset: number; capacity: number; costs: number },
		private readonly records: { offset: number; capacity: number },
		readonly unit: Unit,
		devices: readonly RunDevice[],
	) {
		const view = views.data();
		views.bytes().fill(0, records.offset, records.offset + devices.length * RUN_DEVICE_BYTES);
		devices.forEach(({ rid, table, domain }, i) => {
			view.setUint32(records.offset + i * RUN_DEVICE_BYTES + RUN_DEVICE_DOMAIN, domain ?? 0, true);
			view.setUint32(records.offset + i * RUN_DEVICE_BYTES + RUN_DEVICE_RID, rid, true);
			view.setUint32(records.offset + i * RUN_DEVICE_BYTES + RUN_DEVICE_TABLE, table?.record ?? 0, true);
			// a kernel does not free a table at the unmap of its last page: the walk caches may point to it until they are invalidated
			if (table !== null) view.setUint32(table.record + TABLE_KEEP, 1, true);
		});
		this.deviceCount = devices.length;
	}

	private readonly deviceCount: number;

	/** Fill the cost column from now on. @throws EngineError BadConfig for what is no cost */
	setCosts(costs: RequestCosts): void {
		const view = this.views.data();
		const at = this.buffer.costs;
		this.views.bytes().fill(0, at, at + COST_TABLE_BYTES);
		const put = (offset: number, value: number, knob: string) => {
			if (!Number.isFinite(value) || value < 0) throw new EngineError("BadConfig", `a cost must be a number of at least 0, not ${value}`, { operation: "EventRun.setCosts", knob });
			view.setFloat64(at + offset, value, true);
		};
		put(COST_HIT, costs.hit ?? 0, "hit");
		put(COST_OTHER, costs.miss ?? 0, "miss");
		put(COST_DEVICE_TLB, costs.deviceTlb ?? 0, "deviceTlb");
		for (const [stage, name] of (["first", "second", "tables"] as const).entries()) {
			const levels = costs[name] ?? [];
			if (levels.length > 8) throw new EngineError("BadConfig", `${levels.length} levels, there are 8 at most`, { operation: "EventRun.setCosts", knob: name });
			for (const [level, value] of levels.entries()) put(COST_REFERENCES + 64 * stage + 8 * level, value, `${name}[${level}]`);
		}
		this.priced = true;
	}

	private priced = false;

	columns(): RunColumns {
		const { offset, capacity } = this.buffer;
		const buffer = this.views.buffer();
		let at = offset;
		const take = (length: number) => {
			at += length;
			return at - length;
		};
		const words = (count: number) => new Uint32Array(buffer, take(4 * count), count);
		const bytes = () => new Uint8Array(buffer, take(capacity), capacity);
		return {
			capacity,
			iova: words(2 * capacity),
			size: words(2 * capacity),
			pa: words(2 * capacity),
			answerPa: words(2 * capacity),
			id: words(capacity),
			pasid: words(capacity),
			cost: new Float32Array(buffer, take(4 * capacity), capacity),
			kind: bytes(),
			flags: bytes(),
			verdict: bytes(),
			answer: bytes(),
			code: new Uint16Array(buffer, take(2 * capacity), capacity),
			leaf: bytes(),
			rights: bytes(),
		};
	}

	/** Run events [from, to) of the buffer. */
	run(from: number, to: number, { ignoreInvalidations = false, verify = true, prefetch = false, deviceTlb }: RunOptions = {}): void {
		const devices = deviceTlb === undefined ? 0 : RUN_DEVICE_TLB | (deviceTlb === "process" ? RUN_PROCESS_TAGS : 0);
		const flags = (ignoreInvalidations ? RUN_IGNORE_INVALIDATIONS : 0) | (verify ? RUN_VERIFY : 0) | (this.priced ? RUN_COSTS : 0) | (prefetch ? RUN_PREFETCH : 0) | devices;
		this.exports.run(this.context, this.unit.record, this.buffer.offset, this.buffer.capacity, from, to, this.records.offset, this.deviceCount, flags, this.buffer.costs);
	}

	/** 4 KiB frames that tables hold now. */
	get tableFrames(): number {
		return this.exports.framesUsed(this.context);
	}

	device(index: number): RunDeviceCounters {
		const view = this.views.data();
		const at = (offset: number) => Number(view.getBigUint64(this.records.offset + index * RUN_DEVICE_BYTES + offset, true));
		return {
			dma: at(RUN_DEVICE_DMA),
			hits: at(RUN_DEVICE_HITS),
			misses: at(RUN_DEVICE_MISSES),
			references: at(RUN_DEVICE_REFERENCES),
			faults: at(RUN_DEVICE_FAULTS),
			matched: at(RUN_DEVICE_MATCHED),
			wrong: at(RUN_DEVICE_WRONG),
			unexplained: at(RUN_DEVICE_UNEXPLAINED),
			stale: at(RUN_DEVICE_STALE),
			peakBytes: at(RUN_DEVICE_PEAK),
			prefetches: at(RUN_DEVICE_PREFETCHES),
			prefetchReferences: at(RUN_DEVICE_PREFETCH_REFERENCES),
			tlbHits: at(RUN_DEVICE_TLB_HITS),
			tlbRequests: at(RUN_DEVICE_TLB_REQUESTS),
			tlbInvalidations: at(RUN_DEVICE_TLB_INVALIDATIONS),
		};
	}
}
