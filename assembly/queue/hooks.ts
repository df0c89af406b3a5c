// Commands that reach devices: device-TLBs and the answers to their page requests. One place to fill in for all queues.
import { Engine } from "../memory/physical";

/** Drop [first, last] of a device's TLB; NO_PASID: of requests without; `everyPasid`: of all (the Global bit). */
export function invalidateDeviceTlb(m: Engine, unit: usize, rid: u32, pasid: u32, everyPasid: bool, first: u64, last: u64): void {}

/** The response to a page request group: `code` as PCIe has it, 0 success, 1 invalid request, 15 failure. */
export function respondToPageRequest(m: Engine, unit: usize, rid: u32, pasid: u32, group: u32, code: u32): void {}
