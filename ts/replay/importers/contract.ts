/**
 * What an importer is: one file that recognises a format by its content and reads it line by line.
 *
 * A new format is a file beside this one and a line in `index.ts`. A file of a joined format (one that already
 * knows the device of every event) yields a {@link JoinedLog}; the two halves of a recording in which an emulator
 * and the guest's kernel logged apart yield a {@link HostLog} and a {@link GuestLog}, which `../join` brings together.
 */
import type { LoggedFault } from "../logged-fault.ts";
import type { Columns, Trace, TraceDevice } from "../trace.ts";
import type { ReplayError, ReplayErrorCode } from "../errors.ts";
import type { GuestLog } from "./guest-log.ts";

/** A format: text that is read line by line, or bytes. */
export interface Importer {
	/** short name, as in `--format` and messages: `qemu-vtd` */
	readonly name: string;
	/** for people: "QEMU intel-iommu log" */
	readonly title: string;
	/**
	 * What an unterminated last line is. Recorders that end every line make it a cut one, which is damage even when it still
	 * reads (`gpa 0xd4e` of `gpa 0xd4ec000`); elsewhere it is a line like any other.
	 */
	readonly lastLine: "cut" | "whole";
	/** How well the first lines (as Latin-1) fit, 0 (not at all) to 1; must not look at names. */
	recognise(head: string): number;
	open(place: Place): LineParser | BytesParser;
}

/** Reads the lines of one input. Lines must not be kept: they hold on to the whole chunk. */
export interface LineParser {
	line(text: string): void;
	/** The same of a line that stands in `text` from `start` to before `end`: for formats of which every microsecond counts. */
	lineAt?(text: string, start: number, end: number): void;
	/** After the last line. */
	end(): Recording;
}

/** Reads the bytes of one input, in pieces of any size that must not be kept. */
export interface BytesParser {
	bytes(piece: Uint8Array): void;
	/** After the last byte. */
	end(): Recording | Promise<Recording>;
}

/** A parser of joined recordings whose rows can be taken out on the way, so that any number of them passes through. */
export interface StreamingParser {
	/** Whole chunks of rows that are there, 64 Ki rows at most in each; what is left comes with `end()`. */
	chunks(): Columns[];
	end(): JoinedLog;
}

/** Where a parser reports what it cannot use; knows the file and the line. */
export interface Place {
	/** well formed, but nothing for a replay */
	ignored(): void;
	/** should have been an event and cannot be read; throws when the caller asked for `strict` */
	damage(what: string): void;
	/** An error to throw when nothing after this place can be believed. */
	error(code: ReplayErrorCode, what: string): ReplayError;
}

/** What one input held. */
export type Recording = HostLog | GuestLog | JoinedLog | KernelLog;

/** A device as an emulator's log knows it. */
export interface HostDevice {
	domain: number | null;
	levels: number | null;
}

/** The emulator's half: translations, faults and invalidations in the order in which the IOMMU did them. */
export interface HostLog {
	side: "host";
	architecture: Exclude<Trace["architecture"], "unknown">;
	stage: Trace["stage"];
	/** `id` is a RID in dma and fault rows; `time` is the recorder's clock in microseconds, or the line number when it has none */
	rows: Columns;
	/** whether the log has timestamps */
	timed: boolean;
	/** rows that go on with the invalidation of the row before: not commands of their own when joining */
	continued: ReadonlySet<number>;
	/** by RID */
	devices: Map<number, HostDevice>;
	notes: string[];
}

/** A recording that needs no join. */
export interface JoinedLog {
	side: "joined";
	architecture: Trace["architecture"];
	stage: Trace["stage"];
	columns: Columns;
	devices: TraceDevice[];
	notes: string[];
}

/** The faults of a kernel log: rows of kind fault, time in microseconds since boot (or since the epoch, in a log without uptimes). */
export interface KernelLog {
	side: "kernel";
	architecture: Trace["architecture"];
	columns: Columns;
	devices: TraceDevice[];
	/** in words, the first ones */
	faults: LoggedFault[];
	notes: string[];
}

/** The share of the first complete lines of `head` that `test` accepts, among those that `counts` looks at. */
export function share(head: string, test: RegExp, counts: RegExp = /\S/): number {
	const lines = head.split(/\r?\n/, 1000);
	if (lines.length > 1) lines.pop();
	const looked = lines.filter((line) => counts.test(line));
	return looked.length === 0 ? 0 : looked.filter((line) => test.test(line)).length / looked.length;
}
