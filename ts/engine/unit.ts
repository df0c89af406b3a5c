import { EVERY_DEVICE, EVERY_PASID, FAULT_SLOT_BYTES, NO_PASID, RESULT_FAULT, RESULT_PA, STATUS_CROSSES } from "../../assembly/layout.ts";
import type { ArchitectureName } from "./architecture.ts";
import { type BatchColumns, batch, batchBuffers } from "./batch.ts";
import { type CommandAnswer, doCommand, processQueue, type QueueAnswer } from "./commands.ts";
import { readCounters, type UnitCounters } from "./counters.ts";
import { EngineError } from "./errors.ts";
import type { Explanation } from "./explain.ts";
import { explainRequest } from "./explain-request.ts";
import { decodeInvalidation, type DeviceTlbInvalidation, type Invalidation } from "./invalidation.ts";
import { type GroupResponse, respond, takePageRequest } from "./page-requests.ts";
import { readRegister, writeRegister } from "./registers.ts";
import { accessBits, type TranslateOptions } from "./request.ts";
import { type RouteConfig, setRoute } from "./route.ts";
import { readGroup, readTranslation, type Translation } from "./translation.ts";
import { high, low, type UnitRecord } from "./unit-record.ts";

/** One IOMMU unit of an engine. */
export class Unit {
	readonly index: number;
	/** address of the unit's record in linear memory */
	readonly record: number;
	readonly architecture: ArchitectureName;

	/** @internal */
	constructor(private readonly unit: UnitRecord) {
		this.index = unit.index;
		this.record = unit.record;
		this.architecture = unit.architecture;
	}

	/** Write a register by its specification name. @throws EngineError BadConfig for an unknown name */
	writeRegister(name: string, value: bigint): void {
		writeRegister(this.unit, name, value);
	}

	/** @throws EngineError BadConfig for an unknown name */
	readRegister(name: string): bigint {
		return readRegister(this.unit, name);
	}

	/**
	 * Translate without allocating: 0 translated, 1 fault, 2 page request, 3 interrupt. `access` is ACCESS_* bits; the
	 * answer stands in `lastPaLow`, `lastPaHigh` and `lastFault` until the next request to the engine.
	 */
	translate32(rid: number, pasid: number, addressHigh: number, addressLow: number, access: number): number {
		const { exports, context, record } = this.unit;
		return exports.translate(context, record, rid, pasid, addressLow, addressHigh, access);
	}

	get lastPaLow(): number {
		return this.unit.views.data().getUint32(this.unit.result + RESULT_PA, true);
	}

	get lastPaHigh(): number {
		return this.unit.views.data().getUint32(this.unit.result + RESULT_PA + 4, true);
	}

	get lastFault(): number {
		return this.unit.views.data().getUint32(this.unit.result + RESULT_FAULT, true);
	}

	/** Group of the last answer `page-request`; null when the hardware answered by itself. */
	get lastGroup(): number | null {
		return readGroup(this.unit.views.data(), this.unit.result);
	}

	/** Translate one request of requester `rid`. Never throws for what a device or a table does: see `status`. */
	translate(rid: number, address: bigint, options: TranslateOptions = {}): Translation {
		const { pasid = NO_PASID, length = 1, type = "untranslated" } = options;
		if (address < 0n || address >= 1n << 64n) {
			throw new EngineError("OutOfRange", "an address has 64 bits", { operation: "Unit.translate", object: `unit ${this.index}`, first: address, last: address });
		}
		const { exports, views, context, result, record } = this.unit;
		const crosses = (address & 0xfffn) + BigInt(length) > 0x1000n;
		const status = crosses ? STATUS_CROSSES : exports.translate64(context, record, rid, pasid, BigInt.asIntN(64, address), accessBits(options));
		return readTranslation(views.data(), result, status, type);
	}

	/**
	 * Translate as `translate` does, with all that it does to caches, counters, A and D bits and the fault ring, and tell
	 * every step of it: memory references in order, which cache answered, and what decided a fault.
	 * @throws EngineError OutOfRange
	 */
	explain(rid: number, address: bigint, options: TranslateOptions = {}): Explanation<Translation> {
		return explainRequest(this.unit, rid, address, options);
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
	batchBuffers(): BatchColumns {
		return batchBuffers(this.unit);
	}

	/**
	 * Translate the first `count` requests of the batch buffer; returns how many were not translated.
	 * @throws EngineError OutOfRange
	 */
	batch(count: number): number {
		return batch(this.unit, count);
	}

	/**
	 * Write the device-table words of a requester's route, or of the route of one of its PASIDs. Cached entries stay until
	 * invalidated. VT-d: first stages, nested routes and PASIDs want scalable mode (RTADDR 11:10 = 01b).
	 * AMD-Vi: guest tables (`amd-v2`) are first stages; those of one requester share its domain, host table and number of
	 * levels, and PASID 0 is that of requests without one.
	 * @throws EngineError OutOfFrames, Unsupported when the unit (its mode, its capabilities) has no such route
	 */
	setRoute(rid: number, route: RouteConfig): void {
		setRoute(this.unit, rid, route);
	}

	/** Drop cached answers. `caches` defaults to all that the scope names. */
	invalidate(request: Invalidation | DeviceTlbInvalidation): void {
		const { exports, record } = this.unit;
		if (request.scope === "device-tlb") {
			const { rid = EVERY_DEVICE, pasid = NO_PASID, address, mask = 0 } = request;
			const size = address === undefined ? 1n << 64n : 4096n << BigInt(mask);
			const first = (address ?? 0n) & ~(size - 1n);
			const last = first + size - 1n;
			exports.invalidateDevice(record, rid, pasid === "all" ? EVERY_PASID : pasid, low(first), high(first), low(last), high(last));
			return;
		}
		const { caches, scope, domain, pasid, rid, first, last } = decodeInvalidation(request);
		exports.invalidate(record, caches, scope, domain, pasid, rid, low(first), high(first), low(last), high(last));
	}

	/**
	 * Do one raw command of the architecture's queue (VT-d descriptors of 16 or 32 bytes, the others 16), for a host that
	 * emulates the queue itself. @throws EngineError BadConfig for another length
	 */
	command(bytes: Uint8Array): CommandAnswer {
		return doCommand(this.unit, bytes);
	}

	/**
	 * Take commands from the queue in memory, by the unit's own head, tail and base registers, and make the writes that
	 * they ask for; at most `most` of them. @throws EngineError OutOfRange
	 */
	processQueue(most = 65_536): QueueAnswer {
		return processQueue(this.unit, most);
	}

	/** Take the oldest page request off the queue: the architecture's own record, zero padded; null when there is none. */
	takePageRequest(): Uint8Array | null {
		return takePageRequest(this.unit);
	}

	/**
	 * Answer a page request group of a requester; the device then makes its request again. After another response than
	 * `success` its next request for a page of the group is a fault. @throws EngineError OutOfRange when no such group waits
	 */
	respond(rid: number, group: number, response: GroupResponse, pasid = NO_PASID): void {
		respond(this.unit, rid, group, response, pasid);
	}

	/** Take the oldest fault record off the ring: the architecture's own bytes, zero padded; null when there is none. */
	takeFault(): Uint8Array | null {
		const { exports, views, record } = this.unit;
		const pointer = exports.nextFault(record) >>> 0;
		return pointer === 0 ? null : views.bytes().slice(pointer, pointer + FAULT_SLOT_BYTES);
	}

	/** All counters since the engine was made. */
	counters(): UnitCounters {
		return readCounters(this.unit);
	}
}
