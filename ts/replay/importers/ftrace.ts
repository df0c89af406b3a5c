/**
 * tracefs text (`/sys/kernel/tracing/trace`) of the guest: `iommu:*`, `dma:*` and `intel_iommu:*` events.
 */
import { type Importer, type LineParser, type Place, share } from "./contract.ts";
import { FtraceLine } from "./ftrace-line.ts";
import { GuestEventReader } from "./guest-events.ts";
import type { GuestLog } from "./guest-log.ts";

export const ftrace: Importer = {
	name: "ftrace",
	title: "Linux tracefs text",
	lastLine: "cut",
	recognise: (head) => {
		const header = head.startsWith("# tracer:") ? 0.2 : 0;
		return Math.max(header, share(head, /-\d+ +(\( *[-\d]+\) +)?\[\d+\] +(\S+ +)?\d+\.\d+: +[a-z]\w*: /, /^[^#]/));
	},
	open: (place) => new FtraceParser(place),
};

const COMMENT = 35;

class FtraceParser implements LineParser {
	private readonly place: Place;
	private readonly prefix = new FtraceLine();
	private readonly reader = new GuestEventReader();
	private lost = 0;

	constructor(place: Place) {
		this.place = place;
	}

	line(text: string): void {
		const prefix = this.prefix;
		if (text.charCodeAt(0) === COMMENT) this.place.ignored();
		else if (!prefix.read(text)) this.otherLine(text);
		else {
			const name = text.slice(prefix.event, prefix.eventEnd);
			const outcome = this.reader.read(name, text, prefix.body, prefix);
			if (outcome === "ignored") this.place.ignored();
			else if (outcome === "unreadable") this.place.damage(`cannot read "${text.slice(prefix.event, prefix.event + 120)}"`);
		}
	}

	/** `CPU:1 [LOST 17 EVENTS]`, or a line that is no event; one that looks like the rest of an event is damage. */
	private otherLine(text: string): void {
		const lost = /^CPU:\d+ \[LOST (?:(\d+) )?EVENTS/.exec(text);
		if (lost !== null) this.lost += Number(lost[1] ?? 1);
		if (/(?:iova|dma_addrs?|phys_addrs)=/.test(text)) this.place.damage(`cannot read "${text.trim().slice(0, 120)}"`);
		else this.place.ignored();
	}

	end(): GuestLog {
		return this.reader.end(this.lost > 0 ? [`the guest's trace lost ${this.lost} events`] : []);
	}
}
