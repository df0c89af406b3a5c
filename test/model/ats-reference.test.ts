/** Translation requests and translated requests against the slow references: completions, faults, records, A and D. */
import { expect, test } from "vitest";
import type { UnitConfig } from "../../ts/engine/index.ts";
import type { Result } from "../reference/contract.ts";
import { translateAmdvi } from "../reference/amdvi.ts";
import { translateRiscv } from "../reference/riscv.ts";
import { encodeFaultRecord } from "../reference/riscv-records.ts";
import { encodeEvent, translateSmmuv3 } from "../reference/smmuv3.ts";
import { faultRecord, translateVtd } from "../reference/vtd.ts";
import { amdMachine, DEVTAB } from "./amdvi-machine.ts";
import { ask, type AtsRequest, expected, text, told, typed, unitOver } from "./ats-subject.ts";
import { Random } from "./random.ts";
import { riscvMachine } from "./riscv-machine.ts";
import { smmuMachine, smmuRequest } from "./smmuv3-machine.ts";
import { vtdMachine, vtdRequest } from "./vtd-machine.ts";
import { WordMemory } from "./word-memory.ts";

const MACHINES = Number(process.env.ATS_MACHINES ?? 70);
const SEED = Number(process.env.ATS_SEED ?? 1);
const REQUESTS = 25;
const OFF: Partial<UnitConfig> = { iotlb: false, walkCache: false, contextCache: false, pasidCache: false };

const words = (record: Uint8Array | null, count: number, big = false) =>
	record === null ? null : Array.from({ length: count }, (_, i) => new DataView(record.buffer, record.byteOffset).getBigUint64(8 * i, !big).toString(16));
const hexes = (list: readonly bigint[] | null) => (list === null ? null : list.map((value) => value.toString(16)));
const counter = () => {
	const seen: Record<string, number> = {};
	return {
		seen,
		count(request: AtsRequest, want: Result) {
			const key = `${request.type} ${want.status === "fault" ? want.code.toString(16) : want.status}${request.type === "translation" ? ` ${want.fields.response ?? 0}` : ""}`;
			seen[key] = (seen[key] ?? 0) + 1;
		},
	};
};
/** Every one of `keys` was met, by the seeds of this file. */
function covered(seen: Record<string, number>, keys: string) {
	if (process.env.ATS_SHOW) console.log(seen);
	if (MACHINES >= 70 && SEED === 1) expect(keys.split(", ").filter((key) => seen[key] === undefined)).toEqual([]);
}

test("VT-d", () => {
	const { seen, count } = counter();
	for (let seed = SEED; seed < SEED + MACHINES; seed++) {
		const left = vtdMachine(seed);
		const { registers, random } = left;
		const config = (caches: Partial<UnitConfig>): UnitConfig => ({
			architecture: "vtd",
			registers: { RTADDR: registers.rtaddr, CAP: registers.cap, ECAP: registers.ecap, HAW: BigInt(registers.haw), GSTS: registers.enabled ? 1n << 31n : 0n },
			...caches,
		});
		const subjects = [{}, OFF].map((caches) => {
			const { memory } = vtdMachine(seed);
			return { memory, unit: unitOver(memory, config(caches)) };
		});
		let again = 0x1000n;
		for (let i = 0; i < REQUESTS; i++) {
			const request = typed(random, vtdRequest(random, (registers.rtaddr & 0xc00n) === 0x400n), again);
			const want = translateVtd(left.memory, registers, { ...request, at: request.type });
			if (want.status === "ok") again = want.pa;
			count(request, want);
			const compared = { request, privileged: request.pasid !== null && request.privileged, flags: null, most: 1n << 30n };
			const name = `seed ${seed} request ${i} ${text(request)}`;
			const writes = left.memory.writes.splice(0).map((w) => [w.pa, w.value]);
			for (const { memory, unit } of subjects) {
				const got = ask(unit, request);
				// RID_PRIV is not told: Priv travels with a PASID
				// a leaf around the interrupt range is cached by pages
				const cut = got.hit === "iotlb" && BigInt(got.pageBytes) < want.pageBytes ? { ...want, pageBytes: BigInt(got.pageBytes) } : want;
				expect(told({ ...compared, want: cut }, got), name).toEqual(expected({ ...compared, want: cut }));
				expect(memory.writes.splice(0).map((w) => [w.pa, w.value]), name).toEqual(writes);
				expect(words(unit.takeFault(), 2), name).toEqual(want.status === "fault" && want.reported ? hexes(faultRecord(want)) : null);
			}
		}
	}
	covered(seen, "translation ok 0, translation d 1, translation 44 1, translation 6 0, translation 71 0, translation 79 0, translation 5a 4, translation 72 0, translation 59 0, translated ok, translated d, translated 44, translated 83");
});

test("RISC-V", () => {
	const { seen, count } = counter();
	for (let seed = SEED; seed < SEED + MACHINES; seed++) {
		const warm = seed % 2 === 0;
		const left = riscvMachine(seed, warm, true);
		const right = riscvMachine(seed, warm, true);
		const random = new Random(seed + 7);
		const { registers } = left;
		const unit = unitOver(right.memory, {
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
		});
		let again = 0x1000n;
		for (let i = 0; i < REQUESTS; i++) {
			const made = typed(random, left.request(), again);
			// a translation request is a read or a fetch
			const request: AtsRequest = made.type === "translation" && made.access === "w" ? { ...made, access: "r" } : made;
			const want = translateRiscv(left.memory, registers, { ...request, type: request.type === "translation" ? "ats" : request.type });
			if (want.status === "ok") again = want.pa;
			count(request, want);
			if (!warm) unit.invalidate({ scope: "global" });
			const got = ask(unit, request);
			const { fields } = want;
			const flags = (fields.global ? 32n : 0n) | (fields.untranslatedOnly ? 4n : 0n);
			// under SXL an IOTLB entry ends at the 34 bits of a guest address
			const compared = { request, want: got.hit === "iotlb" && BigInt(got.pageBytes) < want.pageBytes ? { ...want, pageBytes: BigInt(got.pageBytes) } : want, privileged: Boolean(fields.priv) && request.pasid !== null, flags };
			const name = `seed ${seed} request ${i} ${text(request)}`;
			expect(told(compared, got), name).toEqual(expected(compared));
			expect(right.memory.writes.splice(0).map((w) => [w.pa, w.value]), name).toEqual(left.memory.writes.splice(0).map((w) => [w.pa, w.value]));
			expect(words(unit.takeFault(), 4, (registers.fctl & 1n) !== 0n), name).toEqual(want.status === "fault" && want.reported ? hexes(encodeFaultRecord(want)) : null);
		}
	}
	covered(seen, "translation ok 0, translation interrupt 0, translation d 0, translation c 0, translation 15 0, translation 104 1, translation 5 4, translation 10a 0, translated bypass, translated ok, translated 104");
});

test("SMMUv3", () => {
	const { seen, count } = counter();
	for (let seed = SEED; seed < SEED + 2 * MACHINES; seed++) {
		const left = smmuMachine(seed, true);
		const { registers: r, random } = left;
		const registers = { IDR0: r.idr0, IDR1: r.idr1, IDR3: r.idr3, IDR5: r.idr5, CR0: r.cr0, CR2: r.cr2, GBPA: r.gbpa, STRTAB_BASE: r.strtabBase, STRTAB_BASE_CFG: r.strtabBaseCfg };
		const config = (caches: Partial<UnitConfig>): UnitConfig => ({ architecture: "smmuv3", registers: Object.fromEntries(Object.entries(registers).map(([name, value]) => [name, BigInt(value)])), ...caches });
		const subjects = (left.apart ? [{}, OFF] : [OFF]).map((caches) => {
			const memory = new WordMemory(left.memory);
			return { memory, unit: unitOver(memory, config(caches)) };
		});
		let again = 0x1000n;
		for (let i = 0; i < REQUESTS; i++) {
			const request = typed(random, smmuRequest(left), again);
			const want = translateSmmuv3(left.memory, r, request);
			if (want.status === "ok") again = want.pa;
			count(request, want);
			// what the stream makes of the privilege is told
			const { privileged, flags } = { privileged: false, flags: null };
			const writes = left.memory.writes.splice(0).map((w) => [w.pa, w.value]);
			const name = `seed ${seed} request ${i} ${text(request)}`;
			for (const { memory, unit } of subjects) {
				const got = ask(unit, request);
				const priv = got.completion?.privileged ?? privileged;
				// a write right waits for the dirty state
				const settled = request.type === "translated" && want.fields.clean === true ? { ...want, w: false } : want;
				const compared = { request, want: settled, privileged: priv, flags };
				expect(told(compared, got), name).toEqual(expected(compared));
				expect(memory.writes.splice(0).map((w) => [w.pa, w.value]), name).toEqual(writes);
				expect(words(unit.takeFault(), 4), name).toEqual(hexes(encodeEvent(want)));
			}
		}
	}
	covered(seen, "translation ok 0, translation bypass 0, translation 5 1, translation 10 0, translation 13 0, translation 0 1, translation a 4, translation 4 4, translation b 4, translated ok, translated bypass, translated 7, translated 10, translated 13");
});

test("AMD-Vi", () => {
	const { seen, count } = counter();
	for (let seed = SEED; seed < SEED + MACHINES; seed++) {
		const left = amdMachine(seed);
		const right = amdMachine(seed);
		const { registers, next, one, indexes } = left;
		const random = new Random(seed + 7);
		// DTE.I (bit 96)
		if (!one(6)) for (const { memory } of [left, right]) memory.set(DEVTAB + 40n, memory.get(DEVTAB + 40n) | (1n << 32n));
		const unit = unitOver(right.memory, {
			architecture: "amdvi",
			registers: {
				DEVTAB: registers.deviceTable,
				CONTROL: registers.control,
				EXCLUSION_BASE: registers.exclusionBase,
				EXCLUSION_LIMIT: registers.exclusionLimit,
				EFR: registers.extendedFeatures,
				PASIZE: BigInt(registers.addressBits ?? 52),
			},
		});
		for (let i = 0; i < REQUESTS; i++) {
			let address = BigInt(next(0x1000));
			for (let level = 0; level < 6; level++) if (!one(3)) address |= BigInt(indexes[next(6)]) << BigInt(12 + 9 * level);
			address &= (1n << BigInt(Math.min(64, 12 + 9 * (1 + next(6))))) - 1n;
			if (one(20)) address = 0xfee0_0000n | BigInt(next(1 << 20));
			const pasid = one(3) ? null : one(4) ? next(1 << 20) : indexes[next(4)];
			const access = (["r", "w", "x"] as const)[next(3)];
			const request = typed(random, { device: one(30) ? 0x8000 : 1, pasid, privileged: one(2), address, length: 1, access }, 0x1000n);
			const want = translateAmdvi(left.memory, registers, request);
			count(request, want);
			unit.invalidate({ scope: "global" });
			const got = ask(unit, request);
			const { FC, U, G } = want.fields;
			const flags = (FC ? 1024n : 0n) | (U ? 4n : 0n) | (G && pasid !== null ? 32n : 0n);
			const compared = { request, want, privileged: request.privileged && pasid !== null, flags };
			const name = `seed ${seed} request ${i} ${text(request)}`;
			expect(told(compared, got), name).toEqual(expected(compared));
			expect(right.memory.writes.splice(0).map((w) => [w.pa, w.value]), name).toEqual(left.memory.writes.splice(0).map((w) => [w.pa, w.value]));
			const record = want.fields.record as bigint;
			expect(words(unit.takeFault(), 2), name).toEqual(want.status === "fault" && want.reported ? hexes([record & ((1n << 64n) - 1n), record >> 64n]) : null);
		}
	}
	covered(seen, "translation ok 0, translation bypass 0, translation 2 0, translation 8 1, translation 4 4, translated bypass, translated 8");
});
