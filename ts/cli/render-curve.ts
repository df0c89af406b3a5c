import pc from "picocolors";
import { hitsAt, missRatioAt } from "../replay/curve/hit-counts.ts";
import type { CurveReport, CurveResult, HitCurve, SimulatedPoint } from "../replay/curve/types.ts";
import { sparkline } from "../report/sparkline.ts";
import { bytes, number, percent, table } from "./table.ts";

/** Bars of a sparkline, evenly on a logarithmic scale of sizes. */
const BARS = 48;
/** Devices that get a column. */
const COLUMNS = 6;

const title = ({ invalidations, method }: CurveResult) => `${invalidations ? "all" : "uninvalidated"}${method === "shards" ? "~" : ""}`;
const largestOf = (curves: readonly CurveResult[]) => Math.max(2, ...curves.map(({ whole }) => whole.sizes[whole.sizes.length - 1] ?? 1));
const hitRate = (curve: HitCurve, size: number) => percent(hitsAt(curve, size), curve.accesses);

/** Powers of two up to the size that no curve gains beyond. */
export function powersFor(curves: readonly CurveResult[]): number[] {
	const largest = largestOf(curves);
	const sizes = [1];
	while (sizes[sizes.length - 1] < largest) sizes.push(2 * sizes[sizes.length - 1]);
	return sizes;
}

function line(label: string, curve: HitCurve, largest: number): string[] {
	const ratios = Array.from({ length: BARS }, (_, i) => missRatioAt(curve, Math.round(largest ** (i / (BARS - 1)))));
	return [label, sparkline(ratios, 1), percent(ratios[0], 1), percent(ratios[BARS - 1], 1), number(curve.accesses)];
}

/** Rows of sizes, columns of devices, and a sparkline of misses for each. */
export function renderCurves(report: CurveReport, wanted: readonly number[] | undefined): string {
	const { curves, simulated } = report;
	const [first] = curves;
	const sizes = wanted ?? powersFor(curves);
	const devices = first.perDevice.filter(({ curve }) => curve.accesses > 0);
	const shown = devices.length > 1 ? devices.slice(0, COLUMNS) : [];
	const out = [
		pc.bold("hit rate of a fully associative LRU IOTLB"),
		table(
			["entries", ...curves.map(title), ...shown.map(({ name }) => name)],
			sizes.map((size) => [number(size), ...curves.map(({ whole }) => hitRate(whole, size)), ...shown.map(({ curve }) => hitRate(curve, size))]),
			[true, ...curves.map(() => true), ...shown.map(() => true)],
		),
		"",
	];
	const largest = largestOf(curves);
	const lines = curves.map((result) => line(title(result), result.whole, largest));
	if (shown.length > 0) for (const { name, curve } of shown) lines.push(line(name, curve, largest));
	if (first.perPageSize.length > 1) for (const { bytes: size, curve } of first.perPageSize) lines.push(line(size === null ? "faults" : `${bytes(size)} pages`, curve, largest));
	out.push(table(["misses", `1 to ${number(largest)} entries`, "at 1", "at most", "look-ups"], lines, [false, false, true, true, true]));
	if (simulated.length > 0) out.push("", renderSimulated(simulated, first));
	for (const result of curves) out.push(...remarks(result).map((note) => pc.dim(`note: ${note}`)));
	return out.join("\n");
}

function remarks(result: CurveResult): string[] {
	const { sampling, warmUp, ambiguous, accesses, notes } = result;
	const out = [...notes];
	if (sampling !== null) out.push(`${title(result)}: ${number(sampling.sampledPages)} pages sampled (${percent(sampling.rate, 1)}), expected error of a miss ratio ${sampling.error.toFixed(4)}`);
	if (warmUp > 0) out.push(`${title(result)}: ${number(warmUp)} look-ups before the mark are left out`);
	if (ambiguous > 0) out.push(`${title(result)}: ${number(ambiguous)} look-ups met two page sizes of one address; the curve may be off by as many`);
	if (accesses === "addresses") out.push(`${title(result)}: addresses alone, whatever the tables say`);
	return out;
}

/** Simulated caches by size, a column for each way of building one, after the exact curve. */
function renderSimulated(points: readonly SimulatedPoint[], { whole }: CurveResult): string {
	const kind = ({ geometry }: SimulatedPoint) => geometry.replace(/^\d+x(\d+)/, "$1-way").replace(/^full:\d+/, "full");
	const kinds = [...new Set(points.map(kind))];
	const sizes = [...new Set(points.map(({ entries }) => entries))].sort((a, b) => a - b);
	const cell = (size: number, name: string) => {
		const point = points.find((p) => p.entries === size && kind(p) === name);
		return point === undefined ? "-" : percent(point.hits, point.hits + point.misses);
	};
	return [pc.bold("hit rate, simulated"), table(["entries", "full, curve", ...kinds], sizes.map((size) => [number(size), hitRate(whole, size), ...kinds.map((name) => cell(size, name))]), [true, true, ...kinds.map(() => true)])].join("\n");
}
