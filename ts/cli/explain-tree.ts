import pc from "picocolors";
import type { DecodedField, Explanation, TraceStep, Translation } from "../engine/index.ts";

const hex = (value: bigint | number) => `0x${value.toString(16)}`;

function fieldText(field: DecodedField): string {
	const value = field.bits.includes(":") || field.bits.includes(",") ? hex(field.value) : `${field.value}`;
	const text = `${field.name}${field.name === "reserved" ? `[${field.bits}]` : ""}=${value}${field.text === "" || field.text === value ? "" : ` (${field.text})`}`;
	return field.decided ? pc.bold(pc.red(`>${text}<`)) : text;
}

/** Fields that say something: set, or codes, or what decided. */
function fieldsOf(step: TraceStep): string {
	return step.fields
		.filter((field) => field.value !== 0n || field.decided)
		.map(fieldText)
		.join("  ");
}

function stepText(step: TraceStep): string {
	if (step.kind === "walk") return `${step.table} of ${hex(step.address)}, table at ${hex(step.value)}, level ${step.level} ${pc.dim(`(${step.section})`)}`;
	if (step.kind === "cached") {
		if (step.cache === "walk") return `${step.table} answers: table of level ${step.level} at ${hex(step.address)}`;
		return `${step.table} answers${step.address === 0n ? "" : `: ${hex(step.address)}`}`;
	}
	const what = `${step.kind === "write" ? "update of " : ""}${step.table}`;
	if (step.refused !== undefined) return `${what} at ${hex(step.address)}: memory is ${step.refused}`;
	const kind = step.entry === undefined || step.entry === "table" ? "" : ` ${step.entry}`;
	const words = Array.from({ length: Math.max(1, step.bytes / 8) }, (_, i) => hex((step.value >> BigInt(64 * i)) & 0xffff_ffff_ffff_ffffn));
	return `${what} at ${hex(step.address)} = ${words.join(" ")}${kind} ${pc.dim(`(${step.section})`)}`;
}

/** Where a step hangs: entries under their walk, walks of the second stage for a table under the walk of the first. */
function depthOf(step: TraceStep, inFirst: boolean): number {
	if (step.stage === "tables") return 0;
	const nested = step.depth === 1 && inFirst ? 1 : 0;
	return nested + (step.kind === "walk" ? 0 : 1);
}

function answerText(answer: Translation): string {
	const rights = `${answer.read ? "r" : "-"}${answer.write ? "w" : "-"}${answer.execute ? "x" : "-"}`;
	if (answer.status === "translated") return pc.green(`translated to ${hex(answer.pa)}, ${answer.pageBytes === 0 ? "no page" : `${hex(answer.pageBytes)} bytes`} ${rights}, by ${answer.hit}`);
	if (answer.status === "interrupt") return pc.green(`interrupt, ${hex(answer.pa)}`);
	return pc.red(answer.status);
}

/** An explanation as a tree: one line for each step, its fields under it, and last how it ended. */
export function renderExplanation(title: string, { architecture, registers, steps, answer, fault }: Explanation<Translation>): string {
	const out = [`${pc.bold(`${architecture}: ${title}`)}`];
	out.push(`${pc.dim("├─")} ${Object.entries(registers).map(([name, value]) => `${name} = ${hex(value)}`).join(", ")}`);
	let inFirst = false;
	for (const step of steps) {
		if (step.kind === "walk" && step.depth === 0) inFirst = step.stage === "first";
		const bar = pc.dim("│  ".repeat(depthOf(step, inFirst)));
		const text = stepText(step);
		out.push(`${bar}${pc.dim("├─")} ${step.decided ? pc.bold(pc.red(text)) : text}`);
		const fields = fieldsOf(step);
		if (fields !== "") out.push(`${bar}${pc.dim("│    ")} ${fields}`);
	}
	out.push(`${pc.dim("└─")} ${answerText(answer)}`);
	if (fault !== undefined) {
		out.push(`   ${pc.red(`${fault.name} (${hex(fault.code)})`)}: ${fault.means}${fault.section === "" ? "" : ` ${pc.dim(`[${fault.section}]`)}`}`);
		if (fault.because !== null) out.push(`   because ${fault.because}${fault.outcome === undefined ? "" : ` (${fault.outcome})`}`);
	}
	return out.join("\n");
}
