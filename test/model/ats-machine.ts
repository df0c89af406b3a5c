/** Units whose devices have ATS and PRI, for the tests of device-TLBs and page requests. */
import { type ArchitectureName, Engine, type TableFormatName, type Unit } from "../../ts/engine/index.ts";
import { ARCHITECTURES } from "../../ts/engine/architecture.ts";
import { encodePageRequest as amdRecord } from "../reference/amdvi-records.ts";
import { encodePageRequest as riscvRecord } from "../reference/riscv-records.ts";

export const RID = 0x1234;
export const OTHER = 0x0208;
/** PAPR bridges have no ATS. */
export type AtsArchitecture = Exclude<ArchitectureName, "papr">;

/** Where the entry of a requester lies that `setRoute` has written, and the bits that allow ATS and page requests. */
export const KINDS: Record<AtsArchitecture, { format: TableFormatName; levels: number; registers: Record<string, bigint>; allow: (engine: Engine, unit: Unit, rid: number, pages?: boolean) => void }> = {
	vtd: {
		format: "vtd-second",
		levels: 4,
		registers: { RTADDR: 1n << 10n, ECAP: ARCHITECTURES.vtd.defaults.ECAP | (1n << 29n) },
		allow({ memory }, unit, rid, pages = true) {
			const root = memory.read64((unit.readRegister("RTADDR") & ~0xfffn) + BigInt((rid >> 8) * 16 + (rid & 0x80 ? 8 : 0))) & ~0xfffn;
			const at = root + BigInt((rid & 0x7f) * 32);
			memory.write64(at, memory.read64(at) | 4n | (pages ? 16n : 0n));
		},
	},
	riscv: {
		format: "riscv-sv-x4",
		levels: 4,
		registers: { CAPABILITIES: ARCHITECTURES.riscv.defaults.CAPABILITIES | (1n << 25n) },
		allow({ memory }, unit, rid, pages = true) {
			const ddtp = unit.readRegister("DDTP");
			let table = ((ddtp >> 10n) & ((1n << 44n) - 1n)) << 12n;
			for (let level = Number(ddtp & 15n) - 2; level > 0; level--) {
				const index = level === 2 ? rid >> 15 : (rid >> 6) & 511;
				table = ((memory.read64(table + BigInt(8 * index)) >> 10n) & ((1n << 44n) - 1n)) << 12n;
			}
			const at = table + BigInt((rid & 63) * 64);
			memory.write64(at, memory.read64(at) | 2n | (pages ? 4n : 0n));
		},
	},
	smmuv3: {
		format: "vmsav8-second-4k",
		levels: 4,
		registers: { IDR0: ARCHITECTURES.smmuv3.defaults.IDR0 | (1n << 10n) | (1n << 16n), CR0: ARCHITECTURES.smmuv3.defaults.CR0 | 2n | 16n },
		allow({ memory }, unit, rid, pages = true) {
			const leaf = memory.read64((unit.readRegister("STRTAB_BASE") & 0xffffffffffffc0n) + BigInt((rid >> 8) * 8)) & 0xffffffffffffc0n;
			const at = leaf + BigInt((rid & 255) * 64 + 8);
			memory.write64(at, memory.read64(at) | (1n << 28n));
			// the stream table has nothing to say of page requests
			unit.writeRegister("CR0", (unit.readRegister("CR0") & ~2n) | (pages ? 2n : 0n));
		},
	},
	amdvi: {
		format: "amd-v1",
		levels: 4,
		registers: { CONTROL: ARCHITECTURES.amdvi.defaults.CONTROL | (1n << 15n) },
		allow({ memory }, unit, rid, pages = true) {
			const at = (unit.readRegister("DEVTAB") & 0xffffffffff000n) + BigInt((rid & 0x1fff) * 32);
			if (pages) memory.write64(at, memory.read64(at) | (1n << 52n));
			memory.write64(at + 8n, memory.read64(at + 8n) | (1n << 32n));
		},
	},
};
export const NAMES = Object.keys(KINDS) as AtsArchitecture[];

export function machine(architecture: AtsArchitecture, config: { deviceTlb?: { sets: number; ways: number; devices?: number }; pageRequests?: number } = {}, pages = true) {
	const { format, levels, registers, allow } = KINDS[architecture];
	const engine = Engine.create({ units: [{ architecture, registers, deviceTlb: { sets: 4, ways: 4 }, ...config }] });
	const [unit] = engine.units;
	const table = engine.createTable({ format, levels });
	for (const rid of [RID, OTHER]) {
		unit.setRoute(rid, { type: "second-stage", domain: 5, table });
		allow(engine, unit, rid, pages);
	}
	return { engine, unit, table };
}

export const device = (unit: Unit, address: bigint, access: "read" | "write" = "read", rid = RID) => unit.translate(rid, address, { type: "device", access });
export const quads = (bytes: Uint8Array | null) => (bytes === null ? null : [0, 8].map((at) => new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at, true)));

/** The record of a request without PASID, as each specification lays it out. */
export function record(architecture: ArchitectureName, address: bigint, write: boolean, group: number, last = true): bigint[] {
	const page = address & ~0xfffn;
	const riscv = () => riscvRecord({ device: RID, pasid: null, privileged: false, execute: false, read: !write, write, last, group, address });
	// 7.4.1.1; chapter 8
	if (architecture === "vtd") return [1n | (BigInt(RID) << 16n), page | (BigInt(group) << 3n) | (last ? 4n : 0n) | (write ? 2n : 1n)];
	if (architecture === "smmuv3") return [BigInt(RID) | (last ? 1n << 62n : 0n) | (write ? 1n << 61n : 1n << 60n), page | BigInt(group)];
	if (architecture === "riscv") return [...riscv()];
	const both = amdRecord({ DeviceID: RID, PASID: null, group, last, read: !write, write, execute: false, user: false, malformed: false, Address: address });
	return [both & ((1n << 64n) - 1n), both >> 64n];
}

/** Software has seen that the queue overflowed. */
export function acknowledge(unit: Unit): void {
	if (unit.architecture === "vtd") unit.writeRegister("PRS", 0n);
	else if (unit.architecture === "amdvi") unit.writeRegister("STATUS", 0n);
	else if (unit.architecture === "smmuv3") unit.writeRegister("PRIQ_CONS", unit.readRegister("PRIQ_PROD"));
	else unit.writeRegister("PQCSR", (1n << 16n) | 1n);
}

/** The overflow bit is set: PRS.PRO, Status.PPROverflow, OVFLG against OVACKFLG, pqcsr.pqof. */
export function overflowed(unit: Unit): boolean {
	if (unit.architecture === "vtd") return (unit.readRegister("PRS") & 2n) !== 0n;
	if (unit.architecture === "amdvi") return (unit.readRegister("STATUS") & 32n) !== 0n;
	if (unit.architecture === "smmuv3") return ((unit.readRegister("PRIQ_PROD") ^ unit.readRegister("PRIQ_CONS")) & (1n << 31n)) !== 0n;
	return (unit.readRegister("PQCSR") & 512n) !== 0n;
}
