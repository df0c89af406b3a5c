/** What no vector file reaches: ATS and translated requests, corner cases of privilege and width, queue records. */
import { describe, expect, it } from "vitest";
import { type RiscvRegisters, type RiscvRequest, translateRiscv } from "./riscv.ts";
import { decodeCommand, encodeFaultRecord, encodePageRequest, routePageRequest } from "./riscv-records.ts";
import { SparseMemory } from "./vectors.ts";

/** version 1.0, all modes, Svpbmt, MSI_FLAT, MSI_MRIF, AMO_HWAD, ATS, T2GPA, END, PAS 56, PD8/17/20 */
const CAPS =
	0x10n | (0xfn << 8n) | (1n << 15n) | (0xfn << 16n) | (0x3n << 22n) | (0xfn << 24n) | (56n << 32n) | (7n << 38n);
const DDT = 0x1000n;
const ROOT = 0x10000n;
const GROOT = 0x20000n;
const PDT = 0x30000n;
const MSI = 0x40000n;
const pte = (pa: bigint, bits: bigint): bigint => ((pa >> 12n) << 10n) | bits;
const RWXU = 0xdfn;

const registers: RiscvRegisters = {
	capabilities: CAPS,
	fctl: 0n,
	ddtp: pte(DDT, 2n),
	gxlWritable: true,
	beWritable: true,
};

function context(memory: SparseMemory, tc: bigint, iohgatp: bigint, fsc: bigint, msi: bigint[] = []): void {
	[tc, iohgatp, 7n << 12n, fsc, ...msi].forEach((word, i) => {
		memory.set(DDT + BigInt(8 * i), word);
	});
}

const sv39 = (8n << 60n) | (ROOT >> 12n);
const sv39x4 = (8n << 60n) | (5n << 44n) | (GROOT >> 12n);
const ask = (memory: SparseMemory, more: Partial<RiscvRequest>) =>
	translateRiscv(memory, registers, {
		device: 0,
		pasid: null,
		privileged: false,
		address: 0x1234n,
		length: 1,
		access: "r",
		...more,
	});

describe("RISC-V reference, beyond the vectors", () => {
	it("lets a supervisor with SUM read U pages and never execute them", () => {
		const memory = new SparseMemory();
		context(memory, 0x21n, 0n, (1n << 60n) | (PDT >> 12n));
		memory.set(PDT + 16n, 0b111n | (9n << 12n));
		memory.set(PDT + 24n, sv39);
		memory.set(ROOT, pte(0x40000000n, RWXU));
		const request = { pasid: 1, privileged: true };
		expect(ask(memory, request)).toMatchObject({ status: "ok", pa: 0x40001234n, code: 0, fields: { pscid: 9 } });
		expect(ask(memory, { ...request, access: "x" }).code).toBe(12);
		expect(ask(memory, { pasid: 1, access: "x" }).code).toBe(0);
		expect(ask(memory, { ...request, pasid: 256 }).code).toBe(260);
	});

	it("holds guest addresses to 34 bits with SXL, after the MSI table", () => {
		const memory = new SparseMemory();
		const msi = [(1n << 60n) | (MSI >> 12n), 0n, 1n << 22n, 0n];
		context(memory, 0x801n, sv39x4, 0n, msi);
		memory.set(GROOT + 8n * 15n, pte(0n, RWXU));
		memory.set(GROOT + 8n * 16n, pte(0n, RWXU));
		expect(ask(memory, { address: 0x3ffffffffn }).code).toBe(0);
		expect(ask(memory, { address: 0x400001003n })).toMatchObject({ code: 21, fields: { iotval2: 0x400001000n } });
		memory.set(MSI, pte(0x5000n, 7n));
		expect(ask(memory, { address: 0x400000123n, access: "w" })).toMatchObject({ status: "interrupt", pa: 0x5123n });
	});

	it("lets the first stage's memory type win", () => {
		const memory = new SparseMemory();
		context(memory, 1n, sv39x4, sv39);
		memory.set(GROOT, pte(0n, RWXU | (2n << 61n)));
		memory.set(ROOT, pte(0n, RWXU | (1n << 61n)));
		expect(ask(memory, {})).toMatchObject({ status: "ok", pageBytes: 1n << 30n, fields: { pbmt: 1, gscid: 5 } });
		memory.set(ROOT, pte(0n, RWXU));
		expect(ask(memory, {}).fields.pbmt).toBe(2);
	});

	it("answers ATS requests with permissions, and with guest addresses under T2GPA", () => {
		const memory = new SparseMemory();
		context(memory, 0xbn, sv39x4, sv39);
		memory.set(GROOT, pte(0x80000000n, RWXU));
		// the guest's root table at guest ROOT is system ROOT + 2 GiB
		memory.set(0x80000000n + ROOT, pte(0n, 0xd3n));
		const ats = ask(memory, { type: "ats" });
		expect(ats).toMatchObject({ status: "ok", pa: 0x1234n, r: true, w: false, x: false, fields: { response: 0, ttyp: 8 } });
		expect(ask(memory, { type: "translated" })).toMatchObject({ status: "ok", pa: 0x80001234n, fields: { ttyp: 6 } });
		expect(ask(memory, { access: "w" }).code).toBe(15);
		memory.set(0x80000000n + ROOT, 0n);
		expect(ask(memory, { type: "ats" })).toMatchObject({ code: 13, reported: false, fields: { response: 0 } });
		memory.noAccess = [{ first: GROOT, end: GROOT + 8n }];
		expect(ask(memory, { type: "ats" })).toMatchObject({ code: 5, reported: true, fields: { response: 4 } });
		context(memory, 1n, 0n, sv39);
		expect(ask(memory, { type: "ats" })).toMatchObject({ code: 260, reported: true, fields: { response: 1 } });
	});

	it("sets A and D by SADE and GADE, and refuses the update of a read-only table page", () => {
		const memory = new SparseMemory();
		context(memory, 0x181n, sv39x4, sv39);
		memory.set(GROOT, pte(0n, 0x17n));
		memory.set(ROOT, pte(0n, 0x17n));
		const got = ask(memory, { access: "w" });
		expect(got.phases).toEqual(["s2-implicit", "s1"]);
		expect(got.writes.map((write) => write.value)).toEqual([pte(0n, 0xd7n), pte(0n, 0xd7n)]);
		memory.set(GROOT, pte(0n, 0x53n));
		memory.set(ROOT, pte(0n, 0x17n));
		expect(ask(memory, {})).toMatchObject({ code: 21, writes: [], fields: { iotval2: ROOT | 3n } });
	});

	it("lays out records and reads commands", () => {
		const memory = new SparseMemory();
		const fault = ask(memory, { pasid: 3, privileged: true, access: "w" });
		expect(encodeFaultRecord(fault)).toEqual([258n | (3n << 12n) | (3n << 32n) | (3n << 34n), 0n, 0x1234n, 0n]);
		const request = { device: 2, pasid: 3, privileged: false, execute: true, read: true, write: false, last: true };
		const page = { ...request, group: 5, address: 0x7000n };
		expect(encodePageRequest(page)).toEqual([(3n << 12n) | (5n << 32n) | (2n << 40n), 0x7000n | (5n << 3n) | 5n]);
		expect(routePageRequest(memory, registers, page)).toMatchObject({ action: "respond", code: 15, withPasid: true });
		context(memory, 1n, 0n, 0n);
		const mine = { ...page, device: 0 };
		expect(routePageRequest(memory, registers, mine)).toMatchObject({ code: 1, cause: 260, withPasid: false });
		context(memory, 7n, 0n, 0n);
		expect(routePageRequest(memory, registers, mine)).toEqual({ action: "queue" });

		const ranged = { ...registers, capabilities: CAPS | (3n << 42n) };
		const vma = 1n | (1n << 10n) | (4n << 12n) | (1n << 32n) | (1n << 33n) | (6n << 44n);
		const decoded = { kind: "iotinval.vma", pscid: 4, gscid: 6, address: 0x7000n, bytes: 4096n, nonLeaf: false };
		expect(decodeCommand(registers, vma, 7n << 10n)).toEqual(decoded);
		// ADDR = ...0111: 16 pages
		expect(decodeCommand(ranged, vma, (0x27n << 10n) | (1n << 9n))).toMatchObject({ address: 0x20000n, bytes: 0x10000n });
		expect(decodeCommand(registers, vma, 1n << 9n).kind).toBe("illegal");
		expect(decodeCommand(registers, vma | (1n << 7n), 0n).kind).toBe("illegal");
		expect(decodeCommand(registers, 3n | (1n << 33n), 0n)).toEqual({ kind: "iodir.inval_ddt", device: 0 });
		expect(decodeCommand(registers, 3n | (1n << 7n), 0n).kind).toBe("illegal");
		expect(decodeCommand(registers, 2n | (1n << 10n) | (9n << 32n), 0x400n)).toMatchObject({ address: 0x1000n, data: 9n });
	});
});
