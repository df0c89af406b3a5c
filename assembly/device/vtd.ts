// Intel VT-d: root and context tables of legacy mode (VT-d specification 9.1, 9.3), fault reasons (7.1.3, table 25)
// and fault recording registers (11.4.14).
import {
  ACCESS_EXECUTE,
  ACCESS_PRIVILEGED,
  ACCESS_WRITE,
  EDIT_NO_FRAME,
  EDIT_OK,
  FORMAT_VTD_SECOND,
  NO_PASID,
  OUTCOME_ACCESS_ERROR,
  OUTCOME_ADDRESS_SIZE,
  OUTCOME_OUTPUT_SIZE,
  OUTCOME_POISON,
  OUTCOME_RESERVED,
  ROUTE_BLOCKED,
  ROUTE_BYPASS,
  ROUTE_SECOND,
  STATUS_INTERRUPT,
  STATUS_TRANSLATED,
  VTD_CAP,
  VTD_ECAP,
  VTD_HAW,
  VTD_ROOT,
  VTD_SECOND_SNOOP,
  VTD_SECOND_TRANSIENT,
  VTD_STATUS,
} from "../layout";
import { makeTag, TAG_SECOND } from "../cache/tag";
import { Geometry } from "../format/contract";
import { allocate, framePointer, NO_FRAME } from "../memory/frames";
import { Engine } from "../memory/physical";
import { register, setRegister, Walk } from "../unit";
import { DECODED, DeviceTables, tablePointer } from "./contract";
import { Route, ROUTE_QUIET, secondStage } from "./route";
import { WALKER_VTD_SECOND } from "./walkers";

// Registers of the unit (11.4): VTD_ROOT is RTADDR_REG (63:12 table, 11:10 translation table mode), VTD_CAP CAP_REG,
// VTD_ECAP ECAP_REG, VTD_HAW the host address width in bits (0: MGAW + 1), VTD_STATUS GSTS_REG (bit 31: TES).
const STATUS_TES: u64 = 1 << 31;

// ---- fault reasons (7.1.3)
const ROOT_NOT_PRESENT: u32 = 0x1;
const CONTEXT_NOT_PRESENT: u32 = 0x2;
const CONTEXT_INVALID: u32 = 0x3;
const BEYOND_WIDTH: u32 = 0x4;
const WRITE_REFUSED: u32 = 0x5;
const READ_REFUSED: u32 = 0x6;
const PAGING_ACCESS: u32 = 0x7;
const ROOT_ACCESS: u32 = 0x8;
const CONTEXT_ACCESS: u32 = 0x9;
const ROOT_RESERVED: u32 = 0xa;
const CONTEXT_RESERVED: u32 = 0xb;
const PAGING_RESERVED: u32 = 0xc;
const OUTPUT_INTERRUPT: u32 = 0xe;

const TABLE: u64 = ~0xfff;

/** CAP_REG.MGAW (11.4.2, bits 21:16) is the width less one. */
@inline
function maxGuestWidth(unit: usize): u32 {
  return (<u32>(register(unit, VTD_CAP) >> 16) & 63) + 1;
}

@inline
function hostWidth(unit: usize): u32 {
  const haw = <u32>register(unit, VTD_HAW);
  return haw != 0 ? haw : maxGuestWidth(unit);
}

@inline
function above(width: u32): u64 {
  return width >= 64 ? 0 : ~((<u64>1 << width) - 1);
}

/** Leaf sizes that CAP_REG.SLLPS (37:34) allows beside 4 KiB. */
@inline
function leafSizes(unit: usize): u64 {
  const sllps = register(unit, VTD_CAP) >> 34;
  return (1 << 12) | (sllps & 1 ? <u64>1 << 21 : 0) | (sllps & 2 ? <u64>1 << 30 : 0);
}

@unmanaged @final
export class Vtd extends DeviceTables {
  // 3.14: requests without PASID to FEEx_xxxxh are interrupts
  @inline intercept(unit: usize, rid: u32, pasid: u32, address: u64, access: u32): u32 {
    return address >> 20 == 0xfee && pasid == NO_PASID ? STATUS_INTERRUPT : STATUS_TRANSLATED;
  }

  decodeDevice(m: Engine, unit: usize, rid: u32, device: usize): u32 {
    const route = changetype<Route>(device);
    route.flags = 0;
    if (!(register(unit, VTD_STATUS) & STATUS_TES)) {
      route.type = ROUTE_BYPASS;
      route.outputLimit = 0;
      return DECODED;
    }
    const wide = above(hostWidth(unit));

    // 9.1 root entry, 16 bytes a bus: 0 P, 11:1 reserved, HAW-1:12 context table, the rest reserved
    const rootAt = (register(unit, VTD_ROOT) & TABLE) + (<u64>(rid >> 8 & 0xff) << 4);
    let pointer = tablePointer(m, unit, rootAt, 8, 1);
    if (pointer == 0) return ROOT_ACCESS;
    const root = load<u64>(pointer);
    if (!(root & 1)) return ROOT_NOT_PRESENT;
    pointer = tablePointer(m, unit, rootAt + 8, 8, 1);
    if (pointer == 0) return ROOT_ACCESS;
    if ((root & (wide | 0xffe)) != 0 || load<u64>(pointer) != 0) return ROOT_RESERVED;

    // 9.3 context entry, 16 bytes a device and function:
    //   0 P, 1 FPD, 3:2 TT, 11:4 reserved, 63:12 SSPTPTR; 66:64 AW, 70:67 ignored, 71 reserved, 87:72 DID, rest reserved
    const contextAt = (root & TABLE) + (<u64>(rid & 0xff) << 4);
    pointer = tablePointer(m, unit, contextAt, 8, 0);
    if (pointer == 0) return CONTEXT_ACCESS;
    const low = load<u64>(pointer);
    pointer = tablePointer(m, unit, contextAt + 8, 8, 0);
    if (pointer == 0) return CONTEXT_ACCESS;
    const high = load<u64>(pointer);
    if (low & 2) route.flags |= ROUTE_QUIET;
    if (!(low & 1)) return CONTEXT_NOT_PRESENT;
    if ((low & (wide | 0xff0)) != 0 || (high & 0xffff_ffff_ff00_0080) != 0) return CONTEXT_RESERVED;

    const width = <u32>(high & 7);
    // CAP_REG.SAGAW (12:8): bit 1 three levels, bit 2 four, bit 3 five
    if (width < 1 || width > 3 || !(register(unit, VTD_CAP) >> 8 >> width & 1)) return CONTEXT_INVALID;
    const translation = <u32>(low >> 2 & 3);
    const ecap = register(unit, VTD_ECAP);
    // TT: 00 untranslated requests only, 01 device-TLBs too (ECAP.DT, bit 2), 10 pass-through (ECAP.PT, bit 6)
    if (translation == 3 || (translation == 1 && !(ecap & 4)) || (translation == 2 && !(ecap & 64))) return CONTEXT_INVALID;
    route.domain = <u32>(high >> 8) & 0xffff;
    route.space = 0;
    if (translation == 2) {
      route.type = ROUTE_BYPASS;
      route.outputLimit = <u64>1 << min(30 + 9 * width, maxGuestWidth(unit));
      return DECODED;
    }
    route.type = ROUTE_SECOND;
    route.walker = WALKER_VTD_SECOND;
    route.tag = makeTag(route.domain, 0, TAG_SECOND);
    const g = secondStage(route);
    g.format = FORMAT_VTD_SECOND;
    g.root = low & TABLE;
    g.top = 1 + width;
    g.inputBits = min(30 + 9 * width, maxGuestWidth(unit));
    g.outputBits = hostWidth(unit);
    g.leaves = leafSizes(unit);
    g.granule = 12;
    g.flags = (ecap & 0x80 ? VTD_SECOND_SNOOP : 0) | (ecap & 4 ? VTD_SECOND_TRANSIENT : 0);
    return DECODED;
  }

  // a unit in legacy mode has no PASIDs: 3.4.1 such a request finds an invalid context
  decodePasid(m: Engine, unit: usize, device: usize, rid: u32, pasid: u32, route: Route): u32 {
    route.flags = changetype<Route>(device).flags;
    return CONTEXT_INVALID;
  }

  // pass-through is bounded by the width of AW and MGAW (3.6); 3.14: nothing may be translated into the interrupt range
  @inline refuseOutput(unit: usize, route: Route, pa: u64, access: u32): u32 {
    if (route.type == ROUTE_BYPASS) return route.outputLimit != 0 && pa >= route.outputLimit ? BEYOND_WIDTH : DECODED;
    return pa >> 20 == 0xfee ? OUTPUT_INTERRUPT : DECODED;
  }

  @inline code(unit: usize, route: Route, walk: Walk, access: u32): u32 {
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
    if (!(access & ACCESS_WRITE)) high |= <u64>1 << 62;
    store<u64>(slot, address & TABLE);
    store<u64>(slot, high, 8);
  }
}

// ---- the driver's side of the same words

/**
 * Write the route of a requester: blocked (entry cleared), second stage, or pass-through. Root and context tables are
 * made as they are needed, in frames of the engine. EDIT_*. Caches are the caller's to invalidate.
 */
export function setVtdRoute(m: Engine, unit: usize, rid: u32, type: u32, domain: u32, geometry: usize): u32 {
  let rootTable = register(unit, VTD_ROOT) & TABLE;
  if (rootTable == 0) {
    rootTable = allocate(m, 0);
    if (rootTable == NO_FRAME) return EDIT_NO_FRAME;
    setRegister(unit, VTD_ROOT, rootTable);
  }
  const rootAt = framePointer(m, rootTable) + ((rid >> 8 & 0xff) << 4);
  let context = load<u64>(rootAt) & TABLE;
  if (context == 0) {
    if (type == ROUTE_BLOCKED) return EDIT_OK;
    context = allocate(m, 0);
    if (context == NO_FRAME) return EDIT_NO_FRAME;
    store<u64>(rootAt, context | 1);
  }
  const at = framePointer(m, context) + ((rid & 0xff) << 4);
  // not present first, so that no mix of old and new words can be read
  store<u64>(at, 0);
  if (type == ROUTE_BLOCKED) {
    store<u64>(at, 0, 8);
    return EDIT_OK;
  }
  const g = changetype<Geometry>(geometry);
  // pass-through: AW is the widest that SAGAW reports
  const sagaw = <u32>(register(unit, VTD_CAP) >> 8) & 0x1f;
  const width = type == ROUTE_BYPASS ? 31 - clz(sagaw) : g.top - 1;
  store<u64>(at, <u64>width | (<u64>domain << 8), 8);
  store<u64>(at, type == ROUTE_BYPASS ? 0b1001 : (g.root & TABLE) | 1);
  return EDIT_OK;
}
