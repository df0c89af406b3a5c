import { describe, expect, it } from "vitest";
import type { Request } from "./contract.ts";
import { type SmmuRegisters, translateSmmuv3 } from "./smmuv3.ts";
import { loadVectors, SparseMemory, type VectorCase } from "./vectors.ts";

interface SmmuCase extends VectorCase {
	registers: Record<"STRTAB_BASE" | "STRTAB_BASE_CFG" | "IDR0" | "IDR1" | "IDR3" | "IDR5", string>;
	requests: Array<{
		rid: number;
		pasid: number | null;
		iova: string;
		access: Request["access"];
		enforce: "pa" | "code" | "status";
		code_alternatives?: number[];
		expect: { status: "ok" | "fault"; pa?: string; code?: number };
		pte_after?: unknown;
	}>;
}

/** CR0 has SMMUEN; CR2.RECINVSID because QEMU records C_BAD_STREAMID. */
function registersOf(item: SmmuCase): SmmuRegisters {
	const r = item.registers;
	return {
		idr0: Number(r.IDR0),
		idr1: Number(r.IDR1),
		idr3: Number(r.IDR3),
		idr5: Number(r.IDR5),
		cr0: 0xd,
		cr2: 2,
		gbpa: 0,
		strtabBase: BigInt(r.STRTAB_BASE),
		strtabBaseCfg: Number(r.STRTAB_BASE_CFG),
	};
}

describe("SMMUv3 reference against QEMU vectors", () => {
	const file = loadVectors<SmmuCase>("smmuv3-qemu");
	it.each(file.cases.map((item) => [item.id, item] as const))("%s", (_id, item) => {
		for (const wanted of item.requests) {
			const request: Request = {
				device: wanted.rid,
				pasid: wanted.pasid,
				// the oracle takes every access as privileged (README); ATTR_PERMS_OVR = 0 leaves PRIVCFG without effect
				privileged: true,
				address: BigInt(wanted.iova),
				length: 1,
				access: wanted.access,
			};
			const got = translateSmmuv3(SparseMemory.of(item, file.ram), registersOf(item), request);
			const where = `${item.id} ${wanted.iova} ${wanted.access} ${JSON.stringify(wanted.expect)}`;
			expect(got.status === "bypass" ? "ok" : got.status, where).toBe(wanted.expect.status);
			if (wanted.expect.status === "ok") {
				expect(got.pa.toString(16), where).toBe(BigInt(wanted.expect.pa as string).toString(16));
			} else if (wanted.enforce === "code") {
				expect([wanted.expect.code, ...(wanted.code_alternatives ?? [])], where).toContain(got.code);
			}
			expect(wanted.pte_after, where).toBeUndefined();
		}
	});
});
