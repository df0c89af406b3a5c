// The driver's side of the words that vtd.ts and vtd-scalable.ts read. Tables are made as they are needed, in frames of
// the engine. EDIT_*. Caches are the caller's to invalidate.
import {
  EDIT_FORMAT,
  EDIT_NO_FRAME,
  EDIT_OK,
  EDIT_RANGE,
  FORMAT_VTD_FIRST,
  FORMAT_VTD_SECOND,
  NO_PASID,
  ROUTE_BLOCKED,
  ROUTE_BYPASS,
  ROUTE_FIRST,
  ROUTE_NESTED,
  ROUTE_SECOND,
  VTD_CAP,
  VTD_ECAP,
  VTD_FIRST_EXTENDED,
  VTD_FIRST_NO_EXECUTE,
  VTD_FIRST_SMEP,
  VTD_FIRST_WRITE_PROTECT,
  VTD_ROOT,
  VTD_SECOND_EXECUTE,
  VTD_SECOND_TRACKS,
} from "../layout";
import { Geometry } from "../format/contract";
import { allocate, framePointer, NO_FRAME, release } from "../memory/frames";
import { Engine } from "../memory/physical";
import { register, setRegister } from "../unit";
import { CAP_FS5LP, ECAP_EAFS, ECAP_ERS, ECAP_PASID, ECAP_SMPWC, ECAP_SRS, ECAP_SSADS, knownWidth, MODE_LEGACY, MODE_SCALABLE, TABLE, tableMode } from "./vtd-registers";
import { supportsType } from "./vtd-scalable";

/** Tables that the engine did not make are the host's to write. */
@inline
function ours(m: Engine, table: u64): bool {
  return table - m.frameStart < m.frameBytes;
}

/** Table that the entry at a pointer names (0 P, 63:12), made when it is absent; NO_FRAME when it cannot be. */
function tableBehind(m: Engine, at: usize): u64 {
  const entry = load<u64>(at);
  if (entry & 1) return ours(m, entry & TABLE) ? entry & TABLE : NO_FRAME;
  const made = allocate(m, 0);
  if (made != NO_FRAME) store<u64>(at, made | 1);
  return made;
}

/** Pointer to the root entry of a bus; 0 when the table cannot be had. */
function rootEntry(m: Engine, unit: usize, rid: u32): usize {
  const root = register(unit, VTD_ROOT);
  let table = root & TABLE;
  if (table == 0) {
    table = allocate(m, 0);
    if (table == NO_FRAME) return 0;
    setRegister(unit, VTD_ROOT, table | (root & ~TABLE));
  }
  if (!ours(m, table)) return 0;
  return framePointer(m, table) + ((rid >> 8 & 0xff) << 4);
}

/**
 * Write the route of a requester, or in scalable mode of one of its PASIDs: blocked (entry cleared), pass-through, and
 * first stage (`first`), second stage (`second`) or both.
 */
export function setVtdRoute(m: Engine, unit: usize, rid: u32, pasid: u32, type: u32, domain: u32, first: usize, second: usize): u32 {
  const mode = tableMode(unit);
  const one = changetype<Geometry>(first);
  const two = changetype<Geometry>(second);
  if (type == ROUTE_FIRST || type == ROUTE_NESTED) {
    if (first == 0 || one.format != FORMAT_VTD_FIRST) return EDIT_FORMAT;
    if (one.top != 3 && (one.top != 4 || (register(unit, VTD_CAP) & CAP_FS5LP) == 0)) return EDIT_FORMAT;
  }
  if (type == ROUTE_SECOND || type == ROUTE_NESTED) {
    if (second == 0 || two.format != FORMAT_VTD_SECOND || !knownWidth(unit, two.top - 1)) return EDIT_FORMAT;
  }
  if (mode == MODE_SCALABLE) return setScalableRoute(m, unit, rid, pasid, type, domain, one, two);
  if (mode != MODE_LEGACY || pasid != NO_PASID || type == ROUTE_FIRST || type == ROUTE_NESTED) return EDIT_FORMAT;
  const rootAt = rootEntry(m, unit, rid);
  if (rootAt == 0) return EDIT_NO_FRAME;
  if (type == ROUTE_BLOCKED && !(load<u64>(rootAt) & 1)) return EDIT_OK;
  const context = tableBehind(m, rootAt);
  if (context == NO_FRAME) return EDIT_NO_FRAME;
  const at = framePointer(m, context) + ((rid & 0xff) << 4);
  // not present first, so that no mix of old and new words can be read
  store<u64>(at, 0);
  if (type == ROUTE_BLOCKED) {
    store<u64>(at, 0, 8);
    return EDIT_OK;
  }
  // pass-through: AW is the widest that SAGAW reports
  const sagaw = <u32>(register(unit, VTD_CAP) >> 8) & 0x1f;
  const width = type == ROUTE_BYPASS ? 31 - clz(sagaw) : two.top - 1;
  store<u64>(at, <u64>width | (<u64>domain << 8), 8);
  store<u64>(at, type == ROUTE_BYPASS ? 0b1001 : (two.root & TABLE) | 1);
  return EDIT_OK;
}

// 9.4: a directory of one frame serves 15 bits of PASID (PDTS = 2); a wider one is made when a PASID asks for it
const FIRST_PDTS: u32 = 2;
const DIRECTORY: u64 = 0xe00; // 11:9 PDTS

@inline
function pdtsOf(context: u64): u32 {
  return <u32>(context >> 9) & 7;
}

/** Move a requester's PASID directory to one of 2^(pdts + 7) entries. */
function growDirectory(m: Engine, at: usize, pdts: u32): bool {
  const context = load<u64>(at);
  const held = pdtsOf(context);
  const wide = allocate(m, pdts - FIRST_PDTS);
  if (wide == NO_FRAME) return false;
  memory.copy(framePointer(m, wide), framePointer(m, context & TABLE), <usize>1 << (held + 10));
  store<u64>(at, wide | (context & ~(TABLE | DIRECTORY)) | (<u64>pdts << 9));
  release(m, context & TABLE, held - FIRST_PDTS);
  return true;
}

/** PASID-table entry (9.6) of a requester; requests without PASID have RID_PASID 0. */
function setScalableRoute(m: Engine, unit: usize, rid: u32, pasid: u32, type: u32, domain: u32, first: Geometry, second: Geometry): u32 {
  const ecap = register(unit, VTD_ECAP);
  const own = pasid == NO_PASID;
  if (!own && !(ecap & ECAP_PASID)) return EDIT_FORMAT;
  if (!own && pasid >> 20 != 0) return EDIT_RANGE;
  const gone = type == ROUTE_BLOCKED;
  const pgtt: u32 = type == ROUTE_FIRST ? 1 : type == ROUTE_SECOND ? 2 : type == ROUTE_NESTED ? 3 : 4;
  if (!gone && !supportsType(ecap, pgtt)) return EDIT_FORMAT;

  const rootAt = rootEntry(m, unit, rid);
  if (rootAt == 0) return EDIT_NO_FRAME;
  const halfAt = rootAt + (rid & 0x80 ? 8 : 0);
  if (gone && !(load<u64>(halfAt) & 1)) return EDIT_OK;
  const contexts = tableBehind(m, halfAt);
  if (contexts == NO_FRAME) return EDIT_NO_FRAME;
  const at = framePointer(m, contexts) + ((rid & 0x7f) << 5);
  if (!(load<u64>(at) & 1)) {
    if (gone) return EDIT_OK;
    const directory = allocate(m, 0);
    if (directory == NO_FRAME) return EDIT_NO_FRAME;
    store<u64>(at, 0, 8);
    store<u64>(at, directory | (<u64>FIRST_PDTS << 9) | (ecap & ECAP_PASID ? 0b1001 : 1));
  }
  if (!ours(m, load<u64>(at) & TABLE)) return EDIT_NO_FRAME;
  const number = own ? <u32>load<u64>(at, 8) & 0xf_ffff : pasid;
  let pdts = pdtsOf(load<u64>(at));
  if (number >> (pdts + 13) != 0) {
    if (gone) return EDIT_OK;
    while (number >> (pdts + 13) != 0) pdts += 1;
    if (!growDirectory(m, at, pdts)) return EDIT_NO_FRAME;
  }
  const directoryAt = framePointer(m, load<u64>(at) & TABLE) + ((number >> 6) << 3);
  if (gone && !(load<u64>(directoryAt) & 1)) return EDIT_OK;
  const table = tableBehind(m, directoryAt);
  if (table == NO_FRAME) return EDIT_NO_FRAME;
  const entry = framePointer(m, table) + ((number & 0x3f) << 6);
  // not present first
  store<u64>(entry, 0);
  memory.fill(entry + 8, 0, 56);
  if (gone) return EDIT_OK;
  // PWSNP: A and D are updated by walks that snoop
  store<u64>(entry, <u64>(domain & 0xffff) | (ecap & ECAP_SMPWC ? 1 << 23 : 0), 8);
  if (type == ROUTE_FIRST || type == ROUTE_NESTED) {
    const flags = first.flags;
    store<u64>(
      entry,
      (first.root & TABLE) |
        (<u64>(first.top - 3) << 2) |
        (ecap & ECAP_SRS ? 1 : 0) |
        (ecap & ECAP_ERS ? 2 : 0) |
        (flags & VTD_FIRST_WRITE_PROTECT ? 1 << 4 : 0) |
        (flags & VTD_FIRST_NO_EXECUTE ? 1 << 5 : 0) |
        (flags & VTD_FIRST_SMEP ? 1 << 6 : 0) |
        (flags & VTD_FIRST_EXTENDED && (ecap & ECAP_EAFS) != 0 ? 1 << 7 : 0),
      16,
    );
  }
  let low: u64 = (<u64>pgtt << 6) | 1;
  if (type == ROUTE_SECOND || type == ROUTE_NESTED) {
    low |=
      (second.root & TABLE) |
      (<u64>(second.top - 1) << 2) |
      (second.flags & VTD_SECOND_EXECUTE && (ecap & ECAP_ERS) != 0 ? 1 << 5 : 0) |
      (second.flags & VTD_SECOND_TRACKS && (ecap & ECAP_SSADS) != 0 ? 1 << 9 : 0);
  }
  store<u64>(entry, low);
  return EDIT_OK;
}
