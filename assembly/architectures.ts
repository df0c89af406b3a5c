// Units by architecture: one line for each architecture in each function.
import { Amdvi, setAmdviRoute } from "./device/amdvi";
import { Vtd } from "./device/vtd";
import { setVtdRoute } from "./device/vtd-route";
import { ARCH_AMDVI, ARCH_VTD, EDIT_FORMAT, NO_PASID, STATUS_FAULT } from "./layout";
import { Engine } from "./memory/physical";
import { translateWith } from "./translate";
import { priv } from "./unit";

export function translate(m: Engine, unit: usize, rid: u32, pasid: u32, address: u64, access: u32, result: usize): u32 {
  const arch = priv(unit).arch;
  if (arch == ARCH_VTD) return translateWith<Vtd>(m, unit, rid, pasid, address, access, result);
  if (arch == ARCH_AMDVI) return translateWith<Amdvi>(m, unit, rid, pasid, address, access, result);
  return STATUS_FAULT;
}

/** `pasid`: NO_PASID for the requester's own route. Tables of the first and second stage, or 0. */
export function setRoute(m: Engine, unit: usize, rid: u32, pasid: u32, type: u32, domain: u32, first: usize, second: usize): u32 {
  const arch = priv(unit).arch;
  if (arch == ARCH_VTD) return setVtdRoute(m, unit, rid, pasid, type, domain, first, second);
  if (pasid != NO_PASID || first != 0) return EDIT_FORMAT;
  if (arch == ARCH_AMDVI) return setAmdviRoute(m, unit, rid, type, domain, second);
  return EDIT_FORMAT;
}
