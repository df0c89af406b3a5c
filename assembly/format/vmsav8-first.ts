// VMSAv8-64 stage 1 (Arm ARM DDI 0487 D8.3, D8.4): AP, UXN and PXN with their table bits, PAN, WXN, E0PD, hardware A and D.
//
// Table: 59 PXNTable, 60 UXNTable, 61 APTable[0] no unprivileged access, 62 APTable[1] no write; 63 NSTable has no effect.
// Leaf: 4:2 AttrIndx, 6 AP[1] unprivileged access, 7 AP[2] read only, 9:8 SH, 11 nG, 51 DBM, 53 PXN, 54 UXN.
import { ACCESS_EXECUTE, ACCESS_READ, ACCESS_WRITE, OUTCOME_UPDATE_REFUSED, PERM_PRIVILEGED_SHIFT } from "../layout";
import { VMSA_ACCESSED, VMSA_AFFD, VMSA_DIRTY, VMSA_DS, VMSA_E0PD, VMSA_EPAN, VMSA_HAD, VMSA_PAN, VMSA_PRIVILEGES, VMSA_WXN } from "../layout";
import { Geometry } from "./contract";
import { ACCESS_FLAG, DIRTY_MODIFIER, NOT_ACCESSED, refusedBy, Vmsa, WAS_DIRTY } from "./vmsav8";

// D8.3, D8.4
const UNPRIVILEGED: u64 = 1 << 6;
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 3 << 8;
const NOT_GLOBAL: u64 = 1 << 11;
const PXN: u64 = 1 << 53;
const UXN: u64 = 1 << 54;

// state, the engine's own: table bits 62:59 (D8.3.1)
const PXN_TABLE: u32 = 1;
const UXN_TABLE: u32 = 2;
const NO_UNPRIVILEGED: u32 = 4;
const NO_WRITE: u32 = 8;

/** Bit of `attributes`, the engine's own: every address space of the VMID may use the answer. 2:0 AttrIndx, 4:3 SH. */
export const ATTRIBUTE_GLOBAL: u32 = 1 << 6;

@unmanaged @final
export class VmsaFirst extends Vmsa {
  @inline open(g: Geometry): u32 { return 0; }
  @inline narrow(g: Geometry, level: u32, entry: u64, state: u32): u32 {
    return g.flags & VMSA_HAD ? state : state | (<u32>(entry >> 59) & 15);
  }
  @inline bits(read: bool, write: bool, execute: bool): u32 {
    return (read ? ACCESS_READ : 0) | (write ? ACCESS_WRITE : 0) | (execute ? ACCESS_EXECUTE : 0);
  }
  // AArch64.S1DirectBasePermissions; D8.5.3: with dirty state management DBM makes AP[2] count as 0
  @inline permissions(g: Geometry, level: u32, entry: u64, state: u32): u32 {
    const flags = g.flags;
    const writable = (entry & READ_ONLY) == 0 || ((flags & VMSA_DIRTY) != 0 && (entry & DIRTY_MODIFIER) != 0);
    const idle: u32 = (entry & ACCESS_FLAG) == 0 && (flags & (VMSA_ACCESSED | VMSA_AFFD)) == 0 ? NOT_ACCESSED : 0;
    const wxn = (flags & VMSA_WXN) != 0;
    const fetches = (entry & UXN) == 0 && (state & UXN_TABLE) == 0;
    let write = writable && (state & NO_WRITE) == 0;
    if (!(flags & VMSA_PRIVILEGES)) {
      const all = this.bits(true, write, fetches && !(wxn && write));
      return idle | all | (all << PERM_PRIVILEGED_SHIFT);
    }
    const userRead = (entry & UNPRIVILEGED) != 0 && (state & NO_UNPRIVILEGED) == 0;
    const userWrite = userRead && write;
    // D8.4.1.2.3: what the unprivileged can write, the privileged cannot execute
    const execute = (entry & PXN) == 0 && (state & PXN_TABLE) == 0 && !userWrite;
    // PAN holds for data only; EPAN widens it to what the unprivileged may execute
    const barred = (flags & VMSA_PAN) != 0 && (userRead || ((flags & VMSA_EPAN) != 0 && fetches));
    if (barred) write = false;
    const user = flags & VMSA_E0PD ? 0 : this.bits(userRead, userWrite, fetches && !(wxn && userWrite));
    return idle | user | (this.bits(!barred, write, execute && !(wxn && write)) << PERM_PRIVILEGED_SHIFT);
  }
  // the access flag is judged before the rights
  @inline refusal(g: Geometry, permissions: u32, access: u32): u32 {
    return permissions & NOT_ACCESSED ? OUTCOME_UPDATE_REFUSED : refusedBy(permissions, access);
  }
  @inline attributes(g: Geometry, level: u32, entry: u64): u32 {
    const share: u32 = g.flags & VMSA_DS ? 0 : <u32>(entry >> 8 & 3) << 3;
    return (<u32>(entry >> 2) & 7) | share | ((entry & NOT_GLOBAL) == 0 && (g.flags & VMSA_PRIVILEGES) != 0 ? ATTRIBUTE_GLOBAL : 0);
  }

  // D8.5: AF, and for a write AP[2] of a DBM leaf
  @inline touchLeaf(g: Geometry, level: u32, entry: u64, writing: bool): u64 {
    if (!(g.flags & VMSA_ACCESSED)) return entry;
    const touched = entry | ACCESS_FLAG;
    return writing && (g.flags & VMSA_DIRTY) != 0 && (entry & DIRTY_MODIFIER) != 0 ? touched & ~READ_ONLY : touched;
  }
  @inline dirty(g: Geometry, level: u32, entry: u64): bool {
    return (entry & READ_ONLY) == 0 || (entry & (WAS_DIRTY | DIRTY_MODIFIER)) == WAS_DIRTY;
  }

  // a leaf that is present is readable
  @inline expressible(g: Geometry, permissions: u32): bool { return (permissions & ACCESS_READ) != 0; }
  @inline rights(g: Geometry, permissions: u32, dirty: bool): u64 {
    const fetch: u64 = permissions & ACCESS_EXECUTE ? 0 : PXN | UXN;
    if (!(permissions & ACCESS_WRITE)) return fetch | READ_ONLY | (dirty ? WAS_DIRTY : 0);
    return g.flags & VMSA_DIRTY ? fetch | DIRTY_MODIFIER | (dirty ? 0 : READ_ONLY) : fetch;
  }
  @inline makeLeaf(g: Geometry, level: u32, address: u64, index: u32, lg2: u32, permissions: u32): u64 {
    const share: u64 = g.flags & VMSA_DS ? 0 : INNER_SHAREABLE;
    return this.place(g, level, address, index, lg2) | UNPRIVILEGED | NOT_GLOBAL | share | this.rights(g, permissions, false);
  }
  @inline withPermissions(g: Geometry, level: u32, leaf: u64, permissions: u32): u64 {
    const dirty = (g.flags & VMSA_DIRTY) != 0 && this.dirty(g, level, leaf);
    return (leaf & ~(READ_ONLY | DIRTY_MODIFIER | PXN | UXN | WAS_DIRTY)) | this.rights(g, permissions, dirty);
  }
  @inline soil(g: Geometry, level: u32, leaf: u64): u64 { return leaf & DIRTY_MODIFIER ? leaf & ~READ_ONLY : leaf | WAS_DIRTY; }
  @inline clean(g: Geometry, level: u32, leaf: u64): u64 {
    return (leaf & DIRTY_MODIFIER ? leaf | READ_ONLY : leaf) & ~WAS_DIRTY;
  }
}
