// A program's address space behind `ProcessMemory`: read and written through /proc/PID/mem, with rights from /proc/PID/maps,
// since the former also opens what the program itself may not touch. User addresses are below 2^47, exact as numbers.
import { closeSync, openSync, readFileSync, readSync, writeSync } from "node:fs";
import { CoreError } from "../../dist/ts/index.js";

const PAGE = 4096n;
const down = (address) => address & ~(PAGE - 1n);
const least = (a, b) => (a < b ? a : b);

/** A stable frame for each page of a program that somebody asked for, in a range of physical memory of its own. */
export class ProgramFrames {
	byFrame = new Map();
	/** files whose frames were pinned through a mapping, by frame */
	objects = new Map();

	constructor(start) {
		this.next = start;
	}

	of(process, page) {
		const known = process.frames.get(page);
		if (known !== undefined) return known;
		const frame = { address: this.next, process, page, pins: 0 };
		this.next += PAGE;
		process.frames.set(page, frame);
		this.byFrame.set(frame.address, frame);
		return frame;
	}

	get pinned() {
		return [...this.byFrame.values()].filter(({ pins }) => pins > 0).length;
	}

	/** Frames of memory that is gone, once nobody has them pinned. */
	sweep() {
		for (const [address, { process, pins }] of this.byFrame) if (!process.alive && pins === 0) this.byFrame.delete(address);
	}
}

export class NativeProcess {
	frames = new Map();
	alive = true;
	lockedLimit = Number.POSITIVE_INFINITY;
	pinnedVm = 0;
	locked = 0;
	/** where the next mapping of a file shall lie, and the process id of the next child */
	nextAddress = null;
	nextChild = 0;
	/** mappings of files of the other side */
	regions = [];
	observers = new Set();
	known = null;

	constructor(name, pid, pool) {
		this.name = name;
		this.pid = pid;
		this.pool = pool;
		this.memory = openSync(`/proc/${pid}/mem`, "r+");
	}

	fault(what, address) {
		return new CoreError("MemoryFault", what, { operation: "access", object: `process ${this.name}`, first: address, last: address });
	}

	/** The program has run: its mappings may be others. */
	forget() {
		this.known = null;
	}

	get mappings() {
		if (!this.alive) return [];
		this.known ??= readFileSync(`/proc/${this.pid}/maps`, "latin1")
			.split("\n")
			.filter((line) => line !== "")
			.map((line) => {
				const [, first, end, rights] = /^([0-9a-f]+)-([0-9a-f]+) (....)/.exec(line);
				return { first: BigInt(`0x${first}`), end: BigInt(`0x${end}`), read: rights[0] === "r", write: rights[1] === "w" };
			});
		return this.known;
	}

	/** Bytes from an address on that have a right, up to `length`. */
	reach(address, length, right) {
		let at = address;
		while (at < address + length) {
			const mapping = this.mappings.find(({ first, end }) => first <= at && at < end);
			if (!mapping?.[right]) break;
			at = least(mapping.end, address + length);
		}
		return at - address;
	}

	read(address, length) {
		const bytes = new Uint8Array(length);
		const has = this.reach(address, BigInt(length), "read");
		if (has < BigInt(length)) throw this.fault("cannot be read", address + has);
		try {
			for (let done = 0; done < length; ) {
				const n = readSync(this.memory, bytes, done, length - done, Number(address) + done);
				if (n === 0) throw new Error("the memory ends");
				done += n;
			}
		} catch {
			throw this.fault("cannot be read", address);
		}
		return bytes;
	}

	write(address, data) {
		const has = Number(this.reach(address, BigInt(data.length), "write"));
		try {
			for (let done = 0; done < has; ) done += writeSync(this.memory, data, done, has - done, Number(address) + done);
		} catch {
			throw this.fault("cannot be written", address);
		}
		if (has < data.length) throw this.fault("cannot be written", address + BigInt(has));
	}

	regionAt(address) {
		return this.regions.find(({ first, last }) => first <= address && address <= last);
	}

	frameOf(address) {
		const page = down(address);
		if (this.reach(page, PAGE, "read") < PAGE) throw this.fault("no memory there", page);
		const region = this.regionAt(page);
		return region ? region.object.frameOf(region.offset + (page - region.first)) : this.pool.of(this, page).address;
	}

	pin(address, size, write = false) {
		const context = { operation: "pin", object: `process ${this.name}`, first: address, last: address + size - 1n };
		if (size <= 0n || (address | size) & (PAGE - 1n)) throw new CoreError("Misaligned", "pins are of pages", context);
		const has = this.reach(address, size, "read");
		if (has < size) throw this.fault("no memory there", address + has);
		if (write && this.reach(address, size, "write") < size) throw new CoreError("Denied", "the memory is read-only", context);
		const extents = [];
		for (let page = address; page < address + size; page += PAGE) {
			const region = this.regionAt(page);
			if (region) {
				const [extent] = region.object.pin(region.offset + (page - region.first), PAGE);
				this.pool.objects.set(extent.address, region.object);
				extents.push(extent);
			} else {
				const frame = this.pool.of(this, page);
				frame.pins++;
				extents.push({ address: frame.address, size: PAGE });
			}
		}
		return extents;
	}

	unpin(extents) {
		for (const { address, size } of extents) {
			for (let at = address; at < address + size; at += PAGE) {
				const frame = this.pool.byFrame.get(at);
				if (frame) frame.pins--;
				else this.pool.objects.get(at).unpin([{ address: at, size: PAGE }]);
			}
		}
		this.pool.sweep();
	}

	pinsOf(address) {
		return this.frames.get(down(address))?.pins ?? 0;
	}

	map(_address, size, { object, offset = 0n, watcher } = {}) {
		if (this.nextAddress === null || object === undefined) throw new CoreError("NoSpace", "only files are mapped, where the program has room", { operation: "map", object: this.name });
		const first = this.nextAddress;
		this.add({ first, last: first + size - 1n, object, offset, watcher });
		return first;
	}

	add(region) {
		region.object.hold();
		region.watcher?.open();
		this.regions.push(region);
	}

	unmap(address, size) {
		const gone = this.regions.filter(({ first, last }) => first <= address + size - 1n && last >= address);
		this.regions = this.regions.filter((region) => !gone.includes(region));
		for (const { object, watcher } of gone) {
			object.release();
			watcher?.close();
		}
	}

	fork(name) {
		const child = new NativeProcess(name, this.nextChild, this.pool);
		child.lockedLimit = this.lockedLimit;
		for (const region of this.regions) child.add(region);
		for (const observer of [...this.observers]) observer.forked?.(child);
		return child;
	}

	exit() {
		if (!this.alive) return;
		this.alive = false;
		this.unmap(0n, 1n << 64n);
		for (const observer of [...this.observers]) observer.exited?.();
		this.observers.clear();
		closeSync(this.memory);
		this.pool.sweep();
	}

	observe(observer) {
		this.observers.add(observer);
		return () => this.observers.delete(observer);
	}

	charge(pages) {
		if (this.locked + pages > this.lockedLimit) throw new CoreError("NoSpace", "over the limit of locked memory", { operation: "charge", object: this.name });
		this.locked += pages;
	}

	uncharge(pages) {
		this.locked -= pages;
	}
}
