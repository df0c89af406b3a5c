import { type CacheConfig, parseCacheConfig } from "../../engine/index.ts";
import type { WhatIf } from "./contract.ts";

/** Every device keeps translations of its own (PCIe ATS): what it knows, the IOTLB is not asked. */
export const deviceTlb: WhatIf<CacheConfig> = {
	name: "device-tlb",
	argument: "<geometry>",
	description: "a TLB in each device, which uses ATS: SETSxWAYS[:POLICY] or full:N[:POLICY]; invalidations of its domain reach it",
	parse: (text) => parseCacheConfig(String(text), "--device-tlb"),
	title: ({ sets, ways, replacement = "lru" }) => `a device-TLB of ${sets} sets of ${ways} ways (${replacement}) in each device`,
	apply: ({ trace, options }, geometry) => ({
		trace,
		options: { ...options, deviceTlb: geometry },
		after: ({ summary: { deviceTlb: figures } }) => {
			if (figures === null) return [];
			const of = (name: string, { hits, requests, invalidations }: { hits: number; requests: number; invalidations: number }) => [
				{ label: `${name}device-TLB hit rate`, value: hits + requests === 0 ? 0 : hits / (hits + requests) },
				{ label: `${name}IOTLB look-ups saved`, value: hits },
				{ label: `${name}translation requests`, value: requests },
				{ label: `${name}Invalidate Requests`, value: invalidations },
			];
			return [...of("", figures), ...figures.perDevice.flatMap((device) => (figures.perDevice.length > 1 ? of(`${device.name}: `, device) : []))];
		},
	}),
};
