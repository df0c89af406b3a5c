// Tags: who a cached answer belongs to.
//
//   63    62     61..60   59..56  55......40   39..36  35.......16   15......0
//   valid global  world    zero   source RID    stages  PASID, ASID   domain, VMID
//                                 (if asked)            or PSCID      or GSCID
import { TAG_GLOBAL } from "./assoc";

export const TAG_VALID: u64 = 1 << 63;
export const TAG_DOMAIN_MASK: u64 = TAG_VALID | 0xffff;
export const TAG_SPACE_MASK: u64 = TAG_DOMAIN_MASK | 0xf_ffff_0000;
export const TAG_EXACT: u64 = 0xffff_ffff_ffff_ffff;

/** Which stages made the answer; an answer of one stage is not used for another. */
export const TAG_FIRST: u64 = 1 << 36;
export const TAG_SECOND: u64 = 1 << 37;
export const TAG_NESTED: u64 = TAG_FIRST | TAG_SECOND;

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
