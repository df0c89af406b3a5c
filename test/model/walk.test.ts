/** The engine's walk against the slow reference of test/reference, on random tables with random reserved bits. */
import { describe, expect, it } from "vitest";
import { Engine, type UnitConfig } from "../../ts/engine/index.ts";
import type { Memory, Outcome } from "../reference/contract.ts";
import { translateVtd, walkSecondStage } from "../reference/vtd.ts";
import { Random } from "./random.ts";

const START = 0x40000n;
const PAGES = 24;
const BYTES = PAGES * 4096;
const OUTCOMES: Outcome[] = ["translated", "not-present", "reserved"];

const ACCESS = { r: "read", w: "write", x: "execute" } as const;
const OFF: UnitConfig = { architecture: "vtd", iotlb: false, walkCache: false, contextCache: false, pasidCache: false };

/** A few entries of each table are filled, always the same ones, so that walks get far. */
function indexesOf(random: Random): number[] {
	return [0, 511, random.below(512), random.below(512)];
}

interface Trial {
	words: BigUint64Array;
	indexes: number[][];
	levels: 3 | 4 | 5;
	haw: number;
	cap: bigint;
	ecap: bigint;
	root: bigint;
}

function build(random: Random): Trial {
	const words = new BigUint64Array(BYTES / 8);
	const haw = random.pick([36, 39, 40, 46, 48, 52]);
	const levels = random.pick([3, 4, 5] as const);
	const mgaw = random.pick([39, 48, 57, 57]);
	const cap = 6n | (0b1110n << 8n) | (BigInt(mgaw - 1) << 16n) | (BigInt(random.below(4)) << 34n);
	const ecap = 2n | (random.chance(0.5) ? 4n : 0n) | 64n | (random.chance(0.5) ? 128n : 0n);
	const pageAt = (page: number) => START + BigInt(page) * 4096n;
	const tablePage = () => {
		if (random.chance(0.02)) return (random.bits64() & ((1n << BigInt(haw)) - 1n)) & ~0xfffn;
		return pageAt(2 + random.below(PAGES - 2));
	};
	const indexes = Array.from({ length: 5 }, () => indexesOf(random));
	const odd = () => {
		let value = 0n;
		// ignored bits
		if (random.chance(0.5)) value |= random.bits64() & 0xbff0_0000_0000_077cn;
		// bits that may be reserved
		if (random.chance(0.08)) value |= 1n << 11n;
		if (random.chance(0.08)) value |= 1n << 62n;
		if (random.chance(0.03)) value |= 1n << BigInt(random.below(64));
		if (random.chance(0.02) && haw < 52) value |= 1n << BigInt(haw + random.below(52 - haw));
		return value;
	};
	const rights = () => (random.chance(0.85) ? 3n : BigInt(random.below(4)));
	// a page may serve as a table of any level, so every page gets entries of every kind
	for (let page = 2; page < PAGES; page++) {
		for (const index of indexes.flat()) {
			let entry = rights() | odd();
			if (random.chance(0.25)) {
				const lg2 = random.pick([12, 21, 30]);
				const wild = random.chance(0.05) ? 12 : lg2;
				entry |= (random.bits64() & ((1n << BigInt(haw)) - 1n) & ~((1n << BigInt(wild)) - 1n)) | (lg2 > 12 || random.chance(0.2) ? 0x80n : 0n);
				if (random.chance(0.04)) entry = (entry & 0xfffn & ~0x80n) | 0xfee00000n;
			} else entry |= tablePage();
			words[page * 512 + index] = entry;
		}
	}
	// root table in page 0, context table in page 1
	const root = tablePage();
	for (const bus of [0, 1]) words[2 * bus] = pageAt(1) | 1n;
	if (random.chance(0.05)) words[random.below(2)] |= 1n << BigInt(random.below(64));
	for (let slot = 0; slot < 4; slot++) {
		words[512 + 2 * slot] = root | 1n | (random.chance(0.1) ? BigInt(random.below(4)) << 2n : 0n);
		words[512 + 2 * slot + 1] = BigInt(levels - 2) | (BigInt(random.below(0x10000)) << 8n);
		if (random.chance(0.08)) words[512 + 2 * slot + random.below(2)] ^= 1n << BigInt(random.below(64));
	}
	return { words, indexes, levels, haw, cap, ecap, root };
}

function addressOf(random: Random, trial: Trial): bigint {
	let address = BigInt(random.below(4096));
	for (let level = 0; level < trial.levels; level++) address |= BigInt(random.chance(0.98) ? random.pick(trial.indexes[level]) : random.below(512)) << BigInt(12 + 9 * level);
	if (random.chance(0.02)) address |= 1n << BigInt(random.below(64));
	return address;
}

describe("the walk", () => {
	const tables = process.env.IOASID_NIGHTLY ? 6000 : 600;
	it(`agrees with the reference on ${tables} random tables`, () => {
		const random = new Random(20261101);
		const engine = Engine.create({ memory: [{ kind: "owned", start: START, size: BYTES }], units: [OFF, { architecture: "vtd" }], tables: { frames: 1, base: 1n << 62n } });
		const seen = new Map<string, number>();
		let walks = 0;
		for (let round = 0; round < tables; round++) {
			const trial = build(random);
			const memory: Memory = {
				read: (pa) => (pa >= START && pa + 8n <= START + BigInt(BYTES) ? { value: trial.words[Number(pa - START) / 8] } : { error: "access" }),
				write: () => false,
			};
			engine.memory.writeBytes(START, new Uint8Array(trial.words.buffer));
			for (const unit of engine.units) {
				unit.writeRegister("RTADDR", START);
				unit.writeRegister("CAP", trial.cap);
				unit.writeRegister("ECAP", trial.ecap);
				unit.writeRegister("HAW", BigInt(trial.haw));
				unit.invalidate({ scope: "global" });
			}
			for (let i = 0; i < 40; i++) {
				const address = addressOf(random, trial);
				const rid = random.chance(0.95) ? random.below(4) : random.below(0x300);
				const access = random.pick(["r", "w", "w", "x"] as const);
				const request = { device: rid, pasid: null, privileged: false, address, length: 1, access };
				const want = translateVtd(memory, { rtaddr: START, cap: trial.cap, ecap: trial.ecap, enabled: true, haw: trial.haw }, request);
				const where = `table ${round}, walk ${i}: ${access} 0x${address.toString(16)} of 0x${rid.toString(16)}, ${trial.levels} levels, haw ${trial.haw}`;
				walks += 1;
				const key = `${want.status} ${want.code}`;
				seen.set(key, (seen.get(key) ?? 0) + 1);
				for (const unit of engine.units) {
					const got = unit.translate(rid, address, { access: ACCESS[access] });
					expect(got.status, where).toBe(want.status === "ok" ? "translated" : want.status);
					expect(got.fault, where).toBe(want.code);
					if (want.status !== "ok") continue;
					expect(got.pa, where).toBe(want.pa);
					if (got.hit === "bypass") continue;
					expect(BigInt(got.pageBytes), where).toBe(want.pageBytes);
					expect([got.read, got.write], where).toEqual([want.r, want.w]);
					seen.set(`page ${got.pageBytes}`, (seen.get(`page ${got.pageBytes}`) ?? 0) + 1);
				}
				if (want.status !== "fault" || ![0x4, 0x5, 0x6, 0x7, 0xc].includes(want.code)) continue;
				// the page tables decided: the same level and entry
				const walk = walkSecondStage(
					memory,
					{
						root: trial.words[512 + 2 * (rid & 0xff)] & ~0xfffn,
						levels: (Number(trial.words[512 + 2 * (rid & 0xff) + 1] & 7n) + 2) as 3 | 4 | 5,
						inputBits: Math.min(12 + 9 * (Number(trial.words[512 + 2 * (rid & 0xff) + 1] & 7n) + 2), Number((trial.cap >> 16n) & 63n) + 1),
						haw: trial.haw,
						pages2M: (trial.cap & (1n << 34n)) !== 0n,
						pages1G: (trial.cap & (1n << 35n)) !== 0n,
						snoopControl: (trial.ecap & 128n) !== 0n,
						transientMapping: (trial.ecap & 4n) !== 0n,
						accessedDirty: false,
						executeEnable: false,
						unsnoopedWalk: false,
						zeroLengthRead: false,
					},
					{ ...request, access: access === "x" ? "r" : access },
				);
				if (walk.outcome === "translated") continue; // pass-through beyond its width
				const got = engine.units[0].translate(rid, address, { access: ACCESS[access] });
				if (OUTCOMES.includes(walk.outcome)) expect(OUTCOMES[got.outcome], where).toBe(walk.outcome);
				if (walk.beforeFirstTable) continue;
				expect(got.level, where).toBe(walk.level);
				expect(got.entryAddress, where).toBe(walk.entryAddress);
				if (walk.outcome !== "access-error") expect(got.entry, where).toBe(walk.entry);
			}
		}
		expect(walks).toBeGreaterThanOrEqual(20_000);
		// every outcome was there to be compared
		for (const key of ["ok 0", "page 4096", `page ${2 ** 21}`, `page ${2 ** 30}`, "fault 1", "fault 2", "fault 3", "fault 4", "fault 5", "fault 6", "fault 7", "fault 10", "fault 11", "fault 12", "fault 14"]) {
			expect(seen.get(key) ?? 0, key).toBeGreaterThan(0);
		}
	});
});
