/**
 * Random calls at all doors against the plain model: a DMA reaches exactly the bytes that its routes allow, a refused call
 * changes nothing, and in the end nothing is charged or routed. IOASID_NIGHTLY=1 makes 10^6 calls instead of 10^4.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OPS, operation, Walk } from "./random-calls.ts";

const TOTAL = Number(process.env.IOASID_RANDOM ?? (process.env.IOASID_NIGHTLY === "1" ? 1_000_000 : 10_000));
const LENGTH = 250;
const KINDS = ["vtd", "riscv", "smmuv3", "amdvi", "ppc"] as const;
/** what needs PASIDs, or users' tables */
const NOT_ON_PPC: readonly string[] = ["kvm", "enqcmd", "pasids"];

describe("random calls at all doors", () => {
	for (const kind of KINDS) {
		it(`reach exactly what their routes allow (${kind})`, () => {
			const taken = new Map<string, number>();
			fc.assert(
				fc.property(fc.array(operation, { minLength: LENGTH / 2, maxLength: LENGTH, size: "max" }), (ops) => {
					const walk = new Walk(kind);
					for (const [i, op] of ops.entries()) {
						const done = walk.step(op);
						walk.sweep();
						walk.check(!done || i % 8 === 0 ? 24 : 6);
					}
					walk.check(200);
					walk.finish();
					for (const [op, count] of walk.taken) taken.set(op, (taken.get(op) ?? 0) + count);
				}),
				{ numRuns: Math.ceil(TOTAL / (LENGTH / 2) / KINDS.length), seed: Number(process.env.IOASID_SEED ?? 20210709), interruptAfterTimeLimit: process.env.IOASID_NIGHTLY ? 3_600_000 : 45_000, endOnFailure: process.env.IOASID_SHRINK === "0" },
			);
			// no door refuses everything
			for (const op of OPS) if (kind !== "ppc" || !NOT_ON_PPC.includes(op)) expect(taken.get(op) ?? 0, op).toBeGreaterThan(5);
		});
	}
});
