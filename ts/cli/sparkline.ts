const BARS = "▁▂▃▄▅▆▇█";

/** Values as a line of bars, scaled from 0 to `most`. */
export function sparkline(values: readonly number[], most = Math.max(...values)): string {
	return values.map((value) => BARS[most > 0 ? Math.min(BARS.length - 1, Math.floor((BARS.length * value) / most)) : 0]).join("");
}
