// One IOMMU unit: registers, caches, fault ring, counters.
import { Cache } from "./cache/assoc";
import {
  CACHE_KINDS,
  UNIT_BYTES,
  UNIT_FAULTS,
  UNIT_FAULTS_LOST,
  UNIT_PUBLIC_END,
  UNIT_REFERENCES,
  UNIT_REGISTERS,
} from "./layout";

/** Where and why a walk ended: one for each stage. */
@unmanaged @final
export class Walk {
  outcome: u32;
  stage: u32;
  level: u32;
  lg2: u32;
  permissions: u32;
  attributes: u32;
  references: u32;
  implicit: u32; // stage 2 on behalf of stage 1's own tables: 1 read, 2 A/D update
  pa: u64;
  entry: u64;
  entryAddress: u64;
  address: u64; // input of the walk
}

export const WALK_BYTES: usize = 64;

@unmanaged @final
export class Unit {
  translations: u64;
  faults: u64;
  faultsLost: u64;
  references0: u64; // UNIT_REFERENCES: 24 counters
}

// the private part, after the public counters
@unmanaged @final
class Private {
  engine: u32;
  arch: u32;
  flags: u32;
  index: u32;
  ring: u32;
  ringCapacity: u32;
  ringHead: u32; // next to drain
  ringUsed: u32;
  contextValues: u32;
  pasidValues: u32;
  scratchDevice: u32; // device entry and route when their cache is off
  scratchRoute: u32;
  lastKey: u64; // the requester of the last translation, and its route
  lastRoute: u32;
  lastCache: u32;
  globalTags: u32; // 1: the first stage may hold global pages
  ats: u32; // device-TLBs and page requests (device-tlb.ts)
}

const PRIVATE: usize = UNIT_PUBLIC_END;
const CACHES: usize = PRIVATE + 80;
const REGISTERS: usize = CACHES + CACHE_KINDS * 4;
const WALKS: usize = REGISTERS + UNIT_REGISTERS * 8;
const SPARE: usize = WALKS + 2 * WALK_BYTES;
const SPARE_BYTES: usize = 360;

@inline
export function priv(unit: usize): Private {
  if (offsetof<Unit>("faults") != UNIT_FAULTS) ERROR("UNIT_FAULTS");
  if (offsetof<Unit>("faultsLost") != UNIT_FAULTS_LOST) ERROR("UNIT_FAULTS_LOST");
  if (offsetof<Unit>("references0") != UNIT_REFERENCES) ERROR("UNIT_REFERENCES");
  if (offsetof<Private>() > 80) ERROR("Private");
  if (SPARE + SPARE_BYTES > <usize>UNIT_BYTES) ERROR("UNIT_BYTES");
  return changetype<Private>(unit + PRIVATE);
}

@inline
export function counters(unit: usize): Unit {
  return changetype<Unit>(unit);
}

/** Cache of a kind (CACHE_*), null pointer when the unit has none. */
@inline
export function cachePointer(unit: usize, kind: u32): usize {
  return load<u32>(unit + CACHES + (kind << 2));
}

@inline
export function setCache(unit: usize, kind: u32, pointer: usize): void {
  store<u32>(unit + CACHES + (kind << 2), <u32>pointer);
}

@inline
export function cacheAt(pointer: usize): Cache {
  return changetype<Cache>(pointer);
}

@inline
export function register(unit: usize, index: u32): u64 {
  return load<u64>(unit + REGISTERS + (index << 3));
}

@inline
export function setRegister(unit: usize, index: u32, value: u64): void {
  store<u64>(unit + REGISTERS + (index << 3), value);
}

@inline
export function walkOf(unit: usize, stage: u32): Walk {
  if (offsetof<Walk>() > WALK_BYTES) ERROR("Walk");
  return changetype<Walk>(unit + WALKS + <usize>stage * WALK_BYTES);
}

/** SPARE_BYTES of the architecture's own, zero at first. */
@inline
export function spareOf(unit: usize): usize {
  return unit + SPARE;
}

@inline
export function countReference(unit: usize, stage: u32, level: u32): void {
  const at = unit + UNIT_REFERENCES + (stage << 6) + (level << 3);
  store<u64>(at, load<u64>(at) + 1);
}

/** Forget the memoised requester: after anything that may change its route. */
@inline
export function forgetLast(unit: usize): void {
  priv(unit).lastRoute = 0;
}
