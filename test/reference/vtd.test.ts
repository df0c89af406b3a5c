/** The VT-d reference against QEMU's answers (test/vectors/vtd-qemu.json.gz). Hand-made cases: vtd-spec.test.ts. */
import { describe, expect, it } from "vitest";
import type { Request } from "./contract.ts";
import { loadVectors, SparseMemory, type VectorCase } from "./vectors.ts";
import { capabilities, REASON, translateVtd, walkFirstStage, walkSecondStage } from "./vtd.ts";

interface VtdVectorRequest {
	rid: number;
	iova: string;
	access: "r" | "w";
	scope: "walk" | "context";
	enforce: "pa" | "code" | "status";
	code_alternatives?: number[];
	spec_code_unverified?: number[];
	expect: { status: "ok"; pa: string } | { status: "fault"; code: number; name: string };
	pte_after?: Array<[string, string]>;
}

interface VtdVectorCase extends VectorCase {
	variant: string;
	registers: { RTADDR_REG: string; CAP_REG: string; ECAP_REG: string };
	space: { format: string; root: string; levels: 3 | 4 | 5; haw: number } | null;
	requests: VtdVectorRequest[];
}

function requestOf(request: VtdVectorRequest): Request {
	return { device: request.rid, pasid: null, privileged: false, address: BigInt(request.iova), length: 1, access: request.access };
}

describe("VT-d reference", () => {
	const file = loadVectors<VtdVectorCase>("vtd-qemu");
	it.each(file.cases.map((item): [string, VtdVectorCase] => [item.id, item]))("%s, whole translation", (_id, item) => {
		for (const request of item.requests) {
			const memory = SparseMemory.of(item, file.ram);
			const got = translateVtd(
				memory,
				{
					rtaddr: BigInt(item.registers.RTADDR_REG),
					cap: BigInt(item.registers.CAP_REG),
					ecap: BigInt(item.registers.ECAP_REG),
					enabled: true,
					haw: item.space?.haw,
				},
				requestOf(request),
			);
			const where = `${JSON.stringify(request)} got ${got.status} ${got.code.toString(16)} ${got.pa.toString(16)}`;
			expect(got.status, where).toBe(request.expect.status);
			if (request.expect.status === "ok") {
				expect(got.pa, where).toBe(BigInt(request.expect.pa));
			} else if (request.enforce === "code") {
				expect([request.expect.code, ...(request.code_alternatives ?? [])], where).toContain(got.code);
			} else if (request.spec_code_unverified !== undefined) {
				expect([...request.spec_code_unverified, ...(request.code_alternatives ?? [])], where).toContain(got.code);
			}
			for (const [address, bytes] of request.pte_after ?? []) {
				expect(memory.hex(BigInt(address), bytes.length / 2), where).toBe(bytes);
			}
		}
	});

	const walked = file.cases.filter((item) => item.space !== null);
	it.each(walked.map((item): [string, VtdVectorCase] => [item.id, item]))("%s, page tables alone", (_id, item) => {
		const caps = capabilities(BigInt(item.registers.CAP_REG), BigInt(item.registers.ECAP_REG));
		const space = item.space as NonNullable<VtdVectorCase["space"]>;
		const root = BigInt(space.root);
		for (const request of item.requests.filter((one) => one.scope === "walk")) {
			const memory = SparseMemory.of(item, file.ram);
			const walk = space.format.startsWith("vtd-fs")
				? walkFirstStage(
						memory,
						{
							root,
							levels: space.levels as 4 | 5,
							haw: space.haw,
							pages1G: caps.FS1GP,
							extendedAccessed: false,
							writeProtect: false,
							executeRequests: false,
							noExecute: false,
							supervisorExecutePrevention: false,
							unsnoopedWalk: false,
							second: null,
						},
						requestOf(request),
					)
				: walkSecondStage(
						memory,
						{
							root,
							levels: space.levels,
							inputBits: Math.min(12 + 9 * space.levels, caps.MGAW),
							haw: space.haw,
							pages2M: caps.SSLPS2M,
							pages1G: caps.SSLPS1G,
							snoopControl: caps.SC,
							transientMapping: caps.DT,
							accessedDirty: false,
							executeEnable: false,
							unsnoopedWalk: false,
							zeroLengthRead: caps.ZLR,
						},
						requestOf(request),
					);
			const where = `${JSON.stringify(request)} got ${walk.outcome} ${walk.pa.toString(16)}`;
			if (request.expect.status === "ok") {
				expect(walk.outcome, where).toBe("translated");
				expect(walk.pa, where).toBe(BigInt(request.expect.pa));
			} else if (request.expect.code === REASON.LGN_4_INTERRUPT || request.expect.code === REASON.SGN_8_INTERRUPT) {
				expect(walk.pa >> 20n, where).toBe(0xfeen);
			} else {
				expect(walk.outcome, where).not.toBe("translated");
			}
		}
	});
});
