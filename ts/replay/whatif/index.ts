/** The registry: one line for each what-if. */
import type { WhatIf } from "./contract.ts";
import { deviceTlb } from "./device-tlb.ts";
import { format } from "./format.ts";
import { lazy } from "./lazy.ts";
import { merge } from "./merge.ts";
import { nested } from "./nested.ts";
import { prefetch } from "./prefetch.ts";
import { strict } from "./strict.ts";
import { tenants } from "./tenants.ts";

// biome-ignore lint/suspicious/noExplicitAny: each keeps its value's type to itself
export const whatIfs: readonly WhatIf<any>[] = [strict, lazy, merge, tenants, prefetch, deviceTlb, format, nested];
