/** From a replay's results to the data of a page. */
import type { CurveResult } from "../replay/curve/types.ts";
import type { FaultReport } from "../replay/history/types.ts";
import type { HardwareOptions } from "../replay/machine.ts";
import type { ReplayDevice, ReplaySummary } from "../replay/summary.ts";
import type { Trace } from "../replay/trace.ts";
import { VERSION } from "../version.ts";
import { addressMapData, MAP_COLUMNS } from "./address-map-data.ts";
import { ROWS } from "./address-map.ts";
import type { Collector, DeviceSeries } from "./collector.ts";
import { CURVE_SIZES, curveData } from "./curves.ts";
import type { DeviceRow, ReportData } from "./data.ts";
import { dateText, machineText, recorderText } from "./machine.ts";
import { CAPACITY } from "./windows.ts";

/** What a report is made of. */
export interface ReportInput {
	trace: Pick<Trace, "files" | "startedAt" | "architecture" | "stage">;
	/** hardware that the replay was asked for */
	options: HardwareOptions;
	summary: ReplaySummary;
	/** was an observer of the replay */
	collector: Collector;
	/** miss-ratio curves of the trace; devices are shown of the first one */
	curves?: readonly CurveResult[];
	/** the trace held against the history of its pages */
	history?: FaultReport | null;
}

/** Devices that are drawn on their own; the others are one line together. */
const DRAWN_DEVICES = 12;
/** Fault stories that a page shows. */
export const STORIES = 200;

/** The page's data. */
export function reportData({ trace, options, summary, collector, curves = [], history = null }: ReportInput): ReportData {
	const { windows } = collector;
	const order = summary.perDevice.map((_, index) => index).sort((a, b) => summary.perDevice[b].dma - summary.perDevice[a].dma);
	const single = order.slice(0, order.length > DRAWN_DEVICES ? DRAWN_DEVICES - 1 : DRAWN_DEVICES);
	const groups = single.map((index) => [index]);
	if (order.length > single.length) groups.push(order.slice(single.length));
	const devices = groups.map((group) => deviceRow(group.map((index) => summary.perDevice[index])));
	const used = (column: Float64Array) => Array.from(column.subarray(0, windows.length));
	const series = (group: number[], name: "lookups" | "hits" | "faults") => added(group.map((index) => collector.devices[index]), name, windows.length);
	return {
		version: 1,
		heading: {
			trace: trace.files.join(", "),
			machine: machineText(collector.architecture, options),
			recorded: recorderText(trace),
			date: dateText(trace),
			version: VERSION,
		},
		facts: facts(summary, windows.length * windows.width),
		notes: summary.notes,
		rules: rules(order.length, summary.warmUp !== null),
		devices,
		pageSizes: summary.perPageSize,
		latency: summary.latency,
		time: {
			start: windows.length === 0 ? 0 : windows.origin,
			width: windows.width,
			windows: windows.length,
			perDevice: groups.map((group) => ({ lookups: series(group, "lookups"), hits: series(group, "hits"), faults: series(group, "faults") })),
			maps: used(collector.maps),
			unmaps: used(collector.unmaps),
			invalidations: used(collector.invalidations),
		},
		levels: { time: collector.levels.time, lookups: collector.levels.lookups, levels: collector.levels.finish() },
		addressMaps: single.flatMap((index) => {
			const map = collector.devices[index]?.map;
			return map === null || map === undefined ? [] : addressMapData(summary.perDevice[index].name, map, windows);
		}),
		curves: curveData(curves, single.map((index) => summary.perDevice[index].name)),
		faults: { total: collector.faults.total, kinds: collector.faults.kinds, list: collector.faults.list, devices: summary.perDevice.map(({ name }) => name) },
		history:
			history === null
				? null
				: {
						byCause: history.byCause,
						afterUnmap: history.afterUnmap,
						maps: history.maps,
						pages: history.pages,
						notes: history.notes,
						stories: history.stories.slice(0, STORIES).map(({ time, device, address, access, text }) => [time, device, address, access, text]),
					},
	};
}

function deviceRow(devices: readonly ReplayDevice[]): DeviceRow {
	const total = (name: "dma" | "hits" | "misses" | "faults" | "references" | "disagreements") => devices.reduce((sum, device) => sum + device[name], 0);
	return {
		name: devices.length === 1 ? devices[0].name : `${devices.length} others`,
		dma: total("dma"),
		hits: total("hits"),
		misses: total("misses"),
		faults: total("faults"),
		references: total("references"),
		peakBytes: devices.length === 1 ? devices[0].peakBytes : null,
		disagreements: total("disagreements"),
	};
}

function added(devices: Array<DeviceSeries | undefined>, name: "lookups" | "hits" | "faults", length: number): number[] {
	const sum = new Array<number>(length).fill(0);
	for (const device of devices) {
		if (device === undefined) continue;
		for (let i = 0; i < length; i++) sum[i] += device[name][i];
	}
	return sum;
}

const whole = (n: number) => n.toLocaleString("en-US");
const share = (part: number, all: number) => (all === 0 ? "-" : `${((100 * part) / all).toFixed(2)}%`);

function facts({ dma, iotlb, recorded, faults, events, perDevice, replacedMaps, refusedEdits, damagedLines, warmUp }: ReplaySummary, microseconds: number): ReportData["facts"] {
	const references = perDevice.reduce((sum, device) => sum + device.references, 0);
	const out: ReportData["facts"] = [
		["events", whole(events)],
		["length", `${(microseconds / 1e6).toPrecision(4)} s`],
		["DMAs", whole(dma.total)],
		["as recorded", `${whole(dma.matched)} (${share(dma.matched, dma.total)})`],
		["wrong address", whole(dma.wrongAddress)],
		["unexplained", whole(dma.unexplained)],
		["stale answers", whole(dma.stale)],
		["IOTLB hits", `${whole(iotlb.hits)} (${share(iotlb.hits, iotlb.hits + iotlb.misses)})`],
		["walk references per DMA", dma.total === 0 ? "-" : (references / dma.total).toFixed(3)],
		["faults recorded", `${whole(faults.recorded)}, ${whole(faults.matched)} matched`],
	];
	if (recorded.hits + recorded.misses > 0) out.push(["recorder's IOTLB", `${share(recorded.hits, recorded.hits + recorded.misses)} hits; the replay agrees on ${share(recorded.agree, recorded.agree + recorded.disagree)}`]);
	if (replacedMaps > 0) out.push(["maps over mapped pages", whole(replacedMaps)]);
	if (refusedEdits > 0) out.push(["maps and unmaps refused", whole(refusedEdits)]);
	if (warmUp !== null) out.push(["left out before the mark", `${whole(warmUp.events)} events, ${whole(warmUp.dma)} DMAs`]);
	if (damagedLines > 0) out.push(["damaged lines", whole(damagedLines)]);
	return out;
}

function rules(devices: number, warmUp: boolean): string[] {
	const out = [
		`Time is in at most ${CAPACITY} windows of equal width, a power of two of microseconds; every event is counted in one.`,
		`Walk references are sampled every few thousand events; more than 512 samples are added up in pairs.`,
		`An address map has one row for each granule that was mapped or touched, at most ${ROWS}; the granule doubles until they suffice. It has at most ${MAP_COLUMNS} columns; a cell shows the power of two of its DMAs.`,
		`Miss ratios are shown at up to ${CURVE_SIZES} sizes, evenly on a logarithmic scale; each of them is the curve's own value there.`,
		"The first 500 faults are listed; all are counted.",
	];
	if (devices > DRAWN_DEVICES) out.push(`The ${DRAWN_DEVICES - 1} devices with most DMAs are shown apart, the others as one.`);
	if (warmUp) out.push("Figures and curves leave out what came before the mark; what is drawn over time, address maps, faults and walk references have it.");
	return out;
}
