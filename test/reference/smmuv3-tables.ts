/**
 * SMMUv3 (IHI 0070) configuration: stream table entries and context descriptors, decoded and checked.
 * Non-secure state only. VMSAv8-32 LPAE, VMSAv9-128 (D128), permission indirection and overlays (PIE, POE), HAFT, MPAM
 * and DPT contents are not modelled: an implementation without them, so their fields are RES0, and SMMU_IDR0.TTF[0],
 * SMMU_IDR5.D128 count as 0 wherever a table format is chosen.
 *
 * STE (5.2), 64 bytes; qword.bits:
 *   0.0 V, 0.3:1 Config, 0.5:4 S1Fmt, 0.55:6 S1ContextPtr, 0.63:59 S1CDMax
 *   1.1:0 S1DSS, 1.3:2 S1CIR, 1.5:4 S1COR, 1.7:6 S1CSH, 1.12 DRE, 1.16:13 CONT, 1.17 DCP, 1.18 PPAR, 1.19 MEV,
 *   1.24 S1PIE, 1.25 S2FWB, 1.26 S1MPAM, 1.27 S1STALLD, 1.29:28 EATS, 1.31:30 STRW, 1.35:32 MemAttr, 1.36 MTCFG,
 *   1.40:37 ALLOCCFG, 1.45:44 SHCFG, 1.47:46 NSCFG, 1.49:48 PRIVCFG, 1.51:50 INSTCFG
 *   2.15:0 S2VMID, 2.37:32 S2T0SZ, 2.39:38 S2SL0, 2.41:40 S2IR0, 2.43:42 S2OR0, 2.45:44 S2SH0, 2.47:46 S2TG,
 *   2.50:48 S2PS, 2.51 S2AA64, 2.52 S2ENDI, 2.53 S2AFFD, 2.54 S2PTW, 2.55 S2HD, 2.56 S2HA, 2.57 S2S, 2.58 S2R
 *   3.2 S2SL0_2, 3.3 S2DS, 3.51:4 S2TTB
 *
 * CD (5.4), 64 bytes:
 *   0.5:0 T0SZ, 0.7:6 TG0, 0.14 EPD0, 0.15 ENDI, 0.21:16 T1SZ, 0.23:22 TG1, 0.30 EPD1, 0.31 V, 0.34:32 IPS, 0.35 AFFD,
 *   0.36 WXN, 0.37 UWXN (ignored for VMSAv8-64), 0.38 TBI0, 0.39 TBI1, 0.40 PAN, 0.41 AA64, 0.42 HD, 0.43 HA, 0.44 S,
 *   0.45 R, 0.46 A, 0.47 ASET, 0.63:48 ASID
 *   1.1 HAD0, 1.2 E0PD0, 1.51:4 TTB0, 1.59 EPAN;  2.1 HAD1, 2.2 E0PD1, 2.51:4 TTB1, 2.58 DS;  3 MAIR1:MAIR0
 *
 * L1STD (5.1), 8 bytes: 4:0 Span, 55:6 L2Ptr.  L1CD (5.3), 8 bytes: 0 V, 55:12 L2Ptr.
 */
import {
	type Granule,
	levelShift,
	stage1StartLevel,
	stage2StartLevel,
	tableBase,
	type VmsaGeometry,
	vmsaGeometry,
} from "./smmuv3-geometry.ts";
import {
	type Capabilities,
	endiannessIllegal,
	granuleSupported,
	largestTxsz,
	SIZES,
	Structure,
	TG0,
	TG1,
	ttbOutOfRange,
} from "./smmuv3-registers.ts";

export type StreamWorld = "EL1" | "EL2" | "EL2-E2H";

export function decodeSte(words: bigint[]) {
	const s = new Structure(words);
	return {
		valid: s.bit(0, 0),
		config: s.num(0, 3, 1),
		s1fmt: s.num(0, 5, 4),
		/** the address, not the field */
		s1ContextPtr: s.big(0, 55, 6) << 6n,
		s1cdMax: s.num(0, 63, 59),
		s1dss: s.num(1, 1, 0),
		cont: s.num(1, 16, 13),
		s2fwb: s.bit(1, 25),
		s1stalld: s.bit(1, 27),
		eats: s.num(1, 29, 28),
		strw: s.num(1, 31, 30),
		privcfg: s.num(1, 49, 48),
		instcfg: s.num(1, 51, 50),
		s2vmid: s.num(2, 15, 0),
		s2t0sz: s.num(2, 37, 32),
		s2sl0: s.num(2, 39, 38),
		s2tg: s.num(2, 47, 46),
		s2ps: s.num(2, 50, 48),
		s2aa64: s.bit(2, 51),
		s2endi: s.bit(2, 52),
		s2affd: s.bit(2, 53),
		s2ptw: s.bit(2, 54),
		s2hd: s.bit(2, 55),
		s2ha: s.bit(2, 56),
		s2s: s.bit(2, 57),
		s2r: s.bit(2, 58),
		s2sl02: s.bit(3, 2),
		s2ds: s.bit(3, 3),
		s2ttb: s.big(3, 51, 4) << 4n,
	};
}

export type Ste = ReturnType<typeof decodeSte>;

export const stage1On = (ste: Ste): boolean => (ste.config & 5) === 5;
export const stage2On = (ste: Ste): boolean => (ste.config & 6) === 6;

/** IgnoreSTESTRW (5.2.2). */
function strwUnused(ste: Ste, cap: Capabilities): boolean {
	return !cap.s1p || !cap.hyp || stage2On(ste) || ste.config === 4;
}

/** 5.2, STRW. */
export function streamWorld(ste: Ste, cap: Capabilities, cr2: number): StreamWorld {
	if (strwUnused(ste, cap) || ste.strw === 0) {
		return "EL1";
	}
	return (cr2 & 1) !== 0 ? "EL2-E2H" : "EL2";
}

/** S2DS is RES0 without IDR5.DS and with the 64K granule. */
function effectiveS2ds(ste: Ste, cap: Capabilities): boolean {
	return ste.s2ds && cap.ds && TG0[ste.s2tg] !== 16;
}

/**
 * STEWalkConfigInconsistentAA64: AArch64.S2InvalidSL or AArch64.S2InconsistentSL of the Arm ARM, with OAS for PAMax.
 */
function stage2LevelsIllegal(ste: Ste, granule: Granule, cap: Capabilities): boolean {
	const ds = effectiveS2ds(ste, cap);
	const start = stage2StartLevel(granule, ste.s2sl0, ste.s2sl02, ds);
	if (start === null) {
		return true;
	}
	const invalid =
		(granule === 12 && start === -1 && cap.oas < 52) ||
		(granule === 12 && start === 0 && cap.oas < 44) ||
		(granule === 12 && start === 3 && !cap.stt) ||
		(granule === 14 && start === 0 && (!ds || cap.oas < 52)) ||
		(granule === 14 && start === 1 && cap.oas < 42) ||
		(granule === 16 && start === 1 && cap.oas < 44);
	// at least one bit to resolve at the start level, at most a full index and 4 more: 16 concatenated tables
	const least = levelShift(granule, start) + 1;
	const most = least + (granule - 3 - 1) + 4;
	const size = 64 - ste.s2t0sz;
	return invalid || size < least || size > most;
}

/** SteIllegal (5.2.2), Non-secure, SMMUv3.1 or later. */
export function steIllegal(ste: Ste, cap: Capabilities): boolean {
	if (!ste.valid) {
		return true;
	}
	if (ste.config < 4) {
		return false;
	}
	const s1 = stage1On(ste);
	const s2 = stage2On(ste);
	if ((s1 && !cap.s1p) || (s2 && !cap.s2p)) {
		return true;
	}
	const unused = strwUnused(ste, cap);
	if (cap.ats && ste.config !== 4) {
		if (ste.eats === 2 && (ste.config !== 7 || ste.s2s || cap.ns1ats)) {
			return true;
		}
		if (ste.eats === 1 && ste.s2s && s2) {
			return true;
		}
		if (ste.eats === 3 && cap.dpt && ((!unused && ste.strw !== 0) || (s2 && ste.s2s))) {
			return true;
		}
	}
	if (!unused && (ste.strw & 1) === 1) {
		return true;
	}
	if (s1) {
		if (ste.s1stalld && cap.stallModel !== 0) {
			return true;
		}
		if (cap.ssidSize !== 0) {
			if (ste.s1cdMax > cap.ssidSize) {
				return true;
			}
			if (ste.s1cdMax !== 0 && !cap.cd2l && (ste.s1fmt === 1 || ste.s1fmt === 2)) {
				return true;
			}
		}
		// STES1ContextPtrOutOfRange; with stage 2 (3.4.3 note 2) a stage 2 Translation fault is allowed as well
		if (ste.s1ContextPtr >> BigInt(s2 ? cap.ias : cap.oas) !== 0n) {
			return true;
		}
	}
	if (s2) {
		if ((ste.s2s && cap.stallModel === 1) || (!ste.s2s && cap.stallModel === 2)) {
			return true;
		}
		if (!ste.s2aa64 || (cap.ttf & 2) === 0) {
			return true;
		}
		if (((ste.s2ha || ste.s2hd) && cap.httu === 0) || (ste.s2hd && cap.httu === 1)) {
			return true;
		}
		const granule = TG0[ste.s2tg];
		if (granule === null || !granuleSupported(granule, cap)) {
			return true;
		}
		const ds = effectiveS2ds(ste, cap);
		if (ttbOutOfRange(ste.s2ttb, granule, ds, Math.min(SIZES[ste.s2ps], cap.oas))) {
			return true;
		}
		const least = Math.max(granule === 16 || ds ? 12 : 16, 64 - cap.ias);
		if (ste.s2t0sz < least || ste.s2t0sz > largestTxsz(granule, cap)) {
			return true;
		}
		if (stage2LevelsIllegal(ste, granule, cap)) {
			return true;
		}
		if (endiannessIllegal(ste.s2endi, cap)) {
			return true;
		}
	}
	// IgnoreSTES2VMID
	const vmidUnused = !cap.s2p || ste.config === 4 || (ste.strw !== 0 && !unused);
	return !vmidUnused && !cap.vmid16 && ste.s2vmid > 0xff;
}

/** Stage 2 of a legal STE. */
export function stage2Geometry(ste: Ste, cap: Capabilities): VmsaGeometry {
	const granule = TG0[ste.s2tg] as Granule;
	const ds = effectiveS2ds(ste, cap);
	const outputBits = Math.min(SIZES[ste.s2ps], cap.oas);
	const startLevel = stage2StartLevel(granule, ste.s2sl0, ste.s2sl02, ds) as number;
	return vmsaGeometry({
		stage: 2,
		granule,
		txsz: ste.s2t0sz,
		startLevel,
		root: tableBase(ste.s2ttb, granule, ste.s2t0sz, startLevel, outputBits),
		outputBits,
		ds,
		pa52: cap.oas === 52,
		bigEndian: ste.s2endi,
		affd: ste.s2affd,
		ha: ste.s2ha,
		hd: ste.s2ha && ste.s2hd,
		xnx: cap.xnx,
		ptw: ste.s2ptw,
		fwb: ste.s2fwb && cap.fwb,
	});
}

export function decodeCd(words: bigint[]) {
	const c = new Structure(words);
	const half = (n: 0 | 1) => ({
		txsz: n === 0 ? c.num(0, 5, 0) : c.num(0, 21, 16),
		granule: n === 0 ? TG0[c.num(0, 7, 6)] : TG1[c.num(0, 23, 22)],
		epd: c.bit(0, n === 0 ? 14 : 30),
		tbi: c.bit(0, n === 0 ? 38 : 39),
		had: c.bit(1 + n, 1),
		e0pd: c.bit(1 + n, 2),
		ttb: c.big(1 + n, 51, 4) << 4n,
	});
	return {
		valid: c.bit(0, 31),
		endi: c.bit(0, 15),
		ips: c.num(0, 34, 32),
		affd: c.bit(0, 35),
		wxn: c.bit(0, 36),
		pan: c.bit(0, 40),
		aa64: c.bit(0, 41),
		hd: c.bit(0, 42),
		ha: c.bit(0, 43),
		s: c.bit(0, 44),
		r: c.bit(0, 45),
		a: c.bit(0, 46),
		aset: c.bit(0, 47),
		asid: c.num(0, 63, 48),
		epan: c.bit(1, 59),
		ds: c.bit(2, 58),
		mair: words[3],
		half: [half(0), half(1)] as const,
	};
}

export type Cd = ReturnType<typeof decodeCd>;

/**
 * EffectiveCDEPD0 / EffectiveCDEPD1 (5.4): EL2 ignores EPD0 and has no TTB1.
 */
function noWalk(cd: Cd, n: 0 | 1, world: StreamWorld): boolean {
	return world === "EL2" ? n === 1 : cd.half[n].epd;
}

function effectiveDs(cd: Cd, granule: Granule | null, cap: Capabilities): boolean {
	return cd.ds && cap.ds && granule !== 16;
}

/** CdIllegal (5.4.2), Non-secure, SMMUv3.1 or later. */
export function cdIllegal(cd: Cd, ste: Ste, world: StreamWorld, cap: Capabilities): boolean {
	if (
		!cd.valid ||
		(ste.s1stalld && cd.s) ||
		(cap.termModel && !cd.a) ||
		(cap.stallModel === 1 && cd.s) ||
		(cap.stallModel === 2 && !cd.s)
	) {
		return true;
	}
	if (!(noWalk(cd, 0, world) && noWalk(cd, 1, world)) && endiannessIllegal(cd.endi, cap)) {
		return true;
	}
	if (!cd.aa64 || (cap.ttf & 2) === 0) {
		return true;
	}
	if (((cd.ha || cd.hd) && cap.httu === 0) || (cd.hd && cap.httu === 1)) {
		return true;
	}
	if (world !== "EL2" && !cap.asid16 && cd.asid > 0xff) {
		return true;
	}
	const outputBits = Math.min(SIZES[cd.ips], cap.oas);
	for (const n of [0, 1] as const) {
		if (noWalk(cd, n, world)) {
			continue;
		}
		const { granule, txsz, ttb } = cd.half[n];
		if (granule === null || !granuleSupported(granule, cap)) {
			return true;
		}
		const ds = effectiveDs(cd, granule, cap);
		const least = cap.vax !== 0 && (granule === 16 || ds) ? 12 : 16;
		if (txsz < least || txsz > largestTxsz(granule, cap)) {
			return true;
		}
		if (ttbOutOfRange(ttb, granule, ds, outputBits)) {
			return true;
		}
	}
	return false;
}

/** Stage 1 of a legal CD for one input address: VA[55] chooses the half, but in EL2 there is one only (3.4.1). */
export function stage1Geometry(cd: Cd, world: StreamWorld, cap: Capabilities, address: bigint): VmsaGeometry {
	const two = world !== "EL2";
	const n = two && ((address >> 55n) & 1n) === 1n ? 1 : 0;
	const half = cd.half[n];
	const epd = noWalk(cd, n, world);
	// EPDx leaves its fields ignored, whatever they hold
	const granule = epd ? 12 : (half.granule as Granule);
	const txsz = epd ? 16 : half.txsz;
	const outputBits = Math.min(SIZES[cd.ips], cap.oas);
	const startLevel = stage1StartLevel(granule, txsz);
	return vmsaGeometry({
		stage: 1,
		granule,
		txsz,
		startLevel,
		root: epd ? 0n : tableBase(half.ttb, granule, txsz, startLevel, outputBits),
		outputBits,
		ds: effectiveDs(cd, granule, cap),
		pa52: cap.oas === 52,
		bigEndian: cd.endi,
		affd: cd.affd,
		ha: cd.ha,
		hd: cd.ha && cd.hd,
		upper: n === 1,
		tbi: half.tbi,
		epd,
		e0pd: two && cap.e0pd && half.e0pd,
		had: cap.had && half.had,
		wxn: cd.wxn,
		pan: two && cd.pan,
		epan: two && cap.epan && cd.epan,
		unprivileged: two,
	});
}
