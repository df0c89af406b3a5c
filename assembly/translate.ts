// One request: route (cached or decoded), IOTLB, walk, fill, result record. No allocation, and no callback unless a
// region of the memory is the host's.
import { Cache, Entry, find, findAddress, insert, keyOf, peek } from "./cache/assoc";
import { deviceAddress, globalOf, TAG_VALID, withSource } from "./cache/tag";
import { DECODED, DETOUR_BYPASS, DeviceTables, NOT_RECORDED } from "./device/contract";
import { Route, ROUTE_QUIET, ROUTE_UNCACHED } from "./device/route";
import { nextSlot } from "./fault";
import {
  ACCESS_ANY,
  ACCESS_EXECUTE,
  ACCESS_PRIVILEGED,
  ACCESS_READ,
  ACCESS_WRITE,
  CACHE_CONTEXT,
  CACHE_IOTLB,
  CACHE_PASID,
  DEVICE_ENTRY_BYTES,
  HIT_BYPASS,
  HIT_IOTLB,
  HIT_NONE,
  NO_PASID,
  OUTCOME_TRANSLATED,
  PERM_PRIVILEGED_SHIFT,
  RESULT_ATTRIBUTES,
  RESULT_ENTRY,
  RESULT_ENTRY_ADDRESS,
  RESULT_FAULT,
  RESULT_FLAGS,
  RESULT_GROUP,
  RESULT_HIT,
  RESULT_LEVEL,
  RESULT_NOT_RECORDED,
  RESULT_OUTCOME,
  RESULT_PA,
  RESULT_PERMISSIONS,
  RESULT_REFERENCES,
  RESULT_SIZE_LG2,
  RESULT_STAGE,
  RESULT_STATUS,
  RESULT_VALUE,
  RESULT_VALUE2,
  ROUTE_BYPASS,
  ROUTE_BYTES,
  STAGE_TABLES,
  STATUS_FAULT,
  STATUS_TRANSLATED,
  UNIT_SOURCE_TAG,
} from "./layout";
import { Engine } from "./memory/physical";
import { cacheAt, cachePointer, counters, priv, Walk, walkOf } from "./unit";
import { walkRoute } from "./walkers";

/** Permission bits that a request needs all of; ANY is decided apart. */
@inline
function needed(access: u32): u32 {
  const bits = access & (ACCESS_READ | ACCESS_WRITE | ACCESS_EXECUTE);
  return access & ACCESS_PRIVILEGED ? bits << PERM_PRIVILEGED_SHIFT : bits;
}

@inline
function allows(permissions: u32, access: u32): bool {
  if (access & ACCESS_ANY) {
    return (permissions & (access & ACCESS_PRIVILEGED ? 3 << PERM_PRIVILEGED_SHIFT : 3)) != 0;
  }
  const need = needed(access);
  return (permissions & need) == need;
}

/** What the requester may do, as ACCESS_* bits. */
@inline
function seenBy(permissions: u32, access: u32): u32 {
  return (access & ACCESS_PRIVILEGED ? permissions >> PERM_PRIVILEGED_SHIFT : permissions) & 7;
}

// ---- routes

/** Device entry of a requester from the context cache or the tables; 0 on a fault, whose code is in the result. */
function deviceOf<D extends DeviceTables>(m: Engine, unit: usize, rid: u32, result: usize): usize {
  const d = changetype<D>(0);
  const p = priv(unit);
  const pointer = cachePointer(unit, CACHE_CONTEXT);
  const key = keyOf(deviceAddress(rid), 12);
  if (pointer != 0) {
    const c = cacheAt(pointer);
    const entry = find(c, key, TAG_VALID);
    if (entry != 0) {
      c.hits += 1;
      return <usize>changetype<Entry>(entry).value;
    }
    c.misses += 1;
  }
  const device = <usize>p.scratchDevice;
  const code = d.decodeDevice(m, unit, rid, device);
  if (code != DECODED) {
    store<u32>(result, code, RESULT_FAULT);
    store<u32>(result, changetype<Route>(device).flags & ROUTE_QUIET ? RESULT_NOT_RECORDED : 0, RESULT_FLAGS);
    return 0;
  }
  if (pointer == 0) return device;
  const c = cacheAt(pointer);
  const entry = insert(c, key, TAG_VALID);
  const number = <u32>(entry - c.entries) / 32;
  const kept = <usize>p.contextValues + number * DEVICE_ENTRY_BYTES;
  memory.copy(kept, device, DEVICE_ENTRY_BYTES);
  changetype<Entry>(entry).value = kept;
  return kept;
}

/** Route of a requester; 0 on a fault, whose code is in the result. */
function routeOf<D extends DeviceTables>(m: Engine, unit: usize, rid: u32, pasid: u32, result: usize): usize {
  const d = changetype<D>(0);
  const p = priv(unit);
  const pointer = cachePointer(unit, CACHE_PASID);
  const device = deviceOf<D>(m, unit, rid, result);
  p.lastCache = CACHE_CONTEXT;
  if (device == 0) return 0;
  const lookup = d.effectivePasid(unit, device, pasid);
  if (lookup == NO_PASID) return device;
  p.lastCache = CACHE_PASID;
  const tag = TAG_VALID | rid;
  const key = keyOf(<u64>lookup << 12, 12);
  if (pointer != 0) {
    const c = cacheAt(pointer);
    const entry = find(c, key, tag);
    if (entry != 0) {
      c.hits += 1;
      return <usize>changetype<Entry>(entry).value;
    }
    c.misses += 1;
  }
  const route = <usize>p.scratchRoute;
  const code = d.decodePasid(m, unit, device, rid, lookup, changetype<Route>(route));
  if (code != DECODED) {
    store<u32>(result, code, RESULT_FAULT);
    store<u32>(result, changetype<Route>(route).flags & ROUTE_QUIET ? RESULT_NOT_RECORDED : 0, RESULT_FLAGS);
    return 0;
  }
  if (pointer == 0 || changetype<Route>(route).flags & ROUTE_UNCACHED) return route;
  const c = cacheAt(pointer);
  const entry = insert(c, key, tag);
  const number = <u32>(entry - c.entries) / 32;
  const kept = <usize>p.pasidValues + number * ROUTE_BYTES;
  memory.copy(kept, route, ROUTE_BYTES);
  changetype<Entry>(entry).value = kept;
  return kept;
}

// ---- endings

@inline
function succeed(result: usize, pa: u64, lg2: u32, permissions: u32, hit: u32, references: u32, attributes: u32): u32 {
  store<u32>(result, STATUS_TRANSLATED, RESULT_STATUS);
  store<u32>(result, 0, RESULT_FAULT);
  store<u64>(result, pa, RESULT_PA);
  store<u32>(result, lg2, RESULT_SIZE_LG2);
  store<u32>(result, permissions, RESULT_PERMISSIONS);
  store<u32>(result, hit, RESULT_HIT);
  store<u32>(result, references, RESULT_REFERENCES);
  store<u32>(result, attributes, RESULT_ATTRIBUTES);
  return STATUS_TRANSLATED;
}

function fail<D extends DeviceTables>(
  unit: usize, found: usize, rid: u32, pasid: u32, address: u64, access: u32, code: u32, quiet: bool, result: usize,
): u32 {
  if (code & NOT_RECORDED) quiet = true;
  code &= ~NOT_RECORDED;
  store<u32>(result, STATUS_FAULT, RESULT_STATUS);
  store<u32>(result, code, RESULT_FAULT);
  store<u32>(result, quiet ? RESULT_NOT_RECORDED : 0, RESULT_FLAGS);
  changetype<D>(0).reportFault(unit, found, pasid, code, address, result);
  if (quiet) return STATUS_FAULT;
  const slot = nextSlot(unit);
  if (slot != 0) changetype<D>(0).record(unit, slot, rid, pasid, code, address, access, result);
  return STATUS_FAULT;
}

function describe(result: usize, walk: Walk): void {
  store<u64>(result, 0, RESULT_PA);
  store<u32>(result, 0, RESULT_SIZE_LG2);
  store<u32>(result, 0, RESULT_PERMISSIONS);
  store<u32>(result, HIT_NONE, RESULT_HIT);
  store<u32>(result, walk.references, RESULT_REFERENCES);
  store<u32>(result, walk.outcome, RESULT_OUTCOME);
  store<u32>(result, walk.stage, RESULT_STAGE);
  store<u32>(result, walk.level, RESULT_LEVEL);
  store<u64>(result, walk.entry, RESULT_ENTRY);
  store<u64>(result, walk.entryAddress, RESULT_ENTRY_ADDRESS);
  store<u64>(result, walk.address, RESULT_VALUE);
  store<u64>(result, 0, RESULT_VALUE2);
  store<u32>(result, 0, RESULT_GROUP);
}

/** A request that no table answers. */
function diverted(result: usize, status: u32, address: u64): u32 {
  succeed(result, address, 0, 0, HIT_NONE, 0, 0);
  store<u64>(result, 0, RESULT_VALUE);
  store<u64>(result, 0, RESULT_VALUE2);
  store<u32>(result, status, RESULT_STATUS);
  return status;
}

/** Route of a requester that is not the last one, remembered for the next request; 0 after its fault was reported. */
function findRoute<D extends DeviceTables>(
  m: Engine, unit: usize, rid: u32, pasid: u32, address: u64, access: u32, key: u64, result: usize,
): usize {
  const p = priv(unit);
  const walk = walkOf(unit, 0);
  walk.outcome = OUTCOME_TRANSLATED;
  walk.references = 0;
  walk.stage = STAGE_TABLES;
  walk.level = 0;
  walk.entry = 0;
  walk.entryAddress = 0;
  walk.address = address;
  const refused = changetype<D>(0).refuseUnit(unit, rid, pasid);
  const found = refused != DECODED ? 0 : routeOf<D>(m, unit, rid, pasid, result);
  if (found == 0) {
    // its slot may be another's now
    p.lastRoute = 0;
    const code = refused != DECODED ? refused : load<u32>(result, RESULT_FAULT);
    const quiet = refused == DECODED && load<u32>(result, RESULT_FLAGS) == RESULT_NOT_RECORDED;
    describe(result, walk);
    fail<D>(unit, 0, rid, pasid, address, access, code, quiet, result);
    return 0;
  }
  p.lastKey = key;
  // a route in its cache's own memory stays put until something is evicted or invalidated, which forgets it
  p.lastRoute = found == p.scratchDevice || found == p.scratchRoute || cachePointer(unit, CACHE_CONTEXT) == 0 ? 0 : <u32>found;
  return found;
}

/** A request that ends before any walk: refused by its route, or passed through. */
function withoutWalk<D extends DeviceTables>(
  unit: usize, found: usize, rid: u32, pasid: u32, address: u64, access: u32, refused: u32, result: usize,
): u32 {
  const route = changetype<Route>(found);
  const d = changetype<D>(0);
  const code = refused != DECODED ? refused : d.refuseOutput(unit, route, address, access);
  if (code == DECODED) return succeed(result, d.bypassAddress(unit, address), 12, d.bypassPermissions(route), HIT_BYPASS, 0, 0);
  const walk = walkOf(unit, 0);
  walk.references = 0;
  describe(result, walk);
  return fail<D>(unit, found, rid, pasid, address, access, code, d.quiet(route, code), result);
}

/** A request that the IOTLB did not answer: walk, and fill `pointer` unless it is null. */
function walked<D extends DeviceTables>(
  m: Engine, unit: usize, found: usize, tag: u64, pointer: usize, rid: u32, pasid: u32, address: u64, access: u32, result: usize,
): u32 {
  const d = changetype<D>(0);
  const route = changetype<Route>(found);
  const walk = walkOf(unit, 0);
  walk.references = 0;
  const outcome = walkRoute(m, unit, found, tag, address, access, 0);
  const code = outcome != OUTCOME_TRANSLATED ? d.code(unit, route, walk, access) : d.refuseOutput(unit, route, walk.pa, access);
  if (code != DECODED) {
    describe(result, walk);
    return fail<D>(unit, found, rid, pasid, address, access, code, d.quiet(route, code), result);
  }
  const rights = d.rights(seenBy(walk.permissions, access), walk.attributes);
  succeed(result, walk.pa, walk.lg2, rights, HIT_NONE, walk.references, walk.attributes);
  const status = d.landing(unit, walk, result);
  if (status != STATUS_TRANSLATED) store<u32>(result, status, RESULT_STATUS);
  else if (pointer != 0) fill(unit, pointer, d.fillTag(tag, walk), d.cachedAddress(route, address), walk, d.cachedLg2(walk.pa, walk.lg2));
  return status;
}

/** IOTLB entry that answers, 0 when none does. */
@inline
function cachedAnswer(c: Cache, address: u64, tag: u64): usize {
  const entry = findAddress(c, address, tag);
  return entry == 0 && c.globals != 0 ? findAddress(c, address, globalOf(tag)) : entry;
}

/**
 * Translate one request; STATUS_*, and the whole answer in the result record. What a known requester's IOTLB hit needs
 * stands here, to be inlined into the loops; everything else is a call away.
 */
@inline
export function translateWith<D extends DeviceTables>(
  m: Engine, unit: usize, rid: u32, pasid: u32, address: u64, access: u32, result: usize,
): u32 {
  const d = changetype<D>(0);
  const p = priv(unit);
  counters(unit).translations += 1;
  access = d.effectiveAccess(pasid, access);
  const status = d.intercept(unit, rid, pasid, address, access);
  if (status != STATUS_TRANSLATED) return diverted(result, status, address);
  const key = <u64>rid | (<u64>pasid << 32);
  let found = <usize>p.lastRoute;
  if (found != 0 && p.lastKey == key) {
    cacheAt(cachePointer(unit, CACHE_CONTEXT)).hits += 1;
    if (p.lastCache == CACHE_PASID) cacheAt(cachePointer(unit, CACHE_PASID)).hits += 1;
  } else {
    found = findRoute<D>(m, unit, rid, pasid, address, access, key, result);
    if (found == 0) return STATUS_FAULT;
  }
  const route = changetype<Route>(found);
  if (!d.plain(route)) {
    access = d.routeAccess(route, pasid, access);
    const detour = d.detour(unit, route, pasid, address, access);
    if (detour != STATUS_TRANSLATED) {
      if (detour == DETOUR_BYPASS) return succeed(result, address, 12, 7, HIT_BYPASS, 0, 0);
      return diverted(result, detour, address);
    }
    const refused = d.refuse(unit, route, pasid, address, access);
    if (refused != DECODED || route.type == ROUTE_BYPASS) {
      return withoutWalk<D>(unit, found, rid, pasid, address, access, refused, result);
    }
  }
  const tag = p.flags & UNIT_SOURCE_TAG ? withSource(route.tag, rid) : route.tag;
  const pointer = cachePointer(unit, CACHE_IOTLB);
  if (pointer != 0) {
    const c = cacheAt(pointer);
    const entry = cachedAnswer(c, d.cachedAddress(route, address), tag);
    if (entry != 0) {
      const e = changetype<Entry>(entry);
      const lg2: u32 = 12 + <u32>(e.key & 63);
      const pa = e.value | (address & ((<u64>1 << lg2) - 1));
      // without the right, the tables decide: the entry may be older than they are
      if (allows(e.meta, access)) {
        c.hits += 1;
        return succeed(result, pa, lg2, d.rights(seenBy(e.meta, access), e.meta >> 8), HIT_IOTLB, 0, e.meta >> 8);
      }
    }
    c.misses += 1;
  }
  return walked<D>(m, unit, found, tag, pointer, rid, pasid, address, access, result);
}

/** Put a walk's answer into the IOTLB, over an entry of the same page when one is there. */
@inline
function fill(unit: usize, pointer: usize, tag: u64, address: u64, walk: Walk, lg2: u32): void {
  const c = cacheAt(pointer);
  const key = keyOf(address, lg2);
  let entry = peek(c, key, tag);
  if (entry == 0) entry = insert(c, key, tag);
  const e = changetype<Entry>(entry);
  e.value = walk.pa & ~((<u64>1 << lg2) - 1);
  e.meta = walk.permissions | (walk.attributes << 8);
}
