/**
 * Memory of random bits: device tables, page tables and command queues that point anywhere, themselves included, and
 * requests of every type. No trap, no hang, no access outside the memory, and no more references than the architecture's
 * file states (RISC-V's own tables: riscv-hostile.test.ts as well).
 */
import { expect, test } from "vitest";
import { ARCHITECTURES, Engine, type HostMemory, type RequestType, type Unit, type UnitConfig } from "../../ts/engine/index.ts";
import { Random } from "./random.ts";

const PAGES = 32;
const ROUNDS = process.env.IOASID_NIGHTLY ? 2500 : 25;
const REQUESTS = 200;
const OFF = { iotlb: false, walkCache: false, contextCache: false, pasidCache: false, secondCache: false } as const;
/** requests to the IOMMU that one of a type makes at most: a device asks for a translation and uses it, or decodes its entry once more to ask for pages */
const ASKS: Record<RequestType, number> = { untranslated: 1, translation: 1, translated: 1, device: 2 };
const TYPES: RequestType[] = ["untranslated", "untranslated", "untranslated", "translation", "translated", "device"];
const bit = (on: boolean, at: number) => (on ? 1n << BigInt(at) : 0n);

interface Subject {
	config: Partial<UnitConfig>;
	/** MOST_REFERENCES of the architecture's file */
	most: number;
	registers(random: Random): Record<string, bigint>;
	/** word `i` of a page of some kind, of 8 */
	word(random: Random, kind: number, i: number, page: (kind: number) => bigint): bigint;
	/** base, head and tail of the command queue; its entries' words */
	queue(random: Random): Record<string, bigint>;
	command(random: Random): bigint[];
	/** statuses and codes that must come up */
	wants: string[];
}

const SUBJECTS: Record<Exclude<UnitConfig["architecture"], "papr">, Subject> = {
	// pages by kind: 0 root, 1 contexts, 2 PASID directories, 3 PASID tables, 4 and 5 second stage, 6 and 7 first stage
	vtd: {
		config: { registers: { ECAP: ARCHITECTURES.vtd.defaults.ECAP | (1n << 29n) } },
		most: 64,
		registers: (random) => ({ RTADDR: (BigInt(8 * random.below(PAGES / 8)) << 12n) | (random.chance(0.9) ? 1n << 10n : 0n), PRS: 0n }),
		word(random, kind, i, page) {
			if (kind === 0) return (page(1) << 12n) | 1n;
			if (kind === 1) return i % 4 === 0 ? (page(2) << 12n) | 9n | (7n << 9n) | random.pick([0n, 4n, 20n]) : i % 4 === 1 ? BigInt(random.below(64)) : 0n;
			if (kind === 2) return (page(3) << 12n) | 1n;
			if (kind === 3) {
				if (i % 8 === 0) return (page(random.pick([4, 5])) << 12n) | 1n | (BigInt(1 + random.below(3)) << 2n) | (BigInt(random.pick([1, 2, 3, 3, 3, 4])) << 6n) | (BigInt(random.below(2)) << 9n);
				return i % 8 === 1 ? BigInt(random.below(99)) : i % 8 === 2 ? (page(random.pick([6, 7])) << 12n) | BigInt(random.below(2)) | (BigInt(random.below(2)) << 2n) | 2n : 0n;
			}
			const large = random.chance(0.05);
			return ((large ? 0n : page(random.pick(kind < 6 ? [4, 5, 6, 7] : [6, 7]))) << 12n) | BigInt(random.pick([7, 7, 7, 7, 3, 1, 0x67])) | bit(large, 7);
		},
		queue: (random) => {
			const pointer = () => BigInt(random.below(random.chance(0.85) ? 1 << 12 : 1 << 19)) & (random.chance(0.9) ? ~31n : ~0n);
			return { IQA: (BigInt(random.chance(0.2) ? random.next() : random.below(PAGES)) << 12n) | BigInt(random.pick([0, 0, 1, 7])) | bit(random.chance(0.85), 11), IQH: pointer(), IQT: pointer(), FSTS: 0n };
		},
		command: (random) => [(random.chance(0.005) ? 0xfn : random.pick([0x11n, 0x12n, 0x22n, 0x37n, 0x26n, 0x07n])) | (BigInt(random.below(99)) << 16n), 0n, 0n, 0n],
		wants: ["translated", "fault 66", "fault 112", "fault 113", "fault 71", "page-request", "unsupported-request", "completer-abort", "empty", "bound", "error 1", "error 2", "error 3", "error 4", "error 5", "error 6"],
	},
	// 0 device entries, 1 guest CR3, 2 to 5 host tables, 6 and 7 guest tables
	amdvi: {
		config: {},
		most: 93,
		registers: (random) => ({ DEVTAB: BigInt(8 * random.below(PAGES / 8)) << 12n, CONTROL: 1n | (1n << 12n) | (1n << 15n) | (1n << 16n) | bit(random.chance(0.6), 58) }),
		word(random, kind, i, page) {
			if (kind === 0) {
				const q = i % 4;
				const table = page(1);
				if (q === 0) return (page(2) << 12n) | 3n | (BigInt(random.below(4)) << 7n) | (BigInt(random.below(7)) << 9n) | (3n << 54n) | (BigInt(random.below(3)) << 56n) | ((table & 7n) << 58n) | (3n << 61n) | bit(random.chance(0.7), 52);
				return q === 1 ? BigInt(random.below(9)) | (BigInt(random.below(8)) << 16n) | bit(random.chance(0.7), 32) : q === 2 ? BigInt(random.below(2)) << 54n : 0n;
			}
			if (kind === 1) return (page(random.pick([1, 6])) << 12n) | 1n;
			if (kind < 6) return (page(random.pick([2, 3, 4, 5, 1, 6, 7])) << 12n) | 1n | (BigInt(random.pick([0, 0, 1, 1, 2, 3, 4, 5, 7])) << 9n) | (3n << 61n);
			const large = random.chance(0.05);
			return ((large ? 0n : page(random.pick([6, 7]))) << 12n) | BigInt(random.pick([7, 7, 7, 5, 0x67])) | bit(large, 7);
		},
		queue: (random) => ({ CMD_BASE: (BigInt(random.below(PAGES)) << 12n) | (BigInt(random.pick([8, 8, 9, 15])) << 56n), CMD_HEAD: BigInt(random.below(random.chance(0.7) ? 1 << 12 : 1 << 20)), CMD_TAIL: BigInt(random.below(random.chance(0.7) ? 1 << 12 : 1 << 20)), STATUS: 0n }),
		command: (random) => [(BigInt(random.pick([1, 2, 3, 5])) << 60n) | BigInt(random.below(2) * 2), 0n],
		wants: ["translated", "fault 1", "fault 2", "fault 4", "fault 8", "fault 9", "page-request", "unsupported-request", "completer-abort", "empty", "bound", "error 5", "error 6"],
	},
	// 0 STEs, 1 CDs, 2 level 1 of both, 3 and 4 stage 1, 5 to 7 stage 2
	smmuv3: {
		config: { registers: { IDR0: ARCHITECTURES.smmuv3.defaults.IDR0 | (1n << 10n) | (1n << 16n) } },
		most: 74,
		registers: (random) => ({ ...(random.chance(0.5) ? { STRTAB_BASE: 0n, STRTAB_BASE_CFG: 6n } : { STRTAB_BASE: 2n << 12n, STRTAB_BASE_CFG: 12n | (6n << 6n) | (1n << 16n) }), IDR5: 6n | (7n << 4n) | (1n << 7n) | (1n << 10n), CR0: 0xdn | bit(random.chance(0.7), 1) | bit(random.chance(0.5), 4) }),
		word(random, kind, i, page) {
			if (kind === 0) {
				const q = i % 8;
				if (q === 0) return (page(random.pick([1, 2])) << 12n) | 1n | (BigInt(random.pick([4, 5, 6, 7, 7, 7])) << 1n) | (BigInt(random.below(3)) << 4n) | (BigInt(random.below(9)) << 59n);
				if (q === 1) return BigInt(random.below(3)) | (BigInt(random.pick([0, 1, 1, 2])) << 28n);
				if (q === 2) {
					// sizes and levels that go together
					const [size, sl0] = random.pick([[16, 2], [20, 2], [25, 1], [28, 1]]);
					return BigInt(random.below(9)) | (BigInt(size) << 32n) | (BigInt(sl0) << 38n) | (6n << 48n) | (1n << 51n) | (1n << 58n) | (BigInt(random.below(4)) << 55n);
				}
				return q === 3 ? page(random.pick([5, 6, 7])) << 12n : 0n;
			}
			if (kind === 1) {
				const q = i % 8;
				if (q === 0) return BigInt(random.pick([16, 25, 28])) | (BigInt(random.pick([16, 25])) << 16n) | (2n << 22n) | (1n << 31n) | (6n << 32n) | (1n << 41n) | (BigInt(random.below(4)) << 42n) | (3n << 45n) | (BigInt(random.below(9)) << 48n) | bit(random.chance(0.5), 30);
				return q === 1 || q === 2 ? page(random.pick([3, 4])) << 12n : 0n;
			}
			if (kind === 2) return (page(random.pick([0, 1])) << 12n) | (random.chance(0.5) ? 7n : 1n);
			return (page(random.pick(kind < 5 ? [3, 4] : [1, 3, 4, 5, 6, 7])) << 12n) | (random.chance(0.95) ? 3n : 1n) | 0xfcn | (1n << 10n);
		},
		queue: (random) => ({ CMDQ_BASE: (BigInt(random.below(PAGES)) << 12n) | BigInt(random.pick([6, 8, 8, 19, 31])), CMDQ_PROD: BigInt(random.next()), CMDQ_CONS: BigInt(random.next()), GERROR: 0n, GERRORN: 0n }),
		command: (random) => [BigInt(random.pick([1, 2, 3, 4, 5, 6, 0x10, 0x11, 0x12, 0x13, 0x28, 0x2a, 0x30, 0x46])) | (BigInt(random.below(64)) << 32n), (BigInt(random.below(PAGES)) << 12n) | bit(random.chance(0.5), 0)],
		wants: ["translated", "fault 4", "fault 5", "fault 10", "fault 16", "page-request", "unsupported-request", "completer-abort", "empty", "bound", "error 1", "error 2"],
	},
	// 0 directories and contexts, 1 process directories and contexts, 2 to 7 page tables
	riscv: {
		config: { registers: { GXL_WRITABLE: 1n, BE_WRITABLE: 1n, CAPABILITIES: ARCHITECTURES.riscv.defaults.CAPABILITIES | (1n << 25n) } },
		most: 56,
		registers: (random) => ({ DDTP: BigInt(2 + random.below(3)) | (BigInt(8 * random.below(PAGES / 8)) << 10n), CQCSR: 1n }),
		word(random, kind, i, page) {
			if (kind === 0) {
				const slot = i % 8;
				const processes = (i & 8) !== 0;
				if (slot === 0) return random.chance(0.4) ? (page(0) << 10n) | 1n : 1n | (BigInt(random.next()) & 0x190n) | bit(processes, 5) | random.pick([0n, 2n, 6n, 10n]);
				if (slot === 1) return random.chance(0.3) ? 0n : (BigInt(random.pick([8, 9, 10])) << 60n) | (page(4) & ~3n);
				if (slot === 3) return processes ? (BigInt(random.pick([1, 2, 3])) << 60n) | page(1) : (BigInt(random.pick([8, 9, 10])) << 60n) | page(2);
				return slot === 4 && random.chance(0.4) ? (1n << 60n) | page(3) : 0n;
			}
			if (kind === 1) return random.chance(0.3) ? (page(1) << 10n) | 1n : i & 1 ? (BigInt(random.pick([8, 9, 10])) << 60n) | page(2) : 1n | (BigInt(random.below(4)) << 1n);
			return random.chance(0.85) ? (page(random.pick([1, 2, 3, 4, 5])) << 10n) | 1n : (random.chance(0.5) ? 0n : page(2) << 10n) | BigInt(random.below(256)) | 0xd7n;
		},
		queue: (random) => ({ CQB: (BigInt(random.below(PAGES)) << 10n) | BigInt(random.pick([3, 7, 7, 31])), CQH: BigInt(random.below(random.chance(0.8) ? 256 : 1 << 30)), CQT: BigInt(random.below(random.chance(0.8) ? 256 : 1 << 30)), CQCSR: 1n, PQCSR: (1n << 16n) | 1n }),
		command: (random) => [random.pick([1n, 0x81n, 2n, 3n]) | (random.chance(0.5) ? 1n << 33n : 0n), 0n],
		wants: ["translated", "fault 258", "fault 260", "fault 21", "page-request", "unsupported-request", "completer-abort", "empty", "error 8", "error 10"],
	},
};

test.each(Object.keys(SUBJECTS) as Array<keyof typeof SUBJECTS>)(`%s: ${ROUNDS * REQUESTS * 2} requests, and queues of random bits`, (architecture) => {
	const subject = SUBJECTS[architecture];
	const random = new Random(77);
	const seen = new Map<string, number>();
	const count = (what: string) => {
		seen.set(what, (seen.get(what) ?? 0) + 1);
	};
	const words = new BigUint64Array(PAGES * 512);
	const size = BigInt(PAGES * 4096);
	let outside = 0;
	const memory: HostMemory = {
		read: (address, bytes) => {
			if (address < 0n || address + BigInt(bytes) > size) outside += 1;
			const word = words[Number(address >> 3n)];
			return bytes === 8 ? word : (word >> ((address & 7n) * 8n)) & ((1n << BigInt(8 * bytes)) - 1n);
		},
		write: (address, bytes, value) => {
			if (address < 0n || address + BigInt(bytes) > size) outside += 1;
			if (bytes === 8) words[Number(address >> 3n)] = value;
			return true;
		},
	};
	const config = (caches: Partial<UnitConfig>): UnitConfig => ({ architecture, faultRecords: 4, pageRequests: 8, deviceTlb: { sets: 2, ways: 2, devices: 4 }, ...subject.config, ...caches });
	const engine = Engine.create({ memory: [{ kind: "host", start: 0n, size, memory }], units: [config(OFF), config({})], tables: { frames: 1 } });
	const page = (kind: number) => (random.chance(0.95) ? BigInt(8 * random.below(PAGES / 8) + kind) : random.chance(0.7) ? BigInt(random.below(PAGES)) : random.bits64() & 0xf_ffff_ffffn);
	const total = (unit: Unit) => {
		const { first, second, tables } = unit.counters().references;
		return [...first, ...second, ...tables].reduce((sum, n) => sum + n, 0);
	};
	let most = 0;
	const began = Date.now();
	for (let round = 0; round < ROUNDS; round++) {
		const odd = random.pick([0, 0.002, 0.03]);
		for (let i = 0; i < words.length; i++) {
			let word = subject.word(random, (i >> 9) & 7, i % 512, page);
			if (random.chance(odd)) word ^= 1n << BigInt(random.below(64));
			if (random.chance(odd / 2)) word = random.bits64();
			words[i] = word & ((1n << 64n) - 1n);
		}
		const registers = subject.registers(random);
		for (const unit of engine.units) {
			for (const [name, value] of Object.entries(registers)) unit.writeRegister(name, value);
			unit.invalidate({ scope: "global" });
		}
		for (let i = 0; i < REQUESTS; i++) {
			const address = random.chance(0.4) ? random.bits64() : random.chance(0.5) ? BigInt(random.next()) : random.bits64() & 0x7f_ffff_ffffn;
			const pasid = random.chance(0.5) ? undefined : random.below(random.chance(0.8) ? 64 : 1 << 20);
			const rid = random.below(random.chance(0.8) ? 64 : 1 << 16);
			const access = random.pick(["read", "write", "execute"] as const);
			const type = random.pick(TYPES);
			const pages = type === "device" ? random.pick([1, 1, 1, 3, 64]) : 1;
			for (const unit of engine.units) {
				const before = total(unit);
				const got = unit.translate(rid, address, { pasid, access, type, pages, privileged: random.chance(0.3), noWrite: random.chance(0.3) });
				// each page of the span is asked for once more
				most = Math.max(most, (total(unit) - before) / (ASKS[type] + pages - 1));
				count(got.status === "fault" ? `fault ${got.fault}` : got.status);
				if (got.completion !== undefined) count(got.completion.status);
				unit.takeFault();
				if (got.status === "page-request" && got.group !== null && random.chance(0.7)) unit.respond(rid, got.group, random.pick(["success", "invalid", "failure"] as const));
				if (random.chance(0.1)) while (unit.takePageRequest() !== null);
			}
		}
		// the queue's pages: commands that are mostly legal
		const noise = random.chance(0.2);
		for (let i = 0; i < words.length; ) {
			const command = noise ? [random.bits64(), random.bits64()] : subject.command(random);
			if (!noise && random.chance(odd)) command[0] = random.bits64();
			words.set(command, i);
			i += command.length;
		}
		for (const unit of [...engine.units, ...engine.units, ...engine.units]) {
			for (const [name, value] of Object.entries(subject.queue(random))) unit.writeRegister(name, value);
			const bound = random.pick([0, 1, 5, 300, 10_000]);
			const { status, commands, error } = unit.processQueue(bound);
			expect(commands).toBeLessThanOrEqual(bound);
			count(status === "error" ? `error ${error}` : status);
			// an error holds the queue
			if (status === "error") expect(unit.processQueue()).toMatchObject({ status: "off", commands: 0 });
			for (let i = 0; i < 20; i++) {
				const bytes = new BigUint64Array(random.chance(0.5) ? [random.bits64(), random.bits64()] : subject.command(random));
				count(unit.command(new Uint8Array(bytes.buffer)).status);
			}
		}
	}
	if (process.env.IOASID_SHOW) console.log(architecture, `${Date.now() - began} ms`, most, seen);
	expect(outside).toBe(0);
	expect(most).toBeLessThanOrEqual(subject.most);
	expect(most).toBeGreaterThan(subject.most / 6);
	for (const what of [...subject.wants, "illegal", "done"]) expect(seen.get(what) ?? 0, what).toBeGreaterThan(0);
});
