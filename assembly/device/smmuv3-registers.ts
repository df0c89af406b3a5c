// SMMUv3 (IHI 0070): what the identification registers say (6.3.1 to 6.3.6), and the rules on field values that stream
// table entries and context descriptors share. Non-secure; no VMSAv8-32, no VMSAv9-128, no PIE, POE, HAFT, MPAM or DPT.
import { Geometry } from "../format/contract";
import { SMMU_IDR0, SMMU_IDR1, SMMU_IDR3, SMMU_IDR5, VMSA_DS, VMSA_PA52 } from "../layout";
import { register } from "../unit";

// ---- SMMU_IDR0 (6.3.1)
export const S2P: u64 = 1;
export const S1P: u64 = 1 << 1;
export const TTF_64: u64 = 1 << 3; // TTF[1]: VMSAv8-64
export const HYP: u64 = 1 << 9;
export const ATS: u64 = 1 << 10;
export const NS1ATS: u64 = 1 << 11;
export const ASID16: u64 = 1 << 12;
export const VMID16: u64 = 1 << 18;
export const CD2L: u64 = 1 << 19;
export const TERM_MODEL: u64 = 1 << 26;
// ---- SMMU_IDR3 (6.3.4)
export const HAD: u64 = 1 << 2;
export const XNX: u64 = 1 << 4;
export const FWB: u64 = 1 << 8;
export const STT: u64 = 1 << 9;
export const E0PD: u64 = 1 << 13;
export const DPT: u64 = 1 << 15;
export const EPAN: u64 = 1 << 17;

@inline
export function idr0(unit: usize): u64 {
  return register(unit, SMMU_IDR0);
}

@inline
export function idr3(unit: usize): u64 {
  return register(unit, SMMU_IDR3);
}

/** HTTU: 0 none, 1 access flag, 2 dirty state too (3, HAFT, counts as 2). */
@inline
export function updatesOf(unit: usize): u32 {
  return min(<u32>(idr0(unit) >> 6) & 3, <u32>2);
}

/** STALL_MODEL: 0 stall and terminate, 1 terminate only, 2 stall only. */
@inline
export function stallModel(unit: usize): u32 {
  return <u32>(idr0(unit) >> 24) & 3;
}

/** SSIDSIZE. */
@inline
export function substreamBits(unit: usize): u32 {
  return <u32>(register(unit, SMMU_IDR1) >> 6) & 31;
}

/** Width of OAS, CD.IPS and STE.S2PS; 7 counts as 6. */
export function widthOf(size: u32): u32 {
  return size == 0 ? 32 : size == 1 ? 36 : size == 2 ? 40 : size == 3 ? 42 : size == 4 ? 44 : size == 5 ? 48 : 52;
}

export function outputWidth(unit: usize): u32 {
  return widthOf(<u32>register(unit, SMMU_IDR5) & 7);
}

/** IAS (3.4). */
export function inputWidth(unit: usize): u32 {
  return max(idr0(unit) & 4 ? <u32>40 : 0, idr0(unit) & TTF_64 ? outputWidth(unit) : 0);
}

/** `high`:`low` of a quadword of a structure that lies in linear memory; fewer than 32 bits. */
@inline
export function field(words: usize, quad: usize, high: u32, low: u32): u32 {
  return <u32>(load<u64>(words + (quad << 3)) >> low) & ((<u32>1 << (high - low + 1)) - 1);
}

/** lg2 bytes of TG0 and S2TG (5.4, 5.2); 0 is reserved. */
@inline
export function granuleOf(tg: u32): u32 {
  return tg == 0 ? 12 : tg == 1 ? 16 : tg == 2 ? 14 : 0;
}

export function hasGranule(unit: usize, granule: u32): bool {
  const idr5 = register(unit, SMMU_IDR5);
  return granule != 0 && (idr5 >> (granule == 12 ? 4 : granule == 14 ? 5 : 6) & 1) != 0;
}

/** CD.DS and STE.S2DS count with SMMU_IDR5.DS and granules below 64K only. */
@inline
export function wideDescriptors(unit: usize, bit: u32, granule: u32): bool {
  return bit != 0 && (register(unit, SMMU_IDR5) & 0x80) != 0 && granule != 16;
}

/** Flags of the descriptors' width. */
@inline
export function widthFlags(unit: usize, ds: bool): u32 {
  return (ds ? VMSA_DS : 0) | (outputWidth(unit) == 52 ? VMSA_PA52 : 0);
}

/** Largest TxSZ (STES2T0SZInvalid, CDTxSZInvalid). */
@inline
export function largestTxsz(unit: usize, granule: u32): u32 {
  return !(idr3(unit) & STT) ? 39 : granule == 16 ? 47 : 48;
}

/** A TTB wider than it may be: 48 bits in granules below 64K without DS (5.2, 5.4). */
@inline
export function baseTooWide(base: u64, granule: u32, ds: bool, outputBits: u32): bool {
  return base >> (granule != 16 && !ds ? min(outputBits, <u32>48) : outputBits) != 0;
}

/** CD.ENDI and STE.S2ENDI against TTENDIAN. */
@inline
export function endiannessIllegal(unit: usize, big: u32): bool {
  const model = <u32>(idr0(unit) >> 21) & 3;
  return (model == 2 && big != 0) || (model == 3 && big == 0);
}

/**
 * Fill the shape of a stage and its root, aligned as AArch64.TTBaseAddress does: to the size of the first table, to 64
 * bytes at least when the output has 52 bits.
 */
export function shape(g: Geometry, granule: u32, txsz: u32, top: u32, base: u64, outputBits: u32): void {
  g.granule = granule;
  g.inputBits = 64 - txsz;
  g.top = top;
  g.outputBits = outputBits;
  g.leaves = 0xffff_ffff_ffff_f000;
  const table = 3 + g.inputBits - (granule + (granule - 3) * top);
  const aligned = max(table, <u32>(outputBits == 52 ? 6 : 4));
  g.root = base >> aligned << aligned;
}
