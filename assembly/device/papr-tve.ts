// Translation validation entries (IODA3 "TVT"): what one half of a PE's DMA addresses leads to.
//
//   translated:  63..16 table address 59:12   15..13 levels - 1   12..8 lg2 bytes of a table - 11   4..0 lg2 page - 11
//   as it comes: 63..40 start 47:24   39..16 end 47:24   12 one   11..10 start 49:48   9..8 end 49:48   4..0 zero
//
// Bits 12..8 zero: the entry is not valid.
import { Geometry } from "../format/contract";
import { SELECT_BIT } from "../format/tce";
import { FORMAT_TCE } from "../layout";

// ---- what a half leads to, the engine's own
export const HALF_NONE: u32 = 0;
export const HALF_TABLE: u32 = 1;
/** untranslated: from `root` up to, not with, `extra` */
export const HALF_REAL: u32 = 2;

// IODA3 "TVT"
const OUTPUT_BITS: u32 = 60;
/** lg2 bytes of pages: 4K, 64K, 2M, 16M, 256M, 1G */
const PAGES: u64 = (1 << 12) | (1 << 16) | (1 << 21) | (1 << 24) | (1 << 28) | (1 << 30);

/** HALF_* of an entry, and its geometry. */
export function decodeTve(tve: u64, g: Geometry): u32 {
  const size = <u32>(tve >> 8) & 31;
  if (size == 0) return HALF_NONE;
  const page = <u32>tve & 31;
  if (page == 0) {
    if (!(size & 16)) return HALF_NONE;
    g.root = (tve >> 40 << 24) | ((tve >> 10 & 3) << 48);
    g.extra = ((tve >> 16 & 0xff_ffff) << 24) | ((tve >> 8 & 3) << 48);
    return HALF_REAL;
  }
  const top = <u32>(tve >> 13) & 7;
  const lg2 = page + 11;
  const width = size + 8;
  // the first table's entries lie within the half
  if (top > 4 || !(PAGES >> lg2 & 1) || lg2 + width * top >= SELECT_BIT) return HALF_NONE;
  g.root = tve >> 16 << 12;
  g.format = FORMAT_TCE;
  g.granule = lg2;
  g.leaves = <u64>1 << lg2;
  g.top = top;
  g.inputBits = min(lg2 + width * (top + 1), SELECT_BIT);
  g.outputBits = OUTPUT_BITS;
  g.extra = width;
  return HALF_TABLE;
}

/** The entry of a table that the engine built. */
export function encodeTve(g: Geometry): u64 {
  return (g.root >> 12 << 16) | (<u64>g.top << 13) | ((g.extra - 8) << 8) | (g.granule - 11);
}

/** The entry that passes 2^50 addresses through. */
export function realTve(): u64 {
  // the end is one below 2^50 in units of 16 MiB
  return (<u64>0xff_ffff << 16) | (1 << 12) | (3 << 8);
}
