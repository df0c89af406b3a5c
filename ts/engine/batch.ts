/** Columns of requests, translated in one call. */
import { EngineError } from "./errors.ts";
import type { UnitRecord } from "./unit-record.ts";

/** Columns of `capacity` requests: the answers are in `pa` and `word` (WORD_* in assembly/layout.ts). */
export interface BatchColumns {
	capacity: number;
	iova: BigUint64Array;
	pa: BigUint64Array;
	rid: Uint32Array;
	pasid: Uint32Array;
	access: Uint32Array;
	word: Uint32Array;
}

/** See Unit.batchBuffers. */
export function batchBuffers({ views, batchColumns }: UnitRecord): BatchColumns {
	const { offset, capacity } = batchColumns;
	const buffer = views.buffer();
	return {
		capacity,
		iova: new BigUint64Array(buffer, offset, capacity),
		pa: new BigUint64Array(buffer, offset + 8 * capacity, capacity),
		rid: new Uint32Array(buffer, offset + 16 * capacity, capacity),
		pasid: new Uint32Array(buffer, offset + 20 * capacity, capacity),
		access: new Uint32Array(buffer, offset + 24 * capacity, capacity),
		word: new Uint32Array(buffer, offset + 28 * capacity, capacity),
	};
}

/** See Unit.batch. */
export function batch({ exports, context, index, record, batchColumns }: UnitRecord, count: number): number {
	const { offset, capacity } = batchColumns;
	if (!Number.isInteger(count) || count < 0 || count > capacity) {
		throw new EngineError("OutOfRange", `${count} requests, the buffer holds ${capacity}`, { operation: "Unit.batch", object: `unit ${index}`, knob: "batch" });
	}
	return exports.batch(context, record, offset, capacity, count);
}
