/** Why a replay and its recorder disagree: the map, unmap or invalidation behind each DMA, in words. */
import { faultReport } from "./history.ts";
import { eventRef, micros, rangeOf, wideAt } from "./history/words.ts";
import { pageOf } from "./rows.ts";
import { Kind, Scope, type Trace } from "./trace.ts";

/** A dma or fault row on which both sides disagree, and the output address of the replay; null when it faulted. */
export interface Question {
	row: number;
	answered: { low: number; high: number } | null;
}

/** One explanation for each question, from one pass over the trace. */
export function explainAll(trace: Trace, questions: readonly Question[]): string[] {
	if (questions.length === 0) return [];
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
