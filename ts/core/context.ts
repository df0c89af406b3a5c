import type { AddressSpace } from "./address-space.ts";
import type { Device } from "./device.ts";
import type { PageSource } from "./page-source.ts";
import { DEFAULT_POLICY, type Policy } from "./policy.ts";

/** Something that happened to a device's DMA, for the user whose space it hit. */
export interface FaultEvent {
	device: Device;
	space: AddressSpace;
	address: bigint;
	write: boolean;
	/** the device waits for an answer */
	recoverable: boolean;
	/** the PASID that the guest's own table knows; undefined for routes that the user knows by their space */
	pasid?: number;
	/** number that the user knows the route by; null: the device's default route */
	vpasid: number | null;
	/** several devices share the requester id: any of them may have been the one */
	ambiguous: boolean;
}

let opened = 0;

/** One open file: a security domain that devices are bound to and spaces live in. */
export class Context {
	readonly name: string;
	readonly policy: Readonly<Policy>;
	/** devices bound to it, and the user's names for them */
	readonly devices = new Map<Device, { cookie: bigint | null }>();
	readonly spaces = new Set<AddressSpace>();
	/** memory pinned and charged up front */
	readonly registered = new Map<PageSource, { address: bigint; size: bigint }>();
	/** not yet read, oldest first */
	readonly events: FaultEvent[] = [];
	/** told when a device that it had is gone */
	deviceLeft: (device: Device) => void = () => {};
	/** the file is closed; devices that are bound keep the rest alive */
	closed = false;

	constructor(
		policy: Partial<Policy> = {},
		name = `file ${opened++}`,
		/** a VFIO container: its groups are given to no other door */
		readonly isContainer = false,
	) {
		this.policy = { ...DEFAULT_POLICY, ...policy };
		this.name = name;
	}

	/** The device that a cookie names; with duplicates, the first. */
	byCookie(cookie: bigint): Device | undefined {
		for (const [device, names] of this.devices) if (names.cookie === cookie) return device;
		return undefined;
	}
}
