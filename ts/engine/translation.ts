/** The answer to one request, read from the engine's result record. */
import {
	ACCESS_EXECUTE,
	ACCESS_READ,
	ACCESS_WRITE,
	COMPLETION_ABORT,
	COMPLETION_UNSUPPORTED,
	ENTRY_EXECUTE,
	ENTRY_GLOBAL,
	ENTRY_PRIVILEGED,
	ENTRY_READ,
	ENTRY_SNOOP,
	ENTRY_UNTRANSLATED_ONLY,
	ENTRY_WRITE,
	NO_GROUP,
	RESULT_ATTRIBUTES,
	RESULT_COMPLETION,
	RESULT_COMPLETION_ENTRY,
	RESULT_ENTRY,
	RESULT_ENTRY_ADDRESS,
	RESULT_FAULT,
	RESULT_FLAGS,
	RESULT_GROUP,
	RESULT_HIT,
	RESULT_LEVEL,
	RESULT_NOT_RECORDED,
	RESULT_OUTCOME,
	RESULT_PA,
	RESULT_PERMISSIONS,
	RESULT_REFERENCES,
	RESULT_SIZE_LG2,
	RESULT_STAGE,
	RESULT_VALUE,
	RESULT_VALUE2,
	STATUS_CROSSES,
	STATUS_FAULT,
	STATUS_INTERRUPT,
	STATUS_PAGE_REQUEST,
	STATUS_TRANSLATED,
} from "../../assembly/layout.ts";
import type { RequestType } from "./request.ts";

const STATUSES = ["translated", "fault", "page-request", "interrupt", "crosses"] as const;
export const STAGES = ["first", "second", "tables"] as const;
const HITS = ["walk", "iotlb", "device-tlb", "bypass"] as const;

/** How an ATS translation request was completed (PCIe ATS 10.2.3). */
export interface Completion {
	status: "success" | "unsupported-request" | "completer-abort";
	/** the completion's data entry: 63:12 address, 11 S, 10 N, 5 Global, 4 Priv, 3 Exe, 2 U, 1 W, 0 R; 0 without rights */
	entry: bigint;
	/** the address told, and the bytes that it holds for; 0 without rights */
	address: bigint;
	bytes: number;
	read: boolean;
	write: boolean;
	/** requests must go untranslated (U) */
	untranslatedOnly: boolean;
	execute: boolean;
	privileged: boolean;
	global: boolean;
	/** translated requests may not say No Snoop (N) */
	snoop: boolean;
}

/** The answer to one request. */
export interface Translation {
	status: (typeof STATUSES)[number];
	/** output address; for `interrupt` the address as it came, or what an MSI page table makes of it */
	pa: bigint;
	/** bytes that the answer holds for, naturally aligned */
	pageBytes: number;
	read: boolean;
	write: boolean;
	execute: boolean;
	/** who answered */
	hit: (typeof HITS)[number];
	/** memory references made by page-table walks */
	references: number;
	/** memory attributes of the leaf, in the format's own bits */
	attributes: number;
	/** the architecture's fault code; 0 when none */
	fault: number;
	/** of a fault: whose entry decided, a stage's or the device tables' */
	stage: "first" | "second" | "tables";
	/** of a walk that faulted: OUTCOME_*, and the entry that decided */
	outcome: number;
	level: number;
	entry: bigint;
	entryAddress: bigint;
	/** of a fault: the architecture's reported addresses (RISC-V: iotval, iotval2); of an interrupt by MRIF: file and identity */
	value: bigint;
	value2: bigint;
	/** false: the fault is raised, but has no record */
	recorded: boolean;
	/** of `page-request`: its group; null when the hardware answered by itself, since the queue or the groups are used up */
	group: number | null;
	/** of a request of type `translation` */
	completion?: Completion;
}

/** The result record at `at` of a request with this status. */
export function readTranslation(view: DataView, at: number, status: number, type: RequestType): Translation {
	const crosses = status === STATUS_CROSSES;
	const ok = status === STATUS_TRANSLATED || status === STATUS_INTERRUPT;
	const reached = !crosses;
	const fault = status === STATUS_FAULT;
	const lg2 = ok ? view.getUint32(at + RESULT_SIZE_LG2, true) : 0;
	const permissions = ok ? view.getUint32(at + RESULT_PERMISSIONS, true) : 0;
	return {
		status: STATUSES[status],
		pa: crosses ? 0n : view.getBigUint64(at + RESULT_PA, true),
		pageBytes: lg2 === 0 ? 0 : 2 ** lg2,
		read: (permissions & ACCESS_READ) !== 0,
		write: (permissions & ACCESS_WRITE) !== 0,
		execute: (permissions & ACCESS_EXECUTE) !== 0,
		hit: HITS[reached ? view.getUint32(at + RESULT_HIT, true) : 0],
		references: reached ? view.getUint32(at + RESULT_REFERENCES, true) : 0,
		attributes: ok ? view.getUint32(at + RESULT_ATTRIBUTES, true) : 0,
		fault: reached ? view.getUint32(at + RESULT_FAULT, true) : 0,
		stage: ok || !reached ? "tables" : STAGES[view.getUint32(at + RESULT_STAGE, true)],
		outcome: ok || !reached ? 0 : view.getUint32(at + RESULT_OUTCOME, true),
		level: ok || !reached ? 0 : view.getUint32(at + RESULT_LEVEL, true),
		entry: ok || !reached ? 0n : view.getBigUint64(at + RESULT_ENTRY, true),
		entryAddress: ok || !reached ? 0n : view.getBigUint64(at + RESULT_ENTRY_ADDRESS, true),
		value: fault || status === STATUS_INTERRUPT ? view.getBigUint64(at + RESULT_VALUE, true) : 0n,
		value2: fault || status === STATUS_INTERRUPT ? view.getBigUint64(at + RESULT_VALUE2, true) : 0n,
		recorded: fault && (view.getUint32(at + RESULT_FLAGS, true) & RESULT_NOT_RECORDED) === 0,
		group: status === STATUS_PAGE_REQUEST ? readGroup(view, at) : null,
		...(type === "translation" && reached ? { completion: readCompletion(view, at, lg2) } : {}),
	};
}

/** Page request group of the record; null when the hardware answered by itself. */
export function readGroup(view: DataView, at: number): number | null {
	const group = view.getUint32(at + RESULT_GROUP, true);
	return group === NO_GROUP ? null : group;
}

function readCompletion(view: DataView, at: number, lg2: number): Completion {
	const status = view.getUint32(at + RESULT_COMPLETION, true);
	const entry = view.getBigUint64(at + RESULT_COMPLETION_ENTRY, true);
	const has = (bit: number) => (entry & BigInt(bit)) !== 0n;
	const bytes = entry === 0n ? 0 : 2 ** lg2;
	return {
		status: status === COMPLETION_UNSUPPORTED ? "unsupported-request" : status === COMPLETION_ABORT ? "completer-abort" : "success",
		entry,
		address: entry === 0n ? 0n : entry & ~(BigInt(bytes) - 1n),
		bytes,
		read: has(ENTRY_READ),
		write: has(ENTRY_WRITE),
		untranslatedOnly: has(ENTRY_UNTRANSLATED_ONLY),
		execute: has(ENTRY_EXECUTE),
		privileged: has(ENTRY_PRIVILEGED),
		global: has(ENTRY_GLOBAL),
		snoop: has(ENTRY_SNOOP),
	};
}
