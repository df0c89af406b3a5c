// What an architecture's device tables are: how a requester is decoded to a route, and what its faults are called.
// translate.ts holds the path of a request; a device file reads its own structures and names its own codes.
//
// To add an architecture: one file that extends DeviceTables, one line in each switch of architectures.ts.
import { Engine, entryPointer } from "../memory/physical";
import { MEMORY_POISON, STAGE_TABLES, STATUS_TRANSLATED } from "../layout";
import { Walk, countReference } from "../unit";
import { Route, ROUTE_QUIET } from "./route";

/** Decode results that are no fault code. */
export const DECODED: u32 = 0;

/** With a fault code (0: a fault that has none): it is raised, but not recorded. */
export const NOT_RECORDED: u32 = 1 << 31;

/** Answer of `detour`: the address is not translated. */
export const DETOUR_BYPASS: u32 = 16;

/** A table word that could not be read: `m.refusal` says why. */
@inline
export function tablePointer(m: Engine, unit: usize, address: u64, bytes: u32, level: u32): usize {
  countReference(unit, STAGE_TABLES, level);
  return entryPointer(m, address, bytes);
}

@inline
export function poisoned(m: Engine): bool {
  return m.refusal == MEMORY_POISON;
}

@unmanaged
export class DeviceTables {
  /** STATUS_* of a request that never reaches the tables (interrupt ranges), or STATUS_TRANSLATED */
  @inline intercept(unit: usize, rid: u32, pasid: u32, address: u64, access: u32): u32 { return STATUS_TRANSLATED; }
  /**
   * Decode the device-table entry of a requester into a device entry: the route of its requests without PASID, and
   * words for decodePasid. DECODED or a fault code; flags of the route are set either way.
   */
  @inline decodeDevice(m: Engine, unit: usize, rid: u32, device: usize): u32 { return DECODED; }
  /** PASID that a request is looked up under; NO_PASID: the device entry's own route serves it */
  @inline effectivePasid(unit: usize, device: usize, pasid: u32): u32 { return pasid; }
  /** Decode a PASID-table entry into a route. DECODED or a fault code. */
  @inline decodePasid(m: Engine, unit: usize, device: usize, rid: u32, pasid: u32, route: Route): u32 { return DECODED; }
  /** the access as the architecture sees it (privilege may need a PASID) */
  @inline effectiveAccess(pasid: u32, access: u32): u32 { return access; }
  /** fault code of a unit that serves this request with no tables at all, or DECODED */
  @inline refuseUnit(unit: usize, rid: u32, pasid: u32): u32 { return DECODED; }
  /** the route neither passes through nor needs `routeAccess`, `detour` and `refuse`: the shortest path */
  @inline plain(route: Route): bool { return false; }
  /** the access as the requester's route sees it; what `effectiveAccess` made is passed in */
  @inline routeAccess(route: Route, pasid: u32, access: u32): u32 { return access; }
  /** after the tables, before any refusal: STATUS_INTERRUPT, DETOUR_BYPASS, or STATUS_TRANSLATED for neither */
  @inline detour(unit: usize, route: Route, pasid: u32, address: u64, access: u32): u32 { return STATUS_TRANSLATED; }
  /** output address of a bypass */
  @inline bypassAddress(unit: usize, address: u64): u64 { return address; }
  /** rights of a bypass, as ACCESS_* */
  @inline bypassPermissions(route: Route): u32 { return 7; }
  /** a fault of this route is raised but not recorded */
  @inline quiet(route: Route, code: u32): bool { return (route.flags & ROUTE_QUIET) != 0; }
  /** fault code for a request that the route refuses before any walk, or DECODED */
  @inline refuse(unit: usize, route: Route, pasid: u32, address: u64, access: u32): u32 { return DECODED; }
  /** fault code for an output address that may not be reached, or DECODED */
  @inline refuseOutput(unit: usize, route: Route, pa: u64, access: u32): u32 { return DECODED; }
  /** lg2 bytes that an IOTLB entry may hold of a leaf: no output that is refused lies in it, so that hits need no check */
  @inline cachedLg2(pa: u64, lg2: u32): u32 { return lg2; }
  /** the architecture's code for a walk that did not translate */
  @inline code(unit: usize, route: Route, walk: Walk, access: u32): u32 { return 1; }
  /** what the result says of the rights, when it is not what the IOTLB may grant: `seen` are the latter, as ACCESS_* */
  @inline rights(seen: u32, attributes: u32): u32 { return seen; }
  /** STATUS_* of a walk that translated; other than STATUS_TRANSLATED is not put into the IOTLB. May write RESULT_VALUE* */
  @inline landing(unit: usize, walk: Walk, result: usize): u32 { return STATUS_TRANSLATED; }
  /** the address that the IOTLB files an answer under (top bytes that are ignored) */
  @inline cachedAddress(route: Route, address: u64): u64 { return address; }
  /** tag of the IOTLB entry of a walk: the route's, or made global */
  @inline fillTag(tag: u64, walk: Walk): u64 { return tag; }
  /** write the architecture's own reported fields of a fault (RESULT_VALUE, RESULT_VALUE2); `found` is its route, or 0 */
  @inline reportFault(unit: usize, found: usize, pasid: u32, code: u32, address: u64, result: usize): void {}
  /** write the architecture's fault record into a slot of FAULT_SLOT_BYTES; walk is null for device-table faults */
  @inline record(unit: usize, slot: usize, rid: u32, pasid: u32, code: u32, address: u64, access: u32, result: usize): void {}
}
