// SMMUv3 command queue (IHI 0070 chapter 4), registers of 6.3.26 to 6.3.28 and 6.3.20. 16 bytes; 0.7:0 is the command,
// 0.10 SSec, 0.11 SSV, 0.31:12 SubstreamID, 0.63:32 StreamID; of TLBI 0.16:12 NUM, 0.25:20 SCALE, 0.47:32 VMID,
// 0.63:48 ASID, 1.0 Leaf, 1.9:8 TTL, 1.11:10 TG, 1.63:12 address. Fields that are RES0 are not looked at; nor is TTL,
// which only narrows what has to go.
import { TAG_GLOBAL } from "../cache/assoc";
import { makeTag, TAG_DOMAIN_MASK, TAG_FIRST, TAG_NESTED, TAG_SECOND, TAG_SPACE_MASK, TAG_VALID, WORLD_SHIFT } from "../cache/tag";
import { ATS, HYP, idr0, idr3, S1P, S2P, stallModel } from "../device/smmuv3-registers";
import { EL1, EL2, EL2_E2H } from "../device/smmuv3-ste";
import { withoutTop } from "../device/smmuv3-walk";
import { dropTranslations, EVERYTHING, invalidate } from "../invalidate";
import {
  INV_CACHE_CONTEXT, INV_CACHE_PASID, INV_DEVICE, INV_DEVICES, INV_GLOBAL, INV_LEAF_ONLY, INV_PROCESS, NO_PASID, SMMU_CMDQ_BASE, SMMU_CMDQ_CONS,
  SMMU_CMDQ_PROD, SMMU_CR0, SMMU_CR2, SMMU_GERROR, SMMU_GERRORN,
} from "../layout";
import { Engine } from "../memory/physical";
import { register, setRegister } from "../unit";
import { askInterrupt, askWrite, bits, CommandQueue, DONE, firstOf, lastOf } from "./contract";
import { invalidateDeviceTlb, respondToPageRequest } from "./hooks";

// ---- CMDQ_CONS.ERR (6.3.28)
const CERROR_ILL: u32 = 1;
const CERROR_ABT: u32 = 2;

const PRI: u64 = 1 << 16; // IDR0
const MSI: u64 = 1 << 13;
const RIL: u64 = 1 << 10; // IDR3
const CMDQEN: u64 = 8; // CR0
const CMDQ_ERR: u64 = 1; // GERROR
const E2H: u64 = 1; // CR2
/** PASID-cache key of CD 0 of requests without SubstreamID (smmuv3.ts) */
const NO_SUBSTREAM: u32 = 1 << 20;

@unmanaged @final
export class SmmuQueue extends CommandQueue {
  // an error holds the queue until GERRORN acknowledges it
  @inline running(unit: usize): bool {
    return (register(unit, SMMU_CR0) & CMDQEN) != 0 && ((register(unit, SMMU_GERROR) ^ register(unit, SMMU_GERRORN)) & CMDQ_ERR) == 0;
  }
  // 6.3.26: 4:0 LOG2SIZE, 55:5 address, aligned to the queue's size
  @inline base(unit: usize): u64 {
    const lg2 = this.countLg2(unit) + 4;
    return (register(unit, SMMU_CMDQ_BASE) & 0x00ff_ffff_ffff_ffe0) >> lg2 << lg2;
  }
  @inline countLg2(unit: usize): u32 { return min(<u32>register(unit, SMMU_CMDQ_BASE) & 31, <u32>19); }
  @inline head(unit: usize): u32 { return <u32>register(unit, SMMU_CMDQ_CONS) & ((1 << this.countLg2(unit)) - 1); }
  // the bit above the index is the wrap flag
  @inline empty(unit: usize): bool {
    return ((register(unit, SMMU_CMDQ_CONS) ^ register(unit, SMMU_CMDQ_PROD)) & ((<u64>2 << this.countLg2(unit)) - 1)) == 0;
  }
  @inline advance(unit: usize): void {
    const cons = register(unit, SMMU_CMDQ_CONS);
    const mask = (<u64>2 << this.countLg2(unit)) - 1;
    setRegister(unit, SMMU_CMDQ_CONS, (cons & 0x7f00_0000) | ((cons + 1) & mask));
  }
  @inline fetchError(unit: usize): u32 { return CERROR_ABT; }
  @inline stop(unit: usize, code: u32, address: u64): void {
    setRegister(unit, SMMU_CMDQ_CONS, (register(unit, SMMU_CMDQ_CONS) & 0xf_ffff) | (<u64>code << 24));
    setRegister(unit, SMMU_GERROR, register(unit, SMMU_GERROR) ^ CMDQ_ERR);
  }

  execute(m: Engine, unit: usize, q0: u64, q1: u64, q2: u64, q3: u64, result: usize): u32 {
    const command = <u32>q0 & 0xff;
    // Secure commands in the Non-secure queue
    if (q0 >> 10 & 1) return CERROR_ILL;
    if (command >= 0x10 && command < 0x40) return this.invalidateTranslations(unit, command, q0, q1);
    const stream = <u32>(q0 >> 32);
    const substream = bits(q0, 31, 12);
    // PREFETCH_CONFIG and PREFETCH_ADDR are hints
    if (command == 0x01 || command == 0x02) return DONE;
    // 4.3: CDs go with the STE that they were fetched through; level 1 descriptors are not cached
    if (command == 0x03) {
      invalidate(unit, INV_CACHE_CONTEXT | INV_CACHE_PASID, INV_DEVICE, 0, 0, stream, 0, 0);
      return DONE;
    }
    if (command == 0x04) {
      const range = <u32>q1 & 31;
      if (range == 31) invalidate(unit, INV_CACHE_CONTEXT | INV_CACHE_PASID, INV_GLOBAL, 0, 0, 0, 0, 0);
      else invalidate(unit, INV_CACHE_CONTEXT | INV_CACHE_PASID, INV_DEVICES, 0, 0, 0, firstOf(stream, range + 1), lastOf(stream, range + 1));
      return DONE;
    }
    if (command == 0x05) {
      invalidate(unit, INV_CACHE_PASID, INV_PROCESS, 0, substream, stream, 0, 0);
      if (substream == 0) invalidate(unit, INV_CACHE_PASID, INV_PROCESS, 0, NO_SUBSTREAM, stream, 0, 0);
      return DONE;
    }
    if (command == 0x06) {
      invalidate(unit, INV_CACHE_PASID, INV_DEVICE, 0, 0, stream, 0, 0);
      return DONE;
    }
    const pasid: u32 = q0 >> 11 & 1 ? substream : NO_PASID;
    if (command == 0x40) {
      if (!(idr0(unit) & ATS)) return CERROR_ILL;
      const lg2 = 12 + (<u32>q1 & 63);
      invalidateDeviceTlb(m, unit, stream, pasid, (q0 >> 9 & 1) != 0, firstOf(q1, lg2), lastOf(q1, lg2));
      return DONE;
    }
    if (command == 0x41) {
      // Resp: 0 denied, 1 invalid request, 2 success
      const resp = bits(q1, 13, 12);
      if (!(idr0(unit) & PRI) || resp == 3) return CERROR_ILL;
      respondToPageRequest(m, unit, stream, pasid, <u32>q1 & 0x1ff, resp == 2 ? 0 : resp == 1 ? 1 : 15);
      return DONE;
    }
    // RESUME and STALL_TERM: nothing waits here
    if (command == 0x44 || command == 0x45) return stallModel(unit) == 1 || (command == 0x44 && bits(q0, 13, 12) == 3) ? CERROR_ILL : DONE;
    if (command == 0x46) {
      const how = bits(q0, 13, 12);
      if (how == 3) return CERROR_ILL;
      if (how != 1) return DONE;
      const address = q1 & 0x000f_ffff_ffff_fffc;
      if (address != 0 && (idr0(unit) & MSI) != 0) askWrite(result, address, q0 >> 32, 4);
      else askInterrupt(result);
      return DONE;
    }
    return CERROR_ILL;
  }

  /** TLBI (4.4). */
  invalidateTranslations(unit: usize, command: u32, q0: u64, q1: u64): u32 {
    const vmid = bits(q0, 47, 32);
    const asid = bits(q0, 63, 48);
    const id = idr0(unit);
    const low = command & 15;
    const leaf: u32 = q1 & 1 ? INV_LEAF_ONLY : 0;
    if (command >= 0x10 && command <= 0x13) {
      if (!(id & S1P)) return CERROR_ILL;
      this.dropStage1(unit, low, leaf, EL1, vmid, asid, q0, q1);
      return DONE;
    }
    if (command >= 0x20 && command <= 0x23) {
      const e2h = (register(unit, SMMU_CR2) & E2H) != 0;
      if (!(id & S1P) || !(id & HYP) || (low & 1 && !e2h)) return CERROR_ILL;
      // streams are in one of the two worlds, by CR2.E2H when their STE was read; ASIDs are those of E2H
      this.dropStage1(unit, low, leaf, EL2, 0, 0, q0, q1);
      this.dropStage1(unit, low, leaf, EL2_E2H, 0, asid, q0, q1);
      return DONE;
    }
    const world = <u64>3 << WORLD_SHIFT;
    if (command == 0x28) {
      if (!(id & S2P)) return CERROR_ILL;
      dropTranslations(unit, 0, makeTag(vmid, 0, 0), TAG_DOMAIN_MASK | world, 0, EVERYTHING);
      return DONE;
    }
    if (command == 0x2a) {
      if (!(id & S2P)) return CERROR_ILL;
      // stage 2 alone: what both stages made is software's to drop by VA or by VMID
      this.dropRange(unit, leaf, makeTag(vmid, 0, TAG_SECOND), TAG_DOMAIN_MASK | TAG_NESTED | world, q0, q1, q1 & 0x000f_ffff_ffff_f000);
      return DONE;
    }
    if (command == 0x30) {
      dropTranslations(unit, 0, TAG_VALID, TAG_VALID | world, 0, EVERYTHING);
      return DONE;
    }
    // EL3 is Secure
    return CERROR_ILL;
  }

  /** `scope` 0 all, 1 an ASID but for its global pages, 2 an address of an ASID or global, 3 an address of every ASID. */
  dropStage1(unit: usize, scope: u32, leaf: u32, world: u32, vmid: u32, asid: u32, q0: u64, q1: u64): void {
    const spaced = scope == 1 || scope == 2;
    const tag = makeTag(vmid, spaced ? asid : 0, TAG_FIRST) | (<u64>world << WORLD_SHIFT);
    const mask = TAG_DOMAIN_MASK | TAG_FIRST | (<u64>3 << WORLD_SHIFT);
    if (scope < 2) {
      dropTranslations(unit, 0, tag, spaced ? mask | TAG_SPACE_MASK | TAG_GLOBAL : mask, 0, EVERYTHING);
      return;
    }
    const address = q1 & ~0xfff;
    // with TBI the top byte is not the address's
    this.dropRange(unit, leaf, tag, spaced ? mask | TAG_SPACE_MASK | TAG_GLOBAL : mask, q0, q1, address);
    if (withoutTop(address) != address) this.dropRange(unit, leaf, tag, spaced ? mask | TAG_SPACE_MASK | TAG_GLOBAL : mask, q0, q1, withoutTop(address));
    if (!spaced) return;
    this.dropRange(unit, leaf, tag | TAG_GLOBAL, mask | TAG_GLOBAL, q0, q1, address);
    if (withoutTop(address) != address) this.dropRange(unit, leaf, tag | TAG_GLOBAL, mask | TAG_GLOBAL, q0, q1, withoutTop(address));
  }

  /** 4.4.1: with IDR3.RIL and a TG, (NUM + 1) * 2^SCALE granules from the address; else the one entry of it. */
  dropRange(unit: usize, leaf: u32, tag: u64, mask: u64, q0: u64, q1: u64, address: u64): void {
    const tg = bits(q1, 11, 10);
    let last = address | 0xfff;
    if (tg != 0 && (idr3(unit) & RIL) != 0) {
      const lg2: u32 = 10 + 2 * tg + bits(q0, 25, 20);
      const granules = <u64>bits(q0, 16, 12) + 1;
      address = firstOf(address, 10 + 2 * tg);
      last = lg2 >= 59 || address + (granules << lg2) < address ? EVERYTHING : address + (granules << lg2) - 1;
    }
    dropTranslations(unit, leaf, tag, mask, address, last);
  }
}
