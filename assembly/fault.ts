// The fault ring of a unit: the architecture's own records, the oldest first. A full ring keeps what it holds and
// counts what it lost, as a queue whose overflow bit is set does.
import { FAULT_SLOT_BYTES } from "./layout";
import { counters, priv } from "./unit";

/** Slot for the next record, zeroed; 0 when the ring is full. */
export function nextSlot(unit: usize): usize {
  const p = priv(unit);
  counters(unit).faults += 1;
  if (p.ringUsed == p.ringCapacity) {
    counters(unit).faultsLost += 1;
    return 0;
  }
  let at = p.ringHead + p.ringUsed;
  if (at >= p.ringCapacity) at -= p.ringCapacity;
  p.ringUsed += 1;
  const slot = <usize>p.ring + at * FAULT_SLOT_BYTES;
  memory.fill(slot, 0, FAULT_SLOT_BYTES);
  return slot;
}

/** Pointer to the oldest record, which leaves the ring; 0 when there is none. */
export function takeFault(unit: usize): usize {
  const p = priv(unit);
  if (p.ringUsed == 0) return 0;
  const slot = <usize>p.ring + p.ringHead * FAULT_SLOT_BYTES;
  p.ringHead = p.ringHead + 1 == p.ringCapacity ? 0 : p.ringHead + 1;
  p.ringUsed -= 1;
  return slot;
}
