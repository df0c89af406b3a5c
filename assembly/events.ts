// A recorded run: columns of events in, one answer per event out. Tables follow map and unmap events; caches follow
// recorded invalidations alone, as on the machine that was recorded.
import { translate } from "./architectures";
import { invalidateDeviceTlb } from "./device-tlb";
import { mapPages, peekTable, unmapPages } from "./formats";
import { invalidate } from "./invalidate";
import {
  ACCESS_ANY,
  ACCESS_DEVICE,
  ACCESS_NO_PAGE_REQUEST,
  ANSWER_DEVICE_TLB,
  ANSWER_EDITED,
  ANSWER_EMPTY,
  ANSWER_FAULT,
  ANSWER_HIT,
  ANSWER_MATCHED,
  ANSWER_REFUSED,
  ANSWER_REPLACED,
  ANSWER_STALE,
  ANSWER_UNEXPLAINED,
  ANSWER_VERDICT,
  ANSWER_WRONG,
  ARCH_AMDVI,
  ARCH_VTD,
  COST_DEVICE_TLB,
  COST_HIT,
  COST_OTHER,
  COST_REFERENCES,
  EDIT_OK,
  EVENT_DMA,
  EVENT_FAULT,
  EVENT_INVALIDATE,
  EVENT_MAP,
  EVERY_PASID,
  HIT_DEVICE_TLB,
  HIT_IOTLB,
  HIT_NONE,
  INV_CACHE_CONTEXT,
  INV_CACHE_IOTLB,
  INV_CACHE_PASID,
  INV_DEVICE,
  INV_GLOBAL,
  INV_PAGE,
  INV_PASID,
  INV_PASID_PAGE,
  INV_TABLES_ONLY,
  MAP_REPLACE,
  NO_PASID,
  OUTCOME_TRANSLATED,
  RESULT_FAULT,
  RESULT_HIT,
  RESULT_PA,
  RESULT_PERMISSIONS,
  RESULT_REFERENCES,
  RESULT_SIZE_LG2,
  RUN_COSTS,
  RUN_DEVICE_BYTES,
  RUN_DEVICE_DMA,
  RUN_DEVICE_DOMAIN,
  RUN_DEVICE_PEAK,
  RUN_DEVICE_PREFETCHES,
  RUN_DEVICE_PREFETCH_REFERENCES,
  RUN_DEVICE_RID,
  RUN_DEVICE_TABLE,
  RUN_DEVICE_TLB,
  RUN_DEVICE_TLB_HITS,
  RUN_IGNORE_INVALIDATIONS,
  RUN_PREFETCH,
  RUN_PROCESS_TAGS,
  RUN_VERIFY,
  STATUS_FAULT,
  STATUS_TRANSLATED,
  UNIT_REFERENCES,
  VERDICT_HIT,
  VERDICT_NONE,
} from "./layout";
import { Engine } from "./memory/physical";
import { books, geometryOf } from "./table";
import { priv, walkOf } from "./unit";

@unmanaged @final
class RunDevice {
  rid: u32;
  table: u32;
  dma: u64;
  hits: u64;
  misses: u64;
  references: u64;
  faults: u64;
  matched: u64;
  wrong: u64;
  unexplained: u64;
  stale: u64;
  peak: u64;
  prefetches: u64;
  prefetchReferences: u64;
  tlbHits: u64;
  tlbRequests: u64;
  tlbInvalidations: u64;
  domain: u64;
}

@inline
function deviceAt(devices: usize, id: u32): RunDevice {
  if (offsetof<RunDevice>("rid") != RUN_DEVICE_RID) ERROR("RUN_DEVICE_RID");
  if (offsetof<RunDevice>("table") != RUN_DEVICE_TABLE) ERROR("RUN_DEVICE_TABLE");
  if (offsetof<RunDevice>("dma") != RUN_DEVICE_DMA) ERROR("RUN_DEVICE_DMA");
  if (offsetof<RunDevice>("peak") != RUN_DEVICE_PEAK) ERROR("RUN_DEVICE_PEAK");
  if (offsetof<RunDevice>("prefetches") != RUN_DEVICE_PREFETCHES) ERROR("RUN_DEVICE_PREFETCHES");
  if (offsetof<RunDevice>("prefetchReferences") != RUN_DEVICE_PREFETCH_REFERENCES) ERROR("RUN_DEVICE_PREFETCH_REFERENCES");
  if (offsetof<RunDevice>("tlbHits") != RUN_DEVICE_TLB_HITS) ERROR("RUN_DEVICE_TLB_HITS");
  if (offsetof<RunDevice>("domain") != RUN_DEVICE_DOMAIN) ERROR("RUN_DEVICE_DOMAIN");
  if (offsetof<RunDevice>() != RUN_DEVICE_BYTES) ERROR("RUN_DEVICE_BYTES");
  return changetype<RunDevice>(devices + id * RUN_DEVICE_BYTES);
}

/** Fetch the translation of the page after that of a walk, when it has one: a prefetch never faults. */
function prefetch(m: Engine, unit: usize, d: RunDevice, pasid: u32, address: u64, leaf: u32): void {
  const next = ((address >> leaf) + 1) << leaf;
  if (next == 0 || d.table == 0 || peekTable(m, geometryOf(d.table), next, ACCESS_ANY) != OUTCOME_TRANSLATED) return;
  const result = <usize>m.result;
  if (translate(m, unit, d.rid, pasid, next, ACCESS_ANY, result) != STATUS_TRANSLATED || load<u32>(result, RESULT_HIT) != HIT_NONE) return;
  d.prefetches += 1;
  d.prefetchReferences += load<u32>(result, RESULT_REFERENCES);
}

/** What all memory references of a unit so far cost. */
function spent(unit: usize, costs: usize): f64 {
  let sum: f64 = 0;
  for (let i: usize = 0; i < 24; i++) sum += <f64>load<u64>(unit + UNIT_REFERENCES + (i << 3)) * load<f64>(costs + COST_REFERENCES + (i << 3));
  return sum;
}

/** One DMA, compared with what was recorded: the answer byte. `pa` is the recorded address, or reason of a fault. */
@inline
function access(
  m: Engine, unit: usize, d: RunDevice, pasid: u32, address: u64, pa: u64, kind: u32, how: u32, verdict: u32, flags: u32,
): u32 {
  const result = <usize>m.result;
  // an interrupt is written untranslated, whatever the device keeps (PCIe ATS 2.1; x86: 0xfeexxxxx)
  const interrupt = address >> 20 == 0xfee && pasid == NO_PASID && (priv(unit).arch == ARCH_VTD || priv(unit).arch == ARCH_AMDVI);
  const atDevice = (flags & RUN_DEVICE_TLB) != 0 && !interrupt;
  const status = translate(m, unit, d.rid, pasid, address, atDevice ? how | ACCESS_DEVICE | ACCESS_NO_PAGE_REQUEST : how, result);
  d.dma += 1;
  let answer: u32 = 0;
  const hit = status == STATUS_TRANSLATED && load<u32>(result, RESULT_HIT) == HIT_IOTLB;
  const own = atDevice && status == STATUS_TRANSLATED && load<u32>(result, RESULT_HIT) == HIT_DEVICE_TLB;
  if (own) d.tlbHits += 1;
  else if (atDevice) d.tlbRequests += 1;
  if (status == STATUS_FAULT) {
    answer = ANSWER_FAULT;
    d.faults += 1;
    d.misses += 1;
    d.references += load<u32>(result, RESULT_REFERENCES);
    if (kind != EVENT_FAULT) answer |= ANSWER_UNEXPLAINED;
    // a recorder that gives no reason (0) told of the fault alone
    else answer |= pa == 0 || load<u32>(result, RESULT_FAULT) == <u32>pa ? ANSWER_MATCHED : ANSWER_WRONG;
  } else {
    if (hit || own) {
      answer = own ? ANSWER_DEVICE_TLB : ANSWER_HIT;
      if (hit) d.hits += 1;
      if (flags & RUN_VERIFY && d.table != 0) {
        const outcome = peekTable(m, geometryOf(d.table), address, how);
        if (outcome != OUTCOME_TRANSLATED || walkOf(m.silent, 0).pa != load<u64>(result, RESULT_PA)) {
          answer |= ANSWER_STALE;
          d.stale += 1;
        }
      }
    } else if (status == STATUS_TRANSLATED) {
      d.misses += 1;
      d.references += load<u32>(result, RESULT_REFERENCES);
    }
    if (kind == EVENT_FAULT) answer |= ANSWER_UNEXPLAINED;
    else answer |= load<u64>(result, RESULT_PA) == pa ? ANSWER_MATCHED : ANSWER_WRONG;
    if (verdict != VERDICT_NONE && hit != (verdict == VERDICT_HIT)) answer |= ANSWER_VERDICT;
  }
  const judged = answer & 3;
  if (judged == ANSWER_MATCHED) d.matched += 1;
  else if (judged == ANSWER_WRONG) d.wrong += 1;
  else d.unexplained += 1;
  return answer;
}

/**
 * The Invalidate Requests that a kernel sends along with an invalidation, one to each device whose translations it names.
 * `pasid` 0 is that of requests without one (RID_PASID).
 */
function invalidateDevices(unit: usize, devices: usize, count: u32, scope: u32, id: u32, pasid: u32, first: u64, last: u64, flags: u32): void {
  const process = (flags & RUN_PROCESS_TAGS) != 0;
  const domain = process ? pasid : id;
  const spaced = scope == INV_PASID || scope == INV_PASID_PAGE;
  const whose: u32 = !spaced ? EVERY_PASID : process || pasid == 0 ? NO_PASID : pasid;
  if (scope != INV_PAGE && scope != INV_PASID_PAGE) {
    first = 0;
    last = 0xffff_ffff_ffff_ffff;
  }
  for (let i: u32 = 0; i < count; i++) {
    const d = deviceAt(devices, i);
    if (scope == INV_DEVICE ? d.rid != id : scope != INV_GLOBAL && d.domain != domain) continue;
    d.tlbInvalidations += 1;
    invalidateDeviceTlb(unit, d.rid, whose, first, last);
  }
}

/**
 * Run events [from, to) of columns that are `capacity` long at `columns` (EVENTS_* in layout.ts). `devices` are
 * RUN_DEVICE records that the id column counts. Answers go to the answer columns: leaf and rights are those of a
 * translated request's answer, else 0. `costs` is a table of COST_*, looked at with RUN_COSTS. Returns the number run.
 */
export function runEvents(
  m: Engine, unit: usize, columns: usize, capacity: u32, from: u32, to: u32, devices: usize, deviceCount: u32, flags: u32,
  costs: usize,
): u32 {
  const iovas = columns;
  const sizes = iovas + (<usize>capacity << 3);
  const outputs = sizes + (<usize>capacity << 3);
  const answers64 = outputs + (<usize>capacity << 3);
  const ids = answers64 + (<usize>capacity << 3);
  const pasids = ids + (<usize>capacity << 2);
  const prices = pasids + (<usize>capacity << 2);
  const kinds = prices + (<usize>capacity << 2);
  const hows = kinds + capacity;
  const verdicts = hows + capacity;
  const answers = verdicts + capacity;
  const codes = answers + capacity;
  const leaves = codes + (<usize>capacity << 1);
  const rights = leaves + capacity;
  let before: f64 = flags & RUN_COSTS ? spent(unit, costs) : 0;
  for (let i = from; i < to; i++) {
    const kind = <u32>load<u8>(kinds + i);
    const id = load<u32>(ids + (<usize>i << 2));
    const address = load<u64>(iovas + (<usize>i << 3));
    const how = <u32>load<u8>(hows + i);
    let answer: u32 = 0;
    let code: u32 = 0;
    let leaf: u32 = 0;
    let may: u32 = 0;
    if (kind == EVENT_INVALIDATE) {
      const size = load<u64>(sizes + (<usize>i << 3));
      const last = size == 0 ? 0xffff_ffff_ffff_ffff : address + size - 1;
      const caches: u32 = INV_CACHE_IOTLB | (flags & RUN_IGNORE_INVALIDATIONS ? INV_TABLES_ONLY : 0);
      if (how == INV_DEVICE) invalidate(unit, INV_CACHE_CONTEXT | INV_CACHE_PASID, how, 0, 0, id, 0, 0);
      else invalidate(unit, caches, how, id, load<u32>(pasids + (<usize>i << 2)), 0, address, last);
      if ((flags & (RUN_DEVICE_TLB | RUN_IGNORE_INVALIDATIONS)) == RUN_DEVICE_TLB) {
        invalidateDevices(unit, devices, deviceCount, how, id, load<u32>(pasids + (<usize>i << 2)), address, last, flags);
      }
      answer = ANSWER_EDITED;
    } else if (id < deviceCount) {
      const d = deviceAt(devices, id);
      const size = load<u64>(sizes + (<usize>i << 3));
      const pa = load<u64>(outputs + (<usize>i << 3));
      if (kind == EVENT_DMA || kind == EVENT_FAULT) {
        const pasid = load<u32>(pasids + (<usize>i << 2));
        answer = access(m, unit, d, pasid, address, pa, kind, how, load<u8>(verdicts + i), flags);
        store<u64>(answers64 + (<usize>i << 3), load<u64>(m.result, RESULT_PA));
        code = load<u32>(m.result, RESULT_FAULT);
        if (!(answer & ANSWER_FAULT) && load<u32>(m.result) == STATUS_TRANSLATED) {
          leaf = load<u32>(m.result, RESULT_SIZE_LG2);
          may = load<u32>(m.result, RESULT_PERMISSIONS);
        }
        if (flags & RUN_COSTS) {
          let price: f64 = load<f64>(costs + COST_HIT);
          // an answer of the IOTLB may have needed device tables: references count then too
          const after = spent(unit, costs);
          if (answer & ANSWER_DEVICE_TLB) price = load<f64>(costs + COST_DEVICE_TLB);
          else if (!(answer & ANSWER_HIT)) price = load<f64>(costs + COST_OTHER);
          store<f32>(prices + (<usize>i << 2), <f32>(price + after - before));
          before = after;
        }
        if (flags & RUN_PREFETCH && leaf != 0 && !(answer & (ANSWER_HIT | ANSWER_DEVICE_TLB))) {
          prefetch(m, unit, d, pasid, address, leaf);
          if (flags & RUN_COSTS) before = spent(unit, costs);
        }
      } else if (d.table != 0) {
        if (kind == EVENT_MAP) {
          code = mapPages(m, d.table, address, pa, size, how, MAP_REPLACE);
          answer = code == EDIT_OK ? ANSWER_EDITED : ANSWER_REFUSED;
          if (books(d.table).replaced != 0) answer |= ANSWER_REPLACED;
          d.peak = max(d.peak, books(d.table).mapped);
        } else {
          code = unmapPages(m, d.table, address, size);
          answer = code == EDIT_OK ? ANSWER_EDITED : ANSWER_REFUSED;
          if (books(d.table).done != size) answer |= ANSWER_EMPTY;
        }
      }
    }
    store<u8>(answers + i, <u8>answer);
    store<u16>(codes + (<usize>i << 1), <u16>code);
    store<u8>(leaves + i, <u8>leaf);
    store<u8>(rights + i, <u8>may);
  }
  return to - from;
}
