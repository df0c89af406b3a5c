// Two stages: stage 2 for every stage-1 table, then for the output. Composed from the one walk.
import { Entry, findAddress, insert, keyOf, peek } from "./cache/assoc";
import { Route, secondStage } from "./device/route";
import { Geometry, PtFormat } from "./format/contract";
import { ACCESS_IMPLICIT, ACCESS_READ, ACCESS_UNCHECKED, ACCESS_WRITE, CACHE_SECOND, OUTCOME_TRANSLATED, STAGE_FIRST, STAGE_SECOND, TRACE_CACHED } from "./layout";
import { Engine } from "./memory/physical";
import { note } from "./trace";
import { cacheAt, cachePointer, Walk, walkOf } from "./unit";
import { soils, TableAccess, WALK_FIRST_ONLY, WALK_PEEK, walkAlone, walkTable } from "./walk";

/** Stage-2 walk failed on behalf of stage 1: its report becomes the walk's own. */
@inline
export function adopt(walk: Walk, second: Walk, implicit: u32): u32 {
  walk.outcome = second.outcome;
  walk.stage = STAGE_SECOND;
  walk.level = second.level;
  walk.entry = second.entry;
  walk.entryAddress = second.entryAddress;
  walk.address = second.address;
  walk.implicit = implicit;
  return second.outcome;
}

// meta of its entries: 7:0 permissions, 25:8 attributes, 31:26 lg2 bytes of the page
const LG2_SHIFT: u32 = 26;

/** The page of a guest physical address as the second-stage cache holds it, into `second`. */
function recall(pointer: usize, tag: u64, address: u64, second: Walk): bool {
  const found = findAddress(cacheAt(pointer), address, tag);
  if (found == 0) return false;
  const entry = changetype<Entry>(found);
  second.outcome = OUTCOME_TRANSLATED;
  second.address = address;
  second.implicit = 0;
  second.entry = 0;
  second.entryAddress = 0;
  second.lg2 = entry.meta >> LG2_SHIFT;
  second.pa = entry.value | (address & ((<u64>1 << (12 + (entry.key & 63))) - 1));
  second.permissions = entry.meta & 0xff;
  second.attributes = entry.meta << (32 - LG2_SHIFT) >> (40 - LG2_SHIFT);
  return true;
}

/** Keep what one table entry of `span` says: the others of its item may have A or D to set, or contradict it. */
function keep(pointer: usize, tag: u64, address: u64, second: Walk, span: u32): void {
  const c = cacheAt(pointer);
  const lg2 = min(second.lg2, span);
  const key = keyOf(address, lg2);
  let entry = peek(c, key, tag);
  if (entry == 0) entry = insert(c, key, tag);
  changetype<Entry>(entry).value = second.pa & ~((<u64>1 << lg2) - 1);
  changetype<Entry>(entry).meta = second.permissions | (second.attributes << 8) | (second.lg2 << LG2_SHIFT);
}

/** Stage 2 of one guest physical address, on behalf of a nested walk: from its cache, or walked and kept there. */
@inline
export function walkSecond<S extends PtFormat>(
  m: Engine, unit: usize, route: usize, g: Geometry, tag: u64, address: u64, access: u32, writing: bool, second: Walk, mode: u32,
): u32 {
  const pointer = mode & WALK_PEEK || access & ACCESS_UNCHECKED ? 0 : cachePointer(unit, CACHE_SECOND);
  if (pointer != 0) {
    // without the right, the tables decide; a right to write waits for D
    if (recall(pointer, tag, address, second) && changetype<S>(0).refusal(g, second.permissions, access) == OUTCOME_TRANSLATED) {
      cacheAt(pointer).hits += 1;
      if (m.trace != 0) note(m, TRACE_CACHED, STAGE_SECOND, 0, address, 0, 0, changetype<usize>(g), CACHE_SECOND);
      return OUTCOME_TRANSLATED;
    }
    cacheAt(pointer).misses += 1;
  }
  const outcome = walkAlone<S>(m, unit, route, g, STAGE_SECOND, tag, address, access, writing, second, mode);
  if (pointer != 0 && outcome == OUTCOME_TRANSLATED) keep(pointer, tag, address, second, changetype<S>(0).spanLg2(g, second.level));
  return outcome;
}

/** Stage-1 tables are reached through stage 2 of format F. */
@unmanaged
export class ThroughSecond<F extends PtFormat> extends TableAccess {
  @inline
  resolve(m: Engine, unit: usize, route: usize, walk: Walk, address: u64, updating: bool, mode: u32): u32 {
    const r = changetype<Route>(route);
    const second = walkOf(unit, 1);
    second.references = 0;
    const access: u32 = ACCESS_IMPLICIT | (updating ? ACCESS_READ | ACCESS_WRITE : ACCESS_READ);
    const outcome = walkSecond<F>(m, unit, route, secondStage(r), r.secondTag, address, access, updating, second, mode);
    walk.references += second.references;
    if (outcome != OUTCOME_TRANSLATED) return adopt(walk, second, updating ? 2 : 1);
    walk.entryAddress = second.pa;
    return OUTCOME_TRANSLATED;
  }
}

/** First stage over second stage; `walk` ends with the final address, the smaller page and the common permissions. */
@inline
export function walkNested<F extends PtFormat, S extends PtFormat>(
  m: Engine, unit: usize, route: usize, g: Geometry, tag: u64, address: u64, access: u32, writing: bool, walk: Walk, mode: u32,
): u32 {
  const first = walkTable<F, ThroughSecond<S>>(m, unit, route, g, STAGE_FIRST, tag, address, access, writing, walk, mode);
  return first != OUTCOME_TRANSLATED || (mode & WALK_FIRST_ONLY) != 0 ? first : throughSecond<S>(m, unit, route, access, writing, walk, mode);
}

/** Second stage of the output of a first stage that succeeded. */
@inline
export function throughSecond<S extends PtFormat>(
  m: Engine, unit: usize, route: usize, access: u32, writing: bool, walk: Walk, mode: u32,
): u32 {
  const r = changetype<Route>(route);
  const second = walkOf(unit, 1);
  second.references = 0;
  const outcome = walkSecond<S>(m, unit, route, secondStage(r), r.secondTag, walk.pa, access, writing && soils(walk.permissions, access), second, mode);
  walk.references += second.references;
  if (outcome != OUTCOME_TRANSLATED) return adopt(walk, second, 0);
  walk.pa = second.pa;
  walk.lg2 = min(walk.lg2, second.lg2);
  walk.permissions &= second.permissions;
  return OUTCOME_TRANSLATED;
}
