/**
 * The start of a line of kernel trace text. tracefs and `trace-cmd report`: `comm-pid [cpu] flags sec.usec: event: body`;
 * the flags may be off (`nop` with irq-info off), a thread group `(tgid)` may stand before the CPU. `perf script`:
 * `comm pid [cpu] sec.usec: system:event: body`, the pid also as `pid/tid`. comm may hold anything.
 */
const SPACE = 32;
const CLOSE = 93;
const MINUS = 45;
const DOT = 46;
const COLON = 58;

const LEVELS = 4;
const CPUS = 4096;
/** pids have at most 22 bits, so idle tasks get numbers above */
const IDLE = 2 ** 22;

/** How the tool writes the task and the event. */
export type LineStyle = "ftrace" | "perf";

/** Reads the prefix of each line. */
export class FtraceLine {
	/** microseconds */
	time = 0;
	/** the task and its interrupt level */
	task = 0;
	/** the task, its interrupt level and its CPU */
	context = 0;
	/** where the event's name starts, and where it ends (at its colon) */
	event = 0;
	eventEnd = 0;
	/** where the body starts */
	body = 0;
	private readonly perf: boolean;

	constructor(style: LineStyle = "ftrace") {
		this.perf = style === "perf";
	}

	/** Reads the prefix of `text`; false when it has another shape. */
	read(text: string): boolean {
		for (let at = text.indexOf("["); at >= 0; at = text.indexOf("[", at + 1)) {
			if (this.readFrom(text, at)) return true;
		}
		return false;
	}

	/** Reads on from the bracket of the CPU at `at`; comm may hold brackets of its own. */
	private readFrom(text: string, at: number): boolean {
		const cpuEnd = digits(text, at + 1);
		if (cpuEnd === at + 1 || text.charCodeAt(cpuEnd) !== CLOSE || text.charCodeAt(cpuEnd + 1) !== SPACE) return false;
		const pid = this.perf ? tidBefore(text, at) : pidBefore(text, at);
		if (pid < 0) return false;
		let i = skipSpaces(text, cpuEnd + 2);
		let level = 0;
		if (!isDigitThenStamp(text, i)) {
			level = interruptLevel(text.charCodeAt(i + 2));
			i = skipSpaces(text, nextSpace(text, i));
		}
		if (!this.stamp(text, i)) return false;
		const cpu = number(text, at + 1, cpuEnd);
		const task = (pid > 0 ? pid : IDLE + cpu) * LEVELS + level;
		this.task = task;
		this.context = task * CPUS + cpu;
		return true;
	}

	private stamp(text: string, at: number): boolean {
		const dot = digits(text, at);
		if (dot === at || text.charCodeAt(dot) !== DOT) return false;
		const end = digits(text, dot + 1);
		if (end === dot + 1 || text.charCodeAt(end) !== COLON) return false;
		const micros = (number(text, dot + 1, end) / 10 ** (end - dot - 1)) * 1e6;
		// whole microseconds exactly; the nanosecond clocks keep their fraction
		this.time = number(text, at, dot) * 1e6 + (end - dot - 1 === 6 ? Math.round(micros) : micros);
		this.event = skipSpaces(text, end + 1);
		if (this.perf) this.event = text.indexOf(":", this.event) + 1;
		this.eventEnd = this.event === 0 ? -1 : text.indexOf(":", this.event);
		this.body = this.eventEnd + 1;
		return this.eventEnd > this.event;
	}
}

function pidBefore(text: string, at: number): number {
	let end = at;
	while (end > 0 && text.charCodeAt(end - 1) === SPACE) end--;
	if (text.charCodeAt(end - 1) === 41) {
		end = text.lastIndexOf("(", end);
		while (end > 0 && text.charCodeAt(end - 1) === SPACE) end--;
	}
	let start = end;
	while (start > 0 && isDigit(text.charCodeAt(start - 1))) start--;
	return start < end && text.charCodeAt(start - 1) === MINUS ? number(text, start, end) : -1;
}

/** `123 [`, or the second number of `123/125 [` */
function tidBefore(text: string, at: number): number {
	let end = at;
	while (end > 0 && text.charCodeAt(end - 1) === SPACE) end--;
	let start = end;
	while (start > 0 && isDigit(text.charCodeAt(start - 1))) start--;
	const before = text.charCodeAt(start - 1);
	return start < end && (before === SPACE || before === 47) ? number(text, start, end) : -1;
}

/** `.` task, `s` softirq, `h`/`H`/`z`/`Z` hard interrupts and NMIs */
function interruptLevel(code: number): number {
	if (code === 46) return 0;
	return code === 115 ? 1 : 2;
}

/** Whether a timestamp starts at `at`, and not flags that start with a digit. */
function isDigitThenStamp(text: string, at: number): boolean {
	const end = digits(text, at);
	return end > at && text.charCodeAt(end) === DOT && isDigit(text.charCodeAt(end + 1));
}

function isDigit(code: number): boolean {
	return code >= 48 && code <= 57;
}

function digits(text: string, at: number): number {
	while (isDigit(text.charCodeAt(at))) at++;
	return at;
}

function number(text: string, start: number, end: number): number {
	let value = 0;
	for (let i = start; i < end; i++) value = value * 10 + text.charCodeAt(i) - 48;
	return value;
}

function skipSpaces(text: string, at: number): number {
	while (text.charCodeAt(at) === SPACE) at++;
	return at;
}

function nextSpace(text: string, at: number): number {
	const found = text.indexOf(" ", at);
	return found < 0 ? text.length : found;
}
