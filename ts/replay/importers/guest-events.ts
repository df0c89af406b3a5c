/**
 * The bodies of the kernel's trace events of the IOMMU and the DMA API, whatever tool printed the line around them.
 */
import { Scanner } from "../scan.ts";
import { Access, NO_PASID, Scope } from "../trace.ts";
import { Guest, GuestBuffer, type GuestLog } from "./guest-log.ts";

/** Who logged a line, and when. */
export interface Origin {
	time: number;
	task: number;
	context: number;
}

/** What became of a line. */
export type Outcome = "event" | "ignored" | "unreadable";

const LETTER_D = 100;
const LETTER_I = 105;
const LETTER_M = 109;
const LETTER_Q = 113;
const LETTER_U = 117;

/** DMA API calls; those that release, by whether they are logged before or after the unmap they cause. */
const DMA_CALLS = new Map<string, number>([
	["dma_map_page", Guest.acquire],
	["dma_map_phys", Guest.acquire],
	["dma_map_resource", Guest.acquire],
	["dma_map_sg", Guest.acquire],
	["dma_alloc", Guest.acquire],
	["dma_alloc_pages", Guest.acquire],
	["dma_alloc_sgt", Guest.acquire],
	["dma_unmap_page", Guest.releaseAfter],
	["dma_unmap_phys", Guest.releaseAfter],
	["dma_unmap_resource", Guest.releaseAfter],
	["dma_unmap_sg", Guest.releaseBefore],
	["dma_free", Guest.releaseBefore],
	["dma_free_pages", Guest.releaseBefore],
	["dma_free_sgt", Guest.releaseBefore],
]);

/** VT-d invalidation queue descriptors */
const IOTLB_DESCRIPTOR = 2;
const PIOTLB_DESCRIPTOR = 6;
const IOTLB_SCOPES = [NO_PASID, Scope.global, Scope.domain, Scope.page];

/** Reads event bodies into a {@link GuestLog}. */
export class GuestEventReader {
	private readonly buffer = new GuestBuffer();
	private readonly scan = new Scanner();
	private intel = false;

	/** Reads the event whose name stands from `start` to before `end`, and whose body starts at `body`. */
	read(text: string, start: number, end: number, body: number, origin: Origin): Outcome {
		switch (text.charCodeAt(start)) {
			case LETTER_M:
				return end - start === 3 && text.startsWith("map", start) ? this.mapping(Guest.map, text, body, origin) : "ignored";
			case LETTER_U:
				return end - start === 5 && text.startsWith("unmap", start) ? this.mapping(Guest.unmap, text, body, origin) : "ignored";
			case LETTER_D: {
				const kind = DMA_CALLS.get(text.slice(start, end));
				return kind === undefined ? "ignored" : this.dma(kind, text, body, origin);
			}
			case LETTER_Q:
				return text.startsWith("qi_submit:", start) ? this.submit(text, body, origin) : "ignored";
			case LETTER_I:
				return text.startsWith("io_page_fault:", start) ? this.fault(text, body, origin) : "ignored";
			default:
				return "ignored";
		}
	}

	/** `IOMMU: [dev=..] iova=0x.. [- 0x..] paddr=0x.. size=4096`, and unmap without paddr but with `unmapped_size=` */
	private mapping(kind: number, text: string, at: number, origin: Origin): Outcome {
		const scan = this.scan;
		if (text.indexOf("IOMMU:", at) < 0) return "ignored"; // some other subsystem's "map"
		if (!scan.labelledHex(text, " iova=0x", at)) return "unreadable";
		const start = scan.value();
		let pa = 0;
		if (kind === Guest.map) {
			if (!scan.labelledHex(text, " paddr=0x", scan.end)) return "unreadable";
			pa = scan.value();
		}
		let size = scan.labelledNumber(text, " size=", scan.end);
		if (size < 0) return "unreadable";
		if (kind === Guest.unmap) {
			// what is gone is what was unmapped, which may be less than what was asked for
			const unmapped = scan.labelledNumber(text, " unmapped_size=", scan.end);
			if (unmapped < 0) return "unreadable";
			size = unmapped;
		}
		if (start + size > 2 ** 64) return "unreadable";
		const index = this.buffer.add(kind, origin.time, origin.task, origin.context);
		const events = this.buffer.events;
		events.start[index] = start;
		events.end[index] = start + size;
		events.target[index] = pa;
		events.flags[index] = Access.read | Access.write;
		const dev = text.indexOf(" dev=", at);
		if (dev >= 0) events.device[index] = this.buffer.device(word(text, dev + 5));
		return "event";
	}

	/** `0000:00:01.0 dir=TO_DEVICE dma_addr=ffffb000 size=8 ..`; sg: `dma_addrs={0x..,0x..} sizes={0x..}`, or only phys_addrs */
	private dma(kind: number, text: string, at: number, origin: Origin): Outcome {
		const scan = this.scan;
		let nameAt = at;
		while (text.charCodeAt(nameAt) === 32) nameAt++;
		const dir = text.indexOf(" dir=", nameAt);
		if (dir < 0) return "unreadable";
		let start = 0;
		let end = 0;
		const one = text.indexOf(" dma_addr=", dir);
		if (one >= 0) {
			if (!scan.labelledHex(text, " dma_addr=", one)) return "unreadable";
			start = scan.value();
			const size = scan.labelledNumber(text, " size=", scan.end);
			if (size < 0) return "unreadable";
			end = start + size;
		} else if (text.indexOf(" dma_addrs={", dir) >= 0) {
			const bounds = this.bounds(text, dir);
			if (bounds === null) return "unreadable";
			[start, end] = bounds;
		} else if (kind !== Guest.releaseBefore) return "unreadable";
		const index = this.buffer.add(kind, origin.time, origin.task, origin.context);
		const events = this.buffer.events;
		events.device[index] = this.buffer.device(text.slice(nameAt, dir));
		events.start[index] = start;
		events.end[index] = end;
		events.flags[index] = permissions(text, dir + 5);
		return "event";
	}

	/** The least range that holds all segments of `dma_addrs={..} sizes={..}`. */
	private bounds(text: string, from: number): [number, number] | null {
		const scan = this.scan;
		let at = text.indexOf(" dma_addrs={", from) + 12;
		let size = text.indexOf(" sizes={", at) + 8;
		if (size < 8) return null;
		let start = Number.POSITIVE_INFINITY;
		let end = 0;
		for (;;) {
			if (!scan.nextHex(text, at)) return null;
			const address = scan.value();
			at = scan.end;
			if (!scan.nextHex(text, size)) return null;
			size = scan.end;
			start = Math.min(start, address);
			end = Math.max(end, address + scan.value());
			if (text.charCodeAt(at) !== 44) return [start, end];
		}
	}

	/** `iotlb_inv dmar0: 0x300f2 0xffffd040 0x0 0x0`; other types than the two of the IOTLB are left out */
	private submit(text: string, at: number, origin: Origin): Outcome {
		this.intel = true;
		const scan = this.scan;
		const colon = text.indexOf(": ", at);
		if (colon < 0 || !scan.nextHex(text, colon)) return "unreadable";
		const { lo, hi } = scan;
		if (!scan.nextHex(text, scan.end)) return "unreadable";
		const type = lo & 0xf;
		if (type !== IOTLB_DESCRIPTOR && type !== PIOTLB_DESCRIPTOR) return "ignored";
		const granularity = (lo >>> 4) & 3;
		let scope: number = IOTLB_SCOPES[granularity];
		let pasid = 0;
		if (type === PIOTLB_DESCRIPTOR) {
			scope = granularity === 2 ? Scope.pasid : Scope.pasidPage;
			pasid = hi & 0xfffff;
		}
		if (scope === NO_PASID) return "unreadable";
		const paged = scope === Scope.page || scope === Scope.pasidPage;
		const index = this.buffer.add(Guest.submit, origin.time, origin.task, origin.context);
		const events = this.buffer.events;
		events.flags[index] = scope;
		events.target[index] = (lo >>> 16) + pasid * 0x10000;
		if (paged) {
			const start = scan.hi * 0x1_0000_0000 + ((scan.lo & ~0xfff) >>> 0);
			events.start[index] = start;
			events.end[index] = start + 4096 * 2 ** (scan.lo & 0x3f);
		}
		return "event";
	}

	/** `IOMMU:amd_iommu 0000:00:01.0 iova=0x.. flags=0x0001` */
	private fault(text: string, at: number, origin: Origin): Outcome {
		const scan = this.scan;
		if (!scan.labelledHex(text, " iova=0x", at)) return "unreadable";
		const start = scan.value();
		const device = text.indexOf(" ", text.indexOf("IOMMU:", at));
		const flags = scan.labelledNumber(text, " flags=", scan.end);
		if (device < 0 || flags < 0) return "unreadable";
		const index = this.buffer.add(Guest.fault, origin.time, origin.task, origin.context);
		const events = this.buffer.events;
		events.device[index] = this.buffer.device(word(text, device + 1));
		events.start[index] = start;
		events.end[index] = start + 1;
		events.flags[index] = (flags & 1) !== 0 ? Access.write : Access.read;
		return "event";
	}

	end(notes: string[]): GuestLog {
		return { side: "guest", intel: this.intel, events: this.buffer.events, devices: this.buffer.devices, notes };
	}
}

/** What a mapping for `dir` allows. `FROM_DEVICE` is write alone here; the tables may allow more. */
function permissions(text: string, at: number): number {
	if (text.startsWith("TO_DEVICE", at)) return Access.read;
	if (text.startsWith("FROM_DEVICE", at)) return Access.write;
	return Access.read | Access.write;
}

function word(text: string, at: number): string {
	const end = text.indexOf(" ", at);
	return text.slice(at, end < 0 ? text.length : end);
}
