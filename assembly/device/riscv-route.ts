// The driver's side of the words that riscv.ts reads: device contexts, and process contexts of a first stage that is the
// host's own. Directories are made as they are needed, in frames of the engine. Caches are the caller's to invalidate.
//
// A device gets a process directory with its first PASID. Its requests without PASID are served by process 0 then
// (DC.tc.DPE), which no PASID can have, unless they have no first stage.
import { Geometry } from "../format/contract";
import {
  EDIT_FORMAT,
  EDIT_NO_FRAME,
  EDIT_OK,
  EDIT_RANGE,
  FORMAT_RISCV_SV,
  FORMAT_RISCV_SV32,
  NO_PASID,
  RISCV_DDTP,
  RISCV_FCTL,
  RISCV_SV_BIG_ENDIAN,
  RISCV_SV_UPDATE,
  RISCV_SV_X4,
  ROUTE_BLOCKED,
  ROUTE_FIRST,
  ROUTE_NESTED,
  ROUTE_SECOND,
} from "../layout";
import { allocate, enough, framePointer, NO_FRAME, release } from "../memory/frames";
import { Engine } from "../memory/physical";
import { register, setRegister } from "../unit";
import { isExtended, misconfigured, TC_DPE, TC_GADE, TC_PDTV, TC_SADE, TC_SBE, TC_SXL, TC_V, validFirstStage } from "./riscv-context";
import { bigEndian, CAP_PD8, capabilities, PPN, ROOT_PPN, wordsOf } from "./riscv-words";

// 6.5 ddtp, 6.4 fctl, 3.1.3 MODE of iohgatp and fsc
const DDTP_OFF: u64 = 0;
const DDTP_THREE_LEVELS: u64 = 4;
const FCTL_GXL: u64 = 1 << 2;
const MODE_SHIFT: u64 = 60;

/** The engine's own: no table on the way, and none is to be made. */
const NOTHING: usize = 1;

@inline
function get(at: usize, swapped: bool): u64 {
  return swapped ? bswap<u64>(load<u64>(at)) : load<u64>(at);
}

@inline
function put(at: usize, word: u64, swapped: bool): void {
  store<u64>(at, swapped ? bswap<u64>(word) : word);
}

/** Tables that the engine did not make are the host's to write. */
@inline
function ours(m: Engine, table: u64): bool {
  return table - m.frameStart < m.frameBytes;
}

/**
 * Pointer to the next table behind a non-leaf entry (0 V, 53:10 PPN), made when it is absent and wanted (or NOTHING); 0
 * when it is the host's own, or no frame is left.
 */
function behind(m: Engine, at: usize, swapped: bool, make: bool): usize {
  const entry = get(at, swapped);
  const held = (entry & PPN) << 2;
  if (entry & 1) return ours(m, held) ? framePointer(m, held) : 0;
  if (!make) return NOTHING;
  const made = allocate(m, 0);
  if (made == NO_FRAME) return 0;
  put(at, (made >> 2) | 1, swapped);
  return framePointer(m, made);
}

/** Pointer to the device context of a requester; NOTHING or 0 as above. */
function contextOf(m: Engine, unit: usize, rid: u32, make: bool): usize {
  const swapped = bigEndian(unit);
  const low: u32 = isExtended(unit) ? 6 : 7;
  let ddtp = register(unit, RISCV_DDTP);
  if ((ddtp & 15) == DDTP_OFF) {
    if (!make) return NOTHING;
    const made = allocate(m, 0);
    if (made == NO_FRAME) return 0;
    ddtp = (made >> 2) | DDTP_THREE_LEVELS;
    setRegister(unit, RISCV_DDTP, ddtp);
  }
  const root = (ddtp & PPN) << 2;
  if (!ours(m, root)) return 0;
  let table = framePointer(m, root);
  for (let level = <u32>(ddtp & 15) - 2; level > 0; level--) {
    const index = level == 1 ? rid >> low & 0x1ff : rid >> (low + 9) & 0x1ff;
    table = behind(m, table + (index << 3), swapped, make);
    if (table <= NOTHING) return table;
  }
  const lg2: u32 = low == 6 ? 6 : 5;
  return table + ((rid & ((1 << low) - 1)) << lg2);
}

/** iosatp or iohgatp of a table: MODE and PPN. */
@inline
function pointerTo(g: Geometry): u64 {
  return (<u64>(g.format == FORMAT_RISCV_SV32 ? 8 : g.top + 6) << MODE_SHIFT) | (g.root >> 12 & ROOT_PPN);
}

@inline
function isTable(g: Geometry, x4: bool): bool {
  if (changetype<usize>(g) == 0 || (g.format != FORMAT_RISCV_SV && g.format != FORMAT_RISCV_SV32)) return false;
  return ((g.flags & RISCV_SV_X4) != 0) == x4;
}

/** Write a context: not valid first, so that no mix of old and new words can be read. */
function writeContext(at: usize, words: usize, extended: bool, swapped: bool): void {
  put(at, 0, swapped);
  for (let i: usize = 1; i < <usize>(extended ? 8 : 4); i++) put(at + (i << 3), load<u64>(words + (i << 3)), swapped);
  put(at, load<u64>(words), swapped);
}

/** 3.1.3.1: bits of tc that the first stages of a device share. */
const SHAPE: u64 = TC_SADE | TC_SBE | TC_SXL;

/** SHAPE of a first stage, or of none (`first` null). */
function shapeOf(unit: usize, first: Geometry): u64 {
  const none = changetype<usize>(first) == 0;
  const big = none ? bigEndian(unit) : (first.flags & RISCV_SV_BIG_ENDIAN) != 0;
  const small = none ? (register(unit, RISCV_FCTL) & FCTL_GXL) != 0 : first.format == FORMAT_RISCV_SV32;
  const updates = !none && (first.flags & RISCV_SV_UPDATE) != 0;
  return (big ? TC_SBE : 0) | (small ? TC_SXL : 0) | (updates ? TC_SADE : 0);
}

/**
 * Write the route of a requester, or of one of its PASIDs. `domain` is the GSCID of a route with a second stage, else
 * the PSCID. A PASID's route is a first stage, a bypass or blocked, on a device without second stage. Words that the
 * unit would find misconfigured are refused with EDIT_FORMAT.
 */
export function setRiscvRoute(m: Engine, unit: usize, rid: u32, pasid: u32, type: u32, domain: u32, first: usize, second: usize): u32 {
  const hosted = type == ROUTE_SECOND || type == ROUTE_NESTED;
  const one = changetype<Geometry>(type == ROUTE_FIRST || type == ROUTE_NESTED ? first : 0);
  const two = changetype<Geometry>(hosted ? second : 0);
  if ((type == ROUTE_FIRST || type == ROUTE_NESTED) && !isTable(one, false)) return EDIT_FORMAT;
  if (hosted && (!isTable(two, true) || ((two.flags & RISCV_SV_BIG_ENDIAN) != 0) != bigEndian(unit))) return EDIT_FORMAT;
  // a mode number means another format when GXL says so
  if (hosted && (two.format == FORMAT_RISCV_SV32) != ((register(unit, RISCV_FCTL) & FCTL_GXL) != 0)) return EDIT_FORMAT;
  const ddtp = register(unit, RISCV_DDTP);
  const mode = <u32>ddtp & 15;
  if (mode == 1 || mode > <u32>DDTP_THREE_LEVELS) return EDIT_FORMAT;
  const extended = isExtended(unit);
  const low: u32 = extended ? 6 : 7;
  if (rid >> (mode == 2 ? low : mode == 3 ? low + 9 : 24) != 0) return EDIT_RANGE;
  if (domain >> (hosted ? 16 : 20) != 0) return EDIT_RANGE;
  const at = contextOf(m, unit, rid, type != ROUTE_BLOCKED);
  if (at <= NOTHING) return at == NOTHING ? EDIT_OK : EDIT_NO_FRAME;
  const swapped = bigEndian(unit);
  const words = wordsOf(m);
  if (pasid != NO_PASID) return setProcess(m, unit, at, pasid, type, domain, one);

  const old = get(at, swapped);
  const processes = (old & (TC_V | TC_PDTV)) == (TC_V | TC_PDTV);
  memory.fill(words, 0, 64);
  if (processes && !hosted) {
    // the directory stays; process 0 is the device's own
    if (!fits(unit, old, one)) return EDIT_FORMAT;
    const slot = processEntry(m, at, 0, swapped, (old & TC_SBE) != 0);
    if (slot == 0) return EDIT_NO_FRAME;
    const own = type == ROUTE_BLOCKED || type == ROUTE_FIRST;
    put(at, own ? old | TC_DPE : old & ~TC_DPE, swapped);
    writeProcess(slot, type == ROUTE_FIRST ? pointerTo(one) : 0, domain, type == ROUTE_FIRST, (old & TC_SBE) != 0);
    return EDIT_OK;
  }
  if (type != ROUTE_BLOCKED) {
    store<u64>(words, TC_V | shapeOf(unit, one) | (hosted && (two.flags & RISCV_SV_UPDATE) != 0 ? TC_GADE : 0));
    store<u64>(words, hosted ? pointerTo(two) | (<u64>domain << 44) : 0, 8);
    store<u64>(words, hosted ? 0 : <u64>domain << 12, 16);
    store<u64>(words, changetype<usize>(one) != 0 ? pointerTo(one) : 0, 24);
    if (misconfigured(unit, words, extended)) return EDIT_FORMAT;
  }
  if (processes) dropDirectory(m, get(at + 24, swapped), (old & TC_SBE) != 0);
  writeContext(at, words, extended, swapped);
  return EDIT_OK;
}

// ---- process directories

/** A first stage (or none, null) that the processes of a context may have. */
function fits(unit: usize, tc: u64, first: Geometry): bool {
  if (changetype<usize>(first) == 0) return true;
  return ((tc ^ shapeOf(unit, first)) & SHAPE) == 0 && validFirstStage(unit, tc, pointerTo(first));
}

function dropLevel(m: Engine, table: u64, level: u32, swapped: bool): void {
  if (!ours(m, table)) return;
  const entries: u32 = level == 0 ? 0 : 512;
  for (let i: u32 = 0; i < entries; i++) {
    const entry = get(framePointer(m, table) + (i << 3), swapped);
    if (entry & 1) dropLevel(m, (entry & PPN) << 2, level - 1, swapped);
  }
  release(m, table, 0);
}

/** Return the frames of a process directory, at most three levels. */
function dropDirectory(m: Engine, fsc: u64, swapped: bool): void {
  if (fsc >> MODE_SHIFT != 0) dropLevel(m, (fsc & ROOT_PPN) << 12, <u32>(fsc >> MODE_SHIFT) - 1, swapped);
}

/** Pointer to a process context, its tables made when absent; 0: no frame, or the host's own directory. */
function processEntry(m: Engine, context: usize, process: u32, swapped: bool, processSwapped: bool): usize {
  const fsc = get(context + 24, swapped);
  const root = (fsc & ROOT_PPN) << 12;
  if (!ours(m, root)) return 0;
  let table = framePointer(m, root);
  for (let level = <u32>(fsc >> MODE_SHIFT) - 1; level > 0; level--) {
    table = behind(m, table + ((level == 1 ? process >> 8 & 0x1ff : process >> 17 & 7) << 3), processSwapped, true);
    if (table == 0) return 0;
  }
  return table + ((process & 0xff) << 4);
}

function writeProcess(slot: usize, iosatp: u64, pscid: u32, valid: bool, swapped: bool): void {
  put(slot, 0, swapped);
  put(slot + 8, iosatp, swapped);
  // 3.2.3.1: 0 V, 1 ENS, 31:12 PSCID
  if (valid) put(slot, 3 | (<u64>pscid << 12), swapped);
}

function setProcess(m: Engine, unit: usize, at: usize, pasid: u32, type: u32, pscid: u32, first: Geometry): u32 {
  const caps = capabilities(unit);
  const swapped = bigEndian(unit);
  const extended = isExtended(unit);
  const gone = type == ROUTE_BLOCKED;
  let old = get(at, swapped);
  const valid = (old & TC_V) != 0;
  if (type == ROUTE_SECOND || type == ROUTE_NESTED || (valid && get(at + 8, swapped) >> MODE_SHIFT != 0)) return EDIT_FORMAT;
  const levels: u32 = caps >> (CAP_PD8 + 2) & 1 ? 3 : caps >> (CAP_PD8 + 1) & 1 ? 2 : caps >> CAP_PD8 & 1 ? 1 : 0;
  if (levels == 0) return EDIT_FORMAT;
  if (pasid == 0 || pasid >> (levels == 3 ? 20 : levels == 2 ? 17 : 8) != 0) return EDIT_RANGE;
  // what passes through has no shape of its own
  const shaped = valid && ((old & TC_PDTV) != 0 || get(at + 24, swapped) != 0);
  const shape = shaped ? old & SHAPE : shapeOf(unit, first);
  if (!fits(unit, shape, first)) return EDIT_FORMAT;
  const big = (shape & TC_SBE) != 0;
  if (!valid || !(old & TC_PDTV)) {
    if (gone) return EDIT_OK;
    // from no directory to one: the device's own first stage becomes process 0
    const fsc = valid ? get(at + 24, swapped) : 0;
    const words = wordsOf(m);
    memory.fill(words, 0, 64);
    store<u64>(words, TC_V | TC_PDTV | shape | (valid && fsc == 0 ? 0 : TC_DPE));
    store<u64>(words, <u64>levels << MODE_SHIFT, 24);
    if (misconfigured(unit, words, extended)) return EDIT_FORMAT;
    // the root, and two tables each for process 0 and this one
    if (!enough(m, 5)) return EDIT_NO_FRAME;
    store<u64>(words, load<u64>(words, 24) | (allocate(m, 0) >> 12), 24);
    const pscid0 = valid ? <u32>(get(at + 16, swapped) >> 12) & 0xf_ffff : 0;
    writeContext(at, words, extended, swapped);
    if (fsc != 0) {
      const slot = processEntry(m, at, 0, swapped, big);
      if (slot != 0) writeProcess(slot, fsc, pscid0, true, big);
    }
    old = get(at, swapped);
  }
  const slot = processEntry(m, at, pasid, swapped, big);
  if (slot == 0) return EDIT_NO_FRAME;
  writeProcess(slot, gone || changetype<usize>(first) == 0 ? 0 : pointerTo(first), pscid, !gone, big);
  return EDIT_OK;
}
