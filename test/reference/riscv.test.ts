import { describe, expect, it } from "vitest";
import { type RiscvRegisters, translateRiscv } from "./riscv.ts";
import { loadVectors, SparseMemory, type VectorCase } from "./vectors.ts";

interface ModelExpect {
	status: "ok" | "fault";
	pa: string;
	page_bytes: number;
	page_bytes_impl?: boolean;
	quirk?: string;
	r: boolean;
	w: boolean;
	x: boolean;
	u?: boolean;
	g?: boolean;
	pbmt: number;
	msi: boolean;
	mrif?: { addr: string; nid: number };
	cause: number;
	iotval: string;
	iotval2: string;
	reported: boolean;
}

interface ModelCase extends VectorCase {
	caps: { raw: string; gxl_writeable: number; be_writeable: number };
	ddtp: string;
	fctl: string;
	memory_after?: Array<[string, string]>;
	requests: Array<{
		device_id: number;
		process_id: number | null;
		priv: boolean;
		iova: string;
		length: number;
		access: "r" | "w" | "x";
		expect: ModelExpect;
		writes?: Array<[string, string, string]>;
	}>;
}

interface QemuCase extends VectorCase {
	registers: { DDTP: string; CAP: string; FCTL: string };
	requests: Array<{
		rid: number;
		pasid: number | null;
		iova: string;
		access: "r" | "w" | "x";
		enforce: "pa" | "code" | "status";
		code_alternatives?: number[];
		expect: { status: "ok" | "fault"; pa: string; code: number };
	}>;
}

const hex = (value: bigint | number | boolean | undefined): string => `0x${BigInt(value ?? -1).toString(16)}`;

function hexBytes(value: bigint, bytes: number): string {
	let text = "";
	for (let i = 0; i < bytes; i++) {
		text += ((value >> BigInt(8 * i)) & 0xffn).toString(16).padStart(2, "0");
	}
	return text;
}

describe("RISC-V reference", () => {
	it("answers as the specification authors' model", () => {
		const file = loadVectors<ModelCase>("riscv-refmodel");
		const failures: string[] = [];
		let checked = 0;
		for (const item of file.cases) {
			const memory = SparseMemory.of(item, file.ram);
			const registers: RiscvRegisters = {
				capabilities: BigInt(item.caps.raw),
				fctl: BigInt(item.fctl),
				ddtp: BigInt(item.ddtp),
				gxlWritable: item.caps.gxl_writeable === 1,
				beWritable: item.caps.be_writeable === 1,
			};
			item.requests.forEach((request, index) => {
				const want = request.expect;
				const got = translateRiscv(memory, registers, {
					device: request.device_id,
					pasid: request.process_id,
					privileged: request.priv,
					address: BigInt(request.iova),
					length: request.length,
					access: request.access,
				});
				const pairs: Array<[string, unknown, unknown]> = [];
				if (want.status === "fault") {
					pairs.push(["status", got.status, "fault"], ["cause", got.code, want.cause]);
					pairs.push(["iotval", hex(got.fields.iotval), want.iotval]);
					pairs.push(["iotval2", hex(got.fields.iotval2), want.iotval2], ["reported", got.reported, want.reported]);
				} else {
					pairs.push(["fault", got.status === "fault" ? got.code : 0, 0]);
					if (want.quirk === undefined) {
						pairs.push(["pa", hex(got.pa), want.pa]);
					}
					if (want.page_bytes_impl !== true) {
						pairs.push(["page_bytes", got.pageBytes, BigInt(want.page_bytes)]);
					}
					pairs.push(["r", got.r, want.r], ["w", got.w, want.w], ["x", got.x, want.x]);
					if (want.u !== undefined) {
						pairs.push(["u", got.fields.user, want.u], ["g", got.fields.global, want.g]);
						pairs.push(["pbmt", got.fields.pbmt, want.pbmt]);
					}
					pairs.push(["msi", got.status === "interrupt", want.msi]);
					if (want.mrif !== undefined) {
						pairs.push(["mrif", hex(got.fields.mrifAddress), want.mrif.addr]);
						pairs.push(["nid", got.fields.mrifNid, want.mrif.nid]);
					}
				}
				const writes = got.writes.map((w, i) => `${hex(w.pa)} ${hexBytes(w.value, w.bytes)} ${got.phases[i]}`);
				pairs.push(["writes", writes.join(), (request.writes ?? []).map((w) => w.join(" ")).join()]);
				checked++;
				const wrong = pairs.filter(([, a, b]) => a !== b);
				if (wrong.length > 0) {
					const text = wrong.map(([name, a, b]) => `${name} ${a} want ${b}`).join("; ");
					failures.push(`${item.id}#${index} ${request.access}: ${text}`);
				}
			});
			for (const [address, bytes] of item.memory_after ?? []) {
				if (memory.hex(BigInt(address), bytes.length / 2) !== bytes) {
					failures.push(`${item.id}: memory after at ${address}`);
				}
			}
		}
		expect(failures).toEqual([]);
		expect(checked).toBe(2401);
	});

	it("answers as QEMU where QEMU follows the specification", () => {
		const file = loadVectors<QemuCase>("riscv-qemu");
		const failures: string[] = [];
		let checked = 0;
		for (const item of file.cases) {
			const registers: RiscvRegisters = {
				capabilities: BigInt(item.registers.CAP),
				fctl: BigInt(item.registers.FCTL),
				ddtp: BigInt(item.registers.DDTP),
				gxlWritable: false,
				beWritable: false,
			};
			item.requests.forEach((request, index) => {
				const want = request.expect;
				const got = translateRiscv(SparseMemory.of(item, file.ram), registers, {
					device: request.rid,
					pasid: request.pasid,
					privileged: false,
					address: BigInt(request.iova),
					length: 1,
					access: request.access,
				});
				checked++;
				const status = got.status === "fault" ? "fault" : "ok";
				const codes = [want.code, ...(request.code_alternatives ?? [])];
				if (
					status !== want.status ||
					(request.enforce === "code" && status === "fault" && !codes.includes(got.code)) ||
					(request.enforce === "pa" && status === "ok" && got.pa !== BigInt(want.pa))
				) {
					failures.push(`${item.id}#${index}: ${status} ${got.code} ${hex(got.pa)}, want ${JSON.stringify(want)}`);
				}
			});
		}
		expect(failures).toEqual([]);
		expect(checked).toBe(339);
	});
});
