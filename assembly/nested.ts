// Two stages: stage 2 for every stage-1 table, then for the output. Composed from the one walk.
import { Route, secondStage } from "./device/route";
import { Geometry, PtFormat } from "./format/contract";
import { ACCESS_IMPLICIT, ACCESS_READ, ACCESS_WRITE, OUTCOME_TRANSLATED, STAGE_FIRST, STAGE_SECOND } from "./layout";
import { Engine } from "./memory/physical";
import { Walk, walkOf } from "./unit";
import { soils, TableAccess, WALK_FIRST_ONLY, walkAlone, walkTable } from "./walk";

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

/** Stage-1 tables are reached through stage 2 of format F. */
@unmanaged
export class ThroughSecond<F extends PtFormat> extends TableAccess {
  @inline
  resolve(m: Engine, unit: usize, route: usize, walk: Walk, address: u64, updating: bool, mode: u32): u32 {
    const r = changetype<Route>(route);
    const second = walkOf(unit, 1);
    second.references = 0;
    const access: u32 = ACCESS_IMPLICIT | (updating ? ACCESS_READ | ACCESS_WRITE : ACCESS_READ);
    const outcome = walkAlone<F>(m, unit, route, secondStage(r), STAGE_SECOND, r.secondTag, address, access, updating, second, mode);
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
  const outcome = walkAlone<S>(m, unit, route, secondStage(r), STAGE_SECOND, r.secondTag, walk.pa, access, writing && soils(walk.permissions, access), second, mode);
  walk.references += second.references;
  if (outcome != OUTCOME_TRANSLATED) return adopt(walk, second, 0);
  walk.pa = second.pa;
  walk.lg2 = min(walk.lg2, second.lg2);
  walk.permissions &= second.permissions;
  return OUTCOME_TRANSLATED;
}
