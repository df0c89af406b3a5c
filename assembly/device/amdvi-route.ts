// The driver's side of the words that amdvi.ts reads: device table entries (48882 2.2.2.1) and GCR3 tables (2.2.6), made as
// they are needed, in frames of the engine. EDIT_*. Caches are the caller's to invalidate.
//
// Entry 0 of the GCR3 tables serves requests without PASID (GIOV), so no PASID's route can have it. All guest tables of a
// device have one number of levels, one host table and one domain.
import { Geometry } from "../format/contract";
import {
  AMD_V1_DIRTY,
  AMDVI_CONTROL,
  AMDVI_DEVICE_TABLE,
  AMDVI_FEATURES,
  AMDVI_SEGMENT,
  EDIT_FORMAT,
  EDIT_NO_FRAME,
  EDIT_OK,
  EDIT_RANGE,
  FORMAT_AMD_V1,
  FORMAT_AMD_V2,
  NO_PASID,
  ROUTE_BLOCKED,
  ROUTE_BYPASS,
  ROUTE_FIRST,
  ROUTE_NESTED,
  ROUTE_SECOND,
} from "../layout";
import { allocate, framePointer, liveCount, NO_FRAME, release } from "../memory/frames";
import { Engine } from "../memory/physical";
import { register, setRegister } from "../unit";
import { ADDRESS, GIO_SUP, GT_EN, GT_SUP } from "./amdvi";

// 2.2.2.1: 0 V, 1 TV, 8:7 HAD, 11:9 Mode, 54 GIOV, 55 GV, 57:56 GLX, 61 IR, 62 IW; 183:182 GuestPagingMode
const VALID: u64 = 3;
const HAD: u64 = 3 << 7;
const HOST: u64 = ADDRESS | HAD | 0xe00;
const GIOV: u64 = 1 << 54;
const GV: u64 = 1 << 55;
const RIGHTS: u64 = 3 << 61;

/** Pointer to the device table entry of a requester; 0 without frames. The table is made in 8 segments, each when it is needed. */
function entryOf(m: Engine, unit: usize, rid: u32): usize {
  let control = register(unit, AMDVI_CONTROL);
  if (register(unit, AMDVI_DEVICE_TABLE) == 0 && (control >> 34 & 7) == 0) {
    control |= <u64>3 << 34;
    setRegister(unit, AMDVI_CONTROL, control);
  }
  const bits = min(<u32>(control >> 34) & 7, <u32>3);
  const segment = (rid & 0xffff) >> (16 - bits);
  const index = segment == 0 ? AMDVI_DEVICE_TABLE : AMDVI_SEGMENT + segment - 1;
  if ((register(unit, index) & ADDRESS) == 0) {
    if (bits != 3) return 0;
    // 8192 entries of 32 bytes: 64 frames
    const made = allocate(m, 6);
    if (made == NO_FRAME) return 0;
    setRegister(unit, index, made | 63);
  }
  return framePointer(m, register(unit, index) & ADDRESS) + (<usize>(rid & (0xffff >> bits)) << 5);
}

/** Root of the GCR3 tables of an entry, out of its three places; 0 without. */
function rootOf(at: usize): u64 {
  const q0 = load<u64>(at);
  const q1 = load<u64>(at, 8);
  return q0 & GV ? (q0 >> 46 & 0x7000) | (q1 >> 1 & 0x7fff_8000) | (q1 >> 12 & 0x000f_ffff_8000_0000) : 0;
}

/** Words of a device; what it refuses while they change is everything. `root`: GCR3 tables, or 0. */
function writeEntry(at: usize, low: u64, domain: u32, root: u64, paging: u64): void {
  store<u64>(at, 3);
  store<u64>(at, <u64>(domain & 0xffff) | (root >> 15 & 0xffff) << 16 | root >> 31 << 43, 8);
  store<u64>(at, paging << 54, 16);
  store<u64>(at, 0, 24);
  store<u64>(at, low | (root >> 12 & 7) << 58);
}

/** Mode, root and HAD of a host table, or none. */
function hostWords(g: Geometry): u64 {
  if (changetype<usize>(g) == 0) return 0;
  return (g.root & ADDRESS) | (<u64>(g.top + 1) << 9) | (g.flags & AMD_V1_DIRTY ? HAD : 0);
}

// ---- GCR3 tables; the meta word of the first one counts the PASIDs that have a route

/** Pointer to the entry of a PASID, tables on the way made when `make`; 0: none, or no frame. */
function slotOf(m: Engine, root: u64, level: u32, pasid: u32, make: bool): usize {
  let table = framePointer(m, root);
  for (; level > 0; level--) {
    const at = table + ((pasid >> (9 * level) & 0x1ff) << 3);
    let next = load<u64>(at);
    if (next == 0) {
      if (!make) return 0;
      next = allocate(m, 0);
      if (next == NO_FRAME) return 0;
      next |= 1;
      store<u64>(at, next);
    }
    table = framePointer(m, next & ADDRESS);
  }
  return table + ((pasid & 0x1ff) << 3);
}

function drop(m: Engine, table: u64, level: u32): void {
  for (let i: usize = 0; level > 0 && i < 512; i++) {
    const next = load<u64>(framePointer(m, table) + (i << 3));
    if (next != 0) drop(m, next & ADDRESS, level - 1);
  }
  release(m, table, 0);
}

@inline
function isTable(table: usize, wanted: bool, format: u32): bool {
  return !wanted || (table != 0 && changetype<Geometry>(table).format == format);
}

/**
 * Write the route of a requester, or of one of its PASIDs. Without PASID: blocked, pass-through (Mode 0), host table
 * (v1, `second`), guest table (v2, `first`) or both; a host table ends the routes of PASIDs. A PASID has a guest table,
 * over the host table of its device when nested, or is blocked.
 */
export function setAmdviRoute(m: Engine, unit: usize, rid: u32, pasid: u32, type: u32, domain: u32, first: usize, second: usize): u32 {
  const guest = type == ROUTE_FIRST || type == ROUTE_NESTED;
  const hosted = type == ROUTE_SECOND || type == ROUTE_NESTED;
  const efr = register(unit, AMDVI_FEATURES);
  const levels = <u32>min<u64>(efr >> 14 & 3, 2);
  if (!isTable(first, guest, FORMAT_AMD_V2) || !isTable(second, hosted, FORMAT_AMD_V1)) return EDIT_FORMAT;
  const one = changetype<Geometry>(guest ? first : 0);
  const two = changetype<Geometry>(hosted ? second : 0);
  const tagged = pasid != NO_PASID;
  const paging: u64 = guest && one.top == 4 ? 1 : 0;
  if (guest) {
    if (!(efr & GT_SUP) || !(register(unit, AMDVI_CONTROL) & GT_EN) || (!tagged && !(efr & GIO_SUP))) return EDIT_FORMAT;
    if (paging != 0 && (efr >> 12 & 3) == 0) return EDIT_FORMAT;
  }
  if (tagged) {
    if (type == ROUTE_BYPASS || type == ROUTE_SECOND) return EDIT_FORMAT;
    if (pasid == 0 || (<u64>pasid >> min<u32>(9 * (levels + 1), (<u32>(efr >> 32) & 31) + 1)) != 0) return EDIT_RANGE;
  }
  const at = entryOf(m, unit, rid);
  if (at == 0) return EDIT_NO_FRAME;
  const old = load<u64>(at);
  let root = rootOf(at);
  const glx = <u32>(old >> 56) & 3;
  // tables that the engine did not make are the host's to write
  if (root != 0 && root - m.frameStart >= m.frameBytes) return EDIT_FORMAT;
  const samePaging = (load<u64>(at, 16) >> 54 & 3) == paging;
  if (tagged) {
    const held: usize = root == 0 ? 0 : slotOf(m, root, glx, pasid, false);
    if (type == ROUTE_BLOCKED) {
      if (held == 0 || load<u64>(held) == 0) return EDIT_OK;
      store<u64>(held, 0);
      store<u32>(liveCount(m, root), load<u32>(liveCount(m, root)) - 1);
      return EDIT_OK;
    }
    // requests without PASID keep their route, be it through Mode 0
    const shared = root != 0 || (old & RIGHTS) != 0;
    if ((root != 0 && !samePaging) || (shared && (old & HOST) != hostWords(two))) return EDIT_FORMAT;
  } else if (root != 0 && !hosted && load<u32>(liveCount(m, root)) != 0) {
    // PASIDs stay; one host table serves them and the device
    if ((old & HOST) != 0 || (guest && !samePaging)) return EDIT_FORMAT;
    const slot = slotOf(m, root, glx, 0, true);
    if (slot == 0) return EDIT_NO_FRAME;
    store<u64>(slot, guest ? (one.root & ADDRESS) | 1 : 0);
    store<u64>(at, type == ROUTE_BYPASS ? old & ~GIOV : old | GIOV);
    return EDIT_OK;
  }
  const fresh = !tagged || root == 0;
  const made = guest && fresh ? allocate(m, 0) : root;
  if (guest && made == NO_FRAME) return EDIT_NO_FRAME;
  if (guest) {
    const depth = fresh ? levels : glx;
    const slot = slotOf(m, made, depth, tagged ? pasid : 0, true);
    if (slot == 0) {
      if (fresh) drop(m, made, depth);
      return EDIT_NO_FRAME;
    }
    if (tagged && load<u64>(slot) == 0) store<u32>(liveCount(m, made), load<u32>(liveCount(m, made)) + 1);
    store<u64>(slot, (one.root & ADDRESS) | 1);
    if (!fresh) return EDIT_OK;
  }
  let low: u64 = VALID | hostWords(two);
  let owner = domain;
  if (type != ROUTE_BLOCKED) low |= RIGHTS;
  if (guest) {
    // requests without PASID go on as before: through Mode 0 or the host table, or refused by an absent entry 0
    const passes = tagged && (old & VALID) == VALID && (old & RIGHTS) != 0;
    low |= GV | (<u64>levels << 56) | (passes ? 0 : GIOV);
    if (passes) owner = <u32>load<u64>(at, 8);
  }
  writeEntry(at, low, owner, guest ? made : 0, paging);
  if (!tagged && root != 0) drop(m, root, glx);
  return EDIT_OK;
}
