// Intel VT-d scalable mode: root, context, PASID directory and PASID tables (VT-d specification 9.2, 9.4 to 9.6) and its
// fault reasons (7.1.3).
import {
  ACCESS_EXECUTE,
  ACCESS_PRIVILEGED,
  FORMAT_VTD_FIRST,
  GEOMETRY_BYTES,
  NO_PASID,
  OUTCOME_ACCESS_ERROR,
  OUTCOME_ADDRESS_SIZE,
  OUTCOME_NO_EXECUTE,
  OUTCOME_NO_READ,
  OUTCOME_NO_USER,
  OUTCOME_NO_WRITE,
  OUTCOME_NOT_PRESENT,
  OUTCOME_POISON,
  OUTCOME_RESERVED,
  ROUTE_BLOCKED,
  ROUTE_BYPASS,
  ROUTE_FIRST,
  ROUTE_NESTED,
  ROUTE_SECOND,
  STAGE_FIRST,
  VTD_CAP,
  VTD_ECAP,
  VTD_FIRST_EXECUTE,
  VTD_FIRST_EXTENDED,
  VTD_FIRST_NESTED,
  VTD_FIRST_NO_EXECUTE,
  VTD_FIRST_SMEP,
  VTD_FIRST_UNSNOOPED,
  VTD_FIRST_WRITE_PROTECT,
  VTD_ROOT,
  VTD_SECOND_EXECUTE,
  VTD_SECOND_TRACKS,
  VTD_SECOND_UNSNOOPED,
} from "../layout";
import { makeTag, TAG_FIRST, TAG_NESTED, TAG_SECOND } from "../cache/tag";
import { Engine, entryPointer } from "../memory/physical";
import { register, Walk } from "../unit";
import { DECODED, tablePointer } from "./contract";
import { entryWord, firstStage, Route, ROUTE_QUIET, secondStage } from "./route";
import { IMPLICIT_ROOT, IMPLICIT_UPDATE } from "./vtd-nested";
import {
  above,
  CAP_FS1GP,
  CAP_FS5LP,
  describeSecond,
  ECAP_DT,
  ECAP_EAFS,
  ECAP_ERS,
  ECAP_FSTS,
  ECAP_MTS,
  ECAP_NEST,
  ECAP_PASID,
  ECAP_PRS,
  ECAP_PT,
  ECAP_RPRIVS,
  ECAP_SC,
  ECAP_SMPWC,
  ECAP_SRS,
  ECAP_SSADS,
  ECAP_SSTS,
  hostWidth,
  knownWidth,
  TABLE,
} from "./vtd-registers";
import { WALKER_VTD_FIRST, WALKER_VTD_NESTED, WALKER_VTD_SECOND } from "./walkers";

// ---- Route.bits, the engine's own; 0: the second stage of legacy mode
export const SCALABLE: u32 = 1;
const HAS_FIRST: u32 = 2;
const SUPERVISOR: u32 = 4; // SRE
const EXECUTE: u32 = 8; // ERE
export const LEGACY_PASS: u32 = 32; // passed through by legacy tables, or by a unit that is off
export const SNOOPS: u32 = 64; // PGSNP
export const RID_PRIVILEGED: u32 = 16; // RID_PRIV: requests without PASID are a supervisor's

// ---- fault reasons (7.1.3)
const SRT_1_ACCESS: u32 = 0x38;
const SRT_2_PRESENT: u32 = 0x39;
const SRT_3_RESERVED: u32 = 0x3a;
const SCT_1_ACCESS: u32 = 0x40;
const SCT_2_PRESENT: u32 = 0x41;
const SCT_3_RESERVED: u32 = 0x42;
const SCT_6_PASIDE: u32 = 0x45;
const SCT_7_PASID_RANGE: u32 = 0x46;
const SCT_9_RID_PASID: u32 = 0x48;
const SPD_1_ACCESS: u32 = 0x50;
const SPD_2_PRESENT: u32 = 0x51;
const SPD_3_RESERVED: u32 = 0x52;
const SPT_1_ACCESS: u32 = 0x58;
const SPT_2_PRESENT: u32 = 0x59;
const SPT_3_RESERVED: u32 = 0x5a;
const SPT_4_INVALID: u32 = 0x5b;
const SPT_5_ERE: u32 = 0x5c;
const SPT_6_SRE: u32 = 0x5d;
const SFS_1_ACCESS: u32 = 0x70;
const SFS_2_PRESENT: u32 = 0x71;
const SFS_3_RESERVED: u32 = 0x72;
const SFS_4_ROOT_ACCESS: u32 = 0x73;
const SFS_5_BEYOND: u32 = 0x74;
const SFS_6_ROOT_READ: u32 = 0x75;
const SFS_7_READ: u32 = 0x76;
const SFS_8_WRITE: u32 = 0x77;
const SSS_1_ACCESS: u32 = 0x78;
const SSS_2_PRESENT: u32 = 0x79;
const SSS_3_RESERVED: u32 = 0x7a;
const SSS_4_ROOT_ACCESS: u32 = 0x7b;
const SSS_5_UNSNOOPED: u32 = 0x7c;
const SSS_6_UPDATE: u32 = 0x7d;
const SGN_1_CANONICAL: u32 = 0x80;
const SGN_2_USER: u32 = 0x81;
const SGN_3_EXECUTE: u32 = 0x82;
export const SGN_4_BEYOND_HAW: u32 = 0x83;
const SGN_5_BEYOND: u32 = 0x84;
const SGN_6_WRITE: u32 = 0x85;
const SGN_7_READ: u32 = 0x86;
export const SGN_8_INTERRUPT: u32 = 0x87;
const SFS_9_UNSNOOPED: u32 = 0x90;
const SFS_10_UPDATE: u32 = 0x91;

// the engine's own: what stands in for a PASID that no table can hold, above its 20 bits
const TOO_WIDE: u32 = 1 << 20;
const RID_TOO_WIDE: u32 = 1 << 21;
const NO_PASIDS: u32 = 1 << 22;

/** Root and context entry; the words of the context entry stay in the device entry. */
export function decodeScalableDevice(m: Engine, unit: usize, rid: u32, device: usize): u32 {
  const route = changetype<Route>(device);
  const wide = above(hostWidth(unit));
  const ecap = register(unit, VTD_ECAP);

  // 9.2 root entry, 16 bytes a bus, a half for devices 0 to 15 and one for 16 to 31: 0 P, 11:1 reserved, 63:12 table
  const half: u64 = rid & 0x80 ? 8 : 0;
  let pointer = tablePointer(m, unit, (register(unit, VTD_ROOT) & TABLE) + (<u64>(rid >> 8 & 0xff) << 4) + half, 8, 1);
  if (pointer == 0) return SRT_1_ACCESS;
  const root = load<u64>(pointer);
  if (!(root & 1)) return SRT_2_PRESENT;
  if ((root & (wide | 0xffe)) != 0) return SRT_3_RESERVED;

  // 9.4 context entry, 32 bytes: 0 P, 1 FPD, 2 DTE, 3 PASIDE, 4 PRE, 8:5 reserved, 11:9 PDTS, 63:12 PASID directory;
  //   83:64 RID_PASID, 84 RID_PRIV, the rest reserved
  const at = (root & TABLE) + (<u64>(rid & 0x7f) << 5);
  for (let i: u32 = 0; i < 4; i++) {
    pointer = i == 0 ? tablePointer(m, unit, at, 8, 0) : entryPointer(m, at + (i << 3), 8);
    if (pointer == 0) return SCT_1_ACCESS;
    store<u64>(entryWord(device, i), load<u64>(pointer));
  }
  const q0 = load<u64>(entryWord(device, 0));
  const q1 = load<u64>(entryWord(device, 1));
  if (q0 & 2) route.flags |= ROUTE_QUIET;
  if (!(q0 & 1)) return SCT_2_PRESENT;
  // a field without its capability is reserved
  const reserved0 = wide | 0x1e0 | (ecap & ECAP_DT ? 0 : 1 << 2) | (ecap & ECAP_PASID ? 0 : 1 << 3) | (ecap & ECAP_PRS ? 0 : 1 << 4);
  const reserved1 = 0xffff_ffff_ffe0_0000 | (ecap & ECAP_RPRIVS ? 0 : 1 << 20);
  const rest = load<u64>(entryWord(device, 2)) | load<u64>(entryWord(device, 3));
  if ((q0 & reserved0) != 0 || (q1 & reserved1) != 0 || rest != 0) return SCT_3_RESERVED;
  // every request has a PASID of its own or RID_PASID
  route.type = ROUTE_BLOCKED;
  route.bits = SCALABLE | (q1 >> 20 & 1 ? RID_PRIVILEGED : 0);
  route.domain = 0;
  return DECODED;
}

/** 3.4.3: the PASID that a request is looked up under. */
@inline
export function scalablePasid(device: usize, pasid: u32): u32 {
  const q0 = load<u64>(entryWord(device, 0));
  if (pasid != NO_PASID) return q0 & 8 ? min(pasid, TOO_WIDE) : NO_PASIDS;
  const own = <u32>load<u64>(entryWord(device, 1)) & 0xf_ffff;
  return own >> pasidBits(q0) != 0 ? RID_TOO_WIDE : own;
}

/** PDTS: 2^(PDTS + 7) directory entries of 64 PASIDs. */
@inline
function pasidBits(q0: u64): u32 {
  return (<u32>(q0 >> 9) & 7) + 13;
}

/** PASID directory and table entry. */
export function decodeScalablePasid(m: Engine, unit: usize, device: usize, pasid: u32, route: Route): u32 {
  memory.fill(changetype<usize>(route), 0, 64 + 2 * GEOMETRY_BYTES);
  route.flags = changetype<Route>(device).flags;
  route.bits = changetype<Route>(device).bits;
  const context = load<u64>(entryWord(device, 0));
  if (pasid == NO_PASIDS) return SCT_6_PASIDE;
  if (pasid == RID_TOO_WIDE) return SCT_9_RID_PASID;
  if (pasid >> pasidBits(context) != 0) return SCT_7_PASID_RANGE;
  const wide = above(hostWidth(unit));

  // 9.5 PASID directory entry, 8 bytes: 0 P, 1 FPD, 11:2 reserved, 63:12 PASID table
  let pointer = tablePointer(m, unit, (context & TABLE) + (<u64>(pasid >> 6) << 3), 8, 3);
  if (pointer == 0) return SPD_1_ACCESS;
  const directory = load<u64>(pointer);
  if (directory & 2) route.flags |= ROUTE_QUIET;
  if (!(directory & 1)) return SPD_2_PRESENT;
  if ((directory & (wide | 0xffc)) != 0) return SPD_3_RESERVED;

  const at = (directory & TABLE) + (<u64>(pasid & 0x3f) << 6);
  let q0: u64 = 0;
  let q1: u64 = 0;
  let q2: u64 = 0;
  let rest: u64 = 0;
  for (let i: u32 = 0; i < 8; i++) {
    pointer = i == 0 ? tablePointer(m, unit, at, 8, 2) : entryPointer(m, at + (i << 3), 8);
    if (pointer == 0) return SPT_1_ACCESS;
    const word = load<u64>(pointer);
    if (i == 0) q0 = word;
    else if (i == 1) q1 = word;
    else if (i == 2) q2 = word;
    else rest |= word;
  }
  if (q0 & 2) route.flags |= ROUTE_QUIET;
  if (!(q0 & 1)) return SPT_2_PRESENT;
  return decodeEntry(unit, pasid, route, q0, q1, q2, rest);
}

/** PGTT values that ECAP_REG allows. */
@inline
export function supportsType(ecap: u64, type: u32): bool {
  const needs: u64 = type == 1 ? ECAP_FSTS : type == 2 ? ECAP_SSTS : type == 3 ? ECAP_NEST | ECAP_FSTS | ECAP_SSTS : ECAP_PT;
  return type >= 1 && type <= 4 && (ecap & needs) == needs;
}

// 9.6 PASID table entry, 64 bytes: 0 P, 1 FPD, 4:2 AW, 5 SSEE, 8:6 PGTT, 9 SSADE, 11:10 reserved, 63:12 SSPTPTR;
//   q1 15:0 DID, 22:16 reserved, 23 PWSNP, 24 PGSNP, 63:25 memory types; q2 0 SRE, 1 ERE, 3:2 FSPM, 4 WPE, 5 NXE, 6 SMEP,
//   7 EAFE, 11:8 reserved, 63:12 FSPTPTR; q3 to q7 reserved
function decodeEntry(unit: usize, pasid: u32, route: Route, q0: u64, q1: u64, q2: u64, rest: u64): u32 {
  const ecap = register(unit, VTD_ECAP);
  const cap = register(unit, VTD_CAP);
  const wide = above(hostWidth(unit));
  // PGTT: 1 first stage, 2 second stage, 3 nested, 4 pass-through
  const type = <u32>(q0 >> 6) & 7;
  const hasFirst = type == 1 || type == 3;
  const hasSecond = type == 2 || type == 3;
  // a field without its capability is reserved, a field that PGTT does not use is ignored
  let reserved0: u64 = 0xc00;
  if (hasSecond) reserved0 |= wide | (ecap & ECAP_ERS ? 0 : 1 << 5) | (ecap & ECAP_SSADS ? 0 : 1 << 9);
  let reserved1: u64 = 0x7f_0000 | (ecap & ECAP_SMPWC ? 0 : 1 << 23) | (ecap & ECAP_SC ? 0 : 1 << 24);
  if (!(ecap & ECAP_MTS)) reserved1 |= above(25);
  let reserved2: u64 = 0;
  if (hasFirst) reserved2 = wide | 0xf00 | (ecap & ECAP_SRS ? 0 : 1) | (ecap & ECAP_ERS ? 0 : 2) | (ecap & ECAP_EAFS ? 0 : 1 << 7);
  if ((q0 & reserved0) != 0 || (q1 & reserved1) != 0 || (q2 & reserved2) != 0 || rest != 0) return SPT_3_RESERVED;

  if (!supportsType(ecap, type)) return SPT_4_INVALID;
  const width = <u32>(q0 >> 2) & 7;
  if (hasSecond && !knownWidth(unit, width)) return SPT_4_INVALID;
  // FSPM: 0 four levels, 1 five
  const mode = <u32>(q2 >> 2) & 3;
  if (hasFirst && (mode > 1 || (mode == 1 && !(cap & CAP_FS5LP)))) return SPT_4_INVALID;

  route.domain = <u32>q1 & 0xffff;
  if (q1 >> 24 & 1) route.bits |= SNOOPS;
  if (type == 4) {
    route.type = ROUTE_BYPASS;
    route.outputLimit = ~wide + 1;
    return DECODED;
  }
  // ECAP_REG.SMPWC with PWSNP = 0: hardware does not snoop the walk, and updates nothing
  const unsnooped = (ecap & ECAP_SMPWC) != 0 && (q1 >> 23 & 1) == 0;
  // 6.2.1: second-stage answers belong to the domain, the others to PASID and domain
  route.secondTag = makeTag(route.domain, 0, TAG_SECOND);
  if (hasSecond) {
    const flags: u32 =
      (q0 & 0x200 ? VTD_SECOND_TRACKS : 0) | (q0 & 0x20 ? VTD_SECOND_EXECUTE : 0) | (unsnooped ? VTD_SECOND_UNSNOOPED : 0);
    describeSecond(unit, secondStage(route), q0 & TABLE, width, flags);
  }
  if (!hasFirst) {
    route.type = ROUTE_SECOND;
    route.walker = WALKER_VTD_SECOND;
    route.tag = route.secondTag;
    return DECODED;
  }
  route.type = hasSecond ? ROUTE_NESTED : ROUTE_FIRST;
  route.walker = hasSecond ? WALKER_VTD_NESTED : WALKER_VTD_FIRST;
  route.space = pasid;
  route.tag = makeTag(route.domain, pasid, hasSecond ? TAG_NESTED : TAG_FIRST);
  route.bits |= HAS_FIRST | (q2 & 1 ? SUPERVISOR : 0) | (q2 & 2 ? EXECUTE : 0);
  const g = firstStage(route);
  g.format = FORMAT_VTD_FIRST;
  g.root = q2 & TABLE;
  g.top = 3 + mode;
  g.inputBits = 48 + 9 * mode;
  g.outputBits = hostWidth(unit);
  g.leaves = (1 << 12) | (1 << 21) | (cap & CAP_FS1GP ? 1 << 30 : 0);
  g.granule = 12;
  g.flags =
    (q2 & 0x80 ? VTD_FIRST_EXTENDED : 0) |
    (q2 & 0x10 ? VTD_FIRST_WRITE_PROTECT : 0) |
    (ecap & ECAP_ERS ? VTD_FIRST_EXECUTE | (q2 & 0x20 ? VTD_FIRST_NO_EXECUTE : 0) | (q2 & 0x40 ? VTD_FIRST_SMEP : 0) : 0) |
    (unsnooped ? VTD_FIRST_UNSNOOPED : 0) |
    (hasSecond ? VTD_FIRST_NESTED : 0);
  return DECODED;
}

/** 9.6 ERE and SRE: what a first stage does not serve at all. */
@inline
export function scalableRefusal(route: Route, access: u32): u32 {
  const bits = route.bits;
  if (!(bits & HAS_FIRST)) return DECODED;
  if (access & ACCESS_EXECUTE && !(bits & EXECUTE)) return SPT_5_ERE;
  if (access & ACCESS_PRIVILEGED && !(bits & SUPERVISOR)) return SPT_6_SRE;
  return DECODED;
}

/** 7.1.3: SFS.n, SSS.n and SGN.n of a walk. */
export function scalableCode(route: Route, walk: Walk): u32 {
  const outcome = walk.outcome;
  const access = outcome == OUTCOME_ACCESS_ERROR || outcome == OUTCOME_POISON;
  if (outcome == OUTCOME_NO_EXECUTE) return SGN_3_EXECUTE;
  if (walk.stage == STAGE_FIRST) {
    // an entry that was read is present, hence not zero: its update failed
    if (access) return walk.entry != 0 ? SFS_10_UPDATE : walk.level == firstStage(route).top ? SFS_4_ROOT_ACCESS : SFS_1_ACCESS;
    if (outcome == OUTCOME_ADDRESS_SIZE) return SGN_1_CANONICAL;
    if (outcome == OUTCOME_NOT_PRESENT) return SFS_2_PRESENT;
    if (outcome == OUTCOME_RESERVED) return SFS_3_RESERVED;
    if (outcome == OUTCOME_NO_USER) return SGN_2_USER;
    if (outcome == OUTCOME_NO_WRITE) return SGN_6_WRITE;
    return SFS_9_UNSNOOPED;
  }
  const implicit = walk.implicit;
  if (access) return walk.entry != 0 ? SSS_6_UPDATE : walk.level == secondStage(route).top ? SSS_4_ROOT_ACCESS : SSS_1_ACCESS;
  if (outcome == OUTCOME_ADDRESS_SIZE) return implicit == 0 ? SGN_5_BEYOND : SFS_5_BEYOND;
  if (outcome == OUTCOME_NOT_PRESENT) return SSS_2_PRESENT;
  if (outcome == OUTCOME_RESERVED) return SSS_3_RESERVED;
  if (outcome == OUTCOME_NO_WRITE) return implicit == IMPLICIT_UPDATE ? SFS_8_WRITE : SGN_6_WRITE;
  if (outcome == OUTCOME_NO_READ) return implicit == 0 ? SGN_7_READ : implicit == IMPLICIT_ROOT ? SFS_6_ROOT_READ : SFS_7_READ;
  return SSS_5_UNSNOOPED;
}
