/** One page table of every format and geometry, routed to by a unit without caches, and the same unit as the references see it. */
import { Engine, type PageTable, type PageTableConfig, type TableFormatName, type Unit, type UnitConfig } from "../../ts/engine/index.ts";
import { TABLE_FORMATS } from "../../ts/engine/page-table-formats.ts";
import { translateAmdvi } from "../reference/amdvi.ts";
import type { Memory, Request, Result } from "../reference/contract.ts";
import { translatePapr } from "../reference/papr.ts";
import { type RiscvResult, translateRiscv } from "../reference/riscv.ts";
import { translateSmmuv3 } from "../reference/smmuv3.ts";
import { translateVtd } from "../reference/vtd.ts";

export type Family = UnitConfig["architecture"];

export interface TableCase {
	name: string;
	family: Family;
	config: PageTableConfig;
	/** lg2 bytes of the leaves that a table of this shape has */
	leaves: number[];
	inputBits: number;
	outputBits: number;
	/** canonical addresses: the upper half lies at the top */
	signed: boolean;
	/** hardware sets A and D, or what stands for them */
	tracks: boolean;
}

function familyOf(format: TableFormatName): Family {
	if (format.startsWith("vtd")) return "vtd";
	if (format.startsWith("amd")) return "amdvi";
	if (format.startsWith("vmsav8")) return "smmuv3";
	return format.startsWith("tce") ? "papr" : "riscv";
}

/** Permissions that entries can say: 1 read, 2 write, 4 execute. */
export function expressible(format: TableFormatName, rights: number): boolean {
	// present is readable: P of Intel 64 and AMD64 paging, AP of a VMSAv8 stage 1
	if (format === "vtd-first" || format === "amd-v2" || format.startsWith("vmsav8-first")) return (rights & 1) !== 0;
	// W without R is reserved, R = W = X = 0 is a pointer (Privileged Architecture 12.3.1)
	if (format.startsWith("riscv")) return rights !== 0 && (rights & 3) !== 2;
	return (rights & 3) !== 0;
}

/** lg2 entries of a full table. */
export function stride(format: TableFormatName, page: number): number {
	return format.startsWith("riscv-sv32") ? 10 : format.startsWith("vmsav8") ? page - 3 : 9;
}

export function caseOf(format: TableFormatName, levels: number, more: Partial<PageTableConfig> = {}): TableCase {
	const shape = TABLE_FORMATS[format];
	const inputBits = more.inputBits ?? shape.inputBits(levels);
	const page = shape.leaves[0];
	const config: PageTableConfig = { format, levels, accessedDirty: true, leaves: shape.leaves, ...more };
	const step = stride(format, page);
	// a leaf is at the highest level whose entries are not larger
	const leaves = shape.leaves.filter((lg2) => lg2 <= inputBits && Math.floor((lg2 - page) / step) < levels);
	const words = Object.entries(more).filter(([, value]) => value !== undefined).map(([key, value]) => (value === true ? key : `${key} ${value}`));
	return { name: [format, `of ${levels} levels`, ...words].join(", "), family: familyOf(format), config, leaves, inputBits, outputBits: shape.outputBits, signed: shape.signed, tracks: config.accessedDirty === true || format === "vtd-first" };
}

/** Every format, every number of levels, every variant of them. */
export function tableCases(): TableCase[] {
	const out: TableCase[] = [];
	for (const [name, shape] of Object.entries(TABLE_FORMATS)) {
		const format = name as TableFormatName;
		for (const levels of shape.levels) {
			out.push(caseOf(format, levels));
			const most = shape.inputBits(levels);
			if (shape.bigEndian !== undefined) out.push(caseOf(format, levels, { bigEndian: true }));
			if (shape.upper !== undefined) out.push(caseOf(format, levels, { upper: true }));
			// a first table of one entry or two, and without concatenation
			if (format.startsWith("vmsav8")) out.push(caseOf(format, levels, { inputBits: Math.max(25, shape.leastInputBits?.(levels) ?? 0), ...(shape.upper === undefined ? {} : { upper: true, bigEndian: true }) }));
			if (format.startsWith("vmsav8-second")) out.push(caseOf(format, levels, { inputBits: most - 1 }));
			if (format.startsWith("tce")) {
				for (const bits of [shape.leaves[0] + 9 * levels, shape.leaves[0] + 9 * levels - 3]) if (bits < most) out.push(caseOf(format, levels, { inputBits: bits }));
			}
		}
	}
	// without A and D: legacy mode of VT-d, and rights that are not writable-clean
	for (const [name, { levels, trackFlags }] of Object.entries(TABLE_FORMATS)) {
		if (trackFlags !== undefined) for (const n of name === "vtd-second" ? levels : levels.slice(-1)) out.push(caseOf(name as TableFormatName, n, { accessedDirty: false }));
	}
	return out;
}

const BASE = 1n << 32n;
const OFF = { iotlb: false, walkCache: false, contextCache: false, pasidCache: false } as const;
const RID = 8;

/** Memory of the engine's frames for a reference; what it writes is kept aside. */
class Aside implements Memory {
	readonly writes = new Map<bigint, bigint>();
	/** words as they were, in the order of the reads */
	readonly reads = new Map<bigint, bigint>();

	constructor(
		private readonly engine: Engine,
		private readonly end: bigint,
	) {}

	read(pa: bigint, bytes: 4 | 8): { value: bigint } | { error: "access" } {
		if (pa < BASE || pa + BigInt(bytes) > this.end) return { error: "access" };
		const at = pa & ~7n;
		const word = this.writes.get(at) ?? this.engine.memory.read64(at);
		if (!this.writes.has(at)) this.reads.set(at, word);
		return { value: bytes === 8 ? word : (word >> (8n * (pa & 4n))) & 0xffffffffn };
	}

	write(pa: bigint, bytes: 4 | 8, value: bigint): boolean {
		const at = pa & ~7n;
		if (pa < BASE || pa + BigInt(bytes) > this.end) return false;
		const old = this.writes.get(at) ?? this.engine.memory.read64(at);
		const shift = 8n * (pa & 4n);
		this.writes.set(at, bytes === 8 ? value : (old & ~(0xffffffffn << shift)) | (value << shift));
		return true;
	}
}

export interface TableMachine {
	engine: Engine;
	unit: Unit;
	rid: number;
	/** VT-d: execute is asked with a PASID alone */
	pasid: number | null;
	table: PageTable;
	/** what a reference says, and the words of memory that it read and would have written */
	reference(address: bigint, access: "r" | "w" | "x"): { want: Result; reads: Map<bigint, bigint>; writes: Map<bigint, bigint> };
}

/** @param unused frames that are taken before the table's own */
export function tableMachine({ family, config }: TableCase, options: { frames?: number; unused?: number; registers?: Record<string, bigint> } = {}): TableMachine {
	const { frames = 3072, unused = 0 } = options;
	const { format } = config;
	const scalable = format === "vtd-first" || config.accessedDirty === true;
	const second = format.endsWith("x4");
	const own: Record<Family, Record<string, bigint>> = {
		vtd: scalable ? { RTADDR: 1n << 10n } : {},
		amdvi: {},
		smmuv3: {},
		// the byte order of second stages is the unit's
		riscv: { FCTL: (format.startsWith("riscv-sv32") ? 4n : 0n) | (second && config.bigEndian ? 1n : 0n), GXL_WRITABLE: 1n, BE_WRITABLE: 1n },
		papr: { CONTROL: config.accessedDirty ? 2n : 0n },
	};
	const engine = Engine.create({ tables: { frames, base: BASE }, units: [{ architecture: family, registers: { ...own[family], ...options.registers }, ...OFF }] });
	for (let i = 0; i < unused; i++) engine.takeFrames(0);
	const table = engine.createTable(config);
	const [unit] = engine.units;
	const first = format === "vtd-first" || format === "amd-v2" || format.startsWith("vmsav8-first") || (family === "riscv" && !second);
	const pasid = format === "vtd-first" ? 5 : null;
	unit.setRoute(RID, { type: first ? "first-stage" : "second-stage", domain: 1, table, ...(pasid === null ? {} : { pasid }) });

	const wide = (name: string) => unit.readRegister(name);
	const number = (name: string) => Number(wide(name));
	const translate = ((): ((memory: Memory, request: Request) => Result) => {
		if (family === "vtd") {
			const registers = { rtaddr: wide("RTADDR"), cap: wide("CAP"), ecap: wide("ECAP"), enabled: true, haw: number("HAW") };
			return (memory, request) => translateVtd(memory, registers, request);
		}
		if (family === "amdvi") {
			const segments = Array.from({ length: 7 }, (_, i) => wide(`SEGMENT${i + 1}`));
			const registers = { deviceTable: wide("DEVTAB"), segments, control: wide("CONTROL"), exclusionBase: 0n, exclusionLimit: 0n, extendedFeatures: wide("EFR"), addressBits: number("PASIZE") };
			return (memory, request) => translateAmdvi(memory, registers, request);
		}
		if (family === "smmuv3") {
			const registers = {
				idr0: number("IDR0"), idr1: number("IDR1"), idr3: number("IDR3"), idr5: number("IDR5"), cr0: number("CR0"), cr2: number("CR2"), gbpa: number("GBPA"),
				strtabBase: wide("STRTAB_BASE"), strtabBaseCfg: number("STRTAB_BASE_CFG"),
			};
			return (memory, request) => translateSmmuv3(memory, registers, request);
		}
		if (family === "riscv") {
			const registers = { capabilities: wide("CAPABILITIES"), fctl: wide("FCTL"), ddtp: wide("DDTP"), gxlWritable: true, beWritable: true };
			return (memory, request) => translateRiscv(memory, registers, request);
		}
		const pest = wide("PEST");
		const registers = { rttEnabled: true, rtt: BigInt.asUintN(63, wide("RTT")), tvt: wide("TVT"), pest: pest === 0n ? null : pest, pes: number("PES"), stops: false, changes: (wide("CONTROL") & 2n) !== 0n };
		return (memory, request) => translatePapr(memory, registers, request);
	})();

	return {
		engine,
		unit,
		rid: RID,
		pasid,
		table,
		reference(address, access) {
			const memory = new Aside(engine, BASE + BigInt(frames) * 4096n);
			const want = translate(memory, { device: RID, pasid, privileged: false, address, length: 1, access });
			return { want, reads: memory.reads, writes: memory.writes };
		},
	};
}

const ACCESS = { r: "read", w: "write", x: "execute" } as const;
/** messages, not memory */
const interrupts = (family: Family, address: bigint) => (family === "vtd" || family === "amdvi") && address >> 20n === 0xfeen;

/** The engine's answer, which must be the reference's in every field; and so must memory be afterwards. Null for messages. */
export function ask(machine: TableMachine, { family, tracks, config }: TableCase, address: bigint, access: "r" | "w" | "x") {
	if (interrupts(family, address)) return null;
	const { want, reads, writes } = machine.reference(address, access);
	const got = machine.unit.translate(machine.rid, address, { access: ACCESS[access], pasid: machine.pasid ?? undefined });
	const told = (left: unknown, right: unknown, what: string) => {
		if (left !== right) throw new Error(`${what} of ${access} 0x${address.toString(16)}: the engine says ${left}, the reference ${right}`);
	};
	told(got.status, want.status === "ok" || want.status === "bypass" ? "translated" : want.status, "status");
	told(got.fault, want.code, "fault code");
	for (const [at, word] of reads) told(machine.engine.memory.read64(at), writes.get(at) ?? word, `word at 0x${at.toString(16)} after`);
	if (want.status === "ok") {
		told(got.pa, want.pa, "output");
		told(BigInt(got.pageBytes), want.pageBytes, "page size");
		told(got.read, want.r, "read right");
		// until D is set a write comes back to the tables
		if (access === "w" || !(tracks || family === "riscv" || config.format === "amd-v2") || got.write) told(got.write, want.w, "write right");
		told(got.execute, want.x, "execute right");
	}
	// a RISC-V unit answers for 4 KiB of a NAPOT leaf
	const walk = family === "riscv" ? (want as RiscvResult)[config.format.endsWith("x4") ? "second" : "first"] : want;
	return { want, got, reads, leafBytes: Number(walk?.pageBytes ?? 0) };
}
