import type { AddressSpace, Location } from "./address-space.ts";
import { CoreError } from "./errors.ts";
import { PAGE } from "./frames.ts";
import type { AddressRange } from "./iommu-driver.ts";
import type { PageSource } from "./page-source.ts";
import type { Process } from "./process.ts";
import { Space } from "./space.ts";

interface SoftwarePin {
	id: number;
	iova: bigint;
	size: bigint;
	/** `watched`: address of the page in the space whose unmaps are told */
	pages: Array<{ source: PageSource; offset: bigint; address: bigint; watched: bigint }>;
	/** pages that may be written at any time; null: they are read only */
	writes: AddressRange | null;
}

/** a pin's number names it for ever, whoever made it */
let nextPin = 1;

/**
 * A software user of a space: a driver that looks addresses up, pins pages, reads and writes through what is mapped. It
 * is told when mappings under its pins go; its pins go with them.
 */
export class Access {
	private readonly pins: SoftwarePin[] = [];
	private readonly stop: () => void;

	constructor(
		readonly space: AddressSpace,
		/** told with the pinned range, in the order of the pins */
		private readonly unmapped: (iova: bigint, size: bigint) => void = () => {},
	) {
		// what a user's table or an identity space leads to goes with the parent's maps
		const watched = space instanceof Space ? space : space.parent;
		this.stop = watched instanceof Space ? watched.onUnmap((ranges) => this.drop(ranges)) : () => {};
	}

	private drop(ranges: readonly AddressRange[]): void {
		const goes = (at: bigint) => ranges.some(({ first, last }) => at <= last && at + PAGE - 1n >= first);
		for (const pin of [...this.pins]) {
			if (!pin.pages.some(({ watched }) => goes(watched))) continue;
			this.unmapped(pin.iova, pin.size);
			this.unpin(pin.id);
		}
	}

	private locate(operation: string, iova: bigint, write: boolean): Location {
		const context = { operation, object: this.space.name, first: iova, last: iova };
		const found = this.space.locate(iova);
		if (found === undefined || (found.memory === undefined && found.physical === undefined)) throw new CoreError("NotFound", "nothing is mapped there", context);
		for (let space: AddressSpace | null = this.space, at: bigint | undefined = iova; space instanceof Space && at !== undefined; at = space.locate(at)?.parent, space = space.parent) {
			const permissions = space.permissionsAt(at);
			if (permissions !== undefined && !(write ? permissions.write : permissions.read)) throw new CoreError("Denied", write ? "it may not be written" : "it may not be read", context);
		}
		return found;
	}

	/**
	 * Pin the pages of [iova, iova + length).
	 * @returns the pin's number, and the owner's address of each page
	 * @throws CoreError NotFound, Denied, MemoryFault, NoSpace; nothing is pinned then
	 */
	pin(iova: bigint, length: bigint, write = false): { id: number; addresses: bigint[] } {
		const operation = "access_pin";
		if (length <= 0n) throw new CoreError("Invalid", "nothing to pin", { operation, object: this.space.name, first: iova, last: iova });
		const pages: SoftwarePin["pages"] = [];
		try {
			for (let at = iova & ~(PAGE - 1n); at < iova + length; at += PAGE) {
				const { memory, parent } = this.locate(operation, at, write);
				if (memory === undefined || memory.source === null) throw new CoreError("Unsupported", "no memory that can be pinned", { operation, object: this.space.name, first: at, last: at + PAGE - 1n });
				const offset = (memory.address & ~(PAGE - 1n)) - memory.source.address;
				memory.source.pin(offset, PAGE);
				pages.push({ source: memory.source, offset, address: memory.address & ~(PAGE - 1n), watched: this.space instanceof Space || parent === undefined ? at : parent & ~(PAGE - 1n) });
			}
		} catch (error) {
			for (const { source, offset } of pages) source.unpin(offset, PAGE);
			throw error;
		}
		const id = nextPin++;
		const writes = write ? { first: iova, last: iova + length - 1n } : null;
		if (writes !== null) this.space.addWriter(writes);
		this.pins.push({ id, iova, size: length, pages, writes });
		return { id, addresses: pages.map(({ address }) => address) };
	}

	/** @throws CoreError NotFound */
	unpin(id: number): void {
		const index = this.pins.findIndex((pin) => pin.id === id);
		if (index < 0) throw new CoreError("NotFound", `no pin ${id}`, { operation: "access_unpin", object: this.space.name });
		const [{ pages, writes }] = this.pins.splice(index, 1);
		if (writes !== null) this.space.removeWriter(writes);
		for (const { source, offset } of pages) source.unpin(offset, PAGE);
	}

	private each(operation: string, iova: bigint, length: number, write: boolean, visit: (owner: Process, address: bigint, at: number, bytes: number) => void): void {
		for (let at = 0; at < length; ) {
			const here = iova + BigInt(at);
			const { memory } = this.locate(operation, here, write);
			if (memory === undefined) throw new CoreError("Unsupported", "no process memory", { operation, object: this.space.name, first: here, last: here });
			const bytes = Math.min(length - at, Number(PAGE - (here & (PAGE - 1n))));
			visit(memory.owner as Process, memory.address, at, bytes);
			at += bytes;
		}
	}

	/** @throws CoreError NotFound, Denied, MemoryFault */
	read(iova: bigint, length: number): Uint8Array {
		const out = new Uint8Array(length);
		this.each("access_rw", iova, length, false, (owner, address, at, bytes) => out.set(owner.read(address, bytes), at));
		return out;
	}

	/** @throws CoreError NotFound, Denied, MemoryFault; nothing is written then */
	write(iova: bigint, data: Uint8Array): void {
		this.each("access_rw", iova, data.length, true, () => {});
		this.each("access_rw", iova, data.length, true, (owner, address, at, bytes) => {
			owner.write(address, data.subarray(at, at + bytes));
			this.space.dirtied(iova + BigInt(at));
		});
	}

	/** The parent's address of an address: for drivers that protect guest pages. @throws CoreError NotFound */
	parentAddress(iova: bigint): bigint {
		const found = this.space.locate(iova);
		if (found?.parent === undefined || (found.memory === undefined && found.physical === undefined)) {
			throw new CoreError("NotFound", "nothing is mapped there", { operation: "access_lookup_parent", object: this.space.name, first: iova, last: iova });
		}
		return found.parent;
	}

	close(): void {
		for (const { id } of [...this.pins]) this.unpin(id);
		this.stop();
	}
}
