import { expect, test } from "vitest";
import { Engine, type HostMemory, type Unit, type UnitConfig } from "../../ts/engine/index.ts";
import type { Result } from "../reference/contract.ts";
import type { SparseMemory } from "../reference/vectors.ts";
import { faultRecord, translateVtd } from "../reference/vtd.ts";
import type { Random } from "./random.ts";
import { INDEXES, RIDS, vtdMachine } from "./vtd-machine.ts";

/** VTD_MACHINES and VTD_SEED of the environment run other machines, and more of them. */
const MACHINES = Number(process.env.VTD_MACHINES ?? 400);
const SEED = Number(process.env.VTD_SEED ?? 2000);
const REQUESTS = 25;

function host(memory: SparseMemory): HostMemory {
	return {
		read(address, bytes) {
			const got = memory.read(address, bytes as 8);
			return "error" in got ? (got.error === "poison" ? "poison" : undefined) : got.value;
		},
		write: (address, bytes, value) => memory.write(address, bytes as 8, value),
	};
}

const UNCACHED: Partial<UnitConfig> = { iotlb: false, walkCache: false, contextCache: false, pasidCache: false };

/** The machine of a seed in an engine; `cold`: every request meets empty caches. */
function subject(name: string, seed: number, caches: Partial<UnitConfig>, cold: boolean) {
	const { memory, registers } = vtdMachine(seed);
	const engine = Engine.create({
		memory: [{ kind: "host", start: 0n, size: 1n << 56n, memory: host(memory) }],
		tables: { frames: 1, base: 1n << 62n, count: 1 },
		units: [
			{
				architecture: "vtd",
				registers: { RTADDR: registers.rtaddr, CAP: registers.cap, ECAP: registers.ecap, HAW: BigInt(registers.haw), GSTS: registers.enabled ? 1n << 31n : 0n },
				...caches,
			},
		],
	});
	return { name, memory, unit: engine.units[0] as Unit, cold };
}

const KINDS = ["r", "w", "x"] as const;

function request(random: Random, scalable: boolean) {
	const one = (of: number) => random.below(of) === 0;
	const levels = random.pick([3, 4, 4, 5]);
	let address = BigInt(random.below(0x1000));
	for (let level = 0; level < levels; level++) if (!one(3)) address |= BigInt(random.pick(INDEXES)) << BigInt(12 + 9 * level);
	if (levels > 3 && address >> BigInt(11 + 9 * levels) !== 0n && !one(3)) address |= (1n << 64n) - (1n << BigInt(12 + 9 * levels));
	if (one(20)) address = 0xfee0_0000n | BigInt(random.below(1 << 20));
	if (one(20)) address = random.bits64() >> BigInt(random.below(40));
	const pasid = one(3) || (!scalable && !one(10)) ? null : one(20) ? random.below(1 << 20) : random.pick([0, 1, 2, 3, 63, 64, 65, 66, 127, 0xfffff]);
	return { device: random.pick(RIDS), pasid, privileged: one(3), address, length: 1, access: random.pick(KINDS) };
}

const ACCESS = { r: "read", w: "write", x: "execute" } as const;

test("random root, context, PASID, first- and second-stage tables agree with the reference: answer, fault record, A and D", () => {
	const seen: Record<string, number> = {};
	for (let seed = SEED; seed < SEED + MACHINES; seed++) {
		const left = vtdMachine(seed);
		// caches must not be seen: tables change by A and D bits alone
		const subjects = [subject("cold", seed, {}, true), subject("warm", seed, {}, false), subject("uncached", seed, UNCACHED, false)];
		let last = request(left.random, true);
		let before: Result | undefined;
		for (let i = 0; i < REQUESTS; i++) {
			// often the same page again, for another access
			const again = before?.status === "ok" && left.random.chance(0.6);
			const asked = again ? { ...last, access: left.random.pick(KINDS), privileged: left.random.chance(0.3) } : request(left.random, (left.registers.rtaddr & 0xc00n) === 0x400n);
			const want = translateVtd(left.memory, left.registers, asked);
			last = asked;
			before = want;
			const key = want.status === "fault" ? want.code.toString(16) : want.status;
			seen[key] = (seen[key] ?? 0) + 1;
			const text = JSON.stringify(asked, (_, v) => (typeof v === "bigint" ? `0x${v.toString(16)}` : v));
			for (const { name, memory, unit, cold } of subjects) {
				const where = `seed ${seed} request ${i} ${name} ${text}`;
				if (cold) unit.invalidate({ scope: "global" });
				const got = unit.translate(asked.device, asked.address, { pasid: asked.pasid ?? undefined, access: ACCESS[asked.access], privileged: asked.privileged });
				const status = want.status === "ok" || want.status === "bypass" ? "translated" : want.status;
				const answer = [got.status, got.fault.toString(16), status === "fault" ? 0n : got.pa];
				expect(answer, where).toEqual([status, want.code.toString(16), status === "fault" ? 0n : want.pa]);
				if (want.status === "ok" && want.pageBytes <= 1n << 30n) {
					// a large leaf around the interrupt range is cached a page at a time
			const around = want.pageBytes > 4096n && want.pa / want.pageBytes === 0xfee0_0000n / want.pageBytes && got.pageBytes === 4096;
			expect([around ? want.pageBytes : BigInt(got.pageBytes), got.read, got.execute], where).toEqual([want.pageBytes, want.r, want.x]);
					// a write right may wait for the D bit
					if (asked.access === "w" || !want.w) expect(got.write, where).toBe(want.w);
				}
				const writes = memory.writes.splice(0).map((w) => [w.pa, w.value]);
				expect(writes, where).toEqual(left.memory.writes.map((w) => [w.pa, w.value]));
				const record = unit.takeFault();
				const words = record === null ? null : [new DataView(record.buffer).getBigUint64(0, true), new DataView(record.buffer).getBigUint64(8, true)];
				expect(words, where).toEqual(want.status === "fault" && want.reported ? faultRecord(want) : null);
			}
			left.memory.writes.splice(0);
		}
	}
	if (process.env.VTD_MACHINES) console.log(seen);
	// every reason that an untranslated request can have, by the seed of this file
	const reasons = "1 2 3 4 5 6 7 8 9 a b c 30 31 33 38 39 3a 40 41 42 45 46 48 50 51 52 58 59 5a 5b 5c 5d 70 71 72 73 74 75 76 77 78 79 7a 7b 7c 7d 80 81 82 83 84 85 86 87 90 91 bypass interrupt ok";
	if (MACHINES >= 400 && SEED === 2000) expect(reasons.split(" ").filter((reason) => seen[reason] === undefined)).toEqual([]);
});
