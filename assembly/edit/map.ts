// Map, in the largest items that alignment allows. A map that cannot be finished for want of frames is refused before it
// changes anything: what it may need is bounded, and counted exactly when the bound does not fit.
import { ENTRY_ABSENT, ENTRY_TABLE, PtFormat } from "../format/contract";
import { EDIT_ALIGNMENT, EDIT_EXISTS, EDIT_NO_FRAME, EDIT_OK, EDIT_PERMISSION, EDIT_RANGE, MAP_REPLACE } from "../layout";
import { available, enough, liveCount } from "../memory/frames";
import { Engine } from "../memory/physical";
import { books, geometryOf } from "../table";
import { removeItems } from "./change";
import { badRange, descend, entryAt, itemEntries, pathSlot } from "./descent";
import { cutEnds, framesForCut } from "./split";
import { extend, orderOf, prune } from "./tables";

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
