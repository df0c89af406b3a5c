// RISC-V page-table walks of a route: first stage, second stage, both, with the MSI page table between them (3.3 steps
// 17 to 20 of the RISC-V IOMMU Architecture Specification 1.0).
import { TAG_TABLES } from "../cache/tag";
import { Geometry } from "../format/contract";
import { PERM_GLOBAL, RiscvSv } from "../format/riscv-sv";
import { RiscvSv32 } from "../format/riscv-sv32";
import {
  ACCESS_PRIVILEGED,
  ACCESS_READ,
  ACCESS_WRITE,
  FORMAT_RISCV_SV32,
  OUTCOME_NO_WRITE,
  OUTCOME_TRANSLATED,
  RISCV_ATTRIBUTE_GLOBAL,
  RISCV_ATTRIBUTE_NAPOT,
  RISCV_ATTRIBUTE_PBMT,
  RISCV_ATTRIBUTE_RIGHTS_SHIFT,
  RISCV_ATTRIBUTE_USER,
  RISCV_ATTRIBUTE_WIDE,
  STAGE_FIRST,
  STAGE_SECOND,
} from "../layout";
import { Engine } from "../memory/physical";
import { adopt, walkSecond } from "../nested";
import { Walk, walkOf } from "../unit";
import { TableAccess, WALK_PEEK, walkAlone, walkTable } from "../walk";
import { besideInterruptFiles, hasMsiTable, isInterruptFile, walkMsi } from "./riscv-msi";
import { firstStage, Route, secondStage, spareStage } from "./route";
import { WALKER_RISCV_FIRST, WALKER_RISCV_SECOND } from "./walkers";

// the engine's own words of attributes and permissions
const RIGHTS: u32 = 7 << RISCV_ATTRIBUTE_RIGHTS_SHIFT;
/** The engine's own: what a Bare first stage contributes: everything is allowed, in every address space. */
const BARE: u32 = RISCV_ATTRIBUTE_USER | RISCV_ATTRIBUTE_GLOBAL | RIGHTS;
const BARE_LG2: u32 = 48;
/** The engine's own: rights that a Bare stage gives user and supervisor. */
const ALL: u32 = 63;

/** One stage by itself, of either entry size. */
@inline
export function walkStage(
  m: Engine, unit: usize, found: usize, g: Geometry, stage: u32, tag: u64, address: u64, access: u32, writing: bool, walk: Walk, mode: u32,
): u32 {
  if (g.format == FORMAT_RISCV_SV32) {
    return walkAlone<RiscvSv32>(m, unit, found, g, stage, tag, address, access, writing, walk, mode);
  }
  return walkAlone<RiscvSv>(m, unit, found, g, stage, tag, address, access, writing, walk, mode);
}

/** Second stage of a guest address, through its cache: the two forms of the geometry set A and D otherwise, and are kept apart. */
function walkGuest(
  m: Engine, unit: usize, found: usize, g: Geometry, tag: u64, address: u64, access: u32, writing: bool, walk: Walk, mode: u32,
): u32 {
  if (g.format == FORMAT_RISCV_SV32) return walkSecond<RiscvSv32>(m, unit, found, g, tag, address, access, writing, walk, mode);
  return walkSecond<RiscvSv>(m, unit, found, g, tag, address, access, writing, walk, mode);
}

/** First-stage tables are reached through the second stage, in its form for tables (`spareStage`). */
@unmanaged @final
class ThroughSecondStage extends TableAccess {
  @inline
  resolve(m: Engine, unit: usize, route: usize, walk: Walk, address: u64, updating: bool, mode: u32): u32 {
    const second = walkOf(unit, 1);
    if (!updating) return reachTable(m, unit, changetype<Route>(route), walk, address, mode);
    // the read of this entry has just made that walk, D included: hardware writes where the leaf has W
    if (second.attributes & (ACCESS_WRITE << RISCV_ATTRIBUTE_RIGHTS_SHIFT)) return OUTCOME_TRANSLATED;
    second.outcome = OUTCOME_NO_WRITE;
    return adopt(walk, second, 2);
  }
}

function reachTable(m: Engine, unit: usize, route: Route, walk: Walk, address: u64, mode: u32): u32 {
  const second = walkOf(unit, 1);
  second.references = 0;
  const outcome = walkGuest(m, unit, changetype<usize>(route), spareStage(route), route.secondTag | TAG_TABLES, address, ACCESS_READ, false, second, mode);
  walk.references += second.references;
  if (outcome != OUTCOME_TRANSLATED) return adopt(walk, second, 1);
  walk.entryAddress = second.pa;
  return OUTCOME_TRANSLATED;
}

/** A first-stage walk that succeeded: G moves from its permission word into its attributes. */
@inline
function settle(walk: Walk): void {
  if (walk.permissions & PERM_GLOBAL) walk.attributes |= RISCV_ATTRIBUTE_GLOBAL;
  walk.permissions &= ALL;
}

/** Guest address `walk.pa`, through the MSI table or the second stage; `walk` holds what the first stage said. */
function finish(m: Engine, unit: usize, route: Route, access: u32, writing: bool, walk: Walk, mode: u32): u32 {
  const guest = walk.pa;
  const second = walkOf(unit, 1);
  // what a translation request of a T2GPA context is told
  second.address = guest;
  if (isInterruptFile(route, guest)) return walkMsi(m, unit, route, access, walk, (mode & WALK_PEEK) != 0);
  second.references = 0;
  // alone, the second stage has the IOTLB
  const outcome = route.walker == WALKER_RISCV_SECOND
    ? walkStage(m, unit, changetype<usize>(route), secondStage(route), STAGE_SECOND, route.secondTag, guest, access & ~ACCESS_PRIVILEGED, writing, second, mode)
    : walkGuest(m, unit, changetype<usize>(route), secondStage(route), route.secondTag, guest, access & ~ACCESS_PRIVILEGED, writing, second, mode);
  walk.references += second.references;
  if (outcome != OUTCOME_TRANSLATED) return adopt(walk, second, 0);
  walk.outcome = OUTCOME_TRANSLATED;
  walk.pa = second.pa;
  walk.lg2 = min(walk.lg2, second.lg2);
  walk.permissions &= second.permissions;
  // [PRIV "Svpbmt"] a first-stage type other than PMA overrides the second stage's
  const own = walk.attributes;
  const below = second.attributes;
  walk.attributes =
    (own & ~RIGHTS) | (own & below & RIGHTS) | (below & RISCV_ATTRIBUTE_NAPOT) | (own & RISCV_ATTRIBUTE_PBMT ? 0 : below & RISCV_ATTRIBUTE_PBMT);
  if (second.lg2 > secondStage(route).inputBits) walk.attributes |= RISCV_ATTRIBUTE_WIDE;
  if (hasMsiTable(route)) walk.lg2 = besideInterruptFiles(route, guest, walk.lg2);
  return OUTCOME_TRANSLATED;
}

/** A NAPOT leaf answers for the one 4 KiB page. */
@inline
function answered(walk: Walk, outcome: u32): u32 {
  if (outcome == OUTCOME_TRANSLATED && (walk.attributes & RISCV_ATTRIBUTE_NAPOT) != 0) walk.lg2 = 12;
  return outcome;
}

export function walkRiscv(m: Engine, unit: usize, found: usize, tag: u64, address: u64, access: u32, writing: bool, walk: Walk, mode: u32): u32 {
  const route = changetype<Route>(found);
  if (route.walker == WALKER_RISCV_SECOND) {
    walk.pa = address;
    walk.address = address;
    walk.lg2 = BARE_LG2;
    walk.permissions = ALL;
    walk.attributes = BARE;
    return answered(walk, finish(m, unit, route, access, writing, walk, mode));
  }
  const g = firstStage(route);
  let outcome: u32;
  if (route.walker == WALKER_RISCV_FIRST) {
    outcome = walkStage(m, unit, found, g, STAGE_FIRST, tag, address, access, writing, walk, mode);
    if (outcome == OUTCOME_TRANSLATED) settle(walk);
    return answered(walk, outcome);
  }
  if (g.format == FORMAT_RISCV_SV32) {
    outcome = walkTable<RiscvSv32, ThroughSecondStage>(m, unit, found, g, STAGE_FIRST, tag, address, access, writing, walk, mode);
  } else {
    outcome = walkTable<RiscvSv, ThroughSecondStage>(m, unit, found, g, STAGE_FIRST, tag, address, access, writing, walk, mode);
  }
  if (outcome != OUTCOME_TRANSLATED) return outcome;
  settle(walk);
  return answered(walk, finish(m, unit, route, access, writing, walk, mode));
}
