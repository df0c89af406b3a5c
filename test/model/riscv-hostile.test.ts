/** RISC-V over memory of random bits: directories and tables that point anywhere, themselves included. */
import { expect, test } from "vitest";
import { Engine, type UnitConfig } from "../../ts/engine/index.ts";
import { Random } from "./random.ts";

const PAGES = 64;
const OFF = { iotlb: false, walkCache: false, contextCache: false, pasidCache: false } as const;
/** five first-stage entries, each through five of the second stage, then the second stage and an MSI entry */
const MOST_REFERENCES = 5 * (5 + 1) + 5 + 1;

const rounds = process.env.IOASID_NIGHTLY ? 2500 : 25;

test(`no trap, no hang, no more than ${MOST_REFERENCES} references: ${rounds * 400} requests`, () => {
	const random = new Random(4);
	const seen = new Map<string, number>();
	const config = (caches: object): UnitConfig => ({ architecture: "riscv", registers: { GXL_WRITABLE: 1n, BE_WRITABLE: 1n }, faultRecords: 4, ...caches });
	const engine = Engine.create({ memory: [{ kind: "owned", start: 0n, size: PAGES * 4096 }], units: [config(OFF), config({})], tables: { frames: 1 } });
	const words = new BigUint64Array(PAGES * 512);
	const page = () => BigInt(random.below(PAGES));
	for (let round = 0; round < rounds; round++) {
		// each page is of one kind, as far as chance leaves it so: directory, contexts, process contexts, page table
		const big = random.chance(0.1);
		const small = random.chance(0.3);
		const extended = random.chance(0.5);
		const mode = () => (small ? 8n : random.pick([8n, 9n, 10n])) << 60n;
		const directory = () => (random.chance(0.9) ? page() : random.bits64() & 0xfff_ffff_ffffn);
		for (let i = 0; i < words.length; i++) {
			const kind = (i >> 9) & 7;
			const slot = i % (extended ? 8 : 4);
			let word = 0n;
			if (kind === 0) word = 1n | (directory() << 10n);
			else if (kind === 1) {
				if (slot === 0) word = 1n | (BigInt(random.next()) & 0x1b0n) | (small ? 0x800n : 0n) | (big ? 0x400n : 0n);
				else if (slot === 1) word = random.chance(0.4) ? 0n : mode() | (page() & ~3n);
				else if (slot === 3) word = (random.chance(0.5) ? BigInt(random.below(4)) << 60n : mode()) | directory();
				else if (slot === 4) word = random.chance(0.5) ? 0n : (1n << 60n) | page();
			} else if (kind === 2) word = i & 1 ? mode() | directory() : 1n | (BigInt(random.below(4)) << 1n);
			else word = random.chance(0.5) ? 1n | (directory() << 10n) : BigInt(random.below(256)) | 0x11n | (random.chance(0.5) ? 0n : page() << 10n);
			if (random.chance(0.05)) word ^= 1n << BigInt(random.below(64));
			if (random.chance(0.03)) word = random.bits64();
			if (big) word = new DataView(new BigUint64Array([word]).buffer).getBigUint64(0);
			words[i] = word;
		}
		engine.memory.writeBytes(0n, new Uint8Array(words.buffer));
		const levels = random.below(3);
		// a directory, or contexts at once
		const ddtp = BigInt(2 + levels) | ((BigInt(8 * random.below(8)) + (levels === 0 ? 1n : 0n)) << 10n);
		for (const unit of engine.units) {
			unit.writeRegister("DDTP", ddtp);
			unit.writeRegister("FCTL", (big ? 1n : 0n) | (small ? 4n : 0n));
			unit.writeRegister("CAPABILITIES", 0x10n | (0xfn << 8n) | (3n << 14n) | (0xfn << 16n) | (extended ? 1n << 22n : 0n) | (0x1fn << 23n) | (56n << 32n) | (7n << 38n));
			unit.invalidate({ scope: "global" });
		}
		for (let i = 0; i < 200; i++) {
			const address = random.chance(0.5) ? random.bits64() : BigInt(random.next()) & 0xffff_ffffn;
			const pasid = random.chance(0.6) ? undefined : random.below(random.chance(0.7) ? 256 : 1 << 21);
			const rid = random.below(random.chance(0.7) ? 64 : 1 << 24);
			for (const unit of engine.units) {
				const got = unit.translate(rid, address, { pasid, access: random.pick(["read", "write", "execute"] as const), privileged: random.chance(0.5) });
				expect(got.references).toBeLessThanOrEqual(MOST_REFERENCES);
				const what = got.status === "fault" ? `fault ${got.fault}` : got.status;
				seen.set(what, (seen.get(what) ?? 0) + 1);
				unit.takeFault();
			}
		}
	}
	if (process.env.IOASID_SHOW) console.log(seen);
	for (const what of ["translated", "fault 257", "fault 258", "fault 259", "fault 260", "fault 265", "fault 267", "fault 13", "fault 21", "fault 5"]) expect(seen.get(what) ?? 0, what).toBeGreaterThan(0);
});
