/**
 * IBM PCI host bridge (IODA3) with RTT, TVT, PE states and TCE tables, literally: IBM bit numbers, bit 0 the most
 * significant, as the structures are documented in them.
 */
import type { Memory, Request, Result } from "./contract.ts";

export interface PaprRegisters {
	rttEnabled: boolean;
	rtt: bigint;
	tvt: bigint;
	/** null: none */
	pest: bigint | null;
	pes: number;
	/** a fault stops DMA of the PE */
	stops: boolean;
	/** writes set bit 55 of the TCE */
	changes: boolean;
}

/** Fault codes, as the engine numbers them. */
export const CODE = {
	noPe: 1,
	stopped: 2,
	pasid: 3,
	noWindow: 4,
	beyond: 5,
	absent: 6,
	noRead: 7,
	noWrite: 8,
	unreadable: 9,
	peUnreadable: 10,
	tooWide: 11,
} as const;

/** Bits `first` to `last` of a doubleword, bit 0 on the left. */
function bits(value: bigint, first: number, last: number): bigint {
	return (value >> BigInt(63 - last)) & ((1n << BigInt(last - first + 1)) - 1n);
}

function turned(value: bigint): bigint {
	let out = 0n;
	for (let i = 0n; i < 8n; i++) out = (out << 8n) | ((value >> (8n * i)) & 0xffn);
	return out;
}

function doubleword(memory: Memory, at: bigint): bigint | null {
	const got = memory.read(at, 8);
	return "error" in got ? null : turned(got.value);
}

class Fault extends Error {
	constructor(
		readonly code: number,
		/** TCE that decided */
		readonly at = 0n,
		readonly entry = 0n,
	) {
		super(`fault ${code}`);
	}
}

/** PE number of a requester. */
function endpoint(memory: Memory, registers: PaprRegisters, rid: number): number {
	if (!registers.rttEnabled) throw new Fault(CODE.noPe);
	const at = registers.rtt + 2n * BigInt(rid);
	const word = doubleword(memory, at & ~7n);
	if (word === null) throw new Fault(CODE.noPe);
	const byte = Number(at & 7n);
	const pe = Number(bits(word, 8 * byte, 8 * byte + 15));
	if (pe >= registers.pes) throw new Fault(CODE.noPe);
	return pe;
}

type Window = { kind: "none" } | { kind: "real"; start: bigint; end: bigint } | { kind: "tces"; table: bigint; levels: number; tableBits: number; pageBits: number };

function windowOf(tve: bigint): Window {
	const size = Number(bits(tve, 51, 55));
	const page = Number(bits(tve, 59, 63));
	if (size === 0) return { kind: "none" };
	if (page === 0) {
		if (bits(tve, 51, 51) === 0n) return { kind: "none" };
		return { kind: "real", start: ((bits(tve, 52, 53) << 24n) | bits(tve, 0, 23)) << 24n, end: ((bits(tve, 54, 55) << 24n) | bits(tve, 24, 47)) << 24n };
	}
	const levels = Number(bits(tve, 48, 50)) + 1;
	const pageBits = page + 11;
	const tableBits = size + 11 - 3;
	if (levels > 5 || ![12, 16, 21, 24, 28, 30].includes(pageBits)) return { kind: "none" };
	// an entry of the first table may not span the whole half
	if (pageBits + tableBits * (levels - 1) >= 59) return { kind: "none" };
	return { kind: "tces", table: bits(tve, 0, 47) << 12n, levels, tableBits, pageBits };
}

interface Found {
	pa: bigint;
	pageBytes: bigint;
	r: boolean;
	w: boolean;
	status: "ok" | "bypass";
}

function translated(memory: Memory, registers: PaprRegisters, request: Request, window: Window & { kind: "tces" }, writes: Result["writes"]): Found {
	const { address, access } = request;
	const { table, levels, tableBits, pageBits } = window;
	const offset = address & ~(1n << 59n);
	const covered = BigInt(Math.min(59, pageBits + tableBits * levels));
	if (offset >> covered !== 0n) throw new Fault(CODE.beyond);
	let base = table;
	for (let level = levels - 1; ; level--) {
		const index = (offset >> BigInt(pageBits + tableBits * level)) % (1n << BigInt(tableBits));
		const at = base + 8n * index;
		const tce = doubleword(memory, at);
		if (tce === null) throw new Fault(CODE.unreadable, at);
		if (bits(tce, 62, 63) === 0n) throw new Fault(CODE.absent, at, tce);
		if (bits(tce, 0, 3) !== 0n) throw new Fault(CODE.tooWide, at, tce);
		if (level > 0) {
			base = bits(tce, 0, 51) << 12n;
			continue;
		}
		const r = bits(tce, 63, 63) === 1n;
		const w = bits(tce, 62, 62) === 1n;
		if (access === "w" && !w) throw new Fault(CODE.noWrite, at, tce);
		if (access !== "w" && !r) throw new Fault(CODE.noRead, at, tce);
		if (access === "w" && registers.changes && bits(tce, 55, 55) === 0n) {
			const value = turned(tce | (1n << 8n));
			if (!memory.write(at, 8, value)) throw new Fault(CODE.unreadable, at, tce);
			writes.push({ pa: at, bytes: 8, value });
		}
		const page = 1n << BigInt(pageBits);
		const start = ((bits(tce, 0, 51) << 12n) / page) * page;
		return { status: "ok", pa: start + (offset % page), pageBytes: page, r, w };
	}
}

function passed(address: bigint, window: Window & { kind: "real" }): Found {
	const offset = address & ~(1n << 59n);
	if (address >> 60n !== 0n || offset < window.start || offset >= window.end) throw new Fault(CODE.noWindow);
	return { status: "bypass", pa: offset, pageBytes: 4096n, r: true, w: true };
}

export function translatePapr(memory: Memory, registers: PaprRegisters, request: Request): Result {
	const { device, pasid, address, access } = request;
	const nothing = { pa: 0n, pageBytes: 0n, r: false, w: false, x: false, fields: {}, writes: [] as Result["writes"] };
	// a write to a message address is an interrupt
	if (address >> 60n === 1n && pasid === null && access === "w") return { ...nothing, status: "interrupt", pa: address, code: 0, reported: false };
	let known: number | null = null;
	try {
		if (pasid !== null) throw new Fault(CODE.pasid);
		const pe = endpoint(memory, registers, device);
		if (registers.pest !== null) {
			const state = doubleword(memory, registers.pest + 16n * BigInt(pe) + 8n);
			if (state === null) throw new Fault(CODE.peUnreadable);
			if (bits(state, 0, 0) === 1n) throw new Fault(CODE.stopped);
		}
		// both are read when the PE is looked up
		const [lower, upper] = [0n, 8n].map((offset) => doubleword(memory, registers.tvt + 16n * BigInt(pe) + offset));
		if (lower === null || upper === null) throw new Fault(CODE.peUnreadable);
		known = pe;
		const window = windowOf(bits(address, 4, 4) === 1n ? upper : lower);
		if (window.kind === "none") throw new Fault(CODE.noWindow);
		const found = window.kind === "real" ? passed(address, window) : translated(memory, registers, request, window, nothing.writes);
		return { ...nothing, ...found, x: found.r, code: 0, reported: false };
	} catch (fault) {
		if (!(fault instanceof Fault)) throw fault;
		if (known !== null && registers.stops && registers.pest !== null) {
			const at = registers.pest + 16n * BigInt(known) + 8n;
			const state = memory.read(at, 8);
			// bit 0 lies in the first byte
			if (!("error" in state)) {
				const value = state.value | 0x80n;
				if (memory.write(at, 8, value)) nothing.writes.push({ pa: at, bytes: 8, value });
			}
		}
		const head = (BigInt(device) << 48n) | (BigInt(fault.code) << 32n) | (access === "w" ? 1n << 24n : 0n);
		return { ...nothing, status: "fault", code: fault.code, reported: true, fields: { record: [head, address, fault.at, fault.entry].reduce((sum, word) => (sum << 64n) | word, 0n) } };
	}
}
