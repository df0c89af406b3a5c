/** Invalidations as the engine's callers name them, in the engine's words. */
import {
	INV_ANY_SPACE,
	INV_CACHE_CONTEXT,
	INV_CACHE_IOTLB,
	INV_CACHE_PASID,
	INV_DEVICE,
	INV_DEVICES,
	INV_DOMAIN,
	INV_FIRST,
	INV_GLOBAL,
	INV_HOST,
	INV_LEAF_ONLY,
	INV_PAGE,
	INV_PASID,
	INV_PASID_PAGE,
	INV_PROCESS,
	INV_SECOND,
} from "../../assembly/layout.ts";

/** What narrows an invalidation of translations. */
export interface InvalidationOptions {
	/** only what a first stage made (nested answers too), or only what a second stage made alone; default both */
	stage?: "first" | "second";
	/** only pages: pointers to tables stay */
	leafOnly?: boolean;
}

/**
 * One cache invalidation, decoded. Addresses are of the input side; 4 KiB << mask bytes at an address aligned to them.
 * PASID stands for the ASID and PSCID too, where `caches` are translations.
 */
export type Invalidation =
	| ({ scope: "global"; caches?: CacheName[] } & InvalidationOptions)
	| ({ scope: "domain"; domain: number; caches?: CacheName[] } & InvalidationOptions)
	/** what has no second stage, of any domain or of one PASID; RISC-V files such answers under no GSCID */
	| ({ scope: "host"; pasid?: number; address?: bigint; mask?: number } & Pick<InvalidationOptions, "leafOnly">)
	/** of one PASID, where answers are kept by PASID: first stages and nested ones; its global pages stay */
	| ({ scope: "pasid"; domain: number; pasid: number; caches?: CacheName[] } & InvalidationOptions)
	/** pages of the second stage, of a PASID's (global ones too), or of every PASID's */
	| ({ scope: "page"; domain: number; address: bigint; mask?: number; pasid?: number | "any" } & InvalidationOptions)
	/** the requester's cached device entry and PASIDs */
	| { scope: "device"; rid: number }
	/** those of RIDs `rid` to `last` */
	| { scope: "devices"; rid: number; last: number }
	/** the cached entry of one PASID of a requester */
	| { scope: "process"; rid: number; pasid: number };

/**
 * An ATS Invalidate Request to a device, or to all: what its device-TLB has of 4 KiB << mask bytes at an address, or all
 * of it. `pasid`: entries of that PASID and global ones; none: of requests without PASID; "all": of every kind.
 */
export type DeviceTlbInvalidation = { scope: "device-tlb"; rid?: number; pasid?: number | "all"; address?: bigint; mask?: number };

export type CacheName = "iotlb" | "context" | "pasid";

const CACHE_MASK: Record<CacheName, number> = { iotlb: INV_CACHE_IOTLB, context: INV_CACHE_CONTEXT, pasid: INV_CACHE_PASID };

/** Arguments of the engine's `invalidate`. */
export interface DecodedInvalidation {
	/** INV_CACHE_* and what narrows them */
	caches: number;
	/** INV_* */
	scope: number;
	domain: number;
	pasid: number;
	rid: number;
	first: bigint;
	last: bigint;
}

const allOf = (names: CacheName[] = ["iotlb", "context", "pasid"]) => names.reduce((bits, name) => bits | CACHE_MASK[name], 0);
const narrowed = ({ stage, leafOnly }: InvalidationOptions) => (stage === "first" ? INV_FIRST : stage === "second" ? INV_SECOND : 0) | (leafOnly ? INV_LEAF_ONLY : 0);
const nothing = { domain: 0, pasid: 0, rid: 0, first: 0n, last: 0n };

function range(address: bigint, mask = 0): { first: bigint; last: bigint } {
	const size = 4096n << BigInt(mask);
	return { first: address & ~(size - 1n), last: address | (size - 1n) };
}

export function decodeInvalidation(request: Invalidation): DecodedInvalidation {
	switch (request.scope) {
		case "global":
			return { ...nothing, caches: allOf(request.caches) | narrowed(request), scope: INV_GLOBAL };
		case "domain":
			return { ...nothing, caches: allOf(request.caches) | narrowed(request), scope: INV_DOMAIN, domain: request.domain };
		case "pasid":
			return { ...nothing, caches: allOf(request.caches) | narrowed(request), scope: INV_PASID, domain: request.domain, pasid: request.pasid };
		case "page": {
			const { domain, address, mask, pasid } = request;
			const caches = INV_CACHE_IOTLB | narrowed(request) | (pasid === "any" ? INV_ANY_SPACE : 0);
			return { ...nothing, caches, scope: pasid === undefined ? INV_PAGE : INV_PASID_PAGE, domain, pasid: typeof pasid === "number" ? pasid : 0, ...range(address, mask) };
		}
		case "host": {
			const { pasid, address, mask } = request;
			const caches = INV_CACHE_IOTLB | INV_FIRST | INV_HOST | narrowed(request) | (pasid === undefined ? INV_ANY_SPACE : 0);
			if (address === undefined) return { ...nothing, caches, scope: pasid === undefined ? INV_GLOBAL : INV_PASID, pasid: pasid ?? 0 };
			return { ...nothing, caches, scope: INV_PASID_PAGE, pasid: pasid ?? 0, ...range(address, mask) };
		}
		case "device":
			return { ...nothing, caches: INV_CACHE_CONTEXT | INV_CACHE_PASID, scope: INV_DEVICE, rid: request.rid };
		case "devices":
			return { ...nothing, caches: INV_CACHE_CONTEXT | INV_CACHE_PASID, scope: INV_DEVICES, first: BigInt(request.rid), last: BigInt(request.last) };
		case "process":
			return { ...nothing, caches: INV_CACHE_PASID, scope: INV_PROCESS, rid: request.rid, pasid: request.pasid };
	}
}
