// Walks of SMMUv3 routes: the range of the address (IHI 0070 3.4.1), then stage 1, stage 2, or both.
import { Geometry } from "../format/contract";
import { VmsaFirst } from "../format/vmsav8-first";
import { VmsaSecond } from "../format/vmsav8-second";
import { ACCESS_PRIVILEGED, OUTCOME_NOT_PRESENT, STAGE_FIRST, STAGE_SECOND, VMSA_E0PD, VMSA_NO_WALK, VMSA_PRIVILEGES, VMSA_TBI } from "../layout";
import { Engine } from "../memory/physical";
import { walkNested } from "../nested";
import { Walk } from "../unit";
import { walkAlone } from "../walk";
import { firstStage, Route, secondStage, spareStage } from "./route";
import { WALKER_VMSA_FIRST, WALKER_VMSA_SECOND } from "./walkers";

/** Stage 2 alone, of an address, a CD or a level 1 CD. */
@inline
export function walkVmsaSecond(m: Engine, unit: usize, found: usize, g: Geometry, tag: u64, address: u64, access: u32, writing: bool, walk: Walk, mode: u32): u32 {
  return walkAlone<VmsaSecond>(m, unit, found, g, STAGE_SECOND, tag, address, access, writing, walk, mode);
}

/** Stage 1 alone. */
@inline
export function walkVmsaFirst(m: Engine, unit: usize, found: usize, g: Geometry, tag: u64, address: u64, access: u32, writing: bool, walk: Walk, mode: u32): u32 {
  return walkAlone<VmsaFirst>(m, unit, found, g, STAGE_FIRST, tag, address, access, writing, walk, mode);
}

/** The address without its top byte: bit 55 is repeated. */
@inline
export function withoutTop(address: u64): u64 {
  return <u64>(<i64>(address << 8) >> 8);
}

/** A route of an SMMUv3 stream. VA[55] chooses the range where there are two. */
export function walkVmsa(m: Engine, unit: usize, found: usize, tag: u64, address: u64, access: u32, writing: bool, walk: Walk, mode: u32): u32 {
  const route = changetype<Route>(found);
  if (route.walker == WALKER_VMSA_SECOND) return walkVmsaSecond(m, unit, found, secondStage(route), tag, address, access, writing, walk, mode);
  let g = firstStage(route);
  if (g.flags & VMSA_PRIVILEGES && (address >> 55 & 1) != 0) g = spareStage(route);
  // 5.4 EPDx, E0PDx: a Translation fault without a walk
  if (g.flags & VMSA_NO_WALK || (g.flags & VMSA_E0PD && !(access & ACCESS_PRIVILEGED))) {
    walk.outcome = OUTCOME_NOT_PRESENT;
    walk.stage = STAGE_FIRST;
    walk.implicit = 0;
    walk.level = g.top + 1;
    walk.entry = 0;
    walk.entryAddress = 0;
    walk.address = address;
    return OUTCOME_NOT_PRESENT;
  }
  if (g.flags & VMSA_TBI) address = withoutTop(address);
  if (route.walker == WALKER_VMSA_FIRST) return walkVmsaFirst(m, unit, found, g, tag, address, access, writing, walk, mode);
  return walkNested<VmsaFirst, VmsaSecond>(m, unit, found, g, tag, address, access, writing, walk, mode);
}
