import type { AddressSpace } from "./address-space.ts";
import type { AreaList } from "./area.ts";
import { CoreError } from "./errors.ts";
import { PAGE } from "./frames.ts";
import type { HeldTables, Recording } from "./held-tables.ts";

const LAST = (1n << 64n) - 1n;

/** Which pages of a space were written, by DMA through it or its children and by software in its place. */
export class DirtyTracking {
	/** null: it is off */
	private log: { split: boolean; written: Set<bigint> } | null = null;

	constructor(
		private readonly space: AddressSpace,
		private readonly areas: AreaList,
		private readonly tables: HeldTables,
	) {}

	get isOn(): boolean {
		return this.log !== null;
	}

	/** How tables record, when spaces above want it as they do. */
	recording(above: Recording): Recording {
		return this.log === null ? above : { split: this.log.split || (above?.split ?? false) };
	}

	/** Record anew. @throws CoreError Unsupported (a unit without), NoSpace; it goes on as before then */
	start(split: boolean): void {
		const operation = "dirty_start";
		const old = this.log;
		this.gather(0n, LAST);
		this.log = { split, written: new Set() };
		try {
			this.space.followRecording(operation);
		} catch (error) {
			this.log = old;
			this.space.followRecording(operation);
			throw error;
		}
	}

	stop(): void {
		this.gather(0n, LAST);
		this.log = null;
		this.space.followRecording("dirty_stop");
	}

	/** A page was written: this log has it, and the parent's. */
	wrote(address: bigint): void {
		const page = address & ~(PAGE - 1n);
		this.log?.written.add(page);
		const area = this.space.parent === null ? undefined : this.areas.at(page);
		if (area?.backing.kind === "parent") this.space.parent?.dirtied(area.backing.address + (page - area.first));
	}

	/** Tell the spaces what was written to [first, last], through the tables of this one and of its children, and by software. */
	gather(first: bigint, last: bigint): void {
		this.tables.gather(first, last);
		this.space.tellWritten();
		for (const child of this.space.children) child.gatherBehind(first, last);
	}

	/** The same for what leads to [first, last] of the parent. */
	gatherBehind(first: bigint, last: bigint): void {
		for (const area of this.areas) {
			if (area.backing.kind !== "parent") continue;
			const from = area.backing.address;
			const to = from + (area.last - area.first);
			if (from <= last && to >= first) this.gather(area.first + (first > from ? first - from : 0n), area.last - (last < to ? to - last : 0n));
		}
	}

	/** What was mapped at [first, last] is gone. */
	forget(first: bigint, last: bigint): void {
		for (const page of this.within(first, last)) this.log?.written.delete(page);
	}

	/** Written pages of [first, last]; `clear` forgets them. @throws CoreError Invalid when it was not started */
	read(first: bigint, last: bigint, clear: boolean, operation: string): Set<bigint> {
		if (this.log === null) throw new CoreError("Invalid", "dirty tracking is off", { operation, object: this.space.name, first, last });
		this.gather(first, last);
		const pages = new Set(this.within(first, last));
		if (clear) this.forget(first, last);
		return pages;
	}

	private *within(first: bigint, last: bigint): Iterable<bigint> {
		for (const page of this.log?.written ?? []) if (page >= first && page <= last) yield page;
	}
}
