// AMD IOMMU (48882): device table entries (2.2.2.1), guest CR3 tables (2.2.6), exclusion range (3.4.4, 3.4.5), interrupt
// range (2.1.4.1) and event log records (2.5).
//
// A translation makes at most 93 memory references: the device table entry, 3 levels of guest CR3 tables through 6 of the
// host table, 5 levels of a guest table, each read, and written when A or D is due, through 6 of the host table, and the
// host table for the output: 1 + 3 * (6 + 1) + 5 * (6 + 1 + 6) + 6.
import {
  ACCESS_DEVICE,
  ACCESS_EXECUTE,
  ACCESS_PRIVILEGED,
  ACCESS_READ,
  ACCESS_TRANSLATION,
  ACCESS_UNCHECKED,
  ACCESS_WRITE,
  AMD_V1_ACCESSED,
  AMD_V1_DIRTY,
  AMD_V1_READ,
  AMD_V1_WRITE,
  AMD_V2_ACCESSED,
  AMD_V2_DIRTY,
  AMD_V2_NX,
  AMD_V2_US,
  AMDVI_ADDRESS_BITS,
  AMDVI_CONTROL,
  AMDVI_DEVICE_TABLE,
  AMDVI_EXCLUSION_BASE,
  AMDVI_EXCLUSION_LIMIT,
  AMDVI_FEATURES,
  AMDVI_REPORT,
  AMDVI_SEGMENT,
  FORMAT_AMD_V1,
  FORMAT_AMD_V2,
  GEOMETRY_BYTES,
  NO_PASID,
  OUTCOME_ACCESS_ERROR,
  OUTCOME_ADDRESS_SIZE,
  OUTCOME_NOT_PRESENT,
  OUTCOME_POISON,
  OUTCOME_RESERVED,
  OUTCOME_TRANSLATED,
  OUTCOME_UPDATE_REFUSED,
  RESULT_ENTRY_ADDRESS,
  ROUTE_BLOCKED,
  ROUTE_BYPASS,
  ROUTE_FIRST,
  ROUTE_NESTED,
  ROUTE_SECOND,
  STAGE_FIRST,
  STAGE_SECOND,
  STATUS_INTERRUPT,
  STATUS_TRANSLATED,
} from "../layout";
import { makeTag, TAG_FIRST, TAG_NESTED, TAG_SECOND, VARIANT_SHIFT } from "../cache/tag";
import { AmdV1, amdV1Reserved } from "../format/amd-v1";
import { Engine, entryPointer } from "../memory/physical";
import { register, setRegister, Walk, walkOf } from "../unit";
import { walkAlone } from "../walk";
import { identity } from "./amdvi-host";
import { DECODED, DETOUR_BYPASS, DeviceTables, poisoned, tablePointer } from "./contract";
import { entryWord, firstStage, Route, ROUTE_UNCACHED, secondStage } from "./route";
import { WALKER_AMD_NESTED, WALKER_AMD_V1, WALKER_AMD_V2 } from "./walkers";

// 2.2.2.1, 2.2.6, 3.4: 51:12 of every table address
export const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

// ---- Control (3.4.3; 36:34 DevTblSegEn)
const IOMMU_EN: u64 = 1;
export const GT_EN: u64 = 1 << 16;
const GD_UPDATE_DIS: u64 = 1 << 48;
const GA_UPDATE_DIS: u64 = 1 << 54;
const GCR3_TRP_MODE: u64 = 1 << 58;

// ---- Extended Feature Register (3.4.9; 11:10 HATS, 13:12 GATS, 15:14 GLXSup, 36:32 PASmax)
const PPR_SUP: u64 = 1 << 1;
const NX_SUP: u64 = 1 << 3;
export const GT_SUP: u64 = 1 << 4;
const US_SUP: u64 = 1 << 37;
export const GIO_SUP: u64 = 1 << 48;
const HA_SUP: u64 = 1 << 49;
const EPH_SUP: u64 = 1 << 50;
const HD_SUP: u64 = 1 << 52;
const GA_UPDATE_DIS_SUP: u64 = 1 << 61;

// ---- events (2.5)
export const ILLEGAL_DEV_TABLE_ENTRY: u32 = 1;
export const IO_PAGE_FAULT: u32 = 2;
const DEV_TAB_HARDWARE_ERROR: u32 = 3;
const PAGE_TAB_HARDWARE_ERROR: u32 = 4;
export const INVALID_DEVICE_REQUEST: u32 = 8;

// ---- AMDVI_REPORT, the engine's own: what the record of the fault in hand says; 15:0 DomainID
const REPORT_RZ: u64 = 1 << 16;
const REPORT_PR: u64 = 1 << 17;
const REPORT_PE: u64 = 1 << 18;
export const REPORT_GN: u64 = 1 << 19; // guest: PASID, 0 when the request has none
export const TYPE_SHIFT: u64 = 20; // 2.5.4: 2 target abort, 3 data error; INVALID_DEVICE_REQUEST: why
export const REPORT_US: u64 = 1 << 22; // of INVALID_DEVICE_REQUEST
const TARGET_ABORT: u64 = 2 << 20;
const DATA_ERROR: u64 = 3 << 20;

// ---- Route.bits, the engine's own, after fields of the device table entry (2.2.2.1)
export const VALID: u32 = 1; // V: ranges are looked at
const TRANSLATES: u32 = 2; // TV
const BAD_MODE: u32 = 4;
const EXCLUDED: u32 = 8; // EX
const GUEST_ON: u32 = 16; // GV and Control.GTEn
const GUEST_IO: u32 = 32; // GIOV, with GUEST_ON
const READS: u32 = 64; // IR
const WRITES: u32 = 128; // IW
const SUPPRESS_ALL: u32 = 256; // SA
const SUPPRESS: u32 = 512; // SE
const FAULTED: u32 = 1024; // an IO_PAGE_FAULT is logged since this entry was cached
const GUEST: u32 = 2048; // the route is a PASID's
export const REMOTE_TLB: u32 = 4096; // I: translation and translated requests are taken
export const PAGE_REQUESTS: u32 = 8192; // PPR
const REFUSED_CODE: u32 = 16; // bits 31:16 of a blocked PASID route: its code; `extra` is the report

@inline
export function report(unit: usize, code: u32, what: u64): u32 {
  setRegister(unit, AMDVI_REPORT, what);
  return code;
}

@inline
function guestBit(pasid: u32): u64 {
  return pasid != NO_PASID ? REPORT_GN : 0;
}

/** 2.5.3, table "IO_PAGE_FAULT Event Types", and the hardware errors of 2.5.5; `who`: DomainID and GN. */
function classify(unit: usize, walk: Walk, who: u64): u32 {
  const outcome = walk.outcome;
  if (outcome == OUTCOME_POISON) return report(unit, PAGE_TAB_HARDWARE_ERROR, who | DATA_ERROR);
  if (outcome == OUTCOME_ACCESS_ERROR || outcome == OUTCOME_UPDATE_REFUSED) return report(unit, PAGE_TAB_HARDWARE_ERROR, who | TARGET_ABORT);
  // an entry that skips address bits which are not zero is present
  if (outcome == OUTCOME_NOT_PRESENT) return report(unit, IO_PAGE_FAULT, who | (walk.entry & 1 ? REPORT_PR : 0));
  if (outcome == OUTCOME_RESERVED) {
    const bits = walk.stage == STAGE_FIRST || amdV1Reserved(walk.entry);
    return report(unit, IO_PAGE_FAULT, who | REPORT_PR | (bits ? REPORT_RZ : 0));
  }
  if (outcome == OUTCOME_ADDRESS_SIZE) return report(unit, IO_PAGE_FAULT, who | REPORT_PR);
  return report(unit, IO_PAGE_FAULT, who | REPORT_PR | REPORT_PE);
}

@unmanaged @final
export class Amdvi extends DeviceTables {
  // 2.2.2: 32 bytes a DeviceID; Control.DevTblSegEn = n: the top n bits choose the segment
  decodeDevice(m: Engine, unit: usize, rid: u32, device: usize): u32 {
    const route = changetype<Route>(device);
    memory.fill(device, 0, 64 + 2 * GEOMETRY_BYTES);
    route.type = ROUTE_BYPASS;
    const control = register(unit, AMDVI_CONTROL);
    if (!(control & IOMMU_EN)) return DECODED;
    const segmentBits = min(<u32>(control >> 34) & 7, <u32>3);
    const segment = (rid & 0xffff) >> (16 - segmentBits);
    const base = register(unit, segment == 0 ? AMDVI_DEVICE_TABLE : AMDVI_SEGMENT + segment - 1);
    const bytes = ((base & (segment == 0 ? 0x1ff : 0xff)) + 1) << 12;
    const offset = <u64>(rid & (0xffff >> segmentBits)) << 5;
    if (offset + 32 > bytes) return report(unit, IO_PAGE_FAULT, 0);
    const at = (base & ADDRESS) + offset;
    const words = m.scratch + 3584;
    for (let i: u32 = 0; i < 4; i++) {
      const pointer = i == 0 ? tablePointer(m, unit, at, 8, 0) : entryPointer(m, at + (i << 3), 8);
      if (pointer == 0) {
        walkOf(unit, 0).entryAddress = at;
        return report(unit, DEV_TAB_HARDWARE_ERROR, poisoned(m) ? DATA_ERROR : TARGET_ABORT);
      }
      store<u64>(words + (i << 3), load<u64>(pointer));
    }
    // 2.2.2.1: 0 V, 1 TV, 8:7 HAD, 11:9 Mode, 51:12 root, 52 PPR, 53 GPRP, 54 GIOV, 55 GV, 57:56 GLX, 60:58 GCR3[14:12],
    //   61 IR, 62 IW; 79:64 DomainID, 95:80 GCR3[30:15], 97 SE, 98 SA, 100:99 IoCtl, 103 EX, 127:107 GCR3[51:31];
    //   183:182 GuestPagingMode
    const q0 = load<u64>(words);
    const q1 = load<u64>(words, 8);
    const q2 = load<u64>(words, 16);
    if (!(q0 & 1)) return DECODED;
    const efr = register(unit, AMDVI_FEATURES);
    // fields of features that the unit does not have are reserved
    let reserved0: u64 = 0x8000_0000_0000_007c;
    let reserved1: u64 = 1 << 42;
    if (!(efr & (HA_SUP | HD_SUP))) reserved0 |= 0x180;
    if (!(efr & (PPR_SUP | EPH_SUP))) reserved0 |= <u64>3 << 52;
    if (!(efr & GIO_SUP)) reserved0 |= <u64>1 << 54;
    if (!(efr & GT_SUP)) {
      reserved0 |= <u64>0x3f << 55;
      reserved1 |= 0xffff_f800_ffff_0000;
    }
    if ((q0 & reserved0) != 0 || (q1 & reserved1) != 0 || (q1 >> 35 & 3) == 3) return report(unit, ILLEGAL_DEV_TABLE_ENTRY, REPORT_RZ);
    const translates = (q0 & 2) != 0;
    const guest = (q0 >> 55 & 1) != 0;
    const levels = <u32>(q0 >> 56 & 3);
    const paging = <u32>(q2 >> 54 & 3);
    if (guest && translates) {
      if (levels == 3 || levels > <u32>(efr >> 14 & 3) || paging > 1 || (paging == 1 && (efr >> 12 & 3) == 0)) {
        return report(unit, ILLEGAL_DEV_TABLE_ENTRY, 0);
      }
    }
    const mode = <u32>(q0 >> 9 & 7);
    const hats = <u32>(efr >> 10 & 3);
    let bits = VALID;
    if (translates) bits |= TRANSLATES;
    if (mode == 7 || mode > (hats == 3 ? 0 : 4 + hats)) bits |= BAD_MODE;
    if (q1 >> 39 & 1) bits |= EXCLUDED;
    if (guest && (control & GT_EN) != 0) bits |= GUEST_ON | (q0 >> 54 & 1 ? GUEST_IO : 0);
    if (q0 >> 61 & 1) bits |= READS;
    if (q0 >> 62 & 1) bits |= WRITES;
    if (q1 >> 34 & 1) bits |= SUPPRESS_ALL;
    if (q1 >> 33 & 1) bits |= SUPPRESS;
    if (q1 >> 32 & 1) bits |= REMOTE_TLB;
    if (q0 >> 52 & 1) bits |= PAGE_REQUESTS;
    route.bits = bits;
    route.domain = <u32>q1 & 0xffff;
    store<u64>(entryWord(device, 0), (q0 >> 46 & 0x7000) | (q1 >> 1 & 0x7fff_8000) | (q1 >> 12 & 0x000f_ffff_8000_0000));
    store<u64>(entryWord(device, 1), <u64>levels | (<u64>paging << 8) | (<u64>mode << 16));
    const g = secondStage(route);
    g.format = FORMAT_AMD_V1;
    g.granule = 12;
    g.root = q0 & ADDRESS;
    g.top = mode - 1;
    g.inputBits = mode == 6 ? 64 : 12 + 9 * mode;
    g.outputBits = 52;
    g.leaves = 0x000f_ffff_ffff_f000;
    const had = <u32>(q0 >> 7 & 3);
    // 2.2.3.1 and 2.2.3.2: HAD 01b sets A, 11b A and D
    g.flags =
      (bits & READS ? AMD_V1_READ : 0) |
      (bits & WRITES ? AMD_V1_WRITE : 0) |
      (had & 1 && (efr & HA_SUP) != 0 ? AMD_V1_ACCESSED : 0) |
      (had == 3 && (efr & HD_SUP) != 0 ? AMD_V1_DIRTY : 0);
    // devices of one domain may have other rights, and A and D updates of their own
    route.secondTag = makeTag(route.domain, 0, TAG_SECOND) | (<u64>((~g.flags & (AMD_V1_READ | AMD_V1_WRITE)) | (g.flags & (AMD_V1_ACCESSED | AMD_V1_DIRTY))) << VARIANT_SHIFT);
    route.tag = route.secondTag;
    if (mode == 0 || (bits & BAD_MODE) != 0) return DECODED;
    route.type = ROUTE_SECOND;
    route.walker = WALKER_AMD_V1;
    return DECODED;
  }

  // V, TV and Mode are judged before anything of the guest
  @inline effectivePasid(unit: usize, device: usize, pasid: u32): u32 {
    const bits = changetype<Route>(device).bits;
    if ((bits & (VALID | TRANSLATES | BAD_MODE)) != (VALID | TRANSLATES)) return NO_PASID;
    return pasid == NO_PASID && (bits & GUEST_IO) != 0 ? 0 : pasid;
  }

  /** A route that refuses: the ranges of requests without PASID are looked at first. */
  blocked(unit: usize, route: Route, code: u32): u32 {
    route.type = ROUTE_BLOCKED;
    route.flags = ROUTE_UNCACHED;
    route.bits |= code << REFUSED_CODE;
    route.extra = register(unit, AMDVI_REPORT);
    return DECODED;
  }

  // 2.2.6: guest CR3 out of GLX + 1 levels; entry: 0 V, 51:12 address, 3 PWT, 4 PCD, else reserved
  decodePasid(m: Engine, unit: usize, device: usize, rid: u32, pasid: u32, route: Route): u32 {
    const walk = walkOf(unit, 0);
    memory.copy(changetype<usize>(route), device, 64 + 2 * GEOMETRY_BYTES);
    route.bits |= GUEST;
    const who = <u64>route.domain | REPORT_GN;
    const efr = register(unit, AMDVI_FEATURES);
    const control = register(unit, AMDVI_CONTROL);
    const shape = load<u64>(entryWord(device, 1));
    let level = <u32>shape & 3;
    const mode = <u32>(shape >> 16) & 7;
    const passes = (<u32>(efr >> 32) & 31) + 1;
    if (
      !(route.bits & GUEST_ON) ||
      (<u64>pasid >> passes) != 0 ||
      (pasid >> min(<u32>9 * (level + 1), <u32>20)) != 0
    ) {
      return this.blocked(unit, route, report(unit, IO_PAGE_FAULT, who));
    }
    const host = secondStage(route);
    let table = load<u64>(entryWord(device, 0));
    while (true) {
      const where = table + (<u64>((pasid >> (9 * level)) & 0x1ff) << 3);
      walk.entryAddress = where;
      if (control & GCR3_TRP_MODE) {
        walk.entry = 0;
        const outcome = mode == 0
          ? identity(host, walk, where, false)
          : walkAlone<AmdV1>(m, unit, device, host, STAGE_SECOND, route.secondTag, where, ACCESS_READ, false, walk, 0);
        if (outcome != OUTCOME_TRANSLATED) return this.blocked(unit, route, classify(unit, walk, who));
        if (mode != 0) walk.entryAddress = walk.pa;
      }
      const pointer = tablePointer(m, unit, walk.entryAddress, 8, level + 1);
      if (pointer == 0) {
        walk.outcome = poisoned(m) ? OUTCOME_POISON : OUTCOME_ACCESS_ERROR;
        return this.blocked(unit, route, classify(unit, walk, who));
      }
      const entry = load<u64>(pointer);
      if (!(entry & 1)) return this.blocked(unit, route, report(unit, IO_PAGE_FAULT, who));
      if ((entry & ~(ADDRESS | 0x19)) != 0) return this.blocked(unit, route, report(unit, IO_PAGE_FAULT, who | REPORT_PR | REPORT_RZ));
      table = entry & ADDRESS;
      if (level == 0) break;
      level -= 1;
    }
    route.type = mode == 0 ? ROUTE_FIRST : ROUTE_NESTED;
    route.walker = mode == 0 ? WALKER_AMD_V2 : WALKER_AMD_NESTED;
    route.space = pasid;
    route.tag = makeTag(route.domain, pasid, mode == 0 ? TAG_FIRST : TAG_NESTED) | (route.secondTag & (<u64>15 << VARIANT_SHIFT));
    const g = firstStage(route);
    g.format = FORMAT_AMD_V2;
    g.granule = 12;
    g.root = table;
    g.top = (shape >> 8 & 3) == 1 ? 4 : 3;
    g.inputBits = 12 + 9 * (g.top + 1);
    const width = <u32>register(unit, AMDVI_ADDRESS_BITS);
    g.outputBits = width == 0 ? 52 : width;
    g.leaves = (1 << 12) | (1 << 21) | (1 << 30);
    const still = (efr & GA_UPDATE_DIS_SUP) != 0 && (control & GA_UPDATE_DIS) != 0;
    g.flags =
      (efr & NX_SUP ? AMD_V2_NX : 0) |
      (efr & US_SUP ? AMD_V2_US : 0) |
      (still ? 0 : AMD_V2_ACCESSED) |
      (control & GD_UPDATE_DIS ? 0 : AMD_V2_DIRTY);
    return DECODED;
  }

  // a request without PASID has no privilege
  @inline effectiveAccess(pasid: u32, access: u32): u32 { return pasid == NO_PASID ? access & ~ACCESS_PRIVILEGED : access; }

  // 2.1.4.1 interrupts are writes to FEEx_xxxxh; 3.4.4 exclusion range (0 ExEn, 1 Allow), where DTE.EX or Allow says so
  @inline detour(unit: usize, route: Route, pasid: u32, address: u64, access: u32): u32 {
    if (pasid != NO_PASID || !(route.bits & VALID)) return STATUS_TRANSLATED;
    if (address >> 20 == 0xfee) return access & ACCESS_WRITE ? STATUS_INTERRUPT : STATUS_TRANSLATED;
    const base = register(unit, AMDVI_EXCLUSION_BASE);
    if (!(base & 1) || (!(base & 2) && !(route.bits & EXCLUDED)) || address < (base & ADDRESS)) return STATUS_TRANSLATED;
    return address <= ((register(unit, AMDVI_EXCLUSION_LIMIT) & ADDRESS) | 0xfff) ? DETOUR_BYPASS : STATUS_TRANSLATED;
  }

  @inline refuse(unit: usize, route: Route, pasid: u32, address: u64, access: u32): u32 {
    const bits = route.bits;
    if (!(bits & VALID)) return DECODED;
    if (pasid == NO_PASID && address >> 20 == 0xfee) return report(unit, INVALID_DEVICE_REQUEST, 0);
    if (route.type == ROUTE_BLOCKED) return report(unit, bits >> REFUSED_CODE, route.extra);
    const who = <u64>route.domain | ((bits & GUEST) != 0 || (bits & GUEST_IO) != 0 ? REPORT_GN : guestBit(pasid));
    if (!(bits & TRANSLATES)) return report(unit, IO_PAGE_FAULT, who);
    if (bits & BAD_MODE) return report(unit, IO_PAGE_FAULT, who | REPORT_PR);
    // Mode 0: IR and IW decide alone
    if (route.type == ROUTE_BYPASS && !(access & ACCESS_UNCHECKED) && !(bits & (access & ACCESS_WRITE ? WRITES : READS))) {
      return report(unit, IO_PAGE_FAULT, who | REPORT_PR | REPORT_PE);
    }
    return DECODED;
  }
  @inline bypassPermissions(route: Route): u32 {
    if (!(route.bits & VALID)) return 7;
    return (route.bits & READS ? ACCESS_READ | ACCESS_EXECUTE : 0) | (route.bits & WRITES ? ACCESS_WRITE : 0);
  }

  // 2.2.2.1: SA suppresses every IO_PAGE_FAULT, SE all but the first since the entry was cached
  @inline quiet(route: Route, code: u32): bool {
    if (code != IO_PAGE_FAULT) return false;
    const again = (route.bits & FAULTED) != 0;
    route.bits |= FAULTED;
    return (route.bits & SUPPRESS_ALL) != 0 || ((route.bits & SUPPRESS) != 0 && again);
  }

  @inline code(unit: usize, route: Route, walk: Walk, access: u32): u32 {
    return classify(unit, walk, <u64>route.domain | (route.bits & GUEST ? REPORT_GN : 0));
  }

  // 2.5: 15:0 DeviceID, 19:16 PASID[19:16], 47:32 DomainID or PASID[15:0], 48 GN, 49 NX (08h: US), 50 US, 52 PR, 53 RW,
  //   54 PE, 55 RZ, 58:57 Type, 63:60 code; 127:64 address
  record(unit: usize, slot: usize, rid: u32, pasid: u32, code: u32, address: u64, access: u32, result: usize): void {
    const what = register(unit, AMDVI_REPORT);
    const guest = (what & REPORT_GN) != 0 || ((code == ILLEGAL_DEV_TABLE_ENTRY || code == IO_PAGE_FAULT) && pasid != NO_PASID);
    let low: u64 = <u64>(rid & 0xffff) | (<u64>code << 60);
    let where = address;
    const space: u64 = pasid == NO_PASID ? 0 : pasid;
    if (code != DEV_TAB_HARDWARE_ERROR) {
      if (guest) low |= (space & 0xf_0000) | ((space & 0xffff) << 32) | (<u64>1 << 48);
      else if (code == IO_PAGE_FAULT || code == PAGE_TAB_HARDWARE_ERROR) low |= (what & 0xffff) << 32;
    }
    if (code == INVALID_DEVICE_REQUEST) low |= ((what >> TYPE_SHIFT & 3) << 57) | (what & REPORT_US ? <u64>1 << 49 : 0);
    else if (access & ACCESS_WRITE) low |= <u64>1 << 53;
    if ((access & ACCESS_DEVICE) == ACCESS_TRANSLATION) low |= <u64>1 << 56;
    if (code == IO_PAGE_FAULT) {
      // a fault before the device table entry knows no requester
      if (what & REPORT_GN && access & ACCESS_EXECUTE) low |= <u64>1 << 49;
      if (what & REPORT_GN && !(access & ACCESS_PRIVILEGED)) low |= <u64>1 << 50;
      if (what & REPORT_PR) low |= <u64>1 << 52;
      if (what & REPORT_PE) low |= <u64>1 << 54;
    }
    if (code <= IO_PAGE_FAULT && what & REPORT_RZ) low |= <u64>1 << 55;
    if (code == DEV_TAB_HARDWARE_ERROR || code == PAGE_TAB_HARDWARE_ERROR) {
      low |= (what >> TYPE_SHIFT & 3) << 57;
      where = load<u64>(result, RESULT_ENTRY_ADDRESS) & ~7;
    }
    if (code == ILLEGAL_DEV_TABLE_ENTRY) where &= ~3;
    store<u64>(slot, low);
    store<u64>(slot, where, 8);
  }
}
