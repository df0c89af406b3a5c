/**
 * Counts over time in one pass, whatever the run's length: windows of equal width that merge in pairs when the run
 * outgrows them. At the end a run has between CAPACITY / 2 and CAPACITY windows (fewer when it is shorter than that many
 * microseconds).
 */

/** Windows at most. */
export const CAPACITY = 512;

/** Width and position of the windows; columns of counts register here so that they merge along. */
export class Windows {
	/** microseconds, a power of two */
	width = 1;
	/** time of the first window's start, microseconds; the first event */
	origin = Number.NaN;
	/** windows in use */
	length = 0;
	private readonly merges: Array<() => void> = [];

	/** The window of a time; never before an earlier one's. */
	at(time: number): number {
		if (this.length === 0) this.origin = time;
		let window = Math.floor((time - this.origin) / this.width);
		while (window >= CAPACITY) {
			this.halve();
			window = Math.floor((time - this.origin) / this.width);
		}
		if (window >= this.length) this.length = window + 1;
		return window;
	}

	/** A column of counts; two windows that merge are added up. */
	counts(): Float64Array {
		const column = new Float64Array(CAPACITY);
		this.merges.push(() => addPairs(column));
		return column;
	}

	/** Be told before every merge. */
	onMerge(merge: () => void): void {
		this.merges.push(merge);
	}

	private halve(): void {
		for (const merge of this.merges) merge();
		this.width *= 2;
		this.length = (this.length + 1) >> 1;
	}
}

/** The sum of cells 2i and 2i + 1 goes to cell i; the second half is zero then. */
export function addPairs(column: Float64Array | Uint32Array): void {
	const half = column.length >> 1;
	for (let i = 0; i < half; i++) column[i] = column[2 * i] + column[2 * i + 1];
	column.fill(0, half);
}
