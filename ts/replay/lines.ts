/**
 * Bytes to lines. Text is decoded as Latin-1: every format here is ASCII where it matters, and one byte per
 * character is what V8 slices and scans fastest.
 */

/** Takes one line: `text` from `start` to before `end`, without the line's end. */
export type LineSink = (text: string, start: number, end: number) => void;

/** Splits chunks into lines at LF or CRLF. */
export class LineSplitter {
	private carry = "";
	private readonly decode = latin1();

	/** Hands every line that `chunk` completes to `sink`. */
	push(chunk: Uint8Array, sink: LineSink): void {
		const text = this.decode(chunk);
		let end = text.indexOf("\n");
		if (end < 0) {
			this.carry += text;
			return;
		}
		const first = withoutReturn(this.carry + text.slice(0, end));
		sink(first, 0, first.length);
		let start = end + 1;
		for (end = text.indexOf("\n", start); end >= 0; end = text.indexOf("\n", start)) {
			sink(text, start, text.charCodeAt(end - 1) === 13 && end > start ? end - 1 : end);
			start = end + 1;
		}
		this.carry = text.slice(start);
	}

	/** What stands after the last line end; empty when the text ends as it should. */
	rest(): string {
		const rest = withoutReturn(this.carry);
		this.carry = "";
		return rest;
	}
}

function withoutReturn(line: string): string {
	return line.endsWith("\r") ? line.slice(0, -1) : line;
}

/** A decoder of whole chunks; one byte is one character, so no state is carried over. */
export function latin1(): (chunk: Uint8Array) => string {
	if (typeof globalThis.Buffer === "function") {
		return (chunk) => Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString("latin1");
	}
	const decoder = new TextDecoder("latin1");
	return (chunk) => decoder.decode(chunk);
}
