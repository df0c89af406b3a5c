/**
 * RISC-V two-stage walks, literally: the second stage under first-stage tables and process directories [PRIV "Two-Stage
 * Address Translation"], and what a guest-page fault reports of them.
 */
import type { Memory } from "./contract.ts";
import { type StageTwoFailure, type SvGeometry, type SvRequest, type SvWalk, walkSv } from "./riscv-walk.ts";

// [IOMMU 4.2 "Fault/Event-Queue", iotval2 of a guest-page fault]
export const IOTVAL2_IMPLICIT = 1n;
export const IOTVAL2_WRITE = 2n;

/** The page of the table is reported, not the entry [IOMMU 4.2 note: the offset may be reported as 0]. */
export function implicitIotval2(failure: StageTwoFailure): bigint {
	return failure.base | IOTVAL2_IMPLICIT | (failure.update ? IOTVAL2_WRITE : 0n);
}

/**
 * Second stage for an address that the IOMMU itself wants: an entry of a first-stage table ("table") or of a process
 * directory ("directory"). An implicit read: R and U of the leaf are wanted. Under a first-stage table, hardware that
 * updates a writable leaf at all sets D with A, whatever SADE; with SADE=1 it wants D even where A is set, since the
 * entry may be written later, and with GADE=0 that is a guest-page fault at once. Under a process directory only A.
 */
export function walkImplicit(
	memory: Memory,
	second: SvGeometry,
	address: bigint,
	purpose: "table" | "directory",
	firstStageUpdates: boolean,
): SvWalk {
	return walkSv(memory, second, {
		address,
		access: "r",
		privileged: false,
		purpose,
		wantDirty: purpose === "table" && firstStageUpdates,
	});
}

/**
 * First stage whose tables lie in guest memory: `second` translates every table address. Its output is a guest address.
 * Two views of the same memory, so that a caller can tell first-stage writes from second-stage ones.
 */
export function walkNestedFirst(
	memory: Memory,
	secondMemory: Memory,
	first: SvGeometry,
	second: SvGeometry,
	request: SvRequest,
): SvWalk {
	if (second.mode === "bare") {
		return walkSv(memory, first, request);
	}
	return walkSv(memory, first, request, (address, base) => {
		const walk = walkImplicit(secondMemory, second, address, "table", first.hardwareUpdate);
		if (walk.outcome !== "translated") {
			return { walk, base, update: false };
		}
		return { leaf: walk };
	});
}
