// Units by architecture: one line for each architecture in each function.
import { translateTyped } from "./ats-device";
import { batchWith } from "./batch";
import { Amdvi } from "./device/amdvi";
import { setAmdviRoute } from "./device/amdvi-route";
import { AmdviAts } from "./device/amdvi-ats";
import { Papr, setPaprRoute } from "./device/papr";
import { PaprAts } from "./device/papr-ats";
import { RiscvAts } from "./device/riscv-ats";
import { Smmuv3Ats } from "./device/smmuv3-ats";
import { VtdAts } from "./device/vtd-ats";
import { Smmuv3 } from "./device/smmuv3";
import { setSmmuRoute } from "./device/smmuv3-set";
import { Vtd } from "./device/vtd";
import { setVtdRoute } from "./device/vtd-route";
import { ACCESS_DEVICE, ARCH_AMDVI, ARCH_PAPR, ARCH_RISCV, ARCH_SMMUV3, ARCH_VTD, EDIT_FORMAT, NO_PASID, STATUS_FAULT } from "./layout";
import { Riscv } from "./device/riscv";
import { setRiscvRoute } from "./device/riscv-route";
import { Engine } from "./memory/physical";
import { translateWith } from "./translate";
import { priv } from "./unit";

export function translate(m: Engine, unit: usize, rid: u32, pasid: u32, address: u64, access: u32, result: usize): u32 {
  if (access & ACCESS_DEVICE) return translateAts(m, unit, rid, pasid, address, access, result);
  const arch = priv(unit).arch;
  if (arch == ARCH_VTD) return translateWith<Vtd>(m, unit, rid, pasid, address, access, result);
  if (arch == ARCH_AMDVI) return translateWith<Amdvi>(m, unit, rid, pasid, address, access, result);
  if (arch == ARCH_SMMUV3) return translateWith<Smmuv3>(m, unit, rid, pasid, address, access, result);
  if (arch == ARCH_RISCV) return translateWith<Riscv>(m, unit, rid, pasid, address, access, result);
  if (arch == ARCH_PAPR) return translateWith<Papr>(m, unit, rid, pasid, address, access, result);
  return STATUS_FAULT;
}

/** A request with a type: see ats.ts. */
function translateAts(m: Engine, unit: usize, rid: u32, pasid: u32, address: u64, access: u32, result: usize): u32 {
  const arch = priv(unit).arch;
  if (arch == ARCH_VTD) return translateTyped<Vtd, VtdAts>(m, unit, rid, pasid, address, access, result);
  if (arch == ARCH_AMDVI) return translateTyped<Amdvi, AmdviAts>(m, unit, rid, pasid, address, access, result);
  if (arch == ARCH_SMMUV3) return translateTyped<Smmuv3, Smmuv3Ats>(m, unit, rid, pasid, address, access, result);
  if (arch == ARCH_RISCV) return translateTyped<Riscv, RiscvAts>(m, unit, rid, pasid, address, access, result);
  if (arch == ARCH_PAPR) return translateTyped<Papr, PaprAts>(m, unit, rid, pasid, address, access, result);
  return STATUS_FAULT;
}

/** Translate `count` requests of the batch columns; returns how many were not translated. */
export function translateBatch(m: Engine, unit: usize, columns: usize, capacity: u32, count: u32): u32 {
  const arch = priv(unit).arch;
  if (arch == ARCH_VTD) return batchWith<Vtd, VtdAts>(m, unit, columns, capacity, count);
  if (arch == ARCH_AMDVI) return batchWith<Amdvi, AmdviAts>(m, unit, columns, capacity, count);
  if (arch == ARCH_SMMUV3) return batchWith<Smmuv3, Smmuv3Ats>(m, unit, columns, capacity, count);
  if (arch == ARCH_RISCV) return batchWith<Riscv, RiscvAts>(m, unit, columns, capacity, count);
  if (arch == ARCH_PAPR) return batchWith<Papr, PaprAts>(m, unit, columns, capacity, count);
  return count;
}

/** `pasid`: NO_PASID for the requester's own route. Tables of the first and second stage, or 0. */
export function setRoute(m: Engine, unit: usize, rid: u32, pasid: u32, type: u32, domain: u32, first: usize, second: usize): u32 {
  const arch = priv(unit).arch;
  if (arch == ARCH_VTD) return setVtdRoute(m, unit, rid, pasid, type, domain, first, second);
  if (arch == ARCH_SMMUV3 && pasid == NO_PASID) return setSmmuRoute(m, unit, rid, type, domain, first, second);
  if (arch == ARCH_RISCV) return setRiscvRoute(m, unit, rid, pasid, type, domain, first, second);
  if (arch == ARCH_AMDVI) return setAmdviRoute(m, unit, rid, pasid, type, domain, first, second);
  if (pasid != NO_PASID || first != 0) return EDIT_FORMAT;
  if (arch == ARCH_PAPR) return setPaprRoute(m, unit, rid, type, domain, second);
  return EDIT_FORMAT;
}
