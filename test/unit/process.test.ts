/** Memory of processes: what each sees, which frame is behind it, and that nothing is left. */
import { beforeEach, describe, expect, it } from "vitest";
import { CoreError, type CoreReason, type Extent, FramePool, type MemoryObject, Process } from "../../ts/core/index.ts";
import { Engine } from "../../ts/engine/index.ts";
import { Random } from "../model/random.ts";

const RAM = { start: 0x1_0000_0000n, size: 0x100_0000n };
const AT = 0x1000_0000n;
const P = 0x1000n;
const GIB = 1n << 30n;

let frames: FramePool;
let engine: Engine;
let main: Process;

function world(pages = 4096) {
	engine = Engine.create({ memory: [{ kind: "sparse", ...RAM }], sparsePages: pages, units: [], tables: { frames: 1 } });
	frames = new FramePool(RAM.start, RAM.start + RAM.size - 1n, (address, size) => {
		for (let at = address; at < address + size; at += P) engine.memory.writeBytes(at, new Uint8Array(Number(P)));
	});
	main = new Process("main", engine.memory, frames);
}
beforeEach(() => world());

function refuses(reason: CoreReason, act: () => unknown): void {
	let seen: unknown;
	try {
		act();
	} catch (error) {
		seen = error;
	}
	expect(seen).toBeInstanceOf(CoreError);
	expect((seen as CoreError).reason).toBe(reason);
}
interface Pin {
	frame: bigint;
	release(): void;
}
/** One page, pinned until its release. */
function pinPage(of: Process | MemoryObject, address: bigint, { write = false } = {}): Pin {
	let extents: Extent[] | null = of.pin(address & ~(P - 1n), P, write);
	return {
		frame: extents[0].address,
		release() {
			if (extents !== null) of.unpin(extents);
			extents = null;
		},
	};
}
const byte = (process: Process, address: bigint) => process.read(address, 1)[0];
const put = (process: Process, address: bigint, ...values: number[]) => process.write(address, Uint8Array.from(values));

describe("mappings", () => {
	it("read as zeros and take a frame for a page at its first write, however large", () => {
		main.map(AT, 64n * GIB);
		expect([...main.read(AT + 63n * GIB, 3)]).toEqual([0, 0, 0]);
		expect(frames.used).toBe(0);
		put(main, AT + 64n * GIB - 1n, 7);
		put(main, AT + P - 1n, 1, 2);
		expect(frames.used).toBe(3);
		expect([...main.read(AT + P - 1n, 2)]).toEqual([1, 2]);
		main.unmap(AT, 64n * GIB);
		expect(frames.used).toBe(0);
	});

	it("are pinned as one run when nothing was there, in no time", () => {
		frames = new FramePool(0n, 1n << 40n);
		const large = new Process("large", engine.memory, frames);
		large.map(64n * GIB, 64n * GIB);
		const start = performance.now();
		const extents = large.pin(64n * GIB, 64n * GIB, true);
		expect(performance.now() - start).toBeLessThan(50);
		expect(extents).toEqual([{ address: expect.any(BigInt), size: 64n * GIB }]);
		expect(extents[0].address % GIB).toBe(0n);
		large.unpin(extents);
		large.exit();
		expect(frames.used).toBe(0);
	});

	it("are taken away in part, and frames used again are zero", () => {
		main.map(AT, 4n * P);
		for (let i = 0n; i < 4n; i++) put(main, AT + i * P, 9);
		main.unmap(AT + P, 2n * P);
		refuses("MemoryFault", () => main.read(AT + P, 1));
		refuses("MemoryFault", () => main.read(AT + P - 1n, 2));
		refuses("NotFound", () => main.unmap(AT + P, 2n * P));
		expect([byte(main, AT), byte(main, AT + 3n * P), frames.used]).toEqual([9, 9, 2]);
		main.map(AT + P, P);
		expect(main.frameOf(AT + P)).toBeGreaterThan(0n);
		expect(byte(main, AT + P)).toBe(0);
	});

	it("refuse what is no page, taken or too far", () => {
		main.map(AT, P);
		refuses("Misaligned", () => main.map(AT + 1n, P));
		refuses("Misaligned", () => main.map(AT + P, 0n));
		refuses("Misaligned", () => main.map(null, P, { offset: 1n }));
		refuses("Occupied", () => main.map(AT - P, 2n * P));
		refuses("Overflow", () => main.map((1n << 64n) - P, 2n * P));
		refuses("NoSpace", () => main.map(null, 1n << 47n));
		expect(main.map((1n << 64n) - P, P)).toBe((1n << 64n) - P);
		refuses("MemoryFault", () => main.read((1n << 64n) - 1n, 2));
	});

	it("find room of their own, and replace when asked", () => {
		const first = main.map(null, 2n * P);
		const second = main.map(null, P);
		expect(second).toBe(first + 2n * P);
		main.unmap(first, P);
		expect(main.map(null, 2n * P)).toBe(second + P);
		expect(main.map(null, P)).toBe(first);
		put(main, second, 5);
		main.map(second, P, { replace: true });
		expect(byte(main, second)).toBe(0);
		expect(frames.used).toBe(0);
	});

	it("are protected page by page", () => {
		main.map(AT, 3n * P);
		put(main, AT + P, 4);
		main.protect(AT + P, P, { read: true, write: false });
		refuses("MemoryFault", () => put(main, AT + P, 5));
		refuses("Denied", () => pinPage(main, AT + P, { write: true }));
		pinPage(main, AT + P).release();
		put(main, AT + 2n * P, 6);
		main.protect(AT, 3n * P, { read: false, write: false });
		refuses("MemoryFault", () => main.read(AT, 1));
		main.protect(AT, 3n * P, { read: true, write: true });
		expect([byte(main, AT + P), byte(main, AT + 2n * P)]).toEqual([4, 6]);
		refuses("NotFound", () => main.protect(AT, 4n * P, { read: true, write: true }));
	});

	it("write up to the first byte that they cannot", () => {
		main.map(AT, P);
		refuses("MemoryFault", () => main.write(AT + P - 2n, Uint8Array.of(1, 2, 3)));
		expect([...main.read(AT + P - 2n, 2)]).toEqual([1, 2]);
	});
});

describe("pins", () => {
	it("keep the frame and its bytes, and are counted on the page", () => {
		main.map(AT, 2n * P);
		const pins = [pinPage(main, AT), pinPage(main, AT + 5n), pinPage(main, AT + P)];
		expect(pins[0].frame).toBe(main.frameOf(AT));
		expect(pins[1].frame).toBe(pins[0].frame);
		expect([main.pinsOf(AT), main.pinsOf(AT + P), frames.pinned]).toEqual([2, 1, 2]);
		put(main, AT, 8);
		main.unmap(AT, 2n * P);
		expect(frames.used).toBe(2);
		expect(engine.memory.read(pins[0].frame, 1)[0]).toBe(8);
		for (const pin of pins) pin.release();
		pins[0].release();
		expect([frames.used, frames.pinned]).toEqual([0, 0]);
	});
});

describe("memory objects", () => {
	it("have one frame for a page through every mapping, and keep their bytes", () => {
		const file = main.createMemory("f", 3n * P);
		main.map(AT, 2n * P, { object: file, shared: true, offset: P });
		main.map(AT + 8n * P, 3n * P, { object: file, shared: true });
		put(main, AT, 1);
		expect(main.frameOf(AT)).toBe(main.frameOf(AT + 9n * P));
		expect(main.frameOf(AT)).toBe(file.frameOf(P));
		expect([byte(main, AT + 9n * P), file.read(P, 1)[0]]).toEqual([1, 1]);
		const pin = pinPage(file, P);
		expect(main.pinsOf(AT)).toBe(1);
		pin.release();
		main.unmap(AT, 2n * P);
		main.unmap(AT + 8n * P, 3n * P);
		expect(file.read(P, 1)[0]).toBe(1);
		file.release();
		expect(frames.used).toBe(0);
	});

	it("are copied by private mappings at the first write", () => {
		const file = main.createMemory("f", P);
		main.map(AT, P, { object: file });
		expect(main.frameOf(AT)).toBe(file.frameOf(0n));
		file.write(0n, Uint8Array.of(3));
		expect(byte(main, AT)).toBe(3);
		put(main, AT + 1n, 4);
		file.write(0n, Uint8Array.of(5));
		expect([...main.read(AT, 2)]).toEqual([3, 4]);
		expect([...file.read(0n, 2)]).toEqual([5, 0]);
	});

	it("end where they are cut, even below a pin", () => {
		const file = main.createMemory("f", 3n * P);
		main.map(AT, 4n * P, { object: file, shared: true });
		refuses("MemoryFault", () => main.read(AT + 3n * P, 1));
		main.write(AT, new Uint8Array(3 * 4096).fill(7));
		const pin = pinPage(main, AT + 2n * P);
		file.resize(P + 16n);
		refuses("MemoryFault", () => main.read(AT + 2n * P, 1));
		refuses("MemoryFault", () => file.read(P, 17));
		expect([...file.read(P + 14n, 2)]).toEqual([7, 7]);
		file.resize(3n * P);
		expect([...file.read(P + 15n, 2), ...file.read(2n * P, 1)]).toEqual([7, 0, 0]);
		expect(file.frameOf(2n * P)).not.toBe(pin.frame);
		pin.release();
		main.exit();
		file.release();
		expect(frames.used).toBe(0);
	});

	it("tell a watcher of every mapping", () => {
		let open = 0;
		const watcher = { open: () => void open++, close: () => void open-- };
		main.map(AT, 4n * P, { watcher, shared: true });
		expect(open).toBe(1);
		main.unmap(AT + P, P);
		expect(open).toBe(2);
		const child = main.fork("child");
		expect(open).toBe(4);
		child.exit();
		main.unmap(AT, P);
		expect(open).toBe(1);
		main.exit();
		expect(open).toBe(0);
	});
});

describe("fork", () => {
	it("shares shared memory, and private memory until a write", () => {
		main.map(AT, P);
		main.map(AT + P, P, { shared: true });
		put(main, AT, 1);
		put(main, AT + P, 1);
		const child = main.fork("child");
		expect(child.frameOf(AT)).toBe(main.frameOf(AT));
		put(child, AT, 2);
		put(child, AT + P, 2);
		expect([byte(main, AT), byte(main, AT + P)]).toEqual([1, 2]);
		expect(child.frameOf(AT)).not.toBe(main.frameOf(AT));
		expect(child.frameOf(AT + P)).toBe(main.frameOf(AT + P));
		expect(frames.used).toBe(3);
		main.exit();
		expect([byte(child, AT), byte(child, AT + P), frames.used]).toEqual([2, 2, 2]);
		child.exit();
		expect(frames.used).toBe(0);
	});

	it("copies pinned pages at once, so that the parent's frame stays its own", () => {
		main.map(AT, P);
		put(main, AT, 1);
		const pin = pinPage(main, AT);
		const child = main.fork("child");
		expect(child.frameOf(AT)).not.toBe(pin.frame);
		expect(byte(child, AT)).toBe(1);
		put(main, AT, 5);
		expect([main.frameOf(AT), byte(child, AT)]).toEqual([pin.frame, 1]);
		expect([frames.pinned, child.pinsOf(AT)]).toEqual([1, 0]);
		pin.release();
	});

	it("makes a pin of the child its own page", () => {
		main.map(AT, P);
		put(main, AT, 1);
		const child = main.fork("child");
		const pin = pinPage(child, AT);
		put(main, AT, 2);
		expect([main.frameOf(AT) === pin.frame, child.frameOf(AT) === pin.frame, byte(child, AT)]).toEqual([false, true, 1]);
		pin.release();
	});

	it("keeps what each may do, changes nothing when memory is short, and tells observers", () => {
		main.map(AT, P);
		main.protect(AT, P, { read: true, write: false });
		const children: string[] = [];
		let exits = 0;
		const stop = main.observe({ forked: (child) => void children.push(child.name), exited: () => void exits++ });
		const child = main.fork("one");
		refuses("MemoryFault", () => put(child, AT, 1));
		stop();
		main.fork("two");
		main.observe({ exited: () => void exits++ });
		main.exit();
		main.exit();
		expect([children, exits]).toEqual([["one"], 1]);

		frames = new FramePool(RAM.start, RAM.start + 3n * P - 1n);
		const small = new Process("small", engine.memory, frames);
		small.map(AT, 4n * P);
		const pins = [pinPage(small, AT), pinPage(small, AT + P)];
		refuses("NoSpace", () => small.fork("child"));
		expect(frames.used).toBe(2);
		put(small, AT + 2n * P, 1);
		refuses("NoSpace", () => put(small, AT + 3n * P, 1));
		expect(byte(small, AT + 3n * P)).toBe(0);
		for (const pin of pins) pin.release();
	});
});

it("after exit there is no memory, but pins hold", () => {
	main.map(AT, P);
	put(main, AT, 6);
	const pin = pinPage(main, AT);
	main.exit();
	expect(main.alive).toBe(false);
	for (const act of [() => main.read(AT, 1), () => pinPage(main, AT), () => main.frameOf(AT)]) refuses("MemoryFault", act);
	refuses("NotFound", () => main.map(AT, P));
	refuses("NotFound", () => main.fork("child"));
	expect(engine.memory.read(pin.frame, 1)[0]).toBe(6);
	pin.release();
	expect(frames.used).toBe(0);
});

it("an engine without memory for a frame refuses, and the frame is free again", () => {
	world(1);
	main.map(AT, 2n * P);
	put(main, AT, 1);
	refuses("NoSpace", () => put(main, AT + P, 1));
	expect(frames.used).toBe(1);
});

describe("random processes", () => {
	/** What a process sees: by page, an object with a byte that private forks copy and shared ones have in common. */
	interface Seen {
		process: Process;
		pages: Map<bigint, { value: number; shared: boolean; write: boolean }>;
		pins: Map<bigint, Pin[]>;
	}
	it.each([1, 2, 3, 4, 5, 6, 7, 8])("see what a model of pages sees, seed %i", (seed) => {
		const random = new Random(seed);
		const pick = (n: number) => random.below(n);
		/** pins whose pages are no longer mapped */
		const loose: Pin[] = [];
		const all: Seen[] = [{ process: main, pages: new Map(), pins: new Map() }];
		for (let step = 0; step < 400; step++) {
			const one = all[pick(all.length)];
			const { process, pages, pins } = one;
			const first = BigInt(pick(16));
			const count = BigInt(1 + pick(4));
			const range = Array.from({ length: Number(count) }, (_, i) => first + BigInt(i));
			const at = AT + first * P;
			const op = pick(8);
			if (op === 0) {
				const shared = pick(2) === 0;
				if (range.some((page) => pages.has(page))) refuses("Occupied", () => process.map(at, count * P, { shared }));
				else {
					process.map(at, count * P, { shared });
					for (const page of range) pages.set(page, { value: 0, shared, write: true });
				}
			} else if (op === 1) {
				if (range.some((page) => pages.has(page))) process.unmap(at, count * P);
				else refuses("NotFound", () => process.unmap(at, count * P));
				for (const page of range) {
					pages.delete(page);
					loose.push(...(pins.get(page) ?? []));
					pins.delete(page);
				}
			} else if (op === 2) {
				const value = 1 + pick(255);
				for (const page of range) {
					const there = pages.get(page);
					if (there?.write) {
						put(process, AT + page * P, value);
						there.value = value;
					} else refuses("MemoryFault", () => put(process, AT + page * P, value));
				}
			} else if (op === 3) {
				const write = pick(2) === 0;
				const access = { read: true, write };
				if (range.every((page) => pages.has(page))) {
					process.protect(at, count * P, access);
					// shared pages are one object in the model: what may be done is of the mapping
					for (const page of range) pages.set(page, pages.get(page)!.shared ? link(pages.get(page)!, write) : { ...pages.get(page)!, write });
				} else refuses("NotFound", () => process.protect(at, count * P, access));
			} else if (op === 4 && pages.has(first)) {
				pins.set(first, [...(pins.get(first) ?? []), pinPage(process, at)]);
			} else if (op === 5) {
				for (const pin of pins.get(first) ?? []) pin.release();
				pins.delete(first);
			} else if (op === 6 && all.length < 4) {
				const child = process.fork(`p${step}`);
				all.push({ process: child, pages: new Map([...pages].map(([page, there]) => [page, there.shared ? link(there, there.write) : { ...there }])), pins: new Map() });
			} else if (op === 7 && all.length > 1 && pick(4) === 0) {
				process.exit();
				for (const list of pins.values()) for (const pin of list) pin.release();
				all.splice(all.indexOf(one), 1);
			}
			// one expectation per step: thousands are slow
			const wrong: string[] = [];
			for (const { process: each, pages: seen, pins: held } of all) {
				for (const [page, list] of held) if (list.some((pin) => pin.frame !== each.frameOf(AT + page * P))) wrong.push(`${each.name} frame ${page}`);
				for (const [page, there] of seen) if (byte(each, AT + page * P) !== there.value) wrong.push(`${each.name} byte ${page}`);
			}
			expect(wrong).toEqual([]);
		}
		for (const { process, pins } of all) {
			process.exit();
			for (const list of pins.values()) for (const pin of list) pin.release();
		}
		for (const pin of loose) pin.release();
		expect(frames.pinned).toBe(0);
		expect(frames.used).toBe(0);
	});

	/** The same shared page with another mapping's write permission. */
	function link(page: { value: number; shared: boolean; write: boolean }, write: boolean) {
		return {
			get value() {
				return page.value;
			},
			set value(value: number) {
				page.value = value;
			},
			shared: true,
			write,
		};
	}
});
