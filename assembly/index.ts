// Exports only. `context` is the engine's record, `unit` a unit's, `table` a page table's: linear-memory addresses
// that ts/engine plans. 64-bit values cross as two words, so that no BigInt is made.
import * as architectures from "./architectures";
import { setUp } from "./cache/assoc";
import { runEvents } from "./events";
import * as commands from "./queue/commands";
import { takeFault } from "./fault";
import * as formats from "./formats";
import { deviceTlbAt, invalidateDeviceTlb, openAts as setUpAts, openDeviceTlb as setUpDeviceTlb } from "./device-tlb";
import { respondGroup, takePageRequest } from "./page-request";
import * as frames from "./memory/frames";
import { invalidate as invalidateCaches } from "./invalidate";
import { checkGeometry } from "./format/contract";
import { engine, forgetHit, span, storePhysical } from "./memory/physical";
import { books, geometryOf } from "./table";
import { cachePointer as cacheOf, forgetLast, priv, register, setCache, setRegister, walkOf } from "./unit";

@inline
function wide(low: u32, high: u32): u64 {
  return <u64>low | (<u64>high << 32);
}

// ---- setting up, over zeroed memory

export function openEngine(
  context: usize, regions: u32, scratch: u32, result: u32, silent: u32,
  frameLow: u32, frameHigh: u32, framePointer: u32, frameCount: u32, frameMeta: u32,
  sparseSlots: u32, sparseSlotCount: u32, sparsePool: u32, sparsePages: u32,
): void {
  checkGeometry();
  const m = engine(context);
  m.regions = regions;
  m.scratch = scratch;
  m.result = result;
  m.silent = silent;
  m.frameStart = wide(frameLow, frameHigh);
  m.frameBytes = <u64>frameCount << 12;
  m.framePointer = framePointer;
  m.frameCount = frameCount;
  m.frameMeta = frameMeta;
  m.sparseSlots = sparseSlots;
  m.sparseMask = sparseSlotCount - 1;
  m.sparsePool = sparsePool;
  m.sparsePages = sparsePages;
}

export function setRegions(context: usize, count: u32): void {
  const m = engine(context);
  m.regionCount = count;
  forgetHit(m);
}

export function openUnit(
  context: usize, unit: usize, index: u32, arch: u32, flags: u32, ring: u32, ringCapacity: u32,
  contextValues: u32, pasidValues: u32, scratchDevice: u32, scratchRoute: u32,
): void {
  const p = priv(unit);
  p.engine = <u32>context;
  p.index = index;
  p.arch = arch;
  p.flags = flags;
  p.ring = ring;
  p.ringCapacity = ringCapacity;
  p.contextValues = contextValues;
  p.pasidValues = pasidValues;
  p.scratchDevice = scratchDevice;
  p.scratchRoute = scratchRoute;
}

export function openCache(
  unit: usize, kind: u32, pointer: usize, sets: u32, ways: u32, policy: u32, seed: u32, entries: usize, buckets: u32,
): void {
  setUp(pointer, sets, ways, policy, seed, entries, buckets);
  setCache(unit, kind, pointer);
}

export function openAts(unit: usize, record: usize, devices: usize, deviceCount: u32, ring: usize, ringCapacity: u32, groups: usize): void {
  setUpAts(unit, record, devices, deviceCount, ring, ringCapacity, groups);
}

export function openDeviceTlb(
  unit: usize, index: u32, pointer: usize, sets: u32, ways: u32, policy: u32, seed: u32, entries: usize, buckets: u32,
): void {
  setUpDeviceTlb(unit, index, pointer, sets, ways, policy, seed, entries, buckets);
}

/** Cache of the n-th device-TLB; 0 beyond the last. */
export function deviceTlb(unit: usize, index: u32): usize {
  return deviceTlbAt(unit, index);
}

export function cachePointer(unit: usize, kind: u32): usize {
  return cacheOf(unit, kind);
}

export function writeRegister(unit: usize, index: u32, low: u32, high: u32): void {
  setRegister(unit, index, wide(low, high));
  forgetLast(unit);
}

export function readRegister(unit: usize, index: u32): u64 {
  return register(unit, index);
}

// ---- physical memory

/** See `span` of memory/physical.ts: pointer, the bytes after it at scratch + 8, the host region at scratch + 16. */
export function memorySpan(context: usize, low: u32, high: u32, writing: u32): usize {
  return span(engine(context), wide(low, high), writing != 0);
}

export function memoryRefusal(context: usize): u32 {
  return engine(context).refusal;
}

export function memoryStore(context: usize, low: u32, high: u32, bytes: u32, valueLow: u32, valueHigh: u32): u32 {
  return storePhysical(engine(context), wide(low, high), bytes, wide(valueLow, valueHigh));
}

export function framesUsed(context: usize): u32 {
  return engine(context).frameUsed;
}

export function sparsePagesUsed(context: usize): u32 {
  return engine(context).sparseUsed;
}

/** A zeroed block of 2^order frames for tables that the host writes; all ones when there is none. */
export function takeFrames(context: usize, order: u32): u64 {
  return frames.allocate(engine(context), order);
}

export function giveFrames(context: usize, low: u32, high: u32, order: u32): void {
  frames.release(engine(context), wide(low, high), order);
}

/** The n-th allocation from now is refused, a frame or one of the host's own; 0 turns that off. Counting starts anew. */
export function failAfter(context: usize, after: u32): void {
  const m = engine(context);
  m.failAfter = after;
  m.allocations = 0;
}

/** Allocations since failAfter. */
export function allocations(context: usize): u32 {
  return engine(context).allocations;
}

/** Allocations until the one that is refused; 0: none. */
export function failsIn(context: usize): u32 {
  return engine(context).failAfter;
}

/** The host allocates something of its own: true when that is to be refused. */
export function refuses(context: usize): bool {
  return frames.refuses(engine(context), 1);
}

// ---- page tables

export function openTable(context: usize, table: usize): u32 {
  return formats.openTable(engine(context), table);
}

export function closeTable(context: usize, table: usize): u32 {
  return formats.closeTable(engine(context), table);
}

export function mapPages(
  context: usize, table: usize, low: u32, high: u32, outLow: u32, outHigh: u32, sizeLow: u32, sizeHigh: u32,
  permissions: u32, flags: u32,
): u32 {
  return formats.mapPages(engine(context), table, wide(low, high), wide(outLow, outHigh), wide(sizeLow, sizeHigh), permissions, flags);
}

export function unmapPages(context: usize, table: usize, low: u32, high: u32, sizeLow: u32, sizeHigh: u32): u32 {
  return formats.unmapPages(engine(context), table, wide(low, high), wide(sizeLow, sizeHigh));
}

export function protectPages(context: usize, table: usize, low: u32, high: u32, sizeLow: u32, sizeHigh: u32, permissions: u32): u32 {
  return formats.protectPages(engine(context), table, wide(low, high), wide(sizeLow, sizeHigh), permissions);
}

export function splitPages(context: usize, table: usize, low: u32, high: u32, sizeLow: u32, sizeHigh: u32): u32 {
  return formats.splitPages(engine(context), table, wide(low, high), wide(sizeLow, sizeHigh));
}

/** See `readDirty` of edit/dirty.ts. */
export function readDirty(
  context: usize, table: usize, low: u32, high: u32, sizeLow: u32, sizeHigh: u32, atLow: u32, atHigh: u32, flags: u32,
): u32 {
  return formats.readDirty(engine(context), table, wide(low, high), wide(sizeLow, sizeHigh), wide(atLow, atHigh), flags);
}

/** Walk one table without a trace; OUTCOME_*, the address at scratch + 8 and lg2 bytes at scratch + 16. */
export function lookUp(context: usize, table: usize, low: u32, high: u32, access: u32): u32 {
  const m = engine(context);
  const outcome = formats.peekTable(m, geometryOf(table), wide(low, high), access);
  const walk = walkOf(m.silent, 0);
  store<u64>(m.scratch, walk.pa, 8);
  store<u32>(m.scratch, walk.lg2, 16);
  store<u32>(m.scratch, walk.permissions, 20);
  store<u32>(m.scratch, walk.references, 24);
  return outcome;
}

export function tableMapped(table: usize): u64 {
  return books(table).mapped;
}

// ---- units

export function translate(context: usize, unit: usize, rid: u32, pasid: u32, low: u32, high: u32, access: u32): u32 {
  const m = engine(context);
  return architectures.translate(m, unit, rid, pasid, wide(low, high), access, m.result);
}

export function translate64(context: usize, unit: usize, rid: u32, pasid: u32, address: u64, access: u32): u32 {
  const m = engine(context);
  return architectures.translate(m, unit, rid, pasid, address, access, m.result);
}

/**
 * Translate with a trace of at most `capacity` records (TRACE_* in layout.ts) at `buffer`; returns how many were written.
 * The answer is where `translate` leaves it.
 */
export function explain(
  context: usize, unit: usize, buffer: u32, capacity: u32, rid: u32, pasid: u32, low: u32, high: u32, access: u32,
): u32 {
  const m = engine(context);
  m.trace = buffer;
  m.traceCapacity = capacity;
  m.traceLength = 0;
  // the memoised requester would hide which cache knows it
  forgetLast(unit);
  architectures.translate(m, unit, rid, pasid, wide(low, high), access, m.result);
  m.trace = 0;
  return m.traceLength;
}

/** ENTRY_* of an entry of a walk whose geometry is at `geometry`. */
export function classify(context: usize, geometry: usize, level: u32, low: u32, high: u32): u32 {
  return formats.classify(engine(context), geometry, level, wide(low, high));
}

export function batch(context: usize, unit: usize, columns: usize, capacity: u32, count: u32): u32 {
  return architectures.translateBatch(engine(context), unit, columns, capacity, count);
}

export function run(
  context: usize, unit: usize, columns: usize, capacity: u32, from: u32, to: u32, devices: usize, deviceCount: u32, flags: u32,
  costs: usize,
): u32 {
  return runEvents(engine(context), unit, columns, capacity, from, to, devices, deviceCount, flags, costs);
}

export function invalidate(
  unit: usize, caches: u32, scope: u32, domain: u32, pasid: u32, rid: u32, low: u32, high: u32, lastLow: u32, lastHigh: u32,
): void {
  invalidateCaches(unit, caches, scope, domain, pasid, rid, wide(low, high), wide(lastLow, lastHigh));
}

/** See `invalidateDeviceTlb` of device-tlb.ts. */
export function invalidateDevice(unit: usize, rid: u32, pasid: u32, low: u32, high: u32, lastLow: u32, lastHigh: u32): void {
  invalidateDeviceTlb(unit, rid, pasid, wide(low, high), wide(lastLow, lastHigh));
}

export function nextPageRequest(unit: usize): usize {
  return takePageRequest(unit);
}

/** 1 when the group waited. */
export function respond(unit: usize, rid: u32, pasid: u32, group: u32, code: u32): u32 {
  return respondGroup(unit, rid, pasid, group, code) ? 1 : 0;
}

/** Do one command of the unit's queue, 16 or 32 bytes as four quadwords; COMMAND_*. */
export function command(
  context: usize, unit: usize, a: u32, b: u32, c: u32, d: u32, e: u32, f: u32, g: u32, h: u32,
): u32 {
  const m = engine(context);
  return commands.command(m, unit, wide(a, b), wide(c, d), wide(e, f), wide(g, h), m.result);
}

/** Take at most `bound` commands from the queue in memory; QUEUE_*. */
export function processQueue(context: usize, unit: usize, bound: u32): u32 {
  const m = engine(context);
  return commands.processQueue(m, unit, bound, m.result);
}

/** Write the device-table words of a route; EDIT_*. `first` and `second` are page tables' records, or 0. */
export function setRoute(context: usize, unit: usize, rid: u32, pasid: u32, type: u32, domain: u32, first: usize, second: usize): u32 {
  return architectures.setRoute(engine(context), unit, rid, pasid, type, domain, first, second);
}

export function nextFault(unit: usize): usize {
  return takeFault(unit);
}
