/** `ioasid conformance`: runs files of golden answers against the engine. */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { gunzipSync } from "node:zlib";
import type { Explained, FileShape } from "./contract.ts";
import { ioasidScenarios } from "./ioasid/index.ts";
import { iommufd } from "./iommufd-doors.ts";
import { vectors } from "./vectors.ts";
import { riscvModel } from "./vectors-riscv-model.ts";

/** Every shape of file that the runner takes: one line each. */
const SHAPES: FileShape[] = [riscvModel, vectors, ioasidScenarios, iommufd];

export interface ConformanceOptions {
	/** failures that are told in full, over all files; default 20 */
	maxFailures?: number;
	/** ids (`CASE#INDEX`, or `CASE` for all of it) or prefixes with `*` at the end; default all */
	only?: string[];
	/** units without caches; default false */
	uncached?: boolean;
	/** default: the process's own */
	stdout?: { write(text: string): unknown };
	stderr?: { write(text: string): unknown };
}

function wantedBy(only: string[]): (id: string) => boolean {
	if (only.length === 0) return () => true;
	return (id) => only.some((one) => (one.endsWith("*") ? id.startsWith(one.slice(0, -1)) : id === one || id.startsWith(`${one}#`)));
}

/** A parsed file; throws what says why it cannot be read. */
export function readContent(path: string): unknown {
	const bytes = readFileSync(path);
	const plain = bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes;
	return JSON.parse(plain.toString("utf8"));
}

/**
 * Run conformance files, plain or gzipped. Per file a line `NAME: P passed, F failed, S skipped` on stdout, failures on
 * stderr, and last on stdout the totals as JSON.
 * @returns exit code: 0, 1 when something failed, 2 when a file cannot be read or is of another shape
 */
export async function runConformance(paths: string[], options: ConformanceOptions = {}): Promise<number> {
	const { maxFailures = 20, only = [], uncached = false, stdout = process.stdout, stderr = process.stderr } = options;
	const wanted = wantedBy(only);
	const total = { passed: 0, failed: 0, skipped: 0 };
	let unusable = false;
	for (const path of paths) {
		const refuse = (why: string) => {
			unusable = true;
			stderr.write(`${path}: ${why}\n`);
		};
		let content: unknown;
		try {
			content = readContent(path);
		} catch (error) {
			refuse(`cannot be read: ${error instanceof Error ? error.message.split("\n")[0] : String(error)}`);
			continue;
		}
		const shape = SHAPES.find((one) => one.recognises(content));
		if (shape === undefined) {
			refuse("is not a file of a shape that conformance knows");
			continue;
		}
		const counts = { passed: 0, failed: 0, skipped: 0 };
		for (const verdict of shape.run(content, wanted, { uncached })) {
			counts[verdict.outcome] += 1;
			if (verdict.outcome === "failed" && total.failed + counts.failed <= maxFailures) {
				stderr.write(`${verdict.id}: expected ${verdict.expected}, got ${verdict.got}\n`);
			}
		}
		stdout.write(`${basename(path)}: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
		total.passed += counts.passed;
		total.failed += counts.failed;
		total.skipped += counts.skipped;
	}
	if (total.failed > maxFailures) stderr.write(`${total.failed - maxFailures} more failures\n`);
	if (only.length > 0 && !unusable && total.passed + total.failed + total.skipped === 0) stderr.write(`nothing matches ${only.join(", ")}\n`);
	stdout.write(`${JSON.stringify(total)}\n`);
	if (unusable) return 2;
	return total.failed > 0 ? 1 : 0;
}

/**
 * Translate requests of a parsed file with their traces. `only` is a CASE or CASE#INDEX, or a prefix with `*`.
 * @throws RangeError when the file has no such request, or its shape has no translations
 */
export function explainContent(content: unknown, only: string): Explained[] {
	const shape = SHAPES.find((one) => one.explain !== undefined && one.recognises(content));
	if (shape?.explain === undefined) throw new RangeError("the file holds neither a machine nor vectors of translations");
	const found = [...shape.explain(content, wantedBy([only]))];
	if (found.length === 0) throw new RangeError(`the file has no case ${only}`);
	return found;
}
