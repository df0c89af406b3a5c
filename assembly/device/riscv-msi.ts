// RISC-V MSI page tables (3.3.3 "Process to translate addresses of MSIs", over the entries of the Advanced Interrupt
// Architecture, chapter "IOMMU Support for MSIs to Virtual Machines"). 16 bytes:
//
//   0 V | 2:1 M | 63 C (custom)
//   M=3 basic  9:3 reserved | 53:10 PPN | 62:54 reserved; the second doubleword is ignored
//   M=1 MRIF   6:3 reserved | 53:7 MRIF address 55:9 | 62:54 reserved
//              64+: 9:0 N[9:0] | 53:10 NPPN | 59:54 reserved | 60 N[10] | 63:61 reserved
import {
  ACCESS_EXECUTE,
  ACCESS_READ,
  ACCESS_UNCHECKED,
  ACCESS_WRITE,
  INV_CACHE_CONTEXT,
  INV_CACHE_IOTLB,
  INV_CACHE_PASID,
  INV_GLOBAL,
  MEMORY_OK,
  MEMORY_POISON,
  OUTCOME_ACCESS_ERROR,
  OUTCOME_NO_EXECUTE,
  OUTCOME_NOT_PRESENT,
  OUTCOME_POISON,
  OUTCOME_RESERVED,
  OUTCOME_TRANSLATED,
  PERM_PRIVILEGED_SHIFT,
  RISCV_ATTRIBUTE_MRIF,
  RISCV_ATTRIBUTE_MSI,
  RISCV_ATTRIBUTE_RIGHTS_SHIFT,
  STAGE_TABLES,
} from "../layout";
import { Engine } from "../memory/physical";
import { invalidate } from "../invalidate";
import { spareOf, Walk } from "../unit";
import { firstStage, Route, secondStage, spareStage } from "./route";
import { bigEndian, capabilities, CAP_MSI_MRIF, PPN, readWords, wordsOf } from "./riscv-words";

// ---- causes (4.2)
const INSTRUCTION_ACCESS: u32 = 1;
const MSI_ACCESS: u32 = 261;
const MSI_NOT_VALID: u32 = 262;
const MSI_MISCONFIGURED: u32 = 263;
const MSI_CORRUPT: u32 = 270;

// 3.3.3, and the chapter of the Advanced Interrupt Architecture above
const V: u64 = 1;
const C: u64 = 1 << 63;
const BASIC_RESERVED: u64 = (0x7f << 3) | (<u64>0x1ff << 54);
const MRIF_RESERVED: u64 = (0xf << 3) | (<u64>0x1ff << 54);
const NOTICE_RESERVED: u64 = (<u64>0x3f << 54) | (<u64>7 << 61);
const FLAT: u64 = 1;

/** Keep a context's MSI table with its route: root address, 0 when Off; mask and pattern of page numbers (3.1.3.6). */
@inline
export function setMsiTable(route: Route, flat: bool, root: u64, mask: u64, pattern: u64): void {
  firstStage(route).extra = flat ? root | FLAT : 0;
  secondStage(route).extra = mask;
  spareStage(route).extra = pattern;
}

// MSI tables that cached answers were made beside: {root and FLAT, mask, pattern}, numbered from 1; the engine's own
const MSI_CLASSES: u32 = 15;
const MSI_CLASS_BYTES: usize = 24;

/**
 * Number of the route's MSI table among those of the unit, 0 without one: requesters of one guest whose tables differ do
 * not share answers. When all numbers are in use every cache is emptied, and they are given out anew.
 */
export function msiClass(unit: usize, route: Route): u32 {
  const root = firstStage(route).extra;
  if (root == 0) return 0;
  const mask = secondStage(route).extra;
  const pattern = spareStage(route).extra;
  const classes = spareOf(unit);
  let free = classes;
  for (let i: u32 = 0; i < MSI_CLASSES; i++) {
    free = classes + i * MSI_CLASS_BYTES;
    const has = load<u64>(free);
    if (has == 0) break;
    if (has == root && load<u64>(free, 8) == mask && load<u64>(free, 16) == pattern) return i + 1;
  }
  if (load<u64>(free) != 0) {
    invalidate(unit, INV_CACHE_IOTLB | INV_CACHE_CONTEXT | INV_CACHE_PASID, INV_GLOBAL, 0, 0, 0, 0, 0);
    memory.fill(classes, 0, <usize>MSI_CLASSES * MSI_CLASS_BYTES);
    free = classes;
  }
  store<u64>(free, root);
  store<u64>(free, mask, 8);
  store<u64>(free, pattern, 16);
  return <u32>((free - classes) / MSI_CLASS_BYTES) + 1;
}

@inline
export function hasMsiTable(route: Route): bool {
  return firstStage(route).extra != 0;
}

/** 3.3.3: bits of `value` at the ones of `mask`, packed to the low end. */
function extract(value: u64, mask: u64): u64 {
  let out: u64 = 0;
  let position: u64 = 0;
  while (mask != 0) {
    out |= (value >> ctz(mask) & 1) << position;
    position += 1;
    mask &= mask - 1;
  }
  return out;
}

/** lg2 of the largest block around a guest address, at most `lg2`, without a page of an interrupt file. */
export function besideInterruptFiles(route: Route, address: u64, lg2: u32): u32 {
  const differs = ((address >> 12) ^ spareStage(route).extra) & ~secondStage(route).extra;
  while (lg2 > 12 && differs >> (lg2 - 12) == 0) lg2 -= 1;
  return lg2;
}

/** The guest address lies in a virtual interrupt file. */
@inline
export function isInterruptFile(route: Route, address: u64): bool {
  return hasMsiTable(route) && (((address >> 12) ^ spareStage(route).extra) & ~secondStage(route).extra) == 0;
}

/** The fault of an MSI table: `implicit` is its cause, the stage is the device tables'. */
function refuse(walk: Walk, outcome: u32, cause: u32): u32 {
  walk.outcome = outcome;
  walk.stage = STAGE_TABLES;
  walk.implicit = cause;
  walk.level = 0;
  return outcome;
}

/** Translate the guest address `walk.pa`, which lies in an interrupt file. OUTCOME_*. */
export function walkMsi(m: Engine, unit: usize, route: Route, access: u32, walk: Walk, silent: bool): u32 {
  const guest = walk.pa;
  const root = firstStage(route).extra & ~FLAT;
  const at = root | (extract(guest >> 12, secondStage(route).extra) << 4);
  walk.entryAddress = at;
  walk.entry = 0;
  walk.references += 1;
  const got = readWords(m, unit, at, 2, bigEndian(unit), 0, silent);
  if (got != MEMORY_OK) {
    return got == MEMORY_POISON ? refuse(walk, OUTCOME_POISON, MSI_CORRUPT) : refuse(walk, OUTCOME_ACCESS_ERROR, MSI_ACCESS);
  }
  const low = load<u64>(wordsOf(m));
  const high = load<u64>(wordsOf(m), 8);
  walk.entry = low;
  if (!(low & V)) return refuse(walk, OUTCOME_NOT_PRESENT, MSI_NOT_VALID);
  const mode = <u32>(low >> 1) & 3;
  const basic = mode == 3;
  if (
    (low & C) != 0 ||
    !(mode & 1) ||
    (basic && (low & BASIC_RESERVED) != 0) ||
    (!basic && (!(capabilities(unit) & CAP_MSI_MRIF) || (low & MRIF_RESERVED) != 0 || (high & NOTICE_RESERVED) != 0))
  ) {
    return refuse(walk, OUTCOME_RESERVED, MSI_MISCONFIGURED);
  }
  // as a second-stage leaf with R = W = U = 1 and X = 0
  if (access & ACCESS_EXECUTE && !(access & ACCESS_UNCHECKED)) return refuse(walk, OUTCOME_NO_EXECUTE, INSTRUCTION_ACCESS);
  const rights: u32 = ACCESS_READ | ACCESS_WRITE;
  walk.permissions &= rights | (rights << PERM_PRIVILEGED_SHIFT);
  walk.attributes = (walk.attributes & ~(ACCESS_EXECUTE << RISCV_ATTRIBUTE_RIGHTS_SHIFT)) | RISCV_ATTRIBUTE_MSI;
  walk.lg2 = 12;
  if (basic) {
    walk.pa = ((low & PPN) << 2) | (guest & 0xfff);
  } else {
    walk.pa = ((high & PPN) << 2) | (guest & 0xfff);
    walk.attributes |= RISCV_ATTRIBUTE_MRIF;
    // for the result: the interrupt file and the notice's identity
    walk.address = (low & 0x003f_ffff_ffff_ff80) << 2;
    walk.entryAddress = (high >> 50 & 0x400) | (high & 0x3ff);
  }
  walk.outcome = OUTCOME_TRANSLATED;
  return OUTCOME_TRANSLATED;
}
