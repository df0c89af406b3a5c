// The trace of one translation: a record for each memory reference, answering cache and walk, in order. Written only
// while `explain` of index.ts has given the engine a buffer.
import {
  TRACE_ADDRESS,
  TRACE_BYTES,
  TRACE_DETAIL,
  TRACE_GEOMETRY,
  TRACE_LEVEL,
  TRACE_SIZE,
  TRACE_STAGE,
  TRACE_VALUE,
  TRACE_WALK,
  TRACE_WHAT,
} from "./layout";
import { Geometry } from "./format/contract";
import { Engine } from "./memory/physical";
import { Walk } from "./unit";

/** The next record (TRACE_* in layout.ts); what finds the buffer full is left out. */
export function note(m: Engine, what: u32, stage: u32, level: u32, address: u64, value: u64, bytes: u32, geometry: usize, detail: u32): void {
  if (m.traceLength == m.traceCapacity) return;
  const at = <usize>m.trace + m.traceLength * TRACE_BYTES;
  m.traceLength += 1;
  store<u64>(at, address, TRACE_ADDRESS);
  store<u64>(at, value, TRACE_VALUE);
  store<u32>(at, what, TRACE_WHAT);
  store<u32>(at, stage, TRACE_STAGE);
  store<u32>(at, level, TRACE_LEVEL);
  store<u32>(at, bytes, TRACE_SIZE);
  store<u32>(at, <u32>geometry, TRACE_GEOMETRY);
  store<u32>(at, detail, TRACE_DETAIL);
}

/** A walk of a table starts. */
export function noteWalk(m: Engine, walk: Walk, g: Geometry): void {
  note(m, TRACE_WALK, walk.stage, g.top, walk.address, g.root, 0, changetype<usize>(g), 0);
}

/** A reference to the entry that the walk has reached. */
export function noteEntry(m: Engine, walk: Walk, g: Geometry, what: u32, entry: u64, bytes: u32, detail: u32): void {
  note(m, what, walk.stage, walk.level, walk.entryAddress, entry, bytes, changetype<usize>(g), detail);
}
