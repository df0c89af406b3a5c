// Many requests in one call. Columns in, columns out; the same path as one request, so that answers are the same.
import { translateAts } from "./architectures";
import { Amdvi } from "./device/amdvi";
import { Smmuv3 } from "./device/smmuv3";
import { Riscv } from "./device/riscv";
import { Vtd } from "./device/vtd";
import { DeviceTables } from "./device/contract";
import {
  ACCESS_DEVICE,
  ARCH_AMDVI,
  ARCH_SMMUV3,
  ARCH_RISCV,
  ARCH_VTD,
  RESULT_FAULT,
  RESULT_HIT,
  RESULT_PA,
  RESULT_SIZE_LG2,
  WORD_FAULT_SHIFT,
  WORD_HIT_SHIFT,
  WORD_SIZE_SHIFT,
} from "./layout";
import { Engine } from "./memory/physical";
import { translateWith } from "./translate";
import { priv } from "./unit";

function batchWith<D extends DeviceTables>(m: Engine, unit: usize, columns: usize, capacity: u32, count: u32): u32 {
  const iovas = columns;
  const outputs = iovas + (<usize>capacity << 3);
  const rids = outputs + (<usize>capacity << 3);
  const pasids = rids + (<usize>capacity << 2);
  const accesses = pasids + (<usize>capacity << 2);
  const words = accesses + (<usize>capacity << 2);
  const result = <usize>m.result;
  let faults: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const at4 = <usize>i << 2;
    const rid = load<u32>(rids + at4);
    const pasid = load<u32>(pasids + at4);
    const iova = load<u64>(iovas + (<usize>i << 3));
    const access = load<u32>(accesses + at4);
    const status = access & ACCESS_DEVICE ? translateAts(m, unit, rid, pasid, iova, access, result) : translateWith<D>(m, unit, rid, pasid, iova, access, result);
    let word = status;
    if (status == 0) {
      word |= (load<u32>(result, RESULT_HIT) << WORD_HIT_SHIFT) | (load<u32>(result, RESULT_SIZE_LG2) << WORD_SIZE_SHIFT);
      store<u64>(outputs + (<usize>i << 3), load<u64>(result, RESULT_PA));
    } else {
      word |= load<u32>(result, RESULT_FAULT) << WORD_FAULT_SHIFT;
      store<u64>(outputs + (<usize>i << 3), 0);
      faults += 1;
    }
    store<u32>(words + at4, word);
  }
  return faults;
}

/** Translate `count` requests; returns how many were not translated. */
export function translateBatch(m: Engine, unit: usize, columns: usize, capacity: u32, count: u32): u32 {
  const arch = priv(unit).arch;
  if (arch == ARCH_VTD) return batchWith<Vtd>(m, unit, columns, capacity, count);
  if (arch == ARCH_AMDVI) return batchWith<Amdvi>(m, unit, columns, capacity, count);
  if (arch == ARCH_SMMUV3) return batchWith<Smmuv3>(m, unit, columns, capacity, count);
  if (arch == ARCH_RISCV) return batchWith<Riscv>(m, unit, columns, capacity, count);
  return count;
}
