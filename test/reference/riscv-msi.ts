/**
 * RISC-V MSI page tables, literally: 3.3.3 "Process to translate addresses of MSIs" of the RISC-V IOMMU Architecture
 * Specification 1.0.x; [AIA] is the RISC-V Advanced Interrupt Architecture, whose chapter "IOMMU Support for MSIs to
 * Virtual Machines" defines the entry (16 bytes, byte order of each doubleword by fctl.BE):
 *
 *     0 V | 2:1 M | 63 C (custom)
 *     M=3 basic  9:3 reserved | 53:10 PPN | 62:54 reserved; the second doubleword is ignored
 *     M=1 MRIF   6:3 reserved | 53:7 MRIF address 55:9 | 62:54 reserved;
 *                second doubleword 9:0 N[9:0] | 53:10 NPPN | 59:54 reserved | 60 N[10] | 63:61 reserved
 *     M=0, M=2   misconfigured
 *
 * Order: read (261 before 270), V, C and M, capabilities.MSI_MRIF, reserved bits; the caller then refuses execute.
 */
import type { Memory } from "./contract.ts";
import { CAUSE, decodeCapabilities, field, type RiscvRegisters, readWords, type TableFault } from "./riscv-registers.ts";
import type { DeviceContext } from "./riscv-tables.ts";

/** 3.3.3: bits of `value` at the ones of `mask`, packed to the low end. */
export function extractBits(value: bigint, mask: bigint): bigint {
	let out = 0n;
	let position = 0n;
	for (let i = 0n; i < 64n; i++) {
		if ((mask >> i) & 1n) {
			out |= ((value >> i) & 1n) << position;
			position++;
		}
	}
	return out;
}

/** 3.1.3.6: the guest address lies in a page of a virtual interrupt file. */
export function isInterruptFile(context: DeviceContext, address: bigint): boolean {
	return context.msiFlat && ((address >> 12n) & ~context.msiMask) === (context.msiPattern & ~context.msiMask);
}

export type MsiAnswer =
	| { kind: "none" }
	| { kind: "basic"; pa: bigint }
	/** `notice`: where the notice MSI goes, with `nid` as its data; `mrif`: the file that takes the interrupt */
	| { kind: "mrif"; mrif: bigint; notice: bigint; nid: number };

/** 3.3.3 "Process to translate addresses of MSIs", up to the permission check of its last step. */
export function translateMsi(
	memory: Memory,
	registers: RiscvRegisters,
	context: DeviceContext,
	address: bigint,
): MsiAnswer | { fault: TableFault } {
	if (!isInterruptFile(context, address)) {
		return { kind: "none" };
	}
	const caps = decodeCapabilities(registers.capabilities);
	const fault = (cause: number) => ({ fault: { cause, iotval2: 0n } });
	const file = extractBits(address >> 12n, context.msiMask);
	const be = field(registers.fctl, 0, 1) === 1n;
	const got = readWords(memory, context.msiRoot | (file * 16n), 2, be, caps.pas);
	if ("error" in got) {
		return fault(got.error === "access" ? CAUSE.msiLoadAccessFault : CAUSE.msiDataCorruption);
	}
	const [low, high] = got.words;
	if ((low & 1n) === 0n) {
		return fault(CAUSE.msiNotValid);
	}
	// C=1 is for custom use; an implementation without any treats it as misconfigured
	const mode = field(low, 1, 2);
	if (field(low, 63, 1) === 1n || mode === 0n || mode === 2n) {
		return fault(CAUSE.msiMisconfigured);
	}
	if (mode === 3n) {
		if (field(low, 3, 7) !== 0n || field(low, 54, 9) !== 0n) {
			return fault(CAUSE.msiMisconfigured);
		}
		return { kind: "basic", pa: (field(low, 10, 44) << 12n) | (address & 0xfffn) };
	}
	if (!caps.msiMrif || field(low, 3, 4) !== 0n || field(low, 54, 9) !== 0n) {
		return fault(CAUSE.msiMisconfigured);
	}
	if (field(high, 54, 6) !== 0n || field(high, 61, 3) !== 0n) {
		return fault(CAUSE.msiMisconfigured);
	}
	return {
		kind: "mrif",
		mrif: field(low, 7, 47) << 9n,
		notice: field(high, 10, 44) << 12n,
		nid: Number((field(high, 60, 1) << 10n) | field(high, 0, 10)),
	};
}
