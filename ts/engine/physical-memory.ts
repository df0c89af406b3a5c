import {
	MEMORY_NO_PAGE,
	MEMORY_OK,
	MEMORY_POISON,
	MEMORY_READ_ONLY,
	REGION_BYTES,
	REGION_FLAGS,
	REGION_HOST,
	REGION_INDEX,
	REGION_KIND,
	REGION_LAST,
	REGION_LINEAR,
	REGION_POINTER,
	REGION_POISON,
	REGION_SPARSE,
	REGION_START,
	REGION_WRITABLE,
} from "../../assembly/layout.ts";
import { EngineError, type EngineErrorContext } from "./errors.ts";
import type { EngineExports, HostImports } from "./instantiate.ts";
import type { HostMemory, RegionConfig } from "./plan.ts";
import type { Views } from "./views.ts";

const WORD = 0xffffffffn;
const low = (value: bigint) => Number(value & WORD);
const high = (value: bigint) => Number(value >> 32n);

const KINDS = { owned: REGION_LINEAR, buffer: REGION_LINEAR, sparse: REGION_SPARSE, host: REGION_HOST } as const;

function refusalName(code: number): NonNullable<EngineErrorContext["refusal"]> {
	if (code === MEMORY_POISON) return "poison";
	if (code === MEMORY_READ_ONLY) return "read-only";
	return code === MEMORY_NO_PAGE ? "no-page" : "absent";
}

/** A region as it stands; `pointer` is its byte offset in linear memory, when it has one. */
interface Region {
	start: bigint;
	last: bigint;
	config: RegionConfig;
	pointer: number;
}

/** Callbacks of `host` regions, by the index that the engine knows them by. */
export class HostRegions implements HostImports {
	private readonly memories: HostMemory[] = [];
	private view = new DataView(new ArrayBuffer(8));

	constructor(private readonly memory: WebAssembly.Memory) {
		this.hostRead = this.hostRead.bind(this);
		this.hostWrite = this.hostWrite.bind(this);
	}

	add(memory: HostMemory): number {
		return this.memories.push(memory) - 1;
	}

	private fresh(): DataView {
		if (this.view.buffer !== this.memory.buffer) this.view = new DataView(this.memory.buffer);
		return this.view;
	}

	hostRead(region: number, addressLow: number, addressHigh: number, bytes: number, scratch: number): number {
		const value = this.memories[region].read((BigInt(addressHigh >>> 0) << 32n) | BigInt(addressLow >>> 0), bytes);
		if (value === undefined) return 1;
		if (value === "poison") return MEMORY_POISON;
		this.fresh().setBigUint64(scratch >>> 0, value, true);
		return MEMORY_OK;
	}

	hostWrite(region: number, addressLow: number, addressHigh: number, bytes: number, scratch: number): number {
		const value = this.fresh().getBigUint64(scratch >>> 0, true) & ((1n << BigInt(8 * bytes)) - 1n);
		const done = this.memories[region].write((BigInt(addressHigh >>> 0) << 32n) | BigInt(addressLow >>> 0), bytes, value);
		return done ? MEMORY_OK : MEMORY_READ_ONLY;
	}
}

/** Physical memory of an engine: its regions, and the bytes in them. Addresses are physical, up to 2^64 - 1. */
export class PhysicalMemory {
	private readonly regions: Region[] = [];

	/** @internal */
	constructor(
		private readonly exports: EngineExports,
		private readonly views: Views,
		private readonly host: HostRegions,
		private readonly context: number,
		private readonly records: number,
		private readonly capacity: number,
		private readonly scratch: number,
		private readonly frames: { first: bigint; last: bigint },
	) {}

	/**
	 * Add a region. `pointer` is for `owned` regions, which only `Engine.create` makes.
	 * @throws EngineError Misaligned, Occupied (another region or the table frames are there), OutOfRecords (knob `regions`)
	 */
	addRegion(config: RegionConfig, pointer = -1): void {
		const start = config.start;
		const size = BigInt(config.size);
		const last = start + size - 1n;
		const context = { operation: "PhysicalMemory.addRegion", object: `${config.kind} region`, first: start, last };
		if (start < 0n || size <= 0n || last >= 1n << 64n) throw new EngineError("OutOfRange", "a region must have bytes, below 2^64", context);
		if ((start | size) & 7n) throw new EngineError("Misaligned", "start and size must be multiples of 8", context);
		if (start <= this.frames.last && last >= this.frames.first) {
			throw new EngineError("Occupied", "frames of kernel-built tables lie there", { ...context, knob: "tables.base" });
		}
		for (const other of this.regions) {
			if (start <= other.last && last >= other.start) {
				throw new EngineError("Occupied", `region 0x${other.start.toString(16)} lies there`, context);
			}
		}
		if (this.regions.length === this.capacity) throw new EngineError("OutOfRecords", "no region record is left", { ...context, knob: "regions" });
		if (config.kind === "owned" && pointer < 0) throw new EngineError("Unsupported", "owned regions are made with the engine", context);
		if (config.kind === "buffer") {
			pointer = config.offset;
			if (!Number.isSafeInteger(pointer) || pointer < 0 || BigInt(pointer) + size > BigInt(this.views.byteLength())) {
				throw new EngineError("OutOfRange", "the region leaves the WebAssembly.Memory", { ...context, knob: "offset" });
			}
		}
		this.regions.push({ start, last, config, pointer: Math.max(pointer, 0) });
		this.regions.sort((a, b) => (a.start < b.start ? -1 : 1));
		this.write();
	}

	/** Remove the region that starts at `start`. @throws EngineError OutOfRange */
	removeRegion(start: bigint): void {
		const index = this.regions.findIndex((region) => region.start === start);
		if (index < 0) throw new EngineError("OutOfRange", "no region starts there", { operation: "PhysicalMemory.removeRegion", first: start, last: start });
		this.regions.splice(index, 1);
		this.write();
	}

	/** Regions as they stand, by address. */
	list(): RegionConfig[] {
		return this.regions.map(({ config }) => config);
	}

	private readonly hostIndex = new Map<RegionConfig, number>();

	private write(): void {
		const view = this.views.data();
		this.regions.forEach((region, i) => {
			const at = this.records + i * REGION_BYTES;
			const { config } = region;
			let index = 0;
			if (config.kind === "host") {
				index = this.hostIndex.get(config) ?? this.host.add(config.memory);
				this.hostIndex.set(config, index);
			}
			view.setBigUint64(at + REGION_START, region.start, true);
			view.setBigUint64(at + REGION_LAST, region.last, true);
			view.setUint32(at + REGION_KIND, KINDS[config.kind], true);
			view.setUint32(at + REGION_FLAGS, (config.writable === false ? 0 : REGION_WRITABLE) | (config.poison ? REGION_POISON : 0), true);
			view.setUint32(at + REGION_POINTER, region.pointer, true);
			view.setUint32(at + REGION_INDEX, index, true);
		});
		this.exports.setRegions(this.context, this.regions.length);
	}

	/** Copy bytes out. @throws EngineError MemoryFault at the first byte that cannot be read */
	read(address: bigint, length: number): Uint8Array {
		const out = new Uint8Array(length);
		this.each("PhysicalMemory.read", address, length, false, (pointer, at, bytes) => out.set(this.views.bytes().subarray(pointer, pointer + bytes), at), (memory, where, at) => {
			const value = memory.read(where, 1);
			if (value === undefined || value === "poison") return false;
			out[at] = Number(value & 0xffn);
			return true;
		});
		return out;
	}

	/** Copy bytes in. What precedes the first byte that cannot be written stays written. @throws EngineError MemoryFault */
	writeBytes(address: bigint, data: Uint8Array): void {
		this.each("PhysicalMemory.writeBytes", address, data.length, true, (pointer, at, bytes) => this.views.bytes().set(data.subarray(at, at + bytes), pointer), (memory, where, at) => memory.write(where, 1, BigInt(data[at])));
	}

	/** Little-endian 64-bit word at an 8-byte aligned address. @throws EngineError MemoryFault */
	read64(address: bigint): bigint {
		return new DataView(this.read(address, 8).buffer).getBigUint64(0, true);
	}

	/** @throws EngineError MemoryFault */
	write64(address: bigint, value: bigint): void {
		const code = this.exports.memoryStore(this.context, low(address), high(address), 8, low(value), high(value));
		if (code !== MEMORY_OK) this.fault("PhysicalMemory.write64", address, address + 7n, code);
	}

	private fault(operation: string, first: bigint, last: bigint, code: number): never {
		const refusal = refusalName(code);
		throw new EngineError("MemoryFault", `memory is ${refusal}`, { operation, first, last, refusal, ...(refusal === "no-page" ? { knob: "sparsePages" } : {}) });
	}

	private each(
		operation: string,
		address: bigint,
		length: number,
		writing: boolean,
		linear: (pointer: number, at: number, bytes: number) => void,
		host: (memory: HostMemory, address: bigint, at: number) => boolean,
	): void {
		let at = 0;
		while (at < length) {
			const here = address + BigInt(at);
			const pointer = this.exports.memorySpan(this.context, low(here), high(here), writing ? 1 : 0) >>> 0;
			if (pointer === 0) {
				const why = this.exports.memoryRefusal(this.context);
				const region = why === MEMORY_OK ? this.regions.find((r) => here >= r.start && here <= r.last) : undefined;
				if (region === undefined || region.config.kind !== "host") this.fault(operation, here, address + BigInt(length) - 1n, why);
				else if (!host(region.config.memory, here, at)) this.fault(operation, here, address + BigInt(length) - 1n, 1);
				at += 1;
				continue;
			}
			const rest = this.views.data().getBigUint64(this.scratch + 8, true);
			const bytes = rest > BigInt(length - at) ? length - at : Number(rest);
			linear(pointer, at, bytes);
			at += bytes;
		}
	}
}
