/**
 * RISC-V IOMMU queue records, literally (chapter 4 of the RISC-V IOMMU Architecture Specification 1.0.x). Every record
 * is doublewords in the byte order of fctl.BE; the values here are the doublewords.
 *
 *     fault record, 32 bytes (4.2)
 *       0: 11:0 CAUSE | 31:12 PID | 32 PV | 33 PRIV | 39:34 TTYP | 63:40 DID   1: 31:0 custom | 63:32 reserved
 *       2: iotval   3: iotval2
 *     page request, 16 bytes (4.3)
 *       0: 11:0 reserved | 31:12 PID | 32 PV | 33 PRIV | 34 EXEC | 39:35 reserved | 63:40 DID
 *       1: 0 R | 1 W | 2 L | 11:3 page request group index | 63:12 page address.  L=1, R=W=0: stop marker
 *     commands, 16 bytes (4.1): 6:0 opcode | 9:7 func3
 *       IOTINVAL (1; VMA 0, GVMA 1)
 *         0: 10 AV | 11 reserved | 31:12 PSCID | 32 PSCV | 33 GV | 34 NL (capabilities bit 42) | 43:35 reserved |
 *            59:44 GSCID | 63:60 reserved
 *         1: 8:0 reserved | 9 S (capabilities bit 43) | 61:10 ADDR[63:12] | 63:62 reserved
 *       IOFENCE (2; C 0)
 *         0: 10 AV | 11 WSI | 12 PR | 13 PW | 31:14 reserved | 63:32 DATA   1: 61:0 ADDR[63:2] | 63:62 reserved
 *       IODIR (3; INVAL_DDT 0, INVAL_PDT 1)
 *         0: 11:10 reserved | 31:12 PID | 32 reserved | 33 DV | 39:34 reserved | 63:40 DID   1: reserved
 *       ATS (4; INVAL 0, PRGR 1; with capabilities.ATS)
 *         0: 11:10 reserved | 31:12 PID | 32 PV | 33 DSV | 39:34 reserved | 55:40 RID | 63:56 DSEG   1: payload
 *         INVAL payload: 0 G | 10:1 zero | 11 S | 63:12 untranslated address
 *         PRGR payload: 31:0 zero | 40:32 group index | 43:41 zero | 47:44 response code | 63:48 zero
 *       opcodes 0 and 5-63 are reserved, 64-127 custom
 *     A reserved encoding or a reserved bit that is set makes a command illegal, a missing capability makes it
 *     unsupported: cqcsr.cmd_ill either way, and the queue stops at it.
 *
 * What IOTINVAL covers (4.1.1; entries made with a Bare second stage are "host", the others are tagged with GSCID):
 *     VMA   GV=0 host entries, GV=1 those of GSCID; PSCV=1 those of PSCID only and then no global ones; AV=1 first-stage
 *           leaves that map ADDR only (NL=1: pointers to them too; S=1: the NAPOT range in ADDR)
 *     GVMA  GV=0 second-stage entries of all guests, AV ignored; GV=1 those of GSCID; AV=1 those that map the guest
 *           address ADDR only. PSCV=1 is illegal. MSI entries are invalidated as second-stage leaves (3.8)
 * IODIR: DDT with DV=0 all device and process contexts; with DV=1 those of DID. PDT: the one of DID and PID, DV=0 is
 * illegal. IOTINVAL does not reach directory caches. Entries with V=0 are never cached (3.8).
 */
import type { Memory } from "./contract.ts";
import type { RiscvResult } from "./riscv.ts";
import { DDTP_BARE, DDTP_OFF, decodeCapabilities, field, type RiscvRegisters } from "./riscv-registers.ts";
import { deviceTooWide, locateDevice } from "./riscv-tables.ts";

/** The four doublewords for a fault that is reported. */
export function encodeFaultRecord(result: RiscvResult): [bigint, bigint, bigint, bigint] {
	const { fields } = result;
	const first =
		BigInt(result.code) |
		(BigInt(fields.pid) << 12n) |
		(BigInt(fields.pv) << 32n) |
		(BigInt(fields.priv) << 33n) |
		(BigInt(fields.ttyp) << 34n) |
		(BigInt(fields.did) << 40n);
	return [first, 0n, BigInt(fields.iotval), BigInt(fields.iotval2)];
}

export interface PageRequest {
	device: number;
	pasid: number | null;
	privileged: boolean;
	execute: boolean;
	read: boolean;
	write: boolean;
	last: boolean;
	group: number;
	address: bigint;
}

export function encodePageRequest(request: PageRequest): [bigint, bigint] {
	const pv = request.pasid !== null;
	const first =
		(BigInt(request.pasid ?? 0) << 12n) |
		(BigInt(pv) << 32n) |
		(BigInt(pv && request.privileged) << 33n) |
		(BigInt(pv && request.execute) << 34n) |
		(BigInt(request.device) << 40n);
	const second =
		BigInt(request.read) |
		(BigInt(request.write) << 1n) |
		(BigInt(request.last) << 2n) |
		(BigInt(request.group) << 3n) |
		((request.address >> 12n) << 12n);
	return [first, second];
}

/** PCIe response codes of a Page Request Group Response */
export const PRG_SUCCESS = 0;
export const PRG_INVALID_REQUEST = 1;
export const PRG_RESPONSE_FAILURE = 15;

export type PageRequestAnswer =
	| { action: "queue" }
	/** no response is wanted, or it is a stop marker */
	| { action: "discard"; cause: number }
	| { action: "respond"; cause: number; code: number; withPasid: boolean };

/** 3.7 "PCIe ATS Page Request handling", up to the queue itself (a full queue is answered with Success). */
export function routePageRequest(
	memory: Memory,
	registers: RiscvRegisters,
	request: PageRequest,
): PageRequestAnswer {
	const stopMarker = request.last && !request.read && !request.write;
	const refuse = (cause: number, prpr: boolean): PageRequestAnswer => {
		if (!request.last || stopMarker) {
			return { action: "discard", cause };
		}
		const code = cause === 260 ? PRG_INVALID_REQUEST : PRG_RESPONSE_FAILURE;
		return { action: "respond", cause, code, withPasid: request.pasid !== null && (cause !== 260 || prpr) };
	};
	const mode = Number(registers.ddtp & 0xfn);
	if (mode === DDTP_OFF || mode === DDTP_BARE) {
		return refuse(mode === DDTP_OFF ? 256 : 260, false);
	}
	if (deviceTooWide(registers, request.device)) {
		return refuse(260, false);
	}
	const found = locateDevice(memory, registers, request.device);
	if ("fault" in found) {
		return refuse(found.fault.cause as number, false);
	}
	const { enAts, enPri, prpr } = found.context;
	return enAts && enPri ? { action: "queue" } : refuse(260, prpr);
}

export type Command =
	| { kind: "illegal" }
	| {
			kind: "iotinval.vma" | "iotinval.gvma";
			/** null: not valid, ignored */
			pscid: number | null;
			gscid: number | null;
			address: bigint | null;
			/** bytes that `address` stands for: 4096, or the NAPOT range with S */
			bytes: bigint;
			nonLeaf: boolean;
	  }
	| {
			kind: "iofence.c";
			/** where DATA is stored on completion */
			address: bigint | null;
			data: bigint;
			wireInterrupt: boolean;
			orderReads: boolean;
			orderWrites: boolean;
	  }
	| { kind: "iodir.inval_ddt"; device: number | null }
	| { kind: "iodir.inval_pdt"; device: number; process: number }
	| { kind: "ats.inval" | "ats.prgr"; requester: number; segment: number | null; process: number | null; payload: bigint };

const ILLEGAL: Command = { kind: "illegal" };

/** 4.1 */
export function decodeCommand(registers: RiscvRegisters, low: bigint, high: bigint): Command {
	const caps = decodeCapabilities(registers.capabilities);
	const func = field(low, 7, 3);
	const bit = (position: number): boolean => field(low, position, 1) === 1n;
	if (func > 1n) {
		return ILLEGAL;
	}
	switch (field(low, 0, 7)) {
		case 1n: {
			const [av, pscv, gv, nl] = [bit(10), bit(32), bit(33), bit(34)];
			const range = field(high, 9, 1) === 1n;
			const reserved = bit(11) || field(low, 35, 9) !== 0n || field(low, 60, 4) !== 0n;
			if (reserved || field(high, 0, 9) !== 0n || field(high, 62, 2) !== 0n) {
				return ILLEGAL;
			}
			if ((nl && field(registers.capabilities, 42, 1) === 0n) || (range && field(registers.capabilities, 43, 1) === 0n)) {
				return ILLEGAL;
			}
			if (func === 1n && pscv) {
				return ILLEGAL;
			}
			const page = field(high, 10, 52);
			// S: 2^(X+1) pages, X the lowest zero bit of ADDR (all ones: unspecified, here everything)
			let ones = 0n;
			while (ones < 51n && ((page >> ones) & 1n) === 1n) {
				ones++;
			}
			const pages = range ? 1n << (ones + 1n) : 1n;
			const usesAddress = av && (func === 0n || gv);
			return {
				kind: func === 0n ? "iotinval.vma" : "iotinval.gvma",
				pscid: pscv ? Number(field(low, 12, 20)) : null,
				gscid: gv ? Number(field(low, 44, 16)) : null,
				address: usesAddress ? (page & ~(pages - 1n)) << 12n : null,
				bytes: pages << 12n,
				nonLeaf: usesAddress && nl,
			};
		}
		case 2n: {
			// WSI is reserved unless wired interrupts are on (fctl.WSI)
			const wsi = bit(11);
			if (func !== 0n || field(low, 14, 18) !== 0n || field(high, 62, 2) !== 0n) {
				return ILLEGAL;
			}
			if (wsi && field(registers.fctl, 1, 1) === 0n) {
				return ILLEGAL;
			}
			return {
				kind: "iofence.c",
				address: bit(10) ? field(high, 0, 62) << 2n : null,
				data: field(low, 32, 32),
				wireInterrupt: wsi,
				orderReads: bit(12),
				orderWrites: bit(13),
			};
		}
		case 3n: {
			const [process, dv, device] = [Number(field(low, 12, 20)), bit(33), Number(field(low, 40, 24))];
			if (field(low, 10, 2) !== 0n || bit(32) || field(low, 34, 6) !== 0n || high !== 0n) {
				return ILLEGAL;
			}
			if (dv && deviceTooWide(registers, device)) {
				return ILLEGAL;
			}
			if (func === 0n) {
				// PID is reserved in INVAL_DDT
				return process !== 0 ? ILLEGAL : { kind: "iodir.inval_ddt", device: dv ? device : null };
			}
			const widest = caps.pd20 ? 20 : caps.pd17 ? 17 : caps.pd8 ? 8 : 0;
			return !dv || process >>> widest !== 0 ? ILLEGAL : { kind: "iodir.inval_pdt", device, process };
		}
		case 4n:
			if (!caps.ats || field(low, 10, 2) !== 0n || field(low, 34, 6) !== 0n) {
				return ILLEGAL;
			}
			return {
				kind: func === 0n ? "ats.inval" : "ats.prgr",
				requester: Number(field(low, 40, 16)),
				segment: bit(33) ? Number(field(low, 56, 8)) : null,
				process: bit(32) ? Number(field(low, 12, 20)) : null,
				payload: high,
			};
		default:
			return ILLEGAL;
	}
}
