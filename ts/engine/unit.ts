import {
	ACCESS_ANY,
	ACCESS_EXECUTE,
	ACCESS_PRIVILEGED,
	ACCESS_READ,
	ACCESS_WRITE,
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
	COMMAND_ADDRESS,
	COMMAND_BYTES,
	COMMAND_CODE,
	COMMAND_COUNT,
	COMMAND_DATA,
	COMMAND_DONE,
	COMMAND_INTERRUPT,
	EDIT_NO_FRAME,
	EDIT_OK,
	FAULT_SLOT_BYTES,
	GEOMETRY_FLAGS,
	GEOMETRY_FORMAT,
	GEOMETRY_GRANULE,
	GEOMETRY_INPUT_BITS,
	GEOMETRY_OUTPUT_BITS,
	GEOMETRY_ROOT,
	GEOMETRY_TOP,
	NO_PASID,
	RESULT_ATTRIBUTES,
	RESULT_ENTRY,
	RESULT_ENTRY_ADDRESS,
	RESULT_FAULT,
	RESULT_FLAGS,
	RESULT_HIT,
	RESULT_LEVEL,
	RESULT_NOT_RECORDED,
	RESULT_OUTCOME,
	RESULT_PA,
	RESULT_PERMISSIONS,
	RESULT_REFERENCES,
	RESULT_SIZE_LG2,
	RESULT_STAGE,
	RESULT_VALUE,
	RESULT_VALUE2,
	ROUTE_BLOCKED,
	ROUTE_BYPASS,
	ROUTE_FIRST,
	ROUTE_NESTED,
	ROUTE_SECOND,
	STATUS_CROSSES,
	STATUS_FAULT,
	STATUS_INTERRUPT,
	STATUS_TRANSLATED,
	UNIT_FAULTS,
	UNIT_FAULTS_LOST,
	UNIT_REFERENCES,
	UNIT_TRANSLATIONS,
} from "../../assembly/layout.ts";
import { ARCHITECTURES, type ArchitectureName } from "./architecture.ts";
import { EngineError } from "./errors.ts";
import type { EngineExports } from "./instantiate.ts";
import { decodeInvalidation, type Invalidation } from "./invalidation.ts";
import { PageTable } from "./page-table.ts";
import { TABLE_FORMATS, type TableFormatName } from "./page-table-formats.ts";
import type { Views } from "./views.ts";

/** `any` is legal when read or write is: for recorders that do not say. */
export type AccessKind = "read" | "write" | "execute" | "any";

export interface TranslateOptions {
	/** PASID of the request; none by default */
	pasid?: number;
	/** default `read` */
	access?: AccessKind;
	privileged?: boolean;
	/** bytes; more than the 4 KiB page holds gives the status `crosses` */
	length?: number;
}

export const STATUSES = ["translated", "fault", "page-request", "interrupt", "crosses"] as const;
export const STAGES = ["first", "second", "tables"] as const;
export const HITS = ["walk", "iotlb", "device-tlb", "bypass"] as const;

/** The answer to one request. */
export interface Translation {
	status: (typeof STATUSES)[number];
	/** output address; for `interrupt` the address as it came, or what an MSI page table makes of it */
	pa: bigint;
	/** bytes that the answer holds for, naturally aligned */
	pageBytes: number;
	read: boolean;
	write: boolean;
	execute: boolean;
	/** who answered */
	hit: (typeof HITS)[number];
	/** memory references made by page-table walks */
	references: number;
	/** memory attributes of the leaf, in the format's own bits */
	attributes: number;
	/** the architecture's fault code; 0 when none */
	fault: number;
	/** of a fault: whose entry decided, a stage's or the device tables' */
	stage: "first" | "second" | "tables";
	/** of a walk that faulted: OUTCOME_*, and the entry that decided */
	outcome: number;
	level: number;
	entry: bigint;
	entryAddress: bigint;
	/** of a fault: the architecture's reported addresses (RISC-V: iotval, iotval2); of an interrupt by MRIF: file and identity */
	value: bigint;
	value2: bigint;
	/** false: the fault is raised, but has no record */
	recorded: boolean;
}

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

/** What became of one command. */
export type CommandAnswer =
	| {
			status: "done";
			/** a wait or fence asks for this write, little-endian; it is the caller's to make */
			write: { address: bigint; bytes: 4 | 8; value: bigint } | null;
			/** a wait or fence asks for an interrupt */
			interrupt: boolean;
	  }
	/** `error` as the architecture numbers it: IQERCD.IQEI, CMDQ_CONS.ERR, the event code (AMD), the bit of cqcsr */
	| { status: "illegal"; error: number };

/** How `processQueue` ended. */
export interface QueueAnswer {
	/** `off`: not switched on, or held by an earlier error; `bound`: more is waiting */
	status: (typeof QUEUE_ENDS)[number];
	/** commands done */
	commands: number;
	/** of status `error`, as in CommandAnswer */
	error: number;
	/** one of them asked for an interrupt */
	interrupt: boolean;
}
const QUEUE_ENDS = ["empty", "error", "bound", "off"] as const;
const ACCESS_BITS: Record<AccessKind, number> = { read: ACCESS_READ, write: ACCESS_WRITE, execute: ACCESS_EXECUTE, any: ACCESS_ANY };
const NO_COUNTERS: CacheCounters = { hits: 0, misses: 0, fills: 0, evictions: 0, invalidations: 0 };
const low = (value: bigint) => Number(value & 0xffffffffn);
const high = (value: bigint) => Number((value >> 32n) & 0xffffffffn);

/** A first-stage table that somebody else keeps, a guest say: where its root is, as the stage below it sees that. */
export interface ForeignTable {
	format: TableFormatName;
	root: bigint;
	levels: number;
}

/** What `Unit.setRoute` installs for a requester. */
export type RouteConfig = { /** of one PASID instead of requests without */ pasid?: number } & (
	| { type: "blocked" }
	| { type: "bypass"; domain: number }
	| { type: "first-stage"; domain: number; table: PageTable | ForeignTable }
	| { type: "second-stage"; domain: number; table: PageTable }
	/** `first` lies where `second` maps its root */
	| { type: "nested"; domain: number; first: PageTable | ForeignTable; second: PageTable }
);

/** One IOMMU unit of an engine. */
export class Unit {
	/** @internal */
	constructor(
		private readonly exports: EngineExports,
		private readonly views: Views,
		private readonly context: number,
		private readonly result: number,
		readonly index: number,
		/** address of the unit's record in linear memory */
		readonly record: number,
		readonly architecture: ArchitectureName,
		private readonly batchColumns: { offset: number; capacity: number },
	) {}

	/** Write a register by its specification name. @throws EngineError BadConfig for an unknown name */
	writeRegister(name: string, value: bigint): void {
		const index = ARCHITECTURES[this.architecture].registers[name];
		if (index === undefined) throw new EngineError("BadConfig", `${this.architecture} has no register ${name}`, { operation: "Unit.writeRegister", object: `unit ${this.index}` });
		this.exports.writeRegister(this.record, index, low(value), high(value));
	}

	readRegister(name: string): bigint {
		const index = ARCHITECTURES[this.architecture].registers[name];
		if (index === undefined) throw new EngineError("BadConfig", `${this.architecture} has no register ${name}`, { operation: "Unit.readRegister", object: `unit ${this.index}` });
		return BigInt.asUintN(64, this.exports.readRegister(this.record, index));
	}

	/**
	 * Translate without allocating: 0 translated, 1 fault, 2 page request, 3 interrupt. `access` is ACCESS_* bits; the
	 * answer stands in `lastPaLow`, `lastPaHigh` and `lastFault` until the next request to the engine.
	 */
	translate32(rid: number, pasid: number, addressHigh: number, addressLow: number, access: number): number {
		return this.exports.translate(this.context, this.record, rid, pasid, addressLow, addressHigh, access);
	}

	get lastPaLow(): number {
		return this.views.data().getUint32(this.result + RESULT_PA, true);
	}

	get lastPaHigh(): number {
		return this.views.data().getUint32(this.result + RESULT_PA + 4, true);
	}

	get lastFault(): number {
		return this.views.data().getUint32(this.result + RESULT_FAULT, true);
	}

	/** Translate one request of requester `rid`. Never throws for what a device or a table does: see `status`. */
	translate(rid: number, address: bigint, options: TranslateOptions = {}): Translation {
		const { pasid = NO_PASID, access = "read", privileged = false, length = 1 } = options;
		if (address < 0n || address >= 1n << 64n) {
			throw new EngineError("OutOfRange", "an address has 64 bits", { operation: "Unit.translate", object: `unit ${this.index}`, first: address, last: address });
		}
		const crosses = (address & 0xfffn) + BigInt(length) > 0x1000n;
		const status = crosses ? STATUS_CROSSES : this.exports.translate64(this.context, this.record, rid, pasid, BigInt.asIntN(64, address), ACCESS_BITS[access] | (privileged ? ACCESS_PRIVILEGED : 0));
		const view = this.views.data();
		const at = this.result;
		const ok = status === STATUS_TRANSLATED || status === STATUS_INTERRUPT;
		const reached = !crosses;
		const fault = status === STATUS_FAULT;
		const lg2 = ok ? view.getUint32(at + RESULT_SIZE_LG2, true) : 0;
		const permissions = ok ? view.getUint32(at + RESULT_PERMISSIONS, true) : 0;
		return {
			status: STATUSES[status],
			pa: crosses ? 0n : view.getBigUint64(at + RESULT_PA, true),
			pageBytes: lg2 === 0 ? 0 : 2 ** lg2,
			read: (permissions & ACCESS_READ) !== 0,
			write: (permissions & ACCESS_WRITE) !== 0,
			execute: (permissions & ACCESS_EXECUTE) !== 0,
			hit: HITS[reached ? view.getUint32(at + RESULT_HIT, true) : 0],
			references: reached ? view.getUint32(at + RESULT_REFERENCES, true) : 0,
			attributes: ok ? view.getUint32(at + RESULT_ATTRIBUTES, true) : 0,
			fault: reached ? view.getUint32(at + RESULT_FAULT, true) : 0,
			stage: ok || !reached ? "tables" : STAGES[view.getUint32(at + RESULT_STAGE, true)],
			outcome: ok || !reached ? 0 : view.getUint32(at + RESULT_OUTCOME, true),
			level: ok || !reached ? 0 : view.getUint32(at + RESULT_LEVEL, true),
			entry: ok || !reached ? 0n : view.getBigUint64(at + RESULT_ENTRY, true),
			entryAddress: ok || !reached ? 0n : view.getBigUint64(at + RESULT_ENTRY_ADDRESS, true),
			value: fault || status === STATUS_INTERRUPT ? view.getBigUint64(at + RESULT_VALUE, true) : 0n,
			value2: fault || status === STATUS_INTERRUPT ? view.getBigUint64(at + RESULT_VALUE2, true) : 0n,
			recorded: fault && (view.getUint32(at + RESULT_FLAGS, true) & RESULT_NOT_RECORDED) === 0,
		};
	}

	/** The answers to a range of addresses, one for each 4 KiB page that it touches. */
	*slices(rid: number, address: bigint, length: number, options: Omit<TranslateOptions, "length"> = {}): Generator<Translation & { address: bigint; length: number }> {
		let here = address;
		const end = address + BigInt(length);
		while (here < end) {
			const next = (here | 0xfffn) + 1n;
			const bytes = Number((next < end ? next : end) - here);
			yield { ...this.translate(rid, here, { ...options, length: bytes }), address: here, length: bytes };
			here += BigInt(bytes);
		}
	}

	/** Columns of the engine's batch buffer (knob `batch`), shared by all units. Valid until the memory grows. */
	batchBuffers(): { capacity: number; iova: BigUint64Array; pa: BigUint64Array; rid: Uint32Array; pasid: Uint32Array; access: Uint32Array; word: Uint32Array } {
		const { offset, capacity } = this.batchColumns;
		const buffer = this.views.buffer();
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

	/** Translate the first `count` requests of the batch buffer; returns how many were not translated. */
	batch(count: number): number {
		const { offset, capacity } = this.batchColumns;
		if (!Number.isInteger(count) || count < 0 || count > capacity) {
			throw new EngineError("OutOfRange", `${count} requests, the buffer holds ${capacity}`, { operation: "Unit.batch", object: `unit ${this.index}`, knob: "batch" });
		}
		return this.exports.batch(this.context, this.record, offset, capacity, count);
	}

	/** Address of a geometry: a table's own, or one made for the call where translations leave their result. */
	private geometry(table: PageTable | ForeignTable): number {
		if (table instanceof PageTable) return table.record;
		const view = this.views.data();
		const format = TABLE_FORMATS[table.format];
		view.setBigUint64(this.result + GEOMETRY_ROOT, table.root, true);
		view.setUint32(this.result + GEOMETRY_FORMAT, format.code, true);
		view.setUint32(this.result + GEOMETRY_TOP, table.levels - 1, true);
		view.setUint32(this.result + GEOMETRY_FLAGS, format.flags, true);
		view.setUint32(this.result + GEOMETRY_GRANULE, format.leaves[0], true);
		view.setUint32(this.result + GEOMETRY_INPUT_BITS, format.inputBits(table.levels), true);
		view.setUint32(this.result + GEOMETRY_OUTPUT_BITS, format.outputBits, true);
		return this.result;
	}

	/**
	 * Write the device-table words of a requester's route, or of the route of one of its PASIDs. Cached entries stay until
	 * invalidated. VT-d: first stages, nested routes and PASIDs want scalable mode (RTADDR 11:10 = 01b).
	 * @throws EngineError OutOfFrames, Unsupported when the unit (its mode, its capabilities) has no such route
	 */
	setRoute(rid: number, route: RouteConfig): void {
		const types = { blocked: ROUTE_BLOCKED, bypass: ROUTE_BYPASS, "second-stage": ROUTE_SECOND, "first-stage": ROUTE_FIRST, nested: ROUTE_NESTED };
		const domain = route.type === "blocked" ? 0 : route.domain;
		const first = route.type === "first-stage" ? this.geometry(route.table) : route.type === "nested" ? this.geometry(route.first) : 0;
		const second = route.type === "second-stage" ? route.table.record : route.type === "nested" ? route.second.record : 0;
		const code = this.exports.setRoute(this.context, this.record, rid, route.pasid ?? NO_PASID, types[route.type], domain, first, second);
		if (code === EDIT_OK) return;
		throw new EngineError(code === EDIT_NO_FRAME ? "OutOfFrames" : "Unsupported", "the route cannot be written", {
			operation: "Unit.setRoute",
			object: `unit ${this.index}, rid 0x${rid.toString(16)}${route.pasid === undefined ? "" : `, pasid ${route.pasid}`}`,
			...(code === EDIT_NO_FRAME ? { knob: "tables.frames" } : {}),
		});
	}

	/** Drop cached answers. `caches` defaults to all that the scope names. */
	invalidate(request: Invalidation): void {
		const { caches, scope, domain, pasid, rid, first, last } = decodeInvalidation(request);
		this.exports.invalidate(this.record, caches, scope, domain, pasid, rid, low(first), high(first), low(last), high(last));
	}

	/**
	 * Do one raw command of the architecture's queue (VT-d descriptors of 16 or 32 bytes, the others 16), for a host that
	 * emulates the queue itself. @throws EngineError BadConfig for another length
	 */
	command(bytes: Uint8Array): CommandAnswer {
		if (bytes.length !== 16 && !(bytes.length === 32 && this.architecture === "vtd")) {
			throw new EngineError("BadConfig", `a command of ${this.architecture} has ${this.architecture === "vtd" ? "16 or 32" : "16"} bytes, not ${bytes.length}`, { operation: "Unit.command", object: `unit ${this.index}` });
		}
		const given = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
		const words = Array.from({ length: 8 }, (_, i) => (4 * i < bytes.length ? given.getUint32(4 * i, true) : 0));
		const status = this.exports.command(this.context, this.record, ...words);
		const view = this.views.data();
		if (status !== COMMAND_DONE) return { status: "illegal", error: view.getUint32(this.result + COMMAND_CODE, true) };
		const size = view.getUint32(this.result + COMMAND_BYTES, true);
		const write = size === 0 ? null : { address: view.getBigUint64(this.result + COMMAND_ADDRESS, true), bytes: size as 4 | 8, value: view.getBigUint64(this.result + COMMAND_DATA, true) };
		return { status: "done", write, interrupt: view.getUint32(this.result + COMMAND_INTERRUPT, true) !== 0 };
	}

	/**
	 * Take commands from the queue in memory, by the unit's own head, tail and base registers, and make the writes that
	 * they ask for; at most `most` of them. @throws EngineError OutOfRange
	 */
	processQueue(most = 65_536): QueueAnswer {
		if (!Number.isInteger(most) || most < 0 || most > 0xffff_ffff) {
			throw new EngineError("OutOfRange", `${most} is no number of commands`, { operation: "Unit.processQueue", object: `unit ${this.index}` });
		}
		const status = this.exports.processQueue(this.context, this.record, most);
		const view = this.views.data();
		const at = (offset: number) => view.getUint32(this.result + offset, true);
		return { status: QUEUE_ENDS[status], commands: at(COMMAND_COUNT), error: at(COMMAND_CODE), interrupt: at(COMMAND_INTERRUPT) !== 0 };
	}

	/** Take the oldest fault record off the ring: the architecture's own bytes, zero padded; null when there is none. */
	takeFault(): Uint8Array | null {
		const pointer = this.exports.nextFault(this.record) >>> 0;
		return pointer === 0 ? null : this.views.bytes().slice(pointer, pointer + FAULT_SLOT_BYTES);
	}

	private cacheCounters(kind: number): CacheCounters {
		const pointer = this.exports.cachePointer(this.record, kind) >>> 0;
		if (pointer === 0) return { ...NO_COUNTERS };
		const view = this.views.data();
		const at = (offset: number) => Number(view.getBigUint64(pointer + offset, true));
		return { hits: at(CACHE_HITS), misses: at(CACHE_MISSES), fills: at(CACHE_FILLS), evictions: at(CACHE_EVICTIONS), invalidations: at(CACHE_INVALIDATIONS) };
	}

	/** All counters since the engine was made. */
	counters(): UnitCounters {
		const view = this.views.data();
		const at = (offset: number) => Number(view.getBigUint64(this.record + offset, true));
		const levels = (stage: number) => Array.from({ length: 8 }, (_, level) => at(UNIT_REFERENCES + stage * 64 + level * 8));
		const walks = (base: number) => Array.from({ length: 6 }, (_, level) => this.cacheCounters(base + level));
		return {
			translations: at(UNIT_TRANSLATIONS),
			faults: at(UNIT_FAULTS),
			faultsLost: at(UNIT_FAULTS_LOST),
			iotlb: this.cacheCounters(CACHE_IOTLB),
			context: this.cacheCounters(CACHE_CONTEXT),
			pasid: this.cacheCounters(CACHE_PASID),
			walkFirst: walks(CACHE_WALK_FIRST),
			walkSecond: walks(CACHE_WALK_SECOND),
			second: this.cacheCounters(CACHE_SECOND),
			references: { first: levels(0), second: levels(1), tables: levels(2) },
		};
	}
}
