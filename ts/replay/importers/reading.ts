/**
 * Driving an importer over one input: recognition by the first lines, line numbers, damage.
 */
import { ReplayError, type ReplayErrorCode } from "../errors.ts";
import { type LineSink, LineSplitter, latin1 } from "../lines.ts";
import { type OpenOptions, openSource, type Source } from "../source.ts";
import type { ImportReport } from "../trace.ts";
import type { BytesParser, Importer, LineParser, Place, Recording } from "./contract.ts";
import { recognise } from "./index.ts";

/** How to read. */
export interface ReadOptions extends OpenOptions {
	/** the first damage throws a {@link ReplayError} */
	strict?: boolean;
}

/** Damage kept with its place; the rest is counted. */
const KEPT = 100;
/** characters that recognition looks at */
const HEAD = 1 << 16;

/** An empty report. */
export function makeReport(): ImportReport {
	return { lines: 0, ignoredLines: 0, damagedLines: 0, damage: [], notes: [] };
}

/** Knows file and line for a parser's complaints. */
export class Reporter implements Place {
	line = 0;
	private readonly file: string;
	private readonly report: ImportReport;
	private readonly strict: boolean;

	constructor(file: string, report: ImportReport, strict: boolean) {
		this.file = file;
		this.report = report;
		this.strict = strict;
	}

	/** A further line begins. */
	next(): void {
		this.line++;
		this.report.lines++;
	}

	ignored(): void {
		this.report.ignoredLines++;
	}

	damage(what: string): void {
		if (this.strict) throw this.error("damaged", what);
		this.report.damagedLines++;
		if (this.report.damage.length < KEPT) this.report.damage.push({ file: this.file, line: this.line || null, what });
	}

	error(code: ReplayErrorCode, what: string): ReplayError {
		// a format without lines never left line 0
		const line = this.line || null;
		return new ReplayError(code, `${this.file}${line === null ? "" : `:${line}`}: ${what}`, this.file, line);
	}
}

/** One input read to its end. */
export interface ReadResult {
	name: string;
	importer: Importer;
	recording: Recording;
}

/** Recognises and reads one input; counts and damage go into `report`. */
export async function readSource(source: Source, options: ReadOptions, report: ImportReport): Promise<ReadResult> {
	let opened: Opened | null = null;
	for await (const step of steps(source, options, report)) opened = step;
	// steps() yields at least once, or throws
	const { name, importer, parser } = opened as Opened;
	return { name, importer, recording: await parser.end() };
}

/** What {@link steps} has opened. */
export interface Opened {
	name: string;
	importer: Importer;
	parser: LineParser | BytesParser;
}

/** Reads one input and yields after every chunk, so that a caller can take rows out on the way. */
export async function* steps(source: Source, options: ReadOptions, report: ImportReport): AsyncGenerator<Opened, void, undefined> {
	const { name, bytes } = openSource(source, options);
	const reporter = new Reporter(name, report, options.strict ?? false);
	// decompression runs ahead of the lines; its damage is told when they are read
	let broken: string | null = null;
	const chunks = bytes((what) => {
		broken = what;
	});
	const { head, read } = await firstChunks(chunks);
	const importer = recognise(head, name);
	const parser = importer.open(reporter);
	const splitter = new LineSplitter();
	const lines = "bytes" in parser ? null : parser;
	const lineAt = lines?.lineAt?.bind(lines);
	const sink = (text: string, start: number, end: number) => {
		reporter.next();
		if (lineAt !== undefined) lineAt(text, start, end);
		else lines?.line(text.slice(start, end));
	};
	const push = "bytes" in parser ? (chunk: Uint8Array) => parser.bytes(chunk) : (chunk: Uint8Array) => splitter.push(chunk, sink);
	try {
		for (const chunk of read) push(chunk);
		const opened = { name, importer, parser };
		yield opened;
		for await (const chunk of chunks) {
			push(chunk);
			yield opened;
		}
		const rest = splitter.rest();
		if (broken !== null) reporter.damage(broken);
		else if (rest !== "") lastLine(rest, importer, reporter, sink);
		yield opened;
	} finally {
		await chunks.return(undefined);
	}
}

function lastLine(rest: string, importer: Importer, reporter: Reporter, sink: LineSink): void {
	if (importer.lastLine === "whole") {
		sink(rest, 0, rest.length);
		return;
	}
	reporter.next();
	reporter.damage(`the file ends in the middle of "${rest.slice(0, 120)}"`);
}

/** Enough chunks to recognise the format by, which are parsed afterwards. */
async function firstChunks(chunks: AsyncGenerator<Uint8Array>): Promise<{ head: string; read: Uint8Array[] }> {
	const decode = latin1();
	const read: Uint8Array[] = [];
	let head = "";
	while (head.length < HEAD) {
		const next = await chunks.next();
		if (next.done) break;
		read.push(next.value);
		head += decode(next.value);
	}
	return { head: head.slice(0, HEAD), read };
}
