// AMD host tables, "v1" (48882 2.2.3 "I/O Page Tables for Host Translations"): modes 1 to 6, entries that skip levels,
// pages of every power of two.
//
//   63   62  61  60  59  58..52  51.....12  11....9     8,7  6  5  4..1  0
//   ig   IW  IR  FC  U   reserved address   Next Level  ig   D  A  ig    PR
//
// Next Level: 0 a page of the level's size, 1 to 6 a table of that level, 7 a page whose size is in its address: the
// lowest 0 from bit 12 on is one below its lg2. U and FC are page bits, reserved in table entries. Levels of the
// specification count from 1.
import {
  ACCESS_EXECUTE,
  ACCESS_READ,
  ACCESS_WRITE,
  AMD_V1_ACCESSED,
  AMD_V1_DIRTY,
  AMD_V1_READ,
  AMD_V1_WRITE,
  PERM_PRIVILEGED_SHIFT,
} from "../layout";
import { ENTRY_ABSENT, ENTRY_LEAF, ENTRY_RESERVED, ENTRY_TABLE, Geometry, PtFormat } from "./contract";
import { narrowInput, refuseReadWrite } from "./shared";

// 2.2.3, figures "I/O Page Table Entry" and "I/O Page Directory Entry"
const PRESENT: u64 = 1;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const UNTRANSLATED_ONLY: u64 = 1 << 59;
const FORCE_COHERENT: u64 = 1 << 60;
const READ: u64 = 1 << 61;
const WRITE: u64 = 1 << 62;
const PAGE_RESERVED: u64 = 0x07f0_0000_0000_0000; // 58:52
const TABLE_RESERVED: u64 = 0x1ff0_0000_0000_0000; // 60:52
const NEXT: u64 = 0xe00; // 11:9

@inline
function next(entry: u64): u32 {
  return <u32>(entry >> 9) & 7;
}

@inline
function isPage(entry: u64): bool {
  const n = next(entry);
  return n == 0 || n == 7;
}

/** A reserved bit is set: RZ of the event (2.5.3), where other illegal entries have RZ 0. */
@inline
export function amdV1Reserved(entry: u64): bool {
  return (entry & (isPage(entry) ? PAGE_RESERVED : TABLE_RESERVED)) != 0;
}

/** 2.2.3, table "Example Page Size Encodings" */
@inline
function encodedLg2(entry: u64): u32 {
  return 13 + <u32>ctz(~(entry >> 12));
}

@unmanaged @final
export class AmdV1 extends PtFormat {
  // address bits above those that the root level translates must be zero
  @inline outside(g: Geometry, address: u64): u32 { return narrowInput(g, address); }
  // the sixth level has address bits 63:57 only
  @inline indexBits(g: Geometry, level: u32): u32 { return level == 5 ? 7 : 9; }
  @inline tableLg2(g: Geometry, level: u32): u32 { return 12; }

  // PR, then reserved bits, then level or page size
  @inline kind(g: Geometry, level: u32, entry: u64): u32 {
    if (!(entry & PRESENT)) return ENTRY_ABSENT;
    if (amdV1Reserved(entry)) return ENTRY_RESERVED;
    const n = next(entry);
    if (n != 0 && n != 7) return n > level ? ENTRY_RESERVED : ENTRY_TABLE;
    if (level == 5) return ENTRY_RESERVED; // no pages at the top level
    if (n == 0) return ENTRY_LEAF;
    // larger than this level's own size, smaller than the next level's; 51:12 has a 0
    const lg2 = encodedLg2(entry);
    const own = this.spanLg2(g, level);
    return lg2 <= own || lg2 >= own + 9 || lg2 > 52 ? ENTRY_RESERVED : ENTRY_LEAF;
  }
  @inline nextLevel(g: Geometry, level: u32, entry: u64): u32 { return next(entry) - 1; }
  // address bits that a skipped level would have translated must be zero
  @inline skipsNonZero(g: Geometry, level: u32, entry: u64, address: u64): bool {
    return (address & ((<u64>1 << this.spanLg2(g, level)) - (<u64>1 << this.spanLg2(g, next(entry))))) != 0;
  }
  @inline tableAddress(g: Geometry, level: u32, entry: u64): u64 { return entry & ADDRESS; }
  @inline itemLg2(g: Geometry, level: u32, entry: u64): u32 {
    return next(entry) == 7 ? encodedLg2(entry) : this.spanLg2(g, level);
  }
  // address bits below the page size are not looked at
  @inline itemAddress(g: Geometry, level: u32, entry: u64, lg2: u32): u64 {
    return entry & ADDRESS & ~((<u64>1 << lg2) - 1);
  }
  @inline attributes(g: Geometry, level: u32, entry: u64): u32 {
    return (entry & FORCE_COHERENT ? 1 : 0) | (entry & UNTRANSLATED_ONLY ? 2 : 0);
  }

  // IR and IW are ANDed from the device table entry down; no privilege, a fetch is a read
  @inline rights(read: bool, write: bool): u32 {
    const bits: u32 = (read ? ACCESS_READ | ACCESS_EXECUTE : 0) | (write ? ACCESS_WRITE : 0);
    return bits | (bits << PERM_PRIVILEGED_SHIFT);
  }
  @inline open(g: Geometry): u32 { return this.rights((g.flags & AMD_V1_READ) != 0, (g.flags & AMD_V1_WRITE) != 0); }
  @inline narrow(g: Geometry, level: u32, entry: u64, state: u32): u32 {
    return state & this.rights((entry & READ) != 0, (entry & WRITE) != 0);
  }
  @inline permissions(g: Geometry, level: u32, entry: u64, state: u32): u32 { return this.narrow(g, level, entry, state); }
  @inline refusal(g: Geometry, permissions: u32, access: u32): u32 { return refuseReadWrite(permissions, access); }

  // 2.2.3.1 and 2.2.3.2: A in every entry, D in the page, once the walk has succeeded
  @inline late(g: Geometry): bool { return true; }
  @inline tracks(g: Geometry): bool { return (g.flags & (AMD_V1_ACCESSED | AMD_V1_DIRTY)) != 0; }
  @inline updates(g: Geometry): bool { return true; }
  @inline touchTable(g: Geometry, level: u32, entry: u64): u64 {
    return g.flags & AMD_V1_ACCESSED ? entry | ACCESSED : entry;
  }
  @inline touchLeaf(g: Geometry, level: u32, entry: u64, writing: bool): u64 {
    return this.touchTable(g, level, entry) | (writing && (g.flags & AMD_V1_DIRTY) != 0 ? DIRTY : 0);
  }
  @inline dirty(g: Geometry, level: u32, entry: u64): bool {
    return !(g.flags & AMD_V1_DIRTY) || (entry & DIRTY) != 0;
  }

  // the levels' own sizes, and 7h pages up to the output's width: spans of equal entries
  @inline makeTable(g: Geometry, level: u32, table: u64): u64 {
    return table | PRESENT | READ | WRITE | (<u64>level << 9);
  }
  @inline buildable(g: Geometry): u64 {
    const all: u64 = 0x000f_ffff_ffff_f000;
    return all & ((<u64>1 << this.spanLg2(g, min(g.top, <u32>4) + 1)) - 1);
  }
  @inline expressible(g: Geometry, permissions: u32): bool { return (permissions & (ACCESS_READ | ACCESS_WRITE)) != 0; }
  @inline bits(permissions: u32): u64 {
    return (permissions & ACCESS_READ ? READ : 0) | (permissions & ACCESS_WRITE ? WRITE : 0);
  }
  @inline makeLeaf(g: Geometry, level: u32, address: u64, index: u32, lg2: u32, permissions: u32): u64 {
    const entry = address | PRESENT | this.bits(permissions);
    // the lowest 0 from bit 12 on is one below the size
    return lg2 > this.spanLg2(g, level) ? entry | NEXT | ((<u64>1 << (lg2 - 1)) - 0x1000) : entry;
  }
  @inline makePart(g: Geometry, level: u32, leaf: u64, leafLevel: u32, address: u64): u64 {
    return address | (leaf & ~(ADDRESS | NEXT));
  }
  @inline withPermissions(g: Geometry, level: u32, leaf: u64, permissions: u32): u64 {
    return (leaf & ~(READ | WRITE)) | this.bits(permissions);
  }
  @inline soil(g: Geometry, level: u32, leaf: u64): u64 { return leaf | DIRTY; }
  @inline clean(g: Geometry, level: u32, leaf: u64): u64 { return leaf & ~DIRTY; }
}
