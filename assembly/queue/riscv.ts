// RISC-V IOMMU command queue (4.1 of the RISC-V IOMMU Architecture Specification 1.0), registers of 6.6 to 6.8 and 6.15.
// 16 bytes in the byte order of fctl.BE: 6:0 opcode, 9:7 function
//   1 IOTINVAL  VMA 0, GVMA 1  0.10 AV, 0.31:12 PSCID, 0.32 PSCV, 0.33 GV, 0.34 NL, 0.59:44 GSCID; 1.9 S, 1.61:10 ADDR[63:12]
//   2 IOFENCE   C 0            0.10 AV, 0.11 WSI, 0.12 PR, 0.13 PW, 0.63:32 DATA; 1.61:0 ADDR[63:2]
//   3 IODIR     INVAL_DDT 0, INVAL_PDT 1   0.31:12 PID, 0.33 DV, 0.63:40 DID
//   4 ATS       INVAL 0, PRGR 1            0.31:12 PID, 0.32 PV, 0.33 DSV, 0.55:40 RID, 0.63:56 DSEG; 1 payload
import { isExtended } from "../device/riscv-context";
import { bigEndian, CAP_ATS, CAP_PD8, capabilities } from "../device/riscv-words";
import { dropTranslations, EVERYTHING, invalidate } from "../invalidate";
import {
  INV_CACHE_CONTEXT, INV_CACHE_PASID, INV_DEVICE, INV_GLOBAL, INV_LEAF_ONLY, INV_PROCESS, NO_PASID,
  RISCV_CQB, RISCV_CQCSR, RISCV_CQH, RISCV_CQT, RISCV_DDTP, RISCV_FCTL,
} from "../layout";
import { makeTag, TAG_DOMAIN_MASK, TAG_FIRST, TAG_NESTED, TAG_SECOND, TAG_SPACE_MASK, TAG_VALID } from "../cache/tag";
import { TAG_GLOBAL } from "../cache/assoc";
import { Engine } from "../memory/physical";
import { register, setRegister } from "../unit";
import { askInterrupt, askWrite, bits, CommandQueue, DONE, encodedLg2, firstOf, lastOf } from "./contract";
import { invalidateDeviceTlb, respondToPageRequest } from "./hooks";

// ---- cqcsr (6.15): 0 cqen, 8 cqmf, 9 cmd_to, 10 cmd_ill, 11 fence_w_ip, 16 cqon. Errors are named by their bit.
const CQON: u64 = 1 << 16;
const ERRORS: u64 = (1 << 8) | (1 << 9) | (1 << 10);
const FENCE: u64 = 1 << 11;
const MEMORY_FAULT: u32 = 8;
const ILLEGAL: u32 = 10;

const CAP_NL: u64 = 1 << 42;
const CAP_S: u64 = 1 << 43;
/** fctl.WSI (6.4) */
const WIRED: u64 = 2;

@unmanaged @final
export class RiscvQueue extends CommandQueue {
  @inline running(unit: usize): bool {
    const state = register(unit, RISCV_CQCSR);
    return (state & (CQON | 1)) != 0 && (state & ERRORS) == 0;
  }
  // cqb: 4:0 lg2 of the entries less one, 53:10 PPN
  @inline base(unit: usize): u64 { return (register(unit, RISCV_CQB) & 0x003f_ffff_ffff_fc00) << 2; }
  @inline countLg2(unit: usize): u32 { return min((<u32>register(unit, RISCV_CQB) & 31) + 1, <u32>31); }
  @inline head(unit: usize): u32 { return <u32>register(unit, RISCV_CQH); }
  @inline empty(unit: usize): bool { return <u32>register(unit, RISCV_CQH) == <u32>register(unit, RISCV_CQT); }
  // only LOG2SZ-1:0 of head and tail are writable: anything else was never there
  @inline wild(unit: usize): u32 {
    const lg2 = this.countLg2(unit);
    return (<u32>register(unit, RISCV_CQH) | <u32>register(unit, RISCV_CQT)) >> lg2 != 0 ? MEMORY_FAULT : DONE;
  }
  @inline advance(unit: usize): void { setRegister(unit, RISCV_CQH, (this.head(unit) + 1) & ((1 << this.countLg2(unit)) - 1)); }
  @inline swapped(unit: usize): bool { return bigEndian(unit); }
  @inline fetchError(unit: usize): u32 { return MEMORY_FAULT; }
  @inline stop(unit: usize, code: u32, address: u64): void { setRegister(unit, RISCV_CQCSR, register(unit, RISCV_CQCSR) | (<u64>1 << code)); }
  @inline interrupt(unit: usize): void { setRegister(unit, RISCV_CQCSR, register(unit, RISCV_CQCSR) | FENCE); }

  execute(m: Engine, unit: usize, q0: u64, q1: u64, q2: u64, q3: u64, result: usize): u32 {
    const opcode = <u32>q0 & 0x7f;
    const second = (q0 >> 7 & 1) != 0;
    const caps = capabilities(unit);
    if ((q0 >> 8 & 3) != 0) return ILLEGAL;
    if (opcode == 1) {
      const wants = (q0 >> 34 & 1 ? CAP_NL : 0) | (q1 >> 9 & 1 ? CAP_S : 0);
      if ((q0 & 0xf000_0ff8_0000_0800) != 0 || (q1 & 0xc000_0000_0000_01ff) != 0 || (caps & wants) != wants) return ILLEGAL;
      if (second && (q0 >> 32 & 1) != 0) return ILLEGAL;
      if (second) this.dropSecond(unit, q0, q1);
      else this.dropFirst(unit, q0, q1);
      return DONE;
    }
    if (opcode == 2) {
      if (second || (q0 & 0xffff_c000) != 0 || q1 >> 62 != 0) return ILLEGAL;
      if (q0 >> 11 & 1) {
        if (!(register(unit, RISCV_FCTL) & WIRED)) return ILLEGAL;
        askInterrupt(result);
      }
      if (q0 >> 10 & 1) askWrite(result, q1 << 2, bigEndian(unit) ? bswap<u32>(<u32>(q0 >> 32)) : q0 >> 32, 4);
      return DONE;
    }
    if (opcode == 3) {
      const process = bits(q0, 31, 12);
      const device = <u32>(q0 >> 40);
      const named = (q0 >> 33 & 1) != 0;
      if ((q0 & 0xfd_0000_0c00) != 0 || q1 != 0 || (named && this.tooWide(unit, device))) return ILLEGAL;
      if (!second) {
        if (process != 0) return ILLEGAL;
        invalidate(unit, INV_CACHE_CONTEXT | INV_CACHE_PASID, named ? INV_DEVICE : INV_GLOBAL, 0, 0, device, 0, 0);
        return DONE;
      }
      const widths = caps >> CAP_PD8;
      const widest: u32 = widths & 4 ? 20 : widths & 2 ? 17 : widths & 1 ? 8 : 0;
      if (!named || process >> widest != 0) return ILLEGAL;
      invalidate(unit, INV_CACHE_PASID, INV_PROCESS, 0, process, device, 0, 0);
      return DONE;
    }
    if (opcode == 4) {
      if (!(caps & CAP_ATS) || (q0 & 0xfc_0000_0c00) != 0) return ILLEGAL;
      const rid = (q0 >> 33 & 1 ? bits(q0, 63, 56) << 16 : 0) | bits(q0, 55, 40);
      const pasid: u32 = q0 >> 32 & 1 ? bits(q0, 31, 12) : NO_PASID;
      if (second) {
        respondToPageRequest(m, unit, rid, pasid, bits(q1, 40, 32), bits(q1, 47, 44));
        return DONE;
      }
      const lg2 = q1 >> 11 & 1 ? encodedLg2(q1) : 12;
      invalidateDeviceTlb(m, unit, rid, pasid, (q1 & 1) != 0, firstOf(q1, lg2), lastOf(q1, lg2));
      return DONE;
    }
    return ILLEGAL;
  }

  // a device_id beyond the levels of the directory
  @inline tooWide(unit: usize, device: u32): bool {
    const mode = <u32>register(unit, RISCV_DDTP) & 15;
    const low: u32 = isExtended(unit) ? 6 : 7;
    return device >> (mode < 3 ? low : mode == 3 ? low + 9 : 24) != 0;
  }

  // S: 2^(X + 1) pages, X the lowest zero bit of ADDR; ADDR[63:12] is 61:10
  @inline rangeLg2(q1: u64): u32 { return q1 >> 9 & 1 ? min(13 + <u32>ctz(~(q1 >> 10)), <u32>64) : 12; }

  // GV=0: what has no second stage; PSCV=1: not the global pages; AV=1: leaves, with NL pointers to them
  dropFirst(unit: usize, q0: u64, q1: u64): void {
    const guest = (q0 >> 33 & 1) != 0;
    const addressed = (q0 >> 10 & 1) != 0;
    const spaced = (q0 >> 32 & 1) != 0;
    const what: u32 = addressed && !(q0 >> 34 & 1) ? INV_LEAF_ONLY : 0;
    const lg2 = addressed ? this.rangeLg2(q1) : 64;
    const address = q1 >> 10 << 12;
    const tag = makeTag(guest ? bits(q0, 59, 44) : 0, spaced ? bits(q0, 31, 12) : 0, guest ? TAG_NESTED : TAG_FIRST);
    const mask = TAG_DOMAIN_MASK | TAG_NESTED | (spaced ? TAG_SPACE_MASK | TAG_GLOBAL : 0);
    dropTranslations(unit, what, tag, mask, firstOf(address, lg2), lastOf(address, lg2));
  }

  // what two stages made goes whole, pointers of the first too, which may have been read through the page: guest addresses
  // are not kept beside it
  dropSecond(unit: usize, q0: u64, q1: u64): void {
    if (!(q0 >> 33 & 1)) {
      dropTranslations(unit, 0, TAG_VALID | TAG_SECOND, TAG_VALID | TAG_SECOND, 0, EVERYTHING);
      return;
    }
    const domain = bits(q0, 59, 44);
    const addressed = (q0 >> 10 & 1) != 0;
    const what: u32 = addressed && !(q0 >> 34 & 1) ? INV_LEAF_ONLY : 0;
    const lg2 = addressed ? this.rangeLg2(q1) : 64;
    const address = q1 >> 10 << 12;
    dropTranslations(unit, what, makeTag(domain, 0, TAG_SECOND), TAG_DOMAIN_MASK | TAG_NESTED, firstOf(address, lg2), lastOf(address, lg2));
    dropTranslations(unit, 0, makeTag(domain, 0, TAG_NESTED), TAG_DOMAIN_MASK | TAG_NESTED, 0, EVERYTHING);
  }
}
