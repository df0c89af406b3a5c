import { CoreError } from "./errors.ts";
import type { Extent } from "./frames.ts";
import type { PageOwner } from "./page-source.ts";
import type { ProcessMemory } from "./process-memory.ts";
import type { MemoryObject } from "./process-object.ts";

/** Whose pages an area of an IoSpace maps. */
export interface IoOwner extends PageOwner {
	readonly kind: "user" | "file" | "exporter";
}

/** Memory of a process at user addresses. */
export class UserPages implements IoOwner {
	readonly kind = "user";

	constructor(readonly process: ProcessMemory) {}

	get name(): string {
		return `process ${this.process.name}`;
	}

	/** @throws CoreError MemoryFault, NoSpace */
	pin(address: bigint, size: bigint, write?: boolean): Extent[] {
		try {
			return this.process.pin(address, size, write);
		} catch (error) {
			if (!(error instanceof CoreError) || error.reason !== "Denied") throw error;
			// a page that the process may not write cannot be had for writing
			throw new CoreError("MemoryFault", "the memory is read-only", error.context, { cause: error });
		}
	}

	unpin(extents: readonly Extent[]): void {
		this.process.unpin(extents);
	}
}

/** A file in memory; addresses are offsets. */
export class FilePages implements IoOwner {
	readonly kind = "file";

	constructor(readonly memory: MemoryObject) {}

	get name(): string {
		return `memory ${this.memory.name}`;
	}

	/** @throws CoreError Invalid (behind the end), NoSpace */
	pin(offset: bigint, size: bigint): Extent[] {
		try {
			return this.memory.pin(offset, size);
		} catch (error) {
			if (!(error instanceof CoreError) || error.reason !== "MemoryFault") throw error;
			throw new CoreError("Invalid", "the file ends before", error.context, { cause: error });
		}
	}

	unpin(extents: readonly Extent[]): void {
		this.memory.unpin(extents);
	}
}

/** A buffer that another driver exports (dma-buf) and may revoke: what was mapped of it is gone then, for good. */
export class SharedBuffer {
	private gone = false;
	private readonly listeners = new Set<() => void>();

	constructor(readonly memory: MemoryObject) {}

	get size(): bigint {
		return this.memory.size;
	}

	get revoked(): boolean {
		return this.gone;
	}

	/** Take the buffer back from all who map it, or lend it again to those who will. */
	revoke(revoked: boolean): void {
		this.gone = revoked;
		if (!revoked) return;
		for (const listener of [...this.listeners]) listener();
		this.listeners.clear();
	}

	/** Be told when it is revoked, once. @returns a call that ends it */
	onRevoke(listener: () => void): () => void {
		this.listeners.add(listener);
		return () => void this.listeners.delete(listener);
	}
}

/** One import of an exporter's buffer: dead once the buffer was revoked. */
export class ExportedPages implements IoOwner {
	readonly kind = "exporter";
	/** told when the buffer is revoked */
	readonly revocations = new Set<() => void>();
	private dead = false;
	private readonly stop: () => void;

	/** @throws CoreError Excluded while the buffer is revoked */
	constructor(readonly exporter: SharedBuffer) {
		if (exporter.revoked) throw new CoreError("Excluded", "the buffer is revoked", { operation: "import", object: exporter.memory.name });
		this.stop = exporter.onRevoke(() => {
			this.dead = true;
			for (const told of [...this.revocations]) told();
		});
	}

	get revoked(): boolean {
		return this.dead;
	}

	get name(): string {
		return `buffer ${this.exporter.memory.name}`;
	}

	pin(offset: bigint, size: bigint): Extent[] {
		return this.exporter.memory.pin(offset, size);
	}

	unpin(extents: readonly Extent[]): void {
		this.exporter.memory.unpin(extents);
	}

	/** The last area that used it is gone. */
	close(): void {
		this.stop();
	}
}
