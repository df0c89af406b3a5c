/**
 * A saved machine: what is needed to translate again as it did, cold. Layout of version 1, all of it optionally gzipped:
 *
 * - one line of JSON, ended by a line feed:
 *   `{ "format": "ioasid-image", "version": 1, "regions": [...], "units": [...], "pages": [...] }`
 *   - regions: `{ "start": "0x...", "size": "0x...", "writable": false?, "poison": true? }`, bytes of physical memory;
 *     what no page gives is zero
 *   - units: `{ "architecture", "registers": { NAME: "0x..." }, "iotlb", "walkCache", "contextCache", "pasidCache":
 *     { "sets", "ways", "replacement"?, "seed"? } or false or absent (the default), "quirks"?, "faultRecords"? }`
 *   - pages: `["0x...", count]`, runs of 4 KiB pages by their first address
 * - the bytes of those pages, one run after another.
 *
 * Addresses and register values are hexadecimal strings, since JSON numbers end at 2^53. Contents of caches and fault
 * rings, and page tables as objects that can be edited, are not kept.
 */
import { ARCHITECTURES } from "./architecture.ts";
import { EngineError } from "./errors.ts";
import type { PhysicalMemory } from "./physical-memory.ts";
import type { RegionConfig, UnitConfig } from "./plan.ts";

export const IMAGE_PAGE = 4096;
const PAGE = BigInt(IMAGE_PAGE);
const NAME = "ioasid-image";
const VERSION = 1;

/** What an image holds. */
export interface MachineImage {
	regions: Array<{ start: bigint; size: bigint; writable?: boolean; poison?: boolean }>;
	units: UnitConfig[];
	/** by address, ascending, each of 4096 bytes */
	pages: Array<{ address: bigint; bytes: Uint8Array }>;
}

const hex = (value: bigint) => `0x${value.toString(16)}`;

/** @returns the bytes of an image file, not compressed */
export function writeImage(image: MachineImage): Uint8Array {
	const runs: Array<[string, number]> = [];
	let next = -1n;
	for (const { address } of image.pages) {
		if (address === next) runs[runs.length - 1][1] += 1;
		else runs.push([hex(address), 1]);
		next = address + PAGE;
	}
	const header = {
		format: NAME,
		version: VERSION,
		regions: image.regions.map(({ start, size, writable, poison }) => ({ start: hex(start), size: hex(size), ...(writable === false ? { writable } : {}), ...(poison ? { poison } : {}) })),
		units: image.units.map((unit) => ({ ...unit, registers: Object.fromEntries(Object.entries(unit.registers ?? {}).map(([name, value]) => [name, hex(value)])) })),
		pages: runs,
	};
	const line = new TextEncoder().encode(`${JSON.stringify(header)}\n`);
	const bytes = new Uint8Array(line.length + image.pages.length * IMAGE_PAGE);
	bytes.set(line);
	for (const [i, page] of image.pages.entries()) bytes.set(page.bytes, line.length + i * IMAGE_PAGE);
	return bytes;
}

/** The bytes are an image, not compressed (of whatever version). */
export function isImage(bytes: Uint8Array): boolean {
	return new TextDecoder().decode(bytes.subarray(0, 64)).includes(`"format":"${NAME}"`);
}

function bad(what: string): never {
	throw new EngineError("BadConfig", what, { operation: "Engine.loadImage", object: "image" });
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

function address(value: unknown, what: string): bigint {
	if (typeof value !== "string" || !/^0x[0-9a-f]{1,16}$/i.test(value)) bad(`${what} is no hexadecimal string of 64 bits`);
	return BigInt(value as string);
}

function list(value: unknown, what: string): unknown[] {
	if (!Array.isArray(value)) bad(`${what} is no list`);
	return value as unknown[];
}

function unitOf(value: unknown, i: number): UnitConfig {
	if (!isObject(value) || typeof value.architecture !== "string" || !Object.hasOwn(ARCHITECTURES, value.architecture)) return bad(`units[${i}] has no known architecture`);
	const registers = isObject(value.registers) ? value.registers : {};
	return { ...(value as unknown as UnitConfig), registers: Object.fromEntries(Object.entries(registers).map(([name, text]) => [name, address(text, `register ${name}`)])) };
}

/** @throws EngineError BadConfig, saying what is wrong with the file */
export function readImage(bytes: Uint8Array): MachineImage {
	const end = bytes.indexOf(10);
	let header: unknown;
	try {
		header = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end < 0 ? 0 : end)));
	} catch {
		bad("it does not start with a line of JSON");
	}
	if (!isObject(header) || header.format !== NAME) return bad(`it is no ${NAME}`);
	if (header.version !== VERSION) bad(`version ${String(header.version)} is not ${VERSION}`);
	const regions = list(header.regions, "regions").map((one, i) => {
		if (!isObject(one)) return bad(`regions[${i}] is no object`);
		return { start: address(one.start, `regions[${i}].start`), size: address(one.size, `regions[${i}].size`), writable: one.writable !== false, poison: one.poison === true };
	});
	const pages: MachineImage["pages"] = [];
	let at = end + 1;
	for (const run of list(header.pages, "pages")) {
		const [start, count] = Array.isArray(run) ? run : [];
		const first = address(start, "the address of a run of pages");
		if (!Number.isInteger(count) || count < 1 || at + count * IMAGE_PAGE > bytes.length) bad(`the pages at ${hex(first)} are not all there`);
		for (let i = 0; i < count; i++, at += IMAGE_PAGE) pages.push({ address: first + BigInt(i) * PAGE, bytes: bytes.subarray(at, at + IMAGE_PAGE) });
	}
	if (at !== bytes.length) bad(`${bytes.length - at} bytes follow the last page`);
	return { regions, units: list(header.units, "units").map(unitOf), pages };
}

/**
 * The image of regions: of sparse ones the pages in `sparse`, of host ones those in `hostPages`, of others all that are
 * not zero. Poisoned bytes cannot be read, and are left out.
 * @throws EngineError Unsupported
 */
export function imageOf(regions: RegionConfig[], units: UnitConfig[], sparse: Iterable<bigint>, hostPages: Iterable<bigint> | undefined, read: (address: bigint, bytes: number) => Uint8Array): MachineImage {
	const pages = new Map<bigint, Uint8Array>();
	const keep = (region: RegionConfig, page: bigint) => {
		const first = page > region.start ? page : region.start;
		const end = page + PAGE < region.start + BigInt(region.size) ? page + PAGE : region.start + BigInt(region.size);
		if (first >= end) return;
		const bytes = read(first, Number(end - first));
		if (bytes.every((byte) => byte === 0)) return;
		const whole = pages.get(page) ?? new Uint8Array(IMAGE_PAGE);
		whole.set(bytes, Number(first - page));
		pages.set(page, whole);
	};
	const [sparsePages, named] = [[...sparse], hostPages === undefined ? undefined : [...hostPages].map((address) => address & ~(PAGE - 1n))];
	for (const region of regions) {
		if (region.poison) continue;
		if (region.kind === "host" && named === undefined) {
			throw new EngineError("Unsupported", "the bytes of a host region are the host's: name its pages in hostPages", { operation: "Engine.saveImage", object: `region ${hex(region.start)}` });
		}
		if (region.kind === "sparse" || region.kind === "host") for (const page of new Set(region.kind === "host" ? named : sparsePages)) keep(region, page);
		else for (let page = region.start & ~(PAGE - 1n); page < region.start + BigInt(region.size); page += PAGE) keep(region, page);
	}
	const sorted = [...pages].map(([address, bytes]) => ({ address, bytes })).sort((a, b) => (a.address < b.address ? -1 : 1));
	return { regions: regions.map(({ start, size, writable, poison }) => ({ start, size: BigInt(size), writable, poison })), units, pages: sorted };
}

/** Regions of an engine that serves an image, all writable as yet; and an address for its own frames, apart from them. */
export function regionsOf(image: MachineImage): { memory: RegionConfig[]; framesAt: bigint } {
	const memory = image.regions.map(({ start, size }): RegionConfig => ({ kind: "sparse", start, size }));
	const sorted = [...image.regions].sort((a, b) => (a.start < b.start ? -1 : 1));
	let framesAt = 0n;
	for (const { start, size } of sorted) {
		if (framesAt + 0x1_0000n <= start) break;
		framesAt = (start + size + 0xffffn) & ~0xffffn;
	}
	if (framesAt + 0x1_0000n > 1n << 64n) bad("its regions leave no 64 KiB of the address space");
	return { memory, framesAt };
}

/** Write an image's pages, then give its regions what they refuse. @throws EngineError BadConfig for bytes that no region has */
export function fillMemory(image: MachineImage, memory: PhysicalMemory): void {
	for (const { address: page, bytes } of image.pages) {
		let written = false;
		for (const { start, size } of image.regions) {
			const first = page > start ? page : start;
			const end = page + PAGE < start + size ? page + PAGE : start + size;
			if (first >= end) continue;
			memory.writeBytes(first, bytes.subarray(Number(first - page), Number(end - page)));
			written = true;
		}
		if (!written) bad(`the page at ${hex(page)} is in no region`);
	}
	for (const { start, size, writable, poison } of image.regions) {
		if (writable !== false && !poison) continue;
		memory.removeRegion(start);
		memory.addRegion({ kind: "sparse", start, size, writable, poison });
	}
}
