import type { IommuDriver, IommuTable, UserTable } from "./iommu-driver.ts";
import type { MemoryObject } from "./process-object.ts";
import type { UserData } from "./user-data.ts";

/** Invalidation requests of a user, all of one type and length. */
export interface UserArray {
	readonly type: number;
	readonly count: number;
	readonly entryLength: number;
	/** One entry, as UserData.take gives it. */
	take(index: number, least: number, size: number): Uint8Array;
}

/** Entries that were done, and what stopped the rest. */
export interface Invalidated {
	done: number;
	refused: unknown;
}

/** What core does for a virtual IOMMU's driver. */
export interface VirtualHost {
	/** requester id behind a number of the guest */
	requesterOf(virtualId: bigint): number | undefined;
	/** number of the guest for a requester */
	virtualIdOf(rid: number): bigint | undefined;
	/** Give the guest an event. @throws CoreError Unsupported: nobody listens to the type */
	report(type: number, data: Uint8Array): void;
	/** table under the guest's tables */
	readonly parent: IommuTable;
	/** physical address behind an address of the parent */
	physical(iova: bigint): bigint | undefined;
}

/** A guest's queue that the hardware reads itself. */
export interface HardwareQueue {
	/** index of the queue that has to outlive it */
	readonly after?: number;
	close(): void;
}

/** A driver's part of a virtual IOMMU. */
export interface VirtualUnit {
	invalidate?(entries: UserArray): Invalidated;
	/** @returns undefined when it has no queues of the type; @throws what the user is refused with */
	createQueue?(type: number, index: number, physical: bigint, iova: bigint): HardwareQueue;
	readonly queueTypes?: readonly number[];
	close?(): void;
}

/** What the driver of a unit offers users beyond plain tables; every part may be left out. */
export interface UserInterface {
	/** Of one device; left out: as the unit's capabilities say. */
	deviceInfo?(rid: number): { dirty: boolean; pasidBits: number };
	/** Describe the hardware; type 0 is the driver's own. @throws CoreError Unsupported for another type */
	hardwareInfo?(rid: number, type: number): { type: number; bytes: Uint8Array };
	/** @throws CoreError Unsupported, Invalid */
	createNested?(parent: IommuTable, data: UserData, virtual: VirtualUnit | null): UserTable;
	invalidate?(table: UserTable, entries: UserArray): Invalidated;
	/** types of virtual IOMMUs that it makes */
	readonly virtualTypes?: readonly number[];
	/** `place` lends memory of the driver to the user to map, and tells where in the file it lies; it is released with the virtual IOMMU. */
	createVirtual?(rid: number, type: number, data: UserData | null, host: VirtualHost, place: (region: MemoryObject) => bigint): VirtualUnit;
}

/** A unit that offers users more than plain tables. */
export interface UserDriver extends IommuDriver {
	readonly userCalls: UserInterface;
}

/** What a unit offers users beyond plain tables. */
export function userCallsOf(iommu: IommuDriver): UserInterface | undefined {
	return (iommu as Partial<UserDriver>).userCalls;
}
