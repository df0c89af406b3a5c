// Invalidation as decoded requests. Raw commands of an architecture's queue are decoded to these by assembly/queue.
//
// Translations are chosen by their tag (cache/tag.ts) and by address; `dropTranslations` takes both as they are, and
// `invalidate` makes them of a scope. More may be dropped than was asked for, never less.
import { Cache, dropEntry, Entry, invalidateAll, invalidateLow8, invalidateRange, invalidateTagged, TAG_GLOBAL } from "./cache/assoc";
import { deviceAddress, globalOf, makeTag, TAG_DOMAIN_MASK, TAG_EXACT, TAG_FIRST, TAG_NESTED, TAG_SECOND, TAG_SPACE_MASK, TAG_VALID } from "./cache/tag";
import { Route } from "./device/route";
import {
  ARCH_RISCV,
  ARCH_VTD,
  CACHE_CONTEXT,
  CACHE_ENTRY_BYTES,
  CACHE_IOTLB,
  CACHE_KINDS,
  CACHE_PASID,
  CACHE_SECOND,
  CACHE_WALK_FIRST,
  INV_ANY_SPACE,
  INV_CACHE_CONTEXT,
  INV_CACHE_IOTLB,
  INV_CACHE_PASID,
  INV_DEVICE,
  INV_DEVICES,
  INV_DOMAIN,
  INV_FIRST,
  INV_GLOBAL,
  INV_HOST,
  INV_LEAF_ONLY,
  INV_PAGE,
  INV_PASID,
  INV_PASID_PAGE,
  INV_PROCESS,
  INV_SECOND,
  INV_TABLES_ONLY,
  UNIT_PAGE_LOW8,
} from "./layout";
import { cacheAt, cachePointer, forgetLast, priv } from "./unit";

export const EVERYTHING: u64 = 0xffff_ffff_ffff_ffff;

// ---- translations: IOTLB, paging-structure caches, second-stage pages

@inline
function isTranslations(kind: u32, what: u32): bool {
  if (kind == CACHE_CONTEXT || kind == CACHE_PASID) return false;
  const leaves = kind == CACHE_IOTLB || kind == CACHE_SECOND;
  return leaves ? (what & INV_TABLES_ONLY) == 0 : (what & INV_LEAF_ONLY) == 0;
}

/** Drop what overlaps [first, last] and has a tag that agrees with `tag` in the bits of `mask`. `what`: INV_LEAF_ONLY, INV_TABLES_ONLY. */
export function dropTranslations(unit: usize, what: u32, tag: u64, mask: u64, first: u64, last: u64): void {
  for (let kind: u32 = 0; kind < <u32>CACHE_KINDS; kind++) {
    if (!isTranslations(kind, what)) continue;
    const pointer = cachePointer(unit, kind);
    if (pointer == 0) continue;
    const c = cacheAt(pointer);
    if (first == 0 && last == EVERYTHING) invalidateTagged(c, tag, mask);
    else invalidateRange(c, tag, mask, first, last);
  }
}

/** A page of a second stage goes, and with it all that two stages made in its domain. */
function dropSecondPage(unit: usize, what: u32, domain: u32, first: u64, last: u64): void {
  const flags = priv(unit).flags;
  const tag = makeTag(domain, 0, TAG_SECOND);
  // VT-d specification 6.5.2.3, Table 23: all that any first stage made goes as well
  const firsts: u64 = priv(unit).arch == ARCH_VTD ? TAG_FIRST : TAG_NESTED;
  for (let kind: u32 = 0; kind < <u32>CACHE_KINDS; kind++) {
    // a pointer of the first stage may have been read through the page: a leaf for the second is none for the first
    if (!isTranslations(kind, what & ~INV_LEAF_ONLY)) continue;
    const pointer = cachePointer(unit, kind);
    if (pointer == 0) continue;
    const c = cacheAt(pointer);
    // what two stages made is filed under the first one's address: which entries went through the page is not known
    if (c.odd != 0) invalidateTagged(c, makeTag(domain, 0, TAG_NESTED), TAG_DOMAIN_MASK | firsts);
    if (!isTranslations(kind, what)) continue;
    // the oddity of some IOTLBs is the IOTLB's alone
    if (kind == CACHE_IOTLB && (flags & UNIT_PAGE_LOW8) != 0) {
      const pages = (last - first + 1) >> 12;
      invalidateLow8(c, tag, TAG_DOMAIN_MASK, first >> 12, pages == 0 ? 8 : <u32>ctz(pages));
    } else invalidateRange(c, tag, c.odd == 0 ? TAG_EXACT : what & INV_SECOND ? TAG_DOMAIN_MASK | TAG_NESTED : TAG_DOMAIN_MASK, first, last);
  }
}

function dropScope(unit: usize, what: u32, scope: u32, domain: u32, pasid: u32, first: u64, last: u64): void {
  if (scope == INV_PAGE && !(what & INV_FIRST)) {
    dropSecondPage(unit, what, domain, first, last);
    return;
  }
  let stages: u64 = 0;
  let stageMask: u64 = 0;
  if (what & INV_SECOND) {
    stages = TAG_SECOND;
    stageMask = TAG_NESTED;
  } else if (what & INV_FIRST) {
    stages = TAG_FIRST;
    stageMask = what & INV_HOST ? TAG_NESTED : TAG_FIRST;
  }
  let mask: u64 = TAG_VALID | stageMask;
  if (scope != INV_GLOBAL && !(what & INV_HOST)) mask |= TAG_DOMAIN_MASK;
  // without a second stage there is no GSCID: domain 0 of such answers is nobody's
  else if (priv(unit).arch == ARCH_RISCV && scope == INV_DOMAIN && stageMask == 0) {
    stages = TAG_SECOND;
    mask |= TAG_SECOND;
  }
  const paged = scope == INV_PAGE || scope == INV_PASID_PAGE;
  const spaced = (scope == INV_PASID || scope == INV_PASID_PAGE) && !(what & INV_ANY_SPACE);
  if (spaced) mask |= TAG_SPACE_MASK & ~TAG_DOMAIN_MASK;
  const tag = makeTag(domain, spaced ? pasid : 0, stages);
  if (!paged) {
    first = 0;
    last = EVERYTHING;
  }
  // global pages belong to no space, but one of them may be the page of an address
  dropTranslations(unit, what, tag, spaced ? mask | TAG_GLOBAL : mask, first, last);
  if (spaced && paged) dropTranslations(unit, what, globalOf(tag), mask | TAG_GLOBAL, first, last);
  // VT-d specification 6.5.2.4, Table 24: pages of a second stage too, which are kept under no PASID
  if (scope == INV_PASID && stageMask == 0 && priv(unit).arch == ARCH_VTD) {
    dropTranslations(unit, what | INV_LEAF_ONLY, makeTag(domain, 0, TAG_SECOND), TAG_DOMAIN_MASK | TAG_NESTED, 0, EVERYTHING);
  }
}

// ---- requesters and their PASIDs

/** Drop cached device or PASID entries whose route has the domain. */
function dropRoutes(c: Cache, domain: u32): void {
  for (let i: u32 = 0; i < c.capacity; i++) {
    const entry = changetype<Entry>(<usize>c.entries + i * CACHE_ENTRY_BYTES);
    if (entry.tag == 0) continue;
    if (changetype<Route>(<usize>entry.value).domain == domain) dropEntry(c, entry);
  }
}

/** PASID entries of a domain: by the number that they are looked up under, or by the space of their route. */
function dropPasid(c: Cache, domain: u32, pasid: u32): void {
  for (let i: u32 = 0; i < c.capacity; i++) {
    const entry = changetype<Entry>(<usize>c.entries + i * CACHE_ENTRY_BYTES);
    if (entry.tag == 0) continue;
    const route = changetype<Route>(<usize>entry.value);
    if (route.domain == domain && (<u32>(entry.key >> 6) == pasid || route.space == pasid)) dropEntry(c, entry);
  }
}

/** Entries of requesters [first, last]; the context cache files them by address, the PASID cache by tag. */
function dropDevices(c: Cache, pasids: bool, first: u32, last: u32): void {
  for (let i: u32 = 0; i < c.capacity; i++) {
    const entry = changetype<Entry>(<usize>c.entries + i * CACHE_ENTRY_BYTES);
    if (entry.tag == 0) continue;
    const rid = pasids ? <u32>entry.tag : rotl<u32>(<u32>(entry.key >> 6), 3);
    if (rid >= first && rid <= last) dropEntry(c, entry);
  }
}

/**
 * Drop cached answers. `caches` is a mask of INV_CACHE_* with what narrows it, `scope` INV_*; `first` and `last` bound
 * the page scopes, and the RIDs of INV_DEVICES. INV_DEVICE, INV_DEVICES and INV_PROCESS name cached device entries and
 * PASIDs, for context and PASID caches only.
 */
export function invalidate(
  unit: usize, caches: u32, scope: u32, domain: u32, pasid: u32, rid: u32, first: u64, last: u64,
): void {
  if (caches & INV_CACHE_IOTLB && scope != INV_DEVICE && scope != INV_DEVICES && scope != INV_PROCESS) {
    dropScope(unit, caches, scope, domain, pasid, first, last);
  }
  if (caches & (INV_CACHE_CONTEXT | INV_CACHE_PASID)) forgetLast(unit);
  let pointer = cachePointer(unit, CACHE_CONTEXT);
  if (caches & INV_CACHE_CONTEXT && pointer != 0) {
    const c = cacheAt(pointer);
    if (scope == INV_GLOBAL) invalidateAll(c);
    else if (scope == INV_DOMAIN) dropRoutes(c, domain);
    else if (scope == INV_DEVICE) invalidateRange(c, TAG_VALID, TAG_EXACT, deviceAddress(rid), deviceAddress(rid));
    else if (scope == INV_DEVICES) dropDevices(c, false, <u32>first, <u32>last);
  }
  pointer = cachePointer(unit, CACHE_PASID);
  if (caches & INV_CACHE_PASID && pointer != 0) {
    const c = cacheAt(pointer);
    if (scope == INV_GLOBAL) invalidateAll(c);
    else if (scope == INV_DOMAIN) dropRoutes(c, domain);
    else if (scope == INV_DEVICE) invalidateTagged(c, TAG_VALID | rid, TAG_EXACT);
    else if (scope == INV_DEVICES) dropDevices(c, true, <u32>first, <u32>last);
    else if (scope == INV_PROCESS) invalidateRange(c, TAG_VALID | rid, TAG_EXACT, <u64>pasid << 12, (<u64>pasid << 12) | 0xfff);
    else if (scope == INV_PASID) dropPasid(c, domain, pasid);
  }
}
