// IBM PCI host bridge (IODA2, IODA3) as PAPR machines have it: RTT (RID to partitionable endpoint), two TVEs for each PE,
// chosen by bit 59 of the DMA address, and the PE state table. All of them are big-endian; the TVT, on the chip there,
// lies in memory here. Requests with PASID are not known.
//
//   RTT:  2 bytes a RID: PE number
//   TVT:  16 bytes a PE: TVE of the lower half, of the upper half (papr-tve.ts)
//   PEST: 16 bytes a PE: PESTA, PESTB; bit 63 of PESTB: DMA is stopped
//
// Registers: RTT (63: enabled), TVT, PEST (0: none), PES (number of PEs), CONTROL (PAPR_STOPS, PAPR_CHANGES).
import { invalidateAll } from "../cache/assoc";
import { makeTag, TAG_SECOND } from "../cache/tag";
import { SELECT } from "../format/tce";
import { Geometry } from "../format/contract";
import {
  ACCESS_WRITE,
  CACHE_CONTEXT,
  EDIT_FORMAT,
  EDIT_NO_FRAME,
  EDIT_OK,
  EDIT_RANGE,
  NO_PASID,
  OUTCOME_ACCESS_ERROR,
  OUTCOME_ADDRESS_SIZE,
  OUTCOME_NO_READ,
  OUTCOME_NO_WRITE,
  OUTCOME_OUTPUT_SIZE,
  OUTCOME_POISON,
  PAPR_CHANGES,
  PAPR_CONTROL,
  PAPR_PES,
  PAPR_PEST,
  PAPR_RTT,
  PAPR_STOPS,
  PAPR_TVT,
  RESULT_ENTRY,
  RESULT_ENTRY_ADDRESS,
  ROUTE_BLOCKED,
  ROUTE_BYPASS,
  ROUTE_BYTES,
  ROUTE_SECOND,
  STAGE_SECOND,
  STATUS_INTERRUPT,
  STATUS_TRANSLATED,
  TCE_CHANGES,
} from "../layout";
import { allocate, framePointer, NO_FRAME } from "../memory/frames";
import { Engine, engine, entryPointer, storePhysical } from "../memory/physical";
import { cacheAt, cachePointer, forgetLast, priv, register, setRegister, Walk, walkOf } from "../unit";
import { DECODED, DETOUR_BYPASS, DeviceTables, tablePointer } from "./contract";
import { decodeTve, encodeTve, HALF_REAL, HALF_TABLE, realTve } from "./papr-tve";
import { Route, secondStage, spareStage } from "./route";
import { WALKER_TCE } from "./walkers";

// IODA3 "RTT", "PEST"; address bits as in its "DMA" chapter
const ENABLED: u64 = 1 << 63;
const STOPPED: u64 = 1 << 63; // PESTB
/** bits above are of interrupts (bit 60), or nothing */
const DMA_BITS: u32 = 60;
const HIGH_INTERRUPT: u64 = 1;

// ---- why a request is refused: the numbers are the engine's own
const NO_PE: u32 = 1; // the RTT is off, cannot be read, or names a PE that is not there
const PE_STOPPED: u32 = 2;
export const WITH_PASID: u32 = 3; // or another request that the bridge does not know
const NO_WINDOW: u32 = 4; // the TVE is not valid, or its real-mode range ends before
const BEYOND_TABLE: u32 = 5;
const TCE_ABSENT: u32 = 6;
const READ_REFUSED: u32 = 7;
const WRITE_REFUSED: u32 = 8;
const TCE_UNREADABLE: u32 = 9;
const PE_UNREADABLE: u32 = 10; // its TVEs or its state
const TCE_ADDRESS: u32 = 11; // wider than the machine's

// ---- the engine's own Route.bits: 1:0 HALF_* of the lower half, 3:2 of the upper one; Route.domain: PE
const BOTH_TABLES: u32 = HALF_TABLE | (HALF_TABLE << 2);

@inline
function halfOf(route: Route, address: u64): u32 {
  return route.bits >> (address & SELECT ? 2 : 0) & 3;
}

@inline
export function halfStage(route: Route, address: u64): Geometry {
  return address & SELECT ? spareStage(route) : secondStage(route);
}

/** A big-endian doubleword of the unit's tables. */
@inline
function tableWord(pointer: usize): u64 {
  return bswap<u64>(load<u64>(pointer));
}

/** No TCE decided. */
function outOfWindow(unit: usize, address: u64): u32 {
  const walk = walkOf(unit, 0);
  walk.outcome = OUTCOME_ADDRESS_SIZE;
  walk.stage = STAGE_SECOND;
  walk.level = 0;
  walk.entry = 0;
  walk.entryAddress = 0;
  walk.address = address;
  return NO_WINDOW;
}

@unmanaged @final
export class Papr extends DeviceTables {
  // messages of 64 bits: bit 60 of the address
  @inline intercept(unit: usize, rid: u32, pasid: u32, address: u64, access: u32): u32 {
    return address >> DMA_BITS == HIGH_INTERRUPT && pasid == NO_PASID && access & ACCESS_WRITE ? STATUS_INTERRUPT : STATUS_TRANSLATED;
  }

  decodeDevice(m: Engine, unit: usize, rid: u32, device: usize): u32 {
    const route = changetype<Route>(device);
    memory.fill(device, 0, ROUTE_BYTES);
    const rtt = register(unit, PAPR_RTT);
    if (!(rtt & ENABLED)) return NO_PE;
    const at = (rtt & ~ENABLED & ~0xfff) + (<u64>(rid & 0xffff) << 1);
    let pointer = tablePointer(m, unit, at & ~7, 8, 2);
    if (pointer == 0) return NO_PE;
    const pe = <u32>bswap<u16>(load<u16>(pointer + <usize>(at & 7)));
    if (<u64>pe >= register(unit, PAPR_PES)) return NO_PE;
    route.domain = pe;
    const pest = register(unit, PAPR_PEST);
    if (pest != 0) {
      pointer = tablePointer(m, unit, pest + (<u64>pe << 4) + 8, 8, 1);
      if (pointer == 0) return PE_UNREADABLE;
      if (tableWord(pointer) & STOPPED) return PE_STOPPED;
    }
    const tvt = register(unit, PAPR_TVT) + (<u64>pe << 4);
    pointer = tablePointer(m, unit, tvt, 8, 0);
    if (pointer == 0) return PE_UNREADABLE;
    const lower = decodeTve(tableWord(pointer), secondStage(route));
    pointer = tablePointer(m, unit, tvt + 8, 8, 0);
    if (pointer == 0) return PE_UNREADABLE;
    const upper = decodeTve(tableWord(pointer), spareStage(route));
    if (register(unit, PAPR_CONTROL) & PAPR_CHANGES) {
      secondStage(route).flags = TCE_CHANGES;
      spareStage(route).flags = TCE_CHANGES;
    }
    route.bits = lower | (upper << 2);
    route.type = ROUTE_SECOND;
    route.walker = WALKER_TCE;
    route.tag = makeTag(pe, 0, TAG_SECOND);
    return DECODED;
  }

  @inline effectivePasid(unit: usize, device: usize, pasid: u32): u32 { return NO_PASID; }
  @inline refuseUnit(unit: usize, rid: u32, pasid: u32): u32 { return pasid == NO_PASID ? DECODED : WITH_PASID; }
  @inline plain(route: Route): bool { return route.bits == BOTH_TABLES; }

  @inline detour(unit: usize, route: Route, pasid: u32, address: u64, access: u32): u32 {
    if (halfOf(route, address) != HALF_REAL || address >> DMA_BITS != 0) return STATUS_TRANSLATED;
    const g = halfStage(route, address);
    const low = address & ~SELECT;
    return low >= g.root && low < g.extra ? DETOUR_BYPASS : STATUS_TRANSLATED;
  }
  @inline bypassAddress(unit: usize, address: u64): u64 { return address & ~SELECT; }
  // what a real-mode half did not pass is out of its range
  @inline refuse(unit: usize, route: Route, pasid: u32, address: u64, access: u32): u32 {
    return halfOf(route, address) == HALF_TABLE ? DECODED : outOfWindow(unit, address);
  }

  @inline code(unit: usize, route: Route, walk: Walk, access: u32): u32 {
    const outcome = walk.outcome;
    if (outcome == OUTCOME_ADDRESS_SIZE) return BEYOND_TABLE;
    if (outcome == OUTCOME_NO_READ) return READ_REFUSED;
    if (outcome == OUTCOME_NO_WRITE) return WRITE_REFUSED;
    if (outcome == OUTCOME_ACCESS_ERROR || outcome == OUTCOME_POISON) return TCE_UNREADABLE;
    return outcome == OUTCOME_OUTPUT_SIZE ? TCE_ADDRESS : TCE_ABSENT;
  }

  /** PAPR_STOPS: the PE that faulted makes no more DMA until its state is cleared, and context entries are dropped with it. */
  reportFault(unit: usize, found: usize, pasid: u32, code: u32, address: u64, result: usize): void {
    const pest = register(unit, PAPR_PEST);
    if (found == 0 || pest == 0 || !(register(unit, PAPR_CONTROL) & PAPR_STOPS)) return;
    const m = engine(priv(unit).engine);
    const at = pest + (<u64>changetype<Route>(found).domain << 4) + 8;
    const pointer = entryPointer(m, at, 8);
    if (pointer != 0) storePhysical(m, at, 8, load<u64>(pointer) | bswap<u64>(STOPPED));
    forgetLast(unit);
    const contexts = cachePointer(unit, CACHE_CONTEXT);
    if (contexts != 0) invalidateAll(cacheAt(contexts));
  }

  /** Big-endian: 0 RID, 2 code, 4 one for a write, 5 zero; 8 DMA address; 16 address of the TCE that decided, 24 the TCE. */
  record(unit: usize, slot: usize, rid: u32, pasid: u32, code: u32, address: u64, access: u32, result: usize): void {
    store<u16>(slot, bswap<u16>(<u16>rid));
    store<u16>(slot, bswap<u16>(<u16>code), 2);
    store<u8>(slot, access & ACCESS_WRITE ? 1 : 0, 4);
    store<u64>(slot, bswap<u64>(address), 8);
    store<u64>(slot, bswap<u64>(load<u64>(result, RESULT_ENTRY_ADDRESS)), 16);
    store<u64>(slot, bswap<u64>(load<u64>(result, RESULT_ENTRY)), 24);
  }
}

// ---- the driver's side of the same words

/** The engine's own: lg2 frames of a table of 2 or 16 bytes an entry. */
const RTT_ORDER: u32 = 5;

@inline
function orderFor(bytes: u64): u32 {
  return bytes <= 4096 ? 0 : 52 - <u32>clz(bytes - 1);
}

/**
 * Lead a requester to PE `domain`, and PE `domain` to a table of the lower half, or pass-through; blocked leads it to PE 0,
 * which is nobody's. RTT and TVT are made when they are needed. EDIT_*. Caches are the caller's.
 */
export function setPaprRoute(m: Engine, unit: usize, rid: u32, type: u32, domain: u32, geometry: usize): u32 {
  const pes = register(unit, PAPR_PES);
  if (type != ROUTE_BLOCKED && type != ROUTE_BYPASS && type != ROUTE_SECOND) return EDIT_FORMAT;
  if (type != ROUTE_BLOCKED && (domain == 0 || <u64>domain >= pes)) return EDIT_RANGE;
  if (register(unit, PAPR_TVT) == 0) {
    const made = allocate(m, orderFor(pes << 4));
    if (made == NO_FRAME) return EDIT_NO_FRAME;
    setRegister(unit, PAPR_TVT, made);
  }
  if (!(register(unit, PAPR_RTT) & ENABLED)) {
    const made = allocate(m, RTT_ORDER);
    if (made == NO_FRAME) return EDIT_NO_FRAME;
    setRegister(unit, PAPR_RTT, made | ENABLED);
  }
  const rte = framePointer(m, register(unit, PAPR_RTT) & ~ENABLED) + (<usize>(rid & 0xffff) << 1);
  if (type == ROUTE_BLOCKED) {
    store<u16>(rte, 0);
    return EDIT_OK;
  }
  const tve = type == ROUTE_BYPASS ? realTve() : encodeTve(changetype<Geometry>(geometry));
  const at = framePointer(m, register(unit, PAPR_TVT)) + (<usize>domain << 4);
  store<u64>(at, bswap<u64>(tve));
  store<u64>(at, 0, 8);
  store<u16>(rte, bswap<u16>(<u16>domain));
  return EDIT_OK;
}
