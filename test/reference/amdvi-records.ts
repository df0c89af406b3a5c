/**
 * AMD IOMMU (48882): the records that pass between hardware and software, as 128-bit little-endian values.
 *
 * Event log entries, section 2.5. Bits 63:60 are the event code; common fields of the low half:
 *
 *   15:0 DeviceID   19:16 PASID[19:16]   47:32 DomainID (GN = 0) or PASID[15:0] (GN = 1)
 *   48 GN  49 NX  50 US  51 I  52 PR  53 RW  54 PE  55 RZ  56 TR  58:57 Type (59:57 in INVALID_DEVICE_REQUEST)
 *
 *   01h ILLEGAL_DEV_TABLE_ENTRY  DeviceID PASID GN I RW RZ TR           127:66 address (1:0 zero)
 *   02h IO_PAGE_FAULT            all of GN NX US I PR RW PE RZ TR        127:64 address
 *   03h DEV_TAB_HARDWARE_ERROR   DeviceID I RW TR Type                   system physical address of the entry
 *   04h PAGE_TAB_HARDWARE_ERROR  DeviceID Domain/PASID GN I RW TR Type   system physical address of the entry
 *   05h ILLEGAL_COMMAND_ERROR    -                                       system physical address of the command
 *   06h COMMAND_HARDWARE_ERROR   Type                                    system physical address of the command
 *   07h IOTLB_INV_TIMEOUT        DeviceID                                system physical address of the command
 *   08h INVALID_DEVICE_REQUEST   DeviceID PASID GN US(bit 49) TR Type    address
 *   09h INVALID_PPR_REQUEST      as a PPR log entry: DeviceID 15:0, PASID 31:16 and 45:42, tag 41:32, flags, address
 *
 * Type of 03h, 04h, 06h: 1 master abort, 2 target abort, 3 data error.
 * Type of 08h, TR = 0: 0 read or non-posted write in the interrupt range, 1 translated address from a device that may
 * not send any (I = 0), 2 port I/O with IoCtl = 0, 3 system management message with SysMgt = 0, 4 interrupt with
 * IntCtl = 0, 5 reserved part of the interrupt range, 6 system management address; TR = 1: 0 translation request in the
 * interrupt range, 1 with I = 0, 2 from a DeviceID beyond the device table.
 */

export const EVENT = {
	ILLEGAL_DEV_TABLE_ENTRY: 1,
	IO_PAGE_FAULT: 2,
	DEV_TAB_HARDWARE_ERROR: 3,
	PAGE_TAB_HARDWARE_ERROR: 4,
	ILLEGAL_COMMAND_ERROR: 5,
	COMMAND_HARDWARE_ERROR: 6,
	IOTLB_INV_TIMEOUT: 7,
	INVALID_DEVICE_REQUEST: 8,
	INVALID_PPR_REQUEST: 9,
} as const;

export const EVENT_NAME: Record<number, string> = Object.fromEntries(
	Object.entries(EVENT).map(([name, code]) => [code, name]),
);

export const HARDWARE_ERROR = { MASTER_ABORT: 1, TARGET_ABORT: 2, DATA_ERROR: 3 } as const;

/** The fields of an event; what an event does not have stays out of its record. */
export interface EventFields {
	DeviceID: number;
	PASID: number;
	DomainID: number;
	GN: boolean;
	NX: boolean;
	US: boolean;
	I: boolean;
	PR: boolean;
	RW: boolean;
	PE: boolean;
	RZ: boolean;
	TR: boolean;
	Type: number;
	Address: bigint;
}

function bits(value: number | bigint | boolean, at: bigint): bigint {
	return BigInt(value) << at;
}

/** The 16 bytes of an event log entry. */
export function encodeEvent(code: number, fields: EventFields): bigint {
	const f = fields;
	const device = bits(f.DeviceID, 0n);
	const pasid = f.GN ? bits(f.PASID >> 16, 16n) | bits(f.PASID & 0xffff, 32n) : 0n;
	const head = bits(code, 60n);
	const memory = bits(f.I, 51n) | bits(f.RW, 53n) | bits(f.TR, 56n);
	switch (code) {
		case EVENT.ILLEGAL_DEV_TABLE_ENTRY:
			return head | device | pasid | bits(f.GN, 48n) | memory | bits(f.RZ, 55n) | bits(f.Address & ~3n, 64n);
		case EVENT.IO_PAGE_FAULT: {
			const who = f.GN ? pasid : bits(f.DomainID, 32n);
			const flags = bits(f.GN, 48n) | bits(f.NX, 49n) | bits(f.US, 50n) | bits(f.PR, 52n) | bits(f.PE, 54n);
			return head | device | who | flags | memory | bits(f.RZ, 55n) | bits(f.Address, 64n);
		}
		case EVENT.DEV_TAB_HARDWARE_ERROR:
			return head | device | memory | bits(f.Type, 57n) | bits(f.Address, 64n);
		case EVENT.PAGE_TAB_HARDWARE_ERROR: {
			const who = f.GN ? pasid : bits(f.DomainID, 32n);
			return head | device | who | bits(f.GN, 48n) | memory | bits(f.Type, 57n) | bits(f.Address, 64n);
		}
		case EVENT.ILLEGAL_COMMAND_ERROR:
			return head | bits(f.Address, 64n);
		case EVENT.COMMAND_HARDWARE_ERROR:
			return head | bits(f.Type, 57n) | bits(f.Address, 64n);
		case EVENT.IOTLB_INV_TIMEOUT:
			return head | device | bits(f.Address & ~0xfn, 64n);
		case EVENT.INVALID_DEVICE_REQUEST: {
			const flags = bits(f.GN, 48n) | bits(f.US, 49n) | bits(f.TR, 56n);
			return head | device | pasid | flags | bits(f.Type, 57n) | bits(f.Address, 64n);
		}
		default:
			throw new RangeError(`no layout for event ${code}`);
	}
}

/**
 * PAGE_SERVICE_REQUEST of the PPR log, section 2.6.1 (code 1):
 * 15:0 DeviceID, 31:16 PASID[15:0], 40:32 page request group index and 41 last (together the 10-bit tag),
 * 45:42 PASID[19:16], 49 execute, 50 read, 53 write, 54 US (1 user), 55 RZ (malformed), 56 GN, 63:60 code,
 * 127:76 address[63:12].
 */
export interface PageRequest {
	DeviceID: number;
	PASID: number | null;
	group: number;
	last: boolean;
	read: boolean;
	write: boolean;
	execute: boolean;
	user: boolean;
	malformed: boolean;
	Address: bigint;
}

export function encodePageRequest(request: PageRequest, code = 1): bigint {
	const pasid = request.PASID ?? 0;
	return (
		bits(code, 60n) |
		bits(request.DeviceID, 0n) |
		bits(pasid & 0xffff, 16n) |
		bits(request.group & 0x1ff, 32n) |
		bits(request.last, 41n) |
		bits(pasid >> 16, 42n) |
		bits(request.execute, 49n) |
		bits(request.read, 50n) |
		bits(request.write, 53n) |
		bits(request.user, 54n) |
		bits(request.malformed, 55n) |
		bits(request.PASID !== null, 56n) |
		bits(request.Address & ~0xfffn, 64n)
	);
}

/** A command buffer entry, section 2.4. `illegal`: reserved bits or opcode, hence ILLEGAL_COMMAND_ERROR. */
export type Command =
	| { op: "COMPLETION_WAIT"; store: boolean; interrupt: boolean; flush: boolean; address: bigint; data: bigint }
	| { op: "INVALIDATE_DEVTAB_ENTRY"; device: number }
	| { op: "INVALIDATE_IOMMU_PAGES"; domain: number; pasid: number; gn: boolean; pde: boolean; range: PageRange }
	| {
			op: "INVALIDATE_IOTLB_PAGES";
			device: number;
			queue: number;
			maxPend: number;
			pasid: number;
			gn: boolean;
			type: number;
			range: PageRange;
	  }
	| { op: "INVALIDATE_INTERRUPT_TABLE"; device: number }
	| { op: "PREFETCH_IOMMU_PAGES"; device: number; pasid: number; count: number; gn: boolean; address: bigint }
	| { op: "COMPLETE_PPR_REQUEST"; device: number; pasid: number; gn: boolean; tag: number; code: number }
	| { op: "INVALIDATE_IOMMU_ALL" }
	| { op: "illegal" };

export interface PageRange {
	first: bigint;
	/** 2^64 for all */
	bytes: bigint;
}

/**
 * Section 2.4.3: S = 0 is one 4K page; S = 1 encodes the size like a Next Level = 7 entry (the lowest 0 from bit 12 on is
 * one below the log2), 7FFF_FFFF_FFFF_Fh in bits 63:12 being everything.
 */
export function invalidationRange(address: bigint, s: boolean): PageRange {
	const page = address & ~0xfffn;
	if (!s) {
		return { first: page, bytes: 0x1000n };
	}
	let bit = 12n;
	while (bit < 63n && ((page >> bit) & 1n) === 1n) {
		bit++;
	}
	const bytes = 1n << (bit + 1n);
	return { first: page & ~(bytes - 1n), bytes };
}

/**
 *   1 COMPLETION_WAIT: 0 S, 1 I, 2 F, 51:3 store address, 127:64 data
 *   2 INVALIDATE_DEVTAB_ENTRY: 15:0 DeviceID
 *   3 INVALIDATE_IOMMU_PAGES: 19:0 PASID, 47:32 DomainID, 64 S, 65 PDE, 66 GN, 127:76 address
 *   4 INVALIDATE_IOTLB_PAGES: 15:0 DeviceID, 23:16 PASID[15:8], 31:24 Maxpend, 47:32 QueueID, 55:48 PASID[7:0],
 *     59:56 PASID[19:16], 64 S, 66 GN, 69:68 Type, 127:76 address
 *   5 INVALIDATE_INTERRUPT_TABLE: 15:0 DeviceID
 *   6 PREFETCH_IOMMU_PAGES: as 4, with the count in 31:24
 *   7 COMPLETE_PPR_REQUEST: 15:0 DeviceID, 51:32 PASID, 66 GN, 104:96 tag, 111:108 completion code
 *   8 INVALIDATE_IOMMU_ALL
 */
export function decodeCommand(lo: bigint, hi: bigint): Command {
	const opcode = lo >> 60n;
	const field = (word: bigint, high: bigint, low: bigint): number =>
		Number((word >> low) & ((1n << (high - low + 1n)) - 1n));
	const only = (loMask: bigint, hiMask: bigint): boolean =>
		(lo & ~loMask & ((1n << 60n) - 1n)) === 0n && (hi & ~hiMask) === 0n;
	const all = (1n << 64n) - 1n;
	const paged = (): { pasid: number; gn: boolean } => ({
		pasid: (field(lo, 59n, 56n) << 16) | (field(lo, 23n, 16n) << 8) | field(lo, 55n, 48n),
		gn: (hi & 4n) !== 0n,
	});
	const device = field(lo, 15n, 0n);
	switch (opcode) {
		case 1n:
			return only(0xf_ffff_ffff_ffffn, all)
				? {
						op: "COMPLETION_WAIT",
						store: (lo & 1n) !== 0n,
						interrupt: (lo & 2n) !== 0n,
						flush: (lo & 4n) !== 0n,
						address: lo & 0xf_ffff_ffff_fff8n,
						data: hi,
					}
				: { op: "illegal" };
		case 2n:
			return only(0xffffn, 0n) ? { op: "INVALIDATE_DEVTAB_ENTRY", device } : { op: "illegal" };
		case 3n:
			return only(0xffff_000f_ffffn, all & ~0xff8n)
				? {
						op: "INVALIDATE_IOMMU_PAGES",
						domain: field(lo, 47n, 32n),
						pasid: field(lo, 19n, 0n),
						gn: (hi & 4n) !== 0n,
						pde: (hi & 2n) !== 0n,
						range: invalidationRange(hi, (hi & 1n) !== 0n),
					}
				: { op: "illegal" };
		case 4n:
			return only((1n << 60n) - 1n, all & ~0xfcan)
				? {
						op: "INVALIDATE_IOTLB_PAGES",
						device,
						queue: field(lo, 47n, 32n),
						maxPend: field(lo, 31n, 24n),
						...paged(),
						type: field(hi, 5n, 4n),
						range: invalidationRange(hi, (hi & 1n) !== 0n),
					}
				: { op: "illegal" };
		case 5n:
			return only(0xffffn, 0n) ? { op: "INVALIDATE_INTERRUPT_TABLE", device } : { op: "illegal" };
		case 6n:
			return {
				op: "PREFETCH_IOMMU_PAGES",
				device,
				...paged(),
				count: field(lo, 31n, 24n),
				address: hi & ~0xfffn,
			};
		case 7n:
			return only(0xf_ffff_0000_ffffn, 0xffff_0000_0004n)
				? {
						op: "COMPLETE_PPR_REQUEST",
						device,
						pasid: field(lo, 51n, 32n),
						gn: (hi & 4n) !== 0n,
						tag: field(hi, 40n, 32n),
						code: field(hi, 47n, 44n),
					}
				: { op: "illegal" };
		case 8n:
			return only(0n, 0n) ? { op: "INVALIDATE_IOMMU_ALL" } : { op: "illegal" };
		default:
			return { op: "illegal" };
	}
}
