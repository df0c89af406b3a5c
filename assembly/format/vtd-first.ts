// Intel VT-d first-stage tables (VT-d specification 3.6 "First-Stage Translation", 9.7 "First-Stage Paging Entries"):
// 4 or 5 levels of 512 entries, leaves of 4 KiB, 2 MiB and 1 GiB, in the layout of Intel 64 paging.
//
//   63 62..52 51..HAW  HAW-1.....12 11 10 9  8  7  6  5  4   3   2   1   0
//   XD   ig   reserved   address    ig EA ig G  PS D  A  PCD PWT U/S R/W P
//
// PS is reserved at PML5E and PML4E, and at PDPE too without CAP_REG.FS1GP; in a PTE it is PAT, which is bit 12 of
// larger leaves. XD has a meaning with ECAP_REG.ERS alone: reserved unless NXE of the PASID-table entry.
import {
  ACCESS_ANY,
  ACCESS_EXECUTE,
  ACCESS_PRIVILEGED,
  ACCESS_READ,
  ACCESS_WRITE,
  OUTCOME_NO_EXECUTE,
  OUTCOME_NO_USER,
  OUTCOME_NO_WRITE,
  OUTCOME_TRANSLATED,
  PERM_PRIVILEGED_SHIFT,
  VTD_FIRST_EXECUTE,
  VTD_FIRST_EXTENDED,
  VTD_FIRST_NESTED,
  VTD_FIRST_NO_EXECUTE,
  VTD_FIRST_SMEP,
  VTD_FIRST_UNSNOOPED,
  VTD_FIRST_WRITE_PROTECT,
} from "../layout";
import { ENTRY_ABSENT, ENTRY_LEAF, ENTRY_RESERVED, ENTRY_TABLE, Geometry, PtFormat } from "./contract";
import { canonicalInput, x86Part } from "./shared";

// 9.7
const PRESENT: u64 = 1;
const WRITE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const PAGE_SIZE: u64 = 1 << 7;
const GLOBAL: u64 = 1 << 8;
const EXTENDED_ACCESSED: u64 = 1 << 10;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const NO_EXECUTE: u64 = 1 << 63;

@unmanaged @final
export class VtdFirst extends PtFormat {
  // 3.6: bits 63:N-1 are all equal, N = 48 or 57
  @inline outside(g: Geometry, address: u64): u32 { return canonicalInput(g, address); }

  @inline large(g: Geometry, level: u32, entry: u64): bool {
    return (level == 1 || (level == 2 && (g.leaves >> 30 & 1) != 0)) && (entry & PAGE_SIZE) != 0;
  }

  // 9.7: an entry without P has no reserved bits
  @inline kind(g: Geometry, level: u32, entry: u64): u32 {
    if (!(entry & PRESENT)) return ENTRY_ABSENT;
    const leaf = level == 0 || this.large(g, level, entry);
    return (entry & this.reserved(g, level, leaf)) != 0 ? ENTRY_RESERVED : leaf ? ENTRY_LEAF : ENTRY_TABLE;
  }

  @inline reserved(g: Geometry, level: u32, leaf: bool): u64 {
    let mask = ADDRESS & ~((<u64>1 << g.outputBits) - 1);
    if ((g.flags & (VTD_FIRST_EXECUTE | VTD_FIRST_NO_EXECUTE)) == VTD_FIRST_EXECUTE) mask |= NO_EXECUTE;
    if (!leaf) return mask | PAGE_SIZE;
    // below a large page, above PAT
    return level != 0 ? mask | ((<u64>1 << this.spanLg2(g, level)) - 0x2000) : mask;
  }

  @inline tableAddress(g: Geometry, level: u32, entry: u64): u64 { return entry & ADDRESS; }
  @inline itemAddress(g: Geometry, level: u32, entry: u64, lg2: u32): u64 {
    return entry & ADDRESS & ~((<u64>1 << lg2) - 1);
  }
  @inline attributes(g: Geometry, level: u32, entry: u64): u32 { return entry & GLOBAL ? 4 : 0; }

  // 3.6.2: U/S, R/W and XD bind at every level; R/W binds a supervisor only with WPE
  @inline narrow(g: Geometry, level: u32, entry: u64, state: u32): u32 {
    const fetch: u32 = (entry & NO_EXECUTE) != 0 && (g.flags & VTD_FIRST_EXECUTE) != 0 ? 0 : ACCESS_EXECUTE;
    const writable = (entry & WRITE) != 0;
    const user: u32 = entry & USER ? ACCESS_READ | (writable ? ACCESS_WRITE : 0) | fetch : 0;
    const supervisor: u32 = ACCESS_READ | (writable || !(g.flags & VTD_FIRST_WRITE_PROTECT) ? ACCESS_WRITE : 0) | fetch;
    return state & (user | (supervisor << PERM_PRIVILEGED_SHIFT));
  }
  @inline permissions(g: Geometry, level: u32, entry: u64, state: u32): u32 {
    const found = this.narrow(g, level, entry, state);
    // SMEP: a supervisor executes no user page
    const both: u32 = VTD_FIRST_SMEP | VTD_FIRST_EXECUTE;
    const barred = (found & ACCESS_READ) != 0 && (g.flags & both) == both;
    return barred ? found & ~(<u32>ACCESS_EXECUTE << PERM_PRIVILEGED_SHIFT) : found;
  }
  @inline refusal(g: Geometry, permissions: u32, access: u32): u32 {
    const seen = access & ACCESS_PRIVILEGED ? permissions >> PERM_PRIVILEGED_SHIFT : permissions;
    if (!(seen & ACCESS_READ)) return OUTCOME_NO_USER;
    if (access & ACCESS_ANY) return OUTCOME_TRANSLATED;
    if (access & ACCESS_EXECUTE && !(seen & ACCESS_EXECUTE)) return OUTCOME_NO_EXECUTE;
    if (access & ACCESS_WRITE && !(seen & ACCESS_WRITE)) return OUTCOME_NO_WRITE;
    return OUTCOME_TRANSLATED;
  }

  // 3.6.3: A always, EA with EAFE, D on a write. An unsnooped walk writes nothing (7.1.3 SFS.9); when nested, stage 2
  // is asked first (device/vtd-nested.ts)
  @inline tracks(g: Geometry): bool { return true; }
  @inline updates(g: Geometry): bool { return !(g.flags & VTD_FIRST_UNSNOOPED) || (g.flags & VTD_FIRST_NESTED) != 0; }
  @inline touchTable(g: Geometry, level: u32, entry: u64): u64 {
    return entry | ACCESSED | (g.flags & VTD_FIRST_EXTENDED ? EXTENDED_ACCESSED : 0);
  }
  @inline touchLeaf(g: Geometry, level: u32, entry: u64, writing: bool): u64 {
    return this.touchTable(g, level, entry) | (writing ? DIRTY : 0);
  }
  @inline dirty(g: Geometry, level: u32, entry: u64): bool { return (entry & DIRTY) != 0; }

  // tables carry all rights, so that leaves alone decide
  @inline makeTable(g: Geometry, level: u32, table: u64): u64 { return table | PRESENT | WRITE | USER; }
  @inline buildable(g: Geometry): u64 { return (1 << 12) | (1 << 21) | (1 << 30); }
  // a page that is present is readable
  @inline expressible(g: Geometry, permissions: u32): bool { return (permissions & ACCESS_READ) != 0; }
  @inline bits(g: Geometry, permissions: u32): u64 {
    const fetch = (permissions & ACCESS_EXECUTE) != 0 || !(g.flags & VTD_FIRST_NO_EXECUTE);
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
