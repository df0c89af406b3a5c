/** The registry: one line per family of drivers; the first that takes a line has it. */
import { amd } from "./amd.ts";
import { armSmmu } from "./arm-smmu.ts";
import { armSmmuV3 } from "./arm-smmu-v3.ts";
import type { FaultFormat } from "./contract.ts";
import { dmar } from "./dmar.ts";
import { oneLine } from "./one-line.ts";

export const faultFormats: readonly FaultFormat[] = [dmar, amd, armSmmuV3, armSmmu, oneLine];
