/**
 * Where everything of an engine lies in linear memory, worked out before any of it is made: the size that a
 * configuration will take is known, and an engine that would not fit names the knob that asks for most.
 */
import {
	ATS_BYTES,
	ATS_DEVICE_BYTES,
	BATCH_ANSWER_BYTES,
	BATCH_REQUEST_BYTES,
	CACHE_BYTES,
	CACHE_CONTEXT,
	CACHE_IOTLB,
	CACHE_PASID,
	CACHE_SECOND,
	CACHE_WALK_FIRST,
	CACHE_WALK_SECOND,
	COST_TABLE_BYTES,
	DEVICE_ENTRY_BYTES,
	ENGINE_BYTES,
	EVENTS_BYTES,
	FAULT_SLOT_BYTES,
	FRAME_BYTES,
	FRAME_META_BYTES,
	GROUP_BYTES,
	MOST_GROUPS,
	PAGE_REQUEST_BYTES,
	REGION_BYTES,
	RESULT_BYTES,
	ROUTE_BYTES,
	RUN_DEVICE_BYTES,
	SCRATCH_BYTES,
	SPARSE_SLOT_BYTES,
	TABLE_BYTES,
	TRACE_BYTES,
	TRACE_RECORDS,
	UNIT_BYTES,
} from "../../assembly/layout.ts";
import { ARCHITECTURES, type ArchitectureName } from "./architecture.ts";
import { type CacheConfig, type PlannedCache, planCache } from "./cache-config.ts";
import { EngineError } from "./errors.ts";

/** A host's own memory behind callbacks. Addresses are physical, values little-endian. */
export interface HostMemory {
	/** `undefined`: nothing there; "poison": corrupted data */
	read(address: bigint, bytes: number): bigint | undefined | "poison";
	/** false: refused */
	write(address: bigint, bytes: number, value: bigint): boolean;
}

/** One region of physical memory: 8-byte aligned, not overlapping another. */
export type RegionConfig = {
	start: bigint;
	/** bytes, a multiple of 8 */
	size: bigint | number;
	/** default true */
	writable?: boolean;
	/** reads answer "poisoned data"; default false */
	poison?: boolean;
} & (
	| { kind: "owned" } // bytes that the engine holds and lends
	| { kind: "buffer"; /** byte offset in the engine's WebAssembly.Memory */ offset: number }
	| { kind: "sparse" } // 4 KiB pages taken from the pool of `sparsePages` when first written; zero before
	| { kind: "host"; memory: HostMemory }
);

/** One IOMMU unit. `false` switches a cache off. */
export interface UnitConfig {
	architecture: ArchitectureName;
	/** registers by name; the others keep their defaults (ts/engine/architecture.ts) */
	registers?: Record<string, bigint>;
	/** default 64 sets of 4 */
	iotlb?: CacheConfig | false;
	/** paging-structure cache of each level and stage; default 8 sets of 4 */
	walkCache?: CacheConfig | false;
	/** default 16 sets of 4 */
	contextCache?: CacheConfig | false;
	/** default 16 sets of 4 */
	pasidCache?: CacheConfig | false;
	/** second-stage pages under guest physical addresses, for nested walks; default 32 sets of 4, none without an IOTLB */
	secondCache?: CacheConfig | false;
	/** slots of the fault ring; default 64 */
	faultRecords?: number;
	/** a device-TLB of this geometry for each of `devices` devices (default 16), for requests of type `device`; default none */
	deviceTlb?: (CacheConfig & { devices?: number }) | false;
	/** slots of the page-request queue, and groups that may wait, at most 512; default 32 */
	pageRequests?: number;
	/** oddities of some IOTLBs */
	quirks?: {
		/** entries carry the RID beside the domain (QEMU) */
		sourceTag?: boolean;
		/** page invalidation compares the low 8 bits of the page number (QEMU before 8.0) */
		pageLow8?: boolean;
	};
}

export interface EngineConfig {
	/** physical memory that is there from the start; more may be added up to `regions` */
	memory?: RegionConfig[];
	/** regions that may exist at a time; default 64, at least `memory.length` */
	regions?: number;
	/** pages that sparse regions may take; default 0, or 1024 when `memory` has a sparse region */
	sparsePages?: number;
	/** frames for kernel-built tables */
	tables?: {
		/** 4 KiB frames; default 1024 */
		frames?: number;
		/** physical address of the first; default 2^46. Must lie apart from every region. */
		base?: bigint;
		/** page tables that may exist at a time; default 256 */
		count?: number;
	};
	/** default: none */
	units?: UnitConfig[];
	/** requests of one batch call; default 0 */
	batch?: number;
	/** recorded runs: events of one call and devices; default none */
	run?: { events: number; devices: number };
	/** the host's own memory, and where in it the engine may live; the engine then needs `planEngine(config).bytes` there */
	host?: { memory: WebAssembly.Memory; offset: number };
}

export interface PlannedPart {
	/** configuration value that sizes it */
	knob: string;
	offset: number;
	bytes: number;
}

export interface PlannedUnit {
	record: number;
	faultRing: number;
	faultRecords: number;
	contextValues: number;
	pasidValues: number;
	scratchDevice: number;
	scratchRoute: number;
	caches: Array<{ kind: number; record: number; entries: number; cache: PlannedCache }>;
	ats: number;
	deviceSlots: number;
	deviceTlbs: Array<{ record: number; entries: number; cache: PlannedCache }>;
	requestRing: number;
	pageRequests: number;
	groups: number;
}

/** Offsets are from the engine's base. */
export interface EnginePlan {
	bytes: number;
	parts: PlannedPart[];
	engine: number;
	regions: number;
	regionCount: number;
	scratch: number;
	result: number;
	silent: number;
	trace: number;
	units: PlannedUnit[];
	tableRecords: number;
	tableCount: number;
	frameMeta: number;
	frames: number;
	frameCount: number;
	frameBase: bigint;
	sparseSlots: number;
	sparseSlotCount: number;
	sparsePool: number;
	sparsePages: number;
	/** of each `owned` region, in the order of `memory`; -1 for the others */
	owned: number[];
	batch: number;
	batchCapacity: number;
	run: number;
	runCosts: number;
	runEvents: number;
	runDevices: number;
	runDeviceCount: number;
}

/** A Wasm memory has 32-bit addresses. */
const MOST_BYTES = 2 ** 32 - 65536;

const DEFAULT_FRAME_BASE = 1n << 46n;

function count(value: number | undefined, fallback: number, knob: string, least = 0): number {
	const n = value ?? fallback;
	if (!Number.isSafeInteger(n) || n < least) {
		throw new EngineError("BadConfig", `${knob} must be a whole number of at least ${least}, not ${n}`, { operation: "planEngine", knob });
	}
	return n;
}

/**
 * The memory that a configuration takes, part by part.
 * @throws EngineError BadConfig, or OutOfMemory when it does not fit 4 GiB; both name the knob
 */
export function planEngine(config: EngineConfig): EnginePlan {
	const parts: PlannedPart[] = [];
	let end = 0;
	const take = (bytes: number, knob: string, align = 16): number => {
		const offset = Math.ceil(end / align) * align;
		end = offset + bytes;
		if (bytes > 0) parts.push({ knob, offset, bytes });
		return offset;
	};

	const memory = config.memory ?? [];
	const regionCount = count(config.regions, Math.max(64, memory.length), "regions", memory.length);
	const frameCount = count(config.tables?.frames, 1024, "tables.frames", 1);
	const tableCount = count(config.tables?.count, 256, "tables.count");
	const sparsePages = count(config.sparsePages, memory.some((r) => r.kind === "sparse") ? 1024 : 0, "sparsePages");
	const sparseSlotCount = 2 ** Math.ceil(Math.log2(Math.max(2, sparsePages * 2)));
	const batchCapacity = count(config.batch, 0, "batch");
	const runEvents = count(config.run?.events, 0, "run.events");
	const runDeviceCount = count(config.run?.devices, 0, "run.devices");

	const engine = take(ENGINE_BYTES, "engine");
	const regions = take(regionCount * REGION_BYTES, "regions");
	const scratch = take(SCRATCH_BYTES, "engine");
	const result = take(RESULT_BYTES, "engine");
	const silent = take(UNIT_BYTES, "engine");
	const trace = take(TRACE_RECORDS * TRACE_BYTES, "engine");
	const units = (config.units ?? []).map((unit, index): PlannedUnit => {
		const knob = `units[${index}]`;
		if (!Object.hasOwn(ARCHITECTURES, unit.architecture)) {
			throw new EngineError("BadConfig", `unknown architecture "${unit.architecture}"`, { operation: "planEngine", knob: `${knob}.architecture` });
		}
		const faultRecords = count(unit.faultRecords, 64, `${knob}.faultRecords`, 1);
		const record = take(UNIT_BYTES, knob);
		const caches: PlannedUnit["caches"] = [];
		const add = (kind: number, name: string, given: CacheConfig | false | undefined, fallback: CacheConfig): PlannedCache | undefined => {
			if (given === false) return undefined;
			const cache = planCache(given ?? fallback, `${knob}.${name}`);
			caches.push({ kind, record: take(CACHE_BYTES, `${knob}.${name}`), entries: take(cache.bytes, `${knob}.${name}`, 64), cache });
			return cache;
		};
		add(CACHE_IOTLB, "iotlb", unit.iotlb, { sets: 64, ways: 4 });
		for (const base of [CACHE_WALK_FIRST, CACHE_WALK_SECOND]) {
			for (let level = 0; level < 6; level++) add(base + level, "walkCache", unit.walkCache, { sets: 8, ways: 4 });
		}
		add(CACHE_SECOND, "secondCache", unit.secondCache ?? (unit.iotlb === false ? false : undefined), { sets: 32, ways: 4 });
		const context = add(CACHE_CONTEXT, "contextCache", unit.contextCache, { sets: 16, ways: 4 });
		const pasid = add(CACHE_PASID, "pasidCache", unit.pasidCache, { sets: 16, ways: 4 });
		const pageRequests = count(unit.pageRequests, 32, `${knob}.pageRequests`, 1);
		if (pageRequests > MOST_GROUPS) throw new EngineError("BadConfig", `${pageRequests} groups, an index has 9 bits`, { operation: "planEngine", knob: `${knob}.pageRequests` });
		const deviceTlb = unit.deviceTlb || undefined;
		const deviceCount = deviceTlb === undefined ? 0 : count(deviceTlb.devices, 16, `${knob}.deviceTlb.devices`, 1);
		const deviceCache = deviceTlb === undefined ? undefined : planCache(deviceTlb, `${knob}.deviceTlb`);
		const deviceTlbs: PlannedUnit["deviceTlbs"] = [];
		if (deviceCache !== undefined) {
			for (let i = 0; i < deviceCount; i++) {
				deviceTlbs.push({ record: take(CACHE_BYTES, `${knob}.deviceTlb`), entries: take(deviceCache.bytes, `${knob}.deviceTlb`, 64), cache: deviceCache });
			}
		}
		return {
			record,
			caches,
			ats: take(ATS_BYTES, knob),
			deviceSlots: take(deviceCount * ATS_DEVICE_BYTES, `${knob}.deviceTlb`),
			deviceTlbs,
			requestRing: take(pageRequests * PAGE_REQUEST_BYTES, `${knob}.pageRequests`),
			pageRequests,
			groups: take(pageRequests * GROUP_BYTES, `${knob}.pageRequests`),
			faultRecords,
			faultRing: take(faultRecords * FAULT_SLOT_BYTES, `${knob}.faultRecords`),
			contextValues: take(context ? context.sets * context.ways * DEVICE_ENTRY_BYTES : 0, `${knob}.contextCache`),
			pasidValues: take(pasid ? pasid.sets * pasid.ways * ROUTE_BYTES : 0, `${knob}.pasidCache`),
			scratchDevice: take(DEVICE_ENTRY_BYTES, knob),
			scratchRoute: take(ROUTE_BYTES, knob),
		};
	});
	const tableRecords = take(tableCount * TABLE_BYTES, "tables.count");
	const frameMeta = take(frameCount * FRAME_META_BYTES, "tables.frames");
	const frames = take(frameCount * FRAME_BYTES, "tables.frames", FRAME_BYTES);
	const sparseSlots = take(sparseSlotCount * SPARSE_SLOT_BYTES, "sparsePages");
	const sparsePool = take(sparsePages * FRAME_BYTES, "sparsePages", FRAME_BYTES);
	const owned = memory.map((region, index) => (region.kind === "owned" ? take(Number(region.size), `memory[${index}].size`, FRAME_BYTES) : -1));
	const batch = take(batchCapacity * (BATCH_REQUEST_BYTES + BATCH_ANSWER_BYTES), "batch");
	const run = take(runEvents * EVENTS_BYTES, "run.events");
	const runCosts = take(runEvents > 0 ? COST_TABLE_BYTES : 0, "run.events");
	const runDevices = take(runDeviceCount * RUN_DEVICE_BYTES, "run.devices");
	const bytes = Math.ceil(end / 16) * 16;
	if (!(bytes <= MOST_BYTES)) {
		const largest = largestKnob(parts);
		throw new EngineError("OutOfMemory", `the engine would take ${bytes} bytes of at most ${MOST_BYTES}, ${largest.bytes} of them for ${largest.knob}`, {
			operation: "planEngine",
			knob: largest.knob,
		});
	}
	return {
		bytes,
		parts,
		engine,
		regions,
		regionCount,
		scratch,
		result,
		silent,
		trace,
		units,
		tableRecords,
		tableCount,
		frameMeta,
		frames,
		frameCount,
		frameBase: config.tables?.base ?? DEFAULT_FRAME_BASE,
		sparseSlots,
		sparseSlotCount,
		sparsePool,
		sparsePages,
		owned,
		batch,
		batchCapacity,
		run,
		runCosts,
		runEvents,
		runDevices,
		runDeviceCount,
	};
}

/** The knob that takes most. */
export function largestKnob(parts: PlannedPart[]): { knob: string; bytes: number } {
	const sums = new Map<string, number>();
	for (const part of parts) sums.set(part.knob, (sums.get(part.knob) ?? 0) + part.bytes);
	let best = { knob: "", bytes: -1 };
	for (const [knob, bytes] of sums) if (bytes > best.bytes) best = { knob, bytes };
	return best;
}
