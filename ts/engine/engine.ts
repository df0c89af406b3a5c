import { FRAME_BYTES, SPARSE_SLOT_BYTES, TABLE_BYTES, UNIT_PAGE_LOW8, UNIT_SOURCE_TAG } from "../../assembly/layout.ts";
import { ARCHITECTURES } from "./architecture.ts";
import { EngineError } from "./errors.ts";
import { fillMemory, imageOf, readImage, regionsOf, writeImage } from "./image.ts";
import { type EngineExports, engineModule, instantiate } from "./instantiate.ts";
import { PageTable } from "./page-table.ts";
import type { PageTableConfig } from "./page-table-config.ts";
import { HostRegions, PhysicalMemory } from "./physical-memory.ts";
import { type EngineConfig, type EnginePlan, largestKnob, planEngine, type RegionConfig } from "./plan.ts";
import { EventRun, type RunDevice } from "./run.ts";
import { Unit } from "./unit.ts";
import { Views } from "./views.ts";

const PAGE = 65536;

export interface EngineOptions {
	/** the engine's code, compiled elsewhere: `engineModule()` of another thread, `ioasid/url`, `ioasid/engine.debug.wasm` (which keeps names) */
	module?: WebAssembly.Module;
}

/** One physical memory and N IOMMU units. Engines share nothing. */
export class Engine {
	/** Where everything lies; `plan.bytes` is what the engine takes. */
	readonly plan: EnginePlan;
	readonly memory: PhysicalMemory;
	readonly units: readonly Unit[];
	/** the linear memory: the host's own, or one of the engine's */
	readonly wasmMemory: WebAssembly.Memory;
	private readonly exports: EngineExports;
	private readonly views: Views;
	private readonly base: number;
	private readonly freeTables: number[];
	private open = true;

	/**
	 * @throws EngineError BadConfig (names the knob); OutOfMemory when the memory cannot be had or the host's is too small
	 */
	static create(config: EngineConfig = {}, options: EngineOptions = {}): Engine {
		return new Engine(config, options);
	}

	private constructor(
		private readonly config: EngineConfig,
		options: EngineOptions,
	) {
		const plan = planEngine(config);
		this.plan = plan;
		this.base = config.host ? Math.ceil(config.host.offset / 4096) * 4096 : 4096;
		this.wasmMemory = config.host?.memory ?? ownMemory(this.base, plan);
		const room = this.wasmMemory.buffer.byteLength - this.base;
		if (room < plan.bytes) {
			const largest = largestKnob(plan.parts);
			throw new EngineError("OutOfMemory", `the engine takes ${plan.bytes} bytes from offset ${this.base}, the memory has ${room} there; ${largest.bytes} are for ${largest.knob}`, {
				operation: "Engine.create",
				knob: largest.knob,
			});
		}
		this.views = new Views(this.wasmMemory);
		this.views.bytes().fill(0, this.base, this.base + plan.bytes);
		const host = new HostRegions(this.wasmMemory);
		const e = instantiate(options.module ?? engineModule(), this.wasmMemory, host);
		this.exports = e;
		const at = (offset: number) => this.base + offset;
		const context = at(plan.engine);
		e.openEngine(
			context,
			at(plan.regions),
			at(plan.scratch),
			at(plan.result),
			at(plan.silent),
			Number(plan.frameBase & 0xffffffffn),
			Number(plan.frameBase >> 32n),
			at(plan.frames),
			plan.frameCount,
			at(plan.frameMeta),
			at(plan.sparseSlots),
			plan.sparseSlotCount,
			at(plan.sparsePool),
			plan.sparsePages,
		);
		const frames = { first: plan.frameBase, last: plan.frameBase + BigInt(plan.frameCount) * 4096n - 1n };
		if (plan.frameBase & 0xffffn || plan.frameBase < 0n || frames.last >= 1n << 64n) {
			throw new EngineError("BadConfig", "table frames must start at a multiple of 64 KiB below 2^64", { operation: "Engine.create", knob: "tables.base" });
		}
		this.memory = new PhysicalMemory(e, this.views, host, context, at(plan.regions), plan.regionCount, at(plan.scratch), frames);
		(config.memory ?? []).forEach((region, i) => {
			this.memory.addRegion(region, plan.owned[i] < 0 ? -1 : at(plan.owned[i]));
		});
		this.units = (config.units ?? []).map((unit, index) => {
			const planned = plan.units[index];
			const architecture = ARCHITECTURES[unit.architecture];
			const record = at(planned.record);
			const flags = (unit.quirks?.sourceTag ? UNIT_SOURCE_TAG : 0) | (unit.quirks?.pageLow8 ? UNIT_PAGE_LOW8 : 0);
			e.openUnit(
				context,
				record,
				index,
				architecture.code,
				flags,
				at(planned.faultRing),
				planned.faultRecords,
				at(planned.contextValues),
				at(planned.pasidValues),
				at(planned.scratchDevice),
				at(planned.scratchRoute),
			);
			for (const { kind, record: cacheRecord, entries, cache } of planned.caches) {
				e.openCache(record, kind, at(cacheRecord), cache.sets, cache.ways, cache.policy, cache.seed, at(entries), cache.buckets);
			}
			e.openAts(record, at(planned.ats), at(planned.deviceSlots), planned.deviceTlbs.length, at(planned.requestRing), planned.pageRequests, at(planned.groups));
			planned.deviceTlbs.forEach(({ record: cacheRecord, entries, cache }, slot) => {
				e.openDeviceTlb(record, slot, at(cacheRecord), cache.sets, cache.ways, cache.policy, cache.seed, at(entries), cache.buckets);
			});
			const made = new Unit({
				exports: e,
				views: this.views,
				context,
				result: at(plan.result),
				index,
				record,
				architecture: unit.architecture,
				ats: at(planned.ats),
				batchColumns: { offset: at(plan.batch), capacity: plan.batchCapacity },
				trace: at(plan.trace),
				memory: this.memory,
			});
			for (const [name, value] of Object.entries({ ...architecture.defaults, ...unit.registers })) made.writeRegister(name, value);
			return made;
		});
		this.freeTables = Array.from({ length: plan.tableCount }, (_, i) => at(plan.tableRecords) + (plan.tableCount - 1 - i) * TABLE_BYTES);
	}

	private check(operation: string): void {
		if (!this.open) throw new EngineError("Disposed", "the engine is gone", { operation });
	}

	/** Make an empty page table in frames of the engine. @throws EngineError BadConfig, OutOfFrames, OutOfRecords */
	createTable(config: PageTableConfig): PageTable {
		this.check("Engine.createTable");
		const record = this.freeTables.pop();
		if (record === undefined) throw new EngineError("OutOfRecords", "no table record is left", { operation: "Engine.createTable", knob: "tables.count" });
		return new PageTable(this.exports, this.views, this.base + this.plan.engine, this.base + this.plan.scratch, record, config, (freed) => this.freeTables.push(freed));
	}

	/** Prepare a run of recorded events on a unit (knob `run`). @throws EngineError OutOfRecords */
	createRun(unit: Unit, devices: readonly RunDevice[]): EventRun {
		this.check("Engine.createRun");
		const { plan, base } = this;
		if (devices.length > plan.runDeviceCount) {
			throw new EngineError("OutOfRecords", `${devices.length} devices, the run holds ${plan.runDeviceCount}`, { operation: "Engine.createRun", knob: "run.devices" });
		}
		return new EventRun(this.exports, this.views, base + plan.engine, { offset: base + plan.run, capacity: plan.runEvents, costs: base + plan.runCosts }, { offset: base + plan.runDevices, capacity: plan.runDeviceCount }, unit, devices);
	}

	/** 4 KiB frames that kernel-built tables hold now. */
	get framesUsed(): number {
		return this.exports.framesUsed(this.base + this.plan.engine);
	}

	/** A zeroed block of 2^order table frames, for device tables that the host writes by itself. @throws EngineError OutOfFrames */
	takeFrames(order: number): bigint {
		const address = BigInt.asUintN(64, this.exports.takeFrames(this.base + this.plan.engine, order));
		if (address === (1n << 64n) - 1n) throw new EngineError("OutOfFrames", `no block of ${2 ** order} frames is left`, { operation: "Engine.takeFrames", knob: "tables.frames" });
		return address;
	}

	/**
	 * The machine as it stands, as an image file (image.ts has its layout): memory that is not zero, the frames of
	 * kernel-built tables, registers and cache geometry of every unit. What caches hold is left out. Bytes of `host`
	 * regions are the host's: name the 4 KiB pages that translations need in `hostPages`.
	 * @throws EngineError Unsupported when there is a host region and no `hostPages`; MemoryFault
	 */
	saveImage(options: { hostPages?: Iterable<bigint> } = {}): Uint8Array {
		this.check("Engine.saveImage");
		const units = (this.config.units ?? []).map((unit, i) => ({
			...unit,
			registers: Object.fromEntries(Object.keys(ARCHITECTURES[unit.architecture].registers).map((name) => [name, this.units[i].readRegister(name)])),
		}));
		const { plan } = this;
		const view = this.views.data();
		const sparse: bigint[] = [];
		for (let i = 0; i < plan.sparseSlotCount; i++) {
			const page = view.getBigUint64(this.base + plan.sparseSlots + i * SPARSE_SLOT_BYTES, true);
			if (page !== 0n) sparse.push((page - 1n) << 12n);
		}
		const frames: RegionConfig = { kind: "owned", start: plan.frameBase, size: plan.frameCount * FRAME_BYTES };
		return writeImage(imageOf([...this.memory.list(), frames], units, sparse, options.hostPages, (address, bytes) => this.memory.read(address, bytes)));
	}

	/**
	 * An engine that translates as the one that was saved, with cold caches. Its memory is sparse; tables cannot be edited
	 * as objects. `bytes` are not compressed.
	 * @throws EngineError BadConfig, saying what is wrong with the file; OutOfMemory
	 */
	static loadImage(bytes: Uint8Array, options: EngineOptions = {}): Engine {
		const image = readImage(bytes);
		const { memory, framesAt } = regionsOf(image);
		// a few more for updates of pages that are all zero
		const engine = Engine.create({ memory, sparsePages: image.pages.length + 64, tables: { frames: 1, count: 1, base: framesAt }, units: image.units }, options);
		fillMemory(image, engine.memory);
		return engine;
	}

	/** Return a block of takeFrames. */
	giveFrames(address: bigint, order: number): void {
		this.exports.giveFrames(this.base + this.plan.engine, Number(address & 0xffffffffn), Number(address >> 32n), order);
	}

	/**
	 * Refuse the n-th allocation from now, counting from 1; 0: none. Table frames count (a block as its frames; those that
	 * are given back meanwhile do not), and whatever `refuses` is asked about, in the order in which they come. An edit that
	 * would come to it is refused as a whole.
	 */
	failAfter(n: number): void {
		this.exports.failAfter(this.base + this.plan.engine, n);
	}

	/** Allocations since `failAfter` was called last. */
	get allocations(): number {
		return this.exports.allocations(this.base + this.plan.engine);
	}

	/** Allocations until the one that is refused; 0: none will be. */
	get failsIn(): number {
		return this.exports.failsIn(this.base + this.plan.engine);
	}

	/** The host allocates something of its own: true when that is the one to refuse. */
	refuses(): boolean {
		return this.exports.refuses(this.base + this.plan.engine) !== 0;
	}

	/** The engine may not be used any more; a host's memory is left as it is. */
	dispose(): void {
		this.open = false;
	}
}

function ownMemory(base: number, plan: EnginePlan): WebAssembly.Memory {
	const pages = Math.ceil((base + plan.bytes) / PAGE);
	try {
		return new WebAssembly.Memory({ initial: pages });
	} catch (cause) {
		const largest = largestKnob(plan.parts);
		const error = new EngineError("OutOfMemory", `${pages * PAGE} bytes cannot be had; ${largest.bytes} are for ${largest.knob}`, { operation: "Engine.create", knob: largest.knob });
		error.cause = cause;
		throw error;
	}
}
