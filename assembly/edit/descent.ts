// What every edit of a kernel-built table does first: check the range, and go down to the entry that covers an address.
import { ENTRY_TABLE, PtFormat } from "../format/contract";
import { EDIT_ALIGNMENT, EDIT_OK, EDIT_RANGE } from "../layout";
import { framePointer } from "../memory/frames";
import { Engine } from "../memory/physical";
import { geometryOf } from "../table";

@inline
export function badRange<F extends PtFormat>(table: usize, first: u64, size: u64): u32 {
  const f = changetype<F>(0);
  const g = geometryOf(table);
  const small: u64 = ((<u64>1 << g.granule) - 1);
  if (size == 0 || ((first | size) & small) != 0) return EDIT_ALIGNMENT;
  const last = first + size - 1;
  // both ends may be inside and what is between them not: canonical addresses
  if (g.inputBits < 64 && (size - 1) >> g.inputBits != 0) return EDIT_RANGE;
  if (last < first || f.outside(g, first) != 0 || f.outside(g, last) != 0) return EDIT_RANGE;
  return EDIT_OK;
}

// path of the present descent, by level: physical address of the table
@inline
export function pathSlot(m: Engine, level: u32): usize {
  return <usize>m.scratch + 3072 + (level << 3);
}

@inline
export function entryAt<F extends PtFormat>(m: Engine, table: usize, level: u32, page: u64, address: u64): usize {
  const f = changetype<F>(0);
  const g = geometryOf(table);
  const index = <usize>((address >> f.spanLg2(g, level)) & ((<u64>1 << f.indexBits(g, level)) - 1));
  return framePointer(m, page) + (index << f.entryLg2(g));
}

/**
 * Follow tables from the root towards `address`, no lower than `floor`; the path is kept. Returns the level whose
 * entry covers the address: absent, a leaf, or (at `floor`) anything.
 */
@inline
export function descend<F extends PtFormat>(m: Engine, table: usize, address: u64, floor: u32): u32 {
  const f = changetype<F>(0);
  const g = geometryOf(table);
  let level = g.top;
  let page = g.root;
  while (true) {
    store<u64>(pathSlot(m, level), page);
    if (level <= floor) return level;
    const entry = f.read(g, entryAt<F>(m, table, level, page, address));
    if (f.kind(g, level, entry) != ENTRY_TABLE) return level;
    page = f.tableAddress(g, level, entry);
    level = f.nextLevel(g, level, entry);
  }
}

@inline
export function itemEntries<F extends PtFormat>(table: usize, level: u32, lg2: u32): u32 {
  const span = changetype<F>(0).spanLg2(geometryOf(table), level);
  return lg2 > span ? 1 << (lg2 - span) : 1;
}

/** First entry of the item that covers the address. */
@inline
export function itemAt<F extends PtFormat>(m: Engine, table: usize, level: u32, page: u64, address: u64, lg2: u32): usize {
  return entryAt<F>(m, table, level, page, address & ~((<u64>1 << lg2) - 1));
}
