// SMMUv3 stream table entries (IHI 0070 5.2): 64 bytes, of which four quadwords matter; quadword.bits:
//   0.0 V, 0.3:1 Config, 0.5:4 S1Fmt, 0.55:6 S1ContextPtr, 0.63:59 S1CDMax
//   1.1:0 S1DSS, 1.25 S2FWB, 1.27 S1STALLD, 1.29:28 EATS, 1.31:30 STRW, 1.49:48 PRIVCFG, 1.51:50 INSTCFG
//   2.15:0 S2VMID, 2.37:32 S2T0SZ, 2.39:38 S2SL0, 2.47:46 S2TG, 2.50:48 S2PS, 2.51 S2AA64, 2.52 S2ENDI, 2.53 S2AFFD,
//   2.54 S2PTW, 2.55 S2HD, 2.56 S2HA, 2.57 S2S, 2.58 S2R
//   3.2 S2SL0_2, 3.3 S2DS, 3.51:4 S2TTB
import { Geometry } from "../format/contract";
import { FORMAT_VMSA_SECOND, SMMU_CR2, VMSA_ACCESSED, VMSA_AFFD, VMSA_BIG_ENDIAN, VMSA_DIRTY, VMSA_FWB, VMSA_PTW, VMSA_XNX } from "../layout";
import { register } from "../unit";
import {
  ATS, baseTooWide, CD2L, DPT, endiannessIllegal, field, FWB, granuleOf, hasGranule, HYP, idr0, idr3, inputWidth, largestTxsz, NS1ATS,
  outputWidth, S1P, S2P, shape, stallModel, STT, substreamBits, TTF_64, updatesOf, VMID16, wideDescriptors, widthFlags, widthOf, XNX,
} from "./smmuv3-registers";

// ---- stream worlds (5.2 STRW), numbers of the engine's own
export const EL1: u32 = 0;
export const EL2: u32 = 1;
export const EL2_E2H: u32 = 2;

@inline
export function configOf(ste: usize): u32 {
  return field(ste, 0, 3, 1);
}

@inline
export function hasFirst(ste: usize): bool {
  return (configOf(ste) & 5) == 5;
}

@inline
export function hasSecond(ste: usize): bool {
  return (configOf(ste) & 6) == 6;
}

@inline
export function contextPointer(ste: usize): u64 {
  return load<u64>(ste) & 0x00ff_ffff_ffff_ffc0;
}

/** S1CDMax; 0 without substreams. */
@inline
export function substreamMax(unit: usize, ste: usize): u32 {
  return substreamBits(unit) == 0 ? 0 : field(ste, 0, 63, 59);
}

@inline
export function dss(ste: usize): u32 {
  return field(ste, 1, 1, 0);
}

/** IgnoreSTESTRW (5.2.2) */
function worldUnused(unit: usize, ste: usize): bool {
  const id = idr0(unit);
  return !(id & S1P) || !(id & HYP) || hasSecond(ste) || configOf(ste) == 4;
}

export function worldOf(unit: usize, ste: usize): u32 {
  if (worldUnused(unit, ste) || field(ste, 1, 31, 30) == 0) return EL1;
  return register(unit, SMMU_CR2) & 1 ? EL2_E2H : EL2;
}

/** S2VMID where it is in use (IgnoreSTES2VMID), else 0. */
export function vmidOf(unit: usize, ste: usize): u32 {
  return !(idr0(unit) & S2P) || configOf(ste) == 4 || worldOf(unit, ste) != EL1 ? 0 : field(ste, 2, 15, 0);
}

/** Level of the first table, ours; S2SL0 with S2SL0_2, which counts for 4K with DS (D8.2.9). Above 4: no such encoding. */
function secondTop(granule: u32, sl0: u32, sl02: u32, ds: bool): u32 {
  if (granule != 12) return granule == 16 && sl0 == 3 ? 255 : sl0;
  if (ds && sl02 != 0) return sl0 == 0 ? 4 : 255;
  return sl0 == 3 ? 0 : sl0 + 1;
}

/** STEWalkConfigInconsistentAA64: AArch64.S2InvalidSL, AArch64.S2InconsistentSL */
function levelsIllegal(unit: usize, granule: u32, top: u32, txsz: u32, ds: bool): bool {
  if (top > 4) return true;
  const oas = outputWidth(unit);
  if (granule == 12) {
    if ((top == 4 && oas < 52) || (top == 3 && oas < 44) || (top == 0 && !(idr3(unit) & STT))) return true;
  } else if (granule == 14) {
    if ((top == 3 && (!ds || oas < 52)) || (top == 2 && oas < 42)) return true;
  } else if (top == 2 && oas < 44) return true;
  // one bit at least to resolve in the first table, at most a full index and 4 more: 16 concatenated tables
  const least = granule + (granule - 3) * top + 1;
  const size: u32 = 64 - txsz;
  return size < least || size > least + granule;
}

/** EATS against the other fields; ATS itself is the device-TLB's. */
function atsIllegal(unit: usize, ste: usize, unused: bool): bool {
  const config = configOf(ste);
  if (!(idr0(unit) & ATS) || config == 4) return false;
  const eats = field(ste, 1, 29, 28);
  const stalls = field(ste, 2, 57, 57) != 0;
  const second = hasSecond(ste);
  if (eats == 2) return config != 7 || stalls || (idr0(unit) & NS1ATS) != 0;
  if (eats == 1) return stalls && second;
  return eats == 3 && (idr3(unit) & DPT) != 0 && ((!unused && field(ste, 1, 31, 30) != 0) || (second && stalls));
}

function firstIllegal(unit: usize, ste: usize): bool {
  if (!(idr0(unit) & S1P) || (field(ste, 1, 27, 27) != 0 && stallModel(unit) != 0)) return true;
  const most = substreamBits(unit);
  if (most != 0) {
    const max = field(ste, 0, 63, 59);
    const fmt = field(ste, 0, 5, 4);
    if (max > most || (max != 0 && !(idr0(unit) & CD2L) && (fmt == 1 || fmt == 2))) return true;
  }
  return contextPointer(ste) >> (hasSecond(ste) ? inputWidth(unit) : outputWidth(unit)) != 0;
}

@inline
function secondBase(ste: usize): u64 {
  return load<u64>(ste, 24) & 0x000f_ffff_ffff_fff0;
}

function secondIllegal(unit: usize, ste: usize): bool {
  const id = idr0(unit);
  const stalls = field(ste, 2, 57, 57);
  if (!(id & S2P) || (stalls != 0 && stallModel(unit) == 1) || (stalls == 0 && stallModel(unit) == 2)) return true;
  if (!field(ste, 2, 51, 51) || !(id & TTF_64)) return true;
  const httu = updatesOf(unit);
  const hd = field(ste, 2, 55, 55);
  if ((httu == 0 && (hd | field(ste, 2, 56, 56)) != 0) || (httu == 1 && hd != 0)) return true;
  const granule = granuleOf(field(ste, 2, 47, 46));
  if (!hasGranule(unit, granule)) return true;
  const ds = wideDescriptors(unit, field(ste, 3, 3, 3), granule);
  const oas = outputWidth(unit);
  if (baseTooWide(secondBase(ste), granule, ds, min(widthOf(field(ste, 2, 50, 48)), oas))) return true;
  const txsz = field(ste, 2, 37, 32);
  const least = max(<u32>(granule == 16 || ds ? 12 : 16), 64 - inputWidth(unit));
  if (txsz < least || txsz > largestTxsz(unit, granule)) return true;
  const top = secondTop(granule, field(ste, 2, 39, 38), field(ste, 3, 2, 2), ds);
  return levelsIllegal(unit, granule, top, txsz, ds) || endiannessIllegal(unit, field(ste, 2, 52, 52));
}

/** SteIllegal (5.2.2) */
export function steIllegal(unit: usize, ste: usize): bool {
  if (!field(ste, 0, 0, 0)) return true;
  const config = configOf(ste);
  if (config < 4) return false;
  const unused = worldUnused(unit, ste);
  if (atsIllegal(unit, ste, unused)) return true;
  const strw = field(ste, 1, 31, 30);
  if (!unused && (strw & 1) != 0) return true;
  if (hasFirst(ste) && firstIllegal(unit, ste)) return true;
  if (hasSecond(ste) && secondIllegal(unit, ste)) return true;
  const vmidUnused = !(idr0(unit) & S2P) || config == 4 || (strw != 0 && !unused);
  return !vmidUnused && !(idr0(unit) & VMID16) && field(ste, 2, 15, 0) > 0xff;
}

/** Stage 2 of a legal entry. */
export function secondGeometry(unit: usize, ste: usize, g: Geometry): void {
  const granule = granuleOf(field(ste, 2, 47, 46));
  const ds = wideDescriptors(unit, field(ste, 3, 3, 3), granule);
  const outputBits = min(widthOf(field(ste, 2, 50, 48)), outputWidth(unit));
  g.format = FORMAT_VMSA_SECOND;
  const top = secondTop(granule, field(ste, 2, 39, 38), field(ste, 3, 2, 2), ds);
  shape(g, granule, field(ste, 2, 37, 32), top, secondBase(ste), outputBits);
  const ha = field(ste, 2, 56, 56) != 0;
  g.flags =
    widthFlags(unit, ds) |
    (field(ste, 2, 52, 52) ? VMSA_BIG_ENDIAN : 0) |
    (field(ste, 2, 53, 53) ? VMSA_AFFD : 0) |
    (field(ste, 2, 54, 54) ? VMSA_PTW : 0) |
    (ha ? VMSA_ACCESSED : 0) |
    (ha && field(ste, 2, 55, 55) != 0 ? VMSA_DIRTY : 0) |
    (idr3(unit) & XNX ? VMSA_XNX : 0) |
    (field(ste, 1, 25, 25) != 0 && (idr3(unit) & FWB) != 0 ? VMSA_FWB : 0);
}
