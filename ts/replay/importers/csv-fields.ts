/** The columns of `simulator-csv.ts` in whatever order a file has them. */

const COLUMNS = ["device", "iova", "kind", "time_us", "time_ns", "time_s", "size", "pa", "access", "verdict", "domain", "pasid", "scope", "reason"] as const;
export type Column = (typeof COLUMNS)[number];

/** Finds the fields of each row; a column that the file has not is empty. */
export class CsvFields {
	private readonly starts = new Int32Array(COLUMNS.length);
	private readonly ends = new Int32Array(COLUMNS.length);
	private order: number[] = [];
	/** names in the header that are no columns here */
	ignored: string[] = [];

	/** Takes the header; false when a name comes twice. */
	header(text: string): boolean {
		const names = text.toLowerCase().split(",").map((name) => name.trim());
		this.order = names.map((name) => COLUMNS.indexOf(name as Column));
		this.ignored = names.filter((name) => !COLUMNS.includes(name as Column)).map((name) => Array.from(name).join(""));
		const known = this.order.filter((column) => column >= 0);
		return new Set(known).size === known.length;
	}

	/** Finds the fields of a row; false when their number is not the header's. */
	split(text: string): boolean {
		let start = 0;
		for (let i = 0; i < this.order.length; i++) {
			const comma = text.indexOf(",", start);
			if ((comma < 0) !== (i === this.order.length - 1)) return false;
			const end = comma < 0 ? text.length : comma;
			if (this.order[i] >= 0) this.trim(text, this.order[i], start, end);
			start = end + 1;
		}
		return true;
	}

	private trim(text: string, column: number, start: number, end: number): void {
		while (start < end && text.charCodeAt(start) <= 32) start++;
		while (end > start && text.charCodeAt(end - 1) <= 32) end--;
		this.starts[column] = start;
		this.ends[column] = end;
	}

	/** The field of a column in the row that was split last. */
	text(text: string, column: Column): string {
		const index = COLUMNS.indexOf(column);
		return text.slice(this.starts[index], this.ends[index]);
	}
}
