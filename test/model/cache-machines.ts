/** The four architectures for the cache model: their words, and what each of their commands reaches. */
import type { Context, Encoding, Machine, Operation, Pages, Reach, Word } from "./cache-harness.ts";
import { aim, TreeBuilder } from "./cache-harness.ts";
import { ARCHITECTURES } from "../../ts/engine/index.ts";
import type { Random } from "./random.ts";

const GIB = 1n << 30n;
const wide = (n: number) => BigInt(n);
const bit = (on: boolean, at: number) => (on ? 1n << BigInt(at) : 0n);
/** a page of what requests ask for: below the second GiB */
const pageOf = (random: Random) => (BigInt(random.below(2)) << 30n) | (BigInt(random.below(4)) << 21n) | (BigInt(random.below(4)) << 12n);
const anyPage = (random: Random) => () => BigInt(random.below(1 << 22)) << 12n;
/** 4 KiB << mask bytes around an address: mask, first, last */
function range(random: Random): { mask: number; address: bigint; range: [bigint, bigint] } {
	const mask = random.pick([0, 0, 0, 1, 2, 9, 10, 18]);
	const bytes = 4096n << BigInt(mask);
	const address = (aim.address !== undefined && random.chance(0.6) ? aim.address & ((1n << 56n) - 1n) : pageOf(random)) & ~(bytes - 1n);
	return { mask, address, range: [address, address + bytes - 1n] };
}
/** PCIe and AMD: ones from bit 12 up for the size */
const sized = (address: bigint, mask: number) => (mask === 0 ? address : address | (((1n << BigInt(mask - 1)) - 1n) << 12n));

/** Trees of one architecture. */
class Shape {
	readonly builder: TreeBuilder;

	constructor(
		readonly random: Random,
		readonly memory: Pages,
		readonly firstCode: Encoding,
		readonly secondCode: Encoding,
		/** levels of a first stage above the three that are used */
		readonly above: number,
	) {
		this.builder = new TreeBuilder(random, memory);
	}

	word(pa: number, role: Word["role"], make: () => bigint): void {
		this.builder.words.push({ pa, role, first: 0n, last: (1n << 64n) - 1n, make });
	}

	/** Shared subtree of the second GiB of a domain, in which pages may be global. */
	shared(targets: () => bigint): number {
		return this.builder.pair("first", this.firstCode, 1, GIB, targets, true, (pa) => pa)[0];
	}

	/** Root of a first stage. `second`: it lies behind a second stage that shows tables at 2 GiB as well. */
	first(shared: number, second: Second | null): number {
		const { random, builder, firstCode, memory } = this;
		const targets = second === null ? anyPage(random) : () => pageOf(random);
		const seen = (pa: number) => (second !== null && random.chance(0.5) ? second.alias(pa) : pa);
		const own = builder.pair("first", firstCode, 1, 0n, targets, false, seen);
		let root = memory.take();
		builder.words.push({ pa: root, role: "first", first: 0n, last: GIB - 1n, make: () => (random.chance(0.05) ? 0n : firstCode.table(2, seen(random.pick(own)))) });
		builder.fixed(1, firstCode.table(2, shared), root);
		for (let level = 3; level < 3 + this.above; level++) root = builder.fixed(0, firstCode.table(level, root));
		return root;
	}

	second(pages = 1): Second {
		return new Second(this, pages);
	}
}

/** A second stage: the first GiB is as it is, the next is edited, the third shows first-stage tables or their twins. */
class Second {
	readonly root: number;
	private readonly aliases = new Map<number, number>();

	constructor(
		private readonly shape: Shape,
		pages: number,
	) {
		const { builder, memory, secondCode: code, random } = shape;
		this.root = memory.take(pages, pages);
		builder.fixed(0, code.leaf(2, 0n, 3, false), this.root);
		const edited = builder.pair("second", code, 1, GIB, anyPage(random), false, (pa) => pa);
		builder.words.push({ pa: this.root + 8, role: "second", first: GIB, last: 2n * GIB - 1n, make: () => (random.chance(0.05) ? 0n : code.table(2, random.pick(edited))) });
		const middle = builder.fixed(0, 0n);
		builder.fixed(2, code.table(2, middle), this.root);
		for (let i = 0; i * 512 < memory.pages; i++) {
			const leafs = memory.take();
			builder.fixed(i, code.table(1, leafs), middle);
			this.aliases.set(i, leafs);
		}
	}

	/** Guest address of a table at 2 GiB; its entry may show the other table of the pair. */
	alias(pa: number): number {
		const { builder, secondCode: code, random } = this.shape;
		const page = pa / 4096;
		const at = (this.aliases.get(Math.floor(page / 512)) as number) + 8 * (page % 512);
		if (!this.made.has(at)) {
			this.made.add(at);
			const first = 2n * GIB + wide(pa);
			const make = () => (random.chance(0.03) ? 0n : code.leaf(0, wide(random.chance(0.7) ? pa : pa ^ 4096), random.chance(0.9) ? 3 : 1, false));
			builder.words.push({ pa: at, role: "second", first, last: first + 4095n, make });
			this.shape.memory.words[at / 8] = code.leaf(0, wide(pa), 3, false);
		}
		return 2 * 2 ** 30 + pa;
	}

	private readonly made = new Set<number>();
}

/** Build every alias that a pointer may name before the run: words must not appear in the middle of it. */
function settle(shape: Shape): Word[] {
	for (let n = 0; n < 60; n++) for (const word of [...shape.builder.words]) word.make();
	return shape.builder.words;
}

const pick = (random: Random, list: Array<() => Operation>) => random.pick(list)();
/** whom an operation names: mostly the requester that it aims at */
const named = (random: Random, contexts: Context[]) => (aim.context !== undefined && random.chance(0.6) ? aim.context : random.pick(contexts));

// ---- VT-d, scalable mode

export function vtd(random: Random, memory: Pages): Machine {
	const rights = (n: number) => BigInt(n);
	const ad = () => (random.chance(0.8) ? 0x60n : 0n);
	const shape = new Shape(
		random,
		memory,
		// G (bit 8) is kept by PASID as all else: what a PASID names goes whatever it says
		{ table: (_, pa) => wide(pa) | 7n | ad(), leaf: (level, pa, n, global) => pa | 5n | bit((n & 2) !== 0, 1) | ad() | bit(level > 0, 7) | bit(global, 8) },
		{ table: (_, pa) => wide(pa) | 3n, leaf: (level, pa, n) => pa | rights(n) | bit(level > 0, 7) },
		1,
	);
	const root = memory.take();
	const contextTable = memory.take();
	memory.words[root / 8] = wide(contextTable) | 1n;
	const contexts: Context[] = [];
	const plain = shape.second();
	const below = shape.second();
	const sharedPlain = shape.shared(anyPage(random));
	const sharedNested = shape.shared(() => pageOf(random));
	for (const [n, rid] of [9, 22].entries()) {
		const directory = memory.take();
		const table = memory.take();
		memory.words[directory / 8] = wide(table) | 1n;
		shape.word(contextTable + rid * 32, "context", () => wide(directory) | 8n | bit(!random.chance(0.05), 0));
		const entry = (pasid: number, domain: number, type: number, second: Second | null, firsts: number[]) => {
			const at = table + pasid * 64;
			memory.words[at / 8 + 1] = wide(domain);
			shape.word(at, "pasid", () => (wide(type) << 6n) | (1n << 2n) | wide(second?.root ?? 0) | bit(!random.chance(0.05), 0));
			if (firsts.length > 0) shape.word(at + 16, "pasid", () => wide(random.pick(firsts)) | 1n);
			contexts.push({ rid, ...(pasid === 0 ? {} : { pasid }), domain, space: type === 2 ? 0 : pasid, first: type !== 2, second: type !== 1 });
		};
		entry(0, 1, 2, plain, []);
		entry(5, 1, 2, plain, []);
		entry(1 + n, 2, 1, null, [shape.first(sharedPlain, null), shape.first(sharedPlain, null)]);
		entry(2 - n, 3, 3, below, [shape.first(sharedNested, below), shape.first(sharedNested, below)]);
	}
	const operation = (): Operation => {
		const { rid, pasid = 0, domain } = named(random, contexts);
		const did = wide(domain as number) << 16n;
		const space = wide(pasid) << 32n;
		const r = range(random);
		const leafOnly = random.chance(0.3);
		const raw = random.chance(0.6);
		const address = r.address | wide(r.mask) | bit(leafOnly, 6);
		const pad = random.chance(0.5) ? [] : [0n, 0n];
		const make = (request: Operation["request"], words: bigint[], reach: Reach): Operation => (raw || request === undefined ? { raw: [...words, ...pad], reach } : { request, reach });
		const d = domain as number;
		return pick(random, [
			() => make({ scope: "global", caches: ["context", "pasid"] }, [0x11n, 0n], { contexts: () => true, pasids: () => true }),
			// context entries have no domain
			() => make(undefined, [0x21n | did, 0n], { contexts: () => true, pasids: () => true }),
			() => deviceContexts(random, rid, raw, pad),
			() => make({ scope: "global", caches: ["pasid"] }, [0x37n, 0n], { pasids: () => true }),
			() => make({ scope: "domain", domain: d, caches: ["pasid"] }, [0x07n | did, 0n], { pasids: (one) => one.domain === domain }),
			() => make({ scope: "pasid", domain: d, pasid, caches: ["pasid"] }, [0x17n | did | space, 0n], { pasids: (one) => one.domain === domain && (one.pasid ?? 0) === pasid }),
			() => make({ scope: "global", caches: ["iotlb"] }, [0x12n, 0n], { firsts: { globals: true }, seconds: {} }),
			() => make({ scope: "domain", domain: d, caches: ["iotlb"] }, [0x22n | did, 0n], { firsts: { domain, globals: true }, seconds: { domain: d } }),
			() => make({ scope: "page", domain: d, address: r.address, mask: r.mask, leafOnly }, [0x32n | did, address], { firsts: { domain, globals: true }, seconds: { domain: d, range: r.range, leafOnly } }),
			() => make({ scope: "pasid", domain: d, pasid, caches: ["iotlb"] }, [0x26n | did | space, 0n], { firsts: { domain, space: pasid, globals: false }, seconds: { domain: d, pasid, leafOnly: true } }),
			() => make({ scope: "page", domain: d, pasid, address: r.address, mask: r.mask, leafOnly }, [0x36n | did | space, address], { firsts: { domain, space: pasid, range: r.range, globals: true, leafOnly } }),
			() => make({ scope: "page", domain: d, pasid, address: r.address, mask: r.mask, leafOnly }, [0x36n | did | space, address], { firsts: { domain, space: pasid, range: r.range, globals: true, leafOnly } }),
		]);
	};
	return {
		config: { architecture: "vtd", registers: { RTADDR: wide(root) | (1n << 10n) } },
		contexts,
		words: settle(shape),
		address: pageOf,
		operation,
		isLeaf: (role, value) => leafOfX86(role, value),
		isGlobal: () => false,
		isPresent: (role, value) => (role === "second" ? (value & 3n) !== 0n : (value & 1n) !== 0n || role === "pasid"),
	};
}

/** Context-cache invalidation of functions: FM leaves out function bit 2, 2:1 or 2:0. */
function deviceContexts(random: Random, rid: number, raw: boolean, pad: bigint[]): Operation {
	const fm = random.below(4);
	const left = [0, 4, 6, 7][fm];
	if (!raw) return { request: { scope: "device", rid }, reach: { contexts: (one) => one === rid, pasids: (one) => one.rid === rid } };
	const reached = (one: number) => ((one ^ rid) & ~left) === 0;
	return { raw: [0x31n | (wide(rid ^ (random.below(8) & left)) << 32n) | (wide(fm) << 48n), 0n, ...pad], reach: { contexts: reached, pasids: (one) => reached(one.rid) } };
}

/** VT-d in legacy mode: domains are those of context entries. */
function vtdLegacy(random: Random, memory: Pages): Machine {
	const shape = new Shape(random, memory, { table: () => 0n, leaf: () => 0n }, { table: (_, pa) => wide(pa) | 3n, leaf: (level, pa, n) => pa | BigInt(n) | bit(level > 0, 7) }, 0);
	const root = memory.take();
	const table = memory.take();
	memory.words[root / 8] = wide(table) | 1n;
	const contexts: Context[] = [];
	const seconds = [shape.second(), shape.second()];
	for (const [rid, domain] of [[8, 1], [11, 1], [21, 2]] as const) {
		const at = table + rid * 16;
		shape.word(at, "context", () => bit(!random.chance(0.05), 0) | wide(seconds[domain - 1].root));
		memory.words[at / 8 + 1] = (wide(domain) << 8n) | 1n;
		contexts.push({ rid, domain, space: 0, first: false, second: true });
	}
	const operation = (): Operation => {
		const { rid, domain } = named(random, contexts);
		const d = domain as number;
		const did = wide(d) << 16n;
		const r = range(random);
		const leafOnly = random.chance(0.3);
		const raw = random.chance(0.6);
		const make = (request: Operation["request"], words: bigint[], reach: Reach): Operation => (raw ? { raw: words, reach } : { request, reach });
		const ofDomain = (one: number) => contexts.some((context) => context.rid === one && context.domain === domain);
		return pick(random, [
			() => make({ scope: "global", caches: ["context"] }, [0x11n, 0n], { contexts: () => true }),
			() => make({ scope: "domain", domain: d, caches: ["context"] }, [0x21n | did, 0n], { contexts: ofDomain }),
			() => deviceContexts(random, rid, raw, []),
			() => make({ scope: "global", caches: ["iotlb"] }, [0x12n, 0n], { seconds: {} }),
			() => make({ scope: "domain", domain: d, caches: ["iotlb"] }, [0x22n | did, 0n], { seconds: { domain: d } }),
			() => make({ scope: "page", domain: d, address: r.address, mask: r.mask, leafOnly }, [0x32n | did, r.address | wide(r.mask) | bit(leafOnly, 6)], { seconds: { domain: d, range: r.range, leafOnly } }),
		]);
	};
	return {
		config: { architecture: "vtd", registers: { RTADDR: wide(root) } },
		contexts,
		words: settle(shape),
		address: pageOf,
		operation,
		isLeaf: leafOfX86,
		isGlobal: () => false,
		isPresent: (role, value) => (role === "second" ? (value & 3n) !== 0n : (value & 1n) !== 0n),
	};
}

/** Level 0 entries have no page-size bit: of tables and pages alike, the kinds of the levels tell. */
function leafOfX86(_role: Word["role"], value: bigint): boolean {
	// targets of pages lie beyond the tables, or carry the bit
	return (value & 0x80n) !== 0n || (value & 0xf_ffff_f000n) >= TABLE_LIMIT;
}
/** tables of these machines lie below, or at 2 GiB as guests see them: entries below count as tables, which covers less */
const TABLE_LIMIT = 1n << 32n;

// ---- AMD-Vi

export function amdvi(random: Random, memory: Pages): Machine {
	const ad = () => (random.chance(0.7) ? 0x60n : 0n);
	const shape = new Shape(
		random,
		memory,
		// G (bit 8) as for VT-d
		{ table: (_, pa) => wide(pa) | 7n | ad(), leaf: (level, pa, n, global) => pa | 5n | bit((n & 2) !== 0, 1) | ad() | bit(level > 0, 7) | bit(global, 8) },
		{ table: (level, pa) => wide(pa) | 1n | (3n << 61n) | (wide(level) << 9n) | ad(), leaf: (_, pa, n) => pa | 1n | (wide(n) << 61n) | ad() },
		1,
	);
	const devices = memory.take();
	const contexts: Context[] = [];
	const plain = shape.second();
	const below = shape.second();
	const sharedPlain = shape.shared(anyPage(random));
	const sharedNested = shape.shared(() => pageOf(random));
	const rightsOf = () => (random.chance(0.8) ? 3n : random.chance(0.5) ? 1n : 2n) << 61n;
	const had = () => random.pick([0n, 0n, 1n, 3n]) << 7n;
	const device = (rid: number, domain: number, mode: number, host: number, gcr3: number | null) => {
		const at = devices + rid * 32;
		const table = wide(gcr3 ?? 0);
		memory.words[at / 8 + 1] = wide(domain) | (((table >> 15n) & 0xffffn) << 16n);
		const guest = gcr3 === null ? 0n : (1n << 55n) | (((table >> 12n) & 7n) << 58n);
		shape.word(at, "context", () => 3n | (wide(mode) << 9n) | wide(host) | guest | had() | rightsOf());
	};
	const gcr3 = (shared: number, second: Second | null, pasids: number[]) => {
		const at = memory.take();
		for (const pasid of pasids) {
			const roots = [shape.first(shared, second), shape.first(shared, second)];
			shape.word(at + 8 * pasid, "pasid", () => wide(random.pick(roots)) | bit(!random.chance(0.05), 0));
		}
		return at;
	};
	device(1, 1, 3, plain.root, null);
	device(2, 1, 3, plain.root, null);
	const nested = gcr3(sharedNested, below, [1, 2]);
	device(3, 2, 3, below.root, nested);
	device(4, 2, 3, below.root, nested);
	device(5, 3, 0, 0, gcr3(sharedPlain, null, [1, 2]));
	for (const rid of [1, 2]) contexts.push({ rid, domain: 1, space: 0, first: false, second: true });
	for (const rid of [3, 4]) {
		for (const pasid of [1, 2]) contexts.push({ rid, pasid, domain: 2, space: pasid, first: true, second: true });
		contexts.push({ rid, domain: 2, space: 0, first: false, second: true });
	}
	for (const pasid of [1, 2]) contexts.push({ rid: 5, pasid, domain: 3, space: pasid, first: true, second: false });
	const operation = (): Operation => {
		const { rid, domain, space: pasid } = named(random, contexts);
		const d = domain as number;
		const r = range(random);
		const leafOnly = random.chance(0.3);
		const raw = random.chance(0.6);
		const make = (request: Operation["request"], words: bigint[], reach: Reach): Operation => (raw || request === undefined ? { raw: words, reach } : { request, reach });
		const pages = (low: bigint, guest: boolean, all: boolean) => [(3n << 60n) | low, (all ? 0x7fff_ffff_ffff_f001n : sized(r.address, r.mask) | bit(r.mask > 0, 0)) | bit(!leafOnly || all, 1) | bit(guest, 2)];
		const did = wide(d) << 32n;
		return pick(random, [
			() => make({ scope: "device", rid }, [(2n << 60n) | wide(rid), 0n], { contexts: (one) => one === rid, pasids: (one) => one.rid === rid }),
			() => make({ scope: "page", domain: d, address: r.address, mask: r.mask, leafOnly }, pages(did, false, false), { seconds: { domain: d, range: r.range, leafOnly } }),
			() => make({ scope: "domain", domain: d, stage: "second", caches: ["iotlb"] }, pages(did, false, true), { seconds: raw || d === 1 ? { domain: d } : undefined }),
			() => make({ scope: "page", domain: d, pasid, address: r.address, mask: r.mask, leafOnly, stage: "first" }, pages(did | wide(pasid), true, false), { firsts: { domain, space: pasid, range: r.range, globals: true, leafOnly } }),
			() => make({ scope: "pasid", domain: d, pasid, stage: "first", caches: ["iotlb"] }, pages(did | wide(pasid), true, true), { firsts: { domain, space: pasid, globals: false } }),
			() => make({ scope: "global" }, [8n << 60n, 0n], { firsts: { globals: true }, seconds: {}, contexts: () => true, pasids: () => true }),
			() => make(undefined, [(5n << 60n) | wide(rid), 0n], {}),
		]);
	};
	return {
		config: { architecture: "amdvi", registers: { DEVTAB: wide(devices) } },
		contexts,
		words: settle(shape),
		address: pageOf,
		operation,
		isLeaf: (role, value) => (role === "second" ? ((value >> 9n) & 7n) === 0n : leafOfX86(role, value)),
		isGlobal: () => false,
		isPresent: (_, value) => (value & 1n) !== 0n,
	};
}

// ---- SMMUv3

/** ASID whose addresses have a top byte that does not count */
const TOP_IGNORED = 3;
/** what stands for the VMID of EL2's streams: no command names it */
const HYPERVISOR = 1000;

export function smmuv3(random: Random, memory: Pages): Machine {
	const af = () => bit(random.chance(0.9), 10);
	const shape = new Shape(
		random,
		memory,
		{ table: (_, pa) => wide(pa) | 3n, leaf: (level, pa, n, global) => pa | 1n | bit(level === 0, 1) | af() | 0x40n | bit((n & 2) === 0, 7) | bit(!global, 11) | (3n << 8n) },
		{ table: (_, pa) => wide(pa) | 3n, leaf: (level, pa, n) => pa | 1n | bit(level === 0, 1) | (1n << 10n) | (wide(n) << 6n) | (15n << 2n) | (3n << 8n) },
		0,
	);
	const streams = memory.take();
	const contexts: Context[] = [];
	const plain = shape.second();
	const below = shape.second();
	// streams of EL2: with E2H they have ASIDs
	const e2h = random.chance(0.5);
	const stream = (rid: number, vmid: number, config: number, second: Second | null, asids: number[], targets: () => bigint, hyp = false) => {
		const at = streams + rid * 64;
		let cds = 0;
		if (asids.length > 0) {
			cds = memory.take();
			const shared = shape.shared(targets);
			asids.forEach((asid, ssid) => {
				const cd = cds + 64 * ssid;
				const roots = [shape.first(shared, second), shape.first(shared, second)];
				// T0SZ 25, EPD1, V, IPS 48 bits, TBI0 of some, AA64, R, A, ASID
				const tbi = bit(asid === TOP_IGNORED, 38);
				shape.word(cd, "pasid", () => tbi | 25n | (1n << 30n) | bit(!random.chance(0.05), 31) | (5n << 32n) | (1n << 41n) | (3n << 45n) | (wide(asid) << 48n) | (random.chance(0.5) ? 1n << 43n : 0n));
				shape.word(cd + 8, "pasid", () => wide(random.pick(roots)));
				contexts.push({ rid, ...(ssid === 0 ? {} : { pasid: ssid }), domain: vmid, space: hyp && !e2h ? 0 : asid, first: true, second: second !== null });
			});
		} else contexts.push({ rid, domain: vmid, space: 0, first: false, second: true });
		shape.word(at, "context", () => bit(!random.chance(0.05), 0) | (wide(config) << 1n) | wide(cds) | (asids.length > 0 ? 2n << 59n : 0n));
		// S1DSS 2, STRW
		memory.words[at / 8 + 1] = 2n | (hyp ? 2n << 30n : 0n);
		// S2T0SZ 25, S2SL0 1, S2TG 4K, S2PS 48 bits, S2AA64, S2R
		memory.words[at / 8 + 2] = wide(vmid) | (25n << 32n) | (1n << 38n) | (5n << 48n) | (1n << 51n) | (1n << 58n);
		memory.words[at / 8 + 3] = wide(second?.root ?? 0);
	};
	stream(1, 5, 5, null, [1, 2, 3], anyPage(random));
	stream(2, 6, 7, below, [1, 2], () => pageOf(random));
	stream(3, 7, 6, plain, [], anyPage(random));
	stream(4, 7, 6, plain, [], anyPage(random));
	// without ASIDs one table is all that EL2 has
	stream(5, HYPERVISOR, 5, null, e2h ? [1, 2] : [1], anyPage(random), true);
	const operation = (): Operation => {
		const { rid, domain, space, pasid = 0 } = named(random, contexts);
		const d = domain as number;
		const r = range(random);
		const leafOnly = random.chance(0.3);
		const raw = random.chance(0.7);
		const hyp = domain === HYPERVISOR;
		const make = (request: Operation["request"], words: bigint[], reach: Reach): Operation => (raw || request === undefined ? { raw: words, reach } : { request, reach });
		const sid = wide(rid) << 32n;
		const tags = ((hyp ? 0n : wide(d)) << 32n) | (wide(space) << 48n);
		// by range fields: (NUM + 1) << SCALE granules of 4K
		const scale = r.mask > 0 && random.chance(0.5) ? r.mask : 0;
		const granules = r.mask - scale > 4 ? 32 : 2 ** (r.mask - scale);
		const covered: [bigint, bigint] = [r.address, r.address + (BigInt(granules) << BigInt(12 + scale)) - 1n];
		const spread = (wide(granules - 1) << 12n) | (wide(scale) << 20n);
		const paged = (op: bigint, address = r.address): bigint[] => [op | tags | (r.mask > 0 ? spread : 0n), address | bit(leafOnly, 0) | (r.mask > 0 ? 1n << 10n : 0n)];
		const topped = !hyp && space === TOP_IGNORED ? r.address | (wide(random.below(256)) << 56n) : r.address;
		const within = raw ? covered : r.range;
		const every = { contexts: () => true, pasids: () => true };
		// EL2's, by raw commands alone
		const hypervisors: Array<() => Operation> = [
			() => make(undefined, [0x20n, 0n], { firsts: { domain, globals: true } }),
			() => make(undefined, paged(0x22n), { firsts: { domain, space, range: covered, globals: true, leafOnly } }),
		];
		if (e2h) {
			hypervisors.push(() => make(undefined, [0x21n | tags, 0n], { firsts: { domain, space, globals: false } }));
			hypervisors.push(() => make(undefined, paged(0x23n), { firsts: { domain, range: covered, globals: true, leafOnly } }));
		}
		const guests: Array<() => Operation> = [
			() => make({ scope: "domain", domain: d, stage: "first", caches: ["iotlb"] }, [0x10n | tags, 0n], { firsts: { domain, globals: true } }),
			() => make({ scope: "pasid", domain: d, pasid: space, caches: ["iotlb"], stage: "first" }, [0x11n | tags, 0n], { firsts: { domain, space, globals: false } }),
			() => make({ scope: "page", domain: d, pasid: space, address: r.address, mask: r.mask, leafOnly, stage: "first" }, paged(0x12n, topped), { firsts: { domain, space, range: within, globals: true, leafOnly } }),
			() => make({ scope: "page", domain: d, pasid: "any", address: r.address, mask: r.mask, leafOnly, stage: "first" }, paged(0x13n), { firsts: { domain, range: within, globals: true, leafOnly } }),
			() => make({ scope: "domain", domain: d, caches: ["iotlb"] }, [0x28n | tags, 0n], { firsts: { domain, globals: true }, seconds: { domain: d } }),
			() => make({ scope: "page", domain: d, address: r.address, mask: r.mask, leafOnly }, paged(0x2an), { seconds: { domain: d, range: within, leafOnly } }),
		];
		return pick(random, [
			...(hyp ? hypervisors : guests),
			() => make({ scope: "device", rid }, [0x03n | sid, bit(random.chance(0.5), 0)], { contexts: (one) => one === rid, pasids: (one) => one.rid === rid }),
			() => make({ scope: "devices", rid: rid & ~1, last: rid | 1 }, [0x04n | sid, 0n], { contexts: (one) => one >> 1 === rid >> 1, pasids: (one) => one.rid >> 1 === rid >> 1 }),
			() => make(undefined, [0x04n, 31n], every),
			() => make(pasid === 0 ? undefined : { scope: "process", rid, pasid }, [0x05n | sid | (1n << 11n) | (wide(pasid) << 12n), 1n], { pasids: (one) => one.rid === rid && (one.pasid ?? 0) === pasid }),
			() => make(undefined, [0x06n | sid, 0n], { pasids: (one) => one.rid === rid }),
			() => make({ scope: "global", caches: ["iotlb"] }, [0x30n, 0n], { firsts: { globals: true, ...(raw ? { but: HYPERVISOR } : {}) }, seconds: {} }),
		]);
	};
	return {
		config: {
			architecture: "smmuv3",
			// as the default, with RIL
			registers: { STRTAB_BASE: wide(streams), STRTAB_BASE_CFG: 4n, IDR0: ARCHITECTURES.smmuv3.defaults.IDR0 | (1n << 9n), IDR3: (1n << 2n) | (1n << 4n) | (1n << 8n) | (1n << 10n), CR2: bit(e2h, 0) },
		},
		contexts,
		words: settle(shape),
		address: (_, { domain, space }) => pageOf(random) | (domain !== HYPERVISOR && space === TOP_IGNORED && random.chance(0.5) ? wide(random.below(256)) << 56n : 0n),
		canonical: (address) => address & ((1n << 56n) - 1n),
		operation,
		isLeaf: (_, value) => (value & 3n) === 1n || ((value & 2n) !== 0n && (value & 0x300n) !== 0n),
		isGlobal: (value) => (value & 0x800n) === 0n,
		isPresent: (role, value) => role === "context" || role === "pasid" || (value & 1n) !== 0n,
		nestedApart: true,
	};
}

// ---- RISC-V

export function riscv(random: Random, memory: Pages): Machine {
	const ad = () => (random.chance(0.8) ? 0xc0n : 0n);
	const shape = new Shape(
		random,
		memory,
		{ table: (_, pa) => (wide(pa) >> 2n) | 1n, leaf: (_, pa, n, global) => (pa >> 2n) | 3n | bit((n & 2) !== 0, 2) | 16n | bit(global, 5) | ad() },
		{ table: (_, pa) => (wide(pa) >> 2n) | 1n, leaf: (_, pa, n) => (pa >> 2n) | 3n | bit((n & 2) !== 0, 2) | 16n | ad() },
		0,
	);
	// 64 bytes each
	const directory = memory.take();
	const contexts: Context[] = [];
	const plain = shape.second(4);
	const below = shape.second(4);
	const zero = shape.second(4);
	const msi = memory.take();
	memory.words[msi / 8] = 7n | (0x12345n << 10n);
	const SV39 = 8n << 60n;
	const device = (rid: number, gscid: number | null, second: Second | null, pdt: number | null, msiOn: boolean) => {
		const at = directory + rid * 64;
		// PDTV, EN; SADE and GADE differ from device to device
		const modes = bit(random.chance(0.5), 7) | bit(random.chance(0.5), 8) | bit(pdt !== null, 5);
		shape.word(at, "context", () => modes | bit(!random.chance(0.05), 0));
		memory.words[at / 8 + 1] = second === null ? 0n : SV39 | (wide(gscid as number) << 44n) | (wide(second.root) >> 12n);
		memory.words[at / 8 + 3] = pdt === null ? 0n : (1n << 60n) | (wide(pdt) >> 12n);
		memory.words[at / 8 + 4] = msiOn ? (1n << 60n) | (wide(msi) >> 12n) : 0n;
		memory.words[at / 8 + 6] = (1n << 18n) | 2n;
	};
	const processes = (shared: number, second: Second | null, pscids: number[]) => {
		const at = memory.take();
		pscids.forEach((pscid, n) => {
			const roots = [shape.first(shared, second), shape.first(shared, second)];
			const pc = at + 16 * (n + 1);
			shape.word(pc, "pasid", () => bit(!random.chance(0.05), 0) | 6n | (wide(pscid) << 12n));
			shape.word(pc + 8, "pasid", () => SV39 | (wide(random.pick(roots)) >> 12n));
		});
		return at;
	};
	const sharedNested = shape.shared(() => pageOf(random));
	const sharedPlain = shape.shared(anyPage(random));
	const sharedZero = shape.shared(() => pageOf(random));
	device(1, 1, plain, null, true);
	device(2, 1, plain, null, false);
	const nested = processes(sharedNested, below, [11, 12]);
	device(3, 2, below, nested, false);
	device(4, 2, below, nested, true);
	device(5, null, null, processes(sharedPlain, null, [11, 12]), false);
	device(6, 0, zero, processes(sharedZero, zero, [11, 12]), false);
	for (const rid of [1, 2]) contexts.push({ rid, domain: 1, space: 0, first: false, second: true });
	for (const [rid, domain] of [[3, 2], [4, 2], [5, null], [6, 0]] as const) {
		for (const pasid of [1, 2]) contexts.push({ rid, pasid, domain, space: 10 + pasid, first: true, second: domain !== null });
	}
	const operation = (): Operation => {
		const { rid, domain, space, pasid } = named(random, contexts);
		const r = range(random);
		const leafOnly = random.chance(0.5);
		const raw = random.chance(0.7);
		const make = (request: Operation["request"], words: bigint[], reach: Reach): Operation => (raw || request === undefined ? { raw: words, reach } : { request, reach });
		const guest = domain === null ? 0n : (1n << 33n) | (wide(domain) << 44n);
		const pscid = (1n << 32n) | (wide(space) << 12n);
		const at = [(1n << 10n) | bit(!leafOnly, 34), (sized(r.address, r.mask) >> 12n << 10n) | bit(r.mask > 0, 9)];
		const ranged = { range: r.range, leafOnly };
		const page = { address: r.address, mask: r.mask, leafOnly };
		const vma = (request: Operation["request"], spaced: boolean, addressed: boolean) =>
			make(request, [1n | guest | (spaced ? pscid : 0n) | (addressed ? at[0] : 0n), addressed ? at[1] : 0n], {
				firsts: { domain, ...(spaced ? { space } : {}), globals: !spaced, ...(addressed ? ranged : {}) },
			});
		const list: Array<() => Operation> = [
			() => make({ scope: "device", rid }, [3n | (1n << 33n) | (wide(rid) << 40n), 0n], { contexts: (one) => one === rid, pasids: (one) => one.rid === rid }),
			() => make({ scope: "global", caches: ["context", "pasid"] }, [3n, 0n], { contexts: () => true, pasids: () => true }),
			() => vma(domain === null ? { scope: "host" } : { scope: "domain", domain, stage: "first", caches: ["iotlb"] }, false, false),
			() => vma(domain === null ? { scope: "host", pasid: space } : { scope: "pasid", domain, pasid: space, stage: "first", caches: ["iotlb"] }, true, false),
			() => vma(domain === null ? { scope: "host", ...page } : { scope: "page", domain, pasid: "any", stage: "first", ...page }, false, true),
			() => vma(undefined, true, true),
			() => make(undefined, [1n | 0x80n, 0n], { seconds: {} }),
			() => make({ scope: "global", caches: ["iotlb"] }, [2n, 0n], raw ? {} : { firsts: { globals: true }, seconds: {} }),
		];
		if (pasid !== undefined) list.push(() => make({ scope: "process", rid, pasid }, [3n | 0x80n | (1n << 33n) | (wide(rid) << 40n) | (wide(pasid) << 12n), 0n], { pasids: (one) => one.rid === rid && one.pasid === pasid }));
		if (domain !== null) {
			list.push(() => make({ scope: "domain", domain, caches: ["iotlb"] }, [1n | 0x80n | guest, 0n], { seconds: { domain } }));
			list.push(() => make({ scope: "page", domain, ...page }, [1n | 0x80n | guest | at[0], at[1]], { seconds: { domain, ...ranged } }));
		}
		return pick(random, list);
	};
	return {
		config: {
			architecture: "riscv",
			// as the default, with NL and S
			registers: { DDTP: 2n | ((wide(directory) >> 12n) << 10n), CAPABILITIES: 0x10n | (0xfn << 8n) | (3n << 14n) | (0xfn << 16n) | (7n << 22n) | (1n << 27n) | (56n << 32n) | (7n << 38n) | (3n << 42n) },
		},
		contexts,
		words: settle(shape),
		address: pageOf,
		operation,
		isLeaf: (_, value) => (value & 0xen) !== 0n,
		isGlobal: (value) => (value & 0x20n) !== 0n,
		isPresent: (role, value) => role === "pasid" || (value & 1n) !== 0n,
	};
}

/** The machines by name; a name begins with its architecture. */
export const CACHE_MACHINES: Record<string, (random: Random, memory: Pages) => Machine> = { vtd, "vtd legacy": vtdLegacy, amdvi, smmuv3, riscv };
