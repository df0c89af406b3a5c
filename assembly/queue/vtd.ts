// VT-d queued invalidation (VT-d specification 6.5.2), registers of 11.4.9.
//
// Descriptors, 128 bits, or 256 with IQA_REG.DW whose upper half is zero but in a page group response; the type is 11:9
// and 3:0 of the first word:
//   1 context cache     5:4 G (1 global, 2 domain, 3 device), 31:16 DID, 47:32 SID, 49:48 FM
//   2 IOTLB             5:4 G (1 global, 2 domain, 3 page), 6 DW, 7 DR, 31:16 DID; 1.5:0 AM, 1.6 IH, 1.63:12 address
//   3 device-TLB        20:16 MIP, 47:32 SID, 15:12 and 63:52 PFSID; 1.0 S, 1.63:12 address
//   4 interrupt entries 4 G, 31:27 IM, 47:32 IIDX (nothing is cached)
//   5 wait              4 IF, 5 SW, 6 FN, 7 PD, 63:32 status data; 1.63:2 status address
//   6 PASID IOTLB       5:4 G (2 the PASID, 3 pages), 31:16 DID, 51:32 PASID; 1.5:0 AM, 1.6 IH, 1.63:12 address
//   7 PASID cache       5:4 G (0 domain, 1 PASID, 3 global), 31:16 DID, 51:32 PASID
//   8 PASID device-TLB  8:4 MIP, 31:16 SID, 51:32 PASID, 15:12 and 63:52 PFSID; 1.0 G, 1.11 S, 1.63:12 address
//   9 page group response  4 PP, 15:12 code, 31:16 RID, 51:32 PASID; 1.2 LPIG, 1.11:3 group; 2 and 3 private data
import { ECAP_ADMS, ECAP_DT, ECAP_PRS, ECAP_SMTS, MODE_ABORT, MODE_LEGACY, MODE_SCALABLE, tableMode } from "../device/vtd-registers";
import { invalidate } from "../invalidate";
import {
  INV_CACHE_CONTEXT, INV_CACHE_IOTLB, INV_CACHE_PASID, INV_DEVICE, INV_DOMAIN, INV_GLOBAL, INV_LEAF_ONLY, INV_PAGE, INV_PASID, INV_PASID_PAGE,
  NO_PASID, VTD_COMPLETION, VTD_ECAP, VTD_FAULT_STATUS, VTD_IQA, VTD_IQH, VTD_IQT, VTD_QUEUE_ERROR, VTD_STATUS,
} from "../layout";
import { Engine } from "../memory/physical";
import { register, setRegister } from "../unit";
import { askInterrupt, askWrite, bits, CommandQueue, DONE, encodedLg2, firstOf, lastOf } from "./contract";
import { invalidateDeviceTlb, respondToPageRequest } from "./hooks";

/** GSTS_REG.QIES (11.4.4.2) */
const QUEUE_ON: u64 = 1 << 26;
/** FSTS_REG.IQE (11.4.7.1). ITE and ICE tell of devices that answer late or wrongly; here they answer at once. */
const QUEUE_ERROR: u64 = 1 << 4;
/** ICS_REG.IWC (11.4.9.4) */
const WAIT_COMPLETE: u64 = 1;
/** IQA_REG (11.4.9.3): 2:0 QS, 11 DW, 63:12 address */
const WIDE: u64 = 1 << 11;

// ---- IQERCD_REG.IQEI (11.4.9.9)
const BAD_TAIL: u32 = 1;
const FETCH: u32 = 2;
const BAD_TYPE: u32 = 3;
const RESERVED: u32 = 4;
const BAD_WIDTH: u32 = 5;
const MISALIGNED_TAIL: u32 = 6;
const BAD_MODE: u32 = 7;

// ---- ECAP_REG (11.4.3)
const ECAP_DIT: u64 = 1 << 41;
const ECAP_PDS: u64 = 1 << 42;

/** 15:12 and 63:52 of device-TLB descriptors: reserved without ECAP_REG.DIT */
const PFSID: u64 = 0xfff0_0000_0000_f000;

@unmanaged @final
export class VtdQueue extends CommandQueue {
  @inline running(unit: usize): bool {
    return (register(unit, VTD_STATUS) & QUEUE_ON) != 0 && (register(unit, VTD_FAULT_STATUS) & QUEUE_ERROR) == 0;
  }
  @inline entryLg2(unit: usize): u32 { return register(unit, VTD_IQA) & WIDE ? 5 : 4; }
  @inline base(unit: usize): u64 { return register(unit, VTD_IQA) & ~0xfff; }
  // 2^QS pages
  @inline countLg2(unit: usize): u32 { return (<u32>register(unit, VTD_IQA) & 7) + 12 - this.entryLg2(unit); }
  @inline head(unit: usize): u32 { return (<u32>register(unit, VTD_IQH) & 0x7_fff0) >> this.entryLg2(unit); }
  @inline empty(unit: usize): bool { return ((register(unit, VTD_IQH) ^ register(unit, VTD_IQT)) & 0x7_fff0) == 0; }
  // 11.4.9.9: scalable and abort-dma mode want 256-bit descriptors, which are there with one of the two
  @inline misset(unit: usize): u32 {
    const mode = tableMode(unit);
    const ecap = register(unit, VTD_ECAP);
    if (mode == 2 || (mode == MODE_ABORT && !(ecap & ECAP_ADMS))) return BAD_MODE;
    if (register(unit, VTD_IQA) & WIDE) return ecap & (ECAP_SMTS | ECAP_ADMS) ? DONE : BAD_WIDTH;
    return mode == MODE_LEGACY ? DONE : BAD_WIDTH;
  }
  @inline wild(unit: usize): u32 {
    const wrong = this.misset(unit);
    if (wrong != DONE) return wrong;
    const lg2 = this.entryLg2(unit);
    const bytes: u32 = 1 << (this.countLg2(unit) + lg2);
    if ((<u32>register(unit, VTD_IQT) & 0x7_fff0) >= bytes || this.head(unit) << lg2 >= bytes) return BAD_TAIL;
    return lg2 == 5 && ((register(unit, VTD_IQT) | register(unit, VTD_IQH)) & 16) != 0 ? MISALIGNED_TAIL : DONE;
  }
  @inline advance(unit: usize): void {
    const lg2 = this.entryLg2(unit);
    setRegister(unit, VTD_IQH, <u64>((this.head(unit) + 1) & ((1 << this.countLg2(unit)) - 1)) << lg2);
  }
  @inline fetchError(unit: usize): u32 { return FETCH; }
  @inline stop(unit: usize, code: u32, address: u64): void {
    setRegister(unit, VTD_FAULT_STATUS, register(unit, VTD_FAULT_STATUS) | QUEUE_ERROR);
    setRegister(unit, VTD_QUEUE_ERROR, code);
  }
  @inline interrupt(unit: usize): void { setRegister(unit, VTD_COMPLETION, register(unit, VTD_COMPLETION) | WAIT_COMPLETE); }

  execute(m: Engine, unit: usize, q0: u64, q1: u64, q2: u64, q3: u64, result: usize): u32 {
    const type = (<u32>q0 & 15) | (<u32>(q0 >> 5) & 0x70);
    const g = bits(q0, 5, 4);
    const domain = bits(q0, 31, 16);
    const pasid = bits(q0, 51, 32);
    const ecap = register(unit, VTD_ECAP);
    // 6.5.2.11 Table 26, 6.5.2.5, 6.5.2.6, 7.6.1
    if ((type > 5 && tableMode(unit) == MODE_LEGACY) || ((type == 3 || type == 8) && !(ecap & ECAP_DT)) || (type == 9 && !(ecap & ECAP_PRS))) return BAD_TYPE;
    if ((type != 9 && (q2 | q3) != 0) || ((type == 3 || type == 8) && !(ecap & ECAP_DIT) && (q0 & PFSID) != 0)) return RESERVED;
    if (type == 1) {
      if ((q0 & 0xfffc_0000_0000_f1c0) != 0 || q1 != 0 || g == 0) return RESERVED;
      // context entries of scalable mode have no DID; PASIDs go with the entry that they were found through
      if (g == 1 || (g == 2 && tableMode(unit) == MODE_SCALABLE)) invalidate(unit, INV_CACHE_CONTEXT | INV_CACHE_PASID, INV_GLOBAL, 0, 0, 0, 0, 0);
      else if (g == 2) invalidate(unit, INV_CACHE_CONTEXT, INV_DOMAIN, domain, 0, 0, 0, 0);
      else this.dropFunctions(unit, bits(q0, 47, 32), bits(q0, 49, 48));
      return DONE;
    }
    if (type == 2) {
      if ((q0 & 0xffff_ffff_0000_f100) != 0 || (q1 & 0xf80) != 0 || g == 0) return RESERVED;
      if (g == 1) invalidate(unit, INV_CACHE_IOTLB, INV_GLOBAL, 0, 0, 0, 0, 0);
      else if (g == 2) invalidate(unit, INV_CACHE_IOTLB, INV_DOMAIN, domain, 0, 0, 0, 0);
      else {
        const lg2 = 12 + bits(q1, 5, 0);
        invalidate(unit, this.hinted(q1), INV_PAGE, domain, 0, 0, firstOf(q1, lg2), lastOf(q1, lg2));
      }
      return DONE;
    }
    if (type == 3) {
      if ((q0 & 0x000f_0000_ffe0_01f0) != 0 || (q1 & 0xffe) != 0) return RESERVED;
      this.dropDevice(m, unit, bits(q0, 47, 32), NO_PASID, false, q1 & ~0xfff, (q1 & 1) != 0);
      return DONE;
    }
    if (type == 4) return (q0 & 0xffff_0000_07ff_f1e0) != 0 || q1 != 0 ? RESERVED : DONE;
    if (type == 5) {
      if ((q0 & 0xffff_f100) != 0 || (q1 & 3) != 0 || ((q0 & 128) != 0 && !(ecap & ECAP_PDS))) return RESERVED;
      if (q0 & 32) askWrite(result, q1 & ~3, q0 >> 32, 4);
      if (q0 & 16) askInterrupt(result);
      return DONE;
    }
    if (type == 6) {
      if ((q0 & 0xfff0_0000_0000_f1c0) != 0 || (q1 & 0xf80) != 0 || g < 2) return RESERVED;
      if (g == 2) invalidate(unit, INV_CACHE_IOTLB, INV_PASID, domain, pasid, 0, 0, 0);
      else {
        const lg2 = 12 + bits(q1, 5, 0);
        invalidate(unit, this.hinted(q1), INV_PASID_PAGE, domain, pasid, 0, firstOf(q1, lg2), lastOf(q1, lg2));
      }
      return DONE;
    }
    if (type == 7) {
      if ((q0 & 0xfff0_0000_0000_f1c0) != 0 || q1 != 0 || g == 2) return RESERVED;
      invalidate(unit, INV_CACHE_PASID, g == 0 ? INV_DOMAIN : g == 1 ? INV_PASID : INV_GLOBAL, domain, pasid, 0, 0, 0);
      return DONE;
    }
    if (type == 8) {
      if ((q1 & 0x7fe) != 0) return RESERVED;
      this.dropDevice(m, unit, domain, pasid, (q1 & 1) != 0, q1 & ~0xfff, (q1 >> 11 & 1) != 0);
      return DONE;
    }
    if (type == 9) {
      respondToPageRequest(m, unit, domain, q0 & 16 ? pasid : NO_PASID, bits(q1, 11, 3), bits(q0, 15, 12));
      return DONE;
    }
    return BAD_TYPE;
  }

  // IH: only leaf entries changed
  @inline hinted(q1: u64): u32 { return q1 & 64 ? INV_CACHE_IOTLB | INV_LEAF_ONLY : INV_CACHE_IOTLB; }

  // FM masks function bit 2, 2:1 or 2:0
  @inline dropFunctions(unit: usize, sid: u32, fm: u32): void {
    const masked: u32 = fm == 0 ? 0 : fm == 1 ? 4 : fm == 2 ? 6 : 7;
    for (let number: u32 = 0; number < 8; number++) {
      if (((number ^ sid) & 7 & ~masked) != 0) continue;
      invalidate(unit, INV_CACHE_CONTEXT | INV_CACHE_PASID, INV_DEVICE, 0, 0, (sid & 0xfff8) | number, 0, 0);
    }
  }

  @inline dropDevice(m: Engine, unit: usize, rid: u32, pasid: u32, everyPasid: bool, address: u64, sized: bool): void {
    const lg2 = sized ? encodedLg2(address) : 12;
    invalidateDeviceTlb(m, unit, rid, pasid, everyPasid, firstOf(address, lg2), lastOf(address, lg2));
  }
}
