// The one editor of kernel-built page tables: map, unmap, protect and split for every format. Dirty pages: edit-dirty.ts.
//
// Edits descend from the root to the entry that covers an address, then stay in that table while the range does.
// An edit that cannot be finished for want of frames is refused before it changes anything: `framesFor*` count what
// it may need, exactly when the upper bound does not fit.
import {
  ENTRY_ABSENT,
  ENTRY_LEAF,
  ENTRY_TABLE,
  PtFormat,
} from "./format/contract";
import {
  EDIT_ALIGNMENT,
  EDIT_EXISTS,
  EDIT_NO_FRAME,
  EDIT_OK,
  EDIT_PERMISSION,
  EDIT_RANGE,
  MAP_REPLACE,
} from "./layout";
import { allocate, available, enough, framePointer, liveCount, NO_FRAME, release } from "./memory/frames";
import { Engine } from "./memory/physical";
import { books, geometryOf } from "./table";

const DEEPEST: u32 = 8;

// path of the present descent, by level: physical address of the table
@inline
export function pathSlot(m: Engine, level: u32): usize {
  return <usize>m.scratch + 3072 + (level << 3);
}

@inline
function orderOf<F extends PtFormat>(table: usize, level: u32): u32 {
  const lg2 = changetype<F>(0).tableLg2(geometryOf(table), level);
  return lg2 > 12 ? lg2 - 12 : 0;
}

@inline
export function entryAt<F extends PtFormat>(m: Engine, table: usize, level: u32, page: u64, address: u64): usize {
  const f = changetype<F>(0);
  const g = geometryOf(table);
  const index = <usize>((address >> f.spanLg2(g, level)) & ((<u64>1 << f.indexBits(g, level)) - 1));
  return framePointer(m, page) + (index << f.entryLg2(g));
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

// ---- descending

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

/** Hang new tables below `level` down to `floor`; false when frames are out (what was hung stays, empty). */
function extend<F extends PtFormat>(m: Engine, table: usize, address: u64, level: u32, floor: u32): bool {
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
function prune<F extends PtFormat>(m: Engine, table: usize, address: u64, level: u32): bool {
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

// ---- items

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
function framesForCut<F extends PtFormat>(m: Engine, table: usize, address: u64): u32 {
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

/** Cut both ends of [first, last] where items straddle them; nothing changes when frames do not suffice. */
export function cutEnds<F extends PtFormat>(m: Engine, table: usize, first: u64, last: u64): bool {
  // an end at the very end of the input range wraps to entry 0, where nothing can straddle
  const end = last + 1;
  // two ends in one large item share tables, so this may ask for a few frames too many
  if (!enough(m, framesForCut<F>(m, table, first) + framesForCut<F>(m, table, end))) return false;
  return cut<F>(m, table, first) && cut<F>(m, table, end);
}

// ---- unmap and protect

const REMOVE: u32 = 0xffff_ffff;

/**
 * Remove every item inside [first, last], whose ends no item straddles, or give it `permissions`; bytes that were
 * mapped there.
 */
function changeItems<F extends PtFormat>(m: Engine, table: usize, first: u64, last: u64, permissions: u32): u64 {
  const f = changetype<F>(0);
  const g = geometryOf(table);
  const entryLg2 = f.entryLg2(g);
  let changed: u64 = 0;
  let address = first;
  while (true) {
    const level = descend<F>(m, table, address, 0);
    const page = load<u64>(pathSlot(m, level));
    const span = f.spanLg2(g, level);
    const tableMask: u64 = (<u64>1 << (span + f.indexBits(g, level))) - 1;
    const live = liveCount(m, page);
    // stay in this table as long as the range does
    const stop = min(address | tableMask, last);
    let here = address;
    while (true) {
      const at = entryAt<F>(m, table, level, page, here);
      const entry = f.read(g, at);
      const kind = f.kind(g, level, entry);
      let step: u64 = <u64>1 << span;
      if (kind == ENTRY_LEAF) {
        const lg2 = f.itemLg2(g, level, entry);
        const count = itemEntries<F>(table, level, lg2);
        if (permissions == REMOVE) {
          for (let i: u32 = 0; i < count; i++) f.write(g, at + (i << entryLg2), 0);
          store<u32>(live, load<u32>(live) - count);
        } else {
          for (let i: u32 = 0; i < count; i++) {
            const one = at + (i << entryLg2);
            f.write(g, one, f.withPermissions(g, level, f.read(g, one), permissions));
          }
        }
        changed += <u64>1 << lg2;
        step = <u64>1 << lg2;
      } else if (kind == ENTRY_TABLE) break;
      here = (here & ~(step - 1)) + step;
      if (here > stop || here == 0) break;
    }
    if (permissions == REMOVE) prune<F>(m, table, address, level);
    if (here > last || here == 0) return changed;
    address = here;
  }
}

@inline
function removeItems<F extends PtFormat>(m: Engine, table: usize, first: u64, last: u64): u64 {
  const removed = changeItems<F>(m, table, first, last, REMOVE);
  books(table).mapped -= removed;
  return removed;
}

/** True when no leaf lies in [first, last]. */
function isEmpty<F extends PtFormat>(m: Engine, table: usize, first: u64, last: u64): bool {
  const f = changetype<F>(0);
  const g = geometryOf(table);
  let address = first;
  while (true) {
    const level = descend<F>(m, table, address, 0);
    const page = load<u64>(pathSlot(m, level));
    const span = f.spanLg2(g, level);
    const stop = min(address | ((<u64>1 << (span + f.indexBits(g, level))) - 1), last);
    let here = address;
    while (true) {
      const kind = f.kind(g, level, f.read(g, entryAt<F>(m, table, level, page, here)));
      if (kind == ENTRY_TABLE) break;
      if (kind != ENTRY_ABSENT) return false;
      here = (here & ~((<u64>1 << span) - 1)) + (<u64>1 << span);
      if (here > stop || here == 0) break;
    }
    if (here > last || here == 0) return true;
    address = here;
  }
}

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

/** Unmap [first, first + size), holes allowed; bytes removed are in `done`. A large item is split at the ends. */
export function unmap<F extends PtFormat>(m: Engine, table: usize, first: u64, size: u64): u32 {
  const b = books(table);
  b.done = 0;
  const bad = badRange<F>(table, first, size);
  if (bad != EDIT_OK) return bad;
  const last = first + size - 1;
  if (!cutEnds<F>(m, table, first, last)) return EDIT_NO_FRAME;
  b.done = removeItems<F>(m, table, first, last);
  return EDIT_OK;
}

/**
 * Give everything that is mapped in [first, first + size) other permissions, holes allowed; bytes changed are in
 * `done`. A large item is split at the ends.
 */
export function protect<F extends PtFormat>(m: Engine, table: usize, first: u64, size: u64, permissions: u32): u32 {
  const b = books(table);
  b.done = 0;
  const bad = badRange<F>(table, first, size);
  if (bad != EDIT_OK) return bad;
  if (!changetype<F>(0).expressible(geometryOf(table), permissions)) return EDIT_PERMISSION;
  const last = first + size - 1;
  if (!cutEnds<F>(m, table, first, last)) return EDIT_NO_FRAME;
  b.done = changeItems<F>(m, table, first, last, permissions);
  return EDIT_OK;
}

// ---- map

/** lg2 of the largest item that fits: both addresses aligned to it and `left` bytes at least. */
@inline
function bestItem(sizes: u64, address: u64, output: u64, left: u64): u32 {
  const aligned = <u32>ctz(address | output | (<u64>1 << 63));
  const fits = 63 - <u32>clz(left);
  const limit = min(aligned, fits);
  return 63 - <u32>clz(sizes & ((<u64>2 << limit) - 1));
}

/** Level whose entries make an item of 2^lg2 bytes: the highest whose span fits. */
@inline
function levelOf<F extends PtFormat>(table: usize, lg2: u32): u32 {
  const f = changetype<F>(0);
  const g = geometryOf(table);
  let level: u32 = 0;
  while (level < g.top && f.spanLg2(g, level + 1) <= lg2) level += 1;
  return level;
}

/** Frames that mapping [first, last] needs, tables that exist taken off. */
function framesForMap<F extends PtFormat>(m: Engine, table: usize, first: u64, last: u64, output: u64): u32 {
  const f = changetype<F>(0);
  const g = geometryOf(table);
  let bound: u64 = 0;
  for (let level: u32 = 0; level < g.top; level++) {
    const above = f.spanLg2(g, level + 1);
    bound += ((last >> above) - (first >> above) + 1) << orderOf<F>(table, level);
  }
  if (bound <= available(m)) return <u32>bound;
  // near the end of the pool, or for large leaves: count the tables that are missing, item by item
  const room = available(m);
  const sizes = f.buildable(g) & g.leaves & books(table).leaves;
  let need: u32 = 0;
  let address = first;
  let from = output;
  let left = last - first + 1;
  let before: u64 = 0;
  while (true) {
    const lg2 = bestItem(sizes, address, from, left);
    const level = levelOf<F>(table, lg2);
    let missing = descend<F>(m, table, address, level);
    while (missing > level) {
      // a table is counted where its range is first entered
      const above = f.spanLg2(g, missing);
      if (address == first || before >> above != address >> above) need += 1 << orderOf<F>(table, missing - 1);
      missing -= 1;
    }
    if (need > room) return need;
    before = address;
    const bytes: u64 = <u64>1 << lg2;
    left -= bytes;
    if (left == 0) return need;
    address += bytes;
    from += bytes;
  }
}

/**
 * Map [first, first + size) to `output`, in the largest items that alignment allows. Refused with nothing changed when
 * something is mapped there (unless MAP_REPLACE) or frames do not suffice.
 */
export function map<F extends PtFormat>(
  m: Engine, table: usize, first: u64, output: u64, size: u64, permissions: u32, flags: u32,
): u32 {
  const f = changetype<F>(0);
  const g = geometryOf(table);
  const b = books(table);
  b.done = 0;
  b.replaced = 0;
  let bad = badRange<F>(table, first, size);
  if (bad != EDIT_OK) return bad;
  if ((output & ((<u64>1 << g.granule) - 1)) != 0) return EDIT_ALIGNMENT;
  const outputLast = output + size - 1;
  if (outputLast < output || (g.outputBits < 64 && outputLast >> g.outputBits != 0)) return EDIT_RANGE;
  if (!f.expressible(g, permissions)) return EDIT_PERMISSION;
  const last = first + size - 1;
  if (!isEmpty<F>(m, table, first, last)) {
    if (!(flags & MAP_REPLACE)) return EDIT_EXISTS;
    // pages inside go first, so that what they free is there to be used; cutting the ends may need frames of its own
    const cuts = framesForCut<F>(m, table, first) + framesForCut<F>(m, table, last + 1);
    if (!enough(m, cuts + framesForMap<F>(m, table, first, last, output))) return EDIT_NO_FRAME;
    if (!cutEnds<F>(m, table, first, last)) return EDIT_NO_FRAME;
    b.replaced = 1;
    removeItems<F>(m, table, first, last);
  } else if (!enough(m, framesForMap<F>(m, table, first, last, output))) return EDIT_NO_FRAME;

  if (b.keep != 0 && g.top != 0 && size >> f.spanLg2(g, 1) != 0) {
    // tables that were kept though empty make way for large items
    b.keep = 0;
    removeItems<F>(m, table, first, last);
    b.keep = 1;
  }
  const sizes = f.buildable(g) & g.leaves & b.leaves;
  const entryLg2 = f.entryLg2(g);
  let address = first;
  let from = output;
  let left = size;
  while (left != 0) {
    let lg2 = bestItem(sizes, address, from, left);
    const level = levelOf<F>(table, lg2);
    const reached = descend<F>(m, table, address, level);
    if (reached > level && !extend<F>(m, table, address, reached, level)) {
      // only a failure asked for by the host, or a pool of odd blocks, comes here: take back what was done
      prune<F>(m, table, address, descend<F>(m, table, address, 0));
      if (address != first) removeItems<F>(m, table, first, address - 1);
      b.done = 0;
      return EDIT_NO_FRAME;
    }
    const page = load<u64>(pathSlot(m, level));
    const live = liveCount(m, page);
    const span = f.spanLg2(g, level);
    const stop = (address | ((<u64>1 << (span + f.indexBits(g, level))) - 1));
    while (true) {
      const count = itemEntries<F>(table, level, lg2);
      let at = entryAt<F>(m, table, level, page, address);
      for (let i: u32 = 0; i < count; i++) {
        f.write(g, at, f.makeLeaf(g, level, from, i, lg2, permissions));
        at += 1 << entryLg2;
      }
      store<u32>(live, load<u32>(live) + count);
      const bytes: u64 = <u64>1 << lg2;
      b.mapped += bytes;
      address += bytes;
      from += bytes;
      left -= bytes;
      if (left == 0 || address > stop || address == 0) break;
      lg2 = bestItem(sizes, address, from, left);
      if (levelOf<F>(table, lg2) != level) break;
    }
  }
  b.done = size;
  return EDIT_OK;
}
