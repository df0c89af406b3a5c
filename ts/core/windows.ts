import { AreaList } from "./area.ts";
import { CoreError, type CoreErrorContext } from "./errors.ts";
import { PAGE } from "./frames.ts";
import type { AddressRange, Window } from "./iommu-driver.ts";
import type { SpaceLimits } from "./address-space.ts";

/** Address windows of a space, ascending: nothing is reachable outside of them. */
export class Windows {
	private readonly list: Window[] = [];

	get all(): readonly Window[] {
		return this.list;
	}

	/** @throws CoreError Reserved, Misaligned: a map does not fit a window */
	refuse({ first, last }: AddressRange, context: CoreErrorContext): void {
		const window = this.list.find((w) => first >= w.first && last <= w.last);
		if (window === undefined) throw new CoreError("Reserved", "no window lies there", context);
		if ((first | (last + 1n)) & (window.pageSize - 1n)) throw new CoreError("Misaligned", `the window's pages have 0x${window.pageSize.toString(16)} bytes`, context);
	}

	/** A window that can be added; without `base` where there is room. @throws CoreError Unsupported, Misaligned, Occupied, Overflow, Exhausted */
	plan(size: bigint, pageSize: bigint, base: bigint | undefined, limits: SpaceLimits | null, reserved: readonly AddressRange[], context: CoreErrorContext): Window {
		if (pageSize < PAGE || pageSize & (pageSize - 1n)) throw new CoreError("Misaligned", "a page size is a power of two of at least a page", context);
		if (limits !== null && (limits.pageSizes & (2n * pageSize - 1n)) === 0n) throw new CoreError("Unsupported", `no pages that fit 0x${pageSize.toString(16)} bytes`, context);
		if (size <= 0n || size & (pageSize - 1n)) throw new CoreError("Misaligned", "a window is a multiple of its pages", context);
		const end = limits?.last ?? (1n << 64n) - 1n;
		const first = base ?? new AreaList().findFree(0n, end, size, pageSize, [...this.list, ...reserved]);
		if (first === undefined) throw new CoreError("Exhausted", "no room for a window", context);
		const last = first + size - 1n;
		if (first & (pageSize - 1n)) throw new CoreError("Misaligned", "a window starts at one of its pages", context);
		if (first < 0n || last > end) throw new CoreError("Overflow", "beyond the addresses of an attached device", context);
		if (this.list.some((w) => w.first <= last && w.last >= first)) throw new CoreError("Occupied", "another window lies there", context);
		return { first, last, pageSize };
	}

	add(window: Window): void {
		this.list.push(window);
		this.list.sort((a, b) => (a.first < b.first ? -1 : 1));
	}

	remove(window: Window): void {
		this.list.splice(this.list.indexOf(window), 1);
	}

	at(base: bigint): Window | undefined {
		return this.list.find((window) => window.first === base);
	}
}
