// AMD guest tables, "v2" (48882 2.2.6; AMD64 Architecture Programmer's Manual volume 2, 5.3 "Long-Mode Page
// Translation"): 4 or 5 levels, pages of 4 KiB, 2 MiB and 1 GiB.
//
//   63  62..52  51.....12  11..9  8  7   6  5  4    3    2   1   0
//   NX  ig      address    ig     G  PS  D  A  PCD  PWT  US  RW  P
//
// PS: levels 2 and 3; PAT at level 1; bits 8:7 are reserved above. Bit 12 of a large page is PAT.
import {
  ACCESS_ANY,
  ACCESS_EXECUTE,
  ACCESS_PRIVILEGED,
  ACCESS_READ,
  ACCESS_WRITE,
  AMD_V2_ACCESSED,
  AMD_V2_DIRTY,
  AMD_V2_NX,
  AMD_V2_US,
  OUTCOME_NO_EXECUTE,
  OUTCOME_NO_USER,
  OUTCOME_NO_WRITE,
  OUTCOME_TRANSLATED,
  PERM_PRIVILEGED_SHIFT,
} from "../layout";
import { ENTRY_ABSENT, ENTRY_LEAF, ENTRY_RESERVED, ENTRY_TABLE, Geometry, PtFormat } from "./contract";
import { canonicalInput, x86Part } from "./shared";

// AMD64 volume 2, 5.3.3 to 5.4
const PRESENT: u64 = 1;
const WRITE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const PAGE_SIZE: u64 = 1 << 7;
const GLOBAL: u64 = 1 << 8;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const NO_EXECUTE: u64 = 1 << 63;

@unmanaged @final
export class AmdV2 extends PtFormat {
  // 5.3.1: canonical form
  @inline outside(g: Geometry, address: u64): u32 { return canonicalInput(g, address); }

  @inline large(level: u32, entry: u64): bool { return (level == 1 || level == 2) && (entry & PAGE_SIZE) != 0; }

  @inline kind(g: Geometry, level: u32, entry: u64): u32 {
    if (!(entry & PRESENT)) return ENTRY_ABSENT;
    const large = this.large(level, entry);
    let reserved = g.outputBits < 52 ? ADDRESS & ~((<u64>1 << g.outputBits) - 1) : 0;
    if (!(g.flags & AMD_V2_NX)) reserved |= NO_EXECUTE;
    if (level >= 3) reserved |= PAGE_SIZE | GLOBAL;
    // below the page, above PAT
    if (large) reserved |= (<u64>1 << this.spanLg2(g, level)) - 0x2000;
    if ((entry & reserved) != 0) return ENTRY_RESERVED;
    return level == 0 || large ? ENTRY_LEAF : ENTRY_TABLE;
  }
  @inline tableAddress(g: Geometry, level: u32, entry: u64): u64 { return entry & ADDRESS; }
  @inline itemAddress(g: Geometry, level: u32, entry: u64, lg2: u32): u64 {
    return entry & ADDRESS & ~((<u64>1 << lg2) - 1);
  }
  @inline attributes(g: Geometry, level: u32, entry: u64): u32 { return entry & GLOBAL ? 4 : 0; }

  // 5.6: U/S, R/W and NX bind at every level; R/W binds the supervisor too (CR0.WP), and there is no SMEP
  @inline narrow(g: Geometry, level: u32, entry: u64, state: u32): u32 {
    const bits: u32 = ACCESS_READ | (entry & WRITE ? ACCESS_WRITE : 0) | (entry & NO_EXECUTE ? 0 : ACCESS_EXECUTE);
    const user: u32 = (entry & USER) != 0 || !(g.flags & AMD_V2_US) ? bits : 0;
    return state & (user | (bits << PERM_PRIVILEGED_SHIFT));
  }
  @inline permissions(g: Geometry, level: u32, entry: u64, state: u32): u32 { return this.narrow(g, level, entry, state); }
  @inline refusal(g: Geometry, permissions: u32, access: u32): u32 {
    const seen = access & ACCESS_PRIVILEGED ? permissions >> PERM_PRIVILEGED_SHIFT : permissions;
    if (!(seen & ACCESS_READ)) return OUTCOME_NO_USER;
    if (access & ACCESS_ANY) return OUTCOME_TRANSLATED;
    if (access & ACCESS_WRITE && !(seen & ACCESS_WRITE)) return OUTCOME_NO_WRITE;
    if (access & ACCESS_EXECUTE && !(seen & ACCESS_EXECUTE)) return OUTCOME_NO_EXECUTE;
    return OUTCOME_TRANSLATED;
  }

  // 48882 2.2.7.4: A at every level, D in the page, once the walk has succeeded
  @inline late(g: Geometry): bool { return true; }
  @inline tracks(g: Geometry): bool { return (g.flags & (AMD_V2_ACCESSED | AMD_V2_DIRTY)) != 0; }
  @inline updates(g: Geometry): bool { return true; }
  @inline touchTable(g: Geometry, level: u32, entry: u64): u64 {
    return g.flags & AMD_V2_ACCESSED ? entry | ACCESSED : entry;
  }
  @inline touchLeaf(g: Geometry, level: u32, entry: u64, writing: bool): u64 {
    return this.touchTable(g, level, entry) | (writing && (g.flags & AMD_V2_DIRTY) != 0 ? DIRTY : 0);
  }
  @inline dirty(g: Geometry, level: u32, entry: u64): bool {
    return !(g.flags & AMD_V2_DIRTY) || (entry & DIRTY) != 0;
  }

  @inline makeTable(g: Geometry, level: u32, table: u64): u64 { return table | PRESENT | WRITE | USER; }
  @inline buildable(g: Geometry): u64 { return (1 << 12) | (1 << 21) | (1 << 30); }
  // a page that is present is readable
  @inline expressible(g: Geometry, permissions: u32): bool { return (permissions & ACCESS_READ) != 0; }
  @inline bits(g: Geometry, permissions: u32): u64 {
    const fetch = (permissions & ACCESS_EXECUTE) != 0 || !(g.flags & AMD_V2_NX);
    return (permissions & ACCESS_WRITE ? WRITE : 0) | (fetch ? 0 : NO_EXECUTE);
  }
  @inline makeLeaf(g: Geometry, level: u32, address: u64, index: u32, lg2: u32, permissions: u32): u64 {
    return address | PRESENT | USER | this.bits(g, permissions) | (level ? PAGE_SIZE : 0);
  }
  @inline makePart(g: Geometry, level: u32, leaf: u64, leafLevel: u32, address: u64): u64 {
    return x86Part(level, leaf, leafLevel, address);
  }
  @inline withPermissions(g: Geometry, level: u32, leaf: u64, permissions: u32): u64 {
    return (leaf & ~(WRITE | NO_EXECUTE)) | this.bits(g, permissions);
  }
  @inline clean(g: Geometry, level: u32, leaf: u64): u64 { return leaf & ~DIRTY; }
}
