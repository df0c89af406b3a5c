import {
	ACCESS_ANY,
	ACCESS_DEVICE,
	ACCESS_EXECUTE,
	ACCESS_NO_PAGE_REQUEST,
	ACCESS_NO_WRITE,
	ACCESS_PRIVILEGED,
	ACCESS_READ,
	ACCESS_TRANSLATED,
	ACCESS_TRANSLATION,
	ACCESS_WRITE,
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
	COMMAND_ADDRESS,
	COMMAND_BYTES,
	COMMAND_CODE,
	COMMAND_COUNT,
	COMMAND_DATA,
	COMMAND_DONE,
	COMMAND_INTERRUPT,
	COMPLETION_ABORT,
	COMPLETION_UNSUPPORTED,
	EDIT_NO_FRAME,
	EDIT_OK,
	ENTRY_EXECUTE,
	ENTRY_GLOBAL,
	ENTRY_PRIVILEGED,
	ENTRY_READ,
	ENTRY_SNOOP,
	ENTRY_UNTRANSLATED_ONLY,
	ENTRY_WRITE,
	EVERY_DEVICE,
	EVERY_PASID,
	FAULT_SLOT_BYTES,
	GEOMETRY_FLAGS,
	GEOMETRY_FORMAT,
	GEOMETRY_GRANULE,
	GEOMETRY_INPUT_BITS,
	GEOMETRY_OUTPUT_BITS,
	GEOMETRY_ROOT,
	GEOMETRY_TOP,
	NO_GROUP,
	NO_PASID,
	PAGE_REQUEST_BYTES,
	RESPONSE_FAILURE,
	RESPONSE_INVALID,
	RESPONSE_SUCCESS,
	RESULT_ATTRIBUTES,
	RESULT_COMPLETION,
	RESULT_COMPLETION_ENTRY,
	RESULT_ENTRY,
	RESULT_ENTRY_ADDRESS,
	RESULT_FAULT,
	RESULT_FLAGS,
	RESULT_GROUP,
	RESULT_HIT,
	RESULT_LEVEL,
	RESULT_NOT_RECORDED,
	RESULT_OUTCOME,
	RESULT_PA,
	RESULT_PERMISSIONS,
	RESULT_REFERENCES,
	RESULT_SIZE_LG2,
	RESULT_STAGE,
	RESULT_STATUS,
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
	STATUS_PAGE_REQUEST,
	STATUS_TRANSLATED,
	TRACE_RECORDS,
	UNIT_FAULTS,
	UNIT_FAULTS_LOST,
	UNIT_REFERENCES,
	UNIT_TRANSLATIONS,
} from "../../assembly/layout.ts";
import { ARCHITECTURES, type ArchitectureName } from "./architecture.ts";
import { EngineError } from "./errors.ts";
import { type Explanation, explainTrace } from "./explain.ts";
import { WORDS } from "./fields/index.ts";
import type { EngineExports } from "./instantiate.ts";
import { decodeInvalidation, type Invalidation, type DeviceTlbInvalidation } from "./invalidation.ts";
import { PageTable } from "./page-table.ts";
import type { PhysicalMemory } from "./physical-memory.ts";
import { TABLE_FORMATS, type TableFormatName } from "./page-table-formats.ts";
import type { Views } from "./views.ts";

/** `any` is legal when read or write is: for recorders that do not say. */
export type AccessKind = "read" | "write" | "execute" | "any";

/**
 * Type of a request (PCIe address type). `device`: as a device with a device-TLB makes it, which looks there, sends a
 * translation request, keeps the completion and sends a translated request.
 */
export type RequestType = "untranslated" | "translation" | "translated" | "device";

export interface TranslateOptions {
	/** default `untranslated` */
	type?: RequestType;
	/** `translation`: with No Write */
	noWrite?: boolean;
	/** `device`: whether it asks for pages that it gets no right to, where its unit takes page requests; default true */
	pageRequests?: boolean;
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

/** How an ATS translation request was completed (PCIe ATS 10.2.3). */
export interface Completion {
	status: "success" | "unsupported-request" | "completer-abort";
	/** the completion's data entry: 63:12 address, 11 S, 10 N, 5 Global, 4 Priv, 3 Exe, 2 U, 1 W, 0 R; 0 without rights */
	entry: bigint;
	/** the address told, and the bytes that it holds for; 0 without rights */
	address: bigint;
	bytes: number;
	read: boolean;
	write: boolean;
	/** requests must go untranslated (U) */
	untranslatedOnly: boolean;
	execute: boolean;
	privileged: boolean;
	global: boolean;
	/** translated requests may not say No Snoop (N) */
	snoop: boolean;
}

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
	/** of `page-request`: its group; null when the hardware answered by itself, since the queue or the groups are used up */
	group: number | null;
	/** of a request of type `translation` */
	completion?: Completion;
}

/** Response code of a page request group (PCIe PRI 10.4.2). */
export type GroupResponse = "success" | "invalid" | "failure";

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
const TYPE_BITS: Record<RequestType, number> = { untranslated: 0, translation: ACCESS_TRANSLATION, translated: ACCESS_TRANSLATED, device: ACCESS_DEVICE };

function accessBits({ access = "read", privileged = false, type = "untranslated", noWrite = false, pageRequests = true }: TranslateOptions): number {
	return ACCESS_BITS[access] | TYPE_BITS[type] | (privileged ? ACCESS_PRIVILEGED : 0) | (noWrite ? ACCESS_NO_WRITE : 0) | (pageRequests ? 0 : ACCESS_NO_PAGE_REQUEST);
}

const RESPONSES: Record<GroupResponse, number> = { success: RESPONSE_SUCCESS, invalid: RESPONSE_INVALID, failure: RESPONSE_FAILURE };
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
		/** address of what it keeps for ATS */
		private readonly ats: number,
		private readonly batchColumns: { offset: number; capacity: number },
		private readonly trace: number,
		private readonly memory: PhysicalMemory,
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
		const { pasid = NO_PASID, length = 1, type = "untranslated" } = options;
		if (address < 0n || address >= 1n << 64n) {
			throw new EngineError("OutOfRange", "an address has 64 bits", { operation: "Unit.translate", object: `unit ${this.index}`, first: address, last: address });
		}
		const crosses = (address & 0xfffn) + BigInt(length) > 0x1000n;
		const status = crosses ? STATUS_CROSSES : this.exports.translate64(this.context, this.record, rid, pasid, BigInt.asIntN(64, address), accessBits(options));
		return this.answer(status, type);
	}

	/** The result record of a request with this status. */
	private answer(status: number, type: RequestType): Translation {
		const crosses = status === STATUS_CROSSES;
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
			group: status === STATUS_PAGE_REQUEST ? this.lastGroup : null,
			...(type === "translation" && reached ? { completion: this.completion(lg2) } : {}),
		};
	}

	/** Group of the last answer `page-request`; null when the hardware answered by itself. */
	get lastGroup(): number | null {
		const group = this.views.data().getUint32(this.result + RESULT_GROUP, true);
		return group === NO_GROUP ? null : group;
	}

	private completion(lg2: number): Completion {
		const view = this.views.data();
		const status = view.getUint32(this.result + RESULT_COMPLETION, true);
		const entry = view.getBigUint64(this.result + RESULT_COMPLETION_ENTRY, true);
		const has = (bit: number) => (entry & BigInt(bit)) !== 0n;
		const bytes = entry === 0n ? 0 : 2 ** lg2;
		return {
			status: status === COMPLETION_UNSUPPORTED ? "unsupported-request" : status === COMPLETION_ABORT ? "completer-abort" : "success",
			entry,
			address: entry === 0n ? 0n : entry & ~(BigInt(bytes) - 1n),
			bytes,
			read: has(ENTRY_READ),
			write: has(ENTRY_WRITE),
			untranslatedOnly: has(ENTRY_UNTRANSLATED_ONLY),
			execute: has(ENTRY_EXECUTE),
			privileged: has(ENTRY_PRIVILEGED),
			global: has(ENTRY_GLOBAL),
			snoop: has(ENTRY_SNOOP),
		};
	}

	/** Take the oldest page request off the queue: the architecture's own record, zero padded; null when there is none. */
	takePageRequest(): Uint8Array | null {
		const pointer = this.exports.nextPageRequest(this.record) >>> 0;
		return pointer === 0 ? null : this.views.bytes().slice(pointer, pointer + PAGE_REQUEST_BYTES);
	}

	/**
	 * Answer a page request group of a requester; the device then makes its request again. After another response than
	 * `success` its next request for that page is a fault. @throws EngineError OutOfRange when no such group waits
	 */
	respond(rid: number, group: number, response: GroupResponse, pasid = NO_PASID): void {
		if (this.exports.respond(this.record, rid, pasid, group, RESPONSES[response]) !== 0) return;
		throw new EngineError("OutOfRange", `no group ${group} waits`, { operation: "Unit.respond", object: `unit ${this.index}, rid 0x${rid.toString(16)}` });
	}

	/**
	 * Translate as `translate` does, with all that it does to caches, counters, A and D bits and the fault ring, and tell
	 * every step of it: memory references in order, which cache answered, and what decided a fault.
	 * @throws EngineError OutOfRange
	 */
	explain(rid: number, address: bigint, options: TranslateOptions = {}): Explanation<Translation> {
		const { pasid = NO_PASID, length = 1, type = "untranslated" } = options;
		if ((address & 0xfffn) + BigInt(length) > 0x1000n || address < 0n || address >= 1n << 64n) {
			throw new EngineError("OutOfRange", "a request has a 64-bit address and stays in its 4 KiB page", { operation: "Unit.explain", object: `unit ${this.index}`, first: address, last: address + BigInt(length) - 1n });
		}
		const bits = accessBits(options);
		const count = this.exports.explain(this.context, this.record, this.trace, TRACE_RECORDS, rid, pasid, low(address), high(address), bits);
		const view = this.views.data();
		const source = {
			view,
			offset: this.trace,
			count,
			words: WORDS[this.architecture],
			register: (name: string) => this.readRegister(name),
			read: (at: bigint, bytes: number) => {
				try {
					return this.memory.read(at, bytes);
				} catch {
					return undefined;
				}
			},
			classify: (geometry: number, level: number, entry: bigint) => this.exports.classify(this.context, geometry, level, low(entry), high(entry)),
		};
		return explainTrace(source, this.architecture, this.answer(view.getUint32(this.result + RESULT_STATUS, true), type), bits);
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
	 * AMD-Vi: guest tables (`amd-v2`) are first stages; those of one requester share its domain, host table and number of
	 * levels, and PASID 0 is that of requests without one.
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
	invalidate(request: Invalidation | DeviceTlbInvalidation): void {
		if (request.scope === "device-tlb") {
			const { rid = EVERY_DEVICE, pasid = NO_PASID, address, mask = 0 } = request;
			const size = address === undefined ? 1n << 64n : 4096n << BigInt(mask);
			const first = (address ?? 0n) & ~(size - 1n);
			const last = first + size - 1n;
			this.exports.invalidateDevice(this.record, rid, pasid === "all" ? EVERY_PASID : pasid, low(first), high(first), low(last), high(last));
			return;
		}
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
		return this.countersAt(this.exports.cachePointer(this.record, kind) >>> 0);
	}

	private deviceTlbCounters(): CacheCounters {
		const sum = { ...NO_COUNTERS };
		for (let index = 0; ; index++) {
			const pointer = this.exports.deviceTlb(this.record, index) >>> 0;
			if (pointer === 0) return sum;
			const one = this.countersAt(pointer);
			for (const name of Object.keys(sum) as Array<keyof CacheCounters>) sum[name] += one[name];
		}
	}

	private countersAt(pointer: number): CacheCounters {
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
			deviceTlb: this.deviceTlbCounters(),
			pageRequests: { queued: Number(view.getBigUint64(this.ats + ATS_QUEUED, true)), lost: Number(view.getBigUint64(this.ats + ATS_LOST, true)) },
			context: this.cacheCounters(CACHE_CONTEXT),
			pasid: this.cacheCounters(CACHE_PASID),
			walkFirst: walks(CACHE_WALK_FIRST),
			walkSecond: walks(CACHE_WALK_SECOND),
			second: this.cacheCounters(CACHE_SECOND),
			references: { first: levels(0), second: levels(1), tables: levels(2) },
		};
	}
}
