// SMMUv3 (IHI 0070): stream tables (3.3.2, 5.1), substreams and CD tables (5.2 to 5.4), events (7.3).
//
// A translation makes at most 74 memory references: two levels of stream table, two of CD tables through 5 levels of stage
// 2, 5 of stage 1, each read, and written when AF or the dirty state is due, through 5 of stage 2, and stage 2 of the
// output: 2 + 2 * (5 + 1) + 5 * (5 + 1 + 5) + 5.
import {
  ACCESS_EXECUTE, ACCESS_PRIVILEGED, ACCESS_READ, ACCESS_WRITE, NO_PASID, OUTCOME_ACCESS_ERROR, OUTCOME_NOT_PRESENT, OUTCOME_OUTPUT_SIZE,
  OUTCOME_POISON, OUTCOME_TRANSLATED, OUTCOME_UPDATE_REFUSED, ROUTE_BLOCKED, ROUTE_BYPASS, ROUTE_BYTES, ROUTE_FIRST, ROUTE_NESTED,
  ROUTE_SECOND, SMMU_CR0, SMMU_CR2, SMMU_GBPA, SMMU_IDR1, SMMU_REPORT, SMMU_REPORT_ADDRESS, SMMU_STRTAB_BASE, SMMU_STRTAB_BASE_CFG,
  ACCESS_IMPLICIT, STAGE_SECOND, VMSA_TBI,
} from "../layout";
import { globalOf, makeTag, TAG_FIRST, TAG_NESTED, TAG_SECOND, WORLD_SHIFT } from "../cache/tag";
import { ATTRIBUTE_GLOBAL } from "../format/vmsav8-first";
import { Engine, entryPointer } from "../memory/physical";
import { register, setRegister, Walk, walkOf } from "../unit";
import { DECODED, DeviceTables, NOT_RECORDED, tablePointer } from "./contract";
import { entryWord, firstStage, Route, secondStage, spareStage } from "./route";
import { cdIllegal, firstGeometry } from "./smmuv3-cd";
import { field, idr0, inputWidth, outputWidth } from "./smmuv3-registers";
import { contextPointer, configOf, dss, EL1, EL2, hasFirst, hasSecond, secondGeometry, steIllegal, substreamMax, vmidOf, worldOf } from "./smmuv3-ste";
import { walkVmsaSecond, withoutTop } from "./smmuv3-walk";
import { WALKER_VMSA_FIRST, WALKER_VMSA_NESTED, WALKER_VMSA_SECOND } from "./walkers";

// ---- events (7.3)
const C_BAD_STREAMID: u32 = 0x02;
const F_STE_FETCH: u32 = 0x03;
const C_BAD_STE: u32 = 0x04;
const F_STREAM_DISABLED: u32 = 0x06;
export const F_BAD_ATS_TREQ: u32 = 0x05;
export const F_TRANSL_FORBIDDEN: u32 = 0x07;
const C_BAD_SUBSTREAMID: u32 = 0x08;
const F_CD_FETCH: u32 = 0x09;
const C_BAD_CD: u32 = 0x0a;
const F_WALK_EABT: u32 = 0x0b;
export const F_TRANSLATION: u32 = 0x10;
const F_ADDR_SIZE: u32 = 0x11;
const F_ACCESS: u32 = 0x12;
export const F_PERMISSION: u32 = 0x13;

// ---- SMMU_REPORT: what the record of the fault in hand says, in the places of its second quadword (7.3)
const STALL: u64 = 1 << 31;
const S2: u64 = 1 << 39;
const CLASS_TT: u64 = 1 << 40; // CLASS 0 is a CD
const CLASS_IN: u64 = 2 << 40;
const TT_READ: u64 = 1 << 44;
// the engine's own, above
export const INPUT: u64 = 1 << 60; // the address, RnW, InD and PnU are told
const OVERRIDE_SHIFT: u64 = 50; // PRIVCFG and INSTCFG, as in Route.bits
const RECORD: u64 = STALL | S2 | (3 << 40) | TT_READ;
const FETCH_ADDRESS: u64 = 0x00ff_ffff_ffff_fff8;

// ---- Route.bits, the engine's own, after fields of STE and CD (5.2, 5.4)
const DISABLED: u32 = 1; // SMMUEN = 0
export const ABORT: u32 = 2; // STE.Config, or GBPA
const LAZY: u32 = 4; // a CD decides for requests without SubstreamID
const S1_RECORDS: u32 = 8; // CD.R
const S1_STALLS: u32 = 16; // CD.S
const S2_RECORDS: u32 = 32; // STE.S2R
const S2_STALLS: u32 = 64; // STE.S2S
export const PLAIN: u32 = 128; // stage 1 translates, and nothing is overridden
const TBI0: u32 = 256;
const TBI1: u32 = 512;
const PRIVCFG_SHIFT: u32 = 28; // 0 without ATTR_PERMS_OVR
const INSTCFG_SHIFT: u32 = 30;

/** The engine's own: PASID-cache key of requests without SubstreamID that use CD 0: beyond every SubstreamID. */
const NO_SUBSTREAM: u32 = 1 << 20;
/** The engine's own: where a CD is put while it is decoded */
const CD_AT: usize = 2560;

@inline
export function report(unit: usize, code: u32, what: u64, address: u64): u32 {
  setRegister(unit, SMMU_REPORT, what);
  setRegister(unit, SMMU_REPORT_ADDRESS, address);
  return code;
}

// 5.2 PRIVCFG, INSTCFG: 2 and 3 override; INSTCFG changes reads only
function overridden(bits: u32, access: u32): u32 {
  const privcfg = bits >> PRIVCFG_SHIFT & 3;
  const instcfg = bits >> INSTCFG_SHIFT & 3;
  if (privcfg >= 2) access = privcfg == 3 ? access | ACCESS_PRIVILEGED : access & ~ACCESS_PRIVILEGED;
  const reads: u32 = ACCESS_READ | ACCESS_EXECUTE;
  if (instcfg >= 2 && (access & reads) != 0) access = (access & ~reads) | (instcfg == 3 ? ACCESS_EXECUTE : ACCESS_READ);
  return access;
}

/** The event of a walk that did not translate; `at` is its CLASS. Stage 1 aborts belong to its tables. */
function eventOf(unit: usize, bits: u32, walk: Walk, at: u64): u32 {
  const outcome = walk.outcome;
  const second = walk.stage == STAGE_SECOND;
  // a CD is fetched before the access is known as its route sees it
  const stage = (second ? S2 : 0) | (<u64>(bits >> PRIVCFG_SHIFT & 15) << OVERRIDE_SHIFT);
  if (outcome == OUTCOME_ACCESS_ERROR || outcome == OUTCOME_POISON) {
    return report(unit, F_WALK_EABT, INPUT | stage | (second ? at : CLASS_TT), walk.entryAddress & FETCH_ADDRESS);
  }
  const code: u32 =
    outcome == OUTCOME_NOT_PRESENT ? F_TRANSLATION : outcome == OUTCOME_OUTPUT_SIZE ? F_ADDR_SIZE : outcome == OUTCOME_UPDATE_REFUSED ? F_ACCESS : F_PERMISSION;
  // 5.5: a fault is recorded when its stage stalls or records
  const stalls = (bits & (second ? S2_STALLS : S1_STALLS)) != 0;
  const records = (bits & (second ? S2_RECORDS : S1_RECORDS)) != 0;
  const direction = second && code == F_PERMISSION && at == CLASS_TT && walk.implicit == 1 ? TT_READ : 0;
  const what = INPUT | stage | at | (stalls ? STALL : 0) | direction;
  return report(unit, stalls || records ? code : code | NOT_RECORDED, what, second ? walk.address & 0x00ff_ffff_ffff_f000 : 0);
}

/** Copy `count` quadwords; false when they lie beyond the output size or cannot be read. */
function fetch(m: Engine, unit: usize, address: u64, count: u32, to: usize, level: u32): bool {
  if (address >> outputWidth(unit) != 0) return false;
  for (let i: u32 = 0; i < count; i++) {
    const at = address + (i << 3);
    const pointer = i == 0 ? tablePointer(m, unit, at, 8, level) : entryPointer(m, at, 8);
    if (pointer == 0) return false;
    store<u64>(to + (i << 3), load<u64>(pointer));
  }
  return true;
}

@unmanaged @final
export class Smmuv3 extends DeviceTables {
  /** 3.3.2, 5.1: the STE of a StreamID into the words of the device entry. */
  fetchEntry(m: Engine, unit: usize, rid: u32, ste: usize): u32 {
    const cfg = <u32>register(unit, SMMU_STRTAB_BASE_CFG);
    const id = <u64>rid;
    // 7.3.3: recorded with CR2.RECINVSID only
    const unknown = register(unit, SMMU_CR2) & 2 ? C_BAD_STREAMID : C_BAD_STREAMID | NOT_RECORDED;
    const lg2 = cfg & 63;
    if (id >> lg2 != 0) return report(unit, unknown, 0, 0);
    const base = register(unit, SMMU_STRTAB_BASE) & 0x00ff_ffff_ffff_ffc0;
    let address: u64 = 0;
    if ((idr0(unit) >> 27 & 3) != 0 && (cfg >> 16 & 3) == 1) {
      // 6.3.25: other splits behave as 6
      const written = cfg >> 6 & 31;
      const split: u32 = written == 8 || written == 10 ? written : 6;
      // 6.3.24: ADDR[max(5, LOG2SIZE - SPLIT - 1 + 3):0] = 0
      const first = aligned(base, lg2 + 3 > split + 6 ? lg2 + 3 - split : 6) + (id >> split << 3);
      if (!fetch(m, unit, first, 1, ste, 1)) return report(unit, F_STE_FETCH, 0, first & FETCH_ADDRESS);
      const descriptor = load<u64>(ste);
      const span = <u32>descriptor & 31;
      const within = id & ((<u64>1 << split) - 1);
      if (span == 0 || span > 11 || span > split + 1 || within >> (span - 1) != 0) return report(unit, unknown, 0, 0);
      // 5.1: L2Ptr[5 + Span - 1:0] counts as zero
      address = aligned(descriptor & 0x00ff_ffff_ffff_ffc0, 6 + span - 1) + (within << 6);
    } else {
      // 6.3.24: ADDR[LOG2SIZE + 5:0] = 0
      address = aligned(base, lg2 + 6) + (id << 6);
    }
    // eight are read, four matter
    return fetch(m, unit, address, 8, ste, 0) ? DECODED : report(unit, F_STE_FETCH, 0, address & FETCH_ADDRESS);
  }

  decodeDevice(m: Engine, unit: usize, rid: u32, device: usize): u32 {
    const route = changetype<Route>(device);
    memory.fill(device, 0, ROUTE_BYTES);
    route.type = ROUTE_BYPASS;
    if (!(register(unit, SMMU_CR0) & 1)) {
      route.bits = DISABLED | (register(unit, SMMU_GBPA) >> 20 & 1 ? ABORT : 0);
      route.outputLimit = <u64>1 << outputWidth(unit);
      return DECODED;
    }
    const ste = entryWord(device, 0);
    const code = this.fetchEntry(m, unit, rid, ste);
    if (code != DECODED) return code;
    if (steIllegal(unit, ste)) return report(unit, C_BAD_STE, 0, 0);
    const config = configOf(ste);
    if (config < 4) {
      route.bits = ABORT;
      return DECODED;
    }
    let bits: u32 = 0;
    // SMMU_IDR1.ATTR_PERMS_OVR
    if (register(unit, SMMU_IDR1) >> 26 & 1) bits = (field(ste, 1, 49, 48) << PRIVCFG_SHIFT) | (field(ste, 1, 51, 50) << INSTCFG_SHIFT);
    if (field(ste, 2, 58, 58)) bits |= S2_RECORDS;
    if (field(ste, 2, 57, 57)) bits |= S2_STALLS;
    route.domain = vmidOf(unit, ste);
    const second = hasSecond(ste);
    if (second) {
      secondGeometry(unit, ste, secondStage(route));
      route.secondTag = makeTag(route.domain, 0, TAG_SECOND);
      route.tag = route.secondTag;
    }
    // without stage 1 the input is its output (3.4): OAS bounds it, or IAS where the stream has a stage
    route.outputLimit = <u64>1 << (config == 4 ? outputWidth(unit) : inputWidth(unit));
    if (second) {
      route.type = ROUTE_SECOND;
      route.walker = WALKER_VMSA_SECOND;
    }
    if (hasFirst(ste)) {
      // 5.2 S1DSS: 0 such requests are terminated, 1 they skip stage 1, 2 they use CD 0
      if (substreamMax(unit, ste) == 0 || dss(ste) == 2) bits |= LAZY;
      else if (dss(ste) != 1) route.type = ROUTE_BLOCKED;
    }
    route.bits = bits;
    return DECODED;
  }

  @inline effectivePasid(unit: usize, device: usize, pasid: u32): u32 {
    const bits = changetype<Route>(device).bits;
    if (bits & (DISABLED | ABORT)) return NO_PASID;
    if (pasid == NO_PASID) return bits & LAZY ? NO_SUBSTREAM : NO_PASID;
    return pasid < NO_SUBSTREAM ? pasid : NO_SUBSTREAM + 1;
  }

  /** An access to a CD or level 1 CD: its address through stage 2 into `entryAddress` of the unit's walk. */
  reachDescriptor(m: Engine, unit: usize, route: Route, address: u64): u32 {
    const walk = walkOf(unit, 0);
    walk.entryAddress = address;
    if (route.walker != WALKER_VMSA_SECOND) return DECODED;
    const access: u32 = ACCESS_READ | ACCESS_PRIVILEGED | ACCESS_IMPLICIT;
    const outcome = walkVmsaSecond(m, unit, 0, secondStage(route), route.secondTag, address, access, false, walk, 0);
    if (outcome != OUTCOME_TRANSLATED) return eventOf(unit, route.bits, walk, 0);
    walk.entryAddress = walk.pa;
    return DECODED;
  }

  fetchDescriptor(m: Engine, unit: usize, route: Route, address: u64, count: u32, to: usize, level: u32): u32 {
    const code = this.reachDescriptor(m, unit, route, address);
    if (code != DECODED) return code;
    const where = walkOf(unit, 0).entryAddress;
    return fetch(m, unit, where, count, to, level) ? DECODED : report(unit, F_CD_FETCH, 0, where & FETCH_ADDRESS);
  }

  /** 5.2 S1Fmt, 5.3: the CD of a substream. */
  fetchContext(m: Engine, unit: usize, route: Route, ste: usize, substream: u32, cd: usize): u32 {
    const most = substreamMax(unit, ste);
    const fmt = field(ste, 0, 5, 4);
    const split: u32 = fmt == 1 ? 6 : fmt == 2 ? 10 : 0;
    let address = contextPointer(ste);
    if (most != 0 && split == 0) address = aligned(address, most + 6) + (<u64>substream << 6);
    else if (most != 0) {
      const first = aligned(address, most + 3 > split + 6 ? most + 3 - split : 6) + (<u64>(substream >> split) << 3);
      const code = this.fetchDescriptor(m, unit, route, first, 1, cd, 1);
      if (code != DECODED) return code;
      const entry = load<u64>(cd);
      // 5.3: L2Ptr[55:12]; with 64K leaves bits 15:12 count as zero
      const pointer = entry & (split == 6 ? 0x00ff_ffff_ffff_f000 : 0x00ff_ffff_ffff_0000);
      if (!(entry & 1) || pointer >> (hasSecond(ste) ? inputWidth(unit) : outputWidth(unit)) != 0) return report(unit, C_BAD_SUBSTREAMID, 0, 0);
      address = pointer + (<u64>(substream & ((1 << split) - 1)) << 6);
    }
    return this.fetchDescriptor(m, unit, route, address, 8, cd, 0);
  }

  // 7.3.9 C_BAD_SUBSTREAMID, 7.3.7 F_STREAM_DISABLED, then the CD
  decodePasid(m: Engine, unit: usize, device: usize, rid: u32, pasid: u32, route: Route): u32 {
    memory.copy(changetype<usize>(route), device, ROUTE_BYTES);
    const ste = entryWord(device, 0);
    let substream: u32 = 0;
    if (pasid != NO_SUBSTREAM) {
      const most = substreamMax(unit, ste);
      if (!hasFirst(ste) || most == 0 || pasid >> most != 0) return report(unit, C_BAD_SUBSTREAMID, 0, 0);
      if (dss(ste) == 2 && pasid == 0) return report(unit, F_STREAM_DISABLED, 0, 0);
      substream = pasid;
    }
    const cd = <usize>m.scratch + CD_AT;
    const code = this.fetchContext(m, unit, route, ste, substream, cd);
    if (code != DECODED) return code;
    const world = worldOf(unit, ste);
    if (cdIllegal(unit, cd, field(ste, 1, 27, 27), world)) return report(unit, C_BAD_CD, 0, 0);
    if (field(cd, 0, 45, 45)) route.bits |= S1_RECORDS;
    if (field(cd, 0, 44, 44)) route.bits |= S1_STALLS;
    firstGeometry(unit, cd, world, false, firstStage(route));
    firstGeometry(unit, cd, world, true, spareStage(route));
    if (firstStage(route).flags & VMSA_TBI) route.bits |= TBI0;
    if (spareStage(route).flags & VMSA_TBI) route.bits |= TBI1;
    const nested = route.walker == WALKER_VMSA_SECOND;
    route.type = nested ? ROUTE_NESTED : ROUTE_FIRST;
    route.walker = nested ? WALKER_VMSA_NESTED : WALKER_VMSA_FIRST;
    route.outputLimit = 0;
    if (route.bits >> PRIVCFG_SHIFT == 0) route.bits |= PLAIN;
    route.space = world == EL2 ? 0 : field(cd, 0, 63, 48);
    route.tag = makeTag(route.domain, route.space, nested ? TAG_NESTED : TAG_FIRST) | (<u64>world << WORLD_SHIFT);
    return DECODED;
  }

  @inline plain(route: Route): bool { return (route.bits & PLAIN) != 0; }
  @inline routeAccess(route: Route, pasid: u32, access: u32): u32 {
    return route.bits >> PRIVCFG_SHIFT ? overridden(route.bits, access) : access;
  }

  @inline refuse(unit: usize, route: Route, pasid: u32, address: u64, access: u32): u32 {
    // stage 1 translates
    if (route.outputLimit == 0 && !(route.bits & ABORT)) return DECODED;
    return this.refuseUntranslated(unit, route, address);
  }
  refuseUntranslated(unit: usize, route: Route, address: u64): u32 {
    if (route.bits & ABORT) return NOT_RECORDED;
    if (route.type == ROUTE_BLOCKED) return report(unit, F_STREAM_DISABLED, 0, 0);
    if (address < route.outputLimit) return DECODED;
    return route.bits & DISABLED ? NOT_RECORDED : report(unit, F_ADDR_SIZE, INPUT | CLASS_IN, 0);
  }
  @inline bypassAddress(unit: usize, address: u64): u64 { return address & ((<u64>1 << outputWidth(unit)) - 1); }

  @inline code(unit: usize, route: Route, walk: Walk, access: u32): u32 {
    return eventOf(unit, route.bits, walk, walk.implicit ? CLASS_TT : CLASS_IN);
  }
  // 5.4 TBI0, TBI1: the top byte is not the address's
  @inline cachedAddress(route: Route, address: u64): u64 {
    return route.bits & (address >> 55 & 1 ? TBI1 : TBI0) ? withoutTop(address) : address;
  }
  @inline fillTag(tag: u64, walk: Walk): u64 { return walk.attributes & ATTRIBUTE_GLOBAL ? globalOf(tag) : tag; }

  // 7.3: 0.7:0 number, 0.11 SSV, 0.31:12 SubstreamID, 0.63:32 StreamID; 1.31 Stall, 1.33 PnU, 1.34 InD, 1.35 RnW, 1.39 S2,
  //   1.41:40 CLASS, 1.44 TTRnW; 2 InputAddr; 3.55:12 IPA or 3.55:3 FetchAddr
  record(unit: usize, slot: usize, rid: u32, pasid: u32, code: u32, address: u64, access: u32, result: usize): void {
    const what = register(unit, SMMU_REPORT);
    let low = <u64>code | (<u64>rid << 32);
    if (pasid != NO_PASID) low |= (<u64>(pasid & 0xf_ffff) << 12) | (code != C_BAD_SUBSTREAMID ? 1 << 11 : 0);
    store<u64>(slot, low);
    if (what & INPUT) {
      let how = what & RECORD;
      access = overridden(<u32>(what >> OVERRIDE_SHIFT & 15) << PRIVCFG_SHIFT, access);
      if (access & ACCESS_PRIVILEGED) how |= <u64>1 << 33;
      if (access & ACCESS_EXECUTE) how |= <u64>1 << 34;
      if (!(access & ACCESS_WRITE)) how |= <u64>1 << 35;
      // 7.3.6, 7.3.8: of translation requests nothing, of translated ones RnW
      if (code == F_BAD_ATS_TREQ) how = 0;
      else if (code == F_TRANSL_FORBIDDEN) how &= <u64>1 << 35;
      store<u64>(slot, how, 8);
      store<u64>(slot, address, 16);
    }
    store<u64>(slot, register(unit, SMMU_REPORT_ADDRESS), 24);
  }
}

@inline
function aligned(base: u64, lg2: u32): u64 {
  return lg2 >= 64 ? 0 : base >> lg2 << lg2;
}
