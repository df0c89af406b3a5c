// RISC-V page tables of 8-byte entries: Sv39, Sv48, Sv57 and their x4 forms. [PRIV] is the RISC-V Privileged
// Architecture, 12.4 to 12.6 "Sv39" to "Sv57", 18.5 "Two-Stage Address Translation"; [IOMMU] the RISC-V IOMMU
// Architecture Specification 1.0. What 4-byte entries share with these is exported for riscv-sv32.ts.
//
//   63 62..61 60..59       58..54   53.....10 9..8 7 6 5 4 3 2 1 0
//   N  PBMT   Svrsw60t59b  reserved PPN       RSW  D A G U X W R V
//
// Geometry: `outputBits` is capabilities.PAS, which binds the addresses of tables alone. The permission word carries
// one bit more than ACCESS_*: PERM_GLOBAL. Attributes are RISCV_ATTRIBUTE_*.
import {
  ACCESS_ANY,
  ACCESS_EXECUTE,
  ACCESS_PRIVILEGED,
  ACCESS_READ,
  ACCESS_UNCHECKED,
  ACCESS_WRITE,
  OUTCOME_ADDRESS_SIZE,
  OUTCOME_NO_EXECUTE,
  OUTCOME_NO_READ,
  OUTCOME_NO_USER,
  OUTCOME_NO_WRITE,
  OUTCOME_TRANSLATED,
  PERM_PRIVILEGED_SHIFT,
  RISCV_ATTRIBUTE_NAPOT,
  RISCV_ATTRIBUTE_RIGHTS_SHIFT,
  RISCV_ATTRIBUTE_USER,
  RISCV_SV_BIG_ENDIAN,
  RISCV_SV_DIRTIES,
  RISCV_SV_PBMT,
  RISCV_SV_RSW60,
  RISCV_SV_SUM,
  RISCV_SV_TABLES,
  RISCV_SV_UPDATE,
  RISCV_SV_X4,
} from "../layout";
import { ENTRY_ABSENT, ENTRY_LEAF, ENTRY_RESERVED, ENTRY_TABLE, Geometry, PtFormat } from "./contract";

// [PRIV 12.4.1] the low ten bits are the same in every format
const V: u64 = 1;
const R: u64 = 2;
const W: u64 = 4;
const X: u64 = 8;
const U: u64 = 16;
const G: u64 = 32;
const A: u64 = 64;
const D: u64 = 128;
const PPN: u64 = 0x003f_ffff_ffff_fc00;
const RESERVED: u64 = <u64>0x1f << 54; // [PRIV 12.4.1] bits 58:54
const RSW60: u64 = <u64>3 << 59; // [PRIV "Svrsw60t59b"]
const PBMT: u64 = <u64>3 << 61; // [PRIV "Svpbmt"] 3 is reserved
const N: u64 = 1 << 63; // [PRIV "Svnapot"] level 0 with ppn[3:0] = 1000 only: 64 KiB
const NAPOT_LG2: u32 = 16;
const NAPOT_PPN: u64 = 8 << 10;

/** Bit of the permission word, the engine's own: the leaf, or a pointer above it, has G. */
export const PERM_GLOBAL: u32 = 64;

// ---- what the low ten bits say, whatever the entry's width

/** ENTRY_* of an entry without reserved encodings. [PRIV 12.3.2] W without R; a pointer has no D, A, U */
@inline
export function svKind(level: u32, entry: u64): u32 {
  if (!(entry & V)) return ENTRY_ABSENT;
  if ((entry & (R | W)) == W) return ENTRY_RESERVED;
  if ((entry & (R | X)) != 0) return ENTRY_LEAF;
  return level == 0 || (entry & (D | A | U)) != 0 ? ENTRY_RESERVED : ENTRY_TABLE;
}

/** [PRIV 12.3.1] a pointer's G holds for all below it. */
@inline
export function svNarrow(entry: u64, state: u32): u32 {
  return entry & G ? state | PERM_GLOBAL : state;
}

/**
 * Leaves alone decide. [IOMMU 3.2.3.1 SUM] a supervisor reads and writes U pages with SUM only and never executes them;
 * [PRIV 18.5.1] the second stage is always user, for tables too
 */
@inline
export function svPermissions(g: Geometry, entry: u64, state: u32): u32 {
  const own = <u32>(entry >> 1) & 7;
  if (g.flags & RISCV_SV_X4) return entry & U ? own | (own << PERM_PRIVILEGED_SHIFT) : 0;
  const global = (state | (entry & G ? PERM_GLOBAL : 0)) & PERM_GLOBAL;
  if (!(entry & U)) return global | (own << PERM_PRIVILEGED_SHIFT);
  return global | own | (g.flags & RISCV_SV_SUM ? (own & (ACCESS_READ | ACCESS_WRITE)) << PERM_PRIVILEGED_SHIFT : 0);
}

/** Execute needs X only. */
@inline
export function svRefusal(g: Geometry, permissions: u32, access: u32): u32 {
  if (access & ACCESS_UNCHECKED) {
    // leaves have R or X, so rights of a user tell U
    const user = (permissions & 7) != 0;
    const allowed = !(access & ACCESS_PRIVILEGED) ? user : !user || (!(access & ACCESS_EXECUTE) && (g.flags & RISCV_SV_SUM) != 0);
    return allowed ? OUTCOME_TRANSLATED : OUTCOME_NO_USER;
  }
  const seen = (access & ACCESS_PRIVILEGED ? permissions >> PERM_PRIVILEGED_SHIFT : permissions) & 7;
  if (access & ACCESS_ANY) return seen & (ACCESS_READ | ACCESS_WRITE) ? OUTCOME_TRANSLATED : OUTCOME_NO_READ;
  const missing = access & 7 & ~seen;
  if (missing == 0) return OUTCOME_TRANSLATED;
  if (seen == 0) return OUTCOME_NO_USER;
  return missing & ACCESS_WRITE ? OUTCOME_NO_WRITE : missing & ACCESS_EXECUTE ? OUTCOME_NO_EXECUTE : OUTCOME_NO_READ;
}

/**
 * [IOMMU 3.1.3.1 SADE, GADE] A and D are set by hardware, or their want is a page fault. A second stage that is walked
 * for first-stage tables sets D with A, and wants D even where A is set when the first stage is updated (SADE).
 */
@inline
export function svTouch(g: Geometry, entry: u64, writing: bool): u64 {
  const dirties =
    writing || (g.flags & RISCV_SV_DIRTIES) != 0 || ((g.flags & RISCV_SV_TABLES) != 0 && (entry & A) == 0);
  return entry | A | (dirties && (entry & W) != 0 ? D : 0);
}

@inline
export function svDirty(entry: u64): bool {
  return (entry & D) != 0;
}

@inline
export function svAttributes(entry: u64): u32 {
  return (entry & U ? RISCV_ATTRIBUTE_USER : 0) | ((<u32>(entry >> 1) & 7) << RISCV_ATTRIBUTE_RIGHTS_SHIFT);
}

/** [PRIV 12.3.1] W without R is reserved. */
@inline
export function svExpressible(permissions: u32): bool {
  const rights = permissions & 7;
  return rights != 0 && (rights & (ACCESS_READ | ACCESS_WRITE)) != ACCESS_WRITE;
}

/** Low bits of a new leaf; where hardware sets D it starts without. A is there from the start: with it, walks for first-stage tables leave D alone. */
@inline
export function svLeaf(g: Geometry, permissions: u32): u64 {
  return V | (<u64>(permissions & 7) << 1) | U | A | (g.flags & RISCV_SV_UPDATE ? 0 : D);
}

@inline
export function svWithPermissions(leaf: u64, permissions: u32): u64 {
  return (leaf & ~(R | W | X)) | (<u64>(permissions & 7) << 1);
}

@inline
export function svClean(leaf: u64): u64 {
  return leaf & ~D;
}

@unmanaged @final
export class RiscvSv extends PtFormat {
  // [PRIV 18.5.1] the root of an x4 table has two index bits more
  @inline indexBits(g: Geometry, level: u32): u32 { return (g.flags & RISCV_SV_X4) != 0 && level == g.top ? 11 : 9; }
  @inline tableLg2(g: Geometry, level: u32): u32 { return this.indexBits(g, level) + 3; }

  // second stage: bits above are zero; first stage [PRIV 12.4.1]: they equal the top bit
  @inline outside(g: Geometry, address: u64): u32 {
    if (g.flags & RISCV_SV_X4) return address >> g.inputBits != 0 ? OUTCOME_ADDRESS_SIZE : OUTCOME_TRANSLATED;
    const upper = <i64>address >> (g.inputBits - 1);
    return upper == 0 || upper == -1 ? OUTCOME_TRANSLATED : OUTCOME_ADDRESS_SIZE;
  }
  @inline reaches(g: Geometry, address: u64): bool { return address >> g.outputBits == 0; }
  @inline read(g: Geometry, pointer: usize): u64 {
    const entry = load<u64>(pointer);
    return g.flags & RISCV_SV_BIG_ENDIAN ? bswap<u64>(entry) : entry;
  }
  @inline write(g: Geometry, pointer: usize, entry: u64): void {
    store<u64>(pointer, g.flags & RISCV_SV_BIG_ENDIAN ? bswap<u64>(entry) : entry);
  }

  // reserved encodings; pointer: N and PBMT zero; leaf: alignment, NAPOT
  @inline kind(g: Geometry, level: u32, entry: u64): u32 {
    const kind = svKind(level, entry);
    if (kind == ENTRY_ABSENT || kind == ENTRY_RESERVED) return kind;
    let reserved = RESERVED;
    if (!(g.flags & RISCV_SV_RSW60)) reserved |= RSW60;
    if (!(g.flags & RISCV_SV_PBMT) || kind == ENTRY_TABLE) reserved |= PBMT;
    if (level != 0) reserved |= N;
    if ((entry & reserved) != 0 || (entry & PBMT) == PBMT) return ENTRY_RESERVED;
    if (kind == ENTRY_TABLE) return ENTRY_TABLE;
    if ((entry & N) != 0 && (entry & (15 << 10)) != NAPOT_PPN) return ENTRY_RESERVED;
    return (entry >> 10 & ((<u64>1 << (9 * level)) - 1)) != 0 ? ENTRY_RESERVED : ENTRY_LEAF;
  }

  @inline tableAddress(g: Geometry, level: u32, entry: u64): u64 { return (entry & PPN) << 2; }
  @inline itemLg2(g: Geometry, level: u32, entry: u64): u32 { return entry & N ? NAPOT_LG2 : 12 + 9 * level; }
  @inline itemAddress(g: Geometry, level: u32, entry: u64, lg2: u32): u64 {
    return ((entry & PPN) << 2) & ~((<u64>1 << lg2) - 1);
  }
  @inline attributes(g: Geometry, level: u32, entry: u64): u32 {
    return svAttributes(entry) | (<u32>(entry >> 61) & 3) | (entry & N ? RISCV_ATTRIBUTE_NAPOT : 0);
  }

  @inline open(g: Geometry): u32 { return 0; }
  @inline narrow(g: Geometry, level: u32, entry: u64, state: u32): u32 { return svNarrow(entry, state); }
  @inline permissions(g: Geometry, level: u32, entry: u64, state: u32): u32 { return svPermissions(g, entry, state); }
  @inline refusal(g: Geometry, permissions: u32, access: u32): u32 { return svRefusal(g, permissions, access); }

  @inline tracks(g: Geometry): bool { return true; }
  @inline updates(g: Geometry): bool { return (g.flags & RISCV_SV_UPDATE) != 0; }
  @inline touchLeaf(g: Geometry, level: u32, entry: u64, writing: bool): u64 { return svTouch(g, entry, writing); }
  @inline dirty(g: Geometry, level: u32, entry: u64): bool { return svDirty(entry); }

  @inline makeTable(g: Geometry, level: u32, table: u64): u64 { return (table >> 2) | V; }
  @inline buildable(g: Geometry): u64 {
    return (1 << 12) | (1 << 16) | (1 << 21) | (1 << 30) | (g.top >= 3 ? <u64>1 << 39 : 0) | (g.top >= 4 ? <u64>1 << 48 : 0);
  }
  @inline expressible(g: Geometry, permissions: u32): bool { return svExpressible(permissions); }
  @inline makeLeaf(g: Geometry, level: u32, address: u64, index: u32, lg2: u32, permissions: u32): u64 {
    return (address >> 2) | svLeaf(g, permissions) | (lg2 == NAPOT_LG2 ? N | NAPOT_PPN : 0);
  }
  @inline makePart(g: Geometry, level: u32, leaf: u64, leafLevel: u32, address: u64): u64 {
    return (leaf & ~(PPN | N)) | (address >> 2);
  }
  @inline withPermissions(g: Geometry, level: u32, leaf: u64, permissions: u32): u64 { return svWithPermissions(leaf, permissions); }
  @inline soil(g: Geometry, level: u32, leaf: u64): u64 { return leaf | D; }
  @inline clean(g: Geometry, level: u32, leaf: u64): u64 { return svClean(leaf); }
}
