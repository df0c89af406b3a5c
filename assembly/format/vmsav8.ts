// VMSAv8-64 tables (Arm ARM DDI 0487 chapter D8), what stages 1 and 2 share: granules of 4, 16 and 64 KiB, any input
// width and start level, concatenated first tables, blocks, the contiguous bit, 48-bit and 52-bit descriptors.
//
//   63..59        55  54   53   52    51   50..48  47..........n  n-1..12  11  10  9:8      7:6  5:2   1  0
//   table bits    ig  UXN  PXN  Cont  DBM  res0    address        (high)   nG  AF  SH/high  AP   Attr  T  V
//
// Levels of the architecture count down: its level 3 is our level 0. V and T: 3 is a table, or a page at level 0; 1 is a
// block above level 0. What else is not 3 or 1, or has no blocks at its level, is invalid. No bit is reserved.
import { OUTCOME_NO_EXECUTE, OUTCOME_NO_READ, OUTCOME_NO_USER, OUTCOME_NO_WRITE, OUTCOME_NOT_PRESENT, OUTCOME_TRANSLATED } from "../layout";
import { ACCESS_ANY, ACCESS_EXECUTE, ACCESS_PRIVILEGED, ACCESS_READ, ACCESS_WRITE, PERM_PRIVILEGED_SHIFT } from "../layout";
import { VMSA_ACCESSED, VMSA_BIG_ENDIAN, VMSA_DS, VMSA_PA52, VMSA_TBI, VMSA_UPPER } from "../layout";
import { ENTRY_ABSENT, ENTRY_LEAF, ENTRY_OUTPUT_SIZE, ENTRY_TABLE, Geometry, PtFormat } from "./contract";

// D8.3
export const ACCESS_FLAG: u64 = 1 << 10;
export const DIRTY_MODIFIER: u64 = 1 << 51;
export const CONTIGUOUS: u64 = 1 << 52;
/** Our own, which hardware ignores: a page that was dirty when it lost its write right */
export const WAS_DIRTY: u64 = 1 << 55;
const TABLE: u64 = 3;
const BLOCK: u64 = 1;

/** Bit of `permissions`, the engine's own, beside those of users and the privileged: AF is 0 and nobody may set it. */
export const NOT_ACCESSED: u32 = 1 << 6;

/** The first refusal of an access, for the permissions that its privilege sees. */
@inline
export function refusedBy(permissions: u32, access: u32): u32 {
  const privileged = (access & ACCESS_PRIVILEGED) != 0;
  const other = permissions >> PERM_PRIVILEGED_SHIFT;
  const seen = privileged ? other : permissions;
  if (access & ACCESS_ANY) return seen & (ACCESS_READ | ACCESS_WRITE) ? OUTCOME_TRANSLATED : OUTCOME_NO_READ;
  const need = access & (ACCESS_READ | ACCESS_WRITE | ACCESS_EXECUTE);
  if ((seen & need) == need) return OUTCOME_TRANSLATED;
  if (!privileged && (other & need) == need) return OUTCOME_NO_USER;
  const missing = need & ~seen;
  return missing & ACCESS_WRITE ? OUTCOME_NO_WRITE : missing & ACCESS_READ ? OUTCOME_NO_READ : OUTCOME_NO_EXECUTE;
}

/** What both stages do; the subclasses are the formats. */
@unmanaged
export class Vmsa extends PtFormat {
  @inline spanLg2(g: Geometry, level: u32): u32 { return g.granule + (g.granule - 3) * level; }
  // the first table takes the bits that are left: fewer than a full index, or up to 4 more (concatenation)
  @inline indexBits(g: Geometry, level: u32): u32 {
    return level == g.top ? g.inputBits - this.spanLg2(g, level) : g.granule - 3;
  }
  @inline tableLg2(g: Geometry, level: u32): u32 { return this.indexBits(g, level) + 3; }
  // D8.2.4: bits above the input are zero, or ones in the upper range; TBI leaves 63:56 out
  @inline outside(g: Geometry, address: u64): u32 {
    let above = g.flags & VMSA_UPPER ? ~address : address;
    if (g.flags & VMSA_TBI) above &= 0x00ff_ffff_ffff_ffff;
    return above >> g.inputBits != 0 ? OUTCOME_NOT_PRESENT : OUTCOME_TRANSLATED;
  }
  @inline read(g: Geometry, pointer: usize): u64 {
    const entry = load<u64>(pointer);
    return g.flags & VMSA_BIG_ENDIAN ? bswap<u64>(entry) : entry;
  }
  @inline write(g: Geometry, pointer: usize, entry: u64): void {
    store<u64>(pointer, g.flags & VMSA_BIG_ENDIAN ? bswap<u64>(entry) : entry);
  }

  // D8.3.2: blocks by granule and level; one level more with 52-bit descriptors
  @inline hasBlocks(g: Geometry, level: u32): bool {
    if (g.granule == 12) return level <= 2 || (level == 3 && (g.flags & VMSA_DS) != 0);
    return level == 1 || (level == 2 && (g.flags & (g.granule == 14 ? VMSA_DS : VMSA_PA52)) != 0);
  }
  // AArch64.DescriptorOA
  @inline address(g: Geometry, entry: u64): u64 {
    if (g.granule == 16) return (entry & 0xffff_ffff_0000) | (g.flags & VMSA_PA52 ? (entry >> 12 & 15) << 48 : 0);
    if (g.flags & VMSA_DS) return (entry & 0x0003_ffff_ffff_f000) | ((entry >> 8 & 3) << 50);
    return entry & 0xffff_ffff_f000;
  }
  @inline withAddress(g: Geometry, address: u64): u64 {
    if (g.granule == 16) return (address & 0xffff_ffff_0000) | (address >> 48 & 15) << 12;
    return (address & 0x0003_ffff_ffff_f000) | (address >> 50 & 3) << 8;
  }
  /** The bits of an entry that hold its address. */
  @inline addressBits(g: Geometry): u64 {
    if (g.granule == 16) return g.flags & VMSA_PA52 ? 0xffff_ffff_f000 : 0xffff_ffff_0000;
    return g.flags & VMSA_DS ? 0x0003_ffff_ffff_f300 : 0xffff_ffff_f000;
  }

  // AArch64.DecodeDescriptorType, then the output size
  @inline kind(g: Geometry, level: u32, entry: u64): u32 {
    const type = entry & 3;
    const table = type == TABLE && level != 0;
    if (!table && !(level == 0 ? type == TABLE : type == BLOCK && this.hasBlocks(g, level))) return ENTRY_ABSENT;
    const lg2 = table ? g.granule : this.spanLg2(g, level);
    if (this.address(g, entry) >> lg2 << lg2 >> g.outputBits != 0) return ENTRY_OUTPUT_SIZE;
    return table ? ENTRY_TABLE : ENTRY_LEAF;
  }
  @inline tableAddress(g: Geometry, level: u32, entry: u64): u64 {
    return this.address(g, entry) >> g.granule << g.granule;
  }
  @inline itemAddress(g: Geometry, level: u32, entry: u64, lg2: u32): u64 { return this.address(g, entry) >> lg2 << lg2; }

  // D8.7.1: lg2 entries of a contiguous set, 0 where the bit has no meaning
  @inline contiguous(g: Geometry, level: u32): u32 {
    if (g.granule == 12) return level <= 2 ? 4 : 0;
    if (g.granule == 14) return level == 0 ? 7 : level == 1 ? 5 : 0;
    return level <= 1 ? 5 : 0;
  }
  @inline itemLg2(g: Geometry, level: u32, entry: u64): u32 {
    const span = this.spanLg2(g, level);
    const set = span + this.contiguous(g, level);
    return (entry & CONTIGUOUS) != 0 && set <= g.inputBits ? set : span;
  }
  @inline placedLg2(g: Geometry, level: u32, entry: u64, address: u64, lg2: u32): u32 {
    const span = this.spanLg2(g, level);
    const within = (<u64>1 << lg2) - (<u64>1 << span);
    return ((this.address(g, entry) ^ address) & within) == 0 ? lg2 : span;
  }

  @inline tracks(g: Geometry): bool { return (g.flags & VMSA_ACCESSED) != 0; }
  @inline updates(g: Geometry): bool { return true; }

  @inline makeTable(g: Geometry, level: u32, table: u64): u64 { return this.withAddress(g, table) | TABLE; }
  /** lg2 sizes of a page or block, and of a contiguous set of them, at one level of this table */
  @inline sizes(g: Geometry, level: u32): u64 {
    if (level > g.top || (level != 0 && !this.hasBlocks(g, level))) return 0;
    const span = this.spanLg2(g, level);
    return (<u64>1 << span) | (<u64>1 << (span + this.contiguous(g, level)));
  }
  @inline buildable(g: Geometry): u64 {
    return this.sizes(g, 0) | this.sizes(g, 1) | this.sizes(g, 2) | this.sizes(g, 3);
  }
  /** Entry `index` of an item without its rights and attributes. */
  @inline place(g: Geometry, level: u32, address: u64, index: u32, lg2: u32): u64 {
    const span = this.spanLg2(g, level);
    const entry = this.withAddress(g, address + (<u64>index << span)) | (level == 0 ? TABLE : BLOCK) | ACCESS_FLAG;
    return lg2 > span ? entry | CONTIGUOUS : entry;
  }
  @inline makePart(g: Geometry, level: u32, leaf: u64, leafLevel: u32, address: u64): u64 {
    const kept = leaf & ~(this.addressBits(g) | CONTIGUOUS | 3);
    return kept | this.withAddress(g, address) | (level == 0 ? TABLE : BLOCK);
  }
}
