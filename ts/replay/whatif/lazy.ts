import { pageOf, RowBuffer, setNumber, trimmed } from "../rows.ts";
import { type Columns, Kind, type Trace } from "../trace.ts";
import { wideAt } from "../history/words.ts";
import type { WhatIf } from "./contract.ts";
import { domainOf, followsUnmap, invalidateDomain } from "./invalidations.ts";
import { RenamedSpace } from "./renamed.ts";

/** A flush queue, as Linux has one for each domain (`iova.c`: 256 entries, 10 ms). */
export interface FlushQueue {
	entries: number;
	/** microseconds from the first entry to the flush at the latest */
	timeout: number;
}

/** Pages of which one map may have so many that each is renamed; larger ones force a flush instead. */
const MOST_RENAMED = 1 << 18;

/** Flush queues of all domains over one trace. */
class LazyMode {
	readonly rows: RowBuffer;
	private readonly queues = new Map<number, { domain: number; pages: [page: number, count: number, time: number][]; due: number }>();
	private readonly spaces = new Map<number, RenamedSpace>();
	flushes = 0;
	forced = 0;
	/** no queue is due before */
	private due = Number.POSITIVE_INFINITY;
	private bytes = 0;
	peakBytes = 0;
	/** of every unmap: time until its flush */
	windows = { count: 0, sum: 0, longest: 0, byteTime: 0 };

	constructor(
		private readonly trace: Trace,
		private readonly queue: FlushQueue,
	) {
		this.rows = new RowBuffer(trace.columns.length + 1024);
		const highest = new Map<number, number>();
		const levels = new Map<number, number>();
		const { columns } = trace;
		for (let row = 0; row < columns.length; row++) {
			if (columns.kind[row] === Kind.invalidate) continue;
			const domain = domainOf(trace, columns.id[row]);
			if (domain === null) continue;
			highest.set(domain, Math.max(highest.get(domain) ?? 0, pageOf(columns.iova, row) + pagesOf(columns, row)));
		}
		for (const { domain, levels: count } of trace.devices) if (domain !== null) levels.set(domain, Math.min(levels.get(domain) ?? 6, count ?? 4));
		for (const [domain, top] of highest) this.spaces.set(domain, new RenamedSpace(Math.ceil(top / 512) * 512, 2 ** (9 * (levels.get(domain) ?? 4))));
	}

	run(): Columns {
		const { columns } = this.trace;
		for (let row = 0; row < columns.length; row++) {
			this.flushDue(columns.time[row]);
			if (followsUnmap(columns, row)) continue;
			const domain = columns.kind[row] === Kind.invalidate ? null : domainOf(this.trace, columns.id[row]);
			const space = domain === null ? undefined : this.spaces.get(domain);
			if (domain === null || space === undefined) this.rows.copy(columns, row);
			else if (columns.kind[row] === Kind.map) this.map(space, domain, row);
			else if (columns.kind[row] === Kind.unmap) this.unmap(space, domain, row);
			else this.put(row, pageOf(columns.iova, row), space.at(pageOf(columns.iova, row)));
		}
		const end = columns.length === 0 ? 0 : columns.time[columns.length - 1];
		for (const domain of [...this.queues.keys()]) this.flush(domain, end);
		return trimmed(this.rows.columns);
	}

	/** Copies a row whose recorded page is another one now. */
	private put(row: number, page: number, now: number): void {
		const { columns } = this.trace;
		const at = this.rows.copy(columns, row);
		if (now !== page) setNumber(this.rows.columns.iova, at, wideAt(columns.iova, row) + (now - page) * 4096);
	}

	private map(space: RenamedSpace, domain: number, row: number): void {
		const { columns } = this.trace;
		const page = pageOf(columns.iova, row);
		const pages = pagesOf(columns, row);
		let given = pages > MOST_RENAMED ? null : space.map(page, pages);
		if (given === null) {
			this.forced++;
			this.flush(domain, columns.time[row]);
			given = page;
		}
		this.put(row, page, given);
	}

	private unmap(space: RenamedSpace, domain: number, row: number): void {
		const { columns } = this.trace;
		const first = pageOf(columns.iova, row);
		const pages = pagesOf(columns, row);
		const time = columns.time[row];
		if (pages > MOST_RENAMED) {
			this.rows.copy(columns, row);
			invalidateDomain(this.rows, time, domain);
			return;
		}
		// one unmap may span ranges that were given apart
		for (let at = first; at < first + pages; ) {
			const now = space.at(at);
			let count = 1;
			while (at + count < first + pages && space.at(at + count) === now + count) count++;
			this.put(row, at, now);
			const { columns: out } = this.rows;
			setNumber(out.iova, out.length - 1, now * 4096);
			setNumber(out.size, out.length - 1, count * 4096);
			this.enqueue(domain, now, count, time);
			at += count;
		}
		space.unmap(first, pages);
		if ((this.queues.get(domain)?.pages.length ?? 0) >= this.queue.entries) this.flush(domain, time);
	}

	private enqueue(domain: number, page: number, count: number, time: number): void {
		let queue = this.queues.get(domain);
		if (queue === undefined) {
			queue = { domain, pages: [], due: time + this.queue.timeout };
			this.queues.set(domain, queue);
			this.due = Math.min(this.due, queue.due);
		}
		queue.pages.push([page, count, time]);
		this.bytes += 4096 * count;
		this.peakBytes = Math.max(this.peakBytes, this.bytes);
	}

	private flushDue(time: number): void {
		if (time < this.due) return;
		for (const { domain, due } of this.queues.values()) if (due <= time) this.flush(domain, due);
		this.due = Math.min(Number.POSITIVE_INFINITY, ...Array.from(this.queues.values(), ({ due }) => due));
	}

	private flush(domain: number, time: number): void {
		const queue = this.queues.get(domain);
		if (queue === undefined) return;
		this.queues.delete(domain);
		invalidateDomain(this.rows, time, domain);
		this.flushes++;
		const space = this.spaces.get(domain);
		for (const [page, count, since] of queue.pages) {
			space?.flushed(page, count);
			this.bytes -= 4096 * count;
			const open = time - since;
			this.windows.count++;
			this.windows.sum += open;
			this.windows.longest = Math.max(this.windows.longest, open);
			this.windows.byteTime += open * 4096 * count;
		}
	}
}

function pagesOf(columns: Columns, row: number): number {
	return Math.max(1, Math.ceil(((columns.iova[2 * row] & 0xfff) + wideAt(columns.size, row)) / 4096));
}

/** Unmaps wait in a flush queue, and one invalidation of the domain ends them all. */
export const lazy: WhatIf<FlushQueue> = {
	name: "lazy",
	argument: "[entries:us]",
	description: "unmaps wait in a flush queue of so many entries, so long at most (default 256:10000)",
	parse(text) {
		if (text === true) return { entries: 256, timeout: 10_000 };
		const match = /^(\d+):(\d+(?:\.\d+)?)$/.exec(text);
		if (match === null || Number(match[1]) < 1) throw new RangeError(`"${text}" is not ENTRIES:MICROSECONDS`);
		return { entries: Number(match[1]), timeout: Number(match[2]) };
	},
	title: ({ entries, timeout }) => `flush queue of ${entries} entries, ${timeout} us`,
	apply({ trace, options }, queue) {
		const mode = new LazyMode(trace, queue);
		const columns = mode.run();
		const { count, sum, longest, byteTime } = mode.windows;
		const span = columns.length === 0 ? 0 : columns.time[columns.length - 1] - columns.time[0];
		return {
			trace: { ...trace, columns },
			options,
			extra: [
				{ label: "flushes", value: mode.flushes },
				{ label: "stale window, mean us", value: count === 0 ? 0 : sum / count },
				{ label: "stale window, longest us", value: longest },
				{ label: "stale bytes, mean", value: span === 0 ? 0 : byteTime / span },
				{ label: "stale bytes, most", value: mode.peakBytes },
			],
			notes: mode.forced > 0 ? [`${mode.forced} maps found no other address and forced a flush`] : [],
		};
	},
};
