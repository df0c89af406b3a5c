/**
 * RISC-V IOMMU registers that translation reads, fault causes, and the doubleword reads that all tables share. Section
 * numbers are those of the RISC-V IOMMU Architecture Specification 1.0.x.
 */
import type { Memory } from "./contract.ts";
import { readWord } from "./riscv-walk.ts";

/** 4.2 "Fault record CAUSE field encodings" */
export const CAUSE = {
	instructionAccessFault: 1,
	readAccessFault: 5,
	writeAccessFault: 7,
	instructionPageFault: 12,
	readPageFault: 13,
	writePageFault: 15,
	instructionGuestPageFault: 20,
	readGuestPageFault: 21,
	writeGuestPageFault: 23,
	allInboundDisallowed: 256,
	ddtLoadAccessFault: 257,
	ddtNotValid: 258,
	ddtMisconfigured: 259,
	transactionTypeDisallowed: 260,
	msiLoadAccessFault: 261,
	msiNotValid: 262,
	msiMisconfigured: 263,
	mrifAccessFault: 264,
	pdtLoadAccessFault: 265,
	pdtNotValid: 266,
	pdtMisconfigured: 267,
	ddtDataCorruption: 268,
	pdtDataCorruption: 269,
	msiDataCorruption: 270,
	mrifDataCorruption: 271,
	internalDatapathError: 272,
	msiWriteAccessFault: 273,
	pageTableDataCorruption: 274,
} as const;

/** A fault of the tables. `iotval2` is 0 but for guest-page faults of the process directory. */
export interface TableFault {
	/** "guest-page": by the access of the transaction (20, 21, 23) */
	cause: number | "guest-page";
	iotval2: bigint;
}

/** 6.3 "IOMMU capabilities" */
export interface Capabilities {
	sv32: boolean;
	sv39: boolean;
	sv48: boolean;
	sv57: boolean;
	svrsw60t59b: boolean;
	svpbmt: boolean;
	sv32x4: boolean;
	sv39x4: boolean;
	sv48x4: boolean;
	sv57x4: boolean;
	msiFlat: boolean;
	msiMrif: boolean;
	amoHwad: boolean;
	ats: boolean;
	t2gpa: boolean;
	end: boolean;
	pas: number;
	pd8: boolean;
	pd17: boolean;
	pd20: boolean;
	qosid: boolean;
}

export function decodeCapabilities(raw: bigint): Capabilities {
	const bit = (position: number): boolean => ((raw >> BigInt(position)) & 1n) !== 0n;
	return {
		sv32: bit(8),
		sv39: bit(9),
		sv48: bit(10),
		sv57: bit(11),
		svrsw60t59b: bit(14),
		svpbmt: bit(15),
		sv32x4: bit(16),
		sv39x4: bit(17),
		sv48x4: bit(18),
		sv57x4: bit(19),
		// 21 AMO_MRIF: whether the IOMMU itself stores into the MRIF; no part in translation
		msiFlat: bit(22),
		msiMrif: bit(23),
		amoHwad: bit(24),
		ats: bit(25),
		t2gpa: bit(26),
		end: bit(27),
		pas: Number((raw >> 32n) & 0x3fn),
		pd8: bit(38),
		pd17: bit(39),
		pd20: bit(40),
		qosid: bit(41),
		// 42 NL, 43 S: forms of the invalidation commands only
	};
}

/** The registers that translation reads. */
export interface RiscvRegisters {
	/** offset 0 (6.3) */
	capabilities: bigint;
	/** offset 8 (6.4): 0 BE | 1 WSI | 2 GXL */
	fctl: bigint;
	/** offset 16 (6.5): 3:0 iommu_mode (0 Off, 1 Bare, 2 1LVL, 3 2LVL, 4 3LVL) | 4 busy | 53:10 PPN */
	ddtp: bigint;
	/** fctl.GXL can be written: DC.tc.SXL may then be 1 while GXL is 0 (3.1.4) */
	gxlWritable: boolean;
	/** fctl.BE can be written: DC.tc.SBE may then differ from it (3.1.4) */
	beWritable: boolean;
	/** widths of RCID and MCID with capabilities.QOSID; 12 when not given */
	rcidBits?: number;
	mcidBits?: number;
}

export const DDTP_OFF = 0;
export const DDTP_BARE = 1;
export const DDTP_1LVL = 2;
export const DDTP_3LVL = 4;

export const PPN_44 = (1n << 44n) - 1n;

export function field(word: bigint, low: number, bits: number): bigint {
	return (word >> BigInt(low)) & ((1n << BigInt(bits)) - 1n);
}

/** Several doublewords as one access: an access fault anywhere comes before poison anywhere. */
export function readWords(
	memory: Memory,
	pa: bigint,
	count: number,
	bigEndian: boolean,
	physicalBits: number,
): { words: bigint[] } | { error: "access" | "poison" } {
	const words: bigint[] = [];
	let poisoned = false;
	for (let i = 0; i < count; i++) {
		const got = readWord(memory, pa + BigInt(8 * i), 8, bigEndian, physicalBits);
		if ("error" in got) {
			if (got.error === "access") {
				return got;
			}
			poisoned = true;
		} else {
			words.push(got.value);
		}
	}
	return poisoned ? { error: "poison" } : { words };
}
