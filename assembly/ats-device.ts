// A device with a device-TLB: it looks there, asks for the translation, keeps it and uses it (ats.ts), and asks for pages
// that it gets no right to (page-request.ts).
import { Entry } from "./cache/assoc";
import { translatedRequest, translationRequest } from "./ats";
import { AtsRules } from "./device/ats-rules";
import { DECODED, DeviceTables, NOT_RECORDED } from "./device/contract";
import { Route, ROUTE_QUIET } from "./device/route";
import { deviceTlbOf, fillDeviceTlb, lookUpDeviceTlb } from "./device-tlb";
import { nextSlot } from "./fault";
import {
  ACCESS_ANY, ACCESS_DEVICE, ACCESS_EXECUTE, ACCESS_NO_PAGE_REQUEST, ACCESS_NO_WRITE, ACCESS_PRIVILEGED, ACCESS_READ, ACCESS_SPAN_MASK,
  ACCESS_SPAN_SHIFT, ACCESS_TRANSLATED, ACCESS_TRANSLATION, ACCESS_WRITE, COMPLETION_SUCCESS, DIRTY_BITMAP, DIRTY_BITMAP_BYTES, ENTRY_EXECUTE,
  ENTRY_GLOBAL, ENTRY_READ, ENTRY_UNTRANSLATED_ONLY, ENTRY_WRITE, HIT_BYPASS, HIT_DEVICE_TLB, NO_GROUP, NO_PASID, RESULT_BYTES, RESULT_COMPLETION,
  RESULT_COMPLETION_ENTRY, RESULT_FAULT, RESULT_FLAGS, RESULT_GROUP, RESULT_HIT, RESULT_NOT_RECORDED, RESULT_PA, RESULT_PERMISSIONS, RESULT_REFERENCES,
  RESULT_SIZE_LG2, RESULT_STATUS, SCRATCH_BYTES, STATUS_FAULT, STATUS_INTERRUPT, STATUS_PAGE_REQUEST, STATUS_TRANSLATED,
} from "./layout";
import { Engine } from "./memory/physical";
import { groupOf, PAGE_WAITS, requestPages, takeRefusal } from "./page-request";
import { allows, describe, deviceOf, pasidRouteOf, translateWith } from "./translate";
import { cacheAt, forgetLast, walkOf } from "./unit";

/** The device uses what its device-TLB says. */
function useEntry<D extends DeviceTables, A extends AtsRules>(
  m: Engine, unit: usize, rid: u32, pasid: u32, told: u64, lg2: u32, rights: u32, access: u32, hit: u32, references: u32, result: usize,
): u32 {
  const status = translatedRequest<D, A>(m, unit, rid, pasid, told, (access & ~ACCESS_DEVICE) | ACCESS_TRANSLATED, result);
  if (status != STATUS_TRANSLATED && status != STATUS_INTERRUPT) return status;
  // the answer holds for as much as both say
  const own = load<u32>(result, RESULT_HIT) == HIT_BYPASS ? lg2 : min(lg2, load<u32>(result, RESULT_SIZE_LG2));
  store<u32>(result, own, RESULT_SIZE_LG2);
  store<u32>(result, rights, RESULT_PERMISSIONS);
  store<u32>(result, hit, RESULT_HIT);
  store<u32>(result, load<u32>(result, RESULT_REFERENCES) + references, RESULT_REFERENCES);
  return status;
}

/** What a device wants of an access, as ACCESS_*. */
@inline
function wantedOf(access: u32): u32 {
  return access & (ACCESS_READ | ACCESS_WRITE | ACCESS_EXECUTE | ACCESS_ANY);
}

/** Device-TLB entry that grants the access, 0 when there is none. */
@inline
function held(pointer: usize, pasid: u32, access: u32, address: u64): usize {
  if (pointer == 0) return 0;
  const entry = lookUpDeviceTlb(cacheAt(pointer), pasid, access, address);
  return entry != 0 && allows(changetype<Entry>(entry).meta, wantedOf(access)) ? entry : 0;
}

// ---- what the device made of a completion
const TOLD: u32 = 0; // rights enough, kept: the address is the result's, the rights in RESULT_PERMISSIONS
const UNTRANSLATED: u32 = 1; // rights enough, for untranslated requests
const LACKS: u32 = 2; // no permission: a page request may bring it
const REFUSED: u32 = 3; // no completion that says anything of the page

/** Ask for one translation, and keep what has rights enough. */
function obtain<D extends DeviceTables, A extends AtsRules>(
  m: Engine, unit: usize, rid: u32, pasid: u32, address: u64, access: u32, pointer: usize, result: usize,
): u32 {
  const wanted = wantedOf(access);
  const asks = (access & ~ACCESS_DEVICE) | ACCESS_TRANSLATION | (access & (ACCESS_WRITE | ACCESS_ANY) ? 0 : ACCESS_NO_WRITE);
  const status = translationRequest<D, A>(m, unit, rid, pasid, address, asks, wanted, result);
  if (load<u32>(result, RESULT_COMPLETION) != COMPLETION_SUCCESS) return REFUSED;
  if (status == STATUS_FAULT) return LACKS;
  const entry = load<u64>(result, RESULT_COMPLETION_ENTRY);
  const rights = (entry & ENTRY_READ ? ACCESS_READ : 0) | (entry & ENTRY_WRITE ? ACCESS_WRITE : 0) | (entry & ENTRY_EXECUTE ? ACCESS_EXECUTE : 0);
  if (allows(rights, wanted)) {
    if (entry & ENTRY_UNTRANSLATED_ONLY) return UNTRANSLATED;
    store<u32>(result, rights, RESULT_PERMISSIONS);
    if (pointer != 0) {
      fillDeviceTlb(cacheAt(pointer), pasid, access, address, load<u64>(result, RESULT_PA), load<u32>(result, RESULT_SIZE_LG2), rights, (entry & ENTRY_GLOBAL) != 0);
    }
    return TOLD;
  }
  // a completion without the rights is a fault of the device's own
  const code = load<u32>(result, RESULT_FAULT);
  describe(result, walkOf(unit, 0));
  store<u32>(result, STATUS_FAULT, RESULT_STATUS);
  store<u32>(result, code, RESULT_FAULT);
  store<u32>(result, RESULT_NOT_RECORDED, RESULT_FLAGS);
  return LACKS;
}

/** Where the first page's answer waits while the others are asked for: behind what edits keep in the scratch memory. */
const KEPT_RESULT: usize = 3072;

/**
 * Pages of the span of a request that its device lacks: bit i the i-th page from the address's own, bit 0 that one. The
 * others are looked for as any page is.
 */
function lackedPages<D extends DeviceTables, A extends AtsRules>(
  m: Engine, unit: usize, rid: u32, pasid: u32, address: u64, access: u32, pointer: usize, result: usize,
): u64 {
  if (KEPT_RESULT < <usize>(DIRTY_BITMAP + DIRTY_BITMAP_BYTES) || KEPT_RESULT + <usize>RESULT_BYTES > <usize>SCRATCH_BYTES) ERROR("KEPT_RESULT");
  const more = access >> ACCESS_SPAN_SHIFT & ACCESS_SPAN_MASK;
  if (more == 0) return 1;
  // the trace is the first page's
  const trace = m.trace;
  m.trace = 0;
  const kept = <usize>m.scratch + KEPT_RESULT;
  memory.copy(kept, result, RESULT_BYTES);
  let lacked: u64 = 1;
  for (let i: u32 = 1; i <= more; i++) {
    const page = ((address >> 12) + i) << 12;
    // the address space ends
    if (page == 0) break;
    if (held(pointer, pasid, access, page) != 0) continue;
    if (obtain<D, A>(m, unit, rid, pasid, page, access, pointer, result) == LACKS) lacked |= (<u64>1) << i;
  }
  memory.copy(result, kept, RESULT_BYTES);
  m.trace = trace;
  return lacked;
}

/** A device asks for pages (PCIe PRI 10.4). STATUS_PAGE_REQUEST with the group, or STATUS_FAULT. */
function pageRequest<D extends DeviceTables, A extends AtsRules>(
  m: Engine, unit: usize, rid: u32, pasid: u32, address: u64, access: u32, pointer: usize, result: usize,
): u32 {
  const a = changetype<A>(0);
  const waits = groupOf(unit, rid, pasid, address);
  if (waits != NO_GROUP) {
    if (!takeRefusal(unit, waits, address)) {
      store<u32>(result, waits, RESULT_GROUP);
      store<u32>(result, STATUS_PAGE_REQUEST, RESULT_STATUS);
      return STATUS_PAGE_REQUEST;
    }
    return STATUS_FAULT;
  }
  const lacked = lackedPages<D, A>(m, unit, rid, pasid, address, access, pointer, result);
  // the message is led through the device tables as a request is
  const fault = load<u32>(result, RESULT_FAULT);
  const flags = load<u32>(result, RESULT_FLAGS);
  const device = deviceOf<D>(m, unit, rid, result);
  forgetLast(unit);
  if (device == 0) return STATUS_FAULT;
  let code = a.refusePageRequest(unit, device, pasid);
  let quiet = (changetype<Route>(device).flags & ROUTE_QUIET) != 0;
  if (code == DECODED && a.pagesThroughPasid() && pasidRouteOf<D>(m, unit, device, rid, pasid, result) == 0) {
    code = load<u32>(result, RESULT_FAULT);
    quiet = load<u32>(result, RESULT_FLAGS) == RESULT_NOT_RECORDED;
  }
  store<u32>(result, fault, RESULT_FAULT);
  store<u32>(result, flags, RESULT_FLAGS);
  if (code & NOT_RECORDED) return STATUS_FAULT;
  if (code != DECODED) {
    store<u32>(result, code, RESULT_FAULT);
    if (quiet) return STATUS_FAULT;
    store<u32>(result, 0, RESULT_FLAGS);
    const slot = nextSlot(unit);
    if (slot != 0) a.recordRefusal(unit, slot, rid, pasid, code, address, access);
    return STATUS_FAULT;
  }
  if (requestPages<A>(unit, rid, pasid, address, access, lacked, result + RESULT_GROUP) != PAGE_WAITS) return STATUS_FAULT;
  store<u32>(result, STATUS_PAGE_REQUEST, RESULT_STATUS);
  return STATUS_PAGE_REQUEST;
}

/** A request as a device with a device-TLB makes it. */
function deviceRequest<D extends DeviceTables, A extends AtsRules>(
  m: Engine, unit: usize, rid: u32, pasid: u32, address: u64, access: u32, result: usize,
): u32 {
  // there is no execute without PASID, and a device knows no privilege then
  if (pasid == NO_PASID) access = (access & ~(ACCESS_PRIVILEGED | ACCESS_EXECUTE)) | (access & ACCESS_EXECUTE ? ACCESS_READ : 0);
  const pointer = deviceTlbOf(unit, rid);
  const entry = held(pointer, pasid, access, address);
  if (entry != 0) {
    const e = changetype<Entry>(entry);
    cacheAt(pointer).hits += 1;
    const lg2: u32 = 12 + <u32>(e.key & 63);
    return useEntry<D, A>(m, unit, rid, pasid, e.value | (address & ((<u64>1 << lg2) - 1)), lg2, e.meta, access, HIT_DEVICE_TLB, 0, result);
  }
  if (pointer != 0) cacheAt(pointer).misses += 1;
  const got = obtain<D, A>(m, unit, rid, pasid, address, access, pointer, result);
  if (got == UNTRANSLATED) return translateWith<D>(m, unit, rid, pasid, address, access & ~ACCESS_DEVICE, result);
  if (got == TOLD) {
    const hit = load<u32>(result, RESULT_HIT);
    const references = load<u32>(result, RESULT_REFERENCES);
    const rights = load<u32>(result, RESULT_PERMISSIONS);
    return useEntry<D, A>(m, unit, rid, pasid, load<u64>(result, RESULT_PA), load<u32>(result, RESULT_SIZE_LG2), rights, access, hit, references, result);
  }
  if (got == REFUSED || (access & ACCESS_NO_PAGE_REQUEST) != 0) return STATUS_FAULT;
  return pageRequest<D, A>(m, unit, rid, pasid, address, access, pointer, result);
}

/** A request whose access has a type (ACCESS_TRANSLATION, ACCESS_TRANSLATED, ACCESS_DEVICE). STATUS_*. */
export function translateTyped<D extends DeviceTables, A extends AtsRules>(
  m: Engine, unit: usize, rid: u32, pasid: u32, address: u64, access: u32, result: usize,
): u32 {
  store<u32>(result, COMPLETION_SUCCESS, RESULT_COMPLETION);
  store<u64>(result, 0, RESULT_COMPLETION_ENTRY);
  store<u32>(result, NO_GROUP, RESULT_GROUP);
  const type = access & ACCESS_DEVICE;
  if (type == <u32>ACCESS_DEVICE) return deviceRequest<D, A>(m, unit, rid, pasid, address, access, result);
  if (type == <u32>ACCESS_TRANSLATED) return translatedRequest<D, A>(m, unit, rid, pasid, address, access, result);
  return translationRequest<D, A>(m, unit, rid, pasid, address, access, 0, result);
}
