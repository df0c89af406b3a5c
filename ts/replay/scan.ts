/**
 * Reading numbers out of a line without regular expressions, BigInt or allocation.
 */

/** Reads numbers at a position; 64-bit values come as two unsigned 32-bit words. */
export class Scanner {
	/** bits 31:0 of the last number */
	lo = 0;
	/** bits 63:32 of the last number */
	hi = 0;
	/** the position after the last number */
	end = 0;
	/** labels are found before this position, where the line ends */
	limit = Number.POSITIVE_INFINITY;

	/** Reads hex digits at `at` (no `0x`); false when there is none or there are more than 16. */
	hex(text: string, at: number): boolean {
		let lo = 0;
		let hi = 0;
		let i = at;
		for (; i < text.length; i++) {
			const digit = hexDigit(text.charCodeAt(i));
			if (digit < 0) break;
			hi = (hi << 4) | (lo >>> 28);
			lo = (lo << 4) | digit;
		}
		this.lo = lo >>> 0;
		this.hi = hi >>> 0;
		this.end = i;
		return i > at && i - at <= 16;
	}

	/** Finds the next `0x` from `from` on and reads the number after it. */
	nextHex(text: string, from: number): boolean {
		const at = text.indexOf("0x", from);
		return at >= 0 && at < this.limit && this.hex(text, at + 2);
	}

	/** Finds `label` from `from` on and reads the hex number right after it, with or without `0x`. */
	labelledHex(text: string, label: string, from: number): boolean {
		const found = text.indexOf(label, from);
		if (found < 0 || found >= this.limit) return false;
		const at = found + label.length;
		return this.hex(text, text.startsWith("0x", at) ? at + 2 : at);
	}

	/** The last number as a double: exact below 2^53, and for multiples of 4096 always. */
	value(): number {
		return this.hi * 0x1_0000_0000 + this.lo;
	}

	/** Reads decimal digits at `at`; the value, or -1 when there is none. */
	decimal(text: string, at: number): number {
		let value = 0;
		let i = at;
		for (; i < text.length; i++) {
			const digit = text.charCodeAt(i) - 48;
			if (digit < 0 || digit > 9) break;
			value = value * 10 + digit;
		}
		this.end = i;
		return i > at ? value : -1;
	}

	/** Finds `label` from `from` on and reads the decimal or `0x` number right after it; -1 when it is not there. */
	labelledNumber(text: string, label: string, from: number): number {
		const found = text.indexOf(label, from);
		if (found < 0 || found >= this.limit) return -1;
		const at = found + label.length;
		if (!text.startsWith("0x", at)) return this.decimal(text, at);
		return this.hex(text, at + 2) ? this.value() : -1;
	}
}

function hexDigit(code: number): number {
	if (code >= 48 && code <= 57) return code - 48;
	if (code >= 97 && code <= 102) return code - 87;
	if (code >= 65 && code <= 70) return code - 55;
	return -1;
}

/** Bits 31:0 of a whole number. */
export function low(value: number): number {
	return value >>> 0;
}

/** Bits 63:32 of a whole number. */
export function high(value: number): number {
	return Math.floor(value / 0x1_0000_0000) >>> 0;
}
