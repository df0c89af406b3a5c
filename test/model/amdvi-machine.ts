/** A random AMD IOMMU and its memory. */
import { type AmdRegisters, CONTROL, EFR, V1, V2 } from "../reference/amdvi.ts";
import { SparseMemory } from "../reference/vectors.ts";

/** Mulberry32 */
function random(seed: number) {
	let state = seed;
	return (below: number) => {
		state = (state + 0x6d2b79f5) | 0;
		let t = Math.imul(state ^ (state >>> 15), 1 | state);
		t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
		return ((t ^ (t >>> 14)) >>> 0) % below;
	};
}

const ALL =
	EFR.PPRSup | EFR.NXSup | EFR.GTSup | EFR.USSup | EFR.GIoSup | EFR.HASup | EFR.HDSup | EFR.GAUpdateDisSup | (2n << 10n) | (1n << 12n) | (2n << 14n) | (19n << 32n);
export const DEVTAB = 0x10000n;

/** A machine of random tables: pages 0x100000.. of host tables, 0x200000.. of guest tables, 0x300000.. of GCR3 tables. */
export function amdMachine(seed: number) {
	const next = random(seed);
	const one = (chance: number) => next(chance) === 0;
	const memory = new SparseMemory();
	const page = (base: bigint) => base + (BigInt(next(4)) << 12n);
	const mode = one(4) ? 0 : 1 + next(6);
	const odd = (chance: number) => (one(chance) ? 1n << BigInt(next(64)) : 0n);
	const indexes = [0, 1, 2, 3, 256, 511];
	for (let n = 0; n < 4; n++) {
		for (const i of indexes) {
			const slot = BigInt(n * 512 + i) * 8n;
			// host: mostly tables of every lower level, or pages that are the identity in size
			const level = next(8);
			const rights = V1.PR | (one(12) ? 0n : V1.IR) | (one(6) ? 0n : V1.IW);
			const to = level === 0 || level === 7 ? (one(3) ? 0n : BigInt(next(1 << 20)) << 12n) : page(0x100000n);
			memory.set(0x100000n + slot, (rights | (BigInt(level) << 9n) | to) ^ odd(12));
			const large = one(4) ? V2.PS : 0n;
			const bits = V2.P | (one(6) ? 0n : V2.RW) | (one(6) ? 0n : V2.US) | (one(8) ? V2.NX : 0n) | (one(2) ? V2.A : 0n) | (one(2) ? V2.D : 0n);
			memory.set(0x200000n + slot, (bits | large | (large ? BigInt(next(4)) << 30n : page(0x200000n))) ^ odd(12));
			memory.set(0x300000n + slot, (1n | (one(2) ? page(0x200000n) : page(0x300000n))) ^ odd(24));
		}
	}
	// nested tables are reachable only where the host table is the identity near zero: an own table of it
	const identity = mode > 0 && one(2);
	if (identity) for (let i = 0; i < 8; i++) memory.set(0x400000n + BigInt(i) * 8n, V1.PR | V1.IR | (one(6) ? 0n : V1.IW) | (BigInt(i) << (12n + 9n * BigInt(Math.min(mode, 5) - 1))));
	const gcr3 = page(0x300000n);
	const bit = (on: boolean, n: bigint) => (on ? 1n << n : 0n);
	const glx = next(one(8) ? 4 : 3);
	const q0 =
		bit(!one(30), 0n) | bit(!one(30), 1n) | (BigInt(next(4)) << 7n) | (BigInt(mode) << 9n) | (identity ? 0x400000n : page(0x100000n)) | bit(one(2), 54n) | bit(!one(4), 55n) |
		(BigInt(glx) << 56n) | (((gcr3 >> 12n) & 7n) << 58n) | bit(!one(10), 61n) | bit(!one(6), 62n);
	const q1 = 0x1234n | (((gcr3 >> 15n) & 0xffffn) << 16n) | ((gcr3 >> 31n) << 43n) | bit(one(10), 39n) | bit(one(10), 34n) | bit(one(20), 35n);
	memory.set(DEVTAB + 32n, q0 ^ odd(40));
	memory.set(DEVTAB + 40n, q1 ^ odd(40));
	memory.set(DEVTAB + 48n, bit(one(3), 54n));
	const registers: AmdRegisters = {
		deviceTable: DEVTAB,
		control: bit(!one(40), 0n) | bit(!one(10), 16n) | (one(4) ? CONTROL.GCR3TRPMode : 0n) | (one(3) ? CONTROL.GAUpdateDis : 0n) | (one(3) ? CONTROL.GDUpdateDis : 0n),
		exclusionBase: one(4) ? BigInt(1 + next(3)) | (BigInt(next(4)) << 12n) : 0n,
		exclusionLimit: BigInt(next(4)) << 12n,
		extendedFeatures: ALL ^ (one(3) ? [EFR.NXSup, EFR.USSup, EFR.HASup, EFR.HDSup, EFR.GIoSup, EFR.GTSup, 1n << 15n, 1n << 11n][next(8)] : 0n),
		addressBits: one(4) ? 46 : 52,
	};
	if (one(10)) memory.noAccess = [{ first: 0x200000n, end: 0x200008n }];
	if (one(10)) memory.poison = [{ first: 0x100000n, end: 0x100008n }];
	if (one(10)) memory.noWrite = [{ first: 0x200000n, end: 0x201000n }];
	return { next, one, memory, registers, indexes };
}
