/** The engine's RISC-V IOMMU against the slow reference: whole answers, fault records, A and D updates, on random machines. */
import { expect, test } from "vitest";
import { RISCV_ATTRIBUTE_GLOBAL, RISCV_ATTRIBUTE_MRIF, RISCV_ATTRIBUTE_PBMT, RISCV_ATTRIBUTE_USER, RISCV_ATTRIBUTE_WIDE } from "../../assembly/layout.ts";
import { Engine, type HostMemory, type Translation, type Unit } from "../../ts/engine/index.ts";
import { type RiscvResult, translateRiscv } from "../reference/riscv.ts";
import { encodeFaultRecord } from "../reference/riscv-records.ts";
import type { SparseMemory } from "../reference/vectors.ts";
import { type RiscvMachine, riscvMachine } from "./riscv-machine.ts";

const ACCESS = { r: "read", w: "write", x: "execute" } as const;
const OFF = { iotlb: false, walkCache: false, contextCache: false, pasidCache: false } as const;

function host(memory: SparseMemory): HostMemory {
	return {
		read(address, bytes) {
			const got = memory.read(address, bytes as 8);
			return "error" in got ? (got.error === "poison" ? "poison" : undefined) : got.value;
		},
		write: (address, bytes, value) => memory.write(address, bytes as 8, value),
	};
}

function unitOf({ registers, memory }: RiscvMachine, caches: object): Unit {
	return Engine.create({
		memory: [{ kind: "host", start: 0n, size: 1n << 63n, memory: host(memory) }],
		tables: { frames: 1, base: 1n << 63n, count: 1 },
		units: [
			{
				architecture: "riscv",
				registers: {
					CAPABILITIES: registers.capabilities,
					FCTL: registers.fctl,
					DDTP: registers.ddtp,
					GXL_WRITABLE: registers.gxlWritable ? 1n : 0n,
					BE_WRITABLE: registers.beWritable ? 1n : 0n,
					RCID_BITS: BigInt(registers.rcidBits ?? 12),
					MCID_BITS: BigInt(registers.mcidBits ?? 12),
				},
				...caches,
			},
		],
	}).units[0];
}

const hex = (value: unknown) => `0x${BigInt(value as bigint).toString(16)}`;

/** Both sides in the same words. */
function fromReference(want: RiscvResult): string[] {
	const { fields } = want;
	if (want.status === "fault") return ["fault", `cause ${want.code}`, `iotval ${hex(fields.iotval)}`, `iotval2 ${hex(fields.iotval2)}`, `reported ${want.reported}`];
	const rights = `rights ${want.r} ${want.w} ${want.x}`;
	if (want.status === "bypass") return ["bypass", hex(want.pa), rights];
	const words = [want.status === "ok" ? "translated" : want.status, hex(want.pa), `${want.pageBytes} bytes`, rights];
	words.push(`user ${fields.user} global ${fields.global} pbmt ${fields.pbmt}`);
	if (fields.mrif) words.push(`mrif ${hex(fields.mrifAddress)} ${fields.mrifNid}`);
	return words;
}

function fromEngine(got: Translation, leafBytes: bigint): string[] {
	if (got.status === "fault") return ["fault", `cause ${got.fault}`, `iotval ${hex(got.value)}`, `iotval2 ${hex(got.value2)}`, `reported ${got.recorded}`];
	const rights = `rights ${got.read} ${got.write} ${got.execute}`;
	if (got.hit === "bypass") return ["bypass", hex(got.pa), rights];
	const has = (mask: number) => (got.attributes & mask) !== 0;
	// under SXL an IOTLB entry ends at the 34 bits of a guest address, whatever its leaf
	const cut = got.hit === "iotlb" && (got.attributes & RISCV_ATTRIBUTE_WIDE) !== 0;
	const words = [got.status, hex(got.pa), `${cut ? leafBytes : got.pageBytes} bytes`, rights];
	words.push(`user ${has(RISCV_ATTRIBUTE_USER)} global ${has(RISCV_ATTRIBUTE_GLOBAL)} pbmt ${got.attributes & RISCV_ATTRIBUTE_PBMT}`);
	if (has(RISCV_ATTRIBUTE_MRIF)) words.push(`mrif ${hex(got.value)} ${got.value2}`);
	return words;
}

/** The record that a unit has taken, as its doublewords; null when none. */
function recordOf(unit: Unit, swapped: boolean): string | null {
	const bytes = unit.takeFault();
	if (bytes === null) return null;
	const view = new DataView(bytes.buffer, bytes.byteOffset);
	return [0, 8, 16, 24].map((at) => hex(view.getBigUint64(at, !swapped))).join(" ");
}

const MODES = [
	["cold", {}],
	["off", OFF],
	["warm", { iotlb: { sets: 2, ways: 2 }, walkCache: { sets: 2, ways: 1 }, contextCache: { sets: 1, ways: 2 }, pasidCache: { sets: 1, ways: 2 } }],
	["warm", {}],
] as const;

const first = Number(process.env.IOASID_SEED ?? 1);
const machines = Number(process.env.IOASID_MACHINES ?? (process.env.IOASID_NIGHTLY ? 4000 : 120));

test(`${machines} random machines agree with the reference: answer, fault record, A and D`, () => {
	const seen: Record<string, number> = {};
	const count = (what: string) => {
		seen[what] = (seen[what] ?? 0) + 1;
	};
	for (let seed = first; seed < first + machines; seed++) {
		const [mode, caches] = MODES[seed % MODES.length];
		const left = riscvMachine(seed, mode === "warm");
		const right = riscvMachine(seed, mode === "warm");
		const unit = unitOf(right, caches);
		const swapped = (left.registers.fctl & 1n) !== 0n;
		for (let i = 0; i < 40; i++) {
			const request = left.request();
			const want = translateRiscv(left.memory, left.registers, request);
			if (mode !== "warm") unit.invalidate({ scope: "global" });
			const got = unit.translate(request.device, request.address, { pasid: request.pasid ?? undefined, access: ACCESS[request.access], privileged: request.privileged });
			const name = `seed ${seed} (${mode}) request ${i} ${JSON.stringify(request, (_, v) => (typeof v === "bigint" ? hex(v) : v))}`;
			expect(fromEngine(got, want.pageBytes), name).toEqual(fromReference(want));
			expect(right.memory.writes.map((w) => `${hex(w.pa)} ${w.bytes} ${hex(w.value)}`), name).toEqual(left.memory.writes.map((w) => `${hex(w.pa)} ${w.bytes} ${hex(w.value)}`));
			const record = want.status === "fault" && want.reported ? encodeFaultRecord(want).map(hex).join(" ") : null;
			expect(recordOf(unit, swapped), name).toBe(record);
			count(want.status === "fault" ? `fault ${want.code}` : want.status);
			if (want.fields.mrif) count("mrif");
			if (want.status === "ok" && want.first?.entryAddress && want.second?.entryAddress) count("nested");
			for (const phase of want.phases) count(`update ${phase}`);
			if (want.status === "fault" && (BigInt(want.fields.iotval2) & 3n) !== 0n) count(`iotval2 |${BigInt(want.fields.iotval2) & 3n}`);
			if (got.hit === "iotlb") count("hit");
			left.memory.writes.length = 0;
			right.memory.writes.length = 0;
			left.memory.reads.length = 0;
			right.memory.reads.length = 0;
		}
	}
	if (process.env.IOASID_SHOW) console.log(seen);
	if (machines < 100) return;
	const causes = [1, 5, 7, 12, 13, 15, 20, 21, 23, 256, 257, 258, 259, 260, 261, 262, 263, 265, 266, 267, 268, 269, 270, 274];
	const updates = ["s1", "s2", "s2-implicit", "s2-pdt"].map((phase) => `update ${phase}`);
	for (const what of [...causes.map((cause) => `fault ${cause}`), ...updates, "ok", "bypass", "interrupt", "mrif", "nested", "hit", "iotval2 |1", "iotval2 |3"]) {
		expect(seen[what] ?? 0, what).toBeGreaterThan(0);
	}
});
