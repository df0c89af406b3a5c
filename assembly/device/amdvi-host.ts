// AMD guest tables over Mode 0 (48882 2.2.2, field Mode): guest physical is physical, DTE.IR and DTE.IW decide.
import { Geometry } from "../format/contract";
import { AmdV2 } from "../format/amd-v2";
import { ACCESS_UNCHECKED, ACCESS_WRITE, AMD_V1_READ, AMD_V1_WRITE, OUTCOME_NO_READ, OUTCOME_NO_WRITE, OUTCOME_TRANSLATED, STAGE_FIRST, STAGE_SECOND } from "../layout";
import { Engine } from "../memory/physical";
import { Walk } from "../unit";
import { TableAccess, walkTable } from "../walk";
import { firstStage, Route, secondStage } from "./route";

/** What IR and IW (flags of the host geometry) say of one access to a guest physical address. */
@inline
export function identity(host: Geometry, walk: Walk, address: u64, write: bool): u32 {
  if (host.flags & (write ? AMD_V1_WRITE : AMD_V1_READ)) return OUTCOME_TRANSLATED;
  walk.outcome = write ? OUTCOME_NO_WRITE : OUTCOME_NO_READ;
  walk.stage = STAGE_SECOND;
  walk.address = address;
  walk.entry = 0;
  walk.entryAddress = 0;
  return walk.outcome;
}

@unmanaged @final
class ThroughIdentity extends TableAccess {
  @inline
  resolve(m: Engine, unit: usize, route: usize, walk: Walk, address: u64, updating: bool, mode: u32): u32 {
    const refused = identity(secondStage(changetype<Route>(route)), walk, address, updating);
    if (refused == OUTCOME_TRANSLATED) walk.entryAddress = address;
    return refused;
  }
}

/** Guest walk, then IR and IW for its output. */
export function walkAmdGuest(m: Engine, unit: usize, found: usize, tag: u64, address: u64, access: u32, writing: bool, walk: Walk, mode: u32): u32 {
  const route = changetype<Route>(found);
  const outcome = walkTable<AmdV2, ThroughIdentity>(m, unit, found, firstStage(route), STAGE_FIRST, tag, address, access, writing, walk, mode);
  if (outcome != OUTCOME_TRANSLATED) return outcome;
  const host = secondStage(route);
  if (!(access & ACCESS_UNCHECKED)) {
    const refused = identity(host, walk, walk.pa, (access & ACCESS_WRITE) != 0);
    if (refused != OUTCOME_TRANSLATED) return refused;
  }
  if (!(host.flags & AMD_V1_READ)) walk.permissions &= ~0x2d;
  if (!(host.flags & AMD_V1_WRITE)) walk.permissions &= ~0x12;
  return OUTCOME_TRANSLATED;
}
