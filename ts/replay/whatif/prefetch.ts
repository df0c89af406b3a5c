import type { WhatIf } from "./contract.ts";

/** A walk fetches the next page's translation into the IOTLB too. */
export const prefetch: WhatIf<true> = {
	name: "prefetch",
	argument: "",
	description: "a walk fetches the next page's translation too",
	parse: () => true,
	title: () => "next-page prefetch",
	apply: ({ trace, options }) => ({
		trace,
		options: { ...options, prefetch: true },
		after: ({ devices }) => [
			{ label: "prefetches", value: devices.reduce((sum, d) => sum + d.prefetches, 0) },
			{ label: "references of prefetches", value: devices.reduce((sum, d) => sum + d.prefetchReferences, 0) },
		],
	}),
};
