// Command queues by architecture: one line for each in each function.
import { ARCH_AMDVI, ARCH_RISCV, ARCH_SMMUV3, ARCH_VTD, COMMAND_ILLEGAL, QUEUE_OFF } from "../layout";
import { Engine } from "../memory/physical";
import { priv } from "../unit";
import { AmdviQueue } from "./amdvi";
import { commandWith, processWith } from "./process";
import { RiscvQueue } from "./riscv";
import { SmmuQueue } from "./smmuv3";
import { VtdQueue } from "./vtd";

export function command(m: Engine, unit: usize, q0: u64, q1: u64, q2: u64, q3: u64, result: usize): u32 {
  const arch = priv(unit).arch;
  if (arch == ARCH_VTD) return commandWith<VtdQueue>(m, unit, q0, q1, q2, q3, result);
  if (arch == ARCH_AMDVI) return commandWith<AmdviQueue>(m, unit, q0, q1, q2, q3, result);
  if (arch == ARCH_SMMUV3) return commandWith<SmmuQueue>(m, unit, q0, q1, q2, q3, result);
  if (arch == ARCH_RISCV) return commandWith<RiscvQueue>(m, unit, q0, q1, q2, q3, result);
  return COMMAND_ILLEGAL;
}

export function processQueue(m: Engine, unit: usize, bound: u32, result: usize): u32 {
  const arch = priv(unit).arch;
  if (arch == ARCH_VTD) return processWith<VtdQueue>(m, unit, bound, result);
  if (arch == ARCH_AMDVI) return processWith<AmdviQueue>(m, unit, bound, result);
  if (arch == ARCH_SMMUV3) return processWith<SmmuQueue>(m, unit, bound, result);
  if (arch == ARCH_RISCV) return processWith<RiscvQueue>(m, unit, bound, result);
  return QUEUE_OFF;
}
