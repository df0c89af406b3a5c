// The one page-table walk. Each format, and each nested pair of formats, gets its own fully inlined copy.
//
// A walk costs at most one memory reference per level (`top` + 1, at most 7), whatever the tables hold. When nested, each
// of them and the output cost one stage-2 walk more, and one again where A or D is due; the bound of an architecture stands
// in its device file.
import { Entry, find, insert, keyOf, peek } from "./cache/assoc";
import {
  ENTRY_ABSENT,
  ENTRY_LEAF,
  ENTRY_OUTPUT_SIZE,
  ENTRY_RESERVED,
  Geometry,
  PtFormat,
} from "./format/contract";
import {
  ACCESS_MAY_WRITE,
  ACCESS_PRIVILEGED,
  ACCESS_WRITE,
  CACHE_WALK_FIRST,
  CACHE_WALK_SECOND,
  MEMORY_ABSENT,
  MEMORY_POISON,
  OUTCOME_ACCESS_ERROR,
  OUTCOME_NOT_PRESENT,
  OUTCOME_OUTPUT_SIZE,
  OUTCOME_POISON,
  OUTCOME_RESERVED,
  OUTCOME_TRANSLATED,
  OUTCOME_UPDATE_REFUSED,
  PERM_PRIVILEGED_SHIFT,
  STAGE_FIRST,
  TRACE_CACHED,
  TRACE_READ,
  TRACE_WRITE,
} from "./layout";
import { Engine, entryPointer, storePhysical } from "./memory/physical";
import { note, noteEntry, noteWalk } from "./trace";
import { cacheAt, cachePointer, countReference, Walk } from "./unit";

/** Look without leaving a trace: no caches, no counters, no A or D update. */
export const WALK_PEEK: u32 = 1;
/** A nested walk ends before its second stage: split-stage ATS. */
export const WALK_FIRST_ONLY: u32 = 4;
/** Leave a trace (trace.ts); every walk sets this by itself. */
const WALK_TRACE: u32 = 2;

// paths of late walks in the scratch memory, one for each stage: {where u64, entry u64, table u64, level u32, state u32}
const PATHS: usize = 2048;
const STEP_BYTES: usize = 32;
const PATH_BYTES: usize = 8 * STEP_BYTES;

/** How a stage reaches its tables: straight (this class), or through stage 2 (nested.ts). `walk.level` is the table's. */
@unmanaged
export class TableAccess {
  /** stage-2 outcome for a table address; OUTCOME_TRANSLATED leaves the physical address in `walk.entryAddress` */
  @inline
  resolve(m: Engine, unit: usize, route: usize, walk: Walk, address: u64, updating: bool, mode: u32): u32 {
    walk.entryAddress = address;
    return OUTCOME_TRANSLATED;
  }
}

@inline
function end(walk: Walk, outcome: u32, level: u32, entry: u64): u32 {
  walk.outcome = outcome;
  walk.level = level;
  walk.entry = entry;
  return outcome;
}

/** Deepest cached table on the way to an address: its level + 1 (0: none), address and permission state in `walk`. */
@inline
function cachedTable<F extends PtFormat>(unit: usize, g: Geometry, first: u32, tag: u64, address: u64, walk: Walk): u32 {
  const f = changetype<F>(0);
  for (let level: u32 = 0; level < g.top; level++) {
    const pointer = cachePointer(unit, first + level);
    if (pointer == 0) continue;
    const c = cacheAt(pointer);
    const entry = find(c, keyOf(address, f.spanLg2(g, level + 1)), tag);
    if (entry != 0) {
      c.hits += 1;
      walk.pa = changetype<Entry>(entry).value;
      walk.permissions = changetype<Entry>(entry).meta;
      return level + 1;
    }
    c.misses += 1;
  }
  return 0;
}

@inline
function cacheTable<F extends PtFormat>(unit: usize, g: Geometry, first: u32, tag: u64, address: u64, level: u32, table: u64, state: u32): void {
  const pointer = cachePointer(unit, first + level);
  if (pointer == 0) return;
  const f = changetype<F>(0);
  const c = cacheAt(pointer);
  const key = keyOf(address, f.spanLg2(g, level + 1));
  let entry = peek(c, key, tag);
  if (entry == 0) entry = insert(c, key, tag);
  changetype<Entry>(entry).value = table;
  changetype<Entry>(entry).meta = state;
}

/**
 * Walk `g` for one access. The answer is in `walk`: outcome, and when translated the output address, the lg2 bytes it
 * holds for, permissions (user and privileged; the write bits only where no D update is due) and attributes.
 */
@inline
export function walkTable<F extends PtFormat, A extends TableAccess>(
  m: Engine,
  unit: usize,
  route: usize,
  g: Geometry,
  stage: u32,
  tag: u64,
  address: u64,
  access: u32,
  writing: bool,
  walk: Walk,
  mode: u32,
): u32 {
  const f = changetype<F>(0);
  const tables = changetype<A>(0);
  const caches: u32 = stage == STAGE_FIRST ? CACHE_WALK_FIRST : CACHE_WALK_SECOND;
  walk.address = address;
  walk.stage = stage;
  walk.implicit = 0;
  if (m.trace != 0) {
    mode |= WALK_TRACE;
    noteWalk(m, walk, g);
  }
  const outside = f.outside(g, address);
  if (outside != OUTCOME_TRANSLATED) {
    walk.entryAddress = 0;
    return end(walk, outside, g.top + 1, 0);
  }
  let level = g.top;
  let table = g.root;
  let state = f.open(g);
  if (!(mode & WALK_PEEK)) {
    const cached = cachedTable<F>(unit, g, caches, tag, address, walk);
    if (cached != 0) {
      level = cached - 1;
      table = walk.pa;
      state = walk.permissions;
      if (mode & WALK_TRACE) note(m, TRACE_CACHED, stage, level, table, 0, 0, changetype<usize>(g), caches + level);
    }
  }
  const entryLg2 = f.entryLg2(g);
  // a late walk keeps its path: at most 7 steps
  const path = m.scratch + PATHS + <usize>stage * PATH_BYTES;
  let steps: usize = 0;
  while (true) {
    const index = (address >> f.spanLg2(g, level)) & ((<u64>1 << f.indexBits(g, level)) - 1);
    const where = table + (index << entryLg2);
    walk.level = level;
    const reached = tables.resolve(m, unit, route, walk, where, false, mode);
    if (reached != OUTCOME_TRANSLATED) return reached;
    walk.references += 1;
    if (!(mode & WALK_PEEK)) countReference(unit, stage, level);
    if (!f.reaches(g, walk.entryAddress)) {
      if (mode & WALK_TRACE) noteEntry(m, walk, g, TRACE_READ, 0, 1 << entryLg2, MEMORY_ABSENT << 8);
      return end(walk, OUTCOME_ACCESS_ERROR, level, 0);
    }
    const pointer = entryPointer(m, walk.entryAddress, 1 << entryLg2);
    if (pointer == 0) {
      if (mode & WALK_TRACE) noteEntry(m, walk, g, TRACE_READ, 0, 1 << entryLg2, m.refusal << 8);
      return end(walk, m.refusal == MEMORY_POISON ? OUTCOME_POISON : OUTCOME_ACCESS_ERROR, level, 0);
    }
    let entry = f.read(g, pointer);
    const kind = f.kind(g, level, entry);
    if (mode & WALK_TRACE) noteEntry(m, walk, g, TRACE_READ, entry, 1 << entryLg2, kind);
    if (kind != ENTRY_LEAF) {
      if (kind == ENTRY_ABSENT) return end(walk, OUTCOME_NOT_PRESENT, level, entry);
      if (kind == ENTRY_RESERVED) return end(walk, OUTCOME_RESERVED, level, entry);
      if (kind == ENTRY_OUTPUT_SIZE) return end(walk, OUTCOME_OUTPUT_SIZE, level, entry);
      if (f.skipsNonZero(g, level, entry, address)) return end(walk, OUTCOME_NOT_PRESENT, level, entry);
      state = f.narrow(g, level, entry, state);
      if (f.late(g)) {
        const step = path + steps * STEP_BYTES;
        steps += 1;
        table = f.tableAddress(g, level, entry);
        store<u64>(step, where);
        store<u64>(step, entry, 8);
        store<u64>(step, table, 16);
        store<u32>(step, level, 24);
        store<u32>(step, state, 28);
        level = f.nextLevel(g, level, entry);
        continue;
      }
      if (f.tracks(g)) {
        const touched = f.touchTable(g, level, entry);
        if (touched != entry && !(mode & WALK_PEEK)) {
          const refused = update<F, A>(m, unit, route, g, walk, where, level, entry, touched, mode);
          if (refused != OUTCOME_TRANSLATED) return refused;
        }
      }
      table = f.tableAddress(g, level, entry);
      level = f.nextLevel(g, level, entry);
      if (!(mode & WALK_PEEK)) cacheTable<F>(unit, g, caches, tag, address, level, table, state);
      continue;
    }
    const lg2 = f.placedLg2(g, level, entry, address, f.itemLg2(g, level, entry));
    let permissions = f.permissions(g, level, entry, state);
    const refused = f.refusal(g, permissions, access);
    if (refused != OUTCOME_TRANSLATED) {
      walk.permissions = permissions;
      return end(walk, refused, level, entry);
    }
    if (f.late(g) && !(mode & WALK_PEEK)) {
      for (let i: usize = 0; i < steps; i++) {
        const step = path + i * STEP_BYTES;
        const passed = load<u64>(step, 8);
        const at = load<u32>(step, 24);
        const touched = f.touchTable(g, at, passed);
        if (touched != passed) {
          const late = update<F, A>(m, unit, route, g, walk, load<u64>(step), at, passed, touched, mode);
          if (late != OUTCOME_TRANSLATED) return late;
        }
        cacheTable<F>(unit, g, caches, tag, address, f.nextLevel(g, at, passed), load<u64>(step, 16), load<u32>(step, 28));
      }
    }
    if (f.tracks(g)) {
      const touched = f.touchLeaf(g, level, entry, writing && soils(permissions, access));
      if (touched != entry && !(mode & WALK_PEEK)) {
        const late = update<F, A>(m, unit, route, g, walk, where, level, entry, touched, mode);
        if (late != OUTCOME_TRANSLATED) return late;
        entry = touched;
      }
      // a later write must come back here to set D
      if (!(mode & WALK_PEEK) && !f.dirty(g, level, entry)) permissions &= ~0x12;
    }
    walk.lg2 = lg2;
    walk.permissions = permissions;
    walk.attributes = f.attributes(g, level, entry);
    walk.pa = f.itemAddress(g, level, entry, lg2) | (address & ((<u64>1 << lg2) - 1));
    return end(walk, OUTCOME_TRANSLATED, level, entry);
  }
}

/** A translation request without No Write makes dirty what it is allowed to write. */
@inline
export function soils(permissions: u32, access: u32): bool {
  if (!(access & ACCESS_MAY_WRITE)) return true;
  return (permissions & (access & ACCESS_PRIVILEGED ? ACCESS_WRITE << PERM_PRIVILEGED_SHIFT : ACCESS_WRITE)) != 0;
}

/** `walkTable` of tables that are reached straight, as a call: one copy of it for each format. */
export function walkAlone<F extends PtFormat>(
  m: Engine, unit: usize, route: usize, g: Geometry, stage: u32, tag: u64, address: u64, access: u32, writing: bool, walk: Walk, mode: u32,
): u32 {
  return walkTable<F, TableAccess>(m, unit, route, g, stage, tag, address, access, writing, walk, mode);
}

/** Write A and D bits back, as a compare-and-swap would: nobody else runs between the read and this write. */
@inline
function update<F extends PtFormat, A extends TableAccess>(
  m: Engine,
  unit: usize,
  route: usize,
  g: Geometry,
  walk: Walk,
  where: u64,
  level: u32,
  entry: u64,
  touched: u64,
  mode: u32,
): u32 {
  const f = changetype<F>(0);
  if (!f.updates(g)) return end(walk, OUTCOME_UPDATE_REFUSED, level, entry);
  const tables = changetype<A>(0);
  walk.level = level;
  walk.entry = entry;
  const reached = tables.resolve(m, unit, route, walk, where, true, mode);
  if (reached != OUTCOME_TRANSLATED) return reached;
  const bytes: u32 = 1 << f.entryLg2(g);
  const pointer = entryPointer(m, walk.entryAddress, bytes);
  if (pointer == 0) return end(walk, OUTCOME_ACCESS_ERROR, level, entry);
  // through the format's own byte order, then by the checked store
  f.write(g, m.scratch + 32, touched);
  const value = bytes == 8 ? load<u64>(m.scratch + 32) : <u64>load<u32>(m.scratch + 32);
  const refused = storePhysical(m, walk.entryAddress, bytes, value);
  if (mode & WALK_TRACE) noteEntry(m, walk, g, TRACE_WRITE, touched, bytes, refused << 8);
  if (refused != 0) return end(walk, OUTCOME_ACCESS_ERROR, level, entry);
  return OUTCOME_TRANSLATED;
}
