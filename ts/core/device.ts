import { CoreError } from "./errors.ts";
import type { Group } from "./group.ts";
import type { IommuDriver } from "./iommu-driver.ts";

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

/** A device of the machine. */
export class Device {
	constructor(
		readonly segment: number,
		readonly rid: number,
		readonly iommu: IommuDriver,
		readonly group: Group<Device>,
	) {
		group.members.push(this);
	}

	get name(): string {
		return formatAddress(this);
	}
}
