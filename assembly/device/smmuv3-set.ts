// The driver's side of SMMUv3's words (IHI 0070 5.1, 5.2, 5.4): STE and CD of a stream, from the geometries of its tables.
import {
  EDIT_FORMAT, EDIT_NO_FRAME, EDIT_OK, EDIT_RANGE, FORMAT_VMSA_FIRST, FORMAT_VMSA_SECOND, ROUTE_BLOCKED, ROUTE_FIRST, ROUTE_NESTED, ROUTE_SECOND, SMMU_IDR1,
  SMMU_STRTAB_BASE, SMMU_STRTAB_BASE_CFG, VMSA_ACCESSED, VMSA_AFFD, VMSA_BIG_ENDIAN, VMSA_DIRTY, VMSA_DS, VMSA_FWB, VMSA_PTW, VMSA_UPPER,
} from "../layout";
import { Geometry } from "../format/contract";
import { allocate, framePointer, NO_FRAME } from "../memory/frames";
import { Engine } from "../memory/physical";
import { register, setRegister } from "../unit";
import { idr0 } from "./smmuv3-registers";

// 5.1, 6.3.24: the address of a level 2 table and of the stream table
const ADDRESS: u64 = 0x00ff_ffff_ffff_ffc0;
/** 6.3.25 SPLIT: lg2 StreamIDs of one level 2 table, of 16 KiB */
const SPLIT: u32 = 8;

/** Make the stream table: two levels where the unit has them, so that frames serve the streams that are used. */
function openStreams(m: Engine, unit: usize): u32 {
  const base = register(unit, SMMU_STRTAB_BASE) & ADDRESS;
  if (base != 0) return base - m.frameStart < m.frameBytes ? EDIT_OK : EDIT_FORMAT;
  const levels = (idr0(unit) >> 27 & 3) != 0;
  // SMMU_IDR1.SIDSIZE, as far as one block of frames reaches
  const lg2 = max(SPLIT, min(<u32>register(unit, SMMU_IDR1) & 63, <u32>(levels ? 24 : 13)));
  const bytes = levels ? lg2 - SPLIT + 3 : lg2 + 6;
  const made = allocate(m, bytes > 12 ? bytes - 12 : 0);
  if (made == NO_FRAME) return EDIT_NO_FRAME;
  setRegister(unit, SMMU_STRTAB_BASE, made);
  setRegister(unit, SMMU_STRTAB_BASE_CFG, levels ? lg2 | (SPLIT << 6) | (1 << 16) : lg2);
  return EDIT_OK;
}

/** Pointer to the STE of a stream of the table that `openStreams` made; 0 without frames. */
function entryOf(m: Engine, unit: usize, rid: u32): usize {
  const base = framePointer(m, register(unit, SMMU_STRTAB_BASE) & ADDRESS);
  if ((register(unit, SMMU_STRTAB_BASE_CFG) >> 16 & 3) == 0) return base + (<usize>rid << 6);
  const descriptor = base + (<usize>(rid >> SPLIT) << 3);
  let table = load<u64>(descriptor) & ADDRESS;
  if (table == 0) {
    table = allocate(m, 2);
    if (table == NO_FRAME) return 0;
    // Span: 2^(Span - 1) entries
    store<u64>(descriptor, table | (SPLIT + 1));
  }
  return framePointer(m, table) + (<usize>(rid & ((1 << SPLIT) - 1)) << 6);
}

/** IPS, S2PS: the largest that is not wider. */
@inline
function sizeOf(bits: u32): u64 {
  return bits >= 52 ? 6 : bits >= 48 ? 5 : bits >= 44 ? 4 : bits >= 42 ? 3 : bits >= 40 ? 2 : bits >= 36 ? 1 : 0;
}

@inline
function granuleField(granule: u32): u64 {
  return granule == 12 ? 0 : granule == 14 ? 2 : 1;
}

@inline
function flag(g: Geometry, bit: u32, at: u64): u64 {
  return g.flags & bit ? <u64>1 << at : 0;
}

/** A CD of one range: TTB0 with EPD1, or TTB1 with EPD0; AA64, R, A; MAIR: index 0 is write-back memory. */
function writeContext(cd: usize, g: Geometry, asid: u32): void {
  const upper = (g.flags & VMSA_UPPER) != 0;
  const size = <u64>(64 - g.inputBits);
  // TG1 counts otherwise than TG0
  const range = upper
    ? (size << 16) | ((g.granule == 12 ? <u64>2 : g.granule == 14 ? 1 : 3) << 22) | (1 << 14)
    : size | (granuleField(g.granule) << 6) | (1 << 30);
  store<u64>(cd, 0);
  store<u64>(cd, upper ? 0 : g.root, 8);
  store<u64>(cd, (upper ? g.root : 0) | flag(g, VMSA_DS, 58), 16);
  store<u64>(cd, 0xff, 24);
  store<u64>(
    cd,
    range | (<u64>1 << 31) | (sizeOf(g.outputBits) << 32) | (<u64>1 << 41) |
      (<u64>3 << 45) | (<u64>asid << 48) | flag(g, VMSA_BIG_ENDIAN, 15) | flag(g, VMSA_AFFD, 35) | flag(g, VMSA_DIRTY, 42) |
      flag(g, VMSA_ACCESSED, 43),
  );
}

/** The stage-2 words of an STE: S2AA64 and S2R; S2SL0 by granule (S2SL0_2 for level -1). */
function writeSecond(ste: usize, g: Geometry): void {
  const sl0: u64 = g.granule != 12 ? g.top : g.top == 0 ? 3 : g.top == 4 ? 0 : g.top - 1;
  const word = load<u64>(ste, 16);
  store<u64>(
    ste,
    word | (<u64>(64 - g.inputBits) << 32) | (sl0 << 38) | (granuleField(g.granule) << 46) | (sizeOf(g.outputBits) << 48) | (<u64>1 << 51) |
      (<u64>1 << 58) | flag(g, VMSA_BIG_ENDIAN, 52) | flag(g, VMSA_AFFD, 53) | flag(g, VMSA_PTW, 54) | flag(g, VMSA_DIRTY, 55) |
      flag(g, VMSA_ACCESSED, 56),
    16,
  );
  store<u64>(ste, load<u64>(ste, 8) | flag(g, VMSA_FWB, 25), 8);
  store<u64>(ste, g.root | flag(g, VMSA_DS, 3) | (g.granule == 12 && g.top == 4 ? 4 : 0), 24);
}

/** A table of the format, or none where the route has no such stage. */
@inline
function fits(table: usize, wanted: bool, format: u32): bool {
  return wanted ? table != 0 && changetype<Geometry>(table).format == format : table == 0;
}

/**
 * Write the route of a stream: blocked (abort), bypass, or its tables: a CD for stage 1, the STE for stage 2. `domain` is
 * the VMID; the ASID is 0. Stream table and CD are made as needed. EDIT_*; no route changes on a failure. Caches are the
 * caller's.
 */
export function setSmmuRoute(m: Engine, unit: usize, rid: u32, type: u32, domain: u32, first: usize, second: usize): u32 {
  if (!fits(first, type == ROUTE_FIRST || type == ROUTE_NESTED, FORMAT_VMSA_FIRST)) return EDIT_FORMAT;
  if (!fits(second, type == ROUTE_SECOND || type == ROUTE_NESTED, FORMAT_VMSA_SECOND)) return EDIT_FORMAT;
  const opened = openStreams(m, unit);
  if (opened != EDIT_OK) return opened;
  if (<u64>rid >> (register(unit, SMMU_STRTAB_BASE_CFG) & 63) != 0) return EDIT_RANGE;
  const ste = entryOf(m, unit, rid);
  if (ste == 0) return EDIT_NO_FRAME;
  // S1ContextPtr outlives routes without stage 1, which do not look at it
  let context = load<u64>(ste) & ADDRESS;
  if (first != 0 && context == 0) {
    context = allocate(m, 0);
    if (context == NO_FRAME) return EDIT_NO_FRAME;
  }
  // V with Config 0 aborts while the words change
  store<u64>(ste, context | 1);
  store<u64>(ste, 0, 8);
  store<u64>(ste, domain & 0xffff, 16);
  store<u64>(ste, 0, 24);
  if (type == ROUTE_BLOCKED) return EDIT_OK;
  if (second != 0) writeSecond(ste, changetype<Geometry>(second));
  if (first != 0) writeContext(framePointer(m, context), changetype<Geometry>(first), 0);
  const config: u64 = 4 | (first != 0 ? 1 : 0) | (second != 0 ? 2 : 0);
  store<u64>(ste, context | (config << 1) | 1);
  return EDIT_OK;
}
