/**
 * Intel VT-d fault reasons (Architecture Specification rev. 3.x to 5.x, 7.1.3 tables "Fault Conditions") and the
 * records that hardware and software exchange (11.4.14 FRCD_REG, 7.4 page requests, 6.5.2 invalidation descriptors).
 *
 * Invalidation descriptors (6.5.2), 128 bit (`lo`, `hi`), type = lo[11:9]:lo[3:0]; 256 bit when IQA_REG.DW is set, the
 * upper half zero:
 *
 * | type | name                | fields                                                                              |
 * | 1    | context cache       | lo 5:4 G (01 global, 10 domain, 11 device), 31:16 DID, 47:32 SID, 49:48 FM            |
 * | 2    | IOTLB               | lo 5:4 G (01 global, 10 domain, 11 page), 6 DW, 7 DR, 31:16 DID; hi 5:0 AM, 6 IH, 63:12 ADDR |
 * | 3    | device-TLB          | lo 15:12 PFSID[3:0], 20:16 MIP, 47:32 SID, 63:52 PFSID[15:4]; hi 0 S, 63:12 ADDR      |
 * | 4    | interrupt entries   | lo 4 G (0 global, 1 index), 31:27 IM, 47:32 IIDX                                     |
 * | 5    | wait                | lo 4 IF, 5 SW, 6 FN, 7 PD, 63:32 status data; hi 63:2 status address                 |
 * | 6    | PASID-based IOTLB   | lo 5:4 G (10 all of the PASID, 11 pages), 31:16 DID, 51:32 PASID; hi 5:0 AM, 6 IH, 63:12 ADDR |
 * | 7    | PASID cache         | lo 5:4 G (00 domain, 01 PASID of a domain, 11 global), 31:16 DID, 51:32 PASID          |
 * | 8    | PASID device-TLB    | lo 8:4 MIP, 15:12 PFSID[3:0], 31:16 SID, 51:32 PASID, 63:52 PFSID[15:4]; hi 0 G, 11 S, 63:12 ADDR |
 * | 9    | page group response | lo 4 PP, 15:12 response code (0 success, 1 invalid, 15 failure), 31:16 RID, 51:32 PASID; hi 2 LPIG, 11:3 PRGI |
 *
 * S with ADDR: the range is 2^(n+1) pages where n is the number of ADDR bits set from bit 12 up before the first clear one.
 * AM: 2^AM pages aligned at their size. IH: only leaf entries changed.
 *
 * Page request (7.4.1), 256 bit: q0 7:0 type = 1, 8 PASID present, 9 private data present, 31:16 RID, 51:32 PASID,
 * 52 execute, 53 privileged; q1 0 R, 1 W, 2 last in group, 11:3 PRGI, 63:12 ADDR; q2 and q3 private data.
 */
import type { Result } from "./contract.ts";
import type { VtdWalkResult } from "./vtd-walk.ts";

/** Fault reasons by the names of 7.1.3. */
export const REASON = {
	/** legacy mode: root table */
	LRT_1_ACCESS: 0x08,
	LRT_2_PRESENT: 0x01,
	LRT_3_RESERVED: 0x0a,
	/** legacy mode: context table */
	LCT_1_ACCESS: 0x09,
	LCT_2_PRESENT: 0x02,
	LCT_3_RESERVED: 0x0b,
	/** AW or TT not supported; or the first second-stage table, at SSPTPTR, cannot be read */
	LCT_4_INVALID: 0x03,
	/** translation or translated request where TT is not 01b */
	LCT_5_BLOCKED: 0x0d,
	/** legacy mode: second stage; also R = W = 0 counts as LGN.2 or LGN.3 */
	LSS_1_ACCESS: 0x07,
	LSS_2_RESERVED: 0x0c,
	LGN_1_BEYOND: 0x04,
	LGN_2_WRITE: 0x05,
	LGN_3_READ: 0x06,
	LGN_4_INTERRUPT: 0x0e,
	/** root table address register */
	RTA_1_INVALID: 0x30,
	RTA_2_PASID: 0x31,
	RTA_3_PAGE_REQUEST: 0x32,
	RTA_4_ABORT: 0x33,
	SRT_1_ACCESS: 0x38,
	SRT_2_PRESENT: 0x39,
	SRT_3_RESERVED: 0x3a,
	SCT_1_ACCESS: 0x40,
	SCT_2_PRESENT: 0x41,
	SCT_3_RESERVED: 0x42,
	/** never raised here */
	SCT_4_INVALID: 0x43,
	SCT_5_DTE: 0x44,
	SCT_6_PASIDE: 0x45,
	SCT_7_PASID_RANGE: 0x46,
	SCT_8_PRE: 0x47,
	SCT_9_RID_PASID: 0x48,
	SPD_1_ACCESS: 0x50,
	SPD_2_PRESENT: 0x51,
	SPD_3_RESERVED: 0x52,
	SPT_1_ACCESS: 0x58,
	SPT_2_PRESENT: 0x59,
	SPT_3_RESERVED: 0x5a,
	/** PGTT, AW or FSPM not supported */
	SPT_4_INVALID: 0x5b,
	SPT_5_ERE: 0x5c,
	SPT_6_SRE: 0x5d,
	/** first stage: a table behind an entry cannot be read */
	SFS_1_ACCESS: 0x70,
	SFS_2_PRESENT: 0x71,
	SFS_3_RESERVED: 0x72,
	/** first stage: the table at FSPTPTR cannot be read */
	SFS_4_ROOT_ACCESS: 0x73,
	/** nested: FSPTPTR or the address in an entry is beyond what the second stage takes */
	SFS_5_BEYOND: 0x74,
	/** nested: the second stage forbids to read the table at FSPTPTR */
	SFS_6_ROOT_READ: 0x75,
	/** nested: the second stage forbids to read the table behind an entry */
	SFS_7_READ: 0x76,
	/** nested: the second stage forbids to write an entry whose A, D or EA must be set */
	SFS_8_WRITE: 0x77,
	SFS_9_UNSNOOPED: 0x90,
	SFS_10_UPDATE: 0x91,
	SSS_1_ACCESS: 0x78,
	/** R = W = 0 */
	SSS_2_PRESENT: 0x79,
	SSS_3_RESERVED: 0x7a,
	/** the table at SSPTPTR cannot be read */
	SSS_4_ROOT_ACCESS: 0x7b,
	SSS_5_UNSNOOPED: 0x7c,
	SSS_6_UPDATE: 0x7d,
	SGN_1_CANONICAL: 0x80,
	SGN_2_USER: 0x81,
	SGN_3_EXECUTE: 0x82,
	/** pass-through or translated request beyond the host address width */
	SGN_4_BEYOND_HAW: 0x83,
	/** input of the second stage beyond min(MGAW, AW) */
	SGN_5_BEYOND: 0x84,
	SGN_6_WRITE: 0x85,
	SGN_7_READ: 0x86,
	SGN_8_INTERRUPT: 0x87,
} as const;

/** 7.1.3 Table 30, columns of translation requests: reasons whose completion is Unsupported Request, and Completer Abort. */
const UNSUPPORTED = [0x01, 0x02, 0x0d, 0x31, 0x33, 0x39, 0x41, 0x44, 0x45, 0x46, 0x48];
const ABORTED = [0x03, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0e, 0x30, 0x38, 0x3a, 0x40, 0x42, 0x43, 0x50, 0x52, 0x58, 0x5a, 0x5b, 0x78, 0x7a, 0x7b, 0x7c, 0x7d, 0x87];

/** Completion of a translation request that met a reason: 0 Success with R = W = 0, 1 Unsupported Request, 4 Completer Abort. */
export function atsResponse(code: number): 0 | 1 | 4 {
	return UNSUPPORTED.includes(code) ? 1 : ABORTED.includes(code) ? 4 : 0;
}

/**
 * Reasons that a translation request is told of as no permission: nothing is recorded (7.1.2), and the device may send a
 * page request. SFS.10 is reported all the same.
 */
export const isRecoverable = (code: number): boolean => atsResponse(code) === 0 && code !== REASON.SFS_10_UPDATE;

/** The fault reason of a failed second-stage walk in legacy mode (7.1.3, LSS.n, LGN.n, LCT.4). */
export function legacyReason(walk: VtdWalkResult, levels: number, write: boolean): number {
	switch (walk.outcome) {
		case "address-size":
			return REASON.LGN_1_BEYOND;
		case "not-present":
			return write ? REASON.LGN_2_WRITE : REASON.LGN_3_READ;
		case "no-write":
			return REASON.LGN_2_WRITE;
		case "no-read":
			return REASON.LGN_3_READ;
		case "reserved":
			return REASON.LSS_2_RESERVED;
		case "access-error":
		case "poison":
			return walk.level === levels - 1 ? REASON.LCT_4_INVALID : REASON.LSS_1_ACCESS;
		default:
			throw new Error(`no legacy reason for ${walk.outcome}`);
	}
}

/** The fault reason of a failed walk in scalable mode (7.1.3, SFS.n, SSS.n, SGN.n). */
export function scalableReason(walk: VtdWalkResult, firstLevels: number, secondLevels: number): number {
	const access = walk.outcome === "access-error" || walk.outcome === "poison";
	if (walk.stage === 1) {
		if (access) {
			return walk.level === firstLevels - 1 ? REASON.SFS_4_ROOT_ACCESS : REASON.SFS_1_ACCESS;
		}
		switch (walk.outcome) {
			case "address-size":
				return REASON.SGN_1_CANONICAL;
			case "not-present":
				return REASON.SFS_2_PRESENT;
			case "reserved":
				return REASON.SFS_3_RESERVED;
			case "no-user":
				return REASON.SGN_2_USER;
			case "no-execute":
				return REASON.SGN_3_EXECUTE;
			case "no-write":
				return REASON.SGN_6_WRITE;
			case "update-refused":
				return walk.unsnooped ? REASON.SFS_9_UNSNOOPED : REASON.SFS_10_UPDATE;
			default:
				throw new Error(`no first-stage reason for ${walk.outcome}`);
		}
	}
	if (access) {
		return walk.level === secondLevels - 1 ? REASON.SSS_4_ROOT_ACCESS : REASON.SSS_1_ACCESS;
	}
	switch (walk.outcome) {
		case "address-size":
			return walk.during === "output" ? REASON.SGN_5_BEYOND : REASON.SFS_5_BEYOND;
		case "not-present":
			return REASON.SSS_2_PRESENT;
		case "reserved":
			return REASON.SSS_3_RESERVED;
		case "no-execute":
			return REASON.SGN_3_EXECUTE;
		case "no-write":
			return walk.during === "update" ? REASON.SFS_8_WRITE : REASON.SGN_6_WRITE;
		case "no-read":
			if (walk.during === "root") {
				return REASON.SFS_6_ROOT_READ;
			}
			return walk.during === "entry" ? REASON.SFS_7_READ : REASON.SGN_7_READ;
		case "update-refused":
			return walk.unsnooped ? REASON.SSS_5_UNSNOOPED : REASON.SSS_6_UPDATE;
		default:
			throw new Error(`no second-stage reason for ${walk.outcome}`);
	}
}

/**
 * The fault recording register (11.4.14) as [low, high]: low 63:12 FI; high 15:0 SID, 28 T2, 29 PRIV, 30 EXE, 31 PP,
 * 39:32 FR, 59:40 PV, 61:60 AT, 62 T1, 63 F. T1:T2 = 00 write, 10 read, 01 page request, 11 AtomicOp.
 */
export function faultRecord(result: Result): [bigint, bigint] {
	const field = (name: string): bigint => BigInt(result.fields[name] ?? 0);
	const high =
		field("SID") |
		(field("T2") << 28n) |
		(field("PRIV") << 29n) |
		(field("EXE") << 30n) |
		(field("PP") << 31n) |
		(BigInt(result.code) << 32n) |
		(field("PV") << 40n) |
		(field("AT") << 60n) |
		(field("T1") << 62n) |
		(1n << 63n);
	return [field("FI"), high];
}
