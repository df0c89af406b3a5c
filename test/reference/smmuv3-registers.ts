/**
 * The registers that SMMUv3 (IHI 0070) translation looks at, and the rules on field values that stream table entries
 * and context descriptors share.
 */
import type { Granule } from "./smmuv3-geometry.ts";

/** The registers of chapter 6 that translation looks at. */
export interface SmmuRegisters {
	idr0: number;
	idr1: number;
	idr3: number;
	idr5: number;
	/** SMMU_CR0: 0 SMMUEN, 1 PRIQEN, 2 EVENTQEN, 3 CMDQEN, 4 ATSCHK */
	cr0: number;
	/** SMMU_CR2: 0 E2H, 1 RECINVSID, 2 PTM, 3 REC_CFG_ATS */
	cr2: number;
	/** SMMU_GBPA: 20 ABORT */
	gbpa: number;
	/** ADDR 55:6, RA 62 */
	strtabBase: bigint;
	/** LOG2SIZE 5:0, SPLIT 10:6, FMT 17:16 */
	strtabBaseCfg: number;
}

const field = (word: number, high: number, low: number): number =>
	Number((BigInt(word) >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n));

/** SMMU_IDR5.OAS, CD.IPS and STE.S2PS (6.3.6, 5.4, 5.2); 7 is taken as 6 (SMMUv3.1 to v3.3). */
export const SIZES = [32, 36, 40, 42, 44, 48, 52, 52] as const;

/** The identification registers in words (6.3.1 to 6.3.6). */
export function capabilities(registers: SmmuRegisters) {
	const { idr0, idr1, idr3, idr5 } = registers;
	const bit = (word: number, n: number): boolean => field(word, n, n) === 1;
	const oas: number = SIZES[field(idr5, 2, 0)];
	return {
		s2p: bit(idr0, 0),
		s1p: bit(idr0, 1),
		ttf: field(idr0, 3, 2),
		/** 0 none, 1 access flag, 2 access flag and dirty state; 3 (HAFT too) as 2 */
		httu: Math.min(field(idr0, 7, 6), 2),
		hyp: bit(idr0, 9),
		ats: bit(idr0, 10),
		ns1ats: bit(idr0, 11),
		atsRecErr: bit(idr0, 23),
		asid16: bit(idr0, 12),
		vmid16: bit(idr0, 18),
		cd2l: bit(idr0, 19),
		ttendian: field(idr0, 22, 21),
		/** 0 stall and terminate, 1 terminate only, 2 stall only */
		stallModel: field(idr0, 25, 24),
		termModel: bit(idr0, 26),
		stLevel: field(idr0, 28, 27),
		sidSize: field(idr1, 5, 0),
		ssidSize: field(idr1, 10, 6),
		attrPermsOvr: bit(idr1, 26),
		had: bit(idr3, 2),
		xnx: bit(idr3, 4),
		fwb: bit(idr3, 8),
		stt: bit(idr3, 9),
		e0pd: bit(idr3, 13),
		dpt: bit(idr3, 15),
		epan: bit(idr3, 17),
		oas,
		gran4k: bit(idr5, 4),
		gran16k: bit(idr5, 5),
		gran64k: bit(idr5, 6),
		ds: bit(idr5, 7),
		vax: field(idr5, 11, 10),
		/** 3.4: the largest IPA */
		ias: Math.max(bit(idr0, 2) ? 40 : 0, bit(idr0, 3) ? oas : 0),
	};
}

export type Capabilities = ReturnType<typeof capabilities>;

/** Reads bit fields of a structure of eight little-endian qwords. */
export class Structure {
	readonly words: bigint[];
	constructor(words: bigint[]) {
		this.words = words;
	}
	big(qword: number, high: number, low: number): bigint {
		return (this.words[qword] >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n);
	}
	num(qword: number, high: number, low: number): number {
		return Number(this.big(qword, high, low));
	}
	bit(qword: number, n: number): boolean {
		return this.num(qword, n, n) === 1;
	}
}

/** TG0 and S2TG (5.4, 5.2); null is reserved. */
export const TG0: Array<Granule | null> = [12, 16, 14, null];
/** TG1 is encoded otherwise. */
export const TG1: Array<Granule | null> = [null, 14, 12, 16];

export function granuleSupported(granule: Granule | null, cap: Capabilities): boolean {
	return granule === 12 ? cap.gran4k : granule === 14 ? cap.gran16k : granule === 16 ? cap.gran64k : false;
}

/** Largest TxSZ (STES2T0SZInvalid, CDTxSZInvalid). */
export function largestTxsz(granule: Granule, cap: Capabilities): number {
	return !cap.stt ? 39 : granule === 16 ? 47 : 48;
}

/** TTB may use 48 bits only in granules below 64K without DS; otherwise what the output size allows (5.2, 5.4). */
export function ttbOutOfRange(ttb: bigint, granule: Granule, ds: boolean, outputBits: number): boolean {
	const bits = granule !== 16 && !ds ? Math.min(outputBits, 48) : outputBits;
	return ttb >> BigInt(bits) !== 0n;
}

/** CD.ENDI and STE.S2ENDI against SMMU_IDR0.TTENDIAN (5.2, 5.4). */
export function endiannessIllegal(big: boolean, cap: Capabilities): boolean {
	return (cap.ttendian === 2 && big) || (cap.ttendian === 3 && !big);
}
