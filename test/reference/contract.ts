/**
 * The shape of the slow references: each is written literally from its specification's tables and pseudocode,
 * with BigInt and no regard for speed, and shares no code with the engine. Tests hold the engine against them.
 */

/** Physical memory as a reference sees it. Values are the little-endian reading of the bytes. */
export interface Memory {
	/** `bytes` at `pa`, or why they cannot be had (bus error, or poisoned data) */
	read(pa: bigint, bytes: 4 | 8): { value: bigint } | { error: "access" | "poison" };
	/** false when the write is refused */
	write(pa: bigint, bytes: 4 | 8, value: bigint): boolean;
}

export interface Request {
	/** RID, StreamID, device_id */
	device: number;
	/** PASID, SubstreamID, process_id; null when the transaction carries none */
	pasid: number | null;
	privileged: boolean;
	address: bigint;
	/** bytes; 1 when nobody cares */
	length: number;
	access: "r" | "w" | "x";
	/** an ATS translation request: rights are told, nobody is refused for them; without No Write a page that may be written is made dirty */
	unchecked?: "read" | "read-write";
}

/** What one page-table walk came to, in the words that all formats share. */
export type Outcome =
	| "translated"
	| "not-present"
	| "reserved"
	| "no-read"
	| "no-write"
	| "no-execute"
	| "no-user"
	| "address-size"
	| "access-error"
	| "poison"
	| "update-refused";

/** Where and why one page-table walk ended. */
export interface WalkResult {
	outcome: Outcome;
	/** output address; meaningful when translated */
	pa: bigint;
	/** bytes that the leaf (with contiguous, NAPOT and 7h spans) covers */
	pageBytes: bigint;
	/** what the leaf, combined with its tables, permits the requester (at the request's own privilege) */
	r: boolean;
	w: boolean;
	x: boolean;
	/** level of the entry that decided, 0 = the level that holds 4K (smallest) leaves */
	level: number;
	/** address of the entry that decided, and the entry */
	entryAddress: bigint;
	entry: bigint;
	/** the input address never reached a table (too wide, not canonical) */
	beforeFirstTable: boolean;
}

/** What a whole translation (device tables, then walks) came to. */
export interface Result {
	status: "ok" | "fault" | "interrupt" | "bypass";
	pa: bigint;
	pageBytes: bigint;
	r: boolean;
	w: boolean;
	x: boolean;
	/** the architecture's own fault code; 0 when none */
	code: number;
	/** false: the fault is raised but not recorded (VT-d FPD, RISC-V DTF ...) */
	reported: boolean;
	/** the architecture's further reported fields, by their specification names (iotval, iotval2, class, S2, flags ...) */
	fields: Record<string, bigint | number | boolean>;
	/** every entry that hardware wrote (A and D bits), in order */
	writes: Array<{ pa: bigint; bytes: 4 | 8; value: bigint }>;
}
