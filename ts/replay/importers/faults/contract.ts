/**
 * What a fault format is: one file that knows how one family of drivers prints its faults.
 */
import type { LoggedFault } from "../../logged-fault.ts";

/** How one family of IOMMU drivers prints its faults. */
export interface FaultFormat {
	/** The fault that starts in `text`, a line without its time stamp; null when none does. */
	read(text: string): LoggedFault | null;
	/** Takes a further line of `fault`, which is one of this format; false when the line is not that. */
	follow?(fault: LoggedFault, text: string): boolean;
}

/** A fault of which nothing is known yet but who logs it. */
export function makeFault(driver: string, unit: string | null = null): LoggedFault {
	return { time: null, driver, unit, device: null, address: null, reason: null, code: null, access: null, pasid: null, incomplete: false, noAccess: false };
}

/** `0x00fff000` or `fff000` as `0xfff000`. */
export function address(digits: string): string {
	return `0x${BigInt(`0x${digits.replace(/^0x/i, "")}`).toString(16)}`;
}

/** A fault whose message starts at `at`: the driver and the unit stand in front, as `dev_err` prints them (`arm-smmu arm-smmu.1.auto: `). */
export function printedFault(text: string, at: number, driver: string): LoggedFault {
	const match = /(?:^|[\s\]>])([\w-]+) ([\w.:,@-]+): ?$/.exec(text.slice(Math.max(0, at - 120), at));
	return match === null ? makeFault(driver) : makeFault(match[1], match[2]);
}
