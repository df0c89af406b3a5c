/** Random PAPR bridges: RTT, PE states, TVEs of every shape and TCE tables that lead into each other. */
import type { PaprRegisters } from "../reference/papr.ts";
import { Random } from "./random.ts";
import { WordMemory } from "./word-memory.ts";

const RTT = 0x10000n;
const TVT = 0x20000n;
const PEST = 0x30000n;
const TABLES = 0x100000n;
const PES = 6;
const INDEXES = [0, 1, 2, 3, 255, 511, 1023, 4095];

export interface PaprMachine {
	memory: WordMemory;
	registers: PaprRegisters;
	random: Random;
	/** an address that mostly leads somewhere */
	address(device: number): bigint;
}

function turn(value: bigint): bigint {
	const bytes = new DataView(new ArrayBuffer(8));
	bytes.setBigUint64(0, value);
	return bytes.getBigUint64(0, true);
}

export function paprMachine(seed: number): PaprMachine {
	const random = new Random(seed);
	const memory = new WordMemory();
	const put = (at: bigint, value: bigint) => memory.set(at, turn(BigInt.asUintN(64, value)));
	const odd = (chance: number) => (random.chance(chance) ? 1n << BigInt(random.below(64)) : 0n);
	const table = () => TABLES + (BigInt(random.below(4)) << 16n);

	// PEs of devices 0 to 3, one of them now and then too large
	const pes = Array.from({ length: 4 }, () => random.below(random.chance(0.05) ? 8 : PES));
	put(RTT, pes.reduce((sum, pe) => (sum << 16n) | BigInt(pe), 0n));
	const shapes: Array<Array<{ page: number; width: number; levels: number; real: boolean }>> = [];
	for (let pe = 0; pe < 8; pe++) {
		shapes.push([]);
		if (random.chance(0.05)) put(PEST + BigInt(16 * pe + 8), 1n << 63n);
		for (let half = 0; half < 2; half++) {
			const page = random.chance(0.05) ? 12 + random.below(20) : random.pick([12, 12, 16, 21, 24, 28, 30]);
			const width = 9 + random.below(random.chance(0.1) ? 23 : 4);
			const levels = 1 + random.below(random.chance(0.1) ? 8 : 4);
			const real = random.chance(0.15);
			shapes[pe].push({ page, width, levels, real });
			const bits = random.bits64() & 0xe0n;
			let tve = (table() << 4n) | BigInt((levels - 1) << 13) | BigInt((width - 8) << 8) | BigInt(page - 11) | bits;
			if (real) tve = (BigInt(random.below(3)) << 40n) | (BigInt(random.below(6)) << 16n) | 0x1000n | (random.chance(0.3) ? random.bits64() & 0xf00n : 0n);
			if (random.chance(0.1)) tve = 0n;
			put(TVT + BigInt(16 * pe + 8 * half), tve ^ odd(0.05));
		}
	}
	for (let n = 0; n < 4; n++) {
		for (const index of INDEXES) {
			const rights = random.pick([0n, 1n, 2n, 3n, 3n, 3n, 3n]);
			const to = random.chance(0.6) ? table() : random.bits64() & 0xf_ffff_ffff_f000n;
			put(TABLES + (BigInt(n) << 16n) + BigInt(8 * index), (to | rights | (random.bits64() & 0xffcn)) ^ odd(0.08));
		}
	}
	if (random.chance(0.1)) memory.noAccess = [{ first: TABLES, end: TABLES + 16n }];
	if (random.chance(0.1)) memory.poison = [{ first: TABLES + 0x10000n, end: TABLES + 0x10010n }];
	if (random.chance(0.1)) memory.noWrite = [{ first: TABLES + 0x20000n, end: TABLES + 0x30000n }];
	if (random.chance(0.03)) memory.noAccess = [random.pick([{ first: RTT, end: RTT + 8n }, { first: TVT, end: TVT + 0x40n }, { first: PEST, end: PEST + 0x40n }])];
	return {
		memory,
		random,
		registers: { rttEnabled: !random.chance(0.02), rtt: RTT, tvt: TVT, pest: random.chance(0.8) ? PEST : null, pes: PES, stops: random.chance(0.2), changes: random.chance(0.4) },
		address(device) {
			const half = random.below(2);
			const { page, width, levels, real } = shapes[pes[device]][half];
			let address = random.bits64() & ((1n << BigInt(page)) - 1n);
			if (real) address = random.bits64() & 0x7ff_ffffn;
			else for (let level = 0; level < levels; level++) address |= BigInt(random.pick(INDEXES) & (2 ** width - 1)) << BigInt(page + width * level);
			address = BigInt.asUintN(59, address) | (BigInt(half) << 59n);
			if (random.chance(0.05)) address ^= 1n << BigInt(random.below(64));
			if (random.chance(0.02)) address = (1n << 60n) | (address & 0xfffffn);
			return address;
		},
	};
}
