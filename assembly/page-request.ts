// Page requests (PCIe PRI 10.4): a unit's queue of the architecture's own records, and the groups that wait for their
// response. The requests of a group have its index, the last of them says so, and one response answers all.
import { AtsRules } from "./device/ats-rules";
import { atsOf, Ats } from "./device-tlb";
import { GROUP_BYTES, NO_GROUP, NO_PASID, PAGE_REQUEST_BYTES, RESPONSE_SUCCESS } from "./layout";

const FREE: u32 = 0;
const WAITS: u32 = 1;
const REFUSED: u32 = 2; // the response was no success: the device hears of it with its next request

@unmanaged @final
class Group {
  page: u64; // the first
  pages: u64; // bit i: the i-th page from there
  rid: u32;
  pasid: u32;
  state: u32;
}

@inline
function groupAt(ats: Ats, index: u32): Group {
  if (offsetof<Group>() > <usize>GROUP_BYTES) ERROR("GROUP_BYTES");
  return changetype<Group>(<usize>ats.groups + index * GROUP_BYTES);
}

/** A request that has no place; always 0. */
function lose(ats: Ats): usize {
  ats.lost += 1;
  return 0;
}

/** Slot for the next record, zeroed; 0 when the queue is full. */
function nextRequest(ats: Ats): usize {
  if (ats.ringUsed == ats.ringCapacity) return lose(ats);
  let at = ats.ringHead + ats.ringUsed;
  if (at >= ats.ringCapacity) at -= ats.ringCapacity;
  ats.ringUsed += 1;
  ats.queued += 1;
  const slot = <usize>ats.ring + at * PAGE_REQUEST_BYTES;
  memory.fill(slot, 0, PAGE_REQUEST_BYTES);
  return slot;
}

/** Pointer to the oldest record, which leaves the queue; 0 when there is none. */
export function takePageRequest(unit: usize): usize {
  const ats = atsOf(unit);
  if (ats.ringUsed == 0) return 0;
  const slot = <usize>ats.ring + ats.ringHead * PAGE_REQUEST_BYTES;
  ats.ringHead = ats.ringHead + 1 == ats.ringCapacity ? 0 : ats.ringHead + 1;
  ats.ringUsed -= 1;
  return slot;
}

/**
 * A Page Request Group Response: `group` of a requester, `pasid` NO_PASID when the response has none (then the group's
 * own does not matter). RESPONSE_* or another code, which counts as a failure. False when no such group waits.
 */
export function respondGroup(unit: usize, rid: u32, pasid: u32, group: u32, code: u32): bool {
  const ats = atsOf(unit);
  if (group >= ats.groupCount) return false;
  const g = groupAt(ats, group);
  if (g.state != WAITS || g.rid != rid || (pasid != NO_PASID && g.pasid != pasid)) return false;
  g.state = code == RESPONSE_SUCCESS ? FREE : REFUSED;
  return true;
}

/** Group that a page belongs to, of those that wait or were refused; NO_GROUP when none does. */
export function groupOf(unit: usize, rid: u32, pasid: u32, address: u64): u32 {
  const ats = atsOf(unit);
  const page = address >> 12;
  for (let i: u32 = 0; i < ats.groupCount; i++) {
    const g = groupAt(ats, i);
    if (g.state == FREE || g.rid != rid || g.pasid != pasid) continue;
    const at = page - g.page;
    if (at < 64 && (g.pages >> at & 1) != 0) return i;
  }
  return NO_GROUP;
}

/** The device hears that a page of the group was refused, once for each page; false: the group waits still. */
export function takeRefusal(unit: usize, group: u32, address: u64): bool {
  const g = groupAt(atsOf(unit), group);
  if (g.state == WAITS) return false;
  g.pages &= ~((<u64>1) << ((address >> 12) - g.page));
  if (g.pages == 0) g.state = FREE;
  return true;
}

/** Index that no group has, or else one that nobody came back to; NO_GROUP when all wait. */
function freeGroup(ats: Ats): u32 {
  let spent: u32 = NO_GROUP;
  for (let i: u32 = 0; i < ats.groupCount; i++) {
    const state = groupAt(ats, i).state;
    if (state == FREE) return i;
    if (state == REFUSED) spent = i;
  }
  return spent;
}

/** What became of a page request. */
export const PAGE_WAITS: u32 = 0; // the group is in `group`
const PAGE_REFUSED: u32 = 1; // it will not come

/**
 * A device asks for pages: bit i of `pages` the i-th from that of the address, bit 0 set. Pages that it has asked for
 * already stay with their group. PAGE_WAITS and the group at `group`; NO_GROUP when the hardware has answered by itself:
 * the queue, or the device's allowance of requests, is used up, and the device is to ask again.
 */
export function requestPages<A extends AtsRules>(
  unit: usize, rid: u32, pasid: u32, address: u64, access: u32, pages: u64, group: usize,
): u32 {
  const a = changetype<A>(0);
  const ats = atsOf(unit);
  address &= ~0xfff;
  for (let rest = pages & ~1; rest != 0; rest &= rest - 1) {
    if (groupOf(unit, rid, pasid, address + (ctz(rest) << 12)) != NO_GROUP) pages &= ~(rest & (0 - rest));
  }
  const index = freeGroup(ats);
  store<u32>(group, NO_GROUP);
  if (index == NO_GROUP) {
    ats.lost += 1;
    return PAGE_WAITS;
  }
  let queued = false;
  for (let rest = pages; rest != 0; rest &= rest - 1) {
    const last = (rest & (rest - 1)) == 0;
    // an overflow holds until software acknowledges it, so that nothing of a group follows what was lost of it
    const slot = a.overflowed(unit) ? lose(ats) : nextRequest(ats);
    queued = slot != 0;
    if (queued) a.recordPageRequest(unit, slot, rid, pasid, address + (ctz(rest) << 12), access, index, last);
    else a.overflow(unit);
  }
  // what is not the last of its group is dropped without an answer
  if (!queued) return a.overflowResponse(unit) == RESPONSE_SUCCESS ? PAGE_WAITS : PAGE_REFUSED;
  const g = groupAt(ats, index);
  g.page = address >> 12;
  g.pages = pages;
  g.rid = rid;
  g.pasid = pasid;
  g.state = WAITS;
  store<u32>(group, index);
  return PAGE_WAITS;
}
