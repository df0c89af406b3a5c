/** What the history of a page says of one access, as far as it has gone. */
import { pageOf } from "../rows.ts";
import { Access, Kind } from "../trace.ts";
import type { PageHistory } from "./pages.ts";
import type { Cause, FaultStory } from "./types.ts";
import { type Events, eventRef, micros, rangeOf } from "./words.ts";

export interface Verdict {
	cause: Cause;
	/** row of the map or unmap behind, -1 when there is none */
	event: number;
	/** a later map or unmap of the page by the device itself would say more */
	open: boolean;
}

/** Whether a map's rights allow an access. */
function allowed(rights: number, access: number): boolean {
	return access & Access.any ? (rights & (Access.read | Access.write)) !== 0 : (rights & access) === access;
}

/** The verdict on dma or fault row `row`; null when the tables explain the DMA. */
export function judgeAccess(trace: Events, history: PageHistory, row: number): Verdict | null {
	const { columns } = trace;
	const { shadow, spaces, spaceCount } = history;
	const space = spaces[columns.id[row]];
	const page = pageOf(columns.iova, row);
	const live = shadow.liveRow(space, page);
	if (live >= 0) {
		if (!allowed(columns.flags[live], columns.flags[row])) return { cause: "wrong direction", event: live, open: false };
		return columns.kind[row] === Kind.fault ? { cause: "mapped", event: live, open: false } : null;
	}
	const unmap = shadow.lastUnmap(space, page);
	if (unmap >= 0) return { cause: "use after unmap", event: unmap, open: false };
	let before = -1;
	for (let other = 0; other < spaceCount; other++) {
		if (other === space) continue;
		const held = shadow.liveRow(other, page);
		if (held >= 0) return { cause: "other device", event: held, open: true };
		before = Math.max(before, shadow.lastUnmap(other, page));
	}
	return before >= 0 ? { cause: "other device", event: before, open: true } : { cause: "never mapped", event: -1, open: true };
}

/** An open verdict once the device itself maps or unmaps the page, by `row`. */
export function settle(trace: Events, verdict: Verdict, row: number): Verdict {
	const { kind } = trace.columns;
	if (kind[row] === Kind.unmap) return { cause: "mapped before the trace", event: row, open: false };
	// that another device has the page now says more than that this one gets it later
	if (verdict.cause === "other device" && kind[verdict.event] === Kind.map) return { ...verdict, open: false };
	return { cause: "use before map", event: row, open: false };
}

const ACCESSES: Record<number, "read" | "write" | "any"> = { [Access.read]: "read", [Access.write]: "write" };
export const accessOf = (flags: number) => ACCESSES[flags] ?? "any";

/** A verdict on an access in words. */
export function inWords(trace: Events, { cause, event }: Verdict, access: Pick<FaultStory, "time" | "device" | "access">): string {
	if (event < 0) return "never mapped in this trace";
	const ref = eventRef(trace, event);
	const range = rangeOf(ref);
	const by = ref.device === access.device ? "" : ` by ${ref.device}`;
	const ago = micros(Math.abs(access.time - ref.time));
	switch (cause) {
		case "use after unmap":
			return `use after unmap by ${ago}: ${range}${by}`;
		case "use before map":
			return `use before map: mapped only ${ago} later: ${range} to ${ref.pa}${by}`;
		case "mapped before the trace":
			return `mapped before the trace began, unmapped ${ago} later: ${range}${by}`;
		case "other device":
			return `another device's address: ${ref.kind === "map" ? `mapped ${ago} before` : `unmapped ${ago} before`}${by}: ${range}; never mapped for this one`;
		case "wrong direction":
			return `wrong direction: ${access.access} of a page mapped ${ref.rights} ${ago} before: ${range}${by}`;
		default:
			return `mapped ${ago} before: ${range} to ${ref.pa}${by}`;
	}
}
