// VMSAv8-64 stage 2 (Arm ARM DDI 0487 D8.4.2, D8.6.5): S2AP, XN by privilege, hardware A and D, S2PTW.
//
// Leaf: 5:2 MemAttr, 6 S2AP[0] read, 7 S2AP[1] write, 9:8 SH, 51 DBM, 54:53 XN. Tables have no rights of their own.
import { ACCESS_EXECUTE, ACCESS_IMPLICIT, ACCESS_READ, ACCESS_WRITE, PERM_PRIVILEGED_SHIFT } from "../layout";
import { OUTCOME_NO_READ, OUTCOME_NO_WRITE, OUTCOME_UPDATE_REFUSED } from "../layout";
import { VMSA_ACCESSED, VMSA_AFFD, VMSA_DIRTY, VMSA_DS, VMSA_FWB, VMSA_PTW, VMSA_XNX } from "../layout";
import { Geometry } from "./contract";
import { ACCESS_FLAG, DIRTY_MODIFIER, NOT_ACCESSED, refusedBy, Vmsa, WAS_DIRTY } from "./vmsav8";

// D8.3, D8.4.2, D8.6.5
const NORMAL: u64 = 15 << 2; // write-back, cacheable
const READ: u64 = 1 << 6;
const WRITE: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 3 << 8;
const XN: u64 = 3 << 53;
const NO_EXECUTE: u64 = 2 << 53; // for every privilege

/** Bit of `permissions`, the engine's own: S2PTW keeps table accesses off this memory. */
const DEVICE: u32 = 1 << 7;

@unmanaged @final
export class VmsaSecond extends Vmsa {
  @inline open(g: Geometry): u32 { return 0; }
  // AArch64.S2DirectBasePermissions
  @inline permissions(g: Geometry, level: u32, entry: u64, state: u32): u32 {
    const flags = g.flags;
    const data: u32 = (entry & READ ? ACCESS_READ : 0) |
      ((entry & WRITE) != 0 || ((flags & VMSA_DIRTY) != 0 && (entry & DIRTY_MODIFIER) != 0) ? ACCESS_WRITE : 0);
    // XN: 0 all execute, 1 the unprivileged, 2 nobody, 3 the privileged; without XNX bit 1 decides alone
    const xn = <u32>(entry >> 53) & 3;
    const user = flags & VMSA_XNX ? xn < 2 : (xn & 2) == 0;
    const privileged = flags & VMSA_XNX ? xn == 0 || xn == 3 : user;
    const idle: u32 = (entry & ACCESS_FLAG) == 0 && (flags & (VMSA_ACCESSED | VMSA_AFFD)) == 0 ? NOT_ACCESSED : 0;
    // MemAttr of a Device type: 3:2 zero, with FWB bit 2 alone tells
    const device = (flags & VMSA_PTW) != 0 && (entry & (flags & VMSA_FWB ? 0x10 : 0x30)) == 0;
    return (
      idle |
      (device ? DEVICE : 0) |
      data | (user ? ACCESS_EXECUTE : 0) |
      ((data | (privileged ? ACCESS_EXECUTE : 0)) << PERM_PRIVILEGED_SHIFT)
    );
  }
  // the access flag is judged before the rights
  @inline refusal(g: Geometry, permissions: u32, access: u32): u32 {
    if (permissions & NOT_ACCESSED) return OUTCOME_UPDATE_REFUSED;
    if (access & ACCESS_IMPLICIT && permissions & DEVICE) return access & ACCESS_WRITE ? OUTCOME_NO_WRITE : OUTCOME_NO_READ;
    return refusedBy(permissions, access);
  }
  // 3:0 MemAttr, 5:4 SH
  @inline attributes(g: Geometry, level: u32, entry: u64): u32 {
    return (<u32>(entry >> 2) & 15) | (g.flags & VMSA_DS ? 0 : <u32>(entry >> 8 & 3) << 4);
  }

  // D8.5: AF, and for a write S2AP[1] of a DBM leaf
  @inline touchLeaf(g: Geometry, level: u32, entry: u64, writing: bool): u64 {
    if (!(g.flags & VMSA_ACCESSED)) return entry;
    const touched = entry | ACCESS_FLAG;
    return writing && (g.flags & VMSA_DIRTY) != 0 && (entry & DIRTY_MODIFIER) != 0 ? touched | WRITE : touched;
  }
  @inline dirty(g: Geometry, level: u32, entry: u64): bool {
    return (entry & WRITE) != 0 || (entry & (WAS_DIRTY | DIRTY_MODIFIER)) == WAS_DIRTY;
  }

  @inline expressible(g: Geometry, permissions: u32): bool { return (permissions & (ACCESS_READ | ACCESS_WRITE)) != 0; }
  @inline rights(g: Geometry, permissions: u32, dirty: bool): u64 {
    const other: u64 = (permissions & ACCESS_READ ? READ : 0) | (permissions & ACCESS_EXECUTE ? 0 : NO_EXECUTE);
    if (!(permissions & ACCESS_WRITE)) return other | (dirty ? WAS_DIRTY : 0);
    return g.flags & VMSA_DIRTY ? other | DIRTY_MODIFIER | (dirty ? WRITE : 0) : other | WRITE;
  }
  @inline makeLeaf(g: Geometry, level: u32, address: u64, index: u32, lg2: u32, permissions: u32): u64 {
    const share: u64 = g.flags & VMSA_DS ? 0 : INNER_SHAREABLE;
    return this.place(g, level, address, index, lg2) | NORMAL | share | this.rights(g, permissions, false);
  }
  @inline withPermissions(g: Geometry, level: u32, leaf: u64, permissions: u32): u64 {
    const dirty = (g.flags & VMSA_DIRTY) != 0 && this.dirty(g, level, leaf);
    return (leaf & ~(READ | WRITE | DIRTY_MODIFIER | XN | WAS_DIRTY)) | this.rights(g, permissions, dirty);
  }
  @inline soil(g: Geometry, level: u32, leaf: u64): u64 { return leaf & DIRTY_MODIFIER ? leaf | WRITE : leaf | WAS_DIRTY; }
  @inline clean(g: Geometry, level: u32, leaf: u64): u64 {
    return (leaf & DIRTY_MODIFIER ? leaf & ~WRITE : leaf) & ~WAS_DIRTY;
  }
}
