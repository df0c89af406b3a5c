/**
 * The shape of one stage of VMSAv8-64 translation (Arm ARM DDI 0487 chapter D8): what a walk must know besides its
 * tables, and the arithmetic of levels, first tables, blocks and contiguous sets.
 *
 * Levels here are Arm's: 3 is the page level, 0 or -1 the highest.
 */
export type Granule = 12 | 14 | 16;

/** Everything that one stage of translation knows apart from the tables themselves. */
export interface VmsaGeometry {
	stage: 1 | 2;
	/** log2 of the granule */
	granule: Granule;
	/** TxSZ: 64 - input address bits (D8.2.5) */
	txsz: number;
	/** Arm level of the first table, -1 to 3 (`stage1StartLevel`, `stage2StartLevel`) */
	startLevel: number;
	/** address of the first table (or of the first concatenated one), already aligned by `tableBase` */
	root: bigint;
	/** effective output size in bits: min(IPS or S2PS, OAS) */
	outputBits: number;
	/** CD.DS, STE.S2DS (FEAT_LPA2): 52-bit descriptors in 4K and 16K granules */
	ds: boolean;
	/** the implementation has 52-bit output: descriptor bits 15:12 and level 1 blocks in the 64K granule (D8.3.2) */
	pa52: boolean;
	/** CD.ENDI, STE.S2ENDI */
	bigEndian: boolean;
	/** CD.AFFD, STE.S2AFFD: AF = 0 counts as 1; of no effect with `ha` */
	affd: boolean;
	/** hardware update of AF, and (only together with `ha`) of dirty state */
	ha: boolean;
	hd: boolean;

	/** stage 1: the range of TTB1, whose input has ones above its size */
	upper: boolean;
	/** stage 1: CD.TBIx */
	tbi: boolean;
	/** stage 1: CD.EPDx, no walk */
	epd: boolean;
	/** stage 1: CD.E0PDx, no unprivileged access to this range */
	e0pd: boolean;
	/** stage 1: CD.HADx, APTable / PXNTable / UXNTable ignored */
	had: boolean;
	/** stage 1: CD.WXN, CD.PAN, CD.EPAN */
	wxn: boolean;
	pan: boolean;
	epan: boolean;
	/** stage 1: EL1 and EL2-E2H tell privileged from not; EL2 and EL3 do not */
	unprivileged: boolean;

	/** stage 2: SMMU_IDR3.XNX, XN is two bits and looks at privilege */
	xnx: boolean;
	/** stage 2: STE.S2PTW, table and CD accesses may not meet Device memory */
	ptw: boolean;
	/** stage 2: STE.S2FWB (changes which MemAttr is Device) */
	fwb: boolean;
}

/** A geometry of everyday defaults, for tests that change a few fields. */
export function vmsaGeometry(
	fields: Partial<VmsaGeometry> & Pick<VmsaGeometry, "stage" | "granule" | "txsz" | "root">,
): VmsaGeometry {
	return {
		startLevel: stage1StartLevel(fields.granule, fields.txsz),
		outputBits: 48,
		ds: false,
		pa52: false,
		bigEndian: false,
		affd: false,
		ha: false,
		hd: false,
		upper: false,
		tbi: false,
		epd: false,
		e0pd: false,
		had: false,
		wxn: false,
		pan: false,
		epan: false,
		unprivileged: true,
		xnx: true,
		ptw: false,
		fwb: false,
		...fields,
	};
}

/** Index bits of a full table (D8.2.6). */
export const stride = (granule: number): number => granule - 3;

/** Bit at which the index of a level begins (D8.2.6). */
export function levelShift(granule: number, level: number): number {
	return granule + stride(granule) * (3 - level);
}

/** AArch64.S1StartLevel (D8.2.8): the fewest levels that resolve the input. */
export function stage1StartLevel(granule: number, txsz: number): number {
	return 3 - Math.floor((64 - txsz - 1 - granule) / stride(granule));
}

/** AArch64.S2StartLevel (VTCR_EL2.SL0 with SL2; D8.2.9). SL2 counts only for 4K with DS. Null: no such encoding. */
export function stage2StartLevel(granule: Granule, sl0: number, sl2: boolean, ds: boolean): number | null {
	if (granule === 12) {
		if (ds && sl2) {
			return sl0 === 0 ? -1 : null;
		}
		return [2, 1, 0, 3][sl0];
	}
	if (granule === 14) {
		return 3 - sl0;
	}
	return sl0 === 3 ? null : 3 - sl0;
}

/**
 * AArch64.TTBaseAddress: the base is aligned to the size of the first table (of all concatenated ones together), and
 * to 64 bytes at least when the output has 52 bits (IHI 0070 CD.TTB0, STE.S2TTB).
 */
export function tableBase(
	ttb: bigint,
	granule: number,
	txsz: number,
	startLevel: number,
	outputBits: number,
): bigint {
	let alignment = 3 + (64 - txsz) - levelShift(granule, startLevel);
	if (outputBits === 52) {
		alignment = Math.max(alignment, 6);
	}
	alignment = Math.max(alignment, 4);
	return (ttb >> BigInt(alignment)) << BigInt(alignment);
}

/** AArch64.BlockDescSupported (D8.3.2). */
export function blockLevel(granule: Granule, level: number, ds: boolean, pa52: boolean): boolean {
	switch (granule) {
		case 12:
			return level === 1 || level === 2 || (level === 0 && ds);
		case 14:
			return level === 2 || (level === 1 && ds);
		default:
			return level === 2 || (level === 1 && pa52);
	}
}

/** log2 of the entries in a contiguous set, 0 where the bit has no meaning (D8.7.1, AArch64.ContiguousSize). */
export function contiguousBits(granule: Granule, level: number): number {
	switch (granule) {
		case 12:
			return level >= 1 ? 4 : 0;
		case 14:
			return level === 3 ? 7 : level === 2 ? 5 : 0;
		default:
			return level >= 2 ? 5 : 0;
	}
}
