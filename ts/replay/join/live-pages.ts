/**
 * Which pages each device has mapped, followed in order, to find the owner of an unmap that nobody claims.
 */
import { PageRanges } from "./page-ranges.ts";

const PAGE = 4096;
const firstOf = (start: number) => Math.floor(start / PAGE);
const endOf = (end: number) => Math.ceil(end / PAGE);

/** Mapped 4 KiB pages by device; addresses are doubles. */
export class LivePages {
	private readonly devices = new Map<number, PageRanges<true>>();
	/** pages that a map found mapped already, and replaced */
	replaced = 0;

	map(device: number, start: number, end: number): void {
		let pages = this.devices.get(device);
		if (pages === undefined) {
			pages = new PageRanges(() => true);
			this.devices.set(device, pages);
		}
		this.replaced += pages.set(firstOf(start), endOf(end), true);
	}

	unmap(device: number, start: number, end: number): void {
		this.devices.get(device)?.delete(firstOf(start), endOf(end));
	}

	/** Whether `device` maps every page of the range. */
	maps(device: number, start: number, end: number): boolean {
		return this.devices.get(device)?.covers(firstOf(start), endOf(end)) ?? false;
	}

	/** The one device that maps the whole range; -1 when there is none or more than one. */
	soleOwner(start: number, end: number): number {
		let owner = -1;
		for (const device of this.devices.keys()) {
			if (!this.maps(device, start, end)) continue;
			if (owner >= 0) return -1;
			owner = device;
		}
		return owner;
	}
}
