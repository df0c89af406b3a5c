/** The only module that knows the loader, and where the engine's bytes come from. */
import { type ASUtil, instantiateSync } from "@assemblyscript/loader";
import { release } from "./bytes.generated.ts";

/** The engine's exports (assembly/index.ts); every number is an unsigned 32-bit word unless bigint. */
export interface EngineExports extends Record<string, unknown> {
	openEngine(...words: number[]): void;
	setRegions(context: number, count: number): void;
	openUnit(...words: number[]): void;
	openCache(...words: number[]): void;
	openAts(...words: number[]): void;
	openDeviceTlb(...words: number[]): void;
	deviceTlb(unit: number, index: number): number;
	cachePointer(unit: number, kind: number): number;
	writeRegister(unit: number, index: number, low: number, high: number): void;
	readRegister(unit: number, index: number): bigint;
	memorySpan(context: number, low: number, high: number, writing: number): number;
	memoryRefusal(context: number): number;
	memoryStore(context: number, low: number, high: number, bytes: number, valueLow: number, valueHigh: number): number;
	framesUsed(context: number): number;
	takeFrames(context: number, order: number): bigint;
	giveFrames(context: number, low: number, high: number, order: number): void;
	sparsePagesUsed(context: number): number;
	failAfter(context: number, after: number): void;
	allocations(context: number): number;
	failsIn(context: number): number;
	refuses(context: number): number;
	openTable(context: number, table: number): number;
	closeTable(context: number, table: number): number;
	mapPages(...words: number[]): number;
	unmapPages(...words: number[]): number;
	protectPages(...words: number[]): number;
	splitPages(...words: number[]): number;
	readDirty(...words: number[]): number;
	lookUp(context: number, table: number, low: number, high: number, access: number): number;
	tableMapped(table: number): bigint;
	translate(context: number, unit: number, rid: number, pasid: number, low: number, high: number, access: number): number;
	translate64(context: number, unit: number, rid: number, pasid: number, address: bigint, access: number): number;
	explain(...words: number[]): number;
	classify(context: number, geometry: number, level: number, low: number, high: number): number;
	batch(context: number, unit: number, columns: number, capacity: number, count: number): number;
	run(...words: number[]): number;
	invalidate(...words: number[]): void;
	invalidateDevice(...words: number[]): void;
	nextPageRequest(unit: number): number;
	respond(unit: number, rid: number, pasid: number, group: number, code: number): number;
	command(...words: number[]): number;
	processQueue(context: number, unit: number, bound: number): number;
	setRoute(context: number, unit: number, rid: number, pasid: number, type: number, domain: number, first: number, second: number): number;
	nextFault(unit: number): number;
}

export interface HostImports {
	hostRead(region: number, addressLow: number, addressHigh: number, bytes: number, scratch: number): number;
	hostWrite(region: number, addressLow: number, addressHigh: number, bytes: number, scratch: number): number;
}

let compiled: WebAssembly.Module | undefined;

/** The engine's code, compiled once. Can be posted to workers and given to `Engine.create` there. */
export function engineModule(): WebAssembly.Module {
	if (compiled === undefined) {
		const text = atob(release);
		const bytes = new Uint8Array(text.length);
		for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
		compiled = new WebAssembly.Module(bytes);
	}
	return compiled;
}

export function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory, host: HostImports): EngineExports {
	const imports = { env: { memory, hostRead: host.hostRead, hostWrite: host.hostWrite } };
	return instantiateSync<EngineExports>(module, imports as unknown as Parameters<typeof instantiateSync>[1]).exports as EngineExports & ASUtil;
}
