// RISC-V device context (3.1) and its route. Section numbers are those of the RISC-V IOMMU Architecture Specification 1.0.
//
//   non-leaf DDT entry  0 V | 9:1 reserved | 53:10 PPN | 63:54 reserved
//   DC, 32 bytes base, 64 extended: tc, iohgatp, ta, fsc [, msiptp, msi_addr_mask, msi_addr_pattern, reserved]
//   tc       0 V | 1 EN_ATS | 2 EN_PRI | 3 T2GPA | 4 DTF | 5 PDTV | 6 PRPR | 7 GADE | 8 SADE | 9 DPE | 10 SBE | 11 SXL
//            23:12 reserved | 31:24 custom | 63:32 reserved
//   iohgatp  43:0 PPN | 59:44 GSCID | 63:60 MODE     ta   31:12 PSCID | 51:40 RCID | 63:52 MCID
//   fsc      43:0 PPN | 63:60 MODE                   msiptp  43:0 PPN | 63:60 MODE (0 Off, 1 Flat)
import { makeTag, TAG_FIRST, TAG_GADE, TAG_NESTED, TAG_SADE, TAG_SECOND, TAG_SUM, VARIANT_SHIFT } from "../cache/tag";
import { Geometry } from "../format/contract";
import {
  FORMAT_RISCV_SV,
  FORMAT_RISCV_SV32,
  RISCV_BE_WRITABLE,
  RISCV_FCTL,
  RISCV_GXL_WRITABLE,
  RISCV_MCID_BITS,
  RISCV_RCID_BITS,
  RISCV_SV_BIG_ENDIAN,
  RISCV_SV_DIRTIES,
  RISCV_SV_PBMT,
  RISCV_SV_RSW60,
  RISCV_SV_SUM,
  RISCV_SV_TABLES,
  RISCV_SV_UPDATE,
  RISCV_SV_X4,
  ROUTE_BYPASS,
  ROUTE_FIRST,
  ROUTE_NESTED,
  ROUTE_SECOND,
} from "../layout";
import { register } from "../unit";
import { msiClass, setMsiTable } from "./riscv-msi";
import {
  bigEndian,
  CAP_AMO_HWAD,
  CAP_ATS,
  CAP_END,
  CAP_MSI_FLAT,
  CAP_PBMT,
  CAP_PD8,
  CAP_QOSID,
  CAP_RSW60,
  CAP_SV32,
  CAP_SV32X4,
  CAP_T2GPA,
  capabilities,
  physicalBits,
  ROOT_PPN,
} from "./riscv-words";
import { firstStage, Route, ROUTE_QUIET, secondStage, spareStage } from "./route";
import { WALKER_RISCV_FIRST, WALKER_RISCV_NESTED, WALKER_RISCV_SECOND } from "./walkers";

// ---- tc (3.1.3.1)
export const TC_V: u64 = 1;
export const TC_EN_ATS: u64 = 1 << 1;
export const TC_EN_PRI: u64 = 1 << 2;
export const TC_T2GPA: u64 = 1 << 3;
const TC_DTF: u64 = 1 << 4;
export const TC_PDTV: u64 = 1 << 5;
const TC_PRPR: u64 = 1 << 6;
export const TC_GADE: u64 = 1 << 7;
export const TC_SADE: u64 = 1 << 8;
export const TC_DPE: u64 = 1 << 9;
export const TC_SBE: u64 = 1 << 10;
export const TC_SXL: u64 = 1 << 11;
const TC_RESERVED: u64 = 0xffff_ffff_00ff_f000;

// 6.4
const FCTL_GXL: u64 = 1 << 2;

/** The engine's own: tag bits that a nested answer has from its second stage. */
const VARIANTS: u64 = TAG_GADE | (<u64>15 << VARIANT_SHIFT);

/** The engine's own: a mode that is no encoding, as a number of levels. */
const NO_MODE: u32 = 255;
/** [3.1.3.1 SXL] with SXL=1 a guest address has 34 bits, whatever the second-stage mode. */
export const SXL_GUEST_BITS: u32 = 34;

/** Levels of a MODE of iosatp (by tc.SXL) or iohgatp (by fctl.GXL), 0 Bare. */
function levelsOf(mode: u32, sxl: bool): u32 {
  if (mode == 0) return 0;
  if (sxl) return mode == 8 ? 2 : NO_MODE;
  return mode >= 8 && mode <= 10 ? mode - 5 : NO_MODE;
}

/** The mode is an encoding, and Bare or one of the four whose bits start at `first` of the capabilities. */
@inline
function supported(caps: u64, levels: u32, first: u32): bool {
  return levels == 0 || (levels != NO_MODE && (caps >> (first + levels - 2) & 1) != 0);
}

/** An iosatp whose mode this context and unit can have, reserved bits zero. */
export function validFirstStage(unit: usize, tc: u64, iosatp: u64): bool {
  const levels = levelsOf(<u32>(iosatp >> 60), (tc & TC_SXL) != 0);
  return (iosatp >> 44 & 0xffff) == 0 && supported(capabilities(unit), levels, CAP_SV32);
}

/** 3.1.4 "Device-context configuration checks". */
export function misconfigured(unit: usize, words: usize, extended: bool): bool {
  const tc = load<u64>(words);
  const iohgatp = load<u64>(words, 8);
  const ta = load<u64>(words, 16);
  const fsc = load<u64>(words, 24);
  const caps = capabilities(unit);
  const qos = (caps & CAP_QOSID) != 0;
  const hostMode = <u32>(iohgatp >> 60);
  if ((tc & TC_RESERVED) != 0 || (ta & 0xff_0000_0fff) != 0 || (fsc >> 44 & 0xffff) != 0) return true;
  if (!qos && ta >> 40 != 0) return true;
  if (extended) {
    const msiptp = load<u64>(words, 32);
    if ((msiptp >> 44 & 0xffff) != 0 || load<u64>(words, 40) >> 52 != 0 || load<u64>(words, 48) >> 52 != 0 || load<u64>(words, 56) != 0) return true;
    // MSI tables without a second stage are a reserved setting: 259 is the recommended answer
    if (msiptp >> 60 > 1 || (msiptp >> 60 != 0 && hostMode == 0)) return true;
  }
  if (!(caps & CAP_ATS) && (tc & (TC_EN_ATS | TC_EN_PRI | TC_PRPR)) != 0) return true;
  if (!(tc & TC_EN_ATS) && (tc & (TC_T2GPA | TC_EN_PRI)) != 0) return true;
  if (!(tc & TC_EN_PRI) && (tc & TC_PRPR) != 0) return true;
  if (tc & TC_T2GPA && (!(caps & CAP_T2GPA) || hostMode == 0)) return true;
  if (tc & TC_PDTV) {
    const mode = <u32>(fsc >> 60);
    if (mode > 3 || (mode != 0 && !(caps >> (CAP_PD8 + mode - 1) & 1))) return true;
  } else if (!validFirstStage(unit, tc, fsc) || (tc & TC_DPE) != 0) return true;
  const fctl = register(unit, RISCV_FCTL);
  const gxl = (fctl & FCTL_GXL) != 0;
  if (!supported(caps, levelsOf(hostMode, gxl), CAP_SV32X4)) return true;
  // a root of 16 KiB
  if (hostMode != 0 && (iohgatp & 3) != 0) return true;
  if (!(caps & CAP_AMO_HWAD) && (tc & (TC_SADE | TC_GADE)) != 0) return true;
  if ((!(caps & CAP_END) || register(unit, RISCV_BE_WRITABLE) == 0) && bigEndian(unit) != ((tc & TC_SBE) != 0)) return true;
  const sxl = (tc & TC_SXL) != 0;
  if (gxl ? !sxl : sxl && register(unit, RISCV_GXL_WRITABLE) == 0) return true;
  if (!qos) return false;
  return (ta >> 40 & 0xfff) >> register(unit, RISCV_RCID_BITS) != 0 || ta >> 52 >> register(unit, RISCV_MCID_BITS) != 0;
}

function setStage(unit: usize, g: Geometry, levels: u32, root: u64, flags: u32): void {
  const caps = capabilities(unit);
  g.root = root;
  g.leaves = 0xffff_ffff_ffff_f000;
  g.format = levels == 0 ? 0 : levels == 2 ? FORMAT_RISCV_SV32 : FORMAT_RISCV_SV;
  g.top = levels - 1;
  g.inputBits = (levels == 2 ? 32 : 12 + 9 * levels) + (flags & RISCV_SV_X4 ? 2 : 0);
  g.outputBits = physicalBits(unit);
  g.granule = 12;
  g.flags = flags | (caps & CAP_PBMT ? RISCV_SV_PBMT : 0) | (caps & CAP_RSW60 ? RISCV_SV_RSW60 : 0);
}

/** Route of an iosatp over the context's second stage, which `setContext` has set. */
export function setFirstStage(unit: usize, route: Route, tc: u64, iosatp: u64, pscid: u32, sum: bool): void {
  const levels = levelsOf(<u32>(iosatp >> 60), (tc & TC_SXL) != 0);
  const flags = (tc & TC_SADE ? RISCV_SV_UPDATE : 0) | (tc & TC_SBE ? RISCV_SV_BIG_ENDIAN : 0) | (sum ? RISCV_SV_SUM : 0);
  setStage(unit, firstStage(route), levels, (iosatp & ROOT_PPN) << 12, flags);
  const second = secondStage(route).format != 0;
  if (levels == 0) {
    route.type = second ? ROUTE_SECOND : ROUTE_BYPASS;
    route.walker = WALKER_RISCV_SECOND;
    route.space = 0;
    route.tag = route.secondTag;
    return;
  }
  route.type = second ? ROUTE_NESTED : ROUTE_FIRST;
  route.walker = second ? WALKER_RISCV_NESTED : WALKER_RISCV_FIRST;
  route.space = pscid;
  route.tag =
    makeTag(route.domain, pscid, second ? TAG_NESTED : TAG_FIRST) | (sum ? TAG_SUM : 0) | (tc & TC_SADE ? TAG_SADE : 0) | (second ? route.secondTag & VARIANTS : 0);
}

/** Second stage and MSI table of a context, and its route without a process. */
export function setContext(unit: usize, route: Route, words: usize, extended: bool): void {
  const tc = load<u64>(words);
  const iohgatp = load<u64>(words, 8);
  const fsc = load<u64>(words, 24);
  const levels = levelsOf(<u32>(iohgatp >> 60), (register(unit, RISCV_FCTL) & FCTL_GXL) != 0);
  const sade = (tc & TC_SADE) != 0;
  route.flags = tc & TC_DTF ? ROUTE_QUIET : 0;
  // entries of a Bare second stage are the host's: GSCID has no meaning
  route.domain = levels == 0 ? 0 : <u32>(iohgatp >> 44) & 0xffff;
  // SADE counts in the second stage too: its walks for first-stage tables set D
  route.secondTag = makeTag(route.domain, 0, TAG_SECOND) | (tc & TC_GADE ? TAG_GADE : 0) | (sade ? TAG_SADE : 0);
  const flags = RISCV_SV_X4 | (tc & TC_GADE ? RISCV_SV_UPDATE : 0) | (bigEndian(unit) ? RISCV_SV_BIG_ENDIAN : 0);
  const g = secondStage(route);
  setStage(unit, g, levels, (iohgatp & ROOT_PPN) << 12, flags);
  if (tc & TC_SXL) g.inputBits = min(g.inputBits, SXL_GUEST_BITS);
  memory.copy(changetype<usize>(spareStage(route)), changetype<usize>(g), offsetof<Geometry>());
  spareStage(route).flags |= RISCV_SV_TABLES | (sade ? RISCV_SV_DIRTIES : 0);
  if (extended) {
    const msiptp = load<u64>(words, 32);
    setMsiTable(route, msiptp >> 60 == 1, (msiptp & ROOT_PPN) << 12, load<u64>(words, 40), load<u64>(words, 48));
    route.secondTag |= <u64>msiClass(unit, route) << VARIANT_SHIFT;
  }
  // without PDTV fsc is the first stage itself; with it, a request of no process has none
  const own = !(tc & TC_PDTV);
  setFirstStage(unit, route, tc, own ? fsc : 0, own ? <u32>(load<u64>(words, 16) >> 12) & 0xf_ffff : 0, false);
}

@inline
export function isExtended(unit: usize): bool {
  return (capabilities(unit) & CAP_MSI_FLAT) != 0;
}
