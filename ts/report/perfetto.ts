/**
 * A replay as trace events (the JSON that Perfetto and chrome://tracing read). A process for each device: its maps as
 * asynchronous slices from map to unmap, faults and DMAs that disagree with the recorder as instants, IOTLB hits and
 * misses of each millisecond and mapped bytes as counters. A process for the IOMMU: invalidations as instants. Times
 * are microseconds since the start of the trace.
 */
import { ANSWER_DEVICE_TLB, ANSWER_FAULT, ANSWER_HIT, ANSWER_KIND_MASK, ANSWER_MATCHED, ANSWER_REFUSED, ANSWER_REPLACED, ANSWER_WRONG } from "../../assembly/layout.ts";
import { hexAt } from "../replay/history/words.ts";
import type { ReplayObserver, Stretch } from "../replay/observer.ts";
import { Access, Kind, Scope, type Trace } from "../replay/trace.ts";
import { VERSION } from "../version.ts";
import { type LiveMap, LiveMaps } from "./live-maps.ts";
import { dateText, recorderText } from "./machine.ts";

/** Microseconds of one point of the hit and miss counters. */
export const COUNTER_WIDTH = 1000;
/** Characters that are handed on at once. */
const PART = 1 << 16;

const IOMMU = 1;
const FIRST_DEVICE = 2;
/** threads of a device's process */
const THREAD = 1;

const SCOPES = Object.fromEntries(Object.entries(Scope).map(([name, value]) => [value, name]));
const RIGHTS = ["-", "r", "w", "rw"];

interface DeviceTrack {
	pid: number;
	live: LiveMaps;
	/** start of the counters' window; -1 when nothing is counted */
	window: number;
	hits: number;
	misses: number;
}

/** Writes trace events while the replay runs; {@link end} closes the file. */
export class PerfettoTrace implements ReplayObserver {
	private readonly tracks: DeviceTrack[] = [];
	private readonly write: (part: string) => void;
	private parts: string[] = [];
	private size = 0;
	private events = 0;
	private maps = 0;
	private now = 0;

	/** @param write is given the file's text part by part */
	constructor(write: (part: string) => void) {
		this.write = write;
		this.put('{"displayTimeUnit":"ns","traceEvents":[\n');
		this.name(IOMMU, "IOMMU", "invalidations");
	}

	observe({ rows, from, to, time, devices }: Stretch): void {
		while (this.tracks.length < devices.length) {
			const pid = FIRST_DEVICE + this.tracks.length;
			this.name(pid, devices[this.tracks.length].name, "faults");
			this.tracks.push({ pid, live: new LiveMaps(), window: -1, hits: 0, misses: 0 });
		}
		for (let row = from; row < to; row++) {
			this.now = time[row];
			const kind = rows.kind[row];
			if (kind === Kind.invalidate) {
				this.invalidation(rows, row);
				continue;
			}
			const track = this.tracks[rows.id[row]];
			if (track === undefined) continue;
			if (kind === Kind.map || kind === Kind.unmap) this.edit(track, rows, row, kind === Kind.map);
			else this.access(track, rows, row);
		}
	}

	/** Closes what is open, and the file. */
	end(trace: Pick<Trace, "files" | "startedAt" | "architecture" | "stage">): void {
		for (const track of this.tracks) {
			this.flushCounters(track);
			for (const map of track.live.all()) this.endMap(track, map, false);
		}
		const about = { trace: trace.files.join(", "), "recorded on": recorderText(trace), date: dateText(trace), by: `ioasid ${VERSION}` };
		this.put(`\n],"otherData":${JSON.stringify(about)}}\n`);
		this.hand();
	}

	private invalidation(rows: Stretch["rows"], row: number): void {
		const size = rows.size[2 * row + 1] * 0x1_0000_0000 + rows.size[2 * row];
		const args = { domain: rows.id[row], address: hexAt(rows.iova, row), bytes: size === 0 ? "all" : size };
		this.event({ ph: "i", s: "t", cat: "invalidation", name: `invalidate ${SCOPES[rows.flags[row]] ?? "?"}`, pid: IOMMU, tid: THREAD, ts: this.now, args });
	}

	private edit(track: DeviceTrack, rows: Stretch["rows"], row: number, map: boolean): void {
		const answer = rows.answer[row];
		if (answer & ANSWER_REFUSED) return;
		const first = rows.iova[2 * row + 1] * 0x10_0000 + (rows.iova[2 * row] >>> 12);
		const bytes = rows.size[2 * row + 1] * 0x1_0000_0000 + rows.size[2 * row];
		const pages = Math.ceil(((rows.iova[2 * row] & 0xfff) + bytes) / 4096);
		if (pages === 0) return;
		if (!map || answer & ANSWER_REPLACED) track.live.unmap(first, pages, (ended) => this.endMap(track, ended, true));
		if (map) {
			const rights = rows.flags[row] & (Access.read | Access.write);
			track.live.map(this.maps, first, pages, rights);
			const args = { address: hexAt(rows.iova, row), bytes, output: hexAt(rows.pa, row) };
			this.event({ ph: "b", cat: "map", name: `map ${RIGHTS[rights]}`, id: `0x${(this.maps++).toString(16)}`, pid: track.pid, tid: THREAD, ts: this.now, args });
		}
		this.event({ ph: "C", cat: "map", name: "mapped bytes", pid: track.pid, tid: THREAD, ts: this.now, args: { bytes: track.live.pages * 4096 } });
	}

	private endMap(track: DeviceTrack, { id, rights }: LiveMap, unmapped: boolean): void {
		this.event({ ph: "e", cat: "map", name: `map ${RIGHTS[rights]}`, id: `0x${id.toString(16)}`, pid: track.pid, tid: THREAD, ts: this.now, args: { unmapped } });
	}

	private access(track: DeviceTrack, rows: Stretch["rows"], row: number): void {
		const answer = rows.answer[row];
		const window = Math.floor(this.now / COUNTER_WIDTH) * COUNTER_WIDTH;
		if (window !== track.window) {
			this.flushCounters(track);
			track.window = window;
		}
		if (answer & ANSWER_HIT) track.hits++;
		// an interrupt is no look-up, nor is what a device-TLB answers
		else if ((rows.leaf[row] > 0 || answer & ANSWER_FAULT) && (answer & ANSWER_DEVICE_TLB) === 0) track.misses++;
		const judged = answer & ANSWER_KIND_MASK;
		if (judged === ANSWER_MATCHED && (answer & ANSWER_FAULT) === 0) return;
		const disagreement = judged === ANSWER_MATCHED ? null : judged === ANSWER_WRONG ? "another answer than recorded" : "unexplained";
		const name = answer & ANSWER_FAULT ? `fault ${rows.code[row]}` : disagreement;
		const args = { address: hexAt(rows.iova, row), write: (rows.flags[row] & Access.write) !== 0, ...(disagreement === null ? {} : { disagreement }) };
		this.event({ ph: "i", s: "t", cat: "dma", name, pid: track.pid, tid: THREAD, ts: this.now, args });
	}

	private flushCounters(track: DeviceTrack): void {
		if (track.window < 0) return;
		const counter = { ph: "C", cat: "dma", name: "IOTLB per ms", pid: track.pid, tid: THREAD };
		this.event({ ...counter, ts: track.window, args: { hits: track.hits, misses: track.misses } });
		// a counter holds its value until the next one
		this.event({ ...counter, ts: track.window + COUNTER_WIDTH, args: { hits: 0, misses: 0 } });
		track.hits = 0;
		track.misses = 0;
		track.window = -1;
	}

	private name(pid: number, process: string, thread: string): void {
		this.event({ ph: "M", name: "process_name", pid, tid: THREAD, args: { name: process } });
		this.event({ ph: "M", name: "thread_name", pid, tid: THREAD, args: { name: thread } });
	}

	private event(event: object): void {
		this.put(`${this.events++ === 0 ? "" : ",\n"}${JSON.stringify(event)}`);
	}

	private put(part: string): void {
		this.parts.push(part);
		this.size += part.length;
		if (this.size >= PART) this.hand();
	}

	private hand(): void {
		this.write(this.parts.join(""));
		this.parts = [];
		this.size = 0;
	}
}
