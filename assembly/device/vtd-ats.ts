// ATS and page requests on Intel VT-d (VT-d specification 4.2, 7.1.3, 7.4): context entries allow them (TT 01b, DTE, PRE).
import {
  ACCESS_EXECUTE, ACCESS_PRIVILEGED, ACCESS_WRITE, COMPLETION_ABORT, COMPLETION_SUCCESS, COMPLETION_UNSUPPORTED, ENTRY_GLOBAL, ENTRY_SNOOP, NO_PASID,
  VTD_ECAP, VTD_PAGE_STATUS, VTD_STATUS,
} from "../layout";
import { register, setRegister } from "../unit";
import { AtsRules, COMPLETION_QUIET, wantsRead } from "./ats-rules";
import { DECODED, NOT_RECORDED } from "./contract";
import { entryWord, Route } from "./route";
import { BEYOND_WIDTH, OUTPUT_INTERRUPT, Vtd } from "./vtd";
import { above, ECAP_PRS, hostWidth, MODE_SCALABLE, STATUS_TES, TABLE, tableMode } from "./vtd-registers";
import { SGN_4_BEYOND_HAW, SGN_8_INTERRUPT, SNOOPS } from "./vtd-scalable";

// ---- fault reasons (7.1.3)
const LEGACY_BLOCKED: u32 = 0xd; // LCT.5
const RTA_3_PAGE_REQUEST: u32 = 0x32;
const SCT_5_DTE: u32 = 0x44;
const SCT_8_PRE: u32 = 0x47;
const SFS_10_UPDATE: u32 = 0x91;

// ---- PRS_REG (11.4.11.4)
const PENDING: u64 = 1;
const OVERFLOW: u64 = 2;

/** 7.1.3 Table 30, columns of translation requests, "Success": LGN.1 to 3; SPD.2, SPT.2, 5, 6; SFS; SSS.2; SGN.1 to 7. */
function recoverable(code: u32): bool {
  return (
    (code >= 0x4 && code <= 0x6) || code == 0x51 || code == 0x59 || code == 0x5c || code == 0x5d || (code >= 0x70 && code <= 0x77) || code == 0x79 ||
    (code >= 0x80 && code <= 0x86) || code == 0x90 || code == SFS_10_UPDATE
  );
}

/** The same, "UR": what is not there, or forbids the request: LRT.2, LCT.2, LCT.5; RTA.2 and 4; SRT.2; SCT.2 and 5 to 9. */
function unsupported(code: u32): bool {
  return code <= 0x2 || code == 0xd || code == 0x31 || code == 0x33 || code == 0x39 || code == 0x41 || (code >= SCT_5_DTE && code <= 0x48);
}

@unmanaged @final
export class VtdAts extends AtsRules {
  @inline refuseUnit(unit: usize, rid: u32, pasid: u32, access: u32): u32 { return changetype<Vtd>(0).refuseUnit(unit, rid, pasid); }

  // 9.3 TT: 01b; 9.4 DTE
  @inline refuseDevice(unit: usize, device: usize, pasid: u32, address: u64, access: u32): u32 {
    if (!(register(unit, VTD_STATUS) & STATUS_TES)) return DECODED;
    const low = load<u64>(entryWord(device, 0));
    if (tableMode(unit) == MODE_SCALABLE) return low & 4 ? DECODED : SCT_5_DTE;
    return (low >> 2 & 3) == 1 ? DECODED : LEGACY_BLOCKED;
  }

  // 4.2.3: a host address, of the host's width and outside the interrupt range
  @inline refuseTranslated(unit: usize, device: usize, address: u64): u32 {
    if (!(register(unit, VTD_STATUS) & STATUS_TES)) return DECODED;
    const scalable = tableMode(unit) == MODE_SCALABLE;
    if ((address & above(hostWidth(unit))) != 0) return scalable ? SGN_4_BEYOND_HAW : BEYOND_WIDTH;
    if (address >> 20 == 0xfee) return scalable ? SGN_8_INTERRUPT : OUTPUT_INTERRUPT;
    return DECODED;
  }

  // 7.1.2: a fault of paging is told as no permission and not reported, but for SFS.10, which is both
  @inline completion(unit: usize, code: u32): u32 {
    if (recoverable(code)) return code == SFS_10_UPDATE ? COMPLETION_SUCCESS : COMPLETION_SUCCESS | COMPLETION_QUIET;
    return unsupported(code) ? COMPLETION_UNSUPPORTED : COMPLETION_ABORT;
  }

  // N: SNP of a second-stage leaf, PGSNP; Global of a first stage
  @inline entryFlags(unit: usize, route: Route, pasid: u32, attributes: u32): u32 {
    const snoops = (route.bits & SNOOPS) != 0 || (attributes & 1) != 0;
    return (snoops ? ENTRY_SNOOP : 0) | (pasid != NO_PASID && attributes & 4 ? ENTRY_GLOBAL : 0);
  }

  // 7.4.1, Table 31: a fault of the tables is reported, the response Invalid Request. 9.4 PRE; 7.1.3 RTA.3
  @inline refusePageRequest(unit: usize, device: usize, pasid: u32): u32 {
    if (!(register(unit, VTD_ECAP) & ECAP_PRS) || !(register(unit, VTD_STATUS) & STATUS_TES)) return NOT_RECORDED;
    if (tableMode(unit) != MODE_SCALABLE) return RTA_3_PAGE_REQUEST;
    return load<u64>(entryWord(device, 0)) & 16 ? DECODED : SCT_8_PRE;
  }
  @inline pagesThroughPasid(): bool { return true; }
  // 11.4.7.6: T1 0, T2 (bit 92) 1: a page request
  @inline recordRefusal(unit: usize, slot: usize, rid: u32, pasid: u32, code: u32, address: u64, access: u32): void {
    let high: u64 = <u64>(rid & 0xffff) | (<u64>(code & 0xff) << 32) | (<u64>1 << 63) | (1 << 28);
    if (pasid != NO_PASID) high |= (<u64>1 << 31) | (<u64>(pasid & 0xf_ffff) << 40) | (access & ACCESS_PRIVILEGED ? 1 << 29 : 0);
    store<u64>(slot, address & TABLE);
    store<u64>(slot, high, 8);
  }
  // Table 31: while PRO is set the last request of a group is answered with Success, and nothing is queued
  @inline overflowed(unit: usize): bool { return (register(unit, VTD_PAGE_STATUS) & OVERFLOW) != 0; }
  @inline overflow(unit: usize): void { setRegister(unit, VTD_PAGE_STATUS, register(unit, VTD_PAGE_STATUS) | OVERFLOW); }

  // 7.4.1.1: 7:0 type 1, 8 PASID present, 31:16 RID, 51:32 PASID, 52 execute, 53 privileged; 64 R, 65 W, 66 last, 74:67
  //   group, 127:76 address
  @inline recordPageRequest(unit: usize, slot: usize, rid: u32, pasid: u32, address: u64, access: u32, group: u32, last: bool): void {
    setRegister(unit, VTD_PAGE_STATUS, register(unit, VTD_PAGE_STATUS) | PENDING);
    let low: u64 = 1 | (<u64>(rid & 0xffff) << 16);
    if (pasid != NO_PASID) {
      low |= (1 << 8) | (<u64>(pasid & 0xf_ffff) << 32) | (access & ACCESS_EXECUTE ? <u64>1 << 52 : 0) | (access & ACCESS_PRIVILEGED ? <u64>1 << 53 : 0);
    }
    store<u64>(slot, low);
    store<u64>(slot, (address & TABLE) | (<u64>group << 3) | (last ? 4 : 0) | (access & ACCESS_WRITE ? 2 : 0) | (wantsRead(access) ? 1 : 0), 8);
  }
}
