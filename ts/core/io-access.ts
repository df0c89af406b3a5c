import { CoreError } from "./errors.ts";
import { type Extent, PAGE, pushExtent, sliceExtents } from "./frames.ts";
import type { IoArea } from "./io-area.ts";
import { type IoOwner, UserPages } from "./io-source.ts";
import { type IoSpace, LAST_ADDRESS, type SpaceUser } from "./io-space.ts";
import type { ProcessMemory } from "./process-memory.ts";

/** Pages that an access has pinned. */
export interface IoPin {
	readonly iova: bigint;
	readonly length: bigint;
	/** frames of the pages, in order */
	readonly pages: readonly Extent[];
	readonly parts: ReadonlyArray<{ area: IoArea; offset: bigint; size: bigint }>;
}

/**
 * A software user of an IoSpace: a mediated device's driver that pins pages, or reads and writes through what is mapped. The
 * pinning kind needs whole pages, and is asked to let go of what is unmapped.
 */
export class IoAccess implements SpaceUser {
	private current: IoSpace | null = null;

	constructor(
		readonly name: string,
		/** it pins pages */
		readonly pins: boolean,
		/** let go of what overlaps [iova, iova + length); null: it cannot, and keeps areas from being unmapped */
		private readonly letGo: ((iova: bigint, length: bigint) => void) | null,
	) {}

	get granule(): bigint {
		return this.pins ? PAGE : 1n;
	}

	get space(): IoSpace | null {
		return this.current;
	}

	/** Move to another space, or to none: pins in the old one are asked back. @throws CoreError Conflict, nothing changed */
	moveTo(space: IoSpace | null): void {
		if (space === this.current) return;
		space?.addAccess(this);
		const old = this.current;
		if (old !== null) {
			if (this.pins) this.letGo?.(0n, LAST_ADDRESS);
			old.removeAccess(this);
		}
		this.current = space;
	}

	/** @internal the space unmaps this */
	unmapped(iova: bigint, length: bigint): void {
		if (this.pins) this.letGo?.(iova, length);
	}

	private parts(operation: string, iova: bigint, length: bigint, write: boolean) {
		const context = { operation, object: this.name, first: iova, last: iova + length - 1n };
		if (length <= 0n) throw new CoreError("Invalid", "nothing is asked for", context);
		if (iova + length - 1n > LAST_ADDRESS) throw new CoreError("Overflow", "beyond the address space", context);
		if (this.current === null) throw new CoreError("NotFound", "it is at no space", context);
		const { parts, whole } = this.current.areas.contiguous(iova, iova + length - 1n);
		const check = ({ area }: { area: IoArea }) => {
			if (write ? !area.permissions.write : !area.permissions.read) throw new CoreError("Denied", `it may not be ${write ? "written" : "read"}`, context);
		};
		return { space: this.current, parts, check, missing: whole ? null : new CoreError("NotFound", "not mapped all through", context), context };
	}

	/**
	 * Pin the pages of [iova, iova + length). `lock`: nobody can be asked to let go, the areas cannot be unmapped.
	 * @throws CoreError Unsupported, NotFound, Denied, Invalid (it starts inside a page, or areas cut one), MemoryFault, NoSpace; nothing is pinned then
	 */
	pin(iova: bigint, length: bigint, write: boolean, lock = false): IoPin {
		if (!this.pins) throw new CoreError("Unsupported", "it is not of the kind that pins", { operation: "pin", object: this.name });
		const { space, parts, check, missing, context } = this.parts("pin", iova, length, write);
		const done: Array<{ area: IoArea; offset: bigint; size: bigint }> = [];
		const pages: Extent[] = [];
		try {
			for (const [i, part] of parts.entries()) {
				const { area, first, last } = part;
				const cutHead = area.byteAt(first) & (PAGE - 1n);
				const cutTail = i < parts.length - 1 && (area.byteAt(last) + 1n) & (PAGE - 1n);
				if (cutHead || cutTail) throw new CoreError("Invalid", "it starts inside a page, or areas cut one", context);
				check(part);
				if ((area.source.owner as IoOwner).kind === "exporter") throw new CoreError("Invalid", "a buffer of another driver has no pages", context);
				space.failures.pass("pin", "pin", this.name);
				const range = area.pages(first, last);
				area.source.pin(range.offset, range.size);
				done.push({ area, ...range });
				area.uses++;
				if (lock) area.locks++;
				for (const { address, size } of area.source.extents(range.offset, range.size)) pushExtent(pages, address, size);
			}
			if (missing !== null) throw missing;
		} catch (error) {
			this.release(done, lock);
			throw error;
		}
		return { iova, length, pages, parts: done };
	}

	unpin(pin: IoPin, lock = false): void {
		this.release(pin.parts, lock);
	}

	private release(parts: IoPin["parts"], lock: boolean): void {
		for (const { area, offset, size } of parts) {
			area.source.unpin(offset, size);
			area.uses--;
			if (lock) area.locks--;
		}
	}

	/**
	 * Copy bytes out of the space, or into it. `caller`: the process that asks, null for one that never owns the memory.
	 * @throws CoreError NotFound, Denied, MemoryFault, Invalid; what was copied before stays
	 */
	copy(iova: bigint, data: Uint8Array, write: boolean, caller: ProcessMemory | null): void {
		const { space, parts, check, missing, context } = this.parts("access", iova, BigInt(data.length), write);
		for (const part of parts) {
			check(part);
			const at = Number(part.first - iova);
			const piece = data.subarray(at, at + Number(part.last - part.first + 1n));
			if (write && !part.area.source.writable) throw new CoreError("Denied", "the source is read-only", context);
			this.copyPart(space, part.area, part.area.byteAt(part.first), piece, write, caller);
		}
		if (missing !== null) throw missing;
	}

	private copyPart(space: IoSpace, { source }: IoArea, byte: bigint, data: Uint8Array, write: boolean, caller: ProcessMemory | null): void {
		const owner = source.owner as IoOwner;
		if (owner.kind === "exporter") throw new CoreError("Invalid", "a buffer of another driver has no pages", { operation: "access", object: this.name });
		if (owner instanceof UserPages && owner.process === caller) {
			if (write) caller.write(source.address + byte, data);
			else data.set(caller.read(source.address + byte, data.length));
			return;
		}
		const alive = !(owner instanceof UserPages) || owner.process.alive;
		const single = (byte & (PAGE - 1n)) + BigInt(data.length) <= PAGE;
		for (let at = 0; at < data.length; ) {
			const here = byte + BigInt(at);
			const page = here & ~(PAGE - 1n);
			const bytes = Math.min(data.length - at, Number(page + PAGE - here));
			// several pages are read from who holds them, one is fetched afresh
			const held = source.isPinned(page) && !(owner.kind === "user" && alive && single);
			const extents = held ? source.extents(page, PAGE) : owner.pin(source.address + page, PAGE, write);
			const [{ address }] = sliceExtents(extents, here - page, BigInt(bytes));
			if (write) space.memory.writeBytes(address, data.subarray(at, at + bytes));
			else data.set(space.memory.read(address, bytes), at);
			if (!held) owner.unpin(extents);
			at += bytes;
		}
	}
}
