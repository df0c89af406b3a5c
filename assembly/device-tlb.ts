// Device-TLBs: what each device of a unit keeps of the translations it was told (PCIe ATS 10.1). They belong to the
// devices, so that no invalidation of the IOMMU reaches them but an ATS Invalidate Request.
//
// A unit has a number of them, sized alike. A device takes one with its first request; when all are taken, the one that
// was taken first goes to the newcomer, empty. An entry is {key, tag, address told, rights ACCESS_*}.
import { Cache, Entry, findAddress, insert, invalidateAll, invalidateRange, keyOf, peek, setUp } from "./cache/assoc";
import { globalOf, makeTag, TAG_EXACT, TAG_FIRST, TAG_SECOND } from "./cache/tag";
import { ACCESS_PRIVILEGED, ATS_BYTES, ATS_DEVICE_BYTES, ATS_LOST, EVERY_DEVICE, EVERY_PASID, NO_PASID } from "./layout";
import { cacheAt, priv } from "./unit";

/** What a unit keeps for ATS and page requests (ATS_* in layout.ts). */
@unmanaged @final
export class Ats {
  queued: u64;
  lost: u64;
  devices: u32; // {RID + 1, cache} of each device-TLB
  deviceCount: u32;
  nextDevice: u32; // the one that was taken first
  ring: u32; // page-request queue (page-request.ts)
  ringCapacity: u32;
  ringHead: u32;
  ringUsed: u32;
  groups: u32;
  groupCount: u32;
}

@inline
export function atsOf(unit: usize): Ats {
  if (offsetof<Ats>() > <usize>ATS_BYTES) ERROR("ATS_BYTES");
  if (offsetof<Ats>("lost") != ATS_LOST) ERROR("ATS_LOST");
  return changetype<Ats>(<usize>priv(unit).ats);
}

export function openAts(unit: usize, record: usize, devices: usize, deviceCount: u32, ring: usize, ringCapacity: u32, groups: usize): void {
  priv(unit).ats = <u32>record;
  const ats = atsOf(unit);
  ats.devices = <u32>devices;
  ats.deviceCount = deviceCount;
  ats.ring = <u32>ring;
  ats.ringCapacity = ringCapacity;
  ats.groups = <u32>groups;
  ats.groupCount = ringCapacity;
}

export function openDeviceTlb(unit: usize, index: u32, pointer: usize, sets: u32, ways: u32, policy: u32, seed: u32, entries: usize, buckets: u32): void {
  setUp(pointer, sets, ways, policy, seed, entries, buckets);
  store<u32>(slotAt(atsOf(unit), index), <u32>pointer, 4);
}

@inline
function slotAt(ats: Ats, index: u32): usize {
  return <usize>ats.devices + index * ATS_DEVICE_BYTES;
}

/** Device-TLB of a requester; 0 when the unit has none. */
export function deviceTlbOf(unit: usize, rid: u32): usize {
  const ats = atsOf(unit);
  if (ats.deviceCount == 0) return 0;
  let free = ats.deviceCount;
  for (let i: u32 = 0; i < ats.deviceCount; i++) {
    const holder = load<u32>(slotAt(ats, i));
    if (holder == rid + 1) return load<u32>(slotAt(ats, i), 4);
    if (holder == 0 && free == ats.deviceCount) free = i;
  }
  if (free == ats.deviceCount) {
    free = ats.nextDevice;
    ats.nextDevice = free + 1 == ats.deviceCount ? 0 : free + 1;
  }
  const slot = slotAt(ats, free);
  store<u32>(slot, rid + 1);
  const pointer = <usize>load<u32>(slot, 4);
  invalidateAll(cacheAt(pointer));
  return pointer;
}

/** Entries of each PASID are apart, and those of requests without one; a privileged request's too (PCIe ATS 10.2.2). */
const TAG_PRIVILEGED: u64 = 1 << 38;

@inline
function tagOf(pasid: u32, privileged: bool): u64 {
  const tag = pasid == NO_PASID ? makeTag(0, 0, TAG_SECOND) : makeTag(0, pasid, TAG_FIRST);
  return privileged ? tag | TAG_PRIVILEGED : tag;
}

/** Entry that covers an address, 0 when there is none; counts nothing. */
export function lookUpDeviceTlb(c: Cache, pasid: u32, access: u32, address: u64): usize {
  const tag = tagOf(pasid, (access & ACCESS_PRIVILEGED) != 0);
  const entry = findAddress(c, address, tag);
  return entry == 0 && c.globals != 0 && pasid != NO_PASID ? findAddress(c, address, globalOf(tag)) : entry;
}

/** Keep a completion: 2^lg2 bytes around the address at `told`, with rights. */
export function fillDeviceTlb(c: Cache, pasid: u32, access: u32, address: u64, told: u64, lg2: u32, rights: u32, global: bool): void {
  let tag = tagOf(pasid, (access & ACCESS_PRIVILEGED) != 0);
  if (global && pasid != NO_PASID) tag = globalOf(tag);
  const key = keyOf(address, lg2);
  let entry = peek(c, key, tag);
  if (entry == 0) entry = insert(c, key, tag);
  changetype<Entry>(entry).value = told & ~((<u64>1 << lg2) - 1);
  changetype<Entry>(entry).meta = rights;
}

function dropTag(c: Cache, tag: u64, first: u64, last: u64): void {
  invalidateRange(c, tag, TAG_EXACT, first, last);
  invalidateRange(c, tag | TAG_PRIVILEGED, TAG_EXACT, first, last);
}

/**
 * An ATS Invalidate Request (PCIe ATS 10.3) of [first, last] to a device, or to EVERY_DEVICE. `pasid`: entries of a
 * PASID, with the global ones; NO_PASID: of requests without; EVERY_PASID (Global Invalidate): all.
 */
export function invalidateDeviceTlb(unit: usize, rid: u32, pasid: u32, first: u64, last: u64): void {
  const ats = atsOf(unit);
  for (let i: u32 = 0; i < ats.deviceCount; i++) {
    const slot = slotAt(ats, i);
    const holder = load<u32>(slot);
    if (holder == 0 || (rid != EVERY_DEVICE && holder != rid + 1)) continue;
    const c = cacheAt(<usize>load<u32>(slot, 4));
    if (pasid == EVERY_PASID) invalidateRange(c, 0, 0, first, last);
    else {
      const tag = tagOf(pasid, false);
      dropTag(c, tag, first, last);
      if (pasid != NO_PASID && c.globals != 0) dropTag(c, globalOf(tag), first, last);
    }
  }
}

/** Cache of the n-th device-TLB, for counters; 0 beyond the last. */
export function deviceTlbAt(unit: usize, index: u32): usize {
  const ats = atsOf(unit);
  return index < ats.deviceCount ? <usize>load<u32>(slotAt(ats, index), 4) : 0;
}
