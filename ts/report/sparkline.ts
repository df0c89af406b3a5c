/** Sparklines for a terminal; hit rates over time, one line for each device. */
import type { Collector } from "./collector.ts";

const BARS = "▁▂▃▄▅▆▇█";
const GAP = " ";
/** Devices that get a line: those with most DMAs. */
const LINES = 16;

/** Values from 0 to `most` as one character each; null is a gap. */
export function sparkline(values: ReadonlyArray<number | null>, most = Math.max(...values.map((value) => value ?? 0))): string {
	return values.map((value) => (value === null ? GAP : BARS[most > 0 ? Math.min(BARS.length - 1, Math.floor((BARS.length * value) / most)) : 0])).join("");
}

/** Hits by look-ups in `width` columns or fewer, each of as many windows. */
export function ratios(hits: Float64Array, lookups: Float64Array, windows: number, width: number): Array<number | null> {
	const per = Math.max(1, Math.ceil(windows / width));
	return Array.from({ length: Math.ceil(windows / per) }, (_, column) => {
		let [hit, all] = [0, 0];
		for (let i = column * per; i < Math.min(windows, (column + 1) * per); i++) {
			hit += hits[i];
			all += lookups[i];
		}
		return all === 0 ? null : hit / all;
	});
}

/** The lines of a plot, `columns` characters wide at most; none without DMAs. */
export function hitRateLines({ devices, windows }: Collector, columns: number): string[] {
	const total = (counts: Float64Array) => counts.reduce((a, b) => a + b, 0);
	const busy = devices.map(({ lookups }, index) => ({ index, dma: total(lookups) })).filter(({ dma }) => dma > 0);
	busy.sort((a, b) => b.dma - a.dma);
	const shown = busy.slice(0, LINES);
	if (shown.length === 0) return [];
	const longest = Math.max(...shown.map(({ index }) => devices[index].name.length));
	const width = Math.max(10, columns - longest - 20);
	const per = Math.max(1, Math.ceil(windows.length / width));
	const percent = (ratio: number) => `${(100 * ratio).toFixed(0)}%`.padStart(4);
	const lines = shown.map(({ index }) => {
		const { hits, lookups } = devices[index];
		const line = ratios(hits, lookups, windows.length, width);
		const known = line.filter((ratio) => ratio !== null);
		return `${devices[index].name.padEnd(longest)}  ${sparkline(line, 1)}  ${percent(Math.min(...known))} to ${percent(Math.max(...known))}`;
	});
	const more = busy.length > shown.length ? `, the ${shown.length} devices with most DMAs` : "";
	return [`hit rate over time, ${((windows.width * per) / 1000).toPrecision(3)} ms a column, low 0%, high 100%${more}`, ...lines];
}
