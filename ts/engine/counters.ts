/** What a unit counts. */
import {
	ATS_LOST,
	ATS_QUEUED,
	CACHE_CONTEXT,
	CACHE_EVICTIONS,
	CACHE_FILLS,
	CACHE_HITS,
	CACHE_INVALIDATIONS,
	CACHE_IOTLB,
	CACHE_MISSES,
	CACHE_PASID,
	CACHE_SECOND,
	CACHE_WALK_FIRST,
	CACHE_WALK_SECOND,
	UNIT_FAULTS,
	UNIT_FAULTS_LOST,
	UNIT_REFERENCES,
	UNIT_TRANSLATIONS,
} from "../../assembly/layout.ts";
import type { UnitRecord } from "./unit-record.ts";

export interface CacheCounters {
	hits: number;
	misses: number;
	fills: number;
	evictions: number;
	invalidations: number;
}

export interface UnitCounters {
	translations: number;
	faults: number;
	/** records that found the ring full */
	faultsLost: number;
	iotlb: CacheCounters;
	/** of all devices together */
	deviceTlb: CacheCounters;
	/** page requests that were queued, and that found the queue or the groups used up */
	pageRequests: { queued: number; lost: number };
	context: CacheCounters;
	pasid: CacheCounters;
	/** by level of the table that the entry points to, 0 = the smallest leaves' */
	walkFirst: CacheCounters[];
	walkSecond: CacheCounters[];
	/** second-stage pages under guest physical addresses, of nested walks */
	second: CacheCounters;
	/** memory references by level */
	references: { first: number[]; second: number[]; tables: number[] };
}

const NO_COUNTERS: CacheCounters = { hits: 0, misses: 0, fills: 0, evictions: 0, invalidations: 0 };

function cacheCounters({ exports, views, record }: UnitRecord, kind: number): CacheCounters {
	return countersAt(views.data(), exports.cachePointer(record, kind) >>> 0);
}

function deviceTlbCounters({ exports, views, record }: UnitRecord): CacheCounters {
	const sum = { ...NO_COUNTERS };
	for (let index = 0; ; index++) {
		const pointer = exports.deviceTlb(record, index) >>> 0;
		if (pointer === 0) return sum;
		const one = countersAt(views.data(), pointer);
		for (const name of Object.keys(sum) as Array<keyof CacheCounters>) sum[name] += one[name];
	}
}

function countersAt(view: DataView, pointer: number): CacheCounters {
	if (pointer === 0) return { ...NO_COUNTERS };
	const at = (offset: number) => Number(view.getBigUint64(pointer + offset, true));
	return { hits: at(CACHE_HITS), misses: at(CACHE_MISSES), fills: at(CACHE_FILLS), evictions: at(CACHE_EVICTIONS), invalidations: at(CACHE_INVALIDATIONS) };
}

/** All counters of a unit since the engine was made. */
export function readCounters(unit: UnitRecord): UnitCounters {
	const view = unit.views.data();
	const at = (offset: number) => Number(view.getBigUint64(unit.record + offset, true));
	const levels = (stage: number) => Array.from({ length: 8 }, (_, level) => at(UNIT_REFERENCES + stage * 64 + level * 8));
	const walks = (base: number) => Array.from({ length: 6 }, (_, level) => cacheCounters(unit, base + level));
	return {
		translations: at(UNIT_TRANSLATIONS),
		faults: at(UNIT_FAULTS),
		faultsLost: at(UNIT_FAULTS_LOST),
		iotlb: cacheCounters(unit, CACHE_IOTLB),
		deviceTlb: deviceTlbCounters(unit),
		pageRequests: { queued: Number(view.getBigUint64(unit.ats + ATS_QUEUED, true)), lost: Number(view.getBigUint64(unit.ats + ATS_LOST, true)) },
		context: cacheCounters(unit, CACHE_CONTEXT),
		pasid: cacheCounters(unit, CACHE_PASID),
		walkFirst: walks(CACHE_WALK_FIRST),
		walkSecond: walks(CACHE_WALK_SECOND),
		second: cacheCounters(unit, CACHE_SECOND),
		references: { first: levels(0), second: levels(1), tables: levels(2) },
	};
}
