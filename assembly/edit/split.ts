// Splitting: a leaf into a table of smaller ones, a span (contiguous set, NAPOT, 7h) into its entries.
import { ENTRY_LEAF, PtFormat } from "../format/contract";
import { EDIT_NO_FRAME, EDIT_OK } from "../layout";
import { allocate, enough, framePointer, liveCount, NO_FRAME } from "../memory/frames";
import { Engine } from "../memory/physical";
import { books, geometryOf } from "../table";
import { badRange, descend, entryAt, itemAt, itemEntries, pathSlot } from "./descent";
import { orderOf } from "./tables";

/**
 * Cut the item at `level` that covers the address into smaller ones: a span into its entries, an entry into a table of
 * the next level. False when frames are out.
 */
function split<F extends PtFormat>(m: Engine, table: usize, level: u32, address: u64): bool {
  const f = changetype<F>(0);
  const g = geometryOf(table);
  const page = load<u64>(pathSlot(m, level));
  const entry = f.read(g, entryAt<F>(m, table, level, page, address));
  const lg2 = f.itemLg2(g, level, entry);
  const span = f.spanLg2(g, level);
  const output = f.itemAddress(g, level, entry, lg2);
  const entryLg2 = f.entryLg2(g);
  if (lg2 > span) {
    let at = itemAt<F>(m, table, level, page, address, lg2);
    const count = itemEntries<F>(table, level, lg2);
    let dirty = false;
    if (f.tracks(g)) {
      for (let i: u32 = 0; i < count; i++) dirty = dirty || f.dirty(g, level, f.read(g, at + (i << entryLg2)));
    }
    for (let i: u32 = 0; i < count; i++) {
      const part = f.makePart(g, level, f.read(g, at), level, output + (<u64>i << span));
      f.write(g, at, dirty ? f.soil(g, level, part) : part);
      at += 1 << entryLg2;
    }
    return true;
  }
  const below = level - 1;
  const order = orderOf<F>(table, below);
  const child = allocate(m, order);
  if (child == NO_FRAME) return false;
  books(table).frames += 1 << order;
  const part = f.spanLg2(g, below);
  const count: u32 = 1 << (span - part);
  let at = framePointer(m, child);
  for (let i: u32 = 0; i < count; i++) {
    f.write(g, at, f.makePart(g, below, entry, level, output + (<u64>i << part)));
    at += 1 << entryLg2;
  }
  store<u32>(liveCount(m, child), count);
  f.write(g, entryAt<F>(m, table, level, page, address), f.makeTable(g, level, child));
  return true;
}

/** Frames that cutting at `address` needs, so that no item straddles it. */
export function framesForCut<F extends PtFormat>(m: Engine, table: usize, address: u64): u32 {
  const f = changetype<F>(0);
  const g = geometryOf(table);
  let level = descend<F>(m, table, address, 0);
  const entry = f.read(g, entryAt<F>(m, table, level, load<u64>(pathSlot(m, level)), address));
  if (f.kind(g, level, entry) != ENTRY_LEAF) return 0;
  if ((address & ((<u64>1 << f.itemLg2(g, level, entry)) - 1)) == 0) return 0;
  let frames: u32 = 0;
  while (level > 0 && (address & ((<u64>1 << f.spanLg2(g, level)) - 1)) != 0) {
    level -= 1;
    frames += 1 << orderOf<F>(table, level);
  }
  return frames;
}

/** Split until no item straddles `address`; false when frames are out. */
function cut<F extends PtFormat>(m: Engine, table: usize, address: u64): bool {
  const f = changetype<F>(0);
  const g = geometryOf(table);
  while (true) {
    const level = descend<F>(m, table, address, 0);
    const entry = f.read(g, entryAt<F>(m, table, level, load<u64>(pathSlot(m, level)), address));
    if (f.kind(g, level, entry) != ENTRY_LEAF) return true;
    if ((address & ((<u64>1 << f.itemLg2(g, level, entry)) - 1)) == 0) return true;
    if (!split<F>(m, table, level, address)) return false;
  }
}

/** No item reaches across an end of [first, first + size) afterwards; translations stay what they were. */
export function splitEnds<F extends PtFormat>(m: Engine, table: usize, first: u64, size: u64): u32 {
  books(table).done = 0;
  const bad = badRange<F>(table, first, size);
  if (bad != EDIT_OK) return bad;
  return cutEnds<F>(m, table, first, first + size - 1) ? EDIT_OK : EDIT_NO_FRAME;
}

/** Cut both ends of [first, last] where items straddle them; nothing changes when frames do not suffice. */
export function cutEnds<F extends PtFormat>(m: Engine, table: usize, first: u64, last: u64): bool {
  // an end at the very end of the input range wraps to entry 0, where nothing can straddle
  const end = last + 1;
  // two ends in one large item share tables, so this may ask for a few frames too many
  if (!enough(m, framesForCut<F>(m, table, first) + framesForCut<F>(m, table, end))) return false;
  return cut<F>(m, table, first) && cut<F>(m, table, end);
}
