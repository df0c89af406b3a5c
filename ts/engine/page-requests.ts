/** Page requests of a unit's devices (PCIe PRI 10.4). */
import { PAGE_REQUEST_BYTES, RESPONSE_FAILURE, RESPONSE_INVALID, RESPONSE_SUCCESS } from "../../assembly/layout.ts";
import { EngineError } from "./errors.ts";
import type { UnitRecord } from "./unit-record.ts";

/** Response code of a page request group (PCIe PRI 10.4.2). */
export type GroupResponse = "success" | "invalid" | "failure";

const RESPONSES: Record<GroupResponse, number> = { success: RESPONSE_SUCCESS, invalid: RESPONSE_INVALID, failure: RESPONSE_FAILURE };

/** Take the oldest page request off the queue: the architecture's own record, zero padded; null when there is none. */
export function takePageRequest({ exports, views, record }: UnitRecord): Uint8Array | null {
	const pointer = exports.nextPageRequest(record) >>> 0;
	return pointer === 0 ? null : views.bytes().slice(pointer, pointer + PAGE_REQUEST_BYTES);
}

/** See Unit.respond. */
export function respond({ exports, index, record }: UnitRecord, rid: number, group: number, response: GroupResponse, pasid: number): void {
	if (exports.respond(record, rid, pasid, group, RESPONSES[response]) !== 0) return;
	throw new EngineError("OutOfRange", `no group ${group} waits`, { operation: "Unit.respond", object: `unit ${index}, rid 0x${rid.toString(16)}` });
}
