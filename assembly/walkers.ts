// Every instantiated walk, by number. A format or a nested pair that is not here costs nothing.
import { walkAmdGuest } from "./device/amdvi-host";
import { walkVmsa } from "./device/smmuv3-walk";
import { halfStage } from "./device/papr";
import { walkVtdNested } from "./device/vtd-nested";
import { walkRiscv } from "./device/riscv-walk";
import { firstStage, Route, secondStage } from "./device/route";
import { WALKER_AMD_NESTED, WALKER_AMD_V1, WALKER_AMD_V2, WALKER_RISCV_FIRST, WALKER_RISCV_NESTED, WALKER_TCE, WALKER_VMSA_FIRST, WALKER_VMSA_NESTED, WALKER_VTD_FIRST, WALKER_VTD_NESTED, WALKER_VTD_SECOND } from "./device/walkers";
import { AmdV1 } from "./format/amd-v1";
import { AmdV2 } from "./format/amd-v2";
import { Tce } from "./format/tce";
import { VtdFirst } from "./format/vtd-first";
import { VtdSecond } from "./format/vtd-second";
import { ACCESS_MAY_WRITE, ACCESS_WRITE, OUTCOME_RESERVED, OUTCOME_TRANSLATED, STAGE_FIRST, STAGE_SECOND } from "./layout";
import { Engine } from "./memory/physical";
import { walkNested } from "./nested";
import { walkOf } from "./unit";
import { TableAccess, walkAlone, walkTable } from "./walk";

/** Walk a route for one access; the answer is in the unit's first walk record. */
export function walkRoute(m: Engine, unit: usize, found: usize, tag: u64, address: u64, access: u32, mode: u32): u32 {
  const route = changetype<Route>(found);
  const walk = walkOf(unit, 0);
  const writing = (access & (ACCESS_WRITE | ACCESS_MAY_WRITE)) != 0;
  if (route.walker == WALKER_VTD_SECOND) {
    return walkTable<VtdSecond, TableAccess>(m, unit, found, secondStage(route), STAGE_SECOND, tag, address, access, writing, walk, mode);
  }
  if (route.walker == WALKER_VTD_FIRST) {
    return walkAlone<VtdFirst>(m, unit, found, firstStage(route), STAGE_FIRST, tag, address, access, writing, walk, mode);
  }
  if (route.walker == WALKER_VTD_NESTED) return walkVtdNested(m, unit, found, tag, address, access, writing, walk, mode);
  if (route.walker == WALKER_AMD_V1) {
    return walkAlone<AmdV1>(m, unit, found, secondStage(route), STAGE_SECOND, tag, address, access, writing, walk, mode);
  }
  if (route.walker == WALKER_AMD_V2) return walkAmdGuest(m, unit, found, tag, address, access, writing, walk, mode);
  if (route.walker == WALKER_AMD_NESTED) {
    const outcome = walkNested<AmdV2, AmdV1>(m, unit, found, firstStage(route), tag, address, access, writing, walk, mode);
    // U and FC of the host page
    if (outcome == OUTCOME_TRANSLATED) walk.attributes |= walkOf(unit, 1).attributes;
    return outcome;
  }
  if (route.walker >= WALKER_VMSA_FIRST && route.walker <= WALKER_VMSA_NESTED) {
    return walkVmsa(m, unit, found, tag, address, access, writing, walk, mode);
  }
  if (route.walker >= WALKER_RISCV_FIRST && route.walker <= WALKER_RISCV_NESTED) {
    return walkRiscv(m, unit, found, tag, address, access, writing, walk, mode);
  }
  if (route.walker == WALKER_TCE) {
    return walkAlone<Tce>(m, unit, found, halfStage(route, address), STAGE_SECOND, tag, address, access, writing, walk, mode);
  }
  walk.outcome = OUTCOME_RESERVED;
  return OUTCOME_RESERVED;
}
