import type { PhysicalMemory } from "../engine/index.ts";
import { CoreError, type CoreErrorContext } from "./errors.ts";

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

/** One pinned page: its frame stays until release, whatever becomes of the mapping. */
export interface Pin {
	/** physical address of the page's first byte */
	readonly frame: bigint;
	/** Let go; further calls do nothing. */
	release(): void;
}

/** A page in a frame, free again when no mapping, object or pin has it. */
export class Page {
	/** mappings and objects that have it */
	private holders = 1;
	private pinned = 0;

	private constructor(
		readonly frame: bigint,
		private readonly frames: FramePool,
	) {}

	/** A page with these bytes, or zeros. @throws CoreError NoSpace */
	static create(frames: FramePool, ram: PhysicalMemory, bytes: Uint8Array | null, context: CoreErrorContext): Page {
		const frame = frames.take();
		if (frame === undefined) throw new CoreError("NoSpace", "the machine's RAM is used up", context);
		try {
			ram.writeBytes(frame, bytes ?? new Uint8Array(Number(PAGE)));
		} catch (error) {
			frames.give(frame);
			throw new CoreError("NoSpace", "the engine has no memory for a frame", context, { cause: error });
		}
		return new Page(frame, frames);
	}

	get pins(): number {
		return this.pinned;
	}

	/** more than one mapping has it */
	get shared(): boolean {
		return this.holders > 1;
	}

	hold(): this {
		this.holders++;
		return this;
	}

	drop(): void {
		this.holders--;
		this.letGo();
	}

	/** `released` is called once, when the pin is. */
	pin(released?: () => void): Pin {
		this.pinned++;
		let held = true;
		return {
			frame: this.frame,
			release: () => {
				if (!held) return;
				held = false;
				this.pinned--;
				released?.();
				this.letGo();
			},
		};
	}

	private letGo(): void {
		if (this.holders === 0 && this.pinned === 0) this.frames.give(this.frame);
	}
}

/** [address, address + length) cut at page ends: for each piece its page number, its first byte in the page, its place in the whole. */
export function eachPage(address: bigint, length: number, visit: (page: number, offset: number, at: number, bytes: number) => void): void {
	for (let at = 0; at < length; ) {
		const here = address + BigInt(at);
		const offset = Number(here & (PAGE - 1n));
		const bytes = Math.min(length - at, Number(PAGE) - offset);
		visit(Number(here / PAGE), offset, at, bytes);
		at += bytes;
	}
}
