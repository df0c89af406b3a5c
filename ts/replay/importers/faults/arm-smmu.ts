/**
 * SMMUv1 and SMMUv2, and Qualcomm's relatives: context faults, global faults and unknown streams. Forks order and name the fields
 * differently (`fsr=`, `iova=`, `fsynr=`, `fsynr0=`, `cbfrsynra=`, `sid=`, `cb=`), so each is looked for by its label.
 */
import type { LoggedFault } from "../../logged-fault.ts";
import { address, type FaultFormat, printedFault } from "./contract.ts";

/** Bits of a context bank's FSR; Arm SMMUv2 architecture, SMMU_CBn_FSR */
const STATUS: [bit: number, name: string][] = [
	[1, "translation fault"],
	[2, "access flag fault"],
	[3, "permission fault"],
	[4, "external fault"],
	[5, "TLB match conflict"],
	[6, "TLB lock fault"],
	[7, "address size fault"],
	[8, "unsupported upstream transaction"],
];
/** FSYNR0: write, not read */
const WRITE = 0x10;
const STREAM = 0xffff;

const CONTEXT = /Unhandled (?:arm-smmu )?context fault/i;
const GLOBAL = /Unexpected global fault/i;
const BLOCKED = /Blocked unknown Stream ID (0x[0-9a-f]+)/i;

/** The number after any of `labels`, in hexadecimal when it says so; null at a label without a number, or none. */
function field(text: string, labels: string): string | null {
	return new RegExp(`\\b(?:${labels})\\s*[=:]\\s*(0x[0-9a-f]+|\\d+)`, "i").exec(text)?.[1] ?? null;
}

function status(code: number): string | null {
	const names = STATUS.filter(([bit]) => (code >>> bit) & 1).map(([, name]) => name);
	return names.length === 0 ? null : names.join(", ");
}

function takeContext(fault: LoggedFault, text: string): void {
	const iova = field(text, "iova|FAR");
	if (iova !== null) fault.address = address(BigInt(iova).toString(16));
	const fsr = field(text, "fsr");
	if (fsr !== null) {
		fault.code = Number(fsr);
		fault.reason = status(fault.code) ?? `fsr ${fsr}`;
	}
	const syndrome = field(text, "fsynr0?");
	if (syndrome !== null) fault.access = (Number(syndrome) & WRITE) !== 0 ? "write" : "read";
	const stream = field(text, "cbfrsynra|sid");
	if (stream !== null) fault.device = `sid 0x${(Number(stream) & STREAM).toString(16)}`;
	fault.incomplete = fault.address === null || syndrome === null;
}

export const armSmmu: FaultFormat = {
	read(text) {
		const start = CONTEXT.exec(text) ?? GLOBAL.exec(text) ?? BLOCKED.exec(text);
		if (start === null) return null;
		const fault = printedFault(text, start.index, "arm-smmu");
		if (CONTEXT.test(text)) takeContext(fault, text.slice(start.index));
		else if (GLOBAL.test(text)) {
			fault.reason = "global fault";
			fault.incomplete = true;
		} else {
			fault.reason = "unknown stream";
			fault.device = `sid 0x${Number(start[1]).toString(16)}`;
		}
		return fault;
	},
	/** `GFSR 0x80000002, GFSYNR0 0x0, GFSYNR1 0x8, GFSYNR2 0x0`; `FSR = 00000402 [TF ..], SID=0x8` */
	follow(fault, text) {
		if (fault.unit !== null && !text.includes(fault.unit)) return false;
		const global = /GFSR (0x[0-9a-f]+), GFSYNR0 (0x[0-9a-f]+), GFSYNR1 (0x[0-9a-f]+)/i.exec(text);
		if (global !== null && fault.reason === "global fault") {
			fault.code = Number(global[1]);
			fault.access = (Number(global[2]) & 2) !== 0 ? "write" : "read";
			fault.device = `sid 0x${(Number(global[3]) & STREAM).toString(16)}`;
			fault.incomplete = false;
			return true;
		}
		const more = /\bFSR\s*=\s*[0-9a-f]{8}.*\bSID\s*=\s*(0x[0-9a-f]+)/i.exec(text);
		if (more === null) return /\bFSYNR0\s*=\s*[0-9a-f]{8} \[/i.test(text);
		fault.device = `sid ${more[1].toLowerCase()}`;
		return true;
	},
};
