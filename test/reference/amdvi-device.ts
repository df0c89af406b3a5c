/**
 * AMD IOMMU (48882): registers, device table entries and guest CR3 tables.
 *
 * Device table entry, 32 bytes, section 2.2.2.1, table "Device Table Entry (DTE) Field Definitions":
 *
 *   0 V, 1 TV, 6:2 reserved, 8:7 HAD (HASup/HDSup), 11:9 Mode, 51:12 host table root, 52 PPR and 53 GPRP (PPRSup or
 *   EPHSup), 54 GIOV (GIoSup), 55 GV, 57:56 GLX, 60:58 GCR3 root[14:12] (GTSup), 61 IR, 62 IW, 63 reserved,
 *   79:64 DomainID, 95:80 GCR3 root[30:15] (GTSup), 96 I, 97 SE, 98 SA, 100:99 IoCtl, 101 Cache, 102 SD, 103 EX,
 *   105:104 SysMgt, 106 reserved, 127:107 GCR3 root[51:31] (GTSup),
 *   128 IV, 132:129 IntTabLen, 133 IG, 179:134 interrupt table, 183:182 GuestPagingMode (0: 4 levels, 1: 5 levels),
 *   184 InitPass, 185 EIntPass, 186 NMIPass, 189:188 IntCtl, 190 Lint0Pass, 191 Lint1Pass,
 *   246 AttrV, 247 Mode0FC, 255:248 snoop attribute.
 * Fields of a feature that EFR does not report are reserved. The interrupt half (bits 255:128) is judged for interrupts
 * only, but for GuestPagingMode.
 */
import type { Memory, Request } from "./contract.ts";
import { ADDRESS_MASK, type AmdWalk, type HostStage, readThroughHost } from "./amdvi-walk.ts";

/** MMIO registers that a translation looks at, section 3.4. */
export interface AmdRegisters {
	/** 0000h: 8:0 Size (4K units, less one), 51:12 base */
	deviceTable: bigint;
	/** 0100h..0130h, with Control.DevTblSegEn: 7:0 Size, 51:12 base; [0] is segment 1 */
	segments?: bigint[];
	/** 0018h: 0 IommuEn, 16 GTEn, 36:34 DevTblSegEn, 48 GDUpdateDis, 54 GAUpdateDis, 58 GCR3TRPMode */
	control: bigint;
	/** 0020h: 0 ExEn, 1 Allow, 51:12 base */
	exclusionBase: bigint;
	/** 0028h: 51:12 limit, the low 12 bits read as ones */
	exclusionLimit: bigint;
	/** 0030h: 1 PPRSup, 3 NXSup, 4 GTSup, 11:10 HATS, 13:12 GATS, 15:14 GLXSup, 36:32 PASmax, 37 USSup, 48 GIoSup,
	 * 49 HASup, 50 EPHSup, 52 HDSup, 61 GAUpdateDisSup */
	extendedFeatures: bigint;
	/** reserved address bits of guest entries start here (PAsize); 52 when not given */
	addressBits?: number;
	/** devices with SE = 1 whose first IO_PAGE_FAULT since their DTE was cached is already in the log */
	faulted?: Set<number>;
}

export interface AmdRequest extends Request {
	/** PCIe address type: untranslated (default), ATS translation request, translated */
	type?: "untranslated" | "translation" | "translated";
	/** of a translation request: No Write */
	noWrite?: boolean;
}

export const CONTROL = {
	IommuEn: 1n << 0n,
	GTEn: 1n << 16n,
	GDUpdateDis: 1n << 48n,
	GAUpdateDis: 1n << 54n,
	GCR3TRPMode: 1n << 58n,
} as const;

export const EFR = {
	PPRSup: 1n << 1n,
	NXSup: 1n << 3n,
	GTSup: 1n << 4n,
	USSup: 1n << 37n,
	GIoSup: 1n << 48n,
	HASup: 1n << 49n,
	EPHSup: 1n << 50n,
	HDSup: 1n << 52n,
	GAUpdateDisSup: 1n << 61n,
} as const;

export function field(word: bigint, high: number, low: number): number {
	return Number((word >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n));
}

/** The translation half of a device table entry, bit numbers as in the specification (0-255). */
export interface DeviceEntry {
	V: boolean;
	TV: boolean;
	HAD: number;
	Mode: number;
	hostRoot: bigint;
	PPR: boolean;
	GPRP: boolean;
	GIOV: boolean;
	GV: boolean;
	GLX: number;
	gcr3Root: bigint;
	IR: boolean;
	IW: boolean;
	DomainID: number;
	I: boolean;
	SE: boolean;
	SA: boolean;
	IoCtl: number;
	Cache: boolean;
	SD: boolean;
	EX: boolean;
	SysMgt: number;
	GuestPagingMode: number;
}

export function decodeDeviceEntry(words: readonly bigint[]): DeviceEntry {
	const [q0, q1, q2] = words;
	return {
		V: field(q0, 0, 0) === 1,
		TV: field(q0, 1, 1) === 1,
		HAD: field(q0, 8, 7),
		Mode: field(q0, 11, 9),
		hostRoot: q0 & ADDRESS_MASK,
		PPR: field(q0, 52, 52) === 1,
		GPRP: field(q0, 53, 53) === 1,
		GIOV: field(q0, 54, 54) === 1,
		GV: field(q0, 55, 55) === 1,
		GLX: field(q0, 57, 56),
		gcr3Root:
			(BigInt(field(q0, 60, 58)) << 12n) |
			(BigInt(field(q1, 31, 16)) << 15n) |
			(BigInt(field(q1, 63, 43)) << 31n),
		IR: field(q0, 61, 61) === 1,
		IW: field(q0, 62, 62) === 1,
		DomainID: field(q1, 15, 0),
		I: field(q1, 32, 32) === 1,
		SE: field(q1, 33, 33) === 1,
		SA: field(q1, 34, 34) === 1,
		IoCtl: field(q1, 36, 35),
		Cache: field(q1, 37, 37) === 1,
		SD: field(q1, 38, 38) === 1,
		EX: field(q1, 39, 39) === 1,
		SysMgt: field(q1, 41, 40),
		GuestPagingMode: field(q2, 55, 54),
	};
}

/** Reserved bits of DTE[127:0] with these features (section 2.2.2.1). */
export function reservedDeviceEntryBits(efr: bigint): [bigint, bigint] {
	let q0 = (0x1fn << 2n) | (1n << 63n);
	let q1 = 1n << 42n;
	if ((efr & (EFR.HASup | EFR.HDSup)) === 0n) {
		q0 |= 3n << 7n;
	}
	if ((efr & (EFR.PPRSup | EFR.EPHSup)) === 0n) {
		q0 |= 3n << 52n;
	}
	if ((efr & EFR.GIoSup) === 0n) {
		q0 |= 1n << 54n;
	}
	if ((efr & EFR.GTSup) === 0n) {
		q0 |= 0x3fn << 55n;
		q1 |= (0xffffn << 16n) | (0x1f_ffffn << 43n);
	}
	return [q0, q1];
}

/** Levels of the highest Mode that EFR.HATS allows; 0 when host translation is not supported (HATS = 3). */
export function highestMode(efr: bigint): number {
	const hats = field(efr, 11, 10);
	return hats === 3 ? 0 : 4 + hats;
}

/** Control.DevTblSegEn = n: the top n bits of the DeviceID choose the segment (section 2.2.2, 3.4.1). */
export function deviceEntryAddress(registers: AmdRegisters, device: number): bigint | null {
	const segBits = Math.min(field(registers.control, 36, 34), 3);
	const segment = device >> (16 - segBits);
	const bar = segment === 0 ? registers.deviceTable : (registers.segments?.[segment - 1] ?? 0n);
	const bytes = BigInt(field(bar, segment === 0 ? 8 : 7, 0) + 1) * 4096n;
	const offset = BigInt(device & (0xffff >> segBits)) * 32n;
	return offset + 32n <= bytes ? (bar & ADDRESS_MASK) + offset : null;
}

/** Section 2.2.6: the PASID's guest CR3 out of GLX + 1 levels of tables; the top index holds the highest PASID bits. */
export type Gcr3 =
	| { cr3: bigint }
	| { fault: "pasid" | "not-present" | "reserved" | "hardware" | "host"; walk: AmdWalk | null; entryAddress: bigint };

/** Entry: 0 V, 51:12 next table or guest CR3, 3 PWT and 4 PCD; all else reserved. */
export const GCR3_RESERVED = ~(ADDRESS_MASK | 0x19n) & ((1n << 64n) - 1n);

/** `tables`: how the tables are addressed; the identity unless Control.GCR3TRPMode says guest physical. */
export function lookUpGcr3(memory: Memory, entry: DeviceEntry, pasid: number, tables: HostStage): Gcr3 {
	if (pasid >> Math.min(9 * (entry.GLX + 1), 20) !== 0) {
		return { fault: "pasid", walk: null, entryAddress: 0n };
	}
	let table = entry.gcr3Root;
	for (let level = entry.GLX; ; level--) {
		const address = table + BigInt((pasid >> (9 * level)) & 0x1ff) * 8n;
		const got = readThroughHost(memory, tables, address);
		if ("failed" in got) {
			const entryAddress = got.failed.entryAddress;
			return { fault: got.failed.host === null ? "hardware" : "host", walk: got.failed, entryAddress };
		}
		if ((got.entry & 1n) === 0n) {
			return { fault: "not-present", walk: null, entryAddress: got.pa };
		}
		if ((got.entry & GCR3_RESERVED) !== 0n) {
			return { fault: "reserved", walk: null, entryAddress: got.pa };
		}
		table = got.entry & ADDRESS_MASK;
		if (level === 0) {
			return { cr3: table };
		}
	}
}
