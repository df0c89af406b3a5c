// Invalidation as decoded requests. Raw descriptors of an architecture's queue are decoded to these by its own file.
import { Cache, dropEntry, Entry, invalidateAll, invalidateLow8, invalidateRange, invalidateTagged } from "./cache/assoc";
import { deviceAddress, makeTag, TAG_DOMAIN_MASK, TAG_EXACT, TAG_NESTED, TAG_SECOND, TAG_SPACE_MASK, TAG_VALID } from "./cache/tag";
import { Route } from "./device/route";
import {
  CACHE_CONTEXT,
  CACHE_ENTRY_BYTES,
  CACHE_IOTLB,
  CACHE_KINDS,
  CACHE_PASID,
  CACHE_WALK_FIRST,
  INV_CACHE_CONTEXT,
  INV_CACHE_IOTLB,
  INV_CACHE_PASID,
  INV_DEVICE,
  INV_DOMAIN,
  INV_GLOBAL,
  INV_LEAF_ONLY,
  INV_PASID,
  INV_PASID_PAGE,
  INV_TABLES_ONLY,
  UNIT_PAGE_LOW8,
} from "./layout";
import { cacheAt, cachePointer, forgetLast, priv } from "./unit";

/** Drop cached device or PASID entries whose route has the domain. */
function dropRoutes(c: Cache, domain: u32): void {
  for (let i: u32 = 0; i < c.capacity; i++) {
    const entry = changetype<Entry>(<usize>c.entries + i * CACHE_ENTRY_BYTES);
    if (entry.tag == 0) continue;
    if (changetype<Route>(<usize>entry.value).domain == domain) dropEntry(c, entry);
  }
}

function dropPasid(c: Cache, domain: u32, pasid: u32): void {
  for (let i: u32 = 0; i < c.capacity; i++) {
    const entry = changetype<Entry>(<usize>c.entries + i * CACHE_ENTRY_BYTES);
    if (entry.tag == 0 || <u32>(entry.key >> 6) != pasid) continue;
    if (changetype<Route>(<usize>entry.value).domain == domain) dropEntry(c, entry);
  }
}

function dropTranslations(c: Cache, flags: u32, scope: u32, domain: u32, pasid: u32, first: u64, last: u64): void {
  if (scope == INV_GLOBAL) {
    invalidateAll(c);
    return;
  }
  if (scope == INV_DOMAIN) {
    invalidateTagged(c, makeTag(domain, 0, 0), TAG_DOMAIN_MASK);
    return;
  }
  if (scope == INV_PASID) {
    invalidateTagged(c, makeTag(domain, pasid, 0), TAG_SPACE_MASK);
    return;
  }
  if (scope == INV_PASID_PAGE) {
    invalidateRange(c, makeTag(domain, pasid, 0), TAG_SPACE_MASK, first, last);
    return;
  }
  // what two stages made is filed under the first one's address: which entries went through the page is not known
  if (c.odd != 0) invalidateTagged(c, makeTag(domain, 0, TAG_NESTED), TAG_DOMAIN_MASK | TAG_NESTED);
  // a page of a domain: when only plain second-stage entries are about, the whole tag is known
  const tag = makeTag(domain, 0, TAG_SECOND);
  if (flags & UNIT_PAGE_LOW8) {
    const pages = (last - first + 1) >> 12;
    invalidateLow8(c, tag, TAG_DOMAIN_MASK, first >> 12, pages == 0 ? 8 : <u32>ctz(pages));
  } else invalidateRange(c, tag, c.odd == 0 ? TAG_EXACT : TAG_DOMAIN_MASK, first, last);
}

/**
 * Drop cached answers. `caches` is a mask of INV_CACHE_*, `scope` INV_*; `first` and `last` bound the page scopes.
 * INV_DEVICE names the RID's cached device entry and PASIDs, for context and PASID caches only.
 */
export function invalidate(
  unit: usize, caches: u32, scope: u32, domain: u32, pasid: u32, rid: u32, first: u64, last: u64,
): void {
  const flags = priv(unit).flags;
  if (caches & INV_CACHE_IOTLB) {
    for (let kind: u32 = 0; kind < <u32>CACHE_KINDS; kind++) {
      if (kind == CACHE_CONTEXT || kind == CACHE_PASID) continue;
      if (kind >= <u32>CACHE_WALK_FIRST && (caches & INV_LEAF_ONLY) != 0) break;
      if (kind < <u32>CACHE_WALK_FIRST && (caches & INV_TABLES_ONLY) != 0) continue;
      const pointer = cachePointer(unit, kind);
      if (pointer == 0) continue;
      // the oddity of some IOTLBs is the IOTLB's alone
      dropTranslations(cacheAt(pointer), kind == CACHE_IOTLB ? flags : 0, scope, domain, pasid, first, last);
    }
  }
  if (caches & INV_CACHE_CONTEXT) {
    forgetLast(unit);
    const pointer = cachePointer(unit, CACHE_CONTEXT);
    if (pointer != 0) {
      const c = cacheAt(pointer);
      if (scope == INV_GLOBAL) invalidateAll(c);
      else if (scope == INV_DOMAIN) dropRoutes(c, domain);
      else if (scope == INV_DEVICE) invalidateRange(c, TAG_VALID, TAG_EXACT, deviceAddress(rid), deviceAddress(rid));
    }
  }
  if (caches & INV_CACHE_PASID) {
    forgetLast(unit);
    const pointer = cachePointer(unit, CACHE_PASID);
    if (pointer != 0) {
      const c = cacheAt(pointer);
      if (scope == INV_GLOBAL) invalidateAll(c);
      else if (scope == INV_DOMAIN) dropRoutes(c, domain);
      else if (scope == INV_DEVICE) invalidateTagged(c, TAG_VALID | rid, TAG_EXACT);
      else if (scope == INV_PASID) dropPasid(c, domain, pasid);
    }
  }
}
