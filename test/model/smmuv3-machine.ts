/** A random SMMUv3 machine: registers, stream and CD tables and page tables that are mostly sound, with bits flipped here and there. */
import type { SmmuRegisters } from "../reference/smmuv3.ts";
import { Random } from "./random.ts";
import { WordMemory } from "./word-memory.ts";

const bit = (on: boolean, at: number) => (on ? 1n << BigInt(at) : 0n);
const STREAMS = 0x4_0000n;
/** L2 stream tables */
const LEAVES = 0x8_0000n;
/** 128 KiB of CD tables for each stream */
const CONTEXTS = 0x10_0000n;
/** tables of any level, 64 KiB apart: stage 1, stage 2, and a stage 2 that is the identity below 64 MiB */
const FIRST = 0x100_0000n;
const SECOND = 0x200_0000n;
const IDENTITY = 0x300_0000n;
const TABLE = 0x1_0000n;
const TABLES = 4;
/** entries that are filled; a first table of concatenated ones has more than a full index */
const INDEXES = [0, 1, 2, 3, 15, 16, 31, 256, 511];
const SUBSTREAMS = [0, 1, 2, 3, 63, 64, 65, 300];
const TG0 = { 12: 0n, 14: 2n, 16: 1n } as const;
const TG1 = { 12: 2n, 14: 1n, 16: 3n } as const;
type Granule = 12 | 14 | 16;

/** An input range of a substream, or of a stream that has no stage 1. */
interface Context {
	stream: number;
	substream: number | null;
	granule: Granule;
	bits: number;
	upper: boolean;
}

export interface SmmuMachine {
	memory: WordMemory;
	registers: SmmuRegisters;
	random: Random;
	streams: number[];
	/** the contexts of all streams, to draw requests from */
	contexts: Context[];
	/** no two contexts share a tag and no contiguous set contradicts itself, so that caches may stay warm */
	apart: boolean;
}

/** `ats`: streams that may use ATS, mostly. */
export function smmuMachine(seed: number, ats = false): SmmuMachine {
	const random = new Random(seed);
	const one = (of: number) => random.below(of) === 0;
	const odd = (of: number, but = 0n) => (one(of) ? (1n << BigInt(random.below(64))) & ~but : 0n);
	const memory = new WordMemory();
	const twoLevel = one(2);
	const lg2 = twoLevel && one(8) ? 32 : random.pick([8, 9, 9, 10]);
	// a stream table at 0 is what stray pointers find: global leaves
	const apart = !one(4) && lg2 !== 32;
	const page = (base: bigint) => base + BigInt(random.below(TABLES)) * TABLE;

	// ---- what the unit has
	const big = one(8);
	let idr0 = 0x3 | (2 << 2) | (2 << 6) | (1 << 12) | (1 << 18) | (1 << 19) | (1 << 27) | ((big ? (one(2) ? 0 : 3) : random.pick([0, 2])) << 21);
	if (!apart) idr0 |= 1 << 9;
	if (one(10)) idr0 ^= 1 << random.pick([0, 1, 2, 3, 6, 7, 10, 11, 12, 18, 19, 26, 27]);
	if (one(16)) idr0 |= random.below(3) << 24;
	let idr3 = (1 << 2) | (1 << 4) | (1 << 8) | (1 << 9) | (1 << 13) | (1 << 15) | (1 << 17);
	if (one(3)) idr3 ^= 1 << random.pick([2, 4, 8, 9, 13, 15, 17]);
	const oas = one(3) ? 6 : one(8) ? random.below(8) : 5;
	const ds = oas >= 6 && one(2);
	const idr5 = oas | ((one(12) ? random.below(8) : 7) << 4) | (ds ? 1 << 7 : 0) | ((one(2) ? 1 : 0) << 10);
	const split = random.pick([6, 8, 10]);
	if (ats && !one(10)) idr0 = (idr0 | (1 << 10) | (one(2) ? 1 << 23 : 0)) & ~(one(3) ? 0 : 1 << 11);
	const registers: SmmuRegisters = {
		idr0,
		idr1: 16 | ((one(16) ? random.below(11) : 10) << 6) | (one(2) ? 1 << 26 : 0),
		idr3,
		idr5,
		cr0: (one(40) ? 0 : 1) | (ats && !one(4) ? 16 : 0),
		cr2: random.below(4) | (ats && one(2) ? 8 : 0),
		gbpa: one(2) ? 1 << 20 : 0,
		strtabBase: lg2 === 32 ? 0n : STREAMS,
		strtabBaseCfg: lg2 | (split << 6) | ((twoLevel ? 1 : 0) << 16),
	};
	const known: Context[] = [];
	const granules = [random.pick([12, 14, 16] as const), random.pick([12, 14, 16] as const)];
	const granule = () => (one(4) ? random.pick([12, 14, 16] as const) : random.pick(granules));
	const order = (entry: bigint) => (big ? swap(entry) : entry);

	// ---- page tables
	const leafAddress = (index: number, g: Granule): bigint => {
		const low = BigInt(index & ((1 << (g - 3)) - 1));
		const stride = BigInt(g - 3);
		let address = one(3) ? BigInt(random.below(64)) << 20n : BigInt(random.below(one(2) ? 8 : 4096)) << 36n;
		// the output that a contiguous set asks of this entry, whatever its level
		if (!one(3)) address = (address & ~((1n << 34n) - 1n)) | (low << BigInt(g)) | (low << (BigInt(g) + stride)) | (low << (BigInt(g) + 2n * stride));
		return address & ((1n << 52n) - 1n);
	};
	const pack = (address: bigint, g: Granule): bigint => {
		if (g === 16) return (address & 0xffff_ffff_0000n) | (((address >> 48n) & 15n) << 12n);
		return ds ? (address & 0x3_ffff_ffff_f000n) | (((address >> 50n) & 3n) << 8n) : address & 0xffff_ffff_f000n;
	};
	for (let n = 0; n < TABLES; n++) {
		for (const index of [...INDEXES, 7, 63, 127, 512, 1023, 2047, 4095, 8191]) {
			const slot = BigInt(n) * TABLE + BigInt(index * 8);
			const kind = random.below(8);
			const g = random.pick(granules);
			const leaf = (base: bigint) => (kind < 6 ? page(base) | 3n : pack(leafAddress(index, g), g) | (kind === 7 && one(3) ? 0n : kind < 7 ? 1n : 3n));
			const table = () => (one(3) ? BigInt(random.below(16)) << 59n : 0n);
			const first = bit(!one(4), 6) | bit(one(3), 7) | bit(!one(6), 10) | bit(apart || one(2), 11) | bit(one(3), 51) | bit(!apart && one(2), 52) | bit(one(4), 53) | bit(one(4), 54) | (BigInt(random.below(8)) << 2n);
			// (bit 11 is nothing to stage 2, but stray pointers take its tables for stage 1)
			const second = bit(apart, 11) | bit(!one(10), 6) | bit(!one(4), 7) | bit(!one(6), 10) | bit(one(3), 51) | bit(!apart && one(2), 52) | (BigInt(one(2) ? random.below(4) : 0) << 53n) | (BigInt(one(2) ? 15 : random.below(16)) << 2n);
			memory.set(FIRST + slot, order((leaf(FIRST) | first | table()) ^ odd(24, (1n << 52n) | bit(apart, 11))));
			memory.set(SECOND + slot, order((leaf(SECOND) | second) ^ odd(24, (1n << 52n) | bit(apart, 11))));
		}
	}
	let nextIdentity = IDENTITY;
	/** A stage 2 from `top` down to blocks of level 1, or pages where there is one level only. */
	const identity = (g: Granule, top: number): bigint => {
		const rights = () => bit(apart, 11) | bit(!one(40), 6) | bit(!one(6), 7) | bit(!one(16), 10) | bit(one(6), 51) | bit(!apart && one(6), 52) | (one(10) ? 0n : 15n << 2n);
		const root = nextIdentity;
		nextIdentity += 0x10_0000n;
		let at = root;
		for (let level = top; level > 1; level--) {
			memory.set(at, order(nextIdentity | 3n));
			at = nextIdentity;
			nextIdentity += TABLE;
		}
		const span = top === 0 ? g : g + g - 3;
		for (let i = 0n; i < 1n << BigInt(Math.max(0, 26 - span)); i++) {
			if (top === 0 && i * (1n << BigInt(span)) % TABLE > 0n && one(2)) continue;
			memory.set(at + i * 8n, order((i << BigInt(span)) | (top === 0 ? 3n : 1n) | rights()));
		}
		return root;
	};

	// ---- contexts
	let asid = 1;
	const contextAt = (at: bigint, stream: number | null, substream: number) => {
		const g0 = granule();
		const g1 = granule();
		const size = (g: Granule) => (one(30) ? random.below(64) : (g === 16 || ds) && one(3) ? 12 + random.below(28) : random.pick([16, 16, 20, 25, 25, 28, 32, 34, 39]));
		const t0 = size(g0);
		const t1 = size(g1);
		const epd1 = one(2);
		if (stream !== null) known.push({ stream, substream, granule: g0, bits: 64 - t0, upper: false });
		if (stream !== null && !epd1) known.push({ stream, substream, granule: g1, bits: 64 - t1, upper: true });
		const word =
			BigInt(t0) | (TG0[g0] << 6n) | bit(one(12), 14) | bit(big, 15) | (BigInt(t1) << 16n) | (TG1[g1] << 22n) | bit(epd1, 30) | bit(!one(40), 31) |
			(BigInt(one(3) ? random.below(7) : 6) << 32n) | bit(one(4), 35) | bit(one(6), 36) | bit(one(4), 38) | bit(one(4), 39) | bit(one(4), 40) | bit(!one(60), 41) |
			bit(one(2), 42) | bit(one(2), 43) | bit(one(4), 44) | bit(!one(3), 45) | bit(!one(10), 46) | (BigInt(asid & 0xff) << 48n);
		asid += 1;
		memory.set(at, word ^ odd(40, 0xffffn << 48n));
		const ttb = () => (one(30) ? random.bits64() & 0xf_ffff_ffff_fff0n : page(FIRST));
		memory.set(at + 8n, ttb() | bit(one(4), 1) | bit(one(6), 2) | bit(one(3), 59));
		memory.set(at + 16n, ttb() | bit(one(4), 1) | bit(one(6), 2) | bit(ds && !one(3), 58));
	};
	/** CD tables of one stream; S1Fmt, S1CDMax and the pointer. */
	const contexts = (area: bigint, stream: number | null): bigint => {
		const max = random.pick([0, 0, 1, 4, 6, 8, 9, 10]);
		const fmt = random.pick([0, 1, 2]);
		const size = fmt === 1 ? 6 : 10;
		for (const ssid of SUBSTREAMS) {
			if (ssid >= 1 << max) continue;
			if (fmt === 0 || max === 0) contextAt(area + BigInt(ssid) * 64n, stream, ssid);
			else {
				const leaf = area + TABLE + BigInt((ssid >> size) * 0x1000);
				memory.set(area + BigInt(ssid >> size) * 8n, (leaf | bit(!one(20), 0)) ^ odd(60));
				contextAt(leaf + BigInt(ssid & ((1 << size) - 1)) * 64n, stream, ssid);
			}
		}
		return area | (BigInt(fmt) << 4n) | (BigInt(max) << 59n);
	};

	// ---- streams
	const streams = [0, 1, 2, 3, 0x43, 0x80, ...(lg2 === 32 ? [0x8010_0001] : [])];
	streams.forEach((id, n) => {
		let at = STREAMS + BigInt(id) * 64n;
		if (twoLevel) {
			const leaf = LEAVES + BigInt(n & 7) * TABLE;
			const first = registers.strtabBase + BigInt(id >>> split) * 8n;
			const there = memory.get(first) & 0x00ff_ffff_ffff_ffc0n;
			if (there === 0n) memory.set(first, (leaf | BigInt(one(12) ? random.below(12) : split + 1)) ^ odd(60));
			at = (there || leaf) + BigInt(id & ((1 << split) - 1)) * 64n;
		}
		const config = one(16) ? random.below(8) : random.pick([4, 5, 5, 5, 6, 6, 7, 7, 7]);
		const g = granule();
		// levels and widths that go together: at most 16 concatenated tables
		const top = g === 12 ? random.pick([1, 1, 2, 2, 3, 0]) : random.pick(g === 14 ? [0, 1, 1, 2] : [0, 1, 1, 2]);
		const least = g + (g - 3) * top + 1;
		const bits = Math.min(48, Math.max(25, least + random.below(g + 1)));
		const sl0 = g === 12 ? (top === 0 ? 3 : top - 1) : top;
		const nested = config === 7;
		const root = nested && !one(8) ? identity(g, top) : page(SECOND);
		memory.set(at, (bit(!one(40), 0) | (BigInt(config) << 1n) | contexts(CONTEXTS + BigInt(n) * 0x2_0000n, (config & 5) === 5 ? id : null)) ^ odd(60));
		if (config === 4 || config === 6) known.push({ stream: id, substream: null, granule: g, bits, upper: false });
		memory.set(
			at + 8n,
			(BigInt(random.pick([0, 1, 2, 2, 3])) | bit(one(2), 25) | bit(one(10), 27) | (BigInt(ats ? random.pick(config === 7 ? [0, 1, 2, 2, 3] : [0, 1, 1, 1]) : one(6) ? random.below(4) : 0) << 28n) | (BigInt(apart || one(2) ? 0 : 2) << 30n) | (BigInt(random.below(4)) << 48n) | (BigInt(random.below(4)) << 50n)) ^
				odd(60, apart ? 3n << 30n : 0n),
		);
		memory.set(
			at + 16n,
			(BigInt(n + 1) | (BigInt(one(30) ? random.below(64) : 64 - bits) << 32n) | (BigInt(sl0) << 38n) | (TG0[g] << 46n) | (BigInt(one(3) ? random.below(7) : 6) << 48n) | bit(!one(60), 51) |
				bit(big, 52) | bit(one(3), 53) | bit(one(4), 54) | bit(one(2), 55) | bit(one(2), 56) | bit(one(4), 57) | bit(!one(3), 58)) ^
				odd(60, 0xffffn),
		);
		memory.set(at + 24n, (root | bit(ds && one(3), 3) | bit(one(30), 2)) ^ odd(60));
	});

	// ---- memory that fails, somewhere that tables are
	const where = () => {
		const base = random.pick([STREAMS, LEAVES, CONTEXTS, CONTEXTS + 0x2_0000n, CONTEXTS + TABLE, FIRST, FIRST + TABLE, FIRST + 2n * TABLE, SECOND, SECOND + TABLE, IDENTITY, IDENTITY + 0x10_0000n]);
		const first = base + BigInt(random.pick([...INDEXES, 8, 24])) * 8n;
		return { first, end: first + 8n };
	};
	if (one(2)) memory.noAccess = [where(), where()];
	if (one(6)) memory.poison = [where()];
	if (one(6)) memory.noWrite = [where(), { first: page(FIRST), end: FIRST + 4n * TABLE }];
	return { memory, registers, random, streams, contexts: known, apart };
}

function swap(value: bigint): bigint {
	let swapped = 0n;
	for (let i = 0n; i < 64n; i += 8n) swapped = (swapped << 8n) | ((value >> i) & 0xffn);
	return swapped;
}

/** A request that the machine's tables are likely to know. */
export function smmuRequest({ random, streams, contexts }: SmmuMachine) {
	const one = (of: number) => random.below(of) === 0;
	const { stream, substream, granule, bits, upper } = contexts.length > 0 ? random.pick(contexts) : { stream: 0, substream: null, granule: 12 as const, bits: 39, upper: false };
	let address = BigInt(random.below(1 << granule));
	for (let level = 0; level < 4; level++) if (!one(3)) address |= BigInt(random.pick([...INDEXES, 2047, 8191]) & ((1 << (granule - 3)) - 1)) << BigInt(granule + (granule - 3) * level);
	const width = BigInt(bits);
	if (one(4)) address &= 0x3ff_ffffn;
	if (!one(20)) address &= (1n << width) - 1n;
	if (upper) address |= (1n << 64n) - (1n << width);
	if (one(12)) address ^= BigInt(random.below(256)) << 56n;
	if (one(20)) address = random.bits64() >> BigInt(random.below(40));
	address &= (1n << 64n) - 1n;
	const odd = one(10);
	return {
		device: one(100) ? random.next() : odd ? random.pick(streams) : stream,
		pasid: odd ? (one(2) ? random.pick([random.below(1 << 20), 1 << 20, (1 << 20) + 1]) : random.pick(SUBSTREAMS)) : substream === 0 && one(2) ? null : substream,
		privileged: one(2),
		address,
		length: 1,
		access: random.pick(["r", "w", "x"] as const),
	};
}
