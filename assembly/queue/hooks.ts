// Commands that reach devices: device-TLBs and the answers to their page requests.
import { invalidateDeviceTlb as invalidate } from "../device-tlb";
import { EVERY_PASID } from "../layout";
import { Engine } from "../memory/physical";
import { respondGroup } from "../page-request";

/** Drop [first, last] of a device's TLB; NO_PASID: of requests without; `everyPasid`: of all (the Global bit). */
export function invalidateDeviceTlb(m: Engine, unit: usize, rid: u32, pasid: u32, everyPasid: bool, first: u64, last: u64): void {
  invalidate(unit, rid, everyPasid ? EVERY_PASID : pasid, first, last);
}

/** The response to a page request group: `code` as PCIe has it, 0 success, 1 invalid request, 15 failure. */
export function respondToPageRequest(m: Engine, unit: usize, rid: u32, pasid: u32, group: u32, code: u32): void {
  respondGroup(unit, rid, pasid, group, code);
}
