/**
 * Reading kernel trace text (`iommu:*`, `dma:*` and `intel_iommu:*` events), whichever tool printed it: the tools differ in the
 * start of a line alone.
 */
import type { LineParser, Place } from "./contract.ts";
import { FtraceLine, type LineStyle } from "./ftrace-line.ts";
import { GuestEventReader } from "./guest-events.ts";
import type { GuestLog } from "./guest-log.ts";

const COMMENT = 35;

/** Reads lines into a {@link GuestLog}. */
export class TraceTextParser implements LineParser {
	private readonly place: Place;
	private readonly prefix: FtraceLine;
	private readonly reader = new GuestEventReader();
	private lost = 0;

	constructor(place: Place, style: LineStyle) {
		this.place = place;
		this.prefix = new FtraceLine(style);
	}

	line(text: string): void {
		const prefix = this.prefix;
		if (text.charCodeAt(0) === COMMENT) this.place.ignored();
		else if (!prefix.read(text)) this.otherLine(text);
		else {
			const outcome = this.reader.read(text, prefix.event, prefix.eventEnd, prefix.body, prefix);
			if (outcome === "ignored") this.place.ignored();
			else if (outcome === "unreadable") this.place.damage(`cannot read "${text.slice(prefix.event, prefix.event + 120)}"`);
		}
	}

	/**
	 * `CPU:1 [LOST 17 EVENTS]`, of trace-cmd `CPU:1 [17 EVENTS DROPPED]`, or a line that is no event; one that looks like the rest
	 * of an event is damage.
	 */
	private otherLine(text: string): void {
		const lost = /^CPU:\d+ \[(?:LOST (?:(\d+) )?EVENTS|(?:(\d+) )?EVENTS DROPPED)/.exec(text);
		if (lost !== null) this.lost += Number(lost[1] ?? lost[2] ?? 1);
		if (/(?:iova|dma_addrs?|phys_addrs)=/.test(text)) this.place.damage(`cannot read "${text.trim().slice(0, 120)}"`);
		else this.place.ignored();
	}

	end(): GuestLog {
		return this.reader.end(this.lost > 0 ? [`the guest's trace lost ${this.lost} events`] : []);
	}
}
