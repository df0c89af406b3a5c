// ATS and page requests on Intel VT-d (VT-d specification 4.2, 7.3, 7.4): context entries allow them (TT 01b, DTE, PRE).
import {
  ACCESS_EXECUTE, ACCESS_PRIVILEGED, ACCESS_WRITE, COMPLETION_ABORT, COMPLETION_SUCCESS, COMPLETION_UNSUPPORTED, ENTRY_GLOBAL, ENTRY_SNOOP, NO_PASID,
  VTD_STATUS,
} from "../layout";
import { register } from "../unit";
import { AtsRules, COMPLETION_QUIET, wantsRead } from "./ats-rules";
import { DECODED } from "./contract";
import { entryWord, Route } from "./route";
import { BEYOND_WIDTH, OUTPUT_INTERRUPT, Vtd } from "./vtd";
import { above, hostWidth, MODE_SCALABLE, STATUS_TES, TABLE, tableMode } from "./vtd-registers";
import { SGN_4_BEYOND_HAW, SGN_8_INTERRUPT, SNOOPS } from "./vtd-scalable";

// ---- fault reasons (7.1.3)
const LEGACY_BLOCKED: u32 = 0xd; // LCT.5
const SCT_5_DTE: u32 = 0x44;

/** 7.1.3: reasons that tell of paging alone, of 0x00 to 0x3f and of 0x40 to 0x9f from 0x70 on. */
function recoverable(code: u32): bool {
  return (code >= 0x4 && code <= 0x6) || code == 0x71 || (code >= 0x74 && code <= 0x77) || code == 0x79 || (code >= 0x80 && code <= 0x82) || (code >= 0x84 && code <= 0x86);
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

  // a fault of paging is told as no permission; what concerns the function alone disables ATS there (UR), the rest aborts
  @inline completion(unit: usize, code: u32): u32 {
    if (recoverable(code)) return COMPLETION_SUCCESS | COMPLETION_QUIET;
    return code == 0x7 || code == 0xc || code == 0xe || code >= 0x50 ? COMPLETION_ABORT : COMPLETION_UNSUPPORTED;
  }

  // N: SNP of a second-stage leaf, PGSNP; Global of a first stage
  @inline entryFlags(unit: usize, route: Route, pasid: u32, attributes: u32): u32 {
    const snoops = (route.bits & SNOOPS) != 0 || (attributes & 1) != 0;
    return (snoops ? ENTRY_SNOOP : 0) | (pasid != NO_PASID && attributes & 4 ? ENTRY_GLOBAL : 0);
  }

  // 9.4 PRE; legacy mode has no page requests (7.1.3 RTA.3)
  @inline takesPageRequests(unit: usize, device: usize): bool {
    return (register(unit, VTD_STATUS) & STATUS_TES) != 0 && tableMode(unit) == MODE_SCALABLE && (load<u64>(entryWord(device, 0)) & 16) != 0;
  }

  // 7.4.1: 7:0 type 1, 8 PASID present, 31:16 RID, 51:32 PASID, 52 execute, 53 privileged; 64 R, 65 W, 66 last, 74:67
  //   group, 127:76 address
  @inline recordPageRequest(unit: usize, slot: usize, rid: u32, pasid: u32, address: u64, access: u32, group: u32): void {
    let low: u64 = 1 | (<u64>(rid & 0xffff) << 16);
    if (pasid != NO_PASID) {
      low |= (1 << 8) | (<u64>(pasid & 0xf_ffff) << 32) | (access & ACCESS_EXECUTE ? <u64>1 << 52 : 0) | (access & ACCESS_PRIVILEGED ? <u64>1 << 53 : 0);
    }
    store<u64>(slot, low);
    store<u64>(slot, (address & TABLE) | (<u64>group << 3) | 4 | (access & ACCESS_WRITE ? 2 : 0) | (wantsRead(access) ? 1 : 0), 8);
  }
}
