// ATS and page requests on an AMD IOMMU (48882 2.1.3, 2.6): DTE.I and DTE.PPR.
import {
  ACCESS_DEVICE, ACCESS_EXECUTE, ACCESS_PRIVILEGED, ACCESS_TRANSLATED, ACCESS_TRANSLATION, ACCESS_WRITE, AMDVI_CONTROL, AMDVI_FEATURES, AMDVI_STATUS, COMPLETION_ABORT,
  COMPLETION_SUCCESS, COMPLETION_UNSUPPORTED, ENTRY_GLOBAL, ENTRY_SNOOP, ENTRY_UNTRANSLATED_ONLY, NO_PASID, RESPONSE_FAILURE, RESPONSE_SUCCESS,
} from "../layout";
import { register, setRegister } from "../unit";
import { ILLEGAL_DEV_TABLE_ENTRY, INVALID_DEVICE_REQUEST, IO_PAGE_FAULT, PAGE_REQUESTS, REMOTE_TLB, report, REPORT_GN, REPORT_US, TYPE_SHIFT, VALID } from "./amdvi";
import { AtsRules, COMPLETION_QUIET, wantsRead } from "./ats-rules";
import { DECODED, NOT_RECORDED } from "./contract";
import { Route } from "./route";

// ---- Control (3.4.3)
const PPR_EN: u64 = 1 << 15;
const PPR_AUTO_RESPONSE: u64 = 1 << 39;
// ---- Extended Feature Register (3.4.9)
const PPR_SUP: u64 = 2;
// ---- Status (3.4.15)
const PPR_OVERFLOW: u64 = 1 << 5;

/** 2.5.10: an event laid out as an entry of the PPR log */
const INVALID_PPR_REQUEST: u32 = 9;

// ---- Type of INVALID_DEVICE_REQUEST (2.5.8)
const IN_INTERRUPT_RANGE: u64 = 0;
const NOT_ALLOWED: u64 = 1;
const BEYOND_TABLE: u64 = 2;

@unmanaged @final
export class AmdviAts extends AtsRules {
  // 2.5.8: a translation request of a device beyond the table
  @inline deviceCode(unit: usize, code: u32, pasid: u32, access: u32): u32 {
    if (code != IO_PAGE_FAULT || (access & ACCESS_DEVICE) != ACCESS_TRANSLATION) return code;
    return report(unit, INVALID_DEVICE_REQUEST, (BEYOND_TABLE << TYPE_SHIFT) | (pasid != NO_PASID ? REPORT_GN : 0));
  }

  // 2.2.2.1 I; 2.1.4.1: no translation request in the interrupt range
  @inline refuseDevice(unit: usize, device: usize, pasid: u32, address: u64, access: u32): u32 {
    const bits = changetype<Route>(device).bits;
    if (!(bits & VALID)) return DECODED;
    if (!(bits & REMOTE_TLB)) {
      const who = pasid == NO_PASID ? 0 : REPORT_GN | (access & ACCESS_PRIVILEGED ? 0 : REPORT_US);
      return report(unit, INVALID_DEVICE_REQUEST, (NOT_ALLOWED << TYPE_SHIFT) | who);
    }
    if ((access & ACCESS_DEVICE) == ACCESS_TRANSLATED || pasid != NO_PASID || address >> 20 != 0xfee) return DECODED;
    return report(unit, INVALID_DEVICE_REQUEST, IN_INTERRUPT_RANGE << TYPE_SHIFT);
  }

  // 2.1.3.2: a page fault is told as no permission; without a right to ask it is an Unsupported Request
  @inline completion(unit: usize, code: u32): u32 {
    if (code == IO_PAGE_FAULT) return COMPLETION_SUCCESS | COMPLETION_QUIET;
    return code == INVALID_DEVICE_REQUEST || code == ILLEGAL_DEV_TABLE_ENTRY ? COMPLETION_UNSUPPORTED : COMPLETION_ABORT;
  }

  // 2.2.3: U and FC of a host page; Global of a guest page
  @inline entryFlags(unit: usize, route: Route, pasid: u32, attributes: u32): u32 {
    return (attributes & 1 ? ENTRY_SNOOP : 0) | (attributes & 2 ? ENTRY_UNTRANSLATED_ONLY : 0) | (pasid != NO_PASID && attributes & 4 ? ENTRY_GLOBAL : 0);
  }

  // 2.2.2.1 PPR
  @inline refusePageRequest(unit: usize, device: usize, pasid: u32): u32 {
    if (!(register(unit, AMDVI_CONTROL) & PPR_EN) || !(register(unit, AMDVI_FEATURES) & PPR_SUP)) return NOT_RECORDED;
    return changetype<Route>(device).bits & PAGE_REQUESTS ? DECODED : INVALID_PPR_REQUEST;
  }
  @inline recordRefusal(unit: usize, slot: usize, rid: u32, pasid: u32, code: u32, address: u64, access: u32): void {
    this.recordPageRequest(unit, slot, rid, pasid, address, access, 0, true);
    store<u64>(slot, (load<u64>(slot) & 0x0fff_ffff_ffff_ffff) | (<u64>code << 60));
  }
  // 2.6.2: PPROverflow holds the log until software clears it
  @inline overflowed(unit: usize): bool { return (register(unit, AMDVI_STATUS) & PPR_OVERFLOW) != 0; }
  @inline overflow(unit: usize): void { setRegister(unit, AMDVI_STATUS, register(unit, AMDVI_STATUS) | PPR_OVERFLOW); }

  // 2.6.2: without PPRAutoRspEn nobody answers a request that found the log full
  @inline overflowResponse(unit: usize): u32 {
    return register(unit, AMDVI_CONTROL) & PPR_AUTO_RESPONSE ? RESPONSE_SUCCESS : RESPONSE_FAILURE;
  }

  // 2.6.1: 15:0 DeviceID, 31:16 PASID[15:0], 40:32 group, 41 last, 45:42 PASID[19:16], 49 execute, 50 read, 53 write, 54 US,
  //   56 GN, 63:60 code 1; 127:76 address
  @inline recordPageRequest(unit: usize, slot: usize, rid: u32, pasid: u32, address: u64, access: u32, group: u32, last: bool): void {
    let low: u64 = (rid & 0xffff) | (<u64>group << 32) | (last ? <u64>1 << 41 : 0) | (<u64>1 << 60) | (wantsRead(access) ? <u64>1 << 50 : 0) | (access & ACCESS_WRITE ? <u64>1 << 53 : 0);
    if (pasid != NO_PASID) {
      low |= (<u64>(pasid & 0xffff) << 16) | (<u64>(pasid >> 16 & 15) << 42) | (access & ACCESS_EXECUTE ? <u64>1 << 49 : 0) | (<u64>1 << 56);
      if (!(access & ACCESS_PRIVILEGED)) low |= <u64>1 << 54;
    }
    store<u64>(slot, low);
    store<u64>(slot, address & ~0xfff, 8);
  }
}
