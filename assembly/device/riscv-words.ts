// What RISC-V IOMMU tables share: reads of several doublewords, and the capabilities (6.3) that shape them. Section
// numbers are those of the RISC-V IOMMU Architecture Specification 1.0.
import { MEMORY_ABSENT, MEMORY_OK, MEMORY_POISON, RISCV_CAPABILITIES, RISCV_FCTL, STAGE_TABLES, TRACE_READ } from "../layout";
import { Engine, entryPointer } from "../memory/physical";
import { note } from "../trace";
import { countReference, register } from "../unit";
import { poisoned } from "./contract";

// ---- capabilities (6.3); 11:8 Sv57, Sv48, Sv39, Sv32 from the top, 19:16 the same x4, 37:32 PAS, 40:38 PD20, PD17, PD8
export const CAP_SV32: u32 = 8;
export const CAP_SV32X4: u32 = 16;
export const CAP_RSW60: u64 = 1 << 14;
export const CAP_PBMT: u64 = 1 << 15;
export const CAP_MSI_FLAT: u64 = 1 << 22;
export const CAP_MSI_MRIF: u64 = 1 << 23;
export const CAP_AMO_HWAD: u64 = 1 << 24;
export const CAP_ATS: u64 = 1 << 25;
export const CAP_T2GPA: u64 = 1 << 26;
export const CAP_END: u64 = 1 << 27;
export const CAP_PD8: u32 = 38;
export const CAP_QOSID: u64 = 1 << 41;

/** 3.1.1, 3.2.1: 53:10 of a table entry, as an address. */
export const PPN: u64 = 0x003f_ffff_ffff_fc00;
/** 3.1.3: 43:0 of iohgatp, iosatp, pdtp and msiptp. */
export const ROOT_PPN: u64 = 0x0fff_ffff_ffff;

@inline
export function capabilities(unit: usize): u64 {
  return register(unit, RISCV_CAPABILITIES);
}

/** PAS: bits of a physical address. */
@inline
export function physicalBits(unit: usize): u32 {
  return <u32>(capabilities(unit) >> 32) & 63;
}

/** fctl.BE (6.4): DDT, second-stage and MSI tables, queues. */
@inline
export function bigEndian(unit: usize): bool {
  return (register(unit, RISCV_FCTL) & 1) != 0;
}

/** Words of one read, in the scratch memory. */
@inline
export function wordsOf(m: Engine): usize {
  return m.scratch + 3584;
}

/**
 * Read `count` doublewords as one access into `wordsOf`, PAS checked: MEMORY_OK, or why not; an access error anywhere
 * comes before poison anywhere. Counts one reference of `level` unless `silent`.
 */
export function readWords(m: Engine, unit: usize, address: u64, count: u32, swapped: bool, level: u32, silent: bool): u32 {
  const state = fetchWords(m, unit, address, count, swapped, level, silent);
  if (m.trace != 0) note(m, TRACE_READ, STAGE_TABLES, level, address, state == MEMORY_OK ? load<u64>(wordsOf(m)) : 0, count << 3, 0, state << 8);
  return state;
}

function fetchWords(m: Engine, unit: usize, address: u64, count: u32, swapped: bool, level: u32, silent: bool): u32 {
  const bits = physicalBits(unit);
  const words = wordsOf(m);
  if (!silent) countReference(unit, STAGE_TABLES, level);
  let state: u32 = MEMORY_OK;
  for (let i: u32 = 0; i < count; i++) {
    const at = address + (i << 3);
    if (at >> bits != 0) return MEMORY_ABSENT;
    const pointer = entryPointer(m, at, 8);
    if (pointer == 0) {
      if (!poisoned(m)) return MEMORY_ABSENT;
      state = MEMORY_POISON;
      continue;
    }
    const word = load<u64>(pointer);
    store<u64>(words + (i << 3), swapped ? bswap<u64>(word) : word);
  }
  return state;
}
