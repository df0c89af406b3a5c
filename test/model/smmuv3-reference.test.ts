import { expect, test } from "vitest";
import { Engine, type HostMemory, type Unit, type UnitConfig } from "../../ts/engine/index.ts";
import { encodeEvent, translateSmmuv3 } from "../reference/smmuv3.ts";
import { type SmmuMachine, smmuMachine, smmuRequest } from "./smmuv3-machine.ts";
import { WordMemory } from "./word-memory.ts";

/** SMMU_MACHINES and SMMU_SEED of the environment run other machines, and more of them. */
const MACHINES = Number(process.env.SMMU_MACHINES ?? 300);
const SEED = Number(process.env.SMMU_SEED ?? 1);
const REQUESTS = 30;

const UNCACHED: Partial<UnitConfig> = { iotlb: false, walkCache: false, contextCache: false, pasidCache: false };

/** An engine that takes one machine after another; `cold`: every request meets empty caches. */
class Subject {
	memory = new WordMemory();
	readonly unit: Unit;

	constructor(
		readonly name: string,
		readonly cold: boolean,
		caches: Partial<UnitConfig>,
	) {
		const memory: HostMemory = {
			read: (address) => {
				const got = this.memory.read(address);
				return "error" in got ? (got.error === "poison" ? "poison" : undefined) : got.value;
			},
			write: (address, bytes, value) => this.memory.write(address, bytes, value),
		};
		const engine = Engine.create({ memory: [{ kind: "host", start: 0n, size: 1n << 60n, memory }], tables: { frames: 1, base: 1n << 62n, count: 1 }, units: [{ architecture: "smmuv3", ...caches }] });
		this.unit = engine.units[0];
	}

	become({ memory, registers: r }: SmmuMachine): void {
		this.memory = new WordMemory(memory);
		for (const [name, value] of Object.entries({ IDR0: r.idr0, IDR1: r.idr1, IDR3: r.idr3, IDR5: r.idr5, CR0: r.cr0, CR2: r.cr2, GBPA: r.gbpa, STRTAB_BASE_CFG: r.strtabBaseCfg })) {
			this.unit.writeRegister(name, BigInt(value));
		}
		this.unit.writeRegister("STRTAB_BASE", r.strtabBase);
		this.unit.invalidate({ scope: "global" });
	}
}

const hex = (_: string, value: unknown) => (typeof value === "bigint" ? `0x${value.toString(16)}` : value);
const ACCESS = { r: "read", w: "write", x: "execute" } as const;

test("random stream, CD, stage-1 and stage-2 tables agree with the reference: answer, event record, A and D", () => {
	const seen: Record<string, number> = {};
	const count = (key: string) => {
		seen[key] = (seen[key] ?? 0) + 1;
	};
	const all = [new Subject("cold", true, {}), new Subject("uncached", false, UNCACHED), new Subject("warm", false, {})];
	for (let seed = SEED; seed < SEED + MACHINES; seed++) {
		const left = smmuMachine(seed);
		// caches must not be seen: tables change by A and D bits alone
		const subjects = left.apart ? all : all.slice(0, 2);
		for (const one of subjects) one.become(left);
		for (let i = 0; i < REQUESTS; i++) {
			const asked = smmuRequest(left);
			const want = translateSmmuv3(left.memory, left.registers, asked);
			count(want.status === "fault" ? `${want.reported ? "" : "quiet "}${want.code.toString(16)}${want.fields.S2 === true ? ` S2 class ${want.fields.CLASS}` : ""}` : want.status);
			if (want.status === "ok") count(`page ${want.pageBytes}`);
			const fault = want.status === "fault";
			const wanted = JSON.stringify(
				[
					fault ? "fault" : "translated",
					want.code,
					fault ? 0n : want.pa,
					// a write right waits for the dirty state
					want.status === "ok" ? [Number(want.pageBytes), want.r, want.w && want.fields.clean !== true, want.x] : 0,
					want.writes.map((w) => [w.pa, w.value]),
					encodeEvent(want),
				],
				hex,
			);
			for (const { name, cold, memory, unit } of subjects) {
				if (cold) unit.invalidate({ scope: "global" });
				const got = unit.translate(asked.device, asked.address, { pasid: asked.pasid ?? undefined, access: ACCESS[asked.access], privileged: asked.privileged });
				const record = unit.takeFault();
				const told = JSON.stringify(
					[
						got.status,
						got.fault,
						got.status === "fault" ? 0n : got.pa,
						want.status === "ok" ? [got.pageBytes, got.read, got.write, got.execute] : 0,
						memory.writes.splice(0).map((w) => [w.pa, w.value]),
						record === null ? null : [0, 8, 16, 24].map((at) => new DataView(record.buffer).getBigUint64(at, true)),
					],
					hex,
				);
				if (told !== wanted) expect(told, `seed ${seed} request ${i} ${name} ${JSON.stringify(asked, hex)}`).toBe(wanted);
			}
		}
	}
	if (process.env.SMMU_MACHINES) console.log(seen);
	// every event that such a transaction can have, by the seed of this file; stage 2 on behalf of a CD, a table, the address
	const events = ["2", "quiet 2", "3", "4", "6", "8", "9", "a", "b", "10", "11", "12", "13", "quiet 0", "quiet 13", "b S2 class 0", "b S2 class 2"];
	for (const code of [0x10, 0x11, 0x12, 0x13]) for (const at of [0, 1, 2]) events.push(`${code.toString(16)} S2 class ${at}`);
	if (MACHINES >= 300 && SEED === 1) expect(events.filter((event) => event !== "11 S2 class 1" && seen[event] === undefined)).toEqual([]);
});
