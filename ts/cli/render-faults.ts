import pc from "picocolors";
import type { Cause, FaultReport, Histogram, LifeTimes } from "../replay/history/types.ts";
import { sparkline } from "../report/sparkline.ts";
import { bytes, number, table } from "./table.ts";

/** A time of microseconds in the largest unit that keeps a digit before the point. */
export function duration(us: number | null): string {
	if (us === null) return "-";
	if (us < 1000) return `${us.toFixed(us < 10 ? 1 : 0)} us`;
	if (us < 1e6) return `${(us / 1000).toFixed(1)} ms`;
	return `${(us / 1e6).toFixed(2)} s`;
}

function histogramLine(label: string, { edges, counts }: Histogram): string {
	return counts.length === 0 ? `${label}: none` : `${label}: ${sparkline(counts)}  0 to ${duration(edges[edges.length - 1])}, a bar for each power of two of us, the highest ${number(Math.max(...counts))}`;
}

function renderCauses(report: FaultReport): string {
	const causes = (Object.keys(report.byCause) as Cause[]).filter((cause) => report.byCause[cause] > 0);
	const devices = report.perDevice.filter(({ total }) => total > 0);
	return table(
		["device", "faults", ...causes],
		[...devices.map((d) => [d.name, number(d.total), ...causes.map((cause) => number(d.byCause[cause]))]), ["all", number(report.total), ...causes.map((cause) => number(report.byCause[cause]))]],
		[false, true, ...causes.map(() => true)],
	);
}

function renderMaps(maps: LifeTimes): string[] {
	return [
		pc.bold("maps"),
		table(
			["device", "maps", "ended", "alive", "bytes alive", "mean life", "p50", "p99"],
			maps.perDevice.filter((d) => d.maps > 0).map((d) => [d.name, number(d.maps), number(d.ended), number(d.alive), bytes(d.aliveBytes), duration(d.mean), duration(d.p50), duration(d.p99)]),
			[false, true, true, true, true, true, true, true],
		),
		histogramLine("life times", maps.histogram),
		`${number(maps.alive)} maps never unmapped, ${number(maps.replaced)} replaced by a later map, ${number(maps.emptyUnmaps)} unmaps of what was not mapped`,
		...maps.neverUnmapped.slice(0, 5).map((map) => `  ${duration(map.time)}  ${map.device}  [${map.iova}, +${map.size}] to ${map.pa} ${map.rights}`),
	];
}

/** Faults by cause, the first of them in words, and the life times of maps. */
export function renderFaults(report: FaultReport, lines: number): string {
	const out: string[] = [];
	if (report.total === 0) out.push("no fault was recorded, and the tables explain every DMA");
	else {
		out.push(pc.bold("faults and unexplained DMAs"), renderCauses(report));
		if (report.byCause["use after unmap"] > 0) out.push(histogramLine("use after unmap by", report.afterUnmap));
		out.push("", pc.bold("pages with most of them"));
		out.push(table(["device", "page", "count", "first cause", "recorded output"], report.pages.slice(0, 5).map((p) => [p.device, p.page, number(p.count), p.cause, p.pa ?? "-"]), [false, false, true, false, false]));
		out.push("", pc.bold("the first"));
		for (const s of report.stories.slice(0, lines)) {
			const remapped = s.remapped === null ? "" : `; mapped again ${duration(s.remapped)} later`;
			out.push(`  ${(s.time / 1e6).toFixed(6)} s  ${s.device}  ${s.access} ${s.address}${s.recorded === null ? "" : `, recorded fault ${s.recorded}`}: ${s.text}${remapped}`);
		}
	}
	out.push("", ...renderMaps(report.maps));
	for (const note of report.notes) out.push(pc.dim(`note: ${note}`));
	return out.join("\n");
}
