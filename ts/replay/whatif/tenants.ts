import { CHUNK_EVENTS } from "../file/format.ts";
import type { TraceStream } from "../head.ts";
import { RowBuffer } from "../rows.ts";
import { type Columns, Kind, NO_DEVICE, Scope, type TraceDevice } from "../trace.ts";
import type { WhatIf } from "./contract.ts";
import { rewritten } from "./rewrite.ts";

const MOST = 65536;

/** Numbers below 2^16 that nobody has. */
class Unused {
	private next = 1;
	constructor(
		private readonly used: Set<number>,
		private readonly what: string,
	) {}

	take(): number {
		while (this.next < MOST && this.used.has(this.next)) this.next++;
		if (this.next === MOST) throw new RangeError(`no ${this.what} is left for so many tenants`);
		return this.next++;
	}
}

/** For each copy: domains and RIDs in place of the recorded ones. */
interface Tenant {
	domains: Map<number, number>;
	rids: Map<number, number>;
}

async function tenantsOf({ head: { devices }, chunks }: TraceStream, count: number): Promise<Tenant[]> {
	const domains = new Set<number>();
	for (const { domain } of devices) if (domain !== null) domains.add(domain);
	for await (const columns of chunks()) {
		for (let row = 0; row < columns.length; row++) {
			if (columns.kind[row] === Kind.invalidate && columns.flags[row] !== Scope.global && columns.flags[row] !== Scope.device) domains.add(columns.id[row]);
		}
	}
	const freeDomains = new Unused(new Set(domains), "domain id");
	const freeRids = new Unused(new Set(devices.map(({ rid }) => rid)), "requester id");
	return Array.from({ length: count - 1 }, () => ({
		domains: new Map([...domains].map((domain) => [domain, freeDomains.take()])),
		rids: new Map(devices.map(({ rid }) => [rid, freeRids.take()])),
	}));
}

function copyOf(device: TraceDevice, { domains, rids }: Tenant, number: number): TraceDevice {
	const { domain, name } = device;
	return { ...device, rid: rids.get(device.rid) as number, name: `${name}#${number}`, domain: domain === null ? null : (domains.get(domain) as number) };
}

export interface Tenancy {
	count: number;
	/** microseconds by which each copy starts after the one before */
	shift: number;
}

/** Where one copy stands in the trace, of which it holds a chunk of its own. */
class Cursor {
	private readonly chunks: AsyncGenerator<Columns, void, undefined>;
	columns: Columns | null = null;
	row = 0;

	constructor(
		trace: TraceStream,
		readonly copy: number,
		private readonly shift: number,
	) {
		this.chunks = trace.chunks();
	}

	/** The next chunk. */
	async load(): Promise<void> {
		const next = await this.chunks.next();
		this.columns = next.done ? null : next.value;
		this.row = 0;
		if (this.columns?.length === 0) await this.load();
	}

	get time(): number {
		return this.columns === null ? Number.POSITIVE_INFINITY : this.columns.time[this.row] + this.copy * this.shift;
	}
}

/** Rows of all copies in the order of time, `put` by `each`; copies that start together take turns. */
async function* interleaved(trace: TraceStream, { count, shift }: Tenancy, rows: RowBuffer, each: (columns: Columns, row: number, copy: number, time: number) => void): AsyncGenerator<Columns, void, undefined> {
	const whole = () => rows.length >= CHUNK_EVENTS;
	if (shift === 0) {
		for await (const columns of trace.chunks()) {
			for (let row = 0; row < columns.length; row++) {
				for (let copy = 0; copy < count; copy++) each(columns, row, copy, columns.time[row]);
				while (whole()) yield rows.take(CHUNK_EVENTS);
			}
		}
	} else {
		// a binary heap of copies, the earliest first
		const heap = Array.from({ length: count }, (_, copy) => new Cursor(trace, copy, shift));
		for (const cursor of heap) await cursor.load();
		const sink = () => {
			const cursor = heap[0];
			const mine = cursor.time;
			let i = 0;
			for (;;) {
				let child = 2 * i + 1;
				if (child >= count) break;
				if (child + 1 < count && heap[child + 1].time < heap[child].time) child++;
				if (heap[child].time >= mine) break;
				heap[i] = heap[child];
				i = child;
			}
			heap[i] = cursor;
		};
		for (;;) {
			const cursor = heap[0];
			const { columns } = cursor;
			if (columns === null) break;
			each(columns, cursor.row, cursor.copy, cursor.time);
			if (++cursor.row === columns.length) await cursor.load();
			sink();
			if (whole()) yield rows.take(CHUNK_EVENTS);
		}
	}
	if (rows.length > 0) yield rows.take();
}

/** Copies of the whole run side by side, each with devices, domains and tables of its own. */
export const tenants: WhatIf<Tenancy> = {
	name: "tenants",
	argument: "<n[:us]>",
	description: "so many copies of the run share the IOMMU, each starting so long after the one before (default 1000 us; 0: event by event in turn)",
	parse(text) {
		const match = /^(\d+)(?::(\d+(?:\.\d+)?))?$/.exec(String(text));
		const count = Number(match?.[1]);
		if (match === null || count < 1 || count > 4096) throw new RangeError(`"${text}" is no number of tenants (1 to 4096), nor one with microseconds, N:US`);
		return { count, shift: Number(match[2] ?? 1000) };
	},
	title: ({ count, shift }) => `${count} tenants${shift === 0 ? ", event by event in turn" : `, ${shift} us apart`}`,
	async apply({ trace, options }, tenancy) {
		const { devices } = trace.head;
		const { count } = tenancy;
		const copies = await tenantsOf(trace, count);
		const chunks = () => {
			const rows = new RowBuffer();
			return interleaved(trace, tenancy, rows, (columns, row, copy, time) => {
				const invalidate = columns.kind[row] === Kind.invalidate;
				// one global invalidation is everybody's
				if (copy > 0 && invalidate && columns.flags[row] === Scope.global) return;
				const at = rows.copy(columns, row);
				rows.columns.time[at] = time;
				if (copy === 0) return;
				const { domains, rids } = copies[copy - 1];
				const id = columns.id[row];
				if (!invalidate) rows.columns.id[at] = id === NO_DEVICE ? id : id + copy * devices.length;
				else rows.columns.id[at] = (columns.flags[row] === Scope.device ? rids.get(id) : domains.get(id)) ?? id;
			});
		};
		const all = [...devices, ...copies.flatMap((tenant, i) => devices.map((device) => copyOf(device, tenant, i + 2)))];
		return {
			trace: await rewritten(trace, chunks, { devices: all }),
			options,
			after: ({ summary: { perDevice } }) => {
				const rates = Array.from({ length: count }, (_, i) => {
					const own = perDevice.slice(i * devices.length, (i + 1) * devices.length);
					const hits = own.reduce((sum, d) => sum + d.hits, 0);
					const all = own.reduce((sum, d) => sum + d.hits + d.misses, 0);
					return all === 0 ? 0 : hits / all;
				});
				return [
					{ label: "hit rate of the best tenant", value: Math.max(...rates) },
					{ label: "hit rate of the worst tenant", value: Math.min(...rates) },
				];
			},
		};
	},
};
