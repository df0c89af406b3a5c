// What device tables decide for one requester: a route. Routes are what the context cache and the PASID cache hold.
import { Geometry } from "../format/contract";
import { DEVICE_ENTRY_BYTES, ROUTE_BYTES } from "../layout";

// ---- flags, the engine's own
export const ROUTE_QUIET: u32 = 1; // faults are not recorded (FPD and its like)
export const ROUTE_UNCACHED: u32 = 16; // a refusal that the PASID cache does not keep

@unmanaged @final
export class Route {
  type: u32; // ROUTE_* in layout.ts
  flags: u32;
  walker: u32; // which instantiated walk serves it (translate.ts)
  domain: u32;
  space: u32;
  bits: u32; // the device file's own
  tag: u64;
  extra: u64; // the device file's own
  outputLimit: u64; // bypass: first address that is refused, 0 = none
  secondTag: u64; // nested: tag of second-stage walk-cache entries
  // three geometries of GEOMETRY_BYTES follow
}

const FIRST: usize = 64; // the engine's own: Route is 64 bytes at most

@inline
export function firstStage(route: Route): Geometry {
  if (offsetof<Route>() > FIRST) ERROR("Route");
  if (FIRST + 3 * 64 > <usize>ROUTE_BYTES) ERROR("ROUTE_BYTES");
  return changetype<Geometry>(changetype<usize>(route) + FIRST);
}

@inline
export function secondStage(route: Route): Geometry {
  return changetype<Geometry>(changetype<usize>(route) + FIRST + 64);
}

/** A third geometry, the device file's own. */
@inline
export function spareStage(route: Route): Geometry {
  return changetype<Geometry>(changetype<usize>(route) + FIRST + 128);
}

/**
 * A device entry is the route of requests without PASID, then the device file's own words for its PASID table: 8-byte
 * slots, kept with the cached entry.
 */
@inline
export function entryWord(device: usize, index: u32): usize {
  if (DEVICE_ENTRY_BYTES < ROUTE_BYTES + 256) ERROR("DEVICE_ENTRY_BYTES");
  return device + ROUTE_BYTES + (index << 3);
}
