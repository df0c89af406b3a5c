// AMD IOMMU command buffer (48882 2.4), registers of 3.4.2, 3.4.3, 3.4.14, 3.4.15. 16 bytes; 0.63:60 is the command:
//   1 COMPLETION_WAIT             0.0 S, 0.1 I, 0.2 F, 0.51:3 store address; 1 data
//   2 INVALIDATE_DEVTAB_ENTRY     0.15:0 DeviceID
//   3 INVALIDATE_IOMMU_PAGES      0.19:0 PASID, 0.47:32 DomainID; 1.0 S, 1.1 PDE, 1.2 GN, 1.63:12 address
//   4 INVALIDATE_IOTLB_PAGES      0.15:0 DeviceID, 0.23:16 PASID[15:8], 0.31:24 Maxpend, 0.47:32 QueueID, 0.55:48 PASID[7:0],
//                                 0.59:56 PASID[19:16]; 1.0 S, 1.2 GN, 1.5:4 Type, 1.63:12 address
//   5 INVALIDATE_INTERRUPT_TABLE  0.15:0 DeviceID (nothing is cached)
//   6 PREFETCH_IOMMU_PAGES        as 4, with the count in 0.31:24 (a hint)
//   7 COMPLETE_PPR_REQUEST        0.15:0 DeviceID, 0.51:32 PASID; 1.2 GN, 1.40:32 tag, 1.47:44 code
//   8 INVALIDATE_IOMMU_ALL
import { nextSlot } from "../fault";
import { invalidate } from "../invalidate";
import {
  AMDVI_COMMAND_BASE, AMDVI_COMMAND_HEAD, AMDVI_COMMAND_TAIL, AMDVI_CONTROL, AMDVI_FEATURES, AMDVI_STATUS, INV_CACHE_CONTEXT, INV_CACHE_IOTLB,
  INV_CACHE_PASID, INV_DEVICE, INV_FIRST, INV_GLOBAL, INV_LEAF_ONLY, INV_PAGE, INV_PASID_PAGE, NO_PASID,
} from "../layout";
import { Engine } from "../memory/physical";
import { register, setRegister } from "../unit";
import { askInterrupt, askWrite, bits, CommandQueue, DONE, encodedLg2, firstOf, lastOf } from "./contract";
import { invalidateDeviceTlb, respondToPageRequest } from "./hooks";

// ---- Control (3.4.3): 0 IommuEn, 12 CmdBufEn; Status (3.4.15): 2 ComWaitInt, 4 CmdBufRun
const RUNS: u64 = (1 << 12) | 1;
const WAIT_INTERRUPT: u64 = 4;
const RUNNING: u64 = 16;
/** the engine's own bit of Status: an error stopped the buffer, until CmdBufEn is written again */
const STOPPED: u64 = 1 << 63;

// ---- Extended Feature Register (3.4.9)
const PREF_SUP: u64 = 1;
const PPR_SUP: u64 = 2;
const GT_SUP: u64 = 16;
const IA_SUP: u64 = 64;

// ---- events (2.5.7, 2.5.8)
const ILLEGAL_COMMAND: u32 = 5;
const COMMAND_HARDWARE: u32 = 6;

const OFFSET: u64 = 0x7_fff0;

@unmanaged @final
export class AmdviQueue extends CommandQueue {
  @inline running(unit: usize): bool {
    return (register(unit, AMDVI_CONTROL) & RUNS) == RUNS && (register(unit, AMDVI_STATUS) & STOPPED) == 0;
  }
  // 3.4.2: 51:12 base, 59:56 ComLen, 8 to 15: 2^ComLen entries
  @inline base(unit: usize): u64 { return register(unit, AMDVI_COMMAND_BASE) & 0x000f_ffff_ffff_f000; }
  @inline countLg2(unit: usize): u32 { return max(<u32>8, <u32>(register(unit, AMDVI_COMMAND_BASE) >> 56) & 15); }
  @inline head(unit: usize): u32 { return <u32>(register(unit, AMDVI_COMMAND_HEAD) & OFFSET) >> 4; }
  @inline empty(unit: usize): bool { return ((register(unit, AMDVI_COMMAND_HEAD) ^ register(unit, AMDVI_COMMAND_TAIL)) & OFFSET) == 0; }
  // pointers beyond the buffer: undefined in the specification, here as memory that cannot be read
  @inline wild(unit: usize): u32 {
    const count: u32 = 1 << this.countLg2(unit);
    return this.head(unit) >= count || <u32>(register(unit, AMDVI_COMMAND_TAIL) & OFFSET) >> 4 >= count ? COMMAND_HARDWARE : DONE;
  }
  @inline advance(unit: usize): void {
    setRegister(unit, AMDVI_COMMAND_HEAD, <u64>((this.head(unit) + 1) & ((1 << this.countLg2(unit)) - 1)) << 4);
  }
  @inline fetchError(unit: usize): u32 { return COMMAND_HARDWARE; }
  // 2.5.7: 63:60 code, 127:64 address of the command; 2.5.8: 58:57 Type, 2 target abort
  @inline stop(unit: usize, code: u32, address: u64): void {
    setRegister(unit, AMDVI_STATUS, (register(unit, AMDVI_STATUS) & ~RUNNING) | STOPPED);
    const slot = nextSlot(unit);
    if (slot == 0) return;
    store<u64>(slot, (<u64>code << 60) | (code == COMMAND_HARDWARE ? <u64>2 << 57 : 0));
    store<u64>(slot, address, 8);
  }
  @inline interrupt(unit: usize): void { setRegister(unit, AMDVI_STATUS, register(unit, AMDVI_STATUS) | WAIT_INTERRUPT); }

  execute(m: Engine, unit: usize, q0: u64, q1: u64, q2: u64, q3: u64, result: usize): u32 {
    const command = <u32>(q0 >> 60);
    const body = q0 & 0x0fff_ffff_ffff_ffff;
    const features = register(unit, AMDVI_FEATURES);
    const device = <u32>q0 & 0xffff;
    const guest = (q1 & 4) != 0;
    if (command == 1) {
      if ((body & 0xfff0_0000_0000_0000) != 0) return ILLEGAL_COMMAND;
      if (q0 & 1) askWrite(result, q0 & 0x000f_ffff_ffff_fff8, q1, 8);
      if (q0 & 2) askInterrupt(result);
      return DONE;
    }
    if (command == 2) {
      if ((body & ~0xffff) != 0 || q1 != 0) return ILLEGAL_COMMAND;
      invalidate(unit, INV_CACHE_CONTEXT | INV_CACHE_PASID, INV_DEVICE, 0, 0, device, 0, 0);
      return DONE;
    }
    if (command == 3) {
      if ((body & ~0xffff_000f_ffff) != 0 || (q1 & 0xff8) != 0 || (guest && !(features & GT_SUP))) return ILLEGAL_COMMAND;
      const lg2 = this.lg2Of(q1);
      // PDE: entries that are no pages as well
      const what: u32 = INV_CACHE_IOTLB | (q1 & 2 ? 0 : INV_LEAF_ONLY);
      const first = firstOf(q1, lg2);
      const last = lastOf(q1, lg2);
      const domain = bits(q0, 47, 32);
      if (guest) invalidate(unit, what | INV_FIRST, INV_PASID_PAGE, domain, <u32>q0 & 0xf_ffff, 0, first, last);
      else invalidate(unit, what, INV_PAGE, domain, 0, 0, first, last);
      return DONE;
    }
    if (command == 4) {
      if ((q1 & 0xfca) != 0) return ILLEGAL_COMMAND;
      const lg2 = this.lg2Of(q1);
      const pasid = (bits(q0, 59, 56) << 16) | (bits(q0, 23, 16) << 8) | bits(q0, 55, 48);
      invalidateDeviceTlb(m, unit, device, guest ? pasid : NO_PASID, false, firstOf(q1, lg2), lastOf(q1, lg2));
      return DONE;
    }
    if (command == 5) return (body & ~0xffff) != 0 || q1 != 0 ? ILLEGAL_COMMAND : DONE;
    if (command == 6) return features & PREF_SUP ? DONE : ILLEGAL_COMMAND;
    if (command == 7) {
      if (!(features & PPR_SUP) || (body & ~0xf_ffff_0000_ffff) != 0 || (q1 & ~0xffff_0000_0004) != 0) return ILLEGAL_COMMAND;
      respondToPageRequest(m, unit, device, guest ? bits(q0, 51, 32) : NO_PASID, bits(q1, 40, 32), bits(q1, 47, 44));
      return DONE;
    }
    if (command == 8) {
      if (!(features & IA_SUP) || (body | q1) != 0) return ILLEGAL_COMMAND;
      invalidate(unit, INV_CACHE_IOTLB | INV_CACHE_CONTEXT | INV_CACHE_PASID, INV_GLOBAL, 0, 0, 0, 0, 0);
      return DONE;
    }
    return ILLEGAL_COMMAND;
  }

  // 2.4.3: S: the size is encoded as in a page of Next Level 7; 63:12 all ones but the top is everything
  @inline lg2Of(q1: u64): u32 {
    const lg2 = q1 & 1 ? encodedLg2(q1) : 12;
    return lg2 > 63 ? 64 : lg2;
  }
}
