/** Every bit of every kind of entry turned over, one by one: the engine, the reference and the specification's table agree. */
import { describe, expect, it } from "vitest";
import type { TableFormatName } from "../../ts/engine/index.ts";
import { TABLE_FORMATS } from "../../ts/engine/page-table-formats.ts";
import { type Effect, effect, type EntryPlace, WIDTHS } from "./entry-bits.ts";
import { ask, caseOf, stride, type TableCase, tableMachine } from "./table-machine.ts";

const ACCESSES = ["r", "w", "x"] as const;
/** OUTCOME_* by name */
const OUTCOMES: Record<string, number> = { absent: 1, reserved: 2, "no-read": 3, "no-write": 4, "no-execute": 5, "no-user": 6, "output-size": 8, "update-refused": 11 };
/** these are said of the entry itself; rights are those of the whole walk */
const OWN = ["absent", "reserved", "output-size"];

interface Trial {
	shape: TableCase;
	plain: boolean;
	registers: Record<string, bigint>;
}

/** Units that are narrower than entries can say, with and without their optional bits. */
function trials(): Trial[] {
	const out: Trial[] = [];
	for (const [name, { levels, bigEndian, upper, inputBits }] of Object.entries(TABLE_FORMATS)) {
		const format = name as TableFormatName;
		const width = format.startsWith("vtd") ? { outputBits: WIDTHS.haw } : format.startsWith("vmsav8") ? { outputBits: WIDTHS.vmsa } : {};
		for (const n of levels) {
			// an IPA is not wider than the unit's output
			const narrow = format.startsWith("vmsav8-second") ? { inputBits: Math.min(WIDTHS.vmsa, inputBits(n)) } : {};
			const fixed = { accessedDirty: false, ...width, ...narrow };
			const registers: Record<string, bigint> = {};
			if (format.startsWith("vtd")) registers.HAW = BigInt(WIDTHS.haw);
			if (format === "amd-v2") registers.PASIZE = BigInt(WIDTHS.haw);
			// OAS 44 bits, every granule
			if (format.startsWith("vmsav8")) registers.IDR5 = 4n | (7n << 4n);
			out.push({ shape: caseOf(format, n, fixed), plain: false, registers });
			// ECAP without SC and DT: QI, PT
			if (format === "vtd-second") out.push({ shape: caseOf(format, n, fixed), plain: true, registers: { ...registers, ECAP: 2n | 64n } });
			// capabilities without Svpbmt and Svrsw60t59b
			if (format.startsWith("riscv-sv") && !format.startsWith("riscv-sv32")) {
				out.push({ shape: caseOf(format, n, fixed), plain: true, registers: { CAPABILITIES: 0x10n | (0xfn << 8n) | (0xfn << 16n) | (7n << 22n) | (1n << 27n) | (56n << 32n) | (7n << 38n) } });
			}
			if (bigEndian !== undefined) out.push({ shape: caseOf(format, n, { ...fixed, bigEndian: true, ...(upper === undefined ? {} : { upper: true }) }), plain: false, registers });
		}
	}
	return out;
}

const swapped = (word: bigint, bytes: number) => {
	let out = 0n;
	for (let i = 0; i < bytes; i++) out = (out << 8n) | ((word >> BigInt(8 * i)) & 0xffn);
	return out;
};

const text = (one: Effect) => (typeof one === "string" ? one : String(one.output));

describe("each bit turned over", () => {
	it.each(trials().map((trial) => [`${trial.shape.name}${trial.plain ? ", of a plain unit" : ""}`, trial] as const))("in the entries of %s", (_name, { shape, plain, registers }) => {
		const { config, leaves, inputBits } = shape;
		const { format, levels } = config;
		const page = leaves[0];
		const bytes = format.startsWith("riscv-sv32") ? 4 : 8;
		const big = config.bigEndian === true || shape.family === "papr";
		const seen: Record<string, number> = {};
		// by day a third of AMD's 7h pages
		for (const leaf of leaves.filter((lg2) => process.env.IOASID_NIGHTLY || leaves.length < 10 || lg2 % 9 === 3 || lg2 % 3 === 1)) {
			// tables at addresses that are not aligned as large leaves are
			const machine = tableMachine(shape, { frames: 1024, unused: 5, registers });
			const { engine, table } = machine;
			const step = shape.family === "papr" ? Math.max(9, Math.ceil((inputBits - page) / levels)) : stride(format, page);
			const leafLevel = Math.floor((leaf - page) / step);
			// no index is zero
			let address = 0n;
			for (let level = leafLevel; level < levels; level++) address |= 0x82n << BigInt(page + step * level);
			address &= ((1n << BigInt(shape.signed ? inputBits - 1 : inputBits)) - 1n) & ~((1n << BigInt(leaf)) - 1n);
			if (config.upper) address |= (1n << 64n) - (1n << BigInt(inputBits));
			const output = 1n << BigInt(Math.max(33, leaf));
			table.map(address, output, 1n << BigInt(leaf), { read: true, write: true, execute: true });
			address += 0x123n;
			const base = ask(machine, shape, address, "r");
			expect(base?.got, `leaf of 2^${leaf}`).toMatchObject({ status: "translated", pa: output + 0x123n });
			const walked = levels - leafLevel;
			const path = [...(base?.reads.keys() ?? [])].slice(-walked);
			for (let i = 0; i < walked; i++) {
				const level = levels - 1 - i;
				const last = i === walked - 1;
				// tables of each level once
				if (!last && leaf !== page) continue;
				// half a word: two entries of four bytes
				const odd = bytes === 4 && ((address >> BigInt(page + step * level)) & 1n) === 1n;
				const at = path[i];
				const word = engine.memory.read64(at);
				const entry = bytes === 8 ? (big ? swapped(word, 8) : word) : big ? swapped((word >> (odd ? 32n : 0n)) & 0xffffffffn, 4) : (word >> (odd ? 32n : 0n)) & 0xffffffffn;
				const place: EntryPlace = { format, level, levels, leaf: last ? leaf : null, entry, address, output, plain };
				for (let bit = 0; bit < 8 * bytes; bit++) {
					const flip = big ? swapped(1n << BigInt(bit), bytes) : 1n << BigInt(bit);
					const wants = ACCESSES.map((access) => effect(place, bit, access));
					// where all accesses come to the same, one of them is asked for by day
					const same = !process.env.IOASID_NIGHTLY && wants.every((one) => text(one) === text(wants[0]));
					for (const [n, access] of ACCESSES.entries()) {
						if (same && n !== bit % 3) continue;
						engine.memory.write64(at, word ^ (odd ? flip << 32n : flip));
						const where = `${access}, bit ${bit} of ${last ? `the leaf of 2^${leaf}` : "the table entry"} at level ${level}, 0x${entry.toString(16)}`;
						const answer = (() => {
							try {
								return ask(machine, shape, address, access);
							} catch (error) {
								throw new Error(`${where}: ${error instanceof Error ? error.message : error}`, { cause: error });
							}
						})();
						// A and D of the path
						for (const [back, old] of answer?.reads ?? []) engine.memory.write64(back, back === at ? word : old);
						const got = answer?.got;
						if (got === undefined) throw new Error(`${where}: an interrupt`);
						const want: Effect = wants[n];
						seen[typeof want === "string" ? want : "moves"] = (seen[typeof want === "string" ? want : "moves"] ?? 0) + 1;
						const entryAddress = at + (odd ? 4n : 0n);
						// a pointer may lead back to its own table, one level down
						const here = got.entryAddress === entryAddress && got.level === level;
						const told = got.status === "fault" ? `${Object.keys(OUTCOMES).find((name) => OUTCOMES[name] === got.outcome) ?? got.outcome} at ${here ? "it" : "another"}` : `0x${got.pa.toString(16)}`;
						let right: boolean;
						if (want === "same") right = got.status === "translated" && got.pa === output + 0x123n;
						else if (typeof want === "object") right = got.status === "translated" && got.pa === want.output;
						else if (want === "elsewhere") right = got.status === "fault" ? !here : got.pa !== output + 0x123n;
						else right = got.status === "fault" && got.outcome === OUTCOMES[want] && (!OWN.includes(want) || here);
						if (!right) throw new Error(`${where}: the specification says ${typeof want === "string" ? want : `0x${want.output.toString(16)}`}, the engine ${told}`);
					}
				}
			}
		}
		expect(seen.same ?? 0, "ignored bits").toBeGreaterThan(0);
		expect(seen.moves ?? 0, "output bits").toBeGreaterThan(0);
		expect((seen.reserved ?? 0) + (seen["output-size"] ?? 0), "bits that fault").toBeGreaterThan(0);
	});
});
