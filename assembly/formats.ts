// Everything that is done to one table by itself (edits, peeks), by format number: one line for each format, in `done`.
import { protect, unmap } from "./edit/change";
import { readDirty as readDirtyOf } from "./edit/dirty";
import { map } from "./edit/map";
import { splitEnds } from "./edit/split";
import * as tables from "./edit/tables";
import { AmdV1 } from "./format/amd-v1";
import { AmdV2 } from "./format/amd-v2";
import { Geometry, PtFormat } from "./format/contract";
import { Tce } from "./format/tce";
import { VmsaFirst } from "./format/vmsav8-first";
import { VmsaSecond } from "./format/vmsav8-second";
import { VtdFirst } from "./format/vtd-first";
import { VtdSecond } from "./format/vtd-second";
import { EDIT_FORMAT, EDIT_OK, FORMAT_AMD_V1, FORMAT_AMD_V2, FORMAT_RISCV_SV, FORMAT_RISCV_SV32, FORMAT_TCE, FORMAT_VMSA_FIRST, FORMAT_VMSA_SECOND, FORMAT_VTD_FIRST, FORMAT_VTD_SECOND, STAGE_FIRST } from "./layout";
import { RiscvSv } from "./format/riscv-sv";
import { RiscvSv32 } from "./format/riscv-sv32";
import { Engine } from "./memory/physical";
import { geometryOf } from "./table";
import { walkOf } from "./unit";
import { WALK_PEEK, walkAlone } from "./walk";

const OPEN: u32 = 0;
const CLOSE: u32 = 1;
const MAP: u32 = 2;
const UNMAP: u32 = 3;
const PROTECT: u32 = 4;
const DIRTY: u32 = 5;
const PEEK: u32 = 6;
const CLASSIFY: u32 = 7;
const SPLIT: u32 = 8;

function peek<F extends PtFormat>(m: Engine, table: usize, address: u64, access: u32): u32 {
  const walk = walkOf(m.silent, 0);
  walk.references = 0;
  return walkAlone<F>(m, m.silent, 0, geometryOf(table), STAGE_FIRST, 0, address, access, false, walk, WALK_PEEK);
}

function doneBy<F extends PtFormat>(m: Engine, table: usize, what: u32, first: u64, size: u64, other: u64, permissions: u32, flags: u32): u32 {
  if (what == MAP) return map<F>(m, table, first, other, size, permissions, flags);
  if (what == UNMAP) return unmap<F>(m, table, first, size);
  if (what == PROTECT) return protect<F>(m, table, first, size, permissions);
  if (what == SPLIT) return splitEnds<F>(m, table, first, size);
  if (what == DIRTY) return readDirtyOf<F>(m, table, first, size, other, flags);
  if (what == PEEK) return peek<F>(m, table, first, permissions);
  if (what == CLASSIFY) return changetype<F>(0).kind(geometryOf(table), permissions, first);
  if (what == OPEN) return tables.openTable<F>(m, table);
  tables.closeTable<F>(m, table);
  return EDIT_OK;
}

function done(m: Engine, table: usize, what: u32, first: u64, size: u64, other: u64, permissions: u32, flags: u32): u32 {
  const format = geometryOf(table).format;
  if (format == FORMAT_VTD_SECOND) return doneBy<VtdSecond>(m, table, what, first, size, other, permissions, flags);
  if (format == FORMAT_VTD_FIRST) return doneBy<VtdFirst>(m, table, what, first, size, other, permissions, flags);
  if (format == FORMAT_AMD_V1) return doneBy<AmdV1>(m, table, what, first, size, other, permissions, flags);
  if (format == FORMAT_AMD_V2) return doneBy<AmdV2>(m, table, what, first, size, other, permissions, flags);
  if (format == FORMAT_VMSA_FIRST) return doneBy<VmsaFirst>(m, table, what, first, size, other, permissions, flags);
  if (format == FORMAT_VMSA_SECOND) return doneBy<VmsaSecond>(m, table, what, first, size, other, permissions, flags);
  if (format == FORMAT_RISCV_SV) return doneBy<RiscvSv>(m, table, what, first, size, other, permissions, flags);
  if (format == FORMAT_RISCV_SV32) return doneBy<RiscvSv32>(m, table, what, first, size, other, permissions, flags);
  if (format == FORMAT_TCE) return doneBy<Tce>(m, table, what, first, size, other, permissions, flags);
  return EDIT_FORMAT;
}

export function openTable(m: Engine, table: usize): u32 {
  return done(m, table, OPEN, 0, 0, 0, 0, 0);
}

export function closeTable(m: Engine, table: usize): u32 {
  return done(m, table, CLOSE, 0, 0, 0, 0, 0);
}

export function mapPages(m: Engine, table: usize, first: u64, output: u64, size: u64, permissions: u32, flags: u32): u32 {
  return done(m, table, MAP, first, size, output, permissions, flags);
}

export function unmapPages(m: Engine, table: usize, first: u64, size: u64): u32 {
  return done(m, table, UNMAP, first, size, 0, 0, 0);
}

export function protectPages(m: Engine, table: usize, first: u64, size: u64, permissions: u32): u32 {
  return done(m, table, PROTECT, first, size, 0, permissions, 0);
}

export function splitPages(m: Engine, table: usize, first: u64, size: u64): u32 {
  return done(m, table, SPLIT, first, size, 0, 0, 0);
}

export function readDirty(m: Engine, table: usize, first: u64, size: u64, at: u64, flags: u32): u32 {
  return done(m, table, DIRTY, first, size, at, 0, flags);
}

/** Walk one table by itself, without caches, counters or updates; OUTCOME_*, the answer in the silent unit's walk record. */
export function peekTable(m: Engine, g: Geometry, address: u64, access: u32): u32 {
  return done(m, changetype<usize>(g), PEEK, address, 0, 0, access, 0);
}

/** ENTRY_* of an entry in a table of this geometry. */
export function classify(m: Engine, geometry: usize, level: u32, entry: u64): u32 {
  return done(m, geometry, CLASSIFY, entry, 0, 0, level, 0);
}
