/**
 * Faults and unexplained DMAs joined to the history of their pages, and the life times of maps. The tables are those that
 * the recorded maps and unmaps make; caches have no part in it.
 */
import { CHUNK_EVENTS } from "./file/format.ts";
import type { TraceHead, TraceStream } from "./head.ts";
import { KeptRows } from "./history/kept.ts";
import { Bins } from "./history/life-times.ts";
import { PageHistory } from "./history/pages.ts";
import type { Cause, FaultReport, FaultStory, HotPage } from "./history/types.ts";
import { accessOf, inWords, judgeAccess, settle, type Verdict } from "./history/verdict.ts";
import { type Events, eventRef, hexAt, pageAddress } from "./history/words.ts";
import { pageOf, slice } from "./rows.ts";
import { type Columns, Kind, type Trace } from "./trace.ts";

export interface FaultOptions {
	/** stories that are told one by one; default 1000. All are counted */
	limit?: number;
	/** tell these rows alone, explained DMAs too; their verdict is then "mapped" */
	rows?: ReadonlySet<number>;
	/** maps and unmaps that are remembered before those that nothing refers to any more are forgotten; default 2^16 */
	kept?: number;
	signal?: AbortSignal;
}

/** Pages that `pages` names. */
const HOT_PAGES = 20;

const noCauses = (): Record<Cause, number> => ({
	"use after unmap": 0,
	"mapped before the trace": 0,
	"use before map": 0,
	"other device": 0,
	"wrong direction": 0,
	"never mapped": 0,
	mapped: 0,
});

/** Accesses to one page that wait for what the device itself does to it next. */
interface Waiting {
	/** those whose verdict may change, by device and verdict */
	open: { device: number; verdict: Verdict; count: number; stories: FaultStory[] }[];
	/** stories of uses after unmap, which ask when the page comes back */
	gone: FaultStory[];
}

class Storyteller {
	readonly stories: FaultStory[] = [];
	readonly perDevice: Record<Cause, number>[];
	readonly history: PageHistory;
	private readonly waiting: Map<number, Waiting>[];
	private readonly hot = new Map<string, HotPage>();
	private readonly afterUnmap = new Bins();
	private readonly kept: KeptRows;
	private readonly trace: Events;
	/** rows of the trace so far */
	private seen = 0;

	constructor(
		{ architecture, devices }: Pick<TraceHead, "architecture" | "devices">,
		private readonly limit: number,
		keep: number | undefined,
	) {
		const kept = new KeptRows(keep);
		this.kept = kept;
		const trace: Events = { architecture, devices, columns: kept.columns, rowOf: (index) => kept.rowOf(index) };
		this.trace = trace;
		this.history = new PageHistory(trace);
		this.perDevice = trace.devices.map(noCauses);
		this.waiting = Array.from({ length: this.history.spaceCount }, () => new Map());
	}

	/** Takes the next rows of the trace in; `rows` and interrupts as in {@link FaultOptions}. */
	observe(columns: Columns, rows: ReadonlySet<number> | undefined): void {
		const { trace, kept, history } = this;
		for (let i = 0; i < columns.length; i++) {
			const kind = columns.kind[i];
			const number = this.seen + i;
			if (kind === Kind.invalidate) continue;
			const row = kept.add(columns, i, number);
			if (kind === Kind.map || kind === Kind.unmap) {
				this.edit(row);
				if (kept.isFull) this.forget();
				continue;
			}
			if (columns.id[i] < trace.devices.length && (rows?.has(number) ?? !isInterrupt(trace, row))) {
				const verdict = judgeAccess(trace, history, row);
				if (verdict !== null) this.access(row, verdict);
				else if (rows !== undefined) this.access(row, { cause: "mapped", event: history.shadow.liveRow(history.spaces[columns.id[i]], pageOf(columns.iova, i)), open: false });
			}
			// stories have what they need of it
			kept.drop();
		}
		this.seen += columns.length;
	}

	/** Lets go of every map and unmap that nothing refers to. */
	private forget(): void {
		const open = () => this.waiting.flatMap((pages) => [...pages.values()].flatMap((here) => here.open));
		const move = this.kept.compact((keep) => {
			this.history.rows(keep);
			for (const { verdict } of open()) keep(verdict.event);
		});
		this.history.move(move);
		for (const one of open()) one.verdict = { ...one.verdict, event: move(one.verdict.event) };
	}

	private edit(row: number): void {
		const range = this.history.edit(row);
		if (range === null) return;
		const waiting = this.waiting[range.space];
		if (waiting.size === 0) return;
		if (range.pages <= waiting.size) {
			for (let page = range.first; page < range.first + range.pages; page++) this.reach(waiting, page, row);
		} else {
			for (const page of [...waiting.keys()]) if (page >= range.first && page < range.first + range.pages) this.reach(waiting, page, row);
		}
	}

	private reach(waiting: Map<number, Waiting>, page: number, row: number): void {
		const here = waiting.get(page);
		if (here === undefined) return;
		const { columns } = this.trace;
		for (const { device, verdict, count, stories } of here.open) {
			const settled = settle(this.trace, verdict, row);
			this.perDevice[device][verdict.cause] -= count;
			this.perDevice[device][settled.cause] += count;
			for (const story of stories) this.tell(story, settled);
		}
		here.open = [];
		if (columns.kind[row] === Kind.map) {
			for (const story of here.gone) story.remapped = columns.time[row] - story.time;
			here.gone = [];
		}
		if (here.gone.length === 0) waiting.delete(page);
	}

	private access(row: number, verdict: Verdict): void {
		const { trace } = this;
		const { columns } = trace;
		const device = columns.id[row];
		this.perDevice[device][verdict.cause]++;
		this.countPage(row, verdict.cause);
		let story: FaultStory | null = null;
		if (this.stories.length < this.limit) {
			story = this.open(row);
			this.stories.push(story);
			this.tell(story, verdict);
		}
		if (verdict.cause === "use after unmap") this.afterUnmap.add(columns.time[row] - columns.time[verdict.event]);
		if (!verdict.open && (verdict.cause !== "use after unmap" || story === null)) return;
		const waiting = this.waiting[this.history.spaces[device]];
		const page = pageOf(columns.iova, row);
		let here = waiting.get(page);
		if (here === undefined) {
			here = { open: [], gone: [] };
			waiting.set(page, here);
		}
		if (!verdict.open) {
			if (story !== null) here.gone.push(story);
			return;
		}
		let same = here.open.find((o) => o.device === device && o.verdict.cause === verdict.cause && o.verdict.event === verdict.event);
		if (same === undefined) {
			same = { device, verdict, count: 0, stories: [] };
			here.open.push(same);
		}
		same.count++;
		if (story !== null) same.stories.push(story);
	}

	private open(row: number): FaultStory {
		const { columns, devices } = this.trace;
		const { rid, name } = devices[columns.id[row]];
		const recorded = columns.kind[row] === Kind.fault ? columns.pa[2 * row] : null;
		return { row: this.kept.rowOf(row), time: columns.time[row], sid: rid, device: name, address: hexAt(columns.iova, row), access: accessOf(columns.flags[row]), recorded, cause: "never mapped", after: null, event: null, remapped: null, text: "" };
	}

	private tell(story: FaultStory, verdict: Verdict): void {
		story.cause = verdict.cause;
		story.event = verdict.event < 0 ? null : eventRef(this.trace, verdict.event);
		story.after = story.event === null ? null : story.time - story.event.time;
		story.text = inWords(this.trace, verdict, story);
	}

	private countPage(row: number, cause: Cause): void {
		const { columns, devices } = this.trace;
		const page = pageOf(columns.iova, row);
		const key = `${columns.id[row]} ${page}`;
		let hot = this.hot.get(key);
		if (hot === undefined) {
			const { rid, name } = devices[columns.id[row]];
			hot = { sid: rid, device: name, page: pageAddress(page), count: 0, cause, pa: null };
			this.hot.set(key, hot);
		}
		hot.count++;
		if (hot.pa === null && columns.kind[row] === Kind.dma) hot.pa = pageAddress(pageOf(columns.pa, row));
	}

	report(): FaultReport {
		const { trace, perDevice, history } = this;
		const byCause = noCauses();
		const sum = (counts: Record<Cause, number>) => Object.values(counts).reduce((a, b) => a + b, 0);
		for (const counts of perDevice) for (const cause of Object.keys(byCause) as Cause[]) byCause[cause] += counts[cause];
		return {
			version: 1,
			total: sum(byCause),
			byCause,
			stories: this.stories,
			perDevice: trace.devices.map(({ rid, name }, i) => ({ sid: rid, name, total: sum(perDevice[i]), byCause: perDevice[i] })),
			pages: [...this.hot.values()].sort((a, b) => b.count - a.count).slice(0, HOT_PAGES),
			afterUnmap: this.afterUnmap.histogram,
			maps: history.lives.result(),
			notes: history.unowned > 0 ? [`${history.unowned} maps or unmaps have no device and are left out`] : [],
		};
	}
}

/** A write to 0xfeexxxxx is an interrupt on VT-d (3.14): no table is asked. */
const isInterrupt = ({ architecture, columns }: Events, row: number) =>
	architecture === "vtd" && columns.kind[row] === Kind.dma && columns.iova[2 * row + 1] === 0 && columns.iova[2 * row] >>> 20 === 0xfee;

/** One answer for every recorded fault and every DMA that the tables do not explain, and the life times of maps. */
export function faultReport(trace: Trace, { limit = 1000, rows, kept, signal }: FaultOptions = {}): FaultReport {
	const teller = new Storyteller(trace, limit, kept);
	for (let from = 0; from < trace.columns.length; from += CHUNK_EVENTS) {
		signal?.throwIfAborted();
		teller.observe(slice(trace.columns, from, Math.min(from + CHUNK_EVENTS, trace.columns.length)), rows);
	}
	return teller.report();
}

/** The same of a trace that passes by chunk by chunk. @throws ReplayError */
export async function faultReportOf({ head, chunks }: TraceStream, { limit = 1000, rows, kept, signal }: FaultOptions = {}): Promise<FaultReport> {
	const teller = new Storyteller(head, limit, kept);
	for await (const columns of chunks()) {
		signal?.throwIfAborted();
		teller.observe(columns, rows);
	}
	return teller.report();
}
