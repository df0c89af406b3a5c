import type { PhysicalMemory } from "../engine/index.ts";
import { CoreError, type CoreErrorContext, type CoreReason } from "./errors.ts";
import { eachPage, FramePool, PAGE, Page, type Pin } from "./process-frames.ts";
import { Mapping, MappingList } from "./process-mapping.ts";
import type { MapOptions, ProcessMemory, ProcessObserver } from "./process-memory.ts";
import { MemoryObject } from "./process-object.ts";

export { FramePool, PAGE };
export type { Pin };

/** where memory without a wished address goes: the upper half of a 47-bit user space */
const CHOSEN_FIRST = 0x4000_0000_0000n;
const CHOSEN_END = 0x7fff_ffff_f000n;

/**
 * Memory of a process over the machine's RAM: mapped page by page, backed when first written, pinned or asked for its
 * frame. A page has one frame for as long as it is mapped or pinned.
 */
export class Process implements ProcessMemory {
	private readonly mappings = new MappingList();
	private readonly observers = new Set<ProcessObserver>();
	/** pages pinned through this process, with the number of pins */
	private readonly pinned = new Map<Page, number>();
	private ended = false;

	constructor(
		readonly name: string,
		private readonly ram: PhysicalMemory,
		private readonly frames: FramePool,
	) {}

	get alive(): boolean {
		return !this.ended;
	}

	private context(operation: string, first?: bigint, last?: bigint): CoreErrorContext {
		return { operation, object: `process ${this.name}`, first, last };
	}

	private range(operation: string, address: bigint, size: bigint): bigint {
		const last = address + size - 1n;
		const refuse = (reason: CoreReason, what: string) => new CoreError(reason, what, this.context(operation, address, last));
		if (this.ended) throw refuse("NotFound", "the process has ended");
		if (size <= 0n || (address | size) & (PAGE - 1n)) throw refuse("Misaligned", "memory comes in pages");
		if (address < 0n || last >= 1n << 64n) throw refuse("Overflow", "addresses end at 2^64");
		return last;
	}

	map(address: bigint | null, size: bigint, options: MapOptions = {}): bigint {
		const { read = true, write = true, shared = false, object, offset = 0n, replace = false, watcher } = options;
		this.range("Process.map", address ?? 0n, size);
		const at = address ?? this.mappings.room(size, CHOSEN_FIRST, CHOSEN_END);
		if (at === undefined) throw new CoreError("NoSpace", `no room for 0x${size.toString(16)} bytes`, this.context("Process.map"));
		const last = at + size - 1n;
		if (offset < 0n || offset & (PAGE - 1n)) throw new CoreError("Misaligned", "the offset is no multiple of a page", this.context("Process.map", at, last));
		if (!replace && this.mappings.meets(at, last)) throw new CoreError("Occupied", "memory is there", this.context("Process.map", at, last));
		const own = object === undefined && shared ? new MemoryObject(`of process ${this.name}`, size, this.ram, this.frames) : null;
		const mapping = new Mapping(at, last, { read, write }, shared, object ?? own, Number(offset / PAGE), watcher ?? null);
		own?.release();
		for (const gone of this.mappings.remove(at, last)) gone.close();
		this.mappings.add(mapping);
		return at;
	}

	unmap(address: bigint, size: bigint): void {
		const last = this.range("Process.unmap", address, size);
		if (!this.mappings.meets(address, last)) throw new CoreError("NotFound", "no memory lies there", this.context("Process.unmap", address, last));
		for (const gone of this.mappings.remove(address, last)) gone.close();
	}

	/** Change what the process may do with its memory; pins are not touched. @throws CoreError Misaligned, NotFound when a page is not mapped */
	protect(address: bigint, size: bigint, access: { read: boolean; write: boolean }): void {
		const last = this.range("Process.protect", address, size);
		for (let at = address; at <= last; ) {
			const mapping = this.mappings.at(at);
			if (mapping === undefined) throw new CoreError("NotFound", "no memory there", this.context("Process.protect", at, last));
			at = mapping.last + 1n;
		}
		for (const mapping of this.mappings.carve(address, last)) mapping.access = { ...access };
	}

	/** A file in memory, `size` bytes long (memfd_create). The caller holds it: release() when its descriptor closes. */
	createMemory(name: string, size: bigint): MemoryObject {
		return new MemoryObject(name, size, this.ram, this.frames);
	}

	private mappingOf(operation: string, page: number, access: "read" | "write"): Mapping {
		const address = BigInt(page) * PAGE;
		const mapping = this.mappings.at(address);
		const why = mapping === undefined ? "no memory there" : mapping.access[access] ? null : `the memory cannot be ${access === "read" ? "read" : "written"}`;
		if (mapping === undefined || why !== null) throw new CoreError("MemoryFault", why ?? "", this.context(operation, address, address + PAGE - 1n));
		return mapping;
	}

	/** The page as reads find it; undefined: zeros. */
	private toRead(operation: string, mapping: Mapping, page: number): Page | undefined {
		return mapping.pages.get(page) ?? mapping.object?.peek(operation, mapping.objectPageOf(page));
	}

	/** The page as writes and pins find it: shared, or of this process alone. */
	private toWrite(operation: string, mapping: Mapping, page: number): Page {
		if (mapping.shared && mapping.object !== null) return mapping.object.page(operation, mapping.objectPageOf(page));
		const own = mapping.pages.get(page);
		if (own !== undefined && !own.shared) return own;
		const made = this.copy(operation, own ?? this.toRead(operation, mapping, page), page);
		mapping.pages.set(page, made);
		own?.drop();
		return made;
	}

	private copy(operation: string, from: Page | undefined, page: number): Page {
		const address = BigInt(page) * PAGE;
		return Page.create(this.frames, this.ram, from === undefined ? null : this.ram.read(from.frame, Number(PAGE)), this.context(operation, address, address + PAGE - 1n));
	}

	frameOf(address: bigint): bigint {
		const page = Number(address / PAGE);
		const mapping = this.mappingOf("Process.frameOf", page, "read");
		const own = mapping.pages.get(page);
		if (own !== undefined) return own.frame;
		if (mapping.object !== null) return mapping.object.page("Process.frameOf", mapping.objectPageOf(page)).frame;
		return this.toWrite("Process.frameOf", mapping, page).frame;
	}

	pin(address: bigint, options: { write?: boolean } = {}): Pin {
		const number = Number(address / PAGE);
		const page = this.toWrite("Process.pin", this.mappingOf("Process.pin", number, options.write ? "write" : "read"), number);
		this.pinned.set(page, (this.pinned.get(page) ?? 0) + 1);
		return page.pin(() => {
			const left = (this.pinned.get(page) ?? 1) - 1;
			if (left === 0) this.pinned.delete(page);
			else this.pinned.set(page, left);
		});
	}

	pinsOf(address: bigint): number {
		const page = Number(address / PAGE);
		return this.toRead("Process.pinsOf", this.mappingOf("Process.pinsOf", page, "read"), page)?.pins ?? 0;
	}

	read(address: bigint, length: number): Uint8Array {
		const out = new Uint8Array(length);
		eachPage(address, length, (page, offset, at, bytes) => {
			const found = this.toRead("Process.read", this.mappingOf("Process.read", page, "read"), page);
			if (found !== undefined) out.set(this.ram.read(found.frame + BigInt(offset), bytes), at);
		});
		return out;
	}

	write(address: bigint, data: Uint8Array): void {
		eachPage(address, data.length, (page, offset, at, bytes) => {
			const found = this.toWrite("Process.write", this.mappingOf("Process.write", page, "write"), page);
			this.ram.writeBytes(found.frame + BigInt(offset), data.subarray(at, at + bytes));
		});
	}

	/** Pages that are pinned through this process, mapped or not, for checks that nothing leaks. */
	get pinnedPages(): number {
		return this.pinned.size;
	}

	fork(name: string): Process {
		if (this.ended) throw new CoreError("NotFound", "the process has ended", this.context("Process.fork"));
		const copies = new Map<Page, Page>();
		try {
			for (const { pages } of this.mappings) for (const [number, page] of pages) if (page.pins > 0) copies.set(page, this.copy("Process.fork", page, number));
		} catch (error) {
			for (const page of copies.values()) page.drop();
			throw error;
		}
		const child = new Process(name, this.ram, this.frames);
		for (const mapping of this.mappings) {
			const pages = new Map([...mapping.pages].map(([number, page]) => [number, copies.get(page) ?? page.hold()]));
			child.mappings.add(mapping.copyWith(pages));
		}
		for (const observer of [...this.observers]) observer.forked?.(child);
		return child;
	}

	exit(): void {
		if (this.ended) return;
		this.ended = true;
		for (const mapping of this.mappings.clear()) mapping.close();
		for (const observer of [...this.observers]) observer.exited?.();
		this.observers.clear();
	}

	observe(observer: ProcessObserver): () => void {
		this.observers.add(observer);
		return () => void this.observers.delete(observer);
	}
}
