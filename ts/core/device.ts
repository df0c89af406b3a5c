import { CoreError } from "./errors.ts";
import type { Group } from "./group.ts";
import type { AddressRange, IommuDriver } from "./iommu-driver.ts";
import type { Requester } from "./slot.ts";

/** Where a PCI function sits. */
export interface Address {
	segment: number;
	/** bus << 8 | device << 3 | function */
	rid: number;
}

/** `0000:00:1f.2` */
export function formatAddress({ segment, rid }: Address): string {
	const hex = (n: number, digits: number) => n.toString(16).padStart(digits, "0");
	return `${hex(segment, 4)}:${hex(rid >> 8, 2)}:${hex((rid >> 3) & 31, 2)}.${rid & 7}`;
}

/** Reads `0000:00:1f.2` or `00:1f.2`. @throws CoreError Unsupported */
export function parseAddress(text: string): Address {
	const match = /^(?:([0-9a-f]{1,8}):)?([0-9a-f]{1,2}):([01]?[0-9a-f])\.([0-7])$/i.exec(text);
	if (match === null) throw new CoreError("Unsupported", "not segment:bus:device.function", { operation: "parseAddress", object: `"${text}"` });
	const [segment, bus, device, fn] = [match[1] ?? "0", match[2], match[3], match[4]].map((part) => Number.parseInt(part, 16));
	return { segment, rid: (bus << 8) | (device << 3) | fn };
}

/** What a device can do, whatever its driver lets it. */
export interface DeviceCapabilities {
	/** its requests may carry PASIDs */
	pasid: boolean;
	/** it takes deferrable writes (ENQCMD) with a PASID from the CPU */
	dmwr: boolean;
	/** a guest may own its PASID table */
	delegated: boolean;
	/** it can make page requests (PRI); it has ATS then, unless `ats` says no: requests of a protocol of its own */
	pri: boolean;
	/** it has a device TLB */
	ats: boolean;
	/** it may issue requests that do not snoop */
	noSnoop: boolean;
	/** it looks its PASIDs up in a table of its own: the number on the bus differs from the user's */
	virtualTable: boolean;
	/** firmware has identity ranges for it (RMRR) */
	firmwareRanges: boolean;
}

export const NO_CAPABILITIES: Readonly<DeviceCapabilities> = {
	pasid: false,
	dmwr: false,
	delegated: false,
	pri: false,
	ats: false,
	noSnoop: false,
	virtualTable: false,
	firmwareRanges: false,
};

/** A device of the machine: a function, or a part of one (mdev) that shares the function's RID. */
export class Device {
	constructor(
		readonly name: string,
		/** routes of its RID; for a software device nothing is put there */
		readonly requester: Requester,
		readonly group: Group<Device>,
		readonly capabilities: Readonly<DeviceCapabilities>,
		/** the function that it is a part of */
		readonly parent: Device | null = null,
		/** its driver isolates it: it has no RID slot of its own */
		readonly isPart = parent !== null,
		/** input addresses that firmware or the platform keeps for it */
		readonly reserved: readonly AddressRange[] = [],
	) {
		group.members.add(this);
	}

	get iommu(): IommuDriver {
		return this.requester.iommu;
	}

	get segment(): number {
		return this.requester.segment;
	}

	get rid(): number {
		return this.requester.rid;
	}
}
