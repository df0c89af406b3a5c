/**
 * Invalidations of whole domains, as a flush queue (`iommu.strict=0`) asks for them: until the next one, what was unmapped before may still
 * be answered from a cache.
 */
import type { HostLog } from "../importers/contract.ts";
import type { GuestLog } from "../importers/guest-log.ts";
import { Scope } from "../trace.ts";
import type { Anchors } from "./anchors.ts";

const WHOLE = new Set<number>([Scope.domain, Scope.pasid]);

/** Whole-domain invalidations that both logs have. */
export class Flushes {
	private readonly host: HostLog;
	/** by domain: guest events, rising, and the host's row of each */
	private readonly domains = new Map<number, { events: number[]; rows: number[] }>();

	constructor(guest: GuestLog, host: HostLog, anchors: Anchors | null) {
		this.host = host;
		anchors?.events.forEach((event, index) => {
			if (!WHOLE.has(guest.events.flags[event]) || anchors.bySubmit !== true) return;
			const domain = guest.events.target[event] % 0x10000;
			const found = this.domains.get(domain);
			if (found === undefined) this.domains.set(domain, { events: [event], rows: [anchors.rows[index]] });
			else {
				found.events.push(event);
				found.rows.push(anchors.rows[index]);
			}
		});
	}

	/** The host row of the first one of the device's domain that was asked for after `event`; -1 when the domain has none at all, the end when none follows. */
	after(rid: number, event: number): number {
		const domain = this.host.devices.get(rid)?.domain ?? null;
		const found = domain === null ? undefined : this.domains.get(domain);
		if (found === undefined) return -1;
		let from = 0;
		let to = found.events.length;
		while (from < to) {
			const middle = (from + to) >>> 1;
			if (found.events[middle] <= event) from = middle + 1;
			else to = middle;
		}
		return from < found.rows.length ? found.rows[from] : this.host.rows.length;
	}
}
