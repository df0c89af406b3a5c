// Commands of a unit: one that the host hands over, or the queue in memory, until it is empty or stops.
import { COMMAND_ADDRESS, COMMAND_BYTES, COMMAND_CODE, COMMAND_COUNT, COMMAND_DATA, COMMAND_DONE, COMMAND_ILLEGAL, COMMAND_INTERRUPT, COMMAND_STATUS, MEMORY_OK, QUEUE_BOUND, QUEUE_EMPTY, QUEUE_ERROR, QUEUE_OFF } from "../layout";
import { Engine, entryPointer, storePhysical } from "../memory/physical";
import { clearAnswer, CommandQueue, DONE } from "./contract";

/** Do one command, given as it lies in memory; a write that it asks for is the host's. COMMAND_*, and the answer in `result`. */
export function commandWith<Q extends CommandQueue>(m: Engine, unit: usize, q0: u64, q1: u64, q2: u64, q3: u64, result: usize): u32 {
  const q = changetype<Q>(0);
  clearAnswer(result);
  if (q.swapped(unit)) {
    q0 = bswap<u64>(q0);
    q1 = bswap<u64>(q1);
  }
  const code = q.execute(m, unit, q0, q1, q2, q3, result);
  const status: u32 = code == DONE ? COMMAND_DONE : COMMAND_ILLEGAL;
  store<u32>(result, status, COMMAND_STATUS);
  store<u32>(result, code, COMMAND_CODE);
  return status;
}

/** What a wait or fence asks for, done: DONE or the queue's error. */
@inline
function complete<Q extends CommandQueue>(m: Engine, unit: usize, result: usize): u32 {
  const q = changetype<Q>(0);
  const bytes = load<u32>(result, COMMAND_BYTES);
  if (bytes != 0 && storePhysical(m, load<u64>(result, COMMAND_ADDRESS), bytes, load<u64>(result, COMMAND_DATA)) != MEMORY_OK) return q.writeError(unit);
  if (load<u32>(result, COMMAND_INTERRUPT) != 0) q.interrupt(unit);
  return DONE;
}

/**
 * Take commands from the queue in memory, at most `bound`: QUEUE_*, their number at COMMAND_COUNT, an error's code at
 * COMMAND_CODE. An error leaves the head at its command and the registers as the architecture says. COMMAND_INTERRUPT is
 * 1 when one of them asked for an interrupt.
 */
export function processWith<Q extends CommandQueue>(m: Engine, unit: usize, bound: u32, result: usize): u32 {
  const q = changetype<Q>(0);
  let taken: u32 = 0;
  let interrupts: u32 = 0;
  let status: u32 = QUEUE_EMPTY;
  let code: u32 = DONE;
  clearAnswer(result);
  if (!q.running(unit)) status = QUEUE_OFF;
  else {
    code = q.wild(unit);
    const lg2 = q.entryLg2(unit);
    const words: u32 = 1 << (lg2 - 3);
    while (code == DONE && !q.empty(unit)) {
      if (taken == bound) {
        status = QUEUE_BOUND;
        break;
      }
      const at = q.base(unit) + (<u64>q.head(unit) << lg2);
      let q0: u64 = 0;
      let q1: u64 = 0;
      let q2: u64 = 0;
      let q3: u64 = 0;
      for (let i: u32 = 0; i < words; i++) {
        const pointer = entryPointer(m, at + (i << 3), 8);
        if (pointer == 0) {
          code = q.fetchError(unit);
          break;
        }
        const word = load<u64>(pointer);
        if (i == 0) q0 = word;
        else if (i == 1) q1 = word;
        else if (i == 2) q2 = word;
        else q3 = word;
      }
      if (code == DONE) {
        commandWith<Q>(m, unit, q0, q1, q2, q3, result);
        code = load<u32>(result, COMMAND_CODE);
      }
      if (code == DONE) code = complete<Q>(m, unit, result);
      if (code != DONE) {
        q.stop(unit, code, at);
        break;
      }
      interrupts |= load<u32>(result, COMMAND_INTERRUPT);
      taken += 1;
      q.advance(unit);
    }
    if (code != DONE) {
      status = QUEUE_ERROR;
      if (q.running(unit)) q.stop(unit, code, q.base(unit) + (<u64>q.head(unit) << lg2));
    }
  }
  store<u32>(result, status, COMMAND_STATUS);
  store<u32>(result, code, COMMAND_CODE);
  store<u32>(result, interrupts, COMMAND_INTERRUPT);
  store<u32>(result, taken, COMMAND_COUNT);
  return status;
}
