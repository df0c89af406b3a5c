/** A random VT-d machine: registers, device tables and page tables that are mostly sound, with bits flipped here and there. */
import { SparseMemory } from "../reference/vectors.ts";
import type { VtdRegisters } from "../reference/vtd.ts";
import { Random } from "./random.ts";

const bit = (on: boolean, at: number) => (on ? 1n << BigInt(at) : 0n);
const ROOT = 0x10000n;
const CONTEXTS = [0x11000n, 0x12000n];
const DIRECTORIES = [0x20000n, 0x24000n];
const PASIDS = [0x30000n, 0x31000n];
/** four pages of second-stage tables of any level, four of first-stage ones */
const SECOND = 0x100000n;
const FIRST = 0x200000n;
/** second-stage tables of levels 5 to 1 that are the identity below 4 GiB */
const IDENTITY = 0x400000n;
const INDEXES = [0, 1, 2, 3, 256, 511];
const RIDS = [0x0008, 0x00f8, 0x0109];

const CAP = (0b1110n << 8n) | (56n << 16n) | (1n << 34n) | (1n << 35n) | (1n << 56n) | (1n << 60n);
const CAP_BITS = [9, 10, 11, 34, 35, 56, 60];
const ECAP_BITS = [2, 6, 7, 25, 26, 29, 30, 31, 34, 40, 43, 45, 46, 47, 48, 52, 53];

export interface VtdMachine {
	memory: SparseMemory;
	registers: Required<Omit<VtdRegisters, "honourRps">>;
	random: Random;
}

export function vtdMachine(seed: number): VtdMachine {
	const random = new Random(seed);
	const one = (of: number) => random.below(of) === 0;
	const odd = (of: number) => (one(of) ? 1n << BigInt(random.below(64)) : 0n);
	const memory = new SparseMemory();
	const scalable = !one(5);
	const page = (base: bigint) => base + (BigInt(random.below(4)) << 12n);
	const ecapOff = !one(3) ? 0n : bit(true, random.pick(ECAP_BITS)) | (one(2) ? bit(true, random.pick(ECAP_BITS)) : 0n);
	const ecap = (ECAP_BITS.reduce((sum, at) => sum | bit(true, at), 0n) & ~bit(one(2), 48)) & ~ecapOff;
	const cap = (one(4) ? CAP & ~(63n << 16n) | (BigInt(random.pick([38, 47, 45])) << 16n) : CAP) & ~(one(8) ? bit(true, random.pick(CAP_BITS)) : 0n);

	for (let n = 0n; n < 4n; n++) {
		for (const i of INDEXES) {
			const slot = (n << 12n) + BigInt(i) * 8n;
			const leaf = one(4);
			const rights = one(20) ? 0n : BigInt(random.pick([7, 7, 7, 7, 3, 1, 2, 5, 6]));
			const flags = (BigInt(random.below(4)) << 8n) | (leaf && one(6) ? 1n << 11n : 0n) | (leaf && one(6) ? 1n << 62n : 0n);
			memory.set(SECOND + slot, (rights | flags | (leaf ? (1n << 7n) | (BigInt(random.below(16)) << 30n) : page(SECOND))) ^ odd(30));
			const large = one(4);
			const bits = bit(!one(24), 0) | bit(!one(8), 1) | bit(!one(8), 2) | bit(one(2), 5) | bit(one(2), 6) | bit(one(8), 8) | bit(one(2), 10) | bit(one(8), 63);
			memory.set(FIRST + slot, (bits | (large ? (1n << 7n) | (BigInt(random.below(8)) << 30n) : page(FIRST))) ^ odd(30));
		}
	}
	const rights = () => (one(30) ? 0n : BigInt(random.pick([7, 7, 7, 7, 7, 7, 7, 7, 3, 5, 6]))) | (BigInt(random.below(4)) << 8n);
	for (let level = 4; level > 0; level--) memory.set(IDENTITY + (BigInt(4 - level) << 12n), rights() | (IDENTITY + (BigInt(5 - level) << 12n)));
	// 1 GiB, 2 MiB and 4 KiB leaves beside the tables
	for (let i = 1n; i < 4n; i++) memory.set(IDENTITY + 0x2000n + i * 8n, rights() | (1n << 7n) | (i << 30n));
	for (let i = 0n; i < 4n; i++) memory.set(IDENTITY + 0x3000n + i * 8n, (rights() | (1n << 7n) | (i << 21n)) ^ odd(40));
	if (one(2)) {
		// the first-stage tables lie behind 4 KiB leaves, in another order
		memory.set(IDENTITY + 0x3008n, rights() | (IDENTITY + 0x4000n));
		for (let i = 0n; i < 4n; i++) memory.set(IDENTITY + 0x4000n + i * 8n, rights() | (FIRST + ((i ^ 1n) << 12n)));
	}
	const identity = (levels: number) => IDENTITY + (BigInt(5 - levels) << 12n);

	for (const [bus, devfns] of [[0n, [0x08n, 0xf8n]], [1n, [0x09n]]] as Array<[bigint, bigint[]]>) {
		const root = () => (CONTEXTS[Number(bus)] | bit(!one(40), 0)) ^ odd(60);
		memory.set(ROOT + bus * 16n, root());
		if (scalable) memory.set(ROOT + bus * 16n + 8n, root());
		for (const devfn of devfns) {
			const width = random.pick([1, 2, 3]);
			if (!scalable) {
				const at = CONTEXTS[Number(bus)] + devfn * 16n;
				memory.set(at, ((one(3) ? identity(width + 2) : page(SECOND)) | bit(!one(30), 0) | bit(one(10), 1) | (BigInt(random.pick([0, 0, 1, 2, 3])) << 2n)) ^ odd(40));
				memory.set(at + 8n, (BigInt(width) | ((5n + devfn + (bus << 7n)) << 8n)) ^ (odd(40) & ~0xffff00n));
				continue;
			}
			const at = CONTEXTS[Number(bus)] + (devfn & 0x7fn) * 32n;
			memory.set(at, (DIRECTORIES[Number(bus)] | bit(!one(30), 0) | bit(one(10), 1) | bit((ecap & 4n) !== 0n && one(2), 2) | bit((ecap >> 40n) % 2n === 1n && !one(16), 3) | (BigInt(random.pick([0, 1, 7, 7, 7, 7])) << 9n)) ^ odd(40));
			memory.set(at + 8n, (BigInt(random.pick([0, 1, 2, 3, 64, 66, 0xfffff])) | bit((ecap >> 53n) % 2n === 1n && one(3), 20)) ^ odd(40));
			if (one(40)) memory.set(at + 16n, 1n);
		}
	}
	for (const directory of DIRECTORIES) {
		for (let i = 0n; i < 2n; i++) memory.set(directory + i * 8n, (PASIDS[Number(i)] | bit(!one(40), 0) | bit(one(12), 1)) ^ odd(60));
		// the last PASID there is
		memory.set(directory + (0xfffffn >> 6n) * 8n, PASIDS[0] | 1n);
	}
	// tables of different content have domains of their own, as caches ask of software
	let domain = 1n;
	for (const table of PASIDS) {
		for (const i of [0n, 1n, 2n, 3n, 63n]) {
			const at = table + i * 64n;
			const type = one(20) ? random.pick([0, 5]) : random.pick([1, 1, 1, 2, 2, 3, 3, 3, 4]);
			const width = random.pick([1, 2, 2, 3, 3]);
			const first = type === 1 || type === 3;
			const has = (capability: number) => (ecap >> BigInt(capability)) % 2n === 1n;
			const root = type === 3 || one(3) ? identity(width + 2) : page(SECOND);
			memory.set(at, (root | bit(!one(30), 0) | bit(one(12), 1) | (BigInt(width) << 2n) | bit(has(30) && one(2), 5) | (BigInt(type) << 6n) | bit(has(45) && one(2), 9)) ^ odd(40));
			memory.set(at + 8n, (domain | bit(has(48) && !one(3), 23) | bit(has(7) && one(2), 24) | bit(has(25) && one(2), 25)) ^ (odd(60) & ~0xffffn));
			domain += 1n;
			if (!first && one(2)) continue;
			const five = one(3) && (cap >> 60n) % 2n === 1n;
			const bits = bit(has(31) && !one(4), 0) | bit(has(30) && !one(4), 1) | bit(five, 2) | bit(one(40), 3) | bit(one(2), 4) | bit(!one(3), 5) | bit(one(3), 6) | bit(has(34) && one(2), 7);
			memory.set(at + 16n, (page(FIRST) | bit(one(20), 44) | bits) ^ odd(40));
			if (one(40)) memory.set(at + 8n * BigInt(3 + random.below(5)), 1n);
		}
	}

	// somewhere that tables are: memory that fails
	const where = () => {
		const base = random.pick(scalable ? [ROOT, ...CONTEXTS, ...DIRECTORIES, ...PASIDS, FIRST, FIRST + 0x1000n, FIRST + 0x2000n, SECOND, SECOND + 0x1000n, SECOND + 0x2000n, IDENTITY, IDENTITY + 0x2000n, IDENTITY + 0x4000n] : [ROOT, ...CONTEXTS, SECOND, SECOND + 0x1000n, SECOND + 0x2000n, IDENTITY + 0x2000n, IDENTITY + 0x3000n]);
		const first = base + BigInt(random.pick([...INDEXES, 32, 33, 16, 240])) * 8n;
		return { first, end: first + 8n };
	};
	if (one(scalable ? 4 : 2)) memory.noAccess = [where()];
	if (one(4)) memory.poison = [where()];
	if (one(6)) memory.noWrite = [where(), one(2) ? { first: page(FIRST), end: FIRST + 0x4000n } : { first: page(IDENTITY), end: IDENTITY + 0x5000n }];
	const mode = one(16) ? BigInt(random.below(4)) : scalable ? 1n : 0n;
	return {
		memory,
		registers: { rtaddr: ROOT | (mode << 10n), cap, ecap, enabled: !one(50), haw: one(4) ? random.pick([39, 36, 46]) : 52 },
		random,
	};
}

export const vtdKinds = ["r", "w", "x"] as const;

/** A request that such a machine's tables are likely to know. */
export function vtdRequest(random: Random, scalable: boolean) {
	const one = (of: number) => random.below(of) === 0;
	const levels = random.pick([3, 4, 4, 5]);
	let address = BigInt(random.below(0x1000));
	for (let level = 0; level < levels; level++) if (!one(3)) address |= BigInt(random.pick(INDEXES)) << BigInt(12 + 9 * level);
	if (levels > 3 && address >> BigInt(11 + 9 * levels) !== 0n && !one(3)) address |= (1n << 64n) - (1n << BigInt(12 + 9 * levels));
	if (one(20)) address = 0xfee0_0000n | BigInt(random.below(1 << 20));
	if (one(20)) address = random.bits64() >> BigInt(random.below(40));
	const pasid = one(3) || (!scalable && !one(10)) ? null : one(20) ? random.below(1 << 20) : random.pick([0, 1, 2, 3, 63, 64, 65, 66, 127, 0xfffff]);
	return { device: random.pick(RIDS), pasid, privileged: one(3), address, length: 1, access: random.pick(vtdKinds) };
}
