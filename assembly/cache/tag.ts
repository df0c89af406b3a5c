// Tags: who a cached answer belongs to.
//
//   63    62     61..60   59..56   55......40   39..38   37..36  35.......16   15......0
//   valid global  world    variant  source RID   variant  stages  PASID, ASID   domain, VMID
//                                   (if asked)                    or PSCID      or GSCID
//
// Variant: what requesters of one domain may differ in though they share its tables. No invalidation looks at it.
import { TAG_GLOBAL } from "./assoc";

export const TAG_VALID: u64 = 1 << 63;
export const TAG_DOMAIN_MASK: u64 = TAG_VALID | 0xffff;
export const TAG_SPACE_MASK: u64 = TAG_DOMAIN_MASK | 0xf_ffff_0000;
export const TAG_EXACT: u64 = 0xffff_ffff_ffff_ffff;

/** Which stages made the answer; an answer of one stage is not used for another. */
export const TAG_FIRST: u64 = 1 << 36;
export const TAG_SECOND: u64 = 1 << 37;
export const TAG_NESTED: u64 = TAG_FIRST | TAG_SECOND;

/** RISC-V: made with PC.ta.SUM, which grants other rights. */
export const TAG_SUM: u64 = 1 << 38;
/** RISC-V: hardware sets A and D in the first stage (SADE), in the second (GADE). */
export const TAG_SADE: u64 = 1 << 39;
export const TAG_GADE: u64 = 1 << 60;
/** RISC-V: a second stage as walks for first-stage tables see it. */
export const TAG_TABLES: u64 = 1 << 61;
/** Four bits of variant: RISC-V the MSI table (device/riscv-msi.ts), AMD IR, IW and HAD of the device table entry. */
export const VARIANT_SHIFT: u64 = 56;

/** Translation regimes that do not share answers (SMMUv3 stream worlds). */
export const WORLD_SHIFT: u64 = 60;
const SOURCE_SHIFT: u64 = 40;

@inline
export function makeTag(domain: u32, space: u32, stages: u64): u64 {
  return TAG_VALID | <u64>(domain & 0xffff) | (<u64>(space & 0xf_ffff) << 16) | stages;
}

@inline
export function withSource(tag: u64, rid: u32): u64 {
  return tag | (<u64>(rid & 0xffff) << SOURCE_SHIFT);
}

/** The same tag for an entry that every address space of the domain may use. */
@inline
export function globalOf(tag: u64): u64 {
  return (tag & ~(<u64>0xf_ffff << 16)) | TAG_GLOBAL;
}

/** Address that the context cache files a requester under: functions last, since most devices have function 0 alone. */
@inline
export function deviceAddress(rid: u32): u64 {
  return <u64>rotr<u32>(rid, 3) << 12;
}
