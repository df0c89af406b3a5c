/**
 * The Intel driver's primary faults, from 2.6.26 to today: `DMAR: [DMA Read NO_PASID] Request device [00:02.0] fault addr 0x1000
 * [fault reason 0x06] text`. Until 5.12 the PASID followed the device (ffffffff: none) or was absent, and the reason was decimal;
 * before 4.x it stood on a line of its own.
 */
import type { LoggedFault } from "../../logged-fault.ts";
import { address, type FaultFormat, makeFault } from "./contract.ts";

const START = /(?:DMAR|INTR-REMAP): ?\[?(DMA Read|DMA Write|INTR-REMAP|Request device)/i;
const DEVICE = /Request device \[+([0-9a-f]{2,4}(?::[0-9a-f]{2})?:[0-9a-f]{2}\.[0-7])\]/i;
const ADDRESS = /fault (?:addr|index) (?:0x)?([0-9a-f]+)/i;
const PASID = /PASID (?:0x)?([0-9a-f]+)/i;
const REASON = /\[fault reason (0x[0-9a-f]+|\d+)\]\s*([^\t]*)/i;
const NO_PASID = 0xffffffff;

function takeReason(fault: LoggedFault, text: string): boolean {
	const match = REASON.exec(text);
	if (match === null) return false;
	fault.code = Number(match[1]);
	fault.reason = match[2].trim() || `fault reason ${match[1]}`;
	fault.incomplete = fault.device === null || (fault.address === null && !fault.noAccess);
	return true;
}

export const dmar: FaultFormat = {
	read(text) {
		const start = START.exec(text);
		if (start === null) return null;
		const fault = makeFault("DMAR");
		fault.incomplete = true;
		const kind = start[1].toLowerCase();
		if (kind.startsWith("dma")) fault.access = kind === "dma read" ? "read" : "write";
		else fault.noAccess = true;
		fault.device = DEVICE.exec(text)?.[1] ?? null;
		const at = ADDRESS.exec(text);
		// an interrupt has an index into the remapping table
		if (at !== null && !fault.noAccess) fault.address = address(at[1]);
		const pasid = PASID.exec(text.replace("NO_PASID", ""));
		if (pasid !== null && Number.parseInt(pasid[1], 16) !== NO_PASID) fault.pasid = Number.parseInt(pasid[1], 16);
		takeReason(fault, text);
		return fault;
	},
	/** `DMAR:[fault reason 05] PTE Write access is not set` */
	follow(fault, text) {
		return fault.reason === null && /(?:DMAR|INTR-REMAP): ?\[fault reason /i.test(text) && takeReason(fault, text);
	},
};
