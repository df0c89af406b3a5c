// The tables of a kernel-built page table: the root, tables hung below entries, tables that are empty again.
import { ENTRY_TABLE, PtFormat } from "../format/contract";
import { EDIT_NO_FRAME, EDIT_OK } from "../layout";
import { allocate, framePointer, liveCount, NO_FRAME, release } from "../memory/frames";
import { Engine } from "../memory/physical";
import { books, geometryOf } from "../table";
import { entryAt, pathSlot } from "./descent";

@inline
export function orderOf<F extends PtFormat>(table: usize, level: u32): u32 {
  const lg2 = changetype<F>(0).tableLg2(geometryOf(table), level);
  return lg2 > 12 ? lg2 - 12 : 0;
}

/** Make the root. EDIT_OK or EDIT_NO_FRAME. */
export function openTable<F extends PtFormat>(m: Engine, table: usize): u32 {
  const g = geometryOf(table);
  const order = orderOf<F>(table, g.top);
  const root = allocate(m, order);
  if (root == NO_FRAME) return EDIT_NO_FRAME;
  g.root = root;
  books(table).frames = 1 << order;
  return EDIT_OK;
}

/** Return every frame of a table, whatever is mapped. */
export function closeTable<F extends PtFormat>(m: Engine, table: usize): void {
  const g = geometryOf(table);
  closeLevel<F>(m, table, g.top, g.root);
  g.root = 0;
  books(table).mapped = 0;
  books(table).frames = 0;
}

// recursion is at most `top` deep
function closeLevel<F extends PtFormat>(m: Engine, table: usize, level: u32, page: u64): void {
  const f = changetype<F>(0);
  const g = geometryOf(table);
  if (level > 0 && load<u32>(liveCount(m, page)) != 0) {
    const entryLg2 = f.entryLg2(g);
    const first = framePointer(m, page);
    const end = first + (<usize>1 << (f.indexBits(g, level) + entryLg2));
    for (let at = first; at < end; at += 1 << entryLg2) {
      const entry = f.read(g, at);
      if (f.kind(g, level, entry) == ENTRY_TABLE) closeLevel<F>(m, table, f.nextLevel(g, level, entry), f.tableAddress(g, level, entry));
    }
  }
  release(m, page, orderOf<F>(table, level));
}

/** Hang new tables below `level` down to `floor`; false when frames are out (what was hung stays, empty). */
export function extend<F extends PtFormat>(m: Engine, table: usize, address: u64, level: u32, floor: u32): bool {
  const f = changetype<F>(0);
  const g = geometryOf(table);
  while (level > floor) {
    const order = orderOf<F>(table, level - 1);
    const page = allocate(m, order);
    if (page == NO_FRAME) return false;
    books(table).frames += 1 << order;
    const parent = load<u64>(pathSlot(m, level));
    f.write(g, entryAt<F>(m, table, level, parent, address), f.makeTable(g, level, page));
    const live = liveCount(m, parent);
    store<u32>(live, load<u32>(live) + 1);
    level -= 1;
    store<u64>(pathSlot(m, level), page);
  }
  return true;
}

/** Return tables that hold nothing, from `level` up; the root stays. True when the table at `level` went. */
export function prune<F extends PtFormat>(m: Engine, table: usize, address: u64, level: u32): bool {
  const f = changetype<F>(0);
  const g = geometryOf(table);
  if (books(table).keep != 0) return false;
  let gone = false;
  while (level < g.top) {
    const page = load<u64>(pathSlot(m, level));
    if (load<u32>(liveCount(m, page)) != 0) break;
    const order = orderOf<F>(table, level);
    release(m, page, order);
    books(table).frames -= 1 << order;
    level += 1;
    const parent = load<u64>(pathSlot(m, level));
    f.write(g, entryAt<F>(m, table, level, parent, address), 0);
    const live = liveCount(m, parent);
    store<u32>(live, load<u32>(live) - 1);
    gone = true;
  }
  return gone;
}
