/** The hardware of a replay and the origin of a trace, in words. */
import { type CacheConfig, planEngine } from "../engine/index.ts";
import type { HardwareOptions } from "../replay/machine.ts";
import type { Trace } from "../replay/trace.ts";

const cache = ({ sets, ways, replacement = "lru" }: CacheConfig) => (sets === 1 ? `${ways} entries, fully associative, ${replacement}` : `${sets} sets of ${ways}, ${replacement}`);

function iotlb(choice: HardwareOptions["iotlb"]): string {
	if (choice === false) return "no IOTLB";
	if (choice === "qemu-7.2" || choice === "qemu-10") return `IOTLB of ${choice}`;
	return `IOTLB ${cache(choice ?? defaultIotlb())}`;
}

function defaultIotlb(): CacheConfig {
	const [{ cache }] = planEngine({ units: [{ architecture: "vtd" }] }).units[0].caches;
	return { sets: cache.sets, ways: cache.ways };
}

const ARCHITECTURES: Record<string, string> = { vtd: "Intel VT-d", smmuv3: "Arm SMMUv3", amdvi: "AMD-Vi", riscv: "RISC-V IOMMU", unknown: "an unknown IOMMU" };

/** "Intel VT-d; IOTLB 64 sets of 4, lru; paging-structure caches; context cache" */
export function machineText(architecture: string, options: HardwareOptions): string {
	const { walkCache = true, contextCache = true } = options;
	return [ARCHITECTURES[architecture] ?? architecture, iotlb(options.iotlb), `${walkCache ? "" : "no "}paging-structure caches`, `${contextCache ? "" : "no "}context cache`].join("; ");
}

/** "Intel VT-d, second-stage tables" */
export function recorderText({ architecture, stage }: Pick<Trace, "architecture" | "stage">): string {
	return `${ARCHITECTURES[architecture]}${architecture === "unknown" ? "" : `, ${stage}-stage tables`}`;
}

/** When a trace was recorded, ISO 8601; null when it does not say. */
export function dateText({ startedAt }: Pick<Trace, "startedAt">): string | null {
	return startedAt === undefined ? null : `${new Date(startedAt / 1000).toISOString().slice(0, 19)}Z`;
}
