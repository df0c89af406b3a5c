import type { PhysicalMemory } from "../engine/index.ts";
import { CoreError, type CoreErrorContext, type CoreReason } from "./errors.ts";
import { type Extent, type FramePool, PAGE, pushExtent } from "./frames.ts";
import { Mapping, MappingList } from "./process-mapping.ts";
import type { MapOptions, ProcessMemory, ProcessObserver } from "./process-memory.ts";
import { MemoryObject, writeFrame } from "./process-object.ts";

/** where memory without a wished address goes: the upper half of a 47-bit user space */
const CHOSEN_FIRST = 0x4000_0000_0000n;
const CHOSEN_END = 0x7fff_ffff_f000n;

const pageDown = (address: bigint) => address & ~(PAGE - 1n);

/** Told when user addresses [first, last] stop meaning what they meant. */
export type UnmapListener = (first: bigint, last: bigint) => void;

/**
 * Memory of a process over the machine's RAM, backed when first written, pinned or asked for its frame: in one run for
 * as long as nothing was there before, so that a gigabyte is mapped and pinned in one step. A page has one frame for as
 * long as it is mapped or pinned. `locked` counts the pages charged to it, up to `lockedLimit`.
 */
export class Process implements ProcessMemory {
	private readonly mappings = new MappingList();
	private readonly observers = new Set<ProcessObserver>();
	private readonly listeners = new Set<UnmapListener>();
	private ended = false;
	private lockedPages = 0;
	/** pages that may be charged (RLIMIT_MEMLOCK) */
	lockedLimit = Number.POSITIVE_INFINITY;
	/** pages of it that somebody keeps pinned for devices (mm->pinned_vm); kept by those who pin */
	pinnedVm = 0;

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
		const own = object === undefined && shared ? new MemoryObject(`of process ${this.name}`, size, this.ram, this.frames, at) : null;
		const mapping = new Mapping(at, last, { read, write }, shared, object ?? own, offset, watcher ?? null, this.frames);
		own?.release();
		this.takeAway(at, last);
		this.mappings.add(mapping);
		return at;
	}

	unmap(address: bigint, size: bigint): void {
		const last = this.range("Process.unmap", address, size);
		if (!this.mappings.meets(address, last)) throw new CoreError("NotFound", "no memory lies there", this.context("Process.unmap", address, last));
		this.takeAway(address, last);
	}

	private takeAway(first: bigint, last: bigint): void {
		if (!this.mappings.meets(first, last)) return;
		for (const listener of [...this.listeners]) listener(first, last);
		for (const gone of this.mappings.remove(first, last)) gone.close();
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

	/** Mappings of [address, address + size) in order. @throws CoreError MemoryFault at the first byte without memory or right */
	private *spans(operation: string, address: bigint, size: bigint, right: "read" | "write"): Iterable<{ mapping: Mapping; first: bigint; last: bigint }> {
		for (let at = address; at < address + size; ) {
			const mapping = this.mappings.at(at);
			if (mapping === undefined) throw new CoreError("MemoryFault", "no memory there", this.context(operation, at, at));
			if (!mapping.access[right]) throw new CoreError("MemoryFault", `the memory cannot be ${right === "read" ? "read" : "written"}`, this.context(operation, at, at));
			const last = mapping.last < address + size - 1n ? mapping.last : address + size - 1n;
			yield { mapping, first: at, last };
			at = last + 1n;
		}
	}

	/** Put new frames behind [first, last] of a mapping. @throws CoreError NoSpace */
	private back(operation: string, mapping: Mapping, first: bigint, last: bigint): void {
		mapping.planned ??= this.plan(mapping);
		const size = last - first + 1n;
		const taken = this.frames.take(this, first, size, mapping.planned === null ? undefined : first + mapping.planned);
		if (taken === undefined) throw new CoreError("NoSpace", "the machine's RAM is used up", this.context(operation, first, last));
		let at = first;
		for (const { address, size: bytes } of taken) {
			mapping.map.set(at, at + bytes - 1n, address);
			at += bytes;
		}
	}

	private plan({ first, last }: Mapping): bigint | null {
		const place = this.frames.plan(first, last - first + 1n);
		return place === undefined ? null : place - first;
	}

	/** A copy of pages that others have too, in their place. @throws CoreError NoSpace */
	private unshare(operation: string, mapping: Mapping, first: bigint, last: bigint, from: bigint | undefined): void {
		const bytes = from === undefined ? null : this.ram.read(from, Number(last - first + 1n));
		const old = mapping.map.remove(first, last);
		try {
			this.back(operation, mapping, first, last);
			if (bytes === null) return;
			let at = 0;
			for (const piece of mapping.map.pieces(first, last)) {
				const size = Number(piece.last - piece.first + 1n);
				writeFrame(this.ram, piece.physical as bigint, bytes.subarray(at, at + size), this.context(operation, first, last));
				at += size;
			}
		} catch (error) {
			mapping.discard(first, last);
			for (const { first: start, last: end, physical } of old) mapping.map.set(start, end, physical);
			throw error;
		}
		for (const { first: start, last: end, physical } of old) this.frames.drop(physical, end - start + 1n);
	}

	/**
	 * Frames of [first, last] as writes and pins find them: shared, or of this process alone.
	 * @throws CoreError NoSpace, MemoryFault; what was made for it is gone then
	 */
	private own(operation: string, mapping: Mapping, first: bigint, last: bigint): Extent[] {
		if (mapping.shared && mapping.object !== null) return mapping.object.touch(operation, mapping.offsetOf(first), last - first + 1n);
		const from = pageDown(first);
		const to = pageDown(last) + PAGE - 1n;
		const made: Array<[bigint, bigint]> = [];
		try {
			for (const piece of mapping.map.pieces(from, to)) {
				if (piece.physical === undefined) {
					made.push([piece.first, piece.last]);
					this.fill(operation, mapping, piece.first, piece.last);
					continue;
				}
				for (const run of this.frames.within(piece.physical, piece.last - piece.first + 1n)) {
					const start = piece.first + (run.first - piece.physical);
					if (run.holders > 1) this.unshare(operation, mapping, start, start + (run.last - run.first), run.first);
				}
			}
		} catch (error) {
			for (const [start, end] of made) mapping.discard(start, end);
			throw error;
		}
		const extents: Extent[] = [];
		for (const piece of mapping.map.pieces(first, last)) pushExtent(extents, piece.physical as bigint, piece.last - piece.first + 1n);
		return extents;
	}

	/** Frames where a mapping has none of its own: zeros, or what its object holds. */
	private fill(operation: string, mapping: Mapping, first: bigint, last: bigint): void {
		if (mapping.object === null) {
			this.back(operation, mapping, first, last);
			return;
		}
		const offset = mapping.offsetOf(first);
		for (const piece of mapping.object.peek(operation, offset, last - first + 1n)) {
			this.unshare(operation, mapping, first + (piece.first - offset), first + (piece.last - offset), piece.physical);
		}
	}

	/** Frames of [first, last] as reads find them; without one: zeros. @throws CoreError MemoryFault behind an object's end */
	private *seen(operation: string, mapping: Mapping, first: bigint, last: bigint): Iterable<{ first: bigint; last: bigint; physical: bigint | undefined }> {
		for (const piece of mapping.map.pieces(first, last)) {
			if (piece.physical !== undefined || mapping.object === null) {
				yield piece;
				continue;
			}
			const offset = mapping.offsetOf(piece.first);
			for (const inner of mapping.object.peek(operation, offset, piece.last - piece.first + 1n)) {
				yield { first: piece.first + (inner.first - offset), last: piece.first + (inner.last - offset), physical: inner.physical };
			}
		}
	}

	/** Physical address behind a user address. @throws CoreError MemoryFault, NoSpace */
	physical(address: bigint): bigint {
		return this.frameOf(address) + (address & (PAGE - 1n));
	}

	frameOf(address: bigint): bigint {
		const page = pageDown(address);
		const operation = "Process.frameOf";
		for (const { mapping } of this.spans(operation, page, PAGE, "read")) {
			const [piece] = mapping.map.pieces(page, page + PAGE - 1n);
			if (piece.physical !== undefined) return piece.physical;
			if (mapping.object !== null) return mapping.object.frameOf(mapping.offsetOf(page));
			return this.own(operation, mapping, page, page + PAGE - 1n)[0].address;
		}
		throw new CoreError("MemoryFault", "no memory there", this.context(operation, page, page));
	}

	pin(address: bigint, size: bigint, write = false): Extent[] {
		const operation = "Process.pin";
		if (size <= 0n || (address | size) & (PAGE - 1n)) throw new CoreError("Misaligned", "pins are of pages", this.context(operation, address, address + size - 1n));
		const spans = [...this.spans(operation, address, size, "read")];
		const fixed = spans.find(({ mapping }) => write && !mapping.access.write);
		if (fixed !== undefined) throw new CoreError("Denied", "the memory is read-only", this.context(operation, fixed.first, fixed.last));
		const extents: Extent[] = [];
		try {
			for (const { mapping, first, last } of spans) {
				for (const { address: at, size: bytes } of this.own(operation, mapping, first, last)) {
					this.frames.pin(at, bytes);
					extents.push({ address: at, size: bytes });
				}
			}
		} catch (error) {
			this.unpin(extents);
			throw error;
		}
		const joined: Extent[] = [];
		for (const { address: at, size: bytes } of extents) pushExtent(joined, at, bytes);
		return joined;
	}

	unpin(extents: readonly Extent[]): void {
		for (const { address, size } of extents) this.frames.unpin(address, size);
	}

	pinsOf(address: bigint): number {
		const page = pageDown(address);
		for (const { mapping } of this.spans("Process.pinsOf", page, PAGE, "read")) {
			for (const { physical } of this.seen("Process.pinsOf", mapping, page, page + PAGE - 1n)) return physical === undefined ? 0 : (this.frames.find(physical)?.pins ?? 0);
		}
		return 0;
	}

	read(address: bigint, length: number): Uint8Array {
		const out = new Uint8Array(length);
		for (const { mapping, first, last } of this.spans("Process.read", address, BigInt(length), "read")) {
			for (const piece of this.seen("Process.read", mapping, first, last)) {
				if (piece.physical !== undefined) out.set(this.ram.read(piece.physical, Number(piece.last - piece.first + 1n)), Number(piece.first - address));
			}
		}
		return out;
	}

	write(address: bigint, data: Uint8Array): void {
		for (const { mapping, first, last } of this.spans("Process.write", address, BigInt(data.length), "write")) {
			// page by page: what precedes the first byte that cannot be written stays
			for (let at = first; at <= last; ) {
				const end = pageDown(at) + PAGE - 1n < last ? pageDown(at) + PAGE - 1n : last;
				this.writePage(mapping, at, end, data.subarray(Number(at - address), Number(end - address) + 1));
				at = end + 1n;
			}
		}
	}

	private writePage(mapping: Mapping, first: bigint, last: bigint, data: Uint8Array): void {
		const fresh = mapping.map.pieces(first, first)[0].physical === undefined && !(mapping.shared && mapping.object !== null);
		const [{ address }] = this.own("Process.write", mapping, first, last);
		try {
			writeFrame(this.ram, address, data, this.context("Process.write", first, last));
		} catch (error) {
			if (fresh) mapping.discard(pageDown(first), pageDown(first) + PAGE - 1n);
			throw error;
		}
	}

	fork(name: string): Process {
		if (this.ended) throw new CoreError("NotFound", "the process has ended", this.context("Process.fork"));
		const child = new Process(name, this.ram, this.frames);
		child.lockedLimit = this.lockedLimit;
		try {
			for (const mapping of this.mappings) child.inherit(mapping);
		} catch (error) {
			for (const mapping of child.mappings.clear()) mapping.close();
			throw error;
		}
		for (const observer of [...this.observers]) observer.forked?.(child);
		return child;
	}

	/** The same memory: private pages are shared until somebody writes, pinned ones are copied at once. */
	private inherit(from: Mapping): void {
		const copy = from.part(from.first, from.last);
		this.mappings.add(copy);
		for (const { first, last, physical } of from.map) {
			for (const run of this.frames.within(physical, last - first + 1n)) {
				const start = first + (run.first - physical);
				const end = start + (run.last - run.first);
				if (run.pins > 0) this.unshare("Process.fork", copy, start, end, run.first);
				else {
					this.frames.hold(run.first, end - start + 1n);
					copy.map.set(start, end, run.first);
				}
			}
		}
	}

	exit(): void {
		if (this.ended) return;
		for (const { first, last } of this.mappings) for (const listener of [...this.listeners]) listener(first, last);
		this.ended = true;
		for (const mapping of this.mappings.clear()) mapping.close();
		for (const observer of [...this.observers]) observer.exited?.();
		this.observers.clear();
	}

	observe(observer: ProcessObserver): () => void {
		this.observers.add(observer);
		return () => void this.observers.delete(observer);
	}

	/** @returns a call that ends it */
	onUnmap(listener: UnmapListener): () => void {
		this.listeners.add(listener);
		return () => this.listeners.delete(listener);
	}

	/** Charge locked pages. @throws CoreError NoSpace over the limit */
	charge(pages: number): void {
		if (pages > 0 && this.lockedPages + pages > this.lockedLimit) {
			throw new CoreError("NoSpace", `${this.lockedPages} pages are locked, the limit is ${this.lockedLimit}`, { operation: "Process.charge", object: `process ${this.name}` });
		}
		this.lockedPages += pages;
	}

	uncharge(pages: number): void {
		this.lockedPages -= pages;
	}

	/** Pages charged now. */
	get locked(): number {
		return this.lockedPages;
	}
}
