import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { type ConformanceOptions, runConformance } from "../../ts/cli/conformance/index.ts";

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));

async function run(file: string, options: ConformanceOptions = {}) {
	const out: string[] = [];
	const err: string[] = [];
	const code = await runConformance([file], { ...options, stdout: { write: (text) => out.push(text) }, stderr: { write: (text) => err.push(text) } });
	return { code, errors: err.join("").split("\n").filter(Boolean), totals: JSON.parse(out.join("").trimEnd().split("\n").at(-1) ?? "") };
}

test.each([
	["riscv-qemu", 339, false],
	["riscv-qemu", 339, true],
	["riscv-refmodel", 2401, false],
	["riscv-refmodel", 2401, true],
])("every enforced request of %s passes: %i, uncached %s", async (name, passed, uncached) => {
	expect(await run(path(`${name}.json.gz`), { uncached })).toEqual({ code: 0, errors: [], totals: { passed, failed: 0, skipped: 0 } });
});

test("the reference model's answers are compared in full", async () => {
	const folder = mkdtempSync(join(tmpdir(), "ioasid-riscv-"));
	const file = JSON.parse(gunzipSync(readFileSync(path("riscv-refmodel.json.gz"))).toString("utf8"));
	const taken = new Set<string>();
	// one change to each kind of expectation, in the first request that has it
	const spoil = (name: string, change: (request: { expect: Record<string, unknown>; writes?: string[][] }) => boolean) => {
		for (const item of file.cases) {
			for (const [index, request] of item.requests.entries()) {
				const id = `${item.id}#${index}`;
				if (taken.has(id) || !change(request)) continue;
				taken.add(id);
				return;
			}
		}
		throw new Error(`no request for ${name}`);
	};
	for (const field of ["pa", "page_bytes", "r", "w", "x", "u", "g", "pbmt", "msi", "mrif", "cause", "iotval", "iotval2", "reported"]) {
		spoil(field, ({ expect: want }) => {
			if (want[field] === undefined || want.quirk !== undefined || want.page_bytes_impl) return false;
			const old = want[field];
			want[field] = typeof old === "boolean" ? !old : field === "mrif" ? { addr: "0x0", nid: 0 } : 12345;
			return true;
		});
	}
	spoil("writes", (request) => {
		if (!request.writes) return false;
		request.writes.pop();
		return true;
	});
	const last = file.cases.findIndex((item: { id: string; memory_after?: string[][]; requests: unknown[] }) => item.memory_after && !taken.has(`${item.id}#${item.requests.length - 1}`));
	taken.add(`${file.cases[last].id}#${file.cases[last].requests.length - 1}`);
	file.cases[last].memory_after[0][1] = "00".repeat(file.cases[last].memory_after[0][1].length / 2);
	writeFileSync(join(folder, "spoilt.json"), JSON.stringify(file));
	const { code, errors, totals } = await run(join(folder, "spoilt.json"));
	rmSync(folder, { recursive: true });
	expect(errors.map((line) => line.split(":")[0]).sort()).toEqual([...taken].sort());
	expect(totals).toEqual({ passed: 2401 - 16, failed: 16, skipped: 0 });
	expect(code).toBe(1);
});
