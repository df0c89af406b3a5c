import type { Permissions } from "../engine/index.ts";
import type { UserData } from "./user-data.ts";

/** Inclusive range of addresses. */
export interface AddressRange {
	first: bigint;
	last: bigint;
}

/** Part of a space that may be used: everything else faults. Maps are multiples of its page size. */
export interface Window extends AddressRange {
	pageSize: bigint;
}

/** What a unit can do for address spaces. */
export interface IommuCapabilities {
	/** user page-table format that the hardware walks itself */
	format: string;
	/** input addresses have this many bits */
	addressBits: number;
	/** mask of page sizes in bytes */
	pageSizes: bigint;
	/** input ranges that nothing may be mapped in (interrupts) */
	reserved: readonly AddressRange[];
	/** 0: none */
	pasidBits: number;
	/** DMA can be made to snoop */
	enforcesSnoop: boolean;
	/** user tables: walked by hardware over the parent's table, merged by software, or not at all */
	nesting: "hw" | "sw" | "none";
	/** IOASIDs that may lie on one path; memory-only roots do not count */
	maxDepth: number;
	/** the guest may own the PASID table of a RID */
	pasidTables: boolean;
	/** tables record what DMA wrote */
	dirty: boolean;
}

/** Names how a kernel-built table is made. */
export interface TableAttributes {
	/** page-table levels; the unit's choice when absent */
	levels?: number;
	/** the domain id to use; any free one when absent */
	domain?: number;
	/** DMA through it snoops, whatever the device asked for */
	enforceSnoop?: boolean;
	/** it will stand under user tables */
	nestParent?: boolean;
	/** it records what DMA writes, once told to */
	dirty?: boolean;
	/** it will stand under PASIDs */
	pasid?: boolean;
	/** the user's words to the driver. @throws CoreError Invalid, Unsupported */
	data?: UserData;
}

/** A run of a table's content. */
export interface TableRun {
	iova: bigint;
	pa: bigint;
	size: bigint;
	permissions: Permissions;
}

/** What a table should hold, all or in a range. A driver asks for it again when it needs the same space in another of its formats. */
export type TableContent = (range?: AddressRange) => Iterable<TableRun>;

/**
 * A kernel-built table of one unit. `map` and `unmap` change it; cached answers of what was unmapped are gone when `unmap`
 * returns, those of user tables above it included.
 */
export interface IommuTable {
	/** @throws CoreError Occupied, NoSpace, Unsupported; nothing is mapped then */
	map(run: TableRun): void;
	/** @throws CoreError NoSpace when a large leaf must be split for it; nothing is unmapped then. Never for ranges that were mapped whole */
	unmap(iova: bigint, size: bigint): void;
	/** Record what DMA writes; with `split` in leaves of the smallest size. Starting forgets what was recorded. @throws CoreError Unsupported */
	trackDirty(on: boolean, split: boolean): void;
	/** Written parts of [iova, iova + size), a call for each leaf; `clear` forgets them. */
	readDirty(iova: bigint, size: bigint, clear: boolean, visit: (iova: bigint, size: bigint) => void): void;
}

/** A page table that the user writes, in memory that `parent` maps. */
export interface UserTable {
	format: string;
	/** address of the root in the parent's space */
	root: bigint;
	/** input bits */
	width: number;
	/** what the driver that made it keeps with it */
	own?: object;
}

/** Where requests are led. */
export type Target =
	/** what the host's own drivers use: the unit's default domain */
	| { kind: "host" }
	/** `windows`: nothing is mapped outside of these; units that have windows make them so */
	| { kind: "table"; table: IommuTable; windows?: readonly Window[] }
	/** two stages */
	| { kind: "user"; user: UserTable; parent: IommuTable }
	/** several tables, told apart by address */
	| { kind: "windows"; tables: ReadonlyArray<{ table: IommuTable; windows: readonly Window[] }> };

/** A guest's PASID table: entries lead to user tables, all in memory that `parent` maps. */
export interface UserPasidTable {
	format: string;
	address: bigint;
	entries: number;
	parent: IommuTable;
}

/** All routes of one requester. An absent route blocks. */
export interface RequesterState {
	untagged?: Target;
	pasids: ReadonlyMap<number, Target>;
	/** then `pasids` is empty */
	pasidTable?: UserPasidTable;
	/** the device has a TLB of its own, and may ask for translations */
	ats: boolean;
	/** it may ask for pages that are absent, too */
	pri: boolean;
}

/** Why a DMA did not get through, as the hardware sees it. */
export interface DmaFault {
	/**
	 * the requester's own entry, the PASID's entry, a stage's table, or what an entry permits; `aside`: the architecture
	 * keeps the address and the machine does not, so that software has to look
	 */
	where: "requester" | "pasid" | "stage1" | "stage2" | "permission" | "aside";
	/** input address of the stage that faulted, when the unit tells */
	address?: bigint;
	/** the architecture's code */
	code: number;
}

export type DmaAnswer = { ok: true; physical: bigint; pageBytes: number } | ({ ok: false } & DmaFault);

/** What became of a device's request for a page in its unit: a group waits for its response. */
export type PageAnswer = "granted" | "refused" | { group: number };

/** Page requests as the unit takes them (PCIe PRI 10.4), from devices with a TLB of their own. */
export interface PageRequestCalls {
	/**
	 * A device asks for the translation, and where that grants too little for the page. Null: the unit takes no page
	 * requests of this requester; no index of a group: it has answered by itself.
	 */
	request(rid: number, pasid: number | null, address: bigint, access: "read" | "write"): PageAnswer | null;
	/** The response to a group that waits. */
	respond(rid: number, pasid: number | null, group: number, address: bigint, answer: "success" | "invalid"): void;
}

/** Caches that an invalidation reaches. */
export interface CacheSelection {
	iotlb: boolean;
	deviceTlb: boolean;
	pasid: boolean;
}

/**
 * One kind of IOMMU unit, as core plans against it. ts/iommu has a file for each kind; a user's own fulfils the same.
 * Every method throws CoreError and leaves the unit unchanged when it fails.
 */
export interface IommuDriver {
	/** what the unit is called in messages */
	readonly name: string;
	readonly capabilities: IommuCapabilities;
	/** absent: devices ask their driver, the unit knows nothing of it */
	readonly pageRequests?: PageRequestCalls;
	/** Make a table and fill it. @throws CoreError NoSpace, Exhausted, Occupied (the asked-for domain), Unsupported */
	createTable(content: TableContent, attributes: TableAttributes): IommuTable;
	/** No route leads to it any more. */
	destroyTable(table: IommuTable): void;
	/**
	 * Make these the routes of a requester, and drop what was cached of the ones that went. No other route shows in between.
	 * @throws CoreError Unsupported (the unit cannot express this set of routes), NoSpace
	 */
	configure(rid: number, state: RequesterState): void;
	/** Drop cached answers of one route for [first, last] (input addresses), or all; `pasid` null is the untagged route. */
	invalidate(rid: number, pasid: number | null | "all", caches: CacheSelection, range?: AddressRange): void;
	/** A DMA of a requester; `write` and `read` as the request asks. Caches may fill; nothing is reported. */
	translate(rid: number, pasid: number | null, address: bigint, access: "read" | "write"): DmaAnswer;
}
