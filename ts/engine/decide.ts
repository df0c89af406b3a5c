/** Which entry, and which of its fields, made a translation end. */
import {
	ACCESS_EXECUTE,
	ACCESS_WRITE,
	OUTCOME_ACCESS_ERROR,
	OUTCOME_ADDRESS_SIZE,
	OUTCOME_NO_EXECUTE,
	OUTCOME_NO_READ,
	OUTCOME_NO_WRITE,
	OUTCOME_NOT_PRESENT,
	OUTCOME_OUTPUT_SIZE,
	OUTCOME_RESERVED,
	OUTCOME_UPDATE_REFUSED,
} from "../../assembly/layout.ts";
import { type Field, OUTCOMES } from "./fields/contract.ts";
import { fieldValue, isReserved } from "./fields/decode.ts";
import type { Answer, RawStep, TraceSource, TraceStep } from "./trace.ts";

// of assembly/format/contract.ts
const ENTRY_ABSENT = 0;
const ENTRY_RESERVED = 3;

/** A fault in words. */
export interface Decision {
	code: number;
	/** as in the specification */
	name: string;
	means: string;
	section: string;
	/** how the page-table walk ended, when one did */
	outcome?: string;
	/** "SS-PTE at 0x1000: R = 0"; null when no entry decided */
	because: string | null;
}

const hex = (value: bigint) => `0x${value.toString(16)}`;

function mark(step: TraceStep, names: ReadonlySet<Field | string>, fields: readonly Field[]): void {
	step.decided = true;
	for (const decoded of step.fields) {
		const field = fields.find((one) => one.name === decoded.name && decoded.bits === (one.high === one.low ? `${one.high}` : `${one.high}:${one.low}`));
		if (field !== undefined && (names.has(field) || names.has(field.name))) decoded.decided = true;
	}
}

/**
 * The bits that make the engine call an entry reserved, by asking it again about entries that differ: set bits without
 * one of which it would be legal; else several that all have to go; else clear bits one of which is missing.
 */
function reservedBits(source: TraceSource, { geometry, step }: RawStep): number[] {
	const kind = (entry: bigint) => source.classify(geometry, step.level, entry);
	const legal = (entry: bigint) => ![ENTRY_ABSENT, ENTRY_RESERVED].includes(kind(entry));
	const all = Array.from({ length: 8 * step.bytes }, (_, bit) => bit);
	const set = all.filter((bit) => (step.value >> BigInt(bit)) & 1n);
	const alone = set.filter((bit) => legal(step.value ^ (1n << BigInt(bit))));
	if (alone.length > 0) return alone;
	let kept = step.value;
	const cleared: number[] = [];
	for (const bit of [...set].reverse()) {
		if (kind(kept) !== ENTRY_RESERVED) break;
		kept ^= 1n << BigInt(bit);
		cleared.push(bit);
	}
	if (legal(kept)) return cleared.filter((bit) => kind(kept | (1n << BigInt(bit))) === ENTRY_RESERVED);
	return all.filter((bit) => !set.includes(bit) && legal(step.value | (1n << BigInt(bit))));
}

function decideReserved(source: TraceSource, raw: RawStep): void {
	const { step, format } = raw;
	const bits = reservedBits(source, raw);
	const names = new Set<string>();
	const loose: number[] = [];
	for (const bit of bits) {
		const field = format?.fields.find((one) => bit >= one.low && bit <= one.high && step.fields.some((decoded) => decoded.name === one.name));
		if (field === undefined) loose.push(bit);
		else names.add(field.name);
	}
	if (bits.length === 0) for (const [name] of format?.decides[OUTCOME_RESERVED] ?? []) names.add(name);
	mark(step, names, format?.fields ?? []);
	if (loose.length > 0) step.fields.push({ name: "reserved", bits: loose.join(","), value: 1n, text: "", means: "must be zero", decided: true });
}

/** The first entry of the walk whose field refuses; a field that refuses with any value counts in the last entry alone. */
function decideRight(steps: RawStep[], last: RawStep, outcome: number): void {
	const deciders = last.format?.decides[outcome] ?? [];
	const path = outcome === OUTCOME_NOT_PRESENT || outcome === OUTCOME_UPDATE_REFUSED || outcome === OUTCOME_OUTPUT_SIZE ? [last] : steps.filter((raw) => raw.walk === last.walk && raw.step.kind === "read");
	for (const raw of path) {
		const found = deciders.filter(([name, refusing]) => {
			const decoded = raw.step.fields.find((one) => one.name === name);
			return decoded !== undefined && (refusing < 0 ? raw === last : decoded.value === BigInt(refusing));
		});
		// what refuses with a certain value comes before what always may
		const certain = found.filter(([, refusing]) => refusing >= 0);
		const taken = certain.length > 0 ? certain : found;
		if (taken.length === 0) continue;
		mark(raw.step, new Set(taken.map(([name]) => name)), raw.format?.fields ?? []);
		return;
	}
	// rights of the device table entry hold for all below it
	const device = steps.find(({ structure }) => structure?.fields.some(({ name }) => deciders.some(([one]) => one === name)));
	const named = device?.structure?.fields.filter((field) => deciders.some(([name, refusing]) => name === field.name && fieldValue(field, device.step.value) === BigInt(refusing))) ?? [];
	if (device !== undefined && named.length > 0) mark(device.step, new Set(named), device.structure?.fields ?? []);
	else last.step.decided = true;
}

/** Fields whose 0 makes all others mean nothing. */
const VALID = ["P", "V", "TV"];

function decideStructure(source: TraceSource, { step, structure }: RawStep, wanted: readonly string[]): void {
	const fields = structure?.fields ?? [];
	const refuses = (field: Field) => {
		if (wanted.includes(`${field.name}=1`)) return fieldValue(field, step.value) === 1n;
		return wanted.includes(field.name) && (field.high !== field.low || fieldValue(field, step.value) === 0n);
	};
	const named = fields.filter(refuses);
	const invalid = named.filter((field) => VALID.includes(field.name));
	const reserved = fields.filter((field) => isReserved(field, source.register) && fieldValue(field, step.value) !== 0n);
	const addresses = fields.filter((field) => field.shift !== undefined);
	const [first] = [invalid, named, wanted.length > 0 ? [] : reserved, wanted.length > 0 ? fields.filter((field) => wanted.includes(field.name)) : addresses].filter((one) => one.length > 0);
	mark(step, new Set(first ?? []), fields);
}

/** How a walk ended that the answer does not tell of: one for the device tables. */
function outcomeOf({ step }: RawStep, access: number): number {
	if (step.refused !== undefined) return OUTCOME_ACCESS_ERROR;
	if (step.entry === "absent") return OUTCOME_NOT_PRESENT;
	if (step.entry === "reserved") return OUTCOME_RESERVED;
	if (step.entry === "output-size") return OUTCOME_OUTPUT_SIZE;
	return access & ACCESS_WRITE ? OUTCOME_NO_WRITE : access & ACCESS_EXECUTE ? OUTCOME_NO_EXECUTE : OUTCOME_NO_READ;
}

/** Marks the deciding step and fields, and tells the fault. `walked`: the route's own walk had started. */
export function decide(source: TraceSource, steps: RawStep[], walked: boolean, answer: Answer, access: number): Decision {
	const known = source.words.faults[answer.fault];
	const decision: Decision = { code: answer.fault, name: known?.name ?? `code ${answer.fault}`, means: known?.means ?? "", section: known?.section ?? "", because: null };
	const told = ({ step }: RawStep) => step.kind === "read" && step.stage === answer.stage && step.address === answer.entryAddress;
	const last = (walked && answer.outcome !== 0 ? steps.findLast(told) : undefined) ?? steps.findLast(({ step }) => step.kind === "read" || step.kind === "write");
	if (last === undefined) return decision;
	const { step } = last;
	const began = steps.findLast(({ step: { kind } }) => kind === "walk");
	if (walked && answer.outcome !== 0 && began !== undefined && steps.indexOf(began) > steps.indexOf(last)) {
		// the input was refused before any entry
		began.step.decided = true;
		decision.outcome = OUTCOMES[answer.outcome];
	} else if (step.stage === "tables") {
		if (step.refused !== undefined) step.decided = true;
		else decideStructure(source, last, known?.fields ?? []);
	} else {
		const outcome = walked ? answer.outcome : outcomeOf(last, access);
		if (outcome !== 0) decision.outcome = OUTCOMES[outcome];
		if (step.refused !== undefined) step.decided = true;
		else if (outcome === OUTCOME_ADDRESS_SIZE && began !== undefined) began.step.decided = true;
		else if (outcome === OUTCOME_RESERVED && step.entry === "reserved") decideReserved(source, last);
		else if (outcome === 0) mark(step, new Set(known?.fields ?? []), last.format?.fields ?? []);
		else decideRight(steps, last, outcome);
	}
	const decided = steps.find((raw) => raw.step.decided)?.step;
	if (decided !== undefined) {
		const named = decided.fields.filter((one) => one.decided).map((one) => `${one.name} = ${one.text === "" ? hex(one.value) : `${hex(one.value)} (${one.text})`}`);
		const what = decided.refused !== undefined ? `memory is ${decided.refused}` : named.length > 0 ? named.join(", ") : (decision.outcome ?? "");
		decision.because = `${decided.table} ${decided.kind === "walk" ? "of" : "at"} ${hex(decided.address)}: ${what}`;
	}
	return decision;
}
