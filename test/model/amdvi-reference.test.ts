import { expect, test } from "vitest";
import { Engine, type HostMemory } from "../../ts/engine/index.ts";
import { translateAmdvi } from "../reference/amdvi.ts";
import type { SparseMemory } from "../reference/vectors.ts";
import { amdMachine } from "./amdvi-machine.ts";

/** The same memory for the engine, its writes put back after each request. */
function host(memory: SparseMemory): HostMemory {
	return {
		read(address, bytes) {
			const got = memory.read(address, bytes as 8);
			return "error" in got ? (got.error === "poison" ? "poison" : undefined) : got.value;
		},
		write: (address, bytes, value) => memory.write(address, bytes as 8, value),
	};
}

test("random device entries, GCR3, guest and host tables agree with the reference: answer, event record, A and D", () => {
	const statuses: Record<string, number> = {};
	for (let seed = 1; seed <= 400; seed++) {
		const left = amdMachine(seed);
		const right = amdMachine(seed);
		const { registers, next, one, indexes } = left;
		const engine = Engine.create({
			memory: [{ kind: "host", start: 0n, size: 1n << 56n, memory: host(right.memory) }],
			tables: { frames: 1, base: 1n << 62n, count: 1 },
			units: [
				{
					architecture: "amdvi",
					registers: {
						DEVTAB: registers.deviceTable,
						CONTROL: registers.control,
						EXCLUSION_BASE: registers.exclusionBase,
						EXCLUSION_LIMIT: registers.exclusionLimit,
						EFR: registers.extendedFeatures,
						PASIZE: BigInt(registers.addressBits ?? 52),
					},
				},
			],
		});
		const unit = engine.units[0];
		for (let i = 0; i < 25; i++) {
			let address = BigInt(next(0x1000));
			for (let level = 0; level < 6; level++) if (!one(3)) address |= BigInt(indexes[next(6)]) << BigInt(12 + 9 * level);
			address &= (1n << BigInt(Math.min(64, 12 + 9 * (1 + next(6))))) - 1n;
			if (one(20)) address = 0xfee0_0000n | BigInt(next(1 << 20));
			const pasid = one(3) ? null : one(4) ? next(1 << 20) : indexes[next(4)];
			const access = (["r", "w", "x"] as const)[next(3)];
			const privileged = one(2);
			const request = { device: 1, pasid, privileged, address, length: 1, access };
			const want = translateAmdvi(left.memory, registers, request);
			unit.invalidate({ scope: "global" });
			const got = unit.translate(1, address, { pasid: pasid ?? undefined, access: ({ r: "read", w: "write", x: "execute" } as const)[access], privileged });
			const status = want.status === "ok" || want.status === "bypass" ? "translated" : want.status;
			statuses[`${want.status}${want.code}`] = (statuses[`${want.status}${want.code}`] ?? 0) + 1;
			const name = `seed ${seed} request ${i} ${JSON.stringify(request, (_, v) => (typeof v === "bigint" ? `0x${v.toString(16)}` : v))}`;
			expect([got.status, got.fault, status === "fault" ? 0n : got.pa], name).toEqual([status, want.code, status === "fault" ? 0n : want.pa]);
			if (want.status === "ok" && want.pageBytes < 1n << 60n) expect(BigInt(got.pageBytes), name).toBe(want.pageBytes);
			expect(right.memory.writes.map((w) => [w.pa, w.value]), name).toEqual(left.memory.writes.map((w) => [w.pa, w.value]));
			const record = unit.takeFault();
			const expected = want.status === "fault" && want.reported ? (want.fields.record as bigint) : null;
			const taken = record === null ? null : record.slice(0, 16).reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
			if (taken !== null) statuses.recorded = (statuses.recorded ?? 0) + 1;
			expect(taken?.toString(16), name).toBe(expected?.toString(16));
		}
	}
	expect(Object.keys(statuses).sort()).toEqual(["bypass0", "fault1", "fault2", "fault4", "fault8", "interrupt0", "ok0", "recorded"]);
	expect(statuses.ok0).toBeGreaterThan(300);
});
