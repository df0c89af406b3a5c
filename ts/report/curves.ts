/** Miss-ratio curves thinned for a page. */
import type { CurveResult, HitCurve } from "../replay/curve/types.ts";
import type { CurveData } from "./data.ts";

/** Sizes at which a curve is shown, at most. */
export const CURVE_SIZES = 200;

/** Curves of one trace on common sizes: the whole with and without invalidations, and each device of the first. */
export function curveData(results: readonly CurveResult[], devices: readonly string[]): CurveData | null {
	if (results.every(({ whole }) => whole.accesses === 0)) return null;
	const largest = Math.max(2, ...results.map(({ whole }) => whole.sizes[whole.sizes.length - 1] ?? 1));
	const sizes = sizesUpTo(largest);
	const series: CurveData["series"] = results.map((result) => ({
		label: `all devices${result.invalidations ? "" : ", invalidations ignored"}${result.method === "shards" ? " (sampled)" : ""}`,
		misses: missesAt(result.whole, sizes),
	}));
	const [{ perDevice }] = results;
	if (perDevice.length > 1) {
		for (const { name, curve } of perDevice) if (devices.includes(name) && curve.accesses > 0) series.push({ label: name, misses: missesAt(curve, sizes) });
	}
	const notes = results.flatMap(({ notes, sampling }) => (sampling === null ? notes : [...notes, `sampled: ${(100 * sampling.rate).toFixed(2)}% of the pages, expected error of the miss ratio ${sampling.error.toFixed(4)}`]));
	return { sizes, series, notes: [...new Set(notes)] };
}

/** Every size up to 16, then evenly on a logarithmic scale with every power of two among them. */
export function sizesUpTo(largest: number): number[] {
	const top = Math.max(1, Math.ceil(Math.log2(largest)));
	const perOctave = Math.max(1, Math.floor((CURVE_SIZES - 16) / Math.max(1, top - 4)));
	const sizes = new Set<number>();
	for (let size = 1; size <= Math.min(16, 2 ** top); size++) sizes.add(size);
	for (let octave = 4; octave < top; octave++) {
		for (let step = 0; step < perOctave; step++) sizes.add(Math.round(2 ** (octave + step / perOctave)));
	}
	sizes.add(2 ** top);
	return [...sizes].sort((a, b) => a - b);
}

function missesAt({ accesses, sizes, hits }: HitCurve, wanted: readonly number[]): number[] {
	let step = -1;
	return wanted.map((size) => {
		while (step + 1 < sizes.length && sizes[step + 1] <= size) step++;
		if (accesses === 0) return 0;
		return rounded(1 - (step < 0 ? 0 : hits[step]) / accesses);
	});
}

const rounded = (ratio: number) => Math.round(ratio * 1e6) / 1e6;
