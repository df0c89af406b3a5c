import pc from "picocolors";

/** Columns of text under a bold head; numbers (and heads of number columns) to the right. */
export function table(head: string[], rows: string[][], numeric: boolean[]): string {
	const widths = head.map((text, i) => Math.max(text.length, ...rows.map((row) => row[i].length)));
	const line = (cells: string[]) =>
		cells
			.map((cell, i) => (numeric[i] ? cell.padStart(widths[i]) : cell.padEnd(widths[i])))
			.join("  ")
			.trimEnd();
	return [pc.bold(line(head)), ...rows.map(line)].join("\n");
}

export const number = (n: number) => n.toLocaleString("en-US");
export const percent = (part: number, whole: number) => (whole === 0 ? "-" : `${((100 * part) / whole).toFixed(1)}%`);

/** Bytes in the largest binary unit that keeps a digit before the point. */
export function bytes(n: number): string {
	const units = ["B", "KiB", "MiB", "GiB", "TiB"];
	let unit = 0;
	while (n >= 1024 && unit < units.length - 1) {
		n /= 1024;
		unit++;
	}
	return `${unit === 0 ? n : n.toFixed(1)} ${units[unit]}`;
}
