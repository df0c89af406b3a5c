import { PAGE, type Pin, type Process } from "./process.ts";

/**
 * Where the pages of areas come from: a range of a process. Each page is pinned once, however many tables and areas
 * use it; the source is shared and counted, and lets go of everything at its last use.
 */
export class PageSource {
	private readonly pins = new Map<bigint, { pin: Pin; uses: number }>();

	constructor(
		readonly owner: Process,
		/** user address of the first byte */
		readonly address: bigint,
		readonly size: bigint,
		readonly writable = true,
	) {}

	/**
	 * Pin the pages of [offset, offset + size) once more; their frames in order.
	 * @throws CoreError MemoryFault, NoSpace; nothing is pinned then
	 */
	pin(offset: bigint, size: bigint): bigint[] {
		const frames: bigint[] = [];
		try {
			for (let at = offset; at < offset + size; at += PAGE) {
				let held = this.pins.get(at);
				if (held === undefined) {
					held = { pin: this.owner.pin(this.address + at), uses: 0 };
					this.pins.set(at, held);
				}
				held.uses++;
				frames.push(held.pin.frame);
			}
		} catch (error) {
			this.unpin(offset, BigInt(frames.length) * PAGE);
			throw error;
		}
		return frames;
	}

	unpin(offset: bigint, size: bigint): void {
		for (let at = offset; at < offset + size; at += PAGE) {
			const held = this.pins.get(at);
			if (held === undefined) continue;
			held.uses--;
			if (held.uses > 0) continue;
			held.pin.release();
			this.pins.delete(at);
		}
	}

	/** Pages pinned now. */
	get pinned(): number {
		return this.pins.size;
	}
}
