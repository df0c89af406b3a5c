// IBM translation control entries (LoPAR "TCE Table"; IODA2 and IODA3 indirect tables): 8 bytes, big-endian.
//
//   63..12            11..2    1      0
//   real page number  ignored  write  read
//
// An entry that permits nothing is absent. A table of more than one level has tables of one size at each; their entries
// have both bits set, and the last one alone decides the rights. One page size serves a whole table: `granule`.
//
// Geometry: `extra` is the index bits of a level, `inputBits` 59 at most: bit 59 of a DMA address chooses the table.
import { ACCESS_EXECUTE, ACCESS_READ, ACCESS_WRITE, OUTCOME_ADDRESS_SIZE, OUTCOME_TRANSLATED, PERM_PRIVILEGED_SHIFT, TCE_CHANGES } from "../layout";
import { ENTRY_ABSENT, ENTRY_LEAF, ENTRY_OUTPUT_SIZE, ENTRY_TABLE, Geometry, PtFormat } from "./contract";
import { refuseReadWrite } from "./shared";

// LoPAR "TCE Table"
const READ: u64 = 1;
const WRITE: u64 = 2;
const ADDRESS: u64 = 0xffff_ffff_ffff_f000;
/** The engine's own, in bits that the architecture ignores: a write has come this way (TCE_CHANGES). */
const CHANGED: u64 = 1 << 8;

/** IODA3 "TVT": bit of a DMA address that chooses between two tables. */
export const SELECT_BIT: u32 = 59;
export const SELECT: u64 = <u64>1 << SELECT_BIT;

@unmanaged @final
export class Tce extends PtFormat {
  @inline spanLg2(g: Geometry, level: u32): u32 { return g.granule + <u32>g.extra * level; }
  // the first level's index ends below the bit that chose the table
  @inline indexBits(g: Geometry, level: u32): u32 {
    const width = <u32>g.extra;
    return level == g.top ? min(width, SELECT_BIT - this.spanLg2(g, level)) : width;
  }
  @inline tableLg2(g: Geometry, level: u32): u32 { return <u32>g.extra + 3; }
  @inline outside(g: Geometry, address: u64): u32 {
    return (address & ~SELECT) >> g.inputBits != 0 ? OUTCOME_ADDRESS_SIZE : OUTCOME_TRANSLATED;
  }
  @inline read(g: Geometry, pointer: usize): u64 { return bswap<u64>(load<u64>(pointer)); }
  @inline write(g: Geometry, pointer: usize, entry: u64): void { store<u64>(pointer, bswap<u64>(entry)); }

  @inline kind(g: Geometry, level: u32, entry: u64): u32 {
    if (!(entry & (READ | WRITE))) return ENTRY_ABSENT;
    if (g.outputBits < 64 && entry >> g.outputBits != 0) return ENTRY_OUTPUT_SIZE;
    return level == 0 ? ENTRY_LEAF : ENTRY_TABLE;
  }
  @inline tableAddress(g: Geometry, level: u32, entry: u64): u64 { return entry & ADDRESS; }
  @inline itemLg2(g: Geometry, level: u32, entry: u64): u32 { return g.granule; }
  @inline itemAddress(g: Geometry, level: u32, entry: u64, lg2: u32): u64 {
    return entry & ADDRESS & ~((<u64>1 << lg2) - 1);
  }

  // no privilege, and a fetch is a read
  @inline open(g: Geometry): u32 { return 0; }
  @inline permissions(g: Geometry, level: u32, entry: u64, state: u32): u32 {
    const bits: u32 = (entry & READ ? ACCESS_READ | ACCESS_EXECUTE : 0) | (entry & WRITE ? ACCESS_WRITE : 0);
    return bits | (bits << PERM_PRIVILEGED_SHIFT);
  }
  @inline refusal(g: Geometry, permissions: u32, access: u32): u32 { return refuseReadWrite(permissions, access); }

  @inline tracks(g: Geometry): bool { return (g.flags & TCE_CHANGES) != 0; }
  @inline updates(g: Geometry): bool { return true; }
  @inline touchLeaf(g: Geometry, level: u32, entry: u64, writing: bool): u64 { return writing ? entry | CHANGED : entry; }
  @inline dirty(g: Geometry, level: u32, entry: u64): bool { return (entry & CHANGED) != 0; }
  @inline clean(g: Geometry, level: u32, leaf: u64): u64 { return leaf & ~CHANGED; }

  @inline makeTable(g: Geometry, level: u32, table: u64): u64 { return table | READ | WRITE; }
  @inline buildable(g: Geometry): u64 { return <u64>1 << g.granule; }
  @inline rights(permissions: u32): u64 {
    return (permissions & ACCESS_READ ? READ : 0) | (permissions & ACCESS_WRITE ? WRITE : 0);
  }
  @inline expressible(g: Geometry, permissions: u32): bool { return (permissions & (ACCESS_READ | ACCESS_WRITE)) != 0; }
  @inline makeLeaf(g: Geometry, level: u32, address: u64, index: u32, lg2: u32, permissions: u32): u64 {
    return address | this.rights(permissions);
  }
  @inline withPermissions(g: Geometry, level: u32, leaf: u64, permissions: u32): u64 {
    return (leaf & ~(READ | WRITE)) | this.rights(permissions);
  }
}
