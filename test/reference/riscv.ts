/**
 * RISC-V IOMMU, the whole translation, literally: 3.3 "Process to translate an IOVA" of the RISC-V IOMMU Architecture
 * Specification 1.0.x over riscv-tables.ts, riscv-msi.ts and riscv-walk.ts. Nothing is cached.
 *
 * Faults (4.2), by what found them; A = by the transaction's access (execute, read, write):
 *
 *     ddtp Off 256 | device_id too wide, Translated or ATS while ddtp is Bare 260
 *     DDT: read refused 257, V=0 258, reserved or unsupported 259, poison 268
 *     EN_ATS=0, process_id without PDTV, process_id too wide 260 (before the PDT walk); ENS=0 260 (after it)
 *     PDT: read refused 265 (the second stage's reads too), V=0 266, reserved or unsupported 267, poison 269 (both)
 *     MSI entry: read refused 261, V=0 262, C, M, reserved 263, poison 270; then execute 1
 *     first stage 12/13/15 = A | second stage 20/21/23 = A, implicit accesses too
 *     table read or A/D write refused, in either stage 1/5/7 = A | poisoned page-table entry 274
 *
 * iotval is the IOVA always. iotval2 is 0 but for 20/21/23: the guest address with bits 1:0 clear for the
 * transaction's own address; entry address | 1 for the process directory; page of the first-stage table | 1, or | 3
 * when the second stage refused the A/D update of an entry in it.
 * With DTF=1 only 256-259, 268, 272 and 273 are put in the queue; before a device context is found DTF counts as 0.
 */
import type { Memory, Request, Result } from "./contract.ts";
import { isInterruptFile, translateMsi } from "./riscv-msi.ts";
import { implicitIotval2, walkNestedFirst } from "./riscv-nested.ts";
import {
	CAUSE,
	DDTP_BARE,
	DDTP_OFF,
	decodeCapabilities,
	type RiscvRegisters,
	type TableFault,
} from "./riscv-registers.ts";
import { type DeviceContext, deviceTooWide, firstStage, locateDevice, locateProcess, PDTP_BITS } from "./riscv-tables.ts";
import { bareWalk, type SvRequest, type SvWalk, walkSv } from "./riscv-walk.ts";

export type { RiscvRegisters } from "./riscv-registers.ts";

export interface RiscvRequest extends Request {
	/** untranslated when not given; "ats": a PCIe ATS Translation Request (its `access` is "r", or "x" for Execute Requested) */
	type?: "untranslated" | "translated" | "ats";
	/** ATS: No Write */
	noWrite?: boolean;
}

/** Which phase wrote an A/D update. */
export type UpdatePhase = "s1" | "s2" | "s2-implicit" | "s2-pdt";

/**
 * `fields`, always: iotval, iotval2, ttyp, did, pv, pid, priv. On success: user, global, pbmt, msi (and mrif,
 * mrifAddress, mrifNid, notice), gv, gscid, pscv, pscid, gpa. ATS: response, as a PCIe completion status (0 Success, 1
 * Unsupported Request, 4 Completer Abort); untranslatedOnly (U).
 */
export interface RiscvResult extends Result {
	/** phase of each of `writes` */
	phases: UpdatePhase[];
	/** the walks that were made for the transaction's address itself */
	first: SvWalk | null;
	second: SvWalk | null;
}

/** 4.2 "Fault record TTYP field encodings" */
export function transactionType(request: RiscvRequest): number {
	if (request.type === "ats") {
		return 8;
	}
	const base = request.type === "translated" ? 5 : 1;
	return base + { x: 0, r: 1, w: 2 }[request.access];
}

/** 4.2 "Reported if DTF is 1?" */
export function reportedWithDtf(cause: number): boolean {
	return (cause >= 256 && cause <= 259) || cause === 268 || cause === 272 || cause === 273;
}

/** 3.6: the completion that an ATS translation request gets for a cause. */
export function atsResponse(cause: number): 0 | 1 | 4 {
	// Unsupported Request; 268 is not in the specification's lists, it is as permanent as 257
	if ((cause >= 256 && cause <= 260) || cause === 268) {
		return 1;
	}
	// Success with R = W = 0
	if ([12, 13, 15, 20, 21, 23, 262, 266].includes(cause)) {
		return 0;
	}
	// Completer Abort: 1, 5, 7, 261, 263, 265, 267; 269, 270 and 274 are not in the lists, they are as their load faults
	return 4;
}

class Recorder implements Memory {
	readonly writes: Result["writes"] = [];
	readonly phases: UpdatePhase[] = [];
	phase: UpdatePhase = "s1";
	readonly #memory: Memory;

	constructor(memory: Memory) {
		this.#memory = memory;
	}

	as(phase: UpdatePhase): Memory {
		return {
			read: (pa, bytes) => this.#memory.read(pa, bytes),
			write: (pa, bytes, value) => {
				this.phase = phase;
				return this.write(pa, bytes, value);
			},
		};
	}

	read(pa: bigint, bytes: 4 | 8): ReturnType<Memory["read"]> {
		return this.#memory.read(pa, bytes);
	}

	write(pa: bigint, bytes: 4 | 8, value: bigint): boolean {
		const done = this.#memory.write(pa, bytes, value);
		if (done) {
			this.writes.push({ pa, bytes, value });
			this.phases.push(this.phase);
		}
		return done;
	}
}

/** What a translation says that it covers: of a NAPOT leaf the one 4 KiB page, though a cache may hold all 64 KiB. */
function answeredBytes(one: SvWalk, two: SvWalk): bigint {
	if (one.napot || two.napot || one.pageBytes <= two.pageBytes) {
		return one.napot || two.napot ? 4096n : one.pageBytes;
	}
	return two.pageBytes;
}

/** Largest naturally aligned block around the guest address, at most `bytes`, without a page of an interrupt file. */
function blockWithoutInterruptFiles(context: DeviceContext, gpa: bigint, bytes: bigint): bigint {
	const holdsFile = (size: bigint): boolean =>
		(((gpa >> 12n) ^ context.msiPattern) & ~context.msiMask & ~(size / 4096n - 1n)) === 0n;
	let size = bytes;
	while (context.msiFlat && size > 4096n && holdsFile(size)) {
		size /= 2n;
	}
	return size;
}

/** 3.3, its twenty steps in order. */
export function translateRiscv(physical: Memory, registers: RiscvRegisters, request: RiscvRequest): RiscvResult {
	const caps = decodeCapabilities(registers.capabilities);
	const memory = new Recorder(physical);
	const type = request.type ?? "untranslated";
	const ats = type === "ats";
	const iova = request.address;
	let process = request.pasid;
	// privilege comes with a process_id only
	let supervisor = process !== null && request.privileged;
	// "execute requested" of translated and ATS requests travels with the PASID too
	const access = request.access === "x" && type !== "untranslated" && process === null ? "r" : request.access;
	let dtf = false;

	const result: RiscvResult = {
		status: "ok",
		pa: 0n,
		pageBytes: 0n,
		r: false,
		w: false,
		x: false,
		code: 0,
		reported: true,
		fields: {},
		writes: memory.writes,
		phases: memory.phases,
		first: null,
		second: null,
	};
	const identify = (): void => {
		Object.assign(result.fields, {
			ttyp: transactionType({ ...request, access }),
			did: request.device,
			pv: process !== null,
			pid: process ?? 0,
			priv: supervisor,
			iotval: iova,
			iotval2: 0n,
		});
	};
	const stop = (cause: TableFault["cause"], iotval2 = 0n): RiscvResult => {
		identify();
		const guest = { x: 20, r: 21, w: 23 }[access];
		result.status = "fault";
		result.code = cause === "guest-page" ? guest : cause;
		result.reported = !dtf || reportedWithDtf(result.code);
		result.fields.iotval2 = iotval2;
		if (ats) {
			const response = atsResponse(result.code);
			result.fields.response = response;
			result.reported &&= response !== 0;
		}
		return result;
	};
	const bypass = (): RiscvResult => {
		identify();
		return Object.assign(result, { status: "bypass", pa: iova, pageBytes: 4096n, r: true, w: true, x: true });
	};
	/** The fault of a walk's end: page fault of the stage, access fault, poison. */
	const stopWalk = (walk: SvWalk, stage: 1 | 2, iotval2: bigint): RiscvResult => {
		if (walk.outcome === "access-error") {
			return stop({ x: CAUSE.instructionAccessFault, r: CAUSE.readAccessFault, w: CAUSE.writeAccessFault }[access]);
		}
		if (walk.outcome === "poison") {
			return stop(CAUSE.pageTableDataCorruption);
		}
		if (stage === 2) {
			return stop("guest-page", iotval2);
		}
		return stop({ x: CAUSE.instructionPageFault, r: CAUSE.readPageFault, w: CAUSE.writePageFault }[access]);
	};

	// 1. Off
	const mode = Number(registers.ddtp & 0xfn);
	if (mode === DDTP_OFF) {
		return stop(CAUSE.allInboundDisallowed);
	}
	// 2. Bare
	if (mode === DDTP_BARE) {
		return type === "untranslated" ? bypass() : stop(CAUSE.transactionTypeDisallowed);
	}
	// 3-5. width of device_id
	if (deviceTooWide(registers, request.device)) {
		return stop(CAUSE.transactionTypeDisallowed);
	}
	// 6. device context
	const device = locateDevice(memory, registers, request.device);
	if ("fault" in device) {
		return stop(device.fault.cause, device.fault.iotval2);
	}
	const dc = device.context;
	dtf = dc.dtf;
	// 7. types of transaction
	if (type !== "untranslated" && !dc.enAts) {
		return stop(CAUSE.transactionTypeDisallowed);
	}
	const pdtpMode = Number(dc.fsc >> 60n);
	if (process !== null && (!dc.pdtv || process >>> PDTP_BITS[pdtpMode] !== 0)) {
		return stop(CAUSE.transactionTypeDisallowed);
	}
	// 8-16. which first stage
	let first = firstStage(dc, 0n, caps, false);
	let pscid = 0;
	if (type === "translated") {
		if (!dc.t2gpa) {
			return bypass();
		}
	} else if (!dc.pdtv) {
		first = firstStage(dc, dc.fsc, caps, false);
		pscid = dc.pscid;
	} else {
		// 11. the default process_id is that of a user transaction
		if (dc.dpe && process === null) {
			process = 0;
			supervisor = false;
		}
		if (process !== null && pdtpMode !== 0) {
			const found = locateProcess(memory.as("s2-pdt"), registers, dc, process);
			if ("fault" in found) {
				return stop(found.fault.cause, found.fault.iotval2);
			}
			const pc = found.context;
			// 15. ENS
			if (supervisor && !pc.ens) {
				return stop(CAUSE.transactionTypeDisallowed);
			}
			first = firstStage(dc, pc.iosatp, caps, pc.sum);
			pscid = pc.pscid;
		}
	}

	// 17. first stage, to a guest address
	const walkRequest: SvRequest = {
		address: iova,
		access,
		privileged: supervisor,
		checkAccess: !ats,
		mayWrite: ats && request.noWrite !== true,
	};
	const one = walkNestedFirst(memory.as("s1"), memory.as("s2-implicit"), first, dc.second, walkRequest);
	result.first = one;
	if (one.stageTwo !== null) {
		return stopWalk(one.stageTwo.walk, 2, implicitIotval2(one.stageTwo));
	}
	if (one.outcome !== "translated") {
		return stopWalk(one, 1, 0n);
	}
	const gpa = one.pa;

	// 18. MSI page table; before the second stage looks at the guest address, its width included
	let two: SvWalk;
	const msi = translateMsi(memory, registers, dc, gpa);
	if ("fault" in msi) {
		return stop(msi.fault.cause, msi.fault.iotval2);
	}
	if (msi.kind !== "none") {
		// as a second-stage leaf with R = W = U = 1, X = 0, 4 KiB
		if (access === "x" && !ats) {
			return stop(CAUSE.instructionAccessFault);
		}
		const pa = msi.kind === "basic" ? msi.pa : msi.notice | (gpa & 0xfffn);
		two = { ...bareWalk(2, pa), pageBytes: 4096n, x: false };
		result.status = "interrupt";
		result.fields.mrif = msi.kind === "mrif";
		if (msi.kind === "mrif") {
			Object.assign(result.fields, { mrifAddress: msi.mrif, mrifNid: msi.nid, notice: msi.notice });
		}
	} else {
		// 19. second stage
		two = walkSv(memory.as("s2"), dc.second, { ...walkRequest, address: gpa, privileged: false, purpose: "final" });
		result.second = two;
		if (two.outcome !== "translated") {
			return stopWalk(two, 2, gpa & ~3n);
		}
		if (first.mode === "bare" && dc.second.mode === "bare") {
			result.status = "bypass";
		}
	}

	// 20. done
	identify();
	result.pa = two.pa;
	result.pageBytes = answeredBytes(one, two);
	if (msi.kind === "none" && !isInterruptFile(dc, gpa)) {
		result.pageBytes = blockWithoutInterruptFiles(dc, gpa, result.pageBytes);
	}
	result.r = one.r && two.r;
	result.w = one.w && two.w;
	// the entries' own X: a supervisor sees true on a U page that it may read (SUM=1) and still never executes it
	result.x = one.executable && two.x;
	Object.assign(result.fields, {
		user: one.user,
		global: one.global,
		// [PRIV "Svpbmt"] a first-stage type other than PMA overrides the second stage's
		pbmt: one.pbmt !== 0 ? one.pbmt : two.pbmt,
		msi: msi.kind !== "none",
		gv: dc.second.mode !== "bare",
		gscid: dc.gscid,
		pscv: first.mode !== "bare",
		pscid,
		gpa,
	});
	if (ats) {
		// 3.6: X only with R and when execute was asked for; T2GPA answers with the guest address; no W with No Write, since D
		// may not be set
		result.w = result.w && request.noWrite !== true;
		result.x = result.x && result.r && access === "x";
		result.fields.response = 0;
		result.fields.global = one.global && request.pasid !== null && msi.kind === "none";
		result.fields.untranslatedOnly = msi.kind === "mrif";
		if (dc.t2gpa) {
			result.pa = gpa;
		}
	}
	return result;
}
