import type { PhysicalMemory } from "../engine/index.ts";
import { CoreError } from "./errors.ts";
import { eachPage, type FramePool, PAGE, Page, type Pin } from "./process-frames.ts";

/**
 * Memory that several mappings share: a file in memory, shared anonymous memory, a device's region. Its pages get frames
 * when first touched and keep them until the object is gone or cut. Who makes it holds it once; each mapping holds it too.
 */
export class MemoryObject {
	private readonly pages = new Map<number, Page>();
	private holders = 1;

	constructor(
		readonly name: string,
		/** bytes */
		private bytes: bigint,
		private readonly ram: PhysicalMemory,
		private readonly frames: FramePool,
	) {}

	get size(): bigint {
		return this.bytes;
	}

	private context(operation: string, page: number) {
		const first = BigInt(page) * PAGE;
		return { operation, object: `memory ${this.name}`, first, last: first + PAGE - 1n };
	}

	/** The page if it has been touched. @throws CoreError MemoryFault behind the end */
	peek(operation: string, page: number): Page | undefined {
		if (BigInt(page) * PAGE >= this.bytes) throw new CoreError("MemoryFault", "behind the end", this.context(operation, page));
		return this.pages.get(page);
	}

	/** @throws CoreError MemoryFault behind the end, NoSpace */
	page(operation: string, page: number): Page {
		const known = this.peek(operation, page);
		if (known !== undefined) return known;
		const made = Page.create(this.frames, this.ram, null, this.context(operation, page));
		this.pages.set(page, made);
		return made;
	}

	/** Physical address of the frame that has the byte at `offset`'s page. @throws CoreError MemoryFault, NoSpace */
	frameOf(offset: bigint): bigint {
		return this.page("MemoryObject.frameOf", Number(offset / PAGE)).frame;
	}

	/** @throws CoreError MemoryFault, NoSpace */
	pin(offset: bigint): Pin {
		return this.page("MemoryObject.pin", Number(offset / PAGE)).pin();
	}

	/** @throws CoreError MemoryFault; nothing is copied then */
	read(offset: bigint, length: number): Uint8Array {
		const out = new Uint8Array(length);
		this.check("MemoryObject.read", offset, length);
		eachPage(offset, length, (page, from, at, bytes) => {
			const known = this.pages.get(page);
			if (known !== undefined) out.set(this.ram.read(known.frame + BigInt(from), bytes), at);
		});
		return out;
	}

	/** @throws CoreError MemoryFault, nothing is written then; NoSpace */
	write(offset: bigint, data: Uint8Array): void {
		this.check("MemoryObject.write", offset, data.length);
		eachPage(offset, data.length, (page, from, at, bytes) => {
			this.ram.writeBytes(this.page("MemoryObject.write", page).frame + BigInt(from), data.subarray(at, at + bytes));
		});
	}

	private check(operation: string, offset: bigint, length: number): void {
		const last = offset + BigInt(length) - 1n;
		if (offset < 0n || last >= this.bytes) throw new CoreError("MemoryFault", `the memory has 0x${this.bytes.toString(16)} bytes`, { operation, object: `memory ${this.name}`, first: offset, last });
	}

	/** Cut or lengthen it. What is cut reads as zero when it is lengthened again; pinned frames live on for their holders. */
	resize(size: bigint): void {
		if (size < this.bytes) {
			for (const [page, held] of this.pages) {
				const first = BigInt(page) * PAGE;
				if (first >= size) {
					this.pages.delete(page);
					held.drop();
				} else if (first + PAGE > size) this.ram.writeBytes(held.frame + (size - first), new Uint8Array(Number(first + PAGE - size)));
			}
		}
		this.bytes = size;
	}

	hold(): this {
		this.holders++;
		return this;
	}

	/** Give up one hold; the last one frees the pages. */
	release(): void {
		this.holders--;
		if (this.holders > 0) return;
		for (const page of this.pages.values()) page.drop();
		this.pages.clear();
	}
}
