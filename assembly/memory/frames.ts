// Frames for kernel-built tables: blocks of 2^order 4 KiB frames, naturally aligned, zeroed when handed out.
// Free blocks of one order are a list through the frames' meta words; a used block's meta word counts the table
// entries in use, so that a table page that empties can be returned without looking at it.
import { FRAME_META_BYTES } from "../layout";
import { Engine } from "./physical";

/** No block: orders are used up, or a failure was asked for. */
export const NO_FRAME: u64 = 0xffff_ffff_ffff_ffff;

const ORDERS: u32 = 8;
const FREE = offsetof<Engine>("frameFree0");

@inline
function listHead(m: Engine, order: u32): usize {
  return changetype<usize>(m) + FREE + (order << 2);
}

@inline
function meta(m: Engine, frame: u32): usize {
  return <usize>m.frameMeta + frame * FRAME_META_BYTES;
}

function push(m: Engine, frame: u32, order: u32): void {
  const head = listHead(m, order);
  store<u32>(meta(m, frame), load<u32>(head));
  store<u32>(head, frame + 1);
}

/** `count` allocations pass, frames or the host's own: true when one of them is refused on purpose. */
export function refuses(m: Engine, count: u32): bool {
  m.allocations += count;
  if (m.failAfter == 0) return false;
  if (m.failAfter <= count) {
    m.failAfter = 0;
    return true;
  }
  m.failAfter -= count;
  return false;
}

/** Physical address of a zeroed block, or NO_FRAME. */
export function allocate(m: Engine, order: u32): u64 {
  if (refuses(m, 1 << order)) return NO_FRAME;
  let frame: u32 = 0xffff_ffff;
  for (let from = order; from < ORDERS; from++) {
    const head = listHead(m, from);
    const first = load<u32>(head);
    if (first == 0) continue;
    frame = first - 1;
    store<u32>(head, load<u32>(meta(m, frame)));
    while (from > order) {
      from--;
      push(m, frame + (1 << from), from);
    }
    break;
  }
  if (frame == 0xffff_ffff) {
    const mask: u32 = (1 << order) - 1;
    const aligned = (m.frameNext + mask) & ~mask;
    if (aligned + mask >= m.frameCount || order >= ORDERS) return NO_FRAME;
    while (m.frameNext < aligned) {
      push(m, m.frameNext, 0);
      m.frameNext += 1;
    }
    frame = aligned;
    m.frameNext = aligned + mask + 1;
  }
  m.frameUsed += 1 << order;
  store<u32>(meta(m, frame), 0);
  memory.fill(<usize>m.framePointer + (<usize>frame << 12), 0, <usize>4096 << order);
  return m.frameStart + (<u64>frame << 12);
}

export function release(m: Engine, address: u64, order: u32): void {
  m.frameUsed -= 1 << order;
  if (m.failAfter != 0) m.failAfter += 1 << order;
  push(m, <u32>((address - m.frameStart) >> 12), order);
}

/** Frames that can be handed out one at a time. A failure that was asked for is a pool with that much left. */
export function available(m: Engine): u32 {
  const free = m.frameCount - m.frameUsed;
  return m.failAfter != 0 ? min(free, m.failAfter - 1) : free;
}

/** Whether `count` frames can be had, one at a time. A failure that was asked for is over with the edit that it refuses. */
export function enough(m: Engine, count: u32): bool {
  if (count <= available(m)) return true;
  m.failAfter = 0;
  return false;
}

/** Pointer to the count of entries in use of the block at `address`. */
@inline
export function liveCount(m: Engine, address: u64): usize {
  return meta(m, <u32>((address - m.frameStart) >> 12));
}

@inline
export function framePointer(m: Engine, address: u64): usize {
  return <usize>m.framePointer + <usize>(address - m.frameStart);
}
