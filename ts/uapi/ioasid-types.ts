import type { AddressRange, BindingMode, Snoop } from "../core/index.ts";

export interface AttachOptions {
	/** number by which the guest knows the route */
	vpasid?: number;
	queue?: string;
	noSnoopUnused?: boolean;
	noAutoPin?: boolean;
	/** the caller's word that silent siblings follow (policy `implicit-flag`) */
	implicitGroup?: boolean;
	/** an expected mode, by its name or by an intent-named wrapper */
	mode?: BindingMode;
	wrapper?: "pci" | "pci_pasid" | "pci_enqcmd" | "pci_vpasid" | "sw";
}

export interface AllocOptions {
	kind?: "kernel" | "user" | "identity" | "dummy" | "sva";
	parent?: number;
	userPgtable?: { format: string; addr: bigint; width?: number };
	userPasidTable?: { format: string; addr: bigint; size: number };
	snoop?: Snoop;
	iopf?: boolean;
	windows?: boolean;
}

export interface MapOptions {
	iova?: bigint;
	/** address in the process, or in the parent of a child */
	vaddr: bigint;
	size: bigint;
	read?: boolean;
	write?: boolean;
}

export interface InvalidateOptions {
	/** default: every cache at the v1 door, the IOTLB at v2 */
	cache?: "iotlb" | "devtlb" | "pasid";
	cookie?: bigint;
	vpasid?: number;
	range?: { first: bigint; size: bigint };
}

export interface SpaceInfo {
	ranges: AddressRange[];
	addrWidth: number;
	pageSizes: bigint;
	nesting: "hw" | "sw" | "none";
	snoopEnforce: boolean;
}

export interface DeviceInfo extends SpaceInfo {
	formats: readonly string[];
	pasidBits: number;
	pasidTable: boolean;
	pri: boolean;
}

export interface DoorEvent {
	ioasid: number;
	cookie: bigint | null;
	addr: bigint;
	perm: "r" | "w";
	recoverable: boolean;
	pasid?: number;
	ambiguous: boolean;
}

/** What is left of [0, last] without the reserved ranges. */
export function permitted(reserved: readonly AddressRange[], last: bigint): AddressRange[] {
	const ranges: AddressRange[] = [];
	let from = 0n;
	for (const range of [...reserved].sort((a, b) => (a.first < b.first ? -1 : 1))) {
		if (range.first > last) break;
		if (range.first > from) ranges.push({ first: from, last: range.first - 1n });
		if (range.last + 1n > from) from = range.last + 1n;
	}
	if (from <= last) ranges.push({ first: from, last });
	return ranges;
}
