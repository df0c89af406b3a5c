// What the registers of a VT-d unit say (VT-d specification 11.4), for both modes.
//
// VTD_ROOT is RTADDR_REG (63:12 table, 11:10 translation table mode), VTD_CAP CAP_REG, VTD_ECAP ECAP_REG, VTD_HAW the
// host address width in bits (0: MGAW + 1), VTD_STATUS GSTS_REG.
import { FORMAT_VTD_SECOND, VTD_CAP, VTD_ECAP, VTD_HAW, VTD_ROOT, VTD_SECOND_SNOOP, VTD_SECOND_TRANSIENT } from "../layout";
import { Geometry } from "../format/contract";
import { register } from "../unit";

/** GSTS_REG (11.4.4.2): TES, translation is on */
export const STATUS_TES: u64 = 1 << 31;

// ---- CAP_REG (11.4.2)
export const CAP_FS1GP: u64 = 1 << 56;
export const CAP_FS5LP: u64 = 1 << 60;

// ---- ECAP_REG (11.4.3)
export const ECAP_DT: u64 = 1 << 2;
export const ECAP_PT: u64 = 1 << 6;
export const ECAP_SC: u64 = 1 << 7;
export const ECAP_MTS: u64 = 1 << 25;
export const ECAP_NEST: u64 = 1 << 26;
export const ECAP_PRS: u64 = 1 << 29;
export const ECAP_ERS: u64 = 1 << 30;
export const ECAP_SRS: u64 = 1 << 31;
export const ECAP_EAFS: u64 = 1 << 34;
export const ECAP_PASID: u64 = 1 << 40;
export const ECAP_SMTS: u64 = 1 << 43;
export const ECAP_SSADS: u64 = 1 << 45;
export const ECAP_SSTS: u64 = 1 << 46;
export const ECAP_FSTS: u64 = 1 << 47;
export const ECAP_SMPWC: u64 = 1 << 48;
export const ECAP_ADMS: u64 = 1 << 52;
export const ECAP_RPRIVS: u64 = 1 << 53;

/** 9.1 to 9.6: 63:12, the address field of every structure */
export const TABLE: u64 = ~0xfff;

/** RTADDR_REG.TTM (11.4.5) */
export const MODE_LEGACY: u32 = 0;
export const MODE_SCALABLE: u32 = 1;
export const MODE_ABORT: u32 = 3;

@inline
export function tableMode(unit: usize): u32 {
  return <u32>(register(unit, VTD_ROOT) >> 10) & 3;
}

/** CAP_REG.MGAW (11.4.2, bits 21:16) is the width less one. */
@inline
export function maxGuestWidth(unit: usize): u32 {
  return (<u32>(register(unit, VTD_CAP) >> 16) & 63) + 1;
}

@inline
export function hostWidth(unit: usize): u32 {
  const haw = <u32>register(unit, VTD_HAW);
  return haw != 0 ? haw : maxGuestWidth(unit);
}

@inline
export function above(width: u32): u64 {
  return width >= 64 ? 0 : ~((<u64>1 << width) - 1);
}

/** AW of context and PASID-table entries: 1 to 3 is three to five levels, where CAP_REG.SAGAW (12:8) has that bit. */
@inline
export function knownWidth(unit: usize, width: u32): bool {
  return width >= 1 && width <= 3 && (register(unit, VTD_CAP) >> 8 >> width & 1) != 0;
}

/** Leaf sizes that CAP_REG.SLLPS (37:34) allows beside 4 KiB. */
@inline
function leafSizes(unit: usize): u64 {
  const sllps = register(unit, VTD_CAP) >> 34;
  return (1 << 12) | (sllps & 1 ? <u64>1 << 21 : 0) | (sllps & 2 ? <u64>1 << 30 : 0);
}

/** Second-stage tables at `root` with AW `width`; `flags`: VTD_SECOND_* beyond those of the unit. */
@inline
export function describeSecond(unit: usize, g: Geometry, root: u64, width: u32, flags: u32): void {
  const ecap = register(unit, VTD_ECAP);
  g.format = FORMAT_VTD_SECOND;
  g.root = root;
  g.top = 1 + width;
  g.inputBits = min(30 + 9 * width, maxGuestWidth(unit));
  g.outputBits = hostWidth(unit);
  g.leaves = leafSizes(unit);
  g.granule = 12;
  g.flags = flags | (ecap & ECAP_SC ? VTD_SECOND_SNOOP : 0) | (ecap & ECAP_DT ? VTD_SECOND_TRANSIENT : 0);
}
