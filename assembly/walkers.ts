// Every instantiated walk, by number. A format or a nested pair that is not here costs nothing.
import { Route, secondStage } from "./device/route";
import { WALKER_VTD_SECOND } from "./device/walkers";
import { Geometry } from "./format/contract";
import { VtdSecond } from "./format/vtd-second";
import { ACCESS_WRITE, FORMAT_VTD_SECOND, OUTCOME_RESERVED, STAGE_SECOND } from "./layout";
import { Engine } from "./memory/physical";
import { walkOf } from "./unit";
import { TableAccess, WALK_PEEK, walkTable } from "./walk";

/** Walk a route for one access; the answer is in the unit's first walk record. */
export function walkRoute(m: Engine, unit: usize, found: usize, tag: u64, address: u64, access: u32, mode: u32): u32 {
  const route = changetype<Route>(found);
  const walk = walkOf(unit, 0);
  const writing = (access & ACCESS_WRITE) != 0;
  if (route.walker == WALKER_VTD_SECOND) {
    return walkTable<VtdSecond, TableAccess>(m, unit, found, secondStage(route), STAGE_SECOND, tag, address, access, writing, walk, mode);
  }
  walk.outcome = OUTCOME_RESERVED;
  return OUTCOME_RESERVED;
}

/** Walk one table by itself, without caches, counters or updates; the answer is in the silent unit's walk record. */
export function peekTable(m: Engine, g: Geometry, address: u64, access: u32): u32 {
  const unit = <usize>m.silent;
  const walk = walkOf(unit, 0);
  walk.references = 0;
  if (g.format == FORMAT_VTD_SECOND) {
    return walkTable<VtdSecond, TableAccess>(m, unit, 0, g, STAGE_SECOND, 0, address, access, false, walk, WALK_PEEK);
  }
  walk.outcome = OUTCOME_RESERVED;
  return OUTCOME_RESERVED;
}
