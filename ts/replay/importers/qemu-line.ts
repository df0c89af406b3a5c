/**
 * The start of a QEMU `log` backend trace line: `TID@SEC.USEC:event args` with `-msg timestamp=on`, else `event args`.
 */
const ZERO = 48;
const NINE = 57;
const AT = 64;
const DOT = 46;
const COLON = 58;

/** Reads the prefix of each line; the time only when it is asked for, since most lines make no row. */
export class QemuLine {
	/** where the event's name starts */
	start = 0;
	/** whether any line had a timestamp */
	timed = false;
	private text = "";
	/** where the line starts, and the event in it */
	private from = 0;
	private within = 0;
	private at = -1;
	private lines = 0;
	private last = 0;

	/** Finds the event in the line that starts at `from`. */
	read(text: string, from = 0): void {
		this.lines++;
		this.text = text;
		this.from = from;
		// thread ids mostly have as many digits as in the line before
		if (text.charCodeAt(from + this.at) === AT && text.charCodeAt(from + this.within - 1) === COLON && this.at >= 0) {
			this.start = from + this.within;
			return;
		}
		const at = isDigit(text.charCodeAt(from)) ? skipDigits(text, from) : -1;
		const start = at < 0 ? 0 : this.stampEnd(text, at);
		this.at = start === 0 ? -1 : at - from;
		this.within = start === 0 ? 0 : start - from;
		this.start = from + this.within;
		if (start > 0) this.timed = true;
	}

	/** Where the event starts after a well-formed stamp; 0 when there is none. */
	private stampEnd(text: string, at: number): number {
		if (text.charCodeAt(at) !== AT) return 0;
		const dot = skipDigits(text, at + 1);
		if (text.charCodeAt(dot) !== DOT) return 0;
		const colon = skipDigits(text, dot + 1);
		return text.charCodeAt(colon) === COLON ? colon + 1 : 0;
	}

	/**
	 * Microseconds; the number of the line in a log without timestamps. Never goes back: threads take the clock before they
	 * get to write.
	 */
	time(): number {
		if (this.at < 0) {
			// a line without its stamp among others has the time of the one before
			if (!this.timed) this.last = this.lines;
			return this.last;
		}
		const text = this.text;
		let seconds = 0;
		let i = this.from + this.at + 1;
		for (; isDigit(text.charCodeAt(i)); i++) seconds = seconds * 10 + text.charCodeAt(i) - ZERO;
		let micros = 0;
		for (i++; isDigit(text.charCodeAt(i)); i++) micros = micros * 10 + text.charCodeAt(i) - ZERO;
		this.last = Math.max(this.last, seconds * 1e6 + micros);
		return this.last;
	}
}

function isDigit(code: number): boolean {
	return code >= ZERO && code <= NINE;
}

function skipDigits(text: string, at: number): number {
	while (isDigit(text.charCodeAt(at))) at++;
	return at;
}
