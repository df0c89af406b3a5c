import type { PageTable } from "../engine/index.ts";

/** What a device asks of the table that it is attached to. */
export interface TableAttributes {
	/** page-table levels; the unit's choice when absent */
	levels?: number;
	/** the domain id to use; any free one when absent */
	domain?: number;
}

/** What the caller of an attach would like; a driver may refuse it, and is never led past its own mode. */
export interface AttachHints extends TableAttributes {}

/** A table of a unit, and the tag that its cached answers carry. */
export interface Domain {
	readonly table: PageTable;
	/** domain id (DID, VMID, ASID ... in the unit's words) */
	readonly id: number;
}

/**
 * One kind of IOMMU unit, as core plans against it. ts/iommu has a file for each kind; a user's own fulfils the same.
 * Every method throws CoreError and leaves the unit unchanged when it fails.
 */
export interface IommuDriver {
	readonly kind: string;
	/** Make an empty table in the unit's format, with a tag of its own. @throws CoreError NoSpace, Occupied (the asked-for domain), Unsupported */
	createDomain(attributes: TableAttributes): Domain;
	/** No route may lead to it any more. */
	destroyDomain(domain: Domain): void;
	/** Route a requester into a domain. No other route shows in between. @throws CoreError NoSpace */
	route(rid: number, domain: Domain): void;
	/** Block every request of a requester. */
	block(rid: number): void;
	/** Drop cached answers of a domain for [first, last]; all of them when no range is given. */
	invalidate(domain: Domain, first?: bigint, last?: bigint): void;
}
