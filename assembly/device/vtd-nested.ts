// VT-d nested translation (VT-d specification 3.8): every address of the first stage passes through the second, and
// fault reasons tell the first-stage root, other tables, A/D updates and the output apart (7.1.3 SFS.5 to SFS.8).
import { VtdFirst } from "../format/vtd-first";
import { VtdSecond } from "../format/vtd-second";
import { OUTCOME_TRANSLATED, OUTCOME_UPDATE_REFUSED, STAGE_FIRST, VTD_FIRST_UNSNOOPED } from "../layout";
import { Engine } from "../memory/physical";
import { throughSecond, ThroughSecond } from "../nested";
import { Walk, walkOf } from "../unit";
import { TableAccess, walkTable } from "../walk";
import { firstStage, Route } from "./route";

/** The engine's own: `Walk.implicit` of a stage-2 failure: 1 a table of the first stage, 2 an update, and */
export const IMPLICIT_UPDATE: u32 = 2;
export const IMPLICIT_ROOT: u32 = 3; // the table at FSPTPTR

@unmanaged @final
class ThroughVtdSecond extends TableAccess {
  @inline
  resolve(m: Engine, unit: usize, route: usize, walk: Walk, address: u64, updating: bool, mode: u32): u32 {
    const g = firstStage(changetype<Route>(route));
    const level = walk.level;
    const outcome = changetype<ThroughSecond<VtdSecond>>(0).resolve(m, unit, route, walk, address, updating, mode);
    if (outcome != OUTCOME_TRANSLATED) {
      if (!updating && level == g.top) walk.implicit = IMPLICIT_ROOT;
      return outcome;
    }
    // 7.1.3 SFS.9, after the second stage allowed the write
    if (updating && (g.flags & VTD_FIRST_UNSNOOPED) != 0) {
      walk.outcome = OUTCOME_UPDATE_REFUSED;
      return OUTCOME_UPDATE_REFUSED;
    }
    return OUTCOME_TRANSLATED;
  }
}

export function walkVtdNested(m: Engine, unit: usize, found: usize, tag: u64, address: u64, access: u32, writing: bool, walk: Walk, mode: u32): u32 {
  const g = firstStage(changetype<Route>(found));
  const first = walkTable<VtdFirst, ThroughVtdSecond>(m, unit, found, g, STAGE_FIRST, tag, address, access, writing, walk, mode);
  if (first != OUTCOME_TRANSLATED) return first;
  const outcome = throughSecond<VtdSecond>(m, unit, found, access, writing, walk, mode);
  // SNP of the second stage
  if (outcome == OUTCOME_TRANSLATED) walk.attributes |= walkOf(unit, 1).attributes;
  return outcome;
}
