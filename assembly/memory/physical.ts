// Physical memory as the hardware sees it: sparse regions of a 52-bit (and wider) address space.
//
// The hot path is two compares: the frames of kernel-built tables, then the region (or sparse page) that answered
// last. Everything else, host callbacks included, is one call away, so that one compilation of a walk serves
// linear-only and mixed memories at the same speed.
import {
  ENGINE_BYTES,
  MEMORY_ABSENT,
  MEMORY_NO_PAGE,
  MEMORY_OK,
  MEMORY_POISON,
  MEMORY_READ_ONLY,
  REGION_BYTES,
  REGION_HOST,
  REGION_LINEAR,
  REGION_POISON,
  REGION_SPARSE,
  REGION_WRITABLE,
  SPARSE_SLOT_BYTES,
} from "../layout";

// Values travel through the scratch word, so that no BigInt is made on the way to the host.
@external("env", "hostRead")
declare function hostRead(region: u32, addressLo: u32, addressHi: u32, bytes: u32, scratch: usize): u32;
@external("env", "hostWrite")
declare function hostWrite(region: u32, addressLo: u32, addressHi: u32, bytes: u32, scratch: usize): u32;

@unmanaged @final
export class Region {
  start: u64;
  last: u64;
  kind: u32;
  flags: u32;
  pointer: u32;
  index: u32;
}

/** The engine's own record: physical memory, frames of kernel-built tables, scratch. */
@unmanaged @final
export class Engine {
  // frames of kernel-built tables (memory/frames.ts)
  frameStart: u64;
  frameBytes: u64;
  framePointer: u32;
  frameCount: u32;
  frameNext: u32; // first frame never handed out
  frameMeta: u32;
  frameUsed: u32;
  failAfter: u32; // allocations until one is refused on purpose; 0 = never
  frameFree0: u32; // free blocks by order, index + 1; orders 0 to 15 follow one another
  frameFree1: u32;
  frameFree2: u32;
  frameFree3: u32;
  frameFree4: u32;
  frameFree5: u32;
  frameFree6: u32;
  frameFree7: u32;
  // the region or sparse page that answered last
  hitStart: u64;
  hitBytes: u64;
  hitPointer: u32;
  regions: u32;
  regionCount: u32;
  refusal: u32; // MEMORY_* of the last refused access
  // pool of sparse pages
  sparseSlots: u32;
  sparseMask: u32;
  sparsePool: u32;
  sparsePages: u32;
  sparseUsed: u32;
  scratch: u32;
  result: u32; // result record of scalar translations
  silent: u32; // a throw-away unit, for walks that must leave no trace in counters
  trace: u32;
  traceCapacity: u32;
  allocations: u32; // since failAfter was set
  traceLength: u32;
}

@inline
export function engine(context: usize): Engine {
  if (offsetof<Engine>() > <usize>ENGINE_BYTES) ERROR("ENGINE_BYTES");
  return changetype<Engine>(context);
}

/** Forget the last hit: after any change of regions or pages. */
export function forgetHit(m: Engine): void {
  m.hitBytes = 0;
}

function findRegion(m: Engine, address: u64): usize {
  let low: u32 = 0;
  let high = m.regionCount;
  while (low < high) {
    const mid = (low + high) >> 1;
    const region = changetype<Region>(<usize>m.regions + mid * REGION_BYTES);
    if (address > region.last) low = mid + 1;
    else high = mid;
  }
  if (low == m.regionCount) return 0;
  const pointer = <usize>m.regions + low * REGION_BYTES;
  return address >= changetype<Region>(pointer).start ? pointer : 0;
}

// Sparse pages: open addressing, never deleted, at most half full. A slot is {page number + 1 u64, pointer u32}.
@inline
function sparseSlot(m: Engine, page: u64): usize {
  let at = <u32>((page * 0x9e3779b97f4a7c15) >> 40) & m.sparseMask;
  while (true) {
    const slot = <usize>m.sparseSlots + at * SPARSE_SLOT_BYTES;
    const key = load<u64>(slot);
    if (key == page + 1 || key == 0) return slot;
    at = (at + 1) & m.sparseMask;
  }
}

function sparsePage(m: Engine, address: u64, create: bool): usize {
  const page = address >> 12;
  const slot = sparseSlot(m, page);
  if (load<u64>(slot) != 0) return load<u32>(slot, 8);
  if (!create || m.sparseUsed == m.sparsePages) return 0;
  const pointer = m.sparsePool + (m.sparseUsed << 12);
  m.sparseUsed += 1;
  memory.fill(pointer, 0, 4096);
  store<u64>(slot, page + 1);
  store<u32>(slot, pointer, 8);
  return pointer;
}

@inline
function refuse(m: Engine, why: u32): usize {
  m.refusal = why;
  return 0;
}

/**
 * Pointer to `bytes` bytes at a physical address, naturally aligned; 0 when refused (`refusal` says why). For host
 * regions the pointer is to a copy in scratch memory, good until the next access.
 */
function slowPointer(m: Engine, address: u64, bytes: u32): usize {
  const found = findRegion(m, address);
  if (found == 0) return refuse(m, MEMORY_ABSENT);
  const region = changetype<Region>(found);
  if (address + bytes - 1 > region.last) return refuse(m, MEMORY_ABSENT);
  if (region.flags & REGION_POISON) return refuse(m, MEMORY_POISON);
  if (region.kind == REGION_LINEAR) {
    m.hitStart = region.start;
    m.hitBytes = region.last - region.start + 1;
    m.hitPointer = region.pointer;
    return region.pointer + <u32>(address - region.start);
  }
  if (region.kind == REGION_SPARSE) {
    const pointer = sparsePage(m, address, false);
    if (pointer == 0) {
      store<u64>(m.scratch, 0);
      return m.scratch;
    }
    // a page at a region's edge may be shared with its neighbour: only whole pages are remembered
    const page = address & ~0xfff;
    if (page >= region.start && page + 0xfff <= region.last) {
      m.hitStart = page;
      m.hitBytes = 4096;
      m.hitPointer = <u32>pointer;
    }
    return pointer + <u32>(address & 0xfff);
  }
  const why = hostRead(region.index, <u32>address, <u32>(address >> 32), bytes, m.scratch);
  return why == MEMORY_OK ? <usize>m.scratch : refuse(m, why);
}

/** Pointer to a naturally aligned table entry of at most 8 bytes; 0 when refused. */
@inline
export function entryPointer(m: Engine, address: u64, bytes: u32): usize {
  let offset = address - m.frameStart;
  if (offset < m.frameBytes) return <usize>m.framePointer + <usize>offset;
  offset = address - m.hitStart;
  if (offset < m.hitBytes) return <usize>m.hitPointer + <usize>offset;
  return slowPointer(m, address, bytes);
}

/** Store `bytes` (1, 2, 4 or 8) bytes; MEMORY_OK or why it was refused. */
export function storePhysical(m: Engine, address: u64, bytes: u32, value: u64): u32 {
  let pointer: usize = 0;
  const offset = address - m.frameStart;
  if (offset < m.frameBytes) pointer = <usize>m.framePointer + <usize>offset;
  else {
    const found = findRegion(m, address);
    if (found == 0) return MEMORY_ABSENT;
    const region = changetype<Region>(found);
    if (address + bytes - 1 > region.last) return MEMORY_ABSENT;
    if (!(region.flags & REGION_WRITABLE)) return MEMORY_READ_ONLY;
    if (region.flags & REGION_POISON) return MEMORY_POISON;
    if (region.kind == REGION_HOST) {
      store<u64>(m.scratch, value);
      return hostWrite(region.index, <u32>address, <u32>(address >> 32), bytes, m.scratch);
    }
    if (region.kind == REGION_LINEAR) pointer = region.pointer + <u32>(address - region.start);
    else {
      pointer = sparsePage(m, address, true);
      if (pointer == 0) return MEMORY_NO_PAGE;
      pointer += <u32>(address & 0xfff);
    }
  }
  if (bytes == 8) store<u64>(pointer, value);
  else if (bytes == 4) store<u32>(pointer, <u32>value);
  else if (bytes == 2) store<u16>(pointer, <u16>value);
  else store<u8>(pointer, <u8>value);
  return MEMORY_OK;
}

/**
 * Linear-memory pointer to a physical byte, and how many bytes follow it without a seam (in `scratch` + 8, at most
 * 4096 in a sparse region). 0 when refused or behind host callbacks (`refusal` is MEMORY_OK then).
 */
export function span(m: Engine, address: u64, writing: bool): usize {
  const offset = address - m.frameStart;
  if (offset < m.frameBytes) {
    store<u64>(m.scratch, m.frameBytes - offset, 8);
    return <usize>m.framePointer + <usize>offset;
  }
  const found = findRegion(m, address);
  if (found == 0) return refuse(m, MEMORY_ABSENT);
  const region = changetype<Region>(found);
  if (writing && !(region.flags & REGION_WRITABLE)) return refuse(m, MEMORY_READ_ONLY);
  if (region.flags & REGION_POISON) return refuse(m, MEMORY_POISON);
  store<u32>(m.scratch, region.index, 16);
  const rest = region.last - address + 1;
  if (region.kind == REGION_LINEAR) {
    store<u64>(m.scratch, rest, 8);
    return region.pointer + <u32>(address - region.start);
  }
  const inPage = 4096 - (address & 0xfff);
  store<u64>(m.scratch, min(rest, inPage), 8);
  if (region.kind == REGION_HOST) return refuse(m, MEMORY_OK);
  let pointer = sparsePage(m, address, writing);
  if (pointer == 0) {
    if (writing) return refuse(m, MEMORY_NO_PAGE);
    // untouched pages read as zero: 1,920 bytes of scratch are kept zero for this
    pointer = m.scratch + 64;
    store<u64>(m.scratch, min(min(rest, inPage), 1920), 8);
    return pointer;
  }
  return pointer + <u32>(address & 0xfff);
}
