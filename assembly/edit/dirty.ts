// Dirty pages of a kernel-built table: what devices have written since the D bits were last cleared.
import { ENTRY_LEAF, ENTRY_TABLE, PtFormat } from "../format/contract";
import { DIRTY_BITMAP, DIRTY_BITMAP_BYTES, DIRTY_BASE, DIRTY_KEEP, DIRTY_NEXT, EDIT_FORMAT, EDIT_NO_FRAME, EDIT_OK } from "../layout";
import { Engine } from "../memory/physical";
import { geometryOf } from "../table";
import { badRange, descend, entryAt, itemAt, itemEntries, pathSlot } from "./descent";
import { cutEnds } from "./split";

/** Set bits `from` to `to` of the bitmap. */
function setBits(bitmap: usize, from: u32, to: u32): void {
  while (from <= to) {
    if ((from & 7) == 0 && to - from >= 7) {
      store<u8>(bitmap + (from >> 3), 0xff);
      from += 8;
      continue;
    }
    const at = bitmap + (from >> 3);
    store<u8>(at, <u32>load<u8>(at) | ((<u32>1) << (from & 7)));
    from += 1;
  }
}

/**
 * Read the D bits of [first, first + size), and clear them unless DIRTY_KEEP, a window of 8 * DIRTY_BITMAP_BYTES
 * smallest pages at a time. `at`: where to go on, at first `first`. In the scratch memory afterwards: the bitmap of the
 * window, its first address (DIRTY_BASE), and the `at` of the next call (DIRTY_NEXT, 0 when this was the last).
 *
 * A clearing call splits large items at the ends of the range, so that nothing outside it is forgotten. A large item is
 * reported as dirty from end to end, and cleared by the window that it ends in.
 */
export function readDirty<F extends PtFormat>(m: Engine, table: usize, first: u64, size: u64, at: u64, flags: u32): u32 {
  const f = changetype<F>(0);
  const g = geometryOf(table);
  const bad = badRange<F>(table, first, size);
  if (bad != EDIT_OK) return bad;
  if (!f.tracks(g) || !f.updates(g)) return EDIT_FORMAT;
  const keep = (flags & DIRTY_KEEP) != 0;
  const last = first + size - 1;
  if (!keep && at == first && !cutEnds<F>(m, table, first, last)) return EDIT_NO_FRAME;
  const bitmap = <usize>m.scratch + DIRTY_BITMAP;
  memory.fill(bitmap, 0, DIRTY_BITMAP_BYTES);
  const entryLg2 = f.entryLg2(g);
  const window: u64 = (<u64>8 * DIRTY_BITMAP_BYTES) << g.granule;
  let base: u64 = 0;
  let end = last;
  let found = false;
  let address = at;
  while (true) {
    const level = descend<F>(m, table, address, 0);
    const page = load<u64>(pathSlot(m, level));
    const span = f.spanLg2(g, level);
    const stop = address | ((<u64>1 << (span + f.indexBits(g, level))) - 1);
    let here = address;
    while (true) {
      const entry = f.read(g, entryAt<F>(m, table, level, page, here));
      const kind = f.kind(g, level, entry);
      if (kind == ENTRY_TABLE) break;
      let step: u64 = <u64>1 << span;
      if (kind == ENTRY_LEAF) {
        const lg2 = f.itemLg2(g, level, entry);
        step = <u64>1 << lg2;
        const start = here & ~(step - 1);
        const close = start | (step - 1);
        // the window starts where the first item does
        if (!found) {
          found = true;
          base = here;
          if (last - base >= window) end = base + window - 1;
        }
        const item = itemAt<F>(m, table, level, page, here, lg2);
        const count = itemEntries<F>(table, level, lg2);
        let dirty = false;
        for (let i: u32 = 0; i < count; i++) {
          const one = item + (i << entryLg2);
          const word = f.read(g, one);
          dirty = dirty || f.dirty(g, level, word);
          if (!keep && close <= end) f.write(g, one, f.clean(g, level, word));
        }
        // what earlier windows said of a large item stands: its bits stay until the last of it
        if (dirty) setBits(bitmap, <u32>((max(start, base) - base) >> g.granule), <u32>((min(close, end) - base) >> g.granule));
      }
      here = (here & ~(step - 1)) + step;
      if (here == 0 || here > min(stop, end)) break;
    }
    if (here == 0 || here > end) break;
    address = here;
  }
  store<u64>(m.scratch, base, DIRTY_BASE);
  store<u64>(m.scratch, end == last ? 0 : end + 1, DIRTY_NEXT);
  return EDIT_OK;
}
