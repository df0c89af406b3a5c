import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ConformanceOptions, runConformance } from "../../ts/cli/conformance/index.ts";

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const VTD = path("vtd-qemu.json.gz");

async function run(files: string[], options: ConformanceOptions = {}) {
	const out: string[] = [];
	const err: string[] = [];
	const code = await runConformance(files, { ...options, stdout: { write: (text) => out.push(text) }, stderr: { write: (text) => err.push(text) } });
	const lines = out.join("").trimEnd().split("\n");
	return { code, lines, totals: JSON.parse(lines[lines.length - 1]), errors: err.join("").split("\n").filter(Boolean) };
}

describe("conformance", () => {
	let folder: string;
	beforeAll(() => {
		folder = mkdtempSync(join(tmpdir(), "ioasid-conformance-"));
	});
	afterAll(() => rmSync(folder, { recursive: true }));
	const put = (name: string, text: string | Uint8Array) => {
		const file = join(folder, name);
		writeFileSync(file, text);
		return file;
	};

	it.each([
		["legacy39", 73, false],
		["legacy48", 75, false],
		["sm48", 55, false],
		["fs48", 86, false],
		["legacy39", 73, true],
		["legacy48", 75, true],
		["sm48", 55, true],
		["fs48", 86, true],
	])("every enforced request of %s passes: %i (uncached: %s)", async (variant, requests, uncached) => {
		const { code, errors, totals, lines } = await run([VTD], { only: [`vtd-${variant}-*`], uncached });
		expect(errors).toEqual([]);
		expect(totals).toEqual({ passed: requests, failed: 0, skipped: 0 });
		expect(lines[0]).toBe(`vtd-qemu.json.gz: ${requests} passed, 0 failed, 0 skipped`);
		expect(code).toBe(0);
	});

	it("takes a plain file as it takes a gzipped one", async () => {
		const plain = put("plain.json", gunzipSync(readFileSync(VTD)));
		const { lines, totals } = await run([plain], { only: ["vtd-legacy39-*"] });
		expect(lines[0]).toBe("plain.json: 73 passed, 0 failed, 0 skipped");
		expect(totals).toEqual((await run([VTD], { only: ["vtd-legacy39-*"] })).totals);
	});

	const ID = "vtd-legacy39-20261101-0";

	it("runs a case, a request, and several of them by --only", async () => {
		expect((await run([VTD], { only: [`${ID}#2`] })).totals).toEqual({ passed: 1, failed: 0, skipped: 0 });
		expect((await run([VTD], { only: [ID] })).totals).toEqual({ passed: 8, failed: 0, skipped: 0 });
		expect((await run([VTD], { only: [`${ID}#0`, `${ID}#1`, `${ID}#1*`] })).totals).toEqual({ passed: 2, failed: 0, skipped: 0 });
		const none = await run([VTD], { only: ["nobody"] });
		expect(none).toMatchObject({ code: 0, totals: { passed: 0, failed: 0, skipped: 0 }, errors: ["nothing matches nobody"] });
	});

	/** one case of the real file with its expectations changed */
	const altered = (change: (requests: Array<Record<string, unknown> & { expect: Record<string, unknown> }>) => void) => {
		const file = JSON.parse(gunzipSync(readFileSync(VTD)).toString("utf8"));
		file.cases = file.cases.filter((one: { id: string }) => one.id === ID);
		change(file.cases[0].requests);
		return put("altered.json", JSON.stringify(file));
	};

	it("tells failures with id, expected and got, and exits with 1", async () => {
		const file = altered((requests) => {
			requests[0].expect.pa = "0x12345678";
			requests[2].expect.code = 7;
			requests[4].expect = { status: "ok", pa: "0x1000" };
			requests[1].pte_after = [["0x1420000", "ff"]];
		});
		const { code, errors, totals, lines } = await run([file, VTD], { only: [ID] });
		expect(code).toBe(1);
		expect(errors).toEqual([
			`${ID}#0: expected ok 0x12345678, got ok 0x12b684d8`,
			`${ID}#1: expected entry 0x1420000 = ff, got 01`,
			`${ID}#2: expected fault 0x7 (output-in-interrupt-range), got fault 0xe`,
			`${ID}#4: expected ok 0x1000, got fault 0x5`,
		]);
		expect(totals).toEqual({ passed: 12, failed: 4, skipped: 0 });
		expect(lines).toHaveLength(3);
	});

	it("tells at most maxFailures of them", async () => {
		const file = altered((requests) => {
			for (const request of requests) {
				request.expect = { status: "ok", pa: "0x1000" };
				request.enforce = "pa";
			}
		});
		const { errors, totals, code } = await run([file], { maxFailures: 3 });
		expect(errors.map((line) => line.split(":")[0])).toEqual([`${ID}#0`, `${ID}#1`, `${ID}#2`, "5 more failures"]);
		expect(totals).toEqual({ passed: 0, failed: 8, skipped: 0 });
		expect(code).toBe(1);
	});

	it("takes a code of code_alternatives, a status alone, and skips what is not enforced", async () => {
		const file = altered((requests) => {
			requests[2].expect.code = 99;
			requests[2].code_alternatives = [98, 14];
			requests[4].expect.code = 99;
			requests[4].enforce = "status";
			requests[0].expect = { status: "fault", code: 1 };
			requests[0].enforce = "none";
		});
		expect(await run([file])).toMatchObject({ code: 0, totals: { passed: 7, failed: 0, skipped: 1 } });
	});

	it("counts requests of an architecture that does not exist as failed", async () => {
		const file = put("other.json", JSON.stringify({ arch: "nothing", cases: [{ id: "a", memory: [], requests: [{ iova: "0x0", access: "r", expect: { status: "ok", pa: "0x0" } }] }] }));
		const { code, errors, totals } = await run([file]);
		expect(code).toBe(1);
		expect(totals).toEqual({ passed: 0, failed: 1, skipped: 0 });
		expect(errors[0]).toContain('no "nothing" unit');
	});

	it("a case that cannot be set up fails, the others run", async () => {
		const file = JSON.parse(gunzipSync(readFileSync(VTD)).toString("utf8"));
		file.cases = file.cases.slice(0, 2);
		file.cases[0].registers = {};
		const { code, totals, errors } = await run([put("broken.json", JSON.stringify(file))]);
		expect(code).toBe(1);
		expect(totals.failed).toBe(8);
		expect(totals.passed).toBeGreaterThan(0);
		expect(errors[0]).toContain("no register CAP_REG");
	});

	it.each([
		["another shape", '{"arch":"vtd","set":"open","quirks":[]}'],
		["a list", "[]"],
		["a case without requests", '{"arch":"vtd","cases":[{"id":"a","memory":[]}]}'],
		["no JSON", "hello\n"],
		["a cut gzip", new Uint8Array([0x1f, 0x8b, 8, 0])],
	])("exits with 2 for %s, and runs the other files", async (_what, content) => {
		const file = put("odd", content);
		const { code, errors, totals } = await run([file, VTD], { only: [ID] });
		expect(code).toBe(2);
		expect(errors).toHaveLength(1);
		expect(errors[0].startsWith(`${file}: `)).toBe(true);
		expect(totals).toEqual({ passed: 8, failed: 0, skipped: 0 });
	});

	it("exits with 2 for a file that is not there", async () => {
		const { code, errors } = await run([join(folder, "missing.json")]);
		expect(code).toBe(2);
		expect(errors).toHaveLength(1);
	});
});
