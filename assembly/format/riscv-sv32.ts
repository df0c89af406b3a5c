// RISC-V page tables of 4-byte entries: Sv32 and Sv32x4, two levels of 1024 entries ([PRIV] 12.3 "Sv32", 18.5). No
// reserved bits, PBMT or NAPOT; the low ten bits are as in riscv-sv.ts.
//
//   31.....10 9..8 7 6 5 4 3 2 1 0
//   PPN       RSW  D A G U X W R V
import { OUTCOME_ADDRESS_SIZE, OUTCOME_TRANSLATED, RISCV_SV_BIG_ENDIAN, RISCV_SV_UPDATE, RISCV_SV_X4 } from "../layout";
import { ENTRY_LEAF, ENTRY_RESERVED, Geometry, PtFormat } from "./contract";
import {
  svAttributes,
  svClean,
  svDirty,
  svExpressible,
  svKind,
  svLeaf,
  svNarrow,
  svPermissions,
  svRefusal,
  svTouch,
  svWithPermissions,
} from "./riscv-sv";

const PPN: u64 = 0xffff_fc00; // [PRIV 12.3.1]

@unmanaged @final
export class RiscvSv32 extends PtFormat {
  @inline entryLg2(g: Geometry): u32 { return 2; }
  @inline spanLg2(g: Geometry, level: u32): u32 { return 12 + 10 * level; }
  // [PRIV 18.5.1] the root of an x4 table has two index bits more
  @inline indexBits(g: Geometry, level: u32): u32 { return (g.flags & RISCV_SV_X4) != 0 && level == g.top ? 12 : 10; }
  @inline tableLg2(g: Geometry, level: u32): u32 { return this.indexBits(g, level) + 2; }

  // [IOMMU 3.1.3.1 SXL] bits above are zero, in the first stage too
  @inline outside(g: Geometry, address: u64): u32 {
    return address >> g.inputBits != 0 ? OUTCOME_ADDRESS_SIZE : OUTCOME_TRANSLATED;
  }
  @inline reaches(g: Geometry, address: u64): bool { return address >> g.outputBits == 0; }
  @inline read(g: Geometry, pointer: usize): u64 {
    const entry = load<u32>(pointer);
    return g.flags & RISCV_SV_BIG_ENDIAN ? bswap<u32>(entry) : entry;
  }
  @inline write(g: Geometry, pointer: usize, entry: u64): void {
    store<u32>(pointer, g.flags & RISCV_SV_BIG_ENDIAN ? bswap<u32>(<u32>entry) : <u32>entry);
  }

  @inline kind(g: Geometry, level: u32, entry: u64): u32 {
    const kind = svKind(level, entry);
    // a 4 MiB page is aligned
    return kind == ENTRY_LEAF && level != 0 && (entry >> 10 & 0x3ff) != 0 ? ENTRY_RESERVED : kind;
  }

  @inline tableAddress(g: Geometry, level: u32, entry: u64): u64 { return (entry & PPN) << 2; }
  @inline itemLg2(g: Geometry, level: u32, entry: u64): u32 { return 12 + 10 * level; }
  @inline itemAddress(g: Geometry, level: u32, entry: u64, lg2: u32): u64 {
    return ((entry & PPN) << 2) & ~((<u64>1 << lg2) - 1);
  }
  @inline attributes(g: Geometry, level: u32, entry: u64): u32 { return svAttributes(entry); }

  @inline open(g: Geometry): u32 { return 0; }
  @inline narrow(g: Geometry, level: u32, entry: u64, state: u32): u32 { return svNarrow(entry, state); }
  @inline permissions(g: Geometry, level: u32, entry: u64, state: u32): u32 { return svPermissions(g, entry, state); }
  @inline refusal(g: Geometry, permissions: u32, access: u32): u32 { return svRefusal(g, permissions, access); }

  @inline tracks(g: Geometry): bool { return true; }
  @inline updates(g: Geometry): bool { return (g.flags & RISCV_SV_UPDATE) != 0; }
  @inline touchLeaf(g: Geometry, level: u32, entry: u64, writing: bool): u64 { return svTouch(g, entry, writing); }
  @inline dirty(g: Geometry, level: u32, entry: u64): bool { return svDirty(entry); }

  @inline makeTable(g: Geometry, level: u32, table: u64): u64 { return (table >> 2) | 1; }
  @inline buildable(g: Geometry): u64 { return (1 << 12) | (1 << 22); }
  @inline expressible(g: Geometry, permissions: u32): bool { return svExpressible(permissions); }
  @inline makeLeaf(g: Geometry, level: u32, address: u64, index: u32, lg2: u32, permissions: u32): u64 {
    return (address >> 2) | svLeaf(g, permissions);
  }
  @inline makePart(g: Geometry, level: u32, leaf: u64, leafLevel: u32, address: u64): u64 {
    return (leaf & ~PPN) | (address >> 2);
  }
  @inline withPermissions(g: Geometry, level: u32, leaf: u64, permissions: u32): u64 { return svWithPermissions(leaf, permissions); }
  @inline clean(g: Geometry, level: u32, leaf: u64): u64 { return svClean(leaf); }
}
