/**
 * Vectors of the RISC-V IOMMU reference model: a case is a machine whose requests run in order, each over cold caches,
 * and whose A and D updates stay. Everything in `expect` is enforced but for its own marks: `page_bytes_impl` (the size
 * is the implementation's choice) and `quirk` (the address departs from the specification). `writes` are the updates of
 * one request in order, `memory_after` belongs to the last one.
 */
import { Engine, type HostMemory, type Translation, type Unit } from "../../engine/index.ts";
import { requestWords } from "../request-words.ts";
import type { Explained, FileShape, ShapeOptions, Verdict } from "./contract.ts";

interface ModelRequest {
	device_id: number;
	process_id: number | null;
	priv: boolean;
	iova: string;
	length: number;
	access: "r" | "w" | "x";
	expect: {
		status: "ok" | "fault";
		pa: string;
		page_bytes: number;
		page_bytes_impl?: boolean;
		quirk?: string;
		r: boolean;
		w: boolean;
		x: boolean;
		/** absent when ddtp is Bare: there is no leaf */
		u?: boolean;
		g?: boolean;
		pbmt: number;
		msi: boolean;
		mrif?: { addr: string; nid: number };
		cause: number;
		cause_name: string;
		iotval: string;
		iotval2: string;
		reported: boolean;
	};
	/** address, bytes, phase */
	writes?: Array<[string, string, string]>;
}

type Ranges = Array<[string | number, string | number]>;

interface ModelCase {
	id: string;
	caps: { raw: string; gxl_writeable: number; be_writeable: number };
	ddtp: string;
	fctl: string;
	memory: Array<[string, string]>;
	no_access?: Ranges;
	no_write?: Ranges;
	poison?: Ranges;
	memory_after?: Array<[string, string]>;
	requests: ModelRequest[];
}

interface ModelFile {
	arch: "riscv";
	cases: ModelCase[];
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

function isFile(content: unknown): content is ModelFile {
	if (!isObject(content) || content.arch !== "riscv" || !Array.isArray(content.cases)) return false;
	return content.cases.every((item) => isObject(item) && typeof item.id === "string" && isObject(item.caps) && "raw" in item.caps && Array.isArray(item.memory) && Array.isArray(item.requests));
}

const hex = (value: bigint | number | string) => `0x${BigInt(value).toString(16)}`;

function touches(ranges: Ranges | undefined, address: bigint, bytes: number): boolean {
	return (ranges ?? []).some(([first, length]) => address < BigInt(first) + BigInt(length) && address + BigInt(bytes) > BigInt(first));
}

/** Sparse bytes, zero where nothing was stored, with the ranges of the case that fail. */
class CaseMemory implements HostMemory {
	private readonly bytes = new Map<bigint, number>();
	/** since they were last taken */
	writes: string[] = [];

	constructor(private readonly item: ModelCase) {
		for (const [address, text] of item.memory) {
			for (let i = 0; i < text.length; i += 2) this.bytes.set(BigInt(address) + BigInt(i / 2), Number.parseInt(text.slice(i, i + 2), 16));
		}
	}

	hex(address: bigint, length: number): string {
		return Array.from({ length }, (_, i) => (this.bytes.get(address + BigInt(i)) ?? 0).toString(16).padStart(2, "0")).join("");
	}

	read(address: bigint, bytes: number): bigint | undefined | "poison" {
		if (touches(this.item.no_access, address, bytes)) return undefined;
		if (touches(this.item.poison, address, bytes)) return "poison";
		let value = 0n;
		for (let i = bytes - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.bytes.get(address + BigInt(i)) ?? 0);
		return value;
	}

	write(address: bigint, bytes: number, value: bigint): boolean {
		if (touches(this.item.no_access, address, bytes) || touches(this.item.no_write, address, bytes)) return false;
		for (let i = 0; i < bytes; i++) this.bytes.set(address + BigInt(i), Number((value >> BigInt(8 * i)) & 0xffn));
		this.writes.push(`${hex(address)}=${this.hex(address, bytes)}`);
		return true;
	}
}

const ACCESS = { r: "read", w: "write", x: "execute" } as const;
const OFF = { iotlb: false, walkCache: false, contextCache: false, pasidCache: false } as const;

function unitOf(item: ModelCase, memory: CaseMemory, { uncached }: ShapeOptions): Unit {
	const registers = {
		CAPABILITIES: BigInt(item.caps.raw),
		FCTL: BigInt(item.fctl),
		DDTP: BigInt(item.ddtp),
		GXL_WRITABLE: BigInt(item.caps.gxl_writeable),
		BE_WRITABLE: BigInt(item.caps.be_writeable),
	};
	return Engine.create({
		memory: [{ kind: "host", start: 0n, size: 1n << 62n, memory }],
		tables: { frames: 1, base: 1n << 62n, count: 1 },
		units: [{ architecture: "riscv", registers, ...(uncached ? OFF : {}) }],
	}).units[0];
}

/** What an answer says, in the words of `expect`. */
function told({ expect }: ModelRequest, got: Translation): string {
	if (got.status === "fault") {
		return `fault ${got.fault}, iotval ${hex(got.value)}, iotval2 ${hex(got.value2)}, ${got.recorded ? "" : "not "}reported`;
	}
	const rights = `${got.read ? "r" : "-"}${got.write ? "w" : "-"}${got.execute ? "x" : "-"}`;
	const bypass = got.hit === "bypass";
	const leaf = expect.u === undefined ? "" : ` ${bypass || got.attributes & 4 ? "u" : "-"}${bypass || got.attributes & 8 ? "g" : "-"}`;
	const msi = got.status === "interrupt" ? " msi" : "";
	const mrif = got.attributes & 512 && !bypass ? ` mrif ${hex(got.value)} ${got.value2}` : "";
	const pa = expect.quirk === undefined ? ` ${hex(got.pa)}` : "";
	const bytes = expect.page_bytes_impl ? "" : ` ${got.pageBytes} bytes`;
	return `ok${pa}${bytes} ${rights}${leaf} pbmt ${bypass ? 0 : got.attributes & 3}${msi}${mrif}`;
}

function expected({ expect }: ModelRequest): string {
	if (expect.status === "fault") {
		return `fault ${expect.cause}, iotval ${hex(expect.iotval)}, iotval2 ${hex(expect.iotval2)}, ${expect.reported ? "" : "not "}reported`;
	}
	const rights = `${expect.r ? "r" : "-"}${expect.w ? "w" : "-"}${expect.x ? "x" : "-"}`;
	const leaf = expect.u === undefined ? "" : ` ${expect.u ? "u" : "-"}${expect.g ? "g" : "-"}`;
	const mrif = expect.mrif === undefined ? "" : ` mrif ${hex(expect.mrif.addr)} ${expect.mrif.nid}`;
	const pa = expect.quirk === undefined ? ` ${hex(expect.pa)}` : "";
	const bytes = expect.page_bytes_impl ? "" : ` ${expect.page_bytes} bytes`;
	return `ok${pa}${bytes} ${rights}${leaf} pbmt ${expect.pbmt}${expect.msi ? " msi" : ""}${mrif}`;
}

function optionsOf(request: ModelRequest) {
	return { pasid: request.process_id ?? undefined, access: ACCESS[request.access], privileged: request.priv, length: request.length };
}

function* explainCase(item: ModelCase, wanted: (id: string) => boolean): Generator<Explained> {
	const ids = item.requests.map((_, index) => `${item.id}#${index}`);
	if (!ids.some(wanted)) return;
	const unit = unitOf(item, new CaseMemory(item), { uncached: false });
	for (const [index, request] of item.requests.entries()) {
		unit.invalidate({ scope: "global" });
		const options = optionsOf(request);
		const explanation = unit.explain(request.device_id, BigInt(request.iova), options);
		if (wanted(ids[index])) yield { id: ids[index], request: requestWords(request.device_id, BigInt(request.iova), options), expected: expected(request), explanation };
	}
}

function* runCase(item: ModelCase, wanted: (id: string) => boolean, options: ShapeOptions): Generator<Verdict> {
	const ids = item.requests.map((_, index) => `${item.id}#${index}`);
	if (!ids.some(wanted)) return;
	const memory = new CaseMemory(item);
	const unit = unitOf(item, memory, options);
	// requests before a wanted one run too: their updates stay
	for (const [index, request] of item.requests.entries()) {
		memory.writes = [];
		unit.invalidate({ scope: "global" });
		const answer = unit.translate(request.device_id, BigInt(request.iova), optionsOf(request));
		const want = [expected(request), ...(request.writes ?? []).map(([address, bytes]) => `${hex(address)}=${bytes}`)];
		const got = [told(request, answer), ...memory.writes];
		if (index === item.requests.length - 1) {
			for (const [address, bytes] of item.memory_after ?? []) {
				want.push(`after ${hex(address)}=${bytes}`);
				got.push(`after ${hex(address)}=${memory.hex(BigInt(address), bytes.length / 2)}`);
			}
		}
		if (!wanted(ids[index])) continue;
		if (want.join() === got.join()) yield { id: ids[index], outcome: "passed" };
		else yield { id: ids[index], outcome: "failed", expected: want.join("; "), got: got.join("; ") };
	}
}

export const riscvModel: FileShape = {
	recognises: isFile,
	*run(content, wanted, options) {
		for (const item of (content as ModelFile).cases) yield* runCase(item, wanted, options);
	},
	*explain(content, wanted) {
		for (const item of (content as ModelFile).cases) yield* explainCase(item, wanted);
	},
};
