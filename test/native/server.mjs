// The other side of interposer.c: a machine with a VT-d unit, a device in front of it and the mock devices of the selftest,
// which calls of programs reach over a socket. Physical memory is a file that programs can map, and the pages of programs.
import { closeSync, ftruncateSync, openSync, readSync, unlinkSync, writeSync } from "node:fs";
import { createServer } from "node:net";
import { createIommufd, createUnits, Descriptors, drivers, File, Machine, Selftest } from "../../dist/ts/index.js";
import { NativeProcess, ProgramFrames } from "./process.mjs";

const RAM = { start: 1n << 32n, size: 1n << 26n };
const PROGRAMS = { start: 1n << 33n, size: 1n << 33n };
const REQUEST = 56;
const [HELLO, FORKED, OPEN, IOCTL, READ, WRITE, POLL, CLOSE, DUP, MMAP, MUNMAP, DMA] = Array.from({ length: 12 }, (_, i) => i + 1);
const EBADF = -9;
const ERRNOS = { ENOENT: -2, EMFILE: -24, EPERM: -1, EBADF, ENOMEM: -12 };
const signed = (value) => Number(BigInt.asIntN(32, value));

/** Memory of the machine as the engine reads it: at most 8 bytes, never across a page. */
function hostMemory(file, programs) {
	const word = new Uint8Array(8);
	const view = new DataView(word.buffer);
	const placed = (address) => {
		if (address < PROGRAMS.start) return null;
		const frame = programs.byFrame.get(address & ~0xfffn);
		return frame?.process.alive ? frame : undefined;
	};
	return {
		read(address, bytes) {
			const frame = placed(address);
			if (frame === undefined) return undefined;
			word.fill(0);
			try {
				if (frame === null) readSync(file, word, 0, bytes, Number(address - RAM.start));
				else word.set(frame.process.read(frame.page + (address & 0xfffn), bytes));
			} catch {
				return undefined;
			}
			return view.getBigUint64(0, true);
		},
		write(address, bytes, value) {
			const frame = placed(address);
			if (frame === undefined) return false;
			view.setBigUint64(0, value, true);
			try {
				if (frame === null) writeSync(file, word, 0, bytes, Number(address - RAM.start));
				else frame.process.write(frame.page + (address & 0xfffn), word.slice(0, bytes));
			} catch {
				return false;
			}
			return true;
		},
	};
}

export class Server {
	processes = new Map();
	programs = new ProgramFrames(PROGRAMS.start);

	/** `socket`, `shared`: paths that programs are told. */
	constructor(socket, shared) {
		this.shared = shared;
		this.file = openSync(shared, "w+", 0o600);
		ftruncateSync(this.file, Number(RAM.size));
		const capabilities = { addressBits: 48, pageSizes: 0x4020_1000n, reserved: [{ first: 0xfee0_0000n, last: 0xfeef_ffffn }], pasidBits: 16, enforcesSnoop: true, nesting: "hw", maxDepth: 2, pasidTables: false, dirty: true };
		const memory = hostMemory(this.file, this.programs);
		const { engine, units } = createUnits([{ name: "vtd", kind: "vtd", ...capabilities }], { memory: [{ kind: "host", ...RAM, memory }, { kind: "host", ...PROGRAMS, memory }], tables: { frames: 512 } });
		this.selftest = new Selftest(() => this.machine);
		this.machine = new Machine(engine, [...units, this.selftest.iommu], RAM);
		this.engine = engine;
		this.doors = createIommufd(this.machine, { selftest: this.selftest });
		this.device = this.machine.addDevice({ name: "vfio0", rid: 8, driver: drivers["vfio-pci"], capabilities: { pasid: true } });
		this.doors.addDevice(this.device);
		this.listener = createServer((connection) => this.serve(connection)).listen(socket);
	}

	serve(connection) {
		let waiting = Buffer.alloc(0);
		let process = null;
		const reply = (result, taken = false, extra = 0n) => {
			const bytes = Buffer.alloc(24);
			bytes.writeBigInt64LE(BigInt(result), 0);
			bytes.writeBigUInt64LE(taken ? 1n : 0n, 8);
			bytes.writeBigUInt64LE(extra, 16);
			if (!connection.destroyed) connection.write(bytes);
		};
		connection.on("error", () => {});
		connection.on("close", () => {
			process?.exit();
			this.processes.delete(process?.pid);
		});
		connection.on("data", (data) => {
			waiting = Buffer.concat([waiting, data]);
			for (; waiting.length >= REQUEST; waiting = waiting.subarray(REQUEST)) {
				const op = waiting.readUInt32LE(0);
				const pid = waiting.readUInt32LE(4);
				const args = Array.from({ length: 6 }, (_, i) => waiting.readBigUInt64LE(8 + 8 * i));
				if (op === HELLO) process = new NativeProcess(`program ${pid}`, pid, this.programs);
				if (op === FORKED) {
					const parent = this.processes.get(Number(args[0]));
					parent.nextChild = pid;
					process = parent.fork(`program ${pid}`);
				}
				if (op === HELLO || op === FORKED) {
					this.processes.set(pid, process);
					reply(0);
				} else this.answer(process, op, args, reply);
			}
		});
	}

	text(process, address) {
		let text = "";
		for (let at = address; ; at++) {
			const [byte] = process.read(at, 1);
			if (byte === 0) return text;
			text += String.fromCharCode(byte);
		}
	}

	answer(process, op, args, reply) {
		process.forget();
		const table = Descriptors.of(process);
		const fd = signed(args[0]);
		// the program says which number is free there
		const spare = signed(args[3]);
		table.chooseNumber = () => spare;
		const taken = () => spare >= 0 && table.open.includes(spare);
		let file;
		try {
			if (op === OPEN) {
				const flags = Number(args[1]) & 3;
				this.doors.nodes.open(this.text(process, args[0]), process, { privileged: true }, { read: flags !== 1, write: flags !== 0 });
				return reply(spare, true);
			}
			if (op === MUNMAP) {
				process.unmap(args[0], args[1]);
				return reply(0);
			}
			if (op === DMA) return reply(this.dma(process, args));
			if (op === POLL) return this.poll(process, args, reply);
			file = new File(process, fd);
			if (op === DUP) {
				const at = signed(args[1]);
				return reply(file.dup(at < 0 ? undefined : at).fd, at < 0);
			}
		} catch (error) {
			if (error.code in ERRNOS) return reply(ERRNOS[error.code]);
			throw error;
		}
		if (op === IOCTL) {
			const result = file.ioctl(args[1], args[2]);
			return reply(result, taken());
		}
		if (op === READ) return reply(file.read(args[1], args[2]));
		if (op === WRITE) return reply(file.write(args[1], args[2]));
		if (op === CLOSE) return reply(file.close());
		if (op === MMAP) {
			process.nextAddress = args[1];
			const [, , length, prot, flags, offset] = args;
			const at = file.mmap(null, length, { read: (prot & 1n) !== 0n, write: (prot & 2n) !== 0n, shared: (flags & 1n) !== 0n }, offset);
			process.nextAddress = null;
			if (at < 0n) return reply(at);
			const region = process.regionAt(at);
			return reply(at, false, region.object.frameOf(region.offset) - RAM.start);
		}
		throw new Error(`request ${op}`);
	}

	/** What is readable now is told now; else at the first wake-up or when the time is over. */
	poll(process, [list, count, timeout], reply) {
		const entries = Array.from({ length: Number(count) }, (_, i) => {
			const view = new DataView(process.read(list + 8n * BigInt(i), 8).buffer);
			return { fd: view.getInt32(0, true), events: view.getInt16(4, true) };
		});
		const files = entries.map(({ fd }) => {
			try {
				return new File(process, fd);
			} catch {
				return null;
			}
		});
		const look = () => {
			let ready = 0;
			entries.forEach(({ events }, i) => {
				const found = (files[i]?.poll() ?? 0x20) & (events | 0x38);
				if (found !== 0) ready++;
				process.write(list + 8n * BigInt(i) + 6n, Uint8Array.of(found & 255, found >> 8));
			});
			return ready;
		};
		const now = look();
		const wait = signed(timeout);
		if (now > 0 || wait === 0) return reply(now);
		let timer;
		const stops = [];
		const over = (always) => {
			if (!process.alive) return;
			process.forget();
			const ready = look();
			if (ready === 0 && !always) return;
			clearTimeout(timer);
			for (const stop of stops) stop();
			reply(ready);
		};
		for (const file of files) if (file !== null) stops.push(file.watch(() => over(false)));
		if (wait > 0) timer = setTimeout(() => over(true), wait);
	}

	/** DMA of a device into or out of a program's buffer. @returns 0, or -1 when it faults; what came before is done */
	dma(process, [name, iova, buffer, length, write]) {
		const device = [...this.machine.allDevices].find((one) => one.name === this.text(process, name));
		for (let at = 0n; at < length; ) {
			const bytes = Number(((iova + at) & ~0xfffn) + 0x1000n - (iova + at) < length - at ? ((iova + at) & ~0xfffn) + 0x1000n - (iova + at) : length - at);
			const answer = this.machine.dma(device, null, iova + at, write ? "write" : "read");
			if (answer.kind !== "memory") return -1;
			if (write) this.engine.memory.writeBytes(answer.physical, process.read(buffer + at, bytes));
			else process.write(buffer + at, this.engine.memory.read(answer.physical, bytes));
			at += BigInt(bytes);
		}
		return 0;
	}

	close() {
		this.listener.close();
		closeSync(this.file);
		unlinkSync(this.shared);
	}
}
