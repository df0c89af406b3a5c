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

	private readonly cookies = new Map<bigint, Device[]>();

	addDevice(device: Device, cookie: bigint | null): void {
		this.devices.set(device, { cookie });
		if (cookie === null) return;
		const named = this.cookies.get(cookie);
		if (named === undefined) this.cookies.set(cookie, [device]);
		else named.push(device);
	}

	removeDevice(device: Device): void {
		const cookie = this.devices.get(device)?.cookie ?? null;
		this.devices.delete(device);
		if (cookie === null) return;
		const left = (this.cookies.get(cookie) ?? []).filter((other) => other !== device);
		if (left.length === 0) this.cookies.delete(cookie);
		else this.cookies.set(cookie, left);
	}

	/** The devices that a cookie names, in the order of their bind: several where policy allows duplicates. */
	byCookie(cookie: bigint): readonly Device[] {
		return this.cookies.get(cookie) ?? [];
	}
}
