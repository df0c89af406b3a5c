import type { ArchitectureName } from "../architecture.ts";
import { amdvi } from "./amdvi.ts";
import type { Words } from "./contract.ts";
import { riscv } from "./riscv.ts";
import { smmuv3 } from "./smmuv3.ts";
import { vtd } from "./vtd.ts";

/** The registry: one line for each architecture. */
export const WORDS: Record<ArchitectureName, Words> = { vtd, amdvi, smmuv3, riscv };
