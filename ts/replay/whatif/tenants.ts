import { RowBuffer, trimmed } from "../rows.ts";
import { Kind, NO_DEVICE, Scope, type Trace, type TraceDevice } from "../trace.ts";
import type { WhatIf } from "./contract.ts";

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

function tenantsOf({ columns, devices }: Trace, count: number): Tenant[] {
	const domains = new Set<number>();
	for (const { domain } of devices) if (domain !== null) domains.add(domain);
	for (let row = 0; row < columns.length; row++) {
		if (columns.kind[row] === Kind.invalidate && columns.flags[row] !== Scope.global && columns.flags[row] !== Scope.device) domains.add(columns.id[row]);
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

/** Copies of the whole run side by side: each with devices, domains and tables of its own, event by event in turn. */
export const tenants: WhatIf<number> = {
	name: "tenants",
	argument: "<n>",
	description: "so many copies of the run share the IOMMU, event by event in turn",
	parse(text) {
		const n = Number(text);
		if (!Number.isInteger(n) || n < 1 || n > 4096) throw new RangeError(`"${text}" is no number of tenants (1 to 4096)`);
		return n;
	},
	title: (n) => `${n} tenants`,
	apply({ trace, options }, count) {
		const { columns, devices } = trace;
		const copies = tenantsOf(trace, count);
		const rows = new RowBuffer(Math.max(1, count * columns.length));
		for (let row = 0; row < columns.length; row++) {
			rows.copy(columns, row);
			const invalidate = columns.kind[row] === Kind.invalidate;
			// one global invalidation is everybody's
			if (invalidate && columns.flags[row] === Scope.global) continue;
			copies.forEach(({ domains, rids }, i) => {
				const at = rows.copy(columns, row);
				const id = columns.id[row];
				if (!invalidate) {
					if (id !== NO_DEVICE) rows.columns.id[at] = id + (i + 1) * devices.length;
				} else rows.columns.id[at] = (columns.flags[row] === Scope.device ? rids.get(id) : domains.get(id)) ?? id;
			});
		}
		const all = [...devices, ...copies.flatMap((tenant, i) => devices.map((device) => copyOf(device, tenant, i + 2)))];
		return {
			trace: { ...trace, devices: all, columns: trimmed(rows.columns) },
			options,
			after: ({ summary: { perDevice } }) => {
				const rate = (list: typeof perDevice) => {
					const hits = list.reduce((sum, d) => sum + d.hits, 0);
					const all = list.reduce((sum, d) => sum + d.hits + d.misses, 0);
					return all === 0 ? 0 : hits / all;
				};
				const rates = Array.from({ length: count }, (_, i) => rate(perDevice.slice(i * devices.length, (i + 1) * devices.length)));
				return [
					{ label: "hit rate of the best tenant", value: Math.max(...rates) },
					{ label: "hit rate of the worst tenant", value: Math.min(...rates) },
				];
			},
		};
	},
};
