// What an architecture says of ATS: who may send translation requests and translated requests, how a translation request
// is completed, and what a page request's record is. The path of such a request is in ats.ts.
import { ACCESS_ANY, ACCESS_EXECUTE, ACCESS_PRIVILEGED, ACCESS_READ, ACCESS_WRITE, COMPLETION_ABORT, NO_PASID, RESPONSE_SUCCESS } from "../layout";
import { DECODED, NOT_RECORDED } from "./contract";
import { Route } from "./route";

/** With a completion, the engine's own: the fault leaves no record. */
export const COMPLETION_QUIET: u32 = 16;

// ---- what a translated request's address is, the engine's own
export const TRANSLATED_PASSES: u32 = 0; // physical
export const TRANSLATED_SECOND: u32 = 1; // an input of the second stage

/** A page request asks to read: reads, fetches, and what a recorder does not say. */
@inline
export function wantsRead(access: u32): bool {
  return (access & (ACCESS_READ | ACCESS_EXECUTE | ACCESS_ANY)) != 0;
}

@unmanaged
export class AtsRules {
  /** privilege and execute travel with the PASID */
  @inline requestAccess(pasid: u32, access: u32): u32 {
    if (pasid != NO_PASID) return access;
    return (access & ~(ACCESS_PRIVILEGED | ACCESS_EXECUTE)) | (access & ACCESS_EXECUTE ? ACCESS_READ : 0);
  }
  /** fault code of a unit that takes no such request, or DECODED; before any table is read */
  @inline refuseUnit(unit: usize, rid: u32, pasid: u32, access: u32): u32 { return DECODED; }
  /** a translated request passes before any table is read */
  @inline passesUnit(unit: usize, access: u32): bool { return false; }
  /** the code of a device entry that could not be decoded, as this type of request reports it */
  @inline deviceCode(unit: usize, code: u32, pasid: u32, access: u32): u32 { return code; }
  /** fault code of a device entry that does not take this request, or DECODED */
  @inline refuseDevice(unit: usize, device: usize, pasid: u32, address: u64, access: u32): u32 { return DECODED; }
  /** TRANSLATED_*, of a device entry that takes translated requests */
  @inline translatedMode(unit: usize, device: usize): u32 { return TRANSLATED_PASSES; }
  /** make `route`, a copy of a device entry's, the second stage alone */
  @inline secondOnly(route: Route): void {}
  /** fault code of an address that a translated request may not have, or DECODED */
  @inline refuseTranslated(unit: usize, device: usize, address: u64): u32 { return DECODED; }
  /** WALK_* of a walk whose answer is told before the second stage: WALK_FIRST_ONLY, or 0 when that is walked all the same */
  @inline splitWalk(): u32 { return 0; }
  /** access bits that a walk for a translation request is made with, of those that are judged */
  @inline walkAccess(access: u32): u32 { return access & ~(ACCESS_READ | ACCESS_WRITE | ACCESS_EXECUTE); }
  /** how a translation request completes that met this code: COMPLETION_*, and COMPLETION_QUIET */
  @inline completion(unit: usize, code: u32): u32 { return COMPLETION_ABORT; }
  /** the fault of a translated request leaves no record */
  @inline quietTranslated(unit: usize, code: u32): bool { return false; }
  /** ENTRY_* flags of a completion beside R, W, Exe, Priv and S: U, Global, N */
  @inline entryFlags(unit: usize, route: Route, pasid: u32, attributes: u32): u32 { return 0; }
  /** attributes of an address that nothing translates */
  @inline bypassAttributes(): u32 { return 0; }
  /** fault code of a page request that this device entry does not allow, NOT_RECORDED when that has no record, or DECODED */
  @inline refusePageRequest(unit: usize, device: usize, pasid: u32): u32 { return NOT_RECORDED; }
  /** page requests are led through PASID tables, whose faults refuse them */
  @inline pagesThroughPasid(): bool { return false; }
  /** write the fault record of a page request that was refused */
  @inline recordRefusal(unit: usize, slot: usize, rid: u32, pasid: u32, code: u32, address: u64, access: u32): void {}
  /** software has not acknowledged that the queue overflowed */
  @inline overflowed(unit: usize): bool { return false; }
  @inline overflow(unit: usize): void {}
  /** response that the hardware gives by itself to the last request of a group, when the queue is full */
  @inline overflowResponse(unit: usize): u32 { return RESPONSE_SUCCESS; }
  /** write the architecture's record of a page request */
  @inline recordPageRequest(unit: usize, slot: usize, rid: u32, pasid: u32, address: u64, access: u32, group: u32, last: bool): void {}
}
