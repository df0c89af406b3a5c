import { CoreError } from "./errors.ts";
import { type Extent, PAGE, sliceExtents } from "./frames.ts";

/** Whoever owns pages that can be pinned: a process, a file, an exporter. Addresses are its own. */
export interface PageOwner {
	readonly name: string;
	/** @throws CoreError MemoryFault, NoSpace, Denied */
	pin(address: bigint, size: bigint, write?: boolean): Extent[];
	unpin(extents: readonly Extent[]): void;
	/** no area maps its pages any more */
	close?(): void;
}

/** Who pays for pinned pages. */
export interface Account {
	/** @throws CoreError NoSpace over the limit */
	charge(pages: number): void;
	uncharge(pages: number): void;
}

/** Offsets [first, last] that have been pinned `uses` times; the pages hold still since the first. */
interface Run {
	first: bigint;
	last: bigint;
	uses: number;
	extents: Extent[];
}

/**
 * Where the pages of areas come from: a range of a process or file. Each page is pinned and charged once, however many
 * areas, tables and accesses use it; the source lets go of a page at its last use.
 */
export class PageSource {
	private readonly runs: Run[] = [];
	private exempt = false;
	/** areas that map it, where their space says so */
	private readonly users = new Set<object>();

	constructor(
		readonly owner: PageOwner,
		/** address of the first byte in the owner's terms; a multiple of a page */
		readonly address: bigint,
		/** bytes, a multiple of a page */
		readonly size: bigint,
		readonly writable = true,
		private payer: Account | null = null,
	) {}

	/** Who pays for its pages. */
	get account(): Account | null {
		return this.payer;
	}

	/** Somebody else pays from now on. @throws CoreError NoSpace over the limit: nothing has changed then */
	moveCharge(account: Account | null): void {
		const pages = this.exempt ? 0 : this.pinned;
		account?.charge(pages);
		this.payer?.uncharge(pages);
		this.payer = account;
	}

	private search(offset: bigint): number {
		let low = 0;
		let high = this.runs.length;
		while (low < high) {
			const mid = (low + high) >> 1;
			if (this.runs[mid].last < offset) low = mid + 1;
			else high = mid;
		}
		return low;
	}

	/** Make run borders at `offset`. */
	private cut(offset: bigint): void {
		const index = this.search(offset);
		const run = this.runs[index];
		if (run === undefined || run.first >= offset) return;
		const head = offset - run.first;
		const low = { ...run, last: offset - 1n, extents: sliceExtents(run.extents, 0n, head) };
		const high = { ...run, first: offset, extents: sliceExtents(run.extents, head, run.last - offset + 1n) };
		this.runs.splice(index, 1, low, high);
	}

	/**
	 * Pin the pages of [offset, offset + size) once more.
	 * @throws CoreError MemoryFault, Denied, NoSpace; nothing is pinned then
	 */
	pin(offset: bigint, size: bigint): void {
		if (size <= 0n || (offset | size) & (PAGE - 1n) || offset < 0n || offset + size > this.size) {
			throw new CoreError("Overflow", "beyond the source", { operation: "PageSource.pin", object: `pages of ${this.owner.name}`, first: offset, last: offset + size - 1n });
		}
		const end = offset + size;
		const fresh: Run[] = [];
		let pages = 0;
		try {
			for (let at = offset, index = this.search(offset); at < end; ) {
				const run = this.runs[index];
				if (run !== undefined && run.first <= at) {
					at = run.last + 1n;
					index++;
					continue;
				}
				const stop = run === undefined || run.first > end ? end : run.first;
				const extents = this.owner.pin(this.address + at, stop - at, this.writable);
				fresh.push({ first: at, last: stop - 1n, uses: 0, extents });
				pages += Number((stop - at) / PAGE);
				at = stop;
			}
			if (!this.exempt) this.payer?.charge(pages);
		} catch (error) {
			for (const { extents } of fresh) this.owner.unpin(extents);
			throw error;
		}
		for (const run of fresh) this.runs.splice(this.search(run.first), 0, run);
		this.cut(offset);
		this.cut(end);
		for (let index = this.search(offset); index < this.runs.length && this.runs[index].first < end; index++) this.runs[index].uses++;
	}

	unpin(offset: bigint, size: bigint): void {
		const end = offset + size;
		this.cut(offset);
		this.cut(end);
		let freed = 0;
		for (let index = this.search(offset); index < this.runs.length && this.runs[index].first < end; ) {
			const run = this.runs[index];
			run.uses--;
			if (run.uses > 0) {
				index++;
				continue;
			}
			freed += Number((run.last - run.first + 1n) / PAGE);
			this.owner.unpin(run.extents);
			this.runs.splice(index, 1);
		}
		if (!this.exempt) this.payer?.uncharge(freed);
	}

	/** Frames of [offset, offset + size), which must be pinned. */
	extents(offset: bigint, size: bigint): Extent[] {
		const out: Extent[] = [];
		for (let at = offset, index = this.search(offset); at < offset + size; index++) {
			const run = this.runs[index];
			if (run === undefined || run.first > at) throw new CoreError("MemoryFault", "not pinned", { operation: "PageSource.extents", object: `pages of ${this.owner.name}`, first: at, last: at });
			const stop = run.last + 1n < offset + size ? run.last + 1n : offset + size;
			out.push(...sliceExtents(run.extents, at - run.first, stop - at));
			at = stop;
		}
		return out;
	}

	/** Somebody pays for its pages by other means. */
	get isExempt(): boolean {
		return this.exempt;
	}

	/** From now on nobody is charged for its pages: somebody pays for them already. */
	stopCharging(): void {
		if (this.exempt) return;
		this.payer?.uncharge(this.pinned);
		this.exempt = true;
	}

	/** Nobody pays for them otherwise any more. @throws CoreError NoSpace over the limit; nothing has changed then */
	resumeCharging(): void {
		if (!this.exempt) return;
		this.payer?.charge(this.pinned);
		this.exempt = false;
	}

	/** Whether somebody has the page of an offset pinned. */
	isPinned(offset: bigint): boolean {
		const run = this.runs[this.search(offset)];
		return run !== undefined && run.first <= offset;
	}

	/** Pages pinned now. */
	get pinned(): number {
		let bytes = 0n;
		for (const run of this.runs) bytes += run.last - run.first + 1n;
		return Number(bytes / PAGE);
	}

	/** An area maps it. */
	remember(user: object): void {
		this.users.add(user);
	}

	/** An area does so no more; the last one closes the owner's import. */
	forget(user: object): void {
		if (this.users.delete(user) && this.users.size === 0) this.owner.close?.();
	}
}
