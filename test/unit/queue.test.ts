/** Commands of the four queues: what is legal, what a wait or fence asks for, and the queue in memory. */
import { describe, expect, it } from "vitest";
import { type ArchitectureName, Engine, EngineError, type Unit } from "../../ts/engine/index.ts";
import { decodeCommand as decodeAmd } from "../reference/amdvi.ts";
import { decodeCommand as decodeRiscv } from "../reference/riscv-records.ts";
import { Random } from "../model/random.ts";

const bytesOf = (...words: bigint[]) => new Uint8Array(new BigUint64Array(words).buffer);
const QUEUE = 0x10000n;
const DATA = 0x30000n;

/** PAPR bridges have no queue. */
type Queued = Exclude<ArchitectureName, "papr">;

function make(architecture: Queued, registers: Record<string, bigint> = {}): { engine: Engine; unit: Unit } {
	const engine = Engine.create({ memory: [{ kind: "owned", start: QUEUE, size: 0x30000 }], tables: { frames: 16 }, units: [{ architecture, registers }] });
	return { engine, unit: engine.units[0] };
}

/** The queue of an architecture at QUEUE with 256 entries; `at`: value of head or tail for an entry. */
const QUEUES: Record<Queued, { registers: Record<string, bigint>; head: string; tail: string; at(index: number): bigint; harmless: bigint[]; illegal: bigint[]; error: number; fetch: number; wait: bigint[]; data: bigint; bytes: number }> = {
	vtd: { registers: { IQA: QUEUE }, head: "IQH", tail: "IQT", at: (i) => BigInt(i % 256) << 4n, harmless: [0x12n, 0n], illegal: [0xfn, 0n], error: 3, fetch: 2, wait: [5n | 32n | 16n | (0x1234n << 32n), DATA], data: 0x1234n, bytes: 4 },
	amdvi: { registers: { CMD_BASE: QUEUE | (8n << 56n) }, head: "CMD_HEAD", tail: "CMD_TAIL", at: (i) => BigInt(i % 256) << 4n, harmless: [8n << 60n, 0n], illegal: [0n, 0n], error: 5, fetch: 6, wait: [(1n << 60n) | 3n | DATA, 0x12345678abcdn], data: 0x12345678abcdn, bytes: 8 },
	smmuv3: { registers: { CMDQ_BASE: QUEUE | 8n }, head: "CMDQ_CONS", tail: "CMDQ_PROD", at: (i) => BigInt(i % 512), harmless: [0x30n, 0n], illegal: [0xffn, 0n], error: 1, fetch: 2, wait: [0x46n | (1n << 12n) | (0x77n << 32n), DATA], data: 0x77n, bytes: 4 },
	riscv: { registers: { CQB: (QUEUE >> 2n) | 7n, CQCSR: 1n, FCTL: 2n }, head: "CQH", tail: "CQT", at: (i) => BigInt(i % 256), harmless: [1n, 0n], illegal: [0n, 0n], error: 10, fetch: 8, wait: [2n | (1n << 10n) | (1n << 11n) | (0x99n << 32n), DATA >> 2n], data: 0x99n, bytes: 4 },
};
const names = Object.keys(QUEUES) as Queued[];

function put(engine: Engine, index: number, command: bigint[]): void {
	engine.memory.writeBytes(QUEUE + BigInt(16 * (index % 256)), bytesOf(...command));
}

describe("command queues", () => {
	it.each(names)("%s takes what is between head and tail, over the end, and makes the writes", (name) => {
		const { registers, head, tail, at, harmless, wait, data, bytes } = QUEUES[name];
		const { engine, unit } = make(name, { ...registers, [head]: at(250), [tail]: at(250 + 40), ...(name === "smmuv3" ? { IDR0: unitRegister("smmuv3", "IDR0") | (1n << 13n) } : {}) });
		for (let i = 250; i < 290; i++) put(engine, i, i === 285 ? wait : harmless);
		expect(unit.processQueue(10)).toEqual({ status: "bound", commands: 10, error: 0, interrupt: false });
		expect(unit.readRegister(head)).toBe(at(260));
		const interrupt = name !== "smmuv3";
		expect(unit.processQueue()).toEqual({ status: "empty", commands: 30, error: 0, interrupt });
		expect(unit.readRegister(head)).toBe(at(290));
		expect(engine.memory.read64(DATA) & ((1n << BigInt(8 * bytes)) - 1n)).toBe(data);
		expect(unit.processQueue()).toMatchObject({ status: "empty", commands: 0 });
		// the same handed over: the write is the host's
		expect(unit.command(bytesOf(...wait))).toEqual({ status: "done", write: { address: DATA, bytes, value: data }, interrupt });
	});

	it.each(names)("%s stops at an illegal command and at memory that is not there", (name) => {
		const { registers, head, tail, at, harmless, illegal, error, fetch } = QUEUES[name];
		const { engine, unit } = make(name, { ...registers, [head]: at(0), [tail]: at(5) });
		for (let i = 0; i < 5; i++) put(engine, i, i === 3 ? illegal : harmless);
		expect(unit.processQueue()).toEqual({ status: "error", commands: 3, error, interrupt: false });
		expect(unit.processQueue()).toMatchObject({ status: "off", commands: 0 });
		const mask = name === "smmuv3" ? 0xfffffn : ~0n;
		expect(unit.readRegister(head) & mask).toBe(at(3));
		if (name === "vtd") expect([unit.readRegister("FSTS"), unit.readRegister("IQERCD")]).toEqual([16n, 3n]);
		if (name === "smmuv3") expect([unit.readRegister("CMDQ_CONS") >> 24n, unit.readRegister("GERROR")]).toEqual([1n, 1n]);
		if (name === "riscv") expect(unit.readRegister("CQCSR")).toBe(1n | (1n << 10n));
		if (name === "amdvi") {
			const record = new DataView((unit.takeFault() as Uint8Array).buffer);
			expect([record.getBigUint64(0, true) >> 60n, record.getBigUint64(8, true)]).toEqual([5n, QUEUE + 48n]);
		}
		// acknowledged, and the command mended
		const acknowledge: Record<Queued, [string, bigint]> = { vtd: ["FSTS", 0n], amdvi: ["STATUS", 0n], smmuv3: ["GERRORN", 1n], riscv: ["CQCSR", 1n] };
		unit.writeRegister(...acknowledge[name]);
		put(engine, 3, harmless);
		expect(unit.processQueue()).toMatchObject({ status: "empty", commands: 2 });
		const base = Object.keys(registers)[0];
		const gone = make(name, { ...registers, [base]: registers[base] | (1n << 40n), [head]: at(0), [tail]: at(5) });
		expect(gone.unit.processQueue()).toMatchObject({ status: "error", commands: 0, error: fetch });
		const off: Record<Queued, [string, bigint]> = { vtd: ["GSTS", 1n << 31n], amdvi: ["CONTROL", 1n], smmuv3: ["CR0", 1n], riscv: ["CQCSR", 0n] };
		unit.writeRegister(...off[name]);
		expect(unit.processQueue()).toMatchObject({ status: "off" });
	});

	it("VT-d: descriptors of 256 bits, and commands of a wrong length", () => {
		const { engine, unit } = make("vtd", { IQA: QUEUE | (1n << 11n), IQH: 0n, IQT: 96n });
		const wait = [5n | 32n | (7n << 32n), DATA, 0n, 0n];
		engine.memory.writeBytes(QUEUE, bytesOf(0x11n, 0n, 0n, 0n, ...wait, 0x12n, 0n, 0n, 1n));
		expect(unit.processQueue()).toMatchObject({ status: "error", commands: 2, error: 4 });
		expect(unit.readRegister("IQH")).toBe(64n);
		expect(engine.memory.read64(DATA)).toBe(7n);
		expect(() => unit.command(new Uint8Array(8))).toThrow(EngineError);
		expect(() => make("amdvi").unit.command(new Uint8Array(32))).toThrow(EngineError);
	});

	it("VT-d: IQEI tells what stopped the queue, and Table 26 which descriptors a mode has", () => {
		const ECAP = unitRegister("vtd", "ECAP");
		const LEGACY = 0n;
		const SCALABLE = 1n << 10n;
		const WIDE = 1n << 11n;
		const process = (registers: Record<string, bigint>, descriptor: bigint[] = [0x12n, 0n]) => {
			const { engine, unit } = make("vtd", { IQA: QUEUE, IQH: 0n, IQT: 32n, ...registers });
			engine.memory.writeBytes(QUEUE, bytesOf(...descriptor, ...(descriptor.length < 4 ? [0x12n, 0n] : [])));
			const { status, error } = unit.processQueue();
			expect(unit.readRegister("IQERCD")).toBe(BigInt(error));
			return status === "empty" ? 0 : error;
		};
		// 11.4.9.9
		expect(process({ RTADDR: LEGACY, IQT: 1n << 12n })).toBe(1);
		expect(process({ RTADDR: LEGACY, IQA: 1n << 40n })).toBe(2);
		expect(process({ RTADDR: LEGACY }, [0xbn, 0n])).toBe(3);
		expect(process({ RTADDR: LEGACY }, [0x12n | (1n << 63n), 0n])).toBe(4);
		for (const mode of [SCALABLE, 3n << 10n]) expect(process({ RTADDR: mode, ECAP: ECAP | (1n << 52n) })).toBe(5);
		expect(process({ RTADDR: LEGACY, IQA: QUEUE | WIDE, ECAP: ECAP & ~(1n << 43n) })).toBe(5);
		expect(process({ RTADDR: SCALABLE, IQA: QUEUE | WIDE, IQT: 16n })).toBe(6);
		for (const mode of [2n << 10n, 3n << 10n]) expect(process({ RTADDR: mode, IQA: QUEUE | WIDE })).toBe(7);
		// 6.5.2.11 Table 26: context, IOTLB, device-TLB, interrupt entries, wait; P_IOTLB, PASID cache, P_device-TLB, response
		const descriptors = [0x11n, 0x12n, 3n, 4n, 5n, 0x26n, 0x37n, 8n, 9n];
		const codes = (registers: Record<string, bigint>) => descriptors.map((low) => process({ IQA: QUEUE | WIDE, ...registers }, [low, 0n, 0n, 0n])).join("");
		const PRS = 1n << 29n;
		expect(codes({ RTADDR: LEGACY, ECAP: ECAP | PRS })).toBe("000003333");
		expect(codes({ RTADDR: SCALABLE, ECAP: ECAP | PRS })).toBe("000000000");
		expect(codes({ RTADDR: SCALABLE, ECAP })).toBe("000000003");
		expect(codes({ RTADDR: SCALABLE, ECAP: (ECAP | PRS) & ~4n })).toBe("003000030");
		// PFSID without DIT, PD without PDS
		const reserved = (low: bigint, capability: bigint) => [0n, capability].map((more) => process({ RTADDR: SCALABLE, IQA: QUEUE | WIDE, ECAP: ECAP | more }, [low, 0n, 0n, 0n]));
		expect(reserved(3n | (1n << 12n), 1n << 41n)).toEqual([4, 0]);
		expect(reserved(8n | (1n << 60n), 1n << 41n)).toEqual([4, 0]);
		expect(reserved(5n | 128n, 1n << 42n)).toEqual([4, 0]);
	});

	it("AMD and RISC-V refuse what the reference refuses: 10,000 commands", () => {
		const random = new Random(5);
		const amd = make("amdvi", { EFR: unitRegister("amdvi", "EFR") | 1n }).unit;
		const capabilities = unitRegister("riscv", "CAPABILITIES");
		let legal = 0;
		for (let n = 0; n < 5_000; n++) {
			// few bits beside the command, so that some are legal
			let [low, high] = [BigInt(random.below(9)) << 60n, 0n];
			for (let i = random.below(5); i > 0; i--) if (random.chance(0.5)) low ^= 1n << BigInt(random.below(60)); else high ^= 1n << BigInt(random.below(64));
			const want = decodeAmd(low, high).op === "illegal" ? "illegal" : "done";
			expect(amd.command(bytesOf(low, high)).status, `${low.toString(16)} ${high.toString(16)}`).toBe(want);
			if (want === "done") legal += 1;
		}
		for (let n = 0; n < 5_000; n++) {
			const caps = capabilities | (random.chance(0.5) ? 1n << 25n : 0n) | (random.chance(0.5) ? 3n << 42n : 0n);
			const fctl = random.chance(0.5) ? 2n : 0n;
			const ddtp = BigInt(random.below(5));
			const unit = n % 500 === 0 ? remake({ CAPABILITIES: caps, FCTL: fctl, DDTP: ddtp }) : held;
			const registers = { capabilities: unit.readRegister("CAPABILITIES"), fctl: unit.readRegister("FCTL"), ddtp: unit.readRegister("DDTP"), gxlWritable: false, beWritable: false };
			let [low, high] = [BigInt(random.below(6)) | (BigInt(random.below(3)) << 7n), 0n];
			for (let i = random.below(5); i > 0; i--) if (random.chance(0.7)) low ^= 1n << BigInt(random.below(64)); else high ^= 1n << BigInt(random.below(64));
			const want = decodeRiscv(registers, low, high);
			const got = unit.command(bytesOf(low, high));
			expect(got.status, `${low.toString(16)} ${high.toString(16)} ${JSON.stringify(registers, (_, v) => (typeof v === "bigint" ? v.toString(16) : v))}`).toBe(want.kind === "illegal" ? "illegal" : "done");
			if (want.kind === "iofence.c") expect(got).toEqual({ status: "done", interrupt: want.wireInterrupt, write: want.address === null ? null : { address: want.address, bytes: 4, value: want.data } });
			if (want.kind !== "illegal") legal += 1;
		}
		expect(legal).toBeGreaterThan(2_500);
	});
});

let held: Unit;
function remake(registers: Record<string, bigint>): Unit {
	held = make("riscv", registers).unit;
	return held;
}

function unitRegister(architecture: Queued, name: string): bigint {
	return make(architecture).unit.readRegister(name);
}
