// Many requests in one call. Columns in, columns out; the same path as one request, so that answers are the same.
import { translateTyped } from "./ats-device";
import { AtsRules } from "./device/ats-rules";
import { DeviceTables } from "./device/contract";
import {
  ACCESS_DEVICE,
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

/** Translate `count` requests; returns how many were not translated. */
export function batchWith<D extends DeviceTables, A extends AtsRules>(m: Engine, unit: usize, columns: usize, capacity: u32, count: u32): u32 {
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
    const status = access & ACCESS_DEVICE ? translateTyped<D, A>(m, unit, rid, pasid, iova, access, result) : translateWith<D>(m, unit, rid, pasid, iova, access, result);
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
