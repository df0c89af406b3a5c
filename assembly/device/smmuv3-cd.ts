// SMMUv3 context descriptors (IHI 0070 5.4): 64 bytes; quadword.bits:
//   0.5:0 T0SZ, 0.7:6 TG0, 0.14 EPD0, 0.15 ENDI, 0.21:16 T1SZ, 0.23:22 TG1, 0.30 EPD1, 0.31 V, 0.34:32 IPS, 0.35 AFFD,
//   0.36 WXN, 0.38 TBI0, 0.39 TBI1, 0.40 PAN, 0.41 AA64, 0.42 HD, 0.43 HA, 0.44 S, 0.45 R, 0.46 A, 0.63:48 ASID
//   1.1 HAD0, 1.2 E0PD0, 1.51:4 TTB0, 1.59 EPAN; 2.1 HAD1, 2.2 E0PD1, 2.51:4 TTB1, 2.58 DS
import { Geometry } from "../format/contract";
import {
  FORMAT_VMSA_FIRST, SMMU_IDR5, VMSA_ACCESSED, VMSA_AFFD, VMSA_BIG_ENDIAN, VMSA_DIRTY, VMSA_E0PD, VMSA_EPAN, VMSA_HAD, VMSA_NO_WALK,
  VMSA_PAN, VMSA_PRIVILEGES, VMSA_TBI, VMSA_UPPER, VMSA_WXN,
} from "../layout";
import { register } from "../unit";
import {
  ASID16, baseTooWide, E0PD, endiannessIllegal, EPAN, field, granuleOf, HAD, hasGranule, idr0, idr3, largestTxsz, outputWidth, shape,
  stallModel, TERM_MODEL, TTF_64, updatesOf, wideDescriptors, widthFlags, widthOf,
} from "./smmuv3-registers";
import { EL2 } from "./smmuv3-ste";

/** EPD0, EPD1: no walk of that range; EL2 ignores EPD0 and has no TTB1 (EffectiveCDEPDx). */
@inline
function noWalk(cd: usize, upper: bool, world: u32): bool {
  return world == EL2 ? upper : field(cd, 0, upper ? 30 : 14, upper ? 30 : 14) != 0;
}

// TG1 is encoded otherwise than TG0
@inline
function granule(cd: usize, upper: bool): u32 {
  if (!upper) return granuleOf(field(cd, 0, 7, 6));
  const tg = field(cd, 0, 23, 22);
  return tg == 1 ? 14 : tg == 2 ? 12 : tg == 3 ? 16 : 0;
}

@inline
function txsz(cd: usize, upper: bool): u32 {
  return upper ? field(cd, 0, 21, 16) : field(cd, 0, 5, 0);
}

@inline
function base(cd: usize, upper: bool): u64 {
  return load<u64>(cd + (upper ? 16 : 8)) & 0x000f_ffff_ffff_fff0;
}

@inline
function outputBitsOf(unit: usize, cd: usize): u32 {
  return min(widthOf(field(cd, 0, 34, 32)), outputWidth(unit));
}

function rangeIllegal(unit: usize, cd: usize, world: u32, upper: bool): bool {
  if (noWalk(cd, upper, world)) return false;
  const lg2 = granule(cd, upper);
  if (!hasGranule(unit, lg2)) return true;
  const ds = wideDescriptors(unit, field(cd, 2, 58, 58), lg2);
  const size = txsz(cd, upper);
  const wide = (register(unit, SMMU_IDR5) >> 10 & 3) != 0 && (lg2 == 16 || ds);
  return size < <u32>(wide ? 12 : 16) || size > largestTxsz(unit, lg2) || baseTooWide(base(cd, upper), lg2, ds, outputBitsOf(unit, cd));
}

/** CdIllegal (5.4.2); `stallDisabled` is STE.S1STALLD. */
export function cdIllegal(unit: usize, cd: usize, stallDisabled: u32, world: u32): bool {
  const stalls = field(cd, 0, 44, 44);
  const model = stallModel(unit);
  if (!field(cd, 0, 31, 31) || (stalls != 0 && (stallDisabled != 0 || model == 1)) || (stalls == 0 && model == 2)) return true;
  if ((idr0(unit) & TERM_MODEL) != 0 && !field(cd, 0, 46, 46)) return true;
  if (!(noWalk(cd, false, world) && noWalk(cd, true, world)) && endiannessIllegal(unit, field(cd, 0, 15, 15))) return true;
  if (!field(cd, 0, 41, 41) || !(idr0(unit) & TTF_64)) return true;
  const httu = updatesOf(unit);
  const hd = field(cd, 0, 42, 42);
  if ((httu == 0 && (hd | field(cd, 0, 43, 43)) != 0) || (httu == 1 && hd != 0)) return true;
  if (world != EL2 && !(idr0(unit) & ASID16) && field(cd, 0, 63, 48) > 0xff) return true;
  return rangeIllegal(unit, cd, world, false) || rangeIllegal(unit, cd, world, true);
}

/** Stage 1 of one range of a legal descriptor. What EPDx leaves unused is not looked at. */
export function firstGeometry(unit: usize, cd: usize, world: u32, upper: bool, g: Geometry): void {
  const two = world != EL2;
  const id = idr3(unit);
  g.format = FORMAT_VMSA_FIRST;
  let flags: u32 = two ? VMSA_PRIVILEGES : 0;
  if (noWalk(cd, upper, world)) {
    g.flags = flags | VMSA_NO_WALK;
    return;
  }
  const lg2 = granule(cd, upper);
  const size = txsz(cd, upper);
  shape(g, lg2, size, (64 - size - 1 - lg2) / (lg2 - 3), base(cd, upper), outputBitsOf(unit, cd));
  const ha = field(cd, 0, 43, 43) != 0;
  flags |=
    widthFlags(unit, wideDescriptors(unit, field(cd, 2, 58, 58), lg2)) |
    (upper ? VMSA_UPPER : 0) |
    (field(cd, 0, 15, 15) ? VMSA_BIG_ENDIAN : 0) |
    (field(cd, 0, 35, 35) ? VMSA_AFFD : 0) |
    (ha ? VMSA_ACCESSED : 0) |
    (ha && field(cd, 0, 42, 42) != 0 ? VMSA_DIRTY : 0) |
    (field(cd, 0, upper ? 39 : 38, upper ? 39 : 38) ? VMSA_TBI : 0) |
    ((id & HAD) != 0 && field(cd, upper ? 2 : 1, 1, 1) != 0 ? VMSA_HAD : 0) |
    (field(cd, 0, 36, 36) ? VMSA_WXN : 0);
  if (two) {
    flags |=
      ((id & E0PD) != 0 && field(cd, upper ? 2 : 1, 2, 2) != 0 ? VMSA_E0PD : 0) |
      (field(cd, 0, 40, 40) ? VMSA_PAN : 0) |
      ((id & EPAN) != 0 && field(cd, 1, 59, 59) != 0 ? VMSA_EPAN : 0);
  }
  g.flags = flags;
}
