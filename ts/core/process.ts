import type { PhysicalMemory } from "../engine/index.ts";
import { CoreError } from "./errors.ts";

export const PAGE = 4096n;

/** Hands out frames of the machine's RAM, one 4 KiB page at a time. */
export class FramePool {
	private next: bigint;
	private readonly free: bigint[] = [];

	constructor(
		private readonly first: bigint,
		private readonly last: bigint,
	) {
		this.next = first;
	}

	/** undefined when every frame is taken */
	take(): bigint | undefined {
		const again = this.free.pop();
		if (again !== undefined) return again;
		if (this.next + PAGE - 1n > this.last) return undefined;
		const frame = this.next;
		this.next += PAGE;
		return frame;
	}

	give(frame: bigint): void {
		this.free.push(frame);
	}

	get used(): number {
		return Number((this.next - this.first) / PAGE) - this.free.length;
	}
}

interface Mapped {
	frame: bigint;
	/** pins hold a frame after the process has unmapped its page */
	pins: number;
	present: boolean;
}

/**
 * Memory of a process: user addresses, backed page by page when first touched. A page has one frame for as long as it
 * is mapped or pinned.
 */
export class Process {
	private readonly ranges: Array<{ first: bigint; last: bigint }> = [];
	private readonly pages = new Map<bigint, Mapped>();

	constructor(
		readonly name: string,
		private readonly ram: PhysicalMemory,
		private readonly frames: FramePool,
	) {}

	/** Declare zero-filled memory at [address, address + size), both multiples of a page. @throws CoreError Misaligned, Occupied */
	map(address: bigint, size: bigint): void {
		const last = address + size - 1n;
		const context = { operation: "Process.map", object: `process ${this.name}`, first: address, last };
		if (size <= 0n || (address | size) & (PAGE - 1n)) throw new CoreError("Misaligned", "memory comes in pages", context);
		if (this.ranges.some((r) => address <= r.last && last >= r.first)) throw new CoreError("Occupied", "memory is there", context);
		this.ranges.push({ first: address, last });
	}

	/** Take memory away; pinned frames live on for their holders. @throws CoreError NotFound unless whole ranges are named */
	unmap(address: bigint, size: bigint): void {
		const last = address + size - 1n;
		const kept = this.ranges.filter((r) => r.first < address || r.last > last);
		if (kept.length === this.ranges.length) {
			throw new CoreError("NotFound", "no whole range lies there", { operation: "Process.unmap", object: `process ${this.name}`, first: address, last });
		}
		this.ranges.splice(0, this.ranges.length, ...kept);
		for (const [page, mapped] of this.pages) {
			if (page < address || page > last) continue;
			mapped.present = false;
			this.pages.delete(page);
			if (mapped.pins === 0) this.frames.give(mapped.frame);
		}
	}

	private page(operation: string, page: bigint): Mapped {
		const known = this.pages.get(page);
		if (known !== undefined) return known;
		const context = { operation, object: `process ${this.name}`, first: page, last: page + PAGE - 1n };
		if (!this.ranges.some((r) => page >= r.first && page <= r.last)) throw new CoreError("MemoryFault", "no memory there", context);
		const frame = this.frames.take();
		if (frame === undefined) throw new CoreError("NoSpace", "the machine's RAM is used up", context);
		this.ram.writeBytes(frame, new Uint8Array(Number(PAGE)));
		const mapped = { frame, pins: 0, present: true };
		this.pages.set(page, mapped);
		return mapped;
	}

	/** Physical address of the frame behind a page. @throws CoreError MemoryFault, NoSpace */
	frameOf(address: bigint): bigint {
		return this.page("Process.frameOf", address & ~(PAGE - 1n)).frame;
	}

	/** Pin the page; the frame stays until the pin is released. @throws CoreError MemoryFault, NoSpace */
	pin(address: bigint): Pin {
		const mapped = this.page("Process.pin", address & ~(PAGE - 1n));
		mapped.pins++;
		return {
			frame: mapped.frame,
			release: () => {
				mapped.pins--;
				if (mapped.pins === 0 && !mapped.present) this.frames.give(mapped.frame);
			},
		};
	}

	/** @throws CoreError MemoryFault */
	read(address: bigint, length: number): Uint8Array {
		const out = new Uint8Array(length);
		this.each("Process.read", address, length, (frame, at, bytes) => out.set(this.ram.read(frame, bytes), at));
		return out;
	}

	/** @throws CoreError MemoryFault */
	write(address: bigint, data: Uint8Array): void {
		this.each("Process.write", address, data.length, (frame, at, bytes) => this.ram.writeBytes(frame, data.subarray(at, at + bytes)));
	}

	private each(operation: string, address: bigint, length: number, visit: (physical: bigint, at: number, bytes: number) => void): void {
		for (let at = 0; at < length; ) {
			const here = address + BigInt(at);
			const offset = here & (PAGE - 1n);
			const bytes = Math.min(length - at, Number(PAGE - offset));
			visit(this.page(operation, here - offset).frame + offset, at, bytes);
			at += bytes;
		}
	}

	/** Pages that are pinned, for checks that nothing leaks. */
	get pinnedPages(): number {
		let count = 0;
		for (const { pins } of this.pages.values()) if (pins > 0) count++;
		return count;
	}
}

/** One pinned page. */
export interface Pin {
	readonly frame: bigint;
	release(): void;
}
