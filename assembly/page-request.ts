// Page requests (PCIe PRI 10.4): a unit's queue of the architecture's own records, and the groups that wait for their
// response. A device asks for one page at a time, so a group is one request, the last of its group.
import { AtsRules } from "./device/ats-rules";
import { atsOf, Ats } from "./device-tlb";
import { GROUP_BYTES, NO_GROUP, NO_PASID, PAGE_REQUEST_BYTES, RESPONSE_FAILURE, RESPONSE_SUCCESS } from "./layout";

const FREE: u32 = 0;
const WAITS: u32 = 1;
const REFUSED: u32 = 2; // the response was no success: the device hears of it with its next request

@unmanaged @final
class Group {
  page: u64;
  rid: u32;
  pasid: u32;
  state: u32;
}

@inline
function groupAt(ats: Ats, index: u32): Group {
  if (offsetof<Group>() > <usize>GROUP_BYTES) ERROR("GROUP_BYTES");
  return changetype<Group>(<usize>ats.groups + index * GROUP_BYTES);
}

/** Slot for the next record, zeroed; 0 when the queue is full. */
function nextRequest(ats: Ats): usize {
  if (ats.ringUsed == ats.ringCapacity) {
    ats.lost += 1;
    return 0;
  }
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

/** What became of a page request. */
export const PAGE_WAITS: u32 = 0; // the group is in `pageGroup`
export const PAGE_REFUSED: u32 = 1; // it will not come

/**
 * A device wants a page. PAGE_WAITS and the group at `result` (RESULT_GROUP's place is the caller's), NO_GROUP when the
 * hardware has answered by itself: the queue, or the device's allowance of requests, is used up.
 */
export function requestPage<A extends AtsRules>(
  unit: usize, rid: u32, pasid: u32, address: u64, access: u32, group: usize,
): u32 {
  const a = changetype<A>(0);
  const ats = atsOf(unit);
  const page = address >> 12;
  let free = NO_GROUP;
  let spent = NO_GROUP;
  for (let i: u32 = 0; i < ats.groupCount; i++) {
    const g = groupAt(ats, i);
    if (g.state == FREE) {
      if (free == <u32>NO_GROUP) free = i;
      continue;
    }
    if (g.rid == rid && g.pasid == pasid && g.page == page) {
      if (g.state == WAITS) {
        store<u32>(group, i);
        return PAGE_WAITS;
      }
      g.state = FREE;
      return PAGE_REFUSED;
    }
    if (g.state == REFUSED) spent = i;
  }
  // nobody came back for that one
  if (free == <u32>NO_GROUP) free = spent;
  store<u32>(group, NO_GROUP);
  if (free == <u32>NO_GROUP) {
    ats.lost += 1;
    return PAGE_WAITS;
  }
  const slot = nextRequest(ats);
  if (slot == 0) return a.overflowResponse(unit) == RESPONSE_FAILURE ? PAGE_REFUSED : PAGE_WAITS;
  const g = groupAt(ats, free);
  g.page = page;
  g.rid = rid;
  g.pasid = pasid;
  g.state = WAITS;
  a.recordPageRequest(unit, slot, rid, pasid, address, access, free);
  store<u32>(group, free);
  return PAGE_WAITS;
}
