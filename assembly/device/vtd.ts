// Intel VT-d: root and context tables of legacy mode (VT-d specification 9.1, 9.3), fault reasons (7.1.3, table 25)
// and fault recording registers (11.4.14). Scalable mode: vtd-scalable.ts.
//
// A translation makes at most 64 memory references: 4 device tables, and 5 levels of a first stage, each read, and written
// when A or D is due, through 5 levels of a second, then the second stage of the output: 4 + 5 * (5 + 1 + 5) + 5.
import {
  ACCESS_EXECUTE,
  ACCESS_PRIVILEGED,
  ACCESS_READ,
  ACCESS_TYPE_SHIFT,
  ACCESS_WRITE,
  NO_PASID,
  OUTCOME_ACCESS_ERROR,
  OUTCOME_ADDRESS_SIZE,
  OUTCOME_OUTPUT_SIZE,
  OUTCOME_POISON,
  OUTCOME_RESERVED,
  ROUTE_BYPASS,
  ROUTE_SECOND,
  STATUS_INTERRUPT,
  STATUS_TRANSLATED,
  VTD_ECAP,
  VTD_ROOT,
  VTD_STATUS,
} from "../layout";
import { makeTag, TAG_SECOND } from "../cache/tag";
import { Engine, entryPointer } from "../memory/physical";
import { register, Walk } from "../unit";
import { DECODED, DeviceTables, tablePointer } from "./contract";
import { entryWord, Route, ROUTE_QUIET, secondStage } from "./route";
import {
  above,
  describeSecond,
  ECAP_ADMS,
  ECAP_DT,
  ECAP_PT,
  ECAP_SMTS,
  hostWidth,
  knownWidth,
  maxGuestWidth,
  MODE_ABORT,
  MODE_LEGACY,
  MODE_SCALABLE,
  STATUS_TES,
  TABLE,
  tableMode,
} from "./vtd-registers";
import {
  decodeScalableDevice,
  decodeScalablePasid,
  RID_PRIVILEGED,
  LEGACY_PASS,
  SCALABLE,
  scalableCode,
  scalablePasid,
  scalableRefusal,
  SGN_4_BEYOND_HAW,
  SGN_8_INTERRUPT,
} from "./vtd-scalable";
import { WALKER_VTD_SECOND } from "./walkers";

// ---- fault reasons (7.1.3)
const ROOT_NOT_PRESENT: u32 = 0x1;
const CONTEXT_NOT_PRESENT: u32 = 0x2;
const CONTEXT_INVALID: u32 = 0x3;
export const BEYOND_WIDTH: u32 = 0x4;
const WRITE_REFUSED: u32 = 0x5;
const READ_REFUSED: u32 = 0x6;
const PAGING_ACCESS: u32 = 0x7;
const ROOT_ACCESS: u32 = 0x8;
const CONTEXT_ACCESS: u32 = 0x9;
const ROOT_RESERVED: u32 = 0xa;
const CONTEXT_RESERVED: u32 = 0xb;
const PAGING_RESERVED: u32 = 0xc;
export const OUTPUT_INTERRUPT: u32 = 0xe;
const MODE_INVALID: u32 = 0x30;
const LEGACY_PASID: u32 = 0x31;
const ABORTED: u32 = 0x33;

@unmanaged @final
export class Vtd extends DeviceTables {
  // 3.14: requests without PASID to FEEx_xxxxh are interrupts
  @inline intercept(unit: usize, rid: u32, pasid: u32, address: u64, access: u32): u32 {
    return address >> 20 == 0xfee && pasid == NO_PASID ? STATUS_INTERRUPT : STATUS_TRANSLATED;
  }

  decodeDevice(m: Engine, unit: usize, rid: u32, device: usize): u32 {
    const route = changetype<Route>(device);
    route.flags = 0;
    route.bits = 0;
    if (!(register(unit, VTD_STATUS) & STATUS_TES)) {
      route.type = ROUTE_BYPASS;
      route.bits = LEGACY_PASS;
      route.outputLimit = 0;
      return DECODED;
    }
    if (tableMode(unit) == MODE_SCALABLE) return decodeScalableDevice(m, unit, rid, device);
    const wide = above(hostWidth(unit));

    // 9.1 root entry, 16 bytes a bus: 0 P, 11:1 reserved, HAW-1:12 context table, the rest reserved
    const rootAt = (register(unit, VTD_ROOT) & TABLE) + (<u64>(rid >> 8 & 0xff) << 4);
    let pointer = tablePointer(m, unit, rootAt, 8, 1);
    if (pointer == 0) return ROOT_ACCESS;
    const root = load<u64>(pointer);
    pointer = entryPointer(m, rootAt + 8, 8);
    if (pointer == 0) return ROOT_ACCESS;
    if (!(root & 1)) return ROOT_NOT_PRESENT;
    if ((root & (wide | 0xffe)) != 0 || load<u64>(pointer) != 0) return ROOT_RESERVED;

    // 9.3 context entry, 16 bytes a device and function:
    //   0 P, 1 FPD, 3:2 TT, 11:4 reserved, 63:12 SSPTPTR; 66:64 AW, 70:67 ignored, 71 reserved, 87:72 DID, rest reserved
    const contextAt = (root & TABLE) + (<u64>(rid & 0xff) << 4);
    pointer = tablePointer(m, unit, contextAt, 8, 0);
    if (pointer == 0) return CONTEXT_ACCESS;
    const low = load<u64>(pointer);
    pointer = entryPointer(m, contextAt + 8, 8);
    if (pointer == 0) return CONTEXT_ACCESS;
    const high = load<u64>(pointer);
    store<u64>(entryWord(device, 0), low);
    if (low & 2) route.flags |= ROUTE_QUIET;
    if (!(low & 1)) return CONTEXT_NOT_PRESENT;
    if ((low & (wide | 0xff0)) != 0 || (high & 0xffff_ffff_ff00_0080) != 0) return CONTEXT_RESERVED;

    const width = <u32>(high & 7);
    if (!knownWidth(unit, width)) return CONTEXT_INVALID;
    const translation = <u32>(low >> 2 & 3);
    const ecap = register(unit, VTD_ECAP);
    // TT: 00 untranslated requests only, 01 device-TLBs too (ECAP.DT, bit 2), 10 pass-through (ECAP.PT, bit 6)
    if (translation == 3 || (translation == 1 && !(ecap & ECAP_DT)) || (translation == 2 && !(ecap & ECAP_PT))) return CONTEXT_INVALID;
    route.domain = <u32>(high >> 8) & 0xffff;
    route.space = 0;
    if (translation == 2) {
      route.type = ROUTE_BYPASS;
      route.bits = LEGACY_PASS;
      route.outputLimit = <u64>1 << min(30 + 9 * width, maxGuestWidth(unit));
      return DECODED;
    }
    route.type = ROUTE_SECOND;
    route.walker = WALKER_VTD_SECOND;
    route.tag = makeTag(route.domain, 0, TAG_SECOND);
    describeSecond(unit, secondStage(route), low & TABLE, width, 0);
    return DECODED;
  }

  // 11.4.5 TTM; 7.1.3 RTA.1, RTA.2, RTA.4
  @inline refuseUnit(unit: usize, rid: u32, pasid: u32): u32 {
    if (!(register(unit, VTD_STATUS) & STATUS_TES)) return DECODED;
    const mode = tableMode(unit);
    if (mode == MODE_LEGACY) return pasid == NO_PASID ? DECODED : LEGACY_PASID;
    const ecap = register(unit, VTD_ECAP);
    if (mode == MODE_SCALABLE) return ecap & ECAP_SMTS ? DECODED : MODE_INVALID;
    return mode == MODE_ABORT && (ecap & ECAP_ADMS) != 0 ? ABORTED : MODE_INVALID;
  }

  @inline effectivePasid(unit: usize, device: usize, pasid: u32): u32 {
    return changetype<Route>(device).bits & SCALABLE ? scalablePasid(device, pasid) : NO_PASID;
  }
  decodePasid(m: Engine, unit: usize, device: usize, rid: u32, pasid: u32, route: Route): u32 {
    return decodeScalablePasid(m, unit, device, pasid, route);
  }

  // legacy mode: a second stage without SSEE, to which privilege and execute requests are nothing
  @inline plain(route: Route): bool { return route.bits == 0; }
  // 3.4.3: without PASID there is no execute request, and RID_PRIV of the context entry gives the privilege
  @inline routeAccess(route: Route, pasid: u32, access: u32): u32 {
    if (pasid != NO_PASID) return access;
    return (access & ~(ACCESS_PRIVILEGED | ACCESS_EXECUTE)) | (access & ACCESS_EXECUTE ? ACCESS_READ : 0) | (route.bits & RID_PRIVILEGED ? ACCESS_PRIVILEGED : 0);
  }
  @inline refuse(unit: usize, route: Route, pasid: u32, address: u64, access: u32): u32 {
    return scalableRefusal(route, access);
  }

  // pass-through is bounded: legacy by AW and MGAW (3.6), scalable by the host address width; 3.14: nothing may be
  // translated into the interrupt range
  @inline refuseOutput(unit: usize, route: Route, pa: u64, access: u32): u32 {
    const interrupt = pa >> 20 == 0xfee;
    if (route.bits == 0) return interrupt ? OUTPUT_INTERRUPT : DECODED;
    const beyond = route.type == ROUTE_BYPASS && route.outputLimit != 0 && pa >= route.outputLimit;
    if (route.bits & LEGACY_PASS) return beyond ? BEYOND_WIDTH : DECODED;
    return beyond ? SGN_4_BEYOND_HAW : interrupt ? SGN_8_INTERRUPT : DECODED;
  }
  // a large leaf around the interrupt range is cached a page at a time
  @inline cachedLg2(pa: u64, lg2: u32): u32 {
    return lg2 > 12 && pa >> lg2 == <u64>0xfee0_0000 >> lg2 ? 12 : lg2;
  }

  @inline code(unit: usize, route: Route, walk: Walk, access: u32): u32 {
    if (route.bits & SCALABLE) return scalableCode(route, walk);
    const outcome = walk.outcome;
    if (outcome == OUTCOME_RESERVED || outcome == OUTCOME_OUTPUT_SIZE) return PAGING_RESERVED;
    if (outcome == OUTCOME_ADDRESS_SIZE) return BEYOND_WIDTH;
    // 7.1.3 LCT.4: a root that cannot be read is an invalid SSPTPTR of the context entry
    if (outcome == OUTCOME_ACCESS_ERROR || outcome == OUTCOME_POISON) {
      return walk.level == secondStage(route).top ? CONTEXT_INVALID : PAGING_ACCESS;
    }
    // absent entries and missing rights share the reasons of the access
    return access & ACCESS_WRITE ? WRITE_REFUSED : READ_REFUSED;
  }

  // 11.4.14: 63:12 FI; 15:0 SID, 29 PRIV, 30 EXE, 31 PP, 39:32 FR, 59:40 PV, 61:60 AT, 62 T (1 read), 63 F
  record(unit: usize, slot: usize, rid: u32, pasid: u32, code: u32, address: u64, access: u32, result: usize): void {
    let high: u64 = <u64>(rid & 0xffff) | (<u64>(code & 0xff) << 32) | (<u64>1 << 63);
    if (pasid != NO_PASID) {
      high |= (<u64>1 << 31) | (<u64>(pasid & 0xf_ffff) << 40);
      if (access & ACCESS_PRIVILEGED) high |= 1 << 29;
      if (access & ACCESS_EXECUTE) high |= 1 << 30;
    }
    high |= <u64>(access >> ACCESS_TYPE_SHIFT & 3) << 60;
    if (!(access & ACCESS_WRITE)) high |= <u64>1 << 62;
    store<u64>(slot, address & TABLE);
    store<u64>(slot, high, 8);
  }
}
