/**
 * RISC-V IOMMU device tables, literally: device directory and device context, process directory and process context.
 * Section numbers are those of the RISC-V IOMMU Architecture Specification 1.0.x. The MSI page table is in riscv-msi.ts.
 *
 *     non-leaf DDT and PDT entry (3.1.1, 3.2.1)  0 V | 9:1 reserved | 53:10 PPN | 63:54 reserved
 *     DC 32 bytes base, 64 bytes extended (3.1.2): tc, iohgatp, ta, fsc [, msiptp, msi_addr_mask, msi_addr_pattern, reserved]
 *     tc (3.1.3.1)  0 V | 1 EN_ATS | 2 EN_PRI | 3 T2GPA | 4 DTF | 5 PDTV | 6 PRPR | 7 GADE | 8 SADE | 9 DPE | 10 SBE | 11 SXL
 *                   23:12 reserved | 31:24 custom | 63:32 reserved
 *     iohgatp (3.1.3.2)  43:0 PPN | 59:44 GSCID | 63:60 MODE (0 Bare; GXL=0: 8 Sv39x4, 9 Sv48x4, 10 Sv57x4; GXL=1: 8 Sv32x4)
 *     DC.ta (3.1.3.3)    11:0 reserved | 31:12 PSCID | 39:32 reserved | 51:40 RCID | 63:52 MCID
 *     fsc (3.1.3.4)      43:0 PPN | 59:44 reserved | 63:60 MODE
 *                        iosatp: 0 Bare; SXL=0: 8 Sv39, 9 Sv48, 10 Sv57; SXL=1: 8 Sv32.  pdtp: 0 Bare, 1 PD8, 2 PD17, 3 PD20
 *     msiptp (3.1.3.5)   43:0 PPN | 59:44 reserved | 63:60 MODE (0 Off, 1 Flat)
 *     msi_addr_mask, msi_addr_pattern (3.1.3.6)  51:0 | 63:52 reserved
 *     PC 16 bytes (3.2.2): ta, fsc (iosatp).  PC.ta (3.2.3.1)  0 V | 1 ENS | 2 SUM | 11:3 reserved | 31:12 PSCID | 63:32 reserved
 */
import type { Memory } from "./contract.ts";
import { IOTVAL2_IMPLICIT, walkImplicit } from "./riscv-nested.ts";
import {
	type Capabilities,
	CAUSE,
	DDTP_1LVL,
	decodeCapabilities,
	field,
	PPN_44,
	type RiscvRegisters,
	readWords,
	type TableFault,
} from "./riscv-registers.ts";
import { readWord, type SvGeometry, type SvMode } from "./riscv-walk.ts";

/** Reserved bits of a non-leaf DDT or PDT entry (3.1.1, 3.2.1). */
const NON_LEAF_RESERVED = (0x1ffn << 1n) | (0x3ffn << 54n);

export interface DeviceContext {
	enAts: boolean;
	enPri: boolean;
	t2gpa: boolean;
	dtf: boolean;
	pdtv: boolean;
	prpr: boolean;
	gade: boolean;
	sade: boolean;
	dpe: boolean;
	sbe: boolean;
	sxl: boolean;
	gscid: number;
	pscid: number;
	rcid: number;
	mcid: number;
	/** raw fsc: iosatp, or pdtp with PDTV */
	fsc: bigint;
	/** second stage */
	second: SvGeometry;
	msiFlat: boolean;
	msiRoot: bigint;
	msiMask: bigint;
	msiPattern: bigint;
}

/** Index fields of device_id, leaf first (3.1): base 7, 9, 8 bits; extended 6, 9, 9 bits. */
export function deviceIndexes(device: number, extended: boolean): [number, number, number] {
	return extended
		? [device & 0x3f, (device >>> 6) & 0x1ff, (device >>> 15) & 0x1ff]
		: [device & 0x7f, (device >>> 7) & 0x1ff, (device >>> 16) & 0xff];
}

/** 3.3 steps 3-5: device_id does not fit ddtp.iommu_mode (1LVL, 2LVL, 3LVL). */
export function deviceTooWide(registers: RiscvRegisters, device: number): boolean {
	const levels = Number(field(registers.ddtp, 0, 4)) - DDTP_1LVL + 1;
	const indexes = deviceIndexes(device, decodeCapabilities(registers.capabilities).msiFlat);
	return (levels < 3 && indexes[2] !== 0) || (levels < 2 && indexes[1] !== 0);
}

/** 3.1.3.2 and 3.1.3.4: MODE of iosatp (by DC.tc.SXL) or iohgatp (by fctl.GXL); null: not an encoding. */
function stageMode(mode: number, sxl: boolean): SvMode | null {
	if (mode === 0) {
		return "bare";
	}
	if (sxl) {
		return mode === 8 ? "sv32" : null;
	}
	return mode === 8 ? "sv39" : mode === 9 ? "sv48" : mode === 10 ? "sv57" : null;
}

function supportsFirst(caps: Capabilities, mode: SvMode): boolean {
	return mode === "bare" || caps[mode];
}

function supportsSecond(caps: Capabilities, mode: SvMode): boolean {
	return mode === "bare" || caps[`${mode}x4`];
}

/** 3.1.4 "Device-context configuration checks", in its order. True: misconfigured. */
function deviceMisconfigured(words: bigint[], registers: RiscvRegisters, caps: Capabilities): boolean {
	const [tc, iohgatp, ta, fsc] = words;
	const bit = (position: number): boolean => field(tc, position, 1) === 1n;
	const gxl = field(registers.fctl, 2, 1) === 1n;
	const be = field(registers.fctl, 0, 1) === 1n;
	const [enAts, enPri, t2gpa, pdtv, prpr] = [bit(1), bit(2), bit(3), bit(5), bit(6)];
	const [gade, sade, dpe, sbe, sxl] = [bit(7), bit(8), bit(9), bit(10), bit(11)];
	const iohgatpMode = Number(field(iohgatp, 60, 4));
	const fscMode = Number(field(fsc, 60, 4));

	// 1. reserved bits; custom bits 31:24 of tc are not reserved
	if (field(tc, 12, 12) !== 0n || field(tc, 32, 32) !== 0n) {
		return true;
	}
	if (field(ta, 0, 12) !== 0n || field(ta, 32, 8) !== 0n || field(fsc, 44, 16) !== 0n) {
		return true;
	}
	// RCID and MCID are reserved without QOSID (3.1.3.3)
	if (!caps.qosid && field(ta, 40, 24) !== 0n) {
		return true;
	}
	if (words.length === 8) {
		const [, , , , msiptp, mask, pattern, last] = words;
		if (field(msiptp, 44, 16) !== 0n || field(mask, 52, 12) !== 0n || field(pattern, 52, 12) !== 0n || last !== 0n) {
			return true;
		}
	}
	// 2-7. ATS, PRI, T2GPA
	if (!caps.ats && (enAts || enPri || prpr)) {
		return true;
	}
	if (!enAts && (t2gpa || enPri)) {
		return true;
	}
	if (!enPri && prpr) {
		return true;
	}
	if (t2gpa && (!caps.t2gpa || iohgatpMode === 0)) {
		return true;
	}
	if (pdtv) {
		// 8. pdtp.MODE
		const known = [true, caps.pd8, caps.pd17, caps.pd20];
		if (fscMode >= known.length || !known[fscMode]) {
			return true;
		}
	} else {
		// 9-11. iosatp.MODE
		const mode = stageMode(fscMode, sxl);
		if (mode === null || !supportsFirst(caps, mode)) {
			return true;
		}
		// 12. DPE
		if (dpe) {
			return true;
		}
	}
	// 13-15. iohgatp.MODE
	const second = stageMode(iohgatpMode, gxl);
	if (second === null || !supportsSecond(caps, second)) {
		return true;
	}
	if (words.length === 8) {
		// 16. msiptp.MODE
		const msiMode = field(words[4], 60, 4);
		if (msiMode > 1n) {
			return true;
		}
		// MSI tables without a second stage are a reserved setting; 259 is the recommended answer
		if (msiMode !== 0n && iohgatpMode === 0) {
			return true;
		}
	}
	// 17. root of 16 KiB
	if (iohgatpMode !== 0 && field(iohgatp, 0, 2) !== 0n) {
		return true;
	}
	// 18. A and D by hardware
	if (!caps.amoHwad && (sade || gade)) {
		return true;
	}
	// 19, 21. byte order
	if ((!caps.end || !registers.beWritable) && be !== sbe) {
		return true;
	}
	// 20. SXL
	if (gxl ? !sxl : sxl && !registers.gxlWritable) {
		return true;
	}
	// 22. QoS identifiers
	if (caps.qosid) {
		const rcidBits = BigInt(registers.rcidBits ?? 12);
		const mcidBits = BigInt(registers.mcidBits ?? 12);
		if (field(ta, 40, 12) >> rcidBits !== 0n || field(ta, 52, 12) >> mcidBits !== 0n) {
			return true;
		}
	}
	return false;
}

/** 3.3.1 "Process to locate the Device-context", after the width of device_id was checked. */
export function locateDevice(
	memory: Memory,
	registers: RiscvRegisters,
	device: number,
): { context: DeviceContext } | { fault: TableFault } {
	const caps = decodeCapabilities(registers.capabilities);
	const be = field(registers.fctl, 0, 1) === 1n;
	const gxl = field(registers.fctl, 2, 1) === 1n;
	const fault = (cause: number) => ({ fault: { cause, iotval2: 0n } });
	const indexes = deviceIndexes(device, caps.msiFlat);
	let table = field(registers.ddtp, 10, 44) << 12n;
	for (let level = Number(field(registers.ddtp, 0, 4)) - DDTP_1LVL; level > 0; level--) {
		const got = readWord(memory, table + BigInt(8 * indexes[level]), 8, be, caps.pas);
		if ("error" in got) {
			return fault(got.error === "access" ? CAUSE.ddtLoadAccessFault : CAUSE.ddtDataCorruption);
		}
		if ((got.value & 1n) === 0n) {
			return fault(CAUSE.ddtNotValid);
		}
		if ((got.value & NON_LEAF_RESERVED) !== 0n) {
			return fault(CAUSE.ddtMisconfigured);
		}
		table = field(got.value, 10, 44) << 12n;
	}
	const size = caps.msiFlat ? 8 : 4;
	const got = readWords(memory, table + BigInt(8 * size * indexes[0]), size, be, caps.pas);
	if ("error" in got) {
		return fault(got.error === "access" ? CAUSE.ddtLoadAccessFault : CAUSE.ddtDataCorruption);
	}
	const [tc, iohgatp, ta, fsc] = got.words;
	if ((tc & 1n) === 0n) {
		return fault(CAUSE.ddtNotValid);
	}
	if (deviceMisconfigured(got.words, registers, caps)) {
		return fault(CAUSE.ddtMisconfigured);
	}
	const bit = (position: number): boolean => field(tc, position, 1) === 1n;
	const sxl = bit(11);
	const second: SvGeometry = {
		mode: stageMode(Number(field(iohgatp, 60, 4)), gxl) as SvMode,
		stage: 2,
		root: field(iohgatp, 0, 44) << 12n,
		bigEndian: be,
		hardwareUpdate: bit(7),
		svpbmt: caps.svpbmt,
		svrsw60t59b: caps.svrsw60t59b,
		svnapot: true,
		physicalBits: caps.pas,
		sxl,
		sum: false,
	};
	const context: DeviceContext = {
		enAts: bit(1),
		enPri: bit(2),
		t2gpa: bit(3),
		dtf: bit(4),
		pdtv: bit(5),
		prpr: bit(6),
		gade: bit(7),
		sade: bit(8),
		dpe: bit(9),
		sbe: bit(10),
		sxl,
		gscid: Number(field(iohgatp, 44, 16)),
		pscid: Number(field(ta, 12, 20)),
		rcid: Number(field(ta, 40, 12)),
		mcid: Number(field(ta, 52, 12)),
		fsc,
		second,
		msiFlat: caps.msiFlat && field(got.words[4], 60, 4) === 1n,
		msiRoot: caps.msiFlat ? (got.words[4] & PPN_44) << 12n : 0n,
		msiMask: caps.msiFlat ? field(got.words[5], 0, 52) : 0n,
		msiPattern: caps.msiFlat ? field(got.words[6], 0, 52) : 0n,
	};
	return { context };
}

/** First-stage geometry of an iosatp (DC.fsc without PDTV, or PC.fsc), whose mode has been checked. */
export function firstStage(context: DeviceContext, iosatp: bigint, caps: Capabilities, sum: boolean): SvGeometry {
	return {
		mode: stageMode(Number(field(iosatp, 60, 4)), context.sxl) as SvMode,
		stage: 1,
		root: (iosatp & PPN_44) << 12n,
		bigEndian: context.sbe,
		hardwareUpdate: context.sade,
		svpbmt: caps.svpbmt,
		svrsw60t59b: caps.svrsw60t59b,
		svnapot: true,
		physicalBits: caps.pas,
		sxl: context.sxl,
		sum,
	};
}

export interface ProcessContext {
	ens: boolean;
	sum: boolean;
	pscid: number;
	iosatp: bigint;
}

/** Levels of the process directory by pdtp.MODE, and the bits of process_id that they take (3.1.3.4). */
export const PDTP_LEVELS = [0, 1, 2, 3];
export const PDTP_BITS = [20, 8, 17, 20];

/** 3.3.2 "Process to locate the Process-context"; pdtp.MODE is not Bare. */
export function locateProcess(
	memory: Memory,
	registers: RiscvRegisters,
	context: DeviceContext,
	process: number,
): { context: ProcessContext } | { fault: TableFault } {
	const caps = decodeCapabilities(registers.capabilities);
	const fault = (cause: number) => ({ fault: { cause, iotval2: 0n } });
	// PDI (3.2): 8, 9, 3 bits, leaf first
	const indexes = [process & 0xff, (process >>> 8) & 0x1ff, (process >>> 17) & 7];
	let table = (context.fsc & PPN_44) << 12n;
	for (let level = PDTP_LEVELS[Number(field(context.fsc, 60, 4))] - 1; ; level--) {
		let address = table + BigInt(indexes[level] * (level === 0 ? 16 : 8));
		if (context.second.mode !== "bare") {
			const walk = walkImplicit(memory, context.second, address, "directory", context.sade);
			if (walk.outcome === "access-error") {
				return fault(CAUSE.pdtLoadAccessFault);
			}
			if (walk.outcome === "poison") {
				return fault(CAUSE.pdtDataCorruption);
			}
			if (walk.outcome !== "translated") {
				// 4.2: bit 0 set, bit 1 clear; here the address of the entry is reported, not of its page
				return { fault: { cause: "guest-page", iotval2: (address & ~3n) | IOTVAL2_IMPLICIT } };
			}
			address = walk.pa;
		}
		const got = readWords(memory, address, level === 0 ? 2 : 1, context.sbe, caps.pas);
		if ("error" in got) {
			return fault(got.error === "access" ? CAUSE.pdtLoadAccessFault : CAUSE.pdtDataCorruption);
		}
		const [entry, fsc] = got.words;
		if ((entry & 1n) === 0n) {
			return fault(CAUSE.pdtNotValid);
		}
		if (level > 0) {
			if ((entry & NON_LEAF_RESERVED) !== 0n) {
				return fault(CAUSE.pdtMisconfigured);
			}
			table = field(entry, 10, 44) << 12n;
			continue;
		}
		// 3.2.4 "Process-context configuration checks"
		const mode = stageMode(Number(field(fsc, 60, 4)), context.sxl);
		if (field(entry, 3, 9) !== 0n || field(entry, 32, 32) !== 0n || field(fsc, 44, 16) !== 0n) {
			return fault(CAUSE.pdtMisconfigured);
		}
		if (mode === null || !supportsFirst(caps, mode)) {
			return fault(CAUSE.pdtMisconfigured);
		}
		const ens = field(entry, 1, 1) === 1n;
		const sum = field(entry, 2, 1) === 1n;
		return { context: { ens, sum, pscid: Number(field(entry, 12, 20)), iosatp: fsc } };
	}
}
