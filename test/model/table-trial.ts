/** Random edits of one page table, held against a plain interval map and against the slow reference. */
import { expect } from "vitest";
import { type Engine, EngineError } from "../../ts/engine/index.ts";
import { type Interval, IntervalMap } from "./interval-map.ts";
import { Random } from "./random.ts";
import { type Edit, type Half, halvesOf, type Kind, nextEdit } from "./table-edits.ts";
import { ask, expressible, type TableCase, type TableMachine, tableMachine } from "./table-machine.ts";

function same(left: unknown, right: unknown, what: string): void {
	if (left !== right) throw new Error(`${what}: ${left}, not ${right}`);
}

/** Take every block of 2^order frames but so many. */
function leave(engine: Engine, order: number, blocks: number): void {
	const taken: bigint[] = [];
	try {
		while (true) taken.push(engine.takeFrames(order));
	} catch (error) {
		if (!(error instanceof EngineError)) throw error;
	}
	for (const block of taken.slice(-blocks)) engine.giveFrames(block, order);
}

export class Trial {
	readonly random: Random;
	readonly machine: TableMachine;
	readonly model = new IntervalMap();
	readonly root: number;
	readonly others: number;
	private readonly page: number;
	private readonly halves: Half[];
	readonly sizes = new Set<number>();
	mapped = 0;
	readonly seen: Record<string, number> = {};

	/** @param spare tables that the pool has room for; edits that want more are refused */
	constructor(
		readonly shape: TableCase,
		seed: number,
		private readonly spare?: number,
	) {
		this.random = new Random(seed);
		this.machine = tableMachine(shape);
		if (spare !== undefined) {
			const frames = shape.family === "papr" ? this.machine.table.frames : shape.family === "smmuv3" ? 2 ** (shape.leaves[0] - 12) : 1;
			leave(this.machine.engine, Math.log2(frames), spare);
		}
		this.page = shape.leaves[0];
		this.root = this.machine.table.frames;
		this.others = this.machine.engine.framesUsed - this.root;
		this.halves = halvesOf(shape);
	}

	private address(page: number): bigint {
		return BigInt(page) << BigInt(this.page);
	}

	private permissions(rights: number) {
		return { read: (rights & 1) !== 0, write: (rights & 2) !== 0, execute: (rights & 4) !== 0 };
	}

	next(): Edit {
		return nextEdit(this.random, this.shape, this.halves);
	}

	/** What the edit must come to: a code of EngineError, or "". */
	private expected({ kind, first, count, rights }: Edit): string {
		if (kind === "misaligned") return "Misaligned";
		if (kind === "beyond") return "OutOfRange";
		if ((kind === "map" || kind === "replace" || kind === "protect") && !expressible(this.shape.config.format, rights)) return "Permission";
		if ((kind === "harvest" || kind === "keep") && !this.shape.tracks) return "Unsupported";
		return kind === "map" && this.model.pages(first, first + count - 1) > 0 ? "Occupied" : "";
	}

	private run(edit: Edit): void {
		const { table } = this.machine;
		const { kind, first, count, output, rights } = edit;
		const [at, size] = [this.address(first), this.address(count)];
		const last = first + count - 1;
		const used = this.model.pages(first, last);
		if (kind === "map" || kind === "replace") {
			table.map(at, this.address(output), size, this.permissions(rights), { replace: kind === "replace" });
			same(table.replaced, used > 0 ? 1 : 0, "replaced");
			this.model.map(first, last, output, rights);
			this.mapped += count - used;
			const best = this.shape.leaves.filter((lg2) => lg2 <= Math.log2(count) + this.page && first % 2 ** (lg2 - this.page) === 0 && output % 2 ** (lg2 - this.page) === 0).at(-1) as number;
			const found = table.lookUp(at, this.permissions(this.executes ? rights : rights & 3));
			same(found?.pageBytes, 2 ** best, "largest leaf that fits");
			this.sizes.add(best);
		} else if (kind === "unmap") {
			same(table.unmap(at, size), this.address(used), "bytes unmapped");
			this.model.unmap(first, last);
			this.mapped -= used;
		} else if (kind === "protect") {
			same(table.protect(at, size, this.permissions(rights)), this.address(used), "bytes protected");
			this.model.change(first, last, { rights });
		} else if (kind === "split") {
			table.split(at, size);
			for (const page of [first, last + 1]) {
				const here = this.model.at(page);
				if (here === null || this.halves.every(([low]) => low === page)) continue;
				const leaf = table.lookUp(this.address(page), this.permissions(this.executes ? here.rights : here.rights & 3));
				same(this.address(page) % BigInt(leaf?.pageBytes ?? 1), 0n, "a leaf begins at the split");
			}
		} else if (kind === "misaligned") {
			table.unmap(at, size - (1n << BigInt(this.page - 1)));
		} else if (kind === "beyond") {
			const [low, high] = this.halves[this.halves.length - 1];
			if (high === 2 ** (64 - this.page) - 1) table.map(this.address(low - 1), 0n, size, this.permissions(3));
			else table.map(this.address(high + 1 - count), 0n, size + this.address(1), this.permissions(3));
		} else this.harvest(first, last, kind === "keep");
	}

	private harvest(first: number, last: number, keep: boolean): void {
		const times = this.random.pick([1, 1, 2, 16]);
		const bits = new Uint8Array(Math.ceil((last + 1 - first) / times / 8));
		const want = new Uint8Array(bits.length);
		let total = 0;
		for (const one of this.model.within(first, last)) {
			if (!one.dirty) continue;
			for (let bit = Math.floor((one.first - first) / times); bit <= Math.floor((one.last - first) / times); bit++) {
				if ((want[bit >> 3] & (1 << (bit & 7))) === 0) total += 1;
				want[bit >> 3] |= 1 << (bit & 7);
			}
		}
		const dirty = this.machine.table.readDirty(this.address(first), this.address(last + 1 - first), bits, { keep, pageBytes: times * 2 ** this.page });
		if (Buffer.compare(bits, want) !== 0) expect(bits, "dirty pages").toEqual(want);
		same(dirty, total, "number of dirty pages");
		this.count("dirty", total);
		if (!keep) this.model.change(first, last, { dirty: false });
	}

	private count(what: string, n = 1): void {
		this.seen[what] = (this.seen[what] ?? 0) + n;
	}

	/** One address: the model, the table's own look-up, a device's access and the reference agree. */
	check(page: number, asking = this.random.chance(0.5)): void {
		const { random, shape, machine } = this;
		if (page < 0 || page >= 2 ** (64 - this.page)) return;
		const address = this.address(page) + BigInt(random.below(4096));
		const here = this.model.at(page);
		const leafBytes = this.look(address, here, page);
		if (!asking) return;
		const access = random.pick(["r", "r", "w", "w", "x"] as const);
		const answer = ask(machine, shape, address, access);
		if (answer === null) return;
		const rights = here?.rights ?? 0;
		// without a right of its own a fetch is a read
		const bit = { r: 1, w: 2, x: this.executes ? 4 : 1 }[access];
		same(answer.got.status, (rights & bit) !== 0 ? "translated" : "fault", `status of ${access} at page ${page}`);
		this.count(answer.got.status);
		if (here === null || answer.got.status !== "translated") return;
		same(answer.got.pa, this.output(here, page, address), `device's output of page ${page}`);
		same(leafBytes, answer.leafBytes, `leaf of page ${page}`);
		if (access !== "w" || !shape.tracks) return;
		// D is the leaf's
		const leaf = leafBytes / 2 ** this.page;
		const start = page - (page % leaf);
		same(this.model.pages(start, start + leaf - 1), leaf, "pages of a leaf");
		this.model.change(start, start + leaf - 1, { dirty: true });
		this.count("written");
	}

	private output(here: Interval, page: number, address: bigint): bigint {
		return this.address(here.output + page - here.first) + (address & (this.address(1) - 1n));
	}

	private get executes(): boolean {
		return !["vtd-second", "amd-v1"].includes(this.shape.config.format) && this.shape.family !== "papr";
	}

	/** Bytes of the leaf; 0: none. */
	private look(address: bigint, here: Interval | null, page: number): number {
		const got = this.machine.table.lookUp(address, here === null || (here.rights & 3) !== 0 ? "any" : { read: false, write: false, execute: true });
		const rights = got === null ? 0 : (got.read ? 1 : 0) + (got.write ? 2 : 0) + (got.execute ? 4 : 0);
		const mask = this.executes ? 7 : 3;
		same(rights & mask, (here?.rights ?? 0) & mask, `rights of page ${page}`);
		if (got !== null && here !== null) {
			same(got.pa, this.output(here, page, address), `output of page ${page}`);
			this.sizes.add(Math.log2(got.pageBytes));
		}
		return got?.pageBytes ?? 0;
	}

	step(edit: Edit): void {
		const { engine, table } = this.machine;
		const before = engine.framesUsed;
		const want = this.expected(edit);
		if (edit.fail !== 0) engine.failAfter(edit.fail);
		let code = "";
		try {
			this.run(edit);
		} catch (error) {
			if (!(error instanceof EngineError)) throw error;
			code = error.code;
		} finally {
			engine.failAfter(0);
		}
		this.count(code === "" ? edit.kind : code);
		if (code === "OutOfFrames" && (edit.fail !== 0 || this.spare !== undefined) && want === "") {
			// nothing has changed
			same(engine.framesUsed, before, "frames after a refusal");
			for (const { first, last } of this.model.list) for (const page of [first, last]) this.look(this.address(page), this.model.at(page), page);
		} else same(code, want, "outcome");
		same(table.mapped, this.address(this.mapped), "bytes mapped");
		same(engine.framesUsed, this.others + table.frames, "frames");
		if (this.mapped === 0) same(table.frames, this.root, "frames of an empty table");
		const last = edit.first + edit.count - 1;
		for (const page of [edit.first - 1, edit.first, last, last + 1]) this.check(page);
		const any = this.model.list.length === 0 ? null : this.random.pick(this.model.list);
		if (any !== null) for (const page of [any.first - 1, any.first, any.last, any.last + 1, any.first + Math.floor((any.last - any.first) * this.random.next() * 2 ** -32)]) this.check(page);
	}

	/** A leaf of every size at the start of every half, then cut in two ways, protected and unmapped in part. */
	everyLeaf(): void {
		const outputs = 2 ** (this.shape.outputBits - this.page);
		for (const [first] of this.halves) {
			for (const lg2 of this.shape.leaves) {
				const count = 2 ** (lg2 - this.page);
				const output = 2 * count <= outputs ? count : 0;
				const edit = (kind: Kind, from: number, pages: number, rights = 3) => {
					const one = { kind, first: first + from, count: pages, output, rights, fail: 0 };
					try {
						this.step(one);
					} catch (error) {
						throw new Error(`${JSON.stringify(one)} of ${this.shape.name}: ${error instanceof Error ? error.message : error}`, { cause: error });
					}
				};
				edit("replace", 0, count);
				edit("map", 0, 1);
				// D of one entry is D of all of a span
				for (let i = 0; i < 4; i++) this.check(first + Math.floor((count * i) / 4), true);
				edit("keep", 0, Math.min(count, 1024));
				if (count > 2) {
					edit("protect", Math.floor(count / 2), 1, 1);
					edit("split", count - 1, 1);
					edit("unmap", 1, 1);
				}
				edit("harvest", 0, Math.min(count, 1024));
				edit("misaligned", 0, 1);
				edit("beyond", 0, 1);
				edit("unmap", 0, count);
			}
		}
	}

	/** Every edge of every interval; then nothing is mapped, and all frames but the root's are back. */
	finish(): void {
		for (const { first, last } of [...this.model.list]) for (const page of [first - 1, first, last, last + 1]) this.check(page);
		const { table, engine } = this.machine;
		table.clear();
		for (const [low, high] of this.halves) this.model.unmap(low, high);
		this.mapped = 0;
		same(this.model.list.length, 0, "intervals");
		same(table.mapped, 0n, "bytes mapped after all");
		same(table.frames, this.root, "frames after all");
		same(engine.framesUsed, this.root + this.others, "frames of the engine after all");
	}
}
