/**
 * Which pages each device has mapped, followed in order, to find the owner of an unmap that nobody claims.
 */

const PAGE = 4096;

/** Mapped 4 KiB pages by device; addresses are doubles. */
export class LivePages {
	private readonly devices = new Map<number, Set<number>>();
	/** pages that a map found mapped already, and replaced */
	replaced = 0;

	map(device: number, start: number, end: number): void {
		let pages = this.devices.get(device);
		if (pages === undefined) {
			pages = new Set();
			this.devices.set(device, pages);
		}
		const before = pages.size;
		let count = 0;
		for (let page = Math.floor(start / PAGE); page * PAGE < end; page++, count++) pages.add(page);
		this.replaced += count - (pages.size - before);
	}

	unmap(device: number, start: number, end: number): void {
		const pages = this.devices.get(device);
		if (pages === undefined) return;
		for (let page = Math.floor(start / PAGE); page * PAGE < end; page++) pages.delete(page);
	}

	/** Whether `device` maps every page of the range. */
	maps(device: number, start: number, end: number): boolean {
		const pages = this.devices.get(device);
		return pages !== undefined && holds(pages, start, end);
	}

	/** The one device that maps the whole range; -1 when there is none or more than one. */
	soleOwner(start: number, end: number): number {
		let owner = -1;
		for (const [device, pages] of this.devices) {
			if (!holds(pages, start, end)) continue;
			if (owner >= 0) return -1;
			owner = device;
		}
		return owner;
	}
}

function holds(pages: Set<number>, start: number, end: number): boolean {
	for (let page = Math.floor(start / PAGE); page * PAGE < end; page++) {
		if (!pages.has(page)) return false;
	}
	return end > start;
}
