import {
	RUN_DEVICE_BYTES,
	RUN_DEVICE_DMA,
	RUN_DEVICE_FAULTS,
	RUN_DEVICE_HITS,
	RUN_DEVICE_MATCHED,
	RUN_DEVICE_MISSES,
	RUN_DEVICE_PEAK,
	RUN_DEVICE_REFERENCES,
	RUN_DEVICE_RID,
	RUN_DEVICE_STALE,
	RUN_DEVICE_TABLE,
	RUN_DEVICE_UNEXPLAINED,
	RUN_DEVICE_WRONG,
	RUN_IGNORE_INVALIDATIONS,
	RUN_VERIFY,
} from "../../assembly/layout.ts";
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
	kind: Uint8Array;
	flags: Uint8Array;
	verdict: Uint8Array;
	/** ANSWER_* */
	answer: Uint8Array;
	/** fault code of a dma event, EDIT_* of an edit */
	code: Uint16Array;
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
}

/** Runs columns of recorded events through one unit, with tables that were lent to the engine. */
export class EventRun {
	/** @internal */
	constructor(
		private readonly exports: EngineExports,
		private readonly views: Views,
		private readonly context: number,
		private readonly buffer: { offset: number; capacity: number },
		private readonly records: { offset: number; capacity: number },
		readonly unit: Unit,
		devices: Array<{ rid: number; table: PageTable | null }>,
	) {
		const view = views.data();
		views.bytes().fill(0, records.offset, records.offset + devices.length * RUN_DEVICE_BYTES);
		devices.forEach(({ rid, table }, i) => {
			view.setUint32(records.offset + i * RUN_DEVICE_BYTES + RUN_DEVICE_RID, rid, true);
			view.setUint32(records.offset + i * RUN_DEVICE_BYTES + RUN_DEVICE_TABLE, table?.record ?? 0, true);
		});
		this.deviceCount = devices.length;
	}

	private readonly deviceCount: number;

	columns(): RunColumns {
		const { offset, capacity } = this.buffer;
		const buffer = this.views.buffer();
		let at = offset;
		const words = (count: number) => {
			const column = new Uint32Array(buffer, at, count);
			at += 4 * count;
			return column;
		};
		const bytes = () => {
			const column = new Uint8Array(buffer, at, capacity);
			at += capacity;
			return column;
		};
		return {
			capacity,
			iova: words(2 * capacity),
			size: words(2 * capacity),
			pa: words(2 * capacity),
			answerPa: words(2 * capacity),
			id: words(capacity),
			pasid: words(capacity),
			kind: bytes(),
			flags: bytes(),
			verdict: bytes(),
			answer: bytes(),
			code: new Uint16Array(buffer, at, capacity),
		};
	}

	/** Run events [from, to) of the buffer. `verify` checks every cached answer against the table. */
	run(from: number, to: number, options: { ignoreInvalidations?: boolean; verify?: boolean } = {}): void {
		const flags = (options.ignoreInvalidations ? RUN_IGNORE_INVALIDATIONS : 0) | (options.verify === false ? 0 : RUN_VERIFY);
		this.exports.run(this.context, this.unit.record, this.buffer.offset, this.buffer.capacity, from, to, this.records.offset, this.deviceCount, flags);
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
		};
	}
}
