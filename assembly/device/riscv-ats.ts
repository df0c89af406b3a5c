// ATS and page requests on a RISC-V IOMMU (RISC-V IOMMU Architecture Specification 1.0, 3.6 and 3.7): tc.EN_ATS, EN_PRI
// and T2GPA. Section numbers are those of the specification.
import {
  ACCESS_EXECUTE, ACCESS_PRIVILEGED, ACCESS_READ, ACCESS_WRITE, COMPLETION_ABORT, COMPLETION_SUCCESS, COMPLETION_UNSUPPORTED, ENTRY_GLOBAL,
  ENTRY_UNTRANSLATED_ONLY, NO_PASID, RISCV_ATTRIBUTE_GLOBAL, RISCV_ATTRIBUTE_MRIF, RISCV_ATTRIBUTE_MSI, RISCV_DDTP, RISCV_DEFAULTED,
  RISCV_PQCSR, ROUTE_SECOND,
} from "../layout";
import { register, setRegister } from "../unit";
import { AtsRules, COMPLETION_QUIET, TRANSLATED_PASSES, TRANSLATED_SECOND, wantsRead } from "./ats-rules";
import { DECODED, NOT_RECORDED } from "./contract";
import { DDTP_BARE, DPE, PDTV, TYPE_DISALLOWED, WIDTH_SHIFT, WORD_TC } from "./riscv";
import { TC_EN_ATS, TC_EN_PRI, TC_T2GPA } from "./riscv-context";
import { bigEndian } from "./riscv-words";
import { entryWord, Route } from "./route";
import { WALKER_RISCV_SECOND } from "./walkers";

// ---- pqcsr (6.17): 0 pqen, 9 pqof, 16 pqon
const PQ_ON: u64 = (1 << 16) | 1;
const PQ_OVERFLOW: u64 = 1 << 9;
/** 4.2: TTYP of a PCIe message, whose code stands in iotval: Page Request (PCIe 10.4.1) */
const MESSAGE: u64 = 9;
const PAGE_REQUEST_MESSAGE: u64 = 4;

@unmanaged @final
export class RiscvAts extends AtsRules {
  // 3.3 step 2
  @inline refuseUnit(unit: usize, rid: u32, pasid: u32, access: u32): u32 {
    setRegister(unit, RISCV_DEFAULTED, 0);
    return (<u32>register(unit, RISCV_DDTP) & 15) == DDTP_BARE ? TYPE_DISALLOWED : DECODED;
  }

  // 3.3 step 7
  @inline refuseDevice(unit: usize, device: usize, pasid: u32, address: u64, access: u32): u32 {
    setRegister(unit, RISCV_DEFAULTED, 0);
    if (!(load<u64>(entryWord(device, WORD_TC)) & TC_EN_ATS)) return TYPE_DISALLOWED;
    const bits = changetype<Route>(device).bits;
    return pasid != NO_PASID && (!(bits & PDTV) || pasid >> (bits >> WIDTH_SHIFT) != 0) ? TYPE_DISALLOWED : DECODED;
  }

  // 3.1.3.1 T2GPA: translated requests have guest addresses
  @inline translatedMode(unit: usize, device: usize): u32 {
    return load<u64>(entryWord(device, WORD_TC)) & TC_T2GPA ? TRANSLATED_SECOND : TRANSLATED_PASSES;
  }

  // no process, and a Bare first stage
  @inline secondOnly(route: Route): void {
    route.bits &= ~DPE;
    route.type = ROUTE_SECOND;
    route.walker = WALKER_RISCV_SECOND;
    route.space = 0;
    route.tag = route.secondTag;
  }

  // X decides of which kind the access to a U page is
  @inline walkAccess(access: u32): u32 { return access & ~(ACCESS_READ | ACCESS_WRITE); }

  // 3.6; 268 to 270 and 274 are not in its lists: they are as what they are like
  @inline completion(unit: usize, code: u32): u32 {
    if ((code >= 256 && code <= 260) || code == 268) return COMPLETION_UNSUPPORTED;
    const paging = code == 12 || code == 13 || code == 15 || code == 20 || code == 21 || code == 23 || code == 262 || code == 266;
    return paging ? COMPLETION_SUCCESS | COMPLETION_QUIET : COMPLETION_ABORT;
  }

  // 3.6: U of an MRIF; Global with a PASID
  @inline entryFlags(unit: usize, route: Route, pasid: u32, attributes: u32): u32 {
    if (attributes & RISCV_ATTRIBUTE_MSI) return attributes & RISCV_ATTRIBUTE_MRIF ? ENTRY_UNTRANSLATED_ONLY : 0;
    return pasid != NO_PASID && attributes & RISCV_ATTRIBUTE_GLOBAL ? ENTRY_GLOBAL : 0;
  }

  // a Bare first stage is every process's
  @inline bypassAttributes(): u32 { return RISCV_ATTRIBUTE_GLOBAL; }

  // 3.7: Invalid Request without EN_PRI, which is reported; Response Failure of a queue that is off, which is not
  @inline refusePageRequest(unit: usize, device: usize, pasid: u32): u32 {
    if (!(load<u64>(entryWord(device, WORD_TC)) & TC_EN_PRI)) return TYPE_DISALLOWED;
    return (register(unit, RISCV_PQCSR) & PQ_ON) == PQ_ON ? DECODED : NOT_RECORDED;
  }
  @inline recordRefusal(unit: usize, slot: usize, rid: u32, pasid: u32, code: u32, address: u64, access: u32): void {
    let low = <u64>code | (MESSAGE << 34) | (<u64>rid << 40);
    if (pasid != NO_PASID) low |= (<u64>(pasid & 0xf_ffff) << 12) | (<u64>1 << 32) | (access & ACCESS_PRIVILEGED ? <u64>1 << 33 : 0);
    const swapped = bigEndian(unit);
    store<u64>(slot, swapped ? bswap<u64>(low) : low);
    store<u64>(slot, swapped ? bswap<u64>(PAGE_REQUEST_MESSAGE) : PAGE_REQUEST_MESSAGE, 16);
  }
  // 4.3: while pqof is set requests are discarded, the last of a group with the response Success (3.7)
  @inline overflowed(unit: usize): bool { return (register(unit, RISCV_PQCSR) & PQ_OVERFLOW) != 0; }
  @inline overflow(unit: usize): void { setRegister(unit, RISCV_PQCSR, register(unit, RISCV_PQCSR) | PQ_OVERFLOW); }

  // 4.3, doublewords in the byte order of fctl.BE: 31:12 PID, 32 PV, 33 PRIV, 34 EXEC, 63:40 DID; 64 R, 65 W, 66 L, 75:67
  //   group, 127:76 address
  @inline recordPageRequest(unit: usize, slot: usize, rid: u32, pasid: u32, address: u64, access: u32, group: u32, last: bool): void {
    let low: u64 = <u64>rid << 40;
    if (pasid != NO_PASID) {
      low |= (<u64>(pasid & 0xf_ffff) << 12) | (<u64>1 << 32) | (access & ACCESS_PRIVILEGED ? <u64>1 << 33 : 0) | (access & ACCESS_EXECUTE ? <u64>1 << 34 : 0);
    }
    const high = (address & ~0xfff) | (<u64>group << 3) | (last ? 4 : 0) | (access & ACCESS_WRITE ? 2 : 0) | (wantsRead(access) ? 1 : 0);
    const swapped = bigEndian(unit);
    store<u64>(slot, swapped ? bswap<u64>(low) : low);
    store<u64>(slot, swapped ? bswap<u64>(high) : high, 8);
  }
}
