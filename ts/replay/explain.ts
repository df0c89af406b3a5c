/** Why a replay and its recorder disagree: the map, unmap or invalidation behind each DMA, in words. */
import { faultReport } from "./history.ts";
import { eventRef, micros, rangeOf, wideAt } from "./history/words.ts";
import type { TraceHead } from "./head.ts";
import { pageOf, RowBuffer } from "./rows.ts";
import { type Columns, Kind, Scope, type Trace } from "./trace.ts";

/** A dma or fault row on which both sides disagree, and the output address of the replay; null when it faulted. */
export interface Question {
	/** counted over all chunks */
	row: number;
	/** 4 KiB page of its address */
	page: number;
	answered: { low: number; high: number } | null;
}

/**
 * One explanation for each question, from one more pass over the events; what bears on the pages in question is all that is
 * kept of them.
 */
export async function explainAll(head: TraceHead, pieces: AsyncIterable<{ columns: Columns }>, questions: readonly Question[]): Promise<string[]> {
	if (questions.length === 0) return [];
	const pages = new Set(questions.map(({ page }) => page));
	const kept = new RowBuffer();
	const places = new Map<number, number>();
	let next = 0;
	let row = 0;
	for await (const { columns } of pieces) {
		for (let i = 0; i < columns.length; i++, row++) {
			if (next < questions.length && questions[next].row === row) {
				places.set(row, kept.copy(columns, i));
				next++;
			} else if (bears(columns, i, pages)) kept.copy(columns, i);
		}
	}
	const { events: _events, frames: _frames, ...rest } = head;
	return explain({ ...rest, columns: kept.columns }, questions.map((question) => ({ ...question, row: places.get(question.row) as number })));
}

/** A map, unmap or invalidation of one of the pages. */
function bears(columns: Columns, row: number, pages: ReadonlySet<number>): boolean {
	const kind = columns.kind[row];
	if (kind !== Kind.map && kind !== Kind.unmap && kind !== Kind.invalidate) return false;
	const size = wideAt(columns.size, row);
	if (kind === Kind.invalidate && size === 0) return true;
	const first = pageOf(columns.iova, row);
	const last = first + Math.floor(((columns.iova[2 * row] & 0xfff) + size - 1) / 4096);
	for (const page of pages) if (page >= first && page <= last) return true;
	return false;
}

function explain(trace: Trace, questions: readonly Question[]): string[] {
	const { stories } = faultReport(trace, { rows: new Set(questions.map(({ row }) => row)), limit: questions.length });
	const told = new Map(stories.map((story) => [story.row, story]));
	return questions.map(({ row, answered }) => {
		const story = told.get(row);
		const text = story?.text ?? "its device is not known";
		if (answered === null) return story?.cause === "mapped" ? `${text}, ${invalidated(trace, row, story.event?.row ?? 0)}` : text;
		return stale(trace, row, answered) ?? text;
	});
}

const covers = (trace: Trace, event: number, address: number) => {
	const first = wideAt(trace.columns.iova, event);
	return address >= first && address < first + wideAt(trace.columns.size, event);
};

/** An answer that an older map gave; null when the newest one did. */
function stale(trace: Trace, row: number, { low, high }: { low: number; high: number }): string | null {
	const { columns, devices } = trace;
	const address = wideAt(columns.iova, row);
	const answer = high * 2 ** 32 + low;
	const own = devices[columns.id[row]];
	let later = -1;
	for (let i = row - 1; i >= 0; i--) {
		const kind = columns.kind[i];
		if (kind !== Kind.map && kind !== Kind.unmap) continue;
		const device = devices[columns.id[i]];
		if (device !== own && (device === undefined || device.domain === null || device.domain !== own.domain)) continue;
		if (!covers(trace, i, address)) continue;
		if (kind === Kind.map && wideAt(columns.pa, i) + address - wideAt(columns.iova, i) === answer) {
			if (later < 0) return null;
			const map = eventRef(trace, i);
			const change = eventRef(trace, later);
			const ago = (time: number) => micros(columns.time[row] - time);
			return `stale answer of the map ${ago(map.time)} before, ${rangeOf(map)} to ${map.pa}, ${change.kind === "map" ? "replaced" : "unmapped"} ${ago(change.time)} before, ${invalidated(trace, row, later)}`;
		}
		later = i;
	}
	return null;
}

/** The last invalidation of the page of `row` after the event of row `since`, in words. */
function invalidated(trace: Trace, row: number, since: number): string {
	const { columns, devices } = trace;
	const page = pageOf(columns.iova, row);
	const domain = devices[columns.id[row]]?.domain ?? null;
	for (let i = row - 1; i > since; i--) {
		if (columns.kind[i] !== Kind.invalidate || columns.flags[i] === Scope.device) continue;
		if (columns.flags[i] !== Scope.global && columns.id[i] !== domain) continue;
		const size = wideAt(columns.size, i);
		const first = pageOf(columns.iova, i);
		const whole = size === 0 || columns.flags[i] === Scope.global || columns.flags[i] === Scope.domain || columns.flags[i] === Scope.pasid;
		if (!whole && (page < first || page > first + Math.ceil(size / 4096) - 1)) continue;
		return `${whole ? "everything" : rangeOf(eventRef(trace, i))} invalidated ${micros(columns.time[row] - columns.time[i])} before`;
	}
	return "not invalidated since";
}
