/** Intel VT-d: the registers and the request that a translation starts from (Architecture Specification rev. 3.x to 5.x). */
import type { Request } from "./contract.ts";

/** Registers that decide a translation (11.4). */
export interface VtdRegisters {
	/** RTADDR_REG: 63:12 root table, 11:10 TTM (00 legacy, 01 scalable, 11 abort) */
	rtaddr: bigint;
	cap: bigint;
	ecap: bigint;
	/** GSTS_REG.TES; false: every request passes untranslated */
	enabled: boolean;
	/** host address width when it is not MGAW + 1 */
	haw?: number;
	/** take PASID 0 for requests without PASID when ECAP_REG.RPS is clear, as the register's text says (QEMU does not) */
	honourRps?: boolean;
}

export interface VtdRequest extends Request {
	/** AT field of the transaction (4.1); untranslated when absent */
	at?: "untranslated" | "translation" | "translated";
	/** of a translation request: No Write */
	noWrite?: boolean;
}

export const ALL = (1n << 64n) - 1n;
/** address fields, 63:12 */
export const PAGE = ~0xfffn & ALL;

export function bits(value: bigint, high: number, low: number): bigint {
	return (value >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n);
}

export function bit(value: bigint, at: number): boolean {
	return bits(value, at, at) === 1n;
}

/** CAP_REG (11.4.2) and ECAP_REG (11.4.3) by name. */
export function capabilities(cap: bigint, ecap: bigint) {
	return {
		SAGAW: bits(cap, 12, 8),
		MGAW: Number(bits(cap, 21, 16)) + 1,
		ZLR: bit(cap, 22),
		SSLPS2M: bit(cap, 34),
		SSLPS1G: bit(cap, 35),
		FS1GP: bit(cap, 56),
		FS5LP: bit(cap, 60),
		DT: bit(ecap, 2),
		PT: bit(ecap, 6),
		SC: bit(ecap, 7),
		MTS: bit(ecap, 25),
		NEST: bit(ecap, 26),
		PRS: bit(ecap, 29),
		ERS: bit(ecap, 30),
		SRS: bit(ecap, 31),
		EAFS: bit(ecap, 34),
		PASID: bit(ecap, 40),
		SMTS: bit(ecap, 43),
		SSADS: bit(ecap, 45),
		SSTS: bit(ecap, 46),
		FSTS: bit(ecap, 47),
		SMPWC: bit(ecap, 48),
		RPS: bit(ecap, 49),
		ADMS: bit(ecap, 52),
		RPRIVS: bit(ecap, 53),
	};
}

/** 3.14: the interrupt address range 0xFEE00000 to 0xFEEFFFFF. */
export function isInterruptAddress(address: bigint): boolean {
	return address >> 20n === 0xfeen;
}

/** Levels that AW stands for, or null when SAGAW lacks it (9.3, 9.6, 11.4.2). */
export function levelsOf(aw: bigint, sagaw: bigint): 3 | 4 | 5 | null {
	if (aw < 1n || aw > 3n || ((sagaw >> aw) & 1n) === 0n) {
		return null;
	}
	return (Number(aw) + 2) as 3 | 4 | 5;
}
