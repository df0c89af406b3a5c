// ATS and page requests on SMMUv3 (IHI 0070 3.9.1, chapter 8): STE.EATS, SMMU_CR0.ATSCHK, split-stage ATS.
import {
  ACCESS_DEVICE, ACCESS_EXECUTE, ACCESS_PRIVILEGED, ACCESS_TRANSLATED, ACCESS_WRITE, COMPLETION_ABORT, COMPLETION_SUCCESS, COMPLETION_UNSUPPORTED,
  ENTRY_GLOBAL, NO_PASID, ROUTE_SECOND, SMMU_CR0, SMMU_CR2, SMMU_PRIQ_CONS, SMMU_PRIQ_PROD,
} from "../layout";
import { ATTRIBUTE_GLOBAL } from "../format/vmsav8-first";
import { register, setRegister } from "../unit";
import { WALK_FIRST_ONLY } from "../walk";
import { AtsRules, COMPLETION_QUIET, TRANSLATED_PASSES, TRANSLATED_SECOND, wantsRead } from "./ats-rules";
import { DECODED, NOT_RECORDED } from "./contract";
import { entryWord, Route } from "./route";
import { ABORT, F_BAD_ATS_TREQ, F_PERMISSION, F_TRANSL_FORBIDDEN, F_TRANSLATION, INPUT, PLAIN, report } from "./smmuv3";
import { ATS, field, idr0 } from "./smmuv3-registers";
import { configOf } from "./smmuv3-ste";
import { WALKER_VMSA_FIRST, WALKER_VMSA_SECOND } from "./walkers";

// ---- SMMU_CR0 (6.3.9)
const SMMUEN: u64 = 1;
const PRIQEN: u64 = 1 << 1;
const ATSCHK: u64 = 1 << 4;
// ---- SMMU_IDR0.PRI, ATSRECERR (6.3.1); SMMU_CR2.REC_CFG_ATS (6.3.12)
const PRI: u64 = 1 << 16;
const ATSRECERR: u64 = 1 << 23;
const REC_CFG_ATS: u64 = 1 << 3;
/** SMMU_PRIQ_PROD.OVFLG, SMMU_PRIQ_CONS.OVACKFLG (6.3.31, 6.3.32) */
const OVERFLOW_FLAG: u64 = 1 << 31;

/** EATS as it counts (3.9.2): 0 none, 1 full, 2 split-stage, which wants ATSCHK. */
function eatsOf(unit: usize, ste: usize): u32 {
  const eats = field(ste, 1, 29, 28);
  if (!(idr0(unit) & ATS) || configOf(ste) == 4 || eats == 3) return 0;
  return eats == 2 && !(register(unit, SMMU_CR0) & ATSCHK) ? 0 : eats;
}

@inline
function translated(access: u32): bool {
  return (access & ACCESS_DEVICE) == ACCESS_TRANSLATED;
}

@inline
function forbidden(unit: usize, access: u32): u32 {
  return report(unit, translated(access) ? F_TRANSL_FORBIDDEN : F_BAD_ATS_TREQ, INPUT, 0);
}

@unmanaged @final
export class Smmuv3Ats extends AtsRules {
  @inline refuseUnit(unit: usize, rid: u32, pasid: u32, access: u32): u32 {
    return register(unit, SMMU_CR0) & SMMUEN ? DECODED : forbidden(unit, access);
  }
  // 3.9.1.3: without ATSCHK translated transactions meet no stream table
  @inline passesUnit(unit: usize, access: u32): bool { return translated(access) && (register(unit, SMMU_CR0) & ATSCHK) == 0; }

  // 3.9.1.2, 3.9.1.3: a stream that aborts does so without an event
  @inline refuseDevice(unit: usize, device: usize, pasid: u32, address: u64, access: u32): u32 {
    if (changetype<Route>(device).bits & ABORT) return NOT_RECORDED;
    return eatsOf(unit, entryWord(device, 0)) == 0 ? forbidden(unit, access) : DECODED;
  }
  @inline translatedMode(unit: usize, device: usize): u32 {
    return eatsOf(unit, entryWord(device, 0)) == 2 ? TRANSLATED_SECOND : TRANSLATED_PASSES;
  }
  @inline secondOnly(route: Route): void {
    route.type = ROUTE_SECOND;
    route.walker = WALKER_VMSA_SECOND;
    route.tag = route.secondTag;
    route.bits &= ~PLAIN;
  }
  @inline splitWalk(): u32 { return WALK_FIRST_ONLY; }

  // 3.9.1.2: translation-related faults are told as no permission; errors of configuration abort, and are recorded where
  // software asks for that
  @inline completion(unit: usize, code: u32): u32 {
    if (code == 0) return COMPLETION_UNSUPPORTED | COMPLETION_QUIET;
    if (code == F_BAD_ATS_TREQ) return COMPLETION_UNSUPPORTED;
    if (code >= F_TRANSLATION && code <= F_PERMISSION) return COMPLETION_SUCCESS | COMPLETION_QUIET;
    return COMPLETION_ABORT | (this.recordsErrors(unit) ? 0 : COMPLETION_QUIET);
  }
  @inline recordsErrors(unit: usize): bool { return (idr0(unit) & ATSRECERR) != 0 && (register(unit, SMMU_CR2) & REC_CFG_ATS) != 0; }
  // before its walk a translated transaction meets errors of configuration alone
  @inline quietTranslated(unit: usize, code: u32): bool {
    return code != F_TRANSL_FORBIDDEN && !this.recordsErrors(unit);
  }

  @inline entryFlags(unit: usize, route: Route, pasid: u32, attributes: u32): u32 {
    const first = route.walker >= WALKER_VMSA_FIRST && route.walker != WALKER_VMSA_SECOND;
    return first && pasid != NO_PASID && attributes & ATTRIBUTE_GLOBAL ? ENTRY_GLOBAL : 0;
  }

  // 8.2: no stream table is asked, and a queue that is off answers without an event
  @inline refusePageRequest(unit: usize, device: usize, pasid: u32): u32 {
    return (idr0(unit) & PRI) != 0 && (register(unit, SMMU_CR0) & PRIQEN) != 0 ? DECODED : NOT_RECORDED;
  }
  // 8.1: an overflow that is not acknowledged inhibits new entries; PPRs with Last are answered with Success
  @inline overflowed(unit: usize): bool { return ((register(unit, SMMU_PRIQ_PROD) ^ register(unit, SMMU_PRIQ_CONS)) & OVERFLOW_FLAG) != 0; }
  @inline overflow(unit: usize): void {
    if (!this.overflowed(unit)) setRegister(unit, SMMU_PRIQ_PROD, register(unit, SMMU_PRIQ_PROD) ^ OVERFLOW_FLAG);
  }

  // 8.2: 31:0 StreamID, 51:32 SubstreamID, 58 P, 59 X, 60 R, 61 W, 62 Last, 63 SSV; 72:64 group, 127:76 address
  @inline recordPageRequest(unit: usize, slot: usize, rid: u32, pasid: u32, address: u64, access: u32, group: u32, last: bool): void {
    let low: u64 = <u64>rid | (last ? <u64>1 << 62 : 0) | (wantsRead(access) ? <u64>1 << 60 : 0) | (access & ACCESS_WRITE ? <u64>1 << 61 : 0);
    if (pasid != NO_PASID) {
      low |= (<u64>(pasid & 0xf_ffff) << 32) | (<u64>1 << 63) | (access & ACCESS_PRIVILEGED ? <u64>1 << 58 : 0) | (access & ACCESS_EXECUTE ? <u64>1 << 59 : 0);
    }
    store<u64>(slot, low);
    store<u64>(slot, (address & ~0xfff) | group, 8);
  }
}
