/**
 * The AMD driver's event log: `AMD-Vi: Event logged [IO_PAGE_FAULT device=07:00.0 domain=0x0007 address=0xffffc02000
 * flags=0x0000]`; the device also in front, as of a message of its driver, with or without `AMD-Vi:`.
 */
import { address, type FaultFormat, makeFault } from "./contract.ts";

/** Event codes; AMD I/O Virtualization Technology Specification, 2.5 */
const CODES: Record<string, number> = {
	ILLEGAL_DEV_TABLE_ENTRY: 1,
	IO_PAGE_FAULT: 2,
	DEV_TAB_HARDWARE_ERROR: 3,
	PAGE_TAB_HARDWARE_ERROR: 4,
	ILLEGAL_COMMAND_ERROR: 5,
	COMMAND_HARDWARE_ERROR: 6,
	IOTLB_INV_TIMEOUT: 7,
	INVALID_DEVICE_REQUEST: 8,
	INVALID_PPR_REQUEST: 9,
	RMP_HARDWARE_ERROR: 12,
	RMP_PAGE_FAULT: 13,
};
/** their address is that of a command */
const COMMANDS = new Set([5, 6, 7]);
/** flags: the transaction is an interrupt, the page was present, it was a write */
const INTERRUPT = 0x8;
const PRESENT = 0x10;
const WRITE = 0x20;

const START = /Event logged(?: ?\[([A-Z_]*)|\s*$)/;
const PCI = /([0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]): (?:AMD-Vi: )?Event logged/i;
const DEVICE = /device=((?:[0-9a-f]{4,}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])(?= |\])/i;

function hex(text: string, label: string): string | null {
	return new RegExp(`[ ,]${label}=(0x[0-9a-f]+)`, "i").exec(text)?.[1] ?? null;
}

export const amd: FaultFormat = {
	read(text) {
		const start = START.exec(text);
		if (start === null) return null;
		const fault = makeFault("AMD-Vi");
		fault.device = DEVICE.exec(text)?.[1] ?? PCI.exec(text)?.[1] ?? null;
		fault.incomplete = text.indexOf("]", start.index) < 0;
		const name = start[1] ?? "";
		// a name at the end of a cut line may be the start of one
		if (name !== "" && (name in CODES || text[start.index + start[0].length] === " ")) fault.reason = name;
		const told = name === "UNKNOWN" ? hex(text, "type") : null;
		fault.code = CODES[name] ?? (told === null ? null : Number(told));
		const at = hex(text, "address") ?? hex(text, "gpa");
		if (at !== null) fault.address = address(at);
		const pasid = hex(text, "pasid");
		if (pasid !== null) fault.pasid = Number(pasid);
		const flags = hex(text, "flags");
		if (flags !== null) {
			const bits = Number(flags);
			if ((bits & INTERRUPT) !== 0) fault.noAccess = true;
			else if ((bits & WRITE) !== 0) fault.access = "write";
			else if ((bits & PRESENT) !== 0) fault.access = "read";
		}
		if (COMMANDS.has(fault.code ?? 0)) fault.noAccess = true;
		return fault;
	},
};
