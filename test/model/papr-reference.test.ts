import { expect, test } from "vitest";
import { Engine, type HostMemory } from "../../ts/engine/index.ts";
import { CODE, translatePapr } from "../reference/papr.ts";
import { paprMachine } from "./papr-machine.ts";
import type { WordMemory } from "./word-memory.ts";

const MACHINES = process.env.IOASID_NIGHTLY ? 5_000 : 250;

/** The engine reads and writes whole doublewords. */
function host(memory: WordMemory): HostMemory {
	return {
		read(address) {
			const got = memory.read(address);
			return "error" in got ? (got.error === "poison" ? "poison" : undefined) : got.value;
		},
		write: (address, bytes, value) => memory.write(address, bytes, value),
	};
}

test("random bridges agree with the reference: answer, fault record, TCEs and PE states written", () => {
	const seen: Record<string, number> = {};
	for (let seed = 1; seed <= MACHINES; seed++) {
		const left = paprMachine(seed);
		const right = paprMachine(seed);
		const { registers, random } = left;
		const { rtt, rttEnabled, tvt, pest, pes, stops, changes } = registers;
		const engine = Engine.create({
			memory: [{ kind: "host", start: 0n, size: 1n << 60n, memory: host(right.memory) }],
			tables: { frames: 1, base: 1n << 61n, count: 1 },
			units: [{ architecture: "papr", registers: { RTT: rtt | (rttEnabled ? 1n << 63n : 0n), TVT: tvt, PEST: pest ?? 0n, PES: BigInt(pes), CONTROL: (stops ? 1n : 0n) | (changes ? 2n : 0n) } }],
		});
		const [unit] = engine.units;
		for (let i = 0; i < 30; i++) {
			const device = random.below(4);
			const address = left.address(device);
			const pasid = random.chance(0.03) ? random.below(1 << 20) : null;
			const access = random.pick(["r", "w", "w", "x"] as const);
			const request = { device, pasid, privileged: random.chance(0.2), address, length: 1, access };
			const want = translatePapr(left.memory, registers, request);
			unit.invalidate({ scope: "global" });
			const got = unit.translate(device, address, { pasid: pasid ?? undefined, access: ({ r: "read", w: "write", x: "execute" } as const)[access], privileged: request.privileged });
			const name = `seed ${seed} request ${i} ${JSON.stringify(request, (_, v) => (typeof v === "bigint" ? `0x${v.toString(16)}` : v))}`;
			const fault = want.status === "fault";
			seen[`${want.status}${want.code}`] = (seen[`${want.status}${want.code}`] ?? 0) + 1;
			expect([got.status, got.fault, fault ? 0n : got.pa], name).toEqual([want.status === "ok" || want.status === "bypass" ? "translated" : want.status, want.code, want.pa]);
			if (want.status === "ok") expect([BigInt(got.pageBytes), got.read, got.write], name).toEqual([want.pageBytes, want.r, want.w && (!changes || access === "w" || got.write)]);
			expect(right.memory.writes.map(({ pa, value }) => [pa, value]), name).toEqual(left.memory.writes.map(({ pa, value }) => [pa, value]));
			const record = unit.takeFault();
			const taken = record?.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
			expect(taken?.toString(16), name).toBe(fault ? (want.fields.record as bigint).toString(16) : undefined);
		}
	}
	for (const code of Object.values(CODE)) expect(seen[`fault${code}`], `code ${code}`).toBeGreaterThan(MACHINES / 60);
	for (const kind of ["ok0", "bypass0", "interrupt0"]) expect(seen[kind], kind).toBeGreaterThan(MACHINES / 25);
});

test("answers of the caches are those of the tables: no invalidation is needed where nothing changed", () => {
	let hits = 0;
	for (let seed = 1; seed <= MACHINES / 5; seed++) {
		const { registers, memory, random, address } = paprMachine(seed * 31);
		const { rtt, tvt, pest, pes } = registers;
		const engine = Engine.create({
			memory: [{ kind: "host", start: 0n, size: 1n << 60n, memory: host(memory) }],
			tables: { frames: 1, base: 1n << 61n, count: 1 },
			units: [{ architecture: "papr", registers: { RTT: rtt | (1n << 63n), TVT: tvt, PEST: pest ?? 0n, PES: BigInt(pes) } }],
			batch: 1,
		});
		const [unit] = engine.units;
		const columns = unit.batchBuffers();
		const addresses = Array.from({ length: 20 }, () => ({ device: random.below(4), at: address(random.below(4)) }));
		for (let i = 0; i < 80; i++) {
			const { device, at } = random.pick(addresses);
			const access = random.pick(["r", "w"] as const);
			const want = translatePapr(memory, { ...registers, rttEnabled: true, stops: false, changes: false }, { device, pasid: null, privileged: false, address: at, length: 1, access });
			const got = unit.translate(device, at, { access: access === "r" ? "read" : "write" });
			expect([got.fault, got.status === "fault" ? 0n : got.pa], `seed ${seed} request ${i}`).toEqual([want.code, want.pa]);
			if (got.hit === "iotlb") hits += 1;
			columns.iova[0] = at;
			columns.rid[0] = device;
			columns.pasid[0] = 0xffffffff;
			columns.access[0] = access === "r" ? 1 : 2;
			expect(unit.batch(1)).toBe(got.status === "translated" ? 0 : 1);
			if (got.status === "translated") expect(columns.pa[0]).toBe(got.pa);
		}
	}
	expect(hits).toBeGreaterThan(MACHINES);
});
