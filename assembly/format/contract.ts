// What a page-table format is: small inlined functions of one entry.
//
// Words. Address: the input of a walk. Level 0 holds the smallest leaves; a table at level L is reached through an
// entry at level L + 1 or is the root. Entry: one word of a table. Item: what one translation uses, one entry or a
// span of equal entries (contiguous bit, NAPOT, AMD 7h). `lg2`: a size as its logarithm. Permissions: ACCESS_* bits
// of a user requester, the same three bits up for a privileged one.
//
// A format has no loop, touches no memory and knows no fault code: walk.ts and edit/ hold the loops, the device
// file gives outcomes their codes. `Geometry` is the run-time part: one class per entry layout, not per level count.
//
// To add a format: one file that extends PtFormat, one line in formats.ts.
import { GEOMETRY_BYTES, OUTCOME_TRANSLATED } from "../layout";

/** How a walk of one table starts (GEOMETRY_* in layout.ts). */
@unmanaged
export class Geometry {
  root: u64;
  leaves: u64; // mask of lg2 leaf sizes that the unit accepts
  format: u32;
  top: u32;
  inputBits: u32;
  outputBits: u32;
  flags: u32;
  granule: u32;
  extra: u64;
}

@inline
export function checkGeometry(): void {
  if (offsetof<Geometry>() > <usize>GEOMETRY_BYTES) ERROR("GEOMETRY_BYTES");
}

// ---- kinds of entry, the engine's own
export const ENTRY_ABSENT: u32 = 0;
export const ENTRY_TABLE: u32 = 1;
export const ENTRY_LEAF: u32 = 2;
export const ENTRY_RESERVED: u32 = 3; // a reserved bit is set, or a leaf stands where none may
export const ENTRY_OUTPUT_SIZE: u32 = 4; // its address is wider than the output

/** All user and privileged permissions: the engine's own word. */
const ALL_PERMISSIONS: u32 = 63;

@unmanaged
export class PtFormat {
  // ---- shape
  /** lg2 bytes of one entry */
  @inline entryLg2(g: Geometry): u32 { return 3; }
  /** lg2 bytes that one entry of this level covers */
  @inline spanLg2(g: Geometry, level: u32): u32 { return 12 + 9 * level; }
  /** lg2 entries of a table at this level (the root may be wider: x4 roots, concatenation) */
  @inline indexBits(g: Geometry, level: u32): u32 { return 9; }
  /** lg2 bytes of the memory that a table at this level takes */
  @inline tableLg2(g: Geometry, level: u32): u32 { return this.indexBits(g, level) + this.entryLg2(g); }
  /** OUTCOME_* when the input address cannot be looked up at all */
  @inline outside(g: Geometry, address: u64): u32 { return OUTCOME_TRANSLATED; }
  /** a table entry may lie at this physical address; otherwise its read is an access error */
  @inline reaches(g: Geometry, address: u64): bool { return true; }
  /** the entry at a pointer, in the table's byte order */
  @inline read(g: Geometry, pointer: usize): u64 { return load<u64>(pointer); }
  @inline write(g: Geometry, pointer: usize, entry: u64): void { store<u64>(pointer, entry); }

  // ---- one entry
  /** ENTRY_*; checks are made in the order that the specification gives */
  @inline kind(g: Geometry, level: u32, entry: u64): u32 { return ENTRY_ABSENT; }
  /** level of the table that a table entry points to, and whether address bits that it skips are zero */
  @inline nextLevel(g: Geometry, level: u32, entry: u64): u32 { return level - 1; }
  @inline skipsNonZero(g: Geometry, level: u32, entry: u64, address: u64): bool { return false; }
  @inline tableAddress(g: Geometry, level: u32, entry: u64): u64 { return 0; }
  /** lg2 bytes of the item that a leaf entry belongs to */
  @inline itemLg2(g: Geometry, level: u32, entry: u64): u32 { return this.spanLg2(g, level); }
  /** the same for one address: an entry that contradicts the others of its span counts alone */
  @inline placedLg2(g: Geometry, level: u32, entry: u64, address: u64, lg2: u32): u32 { return lg2; }
  /** output address of the item's first byte */
  @inline itemAddress(g: Geometry, level: u32, entry: u64, lg2: u32): u64 { return 0; }
  /** memory attributes of a leaf, in the format's own bits */
  @inline attributes(g: Geometry, level: u32, entry: u64): u32 { return 0; }

  // ---- permissions on the way down
  /** state before the first entry */
  @inline open(g: Geometry): u32 { return ALL_PERMISSIONS; }
  /** state after a table entry */
  @inline narrow(g: Geometry, level: u32, entry: u64, state: u32): u32 { return state; }
  /** permissions (user and privileged) after the leaf */
  @inline permissions(g: Geometry, level: u32, entry: u64, state: u32): u32 { return state; }
  /** OUTCOME_NO_* for a request that the permissions do not cover; `access` has one or more bits */
  @inline refusal(g: Geometry, permissions: u32, access: u32): u32 { return OUTCOME_TRANSLATED; }

  // ---- accessed and dirty bits
  /** the walk looks at A and D bits at all */
  @inline tracks(g: Geometry): bool { return false; }
  /** A and D are written, and tables cached, only when the whole walk has succeeded */
  @inline late(g: Geometry): bool { return false; }
  /** table entry with its A bit set, or as it is */
  @inline touchTable(g: Geometry, level: u32, entry: u64): u64 { return entry; }
  /** leaf entry with the bits set that this access asks for, or as it is */
  @inline touchLeaf(g: Geometry, level: u32, entry: u64, writing: bool): u64 { return entry; }
  /** hardware may write the difference; otherwise the walk ends in OUTCOME_UPDATE_REFUSED */
  @inline updates(g: Geometry): bool { return false; }
  /** this leaf may be cached as writable (its D bit is set, or nobody tracks) */
  @inline dirty(g: Geometry, level: u32, entry: u64): bool { return true; }

  // ---- building
  /** a table entry for a kernel-built table */
  @inline makeTable(g: Geometry, level: u32, table: u64): u64 { return 0; }
  /** mask of lg2 item sizes that edits may build (before `leaves` of the geometry narrows it) */
  @inline buildable(g: Geometry): u64 { return 0; }
  /** entry `index` of an item of 2^lg2 bytes at `address`; permissions as ACCESS_* */
  @inline makeLeaf(g: Geometry, level: u32, address: u64, index: u32, lg2: u32, permissions: u32): u64 { return 0; }
  /** the format can express these permissions */
  @inline expressible(g: Geometry, permissions: u32): bool { return true; }
  /** the same leaf (permissions, attributes, A and D) for a part of it: an item of one entry at `level` */
  @inline makePart(g: Geometry, level: u32, leaf: u64, leafLevel: u32, address: u64): u64 { return 0; }
  /** a leaf with other permissions */
  @inline withPermissions(g: Geometry, level: u32, leaf: u64, permissions: u32): u64 { return leaf; }
  /** a leaf with its D bit set: hardware sets that of one entry of a span, for all of it */
  @inline soil(g: Geometry, level: u32, leaf: u64): u64 { return leaf; }
  /** a leaf with its D bit cleared */
  @inline clean(g: Geometry, level: u32, leaf: u64): u64 { return leaf; }
}
