import type { TraceStream } from "../head.ts";
import { pageOf, RowBuffer, setNumber } from "../rows.ts";
import { type Columns, Kind, type TraceDevice } from "../trace.ts";
import { wideAt } from "../history/words.ts";
import type { WhatIf } from "./contract.ts";
import { domainOf, followsUnmap, invalidateDomain } from "./invalidations.ts";
import { RenamedSpace } from "./renamed.ts";
import { type Rewriter, rewrite, rewritten } from "./rewrite.ts";

/** A flush queue, as Linux has one for each domain (`iova.c`: 256 entries, 10 ms). */
export interface FlushQueue {
	entries: number;
	/** microseconds from the first entry to the flush at the latest */
	timeout: number;
}

/** Pages of which one map may have so many that each is renamed; larger ones force a flush instead. */
const MOST_RENAMED = 1 << 18;

/** By domain: the first page beyond all that the trace names. */
async function topsOf({ head: { devices }, chunks }: TraceStream): Promise<Map<number, number>> {
	const tops = new Map<number, number>();
	for await (const columns of chunks()) {
		for (let row = 0; row < columns.length; row++) {
			if (columns.kind[row] === Kind.invalidate) continue;
			const domain = domainOf(devices, columns.id[row]);
			if (domain === null) continue;
			tops.set(domain, Math.max(tops.get(domain) ?? 0, pageOf(columns.iova, row) + pagesOf(columns, row)));
		}
	}
	return tops;
}

/** Flush queues of all domains over one trace. */
class LazyMode implements Rewriter {
	readonly rows = new RowBuffer();
	/** of the first event and the last, microseconds */
	private started = Number.NaN;
	private ended = 0;
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
		private readonly devices: readonly TraceDevice[],
		tops: ReadonlyMap<number, number>,
		private readonly queue: FlushQueue,
	) {
		const levels = new Map<number, number>();
		for (const { domain, levels: count } of devices) if (domain !== null) levels.set(domain, Math.min(levels.get(domain) ?? 6, count ?? 4));
		for (const [domain, top] of tops) this.spaces.set(domain, new RenamedSpace(Math.ceil(top / 512) * 512, 2 ** (9 * (levels.get(domain) ?? 4))));
	}

	take(columns: Columns): void {
		for (let row = 0; row < columns.length; row++) {
			const time = columns.time[row];
			if (Number.isNaN(this.started)) this.started = time;
			this.ended = time;
			this.flushDue(time);
			if (followsUnmap(columns, row)) continue;
			const domain = columns.kind[row] === Kind.invalidate ? null : domainOf(this.devices, columns.id[row]);
			const space = domain === null ? undefined : this.spaces.get(domain);
			if (domain === null || space === undefined) this.rows.copy(columns, row);
			else if (columns.kind[row] === Kind.map) this.map(columns, space, domain, row);
			else if (columns.kind[row] === Kind.unmap) this.unmap(columns, space, domain, row);
			else this.put(columns, row, pageOf(columns.iova, row), space.at(pageOf(columns.iova, row)));
		}
	}

	end(): void {
		for (const domain of [...this.queues.keys()]) this.flush(domain, this.ended);
	}

	/** microseconds */
	get span(): number {
		return Number.isNaN(this.started) ? 0 : this.ended - this.started;
	}

	/** Copies a row whose recorded page is another one now. */
	private put(columns: Columns, row: number, page: number, now: number): void {
		const at = this.rows.copy(columns, row);
		if (now !== page) setNumber(this.rows.columns.iova, at, wideAt(columns.iova, row) + (now - page) * 4096);
	}

	private map(columns: Columns, space: RenamedSpace, domain: number, row: number): void {
		const page = pageOf(columns.iova, row);
		const pages = pagesOf(columns, row);
		let given = pages > MOST_RENAMED ? null : space.map(page, pages);
		if (given === null) {
			this.forced++;
			this.flush(domain, columns.time[row]);
			given = page;
		}
		this.put(columns, row, page, given);
	}

	private unmap(columns: Columns, space: RenamedSpace, domain: number, row: number): void {
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
			this.put(columns, row, at, now);
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
	async apply({ trace, options }, queue) {
		const tops = await topsOf(trace);
		let mode = new LazyMode(trace.head.devices, tops, queue);
		const changed = await rewritten(trace, () => {
			mode = new LazyMode(trace.head.devices, tops, queue);
			return rewrite(trace, mode);
		});
		const { span } = mode;
		const { count, sum, longest, byteTime } = mode.windows;
		return {
			trace: changed,
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
