/**
 * Golden translation vectors: a memory image, the registers of one unit, and requests with the answers of an
 * independent model. Every request starts from the case's memory and cold caches. Memory that a case does not list
 * reads as zero, inside `ram` where the file bounds it.
 */
import { Engine, type RegionConfig, type Translation, type Unit } from "../../engine/index.ts";
import type { Explained, FileShape, ShapeOptions, Verdict } from "./contract.ts";
import { requestWords } from "../request-words.ts";
import { ADAPTERS } from "./vectors-adapters.ts";
import type { VectorCase, VectorFile, VectorNumber, VectorRequest } from "./vectors-shape.ts";

const PAGE = 4096n;
/** frames of the engine's own tables, of which vectors need none: out of every image's way */
const FRAMES_AT = 1n << 62n;

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;
const hex = (value: bigint | number) => `0x${value.toString(16)}`;

function isCase(value: unknown): boolean {
	return isObject(value) && typeof value.id === "string" && Array.isArray(value.memory) && Array.isArray(value.requests) && value.requests.every((one) => isObject(one) && isObject(one.expect) && "iova" in one);
}

function bytesOf(text: string): Uint8Array {
	const bytes = new Uint8Array(text.length / 2);
	for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
	return bytes;
}

/** The parts of [address, address + bytes) that `ram` has. */
function inside(regions: RegionConfig[], address: bigint, bytes: Uint8Array): Array<[bigint, Uint8Array]> {
	const parts: Array<[bigint, Uint8Array]> = [];
	for (const { start, size } of regions) {
		const first = address > start ? address : start;
		const end = start + BigInt(size) < address + BigInt(bytes.length) ? start + BigInt(size) : address + BigInt(bytes.length);
		if (first < end) parts.push([first, bytes.subarray(Number(first - address), Number(end - address))]);
	}
	return parts;
}

const UNCACHED = { iotlb: false, walkCache: false, contextCache: false, pasidCache: false } as const;

/** One case as a machine. */
class Machine {
	readonly engine: Engine;
	readonly unit: Unit;
	private readonly image: Array<[bigint, Uint8Array]>;

	constructor(file: VectorFile, item: VectorCase, options: ShapeOptions) {
		const ram: Array<[VectorNumber, VectorNumber]> = file.ram ?? [[0, `0x${FRAMES_AT.toString(16)}`]];
		const memory = ram.map(([start, size]): RegionConfig => ({ kind: "sparse", start: BigInt(start), size: BigInt(size) }));
		this.image = item.memory.flatMap(([address, text]) => inside(memory, BigInt(address), bytesOf(text)));
		const pages = new Set<bigint>();
		for (const [address, bytes] of this.image) {
			for (let page = address / PAGE; page <= (address + BigInt(bytes.length) - 1n) / PAGE; page++) pages.add(page);
		}
		this.engine = Engine.create({
			memory,
			// an access may update an entry of a page that the image does not list only where it is zero: never
			sparsePages: pages.size + 1,
			tables: { frames: 1, base: FRAMES_AT, count: 1 },
			units: [{ ...ADAPTERS[file.arch].unit(item), ...(options.uncached ? UNCACHED : {}) }],
		});
		this.unit = this.engine.units[0];
	}

	/** The case's memory, and cold caches. */
	reset(): void {
		for (const [address, bytes] of this.image) this.engine.memory.writeBytes(address, bytes);
		this.unit.invalidate({ scope: "global" });
	}

	hex(address: bigint, length: number): string {
		return Array.from(this.engine.memory.read(address, length), (byte) => byte.toString(16).padStart(2, "0")).join("");
	}
}

function describeExpected(request: VectorRequest): string {
	const { expect, enforce } = request;
	if (expect.status === "ok") return enforce === "status" || expect.pa === undefined ? "ok" : `ok ${hex(BigInt(expect.pa))}`;
	if (enforce === "status") return expect.status;
	const codes = codesOf(request).map(hex).join(" or ");
	return `${expect.status} ${codes}${expect.name ? ` (${expect.name})` : ""}`;
}

function describeGot(answer: Translation): string {
	if (answer.status === "translated") return `ok ${hex(answer.pa)}`;
	return answer.status === "fault" ? `fault ${hex(answer.fault)}` : answer.status;
}

function codesOf(request: VectorRequest): number[] {
	const code = request.expect.code ?? request.expect.cause;
	return [...(code === undefined ? [] : [code]), ...(request.code_alternatives ?? [])];
}

function agrees(request: VectorRequest, answer: Translation): boolean {
	const { expect, enforce } = request;
	if (expect.status === "ok") {
		if (answer.status !== "translated") return false;
		return enforce === "status" || expect.pa === undefined || answer.pa === BigInt(expect.pa);
	}
	if (answer.status !== expect.status) return false;
	return enforce === "status" || enforce === "pa" || codesOf(request).includes(answer.fault);
}

/** Only what the file itself says not to enforce. */
function isSkipped(request: VectorRequest): boolean {
	return request.expect.quirk !== undefined || (request.enforce !== undefined && !["pa", "code", "status"].includes(request.enforce));
}

const ACCESS = { r: "read", w: "write", x: "execute" } as const;

function optionsOf(file: VectorFile, request: VectorRequest) {
	const { rid, pasid, privileged = request.priv } = ADAPTERS[file.arch].requester(request);
	return { rid, options: { pasid, access: ACCESS[request.access], privileged, length: request.length ?? 1 } };
}

function* explainFile(file: VectorFile, wanted: (id: string) => boolean): Generator<Explained> {
	if (!Object.hasOwn(ADAPTERS, file.arch)) throw new RangeError(`this engine has no "${file.arch}" unit`);
	for (const item of file.cases) {
		let machine: Machine | undefined;
		for (const [index, request] of item.requests.entries()) {
			const id = `${item.id}#${index}`;
			if (!wanted(id)) continue;
			machine ??= new Machine(file, item, { uncached: false });
			machine.reset();
			const { rid, options } = optionsOf(file, request);
			const explanation = machine.unit.explain(rid, BigInt(request.iova), options);
			yield { id, request: requestWords(rid, BigInt(request.iova), options), expected: describeExpected(request), explanation };
		}
	}
}

function judge(file: VectorFile, machine: Machine, id: string, request: VectorRequest): Verdict {
	machine.reset();
	const { rid, options } = optionsOf(file, request);
	const answer = machine.unit.translate(rid, BigInt(request.iova), options);
	if (!agrees(request, answer)) return { id, outcome: "failed", expected: describeExpected(request), got: describeGot(answer) };
	for (const [address, bytes] of request.pte_after ?? []) {
		const got = machine.hex(BigInt(address), bytes.length / 2);
		if (got !== bytes) return { id, outcome: "failed", expected: `entry ${hex(BigInt(address))} = ${bytes}`, got };
	}
	return { id, outcome: "passed" };
}

function* runFile(file: VectorFile, wanted: (id: string) => boolean, options: ShapeOptions): Generator<Verdict> {
	for (const item of file.cases) {
		let machine: Machine | undefined;
		for (const [index, request] of item.requests.entries()) {
			const id = `${item.id}#${index}`;
			if (!wanted(id)) continue;
			if (isSkipped(request)) {
				yield { id, outcome: "skipped" };
				continue;
			}
			if (!Object.hasOwn(ADAPTERS, file.arch)) {
				yield { id, outcome: "failed", expected: describeExpected(request), got: `nothing: this engine has no "${file.arch}" unit` };
				continue;
			}
			try {
				machine ??= new Machine(file, item, options);
				yield judge(file, machine, id, request);
			} catch (error) {
				yield { id, outcome: "failed", expected: describeExpected(request), got: error instanceof Error ? `${error.name}: ${error.message}` : String(error) };
			}
		}
	}
}

export const vectors: FileShape = {
	recognises: (content) => isObject(content) && typeof content.arch === "string" && Array.isArray(content.cases) && content.cases.every(isCase),
	run: (content, wanted, options) => runFile(content as VectorFile, wanted, options),
	explain: (content, wanted) => explainFile(content as VectorFile, wanted),
};
