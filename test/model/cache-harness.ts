/**
 * Caches against a model of what they may still say. Every word of the tables keeps the values that it had; a value may
 * be seen until an invalidation that covers it. An answer must be what a unit without caches makes of some choice among
 * those values, word by word, and of the present ones alone where nothing older may be seen.
 */
import { Engine, type HostMemory, type Invalidation, type Translation, type Unit, type UnitConfig } from "../../ts/engine/index.ts";
import type { Random } from "./random.ts";

const EVERY = (1n << 64n) - 1n;

/** What invalidations aim at mostly: a late request, or the word that was edited. */
export const aim: { address: bigint | undefined; context: Context | undefined } = { address: undefined, context: undefined };

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
	/** answers of a first stage: of a domain (undefined: any but `but`, null: without second stage), a space, a range; globals go along or stay */
	firsts?: { domain?: number | null; but?: number; space?: number; range?: [bigint, bigint]; globals: boolean; leafOnly?: boolean };
	/** second-stage entries; `pasid`: only what that PASID was told of a second stage alone */
	seconds?: { domain?: number; pasid?: number; range?: [bigint, bigint]; leafOnly?: boolean };
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
	/** pages that requests draw from */
	address(random: Random, context: Context): bigint;
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
	const pasids = machine.words.some(({ role }) => role === "pasid");
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
	// words that the last request read
	let path: Word[] = [];
	let choices: number[] = [];
	let widths: number[] = [];
	const oracleMemory: HostMemory = {
		read: (address) => {
			const pa = Number(address);
			const current = memory.words[pa / 8];
			if (asked === undefined) {
				const word = byAddress.get(pa);
				if (word !== undefined) path.push(word);
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
			if (f === undefined || (f.domain !== undefined && f.domain !== context.domain) || (f.but !== undefined && f.but === context.domain)) return false;
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
			if (s.pasid !== undefined && (context.first || s.pasid !== (context.pasid ?? 0))) return false;
			if (s.range === undefined) return true;
			return (s.range[0] <= first && last <= s.range[1]) || (!context.first && s.range[0] <= address && address <= s.range[1]);
		};
		if (word.role === "first") return [firsts(machine.isLeaf("first", value), machine.isLeaf("first", value) && machine.isGlobal(value))];
		if (word.role === "second") {
			const drop = seconds(machine.isLeaf("second", value), word.first, word.last);
			return machine.nestedApart && context.first ? [drop, firsts(false, true)] : [drop];
		}
		const rest: Array<(reach: Reach) => boolean> = pasids ? [(reach) => reach.pasids?.(context) ?? false] : [];
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
	for (const word of machine.words) memory.words[word.pa / 8] = word.make();

	const edit = (word: Word) => {
		const before = memory.words[word.pa / 8];
		let after = before;
		for (let tries = 0; after === before && tries < 30; tries++) after = word.make();
		if (before === after) return;
		memory.words[word.pa / 8] = after;
		const history = olds.get(word.pa);
		if (history) history.push({ value: before, until: now });
		else olds.set(word.pa, [{ value: before, until: now }]);
		counts.edits += 1;
	};

	interface Asked {
		context: Context;
		address: bigint;
		access: "read" | "write";
		privileged: boolean;
	}
	const recent: Asked[] = [];
	const request = ({ context, address, access, privileged }: Asked) => {
		recent[random.below(12)] = { context, address, access, privileged };
		// the subject's walk may set A and D: the oracle sees the memory before it
		asked = undefined;
		path = [];
		const want = ask(oracle, context, address, access, privileged);
		const got = ask(subject, context, address, access, privileged);
		counts.requests += 1;
		if (got.startsWith("fault")) counts.faults += 1;
		if (got === want) {
			counts.fresh += 1;
			return;
		}
		asked = { context, address };
		const tried = new Set<string>();
		choices = [];
		for (let n = 0; ; n++) {
			if (n === MOST_CHOICES) {
				counts.unchecked += 1;
				return;
			}
			widths = [];
			const answer = ask(oracle, context, address, access, privileged);
			tried.add(answer);
			if (answer === got) break;
			choices.length = widths.length;
			while (choices.length > 0 && choices[choices.length - 1] + 1 >= widths[choices.length - 1]) choices.pop();
			if (choices.length === 0) {
				throw new Error(`${name} step ${now}: rid ${context.rid} pasid ${context.pasid} domain ${context.domain} space ${context.space} address ${address.toString(16)} ${access}: ${got}; now ${want}, may be ${[...tried].join(" | ")}`);
			}
			choices[choices.length - 1] += 1;
		}
		counts.stale += 1;
	};

	const any = (): Asked => {
		const late = recent.filter((one) => one !== undefined);
		if (late.length > 0 && random.chance(0.6)) return random.pick(late);
		const context = random.pick(machine.contexts);
		return { context, address: machine.address(random, context), access: random.pick(["read", "write"] as const), privileged: random.chance(0.2) };
	};
	/** some operation, mostly at a place, that `wanted` accepts */
	const draw = (at: { context: Context; address: bigint } | undefined, wanted: (operation: Operation) => boolean): Operation | undefined => {
		aim.address = at?.address;
		aim.context = at?.context;
		for (let tries = 0; tries < 60; tries++) {
			const operation = machine.operation(random);
			if (wanted(operation)) return operation;
		}
		return undefined;
	};

	// steps to come: a request, an edit of what it read, the invalidations that the edit wants, the request again
	const plan: Array<() => void> = [];
	const pursue = () => {
		const one = any();
		plan.push(() => {
			if (path.length === 0) return;
			const role = random.pick(path).role;
			const word = random.pick(path.filter((each) => each.role === role));
			const old = memory.words[word.pa / 8];
			edit(word);
			if (random.chance(0.5)) plan.push(() => request(one));
			const at = { context: one.context, address: word.role === "second" && one.context.first ? word.first : one.address };
			for (const covers of sequence(word, one.context, one.address, old)) {
				const operation = draw(at, ({ reach }) => covers(reach));
				if (operation !== undefined) plan.push(() => apply(operation));
			}
			// whoever shares the domain may have been answered from the same entries
			const other = random.pick(machine.contexts.filter(({ domain }) => domain === one.context.domain));
			if (random.chance(0.3)) plan.push(() => request({ ...one, context: other }));
			plan.push(() => request(one));
		});
		request(one);
	};

	for (now = 1; now <= steps; now++) {
		const planned = plan.shift();
		const what = random.below(100);
		if (planned !== undefined) planned();
		else if (what < 40) pursue();
		else if (what < 50) edit(random.chance(0.8) && path.length > 0 ? random.pick(path) : random.pick(machine.words));
		else if (what < 60) {
			if (log.length > 120 || random.chance(0.02)) {
				apply(all);
				log = [];
				olds.clear();
			} else apply(draw(random.pick(recent), () => true) as Operation);
		} else request(any());
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
