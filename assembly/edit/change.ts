// Unmap and protect: the same walk over the items of a range, which end or get other permissions.
import { ENTRY_LEAF, ENTRY_TABLE, PtFormat } from "../format/contract";
import { EDIT_NO_FRAME, EDIT_OK, EDIT_PERMISSION } from "../layout";
import { liveCount } from "../memory/frames";
import { Engine } from "../memory/physical";
import { books, geometryOf } from "../table";
import { badRange, descend, entryAt, itemEntries, pathSlot } from "./descent";
import { cutEnds } from "./split";
import { prune } from "./tables";

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
export function removeItems<F extends PtFormat>(m: Engine, table: usize, first: u64, last: u64): u64 {
  const removed = changeItems<F>(m, table, first, last, REMOVE);
  books(table).mapped -= removed;
  return removed;
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
