/**
 * AMD IOMMU (48882): a whole translation with its event: device table, exclusion range, guest CR3 tables, walks.
 *
 * Order of a translation:
 *   1 IommuEn = 0: untranslated
 *   2 DeviceID beyond the table: IO_PAGE_FAULT (PR 0); a translation request: INVALID_DEVICE_REQUEST (type 2)
 *   3 DTE cannot be read: DEV_TAB_HARDWARE_ERROR
 *   4 V = 0: untranslated (no check of anything else)
 *   5 reserved bits, IoCtl = 3: ILLEGAL_DEV_TABLE_ENTRY (RZ 1); with GV = 1 also GLX or GuestPagingMode beyond what is
 *     supported: ILLEGAL_DEV_TABLE_ENTRY (RZ 0)
 *   6 I = 0 and a translation or translated request: INVALID_DEVICE_REQUEST (type 1); I = 1 and translated: untranslated
 *   7 no PASID and FEEx_xxxxh: a write is an interrupt, all else INVALID_DEVICE_REQUEST (type 0)
 *   8 no PASID, inside the exclusion range, Allow or EX: untranslated, all permitted
 *   9 TV = 0: IO_PAGE_FAULT (PR 0)
 *  10 Mode reserved or above HATS: IO_PAGE_FAULT (PR 1, PE 0, RZ 0)
 *  11 PASID (or none and GIOV, then PASID 0): guest translation; needs GTEn and GV, else IO_PAGE_FAULT (PR 0); PASID
 *     beyond PASmax or beyond what GLX + 1 tables index: IO_PAGE_FAULT (PR 0); GCR3 tables; guest walk; host stage
 *  12 else host walk (Mode 0: IR and IW alone)
 */
import type { Memory, Result } from "./contract.ts";
import {
	type AmdRegisters,
	type AmdRequest,
	CONTROL,
	decodeDeviceEntry,
	deviceEntryAddress,
	EFR,
	field,
	highestMode,
	lookUpGcr3,
	reservedDeviceEntryBits,
} from "./amdvi-device.ts";
import { EVENT, type EventFields, encodeEvent, HARDWARE_ERROR } from "./amdvi-records.ts";
import {
	ADDRESS_MASK,
	type AmdV1Geometry,
	type AmdWalk,
	identityHost,
	tableHost,
	walkAmdNested,
	walkAmdV1,
} from "./amdvi-walk.ts";

/** Memory that keeps what is written. */
function recording(memory: Memory, writes: Result["writes"]): Memory {
	return {
		read: (pa, bytes) => memory.read(pa, bytes),
		write(pa, bytes, value) {
			if (!memory.write(pa, bytes, value)) {
				return false;
			}
			writes.push({ pa, bytes, value });
			return true;
		},
	};
}

/**
 * The whole translation of one request. `code` is the event code, `fields` the event's fields by their names and
 * `record` its 16 bytes; `reported` says whether the event reaches the log (SE, SA; an ATS translation request never
 * logs an IO_PAGE_FAULT, section 2.1.3.2, it only gets no permission).
 */
export function translateAmdvi(memory: Memory, registers: AmdRegisters, asked: AmdRequest): Result {
	if (asked.type !== "translation") {
		return translateRequest(memory, registers, asked);
	}
	const done = translateRequest(memory, registers, { ...asked, unchecked: asked.noWrite ? "read" : "read-write" });
	if (done.status === "fault") {
		done.fields.response = atsResponse(done.code);
		return done;
	}
	// no write with No Write; execute is told with a PASID, when it is asked for, with read
	const x = done.x && done.r && asked.access === "x" && asked.pasid !== null;
	return { ...done, w: done.w && !asked.noWrite, x };
}

/** 2.1.3.2, as PCIe completion status: 0 Success with R = W = 0, 1 Unsupported Request, 4 Completer Abort. */
export function atsResponse(code: number): 0 | 1 | 4 {
	if (code === EVENT.IO_PAGE_FAULT) {
		return 0;
	}
	return code === EVENT.INVALID_DEVICE_REQUEST || code === EVENT.ILLEGAL_DEV_TABLE_ENTRY ? 1 : 4;
}

function translateRequest(memory: Memory, registers: AmdRegisters, request: AmdRequest): Result {
	const writes: Result["writes"] = [];
	const log = recording(memory, writes);
	const efr = registers.extendedFeatures;
	const type = request.type ?? "untranslated";
	const address = request.address;
	const write = request.access === "w";

	function plain(status: "bypass" | "interrupt" | "ok", r = true, w = true): Result {
		const base = { pa: address, pageBytes: 1n << 64n, r, w, x: r };
		return { status, ...base, code: 0, reported: false, fields: {}, writes };
	}
	function fault(code: number, some: Partial<EventFields>, reported = true): Result {
		const fields: EventFields = {
			DeviceID: request.device,
			PASID: request.pasid ?? 0,
			DomainID: 0,
			GN: false,
			NX: false,
			US: false,
			I: false,
			PR: false,
			RW: write,
			PE: false,
			RZ: false,
			TR: type === "translation",
			Type: 0,
			Address: address,
			...some,
		};
		const none = { pa: 0n, pageBytes: 0n, r: false, w: false, x: false };
		const shown = { ...fields, record: encodeEvent(code, fields) };
		return { status: "fault", ...none, code, reported, fields: shown, writes };
	}

	// 1
	if ((registers.control & CONTROL.IommuEn) === 0n) {
		return plain("bypass");
	}
	// 2
	const entryAddress = deviceEntryAddress(registers, request.device);
	if (entryAddress === null) {
		return type === "translation"
			? fault(EVENT.INVALID_DEVICE_REQUEST, { Type: 2, GN: request.pasid !== null })
			: fault(EVENT.IO_PAGE_FAULT, { GN: request.pasid !== null });
	}
	// 3
	const words: bigint[] = [];
	for (let i = 0n; i < 4n; i++) {
		const got = log.read(entryAddress + i * 8n, 8);
		if ("error" in got) {
			const Type = got.error === "poison" ? HARDWARE_ERROR.DATA_ERROR : HARDWARE_ERROR.TARGET_ABORT;
			return fault(EVENT.DEV_TAB_HARDWARE_ERROR, { Type, Address: entryAddress });
		}
		words.push(got.value);
	}
	const entry = decodeDeviceEntry(words);
	// 4
	if (!entry.V) {
		return plain("bypass");
	}
	// 5
	const [reserved0, reserved1] = reservedDeviceEntryBits(efr);
	const GN = request.pasid !== null;
	if ((words[0] & reserved0) !== 0n || (words[1] & reserved1) !== 0n || entry.IoCtl === 3) {
		return fault(EVENT.ILLEGAL_DEV_TABLE_ENTRY, { GN, RZ: true });
	}
	const gats = field(efr, 13, 12);
	if (entry.GV && entry.TV) {
		const glxBad = entry.GLX === 3 || entry.GLX > field(efr, 15, 14);
		const pagingBad = entry.GuestPagingMode > 1 || (entry.GuestPagingMode === 1 && gats === 0);
		if (glxBad || pagingBad) {
			return fault(EVENT.ILLEGAL_DEV_TABLE_ENTRY, { GN, RZ: false });
		}
	}
	// 6
	if (type !== "untranslated" && !entry.I) {
		return fault(EVENT.INVALID_DEVICE_REQUEST, { GN, US: GN && !request.privileged, Type: 1 });
	}
	if (type === "translated") {
		return plain("bypass");
	}
	// 7, section 2.1.4.1 "Special address controls"
	if (request.pasid === null && address >> 20n === 0xfeen) {
		return write && type === "untranslated"
			? plain("interrupt", false, true)
			: fault(EVENT.INVALID_DEVICE_REQUEST, { Type: 0 });
	}
	// 8, sections 3.4.4 and 3.4.5
	const { exclusionBase: base, exclusionLimit: limit } = registers;
	const excluded =
		(base & 1n) !== 0n && address >= (base & ADDRESS_MASK) && address <= ((limit & ADDRESS_MASK) | 0xfffn);
	if (request.pasid === null && excluded && ((base & 2n) !== 0n || entry.EX)) {
		return plain("bypass");
	}

	const guest = request.pasid !== null || (entry.GIOV && entry.GV && (registers.control & CONTROL.GTEn) !== 0n);
	const pasid = request.pasid ?? 0;
	// a request without a PASID has no execute and no privilege
	const privileged = request.pasid !== null && request.privileged;
	const user = { NX: guest && request.access === "x", US: guest && !privileged };

	function pageFault(some: Partial<EventFields>): Result {
		const first = registers.faulted?.has(request.device) !== true;
		const reported = type === "untranslated" && !entry.SA && !(entry.SE && !first);
		return fault(EVENT.IO_PAGE_FAULT, { DomainID: entry.DomainID, PASID: pasid, GN: guest, ...user, ...some }, reported);
	}
	function hardware(error: AmdWalk["outcome"], pa: bigint): Result {
		const Type = error === "poison" ? HARDWARE_ERROR.DATA_ERROR : HARDWARE_ERROR.TARGET_ABORT;
		const who = { DomainID: entry.DomainID, PASID: pasid, GN: guest };
		return fault(EVENT.PAGE_TAB_HARDWARE_ERROR, { ...who, Type, Address: pa & ~7n });
	}
	/** Section 2.5.3, table "IO_PAGE_FAULT Event Types". */
	function finish(walk: AmdWalk): Result {
		const result = outcome(walk);
		if (walk.host !== null) {
			// not in the event: the address is always the one the device used; for explain
			result.fields.GPA = walk.hostAddress;
		}
		return result;
	}
	function outcome(walk: AmdWalk): Result {
		switch (walk.outcome) {
			case "translated": {
				const { pa, pageBytes, r, w, x } = walk;
				const fields = {
					DomainID: entry.DomainID,
					PASID: guest ? pasid : 0,
					GN: guest,
					FC: walk.forceCoherent,
					U: walk.untranslatedOnly,
					G: walk.global,
				};
				return { status: "ok", pa, pageBytes, r, w, x, code: 0, reported: false, fields, writes };
			}
			case "access-error":
			case "poison":
			case "update-refused":
				return hardware(walk.outcome, walk.entryAddress);
			case "not-present":
				return pageFault({ PR: false });
			case "reserved":
			case "address-size":
				return pageFault({ PR: true, PE: false, RZ: walk.illegal === "reserved-bits" });
			default:
				return pageFault({ PR: true, PE: true });
		}
	}

	// 9
	if (!entry.TV) {
		return pageFault({ PR: false });
	}
	// 10
	if (entry.Mode > highestMode(efr) || entry.Mode === 7) {
		return pageFault({ PR: true, PE: false, RZ: false });
	}
	// sections 2.2.3.1 and 2.2.3.2: HAD 01b sets A, 11b sets A and D
	const hostGeometry: AmdV1Geometry = {
		mode: entry.Mode,
		root: entry.hostRoot,
		ir: entry.IR,
		iw: entry.IW,
		setAccessed: (efr & EFR.HASup) !== 0n && (entry.HAD & 1) !== 0,
		setDirty: (efr & EFR.HDSup) !== 0n && entry.HAD === 3,
	};
	const host = entry.Mode === 0 ? identityHost(entry.IR, entry.IW) : tableHost(hostGeometry);
	// 12
	if (!guest) {
		return finish(entry.Mode === 0 ? host(log, address, write ? "w" : "r", request.unchecked) : walkAmdV1(log, hostGeometry, request));
	}
	// 11
	if (!entry.GV || (registers.control & CONTROL.GTEn) === 0n || pasid >> (field(efr, 36, 32) + 1) !== 0) {
		return pageFault({ PR: false });
	}
	const tables = (registers.control & CONTROL.GCR3TRPMode) !== 0n ? host : identityHost(true, true);
	const gcr3 = lookUpGcr3(log, entry, pasid, tables);
	if ("fault" in gcr3) {
		if (gcr3.walk !== null) {
			return finish(gcr3.walk);
		}
		return pageFault(gcr3.fault === "reserved" ? { PR: true, RZ: true } : { PR: false });
	}
	const accessedOff = (efr & EFR.GAUpdateDisSup) !== 0n && (registers.control & CONTROL.GAUpdateDis) !== 0n;
	return finish(
		walkAmdNested(
			log,
			{
				levels: entry.GuestPagingMode === 1 ? 5 : 4,
				root: gcr3.cr3,
				nx: (efr & EFR.NXSup) !== 0n,
				us: (efr & EFR.USSup) !== 0n,
				setAccessed: !accessedOff,
				setDirty: (registers.control & CONTROL.GDUpdateDis) === 0n,
				addressBits: registers.addressBits ?? 52,
				host,
			},
			{ ...request, privileged },
		),
	);
}
