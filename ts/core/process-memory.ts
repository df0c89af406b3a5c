import type { Extent } from "./frames.ts";
import type { MemoryObject } from "./process-object.ts";

/** Told when mappings that carry it come and go: one open for each mapping, also by fork and by a split. */
export interface MappingWatcher {
	open(): void;
	close(): void;
}

export interface MapOptions {
	/** default true */
	read?: boolean;
	/** default true */
	write?: boolean;
	/** writes reach every mapping of the same memory, also after fork; default false: a copy at the first write */
	shared?: boolean;
	/** what is mapped; default zero-filled memory of its own */
	object?: MemoryObject;
	/** byte of `object` that lies at the address; a multiple of a page, default 0 */
	offset?: bigint;
	/** take away what lies there instead of refusing; default false */
	replace?: boolean;
	watcher?: MappingWatcher;
}

export interface ProcessObserver {
	forked?(child: ProcessMemory): void;
	/** its memory is gone already */
	exited?(): void;
}

/**
 * Memory of a process as core and the doors see it; all calls are synchronous. `Process` is the bundled one; a host that
 * runs real programs puts their address space behind the same calls. Addresses are user addresses below 2^64.
 */
export interface ProcessMemory {
	readonly name: string;
	/** false after exit: there is no memory then */
	readonly alive: boolean;
	/** @throws CoreError MemoryFault */
	read(address: bigint, length: number): Uint8Array;
	/** What precedes the first byte that cannot be written stays written. @throws CoreError MemoryFault, NoSpace */
	write(address: bigint, data: Uint8Array): void;
	/** Physical address of the frame behind a page: one per page of memory, through every mapping of it. @throws CoreError MemoryFault, NoSpace */
	frameOf(address: bigint): bigint;
	/**
	 * Pin the pages of [address, address + size), both multiples of a page: their frames stay until they are unpinned,
	 * whatever the process does. Pages that others may copy from on write are made this process's own first. `write` asks
	 * for pages that may be written, default false.
	 * @throws CoreError Misaligned, MemoryFault, Denied (a write pin of read-only memory), NoSpace; nothing is pinned then
	 */
	pin(address: bigint, size: bigint, write?: boolean): Extent[];
	/** Let pinned frames go, all of a pin or a part. */
	unpin(extents: readonly Extent[]): void;
	/** Pins on the page at an address, by whomever. @throws CoreError MemoryFault */
	pinsOf(address: bigint): number;
	/**
	 * Map memory at an address, or where there is room (null); address and size are multiples of a page.
	 * @returns the address
	 * @throws CoreError Misaligned, Overflow, Occupied, NoSpace, NotFound (the process has ended)
	 */
	map(address: bigint | null, size: bigint, options?: MapOptions): bigint;
	/** Take memory away; pinned frames live on for their holders. @throws CoreError Misaligned, NotFound when nothing lies there */
	unmap(address: bigint, size: bigint): void;
	/** A child with the same memory: private pages are copied on write, pinned ones at once. @throws CoreError NoSpace, NotFound; nothing has changed then */
	fork(name: string): ProcessMemory;
	/** End it; a second call does nothing. */
	exit(): void;
	/** @returns what ends the observing */
	observe(observer: ProcessObserver): () => void;
	/** Charge pages to it, or take a charge back. @throws CoreError NoSpace over `lockedLimit` */
	charge(pages: number): void;
	uncharge(pages: number): void;
	/** pages that may be charged to it, or to its user by it (RLIMIT_MEMLOCK) */
	readonly lockedLimit: number;
	/** pages of it that are pinned for devices, whoever pays (mm->pinned_vm); kept by those who pin */
	pinnedVm: number;
}
