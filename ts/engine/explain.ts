/** The trace of one translation (assembly/trace.ts) as typed steps, with the fields of every entry by name. */
import {
	CACHE_CONTEXT,
	CACHE_IOTLB,
	CACHE_PASID,
	CACHE_WALK_SECOND,
	GEOMETRY_FORMAT,
	TRACE_ADDRESS,
	TRACE_BYTES,
	TRACE_CACHED,
	TRACE_DETAIL,
	TRACE_GEOMETRY,
	TRACE_LEVEL,
	TRACE_PHASE,
	TRACE_SIZE,
	TRACE_STAGE,
	TRACE_VALUE,
	TRACE_WALK,
	TRACE_WHAT,
	TRACE_WRITE,
} from "../../assembly/layout.ts";
import { type Decision, decide } from "./decide.ts";
import type { Place, Structure } from "./fields/contract.ts";
import { decodeFields } from "./fields/decode.ts";
import { type Answer, ENTRIES, type RawStep, REFUSALS, STAGES, type TraceSource, type TraceStep } from "./trace.ts";

/** Why a translation went as it did. */
export interface Explanation<A extends Answer = Answer> {
	architecture: string;
	/** where the tables start, and how they are read */
	registers: Record<string, bigint>;
	steps: TraceStep[];
	answer: A;
	/** of a fault: its code by name, and the field that decided */
	fault?: Decision;
}

const swap = (word: bigint) => {
	const bytes = new DataView(new ArrayBuffer(8));
	bytes.setBigUint64(0, word, true);
	return bytes.getBigUint64(0, false);
};

/** A whole structure; `first` is its first word as the engine understood it, which tells the byte order. */
function wholeEntry(source: TraceSource, address: bigint, structure: Structure, first: bigint): bigint {
	const bytes = structure.bytes <= 8 ? undefined : source.read(address, structure.bytes);
	if (bytes === undefined) return first;
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const big = view.getBigUint64(0, true) !== first;
	let value = 0n;
	for (let at = structure.bytes - 8; at >= 0; at -= 8) {
		const word = view.getBigUint64(at, true);
		value = (value << 64n) | (big ? swap(word) : word);
	}
	return value;
}

function readSteps(source: TraceSource): { raw: RawStep[]; walked: boolean } {
	const { view, words } = source;
	const raw: RawStep[] = [];
	let phase: Place["phase"] = "device";
	// number of the walk that each stage is in
	const inWalk = { first: 0, second: 0, tables: 0 };
	let firstOpen = false;
	for (let i = 0; i < source.count; i++) {
		const at = source.offset + i * TRACE_BYTES;
		const u32 = (offset: number) => view.getUint32(at + offset, true);
		const what = u32(TRACE_WHAT);
		const detail = u32(TRACE_DETAIL);
		if (what === TRACE_PHASE) {
			phase = detail === CACHE_CONTEXT ? "device" : detail === CACHE_PASID ? "pasid" : "walk";
			continue;
		}
		const stage = STAGES[u32(TRACE_STAGE)];
		const level = u32(TRACE_LEVEL);
		const address = view.getBigUint64(at + TRACE_ADDRESS, true);
		const word = view.getBigUint64(at + TRACE_VALUE, true);
		const geometry = u32(TRACE_GEOMETRY);
		const format = geometry === 0 ? undefined : words.formats[view.getUint32(geometry + GEOMETRY_FORMAT, true)];
		const depth = stage === "second" && (phase !== "walk" || firstOpen) ? 1 : 0;
		const common = { stage, level, address, value: word, bytes: u32(TRACE_SIZE), depth, decided: false };
		if (what === TRACE_WALK) {
			inWalk[stage] = i + 1;
			if (stage === "first") firstOpen = true;
			raw.push({ step: { ...common, kind: "walk", table: `${stage} stage`, section: format?.section ?? "", fields: [] }, format, geometry, walk: inWalk[stage] });
			continue;
		}
		if (what === TRACE_CACHED) {
			const cache = detail === CACHE_CONTEXT ? "context" : detail === CACHE_PASID ? "pasid" : detail === CACHE_IOTLB ? "iotlb" : "walk";
			const table = cache === "walk" ? `${detail >= CACHE_WALK_SECOND ? "second" : "first"}-stage walk cache` : `${cache} cache`;
			raw.push({ step: { ...common, kind: "cached", table, section: "", cache, fields: [] }, geometry, walk: inWalk[stage] });
			continue;
		}
		const kind = what === TRACE_WRITE ? "write" : "read";
		const refused = detail >> 8 === 0 ? undefined : REFUSALS[(detail >> 8) - 1];
		if (stage === "tables") {
			const structure = words.structure({ phase, level, register: source.register });
			const value = structure === undefined || refused !== undefined ? word : wholeEntry(source, address, structure, word);
			const fields = structure === undefined || refused !== undefined ? [] : decodeFields(structure.fields, value);
			raw.push({ step: { ...common, value, bytes: structure?.bytes ?? common.bytes, kind, table: structure?.name ?? "table entry", section: structure?.section ?? "", refused, fields }, structure, geometry, walk: inWalk[stage] });
			continue;
		}
		const entry = kind === "read" && refused === undefined ? ENTRIES[detail & 255] : undefined;
		const only = entry === "table" || entry === "leaf" ? entry : undefined;
		const fields = format === undefined || refused !== undefined ? [] : decodeFields(format.fields, word, only);
		raw.push({ step: { ...common, kind, table: format?.level(level) ?? "entry", section: format?.section ?? "", entry, refused, fields }, format, geometry, walk: inWalk[stage] });
		if (stage === "first" && entry === "leaf") firstOpen = false;
	}
	return { raw, walked: phase === "walk" };
}

/** Steps of a trace, and of a fault what decided. */
export function explainTrace<A extends Answer>(source: TraceSource, architecture: string, answer: A, access: number): Explanation<A> {
	const { raw, walked } = readSteps(source);
	const { words, register } = source;
	const steps = raw.map(({ step }) => step);
	if (answer.hit === "iotlb" || answer.hit === "device-tlb") {
		steps.push({ kind: "cached", stage: "tables", level: 0, table: answer.hit, section: "", address: answer.pa, value: 0n, bytes: 0, cache: answer.hit, depth: 0, fields: [], decided: false });
	}
	const explanation: Explanation<A> = { architecture, registers: Object.fromEntries(words.registers.map((name) => [name, register(name)])), steps, answer };
	if (answer.status === "fault" || answer.status === "page-request") explanation.fault = decide(source, raw, walked, answer, access);
	return explanation;
}
