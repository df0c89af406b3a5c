/**
 * Intel VT-d: from a request to its result through root, context and PASID tables, the slow literal form.
 *
 * Specification: Intel VT-d Architecture Specification, rev. 3.x to 5.x: 3.4 (request to domain mapping), 3.14
 * (interrupt address range), 7.1.3 (fault conditions), 9.1 to 9.6 (structures), 11.4 (registers).
 *
 * HAW is the host address width; "address" fields of every structure are 63:12 with 63:HAW reserved.
 *
 * | structure                | address                                     | layout                                   |
 * | legacy root entry        | RTADDR + bus * 16                           | q0 0 P, 11:1 reserved, CTP; q1 reserved   |
 * | legacy context entry     | CTP + devfn * 16                            | q0 0 P, 1 FPD, 3:2 TT, 11:4 reserved, SSPTPTR; q1 2:0 AW, 6:3 ignored, 7 reserved, 23:8 DID, 63:24 reserved |
 * | scalable root entry      | RTADDR + bus * 16 (+ 8 when devfn >= 80h)   | 0 LP or UP, 11:1 reserved, LCTP or UCTP    |
 * | scalable context entry   | xCTP + (devfn & 7Fh) * 32                   | q0 0 P, 1 FPD, 2 DTE, 3 PASIDE, 4 PRE, 8:5 reserved, 11:9 PDTS, PASIDDIRPTR; q1 19:0 RID_PASID, 20 RID_PRIV, 63:21 reserved; q2, q3 reserved |
 * | PASID directory entry    | PASIDDIRPTR + (PASID >> 6) * 8              | 0 P, 1 FPD, 11:2 reserved, SMPTBLPTR       |
 * | PASID table entry        | SMPTBLPTR + (PASID & 3Fh) * 64              | q0 0 P, 1 FPD, 4:2 AW, 5 SSEE, 8:6 PGTT, 9 SSADE, 11:10 reserved, SSPTPTR; q1 15:0 DID, 22:16 reserved, 23 PWSNP, 24 PGSNP, 25 CD, 26 EMTE, 29:27 EMT, 30 PWT, 31 PCD, 63:32 PAT; q2 0 SRE, 1 ERE, 3:2 FSPM, 4 WPE, 5 NXE, 6 SMEP, 7 EAFE, 11:8 reserved, FSPTPTR; q3 to q7 reserved |
 *
 * TT: 00 second stage, untranslated requests only; 01 the same, ATS allowed (ECAP.DT); 10 pass-through (ECAP.PT).
 * AW: 001 3 levels, 010 4 levels, 011 5 levels, when CAP.SAGAW has that bit. PDTS: 2^(PDTS + 7) directory entries.
 * PGTT: 001 first stage, 010 second stage, 011 nested, 100 pass-through.
 */
import type { Memory, Request, Result } from "./contract.ts";
import { atsResponse, isRecoverable, legacyReason, REASON, scalableReason } from "./vtd-faults.ts";
import { type FirstStageGeometry, walkFirstStage } from "./vtd-first.ts";
import { ALL, bit, bits, capabilities, isInterruptAddress, levelsOf, PAGE, type VtdRegisters, type VtdRequest } from "./vtd-registers.ts";
import { type SecondStageGeometry, type VtdWalkResult, walkSecondStage } from "./vtd-walk.ts";

/** Translates one request (3.4). */
export function translateVtd(physical: Memory, registers: VtdRegisters, asked: VtdRequest): Result {
	const request: VtdRequest = asked.at === "translation" ? { ...asked, unchecked: asked.noWrite ? "read" : "read-write" } : asked;
	const done = translateRequest(physical, registers, request);
	if (asked.at !== "translation" || done.status === "fault") {
		return done;
	}
	// 4.2: no write with No Write; execute is told with a PASID, when it is asked for, with read
	const x = done.x && done.r && asked.access === "x" && asked.pasid !== null;
	return { ...done, w: done.w && !asked.noWrite, x };
}

function translateRequest(physical: Memory, registers: VtdRegisters, request: VtdRequest): Result {
	const caps = capabilities(registers.cap, registers.ecap);
	const haw = registers.haw ?? caps.MGAW;
	const at = request.at ?? "untranslated";
	const beyondHaw = ALL & ~((1n << BigInt(haw)) - 1n);
	const result: Result = {
		status: "ok",
		pa: 0n,
		pageBytes: 0n,
		r: false,
		w: false,
		x: false,
		code: 0,
		reported: true,
		fields: {},
		writes: [],
	};
	const memory: Memory = {
		read: (pa, bytes) => physical.read(pa, bytes),
		write: (pa, bytes, value) => {
			const taken = physical.write(pa, bytes, value);
			if (taken) {
				result.writes.push({ pa, bytes, value });
			}
			return taken;
		},
	};
	/** FPD of any structure read so far; looked at whatever P says (9.3, 9.4, 9.5, 9.6) */
	let disabled = false;
	const fault = (code: number): Result => {
		const recoverable = at === "translation" && isRecoverable(code);
		return {
			...result,
			status: "fault",
			code,
			reported: !disabled && !recoverable,
			fields: {
				...result.fields,
				FI: request.address & PAGE,
				SID: request.device,
				// a write is 00, a read 10
				T1: request.access === "w" ? 0 : 1,
				T2: 0,
				AT: at === "untranslated" ? 0 : at === "translation" ? 1 : 2,
				PP: request.pasid !== null,
				PV: request.pasid ?? 0,
				EXE: request.pasid !== null && request.access === "x",
				PRIV: request.pasid !== null && request.privileged,
				/** an ATS translation completes with R = W = 0 instead of an error */
				noPermissionCompletion: recoverable,
				...(at === "translation" ? { response: atsResponse(code) } : {}),
			},
		};
	};
	/** Quadwords from `pa`, or null when one cannot be read */
	const read = (pa: bigint, count: number): bigint[] | null => {
		const words: bigint[] = [];
		for (let i = 0; i < count; i++) {
			const word = memory.read(pa + BigInt(8 * i), 8);
			if ("error" in word) {
				return null;
			}
			words.push(word.value);
		}
		return words;
	};
	const identity = (bitsOfAddress: number): Result => ({
		...result,
		pa: request.address,
		pageBytes: 1n << BigInt(bitsOfAddress),
		r: true,
		w: true,
		x: true,
	});
	// 3.14: a request without PASID to the interrupt range is an interrupt request, never DMA
	if (request.pasid === null && at === "untranslated" && isInterruptAddress(request.address)) {
		return { ...result, status: "interrupt", pa: request.address };
	}
	// 11.4.4 TE: remapping off
	if (!registers.enabled) {
		return { ...identity(64), status: "bypass" };
	}
	const bus = BigInt((request.device >> 8) & 0xff);
	const devfn = request.device & 0xff;
	const rootEntry = (registers.rtaddr & PAGE) + bus * 16n;
	/** Translated requests carry a host address: only permission to send them is checked (4.2.3) */
	const translated = (beyond: number, interrupt: number): Result => {
		if ((request.address & beyondHaw) !== 0n) {
			return fault(beyond);
		}
		return isInterruptAddress(request.address) ? fault(interrupt) : identity(haw);
	};
	// 11.4.5 TTM
	switch (bits(registers.rtaddr, 11, 10)) {
		case 0n:
			return request.pasid === null ? legacy() : fault(REASON.RTA_2_PASID);
		case 1n:
			return caps.SMTS ? scalable() : fault(REASON.RTA_1_INVALID);
		case 3n:
			return fault(caps.ADMS ? REASON.RTA_4_ABORT : REASON.RTA_1_INVALID);
		default:
			return fault(REASON.RTA_1_INVALID);
	}

	/** 3.4.2 */
	function legacy(): Result {
		const root = read(rootEntry, 2);
		if (root === null) {
			return fault(REASON.LRT_1_ACCESS);
		}
		if (!bit(root[0], 0)) {
			return fault(REASON.LRT_2_PRESENT);
		}
		if ((root[0] & (0xffen | beyondHaw)) !== 0n || root[1] !== 0n) {
			return fault(REASON.LRT_3_RESERVED);
		}
		const context = read((root[0] & PAGE) + BigInt(devfn) * 16n, 2);
		if (context === null) {
			return fault(REASON.LCT_1_ACCESS);
		}
		disabled = bit(context[0], 1);
		if (!bit(context[0], 0)) {
			return fault(REASON.LCT_2_PRESENT);
		}
		if ((context[0] & (0xff0n | beyondHaw)) !== 0n || (context[1] & (ALL & ~0xffff7fn)) !== 0n) {
			return fault(REASON.LCT_3_RESERVED);
		}
		const type = bits(context[0], 3, 2);
		const levels = levelsOf(bits(context[1], 2, 0), caps.SAGAW);
		if (levels === null || type === 3n || (type === 1n && !caps.DT) || (type === 2n && !caps.PT)) {
			return fault(REASON.LCT_4_INVALID);
		}
		if (at !== "untranslated" && type !== 1n) {
			return fault(REASON.LCT_5_BLOCKED);
		}
		result.fields = { DID: Number(bits(context[1], 23, 8)), TT: Number(type) };
		if (at === "translated") {
			return translated(REASON.LGN_1_BEYOND, REASON.LGN_4_INTERRUPT);
		}
		const inputBits = Math.min(12 + 9 * levels, caps.MGAW);
		if (type === 2n) {
			return request.address >> BigInt(inputBits) !== 0n ? fault(REASON.LGN_1_BEYOND) : identity(inputBits);
		}
		const walk = walkSecondStage(memory, second(context[0] & PAGE, levels, false, false, false), {
			...request,
			access: request.access === "x" ? "r" : request.access,
		});
		if (walk.outcome !== "translated") {
			return fault(legacyReason(walk, levels, request.access === "w"));
		}
		return finish(walk, REASON.LGN_4_INTERRUPT);
	}

	function second(root: bigint, levels: 3 | 4 | 5, ad: boolean, execute: boolean, unsnooped: boolean): SecondStageGeometry {
		return {
			root,
			levels,
			inputBits: Math.min(12 + 9 * levels, caps.MGAW),
			haw,
			pages2M: caps.SSLPS2M,
			pages1G: caps.SSLPS1G,
			snoopControl: caps.SC,
			transientMapping: caps.DT,
			accessedDirty: ad,
			executeEnable: execute,
			unsnoopedWalk: unsnooped,
			zeroLengthRead: caps.ZLR,
		};
	}

	/** 3.14: no translation may end in the interrupt range, wherever in a page that lies */
	function finish(walk: VtdWalkResult, interrupt: number): Result {
		if (isInterruptAddress(walk.pa)) {
			return fault(interrupt);
		}
		return { ...result, pa: walk.pa, pageBytes: walk.pageBytes, r: walk.r, w: walk.w, x: walk.x };
	}

	/** 3.4.3 */
	function scalable(): Result {
		const half = read(rootEntry + (devfn >= 0x80 ? 8n : 0n), 1);
		if (half === null) {
			return fault(REASON.SRT_1_ACCESS);
		}
		if (!bit(half[0], 0)) {
			return fault(REASON.SRT_2_PRESENT);
		}
		if ((half[0] & (0xffen | beyondHaw)) !== 0n) {
			return fault(REASON.SRT_3_RESERVED);
		}
		const context = read((half[0] & PAGE) + BigInt(devfn & 0x7f) * 32n, 4);
		if (context === null) {
			return fault(REASON.SCT_1_ACCESS);
		}
		disabled = bit(context[0], 1);
		if (!bit(context[0], 0)) {
			return fault(REASON.SCT_2_PRESENT);
		}
		// 9.4: a field is reserved where the capability behind it is absent
		const reserved0 = 0x1e0n | (caps.DT ? 0n : 1n << 2n) | (caps.PASID ? 0n : 1n << 3n) | (caps.PRS ? 0n : 1n << 4n);
		const reserved1 = (ALL & ~0x1fffffn) | (caps.RPRIVS ? 0n : 1n << 20n);
		if ((context[0] & (reserved0 | beyondHaw)) !== 0n || (context[1] & reserved1) !== 0n || context[2] !== 0n || context[3] !== 0n) {
			return fault(REASON.SCT_3_RESERVED);
		}
		if (at !== "untranslated" && !bit(context[0], 2)) {
			return fault(REASON.SCT_5_DTE);
		}
		if (at === "translated") {
			return translated(REASON.SGN_4_BEYOND_HAW, REASON.SGN_8_INTERRUPT);
		}
		const pasidBits = bits(context[0], 11, 9) + 13n;
		if (request.pasid !== null && !bit(context[0], 3)) {
			return fault(REASON.SCT_6_PASIDE);
		}
		const ridPasid = registers.honourRps && !caps.RPS ? 0n : bits(context[1], 19, 0);
		const pasid = request.pasid === null ? ridPasid : BigInt(request.pasid);
		if (pasid >> pasidBits !== 0n) {
			return fault(request.pasid === null ? REASON.SCT_9_RID_PASID : REASON.SCT_7_PASID_RANGE);
		}
		const directory = read((context[0] & PAGE) + (pasid >> 6n) * 8n, 1);
		if (directory === null) {
			return fault(REASON.SPD_1_ACCESS);
		}
		disabled ||= bit(directory[0], 1);
		if (!bit(directory[0], 0)) {
			return fault(REASON.SPD_2_PRESENT);
		}
		if ((directory[0] & (0xffcn | beyondHaw)) !== 0n) {
			return fault(REASON.SPD_3_RESERVED);
		}
		const entry = read((directory[0] & PAGE) + (pasid & 0x3fn) * 64n, 8);
		if (entry === null) {
			return fault(REASON.SPT_1_ACCESS);
		}
		disabled ||= bit(entry[0], 1);
		if (!bit(entry[0], 0)) {
			return fault(REASON.SPT_2_PRESENT);
		}
		return pasidEntry(entry, Number(pasid), bit(context[1], 20));
	}

	/** 9.6 and the walks behind it */
	function pasidEntry(entry: bigint[], pasid: number, ridPrivileged: boolean): Result {
		const type = bits(entry[0], 8, 6);
		const hasFirst = type === 1n || type === 3n;
		const hasSecond = type === 2n || type === 3n;
		// 9.6: fields without their capability are reserved; fields that PGTT does not use are ignored
		let reserved0 = 0xc00n;
		if (hasSecond) {
			reserved0 |= beyondHaw | (caps.ERS ? 0n : 1n << 5n) | (caps.SSADS ? 0n : 1n << 9n);
		}
		let reserved1 = 0x7f0000n | (caps.SMPWC ? 0n : 1n << 23n) | (caps.SC ? 0n : 1n << 24n);
		if (!caps.MTS) {
			reserved1 |= ALL & ~((1n << 25n) - 1n);
		}
		let reserved2 = 0n;
		if (hasFirst) {
			reserved2 = 0xf00n | beyondHaw | (caps.SRS ? 0n : 1n << 0n) | (caps.ERS ? 0n : 1n << 1n) | (caps.EAFS ? 0n : 1n << 7n);
		}
		if (
			(entry[0] & reserved0) !== 0n ||
			(entry[1] & reserved1) !== 0n ||
			(entry[2] & reserved2) !== 0n ||
			entry.slice(3).some((word) => word !== 0n)
		) {
			return fault(REASON.SPT_3_RESERVED);
		}
		const supported = [false, caps.FSTS, caps.SSTS, caps.NEST && caps.FSTS && caps.SSTS, caps.PT][Number(type)] ?? false;
		const secondLevels = hasSecond ? levelsOf(bits(entry[0], 4, 2), caps.SAGAW) : 4;
		const mode = bits(entry[2], 3, 2);
		if (!supported || secondLevels === null || (hasFirst && (mode > 1n || (mode === 1n && !caps.FS5LP)))) {
			return fault(REASON.SPT_4_INVALID);
		}
		// 3.4.3: without PASID there is no execute request, and RID_PRIV gives the privilege
		const access = request.access === "x" && request.pasid === null ? "r" : request.access;
		const privileged = request.pasid === null ? ridPrivileged : request.privileged;
		if (hasFirst && access === "x" && !bit(entry[2], 1)) {
			return fault(REASON.SPT_5_ERE);
		}
		if (hasFirst && privileged && !bit(entry[2], 0)) {
			return fault(REASON.SPT_6_SRE);
		}
		result.fields = { DID: Number(bits(entry[1], 15, 0)), PASID: pasid, PGTT: Number(type), PGSNP: bit(entry[1], 24) };
		const inner: Request = { ...request, access, privileged };
		if (type === 4n) {
			if ((request.address & beyondHaw) !== 0n) {
				return fault(REASON.SGN_4_BEYOND_HAW);
			}
			return isInterruptAddress(request.address) ? fault(REASON.SGN_8_INTERRUPT) : identity(haw);
		}
		const unsnooped = caps.SMPWC && !bit(entry[1], 23);
		const stage2 = hasSecond ? second(entry[0] & PAGE, secondLevels, bit(entry[0], 9), bit(entry[0], 5), unsnooped) : null;
		let walk: VtdWalkResult;
		let firstLevels: 4 | 5 = 4;
		if (hasFirst) {
			firstLevels = mode === 1n ? 5 : 4;
			const first: FirstStageGeometry = {
				root: entry[2] & PAGE,
				levels: firstLevels,
				haw,
				pages1G: caps.FS1GP,
				extendedAccessed: bit(entry[2], 7),
				writeProtect: bit(entry[2], 4),
				executeRequests: caps.ERS,
				noExecute: bit(entry[2], 5),
				supervisorExecutePrevention: bit(entry[2], 6),
				unsnoopedWalk: unsnooped,
				second: stage2,
			};
			walk = walkFirstStage(memory, first, inner);
		} else {
			walk = walkSecondStage(memory, stage2 as SecondStageGeometry, inner);
		}
		if (walk.outcome !== "translated") {
			return fault(scalableReason(walk, firstLevels, secondLevels));
		}
		return finish(walk, REASON.SGN_8_INTERRUPT);
	}
}
