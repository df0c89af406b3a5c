/** The words by which a unit lets a requester use ATS, in the device tables that the engine's own routes made. */
import { ARCHITECTURES, type ArchitectureName, type Engine } from "../engine/index.ts";

interface AtsWords {
	/** registers of a unit that takes ATS requests */
	registers?: Record<string, bigint>;
	/** word that holds the bit, by its physical address */
	at(engine: Engine, rid: number): bigint;
	bit: bigint;
}

const FRAME = ~0xfffn & ((1n << 64n) - 1n);
const register = ({ units }: Engine, name: string) => units[0].readRegister(name);
/** VT-d 11.4.5 TTM */
const isScalable = (engine: Engine) => (register(engine, "RTADDR") & (3n << 10n)) !== 0n;

const WORDS: Record<Exclude<ArchitectureName, "papr">, AtsWords> = {
	vtd: {
		// 9.1 to 9.4: a root entry of 16 bytes for each bus, of two halves in scalable mode; context entries of 16 or 32 bytes
		at(engine, rid) {
			const scalable = isScalable(engine);
			const root = (register(engine, "RTADDR") & FRAME) + BigInt((rid >> 8) * 16 + (scalable && rid & 0x80 ? 8 : 0));
			return (engine.memory.read64(root) & FRAME) + BigInt(scalable ? (rid & 0x7f) * 32 : (rid & 0xff) * 16);
		},
		// DTE (9.4); TT 01b (9.3)
		bit: 4n,
	},
	amdvi: {
		// 48882 2.2.2.1, 3.4.3: 8 segments, DTE.I is bit 96
		at: (engine, rid) => (register(engine, rid >> 13 === 0 ? "DEVTAB" : `SEGMENT${rid >> 13}`) & 0x000f_ffff_ffff_f000n) + BigInt((rid & 0x1fff) * 32 + 8),
		bit: 1n << 32n,
	},
	smmuv3: {
		// IHI 0070 6.3.1 IDR0.ATS
		registers: { IDR0: ARCHITECTURES.smmuv3.defaults.IDR0 | (1n << 10n) },
		// 5.1, 5.2: two levels with SPLIT 8; EATS 93:92, full ATS
		at: (engine, rid) => (engine.memory.read64((register(engine, "STRTAB_BASE") & 0x00ff_ffff_ffff_ffc0n) + BigInt((rid >> 8) * 8)) & 0x00ff_ffff_ffff_ffc0n) + BigInt((rid & 0xff) * 64 + 8),
		bit: 1n << 28n,
	},
	riscv: {
		// RISC-V IOMMU 1.0 6.3 capabilities.ATS
		registers: { CAPABILITIES: ARCHITECTURES.riscv.defaults.CAPABILITIES | (1n << 25n) },
		// 3.1: DDI of 9, 9 and 6 bits, device contexts of 64 bytes; tc.EN_ATS
		at(engine, rid) {
			const next = (entry: bigint) => ((entry >> 10n) & ((1n << 44n) - 1n)) << 12n;
			const middle = next(engine.memory.read64(next(register(engine, "DDTP")) + BigInt((rid >> 15) * 8)));
			return next(engine.memory.read64(middle + BigInt(((rid >> 6) & 0x1ff) * 8))) + BigInt((rid & 63) * 64);
		},
		bit: 2n,
	},
};

/** Registers that differ from a new unit's where devices use ATS. */
export function atsRegisters(architecture: ArchitectureName): Record<string, bigint> {
	return architecture === "papr" ? {} : (WORDS[architecture].registers ?? {});
}

/** Lets a requester that has a route on the engine's first unit use ATS. */
export function allowAts(engine: Engine, rid: number): void {
	const { architecture } = engine.units[0];
	if (architecture === "papr") return;
	const { at, bit } = WORDS[architecture];
	const address = at(engine, rid);
	engine.memory.write64(address, engine.memory.read64(address) | bit);
}
