import type { AddressSpace, BindingMode } from "./address-space.ts";
import type { Attachment } from "./attachment.ts";
import type { Device } from "./device.ts";

/** What the caller of an attach asks for. A driver may refuse it, and is never led past its own mode. */
export interface AttachRequest {
	/** number by which the user knows the route; without one, the device's default route */
	vpasid?: number;
	/** a queue that has a route of its own */
	queue?: string;
	/** mode that the caller expects: an error when the driver chooses another */
	mode?: BindingMode;
	/** the device will not use its no-snoop attribute */
	noSnoopUnused?: boolean;
	/** software devices: pin pages at access, not at attach */
	noAutoPin?: boolean;
}

/** What a driver may ask of the machine: it alone decides how its device is routed. */
export interface RouteOperations {
	/** Untagged requests of the device's RID; for a guest's PASID table, all of its requests. @throws CoreError */
	attachRid(device: Device, space: AddressSpace, request: AttachRequest): Attachment;
	/** Requests of the RID that carry `pasid`. @throws CoreError */
	attachPasid(device: Device, space: AddressSpace, request: AttachRequest, pasid: number, mode: "rid_pasid" | "rid_pasid_global"): Attachment;
	/** Nothing in the hardware: the driver looks up, pins, reads and writes. @throws CoreError */
	attachSoftware(device: Device, space: AddressSpace, request: AttachRequest): Attachment;
	/** A PASID that nobody uses on the device's RID; kept by the caller until it is returned. @throws CoreError Exhausted */
	takePasid(device: Device, avoid?: readonly number[]): number;
	/** Return a PASID that takePasid gave; ones that an attachment uses are returned with it. */
	givePasid(device: Device, pasid: number): void;
	/** The PASID of (space, vpasid) on every RID: one number, free of other uses everywhere. @throws CoreError Exhausted */
	globalPasid(space: AddressSpace, vpasid: number, device: Device): number;
	/** Attachments of a device. */
	attachmentsOf(device: Device): readonly Attachment[];
}

/** How a device's DMA may mix with that of a user's device in one group. */
export type DmaOwnership =
	/** its DMA belongs to the user that it is given to */
	| "user"
	/** a host driver makes DMA */
	| "kernel"
	/** it makes none: pci-stub, bridges, devices without driver */
	| "none";

/**
 * The driver behind a device: it alone decides how the device is routed into an address space. Doors call `attach`; a
 * door never names a slot. Users register their own.
 */
export interface DeviceDriver {
	readonly name: string;
	readonly ownership: DmaOwnership;
	/** The device is a part of its parent function, isolated by this driver: it is in a group of its own. */
	readonly part?: boolean;
	/** Nothing of its devices is put into the IOMMU: the driver looks addresses up. */
	readonly software?: boolean;
	/** what a user may see of the device's PASIDs; absent: it has none */
	pasids?(device: Device): { supported: boolean; delegated: boolean; cpu: boolean; translated: boolean };
	/** PASID of the requests that the device makes by itself, for parts that have one; null while it has none. */
	defaultPasid?(device: Device): number | null;
	/** A refusal to give the device to a user. @throws CoreError */
	bind?(device: Device): void;
	/** The device goes back. */
	unbind?(device: Device, routes: RouteOperations): void;
	/** @throws CoreError */
	attach(device: Device, space: AddressSpace, request: AttachRequest, routes: RouteOperations): Attachment;
}
