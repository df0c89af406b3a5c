// Intel VT-d second-stage tables (VT-d specification 3.6 "Second-Stage Translation", 9.8 "Second-Stage Paging
// Entries"): 3, 4 or 5 levels of 512 entries, leaves of 4 KiB, 2 MiB and 1 GiB.
//
//   63 62  61..52  51........HAW HAW-1.....12  11   10..8  7   6   5..3  2  1  0
//   ig TM    ig      reserved       address    SNP  ig,A,D PS ig   EMT   X  W  R
//
// A, D (8, 9) and X (2) count where the PASID-table entry has SSADE and SSEE. TM (62) and SNP (11) are leaf bits, reserved in table entries, and in leaves too where the unit has no device-TLB
// or no snoop control (ECAP_REG.DT, ECAP_REG.SC).
import {
  ACCESS_EXECUTE,
  ACCESS_READ,
  ACCESS_WRITE,
  PERM_PRIVILEGED_SHIFT,
  VTD_SECOND_EXECUTE,
  VTD_SECOND_SNOOP,
  VTD_SECOND_TRACKS,
  VTD_SECOND_TRANSIENT,
  VTD_SECOND_UNSNOOPED,
} from "../layout";
import { ENTRY_ABSENT, ENTRY_LEAF, ENTRY_RESERVED, ENTRY_TABLE, Geometry, PtFormat } from "./contract";
import { narrowInput, refuseReadWrite } from "./shared";

// 9.8
const READ: u64 = 1;
const WRITE: u64 = 2;
const EXECUTE: u64 = 4;
const PAGE_SIZE: u64 = 1 << 7; // 1: maps a page
const ACCESSED: u64 = 1 << 8;
const DIRTY: u64 = 1 << 9;
const SNOOP: u64 = 1 << 11;
const TRANSIENT: u64 = 1 << 62;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

@unmanaged @final
export class VtdSecond extends PtFormat {
  // 3.6: an address beyond the width of the tables (AGAW) is refused before the walk
  @inline outside(g: Geometry, address: u64): u32 { return narrowInput(g, address); }

  // 9.8: an entry is present when R or W is set; reserved bits count only in present entries
  @inline kind(g: Geometry, level: u32, entry: u64): u32 {
    if ((entry & (READ | WRITE)) == 0) return ENTRY_ABSENT;
    const leaf = level == 0 || (entry & PAGE_SIZE) != 0;
    return (entry & this.reserved(g, level, leaf)) != 0 ? ENTRY_RESERVED : leaf ? ENTRY_LEAF : ENTRY_TABLE;
  }

  @inline reserved(g: Geometry, level: u32, leaf: bool): u64 {
    const beyond = ADDRESS & ~((<u64>1 << g.outputBits) - 1);
    if (!leaf) return beyond | SNOOP | TRANSIENT;
    const lg2: u64 = 12 + 9 * level;
    // address bits below the leaf's size, and the PS bit itself where the unit has no such leaf
    const inside = ((<u64>1 << lg2) - 1) & ADDRESS;
    return (
      beyond |
      inside |
      (((g.leaves >> lg2) & 1) != 0 || level == 0 ? 0 : PAGE_SIZE) |
      ((g.flags & VTD_SECOND_SNOOP) != 0 ? 0 : SNOOP) |
      ((g.flags & VTD_SECOND_TRANSIENT) != 0 ? 0 : TRANSIENT)
    );
  }

  @inline tableAddress(g: Geometry, level: u32, entry: u64): u64 { return entry & ADDRESS; }
  @inline itemAddress(g: Geometry, level: u32, entry: u64, lg2: u32): u64 { return entry & ADDRESS; }

  /** 1: SNP */
  @inline attributes(g: Geometry, level: u32, entry: u64): u32 { return entry & SNOOP ? 1 : 0; }

  // 3.6.1: an access needs its bit in every entry of the walk; privilege does not count
  @inline narrow(g: Geometry, level: u32, entry: u64, state: u32): u32 {
    // a fetch is a read, and with SSEE more than that
    const fetch = (entry & READ) != 0 && ((g.flags & VTD_SECOND_EXECUTE) == 0 || (entry & EXECUTE) != 0);
    const bits = <u32>(entry & (READ | WRITE)) | (fetch ? ACCESS_EXECUTE : 0);
    return state & (bits | (bits << PERM_PRIVILEGED_SHIFT));
  }
  @inline permissions(g: Geometry, level: u32, entry: u64, state: u32): u32 { return this.narrow(g, level, entry, state); }
  @inline refusal(g: Geometry, permissions: u32, access: u32): u32 { return refuseReadWrite(permissions, access); }

  // 3.7.2: A in every entry that is used, D in a page that is written; an unsnooped walk writes nothing (7.1.3 SSS.5)
  @inline tracks(g: Geometry): bool { return (g.flags & VTD_SECOND_TRACKS) != 0; }
  @inline updates(g: Geometry): bool { return !(g.flags & VTD_SECOND_UNSNOOPED); }
  @inline touchTable(g: Geometry, level: u32, entry: u64): u64 { return entry | ACCESSED; }
  @inline touchLeaf(g: Geometry, level: u32, entry: u64, writing: bool): u64 {
    return entry | ACCESSED | (writing ? DIRTY : 0);
  }
  @inline dirty(g: Geometry, level: u32, entry: u64): bool { return (entry & DIRTY) != 0; }

  // tables carry both rights, so that leaves alone decide
  @inline makeTable(g: Geometry, level: u32, table: u64): u64 { return table | READ | WRITE | EXECUTE; }
  @inline buildable(g: Geometry): u64 { return (1 << 12) | (1 << 21) | (1 << 30); }
  @inline expressible(g: Geometry, permissions: u32): bool { return (permissions & (ACCESS_READ | ACCESS_WRITE)) != 0; }
  @inline bits(g: Geometry, permissions: u32): u64 {
    const kept: u32 = g.flags & VTD_SECOND_EXECUTE ? 7 : ACCESS_READ | ACCESS_WRITE;
    return permissions & kept;
  }
  @inline makeLeaf(g: Geometry, level: u32, address: u64, index: u32, lg2: u32, permissions: u32): u64 {
    return address | this.bits(g, permissions) | (level ? PAGE_SIZE : 0);
  }
  @inline makePart(g: Geometry, level: u32, leaf: u64, leafLevel: u32, address: u64): u64 {
    return address | (leaf & ~(ADDRESS | PAGE_SIZE)) | (level ? PAGE_SIZE : 0);
  }
  @inline withPermissions(g: Geometry, level: u32, leaf: u64, permissions: u32): u64 {
    return (leaf & ~(READ | WRITE | EXECUTE)) | this.bits(g, permissions);
  }
  @inline clean(g: Geometry, level: u32, leaf: u64): u64 { return leaf & ~DIRTY; }
}
