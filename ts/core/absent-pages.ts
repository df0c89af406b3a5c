import type { Area } from "./area.ts";
import { CoreError } from "./errors.ts";
import { PAGE } from "./frames.ts";

/** The space whose pages they are. */
interface PageHolder {
	/** the area is still one of its own */
	holds(area: Area): boolean;
	/** a page will go */
	leaving(page: bigint): void;
	/** a page has come or gone */
	changed(page: bigint, gone: boolean): void;
}

/** Pages of areas that come when devices ask for them (I/O page faults), and go when their process drops them. */
export class AbsentPages {
	private readonly watched = new Set<() => void>();

	constructor(private readonly holder: PageHolder) {}

	/** Bring in the page behind an address. @returns whether it was absent, and could be */
	bringIn({ first, backing, permissions }: Area, address: bigint): boolean {
		if (backing.kind !== "memory" || backing.present === undefined) return false;
		const page = address & ~(PAGE - 1n);
		const offset = page - first;
		if (backing.present.has(offset)) return false;
		const { owner } = backing.source;
		try {
			const extents = owner.pin(backing.source.address + backing.offset + offset, PAGE, permissions.write);
			// not kept pinned: the space forgets the page when the process drops it
			owner.unpin(extents);
			backing.present.set(offset, extents[0].address);
			this.holder.changed(page, false);
			return true;
		} catch (error) {
			if (!(error instanceof CoreError)) throw error;
			// there is no memory, or no frame for a table: the device's request fails
			backing.present.delete(offset);
			return false;
		}
	}

	/** Forget pages that the process drops. */
	watch(area: Area): void {
		const { backing } = area;
		if (backing.kind !== "memory") return;
		const owner = backing.source.owner as { onUnmap?: (listener: (first: bigint, last: bigint) => void) => () => void };
		const base = backing.source.address + backing.offset;
		const stop = owner.onUnmap?.((first, last) => {
			if (!this.holder.holds(area)) {
				stop?.();
				return;
			}
			for (const offset of [...(backing.present?.keys() ?? [])]) {
				const at = base + offset;
				if (at < first || at > last) continue;
				const page = area.first + offset;
				this.holder.leaving(page);
				backing.present?.delete(offset);
				this.holder.changed(page, true);
			}
		});
		if (stop !== undefined) this.watched.add(stop);
	}

	/** The space ends. */
	stop(): void {
		for (const stop of this.watched) stop();
	}
}
