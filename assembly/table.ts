// A kernel-built page table: its geometry, then what edits keep of it (TABLE_* in layout.ts).
import { Geometry } from "./format/contract";
import { GEOMETRY_BYTES, TABLE_BYTES, TABLE_DONE, TABLE_FRAMES, TABLE_KEEP, TABLE_LEAVES, TABLE_MAPPED, TABLE_REPLACED } from "./layout";

@unmanaged @final
class Books {
  mapped: u64;
  leaves: u64; // mask of lg2 item sizes that edits may build
  frames: u32;
  replaced: u32;
  done: u64;
  keep: u32;
}

@inline
export function geometryOf(table: usize): Geometry {
  return changetype<Geometry>(table);
}

@inline
export function books(table: usize): Books {
  if (GEOMETRY_BYTES + offsetof<Books>("mapped") != TABLE_MAPPED) ERROR("TABLE_MAPPED");
  if (GEOMETRY_BYTES + offsetof<Books>("leaves") != TABLE_LEAVES) ERROR("TABLE_LEAVES");
  if (GEOMETRY_BYTES + offsetof<Books>("frames") != TABLE_FRAMES) ERROR("TABLE_FRAMES");
  if (GEOMETRY_BYTES + offsetof<Books>("replaced") != TABLE_REPLACED) ERROR("TABLE_REPLACED");
  if (GEOMETRY_BYTES + offsetof<Books>("done") != TABLE_DONE) ERROR("TABLE_DONE");
  if (GEOMETRY_BYTES + offsetof<Books>("keep") != TABLE_KEEP) ERROR("TABLE_KEEP");
  if (<usize>GEOMETRY_BYTES + offsetof<Books>() > <usize>TABLE_BYTES) ERROR("TABLE_BYTES");
  return changetype<Books>(table + GEOMETRY_BYTES);
}
