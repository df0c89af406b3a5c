/**
 * A random RISC-V IOMMU and its memory: directories, contexts, tables of both stages and an MSI table, mostly valid, so
 * that walks get far. Tables of one role have one entry size and byte order, since an A or D update of a table that
 * another walk reads otherwise would change more than A and D.
 */
import type { RiscvRegisters, RiscvRequest } from "../reference/riscv.ts";
import { SparseMemory } from "../reference/vectors.ts";
import { Random } from "./random.ts";

const PAGE = 4096n;
/** pages, all below 2 MiB, which the second stage maps as they are */
const DDT = [0x10n, 0x12n, 0x14n]; // leaf first; the leaf may take two
const PDT = [0x18n, 0x19n, 0x1an];
const S1 = (level: number, which: number) => 0x20n + BigInt(2 * level + which);
const S2_ROOT = [0x40n, 0x44n];
const S2 = (level: number, which: number) => 0x50n + BigInt(2 * level + which);
const MSI = 0x60n;

const DEVICES = [0, 1, 5, 0x3f];
const PROCESSES = [0, 1, 5];

export interface RiscvMachine {
	memory: SparseMemory;
	registers: RiscvRegisters;
	request(): RiscvRequest & { access: "r" | "w" | "x" };
}

/** `tagged`: no page is global and tags are apart, so that answers over warm caches are those over cold ones. `often`: ATS is. */
export function riscvMachine(seed: number, tagged: boolean, often = false): RiscvMachine {
	const random = new Random(seed);
	const one = (chance: number) => random.below(chance) === 0;
	const bit = (on: boolean, position: number) => (on ? 1n << BigInt(position) : 0n);
	const odd = (chance: number) => (one(chance) ? 1n << BigInt(random.below(64)) : 0n);
	const memory = new SparseMemory();

	// ---- registers
	const extended = !one(3);
	const qosid = one(6);
	let capabilities = 0x10n | (0xfn << 8n) | (0xfn << 16n) | (7n << 38n) | (BigInt(random.pick([56, 56, 50, 46, 34, 22])) << 32n);
	for (const [position, chance] of [[14, 2], [15, 2], [23, 2], [24, 6], [25, 3], [26, 2], [27, 2]] as const) capabilities |= bit(!one(chance), position);
	capabilities |= bit(extended, 22) | bit(qosid, 41);
	if (one(6)) capabilities &= ~(1n << BigInt(random.pick([8, 9, 10, 11, 16, 17, 18, 19, 38, 39, 40])));
	const end = (capabilities & (1n << 27n)) !== 0n;
	const gxl = one(5);
	const gxlWritable = one(2);
	const beWritable = end && one(2);
	const be = one(4);
	const sbe = beWritable ? one(3) : be;
	const sxl = gxl || (gxlWritable && one(4));
	const hostLevels = gxl ? 2 : 3 + random.below(3);
	const updates = (capabilities & (1n << 24n)) !== 0n || one(8);
	const hasAts = (capabilities & (1n << 25n)) !== 0n || one(8);
	const ddtMode = one(30) ? random.below(2) : 2 + random.below(3);
	const registers: RiscvRegisters = {
		capabilities,
		fctl: bit(be, 0) | bit(gxl, 2),
		ddtp: BigInt(ddtMode) | (DDT[Math.max(0, ddtMode - 2)] << 10n),
		gxlWritable,
		beWritable,
		rcidBits: 12 - random.below(3),
		mcidBits: 12,
	};

	const put = (address: bigint, value: bigint, bytes: 4 | 8, big: boolean) => {
		let stored = BigInt.asUintN(8 * bytes, value);
		if (big) {
			let swapped = 0n;
			for (let i = 0; i < bytes; i++) swapped = (swapped << 8n) | ((stored >> BigInt(8 * i)) & 0xffn);
			stored = swapped;
		}
		memory.set(address, stored, bytes);
	};

	// contexts that share a tag must agree in what the tag stands for, so tags are left alone where caches are warm
	const gscid = tagged ? 0xffffn << 44n : 0n;
	const pscid = tagged ? 0xfffffn << 12n : 0n;

	// ---- device directory
	const low = extended ? 6 : 7;
	for (const level of [1, 2]) {
		for (const index of [0, 1]) put(DDT[level] * PAGE + BigInt(8 * index), (1n | (DDT[level - 1] << 10n)) ^ odd(40), 8, be);
	}
	const pattern = BigInt(random.pick([0x80, 0x1000, 0x40000]));
	const mask = random.pick([0n, 3n, 0x101n, 7n]);
	DEVICES.forEach((device, number) => {
		const pdtv = one(2);
		const gade = updates && !one(3);
		const sade = updates && !one(3);
		const ats = hasAts && one(4) !== often;
		const secondLevels = one(4) ? 0 : hostLevels;
		const tc =
			bit(!one(40), 0) | bit(ats, 1) | bit(ats && one(3), 2) | bit(ats && secondLevels > 0 && one(4), 3) | bit(one(4), 4) | bit(pdtv, 5) | bit(gade, 7) | bit(sade, 8) |
			bit(pdtv && one(3), 9) | bit(sbe, 10) | bit(sxl, 11) | (BigInt(random.below(256)) << 24n);
		const second = secondLevels === 0 ? 0n : (BigInt(secondLevels === 2 ? 8 : secondLevels + 5) << 60n) | S2_ROOT[random.below(2)];
		const fsc = pdtv ? pdtp() : iosatp();
		const ta = (BigInt(number * 64 + 63) << 12n) | (qosid ? BigInt(random.below(4)) << 49n : 0n);
		const msi = secondLevels > 0 && !one(3) ? (1n << 60n) | MSI : 0n;
		const words = [tc, second | (BigInt(number + 1) << 44n), ta, fsc, msi, mask, pattern, 0n];
		const base = DDT[0] * PAGE + BigInt(device * (extended ? 64 : 32));
		words.slice(0, extended ? 8 : 4).forEach((word, i) => {
			put(base + BigInt(8 * i), word ^ (odd(250) & ~(i === 1 ? gscid : i === 2 ? pscid : 0n)), 8, be);
		});
	});
	function iosatp(): bigint {
		if (one(5)) return 0n;
		const levels = sxl ? 2 : 3 + random.below(3);
		return (BigInt(levels === 2 ? 8 : levels + 5) << 60n) | S1(levels - 1, random.below(2)) | (one(30) ? BigInt(random.below(1 << 20)) << 20n : 0n);
	}
	function pdtp(): bigint {
		const levels = one(6) ? 0 : 1 + random.below(3);
		return (BigInt(levels) << 60n) | (levels === 0 ? 0n : PDT[levels - 1]);
	}

	// ---- process directory
	for (const level of [1, 2]) {
		for (const index of [0, 1]) put(PDT[level] * PAGE + BigInt(8 * index), (1n | (PDT[level - 1] << 10n)) ^ odd(40), 8, sbe);
	}
	PROCESSES.forEach((process, number) => {
		const ta = bit(!one(20), 0) | bit(one(2), 1) | bit(one(2), 2) | (BigInt(number) << 12n);
		put(PDT[0] * PAGE + BigInt(16 * process), ta ^ (odd(60) & ~pscid), 8, sbe);
		put(PDT[0] * PAGE + BigInt(16 * process + 8), iosatp() ^ odd(60), 8, sbe);
	});

	// ---- page tables
	const bytesOf = (small: boolean) => (small ? 4 : 8) as 4 | 8;
	const rights = () => (one(8) ? BigInt(random.below(8)) : random.pick([1n, 3n, 3n, 7n, 7n, 5n, 4n])) << 1n;
	const indexes = sxl ? [0, 1, 2, 1023, 256] : [0, 1, 2, 511, 256];
	const interrupt = () => (pattern & ~mask) | (BigInt(random.below(512)) & mask);
	const strange = (small: boolean) => (small ? odd(40) & 0xffffffffn : odd(40));
	for (let level = 0; level < (sxl ? 2 : 5); level++) {
		const step = BigInt((sxl ? 10 : 9) * level);
		for (let which = 0; which < 2; which++) {
			for (const index of indexes) {
				let entry = bit(!one(30), 0);
				if (level > 0 && !one(4)) entry |= (S1(level - 1, random.below(2)) << 10n) | bit(!tagged && one(10), 5);
				else {
					const target = one(3) ? interrupt() : one(3) ? BigInt(random.below(1 << 22)) : BigInt(random.below(0x200));
					entry |= rights() | bit(!one(4), 4) | bit(!tagged && one(4), 5) | bit(!one(4), 6) | bit(!one(3), 7) | ((level > 0 && !one(10) ? (target >> step) << step : target) << 10n);
					if (!sxl && one(8)) entry |= BigInt(random.below(3)) << 61n;
					if (!sxl && level === 0 && one(5)) entry = (entry & ~(15n << 10n)) | (8n << 10n) | (1n << 63n);
				}
				put(S1(level, which) * PAGE + BigInt(index * bytesOf(sxl)), entry ^ strange(sxl), bytesOf(sxl), sbe);
			}
		}
	}
	const leaf2 = () => bit(!one(60), 0) | (one(5) ? rights() | 2n : 14n) | bit(!one(30), 4) | bit(one(4), 5) | bit(!one(4), 6) | bit(!one(3), 7);
	const upper = gxl ? [0, 1, 4, 1023] : [0, 1, 4, 16, 511];
	for (let level = 0; level < hostLevels; level++) {
		const step = BigInt((gxl ? 10 : 9) * level);
		for (const page of level === hostLevels - 1 ? S2_ROOT : [S2(level, 0), S2(level, 1)]) {
			const all = level === 0 ? Array.from({ length: gxl ? 1024 : 512 }, (_, i) => i) : upper;
			for (const index of all) {
				let entry: bigint;
				if (level > 0 && one(2)) entry = bit(!one(40), 0) | (S2(level - 1, random.below(2)) << 10n);
				else {
					entry = leaf2() | ((BigInt(index) << step) << 10n);
					if (!gxl && one(12)) entry |= BigInt(random.below(3)) << 61n;
					if (!gxl && level === 0 && one(12)) entry = (entry & ~(15n << 10n)) | (8n << 10n) | (1n << 63n);
				}
				if (one(60)) entry ^= strange(gxl);
				put(page * PAGE + BigInt(index * bytesOf(gxl)), entry, bytesOf(gxl), be);
			}
		}
	}

	// ---- MSI table
	for (let i = 0; i < 16; i++) {
		const mode = random.pick([3n, 3n, 3n, 1n, 1n, 0n, 2n]);
		const basic = mode === 3n;
		const entry = bit(!one(20), 0) | (mode << 1n) | (basic ? BigInt(random.below(1 << 30)) << 10n : BigInt(random.below(1 << 30)) << 7n);
		const notice = (BigInt(random.below(1 << 30)) << 10n) | BigInt(random.below(1024)) | bit(one(2), 60);
		put(MSI * PAGE + BigInt(16 * i), entry ^ odd(20), 8, be);
		put(MSI * PAGE + BigInt(16 * i + 8), notice ^ odd(20), 8, be);
	}

	// ---- what fails: one entry or one page of some table
	const somewhere = () => {
		const page = random.pick([...DDT, ...PDT, S1(0, 0), S1(1, 0), S1(sxl ? 1 : 2, 1), ...S2_ROOT, S2(0, 0), S2(1, 0), MSI]);
		const first = page * PAGE + BigInt(8 * random.pick([0, 0, 1, 2, 511]));
		return { first, end: first + (one(3) ? PAGE : 8n) };
	};
	if (one(6)) memory.noAccess = [somewhere()];
	if (one(6)) memory.poison = [somewhere()];
	if (one(6)) memory[random.pick(["noAccess", "poison"] as const)] = [{ first: MSI * PAGE, end: MSI * PAGE + 64n }];
	if (one(6)) memory.noWrite = [somewhere()];

	const request = (): ReturnType<RiscvMachine["request"]> => {
		let device = random.pick(DEVICES);
		if (ddtMode > 2 && one(3)) device |= random.below(2) << (low + (ddtMode > 3 && one(2) ? 9 : 0));
		if (one(40)) device = random.below(1 << 24);
		let pasid: number | null = !one(3) ? null : random.pick(PROCESSES);
		if (pasid !== null && one(10)) pasid |= random.pick([1 << 8, 1 << 17, 1 << 16]);
		let address = BigInt(random.below(4096));
		const levels = sxl ? 2 : 3 + random.below(3);
		for (let level = 0; level < levels; level++) address |= BigInt(random.pick(indexes)) << BigInt(12 + (sxl ? 10 : 9) * level);
		if (!sxl) address = BigInt.asUintN(64, BigInt.asIntN(12 + 9 * levels, address));
		// as a guest address
		if (one(4)) address = (one(2) ? interrupt() << 12n : BigInt(random.below(1 << 21))) | (address & 0xfffn);
		if (one(20)) address ^= 1n << BigInt(random.below(64));
		return { device, pasid, privileged: one(2), address, length: 1, access: random.pick(["r", "w", "x"] as const) };
	};
	return { memory, registers, request };
}
