// What an architecture's command queue is: where its entries lie, and what one command does. process.ts holds the loop.
//
// To add a queue: one file that extends CommandQueue, one line in each switch of commands.ts.
import { COMMAND_ADDRESS, COMMAND_BYTES, COMMAND_CODE, COMMAND_DATA, COMMAND_INTERRUPT } from "../layout";
import { Engine } from "../memory/physical";

/** `execute` did what the command says. */
export const DONE: u32 = 0;

@unmanaged
export class CommandQueue {
  /** it takes commands: it is switched on, and no error holds it */
  @inline running(unit: usize): bool { return false; }
  /** lg2 bytes of an entry: 4 or 5 */
  @inline entryLg2(unit: usize): u32 { return 4; }
  /** physical address of the first entry, and lg2 of the number of entries */
  @inline base(unit: usize): u64 { return 0; }
  @inline countLg2(unit: usize): u32 { return 0; }
  /** bits of the word that hold an index */
  @inline head(unit: usize): u32 { return 0; }
  /** nothing is left between head and tail */
  @inline empty(unit: usize): bool { return true; }
  /** error code of head or tail outside the queue, or DONE */
  @inline wild(unit: usize): u32 { return DONE; }
  @inline advance(unit: usize): void {}
  /** bytes of an entry are in the byte order of words that are swapped */
  @inline swapped(unit: usize): bool { return false; }
  /** error code of an entry, or of a completion's write, that memory refused */
  @inline fetchError(unit: usize): u32 { return 1; }
  @inline writeError(unit: usize): u32 { return this.fetchError(unit); }
  /** the queue stops with an error code at the command at `address` */
  @inline stop(unit: usize, code: u32, address: u64): void {}
  /** what the registers keep of an interrupt that a wait or fence asks for */
  @inline interrupt(unit: usize): void {}
  /** do one command: DONE, or the code of its error; may ask for a write or an interrupt in `result` (COMMAND_*) */
  @inline execute(m: Engine, unit: usize, q0: u64, q1: u64, q2: u64, q3: u64, result: usize): u32 { return DONE; }
}

@inline
export function clearAnswer(result: usize): void {
  store<u32>(result, 0, COMMAND_CODE);
  store<u64>(result, 0, COMMAND_ADDRESS);
  store<u64>(result, 0, COMMAND_DATA);
  store<u32>(result, 0, COMMAND_BYTES);
  store<u32>(result, 0, COMMAND_INTERRUPT);
}

@inline
export function askWrite(result: usize, address: u64, data: u64, bytes: u32): void {
  store<u64>(result, address, COMMAND_ADDRESS);
  store<u64>(result, data, COMMAND_DATA);
  store<u32>(result, bytes, COMMAND_BYTES);
}

@inline
export function askInterrupt(result: usize): void {
  store<u32>(result, 1, COMMAND_INTERRUPT);
}

/** Bits `high`:`low`, fewer than 32. */
@inline
export function bits(word: u64, high: u32, low: u32): u32 {
  return <u32>(word >> low) & ((<u32>1 << (high - low + 1)) - 1);
}

/** lg2 bytes of a range that an address encodes: 2^(n + 13), n the number of ones from bit 12 up (PCIe ATS, S = 1). */
@inline
export function encodedLg2(address: u64): u32 {
  return 13 + <u32>ctz(~(address >> 12));
}

/** Last byte of 2^lg2 bytes around an address. */
@inline
export function lastOf(address: u64, lg2: u32): u64 {
  return lg2 >= 64 ? 0xffff_ffff_ffff_ffff : address | ((<u64>1 << lg2) - 1);
}
@inline
export function firstOf(address: u64, lg2: u32): u64 {
  return lg2 >= 64 ? 0 : address & ~((<u64>1 << lg2) - 1);
}
