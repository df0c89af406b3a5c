/** Sections whose x axis is the run: hit rates, activity, walk references, faults. */
import type { ReportData } from "../data.ts";
import { duration, moment, numbers, percent, roundPercent, whole } from "./dom.ts";
import { type Line, plot } from "./plot.ts";

const SYNC = "run";
const seconds = (value: number) => `${Number(value.toFixed(6))} s`;

/** Starts of the windows, in seconds. */
function starts({ time }: ReportData): number[] {
	return Array.from({ length: time.windows }, (_, i) => (time.start + i * time.width) / 1e6);
}

const sumOf = (columns: number[][], index: number) => columns.reduce((sum, column) => sum + column[index], 0);

/** Hits by DMAs, for all and for each device. */
export function hitRate(data: ReportData): Node[] {
	const { time, devices } = data;
	const x = starts(data);
	const lookups = x.map((_, i) => sumOf(time.perDevice.map((device) => device.lookups), i));
	const hits = x.map((_, i) => sumOf(time.perDevice.map((device) => device.hits), i));
	const line = (label: string, hit: number[], of: number[], tone: number): Line => {
		const values = hit.map((count, i) => (of[i] === 0 ? null : count / of[i]));
		return { label, values, tone, text: (i) => percent(values[i]) };
	};
	const lines = time.perDevice.map((device, index) => line(devices[index].name, device.hits, device.lookups, index));
	// below the others
	if (lines.length > 1) lines.unshift(line("all", hits, lookups, 7));
	return [
		plot({ name: "hit-rate", label: "IOTLB hit rate over time, by device", x, lines, xText: seconds, yText: roundPercent, yRange: [0, 1.02], stepped: true, sync: SYNC }),
		numbers(
			{
				head: ["from", ...lines.map(({ label }) => label), "DMAs"],
				text: [],
				rows: () => x.map((_, i) => [moment(time.start + i * time.width), ...lines.map(({ values }) => percent(values[i])), whole(lookups[i])]),
			},
			`hit rates in windows of ${duration(time.width)}`,
		),
	];
}

/** Events of each window. */
export function activity(data: ReportData): Node[] {
	const { time, devices } = data;
	const x = starts(data);
	const lines: Line[] = [
		...time.perDevice.map(({ lookups }, device) => ({ label: `DMAs ${devices[device].name}`, values: lookups })),
		{ label: "maps", values: time.maps, tone: 12 },
		{ label: "unmaps", values: time.unmaps, tone: 13 },
		{ label: "invalidations", values: time.invalidations, tone: 14 },
	];
	return [
		plot({ name: "activity", label: `Events in windows of ${duration(time.width)}`, x, lines, xText: seconds, yText: whole, stepped: true, sync: SYNC, height: 240 }),
		numbers({ head: ["from", ...lines.map(({ label }) => label)], text: [], rows: () => x.map((_, i) => [moment(time.start + i * time.width), ...lines.map(({ values }) => whole(values[i] ?? 0))]) }, "events"),
	];
}

/** Memory references: totals of each level, and over the run. */
export function levels({ levels: { time, lookups, levels } }: ReportData): Node[] {
	const all = lookups.reduce((a, b) => a + b, 0);
	const each = (count: number, of: number) => (of === 0 ? "-" : (count / of).toFixed(4));
	return [
		plot({
			name: "levels",
			label: "Memory references of page walks, by level of the table",
			x: levels.map((_, index) => index),
			categories: levels.map(({ name }) => name),
			lines: [{ label: "references", values: levels.map(({ total }) => total), bars: true }],
			xText: String,
			yText: whole,
		}),
		plot({
			name: "levels-time",
			label: "Memory references per translation over time, by level of the table",
			x: time.map((end) => end / 1e6),
			lines: levels.map(({ name, samples }) => ({ label: name, values: samples.map((count, i) => (lookups[i] === 0 ? null : count / lookups[i])) })),
			xText: seconds,
			yText: (value) => value.toFixed(2),
			sync: SYNC,
			height: 240,
		}),
		numbers({ head: ["table", "references", "per translation"], text: [0], rows: () => levels.map(({ name, total }) => [name, whole(total), each(total, all)]) }, "references by level"),
		numbers(
			{
				head: ["up to", "translations", ...levels.map(({ name }) => name)],
				text: [],
				rows: () => time.map((end, i) => [moment(end), whole(lookups[i]), ...levels.map(({ samples }) => each(samples[i], lookups[i]))]),
			},
			"references per translation over time",
		),
	];
}

/** Faults of each window, stacked by device. */
export function faultsOverTime(data: ReportData): Node[] {
	const { time, devices } = data;
	const x = starts(data);
	const faulting = devices.map((_, device) => device).filter((device) => time.perDevice[device].faults.some((count) => count > 0));
	// the tallest is drawn first, and the others over it
	const stacked = faulting.map((_, place) => x.map((__, i) => faulting.slice(place).reduce((sum, device) => sum + time.perDevice[device].faults[i], 0) || null));
	const lines: Line[] = faulting.map((device, place) => ({ label: devices[device].name, values: stacked[place], bars: true, tone: device, text: (i) => whole(time.perDevice[device].faults[i]) }));
	return [
		plot({ name: "faults", label: `Faults in windows of ${duration(time.width)}, by device`, x, lines, xText: seconds, yText: whole, sync: SYNC, height: 240 }),
		numbers(
			{
				head: ["from", ...lines.map(({ label }) => label)],
				text: [],
				rows: () => x.flatMap((_, i) => (stacked[0]?.[i] ? [[moment(time.start + i * time.width), ...faulting.map((device) => whole(time.perDevice[device].faults[i]))]] : [])),
			},
			"windows with faults",
		),
	];
}
