/**
 * The guest kernel's half of a recording: maps, unmaps, DMA API calls and invalidation requests, not yet owned by devices.
 */
import { doubleColumns } from "../rows.ts";

/** Kinds of guest events. */
export const Guest = {
	/** a page-table entry was made; no device known, unless the line says so */
	map: 1,
	/** a page-table entry was removed */
	unmap: 2,
	/** a DMA API call that comes after its maps: `dma_map_*`, `dma_alloc*` */
	acquire: 3,
	/** a DMA API call that comes before its unmap: `dma_unmap_sg`, `dma_free*` */
	releaseBefore: 4,
	/** a DMA API call that comes after its unmap: `dma_unmap_page` and its like */
	releaseAfter: 5,
	/** an invalidation handed to the IOMMU */
	submit: 6,
	/** `io_page_fault` */
	fault: 7,
} as const;

/** No device on the line. */
export const NOBODY = -1;

/** Parallel columns; addresses are doubles, exact since they are pages (or below 2^53). */
export interface GuestEvents {
	length: number;
	kind: Uint8Array;
	/** microseconds on the guest's clock */
	time: Float64Array;
	/** who ran, wherever: the task and its interrupt level (idle tasks by CPU, since they share a pid) */
	task: Float64Array;
	/** who ran where: task, interrupt level and CPU */
	context: Float64Array;
	/** index into `devices` or NOBODY */
	device: Int32Array;
	/** first byte; submit: the address */
	start: Float64Array;
	/** byte after the last; submit: the same as start for scopes without addresses */
	end: Float64Array;
	/** map: output address; submit: domain id + 65536 * PASID */
	target: Float64Array;
	/** map and acquire: permissions; submit: Scope; fault: Access */
	flags: Uint8Array;
}

/** A device as the guest names it; `rid` is null for what is not on PCI. */
export interface GuestDevice {
	name: string;
	segment: number;
	rid: number | null;
}

export interface GuestLog {
	side: "guest";
	/** whether the Intel driver's own events are there */
	intel: boolean;
	events: GuestEvents;
	devices: GuestDevice[];
	notes: string[];
}

/** Growing {@link GuestEvents} with a dictionary of devices. */
export class GuestBuffer {
	readonly events: GuestEvents = makeEvents(1 << 14);
	readonly devices: GuestDevice[] = [];
	private readonly byName = new Map<string, number>();

	/** Appends an event and returns its index; range and target are 0 until the caller sets them. */
	add(kind: number, time: number, task: number, context: number): number {
		const events = this.events;
		const index = events.length;
		if (index === events.kind.length) doubleColumns(events);
		events.length = index + 1;
		events.kind[index] = kind;
		events.time[index] = time;
		events.task[index] = task;
		events.context[index] = context;
		events.device[index] = NOBODY;
		return index;
	}

	/** The index of a device by its name in the log. */
	device(name: string): number {
		const known = this.byName.get(name);
		if (known !== undefined) return known;
		// a slice of a line would hold on to the whole chunk of text
		const own = Array.from(name).join("");
		const index = this.devices.push(guestDevice(own)) - 1;
		this.byName.set(own, index);
		return index;
	}
}

const PCI_NAME = /^([0-9a-f]{4,}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])$/i;

function guestDevice(name: string): GuestDevice {
	const match = PCI_NAME.exec(name);
	if (match === null) return { name, segment: 0, rid: null };
	const [segment, bus, slot, fn] = match.slice(1).map((part) => Number.parseInt(part, 16));
	return { name, segment, rid: (bus << 8) | (slot << 3) | fn };
}

function makeEvents(capacity: number): GuestEvents {
	return {
		length: 0,
		kind: new Uint8Array(capacity),
		time: new Float64Array(capacity),
		task: new Float64Array(capacity),
		context: new Float64Array(capacity),
		device: new Int32Array(capacity),
		start: new Float64Array(capacity),
		end: new Float64Array(capacity),
		target: new Float64Array(capacity),
		flags: new Uint8Array(capacity),
	};
}
