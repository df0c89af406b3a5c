/** Files that are memory: memfd, and buffers that a driver exports (dma-buf). */
import type { SharedBuffer, MemoryObject } from "../core/index.ts";
import type { FileOps, MmapRequest, MmapSource } from "./descriptors.ts";

export class MemoryFile implements FileOps {
	constructor(readonly memory: MemoryObject) {}

	mmap(_caller: unknown, request: MmapRequest): MmapSource {
		return { object: this.memory, offset: request.offset };
	}

	release(): void {
		this.memory.release();
	}
}

export class BufferFile implements FileOps {
	constructor(readonly exporter: SharedBuffer) {}

	mmap(_caller: unknown, request: MmapRequest): MmapSource {
		return { object: this.exporter.memory, offset: request.offset };
	}

	release(): void {
		this.exporter.memory.release();
	}
}
