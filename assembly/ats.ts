// PCIe ATS: translation requests and translated requests. What an architecture says of them is in device/*-ats.ts, what a
// device makes of them in ats-device.ts.
import { Entry } from "./cache/assoc";
import { withSource } from "./cache/tag";
import { AtsRules, COMPLETION_QUIET, TRANSLATED_SECOND } from "./device/ats-rules";
import { DECODED, DETOUR_BYPASS, DeviceTables, NOT_RECORDED } from "./device/contract";
import { Route, ROUTE_QUIET } from "./device/route";
import {
  ACCESS_DEVICE, ACCESS_EXECUTE, ACCESS_MAY_WRITE, ACCESS_NO_WRITE, ACCESS_PRIVILEGED, ACCESS_READ, ACCESS_TRANSLATION, ACCESS_UNCHECKED, ACCESS_WRITE,
  CACHE_IOTLB, COMPLETION_SUCCESS, ENTRY_EXECUTE, ENTRY_PRIVILEGED, ENTRY_READ, ENTRY_SIZE, ENTRY_WRITE, HIT_BYPASS, HIT_IOTLB, HIT_NONE, NO_PASID,
  OUTCOME_NO_EXECUTE, OUTCOME_NO_READ, OUTCOME_NO_WRITE, OUTCOME_TRANSLATED, RESULT_COMPLETION, RESULT_COMPLETION_ENTRY, RESULT_FAULT, RESULT_FLAGS,
  RESULT_NOT_RECORDED, RESULT_STATUS, ROUTE_BYPASS, ROUTE_BYTES, ROUTE_SECOND, STAGE_TABLES, STATUS_FAULT, STATUS_INTERRUPT, STATUS_TRANSLATED,
  UNIT_SOURCE_TAG,
} from "./layout";
import { Engine } from "./memory/physical";
import { allows, cachedAnswer, describe, deviceOf, fail, fill, pasidRouteOf, seenBy, succeed, throughRoute } from "./translate";
import { cacheAt, cachePointer, counters, forgetLast, priv, Walk, walkOf } from "./unit";
import { WALK_FIRST_ONLY } from "./walk";
import { walkRoute } from "./walkers";

/** What an address that nothing translates may do. */
const EVERYTHING: u32 = ACCESS_READ | ACCESS_WRITE | ACCESS_EXECUTE;

/** A walk record for a request that has met no table yet. */
function openWalk(unit: usize, address: u64): Walk {
  const walk = walkOf(unit, 0);
  walk.outcome = OUTCOME_TRANSLATED;
  walk.references = 0;
  walk.stage = STAGE_TABLES;
  walk.level = 0;
  walk.entry = 0;
  walk.entryAddress = 0;
  walk.address = address;
  return walk;
}

/** Device entry of a requester that may send such a request; 0 after its fault, whose code and record are in the result. */
function admitted<D extends DeviceTables, A extends AtsRules>(
  m: Engine, unit: usize, rid: u32, pasid: u32, address: u64, access: u32, result: usize,
): usize {
  const a = changetype<A>(0);
  let code = a.refuseUnit(unit, rid, pasid, access);
  if (code != DECODED) return refused<D, A>(unit, 0, rid, pasid, address, access, code, false, result);
  const device = deviceOf<D>(m, unit, rid, result);
  // what the memoised requester points to may be another's now
  forgetLast(unit);
  if (device == 0) {
    const quiet = load<u32>(result, RESULT_FLAGS) == RESULT_NOT_RECORDED;
    return refused<D, A>(unit, 0, rid, pasid, address, access, a.deviceCode(unit, load<u32>(result, RESULT_FAULT), pasid, access), quiet, result);
  }
  code = a.refuseDevice(unit, device, pasid, address, access);
  if (code == DECODED) return device;
  return refused<D, A>(unit, 0, rid, pasid, address, access, code, (changetype<Route>(device).flags & ROUTE_QUIET) != 0, result);
}

/** Report a fault of an ATS request; always 0. */
function refused<D extends DeviceTables, A extends AtsRules>(
  unit: usize, found: usize, rid: u32, pasid: u32, address: u64, access: u32, code: u32, quiet: bool, result: usize,
): usize {
  const a = changetype<A>(0);
  describe(result, walkOf(unit, 0));
  if ((access & ACCESS_DEVICE) == ACCESS_TRANSLATION) {
    const completion = a.completion(unit, code & ~NOT_RECORDED);
    if (completion & COMPLETION_QUIET) quiet = true;
    fail<D>(unit, found, rid, pasid, address, access, code, quiet, result);
    store<u32>(result, completion & ~COMPLETION_QUIET, RESULT_COMPLETION);
    store<u64>(result, 0, RESULT_COMPLETION_ENTRY);
  } else fail<D>(unit, found, rid, pasid, address, access, code, quiet || a.quietTranslated(unit, code & ~NOT_RECORDED), result);
  return 0;
}

/** The fault of a route; what a completion tells as no permission does not count as one that the route has reported. */
function refusedByRoute<D extends DeviceTables, A extends AtsRules>(
  unit: usize, found: usize, rid: u32, pasid: u32, address: u64, access: u32, code: u32, result: usize,
): u32 {
  const told = changetype<A>(0).completion(unit, code & ~NOT_RECORDED) == (COMPLETION_SUCCESS | COMPLETION_QUIET);
  refused<D, A>(unit, found, rid, pasid, address, access, code, told || changetype<D>(0).quiet(changetype<Route>(found), code), result);
  return STATUS_FAULT;
}

/** Translation completion data entry (PCIe ATS 10.2.3.2) of 2^lg2 bytes. */
function complete(result: usize, told: u64, lg2: u32, rights: u32, access: u32, pasid: u32, flags: u32): void {
  let entry: u64 = 0;
  if (rights & (ACCESS_READ | ACCESS_WRITE)) {
    entry = (told >> lg2 << lg2) | flags;
    if (lg2 > 12) entry |= ENTRY_SIZE | (((<u64>1 << (lg2 - 1)) - 1) & ~0xfff);
    if (rights & ACCESS_READ) entry |= ENTRY_READ;
    if (rights & ACCESS_WRITE) entry |= ENTRY_WRITE;
    if (rights & ACCESS_EXECUTE) entry |= ENTRY_EXECUTE;
    if (access & ACCESS_PRIVILEGED && pasid != NO_PASID) entry |= ENTRY_PRIVILEGED;
  }
  store<u32>(result, COMPLETION_SUCCESS, RESULT_COMPLETION);
  store<u64>(result, entry, RESULT_COMPLETION_ENTRY);
}

/** Rights that a translation request is told: no write with No Write, execute only when it is asked for and with read. */
@inline
function rightsTold(rights: u32, access: u32): u32 {
  if (access & ACCESS_NO_WRITE) rights &= ~ACCESS_WRITE;
  return (access & ACCESS_EXECUTE) != 0 && (rights & ACCESS_READ) != 0 ? rights : rights & ~ACCESS_EXECUTE;
}

/** The code of a right that a device needed and was not told, for a fault that is no fault of the IOMMU. */
function missing<D extends DeviceTables>(unit: usize, route: Route, walk: Walk, rights: u32, access: u32): u32 {
  walk.outcome =
    access & ACCESS_WRITE && !(rights & ACCESS_WRITE) ? OUTCOME_NO_WRITE : access & ACCESS_EXECUTE && !(rights & ACCESS_EXECUTE) ? OUTCOME_NO_EXECUTE : OUTCOME_NO_READ;
  return changetype<D>(0).code(unit, route, walk, access);
}

/**
 * An ATS translation request. STATUS_TRANSLATED (or STATUS_INTERRUPT) with a completion that has rights, or none;
 * STATUS_FAULT with the completion that says so. `wanted`: rights that are looked for, so that an IOTLB entry without
 * them is no answer; when they are not there RESULT_FAULT is the code of that.
 */
export function translationRequest<D extends DeviceTables, A extends AtsRules>(
  m: Engine, unit: usize, rid: u32, pasid: u32, address: u64, access: u32, wanted: u32, result: usize,
): u32 {
  const d = changetype<D>(0);
  const a = changetype<A>(0);
  const p = priv(unit);
  counters(unit).translations += 1;
  const walk = openWalk(unit, address);
  access = a.requestAccess(pasid, access);
  const device = admitted<D, A>(m, unit, rid, pasid, address, access, result);
  if (device == 0) return STATUS_FAULT;
  const found = pasidRouteOf<D>(m, unit, device, rid, pasid, result);
  if (found == 0) {
    refused<D, A>(unit, 0, rid, pasid, address, access, load<u32>(result, RESULT_FAULT), load<u32>(result, RESULT_FLAGS) == RESULT_NOT_RECORDED, result);
    return STATUS_FAULT;
  }
  const route = changetype<Route>(found);
  access |= ACCESS_UNCHECKED;
  let passes = false;
  if (!d.plain(route)) {
    access = d.routeAccess(route, pasid, access);
    passes = d.detour(unit, route, pasid, address, access) == DETOUR_BYPASS;
    if (!passes) {
      const code = d.refuse(unit, route, pasid, address, access);
      if (code != DECODED) return refusedByRoute<D, A>(unit, found, rid, pasid, address, access, code, result);
    }
  }
  const split = a.translatedMode(unit, device) == TRANSLATED_SECOND;
  const mode = split ? a.splitWalk() : 0;
  if (passes || route.type == ROUTE_BYPASS || (mode == WALK_FIRST_ONLY && route.type == ROUTE_SECOND)) {
    const code = passes || mode == WALK_FIRST_ONLY ? DECODED : d.refuseOutput(unit, route, address, access);
    if (code != DECODED) return refusedByRoute<D, A>(unit, found, rid, pasid, address, access, code, result);
    const rights = rightsTold(passes || mode == WALK_FIRST_ONLY ? EVERYTHING : d.bypassPermissions(route), access);
    const told = passes || mode == WALK_FIRST_ONLY ? address : d.bypassAddress(unit, address);
    succeed(result, told, 12, rights, HIT_BYPASS, 0, 0);
    complete(result, told, 12, rights, access, pasid, a.entryFlags(unit, route, pasid, a.bypassAttributes()));
    if (!allows(rights, wanted)) store<u32>(result, missing<D>(unit, route, walk, rights, access), RESULT_FAULT);
    return STATUS_TRANSLATED;
  }
  const tag = p.flags & UNIT_SOURCE_TAG ? withSource(route.tag, rid) : route.tag;
  const pointer = split ? 0 : cachePointer(unit, CACHE_IOTLB);
  if (pointer != 0) {
    const c = cacheAt(pointer);
    const entry = cachedAnswer(c, d.cachedAddress(route, address), tag);
    if (entry != 0) {
      const e = changetype<Entry>(entry);
      const lg2: u32 = 12 + <u32>(e.key & 63);
      const pa = e.value | (address & ((<u64>1 << lg2) - 1));
      const attributes = e.meta >> 8;
      // an entry without the right to write may be one that waits for its D bit
      const enough = allows(e.meta, (access & ACCESS_PRIVILEGED) | (access & ACCESS_NO_WRITE ? wanted : wanted | ACCESS_WRITE));
      if (enough) {
        c.hits += 1;
        const rights = rightsTold(d.rights(seenBy(e.meta, access), attributes), access);
        succeed(result, pa, lg2, rights, HIT_IOTLB, 0, attributes);
        complete(result, pa, lg2, rights, access, pasid, a.entryFlags(unit, route, pasid, attributes));
        return STATUS_TRANSLATED;
      }
    }
    c.misses += 1;
  }
  const how = a.walkAccess(access) | (access & ACCESS_NO_WRITE ? 0 : ACCESS_MAY_WRITE);
  const outcome = walkRoute(m, unit, found, tag, address, how, mode);
  const code = outcome != OUTCOME_TRANSLATED ? d.code(unit, route, walk, access) : split ? DECODED : d.refuseOutput(unit, route, walk.pa, access);
  if (code != DECODED) return refusedByRoute<D, A>(unit, found, rid, pasid, address, access, code, result);
  const rights = rightsTold(d.rights(seenBy(walk.permissions, access), walk.attributes), access);
  const told = !split || mode == WALK_FIRST_ONLY ? walk.pa : walkOf(unit, 1).address;
  succeed(result, told, walk.lg2, rights, HIT_NONE, walk.references, walk.attributes);
  const status = d.landing(unit, walk, result);
  complete(result, told, walk.lg2, rights, access, pasid, a.entryFlags(unit, route, pasid, walk.attributes));
  if (status != STATUS_TRANSLATED) store<u32>(result, status, RESULT_STATUS);
  else if (pointer != 0) fill(unit, pointer, d.fillTag(tag, walk), d.cachedAddress(route, address), walk, d.cachedLg2(walk.pa, walk.lg2));
  if (!allows(rights, wanted)) store<u32>(result, missing<D>(unit, route, walk, rights, access), RESULT_FAULT);
  return status;
}

/** A translated request: its address is physical, or one of the second stage. */
export function translatedRequest<D extends DeviceTables, A extends AtsRules>(
  m: Engine, unit: usize, rid: u32, pasid: u32, address: u64, access: u32, result: usize,
): u32 {
  const d = changetype<D>(0);
  const a = changetype<A>(0);
  counters(unit).translations += 1;
  openWalk(unit, address);
  access = a.requestAccess(pasid, access);
  const stops = a.refuseUnit(unit, rid, pasid, access);
  if (stops == DECODED && a.passesUnit(unit, access)) return succeed(result, address, 12, EVERYTHING, HIT_BYPASS, 0, 0);
  const device = admitted<D, A>(m, unit, rid, pasid, address, access, result);
  if (device == 0) return STATUS_FAULT;
  if (a.translatedMode(unit, device) != TRANSLATED_SECOND) {
    const code = a.refuseTranslated(unit, device, address);
    if (code == DECODED) return succeed(result, address, 12, EVERYTHING, HIT_BYPASS, 0, 0);
    refused<D, A>(unit, device, rid, pasid, address, access, code, (changetype<Route>(device).flags & ROUTE_QUIET) != 0, result);
    return STATUS_FAULT;
  }
  const found = <usize>priv(unit).scratchRoute;
  memory.copy(found, device, ROUTE_BYTES);
  a.secondOnly(changetype<Route>(found));
  return throughRoute<D>(m, unit, found, rid, pasid, address, access, result);
}
