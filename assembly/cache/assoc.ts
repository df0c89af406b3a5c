// One associative memory for every cache of the engine: IOTLB, walk caches, context, PASID and stage-2 caches.
//
// An entry is {key u64, tag u64, value u64, meta u32, stamp u32}. Key: (address >> lg2) << 6 | (lg2 - 12), so that
// entries of several page sizes live side by side and only sizes that are present are probed. Tag: who the entry
// belongs to (cache/tag.ts), 0 in an empty entry.
//
// The ways of a set are compared one by one; a fully associative cache of more than CACHE_LINEAR_WAYS entries is found
// through a hash index instead, with recency as a list, so that a 64 Ki-way LRU costs as little as an 8-way one.
import {
  CACHE_BYTES,
  CACHE_ENTRY_BYTES,
  CACHE_LINEAR_WAYS,
  CACHE_LINK_BYTES,
  POLICY_CLEAR,
  POLICY_FIFO,
  POLICY_LRU,
  POLICY_PLRU,
  POLICY_RANDOM,
} from "../layout";

/** Bit of a tag that marks an entry shared by all address spaces of its domain (the other bits: cache/tag.ts). */
export const TAG_GLOBAL: u64 = 1 << 62;
/** All of the tag but the domain, in an entry that is known by its domain alone: valid, second stage, no PASID. */
const TAG_PLAIN: u64 = ((1 << 63) | (1 << 37)) >> 16;

@unmanaged @final
export class Entry {
  key: u64;
  tag: u64;
  value: u64;
  meta: u32;
  stamp: u32;
}

@unmanaged @final
export class Cache {
  hits: u64;
  misses: u64;
  fills: u64;
  evictions: u64;
  invalidations: u64;
  sizes: u64; // bit lg2 - 12 set: entries of that size are present
  entries: u32;
  setMask: u32;
  ways: u32;
  policy: u32;
  capacity: u32;
  live: u32;
  globals: u32; // entries whose tag is global
  odd: u32; // entries that are not plain second-stage ones of a domain
  clock: u32;
  random: u32;
  trees: u32; // pseudo-LRU bits, one byte each, `ways` to a set
  links: u32; // index only, from here
  buckets: u32;
  bucketMask: u32;
  oldest: u32; // entry number + 1
  newest: u32;
  free: u32;
}

const SIZE_COUNTS: usize = offsetof<Cache>();

@inline
export function cacheOf(pointer: usize): Cache {
  if (offsetof<Cache>() + 53 * 4 > <usize>CACHE_BYTES) ERROR("CACHE_BYTES");
  return changetype<Cache>(pointer);
}

@inline
function entryAt(c: Cache, number: u32): usize {
  return <usize>c.entries + number * CACHE_ENTRY_BYTES;
}

@inline
function numberOf(c: Cache, entry: usize): u32 {
  return <u32>(entry - c.entries) / CACHE_ENTRY_BYTES;
}

@inline
function count(c: Cache, key: u64, by: i32): void {
  const lg2 = <u32>(key & 63);
  const at = changetype<usize>(c) + SIZE_COUNTS + (lg2 << 2);
  const now = load<u32>(at) + by;
  store<u32>(at, now);
  const bit: u64 = (<u64>1) << lg2;
  if (now == 0) c.sizes &= ~bit;
  else c.sizes |= bit;
}

// ---- the hash index: per entry {next in chain, older, newer}, each an entry number + 1

@inline
function link(c: Cache, number: u32): usize {
  return <usize>c.links + number * CACHE_LINK_BYTES;
}

@inline
function bucketOf(c: Cache, key: u64, tag: u64): usize {
  const mixed = (key ^ (tag * 0x9e3779b97f4a7c15)) * 0xff51afd7ed558ccd;
  return <usize>c.buckets + ((<u32>(mixed >> 32) & c.bucketMask) << 2);
}

function listRemove(c: Cache, number: u32): void {
  const at = link(c, number);
  const older = load<u32>(at, 4);
  const newer = load<u32>(at, 8);
  if (older) store<u32>(link(c, older - 1), newer, 8);
  else c.oldest = newer;
  if (newer) store<u32>(link(c, newer - 1), older, 4);
  else c.newest = older;
}

function listAppend(c: Cache, number: u32): void {
  const at = link(c, number);
  store<u32>(at, c.newest, 4);
  store<u32>(at, 0, 8);
  if (c.newest) store<u32>(link(c, c.newest - 1), number + 1, 8);
  else c.oldest = number + 1;
  c.newest = number + 1;
}

function chainRemove(c: Cache, number: u32, key: u64, tag: u64): void {
  let at = bucketOf(c, key, tag);
  while (true) {
    const here = load<u32>(at);
    if (here == 0) return;
    if (here == number + 1) {
      store<u32>(at, load<u32>(link(c, number)));
      return;
    }
    at = link(c, here - 1);
  }
}

// ---- recency

function touchTree(c: Cache, entry: usize): void {
  const number = numberOf(c, entry);
  const set = number / c.ways;
  const base = <usize>c.trees + set * c.ways;
  let node = c.ways + (number - set * c.ways);
  // each node on the path points away from the way just used
  while (node > 1) {
    store<u8>(base + (node >> 1), <u8>(~node & 1));
    node >>= 1;
  }
}

function treeVictim(c: Cache, set: u32): u32 {
  const base = <usize>c.trees + set * c.ways;
  let node: u32 = 1;
  while (node < c.ways) node = (node << 1) | load<u8>(base + node);
  return node - c.ways;
}

/** Before the clock wraps, stamps restart from their order's coarse image; ties break by way. */
function restartClock(c: Cache): void {
  for (let i: u32 = 0; i < c.capacity; i++) {
    const at = entryAt(c, i);
    store<u32>(at, load<u32>(at, offsetof<Entry>("stamp")) >> 16, offsetof<Entry>("stamp"));
  }
  c.clock = 0x10000;
}

@inline
function tick(c: Cache): u32 {
  if (c.clock == 0xffff_ffff) restartClock(c);
  c.clock += 1;
  return c.clock;
}

@inline
function touch(c: Cache, entry: usize): void {
  if (c.policy == POLICY_LRU) {
    if (c.links == 0) changetype<Entry>(entry).stamp = tick(c);
    else {
      const number = numberOf(c, entry);
      if (c.newest != number + 1) {
        listRemove(c, number);
        listAppend(c, number);
      }
    }
  } else if (c.policy == POLICY_PLRU) touchTree(c, entry);
}

function nextRandom(c: Cache): u32 {
  let x = c.random;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  c.random = x;
  return x;
}

// ---- look-up

function findIndexed(c: Cache, key: u64, tag: u64): usize {
  let at = load<u32>(bucketOf(c, key, tag));
  while (at != 0) {
    const entry = entryAt(c, at - 1);
    if (load<u64>(entry) == key && load<u64>(entry, 8) == tag) return entry;
    at = load<u32>(link(c, at - 1));
  }
  return 0;
}

/** Entry of exactly this key and tag, 0 when there is none; recency and counters stay as they are. */
@inline
export function peek(c: Cache, key: u64, tag: u64): usize {
  if (c.links != 0) return findIndexed(c, key, tag);
  let entry = <usize>c.entries + (<u32>(key >> 6) & c.setMask) * c.ways * CACHE_ENTRY_BYTES;
  const end = entry + c.ways * CACHE_ENTRY_BYTES;
  do {
    if (load<u64>(entry) == key && load<u64>(entry, 8) == tag) return entry;
    entry += CACHE_ENTRY_BYTES;
  } while (entry != end);
  return 0;
}

/** Entry of this key and tag, marked as used; 0 when there is none. Counts nothing. */
@inline
export function find(c: Cache, key: u64, tag: u64): usize {
  const entry = peek(c, key, tag);
  if (entry != 0) touch(c, entry);
  return entry;
}

/** Key of an address at a page size. */
@inline
export function keyOf(address: u64, lg2: u32): u64 {
  return ((address >> lg2) << 6) | (lg2 - 12);
}

/** Entry that covers the address, whatever its page size. */
@inline
export function findAddress(c: Cache, address: u64, tag: u64): usize {
  let sizes = c.sizes;
  while (sizes != 0) {
    const entry = find(c, keyOf(address, 12 + <u32>ctz(sizes)), tag);
    if (entry != 0) return entry;
    sizes &= sizes - 1;
  }
  return 0;
}

// ---- filling and emptying


function drop(c: Cache, entry: usize): void {
  const key = load<u64>(entry);
  const tag = load<u64>(entry, 8);
  count(c, key, -1);
  if (tag & TAG_GLOBAL) c.globals -= 1;
  if (tag >> 16 != TAG_PLAIN) c.odd -= 1;
  c.live -= 1;
  if (c.links != 0) {
    const number = numberOf(c, entry);
    chainRemove(c, number, key, tag);
    listRemove(c, number);
    store<u32>(link(c, number), c.free);
    c.free = number + 1;
  }
  store<u64>(entry, 0, 8);
}

function dropSet(c: Cache, set: u32): void {
  for (let way: u32 = 0; way < c.ways; way++) {
    const entry = entryAt(c, set * c.ways + way);
    if (load<u64>(entry, 8) == 0) continue;
    drop(c, entry);
    c.evictions += 1;
  }
}

function roomInSet(c: Cache, set: u32): usize {
  const first = entryAt(c, set * c.ways);
  for (let way: u32 = 0; way < c.ways; way++) {
    const entry = first + way * CACHE_ENTRY_BYTES;
    if (load<u64>(entry, 8) == 0) return entry;
  }
  if (c.policy == POLICY_CLEAR) {
    dropSet(c, set);
    return first;
  }
  let victim: u32 = 0;
  if (c.policy == POLICY_PLRU) victim = treeVictim(c, set);
  else if (c.policy == POLICY_RANDOM) victim = nextRandom(c) % c.ways;
  else {
    let least: u32 = 0xffff_ffff;
    for (let way: u32 = 0; way < c.ways; way++) {
      const stamp = load<u32>(first + way * CACHE_ENTRY_BYTES, offsetof<Entry>("stamp"));
      if (stamp < least) {
        least = stamp;
        victim = way;
      }
    }
  }
  const entry = first + victim * CACHE_ENTRY_BYTES;
  drop(c, entry);
  c.evictions += 1;
  return entry;
}

// an indexed cache has one set
function roomIndexed(c: Cache): usize {
  if (c.free == 0) {
    if (c.policy == POLICY_CLEAR) dropSet(c, 0);
    else {
      let victim = c.oldest - 1;
      if (c.policy == POLICY_PLRU) victim = treeVictim(c, 0);
      else if (c.policy == POLICY_RANDOM) victim = nextRandom(c) % c.capacity;
      drop(c, entryAt(c, victim));
      c.evictions += 1;
    }
  }
  const number = c.free - 1;
  c.free = load<u32>(link(c, number));
  return entryAt(c, number);
}

/** Entry for a key and tag that are not present, made by evicting if need be; value and meta are the caller's. */
export function insert(c: Cache, key: u64, tag: u64): usize {
  const entry = c.links != 0 ? roomIndexed(c) : roomInSet(c, <u32>(key >> 6) & c.setMask);
  store<u64>(entry, key);
  store<u64>(entry, tag, 8);
  count(c, key, 1);
  c.live += 1;
  c.fills += 1;
  if (tag & TAG_GLOBAL) c.globals += 1;
  if (tag >> 16 != TAG_PLAIN) c.odd += 1;
  if (c.links != 0) {
    const number = numberOf(c, entry);
    const bucket = bucketOf(c, key, tag);
    store<u32>(link(c, number), load<u32>(bucket));
    store<u32>(bucket, number + 1);
    listAppend(c, number);
    if (c.policy == POLICY_PLRU) touchTree(c, entry);
  } else if (c.policy == POLICY_PLRU) touchTree(c, entry);
  else changetype<Entry>(entry).stamp = tick(c);
  return entry;
}

/** Drop one entry by invalidation. */
@inline
export function dropEntry(c: Cache, entry: Entry): void {
  drop(c, changetype<usize>(entry));
  c.invalidations += 1;
}

/** Drop every entry. */
export function invalidateAll(c: Cache): void {
  if (c.live == 0) return;
  for (let i: u32 = 0; i < c.capacity; i++) {
    const entry = entryAt(c, i);
    if (load<u64>(entry, 8) == 0) continue;
    drop(c, entry);
    c.invalidations += 1;
  }
}

/** Drop entries whose tag agrees with `tag` in the bits of `mask`. */
export function invalidateTagged(c: Cache, tag: u64, mask: u64): void {
  if (c.live == 0) return;
  for (let i: u32 = 0; i < c.capacity; i++) {
    const entry = entryAt(c, i);
    const has = load<u64>(entry, 8);
    if (has == 0 || (has & mask) != (tag & mask)) continue;
    drop(c, entry);
    c.invalidations += 1;
  }
}

/** Pages that are probed one by one before a scan of the whole cache is the cheaper way. */
const PROBE_LIMIT: u64 = 32;

/** Drop entries that overlap [first, last] and whose tag agrees with `tag` in the bits of `mask`. */
export function invalidateRange(c: Cache, tag: u64, mask: u64, first: u64, last: u64): void {
  if (c.live == 0) return;
  // with the whole tag known, each page of the range can be looked up
  if (mask == 0xffff_ffff_ffff_ffff && last - first < PROBE_LIMIT << 12) {
    let sizes = c.sizes;
    while (sizes != 0) {
      const lg2 = 12 + <u32>ctz(sizes);
      const end = last >> lg2;
      for (let page = first >> lg2; page <= end; page++) {
        const entry = peek(c, (page << 6) | (lg2 - 12), tag);
        if (entry == 0) continue;
        drop(c, entry);
        c.invalidations += 1;
      }
      sizes &= sizes - 1;
    }
    return;
  }
  for (let i: u32 = 0; i < c.capacity; i++) {
    const entry = entryAt(c, i);
    const has = load<u64>(entry, 8);
    if (has == 0 || (has & mask) != (tag & mask)) continue;
    const key = load<u64>(entry);
    const lg2 = 12 + (key & 63);
    const start = (key >> 6) << lg2;
    if (start > last || start + ((<u64>1 << lg2) - 1) < first) continue;
    drop(c, entry);
    c.invalidations += 1;
  }
}

/**
 * Drop entries whose 4 KiB page number agrees with `page` in the low 8 bits left by `mask`: what QEMU did before 8.0,
 * where the mask of a page-selective invalidation had 8 bits.
 */
export function invalidateLow8(c: Cache, tag: u64, mask: u64, page: u64, am: u32): void {
  const compared = (0xff << am) & 0xff;
  for (let i: u32 = 0; i < c.capacity; i++) {
    const entry = entryAt(c, i);
    const has = load<u64>(entry, 8);
    if (has == 0 || (has & mask) != (tag & mask)) continue;
    if ((((load<u64>(entry) >> 6) ^ page) & compared) != 0) continue;
    drop(c, entry);
    c.invalidations += 1;
  }
}

/** Set up an empty cache over zeroed memory: entries, then links and buckets when indexed, then pseudo-LRU bits. */
export function setUp(
  pointer: usize,
  sets: u32,
  ways: u32,
  policy: u32,
  seed: u32,
  entries: usize,
  buckets: u32,
): void {
  const c = cacheOf(pointer);
  c.entries = <u32>entries;
  c.setMask = sets - 1;
  c.ways = ways;
  c.policy = policy;
  c.capacity = sets * ways;
  c.random = (seed * 0x9e3779b9) | 1;
  let next = <u32>entries + c.capacity * CACHE_ENTRY_BYTES;
  if (sets == 1 && ways > <u32>CACHE_LINEAR_WAYS) {
    c.links = next;
    next += c.capacity * CACHE_LINK_BYTES;
    c.buckets = next;
    c.bucketMask = buckets - 1;
    next += buckets << 2;
    for (let i: u32 = 0; i < c.capacity; i++) store<u32>(link(c, i), i + 1 < c.capacity ? i + 2 : 0);
    c.free = 1;
  }
  if (policy == POLICY_PLRU) c.trees = next;
}
