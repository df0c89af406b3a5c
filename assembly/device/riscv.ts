// RISC-V IOMMU: device directory (3.1, 3.3.1), process directory (3.2, 3.3.2), causes and fault records (4.2). Section
// numbers are those of the RISC-V IOMMU Architecture Specification 1.0. The context itself: riscv-context.ts.
//
// A translation makes at most 56 memory references: 3 levels of the device directory, 3 of the process directory and 5 of
// the first stage, each through 5 of the second, and the second stage, or one MSI entry, for the output:
// 3 + 3 * (5 + 1) + 5 * (5 + 1) + 5.
//
//   PDT: non-leaf as in the DDT; PC 16 bytes: ta, fsc (iosatp)
//   PC.ta (3.2.3.1)  0 V | 1 ENS | 2 SUM | 11:3 reserved | 31:12 PSCID | 63:32 reserved
import {
  ACCESS_DEVICE,
  ACCESS_EXECUTE,
  ACCESS_PRIVILEGED,
  ACCESS_READ,
  ACCESS_TRANSLATED,
  ACCESS_TRANSLATION,
  ACCESS_WRITE,
  DEVICE_ENTRY_BYTES,
  MEMORY_OK,
  MEMORY_POISON,
  NO_PASID,
  OUTCOME_ACCESS_ERROR,
  OUTCOME_POISON,
  OUTCOME_TRANSLATED,
  RESULT_DEFAULT_PASID,
  RESULT_FLAGS,
  RESULT_VALUE,
  RESULT_VALUE2,
  RISCV_ATTRIBUTE_GLOBAL,
  RISCV_ATTRIBUTE_MRIF,
  RISCV_ATTRIBUTE_MSI,
  RISCV_ATTRIBUTE_RIGHTS_SHIFT,
  RISCV_ATTRIBUTE_WIDE,
  RISCV_DDTP,
  RISCV_DEFAULTED,
  ROUTE_BLOCKED,
  ROUTE_BYPASS,
  ROUTE_BYTES,
  STAGE_SECOND,
  STAGE_TABLES,
  STATUS_INTERRUPT,
  STATUS_TRANSLATED,
} from "../layout";
import { globalOf, TAG_FIRST } from "../cache/tag";
import { Engine } from "../memory/physical";
import { register, setRegister, Walk, walkOf } from "../unit";
import { DECODED, DeviceTables } from "./contract";
import { isExtended, misconfigured, setContext, setFirstStage, SXL_GUEST_BITS, TC_DPE, TC_PDTV, TC_SBE, TC_V, validFirstStage } from "./riscv-context";
import { walkStage } from "./riscv-walk";
import { bigEndian, PPN, readWords, ROOT_PPN, wordsOf } from "./riscv-words";
import { entryWord, Route, ROUTE_UNCACHED, secondStage } from "./route";

// ---- causes (4.2); of the access where it is one of three: that of execute, + 1 of read, + 3 of write
const EXECUTE_ACCESS_FAULT: u32 = 1;
const ACCESS_FAULT: u32 = 4;
const PAGE_FAULT: u32 = 12;
const GUEST_PAGE_FAULT: u32 = 20;
const ALL_INBOUND_DISALLOWED: u32 = 256;
const DDT_ACCESS: u32 = 257;
const DDT_NOT_VALID: u32 = 258;
const DDT_MISCONFIGURED: u32 = 259;
export const TYPE_DISALLOWED: u32 = 260;
const PDT_ACCESS: u32 = 265;
const PDT_NOT_VALID: u32 = 266;
const PDT_MISCONFIGURED: u32 = 267;
const DDT_CORRUPT: u32 = 268;
const PDT_CORRUPT: u32 = 269;
const PAGE_TABLE_CORRUPT: u32 = 274;

// ---- ddtp (6.5): 3:0 iommu_mode (0 Off, 1 Bare, 2 to 4 levels 1 to 3), 53:10 PPN
export const DDTP_BARE: u32 = 1;
const DDTP_ONE_LEVEL: u32 = 2;
const DDTP_THREE_LEVELS: u32 = 4;

// 3.1.1, 3.2.1 non-leaf entries; 3.2.3.1 PC.ta
const NON_LEAF_RESERVED: u64 = 0xffc0_0000_0000_03fe;
const PC_ENS: u64 = 2;
const PC_SUM: u64 = 4;
const PC_RESERVED: u64 = 0xffff_ffff_0000_0ff8;

// ---- Route.bits, the engine's own
const CONTEXT: u32 = 1; // there is a device context
export const PDTV: u32 = 2;
export const DIRECTORY: u32 = 4; // with PDTV: pdtp.MODE is not Bare
export const DPE: u32 = 8;
const PROCESS: u32 = 16; // the route is a process's
const ENS: u32 = 32;
export const WIDTH_SHIFT: u32 = 8; // 15:8 bits of a process_id

// ---- words of a device entry, the engine's own
export const WORD_TC: u32 = 0;
const WORD_FSC: u32 = 1;

/** Cause of the access: execute, read, write. */
@inline
function byAccess(base: u32, access: u32): u32 {
  return access & ACCESS_WRITE ? base + 3 : access & ACCESS_EXECUTE ? base : base + 1;
}

/** 4.2 TTYP */
function typeOf(access: u32): u32 {
  const type = access & ACCESS_DEVICE;
  if (type == <u32>ACCESS_TRANSLATION) return 8;
  return (type == <u32>ACCESS_TRANSLATED ? 4 : 0) + (access & ACCESS_WRITE ? 3 : access & ACCESS_EXECUTE ? 1 : 2);
}

/** 3.1: index of a DDT level, leaf first: 7, 9, 8 bits, or 6, 9, 9 with extended contexts. */
@inline
function deviceIndex(rid: u32, level: u32, extended: bool): u32 {
  const low: u32 = extended ? 6 : 7;
  if (level == 0) return rid & ((1 << low) - 1);
  return level == 1 ? rid >> low & 0x1ff : rid >> (low + 9) & 0x1ff;
}

@unmanaged @final
export class Riscv extends DeviceTables {
  // 3.3 steps 1 to 6
  decodeDevice(m: Engine, unit: usize, rid: u32, device: usize): u32 {
    const route = changetype<Route>(device);
    memory.fill(device, 0, DEVICE_ENTRY_BYTES);
    setRegister(unit, RISCV_DEFAULTED, 0);
    const ddtp = register(unit, RISCV_DDTP);
    const mode = <u32>ddtp & 15;
    if (mode == DDTP_BARE) {
      route.type = ROUTE_BYPASS;
      return DECODED;
    }
    if (mode < DDTP_ONE_LEVEL || mode > DDTP_THREE_LEVELS) return ALL_INBOUND_DISALLOWED;
    const extended = isExtended(unit);
    let level = mode - DDTP_ONE_LEVEL;
    const low: u32 = extended ? 6 : 7;
    if (rid >> (low + (level == 0 ? 0 : level == 1 ? 9 : 24 - low)) != 0) return TYPE_DISALLOWED;
    const swapped = bigEndian(unit);
    const words = wordsOf(m);
    const walk = walkOf(unit, 0);
    let table = (ddtp & PPN) << 2;
    while (level > 0) {
      walk.entryAddress = table + (deviceIndex(rid, level, extended) << 3);
      const got = readWords(m, unit, walk.entryAddress, 1, swapped, level, false);
      if (got != MEMORY_OK) return got == MEMORY_POISON ? DDT_CORRUPT : DDT_ACCESS;
      const entry = load<u64>(words);
      walk.entry = entry;
      if (!(entry & 1)) return DDT_NOT_VALID;
      if ((entry & NON_LEAF_RESERVED) != 0) return DDT_MISCONFIGURED;
      table = (entry & PPN) << 2;
      level -= 1;
    }
    const count: u32 = extended ? 8 : 4;
    walk.entryAddress = table + <u64>(deviceIndex(rid, 0, extended) * count << 3);
    const got = readWords(m, unit, walk.entryAddress, count, swapped, 0, false);
    if (got != MEMORY_OK) return got == MEMORY_POISON ? DDT_CORRUPT : DDT_ACCESS;
    const tc = load<u64>(words);
    walk.entry = tc;
    if (!(tc & TC_V)) return DDT_NOT_VALID;
    if (misconfigured(unit, words, extended)) return DDT_MISCONFIGURED;
    const fsc = load<u64>(words, 24);
    store<u64>(entryWord(device, WORD_TC), tc);
    store<u64>(entryWord(device, WORD_FSC), fsc);
    route.bits = CONTEXT;
    if (tc & TC_PDTV) {
      // pdtp.MODE (3.1.3.4): Bare, PD8, PD17, PD20
      const directory = <u32>(fsc >> 60);
      const width: u32 = directory == 1 ? 8 : directory == 2 ? 17 : 20;
      route.bits |= PDTV | (directory != 0 ? DIRECTORY : 0) | (tc & TC_DPE ? DPE : 0) | (width << WIDTH_SHIFT);
    }
    setContext(unit, route, words, extended);
    return DECODED;
  }

  // a process_id that may not be there is left to the device's own route, which refuses it
  @inline effectivePasid(unit: usize, device: usize, pasid: u32): u32 {
    const bits = changetype<Route>(device).bits;
    // 3.3 step 11: the default process_id is that of a user
    const defaulted = pasid == NO_PASID && (bits & DPE) != 0;
    setRegister(unit, RISCV_DEFAULTED, defaulted ? 1 : 0);
    if (!(bits & DIRECTORY)) return NO_PASID;
    if (pasid == NO_PASID) return defaulted ? 0 : NO_PASID;
    return pasid >> (bits >> WIDTH_SHIFT) != 0 ? NO_PASID : pasid;
  }

  // 3.3.2; PDI (3.2): 8, 9, 3 bits, leaf first
  decodePasid(m: Engine, unit: usize, device: usize, rid: u32, pasid: u32, route: Route): u32 {
    memory.copy(changetype<usize>(route), device, ROUTE_BYTES);
    route.bits |= PROCESS;
    const tc = load<u64>(entryWord(device, WORD_TC));
    const fsc = load<u64>(entryWord(device, WORD_FSC));
    const swapped = (tc & TC_SBE) != 0;
    const words = wordsOf(m);
    const walk = walkOf(unit, 0);
    const second = secondStage(route);
    let table = (fsc & ROOT_PPN) << 12;
    let level = <u32>(fsc >> 60) - 1;
    while (true) {
      const index: u32 = level == 0 ? (pasid & 0xff) << 4 : (level == 1 ? pasid >> 8 & 0x1ff : pasid >> 17 & 7) << 3;
      const where = table + index;
      let at = where;
      if (second.format != 0) {
        const outcome = walkStage(m, unit, device, second, STAGE_SECOND, route.secondTag, where, ACCESS_READ, false, walk, 0);
        if (outcome == OUTCOME_ACCESS_ERROR) return PDT_ACCESS;
        if (outcome == OUTCOME_POISON) return PDT_CORRUPT;
        if (outcome != OUTCOME_TRANSLATED) {
          // its cause is the access's: `refuse` knows it
          route.type = ROUTE_BLOCKED;
          route.flags |= ROUTE_UNCACHED;
          route.extra = (where & ~3) | 1;
          return DECODED;
        }
        at = walk.pa;
      }
      walk.stage = STAGE_TABLES;
      walk.level = level;
      walk.entryAddress = at;
      const got = readWords(m, unit, at, level == 0 ? 2 : 1, swapped, level, false);
      if (got != MEMORY_OK) return got == MEMORY_POISON ? PDT_CORRUPT : PDT_ACCESS;
      const entry = load<u64>(words);
      walk.entry = entry;
      if (!(entry & 1)) return PDT_NOT_VALID;
      if (level == 0) break;
      if ((entry & NON_LEAF_RESERVED) != 0) return PDT_MISCONFIGURED;
      table = (entry & PPN) << 2;
      level -= 1;
    }
    const ta = load<u64>(words);
    const iosatp = load<u64>(words, 8);
    if ((ta & PC_RESERVED) != 0 || !validFirstStage(unit, tc, iosatp)) return PDT_MISCONFIGURED;
    if (ta & PC_ENS) route.bits |= ENS;
    setFirstStage(unit, route, tc, iosatp, <u32>(ta >> 12) & 0xf_ffff, (ta & PC_SUM) != 0);
    return DECODED;
  }

  // privilege comes with a process_id only
  @inline effectiveAccess(pasid: u32, access: u32): u32 { return pasid == NO_PASID ? access & ~ACCESS_PRIVILEGED : access; }

  // 3.3 steps 7 and 15
  @inline refuse(unit: usize, route: Route, pasid: u32, address: u64, access: u32): u32 {
    const bits = route.bits;
    if (bits & PROCESS) {
      if (route.type == ROUTE_BLOCKED) return byAccess(GUEST_PAGE_FAULT, access);
      return (access & ACCESS_PRIVILEGED) != 0 && !(bits & ENS) ? TYPE_DISALLOWED : DECODED;
    }
    if (pasid == NO_PASID || !(bits & CONTEXT)) return DECODED;
    return !(bits & PDTV) || pasid >> (bits >> WIDTH_SHIFT) != 0 ? TYPE_DISALLOWED : DECODED;
  }

  @inline code(unit: usize, route: Route, walk: Walk, access: u32): u32 {
    // of an MSI table
    if (walk.stage == STAGE_TABLES) return walk.implicit;
    if (walk.outcome == OUTCOME_POISON) return PAGE_TABLE_CORRUPT;
    if (walk.outcome == OUTCOME_ACCESS_ERROR) return access & ACCESS_EXECUTE ? EXECUTE_ACCESS_FAULT : byAccess(ACCESS_FAULT, access);
    return byAccess(walk.stage == STAGE_SECOND ? GUEST_PAGE_FAULT : PAGE_FAULT, access);
  }

  // the entries' own rights: what the IOTLB holds lacks W until D is set, and X of user pages for a supervisor
  @inline rights(seen: u32, attributes: u32): u32 { return attributes >> RISCV_ATTRIBUTE_RIGHTS_SHIFT & 7; }

  @inline landing(unit: usize, walk: Walk, result: usize): u32 {
    if (!(walk.attributes & RISCV_ATTRIBUTE_MSI)) return STATUS_TRANSLATED;
    const mrif = (walk.attributes & RISCV_ATTRIBUTE_MRIF) != 0;
    store<u64>(result, mrif ? walk.address : 0, RESULT_VALUE);
    store<u64>(result, mrif ? walk.entryAddress : 0, RESULT_VALUE2);
    return STATUS_INTERRUPT;
  }

  // what a Bare first stage answers has no PSCID in its tag already; addresses that are too wide are no part of an entry
  @inline fillTag(tag: u64, walk: Walk): u64 {
    if (walk.attributes & RISCV_ATTRIBUTE_WIDE) walk.lg2 = min(walk.lg2, SXL_GUEST_BITS);
    return walk.attributes & RISCV_ATTRIBUTE_GLOBAL && (tag & TAG_FIRST) != 0 ? globalOf(tag) : tag;
  }

  // 4.2: iotval, and for guest-page faults iotval2
  reportFault(unit: usize, found: usize, pasid: u32, code: u32, address: u64, result: usize): void {
    const route = changetype<Route>(found);
    let second: u64 = 0;
    if (code >= GUEST_PAGE_FAULT && code <= GUEST_PAGE_FAULT + 3) {
      const walk = walkOf(unit, 0);
      if (route.type == ROUTE_BLOCKED) second = route.extra;
      else if (walk.implicit == 0) second = walk.address & ~3;
      // the page of the first-stage table; bit 1: the update of its entry was refused
      else second = (walk.address & ~0xfff) | (walk.implicit == 2 ? 3 : 1);
    }
    store<u64>(result, address, RESULT_VALUE);
    store<u64>(result, second, RESULT_VALUE2);
    const defaulted = pasid == NO_PASID && (found != 0 ? (route.bits & DPE) != 0 : register(unit, RISCV_DEFAULTED) != 0);
    if (defaulted) store<u32>(result, load<u32>(result, RESULT_FLAGS) | RESULT_DEFAULT_PASID, RESULT_FLAGS);
  }

  // 4.2, doublewords in the byte order of fctl.BE: 11:0 CAUSE, 31:12 PID, 32 PV, 33 PRIV, 39:34 TTYP, 63:40 DID;
  //   191:128 iotval, 255:192 iotval2. TTYP: untranslated 1 execute, 2 read, 3 write, translated
  //   5 to 7, 8 a translation request
  record(unit: usize, slot: usize, rid: u32, pasid: u32, code: u32, address: u64, access: u32, result: usize): void {
    const valid = pasid != NO_PASID || (load<u32>(result, RESULT_FLAGS) & RESULT_DEFAULT_PASID) != 0;
    const process: u64 = pasid == NO_PASID ? 0 : pasid & 0xf_ffff;
    const low =
      <u64>code | (process << 12) | (valid ? <u64>1 << 32 : 0) | (access & ACCESS_PRIVILEGED ? <u64>1 << 33 : 0) |
      (<u64>typeOf(access) << 34) | (<u64>rid << 40);
    const swapped = bigEndian(unit);
    store<u64>(slot, swapped ? bswap<u64>(low) : low);
    const value = load<u64>(result, RESULT_VALUE);
    const value2 = load<u64>(result, RESULT_VALUE2);
    store<u64>(slot, swapped ? bswap<u64>(value) : value, 16);
    store<u64>(slot, swapped ? bswap<u64>(value2) : value2, 24);
  }
}
