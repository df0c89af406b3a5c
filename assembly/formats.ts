// Edits by format number: one line for each format in each switch.
import * as edit from "./edit";
import { VtdSecond } from "./format/vtd-second";
import { EDIT_FORMAT, FORMAT_VTD_SECOND } from "./layout";
import { Engine } from "./memory/physical";
import { geometryOf } from "./table";

export function openTable(m: Engine, table: usize): u32 {
  const format = geometryOf(table).format;
  if (format == FORMAT_VTD_SECOND) return edit.openTable<VtdSecond>(m, table);
  return EDIT_FORMAT;
}

export function closeTable(m: Engine, table: usize): u32 {
  const format = geometryOf(table).format;
  if (format == FORMAT_VTD_SECOND) edit.closeTable<VtdSecond>(m, table);
  else return EDIT_FORMAT;
  return 0;
}

export function mapPages(m: Engine, table: usize, first: u64, output: u64, size: u64, permissions: u32, flags: u32): u32 {
  const format = geometryOf(table).format;
  if (format == FORMAT_VTD_SECOND) return edit.map<VtdSecond>(m, table, first, output, size, permissions, flags);
  return EDIT_FORMAT;
}

export function unmapPages(m: Engine, table: usize, first: u64, size: u64): u32 {
  const format = geometryOf(table).format;
  if (format == FORMAT_VTD_SECOND) return edit.unmap<VtdSecond>(m, table, first, size);
  return EDIT_FORMAT;
}
