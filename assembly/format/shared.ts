// What several formats have in common.
import {
  ACCESS_ANY,
  ACCESS_EXECUTE,
  ACCESS_READ,
  ACCESS_WRITE,
  OUTCOME_ADDRESS_SIZE,
  OUTCOME_NO_EXECUTE,
  OUTCOME_NO_READ,
  OUTCOME_NO_WRITE,
  OUTCOME_TRANSLATED,
} from "../layout";
import { Geometry } from "./contract";

/** Bits above the input width must be zero. */
@inline
export function narrowInput(g: Geometry, address: u64): u32 {
  return g.inputBits < 64 && (address >> g.inputBits) != 0 ? OUTCOME_ADDRESS_SIZE : OUTCOME_TRANSLATED;
}

/** Bits from the top one of the input width up must be equal. */
@inline
export function canonicalInput(g: Geometry, address: u64): u32 {
  const high = <i64>address >> (g.inputBits - 1);
  return high != 0 && high != -1 ? OUTCOME_ADDRESS_SIZE : OUTCOME_TRANSLATED;
}

/** Read and write rights apart, execute a kind of read, no privilege. */
@inline
export function refuseReadWrite(permissions: u32, access: u32): u32 {
  if (access & ACCESS_ANY) return permissions & (ACCESS_READ | ACCESS_WRITE) ? OUTCOME_TRANSLATED : OUTCOME_NO_READ;
  if (access & ACCESS_WRITE && !(permissions & ACCESS_WRITE)) return OUTCOME_NO_WRITE;
  if (access & (ACCESS_READ | ACCESS_EXECUTE) && !(permissions & ACCESS_READ)) return OUTCOME_NO_READ;
  if (access & ACCESS_EXECUTE && !(permissions & ACCESS_EXECUTE)) return OUTCOME_NO_EXECUTE;
  return OUTCOME_TRANSLATED;
}

// Intel SDM volume 3, 4.5 "4-Level Paging and 5-Level Paging"
const X86_ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const X86_PAGE_SIZE: u64 = 1 << 7;

/** Part of a leaf in the layout of Intel 64 paging: PAT is bit 12 of a large page and bit 7 of one of 4 KiB. */
@inline
export function x86Part(level: u32, leaf: u64, leafLevel: u32, address: u64): u64 {
  const kept = address | (leaf & ~(X86_ADDRESS | X86_PAGE_SIZE));
  if (leafLevel == 0) return kept | (leaf & X86_PAGE_SIZE);
  const pat = leaf & 0x1000;
  return kept | (level ? X86_PAGE_SIZE | pat : pat >> 5);
}
