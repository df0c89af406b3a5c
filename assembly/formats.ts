// Edits by format number: one line for each format in each switch.
import * as edit from "./edit";
import { AmdV1 } from "./format/amd-v1";
import { AmdV2 } from "./format/amd-v2";
import { VmsaFirst } from "./format/vmsav8-first";
import { VmsaSecond } from "./format/vmsav8-second";
import { VtdSecond } from "./format/vtd-second";
import { EDIT_FORMAT, FORMAT_AMD_V1, FORMAT_AMD_V2, FORMAT_VMSA_FIRST, FORMAT_VMSA_SECOND, FORMAT_VTD_SECOND } from "./layout";
import { Engine } from "./memory/physical";
import { geometryOf } from "./table";

export function openTable(m: Engine, table: usize): u32 {
  const format = geometryOf(table).format;
  if (format == FORMAT_VTD_SECOND) return edit.openTable<VtdSecond>(m, table);
  if (format == FORMAT_AMD_V1) return edit.openTable<AmdV1>(m, table);
  if (format == FORMAT_AMD_V2) return edit.openTable<AmdV2>(m, table);
  if (format == FORMAT_VMSA_FIRST) return edit.openTable<VmsaFirst>(m, table);
  if (format == FORMAT_VMSA_SECOND) return edit.openTable<VmsaSecond>(m, table);
  return EDIT_FORMAT;
}

export function closeTable(m: Engine, table: usize): u32 {
  const format = geometryOf(table).format;
  if (format == FORMAT_VTD_SECOND) edit.closeTable<VtdSecond>(m, table);
  else if (format == FORMAT_AMD_V1) edit.closeTable<AmdV1>(m, table);
  else if (format == FORMAT_AMD_V2) edit.closeTable<AmdV2>(m, table);
  else if (format == FORMAT_VMSA_FIRST) edit.closeTable<VmsaFirst>(m, table);
  else if (format == FORMAT_VMSA_SECOND) edit.closeTable<VmsaSecond>(m, table);
  else return EDIT_FORMAT;
  return 0;
}

export function mapPages(m: Engine, table: usize, first: u64, output: u64, size: u64, permissions: u32, flags: u32): u32 {
  const format = geometryOf(table).format;
  if (format == FORMAT_VTD_SECOND) return edit.map<VtdSecond>(m, table, first, output, size, permissions, flags);
  if (format == FORMAT_AMD_V1) return edit.map<AmdV1>(m, table, first, output, size, permissions, flags);
  if (format == FORMAT_AMD_V2) return edit.map<AmdV2>(m, table, first, output, size, permissions, flags);
  if (format == FORMAT_VMSA_FIRST) return edit.map<VmsaFirst>(m, table, first, output, size, permissions, flags);
  if (format == FORMAT_VMSA_SECOND) return edit.map<VmsaSecond>(m, table, first, output, size, permissions, flags);
  return EDIT_FORMAT;
}

export function unmapPages(m: Engine, table: usize, first: u64, size: u64): u32 {
  const format = geometryOf(table).format;
  if (format == FORMAT_VTD_SECOND) return edit.unmap<VtdSecond>(m, table, first, size);
  if (format == FORMAT_AMD_V1) return edit.unmap<AmdV1>(m, table, first, size);
  if (format == FORMAT_AMD_V2) return edit.unmap<AmdV2>(m, table, first, size);
  if (format == FORMAT_VMSA_FIRST) return edit.unmap<VmsaFirst>(m, table, first, size);
  if (format == FORMAT_VMSA_SECOND) return edit.unmap<VmsaSecond>(m, table, first, size);
  return EDIT_FORMAT;
}
