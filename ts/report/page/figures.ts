/** Sections without a time axis: the miss-ratio curve, devices, life times. */
import type { Histogram } from "../../replay/history/types.ts";
import type { CurveData, ReportData } from "../data.ts";
import { bytes, duration, element, numbers, percent, roundPercent, type Table, tableElement, whole } from "./dom.ts";
import { plot } from "./plot.ts";

export function missRatio({ sizes, series }: CurveData): Node[] {
	return [
		plot({
			name: "miss-ratio",
			label: "Miss ratio of a fully associative LRU IOTLB by its number of entries",
			x: sizes,
			lines: series.map(({ label, misses }) => ({ label, values: misses, text: (i) => percent(misses[i]) })),
			xText: (value) => (Number.isInteger(value) ? whole(value) : ""),
			yText: roundPercent,
			logX: 2,
			yRange: [0, 1.02],
			stepped: true,
		}),
		numbers({ head: ["entries", ...series.map(({ label }) => label)], text: [], rows: () => sizes.map((size, i) => [whole(size), ...series.map(({ misses }) => percent(misses[i]))]) }, "miss ratios"),
	];
}

const deviceTable = ({ devices }: ReportData): Table => ({
	head: ["device", "DMAs", "hits", "hit rate", "misses", "references", "references per DMA", "peak mapped", "faults", "disagreements"],
	text: [0],
	rows: () =>
		devices.map(({ name, dma, hits, misses, references, peakBytes, faults, disagreements }) => [
			name,
			whole(dma),
			whole(hits),
			percent(hits + misses === 0 ? null : hits / (hits + misses)),
			whole(misses),
			whole(references),
			dma === 0 ? "-" : (references / dma).toFixed(3),
			peakBytes === null ? "-" : bytes(peakBytes),
			whole(faults),
			whole(disagreements),
		]),
});

/** DMAs of each device: hits, misses and faults on top of each other. */
export function perDevice(data: ReportData): Node[] {
	const { devices } = data;
	const parts = [
		{ label: "faults", of: (i: number) => devices[i].faults, tone: 6 },
		{ label: "misses", of: (i: number) => devices[i].misses - devices[i].faults, tone: 1 },
		{ label: "hits", of: (i: number) => devices[i].hits, tone: 0 },
	];
	return [
		plot({
			name: "devices",
			label: "DMAs by device: IOTLB hits, misses and faults",
			x: devices.map((_, index) => index),
			categories: devices.map(({ name }) => name),
			// the tallest is drawn first, and the others over it
			lines: parts.map(({ label, of, tone }, place) => ({
				label,
				tone,
				bars: true,
				values: devices.map((_, i) => parts.slice(place).reduce((sum, part) => sum + part.of(i), 0)),
				text: (i) => whole(of(i)),
			})),
			xText: String,
			yText: whole,
		}),
		tableElement(deviceTable(data), "Devices"),
		...pageSizes(data),
		...latency(data),
	];
}

function pageSizes({ pageSizes }: ReportData): Node[] {
	const rows = () => pageSizes.map(({ bytes: size, hits, misses }) => [size === null ? "none (faults)" : bytes(size), whole(hits + misses), whole(hits), percent(hits + misses === 0 ? null : hits / (hits + misses))]);
	return [element("h3", {}, "Page sizes"), tableElement({ head: ["leaf", "look-ups", "hits", "hit rate"], text: [0], rows }, "Page sizes")];
}

function latency({ latency }: ReportData): Node[] {
	if (latency === null) return [];
	const row = (name: string, { count, mean, p50, p99, most }: Pick<typeof latency, "count" | "mean" | "p50" | "p99" | "most">) => [name, whole(count), ...[mean, p50, p99, most].map((value) => String(Number(value.toPrecision(5))))];
	const rows = () => [...latency.perDevice.map((device) => row(device.name, device)), row("all", latency)];
	return [
		element("h3", {}, `Latency${latency.unit === "" ? "" : ` in ${latency.unit}`}, by the table of costs`),
		tableElement({ head: ["device", "requests", "mean", "median", "99th percentile", "most"], text: [0], rows }, "Latency"),
	];
}

/** Counts in intervals of microseconds that double. */
export function histogram(name: string, label: string, what: string, { edges, counts }: Histogram, tone: number): Node[] {
	const used = counts.map((_, i) => i).filter((i) => counts[i] > 0);
	const first = used[0] ?? 0;
	const shown = counts.slice(first, (used[used.length - 1] ?? -1) + 1);
	return [
		plot({
			name,
			label,
			x: shown.map((_, i) => i),
			categories: shown.map((_, i) => duration(edges[first + i])),
			lines: [{ label: what, values: shown, bars: true, tone }],
			xText: String,
			yText: whole,
			height: 260,
		}),
		numbers({ head: ["from", what], text: [0], rows: () => shown.map((count, i) => [`${duration(edges[first + i])} to ${duration(edges[first + i + 1])}`, whole(count)]) }, label[0].toLowerCase() + label.slice(1)),
	];
}

/** How long maps lived. */
export function lifeTimes({ maps }: NonNullable<ReportData["history"]>): Node[] {
	const time = (value: number | null) => (value === null ? "-" : duration(value));
	return [
		...histogram("life-times", "Life times of maps", "maps", maps.histogram, 2),
		tableElement(
			{
				head: ["device", "maps", "ended", "still mapped", "bytes still mapped", "mean", "median", "99th percentile"],
				text: [0],
				rows: () => [
					...maps.perDevice.map((d) => [d.name, whole(d.maps), whole(d.ended), whole(d.alive), bytes(d.aliveBytes), time(d.mean), time(d.p50), time(d.p99)]),
					["all", whole(maps.maps), whole(maps.ended), whole(maps.alive), "", time(maps.mean), time(maps.p50), time(maps.p99)],
				],
			},
			"Life times by device",
		),
		...(maps.neverUnmapped.length === 0
			? []
			: [
					numbers(
						{ head: ["at", "device", "address", "bytes", "rights"], text: [1, 2, 4], rows: () => maps.neverUnmapped.map((map) => [duration(map.time), map.device ?? "-", map.iova, whole(map.size), map.rights ?? "-"]) },
						"the first maps that were never unmapped",
					),
				]),
	];
}
