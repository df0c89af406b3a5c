/**
 * Caches against a model of what they may still say. Every word of the tables keeps the values that it had; a value may
 * be seen until an invalidation that covers it. An answer must be what a unit without caches makes of some choice among
 * those values, word by word, and of the present ones alone where nothing older may be seen.
 */
import { Engine, type HostMemory, type Invalidation, type Translation, type Unit, type UnitConfig } from "../../ts/engine/index.ts";
import type { Random } from "./random.ts";

export const EVERY = (1n << 64n) - 1n;

/** Where a late request went: invalidations of pages aim there mostly. */
export const aim: { address: bigint | undefined } = { address: undefined };

/** One requester, or one PASID of it. Those of one domain (and space) have the same tables. */
export interface Context {
	rid: number;
	pasid?: number;
	/** tags, as commands name them; RISC-V: null without a second stage */
	domain: number | null;
	space: number;
	first: boolean;
	second: boolean;
}

export type Role = "context" | "pasid" | "first" | "second";

/** A word of a table, and what it may be. */
export interface Word {
	pa: number;
	role: Role;
	/** input addresses that it decides for, of its stage */
	first: bigint;
	last: bigint;
	/** of a subtree that the spaces of a domain share, with global pages */
	shared?: boolean;
	make(): bigint;
}

/** What one invalidation reaches. */
export interface Reach {
	/** answers of a first stage: of a domain (undefined: any, null: without second stage), a space, a range; globals go along or stay */
	firsts?: { domain?: number | null; space?: number; range?: [bigint, bigint]; globals: boolean; leafOnly?: boolean };
	/** second-stage entries */
	seconds?: { domain?: number; range?: [bigint, bigint]; leafOnly?: boolean };
	/** device entries */
	contexts?: (rid: number) => boolean;
	pasids?: (context: Context) => boolean;
}

export interface Operation {
	/** decoded, or raw */
	request?: Invalidation;
	raw?: bigint[];
	reach: Reach;
}

export interface Machine {
	config: UnitConfig;
	contexts: Context[];
	words: Word[];
	/** highest VA bits and pages that requests draw from */
	address(random: Random): bigint;
	operation(random: Random): Operation;
	/** a leaf entry, at any level */
	isLeaf(role: Role, value: bigint): boolean;
	isGlobal(value: bigint): boolean;
	isPresent(role: Role, value: bigint): boolean;
	/** page invalidations of the second stage leave nested answers alone (SMMUv3) */
	nestedApart?: boolean;
	/** an address of the first stage, as tags see it */
	canonical?(address: bigint): bigint;
}

/** Physical memory of `pages` 4 KiB pages, as words, and an allocator of them. */
export class Pages {
	readonly words: BigUint64Array;
	private next = 1;

	constructor(readonly pages: number) {
		this.words = new BigUint64Array(pages * 512);
	}

	take(count = 1, align = 1): number {
		this.next = Math.ceil(this.next / align) * align;
		const page = this.next;
		this.next += count;
		if (this.next > this.pages) throw new Error("more pages");
		return page * 4096;
	}
}

interface Old {
	value: bigint;
	until: number;
}

export interface Counts {
	requests: number;
	faults: number;
	stale: number;
	edits: number;
	invalidations: number;
	/** answers of now */
	fresh: number;
	/** steps that had too many choices to be checked */
	unchecked: number;
}

/** Enumerations of older values that are given up, as too many: the step is no check then. */
const MOST_CHOICES = 400;

export function runCaches(random: Random, memory: Pages, machine: Machine, steps: number, caches: Partial<UnitConfig>, name: string): Counts {
	const byAddress = new Map<number, Word>(machine.words.map((word) => [word.pa, word]));
	const olds = new Map<number, Old[]>();
	let log: Array<{ at: number; reach: Reach }> = [];
	let now = 0;

	const subjectMemory: HostMemory = {
		read: (address, bytes) => {
			const word = memory.words[Number(address >> 3n)];
			return word === undefined ? undefined : bytes === 8 ? word : (word >> ((address & 4n) * 8n)) & 0xffffffffn;
		},
		write: (address, _bytes, value) => {
			memory.words[Number(address >> 3n)] = value;
			return true;
		},
	};
	// choices of the run in hand: which of the values of each read that has several
	let asked: { context: Context; address: bigint } | undefined;
	// words of late requests: what is edited mostly
	const late: number[] = new Array(48);
	let lateAt = 0;
	let choices: number[] = [];
	let widths: number[] = [];
	const oracleMemory: HostMemory = {
		read: (address) => {
			const pa = Number(address);
			const current = memory.words[pa / 8];
			if (asked === undefined) {
				if (byAddress.has(pa)) late[lateAt++ % late.length] = pa;
				return current;
			}
			const legal = legalOlds(pa, asked.context, asked.address);
			if (legal.length === 0) return current;
			const at = widths.length;
			widths.push(legal.length + 1);
			const choice = choices[at] ?? 0;
			choices[at] = choice;
			return choice === 0 ? current : legal[choice - 1];
		},
		write: () => true,
	};
	const size = BigInt(memory.pages) * 4096n;
	const off = { iotlb: false, walkCache: false, contextCache: false, pasidCache: false, secondCache: false } as const;
	const make = (hostMemory: HostMemory, config: Partial<UnitConfig>): Unit =>
		Engine.create({ memory: [{ kind: "host", start: 0n, size, memory: hostMemory }], tables: { frames: 1, base: 1n << 62n, count: 1 }, units: [{ ...machine.config, ...config }] }).units[0];
	const subject = make(subjectMemory, caches);
	const oracle = make(oracleMemory, off);
	const ask = (unit: Unit, { rid, pasid }: Context, address: bigint, access: "read" | "write", privileged: boolean): string => {
		const got: Translation = unit.translate(rid, address, { pasid, access, privileged });
		unit.takeFault();
		return got.status === "fault" ? `fault ${got.fault}` : `${got.status} ${got.pa.toString(16)} ${got.read} ${access === "write" ? got.write : ""}`;
	};

	/** Time of the first of a sequence of invalidations: the last after which each of the others came. */
	function covered(predicates: Array<(reach: Reach) => boolean>): number {
		let left = predicates.length - 1;
		for (let i = log.length - 1; i >= 0; i--) {
			while (left >= 0 && predicates[left](log[i].reach)) {
				if (left === 0) return log[i].at;
				left -= 1;
			}
		}
		return -1;
	}

	function legalOlds(pa: number, context: Context, address: bigint): bigint[] {
		const history = olds.get(pa);
		if (history === undefined) return [];
		const word = byAddress.get(pa) as Word;
		const current = memory.words[pa / 8];
		const legal: bigint[] = [];
		for (const { value, until } of history) {
			// what is not present is never cached
			if (value === current || legal.includes(value) || !machine.isPresent(word.role, value)) continue;
			if (covered(sequence(word, context, address, value)) < until) legal.push(value);
		}
		return legal;
	}

	function sequence(word: Word, context: Context, address: bigint, value: bigint): Array<(reach: Reach) => boolean> {
		const va = machine.canonical ? machine.canonical(address) : address;
		// a pointer above global pages: what one space still reads through it, all may be told
		const everySpace = word.shared === true && !machine.isLeaf("first", value);
		const firsts = (leaf: boolean, global: boolean) => (reach: Reach) => {
			const f = reach.firsts;
			if (f === undefined || (f.domain !== undefined && f.domain !== context.domain)) return false;
			if (f.leafOnly && !leaf) return false;
			if (f.range !== undefined && (va < f.range[0] || va > f.range[1])) return false;
			if ((global || everySpace) && !f.globals) return false;
			if (everySpace) return f.space === undefined;
			return f.space === undefined || f.space === context.space || (global && leaf);
		};
		const seconds = (leaf: boolean, first: bigint, last: bigint) => (reach: Reach) => {
			const s = reach.seconds;
			if (s === undefined || (s.domain !== undefined && s.domain !== context.domain)) return false;
			if (s.leafOnly && !leaf) return false;
			if (s.range === undefined) return true;
			return (s.range[0] <= first && last <= s.range[1]) || (!context.first && s.range[0] <= address && address <= s.range[1]);
		};
		if (word.role === "first") return [firsts(machine.isLeaf("first", value), machine.isLeaf("first", value) && machine.isGlobal(value))];
		if (word.role === "second") {
			const drop = seconds(machine.isLeaf("second", value), word.first, word.last);
			return machine.nestedApart && context.first ? [drop, firsts(false, true)] : [drop];
		}
		const rest: Array<(reach: Reach) => boolean> = [(reach) => reach.pasids?.(context) ?? false];
		if (context.second) rest.push(seconds(false, 0n, EVERY));
		if (context.first) rest.push(firsts(false, true));
		return word.role === "pasid" ? rest : [(reach) => reach.contexts?.(context.rid) ?? false, ...rest];
	}

	const counts: Counts = { requests: 0, faults: 0, stale: 0, edits: 0, invalidations: 0, fresh: 0, unchecked: 0 };
	const apply = (operation: Operation) => {
		if (operation.request !== undefined) subject.invalidate(operation.request);
		else {
			const bytes = new Uint8Array(new BigUint64Array(operation.raw as bigint[]).buffer);
			const answer = subject.command(bytes);
			if (answer.status !== "done") throw new Error(`${name} step ${now}: the command ${(operation.raw as bigint[]).map((word) => word.toString(16))} is illegal: ${answer.error}`);
		}
		log.push({ at: now, reach: operation.reach });
		counts.invalidations += 1;
	};
	const all: Operation = { request: { scope: "global" }, reach: { firsts: { globals: true }, seconds: {}, contexts: () => true, pasids: () => true } };
	let recent: Array<{ context: Context; address: bigint }> = [];
	for (const word of machine.words) memory.words[word.pa / 8] = word.make();

	for (now = 1; now <= steps; now++) {
		const what = random.below(100);
		if (what < 12) {
			const word = random.chance(0.8) ? (byAddress.get(random.pick(late) ?? -1) ?? random.pick(machine.words)) : random.pick(machine.words);
			const before = memory.words[word.pa / 8];
			const after = word.make();
			if (before === after) continue;
			memory.words[word.pa / 8] = after;
			const history = olds.get(word.pa);
			if (history) history.push({ value: before, until: now });
			else olds.set(word.pa, [{ value: before, until: now }]);
			counts.edits += 1;
		} else if (what < 22) {
			if (log.length > 120 || random.chance(0.02)) {
				apply(all);
				log = [];
				olds.clear();
			} else {
				aim.address = recent.length > 0 ? random.pick(recent).address : undefined;
				apply(machine.operation(random));
			}
		} else {
			const again = recent.length > 0 && random.chance(0.6);
			const { context, address } = again ? random.pick(recent) : { context: random.pick(machine.contexts), address: machine.address(random) };
			recent[random.below(12)] = { context, address };
			recent = recent.filter((one) => one !== undefined);
			const access = random.pick(["read", "write"] as const);
			const privileged = random.chance(0.2);
			// the subject's walk may set A and D: the oracle sees the memory before it
			asked = undefined;
			const want = ask(oracle, context, address, access, privileged);
			const got = ask(subject, context, address, access, privileged);
			counts.requests += 1;
			if (got.startsWith("fault")) counts.faults += 1;
			if (got === want) {
				counts.fresh += 1;
				continue;
			}
			asked = { context, address };
			const tried = new Set<string>();
			choices = [];
			let found = false;
			let given = false;
			for (let n = 0; !found; n++) {
				if (n === MOST_CHOICES) {
					given = true;
					break;
				}
				widths = [];
				const answer = ask(oracle, context, address, access, privileged);
				tried.add(answer);
				found = answer === got;
				choices.length = widths.length;
				while (choices.length > 0 && choices[choices.length - 1] + 1 >= widths[choices.length - 1]) choices.pop();
				if (choices.length === 0) break;
				choices[choices.length - 1] += 1;
			}
			if (!found && !given) {
				throw new Error(`${name} step ${now}: rid ${context.rid} pasid ${context.pasid} domain ${context.domain} space ${context.space} address ${address.toString(16)} ${access}: ${got}; now ${want}, may be ${[...tried].join(" | ")}`);
			}
			if (given) counts.unchecked += 1;
			else counts.stale += 1;
		}
	}
	return counts;
}

// ---- tables that all architectures share: three levels of 9 bits, of which a few entries are used

export interface Encoding {
	table(level: number, pa: number): bigint;
	/** rights: 1 read, 2 write */
	leaf(level: number, pa: bigint, rights: number, global: boolean): bigint;
}

const span = (level: number) => 1n << BigInt(12 + 9 * level);

/** Builds trees of words. Tables come in pairs, so that a pointer can move to another one for the same addresses. */
export class TreeBuilder {
	readonly words: Word[] = [];

	constructor(
		readonly random: Random,
		readonly memory: Pages,
	) {}

	/**
	 * Tables below `level`, for addresses from `base`: two of the same place. `seen`: where a stage below shows a page,
	 * or the page itself.
	 */
	pair(role: Role, code: Encoding, level: number, base: bigint, targets: () => bigint, global: boolean, seen: (pa: number) => number): [number, number] {
		const { random } = this;
		const tables: [number, number] = [this.memory.take(2, 2), 0];
		tables[1] = tables[0] + 4096;
		for (const table of tables) {
			for (let index = 0; index < 4; index++) {
				const first = base + span(level) * BigInt(index);
				const last = first + span(level) - 1n;
				const below = level > 0 && index < 3 ? this.pair(role, code, level - 1, first, targets, global, seen) : null;
				this.words.push({
					pa: table + 8 * index,
					role,
					first,
					last,
					shared: global,
					make: () => {
						if (random.chance(0.08)) return 0n;
						if (below !== null && random.chance(0.85)) return code.table(level, seen(random.pick(below)));
						const target = (targets() / span(level)) * span(level);
						return code.leaf(level, target, random.pick([1, 3, 3, 3]), global && random.chance(0.5));
					},
				});
			}
		}
		return tables;
	}

	/** A page whose one entry never changes. */
	fixed(index: number, value: bigint, at = this.memory.take()): number {
		this.memory.words[at / 8 + index] = value;
		return at;
	}
}
