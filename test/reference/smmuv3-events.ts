/**
 * SMMUv3 (IHI 0070) queue records: event numbers and records (7.3); and, for whoever ports them, the other queues.
 *
 * Commands, 16 bytes, qword.bits (chapter 4): 0.7:0 opcode, 0.10 SSec, 0.11 SSV, 0.31:12 SubstreamID, 0.63:32 StreamID.
 *   0x01 PREFETCH_CONFIG  StreamID, SSV, SubstreamID      0x02 PREFETCH_ADDR  also 1.4:0 Size, 1.63:12 Address
 *   0x03 CFGI_STE         StreamID, 1.0 Leaf (0: the L1STD as well)
 *   0x04 CFGI_STE_RANGE   StreamID, 1.4:0 Range: 2^(Range+1) aligned StreamIDs; Range 31 is CFGI_ALL
 *   0x05 CFGI_CD          StreamID, SubstreamID, 1.0 Leaf (0: the L1CD as well)      0x06 CFGI_CD_ALL  StreamID
 *   Any CFGI_STE* also drops the CDs that were fetched through those STEs (4.3).
 *   TLBI (4.4): 0.16:12 NUM, 0.25:20 SCALE, 0.47:32 VMID, 0.63:48 ASID, 1.0 Leaf, 1.9:8 TTL, 1.11:10 TG,
 *   1.63:12 Address (IPA 1.51:12). TG 0: one address, else (NUM + 1) * 2^SCALE granules (TG 1 4K, 2 16K, 3 64K) from
 *   Address, at level TTL (0 any). Leaf = 0 also drops cached tables on the way.
 *   0x10 NH_ALL (VMID)    0x11 NH_ASID (VMID, ASID: not global)   0x12 NH_VA (VMID, ASID or global, VA)
 *   0x13 NH_VAA (VMID, VA, any ASID)
 *   0x18 EL3_ALL          0x1a EL3_VA
 *   0x20 EL2_ALL          0x21 EL2_ASID (E2H)   0x22 EL2_VA (ASID with E2H)   0x23 EL2_VAA (E2H)
 *   0x28 S12_VMALL (VMID, both stages)          0x2a S2_IPA (VMID, IPA; stage 2 only, nested entries need more)
 *   0x30 NSNH_ALL (all of EL1, any VMID)
 *   0x40 ATC_INV          SSV, 0.9 Global, SubstreamID, StreamID, 1.5:0 Size: 2^Size pages of 4K (52 or more: all),
 *                         1.63:12 Address
 *   0x41 PRI_RESP         SSV, SubstreamID, StreamID, 1.8:0 PRGIndex, 1.13:12 Resp (0 deny, 1 fail, 2 success)
 *   0x44 RESUME           StreamID, 0.13:12 (0 terminate by CD.A, 1 retry, 2 abort), 1.15:0 STAG
 *   0x45 STALL_TERM       StreamID
 *   0x46 SYNC             0.13:12 CS (0 none, 1 IRQ, 2 SEV), 0.23:22 MSH, 0.27:24 MSIAttr, 0.63:32 MSIData, 1.51:2 MSIAddr
 *   Errors in CMDQ_CONS.ERR 30:24: 1 CERROR_ILL, 2 CERROR_ABT, 3 CERROR_ATC_INV_SYNC.
 *
 * Page requests, 16 bytes (chapter 8): 0.31:0 StreamID, 0.51:32 SubstreamID, 0.58 P, 0.59 X, 0.60 R, 0.61 W,
 *   0.62 Last, 0.63 SSV; 1.8:0 PRGIndex, 1.63:12 address. Last with R = W = 0 and SSV is a PASID Stop marker. When
 *   the queue is full (8.1) a request with Last is answered at once with Success, one without is dropped.
 */
import type { Result } from "./contract.ts";

/** Event numbers (7.3). */
export const EVENT = {
	F_UUT: 0x01,
	C_BAD_STREAMID: 0x02,
	F_STE_FETCH: 0x03,
	C_BAD_STE: 0x04,
	F_BAD_ATS_TREQ: 0x05,
	F_STREAM_DISABLED: 0x06,
	F_TRANSL_FORBIDDEN: 0x07,
	C_BAD_SUBSTREAMID: 0x08,
	F_CD_FETCH: 0x09,
	C_BAD_CD: 0x0a,
	F_WALK_EABT: 0x0b,
	F_TRANSLATION: 0x10,
	F_ADDR_SIZE: 0x11,
	F_ACCESS: 0x12,
	F_PERMISSION: 0x13,
	F_TLB_CONFLICT: 0x20,
	F_CFG_CONFLICT: 0x21,
	E_PAGE_REQUEST: 0x24,
	F_VMS_FETCH: 0x25,
} as const;

/** CLASS (7.3): what was being done. */
export const CLASS = { CD: 0, TT: 1, IN: 2 } as const;

/**
 * The 32-byte event record (7.3) as four little-endian qwords; null when nothing is recorded.
 *
 *   0.7:0 number, 0.11 SSV, 0.31:12 SubstreamID, 0.63:32 StreamID
 *   1.15:0 STAG or Reason, 1.31 Stall, 1.33 PnU, 1.34 InD, 1.35 RnW, 1.39 S2, 1.41:40 CLASS, 1.44 TTRnW (F_PERMISSION)
 *   2 InputAddr
 *   3.55:12 IPA (stage 2 events), 3.55:3 FetchAddr (F_STE_FETCH, F_CD_FETCH, F_WALK_EABT)
 *
 * Not valid in every event: C_BAD_* and F_STREAM_DISABLED have qword 0 only; C_BAD_SUBSTREAMID has no SSV;
 * F_STE_FETCH and F_CD_FETCH have qwords 0 and 3.
 */
export function encodeEvent(result: Result): [bigint, bigint, bigint, bigint] | null {
	if (result.status !== "fault" || result.code === 0 || !result.reported) {
		return null;
	}
	const f = (name: string): bigint => BigInt(result.fields[name] ?? 0);
	const ssv = result.code === EVENT.C_BAD_SUBSTREAMID ? 0n : f("SSV");
	return [
		BigInt(result.code) | (ssv << 11n) | ((f("SubstreamID") & 0xf_ffffn) << 12n) | (f("StreamID") << 32n),
		(f("Stall") << 31n) |
			(f("PnU") << 33n) |
			(f("InD") << 34n) |
			(f("RnW") << 35n) |
			(f("S2") << 39n) |
			(f("CLASS") << 40n) |
			(f("TTRnW") << 44n),
		f("InputAddr"),
		(f("IPA") & 0x00ff_ffff_ffff_f000n) | (f("FetchAddr") & 0x00ff_ffff_ffff_fff8n),
	];
}
